"""`send_notices` over SSM and an incoming webhook: a notice is sent, or Lambda tries again; its address is a secret."""

import json
import socket
import ssl
import traceback
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, InvalidURL
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from relay import __version__
from relay.notices import bootstrap, incoming_webhook
from relay.notices.incoming_webhook import TIMEOUT_SECONDS, IncomingWebhook, NotSent

from functions.send_notices import app
from local.stand_ins.http_server import Handler, Server
from tests.iam import refused
from tests.servers import request_of, self_signed, tcp_server
from tests.unit.notices.test_notice import log_lines, notification, rejected
from tests.worlds.clock import Clock
from tests.worlds.posting import PostingWorld
from tests.worlds.runs import Run, write_to_stdout

PARAMETER, SECRET = "/stocktwits-relay/notify-url", "T0/B0/a-secret"
HOST = "chat.example.com"
URL = f"https://{HOST}/services/{SECRET}?thread=1"
ALARM = notification(json.dumps({"AlarmName": "stocktwits-relay-dead-letters", "AlarmDescription": "Look."}))


class Receiver:
    """The service with the incoming webhook.

    Attributes:
        requests: What it was sent: method, path, content type and JSON.
        agents: The User-Agent of each.
        status: What it answers.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, str, Any]] = []
        self.agents: list[str | None] = []
        self.status = 200
        self.headers: dict[str, str] = {}


class Answering(Handler):
    """Notes a request, and answers it."""

    def serve(self) -> None:
        receiver = self.server.stand_in
        body = json.loads(self.read_body())
        receiver.requests.append((self.command, self.path, self.headers["Content-Type"], body))
        receiver.agents.append(self.headers["User-Agent"])
        self.answer(receiver.status, b"ok", receiver.headers)


class NoticesWorld:
    """The function, its parameter, and the service on loopback in place of the address's host."""

    def __init__(self, posting: PostingWorld, receiver: Receiver, port: int) -> None:
        self.posting, self.receiver, self.port = posting, receiver, port
        self.hosts: list[tuple[str, int]] = []
        posting.patch.setenv("NOTIFY_URL_PARAMETER", PARAMETER)
        posting.patch.setenv("STACK_NAME", "stocktwits-relay")
        posting.patch.setattr(incoming_webhook, "_connect", self._connect)
        bootstrap.container.cache_clear()
        bootstrap.telemetry.cache_clear()
        self.store(URL)

    def store(self, value: str) -> None:
        self.posting.ssm.put_parameter(Name=PARAMETER, Type="SecureString", Value=value, Overwrite=True)

    def invoke(self, event: dict[str, Any]) -> Run:
        """Invoke the handler; its role must allow each of its calls."""
        write_to_stdout(bootstrap.telemetry())
        before, self.posting.aws.calls = self.posting.aws.calls, []
        try:
            answer = app.handler(event, self.posting.context())
        finally:
            made, self.posting.aws.calls = self.posting.aws.calls, before
            assert refused(("SendNoticesRole",), made) == []
        return Run(answer, self.posting.written())

    def fails(self, event: dict[str, Any] = ALARM) -> str:
        """Invoke the handler, which raises, and return the error's text."""
        with pytest.raises(NotSent) as error:
            self.invoke(event)
        shown = "".join(traceback.format_exception(error.value))  # as Lambda logs it
        assert SECRET not in shown + self.posting.written()
        assert error.value.__suppress_context__ or error.value.__context__ is None
        return str(error.value)

    def _connect(self, host: str, port: int) -> HTTPConnection:
        self.hosts.append((host, port))
        return HTTPConnection("127.0.0.1", self.port, timeout=5)


@pytest.fixture
def notices(world: PostingWorld) -> Iterator[NoticesWorld]:
    receiver = Receiver()
    server = Server(0, Answering, receiver)
    server.start()
    try:
        yield NoticesWorld(world, receiver, server.server_port)
    finally:
        server.stop()
        bootstrap.container.cache_clear()
        bootstrap.telemetry.cache_clear()


def test_an_alarm_is_posted_to_the_address_as_json(notices: NoticesWorld) -> None:
    run = notices.invoke(ALARM)
    ((method, path, content_type, content),) = notices.receiver.requests
    assert (method, path, content_type) == ("POST", f"/services/{SECRET}?thread=1", "application/json")
    assert content["text"].startswith("stocktwits-relay: alarm dead-letters\nLook.")
    assert (notices.hosts, run.answer) == ([("chat.example.com", 443)], {"sent": 1})


