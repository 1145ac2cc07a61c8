"""The StockTwits client, with the stand-in behind it, or with answers that a test chooses."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import responses
from relay.posting.stocktwits import StockTwits

from local.stand_ins.stocktwits.server import StandIn
from tests.factories import Clock
from tests.unit.posting.stocktwits_helpers import TOKEN, FakeApi, FakeCredentials, with_request


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def running() -> Iterator[StandIn]:
    with StandIn(access_token=TOKEN) as stand_in:
        yield stand_in


@pytest.fixture
def stand_in(running: StandIn, clock: Clock) -> StandIn:
    running.clock = clock
    running.configure(latency_seconds=0)
    running.reset()
    return running


@pytest.fixture
def client_of(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., StockTwits]]:
    """Create clients, whatever proxies this machine has, and close them."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    clients = []

    def create(url: str, style: str = "bearer", credentials: Any = None, connections: int = 4) -> StockTwits:
        clients.append(StockTwits(url, style, credentials or FakeCredentials(), connections, clock))
        return clients[-1]

    yield create
    for each in clients:
        each.close()


@pytest.fixture
def client(stand_in: StandIn, client_of: Callable[..., StockTwits]) -> StockTwits:
    return client_of(stand_in.api_url)


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with responses.RequestsMock(assert_all_requests_are_fired=False, response_callback=with_request) as mock:
        yield FakeApi(mock)
