"""The fetcher with fakes behind it."""

import pytest

from tests.unit.backups.fetcher_helpers import FakeBackups


@pytest.fixture
def fake() -> FakeBackups:
    return FakeBackups()
