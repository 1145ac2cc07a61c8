"""What every test gets: no network but loopback, no AWS settings but its own, no relay left over from another test."""

from collections.abc import Iterator
from typing import Any

import pytest
from relay.backups import bootstrap as backup_wiring
from relay.posting import bootstrap as wiring
from xdist.scheduler import LoadScopeScheduling

MADE_ONCE = (wiring.container, wiring.telemetry, backup_wiring.container, backup_wiring.telemetry)


class ByFile(LoadScopeScheduling):
    """Keeps a file's tests in one process, and a folder's that share a deployed stack, so that it is deployed once."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, _ = nodeid.partition("::")
        folder, _, _ = file.rpartition("/")
        return folder if folder.startswith("tests/e2e/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take the machine's AWS settings away, and give tests harmless ones."""
    import os

    for name in list(os.environ):
        if name.startswith(("AWS_", "POWERTOOLS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for made in MADE_ONCE:
        made.cache_clear()
    yield
    for made in MADE_ONCE:
        made.cache_clear()
