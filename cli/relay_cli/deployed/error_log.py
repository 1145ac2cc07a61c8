"""The errors in a function's log: what the function logs, and what Lambda logs of a run that was cut off."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from relay_cli.deployed.logs import REQUEST_SECONDS, Line, Pager
from relay_cli.text import at

if TYPE_CHECKING:
    from datetime import datetime

    from relay_cli.deployed.stack import Stack

PAGE_SECONDS = 3 * REQUEST_SECONDS
"""The time between two requests for one of three logs, which may be read at a time."""

_LEVELS = frozenset({"ERROR", "CRITICAL"})
_RUN = ("requestId", "request_id")
"""How an error of Lambda, and one of the functions, names its run."""
_CUT_OFF = frozenset({"timeout", "failure", "error"})
_PATTERN = (
    '{ $.level = "ERROR" || $.level = "CRITICAL" || '
    '($.type = "platform.report" && ($.record.status = "timeout" || $.record.status = "failure" || '
    '$.record.status = "error")) }'
)
"""https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html has Lambda's own lines. A run that
Lambda ended, as for its memory, may have no line but its report, with the status ``error``."""


def read(stack: Stack, group: str, since: datetime) -> list[Line]:
    """Return the errors since a moment, oldest first; an error that was logged and reported is one.

    Args:
        stack: The stack.
        group: The log group's name in CloudWatch.
        since: The moment.

    Raises:
        ClientError, BotoCoreError: CloudWatch did not return them.
    """
    found = []
    asked = {"logGroupName": group, "startTime": round(since.timestamp() * 1000), "filterPattern": _PATTERN}
    for event in Pager(stack, PAGE_SECONDS).events(**asked):
        logged, fields = at(event["timestamp"] / 1000), _fields(event["message"])
        # Emulators ignore filter patterns.
        if logged and (fields.get("level") in _LEVELS or _report(fields).get("status") in _CUT_OFF):
            found.append(Line(logged, fields))
    runs = {str(line.fields[name]) for line in found for name in _RUN if name in line.fields}
    reports = [(line, _report(line.fields)) for line in found]
    once = [line for line, report in reports if report.get("status") != "error" or report.get("requestId") not in runs]
    return sorted(once, key=lambda line: line.at)


def _fields(text: str) -> dict[str, Any]:
    """Return a line's fields; none if it is not a JSON object."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _report(fields: dict[str, Any]) -> dict[str, Any]:
    """Return Lambda's report of a run; empty if the line is another."""
    record = fields.get("record")
    return record if fields.get("type") == "platform.report" and isinstance(record, dict) else {}
