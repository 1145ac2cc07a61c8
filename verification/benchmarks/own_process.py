"""Run a way to store or read a backup in its own process, and measure it."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from local.build import ROOT
from local.processes import end_session, start_session
from verification.benchmarks.fixtures import BenchmarkError
from verification.benchmarks.ways.job import Job

_ENVIRONMENT = ROOT / ".local" / "bench" / "bin"
_SECONDS = 300
_START_SECONDS = 10


@dataclass(frozen=True)
class Run:
    """The wall-clock and processor time and the peak memory of a run, and the number of lines, or 0."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    lines: int


def run(way: str, job: Job, environment: Mapping[str, str], prefix: Sequence[str] = ()) -> Run:
    """Run a way once.

    Args:
        way: A module of `verification.benchmarks.ways`.
        job: What to store or read.
        environment: Additional variables.
        prefix: What runs the command, such as ``nice``.

    Raises:
        BenchmarkError: It failed.
    """
    variables = {
        "PATH": f"{_ENVIRONMENT}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'layers' / 'relay'}",
        **environment,
    }
    command = [
        *prefix,
        str(_ENVIRONMENT / "python"),
        "-m",
        "verification.benchmarks.ways",
        way,
        json.dumps(asdict(job)),
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        raise BenchmarkError(f"{way} failed:\n{done.stderr}")
    return Run(**json.loads(done.stdout))


@contextmanager
def serving(module: str, arguments: Sequence[str], ports: Sequence[int]) -> Iterator[None]:
    """Run a module that serves on these ports of 127.0.0.1, in its own process.

    Raises:
        BenchmarkError: It did not start.
    """
    with TemporaryDirectory(prefix="relay-bench-") as directory:
        log = Path(directory) / "log"
        process = start_session([sys.executable, "-m", module, *arguments], log, cwd=ROOT)
        try:
            for port in ports:
                _wait_for(port, process, log)
            yield
        finally:
            end_session(process)


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    raise BenchmarkError(f"nothing listens on port {port}:\n{log.read_text(errors='replace')}")
