"""Who may do what: the policies of both stacks, evaluated by AWS's rules."""

from collections.abc import Mapping

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID

from deploy.aws.app import SERVICES
from deploy.aws.deployment import Deployment
from deploy.aws.services_stack import CLUSTER
from deploy.aws.tests.moto_account import REGION, Account
from deploy.aws.tests.policy_evaluation import TLS, Request, is_allowed
from deploy.aws.tests.test_templates import Templates, properties
from polygon_assets.clients.ecs import service_name
from polygon_assets.clients.subscription_store import accepted_key
from polygon_assets.messages import PROGRAMS
from polygon_assets.topics import RAW_TOPIC

ANOTHER_ACCOUNT = "arn:aws:iam::999999999999:role/anyone"
PLAIN_HTTP = {"aws:SecureTransport": "false"}


class Asked:
    """The account, asked whether a role may do something."""

    def __init__(self, account: Account, deployment: Deployment) -> None:
        self._account = account
        self.csv = deployment.settings.subscriptions_key
        self.accepted = accepted_key(deployment.settings.subscriptions_key)

    def bucket(self, kind: str) -> str:
        [name] = [one for one in self._account.bucket_policies if f"storage{kind}" in one]
        return name

    def may(self, who: str, action: str, arn: str, **context: str) -> bool:
        return self._role_may(self._role(who), action, arn, context)

    def may_as(self, logical_id: str, action: str, arn: str, **context: str) -> bool:
        """Whether the role of the template may do it."""
        return self._role_may(self._account.ids[logical_id], action, arn, context)

    def secrets_key(self) -> str:
        [key] = [one for name, one in self._account.ids.items() if name.startswith("SecretsKey")]
        return f"arn:aws:kms:{REGION}:{DEFAULT_ACCOUNT_ID}:key/{key}"

    def _role_may(self, role: str, action: str, arn: str, context: Mapping[str, str]) -> bool:
        request = Request(self._arn(role), action, arn, {**TLS, **context})
        return is_allowed(request, self._account.role_statements(role), [])

    def actions(self, who: str) -> set[str]:
        """Every action that the policies of a role name."""
        named = [one["Action"] for one in self._account.role_statements(self._role(who))]
        return {action for one in named for action in ([one] if isinstance(one, str) else one)}

    def may_in_bucket(
        self, who: str, action: str, kind: str, key: str, context: dict[str, str] = TLS
    ) -> bool:
        """`who` is a program, `dagster`, or an ARN of somebody without a policy of their own."""
        bucket = self.bucket(kind)
        is_ours = not who.startswith("arn:")
        own = self._account.role_statements(self._role(who)) if is_ours else []
        principal = self._arn(self._role(who)) if is_ours else who
        request = Request(principal, action, f"arn:aws:s3:::{bucket}/{key}", context)
        return is_allowed(request, own, self._account.bucket_policies[bucket])

    def arn(self, start: str) -> str:
        """Of the role whose logical id starts so."""
        return self._arn(self._named(start))

    def _role(self, who: str) -> str:
        return self._named(f"Roles{who.capitalize()}")

    def _named(self, start: str) -> str:
        [role] = [
            physical
            for logical, physical in self._account.ids.items()
            if logical.startswith(start) and "Policy" not in logical
        ]
        return role

    def _arn(self, role: str) -> str:
        return str(self._account.client("iam").get_role(RoleName=role)["Role"]["Arn"])


@pytest.fixture
def asked(account: Account, deployment: Deployment) -> Asked:
    return Asked(account, deployment)


def test_the_websocket_client_reads_the_csv_and_the_set_in_force(asked: Asked) -> None:
    for key in (asked.csv, asked.accepted):
        assert asked.may_in_bucket("producer", "s3:GetObject", "subscriptions", key)


