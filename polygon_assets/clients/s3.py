"""Connections to S3, or to a server with its protocol.

Options of all clients belong to `aws`, the objects of the subscriptions to `subscription_store`,
those of the archive to `archive_store`.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from polygon_assets.clients import aws
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NamedErrors = AbstractContextManager[None]


def connect(settings: Settings) -> "S3Client":
    """S3, or AWS_ENDPOINT_URL_S3. Raises ValueError for an unusable address."""
    client: S3Client = aws.connect(settings, "s3", settings.aws_endpoint_url_s3)
    return client


def connect_or_raise(settings: Settings, error_class: type[PolygonAssetsError]) -> "S3Client":
    """As `connect`. Raises `error_class` for an unusable address."""
    try:
        return connect(settings)
    except ValueError as error:
        raise error_class(
            f"AWS_ENDPOINT_URL_S3={settings.aws_endpoint_url_s3!r}: {error}; write http://HOST:PORT"
        ) from error


@contextmanager
def named_errors(bucket: str, key: str, error_class: type[PolygonAssetsError]) -> Iterator[None]:
    """Turn boto's errors into the named error, which names the object."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise error_class(f"s3://{bucket}/{key}: {error}") from error
