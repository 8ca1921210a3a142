"""More sinks while many messages wait for one, read from the sinks' own log lines.

Add a step here; the limits of the count belong to `stream_services`. A policy must never raise the
count from 0: it would undo a person's cancel. Here it cannot for long, because without a sink
nobody logs a lag, and an alarm without data does not fire.
"""

from aws_cdk import Duration
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs
from constructs import Construct

from deploy.aws.stream_services import StreamService

LOG_FIELDS = ("day", "time", "level", "program=sink", "state", "rate", "word=lag", "lag", "...")
"""The start of `streaming.heartbeat.summary`'s line, which each sink logs every ten seconds; a test
compares."""
NAMESPACE, METRIC = "polygon-assets", "SinkLag"
MANY_MESSAGES = 200_000
"""A sink writes 100,000 rows a second; the whole market has 12,000 in its busiest second. So many
wait only after an outage, or where one sink is too slow."""
FEW_MESSAGES = 1_000


class SinkScaling(Construct):
    """One sink more each minute while one has many messages to read, one less when all have few."""

    def __init__(self, scope: Construct, name: str, sink: StreamService) -> None:
        super().__init__(scope, name)
        logs.MetricFilter(
            self,
            "Lag",
            log_group=sink.log_group,
            filter_pattern=logs.FilterPattern.literal(f"[{', '.join(LOG_FIELDS)}]"),
            metric_namespace=NAMESPACE,
            metric_name=METRIC,
            metric_value="$lag",
        )
        self.lag = cloudwatch.Metric(
            namespace=NAMESPACE,
            metric_name=METRIC,
            # Of the slowest sink: each logs the lag of its own partitions.
            statistic=cloudwatch.Stats.MAXIMUM,
            period=Duration.minutes(1),
        )
        sink.scaling.scale_on_metric(
            "OnLag",
            metric=self.lag,
            scaling_steps=[
                autoscaling.ScalingInterval(upper=FEW_MESSAGES, change=-1),
                autoscaling.ScalingInterval(lower=MANY_MESSAGES, change=1),
            ],
            adjustment_type=autoscaling.AdjustmentType.CHANGE_IN_CAPACITY,
            evaluation_periods=3,
            cooldown=Duration.minutes(2),
        )
