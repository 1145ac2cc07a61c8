"""Fixtures of the integration tests; `tests/worlds` has what they create.

No code between the handlers and AWS, StockTwits or Firestream is replaced: an emulator and the stand-ins answer.
"""

from collections.abc import Iterator

import pytest

from local.stand_ins.firestream.server import FirestreamStandIn
from local.stand_ins.stocktwits.server import StandIn
from tests.iam import refused
from tests.worlds.aws import Aws, Emulator, replaced
from tests.worlds.backups import PASSWORD, BackupsWorld
from tests.worlds.clock import Clock
from tests.worlds.functions import Function
from tests.worlds.posting import TOKEN, PostingWorld


@pytest.fixture(scope="session")
def clients(emulator: Emulator) -> Aws:
    """The relay's clients, created once: loading botocore's models takes longer than a test."""
    return Aws(emulator)


@pytest.fixture
def clock() -> Clock:
    """21 November 2026, 15:00:00 UTC."""
    return Clock(1_795_273_200.0)


@pytest.fixture
def aws(clients: Aws, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """An empty AWS on the test's clock."""
    with replaced(clients, clock, monkeypatch):
        yield clients


# Posting


@pytest.fixture(scope="session")
def running_stand_in() -> Iterator[StandIn]:
    with StandIn() as running:
        yield running


@pytest.fixture
def stand_in(running_stand_in: StandIn, clock: Clock) -> StandIn:
    """A StockTwits without posts."""
    running_stand_in.clock = clock
    running_stand_in.configure(access_token=TOKEN, latency_seconds=0, near_identical=False, link_weight=23)
    running_stand_in.reset()
    return running_stand_in


@pytest.fixture
def world(
    aws: Aws,
    stand_in: StandIn,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[PostingWorld]:
    world = PostingWorld(aws, stand_in, clock, monkeypatch, capsys)
    yield world
    world.assert_no_secret_was_written()
    assert refused(("PostMessagesRole", "DrainLeftoversRole"), aws.calls) == []


@pytest.fixture
def outbox(world: PostingWorld) -> Function:
    return world.functions["outbox"]


@pytest.fixture
def leftovers(world: PostingWorld) -> Function:
    return world.functions["leftovers"]


@pytest.fixture(params=["outbox", "leftovers"])
def function(world: PostingWorld, request: pytest.FixtureRequest) -> Function:
    """Each of the two functions that post."""
    return world.functions[request.param]


# Backups


@pytest.fixture(scope="session")
def running_firestream() -> Iterator[FirestreamStandIn]:
    with FirestreamStandIn(messages_per_day=40, activities_per_day=40, password=PASSWORD) as running:
        yield running


@pytest.fixture
def firestream(running_firestream: FirestreamStandIn, clock: Clock) -> FirestreamStandIn:
    """A Firestream without requests so far; each day's backup is there on the following day."""
    running_firestream.clock = clock
    running_firestream.configure(password=PASSWORD, link_seconds=300, lag_days=1, missing=[])
    running_firestream.reset()
    return running_firestream


@pytest.fixture
def backups(
    aws: Aws,
    firestream: FirestreamStandIn,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[BackupsWorld]:
    world = BackupsWorld(aws, firestream, clock, monkeypatch, capsys)
    yield world
    world.assert_no_upload_is_open()
    world.assert_no_secret_was_written()
    assert refused(("FetchBackupsRole",), aws.calls) == []
