"""What applies to every test: no AWS settings of the machine, and nothing that an earlier test created.

With the option ``--aws localemu``, the tests that are marked `any_aws` run against LocalEmu in moto's place, and those
that are marked `localemu` run, too.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from relay.backups import bootstrap as backups
from relay.posting import bootstrap as posting
from relay.posting.webhook import bootstrap as webhook
from xdist.scheduler import LoadScopeScheduling

from tests.worlds.aws import Emulator
from tests.worlds.localemu import LocalEmu
from tests.worlds.moto import Moto

CACHED = tuple(cached for half in (posting, webhook, backups) for cached in (half.container, half.telemetry))


class ByFile(LoadScopeScheduling):
    """Runs the tests of a file in one process, and those of a folder under e2e, so that its stack is deployed once."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, _ = nodeid.partition("::")
        folder, _, _ = file.rpartition("/")
        return folder if folder.startswith("tests/e2e/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--aws", choices=["moto", "localemu"], default="moto", help="what answers in place of AWS")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    def chosen(test: pytest.Item) -> bool:
        marks = {mark.name for mark in test.iter_markers()}
        if config.getoption("aws") == "moto":
            return "localemu" not in marks
        return "localemu" in marks or ("any_aws" in marks and "moto" not in marks)

    config.hook.pytest_deselected(items=[each for each in items if not chosen(each)])
    items[:] = filter(chosen, items)


@pytest.fixture(scope="session")
def emulator(pytestconfig: pytest.Config) -> Iterator[Emulator]:
    """What answers in place of AWS."""
    if pytestconfig.getoption("aws") == "moto":
        yield Moto()
        return
    with LocalEmu() as running:
        yield running


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Replace the machine's AWS settings by harmless ones."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "POWERTOOLS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for cached in CACHED:
        cached.cache_clear()
    yield
    for cached in CACHED:
        cached.cache_clear()
