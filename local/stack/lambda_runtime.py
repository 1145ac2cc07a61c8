"""Run a built function in the real Lambda runtime, without Docker.

``sam local invoke`` starts a container with the Runtime Interface Emulator, which is part of the SAM CLI's package, and
AWS's runtime client. Here the same two run as plain processes. The client's environment has nothing else installed, so
a library that the layer lacks fails the function here, too.
"""

import json
import os
import platform
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from local.build import ROOT
from local.processes import Running, end_session, free_port, start_session

BARE_PYTHON = ROOT / ".local" / "runtime" / "bin" / "python"
INVOKE_PATH = "/2015-03-31/functions/function/invocations"
START_SECONDS = 10


class Rie(Running):
    """A function in one execution environment: the first invocation is cold, the following ones are warm."""

    def __init__(
        self,
        function: Path,
        layer: Path | None,
        environment: Mapping[str, str],
        *,
        python: Path = BARE_PYTHON,
        timeout: int = 60,
    ) -> None:
        """Configure it without starting it.

        Args:
            function: The built function's folder, with ``app.py``.
            layer: The built layer's folder, with ``python``.
            environment: The function's environment variables.
            python: An interpreter of the built runtime, with ``awslambdaric``.
            timeout: The function's, in seconds.
        """
        super().__init__()
        self._port = free_port()
        self._function = function
        self._home = TemporaryDirectory(prefix="relay-rie-", ignore_cleanup_errors=True)
        self._running.callback(self._home.cleanup)
        self.log_file = Path(self._home.name) / "log"
        path = [str(function), *([str(layer / "python")] if layer else [])]
        self._environment = {
            "PATH": os.defpath,
            "HOME": self._home.name,
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

    def _start(self) -> None:
        """Start the runtime; the function itself starts with its first event."""
        process = start_session(self._command, self.log_file, cwd=self._function, environment=self._environment)
        self._running.callback(end_session, process)

    @property
    def log(self) -> str:
        """The output of the function and its runtime so far."""
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
                # It does not listen yet; a refused connection has delivered nothing.
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
