"""Checks of the queues: who may use them, where messages move, and what waits for an operator."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from relay_cli.deployed import queues
from relay_cli.doctor.finding import broken, ok, warning
from relay_cli.text import count, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay_cli.doctor.deployment import Deployment
    from relay_cli.doctor.finding import Verdict

REDRIVES = {"Outbox": ("Leftovers", 3), "Leftovers": ("DeadLetter", 200), "BackupRequests": ("BackupFailures", 50)}
"""Where messages of a queue move, and after how many receives, as in the template."""

_PUBLISHERS = frozenset({"sns.amazonaws.com", "events.amazonaws.com"})


def policies(deployment: Deployment, queue: str) -> Verdict:
    """Check that a queue's policy and its redrive policy are the template's."""
    stack = deployment.stack
    answer = stack.client("sqs").get_queue_attributes(
        QueueUrl=stack.output(f"{queue}QueueUrl"), AttributeNames=["Policy", "RedrivePolicy"]
    )
    attributes = answer.get("Attributes", {})  # without either, SQS leaves it out
    statements = _listed(json.loads(attributes.get("Policy") or "{}").get("Statement", []))
    named = stack.parameters.get("PublisherArns", "") if queue == "Outbox" else ""
    arns = {each.strip() for each in named.split(",") if each.strip()}
    allowed = [each for each in statements if each.get("Effect") == "Allow"]
    ours = [each for each in allowed if _publishers(each) and _publishers(each) <= arns]
    foreign = [each for each in allowed if each not in ours]
    if foreign:
        return broken(
            f"its policy lets others use it: {one_line(json.dumps(foreign[0]))}",
            "remove that statement in the SQS console; name publishers in PublisherArns, or give them PublishPolicyArn",
        )
    if wrong := _redrive(deployment, queue, attributes.get("RedrivePolicy")):
        return wrong
    if missing := arns - {arn for each in ours for arn in _publishers(each)}:
        return broken(
            f"its policy does not let {one_line(', '.join(sorted(missing)))} publish, as PublisherArns says",
            "add it in the SQS console, or deploy with other PublisherArns and again with these",
        )
    if not any(_is_tls_only(each) for each in statements):
        return warning(
            "its policy does not refuse plain HTTP", "add the template's statement TlsOnly again, in the SQS console"
        )
    return ok("its policies are the template's")


def _redrive(deployment: Deployment, queue: str, policy: str | None) -> Verdict | None:
    """Return what is wrong with a queue's redrive policy; None if nothing is."""
    if queue not in REDRIVES:
        return None
    target, receives = REDRIVES[queue]
    found = json.loads(policy or "{}")
    restore = (
        f"set it in the SQS console: dead-letter queue {deployment.stack.output(f'{target}QueueName')}, "
        f"maximum receives {receives}"
    )
    arn = found.get("deadLetterTargetArn")
    if arn != deployment.stack.output(f"{target}QueueArn"):
        where = f"to {one_line(str(arn))}" if arn else "nowhere"
        return broken(f"what fails again and again moves {where}, not to {target}", restore)
    if int(found.get("maxReceiveCount", 0)) != receives:
        return warning(f"messages move on after {one_line(str(found.get('maxReceiveCount')))} receives", restore)
    return None


def letters(deployment: Deployment, queue: str, command: str) -> Verdict:
    """Count the messages that wait for an operator."""
    waiting = queues.depth(deployment.stack, queue)
    if waiting:
        verb, them = ("wait", "them") if waiting > 1 else ("waits", "it")
        return warning(
            f"{count(waiting, 'message')} {verb} for you, and SQS deletes {them} within 14 days",
            f"read why: {deployment.invocation.relay(command)}",
        )
    return ok("empty")


def _publishers(statement: Mapping[str, Any]) -> set[str]:
    """Return the topics and rules that a statement of the template's shape lets publish; none for another shape."""
    principal, condition = statement.get("Principal"), statement.get("Condition", {})
    if not isinstance(principal, dict) or principal.keys() != {"Service"} or len(condition) != 1:
        return set()
    ((operator, keys),) = condition.items()
    if (
        set(_listed(principal["Service"])) <= _PUBLISHERS
        and {each.lower() for each in _listed(statement.get("Action"))} == {"sqs:sendmessage"}
        and operator in {"ArnLike", "ArnEquals"}
        and [key.lower() for key in keys] == ["aws:sourcearn"]
    ):
        (arns,) = keys.values()
        return set(_listed(arns))
    return set()


def _is_tls_only(statement: Mapping[str, Any]) -> bool:
    conditions = statement.get("Condition", {}).get("Bool", {})
    return (
        statement.get("Effect") == "Deny"
        and statement.get("Principal") in ("*", {"AWS": "*"})
        and any(each.lower() in {"sqs:*", "*"} for each in _listed(statement.get("Action")))
        and any(key.lower() == "aws:securetransport" and _is_false(value) for key, value in conditions.items())
    )


def _is_false(value: Any) -> bool:  # noqa: ANN401  IAM allows a text, a boolean, or a list
    return [str(each).lower() for each in _listed(value)] == ["false"]


def _listed(value: Any) -> list[Any]:  # noqa: ANN401  IAM allows one, a list, or, with NotAction, none
    return value if isinstance(value, list) else [value] if value is not None else []
