"""The functions' log lines, read from CloudWatch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from relay_cli.text import at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from relay_cli.deployed.stack import Stack

POSTING = ("PostMessagesLogs", "DrainLeftoversLogs")
"""The log groups of the functions that post, as in the template."""

BACKUPS = ("FetchBackupsLogs",)
"""The log group of the function that fetches backups."""


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


class Logs:
    """The functions' log groups, whose names are looked up once."""

    def __init__(self, stack: Stack) -> None:
        """Look nothing up yet."""
        self._stack = stack

    def lines(self, groups: tuple[str, ...], since: datetime, message: str, **fields: str) -> list[Line]:
        """Return the lines since a moment that have this message and these field values, oldest first.

        A group that the stack does not have, because posting or backups are switched off, has no lines.
        """
        wanted = {"message": message, **fields}
        found = [line for group in groups for line in self._read(group, since, wanted)]
        return sorted(found, key=lambda line: line.at)

    def _read(self, group: str, since: datetime, wanted: dict[str, str]) -> Iterator[Line]:
        if group not in self._names:
            return
        conditions = " && ".join(f"$.{name} = {json.dumps(value)}" for name, value in wanted.items())
        pages = (
            self._stack.client("logs")
            .get_paginator("filter_log_events")
            .paginate(
                logGroupName=self._names[group],
                startTime=round(since.timestamp() * 1000),
                filterPattern=f"{{ {conditions} }}",
            )
        )
        for page in pages:
            for event in page["events"]:
                logged = at(event["timestamp"] / 1000)
                if logged and (line := _line(logged, event["message"], wanted)):
                    yield line

    @cached_property
    def _names(self) -> dict[str, str]:
        pages = self._stack.client("cloudformation").get_paginator("list_stack_resources")
        resources = [
            each for page in pages.paginate(StackName=self._stack.name) for each in page["StackResourceSummaries"]
        ]
        return {
            each["LogicalResourceId"]: each["PhysicalResourceId"]
            for each in resources
            if each["LogicalResourceId"] in POSTING + BACKUPS and each.get("PhysicalResourceId")
        }


def _line(logged: datetime, text: str, wanted: dict[str, str]) -> Line | None:
    """Parse a line; None if it does not match the filter, because emulators ignore filter patterns."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        fits = text.startswith("{") and all(json.dumps(value) in text for value in wanted.values())
        return Line(logged, dict(wanted), readable=False) if fits else None
    return Line(logged, fields) if isinstance(fields, dict) and fields.items() >= wanted.items() else None
