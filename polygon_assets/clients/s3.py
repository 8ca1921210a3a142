"""Connections to S3 or a server that speaks its protocol."""

from typing import TYPE_CHECKING

from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def connect(settings: Settings) -> "S3Client":
    """A boto3 S3 client; empty settings leave the choice to boto3 (roles, profiles)."""
    import boto3  # 0.7 s CPU: paid by those who read S3, not by every import of this package
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=settings.aws_endpoint_url_s3 or None,
        region_name=settings.aws_region,
        aws_access_key_id=settings.aws_access_key_id or None,
        aws_secret_access_key=settings.aws_secret_access_key.get_secret_value() or None,
        config=Config(
            connect_timeout=5,
            read_timeout=10,
            retries={"total_max_attempts": 3, "mode": "standard"},
        ),
    )
