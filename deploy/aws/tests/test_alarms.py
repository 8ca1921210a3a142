"""An alarm's mail: CloudWatch may publish to the topic that every alarm names, and nobody else may.

moto has no policies of topics, so the template's statements are evaluated here.
"""

from collections.abc import Mapping
from typing import Any

import pytest

from deploy.aws.alarms import CLOUDWATCH
from deploy.aws.app import BASE, SERVICES
from deploy.aws.sink_scaling import METRIC
from deploy.aws.tests.policy_evaluation import Request, is_allowed
from deploy.aws.tests.test_templates import Templates, properties

ACCOUNT = "123456789012"
TLS = {"aws:SecureTransport": "true", "aws:SourceAccount": ACCOUNT}


def topic_of_alarms(template: dict[str, Any]) -> str:
    [topic] = [
        name
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::SNS::Topic"
    ]
    return str(topic)


def may_publish(template: dict[str, Any], who: str, context: Mapping[str, str]) -> bool:
    topic = topic_of_alarms(template)
    [policy] = properties(template, "AWS::SNS::TopicPolicy")
    assert policy["Topics"] == [{"Ref": topic}]
    statements = [
        {**statement, "Resource": topic}
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Resource"] == {"Ref": topic}
    ]
    return is_allowed(Request(who, "sns:Publish", topic, context), [], statements)


def test_cloudwatch_publishes_this_accounts_alarms(templates: Templates) -> None:
    assert may_publish(templates[SERVICES], CLOUDWATCH, TLS)


@pytest.mark.parametrize(
    ("who", "context"),
    [
        (CLOUDWATCH, {**TLS, "aws:SourceAccount": "999999999999"}),
        (CLOUDWATCH, {**TLS, "aws:SecureTransport": "false"}),
        ("budgets.amazonaws.com", TLS),
        ("arn:aws:iam::999999999999:role/anyone", TLS),
    ],
)
def test_nobody_else_publishes(templates: Templates, who: str, context: dict[str, str]) -> None:
    assert not may_publish(templates[SERVICES], who, context)


def test_every_alarm_is_sent_to_the_topic_and_the_topic_to_the_address(
    templates: Templates,
) -> None:
    template = templates[SERVICES]
    topic = {"Ref": topic_of_alarms(template)}
    alarms = [
        one for one in properties(template, "AWS::CloudWatch::Alarm") if METRIC not in str(one)
    ]
    assert alarms
    for alarm in alarms:
        assert alarm["AlarmActions"] == alarm["OKActions"] == [topic]
    [subscription] = properties(template, "AWS::SNS::Subscription")
    assert (subscription["TopicArn"], subscription["Protocol"]) == (topic, "email")


def test_the_budget_mails_without_a_topic(templates: Templates) -> None:
    [budget] = properties(templates[BASE], "AWS::Budgets::Budget")
    kinds = {
        subscriber["SubscriptionType"]
        for notification in budget["NotificationsWithSubscribers"]
        for subscriber in notification["Subscribers"]
    }
    assert kinds == {"EMAIL"}
