"""The handshake is the standard library's, certificates are verified, and no redirect takes a secret elsewhere."""

import http.client
import socket
import ssl
import urllib.request
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import urllib3
from relay.backups.backup import Backup
from relay.backups.firestream import Firestream
from relay.credentials import AUTH_STYLES, Credentials, Login
from relay.errors import RelayError, Retry, Unknown
from relay.posting.stocktwits import StockTwits

from tests.factories import an_alert
from tests.servers import Server, request_of, self_signed, tcp_server

HOST = "api.stocktwits.example"
TOKEN, PASSWORD = "demo-token", "demo-password"
STREAM = b'{"messages": [], "message": {"id": 7}}'
POST_HANDSHAKE_AUTH, SESSION_TICKET, KEY_SHARE = 49, 35, 51
"""Types of extensions: https://www.iana.org/assignments/tls-extensiontype-values."""


class Hello(NamedTuple):
    """A ClientHello in its order, without the values that differ in each handshake."""

    versions: tuple[int, int]
    session_id_size: int
    ciphers: list[int]
    compression: bytes
    extensions: dict[int, Any]


def read_hello(sent: bytes) -> Hello:
    """Read a TLS record that is a ClientHello: RFC 8446, section 4.1.2."""
    handshake, record_version = sent[0], _number(sent, 1)
    client_hello, version = sent[5], _number(sent, 9)
    assert (handshake, client_hello) == (22, 1)
    place = 11 + 32  # after the random bytes
    session_id, place = _vector(sent, place, 1)
    ciphers, place = _vector(sent, place, 2)
    compression, place = _vector(sent, place, 1)
    rest, end = _vector(sent, place, 2)
    assert end == 5 + _number(sent, 3)
    extensions: dict[int, Any] = {}
    place = 0
    while place < len(rest):
        kind = _number(rest, place)
        content, place = _vector(rest, place + 2, 2)
        extensions[kind] = _groups_of_the_keys(content) if kind == KEY_SHARE else content
    return Hello((record_version, version), len(session_id), _numbers(ciphers), compression, extensions)


def _groups_of_the_keys(shares: bytes) -> list[tuple[int, int]]:
    """The group and the length of each key."""
    groups, place = [], 2
    while place < len(shares):
        group = _number(shares, place)
        key, place = _vector(shares, place + 2, 2)
        groups.append((group, len(key)))
    return groups


def _vector(content: bytes, place: int, size_of_length: int) -> tuple[bytes, int]:
    """Bytes that follow their own length, and the position after them."""
    start = place + size_of_length
    end = start + int.from_bytes(content[place:start])
    return content[start:end], end


def _number(content: bytes, place: int) -> int:
    return int.from_bytes(content[place : place + 2])


def _numbers(content: bytes) -> list[int]:
    return [_number(content, place) for place in range(0, len(content), 2)]


def in_order(hello: Hello) -> tuple[Any, ...]:
    """A hello as a tuple that compares the order of its extensions too."""
    return (*hello[:-1], list(hello.extensions.items()))


def hello_of(talk: Callable[[int], object]) -> Hello:
    """Capture the ClientHello of a client; the connection is closed then."""

    def listen(connection: socket.socket) -> None:
        record = connection.recv(5)
        while len(record) < 5 + _number(record, 3):
            record += connection.recv(1 << 16)

    with tcp_server(listen) as server, suppress(OSError, RelayError, urllib3.exceptions.HTTPError):
        talk(server.port)
    return read_hello(bytes(server.received))


