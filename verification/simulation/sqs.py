"""SQS in memory: at-least-once and unordered delivery, with visibility timeouts, receipts, redrive and faults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

VISIBILITY_SECONDS = 360
MOST_SECONDS = 12 * 3600


@dataclass(eq=False)
class Stored:
    """A message in a queue."""

    id: str
    body: str
    attributes: dict[str, Any]
    sent_at: float
    visible_at: float
    receives: int = 0
    receipt: str = ""
    received_at: float = 0.0


@dataclass(eq=False)
class Queue:
    """A standard queue.

    Attributes:
        redrive: After how many receives a message moves, and to which queue.
        restless: How likely a receive returns an invisible message, and a deleted message returns.
        listeners: Called, once each, when a message is sent.
        hidden: Each change of a visibility time-out: the receipt, when it was made, and until when.
    """

    name: str
    random: Random
    redrive: tuple[int, Queue] | None = None
    restless: float = 0.0
    messages: list[Stored] = field(default_factory=list)
    listeners: list[Callable[[], None]] = field(default_factory=list)
    hidden: list[tuple[str, float, float]] = field(default_factory=list)
    sent: int = 0

    def send(self, body: str, attributes: dict[str, Any], now: float) -> str:
        self.sent += 1
        message_id = f"{self.name}-{self.sent}"
        self.messages.append(Stored(message_id, body, attributes, now, now))
        while self.listeners:
            self.listeners.pop()()
        return message_id

    def receive(self, most: int, now: float) -> list[Stored]:
        """Receive up to `most` messages; return copies of their current state."""
        received: list[Stored] = []
        for message in self._in_no_order():
            if len(received) == most:
                break
            if message.visible_at > now and not (message.receipt and self._redelivers()):
                continue
            if self.redrive and message.receives >= self.redrive[0]:
                self._move(message, self.redrive[1], now)
                continue
            message.receives += 1
            message.receipt = f"{message.id}/{message.receives}"
            message.received_at, message.visible_at = now, now + VISIBILITY_SECONDS
            received.append(message)
        return [Stored(**vars(message)) for message in received]

    def delete(self, receipt: str, now: float) -> None:
        """Delete the message of a receipt; with an outdated receipt, perhaps."""
        message = self._find(receipt)
        if message and (message.receipt == receipt or self.random.random() < 1 / 2):
            self.messages.remove(message)
            if self._redelivers():  # a server that was offline still has it
                message.visible_at = now + self.random.uniform(0, 600)
                self.messages.append(message)

    def set_visibility(self, receipt: str, seconds: float, now: float) -> bool:
        """Set a message's visibility timeout; return False if SQS refuses."""
        message = self._find(receipt)
        if message is None or message.receipt != receipt or now + seconds > message.received_at + MOST_SECONDS:
            return False
        message.visible_at = now + seconds
        self.hidden.append((receipt, now, message.visible_at))
        return True

    def counts(self, now: float) -> tuple[int, int]:
        """Return how many messages are visible, and how many are not."""
        visible = sum(message.visible_at <= now for message in self.messages)
        return visible, len(self.messages) - visible

    def next_visible(self) -> float | None:
        return min((message.visible_at for message in self.messages), default=None)

    def _in_no_order(self) -> list[Stored]:
        """Return the messages from a random position on, sometimes reversed."""
        place = self.random.randrange(len(self.messages)) if self.messages else 0
        messages = self.messages[place:] + self.messages[:place]
        return messages[::-1] if self.random.random() < 1 / 2 else messages

    def _redelivers(self) -> bool:
        return self.restless > 0 and self.random.random() < self.restless

    def _find(self, receipt: str) -> Stored | None:
        wanted = receipt.rpartition("/")[0]
        return next((each for each in self.messages if each.id == wanted), None)

    def _move(self, message: Stored, target: Queue, now: float) -> None:
        """Move a message to another queue; it keeps its id, its attributes and its count of receives."""
        self.messages.remove(message)
        message.receipt, message.visible_at = "", now
        target.messages.append(message)
