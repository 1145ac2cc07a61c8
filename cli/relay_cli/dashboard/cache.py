"""Caches for what is read from AWS, so that several tabs do not multiply the requests."""

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
"""How long a page waits for fresh values before it shows the old ones, which are wrong after a change."""


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[T]):
    """The result of reading a value.

    Attributes:
        value: The value; None if there is none.
        problem: Why there is no value; None while it is read for the first time.
    """

    value: T | None = None
    problem: str | None = None


class Cached(Generic[T]):
    """A value that is read at most once in so many seconds, by one thread at a time."""

    def __init__(self, read: Callable[[], T], seconds: float) -> None:
        """Read nothing yet."""
        self._read = read
        self._seconds = seconds
        self._snapshot: Snapshot[T] = Snapshot()
        self._read_at: float | None = None
        self._lock = threading.Lock()

    async def get(self, patience: float) -> Snapshot[T]:
        """Return the value after at most so many seconds; reading continues in the background for the next call."""
        with move_on_after(patience):
            await to_thread.run_sync(self._refresh, patience, abandon_on_cancel=True)
        return self._snapshot

    def _refresh(self, patience: float) -> None:
        """Read the value, unless it is fresh, or another thread is still reading it."""
        if not self._lock.acquire(timeout=patience):
            return
        try:
            if self._read_at is None or time.monotonic() - self._read_at >= self._seconds:
                self._snapshot = attempt(self._read)
                self._read_at = time.monotonic()
        finally:
            self._lock.release()

    @contextmanager
    def invalidating(self) -> Iterator[None]:
        """Block reading inside the context, and read anew after it."""
        with self._lock:
            try:
                yield
            finally:
                self._read_at = None


def attempt(read: Callable[[], T]) -> Snapshot[T]:
    """Call a function, and turn an error into a problem, so that it only affects one part of the page."""
    try:
        return Snapshot(read())
    except Failure as failure:
        return Snapshot(problem=failure.reason)
    except RelayError as error:
        return Snapshot(problem=f"{error.reason}.")
    except (ClientError, BotoCoreError) as error:
        return Snapshot(problem=from_aws_error(error).reason)
    except Exception as error:  # noqa: BLE001  the other parts must still be shown
        return Snapshot(problem=f"Unexpected error ({type(error).__name__}).")
