"""The archive of RAW_TOPIC in S3: the names of its objects, writing and reading them.

Change the archive's format here; which messages go into an object belongs to `streaming.archiver`,
and what a day's objects prove belongs to `rebuild`.

    <prefix>polygon_stream_aggregates/date=2026-11-20/hour=15/partition=3/
        20261120T150000.123456Z-1200-1799-5f1d3c0a9b7e.jsonl.zst

`date` and `hour` are those of the seconds (UTC), not of their receipt: a correction, a filled gap
or a replayed day lies where its trading day is looked for. The name has the first receipt, the
first and the last offset, and the first digits of the content's SHA-256. A broker without memory
starts its offsets again at 0, so offsets alone would collide; with the digest, one name means one
content. A line is one message as it was received; bytes that are no line of JSON stand as base64 in
{"unreadable": ...}.
"""

import datetime as dt
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from polygon_assets.clients import s3
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.settings import Settings
from polygon_assets.topics import RAW_TOPIC

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ONE_HOUR = dt.timedelta(hours=1)
DIGEST_DIGITS = 12
_STAMP = "%Y%m%dT%H%M%S.%fZ"
_NAME = re.compile(
    r"date=(?P<date>\d{4}-\d\d-\d\d)/hour=(?P<hour>\d\d)/partition=(?P<partition>\d+)/"
    r"(?P<received>\d{8}T\d{6}\.\d{6}Z)-(?P<first>\d+)-(?P<last>\d+)-(?P<digest>[0-9a-f]+)"
    r"\.jsonl\.zst"
)


class ArchiveStoreError(PolygonAssetsError):
    """An object cannot be written, listed or read; names the object, the cause and the cure."""


class _Unreadable(msgspec.Struct):
    """A message that is no line of JSON; msgspec writes bytes as base64."""

    unreadable: bytes


_UNREADABLE_START = b'{"unreadable":'
_encode_unreadable = msgspec.json.Encoder().encode
_decode_unreadable = msgspec.json.Decoder(_Unreadable).decode


@dataclass(frozen=True)
class ObjectName:
    """The name of an object; `hour` is the whole hour of its seconds, in UTC."""

    hour: dt.datetime
    partition: int
    first_received_at: dt.datetime
    first_offset: int
    last_offset: int
    digest: str

    @property
    def path(self) -> str:
        """The key below the topic's folder."""
        return (
            f"{hour_folder(self.hour)}partition={self.partition}/"
            f"{self.first_received_at:{_STAMP}}-{self.first_offset}-{self.last_offset}-"
            f"{self.digest}.jsonl.zst"
        )

    @classmethod
    def parse(cls, path: str) -> "ObjectName | None":
        """The name of a path below the topic's folder; None for an object of somebody else."""
        match = _NAME.fullmatch(path)
        if match is None:
            return None
        hour = dt.datetime.fromisoformat(f"{match['date']}T{match['hour']}:00+00:00")
        received = dt.datetime.strptime(match["received"], _STAMP).replace(tzinfo=dt.UTC)
        return cls(
            hour,
            int(match["partition"]),
            received,
            int(match["first"]),
            int(match["last"]),
            match["digest"],
        )


def hour_folder(hour: dt.datetime) -> str:
    """The folder of an hour below the topic's folder."""
    return f"date={hour:%Y-%m-%d}/hour={hour:%H}/"


def to_line(value: bytes, is_json: bool) -> bytes:
    """A message as a line without its end."""
    if is_json and b"\n" not in value and not value.startswith(_UNREADABLE_START):
        return value
    return _encode_unreadable(_Unreadable(value))


def to_value(line: bytes) -> bytes:
    """The message of a line. Raises msgspec.DecodeError for a line that `to_line` never makes."""
    return _decode_unreadable(line).unreadable if line.startswith(_UNREADABLE_START) else line


def content_of(lines: Sequence[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGEST_DIGITS]


class ArchiveStore:
    """The objects of one topic in one bucket. Every method raises ArchiveStoreError."""

    def __init__(self, client: "S3Client", bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._folder = f"{prefix}{RAW_TOPIC}/"

    @property
    def address(self) -> str:
        """Where the objects are, for people."""
        return f"s3://{self._bucket}/{self._folder}"

    def put(self, name: ObjectName, content: bytes) -> None:
        """Write an object; the same content again changes nothing."""
        import zstandard

        body = zstandard.ZstdCompressor().compress(content)
        key = self._folder + name.path
        with self._named_errors(key):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=body)

    def names(self, hour: dt.datetime) -> Iterator[ObjectName]:
        """The objects of an hour, in the order of partition and receipt."""
        folder = self._folder + hour_folder(hour)
        with self._named_errors(folder):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=folder
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    name = ObjectName.parse(entry["Key"].removeprefix(self._folder))
                    if name is not None:
                        yield name

    def read(self, name: ObjectName) -> list[bytes]:
        """The messages of an object, whose content is compared with the digest in its name."""
        import zstandard

        key = self._folder + name.path
        with self._named_errors(key):
            body = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        try:
            content = zstandard.ZstdDecompressor().decompress(body)
            if (digest := digest_of(content)) != name.digest:
                raise ValueError(f"its content has the digest {digest}")
            return [to_value(line) for line in content.split(b"\n")[:-1]]
        except (zstandard.ZstdError, msgspec.DecodeError, ValueError) as error:
            raise ArchiveStoreError(
                f"s3://{self._bucket}/{key} is damaged: {error}; restore an earlier version of "
                "the object, or delete it to do without its events"
            ) from error

    def check(self) -> None:
        """Ask for the bucket, so that a wrong name or a missing right shows."""
        with self._named_errors(self._folder):
            self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._folder, MaxKeys=1)

    def _named_errors(self, key: str) -> "s3.NamedErrors":
        return s3.named_errors(self._bucket, key, ArchiveStoreError)


def connect(settings: Settings) -> ArchiveStore:
    """A store with a new S3 client. Raises ArchiveStoreError for an unusable address."""
    bucket = settings.archive_bucket or settings.subscriptions_bucket
    return ArchiveStore(
        s3.connect_or_raise(settings, ArchiveStoreError), bucket, settings.archive_prefix
    )
