"""A client of the stand-in for Firestream, over real HTTP on loopback."""

import gzip
import json
import re
import socket
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from local.stand_ins.firestream.server import FirestreamStandIn

DAY = date(2024, 1, 2)


LOGIN = ("demo-user", "demo-password")


BAD_DATE = "Please verify that the date is correct"


ROOT = Path(__file__).parents[3]


class Clock:
    """A clock that changes only when it is set, at first noon (UTC) of 10 January 2024."""

    now = 1_704_888_000.0

    def __call__(self) -> float:
        return self.now


class Client:
    """A client that does not follow redirects, on kept connections, which ignores proxy settings."""

    def __init__(self, stand_in: FirestreamStandIn) -> None:
        self.stand_in = stand_in
        self.session = requests.Session()
        self.session.trust_env = False

    def ask(self, path: str = "message/2024/01/02", login: tuple[str, str] | None = LOGIN) -> requests.Response:
        return self.send("GET", f"{self.stand_in.url}/backups/{path}", auth=login)

    def link(self, path: str = "message/2024/01/02") -> str:
        answer = self.ask(path)
        assert answer.status_code == 302, answer.text
        return answer.headers["Location"]

    def get(self, link: str, **headers: str) -> requests.Response:
        all_headers = {
            "Accept-Encoding": "identity",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return self.send("GET", link, headers=all_headers)

    def download(self, path: str = "message/2024/01/02") -> bytes:
        return self.get(self.link(path)).content

    def control(self, what: str, **payload: object) -> requests.Response:
        return self.send("POST", f"{self.stand_in.url}/_standin/{what}", json=payload)

    def shown(self, what: str) -> Any:
        return self.send("GET", f"{self.stand_in.url}/_standin/{what}").json()

    def send(self, method: str, url: str, **options: Any) -> requests.Response:
        return self.session.request(method, url, timeout=10, allow_redirects=False, **options)


def follow(client: Client, path: str = "message/2024/01/02", most: int = 9) -> list[requests.Response]:
    """Follow redirects as `curl -L -u` does, which drops the login for good at another host; return all answers."""
    url, answers = f"{client.stand_in.url}/backups/{path}", []
    login: tuple[str, str] | None = LOGIN
    for _ in range(most + 1):
        if urlsplit(url).netloc != urlsplit(client.stand_in.url).netloc:
            login = None
        answers.append(client.send("GET", url, auth=login, verify=False))
        if not answers[-1].is_redirect:
            break
        url = urljoin(url, answers[-1].headers["Location"])
    return answers


def records(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(content).splitlines()]


def refusal(answer: requests.Response) -> tuple[int, str]:
    """Return the status and the code of an error, which must have the format of S3."""
    assert answer.headers["Content-Type"] == "application/xml"
    found = re.search(r"<Error><Code>(\w+)</Code><Message>.+</Message></Error>", answer.text)
    assert found
    return answer.status_code, found[1]


def raw(link: str) -> socket.socket:
    target = urlsplit(link)
    assert target.hostname
    return socket.create_connection((target.hostname, target.port or 0), timeout=10)


def raw_request(link: str, method: str = "GET") -> bytes:
    target = urlsplit(link)
    return f"{method} {target.path}?{target.query} HTTP/1.1\r\nHost: {target.netloc}\r\n\r\n".encode()


def to_the_end(link: str) -> tuple[int | None, bytes, str]:
    """Return the declared length of a download, the bytes received, and how the connection ended."""
    got, ending = b"", "closed"
    with raw(link) as connection:
        connection.sendall(raw_request(link))
        try:
            while piece := connection.recv(1 << 16):
                got += piece
        except ConnectionResetError:
            ending = "reset"
    head, _, body = got.partition(b"\r\n\r\n")
    declared = re.search(rb"\r\nContent-Length: ([0-9]+)", head)
    return declared and int(declared[1]), body, ending


def up_to(connection: socket.socket, end: bytes) -> bytes:
    """Return what is received up to and including some bytes."""
    got = b""
    while not got.endswith(end):
        piece = connection.recv(1)
        assert piece, got
        got += piece
    return got
