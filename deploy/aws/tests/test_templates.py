"""The templates agree with the code: variables, sizes, hours, stop times, exactly one daemon."""

import logging
import re
from collections.abc import Iterator
from typing import Any

import yaml
from aws_cdk.assertions import Match, Template
from pydantic import SecretStr

from deploy.aws.app import BASE, SERVICES
from deploy.aws.dagster_services import HOME, PARTS, WORKSPACE
from deploy.aws.deployment import Deployment
from deploy.aws.kafka import DISK_GB
from deploy.aws.sink_scaling import LOG_FIELDS
from deploy.aws.task_definitions import TMP
from deploy.aws.tests.conftest import AWS_FOLDER
from polygon_assets.clients.ecs import service_name
from polygon_assets.costs.quantities import quantities
from polygon_assets.messages import PROGRAMS, Heartbeat
from polygon_assets.required_settings import KAFKA_LOGIN, REQUIRED_SETTINGS
from polygon_assets.service_sizes import DAGSTER_SIZES, PAGE_SIZE, STREAM_SIZES
from polygon_assets.settings import NO_SECRET, Settings
from polygon_assets.streaming.heartbeat import summary

Templates = dict[str, dict[str, Any]]
DAGSTER_NAMES = {"webserver": "webserver", "daemon": "daemon", "code": "code server", "run": "runs"}
READ_BY_DAGSTER = {"DAGSTER_HOME", "AWS_DEFAULT_REGION"}
"""The first by Dagster, the second by boto3 in Dagster's classes; no file of ours names them."""


def properties(template: dict[str, Any], kind: str) -> Iterator[dict[str, Any]]:
    for resource in template["Resources"].values():
        if resource["Type"] == kind:
            yield resource["Properties"]


def containers(templates: Templates) -> dict[str, dict[str, Any]]:
    """By name, the one container of each task."""
    found = {}
    for definition in properties(templates[SERVICES], "AWS::ECS::TaskDefinition"):
        [container] = definition["ContainerDefinitions"]
        found[container["Name"]] = container
    return found


def variables(container: dict[str, Any]) -> set[str]:
    return {one["Name"] for one in (*container["Environment"], *container["Secrets"])}


def of_dagster_yaml() -> set[str]:
    """The variables that deploy/aws/dagster.yaml names."""
    return set(re.findall(r"env: (\w+)", (AWS_FOLDER / "dagster.yaml").read_text()))


def required(parts: tuple[str, ...]) -> set[str]:
    """The variables without which the parts cannot work and that have no default."""
    names = {name for part in parts for name in REQUIRED_SETTINGS[part]} | set(KAFKA_LOGIN)
    return {
        name.upper() for name in names if Settings.model_fields[name].default in ("", NO_SECRET)
    }


def test_every_variable_is_one_of_the_settings_or_of_dagsters_instance(
    templates: Templates,
) -> None:
    known = {name.upper() for name in Settings.model_fields} | READ_BY_DAGSTER | of_dagster_yaml()
    for name, container in containers(templates).items():
        assert variables(container) <= known, name


def test_every_required_variable_is_passed(templates: Templates) -> None:
    by_name = containers(templates)
    for program in PROGRAMS:
        assert required((program,)) <= variables(by_name[program])
    for name in ("code", "run"):
        assert required((*PARTS, "ecs")) <= variables(by_name[name]), name
    for name in DAGSTER_NAMES:
        assert of_dagster_yaml() | READ_BY_DAGSTER <= variables(by_name[name]), name


def test_the_webserver_and_the_daemon_get_only_what_dagsters_instance_reads(
    templates: Templates,
) -> None:
    by_name = containers(templates)
    for name in ("webserver", "daemon"):
        assert variables(by_name[name]) == READ_BY_DAGSTER | of_dagster_yaml()
        assert {one["Name"] for one in by_name[name]["Secrets"]} == {
            f"DAGSTER_POSTGRES_{part}" for part in ("HOST", "USERNAME", "PASSWORD", "DB")
        }


def test_a_run_names_the_definition_of_runs(templates: Templates) -> None:
    """Each process of Dagster creates the launcher, and a definition cannot name its own ARN."""
    [family] = [
        definition["Family"]
        for definition in properties(templates[SERVICES], "AWS::ECS::TaskDefinition")
        if definition["ContainerDefinitions"][0]["Name"] == "run"
    ]
    plain = {
        name: {one["Name"]: one["Value"] for one in container["Environment"]}
        for name, container in containers(templates).items()
    }
    assert plain["run"]["DAGSTER_RUN_TASK_DEFINITION"] == family
    for name in DAGSTER_NAMES.keys() - {"run"}:
        assert "Ref" in plain[name]["DAGSTER_RUN_TASK_DEFINITION"]


