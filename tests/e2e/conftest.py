"""The deployed stack, once for all end-to-end tests that only publish to it."""

from collections.abc import Iterator

import pytest

from local.stack import PACE, Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    build = tmp_path_factory.mktemp("stack") / "build"  # other tests build at the same time
    with Stack(PACE, say=lambda _: None, build_directory=build) as running:
        yield running
