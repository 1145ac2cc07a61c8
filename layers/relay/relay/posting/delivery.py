"""One queue message to its outcome: claim it, look for what may already be posted, post it, settle it. Pure.

`Delivery.deliver` reads from top to bottom. What talks to AWS and to StockTwits comes in as plain callables.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from traceback import extract_tb
from typing import Any, Protocol

from relay.errors import Duplicate, Expired, Halt, NoId, NotYet, Pause, Reject, RelayError, Retry, Unknown
from relay.posting.alert import Alert, Reading
from relay.posting.outcome import Claim, Hold, IdTaken, Outcome, Published, Result, Settlement, Status
from relay.posting.reconciliation import Interrupted, Lost, Verdict
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

NOT_POSTED = "no attempt posted it: once the cause is gone, send it again"
"""The remark on a message that is given up although it could be posted."""

NOT_FOUND_IN_TIME = "StockTwits refused it as a duplicate, and half an hour later its stream does not show it either"
"""The reason of a message that StockTwits refuses as a duplicate, although nothing shows of what."""

NO_ID_TWICE = "StockTwits answered twice that it is posted, but not as which post, and its stream does not show it"
"""The reason of a message that StockTwits takes without naming the post."""

DUPLICATE_TWICE = "StockTwits refused it as a duplicate twice, and more than half an hour apart"
"""The reason of a message that waited by the rule ``WhenDuplicate``, in vain."""

FOR_HALF_AN_HOUR = "StockTwits takes it for a duplicate for half an hour"
"""What a message waits for by the rule ``WhenDuplicate``, in words."""

DUPLICATE_MARGIN_SECONDS = 60
"""How much longer than StockTwits' half hour a duplicate waits: both clocks may differ, and its post was made a moment
after the request."""

LATE_SECONDS = (10.0, 40.0)
"""After how many seconds a message is tried again whose chart or parent is not there; then that is final. Publishers
write a chart after the message as well as before, and StockTwits may show a new post to others a moment later."""

MOST_CUT_OFF = 3
"""How many deliveries of a message in a row may be cut off, by a time-out or by running out of memory. All but the
first were of this message alone, so it is the one that ends them."""

CUT_OFF = "three deliveries in a row were interrupted, by a time-out or lack of memory: see the function's log"
"""The reason of a message that ends the function which delivers it."""

EXPIRED = "it expired "
"""How the reason of a message begins whose time is over."""

NOTHING_SENT = "dry run: nothing was sent"
"""The remark of a dry run on every message."""


class Requests(Protocol):
    """The requests to StockTwits that one batch may still make, shared by its deliveries."""

    def slot(self) -> AbstractContextManager[object]:
        """Hold one of the requests at a time."""

    def pause(self) -> Pause | None:
        """Return why no further request may be made now, if so."""

    def stop(self, pause: Pause) -> None:
        """Begin no more requests: an answer imposed this pause."""

    def posted_since(self, moment: float) -> bool:
        """Return whether a message is known to have been posted since then, in seconds since the epoch."""


class View(Protocol):
    """What is known of the posts that a message may have to wait for."""

    @property
    def holds(self) -> tuple[Hold, ...]:
        """What keeps the message back."""

    @property
    def must_look(self) -> bool:
        """Whether an attempt of its own may have posted it, or its outcome is final: that comes first."""


class Spacing(Protocol):
    """The rules by which one post waits for another: `relay.posting.spacing`."""

    def look(self, key: str, alert: Alert) -> Any:  # noqa: ANN401  a `View`, which goes back into `take`
        """Return what keeps a message back; raises `RelayError`."""

    def take(self, key: str, alert: Alert, view: Any) -> tuple[Hold, ...]:  # noqa: ANN401
        """Take what the message needs, right before its request, or return what keeps it back; raises `RelayError`."""


def idempotency_key(message: QueueMessage, reading: Reading | None = None) -> str:
    """Return a message's idempotency key.

    The publisher's own in the JSON, else ``RelayKey`` of the envelope or of the message, else the id of the envelope,
    else that of the SQS message.
    """
    if reading is None:
        return message.relay_key or message.id
    return reading.alert.key or reading.relay_key or message.relay_key or reading.envelope_id or message.id


@dataclass(frozen=True)
class Delivery:
    """Takes one message to its outcome; safe to call from several threads.

    Attributes:
        claim: ``(key, alert, message_id)`` to a `Claim`; raises `Reject` (the key was used for another alert), `Retry`
            (another worker has it), `Halt` (no ledger).
        settle: ``(claim, settlement)``; raises `IdTaken` if the post is another key's. Whatever else it raises, the
            entry stays claimed, which is safe.
        known: Whether the ledger has an entry for a key.
        perhaps_posted: Whether an attempt under a key may have posted its alert, as far as the ledger knows.
        find: What the account's stream shows of a lost alert, read after a moment and while nothing pauses it; raises
            `RelayError` or `Interrupted`.
        send: Publishes an alert; None in a dry run. Raises `RelayError`; any other exception counts as unknown.
        page: The page of a post, by its id.
        prepare: Fetches an alert's chart and checks it before there is a request; raises `Reject` or `Retry`.
        now: The clock, in seconds since the epoch.
        spacing: Which posts a message waits for; None if for none.
        expiry_seconds: How long after it was sent a message expires that does not say when; 0 for never.
        expired_to_log: Whether messages that expired end in the log alone.
        rules_delay: Whether there is a rule by which a first attempt may come late.
        waits_as_duplicate: Whether a message that StockTwits refuses as a duplicate is tried once more half an hour
            later.
    """

    claim: Callable[[str, Alert, str, float], Claim]
    settle: Callable[[Claim, Settlement], None]
    known: Callable[[str], bool]
    perhaps_posted: Callable[[str], bool]
    find: Callable[[Lost, float, Callable[[], Pause | None]], Verdict]
    prepare: Callable[[Alert], bytes | None]
    send: Callable[[Alert, bytes | None], Published] | None
    page: Callable[[int], str]
    now: Callable[[], float]
    spacing: Spacing | None = None
    expiry_seconds: float = 0
    expired_to_log: bool = False
    waits_as_duplicate: bool = False
    rules_delay: bool = False

    def expires_at(self, message: QueueMessage, alert: Alert) -> float | None:
        """Return when a message expires, in seconds since the epoch, by its own word or by the owner's rule."""
        if alert.expires_at:
            return alert.expires_at.timestamp()
        if not self.expiry_seconds:
            return None
        not_before = alert.not_before.timestamp() if alert.not_before else 0
        return max(message.sent_at, not_before) + self.expiry_seconds

    def deliver(
        self,
        message: QueueMessage,
        reading: Reading,
        requests: Requests,
        *,
        alone: bool = False,
    ) -> Outcome:
        """Deliver one message.

        Args:
            message: The message as it came off its queue.
            reading: What was read in it.
            requests: Asked right before each request to StockTwits; a pause leaves the message untried.
            alone: Whether no other message is being delivered. Otherwise one whose delivery was cut off before is left
                untried, so that no other message is blamed if it ends the function.

        Returns:
            The outcome; no exception of the collaborators passes.
        """
        key = idempotency_key(message, reading)
        try:
            # Earlier versions knew a message in an envelope by its SQS id: what they left goes on under that.
            if key == reading.envelope_id and self.known(message.id):
                key = message.id
            expires_at = self.expires_at(message, reading.alert)
            view = self.spacing.look(key, reading.alert) if self.spacing else None
            if view and view.holds and not view.must_look and not self.is_over(expires_at):
                return held(key, view.holds, expires_at)
            claim = self.claim(key, reading.alert, message.id, message.sent_at)
        except Exception as error:  # noqa: BLE001  one message's failure must not fail its neighbours
            outcome = _failed(error if isinstance(error, RelayError) else Retry(unexpected(error)), key)
            # Nobody knows whether it is its first attempt; a defect would be met each time.
            return replace(outcome, late_by_rule=self.rules_delay and isinstance(error, Retry))
        if claim.before or claim.duplicate_until:
            return self._as_before(claim, expires_at)
        attempt = _Attempt(self, claim, reading.alert, requests, expires_at, view)
        try:
            outcome = attempt.postponed(alone=alone) or attempt.run()
        except RelayError as error:
            outcome = attempt.failed(error)
        except Exception as error:  # noqa: BLE001  a defect of ours must not count as "nothing was sent"
            outcome = attempt.failed(Unknown(unexpected(error)))
        return replace(outcome, late_by_rule=self.rules_delay and claim.first)

    def _as_before(self, claim: Claim, expires_at: float | None) -> Outcome:
        """Repeat the outcome that the ledger remembers; what expired ends where it was to end."""
        if claim.duplicate_until:  # SQS delivered it early, or once more
            return held(claim.key, (Hold("duplicate", FOR_HALF_AN_HOUR, claim.duplicate_until),), expires_at)
        if claim.before is Status.POSTED:
            return Outcome(Result.ALREADY_POSTED, claim.key, "the ledger has it as posted", claim.published)
        if claim.before is Status.REJECTED:
            to_log = self.expired_to_log and has_expired(claim.reason)
            result = Result.EXPIRED if to_log else Result.REJECTED
            return Outcome(result, claim.key, claim.reason, status=claim.status)
        return Outcome(Result.DRY_RUN, claim.key, NOTHING_SENT)

    def is_over(self, moment: float | None) -> bool:
        """Return whether a moment, in seconds since the epoch, has come; None never comes."""
        return moment is not None and moment <= self.now()

    def given_up(self, message: QueueMessage, key: str) -> str:
        """Return the remark on a message that is given up: whether any attempt may have posted it."""
        try:
            # Earlier versions knew it by its SQS id if it has no key of the publisher's.
            perhaps = any(self.perhaps_posted(each) for each in {key, message.id})
        except Exception:  # noqa: BLE001  who cannot know must look
            perhaps = True
        return PERHAPS_POSTED if perhaps else NOT_POSTED


