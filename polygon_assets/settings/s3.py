"""S3: the login, the subscription CSV and the archive of raw events.

The login is also that of ECS, whose other variables belong to `runner`.
"""

from pydantic import Field, SecretStr

from polygon_assets.settings.group import NO_SECRET, SettingsGroup


class S3Settings(SettingsGroup):
    aws_endpoint_url_s3: str = Field(
        "", description="Empty for AWS; otherwise the address of an S3-compatible server."
    )
    aws_region: str = Field("us-east-1", description="Region of the bucket and of the ECS cluster.")
    aws_access_key_id: str = Field("", description="Empty if a role grants access (ECS, EC2).")
    aws_secret_access_key: SecretStr = Field(NO_SECRET, description="Secret of AWS_ACCESS_KEY_ID.")
    subscriptions_bucket: str = Field(
        "polygon-assets", description="Bucket of the subscription CSV."
    )
    subscriptions_key: str = Field(
        "subscriptions.csv",
        description="Key of the subscription CSV; the accepted set is published beside it.",
    )
    archive_bucket: str = Field(
        "", description="Bucket of the archive of raw events; empty for SUBSCRIPTIONS_BUCKET."
    )
    archive_prefix: str = Field(
        "archive/",
        pattern=r"^([^/].*/)?$",
        description="Start of the keys of the archive's objects; ends with a slash.",
    )
    archive_max_seconds: float = Field(
        300.0, gt=0, le=3600, description="Longest wait of a raw event before it is archived."
    )
    archive_max_bytes: int = Field(
        33_554_432,
        ge=1,
        description="Uncompressed bytes of raw events that are archived together; up to twice as "
        "many wait in memory.",
    )
