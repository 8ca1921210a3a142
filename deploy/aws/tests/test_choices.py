"""Other choices than the example's change what they name; costs and scaling keep their limits."""

from typing import Any

import pytest
import yaml

from deploy.aws.app import BASE, SERVICES
from deploy.aws.budget import PROJECT, PROJECT_TAG
from deploy.aws.dagster_services import NAMESPACE
from deploy.aws.deployment import Deployment
from deploy.aws.network import METRICS_PORT
from deploy.aws.sink_scaling import METRIC
from deploy.aws.tests.conftest import AWS_FOLDER, synthesised
from deploy.aws.tests.test_templates import Templates, containers, properties
from polygon_assets.inspection.probe import metrics_port
from polygon_assets.messages import PROGRAMS

CONFLUENT_PORT, CONNECT_PORT = 9092, 8083


SCRAPER = "sg-0123456789abcdef0"


@pytest.fixture(scope="module")
def others(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Templates:
    """Confluent Cloud with its Connect, three NAT gateways, one database, a scraper of metrics; no
    address for alerts, no page, no GitHub. And ten times the market's peak: more copies, and larger
    tasks."""
    connect = {"KAFKA_CONNECT_URL": "http://connect.example:8083", "KAFKA_CONNECT_USER": "a-key"}
    load = {
        "FILTER_COPIES": "3",
        "SINK_COPIES": "2",
        "ARCHIVER_COPIES": "2",
        "KAFKA_PARTITIONS": "12",
        "ECS_TASK_SIZES": "producer=1:2;archiver=1:2",
    }
    choices = {
        "environment": {**deployment.environment, **connect, **load},
        "metrics_security_group": SCRAPER,
        "kafka": "confluent",
        "nat_gateways": 3,
        "database_standby": False,
        "alert_webhook": False,
        "page": False,
        "sinks_at_most": 12,
        "github_repository": "",
    }
    # Not model_copy, which would keep the settings of the former environment.
    other = Deployment.model_validate({**deployment.model_dump(), **choices})
    return synthesised(other, tmp_path_factory.mktemp("cdk"))


def kinds(template: dict[str, Any]) -> set[str]:
    return {resource["Type"] for resource in template["Resources"].values()}


def test_confluent_needs_no_brokers_here(others: Templates, templates: Templates) -> None:
    assert "AWS::MSK::Cluster" in kinds(templates[BASE])
    assert not {kind for kind in kinds(others[BASE]) if kind.startswith("AWS::MSK::")}


def test_github_has_no_role_without_its_repository(others: Templates, templates: Templates) -> None:
    def github(template: Templates) -> set[str]:
        return {name for name in template[BASE]["Resources"] if name.startswith("Github")}

    assert github(templates)
    assert not github(others)


def test_the_page_may_be_left_out(others: Templates, templates: Templates) -> None:
    assert set(containers(templates)) - set(containers(others)) == {"page"}


def test_copies_and_sizes_follow_the_variables(others: Templates, templates: Templates) -> None:
    def in_session(template: Templates) -> dict[str, tuple[int, int]]:
        """By program, the least and the most tasks from the open to the close."""
        found = dict[str, tuple[int, int]]()
        for target in properties(template[SERVICES], "AWS::ApplicationAutoScaling::ScalableTarget"):
            [action] = [
                one["ScalableTargetAction"]
                for one in target["ScheduledActions"]
                if one["ScalableTargetAction"]["MaxCapacity"]
            ]
            program = next(
                name for name in PROGRAMS if name.capitalize() in str(target["ResourceId"])
            )
            found[program] = (action["MinCapacity"], action["MaxCapacity"])
        return found

    def vcpu(template: Templates) -> dict[str, float]:
        return {
            definition["ContainerDefinitions"][0]["Name"]: int(definition["Cpu"]) / 1024
            for definition in properties(template[SERVICES], "AWS::ECS::TaskDefinition")
        }

    assert in_session(templates) == {
        "producer": (2, 2), "filter": (1, 1), "sink": (1, 3), "archiver": (1, 1)
    }  # fmt: skip
    assert in_session(others) == {
        "producer": (2, 2), "filter": (3, 3), "sink": (2, 12), "archiver": (2, 2)
    }  # fmt: skip
    changed = {name: cpu for name, cpu in vcpu(others).items() if cpu != vcpu(templates)[name]}
    assert changed == {"producer": 1.0, "archiver": 1.0}
    by_name = containers(others)
    for name in by_name.keys() - {"webserver", "daemon"}:
        plain = {one["Name"]: one["Value"] for one in by_name[name]["Environment"]}
        assert (plain["KAFKA_PARTITIONS"], plain["FILTER_COPIES"]) == ("12", "3")


def test_programs_log_in_to_confluent_and_reach_its_port(others: Templates) -> None:
    by_name = containers(others)
    for name in by_name.keys() - {"webserver", "daemon"}:
        container = by_name[name]
        plain = {one["Name"]: one["Value"] for one in container["Environment"]}
        assert (plain["KAFKA_SECURITY_PROTOCOL"], plain["KAFKA_SASL_MECHANISM"]) == (
            "SASL_SSL",
            "PLAIN",
        )
    groups = list(properties(others[BASE], "AWS::EC2::SecurityGroup"))
    open_to_kafka = [
        group["GroupDescription"]
        for group in groups
        for rule in group.get("SecurityGroupEgress", [])
        if rule.get("FromPort") == CONFLUENT_PORT and rule.get("CidrIp") == "0.0.0.0/0"
    ]
    assert sorted(open_to_kafka) == [
        "polygon_assets: services and runs of Dagster",
        "polygon_assets: stream programs",
    ]
    names = [one.get("Name") for one in properties(others[BASE], "AWS::SecretsManager::Secret")]
    assert "polygon-assets/kafka" in names


def test_connect_has_a_secret_and_a_port_where_it_is_used(
    others: Templates, templates: Templates
) -> None:
    def seen(template: Templates) -> tuple[set[str], bool]:
        users = {
            name
            for name, container in containers(template).items()
            if "KAFKA_CONNECT_PASSWORD" in {one["Name"] for one in container["Secrets"]}
        }
        rules = [
            rule
            for group in properties(template[BASE], "AWS::EC2::SecurityGroup")
            for rule in group.get("SecurityGroupEgress", [])
        ]
        return users, CONNECT_PORT in {rule.get("FromPort") for rule in rules}

    assert seen(templates) == (set(), False)
    assert seen(others) == ({"code", "run"}, True)


def test_metrics_are_reached_by_name_from_one_security_group(
    others: Templates, templates: Templates, deployment: Deployment
) -> None:
    def names(template: Templates) -> set[str]:
        return {
            one["Name"] for one in properties(template[SERVICES], "AWS::ServiceDiscovery::Service")
        }

    assert names(templates) == {"code"}
    assert names(others) == {"code", *PROGRAMS}
    [rule] = [
        rule
        for rule in properties(others[BASE], "AWS::EC2::SecurityGroupIngress")
        if rule.get("SourceSecurityGroupId") == SCRAPER
    ]
    settings = deployment.settings.model_copy(update={"metrics_port": METRICS_PORT})
    ports = {program: metrics_port(settings, program) for program in PROGRAMS}
    assert set(range(rule["FromPort"], rule["ToPort"] + 1)) == set(ports.values())
    document = (AWS_FOLDER.parents[1] / "docs/metrics.md").read_text()
    for program, port in ports.items():
        assert f"names: [{program}.{NAMESPACE}], type: A, port: {port}," in document
    assert "NetworkPrograms" in str(rule["GroupId"])


def test_gateways_standby_and_webhook_follow_their_choices(
    others: Templates, templates: Templates
) -> None:
    def choices(template: Templates) -> tuple[int, bool, bool]:
        [database] = properties(template[BASE], "AWS::RDS::DBInstance")
        names = {one["Name"] for one in containers(template)["code"]["Secrets"]}
        gateways = list(properties(template[BASE], "AWS::EC2::NatGateway"))
        return len(gateways), database["MultiAZ"], "ALERT_WEBHOOK_URL" in names

    assert choices(templates) == (1, True, True)
    assert choices(others) == (3, False, False)


def test_every_cost_has_the_tag_that_the_budget_counts(templates: Templates) -> None:
    tag = {"Key": PROJECT_TAG, "Value": PROJECT}
    for kind in (
        "AWS::EC2::NatGateway",
        "AWS::RDS::DBInstance",
        "AWS::S3::Bucket",
        "AWS::ECR::Repository",
        "AWS::Logs::LogGroup",
        "AWS::SecretsManager::Secret",
        "AWS::ECS::Service",
        "AWS::ECS::TaskDefinition",
    ):
        found = [one for template in templates.values() for one in properties(template, kind)]
        assert found, kind
        assert all(tag in one["Tags"] for one in found), kind
    for cluster in properties(templates[BASE], "AWS::MSK::Cluster"):
        assert cluster["Tags"][PROJECT_TAG] == PROJECT
    # Fargate is charged by the task.
    for service in properties(templates[SERVICES], "AWS::ECS::Service"):
        assert service["PropagateTags"] == "SERVICE"
    launcher = yaml.safe_load((AWS_FOLDER / "dagster.yaml").read_text())["run_launcher"]
    assert launcher["config"]["run_task_kwargs"]["propagateTags"] == "TASK_DEFINITION"
    [budget] = properties(templates[BASE], "AWS::Budgets::Budget")
    assert budget["Budget"]["CostFilters"]["TagKeyValue"] == [f"user:{PROJECT_TAG}${PROJECT}"]


def test_only_the_sinks_scale_by_their_lag_and_never_without_a_sink(templates: Templates) -> None:
    policies = list(properties(templates[SERVICES], "AWS::ApplicationAutoScaling::ScalingPolicy"))
    assert policies
    assert all("Sink" in policy["ScalingTargetId"]["Ref"] for policy in policies)
    alarms = [
        one
        for one in properties(templates[SERVICES], "AWS::CloudWatch::Alarm")
        if METRIC in str(one)
    ]
    assert len(alarms) == len(policies)
    # Without a sink there is no lag, and an alarm without data must not raise the count from 0.
    assert {one.get("TreatMissingData", "missing") for one in alarms} == {"missing"}
