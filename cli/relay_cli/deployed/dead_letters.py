"""Dead letters: looked at without taking them away, sent again, dropped."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from relay.errors import Reject
from relay.posting import alert as messages
from relay.posting.delivery import PERHAPS_POSTED

from relay_cli.deployed import peek
from relay_cli.failure import WRONG, Failure
from relay_cli.text import at, one_line, read_moment, read_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from relay_cli.deployed.peek import Peek
    from relay_cli.deployed.stack import Stack

_NO_REASON = "no reason was kept with it: look for its message id in the log"
_GIVEN_UP = "SQS moved it here after its last receive: the log has the reason"
_MOST_ATTEMPTS, _MOST_STATUS = 1_000_000, 999


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
        attributes: All its message attributes, whoever wrote them.
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

    def __init__(self, stack: Stack, looked_into: Peek) -> None:
        """Take nothing yet."""
        self._sqs, self._outbox = stack.client("sqs"), stack.output("OutboxQueueUrl")
        self._peek = looked_into

    def letters(self) -> Iterator[DeadLetter]:
        """Return each letter once, about in the order in which they came; each is hidden from now on."""
        yield from map(_shown, self._peek.messages())

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
        self._peek.delete(letter.id)


@contextmanager
def opened(stack: Stack, complain: Callable[[str], None]) -> Iterator[DeadLetterBox]:
    """Look at Dead letters, and put them back at the end; `complain` is told what could not be."""
    with peek.into(stack, "DeadLetterQueueUrl", complain) as looked_into:
        yield DeadLetterBox(stack, looked_into)


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


def _shown(received: dict[str, Any]) -> DeadLetter:
    """Read a letter; one that cannot be read is shown all the same, as are the others beside it."""
    attributes = {
        name: str(value.get("StringValue", "")) for name, value in received.get("MessageAttributes", {}).items()
    }
    try:
        return _letter(received, attributes)
    except Exception as error:  # noqa: BLE001  publishers wrote it: whatever is wrong with it, it is this letter's alone
        name, body = received["MessageId"], received["Body"]
        reason = f"it cannot be read here ({type(error).__name__}): look for its message id in the log"
        return DeadLetter(name, reason, body, attributes.get("RelayKey") or name, None, 0, None, body, attributes)


def _letter(received: dict[str, Any], attributes: dict[str, str]) -> DeadLetter:
    system, body, post = received["Attributes"], received["Body"], None
    # SQS moves a message with the attributes of its publisher, and says from where: what we send has ours, and no such
    # word. No sender can take it away or add it, who may set AWSTraceHeader alone:
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
    moved = "DeadLetterQueueSourceArn" in system
    ours = {} if moved else attributes
    try:
        post = messages.read(body)
    except Reject:
        text = body
    else:
        text = post.body
    attempts = read_number(ours.get("Attempts"), _MOST_ATTEMPTS)
    return DeadLetter(
        id=received["MessageId"],
        reason=ours.get("RejectReason") or (_GIVEN_UP if moved else _NO_REASON),
        text=text,
        key=(post.key if post else None) or attributes.get("RelayKey") or received["MessageId"],
        first_seen=read_moment(ours.get("FirstSeen")) or at(int(system["SentTimestamp"]) / 1000),
        attempts=int(system["ApproximateReceiveCount"]) - 1 if attempts is None else attempts,
        status_code=read_number(ours.get("StatusCode"), _MOST_STATUS),
        body=body,
        attributes=attributes,
    )
