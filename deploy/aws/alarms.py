"""CloudWatch's alarms: what Dagster itself cannot report, because it is away then.

Add an alarm here on a process of Dagster, the page, the database or the brokers; everything about
the data belongs to `polygon_assets.inspection.alert_rules`.
"""

from collections.abc import Mapping

from aws_cdk import Duration, Stack, aws_sns, aws_sns_subscriptions
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_rds as rds
from constructs import Construct

from deploy.aws.exceptions import accept

CLOUDWATCH = "cloudwatch.amazonaws.com"
GB = 1024**3
LEAST_DATABASE_GB = 3
MOST_BROKER_DISK_PERCENT = 80


class Alarms(Construct):
    """Each alarm sends a mail when it fires and when it is over."""

    def __init__(self, scope: Construct, name: str, address: str) -> None:
        super().__init__(scope, name)
        topic = aws_sns.Topic(self, "Topic", enforce_ssl=True)
        _let_cloudwatch_publish(topic)
        topic.add_subscription(aws_sns_subscriptions.EmailSubscription(address))
        accept(
            topic,
            CKV_AWS_26="CloudWatch may not use SNS's own key; an alarm's text is no secret",
        )
        self._action = actions.SnsAction(topic)

    def on_services(self, services: Mapping[str, ecs.FargateService]) -> None:
        """A service of one task that is away for ten minutes."""
        for name, service in services.items():
            self._alarm(
                f"{name.capitalize()}Away",
                f"the {name} of polygon_assets has had no running task for ten minutes",
                # ECS reports the CPU of each task each minute: without a task there is none.
                metric=service.metric_cpu_utilization(
                    statistic="SampleCount", period=Duration.minutes(5)
                ),
                comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
                threshold=1,
                missing=cloudwatch.TreatMissingData.BREACHING,
            )

    def on_database(self, database: rds.DatabaseInstance) -> None:
        self._alarm(
            "DatabaseFull",
            f"Dagster's database has less than {LEAST_DATABASE_GB} GB left, and does not grow",
            metric=database.metric_free_storage_space(period=Duration.minutes(5)),
            comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            threshold=LEAST_DATABASE_GB * GB,
            missing=cloudwatch.TreatMissingData.IGNORE,
        )

    def on_brokers(self, cluster_name: str, brokers: int) -> None:
        """The disk of each broker; nothing is deleted before its retention ends."""
        for number in range(1, brokers + 1):
            self._alarm(
                f"Broker{number}Full",
                f"broker {number} has used {MOST_BROKER_DISK_PERCENT} % of its disk: raise DISK_GB "
                "in deploy/aws/kafka.py",
                metric=cloudwatch.Metric(
                    namespace="AWS/Kafka",
                    metric_name="KafkaDataLogsDiskUsed",
                    dimensions_map={"Cluster Name": cluster_name, "Broker ID": str(number)},
                    statistic=cloudwatch.Stats.MAXIMUM,
                    period=Duration.minutes(5),
                ),
                comparison=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
                threshold=MOST_BROKER_DISK_PERCENT,
                missing=cloudwatch.TreatMissingData.IGNORE,
            )

    def _alarm(
        self,
        name: str,
        description: str,
        *,
        metric: cloudwatch.Metric,
        comparison: cloudwatch.ComparisonOperator,
        threshold: float,
        missing: cloudwatch.TreatMissingData,
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            name,
            alarm_description=description,
            metric=metric,
            comparison_operator=comparison,
            threshold=threshold,
            evaluation_periods=2,
            treat_missing_data=missing,
        )
        alarm.add_alarm_action(self._action)
        alarm.add_ok_action(self._action)


def _let_cloudwatch_publish(topic: aws_sns.Topic) -> None:
    """`enforce_ssl` gives the topic a policy, which replaces SNS's own: it must name CloudWatch."""
    account = Stack.of(topic).account
    topic.add_to_resource_policy(
        iam.PolicyStatement(
            sid="CloudWatchPublishesAlarms",
            principals=[iam.ServicePrincipal(CLOUDWATCH)],
            actions=["sns:Publish"],
            resources=[topic.topic_arn],
            conditions={"StringEquals": {"aws:SourceAccount": account}},
        )
    )
