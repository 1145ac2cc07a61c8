"""Check the outcome of every alert against the relay's guarantees. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from relay.posting.delivery import CUT_OFF, NO_ID_TWICE, NOT_FOUND_IN_TIME, PERHAPS_POSTED

from local.stand_ins.stocktwits.contrary import Contrary
from local.stand_ins.stocktwits.faults import Fault
from verification.reliability.contrary import CLEAR, OF_ANOTHER_POST, ON_THE_STREAM

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

OPERATOR_MUST_CHECK = PERHAPS_POSTED
"""Part of the relay's reason when only an operator can find out whether a text was posted."""

KILL = "kill"
"""The cause of what a killed worker left behind."""

PAGES_RAN_OUT = "pages"
"""The cause when the stream has no more pages, although it is read as documented."""

_REFUSALS = frozenset(
    {
        *(Contrary.PAGE, Contrary.EMPTY, Contrary.OTHER_JSON, Contrary.ERROR, Contrary.PROBLEM, Contrary.INNER_STATUS),
        *(Fault.UNAUTHORIZED, Fault.SUSPENDED, Fault.FORBIDDEN, Fault.BOT_BLOCK, Fault.REDIRECT),
    }
)
_UNREADABLE = frozenset({Contrary.ID_MISSING, Contrary.ID_ODD, Contrary.NOT_OBJECTS})
_NAMELESS = frozenset(
    {
        *(Contrary.ID_MISSING, Contrary.ID_ODD, Contrary.ID_OF_ANOTHER, Contrary.INNER_STATUS),
        *(Contrary.PAGE, Contrary.EMPTY, Contrary.OTHER_JSON, Fault.NO_ID, Fault.NOT_JSON),
    }
)
REFUSED_TWICE = "took another message in between"
REFUSED_AS_DUPLICATE = "refused it as a duplicate"


def _shown(*names: str) -> frozenset[str]:
    """Return what may alter how a post is shown: by itself, or on the stream."""
    return frozenset(f"{name}{where}" for name in names for where in ("", ON_THE_STREAM))


EXPLAINED: Mapping[str, AbstractSet[str]] = {
    REFUSED_TWICE: _REFUSALS,
    NOT_FOUND_IN_TIME: frozenset({Contrary.DUPLICATE, Contrary.INNER_STATUS}),
    REFUSED_AS_DUPLICATE: frozenset({Contrary.DUPLICATE, Contrary.INNER_STATUS}),
    NO_ID_TWICE: _NAMELESS,
    "is much like it": _shown(Contrary.RENDERED, *_UNREADABLE),
    "without a readable id": _shown(*_UNREADABLE),
    "may be older than the first attempt": frozenset(
        {*_shown(Contrary.CREATED_AT, *_UNREADABLE), f"{Contrary.CREATED_AT}{OF_ANOTHER_POST}"}
    ),
    "could not be read back": frozenset(
        {
            PAGES_RAN_OUT,
            *(
                f"{name}{ON_THE_STREAM}"
                for name in (Contrary.MAX_IGNORED, Contrary.CURSOR, Contrary.CREATED_AT, *_UNREADABLE)
            ),
        }
    ),
    CUT_OFF: frozenset({KILL}),
    "by DefaultExpiryMinutes": frozenset({KILL, *Fault} - CLEAR),
}
"""Parts of the relay's reasons for Dead letters, and which behaviours of StockTwits, or what else, force it to that."""


class End(StrEnum):
    """How an alert ended; the last three violate a guarantee."""

    POSTED = "posted"
    REFUSED = "refused"
    REFUSED_BY_STOCKTWITS = "refused by StockTwits"
    EXPIRED = "expired"
    LEFT_TO_AN_OPERATOR = "left to an operator"
    LOST = "lost"
    TWICE = "twice"
    WRONG = "wrong"


GUARANTEED = frozenset({End.POSTED, End.REFUSED, End.REFUSED_BY_STOCKTWITS, End.EXPIRED, End.LEFT_TO_AN_OPERATOR})


