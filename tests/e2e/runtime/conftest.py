"""The built functions in Lambda's own runtime, with MiniStack as AWS, or LocalEmu with `--aws localemu`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.build import HOST_ARCHITECTURE, HOST_RUNTIME, build
from local.stack.emulator import Emulator as MiniStack
from local.stand_ins.firestream.server import FirestreamStandIn
from local.stand_ins.stocktwits.server import StandIn
from tests.worlds.aws import Emulator
from tests.worlds.localemu import LocalEmu
from tests.worlds.runtime import RunningEmulator, Runtime


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(HOST_RUNTIME, HOST_ARCHITECTURE, tmp_path_factory.mktemp("runtime") / "build")


@pytest.fixture(scope="module")
def running_emulator(emulator: Emulator) -> Iterator[RunningEmulator]:
    """An empty AWS."""
    if isinstance(emulator, LocalEmu):
        emulator.reset()
        yield emulator
        return
    with MiniStack() as running:
        yield running


@pytest.fixture(scope="module")
def runtime(running_emulator: RunningEmulator, built: Path) -> Iterator[Runtime]:
    with (
        StandIn() as stocktwits,
        FirestreamStandIn(messages_per_day=40, activities_per_day=40) as firestream,
        Runtime(running_emulator, stocktwits, firestream).running(built) as running,
    ):
        yield running
