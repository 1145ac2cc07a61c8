"""What every test gets: no network but loopback, no AWS settings but its own, no relay left over from another test."""

from collections.abc import Iterator

import pytest
from relay import backup_wiring, wiring

MADE_ONCE = (wiring.relay, wiring.report, backup_wiring.fetching, backup_wiring.report)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a file's tests in one process, and all that share the deployed stack, so that it is deployed once."""
    for item in items:
        shared = "deployed" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("deployed" if shared else str(item.path)))


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