@dataclass
class _Attempt:
    """One claimed attempt: from looking at the stream to settling."""

    delivery: Delivery
    claim: Claim
    alert: Alert
    requests: Requests
    expires_at: float | None
    view: View | None
    sent: bool = False
    no_id: bool = False

    def __post_init__(self) -> None:
        self.perhaps_posted = self.claim.perhaps_posted
        self.refused_at = self.claim.refused_at

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
        return (self._look() if self.perhaps_posted else None) or self._post()

    def _look(self) -> Outcome | None:
        """Look for an earlier attempt's post; None when it is certain that there is none, and it may be posted."""
        try:
            with self.requests.slot():
                found = self._find(self.claim.ended_at)
        except Interrupted as interrupted:
            return self._untried(interrupted.pause)
        if found:
            return self._posted(found, FOUND_ON_STREAM)
        if self.claim.status == HTTPStatus.UNPROCESSABLE_ENTITY:
            if self.delivery.now() < self.claim.ended_at + DUPLICATE_WINDOW_SECONDS:
                return self._look_again("StockTwits refused it as a duplicate", self.claim.status)
            raise Reject(NOT_FOUND_IN_TIME, status=self.claim.status)
        return None

    def _post(self) -> Outcome:
        self._check_expiry()
        chart = self.delivery.prepare(self.alert)
        if held_back := self._take():
            return held_back
        with self.requests.slot():
            pause = self.requests.pause()
            if pause:
                return self._untried(pause)
            self._check_expiry()  # what came before took its time
            send = self.delivery.send
            if send is None:
                remark = self._settle(self._nothing_sent(Status.DRY_RUN))
                return Outcome(Result.DRY_RUN, self.claim.key, NOTHING_SENT + remark, sent=True)
            self.sent = True
            try:
                published = self._publish(send, chart)
            except (Duplicate, NoId) as error:
                if isinstance(error, Duplicate) and not self.perhaps_posted:
                    raise
                return self._perhaps_our_own(error)
        try:
            return self._posted(Settlement(Status.POSTED, published=published), published.remark)
        except NoId as error:
            with self.requests.slot():
                return self._perhaps_our_own(error)

    def _take(self) -> Outcome | None:
        """Take what the owner's rules want for this post; None if it is taken, or not wanted."""
        if not (self.view and self.delivery.spacing):
            return None
        if pause := self.requests.pause():  # nothing will be sent, so nothing is written
            return self._untried(pause)
        holds = self.delivery.spacing.take(self.claim.key, self.alert, self.view)
        return held(self.claim.key, holds, self.expires_at, self._settle(self._nothing_tried())) if holds else None

    def _check_expiry(self) -> None:
        """Raise `Expired` if the message's time is over."""
        if self.expires_at is None or not self.delivery.is_over(self.expires_at):
            return
        own = self.alert.expires_at
        at = f"at {own.isoformat()}" if own else f"at {_utc(self.expires_at)}, by DefaultExpiryMinutes"
        raise Expired(f"{EXPIRED}{at}; it was {_utc(self.delivery.now())} when its turn came")

    def failed(self, error: RelayError) -> Outcome:
        """Settle what an error leaves behind, and return the message's outcome."""
        if isinstance(error, NotYet) and self.claim.late < len(LATE_SECONDS):
            return self._later(error)
        if isinstance(error, Duplicate) and self.sent and not self.perhaps_posted and self.delivery.waits_as_duplicate:
            if not self.claim.duplicates:
                return self._after_the_window(error)
            error = Reject(f"{DUPLICATE_TWICE}: {error.reason}", status=error.status)
        if isinstance(error, Reject) and self.perhaps_posted:
            error = Reject(f"{error.reason} - {PERHAPS_POSTED}", status=error.status)
        if isinstance(error, Reject):
            settlement = self._settlement(
                Status.REJECTED, perhaps_posted=self.perhaps_posted, reason=error.reason, http_status=error.status
            )
        elif isinstance(error, Unknown):
            # What StockTwits answered for its stream says nothing about this message.
            status = error.status if self.sent else self.claim.status
            settlement = self._settlement(Status.UNKNOWN, reason=error.reason, http_status=status)
        else:
            settlement = self._nothing_sent()
        remark = self._settle(settlement)
        if isinstance(error, Retry) or (isinstance(error, Halt) and error.status is None):
            self.sent = False  # no answer caused it, so no request was sent either
        outcome = _failed(error, self.claim.key, remark, sent=self.sent, no_id=self.no_id)
        if isinstance(error, Expired) and self.delivery.expired_to_log:
            return replace(outcome, result=Result.EXPIRED)
        return outcome

    def _after_the_window(self, error: Duplicate) -> Outcome:
        """Leave what StockTwits refuses as a duplicate until it has forgotten the earlier text, or it expires."""
        free_at = self.delivery.now() + DUPLICATE_WINDOW_SECONDS + DUPLICATE_MARGIN_SECONDS
        outcome = held(self.claim.key, (Hold("duplicate", FOR_HALF_AN_HOUR, free_at),), self.expires_at)
        lease_until = outcome.retry_at or free_at
        settlement = replace(self._nothing_sent(), duplicates=self.claim.duplicates + 1, lease_until=lease_until)
        remark = self._settle(settlement)
        reason = f"{error.reason}; by WhenDuplicate it is tried once more when half an hour is over{remark}"
        return replace(outcome, reason=reason, status=error.status, tried=True, sent=True)

    def _later(self, error: NotYet) -> Outcome:
        """Try again a moment later what may be there then."""
        seconds = LATE_SECONDS[self.claim.late]
        remark = self._settle(replace(self._nothing_sent(), late=self.claim.late + 1))
        reason = f"{error.reason}; it is tried again in {seconds:.0f} s{remark}"
        retry_at = self.delivery.now() + seconds
        return Outcome(Result.DEFERRED, self.claim.key, reason, status=error.status, retry_at=retry_at, sent=self.sent)

    def _untried(self, pause: Pause) -> Outcome:
        remark = self._settle(self._nothing_tried())
        return Outcome(Result.DEFERRED, self.claim.key, pause.reason + remark, pause=pause, tried=False)

    def _find(self, after: float) -> Settlement | None:
        """Look for this alert's post on the stream; None when it is certain that it was not posted."""
        lost = Lost(self.claim.key, self.alert.body, self.claim.first_claimed_at)
        try:
            found = self.delivery.find(lost, after, self.requests.pause)
        except RelayError as error:
            if error.pause:
                self.requests.stop(error.pause)
            raise
        if found.post_id is None:
            return None
        published = Published(found.post_id, self.delivery.page(found.post_id))
        return Settlement(Status.POSTED, published=published, certain=found.certain, answered=False)

    def _publish(self, send: Callable[[Alert, bytes | None], Published], chart: bytes | None) -> Published:
        """Publish; a refusal that pauses everyone, and comes to this message alone, is about this message."""
        try:
            return send(self.alert, chart)
        except RelayError as error:
            if error.pause and error.pause.probe and error.status:
                if self.refused_at and self.requests.posted_since(self.refused_at):
                    self.perhaps_posted |= isinstance(error, Unknown)
                    reason = f"StockTwits refused it twice, and took another message in between ({error.answer})"
                    raise Reject(reason, status=error.status) from None
                self.refused_at = self.delivery.now()
            if error.pause:  # the batch stops before the next request begins
                self.requests.stop(error.pause)
            raise

    def _posted(self, settlement: Settlement, remark: str) -> Outcome:
        published = settlement.published
        try:
            remark += self._settle(settlement)
        except IdTaken as taken:
            if not settlement.answered:
                raise Unknown(f"post {taken} on the account's stream is another message's by now") from None
            reason = f"StockTwits answered with post {taken}, which is another message's"
            raise NoId(reason, status=HTTPStatus.OK) from None
        return Outcome(Result.POSTED, self.claim.key, remark, published, sent=self.sent)

    def _perhaps_our_own(self, error: RelayError) -> Outcome:
        """Look at once what the stream shows.

        After an unknown attempt, a 422 "duplicate" may be about our own post, only now on the stream, or not. And a
        success without an id is one only if the stream has the post.
        """
        self.perhaps_posted = True
        self.no_id = isinstance(error, NoId)
        try:
            found = self._find(self.delivery.now())
            if found:
                return self._posted(found, FOUND_ON_STREAM)
        except Interrupted as interrupted:
            return self._unclear(error, f"the account's stream was not checked: {interrupted.pause.reason}")
        except Reject:
            raise
        except RelayError as unreadable:
            outcome = self._unclear(error, unreadable.reason)
            return replace(outcome, status=unreadable.status, pause=unreadable.pause, no_id=self.no_id)
        if self.no_id and (self.claim.status or 0) // 100 == HTTPStatus.OK // 100:
            raise Reject(NO_ID_TWICE, status=error.status)
        if self.no_id:
            raise error
        return self._look_again(error.reason, error.status)

    def _unclear(self, error: RelayError, why: str) -> Outcome:
        """Leave unknown what became of it, and remember StockTwits' answer."""
        reason = f"{error.reason}, but {why}"
        remark = self._settle(self._settlement(Status.UNKNOWN, reason=reason, http_status=error.status))
        return Outcome(Result.DEFERRED, self.claim.key, reason + remark, status=error.status, sent=self.sent)

    def _look_again(self, refusal: str, status: int | None) -> Outcome:
        """Leave what StockTwits refused as a duplicate until it would take the text again, and look for it then."""
        free_at = self.delivery.now() + DUPLICATE_WINDOW_SECONDS
        reason = f"{refusal}, but the account's stream does not show it: it is looked for once more in 30 minutes"
        remark = self._settle(self._settlement(Status.UNKNOWN, reason=reason, http_status=status, lease_until=free_at))
        return Outcome(
            Result.DEFERRED, self.claim.key, reason + remark, status=status, retry_at=free_at, sent=self.sent
        )

    def _settlement(self, status: Status, **fields: Any) -> Settlement:  # noqa: ANN401
        """Describe how the attempt ended; what was seen of the message before stays known until that is final.

        Whoever sends it anew under its key has fixed something: nothing is held against that message.
        """
        if status in {Status.REJECTED, Status.DRY_RUN}:
            return Settlement(status, **fields)
        claim = self.claim
        seen = {"late": claim.late, "duplicates": claim.duplicates, "untried": claim.untried}
        return Settlement(status, refused_at=self.refused_at, **seen | fields)

    def _nothing_sent(self, status: Status = Status.RELEASED) -> Settlement:
        """This attempt posted nothing; whether an earlier one did stays as unknown as it was."""
        if not self.perhaps_posted:
            return self._settlement(status)
        return self._settlement(Status.UNKNOWN, http_status=self.claim.status)

    def _nothing_tried(self) -> Settlement:
        """This attempt did not even show that the message can be delivered to its end."""
        return replace(self._nothing_sent(), cut_off=self.claim.cut_off, untried=self.claim.untried + 1)

    def _settle(self, settlement: Settlement) -> str:
        """Write the settlement; a failure changes nothing of what happened, so it becomes a remark.

        Raises:
            IdTaken: The post is another key's.
            Retry: The post was found on the stream, and nobody knows whether it is another key's.
        """
        try:
            self.delivery.settle(self.claim, settlement)
        except IdTaken:
            raise
        except Exception as error:  # noqa: BLE001  an unsettled claim reads as "perhaps posted": always safe
            remark = f"the ledger could not be updated: {type(error).__name__}"
            if not settlement.answered:
                raise Retry(f"the account's stream shows it, but {remark}") from None
            return f" ({remark})"
        return ""


