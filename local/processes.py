"""Start and stop processes, find free ports, and put off interrupts."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Self

STOP_SECONDS = 10
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_session(
    command: Sequence[str | Path], log: Path, *, cwd: Path, environment: Mapping[str, str] = os.environ
) -> "subprocess.Popen[bytes]":
    """Start a process in a session of its own, which Ctrl-C does not reach; its output goes to `log`."""
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def end_session(process: "subprocess.Popen[Any]") -> None:
    """Stop a process that leads its session, with everything it started: SIGTERM first, then SIGKILL."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Running:
    """What runs beside this process: inside the ``with`` block all of it, afterwards nothing, despite interrupts.

    A subclass starts it in `_start`, and lets `_running` end it again.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self._running = contextlib.ExitStack()
        weakref.finalize(self, self._running.close)  # at exit at the latest, if `__exit__` was interrupted

    def __enter__(self) -> Self:
        """Start it, and wait until it can be used."""
        try:
            with interrupts_deferred():
                self._start()
            self._prepare()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        with interrupts_deferred():
            self._running.close()

    def _start(self) -> None:
        """Start it; no interrupt comes in between."""
        raise NotImplementedError

    def _prepare(self) -> None:
        """Do what may take a while after the start, and may be interrupted."""


@contextlib.contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Handle interrupts only after the block: one in the middle of it would leave a process or a folder behind.

    Only the main thread is ever interrupted; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    handlers = {number: signal.getsignal(number) for number in INTERRUPTS}
    try:
        for number in INTERRUPTS:
            signal.signal(number, remember)
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for each in dict.fromkeys(received):
            signal.raise_signal(each)
