"""Whether a lost alert was posted: never called posted for another's post, never called not there when it is there."""

from collections.abc import Callable, Mapping, Sequence
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from relay.errors import Reject, Retry
from relay.posting.reconciliation import (
    MOST_MESSAGES,
    MOST_PAGES,
    MOST_SECONDS,
    NOT_THERE,
    PAGE_SIZE,
    Lost,
    Owner,
    Page,
    Reconciler,
    Shown,
    Verdict,
    is_as_sent,
    judge,
)

from local.stand_ins.stocktwits.rendering import LINK, Rendering, render
from tests.factories import NOW, Clock

TEXT = "Up 3% on volume $AAPL"
OTHERS: Mapping[int, Owner] = {}


def lost(text: str = TEXT, since: float = NOW, key: str = "ours") -> Lost:
    return Lost(key, text, since)


def shown(
    body: str | None = TEXT, post_id: int | None = 1000, after: float | None = 1, links: Sequence[str] = ()
) -> Shown:
    return Shown(post_id, body, None if after is None else NOW + after, tuple(links))


def judged(*posts: Shown, text: str = TEXT, owners: Mapping[int, Owner] = OTHERS, reached: bool = True) -> Verdict:
    return judge(lost(text), posts, owners, reached=reached)


def unpaused() -> None:
    """There is no pause."""


# The two laws

WORDS = st.sampled_from(
    [
        "Up",
        "down",
        "3%",
        "$AAPL",
        "$brk.b",
        "it's",
        '"so"',
        "a - b",
        "wait...",
        "A&B",
        "<3",
        "caf\xe9",
        "\ufb01ne",
        "\uff37ide",
        "\U0001f680",
    ]
)
LINKS = st.sampled_from(
    ["https://a.example/1", "https://a.example/2?ref=x", "http://stks.co/abcde", "example.com/a", "b.io"]
)
TEXTS = st.lists(WORDS | LINKS, min_size=1, max_size=6).map(" ".join) | st.lists(LINKS, min_size=1, max_size=2).map(
    " ".join
)
RENDERINGS = st.sets(st.sampled_from(Rendering)).filter(lambda chosen: not {"truncated", "note"} <= chosen)
OTHERS_POSTS = st.lists(st.tuples(TEXTS, RENDERINGS, st.integers(-3600, 3600), st.booleans()), max_size=4)


LISTED: Mapping[str, Callable[[str], str | None]] = {
    "not": lambda _: None,
    "as it was sent": str,
    "with a slash": lambda link: f"{link}/",
    "without a query": lambda link: link.partition("?")[0],
    "where it leads to": lambda link: f"https://elsewhere.example/{len(link)}",
}
"""How the stream lists a link."""


def listed(text: str, how: str) -> list[str]:
    return [url for link in LINK.findall(text) if (url := LISTED[how](link))]


@given(
    text=TEXTS,
    ours=st.tuples(RENDERINGS, st.sampled_from([*LISTED])),
    after=st.integers(0, 3600),
    others=OTHERS_POSTS,
    seed=st.integers(0, 99),
)
@example(text="🚀", ours=({Rendering.EMOJI_NAMED}, "not"), after=0, others=[], seed=0)
def test_a_post_of_ours_is_never_not_there_in_any_rendering(
    text: str,
    ours: tuple[set[Rendering], str],
    after: int,
    others: Sequence[tuple[str, set[Rendering], int, bool]],
    seed: int,
) -> None:
    posts = [shown(render(body, how), 2000 + place, at) for place, (body, how, at, _) in enumerate(others)]
    owners = {2000 + place: Owner("another") for place, (*_, owned) in enumerate(others) if owned}
    renderings, how = ours
    posts.append(shown(render(text, renderings), 5000, after, listed(text, how)))
    Random(seed).shuffle(posts)
    assert judge(lost(text), posts, owners, reached=True) != NOT_THERE


@given(text=TEXTS, others=OTHERS_POSTS, reached=st.booleans())
def test_another_keys_post_is_never_ours(
    text: str, others: Sequence[tuple[str, set[Rendering], int, bool]], reached: bool
) -> None:
    posts = [
        shown(render(body, how), 2000 + place, at, listed(body, "as it was sent"))
        for place, (body, how, at, _) in enumerate(others)
    ]
    posts += [shown(render(text, how), 3000 + place, at) for place, (_, how, at, _) in enumerate(others)]
    owners = {
        post.id: Owner("another", certain=owned) for post, (*_, owned) in zip(posts, [*others, *others], strict=True)
    }  # type: ignore[misc]
    assert judge(lost(text), posts, owners, reached=reached).post_id is None


# What is evidence


def test_a_post_with_its_text_since_the_first_attempt_is_it() -> None:
    assert judged(shown()) == Verdict(1000)


