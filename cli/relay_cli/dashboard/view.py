"""What the page says about the values it shows: headlines, what needs an operator, and bursts. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

from relay.posting.outcome import Result
from rich.filesize import decimal

from relay_cli.deployed import deliveries
from relay_cli.deployed.calendar import Status
from relay_cli.deployed.ledger import State
from relay_cli.heatmap import label
from relay_cli.text import at, count

if TYPE_CHECKING:
    from datetime import datetime

    from relay_cli.dashboard.model import Posts
    from relay_cli.deployed.calendar import Calendar
    from relay_cli.deployed.deliveries import Delivered
    from relay_cli.deployed.gate import GatePause, GateState

TAGS_OF_A_BURST = 6
"""How many cashtags the line of a burst names."""

_OPEN = "Posting is open"
_STOPPED = "Posting has stopped"
_HEADLINES = {
    "operator": "Posting is paused",
    "hours": "Outside the posting hours",
    "pace": "Waiting for the pace",
    "daily_cap": "The day's cap is reached",
    "rate_limited": "StockTwits limits the rate",
    "unavailable": "StockTwits is unavailable",
}
"""The headline by the cause of a pause that ends by itself, or that an operator chose."""

_BY_CHOICE = frozenset({"hours", "pace", "daily_cap"})
_CASHTAG = re.compile(r"\$[A-Za-z][A-Za-z0-9._]{0,14}")
_KNOWN = frozenset(Status) - {Status.MISSING, Status.NOT_YET}


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether posts are made now.

    Attributes:
        tone: ``open``, ``quiet`` (closed by the owner's own settings), ``paused`` or ``stopped``.
        headline: The same in a few words.
        next_at: When the next post may be made; None if that is now, when an operator resumes, or not within 13 days.
        on_resume: Whether nothing is posted until an operator resumes.
    """

    tone: str
    headline: str
    next_at: datetime | None
    on_resume: bool


@dataclass(frozen=True, slots=True)
class Burst:
    """Messages that are shown as one, newest first; or a single one."""

    rows: tuple[Delivered, ...]

    @property
    def outcome(self) -> str:
        """The outcome that all of them have."""
        return self.rows[0].outcome

    @property
    def reason(self) -> str:
        """The reason that all of them have."""
        return self.rows[0].reason

    @property
    def seconds(self) -> float:
        """The time from the first to the last."""
        return (self.rows[0].at - self.rows[-1].at).total_seconds()

    @property
    def tags(self) -> str:
        """The cashtags of its messages, the first ones if there are many."""
        found = dict.fromkeys(tag for row in self.rows for tag in _CASHTAG.findall(row.text or ""))
        return " ".join([*list(found)[:TAGS_OF_A_BURST], *(["…"] if len(found) > TAGS_OF_A_BURST else [])])


def standing(gate: GateState) -> Standing:
    """Return whether posts are made now, and when they are if not."""
    if not gate.pauses:
        return Standing("open", _OPEN, None, on_resume=False)
    needing = [each for each in gate.pauses if needs_operator(each)]
    first = next(iter(needing), gate.pauses[0])
    quiet = all(each.cause in _BY_CHOICE for each in gate.pauses)
    on_resume = gate.schedule.needs_resume
    return Standing(
        tone="stopped" if needing else "quiet" if quiet else "paused",
        headline=_STOPPED if needing else _HEADLINES[first.cause],
        next_at=None if on_resume else at(next(gate.schedule.times(), None)),
        on_resume=on_resume,
    )


def needs_operator(pause: GatePause) -> bool:
    """Return whether a pause may not end well by itself."""
    return bool(pause.advice) or pause.cause not in _HEADLINES


def deferred(posts: Posts) -> list[Delivered]:
    """Return the messages that wait, as far as the log and the ledger know, newest first."""
    return [each for each in posts.messages if _waits(posts, each)]


def ended(posts: Posts) -> list[Burst]:
    """Return the messages that no longer wait, in bursts, newest first."""
    rows = [_as_known(posts, each) for each in posts.messages if not _waits(posts, each)]
    return [Burst(tuple(each)) for each in deliveries.bursts(rows)]


def _waits(posts: Posts, row: Delivered) -> bool:
    explained = posts.waits.get(row.message_id)
    return row.outcome == Result.DEFERRED and (explained is None or explained.state is State.WAITING)


def _as_known(posts: Posts, row: Delivered) -> Delivered:
    """Return a message with the outcome that the ledger has, where the log is behind."""
    explained = posts.waits.get(row.message_id)
    if row.outcome != Result.DEFERRED or explained is None:
        return row
    return replace(row, outcome=str(explained.state), url=explained.url, reason=explained.reason)


def requested_since(calendar: Calendar, lookback_days: int) -> date:
    """Return the first day that was asked for, as far as the calendar shows it.

    Every night asks for the days of the look-back. Before them, the first day of which anything is known counts.
    """
    window = calendar.days[-1].day - timedelta(days=lookback_days - 1)
    known = (each.day for each in calendar.days if each.status in _KNOWN)
    return max(min(next(known, window), window), calendar.days[0].day)


def in_words(calendar: Calendar, since: date) -> str:
    """Summarize a calendar, whose days before a date were not requested."""
    days = [each for each in calendar.days if each.day >= since]
    counts = {status: sum(each.status is status for each in days) for status in Status}
    text = f"{counts[Status.STORED]:,} of the last {count(len(days), 'day')} stored"
    if counts[Status.STORED]:
        text += f" ({decimal(calendar.bytes)})"
    if marked := sum(bool(each.marks) for each in days if each.status is Status.STORED):
        text += f", {marked:,} of them with a remark"
    for status in (Status.FAILED, Status.DAMAGED, Status.ABSENT, Status.MISSING, Status.NOT_YET):
        if counts[status]:
            text += f", {counts[status]:,} {label(status)}"
    return f"{text}."
