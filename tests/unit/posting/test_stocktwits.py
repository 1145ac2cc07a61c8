"""The StockTwits client over real HTTP: every row of the table of outcomes, and what must never leak."""

import gzip
import html
import json
import socket
import ssl
import threading
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay import __version__
from relay.credentials import Credentials
from relay.errors import Duplicate, Halt, Reject, RelayError, Retry, Unknown, Wait
from relay.posting import stocktwits
from relay.posting.delivery import Published
from relay.posting.stocktwits import MAX_ANSWER_BYTES, StockTwits, normal_form

from local.stand_ins.stocktwits.server import StandIn
from tests.factories import NOW, Clock, an_alert
from tests.servers import answering, request_of, self_signed, tcp_server

TOKEN = "demo-token"
GIF = b"GIF89a" + b"pixels"
PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
JPG = b"\xff\xd8\xff" + b"pixels"


def the_credentials(token: str = TOKEN, user_id: str = "4242") -> Credentials:
    return Credentials(token, "relay_demo", user_id)


class Vault:
    """Credentials whose fresh read gives another token."""

    def __init__(self, at_hand: str, fresh: str) -> None:
        self.token = at_hand
        self._fresh = fresh
        self.fresh_reads = 0

    def __call__(self, *, fresh: bool = False) -> Credentials:
        if fresh:
            self.fresh_reads += 1
            self.token = self._fresh
        return the_credentials(self.token)


@pytest.fixture(autouse=True)
def _straight_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the machine's proxies away."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def running() -> Iterator[StandIn]:
    with StandIn(access_token=TOKEN) as stand_in:
        yield stand_in


@pytest.fixture
def stand_in(running: StandIn, clock: Clock) -> StandIn:
    running.clock = clock
    running.configure(latency_seconds=0)
    running.reset()
    return running


@pytest.fixture(scope="module")
def spare_context() -> ssl.SSLContext:
    """For clients that do not use it: making one takes longer than most of these tests."""
    return ssl.create_default_context()


@pytest.fixture
def client_of(clock: Clock, spare_context: ssl.SSLContext) -> Iterator[Callable[..., StockTwits]]:
    made = []

    def make(url: str, style: str = "bearer", credentials: Any = None, connections: int = 4) -> StockTwits:
        with pytest.MonkeyPatch.context() as patch:
            if url.startswith("http://"):
                patch.setattr(ssl, "create_default_context", lambda: spare_context)
            made.append(StockTwits(url, style, credentials or Vault(TOKEN, TOKEN), connections, clock))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def client(stand_in: StandIn, client_of: Callable[..., StockTwits]) -> StockTwits:
    return client_of(stand_in.api_url)


def failure(client: StockTwits, body: str = "$AAPL up") -> RelayError:
    with pytest.raises(RelayError) as raised:
        client.publish(an_alert(body), None)
    return raised.value


def pause_of(client: StockTwits) -> tuple[str, float | None, bool]:
    error = failure(client)
    assert error.pause
    assert error.reason == error.pause.reason
    return error.pause.cause, error.pause.until, error.pause.probe


def refusal(message: str) -> bytes:
    return json.dumps({"errors": [{"message": message}]}).encode()


# --- A post that goes well


def test_a_post_is_published_as_a_form_and_known_by_its_id_and_page(client: StockTwits, stand_in: StandIn) -> None:
    post = an_alert("50% & <more> caf\u00e9\n$AAPL+1", sentiment="bullish", in_reply_to_message_id=7)
    answer = client.publish(post, None)
    (accepted,) = stand_in.posts
    assert (accepted.body, accepted.sentiment, accepted.in_reply_to) == (post.body, "bullish", 7)
    assert answer == Published(accepted.id, f"https://stocktwits.com/relay_demo/message/{accepted.id}")


def test_a_field_that_was_not_said_is_not_sent(client: StockTwits, stand_in: StandIn) -> None:
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
def test_a_chart_that_is_no_image_is_refused_before_a_request(
    client: StockTwits, stand_in: StandIn, content: bytes
) -> None:
    with pytest.raises(Reject, match="not a JPG, PNG or GIF"):
        client.publish(an_alert(), content)
    assert stand_in.requests == []


def test_the_client_names_itself(client: StockTwits, stand_in: StandIn) -> None:
    client.publish(an_alert(), None)
    client.find("x", NOW)
    assert {each.headers["User-Agent"] for each in stand_in.requests} == {f"StockTwitsRelay/{__version__}"}


