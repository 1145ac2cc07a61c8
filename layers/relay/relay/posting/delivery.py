"""One queue message to its outcome: claim it, look for what may already be posted, post it, settle it. Pure.

`Delivery.deliver` reads from top to bottom. What talks to AWS and to StockTwits comes in as plain callables.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from traceback import extract_tb
from typing import Protocol, TypeVar

from relay.errors import Duplicate, Halt, Pause, Reject, RelayError, Retry, Unknown
from relay.posting.alert import Alert
from relay.posting.outcome import Claim, Outcome, Published, Result, Settlement, Status
from relay.queue_message import QueueMessage

DUPLICATE_WINDOW_SECONDS = 30 * 60
"""How long StockTwits refuses a repeated text, by its own error's words:
"Duplicate messages within 30 minutes will not be posted."."""

FOUND_ON_STREAM = "found on the account's stream: an earlier attempt had posted it"
"""The remark on a post whose answer was lost."""

PERHAPS_POSTED = (
    "an earlier attempt may have posted it: look on StockTwits; if it is not there, send it as a new message"
)
"""The remark on a rejected message whose earlier attempt ended without a known outcome."""

MOST_CUT_OFF = 3
"""How many deliveries of a message in a row may be cut off, by a time-out or by running out of memory. All but the
first were of this message alone, so it is the one that ends them."""

CUT_OFF = "three deliveries in a row were interrupted, by a time-out or lack of memory: see the function's log"
"""The reason of a message that ends the function which delivers it."""

NOTHING_SENT = "dry run: nothing was sent"
"""The remark of a dry run on every message."""

_Answer = TypeVar("_Answer")


class Requests(Protocol):
    """The requests to StockTwits that one batch may still make, shared by its deliveries."""

    def slot(self) -> AbstractContextManager[object]:
        """Hold one of the requests at a time."""

    def pause(self) -> Pause | None:
        """Return why no further request may be made now, if so."""

    def stop(self, pause: Pause) -> None:
        """Begin no more requests: an answer imposed this pause."""


def idempotency_key(message: QueueMessage, alert: Alert | None = None) -> str:
    """Return a message's idempotency key: the publisher's own, else ``RelayKey``, else the SQS message id."""
    return (alert.key if alert else None) or message.relay_key or message.id


@dataclass(frozen=True)
class Delivery:
    """Takes one message to its outcome; safe to call from several threads.

    Attributes:
        claim: ``(key, body, message_id)`` to a `Claim`; raises `Reject` (the key was used for another text), `Retry`
            (another worker has it), `Halt` (no ledger).
        settle: ``(claim, settlement)``; whatever it raises, the entry stays claimed, which is safe.
        find: ``(text, since)`` to the account's post with that text, or None; raises `RelayError`.
        send: Publishes an alert; None in a dry run. Raises `RelayError`; any other exception counts as unknown.
        prepare: Fetches an alert's chart and checks it before there is a request; raises `Reject` or `Retry`.
        now: The clock, in seconds since the epoch.
    """

    claim: Callable[[str, str, str], Claim]
    settle: Callable[[Claim, Settlement], None]
    find: Callable[[str, float], Published | None]
    prepare: Callable[[Alert], bytes | None]
    send: Callable[[Alert, bytes | None], Published] | None
    now: Callable[[], float]

    def deliver(
        self,
        message: QueueMessage,
        alert: Alert,
        requests: Requests,
        *,
        alone: bool = False,
    ) -> Outcome:
        """Deliver one message.

        Args:
            message: The message as it came off its queue.
            alert: The alert that was read from it.
            requests: Asked right before each request to StockTwits; a pause leaves the message untried.
            alone: Whether no other message is being delivered. Otherwise one whose delivery was cut off before is left
                untried, so that no other message is blamed if it ends the function.

        Returns:
            The outcome; no exception of the collaborators passes.
        """
        key = idempotency_key(message, alert)
        try:
            claim = self.claim(key, alert.body, message.id)
        except RelayError as error:
            return _failed(error, key)
        except Exception as error:  # noqa: BLE001  one message's failure must not fail its neighbours
            return _failed(Retry(unexpected(error)), key)
        if claim.before:
            return _as_before(claim)
        attempt = _Attempt(self, claim, alert, requests)
        try:
            return attempt.postponed(alone=alone) or attempt.run()
        except RelayError as error:
            return attempt.failed(error)
        except Exception as error:  # noqa: BLE001  a defect of ours must not count as "nothing was sent"
            return attempt.failed(Unknown(unexpected(error)))


@dataclass
class _Attempt:
    """One claimed attempt: from looking at the stream to settling."""

    delivery: Delivery
    claim: Claim
    alert: Alert
    requests: Requests
    sent: bool = False

    def postponed(self, *, alone: bool) -> Outcome | None:
        """Leave for later what may end this function, while there are others; reject what ended three in a row."""
        if self.claim.cut_off >= MOST_CUT_OFF:  # the stream is not read: that may be what ends the function
            raise Reject(CUT_OFF)
        if alone or not self.claim.cut_off:
            return None
        remark = self._settle(self._nothing_tried())
        reason = "an earlier delivery was cut off: it is delivered on its own"
        return Outcome(Result.DEFERRED, self.claim.key, reason + remark, tried=False, alone=True)

    def run(self) -> Outcome:
        """Look for an earlier attempt's post, then post; raises `RelayError`."""
        if self.claim.perhaps_posted:
            with self.requests.slot():
                pause = self.requests.pause()
                if pause:
                    return self._untried(pause)
                found = self._find()
            if found:
                return self._posted(found, FOUND_ON_STREAM)
        expires_at = self.alert.expires_at
        if expires_at and expires_at.timestamp() <= self.delivery.now():
            at = datetime.fromtimestamp(self.delivery.now(), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            raise Reject(f"it expired at {expires_at.isoformat()}; it was {at} when its turn came")
        chart = self.delivery.prepare(self.alert)
        with self.requests.slot():
            pause = self.requests.pause()
            if pause:
                return self._untried(pause)
            send = self.delivery.send
            if send is None:
                remark = self._settle(self._nothing_sent(Status.DRY_RUN))
                return Outcome(Result.DRY_RUN, self.claim.key, NOTHING_SENT + remark, sent=True)
            self.sent = True
            try:
                published = self._ask(lambda: send(self.alert, chart))
            except Duplicate as error:
                if not self.claim.perhaps_posted:
                    raise
                return self._perhaps_our_own(error)
        return self._posted(published)

    def failed(self, error: RelayError) -> Outcome:
        """Settle what an error leaves behind, and return the message's outcome."""
        if isinstance(error, Reject) and self.claim.perhaps_posted:
            error = Reject(f"{error.reason} - {PERHAPS_POSTED}", status=error.status)
        if isinstance(error, Reject):
            perhaps = self.claim.perhaps_posted
            settlement = Settlement(Status.REJECTED, perhaps, reason=error.reason, http_status=error.status)
        elif isinstance(error, Unknown):
            settlement = Settlement(Status.UNKNOWN, reason=error.reason, http_status=error.status)
        else:
            settlement = self._nothing_sent()
        remark = self._settle(settlement)
        if isinstance(error, Retry) or (isinstance(error, Halt) and error.status is None):
            self.sent = False  # no answer caused it, so no request was sent either
        return _failed(error, self.claim.key, remark, sent=self.sent)

    def _untried(self, pause: Pause) -> Outcome:
        remark = self._settle(self._nothing_tried())
        return Outcome(Result.DEFERRED, self.claim.key, pause.reason + remark, pause=pause, tried=False)

    def _find(self) -> Published | None:
        return self._ask(lambda: self.delivery.find(self.alert.body, self.claim.first_claimed_at))

    def _ask(self, request: Callable[[], _Answer]) -> _Answer:
        """Make a request; if its answer imposes a pause, the batch stops before the next request begins."""
        try:
            return request()
        except RelayError as error:
            if error.pause:
                self.requests.stop(error.pause)
            raise

    def _posted(self, published: Published, reason: str = "") -> Outcome:
        remark = self._settle(Settlement(Status.POSTED, published=published))
        return Outcome(Result.POSTED, self.claim.key, reason + remark, published, sent=self.sent)

    def _perhaps_our_own(self, error: Duplicate) -> Outcome:
        """After an unknown attempt, a 422 "duplicate" may be about our own post, only now on the stream, or not."""
        pause = self.requests.pause()
        if pause:
            remark = self._settle(Settlement(Status.UNKNOWN, reason=error.reason, http_status=error.status))
            reason = f"{error.reason} - the account's stream was not checked: {pause.reason}{remark}"
            return Outcome(
                Result.DEFERRED, self.claim.key, reason, status=error.status, retry_at=pause.until, sent=self.sent
            )
        try:
            found = self._find()
        except RelayError as unreadable:
            return self.failed(Unknown(unreadable.reason, status=unreadable.status, pause=unreadable.pause))
        if found:
            return self._posted(found, FOUND_ON_STREAM)
        free_at = self.delivery.now() + DUPLICATE_WINDOW_SECONDS
        reason = (
            f"{error.reason}, but the account's stream does not show it: it is tried again in 30 minutes, when "
            "StockTwits accepts the text again"
        )
        remark = self._settle(Settlement(Status.UNKNOWN, reason=reason, http_status=error.status, lease_until=free_at))
        return Outcome(
            Result.DEFERRED, self.claim.key, reason + remark, status=error.status, retry_at=free_at, sent=self.sent
        )

    def _nothing_sent(self, status: Status = Status.RELEASED) -> Settlement:
        """This attempt posted nothing; whether an earlier one did stays as unknown as it was."""
        return Settlement(Status.UNKNOWN if self.claim.perhaps_posted else status)

    def _nothing_tried(self) -> Settlement:
        """This attempt did not even show that the message can be delivered to its end."""
        return replace(self._nothing_sent(), cut_off=self.claim.cut_off)

    def _settle(self, settlement: Settlement) -> str:
        """Write the settlement; a failure changes nothing of what happened, so it becomes a remark."""
        try:
            self.delivery.settle(self.claim, settlement)
        except Exception as error:  # noqa: BLE001  an unsettled claim reads as "perhaps posted": always safe
            return f" (the ledger could not be updated: {type(error).__name__})"
        return ""


def _as_before(claim: Claim) -> Outcome:
    """Repeat the final outcome that the ledger remembers."""
    if claim.before is Status.POSTED:
        return Outcome(Result.ALREADY_POSTED, claim.key, "the ledger has it as posted", claim.published)
    if claim.before is Status.REJECTED:
        return Outcome(Result.REJECTED, claim.key, claim.reason, status=claim.status)
    return Outcome(Result.DRY_RUN, claim.key, NOTHING_SENT)


def _failed(error: RelayError, key: str, remark: str = "", *, sent: bool = False) -> Outcome:
    return Outcome(
        Result.REJECTED if isinstance(error, Reject) else Result.DEFERRED,
        key,
        error.reason + remark,
        status=error.status,
        pause=error.pause,
        sent=sent,
    )


def unexpected(error: Exception) -> str:
    """Name a defect by its type and place; an exception's own text might contain a secret."""
    place = extract_tb(error.__traceback__)[-1]
    return f"unexpected {type(error).__name__} at {place.filename}:{place.lineno}: please report it"
