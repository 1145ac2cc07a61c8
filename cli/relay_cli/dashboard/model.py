"""The dashboard's data and actions."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from relay.backups.backup import FIRST_DAY

from relay_cli.dashboard.cache import Cached, Snapshot, attempt
from relay_cli.deployed import calendar, dead_letters, deliveries, gate, operator_pause, queues, waits
from relay_cli.deployed.logs import Logs
from relay_cli.durations import span
from relay_cli.failure import NO_STACK, USAGE, Failure
from relay_cli.text import count, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relay_cli.deployed.calendar import Overview
    from relay_cli.deployed.dead_letters import DeadLetter, DeadLetterBox
    from relay_cli.deployed.deliveries import Delivered
    from relay_cli.deployed.gate import GateState
    from relay_cli.deployed.queues import QueueState
    from relay_cli.deployed.stack import Stack
    from relay_cli.deployed.waits import Explanation
    from relay_cli.outlook import Outlook

GATE_SECONDS, QUEUES_SECONDS, POSTS_SECONDS, LETTERS_SECONDS, BACKUPS_SECONDS = 3, 5, 10, 15, 60
"""How long each part is cached. Reading Dead letters hides them from other consumers for a moment, and reading the
archive takes several requests."""

POSTS = 100
"""How many messages that ended can be seen and searched, and how many that wait."""

LASTING = {"": "until resumed", "30m": "for 30 minutes", "2h": "for 2 hours", "1d": "for a day"}
"""The durations of a pause, as for `relay pause --for`, and in words."""

_A_YEAR = timedelta(days=364)
_SERVICES = ("dynamodb", "sqs", "cloudwatch", "logs", "cloudformation", "s3")


@dataclass(frozen=True, slots=True)
class Posts:
    """The newest messages that ended, and those that wait.

    Attributes:
        messages: Their outcomes, newest first.
        waits: What the deferred ones wait for, by their message ids; empty if that cannot be read.
    """

    messages: list[Delivered]
    waits: dict[str, Explanation]


@dataclass(frozen=True, slots=True)
class Archive:
    """The archive over the last year.

    Attributes:
        overview: The status of every day.
        lookback_days: How many of the last days every night asks for.
    """

    overview: Overview
    lookback_days: int


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
        self.posts: Cached[Posts] = Cached(self._posts, POSTS_SECONDS)
        self.letters: Cached[list[DeadLetter]] = Cached(self._letters, LETTERS_SECONDS)
        self.backups: Cached[Archive] = Cached(self._backups, BACKUPS_SECONDS)

    @property
    def posting_enabled(self) -> bool:
        """Whether posting is switched on in this stack."""
        return "PostMessagesFunctionName" in self.stack.outputs

    @property
    def backups_enabled(self) -> bool:
        """Whether backups are switched on in this stack."""
        return "FetchBackupsFunctionName" in self.stack.outputs

    def outlook(self, state: GateState, found: list[QueueState]) -> Outlook:
        """Work out when what waits will be posted."""
        return gate.outlook(self.stack, state, found)

    # Actions

    def pause(self, why: str, lasting: str) -> Snapshot[str]:
        """Pause posting; return the result in words."""
        return attempt(lambda: self._pause(why.strip(), lasting))

    def resume(self) -> Snapshot[str]:
        """Lift the operator's pause; return the result, and what waits, in words."""
        return attempt(self._resume)

    def retry(self, letter_id: str) -> Snapshot[str]:
        """Send a dead letter to the Outbox again, with its key; return the result in words."""
        return attempt(lambda: self._retry(letter_id))

    def drop(self, letter_id: str) -> Snapshot[str]:
        """Delete a dead letter permanently; return the result in words."""
        return attempt(lambda: self._drop(letter_id))

    def _pause(self, why: str, lasting: str) -> str:
        if lasting not in LASTING:
            raise Failure("This duration is not available: choose one of the list.", USAGE)
        until = time.time() + span(lasting).total_seconds() if lasting else None
        with self.gate.invalidating():
            operator_pause.impose(self.stack, why or operator_pause.NO_REASON, self.who, until)
        return f"Paused {LASTING[lasting]}: {why}." if why else f"Paused {LASTING[lasting]}."

    def _resume(self) -> str:
        with self.gate.invalidating(), self.queues.invalidating():
            before = operator_pause.lift(self.stack)
        text = f"Lifted the pause of {before}." if before else "There was no pause."
        outlook = attempt(self._what_waits).value  # the pause is lifted, even if that cannot be read
        return f"{text} {outlook}" if outlook else text

    def _what_waits(self) -> str:
        outlook = self.outlook(gate.read(self.stack), queues.read(self.stack, queues.POSTING))
        if not outlook.waiting:
            return "Nothing waits."
        return f"{count(outlook.waiting, 'message')} waiting: {outlook.in_words(exact=False)}."

    def _retry(self, letter_id: str) -> str:
        with self._letter(letter_id) as (box, letter, failures):
            key = box.retry(letter)
        text = f"Sent to the Outbox again, with its key {key}."
        if letter.perhaps_posted:
            text += " An earlier attempt may have posted it: the relay checks the account's stream first."
        return " ".join([text, *(f"{each}." for each in failures)])

    def _drop(self, letter_id: str) -> str:
        with self._letter(letter_id) as (box, letter, failures):
            box.drop(letter)
        return " ".join([f"Dropped: {one_line(letter.text, 100)}", *(f"{each}." for each in failures)])

    @contextmanager
    def _letter(self, letter_id: str) -> Iterator[tuple[DeadLetterBox, DeadLetter, list[str]]]:
        """Find a dead letter in its open queue; afterwards, the queues are read anew, and the failures are known."""
        failures: list[str] = []
        with (
            self.queues.invalidating(),
            self.letters.invalidating(),
            dead_letters.open_box(self.stack, failures.append) as box,
        ):
            (letter,) = box.find([letter_id])
            yield box, letter, failures

    # Data

    def _gate(self) -> GateState:
        if not self.posting_enabled:
            raise Failure("Posting is switched off in this stack (PostingEnabled).", NO_STACK)
        return gate.read(self.stack)

    def _queues(self) -> list[QueueState]:
        return queues.read(self.stack, queues.POSTING)

    def _posts(self) -> Posts:
        messages = deliveries.recent(self._logs, POSTS)
        explained = attempt(lambda: waits.explain_rows(self.stack, messages))
        return Posts(messages, explained.value or {})

    def _letters(self) -> list[DeadLetter]:
        # A letter that cannot be made visible again reappears by itself, and nothing here depends on it.
        with dead_letters.open_box(self.stack, lambda _: None) as box:
            return list(box.letters())

    def _backups(self) -> Archive:
        if not self.backups_enabled:
            raise Failure("Backups are switched off in this stack (BackupsEnabled).", NO_STACK)
        yesterday = calendar.today() - timedelta(days=1)
        period = calendar.parse_period(str(max(yesterday - _A_YEAR, FIRST_DAY)), str(yesterday))
        lookback_days = int(self.stack.parameters.get("BackupLookbackDays", calendar.LOOKBACK_DAYS))
        return Archive(calendar.read(self.stack, period), lookback_days)
