"""Result events: each post's final outcome on an EventBridge bus of the owner's. Only loaded when there is one.

Consumers get what `schema` describes, published as ``docs/result-events.schema.json``. An event may come twice, as a
message may; that of a delivery which a crash cut off comes when its message is received again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypedDict

import msgspec

from relay.aws_errors import AWS_ERRORS, error_code
from relay.posting.outcome import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relay.posting.outcome import Outcome
    from relay.queue_message import QueueMessage

SOURCE = "stocktwits-relay"
SUCCEEDED, REJECTED = "Post Succeeded", "Post Rejected"

MAX_ENTRIES = 10
"""Entries in one PutEvents: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html."""

MAX_REASON_CHARACTERS = 1000
"""Ten events with such reasons and texts stay below the 256 KB that PutEvents takes."""

ATTEMPTS = 2
"""How often an event is put, if the first time failed."""

NEEDED_SECONDS = 10.0
"""No event is put with less time left: both attempts take 6 s at most, and whoever called has an answer to give."""

_TYPES = {
    Result.POSTED: SUCCEEDED,
    Result.ALREADY_POSTED: SUCCEEDED,
    Result.REJECTED: REJECTED,
    Result.EXPIRED: REJECTED,
}
"""A dry run succeeds at nothing, and a deferred message has no final outcome yet."""


class Detail(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became of a message."""

    key: Annotated[str, msgspec.Meta(description="The idempotency key: the same for every event about one post.")]
    text: Annotated[
        str,
        msgspec.Meta(
            description="The post's text, at most 1000 characters, each link only up to its ?; empty when the message "
            "could not be read."
        ),
    ]
    stocktwits_id: Annotated[int | None, msgspec.Meta(description="The post's id at StockTwits; null when rejected.")]
    url: Annotated[str | None, msgspec.Meta(description="The post's page at StockTwits; null when rejected.")]
    reason: Annotated[
        str, msgspec.Meta(description="Why it was rejected, in plain words; of a post a remark, or empty.")
    ]
    status_code: Annotated[
        int | None, msgspec.Meta(description="StockTwits' HTTP status, when that is why it was rejected.")
    ]
    message_id: Annotated[str, msgspec.Meta(description="The SQS id of the message.")]
    queued_at: Annotated[str, msgspec.Meta(description="When the message was sent: ISO 8601 in UTC.")]
    attempts: Annotated[int, msgspec.Meta(description="How often the message was received.")]


class Entry(TypedDict):
    """An event as PutEvents takes it."""

    EventBusName: str
    Source: str
    DetailType: str
    Detail: str


class Events(Protocol):
    """The part of botocore's client that is used here."""

    def put_events(self, *, Entries: Sequence[Entry]) -> dict[str, Any]:  # noqa: N803  AWS names its own arguments
        """Put events on their buses; the answer has an entry for each, with an ``ErrorCode`` if it failed."""


class ResultEvents:
    """Puts the final outcomes of deliveries on a bus."""

    def __init__(self, events: Callable[[], Events], bus: str) -> None:
        """Use the bus of this name; `events` gives the client when it is first needed."""
        self._events = events
        self._bus = bus

    def put(self, delivered: Sequence[tuple[QueueMessage, Outcome]], seconds_left: Callable[[], float]) -> list[str]:
        """Put an event for each final outcome; what failed is tried once more.

        Args:
            delivered: Messages with their outcomes.
            seconds_left: How long this invocation may still run.

        Returns:
            A line for each event that did not get there. It never raises: nothing of this may cost a post.
        """
        final = [(message, outcome) for message, outcome in delivered if outcome.result in _TYPES]
        lost: list[str] = []
        for start in range(0, len(final), MAX_ENTRIES):
            batch = final[start : start + MAX_ENTRIES]
            codes = self._put(batch, seconds_left)
            lost += [
                f"the result event of message {message.id} could not be put on {self._bus}: {code}"
                for (message, _), code in zip(batch, codes, strict=True)
                if code
            ]
        return lost

    def _put(self, batch: Sequence[tuple[QueueMessage, Outcome]], seconds_left: Callable[[], float]) -> list[str]:
        """Put a batch, and return an error's code for each event, empty for those that got there."""
        codes = ["no time was left"] * len(batch)
        for _ in range(ATTEMPTS):
            open_ = [i for i, code in enumerate(codes) if code]
            if not open_ or seconds_left() < NEEDED_SECONDS:
                break
            try:
                answer = self._events().put_events(Entries=[self._entry(*batch[i]) for i in open_])
                given = [each.get("ErrorCode", "") for each in answer["Entries"]]
            except AWS_ERRORS as error:
                given = [error_code(error)] * len(open_)
            except Exception as error:  # noqa: BLE001  a defect here must not cost a post either
                given = [type(error).__name__] * len(open_)
            for i, code in zip(open_, given, strict=False):
                codes[i] = code
        return codes

    def _entry(self, message: QueueMessage, outcome: Outcome) -> Entry:
        detail = Detail(
            key=outcome.key,
            text=outcome.text,
            stocktwits_id=outcome.published.id if outcome.published else None,
            url=outcome.published.url if outcome.published else None,
            reason=outcome.reason[:MAX_REASON_CHARACTERS],
            status_code=outcome.status,
            message_id=message.id,
            queued_at=message.queued_at,
            attempts=message.receive_count,
        )
        return {
            "EventBusName": self._bus,
            "Source": SOURCE,
            "DetailType": _TYPES[outcome.result],
            "Detail": msgspec.json.encode(detail).decode(),
        }


def schema() -> dict[str, Any]:
    """Return the JSON schema of an event as a rule's target gets it, as far as it is ours."""
    (_, components) = msgspec.json.schema_components([Detail], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A result event of StockTwits Relay",
        "type": "object",
        "properties": {
            "source": {"const": SOURCE},
            "detail-type": {"enum": [SUCCEEDED, REJECTED]},
            "detail": components["Detail"],
        },
        "required": ["source", "detail-type", "detail"],
    }
