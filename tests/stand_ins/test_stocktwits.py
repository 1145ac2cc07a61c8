"""The rules of the stand-in of StockTwits, each over real HTTP on loopback."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from local.stand_ins.stocktwits.faults import Fault
from local.stand_ins.stocktwits.server import StandIn

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
JPG = b"\xff\xd8\xff" + b"pixels"
GIF = b"GIF89a" + b"pixels"
HALF_AN_HOUR = 30 * 60


class Clock:
    """A clock that stands until it is moved."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Client:
    """A client with the right token, on one kept connection, deaf to proxies."""

    def __init__(self, stand_in: StandIn) -> None:
        self.stand_in = stand_in
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {stand_in.access_token}"

    def post(self, body: str = "hello", **fields: object) -> requests.Response:
        return self.send("POST", "/api/2/messages/create.json", data={"body": body, **fields})

    def upload(self, chart: bytes, body: str = "hello") -> requests.Response:
        return self.send("POST", "/api/2/messages/create.json", data={"body": body}, files={"chart": ("c", chart)})

    def stream(self, account: str = "4242", /, **query: object) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self.get(f"/api/2/streams/user/{account}.json", **query).json()["messages"]
        return messages

    def control(self, what: str, **payload: object) -> requests.Response:
        return self.send("POST", f"/_standin/{what}", json=payload)

    def get(self, path: str, **query: object) -> requests.Response:
        return self.send("GET", path, params=query)

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        options = {"timeout": 10, "allow_redirects": False, **options}
        return self.session.request(method, self.stand_in.url + path, **options)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stand_in(clock: Clock) -> Iterator[StandIn]:
    with StandIn(clock=clock) as running:
        yield running


@pytest.fixture
def client(stand_in: StandIn) -> Iterator[Client]:
    client = Client(stand_in)
    with client.session:
        yield client


def error(answer: requests.Response) -> tuple[int, str]:
    """The status and the message of a refusal, which must be in the form of the API."""
    refusal = answer.json()
    assert refusal["response"] == {"status": answer.status_code}
    return answer.status_code, refusal["errors"][0]["message"]


def bodies(stand_in: StandIn) -> list[str]:
    return [post.body for post in stand_in.posts]


def raw(stand_in: StandIn) -> socket.socket:
    return socket.create_connection(("127.0.0.1", stand_in.port), timeout=10)


def raw_request(body: str = "body=hello", length: int | None = None) -> bytes:
    head = (
        "POST /api/2/messages/create.json HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer demo-token\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length or len(body)}\r\n\r\n"
    )
    return (head + body).encode()


# Posting


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


def test_a_multipart_form_is_as_good_as_an_encoded_one(client: Client, stand_in: StandIn) -> None:
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
def test_the_token_is_taken_from_the_header(client: Client, style: str) -> None:
    client.session.headers["Authorization"] = f"{style} demo-token"
    assert client.post().status_code == 200


def test_the_token_is_taken_from_the_form(client: Client) -> None:
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


def test_a_reply_names_what_it_answers(client: Client, stand_in: StandIn) -> None:
    message = client.post(in_reply_to_message_id=7).json()["message"]
    assert message["conversation"]["in_reply_to_message_id"] == 7
    assert stand_in.posts[0].in_reply_to == 7


@pytest.mark.parametrize("wanted", ["", "0", "-1", "7.0", "x", "٣"])
def test_a_reply_to_what_is_no_id_is_refused(client: Client, wanted: str) -> None:
    assert client.post(in_reply_to_message_id=wanted).status_code == 422


def test_a_duplicate_is_refused_and_not_posted(client: Client, stand_in: StandIn) -> None:
    client.post("hello world")
    assert error(client.post(" hello \n world")) == (422, "Duplicate messages within 30 minutes will not be posted.")
    assert bodies(stand_in) == ["hello world"]


def test_a_duplicate_is_one_until_half_an_hour_has_passed(client: Client, clock: Clock) -> None:
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


# Charts