def test_no_secret_is_a_plain_variable(templates: Templates) -> None:
    secrets = {
        name.upper()
        for name, field in Settings.model_fields.items()
        if field.annotation is SecretStr
    }
    for container in containers(templates).values():
        assert not secrets & {one["Name"] for one in container["Environment"]}


def test_a_program_gets_only_the_secrets_that_it_needs(templates: Templates) -> None:
    by_name = containers(templates)
    kafka = {"KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"}
    assert {
        program: {one["Name"] for one in by_name[program]["Secrets"]} - kafka
        for program in PROGRAMS
    } == {
        "producer": {"POLYGON_API_KEY"},
        "filter": set(),
        "sink": {"CLICKHOUSE_PASSWORD"},
        "archiver": set(),
    }


def test_the_page_reads_with_logins_of_its_own_and_asks_for_a_password(
    templates: Templates,
) -> None:
    page = containers(templates)["page"]
    plain = {one["Name"]: one["Value"] for one in page["Environment"]}
    assert plain["CLICKHOUSE_USER"] == "polygon_reader"
    assert (plain["SNOWFLAKE_USER"], plain["SNOWFLAKE_ROLE"]) == (
        "POLYGON_DASHBOARDS",
        "POLYGON_READER",
    )
    assert {one["Name"] for one in page["Secrets"]} == {
        *("CLICKHOUSE_PASSWORD", "SNOWFLAKE_PRIVATE_KEY"),
        *("PAGE_PASSWORD", "PAGE_COOKIE_SECRET"),
    }
    others = [container for name, container in containers(templates).items() if name != "page"]
    own = {str(one["ValueFrom"]) for one in page["Secrets"]}
    assert not own & {str(one["ValueFrom"]) for other in others for one in other["Secrets"]}


def test_tasks_have_the_declared_sizes(templates: Templates) -> None:
    sizes = {
        **STREAM_SIZES,
        **{name: DAGSTER_SIZES[size] for name, size in DAGSTER_NAMES.items()},
        "page": PAGE_SIZE,
    }
    for definition in properties(templates[SERVICES], "AWS::ECS::TaskDefinition"):
        [container] = definition["ContainerDefinitions"]
        size = sizes.pop(container["Name"])
        assert (definition["Cpu"], definition["Memory"]) == (
            str(round(size.vcpu * 1024)),
            str(round(size.gb * 1024)),
        )
    assert not sizes


def test_programs_drain_before_ecs_kills_them(templates: Templates, deployment: Deployment) -> None:
    for program in PROGRAMS:
        container = containers(templates)[program]
        assert container["StopTimeout"] > deployment.settings.drain_seconds
        assert container["Command"] == ["stream", program]
        assert container["HealthCheck"]["Command"] == ["CMD", "polygon-assets", "health", program]


def test_every_root_is_read_only_but_where_ecs_exec_needs_to_write(templates: Templates) -> None:
    writable = {"webserver", "page"}
    for definition in properties(templates[SERVICES], "AWS::ECS::TaskDefinition"):
        [container] = definition["ContainerDefinitions"]
        assert container["ReadonlyRootFilesystem"] is (container["Name"] not in writable)
        mounts = [
            (one["ContainerPath"], one["SourceVolume"], one["ReadOnly"])
            for one in container.get("MountPoints", [])
        ]
        assert mounts == ([] if container["Name"] in writable else [("/tmp", "tmp", False)])
        assert [one["Name"] for one in definition.get("Volumes", [])] == [
            name for _, name, _ in mounts
        ]
    assert writable == {
        service["ServiceName"].rpartition("-")[2]
        for service in properties(templates[SERVICES], "AWS::ECS::Service")
        if service.get("EnableExecuteCommand")
    }


def test_what_dagster_writes_is_below_the_volume() -> None:
    instance = yaml.safe_load((AWS_FOLDER / "dagster.yaml").read_text())
    for part, name in (("compute_logs", "local_dir"), ("local_artifact_storage", "base_dir")):
        assert instance[part]["config"][name].startswith(f"{TMP}/")


def test_the_images_declare_the_volume_so_that_their_user_may_write_to_it() -> None:
    dockerfile = (AWS_FOLDER.parent / "Dockerfile").read_text()
    stages = {stage.split("\n", 1)[0]: stage for stage in dockerfile.split("\nFROM ")}
    for stage in ("program AS stream", "program AS dagster"):
        assert f'VOLUME ["{TMP}"]' in stages[stage].splitlines()


