"""The processes in which the emulator runs functions: found by their environment, and killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence


def workers(emulator_url: str, functions: Sequence[str]) -> list[int]:
    """Return the ids of the processes that an emulator runs these functions in, once they have begun to work.

    One that dies while it starts takes its neighbours along, but only in the emulator: they are told apart by the
    connections that they have made.
    """
    named = {f"AWS_LAMBDA_FUNCTION_NAME={each}".encode() for each in functions}
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            variables = set(path.read_bytes().split(b"\0"))
            ours = f"AWS_ENDPOINT_URL={emulator_url}".encode() in variables and variables & named
            if ours and any(str(each.readlink()).startswith("socket:") for each in (path.parent / "fd").iterdir()):
                found.append(int(path.parent.name))
    return sorted(found)


class Killer:
    """Ends a worker with ``kill -9`` every now and then, in the background, until it has ended enough of them.

    Attributes:
        kills: When it did, in seconds since the epoch.
    """

    def __init__(
        self,
        emulator_url: str,
        functions: Sequence[str],
        choice: random.Random,
        pauses: tuple[float, float],
        most: int,
    ) -> None:
        """Prepare.

        Args:
            emulator_url: The emulator whose workers they are.
            functions: The functions' names.
            choice: Decides which one, and when.
            pauses: The shortest and the longest time between two kills, in seconds.
            most: How many.
        """
        self.kills: list[float] = []
        self._emulator_url = emulator_url
        self._functions = functions
        self._choice = choice
        self._pauses = pauses
        self._most = most
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while len(self.kills) < self._most and not self._stopping.wait(self._choice.uniform(*self._pauses)):
            alive = workers(self._emulator_url, self._functions)
            if alive:
                with suppress(ProcessLookupError):
                    os.kill(self._choice.choice(alive), signal.SIGKILL)
                    self.kills.append(time.time())
