"""What the login makes of StockTwits' answers, and of one that sends more than it should."""

import gzip
import json
import socket
import threading
import tracemalloc
from collections.abc import Iterator
from urllib.parse import parse_qs, quote, urlencode

import pytest
import responses
from relay.posting.stocktwits import MAX_ANSWER_BYTES
from relay_cli.deployed import stocktwits_account
from relay_cli.deployed.stocktwits_account import Account, Application, OAuthClient, Token, parse_code
from relay_cli.failure import FAILED, REFUSED, USAGE, Failure

from tests.servers import request_of, tcp_server
from tests.unit.posting.stocktwits_helpers import PAGE, error_body, with_request

URL = "https://stocktwits.test/api/2"
TOKEN, CODE, SECRET = "a-token", "a-code", "a-client-secret"
APPLICATION = Application("our-client", SECRET, "https://example.com/callback")

BEGINNING = b'{"user": {"id": 7, "username": "me"}, "x": "'
BOMB = gzip.compress(BEGINNING + b"x" * (64 << 20) + b'"}', mtime=0)
PACKED, PLAIN = b"Content-Encoding: gzip\r\n", b""

CALLBACK = "https://example.com/callback"
BLOCKED = (
    "StockTwits' bot protection blocks this computer (403), whatever {} are: try again in a quarter of an hour, or "
    "from another network. If that fails, write to StockTwits."
)
CLOUDFLARES = {"type": "about:blank", "title": "Error 1020", "status": 403, "error_code": 1020, "ray_id": "8c1"}
LATER = "try again later; if that fails, check StockTwitsApiUrl."
MINUTES_AND_NEW_LOGIN = (
    "for a few minutes.\nRun `relay login` again; if that fails, check client id, secret and redirect address."
)


@pytest.fixture
def api() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(response_callback=with_request) as mock:
        yield mock


@pytest.fixture
def client() -> OAuthClient:
    return OAuthClient(URL, "bearer")


def encoded(answer: object) -> bytes:
    return answer if isinstance(answer, bytes) else json.dumps(answer).encode()


def inside(status: int, words: str) -> dict[str, object]:
    """A success that has another status inside."""
    return {"response": {"status": status}, "errors": [{"message": words}]}


# What the operator pastes


@pytest.mark.parametrize("around", ["{}", " {} ", "{}\r\n", "\u00a0{}", '"{}"', "' {} '", "<{}>"])
@pytest.mark.parametrize("code", ["abc123==", "4/0A+b", "a%b", "a%2Fb", "a-._~b", "a&b", "a:b", "código"])
def test_a_bare_code_is_taken_as_it_is_without_what_is_around_it(code: str, around: str) -> None:
    assert parse_code(around.format(code)) == code


@pytest.mark.parametrize("code", ["abc123==", "4/0A+b", "a%b", "a%2Fb", "a&b#c", "código"])
@pytest.mark.parametrize(
    "address",
    [
        f"{CALLBACK}?code={{}}",
        f"{CALLBACK}?state=1&code={{}}#_",
        f"{CALLBACK}#code={{}}",
        f"{CALLBACK}?state=1#state=1&code={{}}",
        f"{CALLBACK}/#/login?code={{}}&state=1",
        f"<{CALLBACK}?code={{}}>",
        "localhost:8080/?code={}",
        "?code={}",
        "#code={}",
        "code={}",
        "state=1&code={}",
    ],
)
def test_a_code_is_found_in_the_address_where_it_is_percent_encoded(address: str, code: str) -> None:
    assert parse_code(address.format(quote(code, safe=""))) == code


@pytest.mark.parametrize("code", ["abc123==", "4/0A+b"])
@pytest.mark.parametrize("address", [f"{CALLBACK}?code={{}}", f"{CALLBACK}#code={{}}"])
def test_a_code_is_found_in_an_address_that_does_not_encode_it(address: str, code: str) -> None:
    assert parse_code(address.format(code)) == code


@pytest.mark.parametrize("mark", ["?", "#", "#/login?"])
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ("error=access_denied", "The account's owner denied access (access_denied): nothing was stored."),
        (
            "error=access_denied&error_description=The+user%20said+no",
            "The account's owner denied access (The user said no): nothing was stored.",
        ),
        ("error=server_error&state=1", "StockTwits did not issue a code (server_error): nothing was stored."),
        ("code=abc&error=server_error", "StockTwits did not issue a code (server_error): nothing was stored."),
    ],
)
def test_an_address_with_an_error_says_why_there_is_no_code(mark: str, fields: str, words: str) -> None:
    with pytest.raises(Failure) as raised:
        parse_code(f"{CALLBACK}{mark}{fields}")
    assert (raised.value.code, str(raised.value)) == (REFUSED, words)