def test_without_any_post_like_it_on_a_stream_that_was_read_back_it_was_not_posted() -> None:
    assert judged(shown("Something else $TSLA")) == NOT_THERE


def test_a_stream_that_was_not_read_back_proves_nothing() -> None:
    assert judged(shown("Something else $TSLA"), reached=False).doubt == (
        "the account's stream could not be read back to the first attempt"
    )


def test_an_id_that_belongs_to_its_key_is_it_whatever_the_text() -> None:
    assert judged(shown("altered beyond recognition"), owners={1000: Owner("ours")}) == Verdict(1000)


def test_a_post_of_another_key_is_another() -> None:
    assert judged(shown(), owners={1000: Owner("another")}) == NOT_THERE


def test_of_two_posts_with_its_text_the_one_that_nobody_owns_is_it() -> None:
    assert judged(shown(), shown(post_id=1001), owners={1000: Owner("another")}) == Verdict(1001)


def test_the_same_words_with_another_link_that_another_key_owns_are_another_alert() -> None:
    post = shown(render("New 8-K $AAPL https://filings.example/1"))
    assert judged(post, text="New 8-K $AAPL https://filings.example/2", owners={1000: Owner("f-1")}) == NOT_THERE


def test_a_post_that_was_only_taken_for_another_keys_leaves_a_doubt() -> None:
    post = shown(render("New 8-K $AAPL https://filings.example/1"))
    found = judged(post, text="New 8-K $AAPL https://filings.example/2", owners={1000: Owner("f-1", certain=False)})
    assert found.doubt == "post 1000 has the same words, and was taken for that of key 'f-1': compare their links"


def test_where_a_shortened_link_leads_is_not_certain() -> None:
    text = "New 8-K $AAPL https://filings.example/1"
    assert judged(shown(render(text)), text=text) == Verdict(1000, certain=False)
    assert judged(shown(text), text=text) == Verdict(1000, certain=True)


FILING_1, FILING_2 = "New 8-K $AAPL https://filings.example/1", "New 8-K $AAPL https://filings.example/2"


def filed(text: str, post_id: int = 1000, how: str = "as it was sent") -> Shown:
    return shown(render(text), post_id, links=listed(text, how))


def test_where_the_stream_says_that_a_shortened_link_leads_is_certain() -> None:
    assert judged(filed(FILING_1), text=FILING_1) == Verdict(1000, certain=True)


def test_two_lost_alerts_that_differ_in_their_links_alone_each_find_their_own_post() -> None:
    posts = filed(FILING_1, 1001), filed(FILING_2, 1002)
    assert judged(*posts, text=FILING_1) == Verdict(1001)
    assert judged(*posts, text=FILING_2) == Verdict(1002)


def test_a_post_that_the_stream_says_has_another_link_is_never_taken() -> None:
    found = judged(filed(FILING_1), text=FILING_2)
    assert (found.post_id, found.doubt) == (None, "post 1000 on the account's stream is much like it")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("https://f.example/1 https://f.example/2", "https://f.example/2 https://f.example/1"),
        ("https://f.example/1 https://g.example/1", "https://f.example/1 https://g.example/2"),
        ("https://f.example?id=1", "https://f.example?id=2"),
        ("https://f.example/a?id=1", "https://f.example/a?id=2"),
        ("https://f.example/a", "https://F.example/b"),
    ],
)
def test_other_links_of_the_same_hosts_in_the_list_are_another_alerts(ours: str, theirs: str) -> None:
    assert judged(filed(f"Up $AAPL {theirs}"), text=f"Up $AAPL {ours}").post_id is None


@pytest.mark.parametrize("shown_as", ["http://F.example/a/", "f.example/a", "https://f.example/a"])
def test_a_link_is_the_same_in_another_notation(shown_as: str) -> None:
    text = "Up $AAPL https://f.example/a"
    assert judged(shown(render(text), links=[shown_as]), text=text) == Verdict(1000, certain=True)


def test_a_post_with_the_very_links_that_was_only_taken_for_another_keys_leaves_a_doubt() -> None:
    found = judged(filed(FILING_2), text=FILING_2, owners={1000: Owner("f-1", certain=False)})
    assert "was taken for that of key 'f-1'" in found.doubt


@pytest.mark.parametrize("links", [["https://short.example/x"], ["https://filings.example/1", "https://a.example"]])
def test_a_list_of_other_addresses_or_of_too_few_proves_nothing(links: list[str]) -> None:
    two = "New 8-K $AAPL https://filings.example/1 https://filings.example/1a https://b.example"
    assert judged(shown(render(two), links=links), text=two) == Verdict(1000, certain=False)


def test_of_nothing_but_links_the_list_of_them_is_evidence() -> None:
    one, other = "https://filings.example/1", "https://filings.example/2"
    assert judged(filed(one), text=one) == Verdict(1000)
    assert judged(filed(one), text=other).post_id is None
    assert judged(filed(one, how="not"), text=one).post_id is None


