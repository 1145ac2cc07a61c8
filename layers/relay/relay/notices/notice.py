"""What a notice says, and how each service wants it. Pure."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MAX_CHARACTERS = 2000
"""The longest message that Discord takes; other services take more.
https://discord.com/developers/docs/resources/webhook#execute-webhook."""

SHOWN_POSTS = 5
"""How many rejected posts one notice shows; the others are counted."""

SHOWN_CHARACTERS = 300
"""How much of a text or a reason is shown."""

_SLACK = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
"""Slack's control characters, which could mention a channel or hide where a link leads:
https://docs.slack.dev/messaging/formatting-message-text#escaping."""


class Kind(StrEnum):
    """What a notice is about."""

    ALARM = "alarm"
    REJECTED = "rejected"
    MESSAGE = "message"
    """Something else that was published to the alarms' topic."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What to tell people.

    Attributes:
        kind: What it is about.
        text: The notice in words.
    """

    kind: Kind
    text: str


def read_event(event: Mapping[str, Any], stack: str) -> Notice | None:
    """Read what Lambda was invoked with: a notification of SNS, or log lines of a subscription.

    Args:
        event: The event.
        stack: The stack's name, with which each notice begins.

    Returns:
        The notice; None if there is nothing to tell, as when CloudWatch Logs checks that it can reach the function.

    Raises:
        KeyError, ValueError: It is neither.
    """
    if "awslogs" in event:
        return _of_log_lines(json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"]))), stack)
    (record,) = event["Records"]  # SNS sends one: https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
    return _of_notification(record["Sns"], stack)


def payload(notice: Notice, host: str) -> dict[str, Any]:
    """Return the JSON that the service at a host takes; of an unknown one, what most incoming webhooks take."""
    text = notice.text if len(notice.text) <= MAX_CHARACTERS else f"{notice.text[: MAX_CHARACTERS - 1]}…"
    if _is_of(host, "discord.com", "discordapp.com"):
        return {"content": text, "allowed_mentions": {"parse": []}}
    if _is_of(host, "slack.com", "slack-gov.com"):
        return {"text": text.translate(_SLACK)}
    return {"text": text}


def _of_notification(sns: Mapping[str, Any], stack: str) -> Notice:
    message = str(sns["Message"])
    try:
        alarm = json.loads(message)
        name, description = alarm["AlarmName"], alarm["AlarmDescription"]
    except (ValueError, TypeError, KeyError):
        return Notice(Kind.MESSAGE, f"{stack}: {sns.get('Subject') or 'a message'}\n{message}")
    name = str(name).removeprefix(f"{stack}-")
    return Notice(Kind.ALARM, f"{stack}: alarm {name}\n{description}\nTo check everything: relay doctor")


def _of_log_lines(data: Mapping[str, Any], stack: str) -> Notice | None:
    posts = list(_rejected(data.get("logEvents", [])))
    if not posts:
        return None
    title = "a post was rejected" if len(posts) == 1 else f"{len(posts)} posts were rejected"
    lines = [f"{stack}: {title}"]
    for post in posts[:SHOWN_POSTS]:
        lines += [_short(post.get("text") or "(a message that cannot be read)"), f"    {_short(post.get('reason'))}"]
    if len(posts) > SHOWN_POSTS:
        lines.append(f"and {len(posts) - SHOWN_POSTS} more")
    lines.append("To see, correct or retry: relay dead list, relay dead edit, relay dead retry")
    return Notice(Kind.REJECTED, "\n".join(lines))


def _rejected(events: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the fields of the lines about rejected posts, as `relay.posting.telemetry` writes them."""
    for each in events:
        try:
            line = json.loads(each["message"])
        except (ValueError, KeyError):
            continue
        if isinstance(line, dict) and line.get("message") == "delivery" and line.get("outcome") == "rejected":
            yield line


def _short(text: object) -> str:
    line = " ".join(str(text or "").split())
    return line if len(line) <= SHOWN_CHARACTERS else f"{line[: SHOWN_CHARACTERS - 1]}…"


def _is_of(host: str, *domains: str) -> bool:
    return any(host == each or host.endswith(f".{each}") for each in domains)