def test_stream_services_begin_with_0_tasks_and_never_exceed_their_copies(
    templates: Templates, deployment: Deployment
) -> None:
    template = Template.from_json(templates[SERVICES])
    for program in PROGRAMS:
        template.has_resource_properties(
            "AWS::ECS::Service",
            {
                "ServiceName": service_name(deployment.settings, program),
                "DesiredCount": 0,
                "DeploymentConfiguration": Match.object_like({"MaximumPercent": 100}),
            },
        )


def test_two_daemons_never_run_at_the_same_time(templates: Templates) -> None:
    Template.from_json(templates[SERVICES]).has_resource_properties(
        "AWS::ECS::Service",
        {
            "ServiceName": "polygon-assets-dagster-daemon",
            "DesiredCount": 1,
            "DeploymentConfiguration": Match.object_like(
                {"MinimumHealthyPercent": 0, "MaximumPercent": 100}
            ),
        },
    )


def test_buckets_are_private_versioned_and_survive_the_stack(templates: Templates) -> None:
    Template.from_json(templates[BASE]).all_resources(
        "AWS::S3::Bucket",
        {
            "DeletionPolicy": "Retain",
            "Properties": Match.object_like(
                {
                    "VersioningConfiguration": {"Status": "Enabled"},
                    "PublicAccessBlockConfiguration": {
                        "BlockPublicAcls": True,
                        "BlockPublicPolicy": True,
                        "IgnorePublicAcls": True,
                        "RestrictPublicBuckets": True,
                    },
                }
            ),
        },
    )


def test_every_log_group_has_an_end(templates: Templates) -> None:
    for template in templates.values():
        for group in properties(template, "AWS::Logs::LogGroup"):
            assert group["RetentionInDays"] == 30


def test_nothing_is_reachable_from_the_internet(templates: Templates) -> None:
    assert '"CidrIp": "0.0.0.0/0"' not in str(
        list(properties(templates[BASE], "AWS::EC2::SecurityGroupIngress"))
    ).replace("'", '"')
    for service in properties(templates[SERVICES], "AWS::ECS::Service"):
        network = service["NetworkConfiguration"]["AwsvpcConfiguration"]
        assert network["AssignPublicIp"] == "DISABLED"


def test_brokers_have_room_for_the_whole_market(deployment: Deployment) -> None:
    assert quantities(["A.*"], deployment.settings).kafka_stored_gb * 1.5 < DISK_GB


def test_the_metric_filter_finds_the_lag_in_a_sinks_line() -> None:
    beat = Heartbeat("sink", "host:1", "streaming", started_at=0, sent_at=0, counters={"rows": 5})
    beat.rate, beat.lag = 1_860.0, 57
    line = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s").format(
        logging.makeLogRecord({"name": "sink", "levelname": "INFO", "msg": summary(beat)})
    )
    words = dict(zip(LOG_FIELDS, line.split(), strict=False))
    assert words["program=sink"] == "sink"
    assert words["word=lag"] == "lag"
    assert float(words["lag"]) == 57


def test_workspace_names_the_code_server(templates: Templates) -> None:
    [location] = yaml.safe_load((AWS_FOLDER / "workspace.yaml").read_text())["load_from"]
    host, _, namespace = location["grpc_server"]["host"].partition(".")
    [service] = properties(templates[SERVICES], "AWS::ServiceDiscovery::Service")
    [names] = properties(templates[SERVICES], "AWS::ServiceDiscovery::PrivateDnsNamespace")
    assert (service["Name"], names["Name"]) == (host, namespace)
    assert (
        f"--port={location['grpc_server']['port']}" in containers(templates)["code"]["EntryPoint"]
    )


def test_the_image_has_dagsters_files_where_dagster_home_is() -> None:
    root = AWS_FOLDER.parents[1]
    lines = (root / "deploy" / "Dockerfile").read_text().splitlines()
    # The stages of the tools have an own folder; the image's is the last one.
    *_, workdir = (line.split()[1] for line in lines if line.startswith("WORKDIR"))
    [copied] = [line.split()[1:] for line in lines if line.startswith("COPY deploy/aws/")]
    folder = copied.pop()
    assert f"{workdir}/{folder}" == f"{HOME}/"
    assert set(copied) == {f"{folder}dagster.yaml", WORKSPACE}
    in_context = {f"!{file}" for file in copied}
    assert in_context <= set((root / ".dockerignore").read_text().splitlines())
