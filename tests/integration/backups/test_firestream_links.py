"""Which redirects of Firestream are followed, and which are not."""

import socket
from pathlib import Path

import pytest
from relay.backups.firestream import Firestream
from relay.errors import Retry

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
    assert "answered 302 with a link that is missing, or not as safe as its own address" in error.reason


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
    assert "as safe as its own address" in error.reason
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


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_of_the_links_host_is_not_followed(make_client: MakeClient, status: int) -> None:
    away = response(f"{status} So", "Location: http://127.0.0.1:9/away", "Content-Length: 0")
    with tcp_server(both_hosts(away)) as server:
        error = failure(make_client(f"http://127.0.0.1:{server.port}"))
    assert type(error) is Retry
    assert error.reason.endswith(f"the link's host answered {status}")


def test_a_proxy_in_the_environment_is_not_used(client: Firestream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert download_all(client) == CONTENT