@pytest.mark.parametrize(
    ("who", "action", "key", "context"),
    [
        ("producer", "s3:GetObject", "subscriptions.csv.old", TLS),
        ("producer", "s3:GetObject", "subscriptions/versions/1.json", TLS),
        ("producer", "s3:PutObject", "subscriptions.csv", TLS),
        ("producer", "s3:GetObject", "subscriptions.csv", PLAIN_HTTP),
        ("producer", "s3:GetObject", "subscriptions.csv", {**TLS, "s3:TlsVersion": "1.1"}),
        ("sink", "s3:GetObject", "subscriptions.csv", TLS),
        ("filter", "s3:GetObject", "subscriptions.csv", TLS),
        (ANOTHER_ACCOUNT, "s3:GetObject", "subscriptions.csv", TLS),
    ],
)
def test_any_other_read_of_the_subscriptions_is_denied(
    asked: Asked, who: str, action: str, key: str, context: dict[str, str]
) -> None:
    assert not asked.may_in_bucket(who, action, "subscriptions", key, context)


def test_plain_http_is_denied_to_dagster_in_every_bucket(asked: Asked) -> None:
    for who in ("daemon", "code", "run"):
        assert asked.may_in_bucket(who, "s3:PutObject", "runlogs", "a")
        assert not asked.may_in_bucket(who, "s3:PutObject", "runlogs", "a", PLAIN_HTTP)
    assert not asked.may_in_bucket("archiver", "s3:PutObject", "archive", "a", PLAIN_HTTP)


def test_the_webserver_shows_logs_and_reaches_no_other_object(asked: Asked) -> None:
    assert asked.may_in_bucket("webserver", "s3:GetObject", "runlogs", "a")
    assert not asked.may_in_bucket("webserver", "s3:PutObject", "runlogs", "a")
    for who in ("webserver", "daemon"):
        for kind, key in (("subscriptions", asked.csv), ("archive", f"{RAW_TOPIC}/a")):
            assert not asked.may_in_bucket(who, "s3:GetObject", kind, key)


def test_the_archiver_writes_the_archive_and_nothing_else(
    asked: Asked, deployment: Deployment
) -> None:
    key = f"{deployment.settings.archive_prefix}{RAW_TOPIC}/date=2026-11-20/one.jsonl.zst"
    assert asked.may_in_bucket("archiver", "s3:PutObject", "archive", key)
    assert not asked.may_in_bucket("archiver", "s3:DeleteObject", "archive", key)
    assert not asked.may_in_bucket("archiver", "s3:PutObject", "archive", "another")
    assert not asked.may_in_bucket("archiver", "s3:PutObject", "subscriptions", asked.csv)


def test_ecs_decrypts_the_secrets_of_each_task_that_it_starts(
    asked: Asked, templates: Templates
) -> None:
    key = asked.secrets_key()
    by_secrets_manager = {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}
    definitions = list(properties(templates[SERVICES], "AWS::ECS::TaskDefinition"))
    assert definitions
    for definition in definitions:
        [role, _] = definition["ExecutionRoleArn"]["Fn::GetAtt"]
        assert asked.may_as(role, "kms:Decrypt", key, **by_secrets_manager)
        assert not asked.may_as(role, "kms:Decrypt", key)
        assert not asked.may_as(role, "kms:Decrypt", f"{key}0", **by_secrets_manager)


def test_the_page_has_only_the_rights_of_ecs_exec(asked: Asked) -> None:
    assert asked.actions("page") == {
        "logs:CreateLogStream",
        "logs:DescribeLogGroups",
        "logs:DescribeLogStreams",
        "logs:PutLogEvents",
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
    }
    for kind in ("subscriptions", "archive", "runlogs"):
        assert not asked.may_in_bucket("page", "s3:GetObject", kind, asked.csv)


PUBLISHED = "subscriptions/versions/20261120T000000Z-1.json"


def test_a_run_publishes_sets_which_sensors_read_and_none_writes_the_csv(asked: Asked) -> None:
    for key in (asked.accepted, PUBLISHED):
        assert asked.may_in_bucket("run", "s3:PutObject", "subscriptions", key)
        assert asked.may_in_bucket("code", "s3:GetObject", "subscriptions", key)
        assert not asked.may_in_bucket("code", "s3:PutObject", "subscriptions", key)
    for who in ("code", "run"):
        assert asked.may_in_bucket(who, "s3:GetObject", "subscriptions", asked.csv)
        assert not asked.may_in_bucket(who, "s3:PutObject", "subscriptions", asked.csv)


