"""What became of messages, from the functions' ``delivery`` lines: a row for each message."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from relay.posting.delivery import Result

from relay_cli.deployed.logs import POSTING, UNREADABLE
from relay_cli.text import DAY, HOUR, at, read_moment, read_number

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from relay_cli.deployed.logs import Line, Logs

LOOK_BACK_SECONDS = (HOUR, 6 * HOUR, DAY, 7 * DAY, 35 * DAY)
"""How far back to look, a step at a time, until there are rows enough: most of the time the newest are wanted."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of a message, as far as it is known.

    Attributes:
        at: When its last attempt ended.
        outcome: The name of a `relay.posting.delivery.Result`; ``unreadable`` when the log does not tell.
        text: What it said; None when the log does not tell.
        sentiment: What it was marked as, when it was.
        url: The post's page, when there is one.
        stocktwits_id: The post's id, when there is one.
        reason: Why it was rejected or deferred, or a remark.
        key: The idempotency key.
        message_id: Its SQS message id.
        attempts: How often it was received.
        queued_at: When it was published; None when the log does not tell.
        delay_seconds: How long it took from queued to posted; None when it was not posted, or the log does not tell.
        status_code: StockTwits' HTTP status, when it refused.
    """

    at: datetime
    outcome: str
    text: str | None
    sentiment: str | None
    url: str | None
    stocktwits_id: int | None
    reason: str
    key: str
    message_id: str
    attempts: int
    queued_at: datetime | None
    delay_seconds: float | None
    status_code: int | None


def newest(
    logs: Logs, most: int | None, since: datetime | None = None, outcome: str | None = None, key: str | None = None
) -> list[Delivered]:
    """Return what became of the newest messages, newest first.

    Args:
        logs: The functions' logs.
        most: How many at most; None for all.
        since: How far back; None for as far as it takes to find so many, at most the last of `LOOK_BACK_SECONDS`.
        outcome: Only those that ended so.
        key: Only those with this idempotency key.
    """
    now = at(time.time())
    starts = [since] if since or now is None else [now - timedelta(seconds=each) for each in LOOK_BACK_SECONDS]
    rows: list[Delivered] = []
    for start in filter(None, starts):
        # By key in CloudWatch; by outcome only here: a message that was deferred and then posted ended as posted.
        lines = logs.lines(POSTING, start, "delivery", **({"key": key} if key else {}))
        rows = [row for row in _rows(lines) if outcome in (None, row.outcome)]
        if most is not None and len(rows) >= most:
            break
    return rows[:most]


def last_posted(logs: Logs) -> Delivered | None:
    """Return the newest message that was posted."""
    return next(iter(newest(logs, 1, outcome=Result.POSTED)), None)


def _rows(lines: Iterable[Line]) -> list[Delivered]:
    """Make a row of each message's lines, which come oldest first; the newest message first."""
    rows: dict[object, Delivered] = {}
    for line in lines:
        row = _row(line)
        message = row.message_id or object()  # whose message it tells of is not known: it is a row of its own
        before = rows.get(message)
        if before and before.outcome == Result.POSTED and row.outcome == Result.ALREADY_POSTED:
            continue  # SQS handed it over once more: nothing happened
        rows.pop(message, None)
        rows[message] = row
    return sorted(rows.values(), key=lambda row: row.at, reverse=True)


def _row(line: Line) -> Delivered:
    fields = line.fields
    outcome = str(fields.get("outcome", "")) if line.readable else "unreadable"
    queued_at = read_moment(fields.get("queued_at"))
    delay = max(0.0, (line.at - queued_at).total_seconds()) if queued_at and outcome == Result.POSTED else None
    return Delivered(
        at=line.at,
        outcome=outcome,
        text=_text(fields.get("text")),
        sentiment=_text(fields.get("sentiment")),
        url=_text(fields.get("url")),
        stocktwits_id=read_number(fields.get("stocktwits_id")),
        reason=str(fields.get("reason") or "") if line.readable else UNREADABLE,
        key=str(fields.get("key", "")),
        message_id=str(fields.get("message_id", "")),
        attempts=read_number(fields.get("receive_count")) or 1,
        queued_at=queued_at,
        delay_seconds=delay,
        status_code=read_number(fields.get("status_code")),
    )


def _text(value: Any) -> str | None:  # noqa: ANN401  whatever a line holds
    return value if isinstance(value, str) and value else None
