"""Why a message waits, as far as it can be known without receiving it: a receive counts towards Dead letters.

The ledger has the state of its key, the functions' log what kept it back when it was last received, and the stack's
settings and the gate what holds for all messages.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from relay.posting.alert import Alert
from relay.posting.outcome import Result, Status
from relay.posting.spacing import Spacing
from relay.queues import MAX_VISIBILITY_SECONDS

from relay_cli.deployed import deliveries, gate
from relay_cli.deployed.deliveries import Wait
from relay_cli.deployed.ledger import Items, State, pk
from relay_cli.failure import NO_STACK, Failure
from relay_cli.text import MINUTE, at

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mypy_boto3_dynamodb import DynamoDBClient

    from relay_cli.deployed.deliveries import Delivered
    from relay_cli.deployed.ledger import Entry
    from relay_cli.deployed.logs import Logs
    from relay_cli.deployed.stack import Stack

QUEUE_VISIBILITY_SECONDS = 360
"""How long a queue hides a message that a function received and said nothing more about; a test compares it with the
template."""

SAME_KEY = 20
"""How many messages with one key are looked at; more than two have it by mistake."""


_SPACED = {"alike", "symbol"}
"""The causes of holds that another message's post decides about, and the rules as they are now."""

_BY_LOG: dict[str, State] = {
    Result.POSTED: State.POSTED,
    Result.ALREADY_POSTED: State.POSTED,
    Result.REJECTED: State.REJECTED,
    Result.EXPIRED: State.EXPIRED,
    Result.DRY_RUN: State.DRY_RUN,
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known of a message.

    Attributes:
        key: Its idempotency key.
        state: Whether it waits, and what became of it otherwise.
        outlook: What comes next, or where it is, in words.
        waits: What it waits for, in order of when it ends; what has no known end comes last. Empty unless it waits.
        expires_at: When it expires; None if it does not, or it is not known.
        text: Its text; None if it is not in the log.
        reason: Why it was rejected, or what the last delivery said.
        url: The post's page, if there is one.
        seen_at: When it was last delivered, as far as is known; None if never.
        attempts: How often it was received; None if it is not known.
    """

    key: str
    state: State
    outlook: str
    waits: tuple[Wait, ...] = ()
    expires_at: datetime | None = None
    text: str | None = None
    reason: str = ""
    url: str | None = None
    seen_at: datetime | None = None
    attempts: int | None = None


def explain(stack: Stack, logs: Logs, key: str) -> Explanation:
    """Return what is known of a key.

    Raises:
        Failure: Posting is switched off, or the ledger or the gate cannot be read.
    """
    if "PostMessagesFunctionName" not in stack.outputs:
        raise Failure("Posting is switched off in this stack (PostingEnabled).", NO_STACK)
    key = key.encode(errors="replace").decode()  # as it was logged: no message has half a character
    ledger = Items(stack)
    ledger.read([pk(key)])
    entry = ledger.entry(key)
    row = next(iter(deliveries.newest(logs, 1, key=key)), None)
    if row and entry and row.message_id != entry.message_id and row.outcome in _BY_LOG and not entry.final:
        # Another message used its key, and that one's outcome is not the answer.
        same_key = deliveries.newest(logs, SAME_KEY, key=key)
        row = next((each for each in same_key if each.message_id == entry.message_id), None)
    if state := _final(row, entry):
        return _ended(state, key, row, entry)
    if row is None and entry is None:
        return Explanation(key, State.UNKNOWN, _NEVER_SEEN)
    return _Waits(stack, ledger, [row] if row else []).explain(key, row)


def explain_rows(stack: Stack, rows: Sequence[Delivered]) -> dict[str, Explanation]:
    """Return what is known of the deferred ones among messages, by their message ids; a few requests for all of them.

    Raises:
        Failure: The ledger or the gate cannot be read.
    """
    deferred = [row for row in rows if row.outcome == Result.DEFERRED]
    if not deferred:
        return {}
    ledger = Items(stack)
    ledger.read([pk(row.key) for row in deferred])
    waits = _Waits(stack, ledger, deferred)
    return {row.message_id: waits.explain(row.key, row) for row in deferred}


_NEVER_SEEN = (
    "nothing is known of this key: no message with it was received so far, or that was more than 45 days ago; the log "
    "may be a minute behind"
)
_ENDS = {
    State.POSTED: "it is posted",
    State.REJECTED: "it is in Dead letters, unless somebody retried or dropped it: `relay dead list`",
    State.EXPIRED: "it expired before it could be posted; by ExpiredTo that ends in the log alone",
    State.DRY_RUN: "it went through a dry run: nothing was sent",
}


class _Waits:
    """What messages wait for, with what holds for all of them read once."""

    def __init__(self, stack: Stack, ledger: Items, rows: Sequence[Delivered]) -> None:
        self._now = time.time()
        self._ledger = ledger
        self._gate = [Wait(each.cause, each.words, each.until) for each in gate.read(stack).pauses]
        self._spacing = _spacing(stack, ledger, self._now)
        if self._spacing:
            names = [f"spacing#{name}" for row in rows for name in self._spacing.names(row.text or "")]
            ledger.read(names)
            ledger.read(pk(item["key"]["S"]) for item in map(ledger.get, names) if item)

    def explain(self, key: str, row: Delivered | None) -> Explanation:
        entry = self._ledger.entry(key)
        if state := _final(row, entry):
            return _ended(state, key, row, entry)
        waits = self._in_order([*self._of_attempts(row, entry), *self._of_rules(key, row), *self._gate])
        expires_at = row.expires_at if row else None
        return Explanation(
            key,
            State.WAITING,
            self._outlook(waits, expires_at),
            waits,
            expires_at,
            row.text if row else None,
            row.reason if row else entry.reason if entry else "",
            seen_at=_seen_at(row, entry),
            attempts=row.attempts if row else None,
        )

    def _of_rules(self, key: str, row: Delivered | None) -> list[Wait]:
        """Return what the rules hold it back for: as the log says when it was last received, and as it is by now."""
        if row is None:
            return []
        waits = list(row.holds)
        if row.text:
            holds = self._spacing.look(key, Alert(body=row.text)).holds if self._spacing else ()
            fresh = [Wait(each.cause, each.reason, at(each.until)) for each in holds]
            known = {(each.cause, each.reason) for each in fresh}
            over = [each for each in waits if each.cause in _SPACED and (each.cause, each.reason) not in known]
            waits = [each for each in waits if each not in over] + [_hidden(each, row) for each in over] + fresh
        # Of what is known twice, the later end counts.
        return list({(each.cause, each.reason): each for each in self._in_order(waits)}.values())

    def _of_attempts(self, row: Delivered | None, entry: Entry | None) -> list[Wait]:
        """Return what its own attempts make it wait for."""
        waits = []
        if entry and entry.status == Status.CLAIMED:
            if entry.lease_until > self._now:
                waits.append(Wait("delivery", "it is being delivered", at(entry.lease_until)))
            else:
                reason = "its last delivery was cut off: the next one looks first whether it is posted"
                waits.append(Wait("retry", reason, at(entry.written_at + QUEUE_VISIBILITY_SECONDS)))
        elif entry and entry.lease_until > self._now and not (row and row.holds):
            reason = entry.reason or "its next attempt is due then"
            waits.append(Wait("retry", reason, at(entry.lease_until)))
        if row and row.retry_at and not waits:
            waits.append(Wait("back_off", f"its last attempt failed: {row.reason}", row.retry_at))
        return waits

    def _in_order(self, waits: list[Wait]) -> tuple[Wait, ...]:
        left = [each for each in waits if each.until is None or each.until.timestamp() > self._now]
        return tuple(sorted(left, key=lambda each: (each.until is None, each.until and each.until.timestamp())))

    def _outlook(self, waits: tuple[Wait, ...], expires_at: datetime | None) -> str:
        ends = [each.until for each in waits]
        if expires_at and expires_at.timestamp() <= self._now:
            return "it has expired: it is not posted any more, and ends when it is next received"
        if expires_at and any(each is None or each >= expires_at for each in ends):
            return "it may expire before it can be posted"
        if ends and ends[-1] is None:
            return "it is tried within two minutes after the last of these is over, or when its turn comes"
        if ends:
            return "it is tried within two minutes after the last of these, or when its turn comes"
        return "nothing that is known keeps it: it is tried within two minutes, or when its turn comes"


def _hidden(hold: Wait, row: Delivered) -> Wait:
    """Return what is left of a hold that has ended early: the rule was changed, or the symbol freed."""
    reason = "what kept it back when it was last received is over, but SQS hides it until then"
    longest = row.at + timedelta(seconds=MAX_VISIBILITY_SECONDS)
    return Wait("hidden", reason, min(hold.until, longest) if hold.until else longest)


def _spacing(stack: Stack, ledger: Items, now: float) -> Spacing | None:
    """Return the rules by which the stack's posts wait for each other; a stack of an earlier version has none."""
    alike, symbol = (
        int(stack.parameters.get(name, "0")) * MINUTE for name in ("AlikeMinutes", "SymbolCooldownMinutes")
    )
    if not alike and not symbol:
        return None
    return Spacing(
        cast("DynamoDBClient", ledger),
        ledger.table,
        lambda: now,
        alike_seconds=alike,
        symbol_seconds=symbol,
        dry_run=stack.parameters.get("DryRun") == "true",
    )


def _final(row: Delivered | None, entry: Entry | None) -> State | None:
    """Return what became of a message, by the log and the ledger; None if it waits, or is not known."""
    by_log = _BY_LOG.get(row.outcome) if row else None
    by_ledger = entry.final if entry else None
    if State.POSTED in {by_log, by_ledger}:
        return State.POSTED
    if row is None or entry is None or row.message_id == entry.message_id:
        return by_log or by_ledger
    # Two messages with one key, such as a dead letter and its retry: the later one counts.
    return by_log if row.at.timestamp() >= entry.written_at else by_ledger


def _ended(state: State, key: str, row: Delivered | None, entry: Entry | None) -> Explanation:
    outlook = _ENDS[state]
    still_left = row and entry and row.outcome == Result.DEFERRED and row.at.timestamp() >= entry.settled_at
    if state is State.REJECTED and still_left:
        outlook = "Dead letters did not take it: it is sent there again when it is next received"
    return Explanation(
        key,
        state,
        outlook,
        text=row.text if row else None,
        reason=(row.reason if row and row.outcome in _BY_LOG else "") or (entry.reason if entry else ""),
        url=(entry.url if entry else None) or (row.url if row else None),
        seen_at=_seen_at(row, entry),
        attempts=row.attempts if row else None,
    )


def _seen_at(row: Delivered | None, entry: Entry | None) -> datetime | None:
    logged = row.at.timestamp() if row else 0.0
    return at(max(logged, entry.written_at if entry else 0.0) or None)
