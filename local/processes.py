"""Processes and ports of this machine, shared by what runs on them."""

import contextlib
import os
import signal
import socket
import subprocess
from typing import Any

STOP_SECONDS = 10


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end_session(process: "subprocess.Popen[Any]") -> None:
    """Stop a process that leads its own session, and everything it started: politely, then for good."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