@pytest.mark.parametrize(("content", "kind"), [(PNG, "image/png"), (JPG, "image/jpeg"), (GIF, "image/gif")])
def test_an_uploaded_image_is_known_by_its_first_bytes(
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


def test_an_uploaded_file_that_is_no_image_is_refused(client: Client) -> None:
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


# Reading


def test_the_stream_is_newest_first_and_needs_no_token(client: Client) -> None:
    for body in ("one", "two"):
        client.post(body)
    del client.session.headers["Authorization"]
    assert [message["body"] for message in client.stream()] == ["two", "one"]


def test_the_stream_is_found_by_id_and_by_name(client: Client) -> None:
    client.post()
    assert client.stream("4242") == client.stream("relay_demo") != []


def test_an_unknown_account_has_no_stream(client: Client) -> None:
    assert error(client.get("/api/2/streams/user/nobody.json"))[0] == 404


@pytest.mark.parametrize(("query", "length"), [({}, 30), ({"limit": 2}, 2), ({"limit": 31}, 30)])
def test_the_stream_shows_thirty_at_most(client: Client, query: dict[str, int], length: int) -> None:
    for number in range(31):
        client.post(f"post {number}")
    shown = client.stream(**query)
    assert (len(shown), shown[0]["body"]) == (length, "post 30")


@pytest.mark.parametrize(("limit", "more"), [(1, True), (2, False)])
def test_the_stream_tells_whether_there_is_more(client: Client, limit: int, more: bool) -> None:
    older, newer = (client.post(body).json()["message"]["id"] for body in ("one", "two"))
    cursor = client.get("/api/2/streams/user/4242.json", limit=limit).json()["cursor"]
    assert cursor == {"more": more, "since": newer, "max": newer if more else older}


def test_the_stream_shows_ids_greater_than_since(client: Client) -> None:
    first, second, third = (client.post(body).json()["message"]["id"] for body in ("one", "two", "three"))
    assert [message["id"] for message in client.stream(since=first)] == [third, second]


@pytest.mark.parametrize("query", [{"limit": "x"}, {"since": "-1"}])
def test_the_stream_refuses_what_is_no_number(client: Client, query: dict[str, str]) -> None:
    assert client.get("/api/2/streams/user/4242.json", **query).status_code == 422


def test_the_stream_shortens_links_and_encodes_entities(client: Client) -> None:
    client.post("<b> https://example.com/?a=1&b=2 & more")
    assert re.fullmatch(r"&lt;b&gt; http://stks\.co/\w{5} &amp; more", client.stream()[0]["body"])


def test_one_message_is_shown_by_its_id(client: Client) -> None:
    message = client.post().json()["message"]
    assert client.get(f"/api/2/messages/show/{message['id']}.json").json()["message"] == message


@pytest.mark.parametrize("wanted", ["1", "x"])
def test_an_unknown_message_is_not_found(client: Client, wanted: str) -> None:
    assert error(client.get(f"/api/2/messages/show/{wanted}.json"))[0] == 404


def test_a_token_is_told_whose_it_is(client: Client) -> None:
    assert client.get("/api/2/account/verify.json").json()["user"]["username"] == "relay_demo"


def test_a_wrong_token_is_nobodys(client: Client) -> None:
    client.session.headers["Authorization"] = "Bearer wrong"
    assert error(client.get("/api/2/account/verify.json")) == (401, "Authentication required")


@pytest.mark.parametrize(("method", "path"), [("GET", "messages/create.json"), ("GET", "nothing.json")])
def test_what_is_no_endpoint_is_not_found(client: Client, method: str, path: str) -> None:
    assert error(client.send(method, f"/api/2/{path}"))[0] == 404


GRANT = {
    "client_id": "demo-client",
    "client_secret": "demo-secret",
    "code": "demo-code",
    "grant_type": "authorization_code",
    "redirect_uri": "https://localhost/back",
}


def test_a_code_is_exchanged_for_the_token(client: Client) -> None:
    assert client.send("POST", "/api/2/oauth/token", data=GRANT).json() == {
        "user_id": 4242,
        "access_token": "demo-token",
        "scope": "read,publish_messages",
        "username": "relay_demo",
    }


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"client_id": "other"}, 401),
        ({"client_secret": "other"}, 401),
        ({"code": "other"}, 400),
        ({"grant_type": "password"}, 400),
        ({"redirect_uri": ""}, 400),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_grant_with_a_wrong_field_is_refused(client: Client, wrong: dict[str, str], status: int) -> None:
    assert error(client.send("POST", "/api/2/oauth/token", data=GRANT | wrong))[0] == status


