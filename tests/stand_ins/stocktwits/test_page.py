"""The pages of the stand-in for StockTwits."""

import re

import pytest

from local.stand_ins.stocktwits.server import StandIn
from tests.stand_ins.stocktwits.client import PNG, Client


def test_the_page_shows_the_posts_newest_first(client: Client) -> None:
    client.post("the first")
    client.post("the second")
    page = client.get("/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert 0 < page.text.index("the second") < page.text.index("the first")


def test_the_page_without_posts_shows_that(client: Client) -> None:
    assert "No posts yet" in client.get("/").text


def test_the_page_shows_markup_as_text(client: Client, stand_in: StandIn) -> None:
    stand_in.configure(username="<u>")
    client.post("""<script>alert("x")</script> http://a.b/"onclick='x' &amp;""", chart='http://a.b/?<"')
    shown = client.get("/").text
    assert "<script" not in shown
    assert "<u>" not in shown
    assert 'href="http://a.b/"' in shown
    assert "&amp;amp;" in shown
    assert 'href="http://a.b/?&lt;&quot;"' in shown


def test_the_page_runs_nothing_and_loads_nothing_from_elsewhere(client: Client) -> None:
    client.post()
    answer = client.get("/")
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert not re.search(r"<script|src=|url\(|@import", answer.text)


@pytest.mark.parametrize("tag", ["$AAPL", "$BRK.B", "$BTC.X", "$ES_F"])
def test_the_page_links_cashtags(client: Client, tag: str) -> None:
    client.post(f"({tag}), and more")
    assert f'(<a class="cashtag" href="https://stocktwits.com/symbol/{tag[1:]}"' in client.get("/").text


@pytest.mark.parametrize("text", ["$5k", "$2.55", "$50USD", "$FOO$BAR", "US$AAPL", "$"])
def test_the_page_links_no_amounts_of_money(client: Client, text: str) -> None:
    client.post(text)
    shown = client.get("/").text
    assert f">{text}<" in shown
    assert "symbol/" not in shown


def test_the_page_links_links_without_the_full_stop_behind_them(client: Client) -> None:
    client.post("see https://example.com/a?b=1&c=2.")
    assert 'href="https://example.com/a?b=1&amp;c=2" ' in client.get("/").text


@pytest.mark.parametrize("sentiment", ["bullish", "bearish", "neutral"])
def test_the_page_shows_the_sentiment(client: Client, sentiment: str) -> None:
    client.post(sentiment=sentiment)
    assert f'<span class="badge {sentiment}">' in client.get("/").text


def test_the_page_marks_a_reply(client: Client) -> None:
    client.post(in_reply_to_message_id=7)
    assert "in reply to 7" in client.get("/").text


def test_the_page_shows_an_uploaded_image_and_links_an_address(client: Client, stand_in: StandIn) -> None:
    client.upload(PNG, "image")
    client.post("address", chart="https://example.com/c.png")
    shown = client.get("/").text
    assert f'<img src="/charts/{stand_in.posts[0].id}"' in shown
    assert 'href="https://example.com/c.png"' in shown


def test_a_post_has_its_own_page(client: Client, stand_in: StandIn) -> None:
    client.post("the first")
    client.post("the second")
    shown = client.get(f"/relay_demo/message/{stand_in.posts[0].id}").text
    assert "the first" in shown
    assert "the second" not in shown


@pytest.mark.parametrize("path", ["/nothing", "/relay_demo/message/1", "/somebody/message/{id}", "/charts/{id}"])
def test_other_addresses_have_no_page(client: Client, stand_in: StandIn, path: str) -> None:
    client.post()
    assert client.get(path.format(id=stand_in.posts[0].id)).status_code == 404
