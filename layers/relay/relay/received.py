"""A message as it came off a queue, before anybody read it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relay.message import Post


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it came off a queue.

    Attributes:
        id: Its SQS message id, kept along a redrive.
        body: Its untouched body.
        receipt_handle: What deleting it or changing its visibility takes.
        receive_count: How often it was received, this time included.
        sent_at: When it was sent, in seconds since the epoch.
        relay_key: Its message attribute ``RelayKey``, set by whoever moved it for us.
    """

    id: str
    body: str
    receipt_handle: str
    receive_count: int
    sent_at: float
    relay_key: str | None = None

    @property
    def queued_at(self) -> str:
        """When it was sent, as logs and events show it: ISO 8601 in UTC."""
        return datetime.fromtimestamp(self.sent_at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def key(self, post: Post | None) -> str:
        """Return the idempotency key: the publisher's own, else ``RelayKey``, else the SQS message id."""
        return (post.key if post else None) or self.relay_key or self.id