# The rate limit


def test_without_a_rate_limit_no_answer_speaks_of_one(client: Client) -> None:
    assert not [name for name in client.post().headers if "ratelimit" in name.lower()]


def test_with_a_rate_limit_every_answer_tells_what_is_left(client: Client, stand_in: StandIn, clock: Clock) -> None:
    stand_in.configure(rate_limit=10)
    told = [answer.headers for answer in (client.post(), client.post(""), client.get("/api/2/nothing.json"))]
    assert [headers["X-RateLimit-Remaining"] for headers in told] == ["9", "8", "7"]
    assert told[0]["X-RateLimit-Limit"] == "10"
    assert told[0]["X-RateLimit-Reset"] == str(int(clock.now) + 3600)


def test_beyond_the_rate_limit_nothing_is_posted_for_an_hour(client: Client, stand_in: StandIn, clock: Clock) -> None:
    stand_in.configure(rate_limit=1)
    client.post("one")
    refused = client.post("two")
    assert error(refused) == (429, "Rate limit exceeded. Client may not make more than 1 requests an hour.")
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    clock.now = int(refused.headers["X-RateLimit-Reset"])
    assert client.post("three").status_code == 200
    assert bodies(stand_in) == ["one", "three"]


# Faults


def test_a_fault_without_details_is_a_bare_429(client: Client, stand_in: StandIn) -> None:
    stand_in.fail(Fault.RATE_LIMITED)
    answer = client.post()
    assert error(answer) == (429, "Rate limit exceeded. Client may not make more than 400 requests an hour.")
    assert not {"X-RateLimit-Reset", "Retry-After"} & set(answer.headers)


def test_a_429_can_tell_when_the_limit_resets(client: Client, stand_in: StandIn, clock: Clock) -> None:
    stand_in.fail("429", reset_in_seconds=90)
    assert client.post().headers["X-RateLimit-Reset"] == str(int(clock.now) + 90)


def test_a_429_can_tell_when_to_come_back(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("429", retry_after=7)
    assert client.post().headers["Retry-After"] == "7"


def test_what_a_429_tells_overrules_the_rate_limit(client: Client, stand_in: StandIn, clock: Clock) -> None:
    stand_in.configure(rate_limit=10)
    stand_in.fail("429", reset_in_seconds=90)
    assert client.post().headers["X-RateLimit-Reset"] == str(int(clock.now) + 90)


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [("401", 401, "Authentication required"), ("suspended", 401, "Account suspended"), ("403-json", 403, "scope")],
)
def test_a_refused_account_hears_so_in_json(
    client: Client, stand_in: StandIn, fault: str, status: int, text: str
) -> None:
    stand_in.fail(fault)
    refused = error(client.post())
    assert (refused[0], text in refused[1]) == (status, True)
    assert stand_in.posts == []


