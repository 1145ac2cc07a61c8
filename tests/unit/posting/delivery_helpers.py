"""A delivery of one message, with plain callables in place of AWS and StockTwits."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from relay.errors import Duplicate, Pause
from relay.posting.alert import Alert, Reading
from relay.posting.delivery import Delivery
from relay.posting.outcome import Claim, Outcome, Published, Settlement
from relay.posting.reconciliation import NOT_THERE, Interrupted, Lost, Verdict

from tests.factories import NOW, a_claim, a_message, an_alert, published

PERHAPS_POSTED = a_claim(perhaps_posted=True, first_claimed_at=NOW - 600, ended_at=NOW - 300)
DUPLICATE = Duplicate("StockTwits refused it as a duplicate", status=422)
FOUND = Verdict(3)
FOUND_REMARK = "found on the account's stream: an earlier attempt had posted it"
LOOK_ON_STOCKTWITS = (
    "an earlier attempt may have posted it: look on StockTwits; if it is not there, send it as a new message"
)


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: object) -> None:
        raise error

    return fail


def one_after_the_other(*steps: Any) -> Callable[..., Any]:
    """Raise or return each of these, call after call."""
    left = iter(steps)

    def step(*_: object) -> Any:
        following = next(left)
        if isinstance(following, Exception):
            raise following
        return following

    return step


class FakeRequests:
    """A batch's requests, with a slot and a pause of the test's choice."""

    def __init__(
        self, slot: Any, pause: Callable[[], Pause | None], stop: Callable[[Pause], None], posted_at: float
    ) -> None:
        self.slot = lambda: slot
        self.pause = pause
        self.stop = stop
        self.posted_since = lambda moment: posted_at > moment


class RecordingSlot:
    """A slot that records when it was taken and given back."""

    def __init__(self, happened: list[str]) -> None:
        self._happened = happened

    def __enter__(self) -> None:
        self._happened.append("(")

    def __exit__(self, *_: object) -> None:
        self._happened.append(")")


class FakeDelivery:
    """A delivery of one claim, and a record of what it did in which order."""

    def __init__(self, taken: Claim | None = None, **but: Any) -> None:
        self.happened: list[str] = []
        self.settled: list[Settlement] = []
        self.sent: list[tuple[Alert, bytes | None]] = []
        self.looked_for: list[tuple[Lost, float]] = []
        self.stops: list[Pause] = []
        self._taken = taken or a_claim()
        usual = {
            "claim": self._claim,
            "settle": self._settle,
            "known": lambda _: False,
            "perhaps_posted": lambda _: False,
            "find": self._find,
            "prepare": self._prepare,
            "send": self._send,
            "page": lambda post_id: published(post_id).url,
            "now": lambda: NOW,
        }
        self._delivery = Delivery(**{**usual, **but})

    def deliver(
        self,
        alert: Alert | None = None,
        slot: Any = None,
        pause: Callable[[], Pause | None] = lambda: None,
        posted_at: float = 0.0,
        *,
        alone: bool = False,
        **around: str,
    ) -> Outcome:
        """Deliver an alert; `around` is what its envelopes say of its key."""
        requests = FakeRequests(slot or nullcontext(), pause, self._stop, posted_at)
        return self._delivery.deliver(a_message(), Reading(alert or an_alert(), **around), requests, alone=alone)

    @property
    def settlement(self) -> Settlement:
        """The only settlement."""
        (settlement,) = self.settled
        return settlement

    def _stop(self, pause: Pause) -> None:
        self.happened.append("stop")
        self.stops.append(pause)

    def _claim(self, *_: object) -> Claim:
        self.happened.append("claim")
        return self._taken

    def _settle(self, claim: Claim, settlement: Settlement) -> None:
        assert claim is self._taken
        self.happened.append("settle")
        self.settled.append(settlement)

    def _find(self, lost: Lost, after: float, pause: Callable[[], Pause | None]) -> Verdict:
        if found := pause():
            raise Interrupted(found)
        self.happened.append("find")
        self.looked_for.append((lost, after))
        return NOT_THERE

    def _prepare(self, alert: Alert) -> bytes | None:
        self.happened.append("prepare")
        return b"pixels" if alert.chart else None

    def _send(self, alert: Alert, chart: bytes | None) -> Published:
        self.happened.append("send")
        self.sent.append((alert, chart))
        return published(7)
