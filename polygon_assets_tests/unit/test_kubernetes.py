"""deploy/kubernetes and dagster_cloud.yaml are valid, hardened and agree with the code.

No test here needs a cluster: objects are checked with Kubernetes' own JSON schemas, the runs' Jobs
as dagster-k8s writes them.
"""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from dagster._config import process_config, resolve_to_config_type
from dagster_k8s import K8sRunLauncher
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import DagsterK8sJobConfig, construct_dagster_k8s_job
from kubernetes import client
from pydantic import SecretStr

from polygon_assets.defs.stream.jobs import grace_seconds
from polygon_assets.inspection.probe import metrics_port
from polygon_assets.messages import PROGRAMS
from polygon_assets.provisioning.clickhouse.declaration import READER
from polygon_assets.provisioning.snowflake.declaration import declare
from polygon_assets.service_sizes import DAGSTER_SIZES, PAGE_SIZE, STREAM_SIZES, Size
from polygon_assets.settings import Settings
from polygon_assets.settings.page import PAGE_PORT
from polygon_assets.topics import READERS

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "deploy" / "kubernetes"
STREAMS, PAGE, MIGRATE, VALUES = (
    yaml.safe_load((FOLDER / name).read_text())
    for name in ("streams.yaml", "page.yaml", "migrate.yaml", "values.yaml")
)
OBJECTS = {
    f"{item['kind']} {item['metadata']['name']}": item
    for item in (*STREAMS["items"], *PAGE["items"])
}
PODS = {
    name: item["spec"]["template"]["spec"]
    for name, item in {**OBJECTS, "Job migrate": MIGRATE}.items()
    if "template" in item.get("spec", {})
}
CODE = VALUES["dagster-user-deployments"]["deployments"][0]
[LOCATION] = yaml.safe_load((PROJECT / "dagster_cloud.yaml").read_text())["locations"]
VERSION = "1.33"
USER = 10001
WRITABLE = [{"name": "tmp", "mountPath": "/tmp"}]


def validate(item: dict[str, Any]) -> None:
    kubernetes_validate.validate(item, VERSION, strict=True)


def assert_hardened(pod: dict[str, Any], secret: str = "polygon-assets") -> None:
    """No rights, a numeric user, nothing to write but /tmp, and limits of size."""
    [container] = pod["containers"]
    security = pod.get("securityContext", {}) | container["securityContext"]
    assert (security["runAsNonRoot"], security["runAsUser"]) == (True, USER)
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["volumeMounts"] == WRITABLE
    assert [volume["name"] for volume in pod["volumes"]] == ["tmp"]
    assert set(container["resources"]) == {"requests", "limits"}
    secrets = [source for source in container["envFrom"] if "secretRef" in source]
    assert secrets == [{"secretRef": {"name": secret}}]
    for variable in container.get("env", ()):
        is_reference = "valueFrom" in variable
        value = getattr(Settings(), variable["name"].lower(), "")
        assert is_reference or not isinstance(value, SecretStr)


def snake_case(value: Any) -> Any:
    """The chart's keys as Dagster's: purgeAfterDays is purge_after_days."""
    if isinstance(value, list):
        return [snake_case(item) for item in value]
    if not isinstance(value, dict) or "applyLimitPerUniqueValue" in value:
        return value
    return {
        re.sub("[A-Z]", lambda found: "_" + found[0].lower(), key): snake_case(item)
        for key, item in value.items()
    }


def run_pod(context: dict[str, Any], launcher: dict[str, Any]) -> dict[str, Any]:
    """The pod of a run, as dagster-k8s writes it from a code location's context."""
    merged = K8sContainerContext.create_from_config({"k8s": launcher}).merge(
        K8sContainerContext.create_from_config(context)
    )
    config = DagsterK8sJobConfig(
        job_image="polygon-assets-kubernetes:0.1.0",
        dagster_home="/opt/dagster/dagster_home",
        postgres_password_secret=VALUES["global"]["postgresqlSecretName"],
    )
    job = construct_dagster_k8s_job(
        config, ["dagster"], "run", user_defined_k8s_config=merged.run_k8s_config
    )
    written = client.ApiClient().sanitize_for_serialization(job)
    validate(written)
    pod: dict[str, Any] = written["spec"]["template"]["spec"]
    return pod