@pytest.fixture
def cluster(account: Account) -> str:
    [cluster] = account.client("ecs").describe_clusters(clusters=[CLUSTER])["clusters"]
    return str(cluster["clusterArn"])


def test_sensors_and_runs_scale_the_stream_services_and_no_other(
    asked: Asked, cluster: str, deployment: Deployment
) -> None:
    own = {"ecs:cluster": cluster}
    service = cluster.replace(":cluster/", ":service/")
    for who in ("code", "run"):
        for program in PROGRAMS:
            arn = f"{service}/{service_name(deployment.settings, program)}"
            for action in ("ecs:UpdateService", "ecs:DescribeServices"):
                assert asked.may(who, action, arn, **own), (who, action, arn)
        daemon = f"{service}/polygon-assets-dagster-daemon"
        assert not asked.may(who, "ecs:UpdateService", daemon, **own)
    producer = f"{service}/{service_name(deployment.settings, 'producer')}"
    for who in ("webserver", "daemon", "producer"):
        assert not asked.may(who, "ecs:UpdateService", producer, **own)


def test_only_the_daemon_starts_runs_and_passes_only_their_roles(
    asked: Asked, account: Account, cluster: str
) -> None:
    own = {"ecs:cluster": cluster}
    definition = account.client("ecs").describe_task_definition(taskDefinition="polygon-assets-run")
    run = definition["taskDefinition"]["taskDefinitionArn"]
    assert asked.may("daemon", "ecs:RunTask", run, **own)
    other = run.replace("-run:", "-daemon:")
    assert not asked.may("daemon", "ecs:RunTask", other, **own)
    elsewhere = f"arn:aws:ecs:{REGION}:123456789012:cluster/another"
    assert not asked.may("daemon", "ecs:RunTask", run, **{"ecs:cluster": elsewhere})
    to_ecs = {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
    for role in (asked.arn("RolesRun"), asked.arn("DagsterRunTaskExecutionRole")):
        assert asked.may("daemon", "iam:PassRole", role, **to_ecs)
        to_ec2 = {"iam:PassedToService": "ec2.amazonaws.com"}
        assert not asked.may("daemon", "iam:PassRole", role, **to_ec2)
    for role in (asked.arn("RolesCode"), "arn:aws:iam::123456789012:role/x"):
        assert not asked.may("daemon", "iam:PassRole", role, **to_ecs)
    for who in ("webserver", "code", "run"):
        assert not {"ecs:RunTask", "iam:PassRole"} & asked.actions(who)
        # Each creates the launcher.
        assert asked.may(who, "ecs:DescribeTaskDefinition", "*")


@pytest.mark.parametrize(
    ("who", "stops"),
    [
        ("webserver", {"run"}),
        ("daemon", {"run"}),
        ("code", set[str]()),
        ("run", set(PROGRAMS)),
        ("producer", set[str]()),
    ],
)
def test_each_stops_only_tasks_of_the_parts_that_it_supervises(
    asked: Asked, cluster: str, who: str, stops: set[str]
) -> None:
    task = f"{cluster.replace(':cluster/', ':task/')}/0123456789abcdef"
    parts = {*PROGRAMS, "run", "dagster-webserver", "dagster-daemon", "dagster-code", "page"}
    own = {"ecs:cluster": cluster}
    assert {
        part
        for part in parts
        if asked.may(who, "ecs:StopTask", task, **own, **{"aws:ResourceTag/part": part})
    } == stops
    assert not asked.may(who, "ecs:StopTask", task, **own)


def test_tasks_have_the_tag_by_which_they_may_be_stopped(templates: Templates) -> None:
    definitions = list(properties(templates[SERVICES], "AWS::ECS::TaskDefinition"))
    tagged = {
        definition["ContainerDefinitions"][0]["Name"]: tag["Value"]
        for definition in definitions
        for tag in definition["Tags"]
        if tag["Key"] == "part"
    }
    assert tagged["run"] == "run"
    services = list(properties(templates[SERVICES], "AWS::ECS::Service"))
    for program in PROGRAMS:
        [service] = [one for one in services if one["ServiceName"].endswith(f"-{program}")]
        assert {"Key": "part", "Value": program} in service["Tags"]
