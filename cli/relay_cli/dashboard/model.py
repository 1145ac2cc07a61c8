"""The dashboard's data and actions."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from relay.backups.backup import FIRST_DAY

from relay_cli.dashboard.cache import PATIENCE_AFTER_A_CHANGE_SECONDS, Cached, Snapshot, attempt
from relay_cli.deployed import calendar, dead_letters, deliveries, gate, operator_pause, queues, waits
from relay_cli.deployed.logs import Logs
from relay_cli.durations import span
from relay_cli.failure import NO_STACK, USAGE, Failure

if TYPE_CHECKING:
    from relay_cli.deployed.calendar import Overview
    from relay_cli.deployed.dead_letters import DeadLetter
    from relay_cli.deployed.deliveries import Delivered
    from relay_cli.deployed.gate import GateState
    from relay_cli.deployed.queues import QueueState
    from relay_cli.deployed.stack import Stack
    from relay_cli.deployed.waits import Explanation
    from relay_cli.outlook import Outlook

GATE_SECONDS, QUEUES_SECONDS, POSTS_SECONDS, LETTERS_SECONDS, BACKUPS_SECONDS = 3, 5, 10, 15, 60
"""How long each part is cached. Reading Dead letters hides them from other consumers for a moment, and reading the
archive takes several requests."""

POSTS = 40
"""How many messages are shown."""

LASTING = {"": "until resumed", "30m": "for 30 minutes", "2h": "for 2 hours", "1d": "for a day"}
"""The durations of a pause, as for `relay pause --for`, and in words."""

_A_YEAR = timedelta(days=364)
_SERVICES = ("dynamodb", "sqs", "cloudwatch", "logs", "cloudformation", "s3")


@dataclass(frozen=True, slots=True)
class Posts:
    """The newest messages.

    Attributes:
        messages: Their outcomes, newest first.
        waits: What the deferred ones wait for, by their message ids; empty if that cannot be read.
    """

    messages: list[Delivered]
    waits: dict[str, Explanation]


class DashboardModel:
    """A stack's state and the actions on it."""

    def __init__(self, stack: Stack, who: str) -> None:
        """Read nothing yet.

        Args:
            stack: The stack.
            who: The operator in whose name it pauses.
        """
        self.stack = stack
        self.who = who
        for service in _SERVICES:  # threads may share clients, but not create them
            stack.client(service)
        self._logs = Logs(stack)
        self.gate: Cached[GateState] = Cached(self._gate, GATE_SECONDS)
        self.queues: Cached[list[QueueState]] = Cached(self._queues, QUEUES_SECONDS)
        self.outlook: Cached[Outlook] = Cached(self._outlook, 0)  # made of what the two before cache
        self.posts: Cached[Posts] = Cached(self._posts, POSTS_SECONDS)
        self.letters: Cached[list[DeadLetter]] = Cached(self._letters, LETTERS_SECONDS)
        self.backups: Cached[Overview] = Cached(self._backups, BACKUPS_SECONDS)

    @property
    def posting_enabled(self) -> bool:
        """Whether posting is switched on in this stack."""
        return "PostMessagesFunctionName" in self.stack.outputs

    # Actions

    def pause(self, why: str, lasting: str) -> Snapshot[str]:
        """Pause posting; return the result in words."""
        return attempt(lambda: self._pause(why.strip(), lasting))

    def resume(self) -> Snapshot[str]:
        """Lift the pause; return the result in words."""
        return attempt(self._resume)

    def retry(self, letter_id: str) -> Snapshot[str]:
        """Send a dead letter to the Outbox again, with its key; return the result in words."""
        return attempt(lambda: self._retry(letter_id))

    def _pause(self, why: str, lasting: str) -> str:
        if not why:
            raise Failure("A pause needs a reason.", USAGE)
        if lasting not in LASTING:
            raise Failure("This duration is not available: choose one of the list.", USAGE)
        until = time.time() + span(lasting).total_seconds() if lasting else None
        with self.gate.invalidating():
            operator_pause.impose(self.stack, why, self.who, until)
        return f"Paused {LASTING[lasting]}: {why}."

    def _resume(self) -> str:
        with self.gate.invalidating():
            before = operator_pause.lift(self.stack)
        return f"Lifted the pause of {before}." if before else "There was no pause."

    def _retry(self, letter_id: str) -> str:
        failures: list[str] = []
        with (
            self.queues.invalidating(),
            self.letters.invalidating(),
            dead_letters.open_box(self.stack, failures.append) as box,
        ):
            (letter,) = box.find([letter_id])
            key = box.retry(letter)
        text = f"Sent to the Outbox again, with its key {key}."
        if letter.perhaps_posted:
            text += " An earlier attempt may have posted it: the relay checks the account's stream first."
        return " ".join([text, *(f"{each}." for each in failures)])

    # Data

    def _gate(self) -> GateState:
        if not self.posting_enabled:
            raise Failure("Posting is switched off in this stack (PostingEnabled).", NO_STACK)
        return gate.read(self.stack)

    def _queues(self) -> list[QueueState]:
        return queues.read(self.stack, queues.POSTING)

    def _outlook(self) -> Outlook:
        state = self.gate.current(PATIENCE_AFTER_A_CHANGE_SECONDS)
        found = self.queues.current(PATIENCE_AFTER_A_CHANGE_SECONDS)
        if state.value is None or found.value is None:
            raise Failure(state.problem or found.problem or "It is being read.")
        return gate.outlook(self.stack, state.value, found.value)

    def _posts(self) -> Posts:
        messages = deliveries.newest(self._logs, POSTS)
        explained = attempt(lambda: waits.explain_rows(self.stack, messages))
        return Posts(messages, explained.value or {})

    def _letters(self) -> list[DeadLetter]:
        # A letter that cannot be made visible again reappears by itself, and nothing here depends on it.
        with dead_letters.open_box(self.stack, lambda _: None) as box:
            return list(box.letters())

    def _backups(self) -> Overview:
        if "FetchBackupsFunctionName" not in self.stack.outputs:
            raise Failure("Backups are switched off in this stack (BackupsEnabled).", NO_STACK)
        yesterday = calendar.today() - timedelta(days=1)
        return calendar.read(
            self.stack, calendar.parse_period(str(max(yesterday - _A_YEAR, FIRST_DAY)), str(yesterday))
        )
