"""What is known of a message before, during and after its delivery. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from relay.errors import Pause


class Result(StrEnum):
    """What became of a message; all but `DEFERRED` are final. `EXPIRED` ones end in the log, rejected ones do not."""

    POSTED = "posted"
    ALREADY_POSTED = "already_posted"
    REJECTED = "rejected"
    DRY_RUN = "dry_run"
    EXPIRED = "expired"
    DEFERRED = "deferred"


class Status(StrEnum):
    """The state of a key in the ledger; "claimed" past its lease means: perhaps posted."""

    CLAIMED = "claimed"
    POSTED = "posted"
    REJECTED = "rejected"
    DRY_RUN = "dry_run"
    RELEASED = "released"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Published:
    """A post as StockTwits knows it.

    Attributes:
        id: Its id.
        url: Its page.
        remark: How it differs from what was sent, for an operator; empty if it does not.
        text_altered: Whether StockTwits shows another text than was sent, shortened links aside.
    """

    id: int
    url: str
    remark: str = ""
    text_altered: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """A key taken for one attempt, and what was known of it before.

    Attributes:
        key: The idempotency key.
        id: This attempt's own mark, so that only its holder settles it.
        before: The final status it had (then there is nothing to do), or None.
        perhaps_posted: Whether an earlier attempt ended without a known outcome.
        ended_at: When the last attempt had ended for certain, in seconds since the epoch.
        first_claimed_at: When the first attempt not known to have failed began, in seconds since the epoch.
        published: The post, when it was posted before.
        reason: The reason, when it was rejected before.
        status: StockTwits' HTTP status in the last settled attempt, if any.
        cut_off: How many attempts before this one, in a row, ended without a settlement.
        late: How many attempts ended because a chart or a parent was not there yet.
        refused_at: When StockTwits last refused this message so that everyone was paused; 0 if it never did.
        duplicates: How many attempts StockTwits refused as a duplicate, and were left for later.
        untried: How many claims were released without an attempt, since a rule or a pause came first.
        first: Whether it is the first attempt under its key.
        duplicate_until: Until when it is left for that reason, in seconds since the epoch; then there is nothing to do
            before. 0 if it is not.
    """

    key: str
    id: str
    before: Status | None = None
    perhaps_posted: bool = False
    ended_at: float = 0.0
    first_claimed_at: float = 0.0
    published: Published | None = None
    reason: str = ""
    status: int | None = None
    cut_off: int = 0
    late: int = 0
    refused_at: float = 0.0
    duplicates: int = 0
    untried: int = 0
    first: bool = False
    duplicate_until: float = 0.0


class IdTaken(Exception):
    """The id of a post belongs to another key."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an attempt ended, as the ledger keeps it.

    Attributes:
        status: How it ended.
        perhaps_posted: Whether an earlier attempt may have posted it, so that whoever claims it again looks first.
        published: The post, if there is one.
        reason: Why there is none.
        http_status: StockTwits' HTTP status, if it refused.
        lease_until: Until when nobody else may claim an unknown outcome, in seconds since the epoch.
        cut_off: The claim's count of attempts that were cut off, if this attempt was not made after all.
        certain: Whether the post is this alert's by StockTwits' answer, or by its very text.
        answered: Whether StockTwits' answer named the post; otherwise it was found on the stream.
        late: How many attempts ended because a chart or a parent was not there yet.
        refused_at: When StockTwits last refused this message so that everyone was paused; 0 if it never did.
        duplicates: How many attempts StockTwits refused as a duplicate, and were left for later.
        untried: How many claims were released without an attempt, since a rule or a pause came first.
    """

    status: Status
    perhaps_posted: bool = False
    published: Published | None = None
    reason: str = ""
    http_status: int | None = None
    lease_until: float = 0.0
    cut_off: int = 0
    certain: bool = True
    answered: bool = True
    late: int = 0
    refused_at: float = 0.0
    duplicates: int = 0
    untried: int = 0


@dataclass(frozen=True, slots=True)
class Hold:
    """What keeps one message back, although the gate is open: a rule of the owner's, or the message's own.

    Attributes:
        cause: A short label: ``not_before``, ``alike``, ``symbol`` or ``duplicate``.
        reason: What it waits for, in words.
        until: When that ends, in seconds since the epoch.
    """

    cause: str
    reason: str
    until: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message in one delivery.

    Attributes:
        result: The outcome's name.
        key: The idempotency key.
        reason: For an operator: why it was rejected or deferred, or a remark.
        published: The post's id and page, when there is one.
        status: StockTwits' HTTP status, when it refused.
        pause: The pause this outcome imposes on everyone, or that kept it from being tried.
        retry_at: Not before this moment again, in seconds since the epoch; None: after the queue's own back-off.
        tried: Whether an attempt was made; an untried message waits for the gate alone, without back-off.
        alone: Whether it was left untried because it may only be delivered while no other message is.
        sent: Whether a request to publish was sent, and so counts towards the pace.
        no_id: Whether StockTwits answered with success, and nothing showed as which post.
        holds: What keeps it back by a rule of the owner's or its own; that is not a failure, and sets off no alarm.
        late_by_rule: Whether a rule of the owner's may be why its first attempt came only now.
        text: The alert's text as `relay.posting.alert.shown` returns it; empty when the message could not be read.
        sentiment: The alert's sentiment, when it has one.
        high: Whether it is a message of high priority.
        expires_at: When it expires, in seconds since the epoch; None if it never does, or could not be read.
        not_before: The alert's own, in seconds since the epoch; 0 if it has none.
    """

    result: Result
    key: str
    reason: str = ""
    published: Published | None = None
    status: int | None = None
    pause: Pause | None = None
    retry_at: float | None = None
    tried: bool = True
    alone: bool = False
    sent: bool = False
    no_id: bool = False
    holds: tuple[Hold, ...] = ()
    late_by_rule: bool = False
    text: str = ""
    sentiment: str | None = None
    high: bool = False
    expires_at: float | None = None
    not_before: float = 0.0

    @property
    def done(self) -> bool:
        """Whether the message can leave its queue."""
        return self.result is not Result.DEFERRED

    @property
    def paused_everyone(self) -> bool:
        """Whether StockTwits' answer to this message closed the gate until a better answer to another one."""
        return bool(self.pause and self.pause.probe and self.tried and self.status)
