"""LocalEmu as AWS: an emulator that others made, whose S3 and SQS share nothing with moto's.

What any client of the process would send to AWS goes to a LocalEmu on loopback, with the time of the test's clock.
Its DynamoDB, SSM and logs are moto's, as it was forked. The differences from AWS that matter here:

- A DynamoDB request is atomic; moto changes an item in several steps, so requests are processed one at a time.
- Long polling takes time on the test's clock, not on the machine's.
"""

import json
import os
import secrets
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import RLock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.httpsession import URLLib3Session
from moto.core.botocore_stubber import BotocoreStubber

from local.build import ROOT
from local.processes import Running, free_port, start_session
from local.stack.emulator import aws_environment
from tests.strict_s3 import WatchedS3
from tests.worlds.aws import ACCOUNT, REGION, SMALLEST_PART
from tests.worlds.clock import Clock
from tests.worlds.localemu_server import AGE, DELAYED, RESET, TIME_HEADER, TOKEN_HEADER

if TYPE_CHECKING:
    import subprocess

PYTHON = ROOT / ".local" / "second-emulator" / "bin" / "python"
START_SECONDS = 120
LOG_LINES_SHOWN = 20


class LocalEmuError(Exception):
    """It did not start, or it failed; the text has the end of its log, or its answer."""


class LocalEmu(Running):
    """A LocalEmu process on a free port of 127.0.0.1, with a folder of its own."""

    def __init__(self, *, port: int = 0, python: Path = PYTHON) -> None:
        """Configure it without starting it; `port` 0 takes a free one."""
        super().__init__()
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._python = python
        self._token = secrets.token_hex()
        self._http = URLLib3Session(max_pool_connections=16)
        self._one_at_a_time = RLock()
        self._home = TemporaryDirectory(prefix="relay-localemu-", ignore_cleanup_errors=True)
        self._log = Path(self._home.name) / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._running.callback(self._home.cleanup)

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that point any AWS tool to it."""
        return aws_environment(self.url, ACCOUNT, self._token)

    def client(self, service: str) -> Any:
        """Return a boto3 client for one of its services, on this machine's time."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=ACCOUNT,
            aws_secret_access_key="test",
            aws_session_token=self._token,
        )

    def reset(self) -> None:
        """Delete everything that it has."""
        self.control(RESET)

    def _start(self) -> None:
        try:
            socket.create_server(("127.0.0.1", self.port)).close()
        except OSError as error:  # LocalEmu would go on without a port
            raise LocalEmuError(f"port {self.port} of 127.0.0.1 is taken ({error})") from error
        environment = {
            "PATH": os.defpath,
            "HOME": self._home.name,
            "TMPDIR": self._home.name,
            # Its default server listens on all interfaces, whatever it is told.
            "GATEWAY_SERVER": "hypercorn",
            "GATEWAY_LISTEN": f"127.0.0.1:{self.port}",
            "EAGER_SERVICE_LOADING": "0",
            "DISABLE_EVENTS": "1",
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            "SQS_DISABLE_CLOUDWATCH_METRICS": "1",
            "RELAY_TOKEN": self._token,
            "RELAY_SMALLEST_PART": str(SMALLEST_PART),
        }
        # Without -P, modules beside the program would hide those that LocalEmu imports.
        command: list[str | Path] = [self._python, "-P", ROOT / "tests" / "worlds" / "localemu_server.py"]
        self._process = start_session(command, self._log, cwd=Path(self._home.name), environment=environment)
        self._running.callback(_end, self._process)

    def _prepare(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        why = f"was not ready after {START_SECONDS} s"
        while time.monotonic() < deadline:
            if self._process and self._process.poll() is not None:
                why = f"ended with exit code {self._process.returncode} before it was ready"
                break
            try:
                self.reset()
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
            else:
                return
        log = "\n".join(self._log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])
        raise LocalEmuError(f"LocalEmu on port {self.port} {why}. The end of its log:\n{log}")

    def control(self, path: str, **query: object) -> Any:
        """Send a request of our own; returns the answer's JSON, if there is any."""
        url = f"{self.url}{path}?{urlencode(query)}"
        request = urllib.request.Request(url, headers={TOKEN_HEADER: self._token})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    # In place of AWS

    @contextmanager
    def serving(self, clock: Clock, patch: pytest.MonkeyPatch) -> Iterator[None]:
        """Be an empty AWS on the test's clock.

        moto has a handler in every client of botocore, which does nothing while moto is off. This takes its place.
        """
        self.reset()

        def answer(_stubber: BotocoreStubber, event_name: str, request: AWSPreparedRequest, **_: Any) -> Any:
            host = urlsplit(request.url).hostname or ""
            if not host.endswith(".amazonaws.com"):
                return None  # a server of the test's own
            if event_name.endswith(".ReceiveMessage"):
                return self._receive(request, clock)
            if host.startswith("dynamodb."):
                with self._one_at_a_time:
                    return self._send(request, clock)
            return self._send(request, clock)

        patch.setattr(BotocoreStubber, "__call__", answer)
        yield

    def watch_s3(self, patch: pytest.MonkeyPatch) -> WatchedS3:
        return WatchedS3(patch)

    def refuse_message(self, message: Mapping[str, Any]) -> None:
        """Leave it to LocalEmu."""

    def delayed(self, queue: str) -> list[str]:
        """The bodies of the messages that a queue delays."""
        found: list[str] = self.control(DELAYED, queue=queue.rpartition("/")[2])
        return found

    def age(self, bucket: str, key: str, seconds: float) -> None:
        """Let an object have been stored so many seconds earlier."""
        self.control(AGE, bucket=bucket, key=key, seconds=seconds)

    def _receive(self, request: AWSPreparedRequest, clock: Clock) -> AWSResponse:
        """Receive at once; if there is nothing, once more after the time to wait."""
        asked = json.loads(request.body)
        wait = asked.get("WaitTimeSeconds", 0)
        request.body = json.dumps(asked | {"WaitTimeSeconds": 0}).encode()
        request.headers["Content-Length"] = str(len(request.body))
        answer = self._send(request, clock)
        if wait and answer.status_code == 200 and not json.loads(answer.content).get("Messages"):
            clock.forward(wait)
            answer = self._send(request, clock)
        return answer

    def _send(self, request: AWSPreparedRequest, clock: Clock) -> AWSResponse:
        url = urlsplit(request.url)
        headers = request.headers.copy()
        signature = headers["Authorization"].replace(b"Credential=test/", f"Credential={ACCOUNT}/".encode())
        headers.update({"Authorization": signature, "Host": url.netloc})
        headers.update({TOKEN_HEADER: self._token, TIME_HEADER: repr(clock())})
        ours = url._replace(scheme="http", netloc=f"127.0.0.1:{self.port}").geturl()
        sent = AWSPreparedRequest(request.method, ours, headers, request.body, request.stream_output)
        answer = self._http.send(sent)
        if answer.status_code >= 500:  # the tests plan the errors of AWS themselves
            raise LocalEmuError(f"LocalEmu failed ({answer.status_code}): {answer.text}")
        return answer


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill it with all that it started: it would take ten seconds over its own end, and it keeps nothing."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