@pytest.mark.parametrize("body", ["", "🚀", "http://stks.co/abcde", "https://filings.example/1"])
def test_of_a_text_of_nothing_but_links_only_the_very_links_are_evidence(body: str) -> None:
    text = "https://filings.example/2"
    assert judged(shown(text), text=text) == Verdict(1000)
    assert judged(shown(body), text=text).doubt != ""


@pytest.mark.parametrize(
    "body",
    [
        "see http://example.com/a $AAPL",
        "see http://stks.co/abcde $AAPL",
        "SEE example.com/a $aapl",
        "see example.com/a\u200b $AAPL!",
        "see example.com…",
        "see example.com/a $AAPL via a tool",
        None,
    ],
)
def test_what_is_alike_is_for_an_operator(body: str | None) -> None:
    doubt = judged(shown(body), text="see example.com/a $AAPL").doubt
    assert doubt == "post 1000 on the account's stream is much like it"


def test_an_equal_post_counts_although_another_is_alike() -> None:
    assert judged(shown("up 3 on volume aapl", 1000), shown(post_id=1001)) == Verdict(1001)


def test_an_id_that_cannot_be_read_leaves_a_doubt() -> None:
    doubt = judged(shown(post_id=None)).doubt
    assert doubt == "a post without a readable id on the account's stream has its text"


# When it was made


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        (0, "it"),
        (-0.5, "unsure"),
        (-1, "unsure"),
        (-30, "unsure"),
        (-31, "another"),
        (-86400, "another"),
        (None, "unsure"),
    ],
)
def test_a_post_from_before_the_first_attempt_is_another_unless_the_clocks_may_be_apart(
    after: float | None, verdict: str
) -> None:
    found = judged(shown(after=after))
    assert {Verdict(1000): "it", NOT_THERE: "another"}.get(found, "unsure") == verdict


def test_whole_seconds_are_allowed_for() -> None:
    post = Shown(1000, TEXT, NOW)
    assert judge(lost(since=NOW + 0.9), [post], {}, reached=True) == Verdict(1000)


def test_a_post_without_a_date_is_placed_by_its_neighbours() -> None:
    before, after = shown("other $MSFT", 999, 5), shown("other $MSFT", 1001, -100)
    assert judged(shown(after=None), before) == Verdict(1000)
    assert judged(shown(after=None), after) == NOT_THERE
    assert judged(shown(after=None), before, after).doubt != ""


def test_a_date_that_its_neighbours_contradict_proves_nothing() -> None:
    assert judged(shown(after=-86400), shown("other $MSFT", 999, 5)).doubt != ""
    assert judged(shown(after=5), shown("other $MSFT", 1001, -100)).doubt != ""


# The text that an answer shows


@pytest.mark.parametrize(
    ("sent", "body", "same"),
    [
        ("A & B <3", "A &amp; B &lt;3", True),
        ("a  https://x.example/1 b", "a http://stks.co/abcde b", True),
        ("cafe\u0301", "caf\u00e9", True),
        ("Up $aapl", "Up $AAPL", False),
        ("see example.com", "see http://example.com", False),
    ],
)
def test_a_text_is_as_sent_when_only_entities_links_and_spaces_differ(sent: str, body: str, same: bool) -> None:
    assert is_as_sent(sent, body) is same


# Reading back


class Stream:
    """An account's stream, newest first, an id and a minute apart."""

    def __init__(self, count: int, shows: Callable[[Sequence[Shown], int | None], Page] | None = None) -> None:
        self.posts = [Shown(10_000 - i, f"by hand {i}", NOW + 3600 - 60 * i) for i in range(count)]
        self.requests: list[int | None] = []
        self._shows = shows

    def read(self, highest: int | None) -> Page:
        self.requests.append(highest)
        if self._shows:
            return self._shows(self.posts, highest)
        found = [each for each in self.posts if highest is None or (each.id or 0) <= highest]
        return Page(found[:PAGE_SIZE], more=len(found) > PAGE_SIZE)

    def at(self, place: int) -> None:
        """Put the lost alert's post there."""
        self.posts[place] = Shown(self.posts[place].id, TEXT, self.posts[place].created_at)


def reconciler(stream: Stream, clock: Clock | None = None, owners: Mapping[int, Owner] = OTHERS) -> Reconciler:
    return Reconciler(stream.read, lambda ids: {each: owners[each] for each in ids if each in owners}, clock or Clock())


def test_a_post_on_the_first_page_costs_one_request() -> None:
    stream = Stream(500)
    stream.at(3)
    assert reconciler(stream).find(lost(), NOW, unpaused).post_id == 9997
    assert stream.requests == [None]


