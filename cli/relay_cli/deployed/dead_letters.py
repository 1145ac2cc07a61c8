"""Dead letters: list them without consuming them, retry them, drop them."""

from __future__ import annotations

import hashlib
import json
import shlex
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError
from relay import client
from relay.errors import Reject
from relay.posting.alert import MAX_KEY_CHARACTERS, read_message
from relay.posting.delivery import PERHAPS_POSTED, idempotency_key
from relay.posting.outcome import Status
from relay.queue_message import QueueMessage

from relay_cli import drafts
from relay_cli.deployed import peek
from relay_cli.deployed.ledger import Items, pk
from relay_cli.failure import USAGE, Failure, from_aws_error
from relay_cli.text import at, one_line, read_moment, read_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from relay.posting.alert import Reading

    from relay_cli.deployed.ledger import Entry
    from relay_cli.deployed.peek import Peek
    from relay_cli.deployed.stack import Stack
    from relay_cli.drafts import Draft

SHORT_ID = 8
"""How many characters of an id are shown: enough to identify a letter."""

_NO_REASON = "it has no reason: look for its message id in the log"
_GIVEN_UP = "SQS moved it here after its last receive: see the log for the reason"
_UNREADABLE = "it cannot be parsed"
_WITHOUT_REASON = (_NO_REASON, _GIVEN_UP, _UNREADABLE)
_MOST_ATTEMPTS, _MOST_STATUS = 1_000_000, 999


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be posted.

    Attributes:
        id: Its SQS message id in Dead letters.
        reason: Why it could not be posted.
        text: Its text; its body if that cannot be parsed.
        key: Its idempotency key.
        first_seen: When it was published.
        attempts: How often it was received before.
        status_code: StockTwits' HTTP status, if that was the reason.
        body: The original body, unchanged.
        attributes: All its message attributes, trusted or not.
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
        """Whether an earlier attempt may have posted it: a retry then reads the account's stream first."""
        return PERHAPS_POSTED in self.reason

    @property
    def surely_not_posted(self) -> bool:
        """Whether the relay gave a reason, and one that rules out that an earlier attempt posted it."""
        return not self.perhaps_posted and not self.reason.startswith(_WITHOUT_REASON)

    @property
    def editable(self) -> str:
        """What an operator edits: its text, its fields if it has others, or its body if it cannot be read."""
        reading = _read(self.body)
        if reading is None:
            return self.body
        fields = {
            name: value
            for name, value in msgspec.to_builtins(reading.alert).items()
            if value is not None and name != "key"
        }
        return json.dumps(fields, indent=2, ensure_ascii=False) if len(fields) > 1 else reading.alert.body


