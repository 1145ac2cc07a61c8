"""Whether StockTwits shows a post as it was sent: its text, its chart and its sentiment."""

import html
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay.posting.outcome import Published
from relay.posting.reconciliation import is_as_sent, normal_form
from relay.posting.stocktwits import StockTwits

from tests.factories import an_alert
from tests.unit.posting.stocktwits_helpers import GIF, Clients, FakeApi

ALTERED = "StockTwits shows another text than was sent"
NO_CHART = "StockTwits shows it without its chart"
NO_SENTIMENT = "StockTwits shows it without its sentiment"
CHART = {"chart": {"thumb": "https://charts.example/7.png"}}


def shown(api: FakeApi, client_of: Clients, answer: dict[str, Any], **alert: Any) -> Published:
    """Publish an alert, of which StockTwits shows this."""
    api.answer(200, json.dumps({"message": {"id": 7, **answer}}).encode())
    return client_of(api.url).publish(an_alert(**{"body": "$AAPL up", **alert}), None)


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
def test_the_stand_in_shows_a_text_as_it_was_sent_however_it_encodes_it(client: StockTwits, text: str) -> None:
    published = client.publish(an_alert(text, sentiment="bullish", chart="https://charts.example/7.png"), GIF)
    assert (published.remark, published.text_altered) == ("", False)


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        ("$AAPL up", "$AAPL up"),
        ("$AAPL  up\n", "$AAPL up"),
        ("a < b", "a &lt; b"),
        ("a < b", "a &amp;lt; b"),
        ("see https://example.com/a", "see https://stks.co/x"),
        ("cafe\u0301", "caf\u00e9"),
    ],
)
def test_spaces_entities_and_shortened_links_do_not_alter_a_text(
    api: FakeApi, client_of: Clients, sent: str, body: str
) -> None:
    assert shown(api, client_of, {"body": body}, body=sent) == Published(7, page(7), "", text_altered=False)


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        ("$AAPL up", "$AAPL Up"),
        ("$AAPL up", ""),
        ("$AAPL up today", "$AAPL up\u2026"),
        ("$AAPL up", "$AAPL up!"),
        ("see example.com/a", "see http://example.com/a"),
        ("$AAPL \u201cup\u201d", '$AAPL "up"'),
        ("$AAPL up", "$AAPL\u200b up"),
        ("a b", "ab"),
    ],
)
def test_another_text_is_remarked_on(api: FakeApi, client_of: Clients, sent: str, body: str) -> None:
    assert shown(api, client_of, {"body": body}, body=sent) == Published(7, page(7), ALTERED, text_altered=True)


@pytest.mark.parametrize("answer", [{}, {"body": None}, {"body": 7}, {"body": ["$AAPL"]}])
def test_an_answer_that_does_not_show_the_text_alters_nothing(
    api: FakeApi, client_of: Clients, answer: dict[str, Any]
) -> None:
    assert shown(api, client_of, answer) == Published(7, page(7))


@pytest.mark.parametrize(
    ("entities", "remark"),
    [
        (CHART, ""),
        ({}, NO_CHART),
        ({"chart": None}, NO_CHART),
        ({"chart": {}}, NO_CHART),
        (None, ""),
        ([], ""),
        ("chart", ""),
    ],
)
def test_a_post_that_is_shown_without_its_chart_is_remarked_on(
    api: FakeApi, client_of: Clients, entities: object, remark: str
) -> None:
    published = shown(api, client_of, {"entities": entities}, chart="https://charts.example/7.png")
    assert (published.remark, published.text_altered) == (remark, False)


@pytest.mark.parametrize(
    ("sentiment", "entities", "remark"),
    [
        ("bullish", {"sentiment": {"basic": "Bullish"}}, ""),
        ("bearish", {"sentiment": {"basic": "bearish"}}, ""),
        ("bullish", {"sentiment": {"basic": "Bearish"}}, NO_SENTIMENT),
        ("bullish", {"sentiment": {"basic": None}}, NO_SENTIMENT),
        ("bullish", {"sentiment": None}, NO_SENTIMENT),
        ("bearish", {"sentiment": "bearish"}, NO_SENTIMENT),
        ("bearish", {}, NO_SENTIMENT),
        ("neutral", {}, ""),  # StockTwits' default, of which it shows nothing
        (None, {}, ""),
        ("bullish", None, ""),
    ],
)
def test_a_post_that_is_shown_without_its_sentiment_is_remarked_on(
    api: FakeApi, client_of: Clients, sentiment: str | None, entities: object, remark: str
) -> None:
    assert shown(api, client_of, {"entities": entities}, sentiment=sentiment).remark == remark


def test_all_that_differs_is_remarked_on(api: FakeApi, client_of: Clients) -> None:
    answer = {"body": "$AAPL", "entities": {}}
    published = shown(api, client_of, answer, sentiment="bullish", chart="https://charts.example/7.png")
    assert published.remark == f"{ALTERED}; {NO_CHART}; {NO_SENTIMENT}"


@given(st.text())
def test_a_text_is_as_sent_however_often_its_entities_were_encoded(text: str) -> None:
    assert is_as_sent(text, html.escape(text))
    assert is_as_sent(text, html.escape(html.escape(text, quote=False)))


@pytest.mark.parametrize(("one", "other"), [("$AAPL up", "$AAPL  Up"), ("a < b", "a > b"), ("a b", "ab")])
def test_texts_that_people_read_differently_differ_in_normal_form(one: str, other: str) -> None:
    assert normal_form(one) != normal_form(other)


def page(post_id: int) -> str:
    return f"{FakeApi.site}/relay_demo/message/{post_id}"
