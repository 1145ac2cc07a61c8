"""The operator's desk: what there is to see of a relay, and what may be done from the page."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from relay.backups.backup import FIRST_DAY

from relay_cli.dashboard.cache import Cached, Snapshot, looked
from relay_cli.deployed import calendar, dead_letters, deliveries, operator_pause
from relay_cli.deployed import gate as gate_state
from relay_cli.deployed import queues as queue_state
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

GATE_SECONDS, QUEUES_SECONDS, POSTS_SECONDS, LETTERS_SECONDS, BACKUPS_SECONDS = 3, 5, 10, 15, 60
"""For how long what was seen is shown again. A look at Dead letters hides them from others for a moment, and one at the
archive takes some requests."""

POSTS = 40
"""How many messages are shown."""

LASTING = {"": "until I resume", "30m": "for 30 minutes", "2h": "for 2 hours", "1d": "for a day"}
"""How long a pause may last, as `relay pause --for` has it, and in words."""

_A_YEAR = timedelta(days=364)
_SERVICES = ("dynamodb", "sqs", "cloudwatch", "logs", "cloudformation", "s3")


class Desk:
    """A stack to look at, and to steer."""

    def __init__(self, stack: Stack, who: str) -> None:
        """Look at nothing yet.

        Args:
            stack: Whose.
            who: Who orders a pause.
        """
        self.stack = stack
        self.who = who
        for service in _SERVICES:  # clients may be shared by threads, but not made by several at once
            stack.client(service)
        self._logs = Logs(stack)
        self.gate: Cached[GateState] = Cached(self._gate, GATE_SECONDS)
        self.queues: Cached[list[QueueState]] = Cached(self._queues, QUEUES_SECONDS)
        self.posts: Cached[list[Delivered]] = Cached(self._posts, POSTS_SECONDS)
        self.letters: Cached[list[DeadLetter]] = Cached(self._letters, LETTERS_SECONDS)
        self.backups: Cached[Overview] = Cached(self._backups, BACKUPS_SECONDS)

    @property
    def posts_here(self) -> bool:
        """Whether this stack posts at all."""
        return "PostMessagesFunctionName" in self.stack.outputs

    # What is done

    def pause(self, why: str, lasting: str) -> Snapshot[str]:
        """Stop posting; what came of it, in words."""
        return attempt(lambda: self._pause(why.strip(), lasting))

    def resume(self) -> Snapshot[str]:
        """Lift the pause; what came of it, in words."""
        return attempt(self._resume)

    def retry(self, letter_id: str) -> Snapshot[str]:
        """Send a dead letter to the Outbox again, with its key; what came of it, in words."""
        return attempt(lambda: self._retry(letter_id))

    def _pause(self, why: str, lasting: str) -> str:
        if not why:
            raise Failure("A pause needs a reason: say why.", USAGE)
        if lasting not in LASTING:
            raise Failure("A pause cannot last so long: choose one of those offered.", USAGE)
        until = time.time() + span(lasting).total_seconds() if lasting else None
        with self.gate.changing():
            operator_pause.impose(self.stack, why, self.who, until)
        return f"Paused {LASTING[lasting].replace('I resume', 'somebody resumes')}: {why}."

    def _resume(self) -> str:
        with self.gate.changing():
            before = operator_pause.lift(self.stack)
        return f"Lifted the pause of {before}." if before else "There was no pause."

    def _retry(self, letter_id: str) -> str:
        complaints: list[str] = []
        with (
            self.queues.changing(),
            self.letters.changing(),
            dead_letters.open_box(self.stack, complaints.append) as box,
        ):
            (letter,) = box.named([letter_id])
            box.retry(letter)
        words = f"Sent to the Outbox again, with its key {letter.key}."
        if letter.perhaps_posted:
            words += " An earlier attempt may have posted it: the relay looks on the account's stream first."
        return " ".join([words, *(f"{each}." for each in complaints)])

    # What is seen

    def _gate(self) -> GateState:
        if not self.posts_here:
            raise Failure("Posting is switched off in this stack (PostingEnabled).", NO_STACK)
        return gate_state.read(self.stack)

    def _queues(self) -> list[QueueState]:
        return queue_state.read(self.stack, queue_state.POSTING)

    def _posts(self) -> list[Delivered]:
        return deliveries.newest(self._logs, POSTS)

    def _letters(self) -> list[DeadLetter]:
        # What could not be put back is seen again by itself, and looking on is all that is done here.
        with dead_letters.open_box(self.stack, lambda _: None) as box:
            return list(box.letters())

    def _backups(self) -> Overview:
        if "FetchBackupsFunctionName" not in self.stack.outputs:
            raise Failure("Backups are switched off in this stack (BackupsEnabled).", NO_STACK)
        yesterday = calendar.today() - timedelta(days=1)
        return calendar.read(self.stack, calendar.parse_period(str(max(yesterday - _A_YEAR, FIRST_DAY)), str(yesterday)))
