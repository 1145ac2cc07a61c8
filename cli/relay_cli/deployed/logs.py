"""The functions' log lines, read from CloudWatch as often as it allows, and each of them once."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from relay_cli.text import at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from relay_cli.deployed.stack import Stack

POSTING = ("PostMessagesLogs", "DrainLeftoversLogs")
"""The log groups of the functions that post, as in the template."""

BACKUPS = ("FetchBackupsLogs",)
"""The log group of the function that fetches backups."""

REQUEST_SECONDS = 0.25
"""The time between two requests: an account may make 5 a second in a region, and this quota cannot be raised.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html"""

LATE = timedelta(minutes=5)
"""How much later than another line an older one may still arrive; so much is read again each time."""

UNREADABLE = "this log line cannot be parsed"
"""Shown in place of the contents of a line that cannot be parsed."""


@dataclass(frozen=True, slots=True)
class Line:
    """One log line.

    Attributes:
        at: When it was logged.
        fields: Its fields, including `message`.
        readable: Whether it could be parsed; if not, `fields` holds only what was searched for.
    """

    at: datetime
    fields: dict[str, Any]
    readable: bool = True


@dataclass(frozen=True, slots=True)
class _Window:
    """What was read of a log group.

    Attributes:
        since: The moment from which on its lines are known.
        until: When it was read.
        lines: The lines, by the ids of their events.
    """

    since: datetime
    until: datetime
    lines: dict[str, Line]

    def moved(self, until: datetime, lines: dict[str, Line]) -> _Window:
        """Return a window of the same width that ends later; what it leaves behind is forgotten."""
        since = until - (self.until - self.since)
        return _Window(since, until, {event: line for event, line in lines.items() if line.at >= since})


class Pager:
    """Asks CloudWatch for log events, with time between its requests."""

    def __init__(self, stack: Stack, seconds: float) -> None:
        """Ask nothing yet; `seconds` is the time between two requests."""
        self._stack = stack
        self._seconds = seconds
        self._next_request = 0.0

    def events(self, **asked: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401  FilterLogEvents' own parameters
        """Yield the events of all pages of an answer."""
        while True:
            time.sleep(max(0.0, self._next_request - time.monotonic()))
            self._next_request = time.monotonic() + self._seconds
            page = self._stack.client("logs").filter_log_events(**asked)
            yield from page["events"]
            if not page.get("nextToken"):
                return
            asked["nextToken"] = page["nextToken"]


class Logs:
    """The functions' log groups. It remembers what it read; only one thread may use it."""

    def __init__(self, stack: Stack) -> None:
        """Look nothing up yet."""
        self._stack = stack
        self._pager = Pager(stack, REQUEST_SECONDS)
        self._windows: dict[tuple[str, ...], _Window] = {}

    def lines(
        self, groups: tuple[str, ...], since: datetime, message: str, *, refresh: bool = True, **fields: str
    ) -> list[Line]:
        """Return the lines since a moment that have this message and these field values, oldest first.

        A group that the stack does not have, because posting or backups are switched off, has no lines.

        Args:
            groups: The log groups, as in the template.
            since: The moment.
            message: The lines' message.
            refresh: Whether to look for lines that came after the last call with the same arguments.
            fields: The values of other fields.
        """
        wanted = {"message": message, **fields}
        found = [
            line
            for group in groups
            if group in self._names
            for line in self._since(group, since, wanted, refresh=refresh)
        ]
        return sorted(found, key=lambda line: line.at)

    def _since(self, group: str, since: datetime, wanted: dict[str, str], *, refresh: bool) -> Iterable[Line]:
        """Return the lines since a moment; those read before are not read again."""
        key = (group, *(text for each in wanted.items() for text in each))
        known, now = self._windows.get(key), at(time.time())
        if known is None:
            known = _Window(since, now or since, dict(self._read(group, wanted, since)))
        elif refresh:
            newer = dict(self._read(group, wanted, known.until - LATE))
            known = known.moved(now or known.until, known.lines | newer)
        if since < known.since:
            older = dict(self._read(group, wanted, since, known.since))
            known = _Window(since, known.until, known.lines | older)
        self._windows[key] = known
        return (line for line in known.lines.values() if line.at >= since)

    def _read(
        self, group: str, wanted: dict[str, str], since: datetime, until: datetime | None = None
    ) -> Iterator[tuple[str, Line]]:
        """Yield the ids of events with their lines."""
        conditions = " && ".join(f"$.{name} = {_quoted(value)}" for name, value in wanted.items())
        asked: dict[str, Any] = {
            "logGroupName": self._names[group],
            "filterPattern": f"{{ {conditions} }}",
            "startTime": round(since.timestamp() * 1000),
        }
        if until:
            asked["endTime"] = round(until.timestamp() * 1000)
        for event in self._pager.events(**asked):
            logged = at(event["timestamp"] / 1000)
            if logged and (line := _line(logged, event["message"], wanted)):
                # Not every emulator gives events an id.
                yield event.get("eventId", f"{event['timestamp']} {event['message']}"), line

    @cached_property
    def _names(self) -> dict[str, str]:
        return {
            each["LogicalResourceId"]: each["PhysicalResourceId"]
            for each in self._stack.resources()
            if each["LogicalResourceId"] in POSTING + BACKUPS and each.get("PhysicalResourceId")
        }


def _quoted(value: str) -> str:
    """Quote a value as the functions log it: not in ASCII, since a pattern may be compared without resolving escapes.

    A lone surrogate, which no log line has, becomes a question mark: it could not be sent.
    """
    return json.dumps(value.encode(errors="replace").decode(), ensure_ascii=False)


def _line(logged: datetime, text: str, wanted: dict[str, str]) -> Line | None:
    """Parse a line; None if it does not match the filter, because emulators ignore filter patterns."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        fits = text.startswith("{") and all(_quoted(value) in text for value in wanted.values())
        return Line(logged, dict(wanted), readable=False) if fits else None
    return Line(logged, fields) if isinstance(fields, dict) and fields.items() >= wanted.items() else None