@pytest.mark.parametrize(
    "pasted", ["", "  ", "''", "two words", CALLBACK, f"{CALLBACK}?code=", f"{CALLBACK}#_", "https://["]
)
def test_what_has_no_code_asks_for_the_whole_address(pasted: str) -> None:
    with pytest.raises(Failure, match=r"^There is no code in that.*: paste ") as raised:
        parse_code(pasted)
    assert raised.value.code == USAGE


# The code


def test_a_code_becomes_a_token(api: responses.RequestsMock, client: OAuthClient) -> None:
    api.post(f"{URL}/oauth/token", json={"access_token": TOKEN, "scope": "read,publish_messages", "user_id": 7})
    assert client.exchange(APPLICATION, CODE) == Token(TOKEN, "read,publish_messages")
    (call,) = api.calls
    assert parse_qs(call.request.body) == {
        "client_id": ["our-client"],
        "client_secret": [SECRET],
        "code": [CODE],
        "grant_type": ["authorization_code"],
        "redirect_uri": ["https://example.com/callback"],
    }
    assert "Authorization" not in call.request.headers


def test_a_token_without_a_scope_is_taken_as_it_is(api: responses.RequestsMock, client: OAuthClient) -> None:
    api.post(f"{URL}/oauth/token", json={"access_token": TOKEN})
    assert client.exchange(APPLICATION, CODE) == Token(TOKEN)


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (400, error_body("The code is not valid"), "accept the code (400: The code is not valid): a code works once, "),
        (401, error_body("Client authentication failed"), "(401: Client authentication failed): a code works once, "),
        (
            403,
            {"error": "invalid_client"},
            f"(403: invalid_client): a code works once, {MINUTES_AND_NEW_LOGIN}",
        ),
        (400, {"error": "x", "error_description": "The code expired"}, "(400: The code expired)"),
        (400, PAGE, "StockTwits did not accept the code (400): "),
        (403, PAGE, BLOCKED.format("the code and the application")),
        (403, b"", BLOCKED.format("the code and the application")),
        (403, CLOUDFLARES, BLOCKED.format("the code and the application")),
        (200, inside(401, "The code expired"), "accept the code (401: The code expired)"),
        (400, error_body(f"{CODE} of {SECRET} is unknown"), "(400: … of … is unknown)"),
        (200, {"access_token": TOKEN, "scope": "read"}, "does not allow posting: its scope is read."),
        (200, {"access_token": ""}, f"StockTwits responded with 200: {LATER}"),
        (200, {"access_token": 7}, f"StockTwits responded with 200: {LATER}"),
        (200, {}, f"StockTwits responded with 200: {LATER}"),
        (200, [TOKEN], f"StockTwits responded with 200: {LATER}"),
        (200, PAGE, f"StockTwits responded with 200: {LATER}"),
        (302, b"", f"StockTwits responded with 302: {LATER}"),
        (429, error_body("Rate limit exceeded."), f"StockTwits responded with 429: Rate limit exceeded.: {LATER}"),
        (500, error_body("Internal error"), f"StockTwits responded with 500: Internal error: {LATER}"),
    ],
)
def test_any_other_answer_to_a_code_is_reported_with_what_to_do(
    api: responses.RequestsMock, client: OAuthClient, status: int, answer: object, words: str
) -> None:
    api.post(f"{URL}/oauth/token", encoded(answer), status=status, headers={"Location": f"{URL}/elsewhere"})
    with pytest.raises(Failure) as raised:
        client.exchange(APPLICATION, CODE)
    assert (raised.value.code, words in str(raised.value)) == (REFUSED, True), str(raised.value)
    assert len(api.calls) == 1


def test_neither_code_nor_secret_is_repeated_as_the_form_had_them(
    api: responses.RequestsMock, client: OAuthClient
) -> None:
    code, secret = "4/0A b==", "s/ecret+"
    api.post(
        f"{URL}/oauth/token", error_body(f"{urlencode({'code': code, 'client_secret': secret})} is bad"), status=400
    )
    with pytest.raises(Failure) as raised:
        client.exchange(Application("our-client", secret, CALLBACK), code)
    assert "(400: code=…&client_secret=… is bad)" in str(raised.value)


# The account


@pytest.mark.parametrize(("style", "scheme"), [("bearer", "Bearer"), ("oauth", "OAuth"), ("form", "Bearer")])
def test_an_account_is_asked_for_with_the_token_in_the_header(
    api: responses.RequestsMock, style: str, scheme: str
) -> None:
    api.get(f"{URL}/account/verify.json", json={"user": {"id": 7, "username": "me", "name": "Me"}})
    assert OAuthClient(f"{URL}/", style).account(TOKEN) == Account("me", 7)
    (call,) = api.calls
    assert call.request.headers["Authorization"] == f"{scheme} {TOKEN}"
    assert TOKEN not in str(call.request.url)


