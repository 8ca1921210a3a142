"""What each task may do in AWS: the least that its code calls.

Add a right here, at the program that needs it; the policy of the subscriptions' bucket stands here
too, because it says the same from the other side.
"""

from collections.abc import Mapping
from typing import Literal

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from deploy.aws.storage import Storage
from polygon_assets.clients.subscription_store import accepted_key, sets_folder
from polygon_assets.messages import ProgramName
from polygon_assets.settings import Settings
from polygon_assets.topics import RAW_TOPIC

TASKS = "ecs-tasks.amazonaws.com"
DagsterTask = Literal["webserver", "daemon", "code", "run"]
"""The webserver shows and cancels runs, the daemon launches them, the code server evaluates
sensors and schedules, a run executes its steps."""


class Roles(Construct):
    """The roles of the programs' tasks, of Dagster's and of the page's, which needs no right.

    Dagster's rights in ECS are added by `dagster_rights`.

    They are not created with the services, so that the policies of the buckets can name them.
    """

    def __init__(self, scope: Construct, name: str, storage: Storage, settings: Settings) -> None:
        super().__init__(scope, name)
        self._settings = settings
        self.programs: dict[ProgramName, iam.Role] = {
            "producer": self._role("Producer"),
            "filter": self._role("Filter"),
            "sink": self._role("Sink"),
            "archiver": self._role("Archiver"),
        }
        self.dagster: Mapping[DagsterTask, iam.Role] = {
            "webserver": self._role("Webserver"),
            "daemon": self._role("Daemon"),
            "code": self._role("Code"),
            "run": self._role("Run"),
        }
        self.page = self._role("Page")
        self._let_websocket_client_read(storage.subscriptions)
        self._let_read_accepted_set("filter", storage.subscriptions)
        self._let_archive(storage.archive)
        self._let_dagster_keep_logs(storage.run_logs)
        self._let_dagster_use_subscriptions(storage.subscriptions)
        self._let_runs_replay(storage.archive)

    def _role(self, name: str) -> iam.Role:
        return iam.Role(
            self,
            name,
            assumed_by=iam.ServicePrincipal(
                TASKS,
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            ),
            description=f"polygon_assets: tasks of {name.lower()}",
        )

    def _let_websocket_client_read(self, bucket: s3.Bucket) -> None:
        """The producer reads the CSV's key and the set in force, which is published beside it.

        The bucket's policy grants both, not a policy of the role: whoever looks at the bucket sees
        who reads it.
        """
        settings = self._settings
        bucket.add_to_resource_policy(
            iam.PolicyStatement(
                sid="WebSocketClientReadsSubscriptions",
                principals=[iam.ArnPrincipal(self.programs["producer"].role_arn)],
                actions=["s3:GetObject"],
                resources=[
                    bucket.arn_for_objects(settings.subscriptions_key),
                    bucket.arn_for_objects(accepted_key(settings.subscriptions_key)),
                ],
            )
        )

    def _let_read_accepted_set(self, program: ProgramName, bucket: s3.Bucket) -> None:
        self.programs[program].add_to_policy(
            iam.PolicyStatement(
                actions=["s3:GetObject"],
                resources=[bucket.arn_for_objects(accepted_key(self._settings.subscriptions_key))],
            )
        )

    def _let_archive(self, bucket: s3.Bucket) -> None:
        self.programs["archiver"].add_to_policy(
            iam.PolicyStatement(
                actions=["s3:PutObject"], resources=[bucket.arn_for_objects(self._archived)]
            )
        )

    @property
    def _archived(self) -> str:
        return f"{self._settings.archive_prefix}{RAW_TOPIC}/*"

    def _let_dagster_keep_logs(self, bucket: s3.Bucket) -> None:
        """The output of runs and ticks: the webserver shows it, the others write it too."""
        for task, role in self.dagster.items():
            writes = [] if task == "webserver" else ["s3:PutObject"]
            role.add_to_policy(
                _statement("s3:GetObject", *writes, resources=[bucket.arn_for_objects("*")])
            )
            _let_list(role, bucket)

    def _let_dagster_use_subscriptions(self, bucket: s3.Bucket) -> None:
        """Sensors notice a new CSV and read the published sets; a run publishes a set."""
        key = self._settings.subscriptions_key
        published = bucket.arn_for_objects(f"{sets_folder(key)}/*")
        for role in (self.dagster["code"], self.dagster["run"]):
            role.add_to_policy(
                _statement("s3:GetObject", resources=[bucket.arn_for_objects(key), published])
            )
            _let_list(role, bucket)
        self.dagster["run"].add_to_policy(_statement("s3:PutObject", resources=[published]))

    def _let_runs_replay(self, bucket: s3.Bucket) -> None:
        """A rebuild, which a person starts in a run's task, reads the archive."""
        run = self.dagster["run"]
        run.add_to_policy(
            _statement("s3:GetObject", resources=[bucket.arn_for_objects(self._archived)])
        )
        _let_list(run, bucket)


def _let_list(role: iam.Role, bucket: s3.Bucket) -> None:
    """Without this right S3 answers 403 for an object that does not exist, not 404."""
    role.add_to_policy(_statement("s3:ListBucket", resources=[bucket.bucket_arn]))


def _statement(*actions: str, resources: list[str]) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=list(actions), resources=resources)
