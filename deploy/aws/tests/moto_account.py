"""An account on moto in which both stacks are deployed from their templates.

Add what moto's CloudFormation lacks here; what a test expects of the account belongs to the test.
moto's CloudFormation lacks some types of resources. Secrets and the scaling by the clock are
made through the services' own APIs instead, from the same properties, and bucket policies are kept
for `policy_evaluation`; the others are left out, so cfn-lint alone has seen them.
"""

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
from moto import mock_aws
from moto.core.models import DEFAULT_ACCOUNT_ID

REGION = "us-east-1"
LEFT_OUT = frozenset(
    {
        "AWS::ApplicationAutoScaling::ScalableTarget",
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        "AWS::Budgets::Budget",
        "AWS::CloudWatch::Alarm",
        "AWS::EC2::SecurityGroupEgress",
        "AWS::IAM::OIDCProvider",
        "AWS::Logs::MetricFilter",
        "AWS::MSK::BatchScramSecret",
        "AWS::MSK::Cluster",
        "AWS::MSK::Configuration",
        "AWS::S3::BucketPolicy",
        "AWS::SecretsManager::Secret",
        "AWS::SecretsManager::SecretTargetAttachment",
        "AWS::ServiceDiscovery::PrivateDnsNamespace",
        "AWS::ServiceDiscovery::Service",
        "AWS::SNS::Subscription",
        "AWS::SNS::TopicPolicy",
    }
)
REFUSED_PROPERTIES = {
    # moto 5.2.5 looks for TagKey, the name in KMS's own API.
    "AWS::KMS::Key": ("Tags",),
    # moto 5.2.5 takes the group itself for its name.
    "AWS::RDS::DBInstance": ("DBParameterGroupName",),
}

Template = dict[str, Any]


@dataclass
class Account:
    """What was deployed: by logical id, the physical id."""

    ids: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)
    bucket_policies: dict[str, list[Template]] = field(default_factory=dict)
    """By bucket, the statements; moto's S3 ignores conditions, so it would refuse every call."""

    def client(self, service: str) -> Any:
        make: Any = boto3.client
        return make(service, region_name=REGION)

    def deploy(self, stack: str, template: Template) -> None:
        """Create the stack, and what moto leaves out of it."""
        left_out = {
            name: resource
            for name, resource in template["Resources"].items()
            if resource["Type"] in LEFT_OUT
        }
        for name, resource in left_out.items():
            self.ids[name] = self._create(name, resource)
        ids = {name: self.ids[name] for name in left_out}
        cloudformation = self.client("cloudformation")
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # moto's word for a type that it lacks
            cloudformation.create_stack(
                StackName=stack,
                TemplateBody=json.dumps(_reduced(template, ids)),
                Capabilities=["CAPABILITY_NAMED_IAM"],
            )
        [described] = cloudformation.describe_stacks(StackName=stack)["Stacks"]
        self.statuses[stack] = described["StackStatus"]
        for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack):
            for summary in page["StackResourceSummaries"]:
                self.ids[summary["LogicalResourceId"]] = summary["PhysicalResourceId"]
        for resource in left_out.values():
            if resource["Type"] == "AWS::S3::BucketPolicy":
                policy = self._resolved(resource["Properties"])
                self.bucket_policies[policy["Bucket"]] = policy["PolicyDocument"]["Statement"]
            if resource["Type"] == "AWS::ApplicationAutoScaling::ScalableTarget":
                self._scale_by_the_clock(resource["Properties"])

    def _create(self, name: str, resource: Template) -> str:
        """Create a secret; nothing here needs a generated value. Returns what `Ref` stands for."""
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::SecretsManager::Secret":
            answer = self.client("secretsmanager").create_secret(Name=properties.get("Name", name))
            return str(answer["ARN"])
        if resource["Type"] == "AWS::SecretsManager::SecretTargetAttachment":
            return self.ids[properties["SecretId"]["Ref"]]
        return f"arn:aws:left-out:{REGION}:{DEFAULT_ACCOUNT_ID}:{name}"

    def role_statements(self, role: str) -> list[Template]:
        """The inline policies of a role, as moto resolved them."""
        iam = self.client("iam")
        return [
            statement
            for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]
            for statement in iam.get_role_policy(RoleName=role, PolicyName=policy)[
                "PolicyDocument"
            ]["Statement"]
        ]

    def _scale_by_the_clock(self, properties: Template) -> None:
        service = self._service_of(properties["ResourceId"])
        client = self.client("application-autoscaling")
        target = {
            "ServiceNamespace": properties["ServiceNamespace"],
            "ResourceId": service,
            "ScalableDimension": properties["ScalableDimension"],
        }
        limits = {key: properties[key] for key in ("MinCapacity", "MaxCapacity")}
        client.register_scalable_target(**target, **limits)
        for action in properties["ScheduledActions"]:
            client.put_scheduled_action(**target, **action)

    def _service_of(self, resource_id: Any) -> str:
        """`service/CLUSTER/NAME` of a Join of the cluster's reference and the service's name."""
        _, [start, cluster, middle, service] = resource_id["Fn::Join"]
        [name, attribute] = service["Fn::GetAtt"]
        assert attribute == "Name"
        return f"{start}{self.ids[cluster['Ref']]}{middle}{self.ids[name].rpartition('/')[2]}"

    def _resolved(self, part: Any) -> Any:
        """The part as CloudFormation resolves it once the resources exist."""
        if isinstance(part, list):
            return [self._resolved(item) for item in part]
        if not isinstance(part, dict):
            return part
        if "Ref" in part:
            return self.ids[part["Ref"]]
        if "Fn::GetAtt" in part:
            return self._arn(*part["Fn::GetAtt"])
        if "Fn::Join" in part:
            separator, items = part["Fn::Join"]
            return separator.join(self._resolved(items))
        return {key: self._resolved(value) for key, value in part.items()}

    def _arn(self, name: str, attribute: str) -> str:
        assert attribute == "Arn", f"{name}.{attribute}"
        if "Role" in name:
            return str(self.client("iam").get_role(RoleName=self.ids[name])["Role"]["Arn"])
        return f"arn:aws:s3:::{self.ids[name]}"


def _reduced(template: Template, left_out: Mapping[str, str]) -> Template:
    """The template without what moto refuses; references to it are written out."""
    resources = {
        name: {
            **{key: value for key, value in resource.items() if key != "DependsOn"},
            "Properties": {
                key: value
                for key, value in resource.get("Properties", {}).items()
                if key not in REFUSED_PROPERTIES.get(resource["Type"], ())
            },
        }
        for name, resource in template["Resources"].items()
        if name not in left_out
    }
    reduced: Template = _written_out({**template, "Resources": resources}, left_out)
    return reduced


def _written_out(part: Any, ids: Mapping[str, str]) -> Any:
    """The part with ids in place of references and attributes of what is left out."""
    if isinstance(part, list):
        return [_written_out(item, ids) for item in part]
    if not isinstance(part, dict):
        return part
    referred = part.get("Ref") or part.get("Fn::GetAtt", [""])[0]
    if len(part) == 1 and referred in ids:
        return ids[referred]
    return {key: _written_out(value, ids) for key, value in part.items()}


@contextmanager
def deployed(templates: dict[str, Template]) -> Iterator[Account]:
    """The stacks, in the order of the templates."""
    with mock_aws():
        account = Account()
        # The version of `cdk bootstrap`, which each template asks for.
        account.client("ssm").put_parameter(
            Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String"
        )
        for stack, template in templates.items():
            account.deploy(stack, template)
        yield account