def test_a_bot_challenge_is_a_page(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("403-html")
    answer = client.post()
    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (403, "text/html")
    assert "Just a moment" in answer.text
    assert stand_in.posts == []


@pytest.mark.parametrize("status", [500, 503, 504])
@pytest.mark.parametrize(("fault", "posted"), [("5xx-before", []), ("5xx-after", ["hello"])])
def test_a_server_error_comes_before_or_after_the_post_was_accepted(
    client: Client, stand_in: StandIn, fault: str, posted: list[str], status: int
) -> None:
    stand_in.fail(fault, status=status)
    answer = client.post()
    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (status, "text/html")
    assert bodies(stand_in) == posted


@pytest.mark.parametrize(("fault", "posted"), [("timeout-before", []), ("timeout-after", ["hello"])])
def test_an_answer_is_held_until_the_client_gives_up(
    client: Client, stand_in: StandIn, fault: str, posted: list[str]
) -> None:
    stand_in.fail(fault)
    with pytest.raises(requests.ReadTimeout):
        client.send("POST", "/api/2/messages/create.json", data={"body": "hello"}, timeout=0.2)
    assert bodies(stand_in) == posted


def test_a_held_answer_comes_when_its_time_has_passed(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("timeout-after", seconds=0.01)
    assert client.post().json()["message"]["id"] == stand_in.posts[0].id


@pytest.mark.parametrize(("fault", "posted"), [("reset-before", []), ("reset-after", ["hello"])])
def test_a_reset_tears_the_connection(stand_in: StandIn, fault: str, posted: list[str]) -> None:
    stand_in.fail(fault)
    with raw(stand_in) as connection:
        connection.sendall(raw_request())
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    assert bodies(stand_in) == posted


def test_a_close_ends_the_connection_in_order_and_without_an_answer(stand_in: StandIn) -> None:
    stand_in.fail("close-after")
    with raw(stand_in) as connection:
        connection.sendall(raw_request())
        assert connection.recv(1) == b""
    assert bodies(stand_in) == ["hello"]


@pytest.mark.parametrize(("accepted", "posted"), [(True, ["hello"]), (False, [])])
def test_a_success_can_lack_the_id(client: Client, stand_in: StandIn, accepted: bool, posted: list[str]) -> None:
    stand_in.fail("no-id", accepted=accepted)
    answer = client.post()
    assert (answer.status_code, "id" in answer.json()["message"]) == (200, False)
    assert bodies(stand_in) == posted


@pytest.mark.parametrize(("accepted", "posted"), [(True, ["hello"]), (False, [])])
def test_a_success_can_be_no_json(client: Client, stand_in: StandIn, accepted: bool, posted: list[str]) -> None:
    stand_in.fail("not-json", accepted=accepted)
    answer = client.post()
    assert answer.status_code == 200
    with pytest.raises(requests.JSONDecodeError):
        answer.json()
    assert bodies(stand_in) == posted


def test_a_redirect_leads_away_and_posts_nothing(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("redirect", location="/elsewhere")
    answer = client.post()
    assert (answer.status_code, answer.headers["Location"]) == (302, "/elsewhere")
    assert stand_in.posts == []


def test_a_fault_strikes_once_unless_told_otherwise(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("401")
    assert [client.post().status_code for _ in range(2)] == [401, 200]


def test_a_fault_strikes_as_often_as_told(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("401", times=2)
    assert [client.post().status_code for _ in range(3)] == [401, 401, 200]


def test_a_fault_without_a_count_strikes_for_ever(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("401", times=None)
    assert {client.post().status_code for _ in range(9)} == {401}


def test_a_fault_can_be_meant_for_a_text(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("401", text="$AAPL")
    assert [client.post(body).status_code for body in ("$MSFT up", "$AAPL up", "$AAPL down")] == [200, 401, 200]


def test_the_first_fault_that_matches_wins(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("401", text="other")
    stand_in.fail("429")
    stand_in.fail("403-json")
    assert [client.post().status_code for _ in range(3)] == [429, 403, 200]


def test_a_fault_strikes_its_path_only(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("401", path="streams/us")
    stand_in.fail("5xx-before", path="streams/user", status=503)
    assert client.post().status_code == 200
    assert client.get("/api/2/streams/user/4242.json").status_code == 503
    assert client.get("/api/2/streams/user/4242.json").status_code == 200


@pytest.mark.parametrize("planned", [{"fault": "flood"}, {"fault": "401", "times": 0}, {"fault": "401", "status": 500}])
def test_a_fault_that_makes_no_sense_is_refused_when_it_is_planned(stand_in: StandIn, planned: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"flood|takes times"):
        stand_in.fail(**planned)


# What was seen, and how it runs


def test_every_request_to_the_api_is_remembered(client: Client, stand_in: StandIn, clock: Clock) -> None:
    client.send("POST", "/api/2/messages/create.json?a=1", data={"body": ""}, headers={"User-Agent": "relay"})
    client.upload(PNG)
    refused, uploaded = stand_in.requests
    assert (refused.method, refused.path) == ("POST", "/api/2/messages/create.json")
    assert (refused.query, refused.fields, refused.at) == ({"a": "1"}, {"body": ""}, clock.now)
    assert refused.headers.get("user-agent") == refused.headers.get("USER-AGENT") == "relay"
    assert uploaded.files == {"chart": PNG}


def test_a_kept_connection_counts_once(client: Client, stand_in: StandIn) -> None:
    for body in ("one", "two"):
        client.post(body)
    Client(stand_in).post("three")
    assert stand_in.connections == 2


def test_a_reset_forgets_everything_but_the_last_id(client: Client, stand_in: StandIn) -> None:
    before = client.post().json()["message"]["id"]
    stand_in.fail("401", times=None)
    stand_in.reset()
    assert (stand_in.posts, stand_in.requests, stand_in.connections) == ([], [], 0)
    assert client.post().json()["message"]["id"] > before


def test_an_answer_takes_as_long_as_the_latency(client: Client, stand_in: StandIn) -> None:
    stand_in.configure(latency_seconds=0.05)
    began = time.monotonic()
    client.post()
    assert time.monotonic() - began >= 0.05


def test_an_answer_leaves_in_one_piece(stand_in: StandIn) -> None:
    with raw(stand_in) as connection:
        connection.sendall(raw_request())
        head, _, body = connection.recv(1 << 16).partition(b"\r\n\r\n")
    assert json.loads(body)["message"]["body"] == "hello"
    assert f"Content-Length: {len(body)}".encode() in head


def test_half_a_request_is_no_post(stand_in: StandIn) -> None:
    with raw(stand_in) as connection:
        connection.sendall(raw_request("body=hel", length=len("body=hello")))
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert (stand_in.posts, stand_in.requests) == ([], [])


def test_a_form_that_is_no_utf8_is_refused(client: Client) -> None:
    assert error(client.send("POST", "/api/2/messages/create.json", data="body=%ff"))[0] == 400


def test_a_request_without_a_length_is_refused(client: Client) -> None:
    assert error(client.send("POST", "/api/2/messages/create.json", data=iter([b"body=x"])))[0] == 411


def test_a_request_over_eight_megabytes_is_refused(client: Client, stand_in: StandIn) -> None:
    answer = client.send("POST", "/api/2/messages/create.json", data=b"x" * 8_000_001)
    assert error(answer)[0] == 413
    assert stand_in.requests == []


def test_it_listens_on_loopback_only(stand_in: StandIn) -> None:
    with socket.socket() as elsewhere:
        elsewhere.settimeout(1)
        assert elsewhere.connect_ex(("127.0.0.2", stand_in.port)) != 0


def test_it_writes_no_log(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    client.get("/api/2/account/verify.json?access_token=demo-token")
    client.send("DELETE", "/api/2/account/verify.json?access_token=demo-token")
    assert capfd.readouterr() == ("", "")


def test_it_comes_back_on_the_same_port(client: Client, stand_in: StandIn) -> None:
    client.post("before")
    stand_in.stop()
    with pytest.raises(requests.ConnectionError):
        client.post("meanwhile")
    stand_in.start()
    client.post("after")
    assert bodies(stand_in) == ["before", "after"]


def test_stopping_does_not_wait_for_a_held_answer(stand_in: StandIn) -> None:
    before = set(threading.enumerate())
    stand_in.fail("timeout-after", seconds=3600)
    with raw(stand_in) as connection:
        connection.sendall(raw_request())
        while not stand_in.posts:
            time.sleep(0.001)
        holding = set(threading.enumerate()) - before
        stand_in.stop()
        assert connection.recv(1) == b""
        for thread in holding:
            thread.join(10)
            assert not thread.is_alive()


def test_stopping_closes_idle_connections(stand_in: StandIn) -> None:
    with raw(stand_in) as connection:
        connection.sendall(raw_request())
        assert connection.recv(1 << 16)
        stand_in.stop()
        assert connection.recv(1) == b""


# The control plane


def test_another_process_can_plan_faults(client: Client) -> None:
    planned = {"fault": "5xx-before", "times": None, "text": "$AAPL", "path": "messages/create", "status": 504}
    assert client.control("faults", **planned).status_code == 200
    assert [client.post(body).status_code for body in ("$AAPL", "$AAPL", "$MSFT")] == [504, 504, 200]


@pytest.mark.parametrize("planned", [{}, {"fault": "flood"}, {"fault": "401", "colour": "red"}])
def test_another_process_hears_what_is_wrong_with_its_fault(client: Client, planned: dict[str, str]) -> None:
    assert error(client.control("faults", **planned))[0] == 400


def test_another_process_can_change_settings(client: Client, stand_in: StandIn) -> None:
    changes = {"latency_seconds": 0.01, "rate_limit": 9, "near_identical": True, "access_token": "new"}
    assert client.control("settings", **changes).status_code == 200
    assert error(client.post())[0] == 401
    assert (stand_in.latency_seconds, stand_in.rate_limit, stand_in.near_identical) == (0.01, 9, True)


def test_another_process_cannot_change_what_is_no_setting(client: Client, stand_in: StandIn) -> None:
    assert error(client.control("settings", port=1))[0] == 400
    assert stand_in.port != 1


def test_another_process_can_see_the_posts(client: Client, stand_in: StandIn) -> None:
    client.post("a < b", sentiment="bearish", in_reply_to_message_id=7, chart="https://example.com/c.png")
    client.upload(GIF, "image")
    told, uploaded = client.get("/_standin/posts").json()
    assert told == {
        "id": stand_in.posts[0].id,
        "body": "a < b",
        "sentiment": "bearish",
        "in_reply_to": 7,
        "chart": {"url": "https://example.com/c.png", "type": "", "size": 0},
        "created_at": "2027-01-15T08:00:00Z",
    }
    assert uploaded["chart"] == {"url": "", "type": "image/gif", "size": len(GIF)}


def test_another_process_can_see_the_requests(client: Client) -> None:
    client.upload(GIF, "image")
    seen = client.get("/_standin/requests").json()[0]
    assert (seen["method"], seen["path"]) == ("POST", "/api/2/messages/create.json")
    assert (seen["fields"], seen["files"]) == ({"body": "image"}, {"chart": len(GIF)})
    assert seen["headers"]["Authorization"] == "Bearer demo-token"


def test_another_process_can_see_the_counts(client: Client) -> None:
    client.post()
    client.post()
    assert client.get("/_standin/stats").json() == {"connections": 1, "requests": 2, "posts": 1}


def test_another_process_can_reset(client: Client, stand_in: StandIn) -> None:
    client.post()
    client.control("reset")
    assert stand_in.posts == []


def test_the_control_plane_has_nothing_else(client: Client) -> None:
    assert client.get("/_standin/reset").status_code == 404


# The page


def test_the_page_shows_the_posts_newest_first(client: Client) -> None:
    client.post("the first")
    client.post("the second")
    page = client.get("/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert 0 < page.text.index("the second") < page.text.index("the first")


def test_the_page_says_when_there_is_nothing_yet(client: Client) -> None:
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
def test_the_page_links_no_sums_of_money(client: Client, text: str) -> None:
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


def test_a_post_has_a_page_of_its_own(client: Client, stand_in: StandIn) -> None:
    client.post("the first")
    client.post("the second")
    shown = client.get(f"/relay_demo/message/{stand_in.posts[0].id}").text
    assert "the first" in shown
    assert "the second" not in shown


@pytest.mark.parametrize("path", ["/nothing", "/relay_demo/message/1", "/somebody/message/{id}", "/charts/{id}"])
def test_other_addresses_have_no_page(client: Client, stand_in: StandIn, path: str) -> None:
    client.post()
    assert client.get(path.format(id=stand_in.posts[0].id)).status_code == 404


# The command


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_it_is_told_to_stop(stop: signal.Signals) -> None:
    command = [
        sys.executable,
        "-m",
        "local.stand_ins.stocktwits",
        "--port",
        "0",
        "--username",
        "me",
        "--latency-ms",
        "1",
    ]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        try:
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert found
            with requests.Session() as session:
                session.trust_env = False
                answer = session.get(f"{found[0]}/api/2/streams/user/me.json", timeout=10)
            assert answer.json()["messages"] == []
        finally:
            process.send_signal(stop)
        assert process.wait(10) == 0
        assert process.stderr.read() == ""
