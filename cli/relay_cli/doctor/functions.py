"""Checks of the functions, of their logs, and of what invokes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from relay_cli.deployed import error_log
from relay_cli.doctor.finding import broken, ok, warning
from relay_cli.text import count, one_line

if TYPE_CHECKING:
    from relay_cli.doctor.deployment import Deployment
    from relay_cli.doctor.finding import Verdict

ERRORS_SINCE = timedelta(hours=24)
"""How far back a function's log is searched for errors."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the template.

    Attributes:
        name: Its logical id, without ``Function``.
        concurrency: How many of it may run at a time.
    """

    name: str
    concurrency: int


POST, DRAIN, FETCH = Function("PostMessages", 2), Function("DrainLeftovers", 1), Function("FetchBackups", 6)
RECEIVE = Function("ReceiveAlerts", 10)
"""As many run at a time as the webhook's requests need; an alert takes some 35 ms, and a cold start a second."""
NOTIFY = Function("SendNotices", 2)
"""Alarms and rejected posts come in a burst at times; Lambda keeps what must wait."""

_HALVES = {POST.name: "Posting", DRAIN.name: "Posting", FETCH.name: "Backups"}


def state(deployment: Deployment, function: Function) -> Verdict:
    """Check that a function is complete, and may run.

    https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html has its states; one that was idle becomes active
    by itself.
    """
    stack = deployment.stack
    name = stack.output(f"{function.name}FunctionName")
    found = stack.client("lambda").get_function_configuration(FunctionName=name)
    if why := _failure(found):
        more = deployment.aws(f"aws lambda get-function-configuration --function-name {name}")
        return broken(why, f"read more: {more}; then deploy again")
    reserved = stack.client("lambda").get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
    delete = deployment.aws(f"aws lambda delete-function-concurrency --function-name {name}")
    remove = f"remove the limit: {delete}"
    if reserved == 0:
        return broken("its reserved concurrency is 0, so that it never runs", remove)
    if reserved is not None and reserved < function.concurrency:
        return warning(
            f"its reserved concurrency is {reserved}, and up to {function.concurrency} of it run at a time: what is "
            "throttled counts as received, and moves to the next queue too early",
            remove,
        )
    if found.get("State") == "Pending" or found.get("LastUpdateStatus") == "InProgress":
        return warning("AWS is still making it ready", "wait a minute, and check again")
    return ok(f"it can run ({one_line(found.get('Runtime', 'unknown runtime'))})")


def _failure(found: dict[str, Any]) -> str:
    """Say why a function cannot run as it was deployed; empty if it can."""
    if found.get("State") == "Failed":
        return f"AWS cannot run it: {one_line(found.get('StateReason', 'no reason given'))}"
    if found.get("LastUpdateStatus") == "Failed":
        why = one_line(found.get("LastUpdateStatusReason", "no reason given"))
        return f"its last update failed, and what was there before runs: {why}"
    if not found.get("Layers"):
        return "its layer, which has the relay's code, is not attached"
    return ""


def errors(deployment: Deployment, function: Function) -> Verdict:
    """Look for errors in a function's log."""
    found = error_log.read(deployment.stack, deployment.resource(f"{function.name}Logs"), deployment.at - ERRORS_SINCE)
    if not found:
        return ok("no error in its log of the last 24 hours")
    last = found[-1]
    return warning(
        f"{count(len(found), 'error')} in its log of the last 24 hours, the last one {deployment.moment(last.at)}: "
        f"{one_line(_words(last.fields))}",
        "read its log: "
        + deployment.aws(
            f"sam logs --stack-name {deployment.stack.name} -n {function.name}Function --start-time '24hours ago'"
        ),
    )


def _words(fields: dict[str, Any]) -> str:
    """Say what went wrong: what the functions log, what Lambda logs of them, and Lambda's report of a run."""
    if isinstance(record := fields.get("record"), dict):
        why = f" ({record['errorType']})" if record.get("errorType") else ""
        return f"a run ended with {record.get('status')}{why}"
    message = str(fields.get("message") or fields.get("errorMessage") or "an error without words")
    trace = str(fields.get("exception") or "").strip().splitlines()
    kind = trace[-1] if trace else str(fields.get("errorType") or "")
    return f"{message} ({kind})" if kind and kind not in message else message


def trigger(deployment: Deployment, logical_id: str, function: Function, queue: str) -> Verdict:
    """Check that a queue invokes its function.

    https://docs.aws.amazon.com/lambda/latest/api/API_GetEventSourceMapping.html has the states.
    """
    stack = deployment.stack
    uuid = deployment.resource(logical_id)
    found = stack.client("lambda").get_event_source_mapping(UUID=uuid)
    status, result = found.get("State", "unknown"), str(found.get("LastProcessingResult", ""))
    update = f"aws lambda update-event-source-mapping --uuid {uuid}"
    if status in {"Disabled", "Disabling"}:
        return broken(
            f"it is disabled, so that nothing takes messages from {queue}", deployment.aws(f"{update} --enabled")
        )
    leads_from, leads_to = found.get("EventSourceArn"), found.get("FunctionArn", "")
    if leads_from != stack.output(f"{queue}QueueArn") or not _is_function(deployment, leads_to, function):
        return broken(
            f"it leads from {one_line(str(leads_from))} to {one_line(leads_to)}, not from {queue} to {function.name}",
            _redeploy(deployment, function),
        )
    if "ReportBatchItemFailures" not in found.get("FunctionResponseTypes", []):
        return broken(
            "it does not report failed messages one by one, so that SQS deletes those that were not posted",
            deployment.aws(f"{update} --function-response-types ReportBatchItemFailures"),
        )
    if status != "Enabled":
        return warning(f"its state is {one_line(status)}", "wait a minute, and check again")
    if result.startswith("PROBLEM"):
        return warning(f"Lambda has a problem with it: {one_line(result)}", "check the function's role and the queue")
    return ok(f"{queue} invokes {function.name}")


def schedule(deployment: Deployment, logical_id: str, function: Function) -> Verdict:
    """Check that a schedule invokes its function.

    https://docs.aws.amazon.com/scheduler/latest/APIReference/API_GetSchedule.html has the states.
    """
    name = deployment.resource(logical_id)
    found = deployment.stack.client("scheduler").get_schedule(Name=name)
    if found.get("State") != "ENABLED":
        return broken(
            f"the schedule {one_line(name)} is disabled, so that {function.name} does not run",
            "enable it in the EventBridge Scheduler's console",
        )
    target = found.get("Target", {}).get("Arn", "")
    if not _is_function(deployment, target, function):
        return broken(
            f"the schedule {one_line(name)} invokes {one_line(target)}, not {function.name}",
            _redeploy(deployment, function),
        )
    return ok(f"{one_line(found.get('ScheduleExpression', ''))} invokes {function.name}")


def _is_function(deployment: Deployment, arn: str, function: Function) -> bool:
    return arn.rpartition(":function:")[2] == deployment.stack.output(f"{function.name}FunctionName")


def _redeploy(deployment: Deployment, function: Function) -> str:
    """Say how CloudFormation makes what belongs to a function anew: an unchanged resource is left as it is."""
    switch = f"{_HALVES[function.name]}Enabled"
    return f"make it anew: {deployment.invocation.make_deploy(f'{switch}=false')}, then the same with true"
