"""Buckets and image repositories, and the policy of the bucket with the subscriptions.

Add a bucket here; what a program may do with it belongs to `rights`.
"""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_s3 as s3
from constructs import Construct

from deploy.aws.exceptions import accept
from polygon_assets.settings import Settings

DAYS_UNTIL_COLD = 30
"""A rebuild or a dead letter of the last month is the usual reason to read the archive."""
DAYS_OF_OLD_CSVS = 400
"""As long as heartbeats and dead letters are kept (docs/versions.md)."""
DAYS_OF_RUN_LOGS = 30
IMAGES_KEPT = 20


class Storage(Construct):
    """The three buckets and the two image repositories. Buckets outlive the stack."""

    def __init__(self, scope: Construct, name: str, settings: Settings) -> None:
        super().__init__(scope, name)
        self.subscriptions = _bucket(
            self,
            "Subscriptions",
            s3.LifecycleRule(
                id="old-versions",
                noncurrent_version_expiration=Duration.days(DAYS_OF_OLD_CSVS),
                abort_incomplete_multipart_upload_after=Duration.days(1),
            ),
        )
        self.archive = _bucket(
            self,
            "Archive",
            s3.LifecycleRule(
                id="cold",
                prefix=settings.archive_prefix,
                transitions=[
                    s3.Transition(
                        storage_class=s3.StorageClass.GLACIER_INSTANT_RETRIEVAL,
                        transition_after=Duration.days(DAYS_UNTIL_COLD),
                    )
                ],
                abort_incomplete_multipart_upload_after=Duration.days(1),
            ),
        )
        self.run_logs = _bucket(
            self,
            "RunLogs",
            s3.LifecycleRule(
                id="expire",
                expiration=Duration.days(DAYS_OF_RUN_LOGS),
                noncurrent_version_expiration=Duration.days(1),
                abort_incomplete_multipart_upload_after=Duration.days(1),
            ),
        )
        self.stream_images = _repository(self, "StreamImages", "polygon-assets-stream")
        self.dagster_images = _repository(self, "DagsterImages", "polygon-assets-dagster")


def _bucket(scope: Construct, name: str, rule: s3.LifecycleRule) -> s3.Bucket:
    """Versioned, private, encrypted; its policy refuses requests without TLS."""
    bucket = s3.Bucket(
        scope,
        name,
        versioned=True,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        encryption=s3.BucketEncryption.S3_MANAGED,
        enforce_ssl=True,
        minimum_tls_version=1.2,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        lifecycle_rules=[rule],
        removal_policy=RemovalPolicy.RETAIN,
    )
    accept(
        bucket,
        CKV_AWS_18="CloudTrail's data events say who read what; a log bucket would need one itself",
    )
    return bucket


def _repository(scope: Construct, name: str, repository_name: str) -> ecr.Repository:
    """Images that are scanned at the push and never overwritten."""
    repository = ecr.Repository(
        scope,
        name,
        repository_name=repository_name,
        image_scan_on_push=True,
        image_tag_mutability=ecr.TagMutability.IMMUTABLE,
        lifecycle_rules=[ecr.LifecycleRule(max_image_count=IMAGES_KEPT)],
        removal_policy=RemovalPolicy.RETAIN,
    )
    accept(
        repository,
        CKV_AWS_136="ECR encrypts with AES-256; an image contains no secret, and a key of our own "
        "costs more than the images",
    )
    return repository
