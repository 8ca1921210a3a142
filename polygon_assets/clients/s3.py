"""Connections to S3, or to a server with its protocol.

Add a client option here; the objects of the subscriptions belong to `clients.subscription_store`,
those of the archive to `clients.archive_store`.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from polygon_assets.errors import PolygonAssetsError
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NamedErrors = AbstractContextManager[None]


def connect(settings: Settings) -> "S3Client":
    """A boto3 S3 client; with empty settings boto3 finds the credentials (roles, profiles)."""
    import boto3  # 0.7 s CPU, which only readers of S3 pay, not every import of this package
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=settings.aws_endpoint_url_s3 or None,
        region_name=settings.aws_region,
        aws_access_key_id=settings.aws_access_key_id or None,
        aws_secret_access_key=settings.aws_secret_access_key.get_secret_value() or None,
        verify=settings.ca_bundle or None,
        config=Config(
            connect_timeout=5,
            read_timeout=10,
            retries={"total_max_attempts": 3, "mode": "standard"},
        ),
    )


def connect_named(settings: Settings, error_class: type[PolygonAssetsError]) -> "S3Client":
    """`connect`. Raises the named error for an unusable address."""
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
