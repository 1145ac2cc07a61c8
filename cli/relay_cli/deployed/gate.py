"""The state of the gate: open, or closed and why; and the remaining pace."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import BotoCoreError, ClientError
from relay.errors import Misconfigured
from relay.posting.gate import MICROSECONDS, Gate, Pace, pause_by_hours

from relay_cli.failure import NO_AWS, Failure, from_aws_error
from relay_cli.outlook import Schedule, look
from relay_cli.text import HOUR, at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import BatchGetItemOutputTypeDef
    from relay.errors import Pause
    from relay.posting.gate import State

    from relay_cli.deployed.queues import QueueState
    from relay_cli.deployed.stack import Stack
    from relay_cli.outlook import Outlook

LONG_RATE_LIMIT_SECONDS = HOUR
"""StockTwits' limits are hourly: one that lasts longer needs an operator. A test compares it with the relay's alarm."""

DAYS_A_WEEK, MINUTES_A_DAY = 7, 24 * 60

WAITING_QUEUES = ("Outbox", "Leftovers")
"""The queues whose messages are still to be posted, as `relay_cli.deployed.queues.QueueState` names them."""

_BY_OTHERS = frozenset({"operator", "hours", "pace", "daily_cap"})

_ONE_IS_TRIED = "nothing is lost, and at the end of this pause a single post is tried"
_WHAT_TO_DO = {
    "token_refused": "`relay login` stores a valid one and opens the gate",  # nosec B105  # not a password
    "blocked": (
        f"{_ONE_IS_TRIED}; do not try by hand, since every request prolongs the block, and write to StockTwits if it "
        "is not over in some hours"
    ),
    "unexpected_answer": (
        f"{_ONE_IS_TRIED}; if this pause comes again, see whether StockTwits works, and whether there is a newer "
        "version of the relay"
    ),
}
"""What an operator can do, where the reason of the pause does not say it all."""

_LONG_RATE_LIMIT = (
    "this is longer than an hour, although StockTwits' limits are hourly: see what else uses the account, lower "
    "MaxPostsPerHour, and write to StockTwits if it comes again"
)


@dataclass(frozen=True, slots=True)
class GatePause:
    """A reason why nothing is posted now.

    Attributes:
        cause: A short label, as in the metric ``GateShut``: ``operator``, ``rate_limited``, ``pace`` ...
        reason: The reason in words.
        until: When it ends; None if it has no end.
        who: Who imposed it: ``relay``, or the operator.
        advice: What to do about it, beyond what the reason says; empty if there is nothing.
    """

    cause: str
    reason: str
    until: datetime | None
    who: str
    advice: str = ""

    @property
    def words(self) -> str:
        """The reason, and what to do."""
        return f"{self.reason}; {self.advice}" if self.advice else self.reason

    @property
    def ends_by_force(self) -> bool:
        """Whether StockTwits' answers imposed it: neither an operator nor the stack's settings."""
        return self.cause not in _BY_OTHERS


@dataclass(frozen=True, slots=True)
class PaceLeft:
    """The posts that the pace still allows, whether or not the gate is closed for another reason.

    Attributes:
        now: How many posts are allowed right now.
        next_hour: How many posts are allowed within the next hour.
        posted_today: How many posts were admitted since midnight UTC.
        left_today: How many more posts are allowed until midnight UTC; None without a daily cap.
        per_hour: The stack's ``MaxPostsPerHour``.
        burst: Its ``PostBurst``.
        per_day: Its ``MaxPostsPerDay``; 0 for no daily cap.
    """

    now: int
    next_hour: int
    posted_today: int
    left_today: int | None
    per_hour: int
    burst: int
    per_day: int


@dataclass(frozen=True, slots=True)
class GateState:
    """The gate at a moment.

    Attributes:
        open: Whether posts are allowed now.
        pauses: Why not, each reason there is; an operator's pause first.
        probe: Set if a single post must succeed before the gate opens again: why it was closed.
        pace: What the pace still allows.
        dry_run: Whether the stack runs with ``DryRun``, so that nothing is sent.
        schedule: When further posts may be made.
    """

    open: bool
    pauses: tuple[GatePause, ...] = field(metadata={"json": "shut"})
    probe: str | None
    pace: PaceLeft
    dry_run: bool
    schedule: Schedule = field(metadata={"json": None})


def read(stack: Stack) -> GateState:
    """Read the gate's items in the ledger, without changing them.

    Raises:
        Failure: They cannot be read.
    """
    now = time.time()
    pace = Pace(*(int(stack.parameter(name)) for name in ("MaxPostsPerHour", "PostBurst", "MaxPostsPerDay")))
    ledger = _Ledger(stack.client("dynamodb"))
    table = stack.output("LedgerTableName")
    pause_by_hours = _hours(stack)
    seen = Gate(cast("DynamoDBClient", ledger), table, pace, lambda: now, pause_by_hours).look(0)
    if ledger.error:
        failure = from_aws_error(ledger.error)
        reason = f"The gate cannot be read: {failure.reason}"
        raise Failure(reason, failure.code, temporary=failure.temporary) from ledger.error
    if seen.pause and seen.pause.cause == "ledger":
        raise Failure(f"The gate cannot be read: {seen.pause.reason}.", NO_AWS)
    imposed = seen.state.pause
    in_force = imposed is not None and (imposed.until or 0) > now
    without_pause = replace(seen.state, pause=None)
    by_hours = pause_by_hours(now) if pause_by_hours else None
    operators = seen.pause if seen.pause and seen.pause.cause == "operator" else None
    by_pace = without_pause.admit(1, now, pace).pause
    pauses = [each for each in (seen.pause, by_hours, imposed if in_force else None, by_pace) if each]
    return GateState(
        open=not pauses,
        pauses=tuple(dict.fromkeys(_gate_pause(each, now) for each in pauses)),
        probe=imposed.reason if imposed and imposed.probe and not in_force else None,
        pace=_left(without_pause, now, pace),
        dry_run=stack.parameters.get("DryRun") == "true",
        schedule=Schedule(seen.state, pace, now, operators, pause_by_hours),
    )


def outlook(stack: Stack, state: GateState, found: Iterable[QueueState]) -> Outlook:
    """Work out when what waits in the queues will be posted."""
    waiting = sum(each.messages for each in found if each.name in WAITING_QUEUES)
    expires_after = timedelta(minutes=int(stack.parameters.get("DefaultExpiryMinutes", "0")))
    return look(state.schedule, waiting, expires_after)


def _hours(stack: Stack) -> Callable[[float], Pause | None] | None:
    """Read the stack's posting hours; one of an earlier version has none."""
    given = stack.parameters
    with _readable_hours():
        return _pause_by_hours(given.get("PostingHours", ""), given.get("PostingHolidays", "none"))


