"""The owner's rules in a run of posting, and whether they were kept. Pure.

The rules count real minutes here: small ones, since nothing in the tested code is faster than it is when deployed.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from verification.reliability.checker import Alert

MINUTE = 60
NOON = 12

_CASHTAG = re.compile(r"\$[A-Z]+(?:[._][A-Z]+)?")
_NUMBER = re.compile(r"[0-9.]+")


@dataclass(frozen=True)
class Rules:
    """The rules of a run, named as the template names them; 0 for none.

    Attributes:
        shut_after_seconds: When the posting hours are to end, after the start of the run.
        shut_minutes: How long they are over.
    """

    default_expiry_minutes: int
    alike_minutes: int
    symbol_cooldown_minutes: int
    shut_after_seconds: int
    shut_minutes: int

    def shut(self, start: float) -> tuple[float, float]:
        """Return from when until when the posting hours are over, both at whole minutes, in seconds since the epoch."""
        begins = math.ceil((start + self.shut_after_seconds) / MINUTE) * MINUTE
        return begins, begins + self.shut_minutes * MINUTE

    def environment(self, start: float) -> dict[str, str]:
        """Return the functions' environment variables for a run that starts at a moment."""
        return {
            "DEFAULT_EXPIRY_MINUTES": str(self.default_expiry_minutes),
            "EXPIRED_TO": "log",
            "POSTING_HOURS": _all_but(*self.shut(start)),
            "ALIKE_MINUTES": str(self.alike_minutes),
            "SYMBOL_COOLDOWN_MINUTES": str(self.symbol_cooldown_minutes),
        }


def _all_but(begins: float, ends: float) -> str:
    """Return posting hours that leave out some minutes, in a zone where these are far from midnight."""
    offset = NOON - datetime.fromtimestamp(begins, UTC).hour
    zone = timezone(timedelta(hours=offset))
    first, second = (datetime.fromtimestamp(each, zone).strftime("%H:%M") for each in (begins, ends))
    return f"MON-SUN 00:00-{first},{second}-24:00 Etc/GMT{-offset:+d}"  # POSIX: west of Greenwich is positive


class Cause(StrEnum):
    """What two posts may have in common that are made too soon after each other."""

    SYMBOL = "symbol"
    ALIKE = "alike"


@dataclass(frozen=True)
class Drained:
    """An invocation of the drain: when it began and ended, and how many messages it received."""

    began: float
    ended: float
    received: int


@dataclass(frozen=True)
class RulesChecker:
    """Checks that the owner's rules were kept in a run.

    Attributes:
        rules: The rules.
        shut: From when until when the posting hours were over.
        alerts: The published alerts.
        sent: When each alert was published last, by its body.
        requests: When a post arrived at StockTwits, and its text.
        posts: When StockTwits made a post, and its text.
        expired: When each alert that expired to the log did so, by its body.
        drains: The invocations of the drain by the run.
        grace_seconds: How long after the end of the posting hours, or after its expiry, a post may still arrive.
    """

    rules: Rules
    shut: tuple[float, float] = (0, 0)
    alerts: Sequence[Alert] = ()
    sent: Mapping[str, float] = field(default_factory=dict)
    requests: Sequence[tuple[float, str]] = ()
    posts: Sequence[tuple[float, str]] = ()
    expired: Mapping[str, float] = field(default_factory=dict)
    drains: Sequence[Drained] = ()
    grace_seconds: float = 0

    def outside_hours(self) -> list[float]:
        """Return how long after the end of the posting hours each post arrived that should have waited."""
        begins, ends = self.shut
        return [at - begins for at, _ in self.requests if begins + self.grace_seconds < at < ends]

    def received_outside_hours(self) -> int:
        """Return how many messages the drain received from Leftovers outside the posting hours."""
        begins, ends = self.shut
        return sum(each.received for each in self.drains if begins < each.began and each.ended < ends)

    def stale(self) -> list[str]:
        """Return the texts that arrived at StockTwits after they had expired."""
        expiries = {each.text: self._expires_at(each) for each in self.alerts}
        return [text for at, text in self.requests if at > expiries.get(text, math.inf) + self.grace_seconds]

    def early(self) -> list[str]:
        """Return the texts that arrived at StockTwits before their own ``not_before``."""
        not_before = {each.text: each.not_before for each in self.alerts}
        return [text for at, text in self.requests if at < not_before.get(text, 0)]

    def expired_early(self) -> list[str]:
        """Return the bodies of alerts that expired before it was time."""
        return [
            each.body
            for each in self.alerts
            if self.expired.get(each.body, math.inf) < self._expires_at(each) and not each.refusal
        ]

    def too_close(self, cause: Cause) -> list[str]:
        """Return what two posts had in common that were made too soon after each other, each time anew."""
        by_symbol = cause is Cause.SYMBOL
        minutes = self.rules.symbol_cooldown_minutes if by_symbol else self.rules.alike_minutes
        names_of = symbols if by_symbol else pattern
        made: dict[str, list[float]] = {}
        for at, text in self.posts:
            for name in names_of(text):
                made.setdefault(name, []).append(at)
        return [
            name
            for name, moments in made.items()
            for first, second in pairwise(sorted(moments))
            if second - first < minutes * MINUTE
        ]

    def violations(self) -> list[str]:
        """Describe each violation in one line."""
        return list(self._violations())

    def _violations(self) -> Iterator[str]:
        for seconds in self.outside_hours():
            yield f"a post arrived {seconds:.1f} s after the end of the posting hours"
        if received := self.received_outside_hours():
            yield f"{received} messages were received from Leftovers outside the posting hours"
        yield from (f"posted after it had expired: {text[:100]}" for text in self.stale())
        yield from (f"posted before its not_before: {text[:100]}" for text in self.early())
        yield from (f"expired before its time: {body[:100]}" for body in self.expired_early())
        yield from (f"two posts about {name} within its time" for name in self.too_close(Cause.SYMBOL))
        yield from (f"two posts too soon that are alike: {name}" for name in self.too_close(Cause.ALIKE))

    def _expires_at(self, alert: Alert) -> float:
        """Return when the last message of a valid alert expires."""
        sent = self.sent.get(alert.body, math.inf)
        return max(sent, alert.not_before) + self.rules.default_expiry_minutes * MINUTE


def symbols(text: str) -> list[str]:
    """Return the cashtags of a text that `verification.reliability.alerts` has made."""
    return sorted(set(_CASHTAG.findall(text)))


def pattern(text: str) -> list[str]:
    """Return what a text is alike in with others."""
    return [" ".join(_NUMBER.sub(" ", _CASHTAG.sub(" ", text)).split())]
