"""The gate as it is now: open or shut and why, and what the pace leaves."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import BotoCoreError, ClientError
from relay.posting.gate import MICROSECONDS, Gate, Pace

from relay_cli.failure import NO_AWS, Failure, of_aws
from relay_cli.text import HOUR, at

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import BatchGetItemOutputTypeDef
    from relay.errors import Pause
    from relay.posting.gate import State

    from relay_cli.deployed.stack import Stack


@dataclass(frozen=True, slots=True)
class Shut:
    """One reason why nothing is posted now.

    Attributes:
        cause: A short label, as in the metric ``GateShut``: ``operator``, ``rate_limited``, ``pace`` ...
        reason: The same in words.
        until: When it ends; None when nobody knows (an operator's pause).
        who: Who ordered it: ``relay``, or the operator.
    """

    cause: str
    reason: str
    until: datetime | None
    who: str


@dataclass(frozen=True, slots=True)
class PaceLeft:
    """What the pace leaves, whether the gate is shut for another reason or not.

    Attributes:
        now: How many posts may go at once.
        next_hour: How many may go from now until an hour from now.
        posted_today: How many were let through since midnight UTC.
        left_today: How many more may go until midnight UTC; None without a cap.
        per_hour: The stack's ``MaxPostsPerHour``.
        burst: Its ``PostBurst``.
        per_day: Its ``MaxPostsPerDay``; 0 for no cap.
    """

    now: int
    next_hour: int
    posted_today: int
    left_today: int | None
    per_hour: int
    burst: int
    per_day: int


@dataclass(frozen=True, slots=True)
class GateState:
    """The gate at a moment.

    Attributes:
        open: Whether a post may go now.
        shut: Why not; an operator's pause first.
        probe: Set when a single post must succeed before the gate opens for all: why it was shut.
        pace: What the pace leaves.
        dry_run: Whether nothing is sent at all, since the stack runs dry.
    """

    open: bool
    shut: tuple[Shut, ...]
    probe: str | None
    pace: PaceLeft
    dry_run: bool


def read(stack: Stack) -> GateState:
    """Read the gate's items in the ledger; nothing changes.

    Raises:
        Failure: They cannot be read.
    """
    now = time.time()
    pace = Pace(*(int(stack.parameter(name)) for name in ("MaxPostsPerHour", "PostBurst", "MaxPostsPerDay")))
    ledger = _Ledger(stack.client("dynamodb"))
    look = Gate(cast("DynamoDBClient", ledger), stack.output("LedgerTableName"), pace, lambda: now).look(0)
    if ledger.error:
        told = of_aws(ledger.error)
        raise Failure(f"The gate cannot be read: {told.reason}", told.code)
    if look.pause and look.pause.cause == "ledger":
        raise Failure(f"The gate cannot be read: {look.pause.reason}.", NO_AWS)
    imposed = look.state.pause
    in_force = imposed is not None and (imposed.until or 0) > now
    shut = [each for each in (look.pause, imposed if in_force else None) if each]
    unshut = replace(look.state, pause=None)
    if not shut and (reached := unshut.admit(1, now, pace).pause):
        shut = [reached]
    return GateState(
        open=not shut,
        shut=tuple(dict.fromkeys(map(_shown, shut))),
        probe=imposed.reason if imposed and imposed.probe and not in_force else None,
        pace=_left(unshut, now, pace),
        dry_run=stack.parameters.get("DryRun") == "true",
    )


class _Ledger:
    """The ledger's client as the gate reads it; keeps the error that the gate takes for a reason to be shut."""

    def __init__(self, dynamodb: DynamoDBClient) -> None:
        self._dynamodb = dynamodb
        self.error: ClientError | BotoCoreError | None = None

    def batch_get_item(self, **call: Any) -> BatchGetItemOutputTypeDef:  # noqa: ANN401  as the gate calls it
        try:
            return self._dynamodb.batch_get_item(**call)
        except (ClientError, BotoCoreError) as error:
            self.error = error
            raise


def _left(state: State, now: float, pace: Pace) -> PaceLeft:
    # Booked is what the pace is ahead of the clock; within an hour so much more time passes.
    booked = max(0, state.due - round(now * MICROSECONDS))
    room = HOUR * MICROSECONDS + pace.burst * pace.interval - booked
    left_today = max(0, pace.per_day - state.count) if pace.per_day else None
    return PaceLeft(
        now=state.admit(pace.burst, now, pace).granted,
        next_hour=room // pace.interval,
        posted_today=state.count,
        left_today=left_today,
        per_hour=pace.per_hour,
        burst=pace.burst,
        per_day=pace.per_day,
    )


def _shown(pause: Pause) -> Shut:
    return Shut(pause.cause, pause.reason, at(pause.until), pause.who)
