"""A message as it came off a queue, before it was read. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """One message as it came off a queue.

    Attributes:
        id: Its SQS message id, kept when SQS moves the message after its last receive; a redrive by hand
            (``StartMessageMoveTask``) gives a new one.
        body: Its untouched body.
        receipt_handle: What SQS asks for to delete it or to change its visibility.
        receive_count: How often it was received, this time included.
        sent_at: When it was sent, in seconds since the epoch.
        replaces_key: Its message attribute ``ReplacesKey``, the key of the dead letter that an operator edited into it.
        first_received_at: When it was first received, in the same way; None where nobody asked SQS for it.
        relay_key: Its message attribute ``RelayKey``, which keeps its idempotency key when it is sent again.
    """

    id: str
    body: str
    receipt_handle: str
    receive_count: int
    sent_at: float
    relay_key: str | None = None
    first_received_at: float | None = None
    replaces_key: str | None = None

    @property
    def queued_at(self) -> str:
        """When it was sent, as logs and events show it: ISO 8601 in UTC."""
        return datetime.fromtimestamp(self.sent_at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
