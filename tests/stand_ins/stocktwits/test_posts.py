"""Posting to the stand-in for StockTwits: tokens, the rules for a text, duplicates and charts."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from local.stand_ins.stocktwits.server import StandIn
from tests.stand_ins.stocktwits.client import GIF, HALF_AN_HOUR, JPG, PNG, Client, Clock, bodies, error


def test_a_post_is_answered_with_its_id_its_time_and_its_account(client: Client, stand_in: StandIn) -> None:
    answer = client.post("hello")
    message = answer.json()["message"]
    assert answer.status_code == 200
    assert answer.json()["response"] == {"status": 200}
    assert message["id"] == stand_in.posts[0].id
    assert message["created_at"] == "2027-01-15T08:00:00Z"
    assert (message["user"]["id"], message["user"]["username"]) == (4242, "relay_demo")
    assert message["source"]["title"]


def test_ids_grow(client: Client) -> None:
    first, second = (client.post(body).json()["message"]["id"] for body in ("one", "two"))
    assert second > first


def test_posts_are_kept_as_sent_oldest_first(client: Client, stand_in: StandIn) -> None:
    client.post("a & b <c>  \n http://example.com/long")
    client.post("zwei ✓")
    assert bodies(stand_in) == ["a & b <c>  \n http://example.com/long", "zwei ✓"]


def test_a_multipart_form_is_accepted_too(client: Client, stand_in: StandIn) -> None:
    client.send(
        "POST", "/api/2/messages/create.json", files={"body": (None, "ü\r\n=2B"), "sentiment": (None, "bullish")}
    )
    assert [(post.body, post.sentiment) for post in stand_in.posts] == [("ü\r\n=2B", "bullish")]


def test_the_answer_is_entity_encoded(client: Client) -> None:
    assert client.post("""a & b < c > "d" 'e'""").json()["message"]["body"] == """a &amp; b &lt; c &gt; "d" 'e'"""


def test_the_answer_lists_each_cashtag_once(client: Client) -> None:
    message = client.post("$AAPL $brk.b $BTC.X, $ES_F. $AAPL! $5k $2.55 $50USD $FOO$BAR http://x.y/$TSLA").json()[
        "message"
    ]
    assert [symbol["symbol"] for symbol in message["symbols"]] == ["AAPL", "BRK.B", "BTC.X", "ES_F"]


@pytest.mark.parametrize("style", ["Bearer", "OAuth"])
def test_the_token_is_read_from_the_header(client: Client, style: str) -> None:
    client.session.headers["Authorization"] = f"{style} demo-token"
    assert client.post().status_code == 200


def test_the_token_is_read_from_the_form(client: Client) -> None:
    del client.session.headers["Authorization"]
    assert client.post(access_token="demo-token").status_code == 200


def test_the_token_is_refused_in_the_query_string(client: Client) -> None:
    status, message = error(
        client.send("POST", "/api/2/messages/create.json?access_token=demo-token", data={"body": "x"})
    )
    assert status == 400
    assert "query string" in message


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic demo-token", "demo-token", "Bearer"])
def test_without_the_right_token_nothing_is_posted(client: Client, stand_in: StandIn, header: str | None) -> None:
    client.session.headers.pop("Authorization")
    answer = client.send(
        "POST", "/api/2/messages/create.json", data={"body": "x"}, headers={"Authorization": header} if header else {}
    )
    assert error(answer) == (401, "Authentication required")
    assert stand_in.posts == []


@pytest.mark.parametrize("body", ["", " \n"])
def test_a_blank_body_is_refused(client: Client, body: str) -> None:
    assert error(client.post(body)) == (422, "Body can't be blank")


@pytest.mark.parametrize(
    ("longest", "fields"),
    [
        ("x" * 1000, {}),
        ("é✓" * 500, {}),
        ("<>" + "x" * 992, {}),
        ("http://example.com/" + "long" * 500 + " " + "x" * 976, {}),
        ("https://a.b https://c.d " + "x" * 952, {}),
        ("x" * 976, {"chart": "https://example.com/chart.png"}),
    ],
    ids=["characters", "wide characters", "angle brackets", "link", "links", "chart"],
)
def test_a_thousand_counted_characters_are_the_limit(client: Client, longest: str, fields: dict[str, str]) -> None:
    status, message = error(client.post(longest + "x", **fields))
    assert (status, "too long" in message) == (422, True)
    assert client.post(longest, **fields).status_code == 200


def test_the_weight_of_a_link_is_a_setting(client: Client, stand_in: StandIn) -> None:
    stand_in.configure(link_weight=20)
    assert client.post("http://example.com/long/enough " + "x" * 979).status_code == 200


@pytest.mark.parametrize(
    ("sentiment", "shown"), [("bullish", {"basic": "Bullish"}), ("bearish", {"basic": "Bearish"}), ("neutral", None)]
)
def test_a_sentiment_is_kept_and_shown(
    client: Client, stand_in: StandIn, sentiment: str, shown: dict[str, str] | None
) -> None:
    assert client.post(sentiment=sentiment).json()["message"]["entities"] == {"sentiment": shown}
    assert stand_in.posts[0].sentiment == sentiment


def test_a_post_without_a_sentiment_is_neutral(client: Client, stand_in: StandIn) -> None:
    client.post()
    assert stand_in.posts[0].sentiment == "neutral"


@pytest.mark.parametrize("sentiment", ["", "Bullish", "hopeful"])
def test_an_unknown_sentiment_is_refused(client: Client, sentiment: str) -> None:
    assert client.post(sentiment=sentiment).status_code == 422


def test_a_reply_has_the_id_of_its_parent(client: Client, stand_in: StandIn) -> None:
    message = client.post(in_reply_to_message_id=7).json()["message"]
    assert message["conversation"]["in_reply_to_message_id"] == 7
    assert stand_in.posts[0].in_reply_to == 7


@pytest.mark.parametrize("wanted", ["", "0", "-1", "7.0", "x", "٣"])
def test_a_reply_to_an_invalid_id_is_refused(client: Client, wanted: str) -> None:
    assert client.post(in_reply_to_message_id=wanted).status_code == 422


def test_a_duplicate_is_refused_and_not_posted(client: Client, stand_in: StandIn) -> None:
    client.post("hello world")
    assert error(client.post(" hello \n world")) == (422, "Duplicate messages within 30 minutes will not be posted.")
    assert bodies(stand_in) == ["hello world"]


def test_a_duplicate_is_refused_for_half_an_hour(client: Client, clock: Clock) -> None:
    client.post()
    clock.now += HALF_AN_HOUR - 1
    assert client.post().status_code == 422
    clock.now += 1
    assert client.post().status_code == 200


def test_of_equal_posts_at_the_same_moment_one_is_accepted(stand_in: StandIn) -> None:
    def one(_: int) -> int:
        return Client(stand_in).post().status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(one, range(8))) == [200] + [422] * 7


@pytest.mark.parametrize(("near_identical", "status"), [(False, 200), (True, 422)])
def test_another_cashtag_makes_another_post_unless_near_identical_ones_are_refused(
    client: Client, stand_in: StandIn, near_identical: bool, status: int
) -> None:
    stand_in.configure(near_identical=near_identical)
    client.post("$AAPL halted")
    assert client.post("$BRK.B  halted").status_code == status


@pytest.mark.parametrize(("content", "kind"), [(PNG, "image/png"), (JPG, "image/jpeg"), (GIF, "image/gif")])
def test_an_uploaded_image_is_recognised_by_its_first_bytes(
    client: Client, stand_in: StandIn, content: bytes, kind: str
) -> None:
    address = client.upload(content).json()["message"]["entities"]["chart"]["url"]
    chart = stand_in.posts[0].chart
    assert chart
    assert (chart.type, chart.size) == (kind, len(content))
    assert address == f"{stand_in.url}/charts/{stand_in.posts[0].id}"


@pytest.mark.parametrize("tail", [b"\r\n", b"\r", b"\n\n", b"\r\n--", bytes(range(256)) * 3, b"\xff\x00"])
def test_an_uploaded_image_is_shown_byte_for_byte(client: Client, stand_in: StandIn, tail: bytes) -> None:
    client.upload(PNG + tail)
    shown = client.get(f"/charts/{stand_in.posts[0].id}")
    assert (shown.content, shown.headers["Content-Type"]) == (PNG + tail, "image/png")


def test_an_uploaded_file_that_is_not_an_image_is_refused(client: Client) -> None:
    assert client.upload(b"%PDF-1.7").status_code == 422


def test_an_uploaded_image_must_be_smaller_than_two_megabytes(client: Client) -> None:
    assert client.upload(PNG.ljust(2_000_000, b"x")).status_code == 422
    assert client.upload(PNG.ljust(1_999_999, b"x")).status_code == 200


def test_a_chart_may_be_an_address(client: Client, stand_in: StandIn) -> None:
    message = client.post(chart="https://example.com/c.png").json()["message"]
    assert message["entities"]["chart"]["url"] == "https://example.com/c.png"
    chart = stand_in.posts[0].chart
    assert chart
    assert (chart.url, chart.size) == ("https://example.com/c.png", 0)


def test_a_chart_that_is_neither_file_nor_web_address_is_refused(client: Client) -> None:
    assert client.post(chart="ftp://example.com/c.png").status_code == 422