@pytest.mark.parametrize("answer", [b'{"message": {"id": 7}}', b'{"response": {"status": 500}, "message": {"id": 7}}'])
def test_a_message_id_is_all_that_a_success_needs(client_of: Callable[..., StockTwits], answer: bytes) -> None:
    with answering(201, answer) as url:
        assert client_of(url + "/").publish(an_alert(), None).id == 7


# --- The token


@pytest.mark.parametrize(
    ("style", "header"), [("bearer", f"Bearer {TOKEN}"), ("oauth", f"OAuth {TOKEN}"), ("form", None)]
)
@pytest.mark.parametrize("chart", [None, GIF])
def test_the_token_goes_where_the_style_says_and_nowhere_else(
    stand_in: StandIn, client_of: Callable[..., StockTwits], style: str, header: str | None, chart: bytes | None
) -> None:
    client_of(stand_in.api_url, style).publish(an_alert(), chart)
    (request,) = stand_in.requests
    assert request.headers["Authorization"] == header
    assert request.fields.get("access_token") == (TOKEN if style == "form" else None)
    assert request.query == {}


@pytest.mark.parametrize(
    ("style", "header"), [("bearer", f"Bearer {TOKEN}"), ("oauth", f"OAuth {TOKEN}"), ("form", None)]
)
def test_reading_the_stream_needs_no_token_and_shows_none_in_the_address(
    stand_in: StandIn, client_of: Callable[..., StockTwits], style: str, header: str | None
) -> None:
    client_of(stand_in.api_url, style).find("x", NOW)
    (request,) = stand_in.requests
    assert request.headers["Authorization"] == header
    assert (request.query, request.fields) == ({"limit": "30"}, {})


