"""When what waits will be posted, by the arithmetic of `relay.posting.gate.State.admit`. Pure."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.posting.backoff import GIVE_UP_SECONDS
from relay.posting.gate import MICROSECONDS

from relay_cli.text import DAY, MINUTE, at, length, moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime, timedelta

    from relay.errors import Pause
    from relay.posting.gate import Pace, State

SOON_SECONDS = 2 * MINUTE
"""Leftovers is drained every minute, so that what may be posted now is posted within about this time."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the gate lets further posts through if nothing happens meanwhile: a probe succeeds, nobody pauses.

    Attributes:
        state: The gate's state.
        pace: How fast the owner wants to post.
        now: The moment at which both were read, in seconds since the epoch.
        operators: The operator's pause in force, if there is one.
        pause_by_hours: The pause of a moment outside the owner's posting hours, if there are any.
    """

    state: State
    pace: Pace
    now: float
    operators: Pause | None = None
    pause_by_hours: Callable[[float], Pause | None] | None = None

    @property
    def needs_resume(self) -> bool:
        """Whether nothing is posted until an operator resumes."""
        return self.operators is not None and self.operators.until is None

    def times(self) -> Iterator[float]:
        """Yield when each further post may be made, in seconds since the epoch, until the relay gives messages up.

        An operator's pause that has no end is passed over, as if it were lifted now.
        """
        end = (self.now + GIVE_UP_SECONDS) * MICROSECONDS
        start = max([self.now, *(each.until or 0 for each in (self.state.pause, self.operators) if each)])
        if start >= self.now + GIVE_UP_SECONDS:
            return
        clock = self._open(_not_before(start))
        due, day, admitted = self.state.due, self.state.day, self.state.count
        while (clock := max(clock, due - (self.pace.burst - 1) * self.pace.interval)) < end:
            clock = self._open(clock)
            if (today := _day(clock)) > day:
                day, admitted = today, 0
            if self.pace.per_day and admitted >= self.pace.per_day:
                clock = _midnight_after(clock)
                continue
            if clock >= end:
                return
            yield clock / MICROSECONDS
            due = max(due, clock) + self.pace.interval
            admitted += 1

    def _open(self, clock: int) -> int:
        """Return the first moment from this one on that is within the posting hours, in microseconds."""
        while self.pause_by_hours and (pause := self.pause_by_hours(clock / MICROSECONDS)) and pause.until:
            clock = _not_before(pause.until)
        return clock


@dataclass(frozen=True, slots=True)
class Outlook:
    """When the messages that wait will be posted, as far as the gate decides it.

    Attributes:
        waiting: How many messages wait in the Outbox and Leftovers; approximate.
        next_at: When the next post may be made; None while an operator's pause has no end, and if it is not within 13
            days.
        last_at: When the last of them will be posted; None while an operator's pause has no end, and if it is not
            within 13 days, after which the relay gives up.
        seconds: How long all of them take, from now or from a resume on; None if it is longer than 13 days.
        needs_resume: Whether nothing is posted until an operator resumes.
        too_late: How many of them would be posted only after a message that is sent now has expired by
            ``DefaultExpiryMinutes``, or is given up: at least as many are not posted.
        pace: The pace in words.
    """

    waiting: int
    next_at: datetime | None
    last_at: datetime | None
    seconds: float | None
    needs_resume: bool
    too_late: int
    pace: str

    @property
    def words(self) -> str:
        """The outlook in words, such as ``about 15 h at 12 an hour, until ...; the newest would expire``."""
        return self.in_words(exact=True)

    def in_words(self, *, exact: bool) -> str:
        """Return the outlook in words; only if it must be exact, with the point in time until which it takes."""
        resumed = " after `relay resume`" if self.needs_resume else ""
        if self.seconds is not None and self.seconds <= SOON_SECONDS:
            text = f"within two minutes{resumed}"
        elif self.next_at is None and not self.needs_resume:
            text = "not within 13 days"
        else:
            how_long = "more than 13 days" if self.seconds is None else f"about {length(self.seconds)}"
            end = f", until {moment(self.last_at)}" if exact and self.last_at else ""
            text = f"{how_long} at {self.pace}{resumed}{end}"
        if self.too_late:
            newest = "the newest" if self.too_late == 1 else f"the newest {self.too_late:,}"
            text += f"; {newest} would {'be given up' if self.seconds is None else 'expire'}"
        return text


def look(schedule: Schedule, waiting: int, expires_after: timedelta) -> Outlook:
    """Work out when so many messages will be posted.

    Args:
        schedule: When the gate lets posts through.
        waiting: How many messages wait.
        expires_after: After what time a message expires (``DefaultExpiryMinutes``); zero for never.
    """
    expiry = min(expires_after.total_seconds() or GIVE_UP_SECONDS, GIVE_UP_SECONDS)
    next_at = last_at = None
    in_time = posted = 0
    for each in schedule.times():
        next_at = next_at or each
        if posted == waiting:
            break
        last_at = each
        posted += 1
        in_time += each < schedule.now + expiry
    all_posted = posted == waiting
    needs_resume = schedule.needs_resume
    return Outlook(
        waiting=waiting,
        next_at=None if needs_resume else at(next_at),
        last_at=at(last_at) if all_posted and not needs_resume else None,
        seconds=(last_at or schedule.now) - schedule.now if all_posted else None,
        needs_resume=needs_resume,
        too_late=waiting - in_time,
        pace=f"{schedule.pace.per_hour} an hour"
        + (f" and {schedule.pace.per_day} a day" if schedule.pace.per_day else ""),
    )


def _not_before(moment: float) -> int:
    """Return the first microsecond that is not before a moment, also when it is converted to seconds."""
    clock = math.ceil(moment * MICROSECONDS)
    while clock / MICROSECONDS < moment:  # the product is rounded
        clock += 1
    return clock


def _day(clock: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(clock // MICROSECONDS))


def _midnight_after(clock: int) -> int:
    day = DAY * MICROSECONDS
    return (clock // day + 1) * day