def test_the_relay_names_itself_as_discord_requires(notices: NoticesWorld) -> None:
    notices.invoke(ALARM)
    assert notices.receiver.agents == [f"StockTwitsRelay/{__version__}"]


def test_what_was_sent_is_logged_without_the_address(notices: NoticesWorld) -> None:
    run = notices.invoke(ALARM)
    (line,) = run.lines
    assert (line["message"], line["kind"], SECRET in run.output) == ("notice", "alarm", False)


def test_a_rejected_post_is_told_with_the_line_that_the_function_logs(notices: NoticesWorld) -> None:
    outbox = notices.posting.functions["outbox"]
    outbox.send('{"body": "Up 3% $AAPL", "expires_at": "2026-11-20T00:00:00Z"}')
    lines = [each for each in outbox.run().lines if each["message"] == "delivery"]
    notices.invoke(log_lines(*lines))
    text = notices.receiver.requests[0][3]["text"]
    assert text.startswith("stocktwits-relay: a post was rejected\nUp 3% $AAPL\n    it expired")


def test_when_there_is_nothing_to_tell_not_even_the_address_is_read(notices: NoticesWorld) -> None:
    notices.posting.ssm.delete_parameter(Name=PARAMETER)
    assert notices.invoke(log_lines("CWL CONTROL MESSAGE", kind="CONTROL_MESSAGE")).answer == {"sent": 0}


@pytest.mark.parametrize("status", [204, 201])
def test_any_success_is_one(notices: NoticesWorld, status: int) -> None:
    notices.receiver.status = status
    assert notices.invoke(log_lines(rejected())).answer == {"sent": 1}


@pytest.mark.parametrize("status", [400, 404, 429, 500])
def test_a_refusal_is_an_error_so_that_lambda_tries_again(notices: NoticesWorld, status: int) -> None:
    notices.receiver.status = status
    assert notices.fails() == f"the receiver of notices answered {status}"


def test_a_redirect_is_not_followed(notices: NoticesWorld) -> None:
    notices.receiver.status = 307
    notices.receiver.headers = {"Location": f"http://127.0.0.1:{notices.port}/{SECRET}"}
    assert notices.fails() == "the receiver of notices answered 307"
    assert len(notices.receiver.requests) == 1


def test_a_receiver_that_is_not_there_is_an_error_of_its_kind_alone(notices: NoticesWorld) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        notices.port = closed.getsockname()[1]
    assert notices.fails() == "the receiver of notices gave no answer (ConnectionRefusedError)"


@pytest.mark.parametrize(
    "value",
    [
        f"http://chat.example.com/{SECRET}",
        f"https://user:{SECRET}@chat.example.com/",
        f"https://chat.example.com/ {SECRET}",
        f"https://chat.example.com/{SECRET}\r\nHost: elsewhere",
        f"https://chat.exämple.com/{SECRET}",
        f"https://chat.example.com/{SECRET}/ü",
        f"https://\udc80/{SECRET}",
        f"https:///{SECRET}",
        f"https://chat..example.com/{SECRET}",
        f"https://.example.com/{SECRET}",
        f"https://{'a' * 64}.example.com/{SECRET}",
        f"https://chat.example.com:0/{SECRET}",
        f"https://chat.example.com:65536/{SECRET}",
        f"https://chat.example.com:/{SECRET}",
        f"https://chat.example.com?{SECRET}",
        f"slack://chat.example.com/{SECRET}",
        f"https://chat.example.com/{SECRET}\nhttps://chat.example.com/{SECRET}",
        SECRET,
    ],
)
def test_an_address_that_is_not_one_of_https_is_refused_without_showing_it(notices: NoticesWorld, value: str) -> None:
    notices.store(value)
    assert notices.fails() == (
        f"the parameter {PARAMETER} must contain an address such as https://hooks.example.com/a/path, without a user "
        "name, and in ASCII without spaces"
    )
    assert notices.hosts == []


@pytest.mark.parametrize("kind", [OSError, InvalidURL, ValueError])
def test_an_error_that_quotes_the_address_is_shown_by_its_kind_alone(
    notices: NoticesWorld, kind: type[Exception]
) -> None:
    class Quoting(HTTPConnection):
        def connect(self) -> None:
            raise kind(f"no answer from {URL}")

    notices.posting.patch.setattr(incoming_webhook, "_connect", Quoting)
    assert notices.fails() == f"the receiver of notices gave no answer ({kind.__name__})"


