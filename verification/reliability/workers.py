"""Find the processes in which the emulator runs functions, and kill them."""

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
    """Return the ids of the processes in which an emulator runs these functions, once they have started to work.

    A process that dies while it starts takes others with it, but only in the emulator. So only processes that have
    opened a connection count.
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
    """Kills workers with ``kill -9`` at random times in the background, up to a number of them.

    Attributes:
        kills: The times of the kills, in seconds since the epoch.
    """

    def __init__(
        self,
        emulator_url: str,
        functions: Sequence[str],
        choice: random.Random,
        pauses: tuple[float, float],
        most: int,
    ) -> None:
        """Configure it.

        Args:
            emulator_url: The emulator that runs the workers.
            functions: The functions' names.
            choice: Chooses the worker and the time.
            pauses: The shortest and the longest time between two kills, in seconds.
            most: The number of kills.
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
        """Start."""
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
