"""What reading the stream back costs: each post is compared once, whatever the number of pages."""

from collections.abc import Mapping, Sequence

import pytest
from relay.errors import Reject
from relay.posting import reconciliation
from relay.posting.reconciliation import MOST_PAGES, PAGE_SIZE, Lost, Owner, Page, Reconciler, Shown, Text

from tests.factories import NOW

POSTS = [Shown(100_000 - i, f"post {i}", NOW + 3600 - i) for i in range(1000)]


class Account:
    """A stream of many posts, and whose owners were asked for."""

    def __init__(self, posts: Sequence[Shown] = POSTS) -> None:
        self.asked: list[list[int]] = []
        self._posts = posts

    def read(self, highest: int | None) -> Page:
        shown = [post for post in self._posts if highest is None or (post.id or 0) <= highest]
        return Page(shown[:PAGE_SIZE], more=True)

    def owners(self, ids: Sequence[int]) -> Mapping[int, Owner]:
        self.asked.append(list(ids))
        return {}

    def find(self, text: str, since: float) -> None:
        with pytest.raises(Reject):
            Reconciler(self.read, self.owners, lambda: NOW).find(Lost("k-1", text, since), NOW - 1, lambda: None)


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The texts that were compared."""
    texts: list[str | None] = []
    likeness = reconciliation._likeness

    def recorded(ours: Text, theirs: Shown) -> str:
        texts.append(theirs.body)
        return likeness(ours, theirs)

    monkeypatch.setattr(reconciliation, "_likeness", recorded)
    return texts


def test_a_post_is_compared_when_it_is_read_and_once_more_at_the_end(compared: list[str | None]) -> None:
    Account().find("$AAPL up", NOW - 10**6)
    assert (MOST_PAGES - 4) * PAGE_SIZE < len(set(compared)) < 1000
    assert len(compared) == 2 * len(set(compared))


def test_owners_are_asked_for_only_when_a_page_shows_something_alike() -> None:
    posts = list(POSTS)
    posts[100] = Shown(posts[100].id, "$AAPL up, and more", NOW + 3000)
    account = Account(posts)
    account.find("$AAPL up", NOW - 10**6)
    assert account.asked == [[posts[100].id]] * 2