def test_a_host_that_python_cannot_encode_is_an_error_of_its_kind_alone(notices: NoticesWorld) -> None:
    class Unencodable(HTTPConnection):
        def connect(self) -> None:
            raise UnicodeEncodeError("idna", f"chat.example.com/{SECRET}", 0, 1, "label too long")

    notices.posting.patch.setattr(incoming_webhook, "_connect", Unencodable)
    assert notices.fails() == "the receiver of notices gave no answer (UnicodeEncodeError)"


def test_an_address_as_long_as_a_parameter_can_be_is_sent_whole(notices: NoticesWorld) -> None:
    notices.store(f"https://chat.example.com/{'a' * 4000}")
    notices.invoke(ALARM)
    assert len(notices.receiver.requests[0][1]) == 4001


@pytest.mark.parametrize("value", [f"{URL}\n", f"  {URL}"])
def test_white_space_around_the_address_does_not_count(notices: NoticesWorld, value: str) -> None:
    notices.store(value)
    assert notices.invoke(ALARM).answer == {"sent": 1}


def test_a_port_in_the_address_is_used(notices: NoticesWorld) -> None:
    notices.store(f"https://chat.example.com:8443/{SECRET}")
    notices.invoke(ALARM)
    assert notices.hosts == [("chat.example.com", 8443)]


def test_an_address_that_was_replaced_is_used_at_once(notices: NoticesWorld) -> None:
    notices.invoke(ALARM)
    notices.store("https://discord.com/api/webhooks/1/another")
    notices.invoke(ALARM)
    assert (notices.hosts[1][0], "content" in notices.receiver.requests[1][3]) == ("discord.com", True)


def test_a_missing_parameter_is_named(notices: NoticesWorld) -> None:
    notices.posting.ssm.delete_parameter(Name=PARAMETER)
    expected = f"the parameter {PARAMETER} with the address for notices cannot be read (ParameterNotFound)"
    assert notices.fails() == expected


def addresses(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    """Let the host's name have an address on loopback for each of these ports."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", each)) for each in ports]
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **how: found if host == HOST else real(host, *rest, **how)
    )


@pytest.mark.parametrize("dead", [1, 2, 3, 20])
def test_connecting_has_an_end_however_many_addresses_the_host_has(monkeypatch: pytest.MonkeyPatch, dead: int) -> None:
    clock = Clock(0)

    def connect(_address: Any, timeout: float) -> socket.socket:
        clock.forward(timeout)
        raise TimeoutError

    addresses(monkeypatch, *range(dead))
    monkeypatch.setattr(incoming_webhook, "time", SimpleNamespace(monotonic=clock))
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(TimeoutError):
        incoming_webhook._connect(HOST, 443).connect()
    assert clock.now == pytest.approx(TIMEOUT_SECONDS)


def test_the_next_address_is_used_if_one_does_not_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tls, certificate = self_signed(tmp_path, host=HOST)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = closed.getsockname()[1]
    with tcp_server(request_of, tls) as server:
        addresses(monkeypatch, dead, server.port)
        connection = incoming_webhook._connect(HOST, 443)
        with closing(connection):
            connection.request("POST", "/a/path")
            assert connection.sock.gettimeout() == TIMEOUT_SECONDS
    assert b"POST /a/path HTTP/1.1\r\nHost: chat.example.com\r\n" in server.received


def test_a_certificate_for_another_host_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tls, certificate = self_signed(tmp_path, host="other.example.com")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with tcp_server(request_of, tls) as server:
        addresses(monkeypatch, server.port)
        with pytest.raises(ssl.SSLCertVerificationError):
            incoming_webhook._connect(HOST, 443).connect()


def test_a_receiver_that_does_not_speak_tls_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming_webhook, "TIMEOUT_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        addresses(monkeypatch, silent.getsockname()[1])
        with pytest.raises(TimeoutError):
            incoming_webhook._connect(HOST, 443).connect()


def test_nothing_is_read_before_a_notice_is_sent() -> None:
    def read() -> Any:
        raise AssertionError("it was read")

    IncomingWebhook(read, PARAMETER)