class DeadLetterBox:
    """The open queue Dead letters; see `open_box`."""

    def __init__(self, stack: Stack, queue: Peek) -> None:
        """Receive nothing yet."""
        self._stack, self._queue = stack, queue
        self._ledger: Items | None = None
        self._ids: dict[str, list[str]] = {}  # by key

    def letters(self) -> Iterator[DeadLetter]:
        """Yield each letter once, roughly in the order in which they arrived; each stays hidden from then on."""
        for letter in map(_parse, self._queue.messages()):
            self._ids.setdefault(letter.key, []).append(letter.id)
            yield letter

    def find(self, ids: list[str]) -> list[DeadLetter]:
        """Return the letters with these ids or prefixes of ids.

        Raises:
            Failure: No letter matches one of them, or several do.
        """
        letters = list(self.letters())
        return [_find(each, letters) for each in dict.fromkeys(ids)]

    def retry(self, letter: DeadLetter, others: Sequence[DeadLetter] = ()) -> str:
        """Send a letter's unchanged body to the Outbox with its key, then delete it from Dead letters.

        Args:
            letter: The letter.
            others: Those that are retried with it: the ledger is read for all of them at once.

        Returns:
            Its key, which makes the retry the same post.

        Raises:
            ClientError, BotoCoreError: It could not be looked up in the ledger, and remains in Dead letters.
            Failure: It was not sent, or may not have been, and remains in Dead letters; or it was sent, but could not
                be deleted. The reason says which. A letter of which an edit was sent is not: it would be another post.
        """
        ledger = self._read_ledger(letter, [name for each in (letter, *others) for name in _retry_keys(each)])
        self._refuse_if_edited(letter, ledger)
        key = letter.id if _known_by_id(letter) and ledger.entry(letter.id) else letter.key
        self._send(
            letter,
            letter.body,
            key,
            letter.attributes.get("ReplacesKey", ""),
            f"SQS did not confirm that it took {letter.id}, which stays in Dead letters, and may have been sent with "
            f"its key {one_line(key, MAX_KEY_CHARACTERS)}. Retry it again, which is the same post; do not edit it, "
            "which would be another.",
        )
        advice = "Drop it: it needs no retry, and an edit would be another post."
        self._drop_after_sending(letter, "with its key", advice)
        return key

    def doubt(self, letter: DeadLetter) -> str:
        """Return what the ledger knows that makes an edit of a letter a second post, in a sentence; empty if nothing.

        Raises:
            ClientError, BotoCoreError: The ledger cannot be read.
            Failure: An edit of the letter was sent before, or the ledger is too busy.
        """
        keys = [letter.key, letter.id] if _known_by_id(letter) else [letter.key]
        keys = [each for each in keys if len(each) <= MAX_KEY_CHARACTERS]  # there are no entries of longer ones
        ledger = self._read_ledger(letter, [*keys, edit_key(letter)])
        self._refuse_if_edited(letter, ledger)
        for key in keys:
            entry = ledger.entry(key)
            if entry and (entry.perhaps_posted or entry.status in {Status.POSTED, Status.RELEASED}):
                return f"A message with its key {one_line(key, MAX_KEY_CHARACTERS)} {_in_words(entry)}."
        return ""

    def same_key(self, letter: DeadLetter) -> list[str]:
        """Return the ids of the other letters with a letter's key, as far as they were read."""
        return [each for each in self._ids.get(letter.key, ()) if each != letter.id]

    def replace(self, letter: DeadLetter, edited: Draft) -> None:
        """Send an edited letter to the Outbox as a new message that names the letter's key, then delete the letter.

        Args:
            letter: The letter.
            edited: What is sent in its place; see `replacement`.

        Raises:
            Failure: It was not sent, or may not have been, and the letter remains in Dead letters; or it was sent, but
                the letter could not be deleted. The reason says which.
        """
        key, short = one_line(edited.key, MAX_KEY_CHARACTERS), letter.id[:SHORT_ID]
        advice = (
            f"Do not retry {short}, which would be another post: drop it once `relay posts --key {shlex.quote(key)}` "
            "shows the edit."
        )
        self._send(
            letter,
            edited.body,
            edited.relay_key,
            letter.key[:MAX_KEY_CHARACTERS],
            f"SQS did not confirm that it took the edited message, which may have been sent with the key {key}; "
            f"{short} stays in Dead letters. {advice} If it does not within some minutes, run "
            f"`relay dead edit {short}` again: under this key, at most one of the edits is posted.",
        )
        self._drop_after_sending(letter, f"edited, with the key {key}", advice)

    def drop(self, letter: DeadLetter) -> None:
        """Delete a letter.

        Raises:
            Failure: It could not be deleted.
        """
        self._queue.delete(letter.id)

    def _send(self, letter: DeadLetter, body: str, key: str, replaces: str, in_doubt: str) -> None:
        """Send a message to the Outbox in a letter's place; `in_doubt` is the failure if SQS may have taken it."""
        given = {"RelayKey": key, "ReplacesKey": replaces}
        try:
            self._stack.client("sqs").send_message(
                QueueUrl=self._stack.output("OutboxQueueUrl"),
                MessageBody=body,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value} for name, value in given.items() if value
                },
            )
        except (ClientError, BotoCoreError) as error:
            failure = from_aws_error(error)
            stays = f"{letter.id[:SHORT_ID]} stays in Dead letters: {failure.reason}"
            raise Failure(in_doubt if client.may_be_queued(error) else stays, failure.code) from error

    def _drop_after_sending(self, letter: DeadLetter, how: str, advice: str) -> None:
        try:
            self.drop(letter)
        except Failure as failure:
            raise Failure(f"{letter.id} was sent to the Outbox {how}, but {failure.reason} {advice}") from None

    def _read_ledger(self, letter: DeadLetter, keys: Sequence[str]) -> Items:
        """Read the entries of keys, each once as long as the queue is open."""
        self._ledger = self._ledger or Items(self._stack)
        try:
            self._ledger.read(map(pk, keys))
        except Failure as failure:
            raise Failure(f"{letter.id} stays in Dead letters. {failure.reason}", failure.code) from None
        return self._ledger

    def _refuse_if_edited(self, letter: DeadLetter, ledger: Items) -> None:
        """Raise Failure if an edit of a letter was sent: whatever else is sent of it would be another post."""
        key, short = edit_key(letter), letter.id[:SHORT_ID]
        entry = ledger.entry(key)
        # What was rejected before it was claimed has no entry.
        if entry or key in self._ids:
            outcome = _in_words(entry) if entry else "is in Dead letters itself"
            raise Failure(
                f"{short} was not sent: an edit of it was sent before, with the key {key}, and {outcome}. "
                f"Drop it: `relay dead drop {short}`."
            )


@contextmanager
def open_box(stack: Stack, on_failure: Callable[[str], None]) -> Iterator[DeadLetterBox]:
    """Open Dead letters, and make them visible again at the end; `on_failure` gets a line for each failure."""
    with peek.open_queue(stack, "DeadLetterQueueUrl", on_failure) as queue:
        yield DeadLetterBox(stack, queue)


