"""What is in a queue, looked at without taking it away.

SQS has no way to look. A message is received, which hides it from everybody for a while, and is put back at the end.
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
"""For how long a message that is looked at is hidden, if it cannot be put back; to read thousands takes less."""


class Peek:
    """A queue while somebody looks into it; see `into`."""

    def __init__(self, stack: Stack, output: str) -> None:
        """Take nothing yet."""
        self._sqs, self._url = stack.client("sqs"), stack.output(output)
        self._queue = Queue(lambda: self._sqs, self._url)
        self._held: dict[str, QueueMessage] = {}

    def messages(self) -> Iterator[dict[str, Any]]:
        """Return each message once as SQS has it, about in the order in which they came; each is hidden from now on."""
        seen: set[str] = set()
        while True:
            received = self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=MAX_BATCH,
                WaitTimeSeconds=1,  # so that all of SQS looks
                VisibilityTimeout=HIDDEN_SECONDS,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            ).get("Messages", [])
            for each in received:
                self._held[each["MessageId"]] = _message(each)
            fresh = [each for each in received if each["MessageId"] not in seen]
            if not fresh:
                return
            seen.update(each["MessageId"] for each in fresh)
            yield from fresh

    def delete(self, message_id: str) -> None:
        """Delete a message that was seen.

        Raises:
            Failure: It is still here.
        """
        if complaints := self._queue.delete([self._held[message_id]]):
            raise Failure(f"{complaints[0]}.")
        del self._held[message_id]

    def put_back(self) -> list[str]:
        """Let everybody see again what is still here; return a line for each that stays hidden for a while."""
        held, self._held = list(self._held.values()), {}
        complaints = self._queue.set_visibility([(each, 0) for each in held])
        return [f"{each}; it stays hidden for {length(HIDDEN_SECONDS)} at most" for each in complaints]


@contextmanager
def into(stack: Stack, output: str, complain: Callable[[str], None]) -> Iterator[Peek]:
    """Look into the queue whose URL is a stack's output, and put everything back at the end.

    `complain` is told what could not be put back.
    """
    peek = Peek(stack, output)
    try:
        yield peek
    finally:
        for line in peek.put_back():
            complain(line)


def _message(received: dict[str, Any]) -> QueueMessage:
    system = received["Attributes"]
    return QueueMessage(
        id=received["MessageId"],
        body=received["Body"],
        receipt_handle=received["ReceiptHandle"],
        receive_count=int(system["ApproximateReceiveCount"]),
        sent_at=int(system["SentTimestamp"]) / 1000,
    )
