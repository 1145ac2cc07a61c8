"""Fixtures for the client of Firestream; in this folder, `stand_in` is the one for Firestream."""

from collections.abc import Iterator
from typing import Any

import pytest
from relay.backups import firestream
from relay.backups.firestream import Firestream

from local.stand_ins.firestream.server import FirestreamStandIn
from tests.worlds.clock import Clock
from tests.worlds.firestream import LINES_PER_DAY, MakeClient, StoredLogin


@pytest.fixture
def stand_in(clock: Clock) -> Iterator[FirestreamStandIn]:
    with FirestreamStandIn(messages_per_day=LINES_PER_DAY, activities_per_day=LINES_PER_DAY, clock=clock) as running:
        yield running


@pytest.fixture
def make_client(clock: Clock) -> Iterator[MakeClient]:
    """Creates clients that hardly wait between attempts."""
    clients: list[Firestream] = []

    def make(url: str, login: Any = None) -> Firestream:
        clients.append(Firestream(url, login or StoredLogin(), clock, first_wait_seconds=0.001))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(stand_in: FirestreamStandIn, make_client: MakeClient) -> Firestream:
    return make_client(stand_in.url)


@pytest.fixture
def impatient_client(
    stand_in: FirestreamStandIn, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> Firestream:
    """A client with a short read timeout."""
    monkeypatch.setattr(firestream, "READ_SECONDS", 0.05)
    return make_client(stand_in.url)
