"""A running stand-in for Firestream, and a client of it."""

from collections.abc import Iterator

import pytest

from local.stand_ins.firestream.server import FirestreamStandIn
from tests.stand_ins.firestream.client import DAY, Client, Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stand_in(clock: Clock) -> Iterator[FirestreamStandIn]:
    with FirestreamStandIn(messages_per_day=20, activities_per_day=20, clock=clock) as running:
        yield running


@pytest.fixture
def client(stand_in: FirestreamStandIn) -> Iterator[Client]:
    client = Client(stand_in)
    with client.session:
        yield client


@pytest.fixture
def ten(stand_in: FirestreamStandIn) -> None:
    """A backup of ten bytes."""
    stand_in.put("message", DAY, b"0123456789")
