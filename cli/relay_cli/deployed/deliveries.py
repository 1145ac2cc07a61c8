"""The outcomes of messages, from the functions' ``delivery`` log lines: one row per message."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from relay.posting.outcome import Result

from relay_cli.deployed.logs import POSTING, UNREADABLE
from relay_cli.text import DAY, HOUR, at, moment, read_moment, read_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from relay_cli.deployed.logs import Line, Logs

LOOK_BACK_SECONDS = (HOUR, 6 * HOUR, DAY, 7 * DAY, 35 * DAY)
"""How far back to look, step by step, until there are enough rows: usually the newest ones are asked for."""


BURST_SECONDS, BURST_LEAST = 30, 3
"""At least so many messages with the same outcome and reason, each so shortly after the other, are a burst."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Something that a message waits for.

    Attributes:
        cause: A short label: of a pause of the gate, such as ``operator``, ``hours`` or ``pace``; of a rule, such as
            ``symbol`` or ``not_before``; or of an attempt, ``delivery``, ``back_off`` or ``retry``.
        reason: The same in words.
        until: When that ends; None if nobody knows.
    """

    cause: str
    reason: str
    until: datetime | None

    @property
    def when(self) -> str:
        """When it ends, in words."""
        if self.until:
            return f"until {moment(self.until)}"
        return "until resumed" if self.cause == "operator" else "until an unknown time"


@dataclass(frozen=True, slots=True)
class Delivered:
    """The latest known outcome of a message.

    Attributes:
        at: When its last attempt ended.
        outcome: The name of a `relay.posting.outcome.Result`; ``unreadable`` if the log line cannot be parsed.
        text: Its text; None if it is not in the log.
        sentiment: Its sentiment, if it has one.
        url: The post's page, if there is one.
        stocktwits_id: The post's id, if there is one.
        reason: Why it was rejected or deferred, or a note.
        key: The idempotency key.
        message_id: Its SQS message id.
        attempts: How often it was received.
        queued_at: When it was published; None if it is not in the log.
        delay_seconds: The time from queued to posted; None if it was not posted, or the log does not have it.
        status_code: StockTwits' HTTP status, if it refused the post.
        holds: What kept it back by a rule, if it was deferred.
        retry_at: When its next attempt may begin, if it was tried and deferred.
        expires_at: When it expires, if it was deferred, and does.
        replaces_key: The key of the dead letter that was edited into it, if there was one.
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
    holds: tuple[Wait, ...] = ()
    retry_at: datetime | None = None
    expires_at: datetime | None = None
    replaces_key: str | None = None


def newest(  # noqa: PLR0913  each narrows the messages down
    logs: Logs,
    most: int | None,
    since: datetime | None = None,
    outcome: str | None = None,
    key: str | None = None,
    *,
    latest: bool = False,
) -> list[Delivered]:
    """Return the outcomes of the newest messages, newest first.

    Args:
        logs: The functions' logs.
        most: The maximum number of messages; None for all.
        since: How far back to look; None for as far as needed, up to the last of `LOOK_BACK_SECONDS`.
        outcome: Only messages with this outcome.
        key: Only messages with this idempotency key.
        latest: Leave out what the same alert's later message replaces, such as a dead letter that was retried.
    """
    rows: list[Delivered] = []
    for found in _looking_back(logs, since, key, latest=latest):
        rows = [row for row in found if outcome in (None, row.outcome)]
        if most is not None and len(rows) >= most:
            break
    return rows[:most]


def recent(logs: Logs, most: int) -> list[Delivered]:
    """Return the newest messages that ended and, beside them, the newest that were deferred; newest first.

    Taken together, what waits in a long pause would leave no place for what was posted before it.

    Args:
        logs: The functions' logs.
        most: The maximum number of each of the two.
    """
    ended: list[Delivered] = []
    deferred: list[Delivered] = []
    for found in _looking_back(logs, latest=True):
        deferred = [row for row in found if row.outcome == Result.DEFERRED]
        ended = [row for row in found if row.outcome != Result.DEFERRED]
        if len(ended) >= most:
            break
    return sorted([*ended[:most], *deferred[:most]], key=lambda row: row.at, reverse=True)


