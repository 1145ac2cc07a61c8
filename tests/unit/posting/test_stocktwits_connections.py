"""What only the wire shows: connections that fail, break or are kept, TLS, and answers too long or too slow."""

import gzip
import socket
import ssl
import threading
import traceback
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from relay.errors import Halt, NoId, Retry, Unknown
from relay.posting import stocktwits
from relay.posting.stocktwits import MAX_ANSWER_BYTES, StockTwits

from local.stand_ins.stocktwits.server import StandIn
from tests.factories import Clock, an_alert
from tests.servers import answering, request_of, self_signed, tcp_server
from tests.unit.posting.stocktwits_helpers import TOKEN, Clients, failure

BOMB = gzip.compress(b'{"message": {"id": 7}, "x": "' + b"x" * (64 * 1024 * 1024) + b'"}', mtime=0)


# --- Connections that break after the request: the outcome is unknown


@pytest.mark.parametrize("style", ["bearer", "oauth", "form"])
@pytest.mark.parametrize("fault", ["reset-before", "reset-after", "close-after"])
def test_a_connection_that_breaks_after_the_request_leaves_the_outcome_unknown(
    stand_in: StandIn, client_of: Clients, fault: str, style: str
) -> None:
    stand_in.fail(fault, times=None)
    error = failure(client_of(stand_in.api_url, style))
    assert (type(error), error.status, error.pause) == (Unknown, None, None)
    assert len(stand_in.requests) == 1
    assert TOKEN not in "".join(traceback.format_exception(error))
    assert error.__cause__ is None


def test_a_stream_whose_connection_breaks_leaves_the_outcome_unknown(client: StockTwits, stand_in: StandIn) -> None:
    stand_in.fail("reset-before", path="streams/user")
    with pytest.raises(Unknown):
        client.stream(None)


