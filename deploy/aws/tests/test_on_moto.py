"""Both stacks are deployed on moto and driven there, as Dagster and the programs do it."""

import json
from typing import Any

import pytest

from deploy.aws.deployment import Deployment
from deploy.aws.services_stack import CLUSTER
from deploy.aws.tests.moto_account import LEFT_OUT, REGION, Account
from polygon_assets.clients import ecs, subscription_store
from polygon_assets.clients.ecs import service_name
from polygon_assets.messages import PROGRAMS
from polygon_assets.service_hours import scheduled_scaling
from polygon_assets.settings import Settings

Templates = dict[str, dict[str, Any]]


def settings_of(deployment: Deployment, **more: str) -> Settings:
    """The settings that a container of Dagster gets, as far as moto's account is concerned."""
    return deployment.settings.model_copy(
        update={"ecs_cluster": CLUSTER, "aws_region": REGION, **more}
    )


def test_both_stacks_are_complete(account: Account, templates: Templates) -> None:
    assert set(account.statuses.values()) == {"CREATE_COMPLETE"}
    for template in templates.values():
        created = {
            name
            for name, resource in template["Resources"].items()
            if resource["Type"] not in LEFT_OUT
        }
        assert created <= set(account.ids)


@pytest.mark.usefixtures("account")
def test_dagster_raises_a_service_to_two_and_sets_it_to_0(deployment: Deployment) -> None:
    settings = settings_of(deployment)
    cluster = ecs.connect(settings)
    producer = service_name(settings, "producer")
    assert cluster.service(producer).desired == 0
    cluster.scale(producer, 2)
    assert cluster.service(producer).desired == 2
    cluster.scale(producer, 0)
    assert cluster.service(producer).desired == 0


@pytest.mark.usefixtures("account")
def test_every_program_has_its_service_with_desired_count_0(deployment: Deployment) -> None:
    settings = settings_of(deployment)
    names = [service_name(settings, program) for program in PROGRAMS]
    assert [service.desired for service in ecs.connect(settings).services(names)] == [0] * 4


def test_a_service_takes_the_new_task_definition_of_another_image(account: Account) -> None:
    client = account.client("ecs")
    old = client.describe_task_definition(taskDefinition="polygon-assets-filter")["taskDefinition"]
    [container] = old["containerDefinitions"]
    new = client.register_task_definition(
        family=old["family"],
        containerDefinitions=[{**container, "image": "image:next"}],
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="512",
        memory="1024",
    )["taskDefinition"]["taskDefinitionArn"]
    service = client.update_service(
        cluster=CLUSTER, service="polygon-assets-filter", taskDefinition=new
    )["service"]
    assert service["taskDefinition"] == new
    assert new.endswith(f":{old['revision'] + 1}")


def test_a_stored_secret_is_read_by_the_name_in_the_task_definition(account: Account) -> None:
    secrets, client = account.client("secretsmanager"), account.client("ecs")
    secrets.put_secret_value(
        SecretId="polygon-assets/polygon", SecretString=json.dumps({"POLYGON_API_KEY": "a-key"})
    )
    definition = client.describe_task_definition(taskDefinition="polygon-assets-producer")
    [container] = definition["taskDefinition"]["containerDefinitions"]
    [reference] = [
        one["valueFrom"] for one in container["secrets"] if one["name"] == "POLYGON_API_KEY"
    ]
    arn, key = reference.removesuffix("::").rsplit(":", 1)
    value = secrets.get_secret_value(SecretId=arn)["SecretString"]
    assert json.loads(value)[key] == "a-key"


def test_no_secret_has_a_value_before_a_person_stores_one(account: Account) -> None:
    client = account.client("secretsmanager")
    secret = client.describe_secret(SecretId="polygon-assets/clickhouse")
    assert not secret.get("VersionIdsToStages")


def test_the_csv_is_uploaded_and_read_in_the_bucket_of_the_stack(
    account: Account, deployment: Deployment
) -> None:
    [bucket] = [name for name in account.bucket_policies if "storagesubscriptions" in name]
    store = subscription_store.connect(settings_of(deployment, subscriptions_bucket=bucket))
    store.write_csv("channel\nA.AAPL\n")
    assert store.read_csv().text == "channel\nA.AAPL\n"


def test_each_service_is_scaled_by_the_clock_in_new_york(
    account: Account, deployment: Deployment
) -> None:
    stored = account.client("application-autoscaling").describe_scheduled_actions(
        ServiceNamespace="ecs"
    )["ScheduledActions"]
    for program in PROGRAMS:
        most = deployment.sinks_at_most if program == "sink" else None
        copies = deployment.settings.copies(program)
        resource = f"service/{CLUSTER}/{service_name(deployment.settings, program)}"
        assert {
            (
                one["Schedule"],
                one["Timezone"],
                one["ScalableTargetAction"]["MinCapacity"],
                one["ScalableTargetAction"]["MaxCapacity"],
            )
            for one in stored
            if one["ResourceId"] == resource
        } == {
            (action.schedule, action.time_zone, action.min_tasks, action.max_tasks)
            for action in scheduled_scaling(copies, most)
        }
