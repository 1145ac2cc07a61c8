"""An interrupt, at whatever moment it comes, leaves neither a process nor a folder behind."""

import os
import signal
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from local import processes
from local.processes import interrupts_deferred
from local.stack import emulator, lambda_runtime
from local.stack.emulator import Emulator
from local.stack.lambda_runtime import Rie
from tests.worlds import localemu
from tests.worlds.localemu import LocalEmu

if TYPE_CHECKING:
    import subprocess


def interrupt(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


def test_an_interrupt_is_handled_after_the_block() -> None:
    steps = []

    def work() -> None:
        with interrupts_deferred():
            interrupt()
            steps.append("after the interrupt")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert steps == ["after the interrupt"]


def test_each_interrupt_reaches_its_own_handler_once(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: received.append(number))
    try:
        with interrupts_deferred():
            interrupt(signal.SIGTERM)
            interrupt(signal.SIGTERM)
            assert received == []
        assert received == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_interrupt_after_an_error_in_the_block_is_not_lost() -> None:
    def fail() -> None:
        with interrupts_deferred():
            interrupt()
            raise ValueError

    with pytest.raises(KeyboardInterrupt) as raised:
        fail()
    assert isinstance(raised.value.__context__, ValueError)


def test_the_handlers_are_restored() -> None:
    before = [signal.getsignal(number) for number in processes.INTERRUPTS]
    with interrupts_deferred():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in processes.INTERRUPTS] == before


def test_another_thread_is_never_interrupted_and_changes_no_handler() -> None:
    def work() -> None:
        with interrupts_deferred():
            handlers.append(signal.getsignal(signal.SIGINT))

    handlers: list[Any] = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]


class Starts:
    """Starts a process that would run for minutes, and is interrupted before or after it starts, or never."""

    def __init__(self, interrupted: str = "never") -> None:
        self._interrupted = interrupted
        self.process: subprocess.Popen[bytes] | None = None

    def __call__(self, _command: object, log: Path, **options: Any) -> "subprocess.Popen[bytes]":
        if self._interrupted == "before":
            interrupt()
        self.process = processes.start_session(["sleep", "300"], log, cwd=options["cwd"])
        if self._interrupted == "after":
            interrupt()
        return self.process


def an_emulator() -> Emulator:
    return Emulator()


def a_function() -> Rie:
    return Rie(Path(tempfile.gettempdir()), None, {})


@pytest.mark.parametrize("interrupted", ["before", "after"])
@pytest.mark.parametrize(
    ("module", "make"),
    [(emulator, an_emulator), (localemu, LocalEmu), (lambda_runtime, a_function)],
    ids=["emulator", "second emulator", "function"],
)
def test_an_interrupt_around_the_start_of_a_process_leaves_nothing_behind(
    module: Any,
    make: Callable[[], Emulator | LocalEmu | Rie],
    interrupted: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    starts = Starts(interrupted)
    monkeypatch.setattr(module, "start_session", starts)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(KeyboardInterrupt), make():
        pytest.fail("it was interrupted before")
    assert starts.process is not None
    assert starts.process.returncode is not None
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_while_it_stops_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def end(process: "subprocess.Popen[Any]") -> None:
        interrupt()
        processes.end_session(process)

    starts = Starts()
    monkeypatch.setattr(lambda_runtime, "start_session", starts)
    monkeypatch.setattr(lambda_runtime, "end_session", end)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(KeyboardInterrupt), a_function():
        pass
    assert starts.process is not None
    assert starts.process.returncode is not None
    assert list(tmp_path.iterdir()) == []
