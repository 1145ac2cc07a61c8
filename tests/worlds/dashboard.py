"""The dashboard as it is served, over HTTP on loopback."""

import html
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from types import MappingProxyType, SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from relay_cli.context import Context
from relay_cli.dashboard import cache, model, server

from local.build import ROOT
from tests.worlds.cli import CliHarness
from tests.worlds.clock import Clock
from tests.worlds.posting import PostingWorld

NONE: Mapping[str, Any] = MappingProxyType({})
TOKEN = "the-secret-of-the-page"
REASON = "StockTwits refused it (422: Body can't be blank)"
MARKUP = "<script>alert('$AAPL')</script>"
HERE = ROOT / "cli/relay_cli/dashboard"


class Answer:
    """What the page's server result."""

    def __init__(self, response: HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.html = response.read().decode()

    @property
    def text(self) -> str:
        """The words of it, without markup."""
        return " ".join(html.unescape(re.sub("<[^>]*>", " ", self.html)).split())

    def part(self, name: str) -> str:
        """The words of one part."""
        (found,) = re.findall(f'<div data-part="{name}".*?(?=<div data-part|</section>)', self.html, re.DOTALL)
        return " ".join(html.unescape(re.sub("<[^>]*>", " ", found)).split())

    @property
    def notice(self) -> str:
        (found,) = re.findall(r'<p id="notice"[^>]*>([^<]*)</p>', self.html)
        return html.unescape(found)


class Page:
    """A dashboard that is served."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.host = f"127.0.0.1:{port}"

    def ask(
        self,
        path: str = "",
        method: str = "GET",
        fields: dict[str, str] | None = None,
        headers: Mapping[str, str | list[str]] = NONE,
        root: str = f"/{TOKEN}/",
    ) -> Answer:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.putrequest(method, root + path, skip_host=True)
        body = urlencode(fields or {}).encode()
        for name, value in [*({"Host": self.host} | dict(headers)).items(), ("Content-Length", str(len(body)))]:
            for each in value if isinstance(value, list) else [value]:
                connection.putheader(name, each)
        connection.endheaders(body)
        try:
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def do(self, action: str, **fields: str) -> Answer:
        """Press a button of the page."""
        return self.ask(action, "POST", fields, {"Origin": f"http://{self.host}", "Sec-Fetch-Site": "same-origin"})


@contextmanager
def served(who: str = "Ann") -> Iterator[Page]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = server.create_server(model.DashboardModel(Context().stack, who), listener, TOKEN)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Page(listener.getsockname()[1])
        finally:
            running.should_exit = True
            thread.join(30)


def dashboard_cli(world: PostingWorld, monkeypatch: pytest.MonkeyPatch) -> CliHarness:
    """A command line whose dashboard has a clock of its own, and waits for its values."""
    cli = CliHarness(world, monkeypatch)
    cli.patience = Clock(0)  # for the page alone: a long poll moves the world's
    monkeypatch.setattr(cache, "time", SimpleNamespace(monotonic=cli.patience))
    for module in (model, server):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=world.clock))
    monkeypatch.setattr(server, "PATIENCE_SECONDS", 60)
    monkeypatch.setattr(server, "PATIENCE_AFTER_A_CHANGE_SECONDS", 60)
    return cli