def _looking_back(
    logs: Logs, since: datetime | None = None, key: str | None = None, *, latest: bool
) -> Iterator[list[Delivered]]:
    """Read messages, newest first, from further and further back; arguments as for `newest`."""
    now = at(time.time())
    starts = [since] if since or now is None else [now - timedelta(seconds=each) for each in LOOK_BACK_SECONDS]
    for step, start in enumerate(filter(None, starts)):
        # CloudWatch filters by key, but not by outcome: a message that was deferred and then posted counts as posted.
        lines = logs.lines(POSTING, start, "delivery", refresh=step == 0, **({"key": key} if key else {}))
        rows = _rows(lines)
        yield _latest(rows) if latest else rows


def last_posted(logs: Logs) -> Delivered | None:
    """Return the newest message that was posted."""
    return next(iter(newest(logs, 1, outcome=Result.POSTED)), None)


def held(logs: Logs) -> list[Delivered]:
    """Return the messages that a rule keeps back, newest first, as far as the log of the last hour has them.

    After `last_posted`, which reads at least as much, this makes no request.
    """
    now = at(time.time())
    if now is None:
        return []
    rows = _rows(logs.lines(POSTING, now - timedelta(seconds=HOUR), "delivery", refresh=False))
    return [
        row
        for row in rows
        if row.outcome == Result.DEFERRED and any(each.until and each.until > now for each in row.holds)
    ]


def bursts(rows: Sequence[Delivered]) -> Iterator[list[Delivered]]:
    """Divide messages, newest first, into bursts and single ones."""
    run: list[Delivered] = []
    for row in [*rows, None]:
        if run and (row is None or not _together(run[-1], row)):
            yield from [run] if len(run) >= BURST_LEAST else [[each] for each in run]
            run = []
        if row:
            run.append(row)


def _together(later: Delivered, earlier: Delivered) -> bool:
    same = (later.outcome, later.reason) == (earlier.outcome, earlier.reason)
    return same and (later.at - earlier.at).total_seconds() <= BURST_SECONDS


def _rows(lines: Iterable[Line]) -> list[Delivered]:
    """Merge the lines of each message, which are sorted oldest first, into a row; return the newest message first."""
    rows: dict[object, Delivered] = {}
    for line in lines:
        row = _row(line)
        message = row.message_id or object()  # without an id, the line becomes a row of its own
        before = rows.get(message)
        if before and before.outcome == Result.POSTED and row.outcome == Result.ALREADY_POSTED:
            continue  # SQS delivered it again after it was posted
        rows.pop(message, None)
        rows[message] = row
    return sorted(rows.values(), key=lambda row: row.at, reverse=True)


def _latest(rows: list[Delivered]) -> list[Delivered]:
    """Leave out what a later message with the same key and text replaces; what was posted stays."""
    kept: list[Delivered] = []
    seen: set[tuple[str, str | None, str | None]] = set()
    for row in rows:
        alert = (row.key, row.text, row.sentiment)
        if alert not in seen or row.outcome == Result.POSTED or not (row.key and row.text):
            kept.append(row)
        seen.add(alert)
    return kept


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
        holds=_holds(fields.get("holds")),
        retry_at=_seconds(fields.get("retry_at")),
        expires_at=_seconds(fields.get("expires_at")),
        replaces_key=_text(fields.get("replaces_key")),
    )


def _holds(value: Any) -> tuple[Wait, ...]:  # noqa: ANN401  any JSON value
    given = [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
    return tuple(
        Wait(str(each.get("cause", "")), str(each.get("reason", "")), _seconds(each.get("until"))) for each in given
    )


def _seconds(value: Any) -> datetime | None:  # noqa: ANN401  any JSON value
    return at(value) if isinstance(value, int | float) else None


def _text(value: Any) -> str | None:  # noqa: ANN401  any JSON value
    return value if isinstance(value, str) and value else None