def test_a_stream_that_is_older_on_its_first_page_costs_one_request() -> None:
    stream = Stream(500)
    assert reconciler(stream).find(lost(since=NOW + 3600 - 60 * 15), NOW, unpaused) == NOT_THERE
    assert stream.requests == [None]


def test_a_post_on_a_later_page_is_found() -> None:
    stream = Stream(500)
    stream.at(45)
    assert reconciler(stream).find(lost(since=NOW), NOW - 1, unpaused).post_id == 9955
    assert len(stream.requests) == 2


def test_pages_are_read_until_they_are_older_than_the_first_attempt() -> None:
    stream = Stream(500)
    assert reconciler(stream).find(lost(since=NOW), NOW - 1, unpaused) == NOT_THERE
    assert len(stream.requests) == 3  # 60 posts since then, and of each page the lowest ids prove nothing


@pytest.mark.parametrize("count", [0, 1, 2, 4, 5, 29, 30, 31, 60])
def test_a_stream_is_read_to_its_end(count: int) -> None:
    assert reconciler(Stream(count)).find(lost(since=NOW - 10**6), NOW, unpaused) == NOT_THERE


@pytest.mark.parametrize("place", range(0, 60, 7))
@pytest.mark.parametrize("pinned", [1, 3])
def test_pinned_posts_in_front_of_each_page_hide_nothing(place: int, pinned: int) -> None:
    old = [Shown(10 + i, f"pinned {i}", NOW - 10**6) for i in range(pinned)]

    def shows(posts: Sequence[Shown], highest: int | None) -> Page:
        found = [each for each in posts if highest is None or (each.id or 0) <= highest]
        return Page([*old, *found[: PAGE_SIZE - pinned]])

    stream = Stream(60, shows)
    stream.at(place)
    assert reconciler(stream).find(lost(since=NOW), NOW - 1, unpaused).post_id == 10_000 - place


@pytest.mark.parametrize("size", [1, 3, 10])
def test_short_pages_prove_no_end(size: int) -> None:
    def shows(posts: Sequence[Shown], highest: int | None) -> Page:
        return Page([each for each in posts if highest is None or (each.id or 0) <= highest][:size], more=False)

    stream = Stream(20, shows)
    stream.at(19)
    assert reconciler(stream).find(lost(since=NOW), NOW - 1, unpaused).post_id == 9981


@pytest.mark.parametrize("more", [True, None])
def test_a_stream_that_does_not_go_back_is_for_an_operator(more: bool | None) -> None:
    stream = Stream(60, lambda posts, _highest: Page(posts[:PAGE_SIZE], more))
    with pytest.raises(Reject, match="could not be read back"):
        reconciler(stream).find(lost(since=NOW), NOW - 1, unpaused)


def test_a_few_posts_that_are_all_there_are_need_not_go_back() -> None:
    stream = Stream(2, lambda posts, _highest: Page(posts, more=False))
    assert reconciler(stream).find(lost(since=NOW), NOW - 1, unpaused) == NOT_THERE


def test_more_posts_than_stocktwits_shows_are_for_an_operator() -> None:
    def shows(posts: Sequence[Shown], highest: int | None) -> Page:
        return Page(
            [each for each in posts[:MOST_MESSAGES] if highest is None or (each.id or 0) <= highest][:PAGE_SIZE]
        )

    stream = Stream(900, shows)
    with pytest.raises(Reject, match="could not be read back"):
        reconciler(stream).find(lost(since=NOW - 10**6), NOW, unpaused)
    assert len(stream.requests) <= MOST_PAGES + 4


def test_reading_back_ends_when_it_takes_too_long() -> None:
    clock, stream = Clock(), Stream(500)

    def slow(highest: int | None) -> Page:
        clock.now += 6
        return stream.read(highest)

    with pytest.raises(Retry, match="takes too long"):
        Reconciler(slow, lambda _: {}, clock).find(lost(since=NOW - 10**6), NOW, unpaused)
    assert len(stream.requests) == MOST_SECONDS // 6 + 1


def test_what_several_alerts_need_is_read_once() -> None:
    stream = Stream(500)
    stream.at(40)
    several = reconciler(stream)
    assert several.find(lost(since=NOW), NOW - 1, unpaused).post_id == 9960
    assert several.find(lost("another $TSLA", since=NOW + 3600), NOW - 1, unpaused) == NOT_THERE
    assert len(stream.requests) == 2


def test_what_was_read_before_an_attempt_ended_is_read_again() -> None:
    clock, stream = Clock(), Stream(500)
    several = reconciler(stream, clock)
    several.find(lost(since=NOW + 3600), NOW - 1, unpaused)
    clock.now += 1
    several.find(lost(since=NOW + 3600), NOW + 0.5, unpaused)
    assert stream.requests == [None, None]