@pytest.mark.parametrize("style", ["bearer", "form"])
def test_a_login_in_a_netrc_file_is_never_used(
    stand_in: StandIn,
    client_of: Callable[..., StockTwits],
    style: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    client = client_of(stand_in.api_url, style)
    client.publish(an_alert(), None)
    client.find("x", NOW)
    assert not any("Basic" in (each.headers["Authorization"] or "") for each in stand_in.requests)


@pytest.mark.parametrize("style", ["bearer", "form"])
def test_a_refused_token_is_read_again_and_the_new_one_used(
    stand_in: StandIn, client_of: Callable[..., StockTwits], style: str
) -> None:
    client_of(stand_in.api_url, style, Vault("old", TOKEN)).publish(an_alert(), None)
    assert (len(stand_in.posts), len(stand_in.requests)) == (1, 2)


@pytest.mark.parametrize("fault", ["401", "suspended", "403-json"])
def test_a_refused_token_that_is_still_the_stored_one_is_not_tried_twice(
    stand_in: StandIn, client_of: Callable[..., StockTwits], fault: str
) -> None:
    stand_in.fail(fault, times=None)
    vault = Vault(TOKEN, TOKEN)
    assert pause_of(client_of(stand_in.api_url, credentials=vault)) == ("token_refused", NOW + 300, True)
    assert (vault.fresh_reads, len(stand_in.requests)) == (1, 1)


def test_a_new_token_that_is_refused_too_halts_after_two_requests(
    stand_in: StandIn, client_of: Callable[..., StockTwits]
) -> None:
    vault = Vault("old", "newer")
    assert isinstance(failure(client_of(stand_in.api_url, credentials=vault)), Halt)
    assert (vault.fresh_reads, len(stand_in.requests)) == (1, 2)


@pytest.mark.parametrize("page", [b"<html>Unauthorized</html>", b""])
def test_a_401_is_about_the_token_even_without_json(client_of: Callable[..., StockTwits], page: bytes) -> None:
    vault = Vault(TOKEN, TOKEN)
    with answering(401, page) as url:
        assert pause_of(client_of(url, credentials=vault)) == ("token_refused", NOW + 300, True)
    assert vault.fresh_reads == 1


def test_a_stream_that_refuses_the_token_is_read_with_the_new_one(
    stand_in: StandIn, client_of: Callable[..., StockTwits]
) -> None:
    stand_in.fail("401", path="streams/user")
    assert client_of(stand_in.api_url, credentials=Vault("old", TOKEN)).find("x", NOW) is None
    assert [each.headers["Authorization"] for each in stand_in.requests] == ["Bearer old", f"Bearer {TOKEN}"]


def test_a_refused_token_halts_even_when_it_cannot_be_read_again(
    stand_in: StandIn, client_of: Callable[..., StockTwits]
) -> None:
    def once(*, fresh: bool = False) -> Credentials:
        if fresh:
            raise Retry("the token parameter was not answered for")
        return the_credentials()

    stand_in.fail("401")
    assert isinstance(failure(client_of(stand_in.api_url, credentials=once)), Halt)


def test_credentials_that_cannot_be_read_pass_on_why(stand_in: StandIn, client_of: Callable[..., StockTwits]) -> None:
    def unreadable(*, fresh: bool = False) -> Credentials:
        raise Retry("the token parameter was not answered for")

    assert isinstance(failure(client_of(stand_in.api_url, credentials=unreadable)), Retry)
    assert stand_in.requests == []


def test_credentials_do_not_show_their_token() -> None:
    assert "s3cret" not in repr(the_credentials("s3cret"))
    assert "s3cret" not in str(the_credentials("s3cret"))


# --- Answers that refuse


@pytest.mark.parametrize("status", [400, 404, 413, 414, 418, 422])
@pytest.mark.parametrize("body", [refusal("Body can't be blank"), b"<html>No</html>", b""])
def test_a_refusal_of_the_message_rejects_it(client_of: Callable[..., StockTwits], status: int, body: bytes) -> None:
    with answering(status, body) as url:
        error = failure(client_of(url))
    assert (type(error), error.status, error.pause) == (Reject, status, None)
    assert str(status) in error.reason
    assert ("Body can't be blank" in error.reason) is (b"blank" in body)


def test_a_duplicate_is_a_rejection_of_its_own_kind(client: StockTwits, stand_in: StandIn) -> None:
    client.publish(an_alert("$AAPL up"), None)
    error = failure(client, "$AAPL up")
    assert (type(error), error.status) == (Duplicate, 422)
    assert error.reason.endswith("(422: Duplicate messages within 30 minutes will not be posted.)")


@pytest.mark.parametrize(
    ("details", "until"),
    [
        ({}, NOW + 60),
        ({"reset_in_seconds": 1200}, NOW + 1200),
        ({"reset_in_seconds": -5}, NOW + 60),
        ({"reset_in_seconds": 10**7}, NOW + 24 * 3600),
        ({"retry_after": 7}, NOW + 7),
        ({"retry_after": 7, "reset_in_seconds": 1200}, NOW + 7),
        ({"retry_after": 10**7}, NOW + 24 * 3600),
        ({"retry_after": "Fri, 15 Jan 2027 09:00:00 GMT"}, NOW + 60),
        ({"retry_after": "-1", "reset_in_seconds": 1200}, NOW + 1200),
        ({"retry_after": "9" * 5000}, NOW + 60),
        ({"retry_after": "9" * 15}, NOW + 24 * 3600),
    ],
)
def test_a_rate_limit_waits_until_its_reset_or_a_minute(
    client: StockTwits, stand_in: StandIn, details: Any, until: float
) -> None:
    stand_in.fail("429", **details)
    error = failure(client)
    assert (type(error), error.status) == (Wait, 429)
    assert error.pause
    assert (error.pause.cause, error.pause.until, error.pause.probe) == ("rate_limited", until, False)
    assert "more than 400 requests an hour" in error.reason


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        ("401", 401, "Authentication required"),
        ("suspended", 401, "Account suspended"),
        ("403-json", 403, "lacks the scope"),
    ],
)
def test_a_refused_token_halts_with_the_words_of_stocktwits(
    client: StockTwits, stand_in: StandIn, fault: str, status: int, words: str
) -> None:
    stand_in.fail(fault)
    error = failure(client)
    assert (type(error), error.status) == (Halt, status)
    assert words in error.reason


def test_a_bot_challenge_halts_for_longer_and_leaves_the_token_alone(
    stand_in: StandIn, client_of: Callable[..., StockTwits]
) -> None:
    stand_in.fail("403-html", times=None)
    vault = Vault(TOKEN, "newer")
    assert pause_of(client_of(stand_in.api_url, credentials=vault)) == ("blocked", NOW + 900, True)
    assert (vault.fresh_reads, len(stand_in.requests)) == (0, 1)


@pytest.mark.parametrize("status", [300, 402, 405, 409, 410, 451])
def test_an_answer_that_says_nothing_about_the_message_halts(client_of: Callable[..., StockTwits], status: int) -> None:
    with answering(status, b"") as url:
        client = client_of(url)
        assert pause_of(client) == ("unexpected_answer", NOW + 300, True)
        assert "check StockTwitsApiUrl" in failure(client).reason


def test_a_redirect_is_not_followed(client: StockTwits, stand_in: StandIn) -> None:
    stand_in.fail("redirect", location="/api/2/messages/create.json")
    assert pause_of(client) == ("unexpected_answer", NOW + 300, True)
    assert len(stand_in.requests) == 1
    assert stand_in.posts == []


