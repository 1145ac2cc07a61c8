"""What the functions log, read back from CloudWatch."""

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


UNREADABLE = "this line of the log cannot be read here"
"""What is said of a line in place of what it says."""


@dataclass(frozen=True, slots=True)
class Line:
    """One log line.

    Attributes:
        at: When it was logged.
        fields: What it says, `message` among it.
        readable: Whether it can be read; otherwise there is no more in `fields` than what was asked for.
    """

    at: datetime
    fields: dict[str, Any]
    readable: bool = True


class Logs:
    """The functions' log groups; which there are is asked once."""

    def __init__(self, stack: Stack) -> None:
        """Ask for nothing yet."""
        self._stack = stack

    def lines(self, groups: tuple[str, ...], since: datetime, message: str, **fields: str) -> list[Line]:
        """Return the lines since a moment with this message, and with these values of fields, oldest first.

        A group that the stack does not have, since a half of it is switched off, has none.
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
    """Read a line; None when it is not what was asked for: emulators take every pattern for one that fits."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        fits = text.startswith("{") and all(json.dumps(value) in text for value in wanted.values())
        return Line(logged, dict(wanted), readable=False) if fits else None
    return Line(logged, fields) if isinstance(fields, dict) and fields.items() >= wanted.items() else None