def size(container: dict[str, Any]) -> Size:
    limits = container["resources"]["limits"]
    assert container["resources"]["requests"] == limits
    vcpu = str(limits["cpu"])
    return Size(
        float(vcpu.removesuffix("m")) / (1000 if vcpu.endswith("m") else 1),
        float(limits["memory"].removesuffix("Gi")),
    )


@pytest.mark.parametrize("item", [*OBJECTS.values(), MIGRATE], ids=lambda item: item["kind"])
def test_every_object_is_valid(item: dict[str, Any]) -> None:
    validate(item)


@pytest.mark.parametrize("name", PODS)
def test_every_pod_has_no_rights_and_its_secrets_by_reference(name: str) -> None:
    is_page = name == "Deployment polygon-assets-page"
    assert_hardened(PODS[name], "polygon-assets-page" if is_page else "polygon-assets")
    assert PODS[name]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_is_probed_where_it_answers_and_has_time_to_drain(program: Any) -> None:
    pod = PODS[f"Deployment polygon-assets-{program}"]
    [container] = pod["containers"]
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    settings = Settings.model_validate({name.lower(): value for name, value in variables.items()})
    assert container["args"] == ["stream", program]
    assert {name.lower() for name in variables} <= set(Settings.model_fields)
    assert container["ports"] == [
        {"name": "metrics", "containerPort": metrics_port(settings, program)}
    ]
    paths = {
        probe: container[probe]["httpGet"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    alive, ready = ({"path": path, "port": "metrics"} for path in ("/healthz", "/readyz"))
    assert paths == {"startupProbe": alive, "livenessProbe": alive, "readinessProbe": ready}
    assert pod["terminationGracePeriodSeconds"] >= grace_seconds(settings, program)
    assert size(container) == STREAM_SIZES[program]


def test_the_page_reads_with_the_declared_logins_and_is_probed_without_its_password() -> None:
    [container] = PODS["Deployment polygon-assets-page"]["containers"]
    [reader] = [role for role in declare(Settings(), {}).roles if role.reads]
    assert {variable["name"]: variable["value"] for variable in container["env"]} == {
        "CLICKHOUSE_USER": READER,
        "SNOWFLAKE_USER": reader.user,
        "SNOWFLAKE_ROLE": reader.name,
    }
    assert container["args"] == ["page", "--host=0.0.0.0"]
    assert container["ports"] == [{"name": "page", "containerPort": PAGE_PORT}]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/liveness", "port": "page"}
    [port] = OBJECTS["Service polygon-assets-page"]["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (PAGE_PORT, "page")
    assert size(container) == PAGE_SIZE


def test_the_producer_has_a_standby_that_the_disruption_budget_keeps() -> None:
    producer = OBJECTS["Deployment polygon-assets-producer"]["spec"]
    copies = next(
        variable["value"]
        for variable in producer["template"]["spec"]["containers"][0]["env"]
        if variable["name"] == "PRODUCER_COPIES"
    )
    assert producer["replicas"] == int(copies) == 2
    budget = OBJECTS["PodDisruptionBudget polygon-assets-producer"]["spec"]
    assert budget == {"minAvailable": 1, "selector": producer["selector"]}
    assert {"name": "PRODUCER_COPIES", "value": copies} in CODE["env"]


def test_the_other_programs_have_as_many_pods_as_copies_by_default() -> None:
    for program in READERS:
        deployment = OBJECTS[f"Deployment polygon-assets-{program}"]["spec"]
        assert deployment["replicas"] == Settings().copies(program)


def test_dagster_has_the_limits_of_the_instance_on_a_single_machine() -> None:
    expected = yaml.safe_load((PROJECT / "dagster.yaml").read_text())
    daemon = VALUES["dagsterDaemon"]
    monitoring = snake_case(daemon["runMonitoring"])
    assert monitoring.pop("max_resume_run_attempts") == 0
    assert monitoring == expected["run_monitoring"]
    assert daemon["runRetries"] == expected["run_retries"]
    assert VALUES["telemetry"] == expected["telemetry"]
    retention = {part: snake_case(VALUES["retention"][part]) for part in ("schedule", "sensor")}
    assert retention == expected["retention"]
    limits = snake_case(VALUES["concurrency"])
    assert limits.pop("enabled") is True
    assert limits == expected["concurrency"]


def test_the_charts_containers_name_their_command_so_the_image_must_not() -> None:
    stages = (PROJECT / "deploy" / "Dockerfile").read_text().split("\nFROM ")
    assert stages[-1].split("\n", 1) == [
        "dagster AS kubernetes",
        'ENTRYPOINT ["tini", "-s", "--"]\n',
    ]
    images = [VALUES[part]["image"] for part in ("dagsterWebserver", "dagsterDaemon")]
    assert {image["repository"] for image in (*images, CODE["image"])} == {
        "polygon-assets-kubernetes"
    }
    assert LOCATION["build"]["registry"].endswith("/polygon-assets-kubernetes")


def test_both_ways_serve_the_projects_definitions() -> None:
    assert CODE["dagsterApiGrpcArgs"] == [
        *("--module-name", LOCATION["code_source"]["module_name"]),
        *("--location-name", LOCATION["location_name"]),
    ]
    assert LOCATION["code_source"] == {"module_name": "polygon_assets.definitions"}


def test_every_container_of_the_chart_is_hardened_and_has_its_size() -> None:
    parts = {
        "webserver": VALUES["dagsterWebserver"],
        "daemon": VALUES["dagsterDaemon"],
        "code server": CODE,
    }
    for name, part in parts.items():
        container = {
            "securityContext": part["securityContext"],
            "volumeMounts": part["volumeMounts"],
            "resources": part["resources"],
            "envFrom": [{"secretRef": secret} for secret in part["envSecrets"]],
            "env": part.get("env", []),
        }
        security = part["podSecurityContext"]
        assert_hardened(
            {"securityContext": security, "containers": [container], "volumes": part["volumes"]}
        )
        assert size(container) == DAGSTER_SIZES[name]


def test_a_run_of_the_chart_is_a_valid_and_hardened_pod() -> None:
    launcher = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    config = {
        "instance_config_map": "dagster-instance",
        "dagster_home": "/opt/dagster/dagster_home",
        "service_account_name": VALUES["global"]["serviceAccountName"],
        "image_pull_policy": launcher["imagePullPolicy"],
        "load_incluster_config": launcher["loadInclusterConfig"],
        "security_context": launcher["securityContext"],
        "run_k8s_config": {"job_spec_config": launcher["runK8sConfig"]["jobSpecConfig"]},
    }
    fields = K8sRunLauncher.config_type()  # type: ignore[no-untyped-call]
    found = process_config(resolve_to_config_type(fields), config)
    assert found.success, found.errors
    # What the chart hands over to runs (`includeConfigInLaunchedRuns`).
    context = {
        "env_config_maps": [item["name"] for item in CODE["envConfigMaps"]],
        "env_secrets": [item["name"] for item in CODE["envSecrets"]],
        "env": CODE["env"],
        "volumes": CODE["volumes"],
        "volume_mounts": CODE["volumeMounts"],
        "resources": CODE["resources"],
        "run_k8s_config": {"pod_spec_config": {"security_context": CODE["podSecurityContext"]}},
    }
    own = {name: config[name] for name in ("security_context", "run_k8s_config")}
    assert_hardened(run_pod({"k8s": context}, own))


def test_a_run_on_dagster_plus_is_a_valid_and_hardened_pod() -> None:
    assert_hardened(run_pod(LOCATION["container_context"], {}))
