"""Read the messages of a queue without consuming them.

SQS has no such operation: messages are received, which hides them from other consumers, and made visible again at the
end.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from relay.queue_message import QueueMessage
from relay.queues import MAX_BATCH, Queue

from relay_cli.failure import Failure
from relay_cli.text import length

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from relay_cli.deployed.stack import Stack

HIDDEN_SECONDS = 120
"""How long a message stays hidden if it cannot be made visible again; reading thousands takes less time."""


class Peek:
    """An open queue; see `open_queue`."""

    def __init__(self, stack: Stack, output: str) -> None:
        """Receive nothing yet."""
        self._sqs, self._url = stack.client("sqs"), stack.output(output)
        self._queue = Queue(lambda: self._sqs, self._url)
        self._received: dict[str, QueueMessage] = {}

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield each message once, roughly in the order in which they were sent; each stays hidden from then on."""
        seen: set[str] = set()
        while True:
            received = self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=MAX_BATCH,
                WaitTimeSeconds=1,  # a long poll asks all of SQS's servers
                VisibilityTimeout=HIDDEN_SECONDS,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            ).get("Messages", [])
            for each in received:
                self._received[each["MessageId"]] = _message(each)
            fresh = [each for each in received if each["MessageId"] not in seen]
            if not fresh:
                return
            seen.update(each["MessageId"] for each in fresh)
            yield from fresh

    def delete(self, message_id: str) -> None:
        """Delete a message that was received.

        Raises:
            Failure: It could not be deleted.
        """
        if failures := self._queue.delete([self._received[message_id]]):
            raise Failure(f"{failures[0]}.")
        del self._received[message_id]

    def put_back(self) -> list[str]:
        """Make the received messages visible again; return a line for each that stays hidden for a while."""
        received, self._received = list(self._received.values()), {}
        failures = self._queue.set_visibility([(each, 0) for each in received])
        return [f"{each}; it stays hidden for up to {length(HIDDEN_SECONDS)}" for each in failures]


@contextmanager
def open_queue(stack: Stack, output: str, on_failure: Callable[[str], None]) -> Iterator[Peek]:
    """Open the queue whose URL is an output of the stack, and make its messages visible again at the end.

    `on_failure` gets a line for each message that could not be made visible.
    """
    peek = Peek(stack, output)
    try:
        yield peek
    finally:
        for line in peek.put_back():
            on_failure(line)


def _message(received: dict[str, Any]) -> QueueMessage:
    system = received["Attributes"]
    return QueueMessage(
        id=received["MessageId"],
        body=received["Body"],
        receipt_handle=received["ReceiptHandle"],
        receive_count=int(system["ApproximateReceiveCount"]),
        sent_at=int(system["SentTimestamp"]) / 1000,
    )