def held(key: str, holds: tuple[Hold, ...], expires_at: float | None = None, remark: str = "") -> Outcome:
    """Return the outcome of a message that a rule keeps back, until the last of its holds ends or it expires."""
    last = max(holds, key=lambda each: each.until)
    until = last.until if expires_at is None else min(last.until, expires_at)
    reasons = dict.fromkeys(each.reason for each in sorted(holds, key=lambda each: each.until))
    reason = f"it waits until {_utc(until)}: {', and '.join(reasons)}{remark}"
    return Outcome(Result.DEFERRED, key, reason, retry_at=until, tried=False, holds=holds)


def has_expired(reason: str) -> bool:
    """Return whether a rejected message expired, by its reason, and no attempt can have posted it."""
    return reason.startswith(EXPIRED) and PERHAPS_POSTED not in reason


def _utc(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _failed(error: RelayError, key: str, remark: str = "", *, sent: bool = False, no_id: bool = False) -> Outcome:
    return Outcome(
        Result.REJECTED if isinstance(error, Reject) else Result.DEFERRED,
        key,
        error.reason + remark,
        status=error.status,
        pause=error.pause,
        sent=sent,
        no_id=no_id,
    )


def unexpected(error: Exception) -> str:
    """Name a defect by its type and place; an exception's own text might contain a secret."""
    place = extract_tb(error.__traceback__)[-1]
    return f"unexpected {type(error).__name__} at {place.filename}:{place.lineno}: please report it"
