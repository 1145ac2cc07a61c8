"""Dead letters: looked at without taking them away, sent again, dropped.

SQS has no way to look. A letter is received, which hides it from everybody for a while, and is put back at the end.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from relay import message as messages
from relay.delivery import PERHAPS_POSTED
from relay.errors import Reject
from relay.queues import MAX_BATCH, Queue
from relay.received import Message

from relay_cli.failure import WRONG, Failure
from relay_cli.wording import at, length, one_line, read_moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from relay_cli.stack import Stack

HIDDEN_SECONDS = 120
"""For how long a letter that is looked at is hidden, if it cannot be put back."""

_NO_REASON = "no reason was kept with it: look for its message id in the log"
_GIVEN_UP = "SQS moved it here after its last receive: the log has the reason"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be posted.

    Attributes:
        id: Its SQS message id in Dead letters.
        reason: Why, in words.
        text: What it says; when it cannot be read, its body.
        key: Its idempotency key.
        first_seen: When it was published.
        attempts: How often it was received before.
        status_code: StockTwits' HTTP status, if one decided it.
        body: The original body, untouched.
        attributes: All its message attributes.
    """

    id: str
    reason: str
    text: str
    key: str
    first_seen: datetime | None
    attempts: int
    status_code: int | None
    body: str
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def perhaps_posted(self) -> bool:
        """Whether an earlier attempt may have posted it: whoever retries it reads the stream first."""
        return PERHAPS_POSTED in self.reason

    @property
    def relay_key(self) -> str:
        """The ``RelayKey`` that makes a retry the same post: a key of the message's own wins over it in any case."""
        return self.attributes.get("RelayKey") or self.id


class DeadLetterBox:
    """Dead letters while somebody looks at them; see `opened`."""

    def __init__(self, stack: Stack) -> None:
        """Take nothing yet."""
        self._sqs = stack.client("sqs")
        self._url, self._outbox = stack.output("DeadLetterQueueUrl"), stack.output("OutboxQueueUrl")
        self._queue = Queue(lambda: self._sqs, self._url)
        self._held: dict[str, Message] = {}

    def letters(self) -> Iterator[DeadLetter]:
        """Return each letter once, about in the order in which they came; each is hidden from now on."""
        seen: set[str] = set()
        while True:
            # A second is waited, so that all of SQS looks.
            received = self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=MAX_BATCH,
                WaitTimeSeconds=1,
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
            yield from map(_letter, fresh)

    def named(self, names: list[str]) -> list[DeadLetter]:
        """Return the letters with these ids, or beginnings of ids.

        Raises:
            Failure: There is none with such an id, or more than one.
        """
        letters = list(self.letters())
        return [_named(name, letters) for name in dict.fromkeys(names)]

    def retry(self, letter: DeadLetter) -> None:
        """Send a letter's untouched body to the Outbox with its key, and only then delete it here.

        Raises:
            ClientError, BotoCoreError: It was not sent; it is still here.
            Failure: It was sent, but could not be deleted here.
        """
        key = {"DataType": "String", "StringValue": letter.relay_key}
        self._sqs.send_message(QueueUrl=self._outbox, MessageBody=letter.body, MessageAttributes={"RelayKey": key})
        try:
            self.drop(letter)
        except Failure as failure:
            raise Failure(
                f"{letter.id} was sent to the Outbox with its key, but {failure.reason} Drop it: it is done."
            ) from None

    def drop(self, letter: DeadLetter) -> None:
        """Delete a letter.

        Raises:
            Failure: It is still here.
        """
        if complaints := self._queue.delete([self._held[letter.id]]):
            raise Failure(f"{complaints[0]}.")
        del self._held[letter.id]

    def put_back(self) -> list[str]:
        """Let everybody see again what is still here; return a line for each letter that stays hidden for a while."""
        held, self._held = list(self._held.values()), {}
        complaints = self._queue.hold([(each, 0) for each in held])
        return [f"{each}; it stays hidden for {length(HIDDEN_SECONDS)} at most" for each in complaints]


@contextmanager
def opened(stack: Stack, complain: Callable[[str], None]) -> Iterator[DeadLetterBox]:
    """Look at Dead letters, and put them back at the end; `complain` is told what could not be."""
    box = DeadLetterBox(stack)
    try:
        yield box
    finally:
        for line in box.put_back():
            complain(line)


def _named(name: str, letters: list[DeadLetter]) -> DeadLetter:
    found = [each for each in letters if each.id.startswith(name)] if name else []
    if not found:
        raise Failure(
            f"There is no dead letter {one_line(name, 80)}: `relay dead list` shows those there are, "
            f"except for what somebody else looks at just now.",
            WRONG,
        )
    if len(found) > 1:
        raise Failure(f"{len(found)} dead letters begin with {name}: write more of the id.", WRONG)
    return found[0]


def _message(received: dict[str, Any]) -> Message:
    system = received["Attributes"]
    return Message(
        id=received["MessageId"],
        body=received["Body"],
        receipt_handle=received["ReceiptHandle"],
        receive_count=int(system["ApproximateReceiveCount"]),
        sent_at=int(system["SentTimestamp"]) / 1000,
    )


def _letter(received: dict[str, Any]) -> DeadLetter:
    attributes = {
        name: str(value.get("StringValue", "")) for name, value in received.get("MessageAttributes", {}).items()
    }
    system, body, post = received["Attributes"], received["Body"], None
    try:
        post = messages.read(body)
    except Reject:
        text = body
    else:
        text = post.body
    status, attempts = attributes.get("StatusCode", ""), attributes.get("Attempts", "")
    return DeadLetter(
        id=received["MessageId"],
        reason=attributes.get("RejectReason") or (_GIVEN_UP if "DeadLetterQueueSourceArn" in system else _NO_REASON),
        text=text,
        key=(post.key if post else None) or attributes.get("RelayKey") or received["MessageId"],
        first_seen=read_moment(attributes.get("FirstSeen")) or at(int(system["SentTimestamp"]) / 1000),
        attempts=int(attempts) if attempts.isdecimal() else int(system["ApproximateReceiveCount"]) - 1,
        status_code=int(status) if status.isdecimal() else None,
        body=body,
        attributes=attributes,
    )