def replacement(letter: DeadLetter, edited: str) -> Draft:
    """Check an edited letter with the relay's own code.

    Returns:
        The message in its place. Its key is made of the letter's id, unless the operator chose one: edited and sent
        twice, in the same way or another, it is still one post.

    Raises:
        Reject: It cannot be posted as it is; the reason says why.
    """
    read = drafts.draft(edited.rstrip("\r\n"))
    if read.alert.key == letter.key:
        raise Reject("it has the key of the dead letter, and would be the same post: leave out key, or choose another")
    # Without an envelope, whose id would be its key.
    fields = {name: value for name, value in read.fields.items() if name != "key" or read.alert.key}
    body = client.to_body(fields)
    return replace(drafts.draft(body), relay_key=edit_key(letter))


def edit_key(letter: DeadLetter) -> str:
    """Return the key that every edit of a letter has, unless the operator chose one."""
    return hashlib.sha256(f"edited {letter.id}".encode()).hexdigest()[:32]


def _retry_keys(letter: DeadLetter) -> list[str]:
    """Return the keys whose entries decide whether a letter is retried, and under which key."""
    return [edit_key(letter), *([letter.id] if _known_by_id(letter) else [])]


def _known_by_id(letter: DeadLetter) -> bool:
    """Return whether the relay may have had a letter under its SQS id.

    Version 0.1 knew a message in an envelope by that, and what it left goes on under it.
    """
    reading = _read(letter.body)
    return "RelayKey" not in letter.attributes and reading is not None and letter.key == reading.envelope_id


_BY_STATUS: dict[str, str] = {
    Status.CLAIMED: "is being delivered, or may be posted",
    Status.RELEASED: "waits to be posted",
    Status.DRY_RUN: "went through a dry run",
}


def _in_words(entry: Entry) -> str:
    """Return what became of a key's message, as the rest of a sentence."""
    if entry.status == Status.POSTED:
        return f"is posted ({one_line(entry.url, 200)})" if entry.url else "is posted"
    if words := _BY_STATUS.get(entry.status):
        return words
    if entry.perhaps_posted:
        return "may be posted"
    if entry.expired:
        return "expired before it could be posted"
    return "was rejected: it is in Dead letters itself, unless somebody retried or dropped it"


def _find(prefix: str, letters: list[DeadLetter]) -> DeadLetter:
    found = [each for each in letters if each.id.startswith(prefix)] if prefix else []
    if not found:
        raise Failure(
            f"There is no dead letter {one_line(prefix, 80)}: `relay dead list` shows those there are, "
            "except for those that another command is reading right now.",
            USAGE,
        )
    if len(found) > 1:
        raise Failure(f"{len(found)} dead letters start with {one_line(prefix, 80)}: give more of the id.", USAGE)
    return found[0]


def _parse(received: dict[str, Any]) -> DeadLetter:
    """Parse a letter; one that cannot be parsed is listed with its body, so that it does not hide the others."""
    attributes = {
        name: str(value.get("StringValue", "")) for name, value in received.get("MessageAttributes", {}).items()
    }
    try:
        return _letter(received, attributes)
    except Exception as error:  # noqa: BLE001  a publisher wrote it, and it must not hide the others
        name, body = received["MessageId"], received["Body"]
        reason = f"{_UNREADABLE} ({type(error).__name__}): look for its message id in the log"
        return DeadLetter(name, reason, body, attributes.get("RelayKey") or name, None, 0, None, body, attributes)


def _letter(received: dict[str, Any], attributes: dict[str, str]) -> DeadLetter:
    system, body, name = received["Attributes"], received["Body"], received["MessageId"]
    # A message that SQS moved here has its publisher's attributes, and DeadLetterQueueSourceArn. One that the relay
    # sent has the relay's attributes, and no such source. Senders can set no system attribute but AWSTraceHeader:
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
    moved = "DeadLetterQueueSourceArn" in system
    ours = {} if moved else attributes
    reading = _read(body)
    message = QueueMessage(name, body, "", receive_count=0, sent_at=0, relay_key=attributes.get("RelayKey"))
    attempts = read_number(ours.get("Attempts"), _MOST_ATTEMPTS)
    return DeadLetter(
        id=name,
        reason=ours.get("RejectReason") or (_GIVEN_UP if moved else _NO_REASON),
        text=reading.alert.body if reading else body,
        key=idempotency_key(message, reading),
        first_seen=read_moment(ours.get("FirstSeen")) or at(int(system["SentTimestamp"]) / 1000),
        attempts=int(system["ApproximateReceiveCount"]) - 1 if attempts is None else attempts,
        status_code=read_number(ours.get("StatusCode"), _MOST_STATUS),
        body=body,
        attributes=attributes,
    )


def _read(body: str) -> Reading | None:
    """Read a message as the relay does; None if it refuses it."""
    try:
        return read_message(body)
    except Reject:
        return None
