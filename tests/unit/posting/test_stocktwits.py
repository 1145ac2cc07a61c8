"""What the StockTwits client sends, as the stand-in receives it."""

import pytest
from relay import __version__
from relay.errors import Reject
from relay.posting.outcome import Published
from relay.posting.stocktwits import StockTwits

from local.stand_ins.stocktwits.server import StandIn
from tests.factories import an_alert
from tests.unit.posting.stocktwits_helpers import GIF, TOKEN, Clients, FakeCredentials

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
JPG = b"\xff\xd8\xff" + b"pixels"

STYLES = pytest.mark.parametrize(
    ("style", "header"), [("bearer", f"Bearer {TOKEN}"), ("oauth", f"OAuth {TOKEN}"), ("form", None)]
)


def test_a_post_is_published_as_a_form_and_known_by_its_id_and_page(client: StockTwits, stand_in: StandIn) -> None:
    alert = an_alert("50% & <more> caf\u00e9\n$AAPL+1", sentiment="bullish", in_reply_to_message_id=7)
    answer = client.publish(alert, None)
    (post,) = stand_in.posts
    assert (post.body, post.sentiment, post.in_reply_to) == (alert.body, "bullish", 7)
    assert answer == Published(post.id, f"{stand_in.url}/relay_demo/message/{post.id}")


@pytest.mark.parametrize(
    ("api", "site"),
    [
        ("https://api.stocktwits.com/api/2", "https://stocktwits.com"),
        ("https://API.StockTwits.com:443/api/2", "https://stocktwits.com"),
        ("https://stocktwits.com/api/2", "https://stocktwits.com"),
        ("https://api-gw-prd.stocktwits.com/api/2", "https://stocktwits.com"),
        ("https://evilstocktwits.com/api/2", "https://evilstocktwits.com"),
        ("https://stocktwits.com.evil.example/api/2", "https://stocktwits.com.evil.example"),
        ("http://127.0.0.1:8081/api/2", "http://127.0.0.1:8081"),
    ],
)
def test_a_post_of_any_api_of_stocktwits_is_on_its_own_site_and_another_at_the_apis_host(api: str, site: str) -> None:
    client = StockTwits(api, "bearer", FakeCredentials(), 1, lambda: 0.0)
    assert client.page(600_000_001) == f"{site}/relay_demo/message/600000001"


def test_a_field_that_the_alert_does_not_have_is_not_sent(client: StockTwits, stand_in: StandIn) -> None:
    client.publish(an_alert("$AAPL up"), None)
    assert stand_in.requests[0].fields == {"body": "$AAPL up"}


def test_the_address_of_a_chart_goes_to_stocktwits_as_it_is(client: StockTwits, stand_in: StandIn) -> None:
    client.publish(an_alert(chart="https://example.com/c.png?a=%2B&b=1"), None)
    assert stand_in.requests[0].fields["chart"] == "https://example.com/c.png?a=%2B&b=1"


@pytest.mark.parametrize(("content", "media_type"), [(GIF, "image/gif"), (PNG, "image/png"), (JPG, "image/jpeg")])
def test_the_bytes_of_a_chart_are_uploaded_in_place_of_its_address(
    client: StockTwits, stand_in: StandIn, content: bytes, media_type: str
) -> None:
    client.publish(an_alert("caf\u00e9 & <more>", chart="s3://charts/c"), content)
    assert stand_in.posts[0].body == "caf\u00e9 & <more>"
    assert stand_in.posts[0].chart
    assert (stand_in.posts[0].chart.content, stand_in.posts[0].chart.type) == (content, media_type)
    assert "chart" not in stand_in.requests[0].fields


@pytest.mark.parametrize("content", [b"<svg/>", b"", b"GIF88a", b"x\x89PNG\r\n\x1a\n"])
def test_a_chart_that_is_not_an_image_is_refused_before_a_request(
    client: StockTwits, stand_in: StandIn, content: bytes
) -> None:
    with pytest.raises(Reject, match="not a JPG, PNG or GIF"):
        client.publish(an_alert(), content)
    assert stand_in.requests == []


def test_the_client_names_itself(client: StockTwits, stand_in: StandIn) -> None:
    client.publish(an_alert(), None)
    client.stream(None)
    assert {each.headers["User-Agent"] for each in stand_in.requests} == {f"StockTwitsRelay/{__version__}"}


@STYLES
@pytest.mark.parametrize("chart", [None, GIF])
def test_the_token_goes_where_the_style_puts_it_and_nowhere_else(
    stand_in: StandIn, client_of: Clients, style: str, header: str | None, chart: bytes | None
) -> None:
    client_of(stand_in.api_url, style).publish(an_alert(), chart)
    (request,) = stand_in.requests
    assert request.headers["Authorization"] == header
    assert request.fields.get("access_token") == (TOKEN if style == "form" else None)
    assert request.query == {}


@STYLES
def test_reading_the_stream_shows_no_token_in_the_address(
    stand_in: StandIn, client_of: Clients, style: str, header: str | None
) -> None:
    client_of(stand_in.api_url, style).stream(None)
    (request,) = stand_in.requests
    assert request.headers["Authorization"] == header
    assert (request.query, request.fields) == ({"limit": "30"}, {})


@pytest.mark.parametrize("style", ["bearer", "form"])
def test_a_post_whose_token_was_refused_is_published_with_the_stored_one(
    stand_in: StandIn, client_of: Clients, style: str
) -> None:
    client_of(stand_in.api_url, style, FakeCredentials("old", stored=TOKEN)).publish(an_alert(), None)
    assert (len(stand_in.posts), len(stand_in.requests)) == (1, 2)


def test_a_stream_whose_token_was_refused_is_read_with_the_stored_one(stand_in: StandIn, client_of: Clients) -> None:
    stand_in.fail("401", path="streams/user")
    client = client_of(stand_in.api_url, credentials=FakeCredentials("old", stored=TOKEN))
    assert client.stream(None).posts == []
    assert [each.headers["Authorization"] for each in stand_in.requests] == ["Bearer old", f"Bearer {TOKEN}"]
