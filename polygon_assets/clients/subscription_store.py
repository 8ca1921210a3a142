"""The subscription CSV and the accepted set in S3: reading both, and publishing a new version.

`<key>` is the CSV that people edit, `<key without ending>/accepted.json` the set in force, and
`<key without ending>/versions/` keeps every publication as `<time>-<version>.json`: a set that
returns must not erase when it was in force before. Add an object of the subscriptions here; parsing
and validating the CSV belongs to `subscriptions`.
"""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from polygon_assets.clients import s3
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.settings import Settings
from polygon_assets.subscriptions import AcceptedSet

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class SubscriptionStoreError(PolygonAssetsError):
    """The CSV or the accepted set cannot be read or written; names the object and the cause."""


class NoSuchSetError(SubscriptionStoreError):
    """There is no accepted set of this name."""


@dataclass(frozen=True)
class CsvVersion:
    """One version of the CSV."""

    etag: str
    text: str


def accepted_key(csv_key: str) -> str:
    """The key of the set in force, beside the CSV."""
    return str(sets_folder(csv_key) / "accepted.json")


def sets_folder(csv_key: str) -> PurePosixPath:
    """Where every published set is, the one in force included."""
    return PurePosixPath(csv_key).with_suffix("")


class SubscriptionStore:
    """The CSV and the accepted sets in one bucket. Every method raises SubscriptionStoreError."""

    def __init__(self, client: "S3Client", bucket: str, csv_key: str) -> None:
        self._client = client
        self._bucket = bucket
        self._csv_key = csv_key
        self._accepted_key = accepted_key(csv_key)
        self._versions = sets_folder(csv_key) / "versions"

    def csv_etag(self) -> str:
        """The CSV's ETag without its quotes; it changes whenever the file does."""
        with self._named_errors(self._csv_key):
            return self._client.head_object(Bucket=self._bucket, Key=self._csv_key)["ETag"].strip(
                '"'
            )

    def read_csv(self) -> CsvVersion:
        """The current CSV. Bytes that are not UTF-8 become U+FFFD, which no ticker contains."""
        with self._named_errors(self._csv_key):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._csv_key)
            return CsvVersion(
                answer["ETag"].strip('"'), answer["Body"].read().decode(errors="replace")
            )

    def write_csv(self, text: str) -> str:
        """Replace the CSV and return its new ETag."""
        with self._named_errors(self._csv_key):
            return self._client.put_object(
                Bucket=self._bucket, Key=self._csv_key, Body=text.encode()
            )["ETag"].strip('"')

    def accepted(self) -> AcceptedSet | None:
        """The set in force, or None before the first one is published."""
        try:
            return self._read(self._accepted_key)
        except NoSuchSetError:
            return None

    def history(self) -> list[AcceptedSet]:
        """Every set that was put in force, oldest first."""
        sets = map(self._read, self._history_keys())
        return sorted(sets, key=lambda accepted: dt.datetime.fromisoformat(accepted.accepted_at))

    def of_versions(self, versions: Collection[str]) -> list[AcceptedSet]:
        """Those of the history with one of these versions."""
        endings = tuple(f"{version}.json" for version in versions)
        return [self._read(key) for key in self._history_keys() if key.endswith(endings)]

    def _history_keys(self) -> list[str]:
        folder = f"{self._versions}/"
        with self._named_errors(folder):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=folder
            )
            return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def publish(self, accepted: AcceptedSet) -> None:
        """Put a set in force. The history is written first, so that it has every set in force."""
        body = msgspec.json.format(msgspec.json.encode(accepted))
        accepted_at = dt.datetime.fromisoformat(accepted.accepted_at).astimezone(dt.UTC)
        name = f"{accepted_at:%Y%m%dT%H%M%SZ}-{accepted.version}.json"
        for key in (str(self._versions / name), self._accepted_key):
            with self._named_errors(key):
                self._client.put_object(Bucket=self._bucket, Key=key, Body=body)

    def _read(self, key: str) -> AcceptedSet:
        """A set; raises NoSuchSetError without one."""
        with self._named_errors(key):
            try:
                body = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
            except self._client.exceptions.NoSuchKey as error:
                raise NoSuchSetError(f"s3://{self._bucket}/{key} does not exist") from error
        try:
            return msgspec.json.decode(body, type=AcceptedSet)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SubscriptionStoreError(
                f"s3://{self._bucket}/{key} is not an accepted set: {error}; "
                "materialize s3/subscriptions to publish it again"
            ) from error

    def _named_errors(self, key: str) -> s3.NamedErrors:
        return s3.named_errors(self._bucket, key, SubscriptionStoreError)


def connect(settings: Settings) -> SubscriptionStore:
    """A store with a new S3 client. Raises SubscriptionStoreError for an unusable address."""
    client = s3.connect_or_raise(settings, SubscriptionStoreError)
    return SubscriptionStore(client, settings.subscriptions_bucket, settings.subscriptions_key)


def named_symbols(settings: Settings) -> list[str] | None:
    """The symbols of the set in force, sorted; None if it is `A.*` or if no set is in force.

    Raises SubscriptionStoreError.
    """
    accepted = connect(settings).accepted()
    return sorted(accepted.symbols) if accepted and accepted.symbols is not None else None