@pytest.fixture(autouse=True)
def _every_name_is_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    def here(_host: str, port: int, *_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", here)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def stocktwits(url: str, style: str) -> StockTwits:
    def credentials(*, fresh: bool = False) -> Credentials:
        return Credentials(TOKEN, "relay_demo", "4242")

    return StockTwits(url, style, credentials, connections=1, now=lambda: 0.0)


def post(url: str, style: str = "bearer") -> None:
    with closing(stocktwits(url, style)) as client:
        client.publish(an_alert(), None)


def read_back(url: str, style: str = "bearer") -> None:
    with closing(stocktwits(url, style)) as client:
        client.stream(None)


def fetch(url: str) -> None:
    def login(*, fresh: bool = False) -> Login:
        return Login("demo-user", PASSWORD)

    with closing(Firestream(url, login, lambda: 0.0, first_wait_seconds=0.001)) as client:
        client.open(Backup(date(2024, 1, 2), "message"), lambda: 900.0).close()


def hello_with(context: ssl.SSLContext) -> Hello:
    def talk(port: int) -> None:
        with closing(http.client.HTTPSConnection(HOST, port, timeout=10, context=context)) as connection:
            connection.request("GET", "/")

    return hello_of(talk)


def standard_library_hello() -> Hello:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return hello_of(lambda port: opener.open(f"https://{HOST}:{port}/", timeout=10))


# The handshake: StockTwits' bot protection distinguishes clients by it


@pytest.mark.parametrize("talk", [post, read_back, fetch])
def test_our_handshake_is_that_of_the_standard_library(talk: Callable[[str], None]) -> None:
    ours = hello_of(lambda port: talk(f"https://{HOST}:{port}"))
    assert in_order(ours) == in_order(standard_library_hello())


def test_urllib3_without_our_context_has_another_handshake() -> None:
    pool = urllib3.PoolManager(retries=False, timeout=10)
    hello = hello_of(lambda port: pool.request("GET", f"https://{HOST}:{port}/"))
    assert in_order(hello) != in_order(standard_library_hello())
    assert SESSION_TICKET not in hello.extensions


DIFFERENCES: dict[str, tuple[Callable[[ssl.SSLContext], None], int | str]] = {
    "ciphers": (lambda context: context.set_ciphers("ECDHE+AESGCM"), "ciphers"),
    "alpn": (lambda context: context.set_alpn_protocols(["h2", "http/1.1"]), 16),
    "groups": (lambda context: context.set_ecdh_curve("prime256v1"), 10),
    "keys": (lambda context: context.set_ecdh_curve("prime256v1"), KEY_SHARE),
    "signatures": (lambda context: context.set_ciphers("DEFAULT@SECLEVEL=3"), 13),
    "versions": (lambda context: setattr(context, "maximum_version", ssl.TLSVersion.TLSv1_2), 43),
    "post-handshake": (lambda context: setattr(context, "post_handshake_auth", False), POST_HANDSHAKE_AUTH),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_each_setting_changes_its_part_of_the_client_hello(name: str) -> None:
    change, place = DIFFERENCES[name]
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    context.post_handshake_auth = True
    before = hello_with(context)
    assert in_order(before) == in_order(standard_library_hello())
    change(context)
    after = hello_with(context)
    if isinstance(place, str):
        assert before.ciphers != after.ciphers
    else:
        assert before.extensions[place] != after.extensions.get(place)


# Certificates


FLAWS: dict[str, dict[str, Any]] = {
    "untrusted": {"trusted": False},
    "another host's": {"host": "127.0.0.2"},
    "expired": {"begins_in": -2, "ends_in": -1},
    "not valid yet": {"begins_in": 1, "ends_in": 2},
}
CALLS: dict[str, Callable[[str], None]] = {
    **{f"post, {style}": partial(post, style=style) for style in AUTH_STYLES},
    **{f"read back, {style}": partial(read_back, style=style) for style in AUTH_STYLES},
    "backup": fetch,
}
OF_STOCKTWITS = [each for each in CALLS if each != "backup"]


def answer(connection: Any) -> None:
    request_of(connection)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    connection.sendall(head % len(STREAM) + STREAM)


@pytest.fixture
def call_with_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Server, Any]]:
    def make_call(call: str, *, trusted: bool = True, **certificate: Any) -> tuple[Server, Any]:
        """Call a server that has this certificate; returns the server, and the error that was raised."""
        tls, file = self_signed(tmp_path, **certificate)
        if trusted:
            monkeypatch.setenv("SSL_CERT_FILE", str(file))
        error = None
        with tcp_server(answer, tls) as server:
            try:
                CALLS[call](f"https://127.0.0.1:{server.port}")
            except RelayError as raised:
                error = raised
        return server, error

    return make_call


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("flaw", FLAWS)
def test_nothing_is_sent_to_a_server_with_an_invalid_certificate_and_the_call_is_retried(
    call_with_certificate: Callable[..., tuple[Server, Any]], flaw: str, call: str
) -> None:
    server, error = call_with_certificate(call, **FLAWS[flaw])
    assert server.received == b""
    assert type(error) is Retry
    assert "SSLCertVerificationError" in error.reason


@pytest.mark.parametrize("call", OF_STOCKTWITS)
def test_a_server_with_a_valid_certificate_receives_the_request(
    call_with_certificate: Callable[..., tuple[Server, Any]], call: str
) -> None:
    server, error = call_with_certificate(call)
    assert error is None
    assert server.received


# Redirects


def redirecting(status: int, location: str) -> Callable[[Any], None]:
    def serve(connection: Any) -> None:
        request_of(connection)
        head = f"HTTP/1.1 {status} So\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())

    return serve


@pytest.mark.parametrize("call", OF_STOCKTWITS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_token_does_not_follow_a_redirect_of_stocktwits(status: int, call: str) -> None:
    with (
        tcp_server(answer) as elsewhere,
        tcp_server(redirecting(status, f"http://elsewhere.example:{elsewhere.port}/")) as server,
        pytest.raises(Unknown),
    ):
        CALLS[call](f"http://{HOST}:{server.port}")
    assert server.received.count(b"Host: ") == 1
    assert elsewhere.received == b""


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_login_is_not_sent_to_the_host_of_a_link(status: int) -> None:
    with (
        tcp_server(answer) as elsewhere,
        tcp_server(redirecting(status, f"http://elsewhere.example:{elsewhere.port}/a.gz")) as server,
    ):
        fetch(f"http://{HOST}:{server.port}")
    assert b"Authorization: Basic " in server.received
    assert elsewhere.received.startswith(b"GET /a.gz HTTP/1.1\r\n")
    assert b"authorization" not in elsewhere.received.lower()
