"""The deployed stack, once for all end-to-end tests that only publish to it."""

from collections.abc import Iterator

import pytest

from local.stack import PACE, Stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with Stack(PACE, say=lambda _: None) as running:
        yield running
