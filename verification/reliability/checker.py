"""The accounts: what became of every alert and every backup, and whether that is what was promised. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

A_PERSON_MUST_LOOK = "an earlier attempt may have posted it"
"""What the relay's reason says when only a person can tell whether a text was posted."""

CLOCK_SECONDS = 1.0
"""How far the emulator's times, which have no fractions of seconds, may be off."""


class End(StrEnum):
    """Where an alert may end, and how the promise is broken."""

    POSTED = "posted"
    REFUSED = "refused"
    LEFT_TO_A_PERSON = "left to a person"
    LOST = "lost"
    TWICE = "twice"
    WRONG = "wrong"


KEPT = frozenset({End.POSTED, End.REFUSED, End.LEFT_TO_A_PERSON})


@dataclass(frozen=True)
class Alert:
    """What a publisher wants to be said, once.

    Attributes:
        text: The text, like no other alert's.
        body: The message; publishers may send it several times.
        key: Its own idempotency key; empty when the SQS message's id is one.
        refusal: A part of the reason for which it must be refused; empty when it is good.
    """

    text: str
    body: str
    key: str = ""
    refusal: str = ""


@dataclass(frozen=True)
class Entry:
    """What the ledger says of a key: its status, and the post's id when there is one."""

    status: str
    post_id: int | None = None


@dataclass(frozen=True)
class PostingAccounts:
    """All that can be seen when it is over.

    Attributes:
        alerts: What was published.
        posts: The text of each post on StockTwits, by its id.
        ledger: What the ledger says of each key of an alert, by the alert's body.
        dead: The reasons in Dead letters, by the body they came with.
        unsure: The texts of which a request broke without a clear answer.
        interrupted: How many deliveries the kills and restarts can have cut off.
        waiting: How many messages are left in each queue but Dead letters.
    """

    alerts: Sequence[Alert]
    posts: Mapping[int, str]
    ledger: Mapping[str, Sequence[Entry]]
    dead: Mapping[str, Sequence[str]]
    unsure: AbstractSet[str]
    interrupted: int
    waiting: Mapping[str, int]

    def ends(self) -> Counter[End]:
        """How many alerts came to each end."""
        return Counter(end for end, _ in self._judged())

    def by_chance_cut_off(self) -> int:
        """How many alerts were left to a person although no request of theirs broke: a kill met their delivery."""
        return sum(end is End.LEFT_TO_A_PERSON and alert.text not in self.unsure for end, alert in self._judged())

    def left_but_posted(self) -> int:
        """How many of those that were left to a person stand on StockTwits."""
        said = set(self.posts.values())
        return sum(end is End.LEFT_TO_A_PERSON and alert.text in said for end, alert in self._judged())

    def complaints(self) -> list[str]:
        """Where the promise is broken: one line each."""
        found = [f"{end}: {alert.body[:100]} ({self._seen(alert)})" for end, alert in self._judged() if end not in KEPT]
        strangers = set(self.posts.values()) - {alert.text for alert in self.alerts}
        found += [f"posted, but never published: {text[:100]}" for text in sorted(strangers)]
        found += [f"{count} messages are left in {queue}" for queue, count in self.waiting.items() if count]
        if self.by_chance_cut_off() > self.interrupted:
            found.append(
                f"{self.by_chance_cut_off()} alerts were left to a person without a broken request, but kills and "
                f"restarts cut off {self.interrupted} deliveries at most"
            )
        return found

    def _judged(self) -> Iterator[tuple[End, Alert]]:
        ids: dict[str, list[int]] = {}
        for number, text in self.posts.items():
            ids.setdefault(text, []).append(number)
        return ((self._judge(alert, ids.get(alert.text, [])), alert) for alert in self.alerts)

    def _judge(self, alert: Alert, ids: Sequence[int]) -> End:
        reasons = self.dead.get(alert.body, ())
        if len(ids) > 1:
            return End.TWICE
        if not ids and not reasons:
            return End.LOST
        if any(A_PERSON_MUST_LOOK in reason for reason in reasons):
            others = [each for each in reasons if A_PERSON_MUST_LOOK not in each]
            fits = all(alert.refusal and alert.refusal in each for each in others)
            return End.LEFT_TO_A_PERSON if fits and not (alert.refusal and ids) else End.WRONG
        if alert.refusal:
            return End.REFUSED if not ids and all(alert.refusal in each for each in reasons) else End.WRONG
        entries = self.ledger.get(alert.body, ())
        known = any(each.status == "posted" for each in entries) and all(each.post_id in ids for each in entries)
        return End.POSTED if known and not reasons else End.WRONG

    def _seen(self, alert: Alert) -> str:
        posts = sum(text == alert.text for text in self.posts.values())
        return f"{posts} posts; ledger: {self.ledger.get(alert.body)}; dead letters: {self.dead.get(alert.body)}"


@dataclass(frozen=True)
class Silence:
    """An operator's pause, and the posts that reached StockTwits around it.

    Attributes:
        began: When it was written.
        ended: When it was about to be lifted.
        posts: When posts arrived.
    """

    began: float
    ended: float
    posts: Sequence[float]

    @property
    def last(self) -> float:
        """How long after its beginning the last post arrived while it was in force, in seconds; 0 when none did."""
        return max(self._into_it(), default=0.0)

    def broken(self, grace: float) -> int:
        """How many posts arrived in it later than that many seconds after its beginning."""
        return sum(after > grace for after in self._into_it())

    def _into_it(self) -> list[float]:
        return [at - self.began for at in self.posts if self.began < at < self.ended]


@dataclass(frozen=True)
class ArchiveAccounts:
    """All that can be seen of the backups when it is over.

    Attributes:
        expected: The digest of each file at Firestream, by its key in the archive.
        stored: The digest of each object in the archive, by its key.
        uploads: When each upload was begun that is neither completed nor aborted, by key.
        kills: When workers were killed.
        waiting: How many messages are left in each queue.
    """

    expected: Mapping[str, str]
    stored: Mapping[str, str]
    uploads: Sequence[tuple[str, float]]
    kills: Sequence[float]
    waiting: Mapping[str, int] = field(default_factory=dict)

    def dangling(self) -> list[str]:
        """The keys of unfinished uploads that no kill explains: each kill explains one that was begun before it."""
        kills = sorted(self.kills)
        unexplained = []
        for key, began in sorted(self.uploads, key=lambda upload: upload[1], reverse=True):
            if kills and kills[-1] >= began - CLOCK_SECONDS:
                kills.pop()
            else:
                unexplained.append(key)
        return unexplained

    def complaints(self) -> list[str]:
        """Where the promise is broken: one line each."""
        found = [f"not in the archive: {key}" for key in sorted(self.expected.keys() - self.stored.keys())]
        found += [f"in the archive, but nobody asked for it: {key}" for key in self.stored if key not in self.expected]
        found += [
            f"not what Firestream has: {key}"
            for key, digest in self.stored.items()
            if self.expected.get(key, digest) != digest
        ]
        found += [f"an upload was left dangling by a worker that lives: {key}" for key in self.dangling()]
        return found + [f"{count} messages are left in {queue}" for queue, count in self.waiting.items() if count]