# --- Answers that leave it open


@pytest.mark.parametrize("fault", ["5xx-before", "5xx-after"])
@pytest.mark.parametrize("status", [500, 502, 503, 504, 520])
def test_a_failing_server_leaves_the_outcome_unknown(
    client: StockTwits, stand_in: StandIn, fault: str, status: int
) -> None:
    stand_in.fail(fault, status=status)
    error = failure(client)
    assert (type(error), error.status) == (Unknown, status)
    assert (error.pause and error.pause.until) == (NOW + 60 if status == 503 else None)
    assert len(stand_in.requests) == 1


def test_an_unavailable_server_needs_no_probe(client: StockTwits, stand_in: StandIn) -> None:
    stand_in.fail("5xx-before", status=503)
    error = failure(client)
    assert error.pause
    assert (error.pause.cause, error.pause.probe) == ("unavailable", False)


@pytest.mark.parametrize("status", [408, 425])
def test_a_request_that_came_too_slowly_or_too_early_leaves_the_outcome_unknown(
    client_of: Callable[..., StockTwits], status: int
) -> None:
    with answering(status, b"") as url:
        assert isinstance(failure(client_of(url)), Unknown)


@pytest.mark.parametrize("fault", ["reset-before", "reset-after", "close-after"])
def test_a_connection_that_breaks_after_the_request_leaves_the_outcome_unknown(
    client: StockTwits, stand_in: StandIn, fault: str
) -> None:
    stand_in.fail(fault, times=None)
    error = failure(client)
    assert (type(error), error.status, error.pause) == (Unknown, None, None)
    assert len(stand_in.requests) == 1


@pytest.mark.parametrize("fault", ["timeout-before", "timeout-after"])
def test_silence_after_the_request_leaves_the_outcome_unknown(
    client: StockTwits, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(stocktwits, "READ_SECONDS", 0.05)
    stand_in.fail(fault)
    assert type(failure(client)) is Unknown
    assert len(stand_in.requests) == 1


def test_an_answer_that_breaks_off_leaves_the_outcome_unknown(client_of: Callable[..., StockTwits]) -> None:
    def half(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"message": {"id": 7}}')

    with tcp_server(half) as server:
        assert type(failure(client_of(f"http://127.0.0.1:{server.port}"))) is Unknown


BOMB = gzip.compress(b'{"message": {"id": 7}, "x": "' + b"x" * (64 * 1024 * 1024) + b'"}', mtime=0)


@pytest.mark.parametrize(
    "content",
    [
        b'{"message": {"id": 7}, "x": "' + b"x" * MAX_ANSWER_BYTES + b'"}',
        BOMB,
        b"[" * MAX_ANSWER_BYTES,
        b'{"message":' * 90_000,
    ],
    ids=["too long", "bomb", "nested", "nested objects"],
)
@pytest.mark.parametrize("status", [200, 422, 403])
def test_an_answer_is_read_up_to_a_bound_and_not_decoded(
    client_of: Callable[..., StockTwits], status: int, content: bytes
) -> None:
    with answering(status, content, b"Content-Encoding: gzip\r\n" if content is BOMB else b"") as url:
        tracemalloc.start()
        try:
            error = failure(client_of(url))
            assert tracemalloc.get_traced_memory()[1] < 8 * MAX_ANSWER_BYTES
        finally:
            tracemalloc.stop()
    assert type(error) is {200: Unknown, 422: Reject, 403: Halt}[status]
    assert len(error.reason) < 400


def test_an_answer_of_just_the_bound_is_read(client_of: Callable[..., StockTwits]) -> None:
    content = b'{"message": {"id": 7}, "x": "%s"}'
    filler = b"x" * (MAX_ANSWER_BYTES - len(content) + 2)
    with answering(200, content % filler) as url:
        assert client_of(url).publish(an_alert(), None).id == 7


def test_an_answer_that_is_no_http_leaves_the_outcome_unknown(client_of: Callable[..., StockTwits]) -> None:
    def babble(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(b"220 mail.example.com ESMTP\r\n")

    with tcp_server(babble) as server:
        assert type(failure(client_of(f"http://127.0.0.1:{server.port}"))) is Unknown


@pytest.mark.parametrize("fault", ["no-id", "not-json"])
def test_a_success_without_a_message_id_leaves_the_outcome_unknown(
    client: StockTwits, stand_in: StandIn, fault: str
) -> None:
    stand_in.fail(fault)
    error = failure(client)
    assert (type(error), error.status) == (Unknown, 200)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        b'{"message": 7}',
        *(
            b'{"message": {"id": %b}}' % each
            for each in (b"true", b"null", b"0", b"-7", b"7.0", b"9" * 40, b"9" * 5000)
        ),
    ],
)
def test_whatever_else_a_success_holds_leaves_the_outcome_unknown(
    client_of: Callable[..., StockTwits], answer: bytes
) -> None:
    with answering(200, answer) as url:
        assert type(failure(client_of(url))) is Unknown