@pytest.mark.parametrize("fault", ["timeout-before", "timeout-after"])
def test_silence_after_the_request_leaves_the_outcome_unknown(
    client: StockTwits, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(stocktwits, "READ_SECONDS", 0.05)
    stand_in.fail(fault)
    assert type(failure(client)) is Unknown
    assert len(stand_in.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"message": {"id": 7}}', b"220 mail.example.com ESMTP\r\n"],
    ids=["breaks off", "is not HTTP"],
)
def test_an_answer_that_breaks_off_or_is_not_http_leaves_the_outcome_unknown(client_of: Clients, answer: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(answer)

    with tcp_server(serve) as server:
        assert type(failure(client_of(f"http://127.0.0.1:{server.port}"))) is Unknown


def test_a_kept_connection_that_broke_does_not_make_a_lost_request_look_unsent(
    client: StockTwits, stand_in: StandIn
) -> None:
    client.publish(an_alert("one"), None)
    stand_in.fail("reset-after")
    assert type(failure(client, "two")) is Unknown
    assert [each.body for each in stand_in.posts] == ["one", "two"]


# --- Answers that are too long, too slow, or not worth reading


@pytest.mark.parametrize(
    "content",
    [
        b'{"message": {"id": 7}, "x": "' + b"x" * MAX_ANSWER_BYTES + b'"}',
        BOMB,
        b"[" * MAX_ANSWER_BYTES,
        b'{"message":' * 90_000,
    ],
    ids=["too long", "bomb", "nested", "nested objects"],
)
@pytest.mark.parametrize("status", [200, 422, 403])
def test_an_answer_is_read_up_to_a_bound_and_not_decoded(client_of: Clients, status: int, content: bytes) -> None:
    with answering(status, content, b"Content-Encoding: gzip\r\n" if content is BOMB else b"") as url:
        tracemalloc.start()
        try:
            error = failure(client_of(url))
            assert tracemalloc.get_traced_memory()[1] < 8 * MAX_ANSWER_BYTES
        finally:
            tracemalloc.stop()
    assert type(error) is {200: NoId, 422: Halt, 403: Halt}[status]
    assert len(error.reason) < 400


def test_an_answer_that_nobody_asked_to_encode_is_not_decoded(client_of: Clients) -> None:
    with answering(200, gzip.compress(b'{"message": {"id": 7}}'), b"Content-Encoding: gzip\r\n") as url:
        assert type(failure(client_of(url))) is NoId


def test_an_answer_of_exactly_the_bound_is_read(client_of: Clients) -> None:
    content = b'{"message": {"id": 7}, "x": "%s"}'
    filler = b"x" * (MAX_ANSWER_BYTES - len(content) + 2)
    with answering(200, content % filler) as url:
        assert client_of(url).publish(an_alert(), None).id == 7


@pytest.mark.parametrize("part", ["the status", "the headers", "the body", "chunks"])
def test_an_answer_that_trickles_in_is_given_up_after_the_time_that_a_whole_one_may_take(
    client_of: Clients, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setattr(stocktwits, "READ_SECONDS", 0.5)
    ok, given_up = b"HTTP/1.1 200 OK\r\n", threading.Event()
    beginning = {
        "the status": b"",
        "the headers": ok + b"X: ",
        "the body": ok + b"Content-Length: 100000\r\n\r\n",
        "chunks": ok + b"Transfer-Encoding: chunked\r\n\r\n",
    }[part]
    piece = b"1\r\nx\r\n" if part == "chunks" else b"x"

    def trickle(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(beginning)
        while not given_up.wait(0.05):
            connection.sendall(piece)

    with tcp_server(trickle) as server:
        error = failure(client_of(f"http://127.0.0.1:{server.port}"))
        given_up.set()
    assert type(error) is Unknown
    assert "broke before its answer" in error.reason


def test_each_read_may_take_only_what_is_left_of_the_time_for_the_whole_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    timeouts: list[float] = []

    def readinto(_: object) -> int:
        clock.now += 3
        return 1

    monkeypatch.setattr(stocktwits, "time", SimpleNamespace(monotonic=clock))
    file = SimpleNamespace(_sock=SimpleNamespace(settimeout=timeouts.append), readinto=readinto, close=lambda: None)
    with stocktwits._BoundedReader(file, seconds=9, size=100) as reader, pytest.raises(TimeoutError):
        reader.readall()
    assert timeouts == [9, 6, 3]


@pytest.mark.parametrize("size", [b"-1", b"-7fffffff", b"7fffffff"])
def test_a_chunk_is_not_read_beyond_the_bound_whatever_size_it_claims(client_of: Clients, size: bytes) -> None:
    sent = 0

    def serve(connection: socket.socket) -> None:
        nonlocal sent
        request_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\n")
        while sent < 1 << 26:
            connection.sendall(b"x" * (1 << 16))
            sent += 1 << 16

    with tcp_server(serve) as server:
        assert isinstance(failure(client_of(f"http://127.0.0.1:{server.port}")), Unknown)
    assert sent < 1 << 25


@pytest.mark.parametrize(
    "headers",
    [
        b"Set-Cookie: a=b\r\n" + (b"Set-Cookie2: " + b"a," * 10_000 + b"\r\n") * 60,
        (b"Set-Cookie: " + b"a;" * 10_000 + b"\r\n") * 60,
    ],
    ids=["Set-Cookie2", "Set-Cookie"],
)
def test_cookies_are_not_parsed(client_of: Clients, monkeypatch: pytest.MonkeyPatch, headers: bytes) -> None:
    def parse(*_: object) -> None:
        pytest.fail("a cookie was parsed")

    monkeypatch.setattr("http.cookiejar.CookieJar.extract_cookies", parse)
    with answering(200, b'{"message": {"id": 7}}', headers) as url:
        assert client_of(url).publish(an_alert(), None).id == 7


# --- Connections that never came about: nothing was sent


def test_a_refused_connection_sent_nothing_and_is_named_for_itself(client_of: Clients) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    try:
        int("an error whose handler sends the request")
    except ValueError:
        error = failure(client_of(f"http://127.0.0.1:{port}"))
    assert (type(error), error.pause) == (Retry, None)
    assert error.reason == "StockTwits could not be reached (ConnectionRefusedError)"


def test_a_name_that_is_not_known_sent_nothing(client_of: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = failure(client_of("https://api.stocktwits.invalid"))
    assert (type(error), error.reason) == (Retry, "StockTwits could not be reached (gaierror)")


# --- TLS


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", None])
def test_a_server_that_does_not_end_the_handshake_is_sent_no_request(
    client_of: Clients, monkeypatch: pytest.MonkeyPatch, answer: bytes | None
) -> None:
    given_up = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        if answer is None:
            given_up.wait(5)
        else:
            connection.sendall(answer)

    monkeypatch.setattr(stocktwits, "CONNECT_SECONDS", 0.2)
    with tcp_server(serve) as server:
        assert type(failure(client_of(f"https://127.0.0.1:{server.port}"))) is Retry
        given_up.set()
    assert b"AAPL" not in server.received


def test_a_server_whose_certificate_nobody_signed_is_sent_no_request(client_of: Clients, tmp_path: Path) -> None:
    tls, _ = self_signed(tmp_path)
    with tcp_server(request_of, tls) as server:
        error = failure(client_of(f"https://127.0.0.1:{server.port}"))
    assert (type(error), error.reason) == (Retry, "StockTwits could not be reached (SSLCertVerificationError)")
    assert server.received == b""


def test_the_standard_librarys_tls_settings_are_in_force(
    client_of: Clients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def accept(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{"message": {"id": 7}}')

    tls, certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))  # only the standard library's context reads it
    with tcp_server(accept, tls) as server:
        assert client_of(f"https://127.0.0.1:{server.port}").publish(an_alert(), None).id == 7


def test_each_connection_uses_the_one_context_of_its_client(
    client_of: Clients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls, certificate = self_signed(tmp_path)
    context = ssl.create_default_context(cafile=certificate)
    monkeypatch.setattr(stocktwits, "standard_context", lambda: context)
    with tcp_server(request_of, tls) as server:
        assert type(failure(client_of(f"https://127.0.0.1:{server.port}"))) is Unknown
    assert b"AAPL" in server.received


def test_the_authorities_are_read_once_and_not_for_every_connection(
    client_of: Clients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls, _ = self_signed(tmp_path)
    read = []
    original = ssl.SSLContext.load_verify_locations
    monkeypatch.setattr(
        ssl.SSLContext, "load_verify_locations", lambda *what, **how: (read.append(what), original(*what, **how))
    )
    with tcp_server(request_of, tls) as server:
        client = client_of(f"https://127.0.0.1:{server.port}")
        read.clear()
        failure(client)
        failure(client)
    assert read == []


# --- Proxies, logins, and connections that are kept


def test_a_proxy_in_the_environment_is_not_used(client: StockTwits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert client.publish(an_alert(), None).id


@pytest.mark.parametrize("style", ["bearer", "form"])
def test_a_login_in_a_netrc_file_is_never_used(
    stand_in: StandIn, client_of: Clients, style: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    client = client_of(stand_in.api_url, style)
    client.publish(an_alert(), None)
    client.stream(None)
    assert not any("Basic" in (each.headers["Authorization"] or "") for each in stand_in.requests)


def test_threads_share_no_more_connections_than_allowed(stand_in: StandIn, client_of: Clients) -> None:
    stand_in.configure(latency_seconds=0.02)
    client = client_of(stand_in.api_url, connections=3)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: client.publish(an_alert(f"post {i}"), None), range(16)))
    assert len(stand_in.posts) == 16
    assert 1 < stand_in.connections <= 3


def test_one_connection_serves_one_post_after_the_other(client: StockTwits, stand_in: StandIn) -> None:
    for i in range(5):
        client.publish(an_alert(f"post {i}"), None)
    assert stand_in.connections == 1


def test_a_closed_client_opens_a_new_connection_when_it_is_needed_again(client: StockTwits, stand_in: StandIn) -> None:
    client.publish(an_alert("one"), None)
    client.close()
    client.publish(an_alert("two"), None)
    assert (len(stand_in.posts), stand_in.connections) == (2, 2)


def test_after_answers_that_are_too_long_there_are_as_many_connections_as_before(client_of: Clients) -> None:
    with answering(200, b" " * (2 * MAX_ANSWER_BYTES - 1000)) as url:
        client = client_of(url)
        for _ in range(9):
            assert type(failure(client)) is NoId
