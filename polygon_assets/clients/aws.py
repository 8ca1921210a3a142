"""Connections to services of AWS, or to servers with their protocols: one way for all of them.

Add a client option here; the calls of a service belong to its module, such as `s3` and `ecs`.
dagster-aws's S3Resource sets no timeouts, and its import costs 1.1 s of CPU time (0.29.27); its run
launcher and its compute logs are in deploy/aws/dagster.yaml.
"""

from typing import Any, Literal

from polygon_assets.settings import Settings


def connect(settings: Settings, service: Literal["ecs", "s3"], endpoint_url: str) -> Any:
    """A boto3 client; with empty settings boto3 finds address and credentials (roles, profiles).

    Raises ValueError for an unusable address.
    """
    import boto3  # 0.7 s CPU, which only users of AWS pay, not every import of this package
    from botocore.config import Config

    return boto3.client(
        service,
        endpoint_url=endpoint_url or None,
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
