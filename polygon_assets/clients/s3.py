"""Connections to S3, or to a server with its protocol.

Add a client option here; the objects of the subscriptions belong to `clients.subscription_store`.
"""

from typing import TYPE_CHECKING

from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


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
