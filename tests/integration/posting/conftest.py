"""Fixtures for the integration tests of the posting half."""

import pytest
from relay.posting.ledger import Ledger

from tests.worlds.posting import PostingWorld


@pytest.fixture
def ledger(world: PostingWorld) -> Ledger:
    return world.ledger()
