"""Wait for the outcomes of published messages, by their keys in the ledger and in Dead letters."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from relay.posting.delivery import NOTHING_SENT, has_expired
from relay.posting.outcome import Result, Status

from relay_cli.deployed import dead_letters, queues
from relay_cli.deployed.ledger import answers, pk, string
from relay_cli.failure import Failure, from_aws_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from relay_cli.deployed.outbox import Sent
    from relay_cli.deployed.stack import Stack
    from relay_cli.drafts import Draft

POLL_SECONDS = 1.0
"""How often the ledger is read."""

DEAD_LETTERS_SECONDS = 10.0
"""How often Dead letters are read, for messages that end there without an entry in the ledger."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a message.

    Attributes:
        draft: The message.
        result: `posted`, `rejected`, `dry_run`, or `expired` in a stack where such messages end in the log.
        url: The post's page, if there is one.
        reason: Why there is no post.
    """

    draft: Draft
    result: Result
    url: str = ""
    reason: str = ""


def follow(  # noqa: PLR0913, PLR0917  the last ones are told what happens
    stack: Stack,
    sent: Sequence[Sent],
    seconds: float,
    on_outcome: Callable[[Outcome], None],
    on_failure: Callable[[str], None],
    on_wait: Callable[[int], None],
) -> list[Sent]:
    """Wait for outcomes, through failures that are temporary.

    Args:
        stack: The stack with the ledger.
        sent: The messages to follow.
        seconds: The maximum time to wait.
        on_outcome: Called with each outcome.
        on_failure: Called with a line for each dead letter that stays hidden, and once if Dead letters cannot be read.
        on_wait: Called before each look with the number of messages without an outcome.

    Returns:
        The messages without an outcome.

    Raises:
        Failure: The ledger cannot be read, or could not be read at the end.
    """
    to_log = stack.parameters.get("ExpiredTo") == "log"
    deadline = time.monotonic() + seconds
    next_letters = time.monotonic() + DEAD_LETTERS_SECONDS
    left = list(sent)
    while True:
        on_wait(len(left))
        failure: Failure | None = None
        try:
            entries = _entries(stack, left)
        except (ClientError, BotoCoreError) as error:
            failure, entries = from_aws_error(error), {}
        ended = [_from_entry(each, entries.get(each.draft.key), to_log=to_log) for each in left]
        for outcome in filter(None, ended):
            on_outcome(outcome)
        left = [each for each, outcome in zip(left, ended, strict=True) if outcome is None]
        if left and time.monotonic() >= next_letters:
            next_letters = time.monotonic() + DEAD_LETTERS_SECONDS
            try:
                left = _from_letters(stack, left, on_outcome, on_failure)
            except (ClientError, BotoCoreError) as error:
                letters_failure = from_aws_error(error)
                if not letters_failure.temporary:
                    on_failure(f"Dead letters cannot be read: {letters_failure.reason}")
                    next_letters = math.inf
        over = time.monotonic() >= deadline
        if failure and left and (over or not failure.temporary):
            raise failure
        if over or not left:
            return left
        time.sleep(POLL_SECONDS)


def _entries(stack: Stack, sent: Sequence[Sent]) -> dict[str, dict[str, Any]]:
    """Read the ledger's entries of messages; keys that DynamoDB did not process are read the next time."""
    keys = {pk(each.draft.key): each.draft.key for each in sent}
    found = (item for _, answer in answers(stack, [*keys]) for items in answer["Responses"].values() for item in items)
    return {keys[item["pk"]["S"]]: item for item in found}


def _from_entry(sent: Sent, entry: dict[str, Any] | None, *, to_log: bool) -> Outcome | None:
    """Return a message's outcome, if the entry of its key has one: the entry may belong to another message."""
    if entry is None:
        return None
    draft, status = sent.draft, string(entry, "status")
    other = _other_use(draft, entry)
    if other and (status != Status.REJECTED or "first_claimed_at" in entry):  # otherwise this message will get the key
        reason = f"its key {draft.key!r} was already used for {other}: give every alert a key of its own"
        return Outcome(draft, Result.REJECTED, reason=reason)
    if status == Status.POSTED:
        return Outcome(draft, Result.POSTED, url=string(entry, "url"))
    own = other is None and (string(entry, "message_id") == sent.message_id or draft.has_new_key)
    if own and status == Status.REJECTED:
        reason = string(entry, "reason")
        return Outcome(draft, Result.EXPIRED if to_log and has_expired(reason) else Result.REJECTED, reason=reason)
    if own and status == Status.DRY_RUN:
        return Outcome(draft, Result.DRY_RUN, reason=NOTHING_SENT)
    return None


def _other_use(draft: Draft, entry: Mapping[str, Any]) -> str | None:
    """Return what else the entry's key was used for, if it was; in the words of `relay.posting.ledger`."""
    if string(entry, "body_sha256") != draft.body_sha256:
        return "another text"
    if string(entry, "alert_sha256") not in {"", draft.alert_sha256}:  # version 0.1 did not write it
        return "this text with another sentiment, reply or chart"
    return None


def _from_letters(
    stack: Stack, sent: Sequence[Sent], on_outcome: Callable[[Outcome], None], on_failure: Callable[[str], None]
) -> list[Sent]:
    """Look for messages in Dead letters; return those that are not there.

    Only a message with a new key is matched: with another, the letter may be an older message with the same key.
    """
    if not queues.read(stack, ["DeadLetter"])[0].waiting:
        return list(sent)
    with dead_letters.open_box(stack, on_failure) as box:
        letters = {each.key: each for each in box.letters()}
    left = []
    for each in sent:
        letter = letters.get(each.draft.key) if each.draft.has_new_key else None
        if letter:
            on_outcome(Outcome(each.draft, Result.REJECTED, reason=letter.reason))
        else:
            left.append(each)
    return left
