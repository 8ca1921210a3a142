"""The Snowflake destination: its configuration, and loads through `batch.raw.table_writer`.

Add Snowflake settings or a kind of load here; the moment of a load belongs to `loads`.
"""

import datetime as dt
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import resources
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import yaml

from polygon_assets.batch.airbyte.connector import Stream
from polygon_assets.batch.raw import table_writer
from polygon_assets.batch.raw.table_writer import RecordError, StreamError
from polygon_assets.clients import snowflake
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.local.airbyte.sync.job_log import JobLog
from polygon_assets.local.airbyte.workspace.objects import Json
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

KIND = "snowflake"
DEFINITION_ID = "424892c4-daac-4491-b35d-c6688ba547ba"
"""Airbyte's own id of its Snowflake destination."""
# Short, so that a job without Snowflake fails while its caller still waits.
_ANSWER_SECONDS = 120

SNOWFLAKE_DOMAIN = ".snowflakecomputing.com"


class DestinationError(PolygonAssetsError):
    """A load failed; the message has the table and the cause."""


def specification() -> Json:
    """The JSON schema of the destination's configuration."""
    schema: Json = yaml.safe_load(
        (
            resources.files("polygon_assets.local.airbyte.sync") / "snowflake_destination.yaml"
        ).read_text()
    )
    return schema


def settings_for(configuration: Json) -> Settings:
    """The settings for `clients.snowflake`.

    `host` is ACCOUNT.snowflakecomputing.com, or another server's address with scheme and port.
    """
    host = configuration["host"]
    address = urlsplit(host if "://" in host else f"https://{host}")
    name, credentials = address.hostname or "", configuration["credentials"]
    is_snowflake = name.endswith(SNOWFLAKE_DOMAIN)
    # All fields, because a missing one would come from the environment.
    return Settings.model_validate(
        {
            "snowflake_account": name.removesuffix(SNOWFLAKE_DOMAIN),
            "snowflake_host": "" if is_snowflake else name,
            "snowflake_port": address.port or 443,
            "snowflake_protocol": address.scheme,
            "snowflake_user": configuration["username"],
            "snowflake_password": credentials.get("password", ""),
            "snowflake_private_key": credentials.get("private_key", ""),
            "snowflake_role": configuration["role"],
            "snowflake_warehouse": configuration["warehouse"],
            "snowflake_database": configuration["database"],
        }
    )


class SnowflakeDestination:
    """Loads into one schema; the first load opens the session, the end of `with` closes it."""

    def __init__(self, configuration: Json, schema: str, sync_id: int, log: JobLog) -> None:
        self._settings = settings_for(configuration)
        self._schema = schema
        self._sync_id = sync_id
        self._log = log
        self._session: SnowflakeConnection | None = None
        self.seconds = 0.0
        """The time spent on loads, including the opening of the session."""

    def __enter__(self) -> "SnowflakeDestination":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session:
            self._session.close()

    def merge(self, stream: Stream, records: Iterable[Json], extracted_at: dt.datetime) -> None:
        """Merge the records into the stream's table by key. Raises DestinationError."""
        with self._loading(stream) as session:
            written = table_writer.merge(
                session,
                stream,
                records,
                extracted_at,
                schema=self._schema,
                sync_id=self._sync_id,
                null_misfits=True,
            )
            self._log.write(
                "destination",
                "INFO",
                f"{stream.name}: merged {written.read} records: {written.inserted} new rows, "
                f"{written.updated} changed rows",
            )

    def overwrite(self, stream: Stream, records: Iterable[Json], extracted_at: dt.datetime) -> None:
        """Replace the table by the records, as the sync's generation. Raises DestinationError."""
        with self._loading(stream) as session:
            written = table_writer.overwrite(
                session,
                stream,
                records,
                extracted_at,
                self._sync_id,
                schema=self._schema,
                sync_id=self._sync_id,
                null_misfits=True,
            )
            self._log.write(
                "destination",
                "INFO",
                f"{stream.name}: replaced by {written.read} records with {written.inserted} "
                "different keys",
            )

    @contextmanager
    def _loading(self, stream: Stream) -> "Iterator[SnowflakeConnection]":
        from snowflake.connector.errors import Error

        began = time.monotonic()
        try:
            self._session = self._session or snowflake.connect(self._settings, _ANSWER_SECONDS)
            yield self._session
        except (snowflake.SnowflakeError, Error, RecordError, StreamError) as error:
            raise DestinationError(
                f"table {self._schema}.{stream.name.upper()} could not be loaded: {error}"
            ) from error
        finally:
            self.seconds += time.monotonic() - began
