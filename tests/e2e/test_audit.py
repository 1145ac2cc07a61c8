"""The real pip-audit with a package index on loopback: its output is read correctly."""

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local.audit import Audit, audit
from tests.servers import request_of, self_signed, tcp_server

pytestmark = pytest.mark.e2e

CVE = {"id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "fixed_in": ["1.1"], "summary": "Bad.", "withdrawn": None}


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    file = tmp_path / "requirements.txt"
    pinned = [f"relay-example-{each} \\\n    --hash=sha256:{'0' * 64}\n" for each in ("one==1.0", "two==2.0")]
    file.write_text("--only-binary :all:\n\n" + "".join(pinned))
    return file


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Replaces pypi.org, through a proxy with a trusted certificate."""

    @contextmanager
    def serving(respond: Callable[[str], tuple[int, bytes]]) -> Iterator[None]:
        tls, certificate = self_signed(tmp_path, host="pypi.org")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))

        def serve(connection: Any) -> None:
            assert request_of(connection).startswith(b"CONNECT pypi.org:443 ")
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            with tls.wrap_socket(connection.connection, server_side=True) as secured:
                answer_one(secured, respond)

        with tcp_server(serve) as server:
            go_by_way_of(server.port, monkeypatch)
            yield

    return serving


def go_by_way_of(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("https_proxy", f"http://127.0.0.1:{port}"), ("no_proxy", "")):
        monkeypatch.setenv(name, value)
        monkeypatch.setenv(name.upper(), value)


def answer_one(secured: ssl.SSLSocket, respond: Callable[[str], tuple[int, bytes]]) -> None:
    path = request_of(secured).split(b" ")[1].decode()
    status, body = respond(path)
    head = b"HTTP/1.1 %d So\r\nCache-Control: no-store\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    secured.sendall(head % (status, len(body)) + body)


def release(*vulnerabilities: dict[str, Any]) -> tuple[int, bytes]:
    return 200, json.dumps({"info": {}, "vulnerabilities": vulnerabilities}).encode()


def test_a_vulnerability_is_found_beside_a_package_that_is_not_known(
    index: Callable[..., Any], requirements: Path
) -> None:
    with index(lambda path: release(CVE) if path == "/pypi/relay-example-two/2.0/json" else (404, b"")):
        found = audit(requirements)
    vulnerable = "relay-example-two 2.0 is vulnerable: PYSEC-2026-1 CVE-2026-1, fixed in 1.1"
    gap = f"the service does not know relay-example-one in {requirements}"
    assert found == Audit(1, (f"{requirements}: {vulnerable}",), gap)


def test_packages_without_a_vulnerability_pass(index: Callable[..., Any], requirements: Path) -> None:
    with index(lambda _: release()):
        assert audit(requirements) == Audit(2)


def test_packages_that_are_not_known_were_not_audited(index: Callable[..., Any], requirements: Path) -> None:
    with index(lambda _: (404, b"")):
        found = audit(requirements)
    assert found == Audit(gap=f"the service does not know any of the 2 packages in {requirements}")


@pytest.mark.parametrize(
    ("answer", "kind"), [((503, b""), "an error of its own"), ((200, b"<html>Log in"), "JSONDecodeError")]
)
def test_an_index_that_fails_did_not_answer(
    index: Callable[..., Any], requirements: Path, answer: tuple[int, bytes], kind: str
) -> None:
    with index(lambda _: answer):
        assert audit(requirements) == Audit(gap=f"the service did not answer ({kind})")


def test_an_index_that_is_not_there_did_not_answer(requirements: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    go_by_way_of(port, monkeypatch)
    assert audit(requirements) == Audit(gap="the service did not answer (ProxyError)")


def test_a_version_that_is_not_pinned_is_an_error(requirements: Path) -> None:
    requirements.write_text(requirements.read_text().replace("==", ">="))
    (problem,) = audit(requirements).problems
    assert "pip-audit failed (1)" in problem
    assert "relay-example-one" in problem