_pause_by_hours = cache(pause_by_hours)
"""Whoever watches the gate asks every few seconds, and an exchange's holidays take half a second to load."""


def open_minutes(stack: Stack) -> list[int]:
    """Return for how many minutes posts may be made on each day of an ordinary week; all without posting hours.

    Raises:
        Failure: They cannot be read.
    """
    if not (text := stack.parameters.get("PostingHours", "")):
        return [MINUTES_A_DAY] * DAYS_A_WEEK
    from relay.posting.hours import posting_hours  # noqa: PLC0415  only who sets hours pays for them

    with _readable_hours():
        return posting_hours(text).minutes_a_day()


@contextmanager
def _readable_hours() -> Iterator[None]:
    """Tell the operator when the posting hours cannot be read."""
    try:
        yield
    except Misconfigured as error:
        raise Failure(f"The posting hours cannot be read: {error.reason}.") from error


class _Ledger:
    """The DynamoDB client for the gate; keeps the error, which the gate itself turns into a pause."""

    def __init__(self, dynamodb: DynamoDBClient) -> None:
        self._dynamodb = dynamodb
        self.error: ClientError | BotoCoreError | None = None

    def batch_get_item(self, **call: Any) -> BatchGetItemOutputTypeDef:  # noqa: ANN401  as the gate calls it
        try:
            return self._dynamodb.batch_get_item(**call)
        except (ClientError, BotoCoreError) as error:
            self.error = error
            raise


def _left(state: State, now: float, pace: Pace) -> PaceLeft:
    # `booked` is how far the pace is ahead of the clock; an hour adds that much time to the burst.
    booked = max(0, state.due - round(now * MICROSECONDS))
    available = HOUR * MICROSECONDS + pace.burst * pace.interval - booked
    left_today = max(0, pace.per_day - state.count) if pace.per_day else None
    return PaceLeft(
        now=state.admit(pace.burst, now, pace).granted,
        next_hour=max(0, available // pace.interval),
        posted_today=state.count,
        left_today=left_today,
        per_hour=pace.per_hour,
        burst=pace.burst,
        per_day=pace.per_day,
    )


def _gate_pause(pause: Pause, now: float) -> GatePause:
    advice = _WHAT_TO_DO.get(pause.cause, "")
    if pause.cause == "rate_limited" and (pause.until or 0) - now > LONG_RATE_LIMIT_SECONDS:
        advice = _LONG_RATE_LIMIT
    return GatePause(pause.cause, pause.reason, at(pause.until), pause.who, advice)
