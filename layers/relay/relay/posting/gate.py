"""The gate: whether anything may be posted now, for all functions and invocations together.

Two items of the ledger's table. ``pk = "gate"`` is ours: the pace, today's count, and the pause that StockTwits'
answers imposed. ``pk = "pause"`` is the operator's: while it exists nothing is posted; any tool can write and delete
it, see ``docs/operating.md``.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from relay.aws_errors import AWS_ERRORS
from relay.errors import Halt, Pause, RelayError, Retry
from relay.posting.ledger import LEDGER_RECHECK_SECONDS, as_relay_error, read_items

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient

MICROSECONDS = 1_000_000
"""The pace is kept in whole microseconds, so that no rounding adds up to a post."""

PROBE_SECONDS = 90
"""How long a probe may take before another is let through: longer than any function runs (60 s)."""

CHANGE_ATTEMPTS = 20
"""How often a change starts over because another worker was faster; there are three workers at most."""

BUSY_SECONDS = 10
"""How long the gate counts as closed when the table did not answer; asking at once would only keep it busy."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the owner wants to post: GCRA (generic cell rate algorithm) with a daily cap.

    Attributes:
        per_hour: Posts an hour, evenly spread.
        burst: How many may go at once after a quiet time.
        per_day: Posts in a day (UTC); 0 for no cap.
    """

    per_hour: int
    burst: int
    per_day: int

    @property
    def interval(self) -> int:
        """Microseconds between two posts, rounded up: never faster than asked."""
        return -(-3600 * MICROSECONDS // self.per_hour)


@dataclass(frozen=True, slots=True)
class State:
    """The content of the gate's item, and the arithmetic on it. Pure: a change returns a new state.

    Attributes:
        due: GCRA's theoretical arrival time, in microseconds since the epoch.
        day: The day that `count` counts, as ``2026-11-21`` in UTC.
        count: Posts let through on that day.
        pause: The last pause, in force or past; a past one with `probe` still waits for its probe.
        pause_count: How many pauses there were: reveals one that is hidden because it is shorter than a probe's guard.
        posted_at: When a probe was last posted, in seconds since the epoch; 0 if none was.
        no_ids: How many posts in a row StockTwits took without a usable id, so that nothing showed as which post.
        high_at: When a message of high priority was last left over, in seconds since the epoch; 0 if none was.
    """

    due: int = 0
    day: str = ""
    count: int = 0
    pause: Pause | None = None
    pause_count: int = 0
    posted_at: float = 0.0
    no_ids: int = 0
    high_at: float = 0.0

    def same_pause_as(self, before: State) -> bool:
        """Return whether no pause was imposed, and no other probe let through, since `before`."""
        return (self.pause, self.pause_count) == (before.pause, before.pause_count)

    def admit(self, wanted: int, now: float, pace: Pace) -> Admission:
        """Let through up to `wanted` posts."""
        current = self.pause
        if current and current.until is not None and now < current.until:
            return Admission(0, current, self)
        probing = current is not None and current.probe
        clock = round(now * MICROSECONDS)
        # A refusal names the end of what this pace can book. What a slower one before it had booked stays booked: a
        # worker that wrote less would let one that still has the slower pace post again, each time.
        due = min(max(self.due, clock), clock + pace.burst * pace.interval)
        day = max(self.day, _day(now))  # a clock behind another's at midnight must not begin the old day anew
        count = self.count if self.day == day else 0
        by_pace = max(0, (clock + pace.burst * pace.interval - due) // pace.interval)
        by_cap = max(0, pace.per_day - count) if pace.per_day else wanted
        granted = min(wanted, by_pace, by_cap, 1 if probing else wanted)
        state = replace(self, due=due + granted * pace.interval, day=day, count=count + granted)
        if granted and probing and current:
            state = replace(state, pause=replace(current, until=now + PROBE_SECONDS))
        if granted == wanted:
            pause = None
        elif by_cap == granted:
            pause = _cap_reached(now, pace)
        elif by_pace == granted:
            pause = _pace_reached(state, pace)
        else:
            pause = state.pause
        return Admission(granted, pause, state, probe=probing and granted > 0)

    def give_back(self, unused: int, admission: Admission, now: float, pace: Pace) -> State:
        """Take back what an admission granted and nobody used; its place in the pace only if nobody came after it."""
        state, admitted = self, admission.state
        if state.day == admitted.day == _day(now):
            state = replace(state, count=max(0, state.count - unused))
        if state.due == admitted.due:
            state = replace(state, due=state.due - unused * pace.interval)
        if admission.probe and state.pause and state.same_pause_as(admitted):
            state = replace(state, pause=replace(state.pause, until=now))
        return state

    def close(self, pause: Pause) -> State:
        """Impose a pause; of two the longer one counts, and a probe stays due."""
        current = self.pause or pause
        longer = max(current, pause, key=lambda each: each.until or 0)
        probe = current.probe or pause.probe
        return replace(self, pause=replace(longer, probe=probe), pause_count=self.pause_count + 1)

    def open(self, probe: Admission, posted_at: float) -> State:
        """Lift the pause that a probe disproved; a newer one stays."""
        posted = replace(self, posted_at=max(self.posted_at, posted_at))
        return replace(posted, pause=None) if self.same_pause_as(probe.state) else posted


@dataclass(frozen=True, slots=True)
class Admission:
    """How many posts may be made now, and why not more.

    Attributes:
        granted: The number of posts let through.
        pause: Why it is not as many as were wanted; None when it is.
        state: The gate as this admission left it.
        probe: Whether the one granted decides for the others.
    """

    granted: int
    pause: Pause | None
    state: State
    probe: bool = False

    def opens_in(self, now: float) -> float | None:
        """Return in how many seconds more may be granted; None when that is not known."""
        until = self.pause.until if self.pause else now
        return None if until is None else max(0.0, until - now)


class Gate:
    """Asks and changes the gate: one conditional write a change, begun anew when another worker was faster.

    A gate that cannot be read is closed: `look`, `admit` and `pause_since` then return a pause with the cause
    ``ledger``. The others raise `Retry` or `Halt`.
    """

    def __init__(
        self,
        dynamodb: DynamoDBClient,
        table: str,
        pace: Pace,
        now: Callable[[], float],
        pause_by_hours: Callable[[float], Pause | None] | None = None,
    ) -> None:
        """Keep the gate in `table`.

        Args:
            dynamodb: A low-level client.
            table: The ledger's table.
            pace: How fast the owner wants to post.
            now: The clock, in seconds since the epoch.
            pause_by_hours: The pause of a moment outside the owner's posting hours, if there are any.
        """
        self._dynamodb = dynamodb
        self._table = table
        self._pace = pace
        self._now = now
        self._pause_by_hours = pause_by_hours or (lambda _now: None)

    def look(self, wanted: int) -> Admission:
        """Return how many of `wanted` posts would be let through now; nothing changes."""
        try:
            return self._admission(wanted)[0]
        except RelayError as error:
            return Admission(0, self._unreadable(error), State())

    def pause_by_hours(self) -> Pause | None:
        """Return the pause outside the owner's posting hours; nothing is read for it."""
        return self._pause_by_hours(self._now())

    def opens_at(self, moment: float) -> float:
        """Return the first moment, not before the given one, that is within the owner's posting hours."""
        pause = self._pause_by_hours(moment)
        return (pause and pause.until) or moment

    def admit(self, wanted: int) -> Admission:
        """Let through up to `wanted` posts, and count them."""
        try:
            for _ in range(CHANGE_ATTEMPTS):
                admission, version = self._admission(wanted)
                if admission.granted == 0 or self._write(admission.state, version):
                    return admission
            raise _too_busy()
        except RelayError as error:
            return Admission(0, self._unreadable(error), State())

    def pause_since(self, since: Admission) -> Pause | None:
        """Return the pause imposed since an admission; the pace does not count, the admission has used it."""
        try:
            state, _version, operators = self._read()
        except RelayError as error:
            return self._unreadable(error)
        pause = state.pause
        in_force = pause is not None and (pause.until or 0) > self._now() and not state.same_pause_as(since.state)
        return operators or self.pause_by_hours() or (pause if in_force else None)

    def give_back(self, admission: Admission, unused: int) -> None:
        """Return what an admission granted and nobody used; never twice, so perhaps not at all."""
        self._change(lambda state: state.give_back(unused, admission, self._now(), self._pace), repeatable=False)

    def close(self, pause: Pause) -> None:
        """Keep everyone from posting until the pause's end."""
        self._change(lambda state: state.close(pause))

    def open(self, probe: Admission, posted_at: float) -> None:
        """Let everyone post again: the probe succeeded, and was posted at `posted_at`, or not posted if that is 0."""
        self._change(lambda state: state.open(probe, posted_at))

    def count_no_ids(self, no_ids: int) -> None:
        """Keep count of the posts in a row that StockTwits took without a usable id."""
        self._change(lambda state: replace(state, no_ids=no_ids))

    def remember_high(self) -> None:
        """Remember that a message of high priority was left over now, so that the drain looks for it."""
        self._change(lambda state: replace(state, high_at=self._now()))

    def _admission(self, wanted: int) -> tuple[Admission, int]:
        state, version, operators = self._read()
        if pause := operators or self.pause_by_hours():
            return Admission(0, pause, state), version
        return state.admit(wanted, self._now(), self._pace), version

    def _unreadable(self, error: RelayError) -> Pause:
        """Close the gate that cannot be read."""
        return error.pause or Pause("ledger", error.reason, self._now() + BUSY_SECONDS)

    def _change(self, change: Callable[[State], State], *, repeatable: bool = True) -> None:
        for _ in range(CHANGE_ATTEMPTS):
            state, version, _operators = self._read()
            changed = change(state)
            if changed == state or self._write(changed, version, repeatable=repeatable):
                return
        raise _too_busy()

    def _read(self) -> tuple[State, int, Pause | None]:
        """Read both items as they are now: the state, its version, the operator's pause."""
        found = read_items(self._dynamodb, self._table, ["gate", "pause"], self._now())
        items: dict[str, dict[str, Any]] = {item["pk"]["S"]: item for item in found}
        gate = items.get("gate", {})
        try:
            state, version = _state(gate), int(gate.get("version", {}).get("N", 0))
        except (KeyError, TypeError, ValueError):
            reason = (
                f'the item "gate" of the ledger table {self._table} cannot be read: something changed it; delete it'
            )
            raise Halt(Pause("ledger", reason, self._now() + LEDGER_RECHECK_SECONDS)) from None
        return state, version, _operators(items.get("pause"), self._now())

    def _write(self, state: State, seen: int, *, repeatable: bool = True) -> bool:
        """Replace version `seen` of the state; False when another worker was faster.

        What was in the way may be this very change, when botocore sent it again because its answer was lost. One that
        must not happen twice counts as written then.
        """
        try:
            self._dynamodb.put_item(
                TableName=self._table,
                Item=_item(state) | {"version": {"N": str(seen + 1)}},
                ConditionExpression="attribute_not_exists(pk) OR version = :seen",
                ExpressionAttributeValues={":seen": {"N": str(seen)}},
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException as error:
            return not repeatable and error.response["ResponseMetadata"]["RetryAttempts"] > 0
        except AWS_ERRORS as error:
            raise as_relay_error(error, self._table, self._now()) from error
        return True


def pause_by_hours(posting_hours: str, posting_holidays: str) -> Callable[[float], Pause | None] | None:
    """Return the pause of each moment outside the posting hours; None if there are no such hours.

    Raises:
        Misconfigured: The hours or the exchange cannot be read.
    """
    if not posting_hours:
        return None
    from relay.posting import hours  # noqa: PLC0415  only who sets hours pays for them

    return hours.HoursPause(hours.posting_hours(posting_hours, posting_holidays))


def _too_busy() -> Retry:
    return Retry("the gate is too busy")


def _item(state: State) -> dict[str, Any]:
    item: dict[str, Any] = {
        "pk": {"S": "gate"},
        "due": {"N": str(state.due)},
        "day": {"S": state.day},
        "count": {"N": str(state.count)},
        "shuts": {"N": str(state.pause_count)},
        "posted": {"N": repr(state.posted_at)},
        "no_ids": {"N": str(state.no_ids)},
        **({"high": {"N": repr(state.high_at)}} if state.high_at else {}),
    }
    if state.pause:
        pause = state.pause
        item["shut"] = {
            "M": {
                "cause": {"S": pause.cause},
                "reason": {"S": pause.reason},
                # Unrounded: `State.open` recognises a pause by what an admission remembers of it.
                "until": {"N": repr(float(pause.until or 0))},
                "who": {"S": pause.who},
                "probe": {"BOOL": pause.probe},
            }
        }
    return item


def _state(item: dict[str, Any]) -> State:
    if not item:
        return State()
    found = item.get("shut", {}).get("M")
    return State(
        due=int(item["due"]["N"]),
        day=item["day"]["S"],
        count=int(item["count"]["N"]),
        pause_count=int(item.get("shuts", {"N": "0"})["N"]),  # older versions did not write it, nor the next two
        posted_at=_finite(item.get("posted", {"N": "0"})["N"]),
        no_ids=int(item.get("no_ids", {"N": "0"})["N"]),
        high_at=_finite(item.get("high", {"N": "0"})["N"]),
        pause=found
        and Pause(
            cause=found["cause"]["S"],
            reason=found["reason"]["S"],
            until=_finite(found["until"]["N"]),
            who=found["who"]["S"],
            probe=found["probe"]["BOOL"],
        ),
    )


def _finite(number: str) -> float:
    """Read a number; raises ValueError when it is not a moment."""
    read = float(number)
    if not math.isfinite(read):
        raise ValueError(number)
    return read


def _operators(item: dict[str, Any] | None, now: float) -> Pause | None:
    """Read an operator's pause leniently: whatever a tool wrote there, the item itself means stop."""
    if item is None:
        return None
    who, why = (next(iter(item.get(name, {"S": ""}).values())) or "unknown" for name in ("who", "why"))
    try:
        until = _finite(item["until"]["N"])
    except (KeyError, ValueError):
        until = None
    if until is not None and until <= now:
        return None
    return Pause("operator", f"paused by {who}: {why}", until, who=str(who))


def _pace_reached(state: State, pace: Pace) -> Pause:
    until = (state.due - (pace.burst - 1) * pace.interval) / MICROSECONDS
    return Pause("pace", f"the pace of {pace.per_hour} posts an hour, {pace.burst} at once, is reached", until)


def _cap_reached(now: float, pace: Pace) -> Pause:
    midnight = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return Pause("daily_cap", f"the cap of {pace.per_day} posts a day (UTC) is reached", midnight.timestamp())


def _day(now: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(now))
