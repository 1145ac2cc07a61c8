"""What was seen of AWS, kept for some seconds, so that several tabs do not look several times."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from anyio import move_on_after, to_thread
from botocore.exceptions import BotoCoreError, ClientError
from relay.errors import RelayError

from relay_cli.failure import Failure, from_aws_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

PATIENCE_SECONDS, PATIENCE_AFTER_A_CHANGE_SECONDS = 1.5, 10.0
"""How long a page waits for a look; after that it shows what was seen before, which is wrong after a change."""


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[T]):
    """What a look saw.

    Attributes:
        value: It; None when there is none.
        problem: Why there is none, in words for a person; None while the first look still takes.
    """

    value: T | None = None
    problem: str | None = None


class Cached(Generic[T]):
    """Something to look at, at most once in so many seconds, and by one thread at a time."""

    def __init__(self, read: Callable[[], T], seconds: float) -> None:
        """Look at nothing yet."""
        self._read = read
        self._seconds = seconds
        self._seen: Snapshot[T] = Snapshot()
        self._looked_at: float | None = None
        self._lock = threading.Lock()

    async def seen(self, patience: float) -> Snapshot[T]:
        """Return what is seen, after so many seconds at most; a look that takes longer goes on, for the next time."""
        with move_on_after(patience):
            await to_thread.run_sync(self._look, patience, abandon_on_cancel=True)
        return self._seen

    def _look(self, patience: float) -> None:
        """Look, unless that was done a moment ago, or somebody else does it and takes long."""
        if not self._lock.acquire(timeout=patience):
            return
        try:
            if self._looked_at is None or time.monotonic() - self._looked_at >= self._seconds:
                self._seen = attempt(self._read)
                self._looked_at = time.monotonic()
        finally:
            self._lock.release()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Let nobody look meanwhile, and look anew afterwards."""
        with self._lock:
            try:
                yield
            finally:
                self._looked_at = None


def attempt(read: Callable[[], T]) -> Snapshot[T]:
    """Look, and put what goes wrong in words; one part's trouble is not another's."""
    try:
        return Snapshot(read())
    except Failure as failure:
        return Snapshot(problem=failure.reason)
    except RelayError as error:
        return Snapshot(problem=f"{error.reason}.")
    except (ClientError, BotoCoreError) as error:
        return Snapshot(problem=from_aws_error(error).reason)
    except Exception as error:  # noqa: BLE001  whatever it is, the other parts are shown
        return Snapshot(problem=f"Something went wrong here that should not ({type(error).__name__}).")
