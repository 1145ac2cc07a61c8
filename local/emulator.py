"""MiniStack, an AWS on loopback: in an environment of its own, in a folder that goes away with it."""

import os
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import boto3

from local.build import ROOT
from local.processes import end_session, free_port, start_session

if TYPE_CHECKING:
    import subprocess

REGION = "us-east-1"
START_SECONDS = 30


class EmulatorError(Exception):
    """The emulator did not come up."""


class Emulator:
    """A MiniStack process on a free port of 127.0.0.1."""

    def __init__(self, *, enforce_iam: bool = False) -> None:
        """Start nothing yet.

        Args:
            enforce_iam: Let functions do only what their roles allow.
        """
        self.url = ""
        self._enforce_iam = enforce_iam
        self._process: subprocess.Popen[bytes] | None = None
        self._home: Path | None = None

    def __enter__(self) -> Self:
        """Start it, and wait until it answers."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._home = Path(tempfile.mkdtemp(prefix="relay-emulator-"))
        command = ROOT / ".local" / "emulator" / "bin" / "ministack"
        # A clean environment: functions inherit all of it.
        environment = {
            "PATH": f"{command.parent}{os.pathsep}{os.defpath}",
            "HOME": str(self._home),
            "TMPDIR": str(self._home),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "AUTH": "true" if self._enforce_iam else "false",
        }
        self._process = start_session([command], self._home / "log", cwd=self._home, environment=environment)
        try:
            self._wait_until_healthy()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it with its workers, and remove its folder."""
        process, self._process = self._process, None
        if process:
            end_session(process)
        if self._home:
            shutil.rmtree(self._home, ignore_errors=True)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point any AWS tool to it, and away from the user's own account."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def client(self, service: str) -> Any:  # noqa: ANN401  its type depends on the name
        """Return a boto3 client of a service of this emulator."""
        return boto3.client(  # type: ignore[call-overload]
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process and self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.url}/_ministack/health", timeout=2) as answer:
                    if answer.status == 200:  # noqa: PLR2004
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        log = (self._home / "log").read_text(errors="replace")[-2000:] if self._home else ""
        raise EmulatorError(f"the emulator did not come up:\n{log}")