@pytest.mark.parametrize("message_id", [b"true", b"null", b'"7"', b"0", b"9" * 40])
def test_a_post_on_the_stream_whose_id_cannot_be_read_is_for_a_person(
    client_of: Callable[..., StockTwits], message_id: bytes
) -> None:
    stream = b'{"messages": [{"id": %b, "body": "$AAPL up", "created_at": "2027-01-15T08:00:00Z"}]}' % message_id
    with answering(200, stream) as url, pytest.raises(Reject, match="but not its id"):
        client_of(url).find("$AAPL up", NOW)


@pytest.mark.parametrize("part", ["the status", "the headers", "the body", "chunks"])
def test_an_answer_that_trickles_in_is_given_up_after_the_time_that_a_whole_one_may_take(
    client_of: Callable[..., StockTwits], monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setattr("relay.posting.stocktwits.READ_SECONDS", 0.5)
    ok, given_up = b"HTTP/1.1 200 OK\r\n", threading.Event()
    begun = {
        "the status": b"",
        "the headers": ok + b"X: ",
        "the body": ok + b"Content-Length: 100000\r\n\r\n",
        "chunks": ok + b"Transfer-Encoding: chunked\r\n\r\n",
    }[part]
    piece = b"1\r\nx\r\n" if part == "chunks" else b"x"

    def trickle(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(begun)
        while not given_up.wait(0.05):
            connection.sendall(piece)

    with tcp_server(trickle) as server:
        error = failure(client_of(f"http://127.0.0.1:{server.port}"))
        given_up.set()
    assert type(error) is Unknown
    assert "broke before its answer" in error.reason


def test_after_answers_that_are_too_long_there_are_connections_as_before(client_of: Callable[..., StockTwits]) -> None:
    with answering(200, b" " * (2 * MAX_ANSWER_BYTES - 1000)) as url:
        client = client_of(url)
        for _ in range(9):
            assert type(failure(client)) is Unknown


@pytest.mark.parametrize("size", [b"-1", b"-7fffffff", b"7fffffff"])
def test_no_chunk_is_read_beyond_the_bound_whatever_size_it_claims(
    client_of: Callable[..., StockTwits], size: bytes
) -> None:
    sent = 0

    def serve(connection: socket.socket) -> None:
        nonlocal sent
        request_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\n")
        while sent < 1 << 26:
            connection.sendall(b"x" * (1 << 16))
            sent += 1 << 16

    with tcp_server(serve) as server:
        assert type(failure(client_of(f"http://127.0.0.1:{server.port}"))) is Unknown
    assert sent < 1 << 25


@pytest.mark.parametrize(
    "headers",
    [
        b"Set-Cookie: a=b\r\n" + (b"Set-Cookie2: " + b"a," * 10_000 + b"\r\n") * 60,
        (b"Set-Cookie: " + b"a;" * 10_000 + b"\r\n") * 60,
    ],
    ids=["Set-Cookie2", "Set-Cookie"],
)
def test_no_cookie_is_read(
    client_of: Callable[..., StockTwits], monkeypatch: pytest.MonkeyPatch, headers: bytes
) -> None:
    def parse(*_: object) -> None:
        pytest.fail("a cookie was parsed")

    monkeypatch.setattr("http.cookiejar.CookieJar.extract_cookies", parse)
    with answering(200, b'{"message": {"id": 7}}', headers) as url:
        assert client_of(url).publish(an_alert(), None).id == 7


# --- Connections that never came about: nothing was sent


def test_a_refused_connection_sent_nothing(client_of: Callable[..., StockTwits]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = failure(client_of(f"http://127.0.0.1:{port}"))
    assert (type(error), error.pause) == (Retry, None)
    assert error.reason == "StockTwits could not be reached (ConnectionRefusedError)"


def test_a_name_that_is_not_known_sent_nothing(
    client_of: Callable[..., StockTwits], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = failure(client_of("https://api.stocktwits.invalid"))
    assert (type(error), error.reason) == (Retry, "StockTwits could not be reached (gaierror)")


def test_a_server_that_speaks_no_tls_was_sent_no_request(client_of: Callable[..., StockTwits]) -> None:
    def plain(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with tcp_server(plain) as server:
        assert type(failure(client_of(f"https://127.0.0.1:{server.port}"))) is Retry
    assert b"AAPL" not in server.received


def test_a_server_that_closes_during_the_handshake_was_sent_no_request(client_of: Callable[..., StockTwits]) -> None:
    with tcp_server(lambda connection: connection.recv(1)) as server:
        assert type(failure(client_of(f"https://127.0.0.1:{server.port}"))) is Retry


def test_a_server_that_never_ends_the_handshake_was_sent_no_request(
    client_of: Callable[..., StockTwits], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stocktwits, "CONNECT_SECONDS", 0.05)
    given_up = threading.Event()
    with tcp_server(lambda _: given_up.wait(5)) as server:
        error = failure(client_of(f"https://127.0.0.1:{server.port}"))
        given_up.set()
    assert type(error) is Retry


def test_a_certificate_that_nobody_trusts_gets_no_request(client_of: Callable[..., StockTwits], tmp_path: Path) -> None:
    tls, _ = self_signed(tmp_path)
    with tcp_server(request_of, tls) as server:
        error = failure(client_of(f"https://127.0.0.1:{server.port}"))
    assert (type(error), error.reason) == (Retry, "StockTwits could not be reached (SSLCertVerificationError)")
    assert server.received == b""


def test_the_standard_librarys_tls_settings_are_in_force(
    client_of: Callable[..., StockTwits], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def accept(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{"message": {"id": 7}}')

    tls, certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))  # heeded by the standard library's context alone
    with tcp_server(accept, tls) as server:
        assert client_of(f"https://127.0.0.1:{server.port}").publish(an_alert(), None).id == 7


def test_the_authorities_are_read_once_and_not_for_every_connection(
    client_of: Callable[..., StockTwits], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls, _ = self_signed(tmp_path)
    read = []
    original = ssl.SSLContext.load_verify_locations
    monkeypatch.setattr(
        ssl.SSLContext, "load_verify_locations", lambda *what, **how: (read.append(what), original(*what, **how))
    )
    with tcp_server(request_of, tls) as server:
        client = client_of(f"https://127.0.0.1:{server.port}")
        read.clear()
        failure(client)
        failure(client)
    assert read == []


def test_a_proxy_in_the_environment_is_not_used(client: StockTwits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert client.publish(an_alert(), None).id


def test_a_kept_connection_that_broke_does_not_make_a_lost_request_look_unsent(
    client: StockTwits, stand_in: StandIn
) -> None:
    client.publish(an_alert("one"), None)
    stand_in.fail("reset-after")
    assert type(failure(client, "two")) is Unknown
    assert [each.body for each in stand_in.posts] == ["one", "two"]


def test_a_failure_while_another_is_handled_is_named_for_itself(client_of: Callable[..., StockTwits]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = client_of(f"http://127.0.0.1:{port}")
    try:
        int("of an earlier request")
    except ValueError:
        assert "(ConnectionRefusedError)" in failure(client).reason


# --- What must not leak


@pytest.mark.parametrize("style", ["bearer", "oauth", "form"])
@pytest.mark.parametrize(
    "fault", ["429", "401", "403-json", "403-html", "5xx-after", "reset-after", "close-after", "no-id", "redirect"]
)
def test_no_failure_shows_the_token(
    stand_in: StandIn, client_of: Callable[..., StockTwits], style: str, fault: str
) -> None:
    stand_in.fail(fault)
    error = failure(client_of(stand_in.api_url, style))
    assert TOKEN not in "".join(traceback.format_exception(error))
    assert TOKEN not in repr(error.pause)
    assert error.__cause__ is None


@pytest.mark.parametrize("status", [400, 401, 403, 422, 429, 500])
def test_a_token_that_stocktwits_echoes_is_cut_out(client_of: Callable[..., StockTwits], status: int) -> None:
    with answering(status, refusal(f"no such token: {TOKEN}.")) as url:
        error = failure(client_of(url))
    assert "no such token: \u2026." in error.reason
    assert TOKEN not in "".join(traceback.format_exception(error))
    assert TOKEN not in repr(error.pause)


@pytest.mark.parametrize("status", [422, 429, 500])
def test_the_query_of_a_link_that_stocktwits_echoes_is_cut_out(
    client_of: Callable[..., StockTwits], status: int
) -> None:
    link = "https://charts.s3.amazonaws.com/c.png?X-Amz-Signature=5ecret"
    with answering(status, refusal(f"cannot fetch {link} or {link.upper()} now")) as url:
        error = failure(client_of(url))
    assert "cannot fetch https://charts.s3.amazonaws.com/c.png?\u2026 or " in error.reason
    assert "5ecret" not in error.reason.lower()


def test_no_more_than_the_beginning_of_a_long_error_is_quoted(client_of: Callable[..., StockTwits]) -> None:
    with answering(422, refusal("x" * 10_000)) as url:
        assert len(failure(client_of(url)).reason) < 400


@pytest.mark.parametrize(
    "answer", [b'{"errors": "x"}', b'{"errors": ["x"]}', b'{"errors": [{}]}', b'{"errors": {"body": ["x"]}}', b"[]"]
)
def test_an_error_in_another_form_is_a_refusal_without_a_quotation(
    client_of: Callable[..., StockTwits], answer: bytes
) -> None:
    with answering(422, answer) as url:
        assert failure(client_of(url)).reason == "StockTwits refused it (422)"


# --- Connections


def test_threads_share_no_more_connections_than_allowed(
    stand_in: StandIn, client_of: Callable[..., StockTwits]
) -> None:
    stand_in.configure(latency_seconds=0.02)
    client = client_of(stand_in.api_url, connections=3)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: client.publish(an_alert(f"post {i}"), None), range(16)))
    assert len(stand_in.posts) == 16
    assert 1 < stand_in.connections <= 3


def test_one_connection_serves_one_post_after_the_other(client: StockTwits, stand_in: StandIn) -> None:
    for i in range(5):
        client.publish(an_alert(f"post {i}"), None)
    assert stand_in.connections == 1


def test_a_closed_client_opens_a_new_connection_when_it_is_needed_again(client: StockTwits, stand_in: StandIn) -> None:
    client.publish(an_alert("one"), None)
    client.close()
    client.publish(an_alert("two"), None)
    assert (len(stand_in.posts), stand_in.connections) == (2, 2)


# --- Reading back


def test_a_post_is_found_on_the_accounts_stream_by_its_text(client: StockTwits) -> None:
    posted = client.publish(an_alert("$AAPL up"), None)
    client.publish(an_alert("$MSFT up"), None)
    assert client.find("$AAPL up", NOW) == posted
    assert client.find("$AAPL down", NOW) is None


@pytest.mark.parametrize(
    "text",
    [
        "a < b & c > d",
        "&lt; is no <",
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


def test_a_stream_that_may_not_reach_back_leaves_it_to_a_person(client: StockTwits, clock: Clock) -> None:
    client.publish(an_alert("$AAPL up"), None)
    clock.now += 60
    for i in range(29):
        client.publish(an_alert(f"post {i}"), None)
    assert client.find("$MSFT up", NOW + 60) is None
    client.publish(an_alert("the thirtieth"), None)
    with pytest.raises(Reject, match="do not reach back to the first attempt"):
        client.find("$AAPL up", NOW)


def test_a_full_stream_that_shows_the_post_answers_for_it(client: StockTwits) -> None:
    posts = [client.publish(an_alert(f"post {i}"), None) for i in range(30)]
    assert client.find("post 0", NOW) == posts[0]


@pytest.mark.parametrize(("more", "conclusive"), [(True, False), (False, True)])
def test_a_short_page_that_says_there_is_more_leaves_it_to_a_person_too(
    client_of: Callable[..., StockTwits], more: bool, conclusive: bool
) -> None:
    recent = {"id": 7, "body": "another", "created_at": "2027-01-15T08:00:00Z"}
    with answering(200, json.dumps({"messages": [recent], "cursor": {"more": more}}).encode()) as url:
        client = client_of(url)
        if conclusive:
            assert client.find("$AAPL up", NOW) is None
        else:
            with pytest.raises(Reject, match="do not reach back"):
                client.find("$AAPL up", NOW)


def a_stream(*messages: object) -> bytes:
    return json.dumps({"messages": messages}).encode()


OTHERS = [{"id": i, "body": f"post {i}", "created_at": "2027-01-15T08:00:00Z"} for i in range(1, 30)]
PINNED = {"id": 900, "body": "pinned", "created_at": "2020-01-01T00:00:00Z"}


@pytest.mark.parametrize("page", [[PINNED, *OTHERS], [None, *OTHERS], [*OTHERS, None], [*OTHERS, {"id": 30}]])
def test_neither_a_pinned_post_nor_an_odd_one_makes_a_stream_reach_back(
    client_of: Callable[..., StockTwits], page: list[object]
) -> None:
    with answering(200, a_stream(*page)) as url, pytest.raises(Reject, match="do not reach back"):
        client_of(url).find("$AAPL up", NOW)


@pytest.mark.parametrize("odd", [None, 7, {}, {"body": None}, {"body": ["$AAPL up"]}, {"id": [[[]]], "body": 7}])
def test_what_is_no_post_keeps_no_other_from_being_found(client_of: Callable[..., StockTwits], odd: object) -> None:
    post = {"id": 7, "body": "$AAPL up", "created_at": "2027-01-15T08:00:00Z"}
    with answering(200, a_stream(odd, post)) as url:
        found = client_of(url).find("$AAPL up", NOW)
    assert found is not None
    assert found.id == 7


def test_a_body_that_is_nested_deeply_is_no_text(client_of: Callable[..., StockTwits]) -> None:
    nested = b'{"messages": [{"id": 1, "body": ' + b"[" * 900 + b"]" * 900 + b"}]}"
    with answering(200, nested) as url:
        assert client_of(url).find("$AAPL up", NOW) is None


@pytest.mark.parametrize(
    "said",
    [
        "cannot fetch https://b.example/x.png?signature=secret",
        "cannot fetch /x.png?signature=secret now",
        "cannot fetch https%3A%2F%2Fb.example%2Fx.png%3Fsignature%3Dsecret",
        "b.example/x.png%3fsignature=secret",
    ],
)
def test_what_follows_a_question_mark_in_an_error_is_not_quoted(
    client_of: Callable[..., StockTwits], said: str
) -> None:
    with answering(400, json.dumps({"errors": [{"message": said}]}).encode()) as url:
        error = failure(client_of(url))
    assert "x.png" in error.reason
    assert "secret" not in error.reason


def test_an_error_is_quoted_in_characters_that_can_be_written_anywhere(client_of: Callable[..., StockTwits]) -> None:
    with answering(400, b'{"errors": [{"message": "half an emoji \\ud83d\\u0000\\u001b[31m\\u202e"}]}') as url:
        reason = failure(client_of(url)).reason
    assert reason.isprintable()
    assert reason.encode()


@pytest.mark.parametrize("created_at", [{}, {"created_at": None}, {"created_at": "just now"}])
def test_a_post_without_a_legible_date_may_be_the_one(
    client_of: Callable[..., StockTwits], created_at: dict[str, object]
) -> None:
    with answering(200, a_stream({"id": 7, "body": "$AAPL up", **created_at})) as url:
        assert client_of(url).find("$AAPL up", NOW) == Published(7, "https://stocktwits.com/relay_demo/message/7")


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"messages": null}', b"<html>"])
def test_a_stream_without_messages_leaves_it_open(client_of: Callable[..., StockTwits], answer: bytes) -> None:
    with answering(200, answer) as url, pytest.raises(Unknown, match="came without messages"):
        client_of(url).find("x", NOW)


@pytest.mark.parametrize("status", [400, 404, 414, 418, 422])
def test_a_stream_that_is_refused_is_no_fault_of_the_message(client_of: Callable[..., StockTwits], status: int) -> None:
    with answering(status, refusal("User not found")) as url, pytest.raises(Halt) as halted:
        client_of(url).find("x", NOW)
    assert halted.value.pause
    assert (halted.value.pause.cause, halted.value.pause.until) == ("stream", NOW + 300)
    assert f"the stream of account 4242 cannot be read ({status})" in halted.value.reason


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("429", Wait),
        ("401", Halt),
        ("403-html", Halt),
        ("5xx-before", Unknown),
        ("reset-before", Unknown),
        ("redirect", Unknown),
    ],
)
def test_a_stream_fails_in_the_ways_of_a_post(
    client: StockTwits, stand_in: StandIn, fault: str, kind: type[RelayError]
) -> None:
    stand_in.fail(fault, path="streams/user")
    with pytest.raises(kind):
        client.find("x", NOW)


@given(st.text())
def test_encoding_a_text_does_not_change_its_normal_form(text: str) -> None:
    assert normal_form(html.escape(text)) == normal_form(text)
    assert normal_form(html.escape(text, quote=False)) == normal_form(text)


@pytest.mark.parametrize(("one", "other"), [("$AAPL up", "$AAPL  Up"), ("a < b", "a > b"), ("a b", "ab")])
def test_texts_that_people_read_differently_differ_in_normal_form(one: str, other: str) -> None:
    assert normal_form(one) != normal_form(other)
