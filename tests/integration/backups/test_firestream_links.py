"""Which redirects of Firestream are followed, and which are not."""

import socket
from pathlib import Path

import pytest
from relay.backups.firestream import MAX_REDIRECTS, Firestream
from relay.errors import Refused, Retry

from tests.servers import request_of, self_signed, tcp_server
from tests.worlds.firestream import CONTENT, FOUND, MakeClient, always, both_hosts, download_all, failure, response


@pytest.mark.parametrize("location", ["", "ftp://127.0.0.1/a.gz", "file:///etc/passwd", "http://[::1/a.gz"])
def test_a_redirect_to_an_invalid_url_is_not_followed(make_client: MakeClient, location: str) -> None:
    def serve(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(FOUND % location.encode())

    with tcp_server(serve) as server:
        error = failure(make_client(f"http://127.0.0.1:{server.port}"))
    assert type(error) is Retry
    assert "answered 302 with a link that is missing, or not as safe as Firestream's own address" in error.reason


def test_a_redirect_without_a_location_is_not_followed(make_client: MakeClient) -> None:
    with tcp_server(always(302)) as server:
        error = failure(make_client(f"http://127.0.0.1:{server.port}"))
    assert type(error) is Retry
    assert "answered 302 with a link that is missing" in error.reason


def test_a_redirect_from_https_to_http_is_not_followed(
    make_client: MakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(FOUND % (b"http://127.0.0.1:%d/a.gz" % plain.port))

    tls, certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with tcp_server(always(200)) as plain, tcp_server(serve, tls) as safe:
        error = failure(make_client(f"https://127.0.0.1:{safe.port}"))
    assert type(error) is Retry
    assert "as safe as Firestream's own address" in error.reason
    assert plain.received == b""


def test_a_link_over_tls_is_followed(make_client: MakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(connection: socket.socket) -> None:
        if b"GET /backups/" in request_of(connection):
            connection.sendall(FOUND % (b"https://127.0.0.1:%d/a.gz" % safe.port))
        else:
            connection.sendall(response("200 OK", "Content-Length: 2", body=b"ok"))

    tls, certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with tcp_server(serve, tls) as safe:
        assert download_all(make_client(f"https://127.0.0.1:{safe.port}")) == b"ok"


def test_the_login_is_not_sent_to_a_host_with_an_untrusted_certificate(make_client: MakeClient, tmp_path: Path) -> None:
    tls, _ = self_signed(tmp_path)
    with tcp_server(always(404), tls) as server:
        error = failure(make_client(f"https://127.0.0.1:{server.port}"))
    assert type(error) is Retry
    assert "SSLCertVerificationError" in error.reason
    assert server.received == b""


REDIRECTS = [301, 302, 303, 307, 308]


def redirect(status: int, location: str) -> bytes:
    return response(f"{status} So", f"Location: {location}", "Content-Length: 0")


@pytest.mark.parametrize("status", REDIRECTS)
def test_redirects_are_followed_over_several_hops_relative_to_the_address_that_answered(
    make_client: MakeClient, status: int
) -> None:
    file = response("200 OK", "Content-Length: 2", body=b"ok")
    with tcp_server(both_hosts(redirect(status, "there/a.gz"), redirect(status, "b.gz"), file)) as server:
        assert download_all(make_client(f"http://127.0.0.1:{server.port}")) == b"ok"
    assert [line.split()[1] for line in server.received.split(b"\r\n") if line.startswith(b"GET")] == [
        b"/backups/message/2024/01/02",
        b"/link",
        b"/there/a.gz",
        b"/there/b.gz",
    ]


@pytest.mark.parametrize("status", REDIRECTS)
def test_firestream_may_redirect_to_itself_with_the_login_and_give_the_file_itself(
    make_client: MakeClient, status: int
) -> None:
    answers = [redirect(status, "/v2/a"), response("200 OK", "Content-Length: 2", body=b"ok")]

    def serve(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(answers.pop(0))

    with tcp_server(serve) as server:
        assert download_all(make_client(f"http://127.0.0.1:{server.port}")) == b"ok"
    assert server.received.count(b"Authorization: Basic") == 2


@pytest.mark.parametrize("host", ["127.1:{port}", "127.0.0.1:{other}"])
def test_the_login_goes_to_firestreams_own_host_and_port_alone(make_client: MakeClient, host: str) -> None:
    def serve(connection: socket.socket) -> None:
        if b"GET /backups/" in request_of(connection):
            connection.sendall(redirect(302, f"http://{host.format(port=server.port, other=other.port)}/a.gz"))
        else:
            connection.sendall(response("200 OK", "Content-Length: 2", body=b"ok"))

    with tcp_server(serve) as server, tcp_server(serve) as other:
        assert download_all(make_client(f"http://127.0.0.1:{server.port}")) == b"ok"
        assert (server.received + other.received).count(b"Authorization") == 1


def test_redirects_that_do_not_end_are_given_up_at_once(make_client: MakeClient) -> None:
    with tcp_server(both_hosts(redirect(302, "/link"))) as server:
        error = failure(make_client(f"http://127.0.0.1:{server.port}"))
    assert type(error) is Refused
    assert error.reason == "Firestream's redirects for message 2024-01-02 do not end within 10"
    assert server.received.count(b"GET ") == MAX_REDIRECTS + 1


def test_a_proxy_in_the_environment_is_not_used(client: Firestream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert download_all(client) == CONTENT
