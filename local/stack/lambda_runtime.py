"""A built function in the real Lambda runtime, without Docker.

``sam local invoke`` runs, inside its container, the Runtime Interface Emulator that the SAM CLI's package brings along,
and AWS's own runtime client. Here the same two run as plain processes: the client in an environment that holds nothing
else, so that a library missing from the layer is missed.
"""

import json
import os
import platform
import shutil
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from local.build import ROOT
from local.processes import end_session, free_port, start_session

if TYPE_CHECKING:
    import subprocess

BARE_PYTHON = ROOT / ".local" / "runtime" / "bin" / "python"
INVOKE_PATH = "/2015-03-31/functions/function/invocations"
START_SECONDS = 10


class Rie:
    """One container's worth of a function: the first invocation is cold, the following ones are warm."""

    def __init__(
        self,
        function: Path,
        layer: Path | None,
        environment: Mapping[str, str],
        *,
        python: Path = BARE_PYTHON,
        timeout: int = 60,
    ) -> None:
        """Prepare it.

        Args:
            function: The built function's folder, with ``app.py``.
            layer: The built layer's folder, with ``python``.
            environment: The function's environment variables.
            python: An interpreter of the built runtime, with ``awslambdaric``.
            timeout: The function's, in seconds.
        """
        self._port = free_port()
        self._function = function
        self._home = Path(tempfile.mkdtemp(prefix="relay-rie-"))
        self.log_file = self._home / "log"
        path = [str(function), *([str(layer / "python")] if layer else [])]
        self._environment = {
            "PATH": os.defpath,
            "HOME": str(self._home),
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout),
            "_HANDLER": "app.handler",
            "LAMBDA_TASK_ROOT": str(function),
            "PYTHONPATH": os.pathsep.join(path),
            "PYTHONDONTWRITEBYTECODE": "1",  # Lambda's file system is read-only
            **environment,
        }
        self._command = [
            str(_emulator_program()),
            "--runtime-interface-emulator-address",
            f"127.0.0.1:{self._port}",
            "--runtime-api-address",
            f"127.0.0.1:{free_port()}",
            str(python),
            "-m",
            "awslambdaric",
            "app.handler",
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it, and wait until it listens; the function itself starts with its first event."""
        self._process = start_session(self._command, self.log_file, cwd=self._function, environment=self._environment)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        if self._process:
            end_session(self._process)
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def log(self) -> str:
        """What the function and its runtime printed so far."""
        return self.log_file.read_text(errors="replace")

    def invoke(self, event: object) -> Any:  # noqa: ANN401  whatever the function returns
        """Invoke the function with an event, and return its answer."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{INVOKE_PATH}",
            json.dumps(event).encode(),
            {"Content-Type": "application/json"},
        )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(request, timeout=120) as answer:
                    return json.loads(answer.read() or b"null")
            except urllib.error.URLError as error:
                # Until it listens; a refused connection delivered nothing.
                if not isinstance(error.reason, ConnectionRefusedError) or time.monotonic() > deadline:
                    raise
                time.sleep(0.002)


def _emulator_program() -> Path:
    """Find the program in the SAM CLI's package."""
    spec = find_spec("samcli")
    if spec is None or spec.origin is None:
        sys.exit("the SAM CLI is missing from this environment")
    suffix = "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64"
    return Path(spec.origin).parent / "local" / "rapid" / f"aws-lambda-rie-{suffix}"
