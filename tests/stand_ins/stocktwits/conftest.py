"""A running stand-in for StockTwits, and a client of it."""

from collections.abc import Iterator

import pytest

from local.stand_ins.stocktwits.server import StandIn
from tests.stand_ins.stocktwits.client import Client, Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stand_in(clock: Clock) -> Iterator[StandIn]:
    with StandIn(clock=clock) as running:
        yield running


@pytest.fixture
def client(stand_in: StandIn) -> Iterator[Client]:
    client = Client(stand_in)
    with client.session:
        yield client
