"""MiniStack, an emulator of AWS on loopback, with its own environment and folder; only its owner can use it."""

import json
import os
import secrets
import time
import urllib.error
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import boto3

from local.build import ROOT
from local.processes import Running, end_session, free_port, start_session

if TYPE_CHECKING:
    import subprocess

REGION = "us-east-1"
START_SECONDS = 30


class EmulatorError(Exception):
    """The emulator did not start."""


def aws_environment(url: str, access_key: str, session_token: str) -> dict[str, str]:
    """Return the environment variables that point any AWS tool to an emulator, and away from the user's own account."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_SESSION_TOKEN": session_token,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


class Emulator(Running):
    """A MiniStack process on a free port of 127.0.0.1."""

    def __init__(self, *, enforce_iam: bool = False) -> None:
        """Configure it without starting it.

        Args:
            enforce_iam: Let functions do only what their roles allow.
        """
        super().__init__()
        self.url = ""
        self._session_token = secrets.token_hex()
        self._enforce_iam = enforce_iam
        self._process: subprocess.Popen[bytes] | None = None
        self._home: Path | None = None

    def _start(self) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        folder = TemporaryDirectory(prefix="relay-emulator-", ignore_cleanup_errors=True)
        self._home = Path(self._running.enter_context(folder))
        python = ROOT / ".local" / "emulator" / "bin" / "python"
        # A clean environment: functions inherit all of it.
        environment = {
            "PATH": f"{python.parent}{os.pathsep}{os.defpath}",
            "HOME": str(self._home),
            "TMPDIR": str(self._home),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "AUTH": "true" if self._enforce_iam else "false",
            "AWS_SESSION_TOKEN": self._session_token,  # the emulator passes it to the functions
        }
        # Without -P, modules beside the program would hide those that the emulator imports.
        command: list[str | Path] = [python, "-P", ROOT / "local" / "stack" / "emulator_server.py"]
        self._process = start_session(command, self._home / "log", cwd=self._home, environment=environment)
        self._running.callback(end_session, self._process)  # with its workers

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that point any AWS tool to it."""
        return aws_environment(self.url, "test", self._session_token)

    def client(self, service: str) -> Any:  # noqa: ANN401  its type depends on the name
        """Return a boto3 client for a service of this emulator."""
        return boto3.client(  # type: ignore[call-overload]
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            aws_session_token=self._session_token,
        )

    def api_url(self, api: str, path: str) -> str:
        """Return the address of a path of an HTTP API, with the session token that the emulator asks for."""
        return f"{self.url}/_aws/execute-api/{api}/$default{path}?X-Amz-Security-Token={self._session_token}"

    def messages(self) -> dict[str, list[dict[str, Any]]]:
        """Return the messages of every queue by its URL, also those that are not visible, without receiving any."""
        headers = {"X-Amz-Security-Token": self._session_token}
        request = urllib.request.Request(f"{self.url}/_ministack/sqs/messages", headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            (regions,) = json.load(answer)["messages"].values()
        return {queue: waiting for queues in regions.values() for queue, waiting in queues.items()}

    def _prepare(self) -> None:
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
        raise EmulatorError(f"the emulator did not start:\n{log}")
