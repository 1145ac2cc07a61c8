"""The account's stream, a page at a time: what is asked for, and how each post and the cursor are read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay.limits import moment as moment_of
from relay.posting.reconciliation import Page, Shown
from relay.posting.stocktwits import MAX_ID, StockTwits, _shown

from local.stand_ins.stocktwits.server import StandIn
from tests.factories import NOW, an_alert
from tests.unit.posting.stocktwits_helpers import Clients, FakeApi, stream_of

AT_NOW = "2027-01-15T08:00:00Z"
POST = {"id": 7, "body": "$AAPL up", "created_at": AT_NOW}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["id", "body", "created_at"]), inner),
    max_leaves=5,
)


@pytest.mark.parametrize(("highest", "query"), [(None, {"limit": "30"}), (7, {"limit": "30", "max": "7"})])
def test_a_page_is_asked_for_by_the_highest_id_that_it_may_have(
    client: StockTwits, stand_in: StandIn, highest: int | None, query: dict[str, str]
) -> None:
    client.stream(highest)
    (request,) = stand_in.requests
    assert request.query == query


def test_a_page_shows_what_was_posted(client: StockTwits) -> None:
    first, second = (client.publish(an_alert(text), None) for text in ("$AAPL up", "$MSFT up"))
    assert [(post.id, post.body, post.created_at) for post in client.stream(None).posts] == [
        (second.id, "$MSFT up", NOW),
        (first.id, "$AAPL up", NOW),
    ]
    assert [post.id for post in client.stream(first.id).posts] == [first.id]


@pytest.mark.parametrize(
    ("cursor", "more"),
    [
        ({"more": True, "since": 7, "max": 1}, True),
        ({"more": False}, False),
        ({"more": None}, None),
        ({"more": "true"}, None),
        ({"more": 1}, None),
        ({}, None),
        (None, None),
        ([], None),
        ("more", None),
    ],
)
def test_a_cursor_says_whether_there_is_more_only_by_true_or_false(
    api: FakeApi, client_of: Clients, cursor: object, more: bool | None
) -> None:
    api.answer(200, stream_of(POST, cursor=cursor))
    assert client_of(api.url).stream(None) == Page([Shown(7, "$AAPL up", NOW)], more)


def test_a_stream_without_a_cursor_does_not_say_whether_there_is_more(api: FakeApi, client_of: Clients) -> None:
    api.answer(200, stream_of())
    assert client_of(api.url).stream(None) == Page([], None)


@pytest.mark.parametrize(
    ("post_id", "read"),
    [
        (7, 7),
        ("7", 7),
        ("0061042991", 61042991),
        (MAX_ID, MAX_ID),
        (str(MAX_ID), MAX_ID),
        *(
            (each, None)
            for each in (None, True, 0, -7, 7.0, "", "0", "-7", "7.0", " 7", "7\n", "\u0667", "\u00b2", [7], {}, 2**63)
        ),
        (str(2**63), None),
        ("9" * 5000, None),
        (10**39, None),
    ],
)
def test_the_id_of_a_post_is_read_as_a_number_or_as_its_digits(post_id: object, read: int | None) -> None:
    assert _shown({**POST, "id": post_id}) == Shown(read, "$AAPL up", NOW)


@pytest.mark.parametrize(
    ("date", "moment"),
    [
        ("2027-01-15T08:00:00Z", NOW),
        ("2027-01-15T08:00:00.5Z", NOW + 0.5),
        ("2027-01-15 03:00:00-05:00", NOW),
        ("20270115T080000Z", NOW),
        *(
            (each, None)
            for each in (
                None,
                "",
                "just now",
                "2027-01-15T08:00:00",
                "2027-01-15",
                "2027-13-15T08:00:00Z",
                "Fri, 15 Jan 2027 08:00:00 GMT",
                int(NOW),
                True,
                [],
                {},
            )
        ),
    ],
)
def test_the_date_of_a_post_counts_only_if_it_names_a_moment(date: object, moment: float | None) -> None:
    assert _shown({**POST, "created_at": date}) == Shown(7, "$AAPL up", moment)


@pytest.mark.parametrize("date", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_date_at_the_end_of_time_does_no_harm(date: str) -> None:
    assert moment_of(date) is None or abs(moment_of(date) or 0) > NOW


@pytest.mark.parametrize("body", [None, 7, ["$AAPL up"], {"text": "$AAPL up"}])
def test_the_text_of_a_post_counts_only_if_it_is_text(body: object) -> None:
    assert _shown({**POST, "body": body}) == Shown(7, None, NOW)


@pytest.mark.parametrize("odd", [None, 7, "post", [], {}])
def test_an_entry_that_is_not_a_post_is_one_of_which_nothing_is_known(
    api: FakeApi, client_of: Clients, odd: object
) -> None:
    api.answer(200, stream_of(odd, POST))
    assert client_of(api.url).stream(None).posts == [Shown(None, None, None), Shown(7, "$AAPL up", NOW)]


def test_an_entry_of_deeply_nested_json_does_no_harm(api: FakeApi, client_of: Clients) -> None:
    api.answer(200, b'{"messages": [{"id": 1, "body": ' + b"[" * 900 + b"]" * 900 + b"}]}")
    assert client_of(api.url).stream(None).posts == [Shown(1, None, None)]


@given(json_values)
def test_no_entry_of_a_stream_raises(entry: object) -> None:
    shown = _shown(entry)
    assert shown.id is None or 0 < shown.id <= MAX_ID
    assert shown.body is None or isinstance(shown.body, str)


@pytest.mark.parametrize(
    ("links", "read"),
    [
        ([{"title": "a", "url": "https://a.example/1"}, {"url": "https://b.example"}], 2),
        ([{"url": None}, {"title": "a"}, "https://a.example", None], 0),
        ({"url": "https://a.example"}, 0),
        ("https://a.example", 0),
        ([], 0),
        (None, 0),
    ],
)
def test_where_a_posts_links_lead_is_read_from_their_list(links: object, read: int) -> None:
    assert _shown({**POST, "links": links}).links == ("https://a.example/1", "https://b.example")[:read]
