"""Checks of the alarms, and of whether anybody receives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay_cli.doctor.finding import broken, ok, warning
from relay_cli.text import count, one_line

if TYPE_CHECKING:
    from relay_cli.doctor.deployment import Deployment
    from relay_cli.doctor.finding import Verdict

_UNCONFIRMED = frozenset({"PendingConfirmation", "Deleted"})
"""What stands in place of a subscription's ARN while, or after, nobody has confirmed it:
https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html."""

_ANEW = "make them anew: switch the half off and on again, as docs/troubleshooting.md says"


def topic(deployment: Deployment) -> Verdict:
    """Check that somebody has subscribed to the alarms, and has confirmed it."""
    stack = deployment.stack
    topic, mail = stack.output("AlarmTopicArn"), stack.parameters.get("AlarmEmail", "")
    pages = stack.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
    found = [each for page in pages for each in page.get("Subscriptions", [])]
    confirmed = [each["Endpoint"] for each in found if each["SubscriptionArn"] not in _UNCONFIRMED]
    pending = [each["Endpoint"] for each in found if each["SubscriptionArn"] == "PendingConfirmation"]
    subscribe = deployment.aws(
        f"aws sns subscribe --topic-arn {topic} --protocol email --notification-endpoint YOUR_ADDRESS"
    )
    if mail and mail not in confirmed:
        if mail in pending:
            return warning(
                f"{one_line(mail)} has not confirmed the subscription, so that no alarm arrives there",
                "follow the link in AWS's mail (look into the spam folder); it is valid for three days",
            )
        return warning(
            f"{one_line(mail)} does not receive the alarms: the subscription was ended, or never confirmed",
            f"subscribe again: {subscribe}",
        )
    if not confirmed:
        return warning(
            "nobody receives the alarms" + (f": {count(len(pending), 'subscription')} unconfirmed" if pending else ""),
            f"deploy with AlarmEmail, or subscribe: {subscribe}",
        )
    return ok(f"they go to {one_line(', '.join(confirmed))}")


def alarms(deployment: Deployment) -> Verdict:
    """Check that all alarms are there and lead to the topic, and that none is raised."""
    stack, wanted = deployment.stack, deployment.alarms()
    if not wanted:
        return ok("none, as posting and backups are switched off")
    described = stack.client("cloudwatch").describe_alarms(AlarmNames=wanted)["MetricAlarms"]
    found = {each["AlarmName"]: each for each in described}
    if missing := [name for name in wanted if name not in found]:
        return broken(f"missing: {_names(missing)}", _ANEW)
    topic = stack.output("AlarmTopicArn")
    if astray := [name for name, each in found.items() if topic not in each["AlarmActions"]]:
        return broken(f"they do not lead to the alarms' topic: {_names(astray)}", _ANEW)
    if silent := [name for name, each in found.items() if not each["ActionsEnabled"]]:
        return warning(
            f"not announced to anybody: {_names(silent)}",
            deployment.aws(f"aws cloudwatch enable-alarm-actions --alarm-names {' '.join(silent)}"),
        )
    if raised := [name for name, each in found.items() if each["StateValue"] == "ALARM"]:
        return warning(f"raised now: {_names(raised)}", "see what they mean: the table of alarms in docs/operating.md")
    return ok(f"{count(len(found), 'alarm')}, none raised")


def _names(names: list[str]) -> str:
    return one_line(", ".join(names))
