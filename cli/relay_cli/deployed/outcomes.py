"""A published message followed to its outcome, by what the ledger and Dead letters say of its key."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relay.posting.delivery import NOTHING_SENT, Result, Status

from relay_cli.deployed import dead_letters
from relay_cli.deployed import queues as queue_state

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from relay_cli.deployed.outbox import Sent
    from relay_cli.deployed.stack import Stack
    from relay_cli.drafts import Draft

LOOK_SECONDS = 1.0
"""How often the ledger is asked."""

DEAD_LETTERS_SECONDS = 10.0
"""How often Dead letters are looked at: what ends there without the ledger, as after too many receives."""

MAX_KEYS = 100
"""Keys that DynamoDB reads at once."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a message ended.

    Attributes:
        draft: The message.
        result: `posted`, `rejected` or `dry_run`.
        url: The post's page, when there is one.
        reason: Why there is none.
    """

    draft: Draft
    result: Result
    url: str = ""
    reason: str = ""


def follow(
    stack: Stack,
    sent: Sequence[Sent],
    seconds: float,
    tell: Callable[[Ended], None],
    complain: Callable[[str], None],
) -> list[Sent]:
    """Wait for outcomes.

    Args:
        stack: Whose ledger.
        sent: The messages to follow.
        seconds: How long to wait at most.
        tell: Told of each message as it ends.
        complain: Told of each dead letter that was looked at and could not be put back.

    Returns:
        The messages that have not ended by then.
    """
    deadline = time.monotonic() + seconds
    look_at_letters = time.monotonic() + DEAD_LETTERS_SECONDS
    left = list(sent)
    while True:
        entries = _entries(stack, left)
        ended = [_by_entry(each, entries.get(each.draft.key)) for each in left]
        for outcome in filter(None, ended):
            tell(outcome)
        left = [each for each, outcome in zip(left, ended, strict=True) if outcome is None]
        if left and time.monotonic() >= look_at_letters:
            left = _by_letters(stack, left, tell, complain)
            look_at_letters = time.monotonic() + DEAD_LETTERS_SECONDS
        if not left or time.monotonic() >= deadline:
            return left
        time.sleep(LOOK_SECONDS)


def _entries(stack: Stack, sent: Sequence[Sent]) -> dict[str, dict[str, Any]]:
    """Read the ledger's entries of messages; what DynamoDB has no time for comes with the next look."""
    table, found = stack.output("LedgerTableName"), {}
    keys = list(dict.fromkeys(each.draft.key for each in sent))
    for start in range(0, len(keys), MAX_KEYS):
        wanted = [{"pk": {"S": f"post#{key}"}} for key in keys[start : start + MAX_KEYS]]
        answer = stack.client("dynamodb").batch_get_item(RequestItems={table: {"Keys": wanted, "ConsistentRead": True}})
        found.update({each["pk"]["S"].removeprefix("post#"): each for each in answer["Responses"][table]})
    return found


def _by_entry(sent: Sent, entry: dict[str, Any] | None) -> Ended | None:
    """Say how a message ended, if its key's entry tells: it may still be another message's with the same key."""
    if entry is None:
        return None
    draft, status = sent.draft, _text(entry, "status")
    same = _text(entry, "body_sha256") == draft.fingerprint
    if not same and (status != Status.REJECTED or "first_claimed_at" in entry):  # else the key will be this message's
        reason = f"its key {draft.key!r} was already used for another text: give every alert a key of its own"
        return Ended(draft, Result.REJECTED, reason=reason)
    if status == Status.POSTED:
        return Ended(draft, Result.POSTED, url=_text(entry, "url"))
    own = same and (_text(entry, "message_id") == sent.message_id or not draft.post.key)
    if own and status == Status.REJECTED:
        return Ended(draft, Result.REJECTED, reason=_text(entry, "reason"))
    if own and status == Status.DRY_RUN:
        return Ended(draft, Result.DRY_RUN, reason=NOTHING_SENT)
    return None


def _by_letters(
    stack: Stack, sent: Sequence[Sent], tell: Callable[[Ended], None], complain: Callable[[str], None]
) -> list[Sent]:
    """Look for messages in Dead letters; return those that are not there.

    A message with a key of its own is not found: the letter may be an older one with that key.
    """
    if not queue_state.read(stack, ["DeadLetter"])[0].waiting:
        return list(sent)
    with dead_letters.opened(stack, complain) as box:
        letters = {each.key: each for each in box.letters()}
    left = []
    for each in sent:
        if letter := letters.get(each.draft.relay_key):
            tell(Ended(each.draft, Result.REJECTED, reason=letter.reason))
        else:
            left.append(each)
    return left


def _text(entry: Mapping[str, Any], name: str) -> str:
    return str(entry.get(name, {}).get("S", ""))
