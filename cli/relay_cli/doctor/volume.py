"""Checks of posting: the switches, the gate, and whether the pace is enough for what comes; and of the archive."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING

from relay_cli.deployed import backups, gate, queues
from relay_cli.doctor.finding import ok, warning
from relay_cli.text import count, length, one_line

if TYPE_CHECKING:
    from relay_cli.doctor.deployment import Deployment
    from relay_cli.doctor.finding import Verdict

HOURS, MINUTES, HOUR_SECONDS = 24, 60, 3600

_EXPECTED = frozenset({"pace", "daily_cap", "hours", "rate_limited", "unavailable"})
"""Causes for which the gate closes in normal operation, and opens by itself."""


def posting(deployment: Deployment) -> Verdict:
    """Tell whether messages are posted."""
    if not deployment.posts:
        return ok("switched off (PostingEnabled=false)")
    if deployment.stack.parameters.get("DryRun") == "true":
        return warning(
            "a dry run: messages are taken, and nothing is posted",
            f"to post, deploy with DryRun=false: {deployment.invocation.make_deploy('DryRun=false')}",
        )
    return ok("switched on")


def fetching(deployment: Deployment) -> Verdict:
    """Tell whether backups are fetched."""
    return ok("switched on" if deployment.fetches else "switched off (BackupsEnabled=false)")


def gate_state(deployment: Deployment) -> Verdict:
    """Check that the ledger can be read, and that posting is allowed now."""
    state = gate.read(deployment.stack)
    explained = "see `Why the gate is closed` in docs/operating.md"
    if state.open and state.probe:
        return warning(f"open for one post, which is a trial, after: {one_line(state.probe)}", explained)
    if state.open:
        return ok("open")
    pause = state.pauses[0]
    resume = deployment.invocation.relay("resume")
    until = deployment.until(pause.until) if pause.until else f"until `{resume}`"
    text = f"closed {until}: {one_line(pause.reason)}"
    if pause.cause in _EXPECTED and not pause.advice:
        return ok(text)
    what_to_do = resume if pause.cause == "operator" else pause.advice
    return warning(text, what_to_do or explained)


def pace(deployment: Deployment) -> Verdict:
    """Compare what came yesterday, and what waits now, with what may be posted in a day."""
    stack = deployment.stack
    per_hour, per_day = int(stack.parameter("MaxPostsPerHour")), int(stack.parameter("MaxPostsPerDay"))
    open_hours = [minutes / MINUTES for minutes in gate.open_minutes(stack)]
    possible = max(1, int(sum(min(per_hour * each, per_day or math.inf) for each in open_hours) / len(open_hours)))
    came = _sent_yesterday(deployment)
    waiting = sum(queues.depth(stack, queue) for queue in ("Outbox", "Leftovers"))
    allowed = f"{possible:,} a day may be posted"
    if stack.parameters.get("PostingHours"):
        allowed += f" on average, within the {sum(open_hours):.4g} hours a week of PostingHours"
    if came > possible:
        return warning(
            f"{count(came, 'message')} came yesterday (UTC), and {allowed}",
            "raise MaxPostsPerHour or MaxPostsPerDay, or publish less: what waits for 13 days is given up",
        )
    if waiting > possible:
        return warning(
            f"{count(waiting, 'message')} {'wait' if waiting > 1 else 'waits'}, which takes "
            f"{length(waiting / possible * HOURS * HOUR_SECONDS)}: {allowed}",
            "raise MaxPostsPerHour or MaxPostsPerDay, or publish less",
        )
    return ok(f"{count(came, 'message')} came yesterday (UTC), {waiting:,} waiting now, and {allowed}")


def _sent_yesterday(deployment: Deployment) -> int:
    """Ask CloudWatch how many messages were sent to the Outbox between the last two midnights."""
    midnight = deployment.at.replace(hour=0, minute=0, second=0, microsecond=0)
    points = deployment.stack.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SQS",
        MetricName="NumberOfMessagesSent",
        Dimensions=[{"Name": "QueueName", "Value": deployment.stack.output("OutboxQueueName")}],
        StartTime=midnight - timedelta(days=1),
        EndTime=midnight,
        Period=HOUR_SECONDS,
        Statistics=["Sum"],
    )["Datapoints"]
    return int(sum(each["Sum"] for each in points))


def archive(deployment: Deployment) -> Verdict:
    """Check that the archive can be listed."""
    stack = deployment.stack
    bucket = stack.output("BackupBucketName")
    stack.client("s3").list_objects_v2(Bucket=bucket, Prefix="message/", MaxKeys=1)  # its error says what is missing
    newest = backups.newest(stack)
    days = ", ".join(f"{each} {day.isoformat() if day else 'none yet'}" for each, day in newest.items())
    return ok(f"newest backups: {days}")