@dataclass(frozen=True)
class Alert:
    """An alert that a publisher wants to be posted once.

    Attributes:
        text: The text, which no other alert has.
        body: The body of the message, which may be sent several times.
        key: The idempotency key; empty if the SQS message's id is used.
        refusal: A part of the reason for which it must be rejected; empty if it is valid.
        not_before: When it may be posted at the earliest, in seconds since the epoch.
    """

    text: str
    body: str
    key: str = ""
    refusal: str = ""
    not_before: float = 0.0


@dataclass(frozen=True)
class Entry:
    """An entry of the ledger: its status, and the post's id, if any."""

    status: str
    post_id: int | None = None


@dataclass(frozen=True)
class PostingChecker:
    """Checks the state after a run of posting.

    Attributes:
        alerts: The published alerts.
        posts: The text of each post on StockTwits, by its id.
        ledger: The ledger's entries for the keys of each alert, by the alert's body.
        dead: The reasons in Dead letters, by the message's body.
        unsure: The texts with a request that failed without a clear answer.
        interrupted: How many deliveries the kills and restarts can have interrupted.
        waiting: How many messages are left in each queue except Dead letters.
        causes: What may have decided about an alert that ended in Dead letters, by its text: names of faults and of
            contrary behaviours, `KILL` or `PAGES_RAN_OUT`, the likeliest one first.
        settled: The keys with which the ledger has each id of a post as posted.
        owners: The key to which each id belongs.
        sent_again: The bodies that were published more than once.
        expired: The bodies of which the ledger knows that no attempt posted them before they expired.
    """

    alerts: Sequence[Alert]
    posts: Mapping[int, str]
    ledger: Mapping[str, Sequence[Entry]]
    dead: Mapping[str, Sequence[str]]
    unsure: AbstractSet[str]
    interrupted: int
    waiting: Mapping[str, int]
    causes: Mapping[str, Collection[str]] = field(default_factory=dict)
    settled: Mapping[int, Sequence[str]] = field(default_factory=dict)
    owners: Mapping[int, str] = field(default_factory=dict)
    sent_again: AbstractSet[str] = frozenset()
    expired: Collection[str] = ()

    def ends(self) -> Counter[End]:
        """Return how many alerts ended in each way."""
        return Counter(end for end, _ in self._endings())

    def interrupted_without_fault(self) -> int:
        """Return how many alerts were left to an operator although no request failed: a kill interrupted them."""
        return sum(end is End.LEFT_TO_AN_OPERATOR and alert.text not in self.unsure for end, alert in self._endings())

    def left_but_posted(self) -> int:
        """Return how many of the alerts that were left to an operator are on StockTwits."""
        posted = set(self.posts.values())
        return sum(end is End.LEFT_TO_AN_OPERATOR and alert.text in posted for end, alert in self._endings())

    def reasons(self, wanted: End) -> Counter[tuple[str, str]]:
        """Return why alerts ended in this way: a part of the relay's reason with its cause, and for how many."""
        return Counter(why for end, alert in self._endings() if end is wanted for why in self._explanations(alert)[:1])

    def under_another_key(self) -> list[str]:
        """Describe each post that belongs to several keys, or to another one than the ledger has as posted."""
        found = [f"post {each} is settled for {sorted(keys)}" for each, keys in self.settled.items() if len(keys) > 1]
        return found + [
            f"post {each} is settled for {sorted(keys)}, but belongs to {self.owners.get(each)!r}"
            for each, keys in self.settled.items()
            if self.owners.get(each) not in keys
        ]

    def violations(self) -> list[str]:
        """Describe each violation of a guarantee in one line."""
        endings = ((end, alert) for end, alert in self._endings() if end not in GUARANTEED)
        found = [f"{end}: {alert.body[:100]} ({self._evidence(alert)})" for end, alert in endings]
        found += self.under_another_key()
        found += [
            f"left to an operator, although nothing explains it: {alert.body[:100]} ({self._evidence(alert)})"
            for end, alert in self._endings()
            if end is End.LEFT_TO_AN_OPERATOR and not self._explanations(alert)
        ]
        unknown = set(self.posts.values()) - {alert.text for alert in self.alerts}
        found += [f"posted, but never published: {text[:100]}" for text in sorted(unknown)]
        found += [f"{count} messages are left in {queue}" for queue, count in self.waiting.items() if count]
        if self.interrupted_without_fault() > self.interrupted:
            found.append(
                f"{self.interrupted_without_fault()} alerts were left to an operator without a failed request, "
                f"but kills and restarts interrupted {self.interrupted} deliveries at most"
            )
        return found

    def _endings(self) -> Iterator[tuple[End, Alert]]:
        ids: dict[str, list[int]] = {}
        for number, text in self.posts.items():
            ids.setdefault(text, []).append(number)
        return ((self._end_of(alert, ids.get(alert.text, [])), alert) for alert in self.alerts)

    def _end_of(self, alert: Alert, ids: Sequence[int]) -> End:
        reasons = self.dead.get(alert.body, ())
        if len(ids) > 1:
            return End.TWICE
        if not ids and not reasons:
            return End.EXPIRED if alert.body in self.expired else End.LOST
        refused = bool(reasons) and not alert.refusal and all(self._is_refusal(alert, each) for each in reasons)
        if any(OPERATOR_MUST_CHECK in reason for reason in reasons):
            others = [each for each in reasons if OPERATOR_MUST_CHECK not in each]
            fits = all((alert.refusal and alert.refusal in each) or self._is_refusal(alert, each) for each in others)
            return End.LEFT_TO_AN_OPERATOR if fits and not (alert.refusal and ids) else End.WRONG
        if alert.refusal:
            return End.REFUSED if not ids and all(alert.refusal in each for each in reasons) else End.WRONG
        if refused and not ids:
            return End.REFUSED_BY_STOCKTWITS
        entries = self.ledger.get(alert.body, ())
        known = any(each.status == "posted" for each in entries) and all(each.post_id in ids for each in entries)
        before = refused and alert.body in self.sent_again  # another message with its key was posted then
        return End.POSTED if known and (before or not reasons) else End.WRONG

    def _is_refusal(self, alert: Alert, reason: str) -> bool:
        """Return whether StockTwits refused a valid alert for certain, as it was made to do."""
        certain = not alert.refusal and OPERATOR_MUST_CHECK not in reason
        refused = any(words in reason for words in (REFUSED_TWICE, REFUSED_AS_DUPLICATE))
        return certain and refused and bool(self._explained(alert, reason))

    def _explanations(self, alert: Alert) -> list[tuple[str, str]]:
        """Return what explains that an alert is in Dead letters: parts of the reason with their causes."""
        return [why for reason in self.dead.get(alert.body, ()) for why in self._explained(alert, reason)]

    def _explained(self, alert: Alert, reason: str) -> list[tuple[str, str]]:
        if alert.refusal and alert.refusal in reason:
            return [(alert.refusal, KILL)]
        met = self.causes.get(alert.text, ())
        return [(words, str(each)) for words, by in EXPLAINED.items() if words in reason for each in met if each in by]

    def _evidence(self, alert: Alert) -> str:
        posts = sum(text == alert.text for text in self.posts.values())
        return f"{posts} posts; ledger: {self.ledger.get(alert.body)}; dead letters: {self.dead.get(alert.body)}"


@dataclass(frozen=True)
class PauseCheck:
    """Checks that an operator's pause was observed.

    Attributes:
        began: When the pause was written.
        ended: Just before it was lifted.
        posts: When posts arrived at StockTwits.
    """

    began: float
    ended: float
    posts: Sequence[float]

    @property
    def last(self) -> float:
        """How many seconds after the start of the pause its last post arrived; 0 if none did."""
        return max(self._delays(), default=0.0)

    def late(self, grace: float) -> int:
        """Return how many posts arrived during the pause, later than `grace` seconds after its start."""
        return sum(after > grace for after in self._delays())

    def _delays(self) -> list[float]:
        return [at - self.began for at in self.posts if self.began < at < self.ended]
