"""Fixtures for the integration tests of the posting half."""

from collections.abc import Iterator

import pytest
from relay.posting.ledger import Ledger

from tests.worlds.posting import PostingWorld
from tests.worlds.webhook import WebhookWorld


@pytest.fixture
def ledger(world: PostingWorld) -> Ledger:
    return world.ledger()


@pytest.fixture
def webhook(world: PostingWorld) -> Iterator[WebhookWorld]:
    webhook = WebhookWorld(world)
    yield webhook
    webhook.assert_no_secret_is_kept()