def test_an_accounts_id_may_be_digits_in_quotes(api: responses.RequestsMock, client: OAuthClient) -> None:
    api.get(f"{URL}/account/verify.json", json={"user": {"id": "7", "username": "me"}})
    assert client.account(TOKEN) == Account("me", 7)


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (401, error_body("Invalid token"), "StockTwits refused the token (401: Invalid token): get a new one."),
        (401, PAGE, "StockTwits refused the token (401): get a new one."),
        (403, error_body("Account suspended"), "StockTwits refused the token (403: Account suspended): get a new one."),
        (
            403,
            error_body(f"{TOKEN} is suspended"),
            "StockTwits refused the token (403: … is suspended): get a new one.",
        ),
        (403, PAGE, BLOCKED.replace("{} are", "the token is")),
        (403, b"", BLOCKED.replace("{} are", "the token is")),
        (403, CLOUDFLARES, BLOCKED.replace("{} are", "the token is")),
        (
            200,
            inside(401, "Invalid token"),
            "StockTwits refused the token (401: Invalid token): get a new one.",
        ),
        (200, {"user": {"id": "seven", "username": "me"}}, f"StockTwits responded with 200: {LATER}"),
        (200, {"user": {"id": 0, "username": "me"}}, f"StockTwits responded with 200: {LATER}"),
        (200, {"user": {"id": 7}}, f"StockTwits responded with 200: {LATER}"),
        (200, {"user": {"id": 7, "username": ""}}, f"StockTwits responded with 200: {LATER}"),
        (200, {"user": "me"}, f"StockTwits responded with 200: {LATER}"),
        (200, PAGE, f"StockTwits responded with 200: {LATER}"),
        (302, b"", f"StockTwits responded with 302: {LATER}"),
        (429, error_body("Rate limit exceeded."), f"StockTwits responded with 429: Rate limit exceeded.: {LATER}"),
        (503, b"", f"StockTwits responded with 503: {LATER}"),
    ],
)
def test_any_other_answer_about_the_account_is_reported_with_what_to_do(
    api: responses.RequestsMock, client: OAuthClient, status: int, answer: object, words: str
) -> None:
    api.get(f"{URL}/account/verify.json", encoded(answer), status=status, headers={"Location": f"{URL}/elsewhere"})
    with pytest.raises(Failure) as raised:
        client.account(TOKEN)
    assert (raised.value.code, str(raised.value)) == (REFUSED, words)
    assert len(api.calls) == 1


def test_what_was_sent_is_not_in_a_connections_failure(api: responses.RequestsMock, client: OAuthClient) -> None:
    api.post(f"{URL}/oauth/token", body=ConnectionError(f"the connection broke after {SECRET}"))
    with pytest.raises(Failure) as raised:
        client.exchange(APPLICATION, CODE)
    told = "StockTwits could not be reached, or did not respond (ConnectionError): try again."
    assert (raised.value.code, str(raised.value), raised.value.__cause__) == (FAILED, told, None)


# An answer without an end


@pytest.mark.parametrize(
    ("headers", "beginning", "then"),
    [(PACKED, BOMB, b""), (PLAIN, BEGINNING, b"x" * 1024), (PLAIN, b"", b"[" * 1024)],
    ids=["packed", "long", "nested"],
)
def test_an_answer_is_read_to_a_bound_and_not_unpacked(headers: bytes, beginning: bytes, then: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + headers + b"\r\n" + beginning)
        for _ in range(32 * 1024 if then else 0):
            connection.sendall(then)

    with tcp_server(serve) as server:
        client = OAuthClient(f"http://127.0.0.1:{server.port}", "bearer")
        tracemalloc.start()
        try:
            with pytest.raises(Failure, match="StockTwits responded with 200"):
                client.account("a-token")
            assert tracemalloc.get_traced_memory()[1] < 8 * MAX_ANSWER_BYTES
        finally:
            tracemalloc.stop()


def test_an_answer_that_trickles_in_is_given_up_after_the_time_that_a_whole_one_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stocktwits_account, "READ_SECONDS", 0.5)
    given_up = threading.Event()

    def trickle(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not given_up.wait(0.05):
            connection.sendall(b"x")

    with tcp_server(trickle) as server:
        with pytest.raises(Failure, match="could not be reached, or did not respond"):
            OAuthClient(f"http://127.0.0.1:{server.port}", "bearer").account(TOKEN)
        given_up.set()


def test_cookies_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(*_: object) -> None:
        pytest.fail("a cookie was parsed")

    def serve(connection: socket.socket) -> None:
        request_of(connection)
        content = b'{"user": {"id": 7, "username": "me"}}'
        connection.sendall(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: %d\r\n\r\n" % len(content) + content)

    monkeypatch.setattr("http.cookiejar.CookieJar.extract_cookies", parse)
    with tcp_server(serve) as server:
        assert OAuthClient(f"http://127.0.0.1:{server.port}", "bearer").account(TOKEN) == Account("me", 7)
