"""Finding a post on the account's own stream, and when the stream does not answer the question."""

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay.errors import Reject
from relay.posting.outcome import Published
from relay.posting.stocktwits import StockTwits, normal_form

from tests.factories import NOW, Clock, an_alert
from tests.unit.posting.stocktwits_helpers import Clients, FakeApi, stream_of

AT_NOW = "2027-01-15T08:00:00Z"
OTHERS = [{"id": i, "body": f"post {i}", "created_at": AT_NOW} for i in range(1, 30)]
PINNED = {"id": 900, "body": "pinned", "created_at": "2020-01-01T00:00:00Z"}


# --- A post that is there


def test_a_post_is_found_by_its_text(client: StockTwits) -> None:
    posted = client.publish(an_alert("$AAPL up"), None)
    client.publish(an_alert("$MSFT up"), None)
    assert client.find("$AAPL up", NOW) == posted
    assert client.find("$AAPL down", NOW) is None


@pytest.mark.parametrize(
    "text",
    [
        "a < b & c > d",
        "&lt; is not <",
        "&amp;amp;",
        "see https://example.com/a?b=1&c=2 and http://a.b/c",
        "two\n\nlines\tand  spaces",
        "cafe\u0301 \U0001f680",
        'it\'s "quoted"',
    ],
)
def test_a_text_is_found_however_the_stream_encodes_it(client: StockTwits, text: str) -> None:
    posted = client.publish(an_alert(text), None)
    assert client.find(text, NOW) == posted


@pytest.mark.parametrize(("seconds", "found"), [(0, True), (30, True), (31, False)])
def test_a_post_older_than_the_first_attempt_is_another_one(client: StockTwits, seconds: int, found: bool) -> None:
    client.publish(an_alert("$AAPL up"), None)
    assert bool(client.find("$AAPL up", NOW + seconds)) is found


def test_the_newest_of_equal_posts_is_taken(client: StockTwits, clock: Clock) -> None:
    client.publish(an_alert("$AAPL up"), None)
    clock.now += 1801
    newest = client.publish(an_alert("$AAPL up"), None)
    assert client.find("$AAPL up", NOW) == newest


def test_a_full_stream_that_shows_the_post_is_conclusive(client: StockTwits) -> None:
    posts = [client.publish(an_alert(f"post {i}"), None) for i in range(30)]
    assert client.find("post 0", NOW) == posts[0]


@pytest.mark.parametrize("created_at", [{}, {"created_at": None}, {"created_at": "just now"}])
def test_a_post_without_a_legible_date_may_be_the_one(
    api: FakeApi, client_of: Clients, created_at: dict[str, object]
) -> None:
    api.answer(200, stream_of({"id": 7, "body": "$AAPL up", **created_at}))
    found = client_of(api.url).find("$AAPL up", NOW)
    assert found == Published(7, "https://stocktwits.com/relay_demo/message/7")


@pytest.mark.parametrize("odd", [None, 7, {}, {"body": None}, {"body": ["$AAPL up"]}, {"id": [[[]]], "body": 7}])
def test_an_entry_that_is_not_a_post_does_not_keep_another_from_being_found(
    api: FakeApi, client_of: Clients, odd: object
) -> None:
    api.answer(200, stream_of(odd, {"id": 7, "body": "$AAPL up", "created_at": AT_NOW}))
    found = client_of(api.url).find("$AAPL up", NOW)
    assert found is not None
    assert found.id == 7


def test_a_body_that_is_deeply_nested_json_is_skipped(api: FakeApi, client_of: Clients) -> None:
    api.answer(200, b'{"messages": [{"id": 1, "body": ' + b"[" * 900 + b"]" * 900 + b"}]}")
    assert client_of(api.url).find("$AAPL up", NOW) is None


@pytest.mark.parametrize("post_id", [True, None, "7", 0, 10**39, 2**63])
def test_a_post_whose_id_cannot_be_read_is_left_to_an_operator(
    api: FakeApi, client_of: Clients, post_id: object
) -> None:
    api.answer(200, stream_of({"id": post_id, "body": "$AAPL up", "created_at": AT_NOW}))
    with pytest.raises(Reject, match="but not its id"):
        client_of(api.url).find("$AAPL up", NOW)


# --- A stream that does not reach back


def test_a_stream_that_may_not_reach_back_leaves_it_to_an_operator(client: StockTwits, clock: Clock) -> None:
    client.publish(an_alert("$AAPL up"), None)
    clock.now += 60
    for i in range(29):
        client.publish(an_alert(f"post {i}"), None)
    assert client.find("$MSFT up", NOW + 60) is None
    client.publish(an_alert("the thirtieth"), None)
    with pytest.raises(Reject, match="do not reach back to the first attempt"):
        client.find("$AAPL up", NOW)


def test_a_short_page_is_conclusive_unless_it_announces_more(api: FakeApi, client_of: Clients) -> None:
    api.answer(200, stream_of(OTHERS[0], cursor={"more": False}))
    assert client_of(api.url).find("$AAPL up", NOW) is None


def test_a_short_page_that_announces_more_leaves_it_to_an_operator(api: FakeApi, client_of: Clients) -> None:
    api.answer(200, stream_of(OTHERS[0], cursor={"more": True}))
    with pytest.raises(Reject, match="do not reach back"):
        client_of(api.url).find("$AAPL up", NOW)


@pytest.mark.parametrize("page", [[PINNED, *OTHERS], [None, *OTHERS], [*OTHERS, None], [*OTHERS, {"id": 30}]])
def test_neither_a_pinned_post_nor_an_odd_one_makes_a_stream_reach_back(
    api: FakeApi, client_of: Clients, page: list[object]
) -> None:
    api.answer(200, stream_of(*page))
    with pytest.raises(Reject, match="do not reach back"):
        client_of(api.url).find("$AAPL up", NOW)


# --- What a text is compared by


@given(st.text())
def test_encoding_a_text_does_not_change_its_normal_form(text: str) -> None:
    assert normal_form(html.escape(text)) == normal_form(text)
    assert normal_form(html.escape(text, quote=False)) == normal_form(text)


@pytest.mark.parametrize(("one", "other"), [("$AAPL up", "$AAPL  Up"), ("a < b", "a > b"), ("a b", "ab")])
def test_texts_that_people_read_differently_differ_in_normal_form(one: str, other: str) -> None:
    assert normal_form(one) != normal_form(other)
