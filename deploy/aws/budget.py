"""The month's budget, by mail before it is used up.

Add a limit of costs here; alarms of what runs belong to `alarms`.
"""

from aws_cdk import aws_budgets as budgets
from constructs import Construct

from deploy.aws.deployment import Deployment

PROJECT_TAG, PROJECT = "project", "polygon-assets"
"""Every resource has this tag. A person activates it once as a cost allocation tag: until then the
budget counts nothing."""
ACTUAL_PERCENT, FORECAST_PERCENT = 80, 100


class Budget(Construct):
    """A mail when the costs reach 80 % of the budget, and when the forecast exceeds it."""

    def __init__(self, scope: Construct, name: str, deployment: Deployment) -> None:
        super().__init__(scope, name)
        budgets.CfnBudget(
            self,
            "Month",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_name=PROJECT,
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(
                    amount=deployment.budget_usd_per_month, unit="USD"
                ),
                cost_filters={"TagKeyValue": [f"user:{PROJECT_TAG}${PROJECT}"]},
            ),
            notifications_with_subscribers=[
                _mail("ACTUAL", ACTUAL_PERCENT, deployment.alarm_email),
                _mail("FORECASTED", FORECAST_PERCENT, deployment.alarm_email),
            ],
        )


def _mail(
    kind: str, percent: int, address: str
) -> budgets.CfnBudget.NotificationWithSubscribersProperty:
    return budgets.CfnBudget.NotificationWithSubscribersProperty(
        notification=budgets.CfnBudget.NotificationProperty(
            notification_type=kind,
            comparison_operator="GREATER_THAN",
            threshold=percent,
            threshold_type="PERCENTAGE",
        ),
        subscribers=[
            budgets.CfnBudget.SubscriberProperty(subscription_type="EMAIL", address=address)
        ],
    )
