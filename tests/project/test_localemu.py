"""A LocalEmu that does not start says why."""

import socket
import sys
from pathlib import Path

import pytest

from tests.worlds import localemu
from tests.worlds.localemu import LocalEmu, LocalEmuError


def a_python(folder: Path, program: str) -> Path:
    """An interpreter that runs this program whatever it is given."""
    python = folder / "python"
    python.write_text(f"#!{sys.executable}\n{program}\n")
    python.chmod(0o755)
    return python


def test_one_that_exits_at_once_shows_the_end_of_its_log(tmp_path: Path) -> None:
    python = a_python(tmp_path, "for line in range(100): print('line', line)\nraise SystemExit(3)")
    with (
        pytest.raises(LocalEmuError, match="ended with exit code 3 before it was ready") as failed,
        LocalEmu(python=python),
    ):
        pytest.fail("it does not run")
    assert [line for line in str(failed.value).splitlines() if line.startswith("line")] == [
        f"line {number}" for number in range(80, 100)
    ]


def test_one_that_never_answers_is_given_up_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(localemu, "START_SECONDS", 0.5)
    emulator = LocalEmu(python=a_python(tmp_path, "import signal\nsignal.pause()"))
    with pytest.raises(LocalEmuError, match=r"was not ready after 0\.5 s"), emulator:
        pytest.fail("it does not answer")
    assert emulator._process is not None
    assert emulator._process.returncode is not None


def test_one_whose_port_is_taken_is_not_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        emulator = LocalEmu(port=port, python=a_python(tmp_path, "import signal\nsignal.pause()"))
        with pytest.raises(LocalEmuError, match=f"port {port} of 127.0.0.1 is taken"), emulator:
            pytest.fail("another program has its port")
    assert emulator._process is None


def test_an_environment_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"), LocalEmu(python=tmp_path / "nowhere"):
        pytest.fail("it does not run")
