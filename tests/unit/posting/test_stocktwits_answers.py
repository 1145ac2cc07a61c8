"""What StockTwits answers, and what to do next: the client's table, for publishing and for reading the stream."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from relay.errors import Duplicate, Halt, NoId, NotYet, Reject, RelayError, Retry, Unknown, Wait
from relay.posting.stocktwits import MAX_ID, StockTwits

from tests.factories import NOW, an_alert
from tests.unit.posting.stocktwits_helpers import (
    PAGE,
    TOKEN,
    Clients,
    FakeApi,
    FakeCredentials,
    credentials_with,
    error_body,
    failure,
)


@dataclass(frozen=True)
class Row:
    """An answer, and what the client makes of it.

    Attributes:
        status: The status that counts.
        body: The answer's content.
        error: The class of the error, which names what to do next.
        reason: The error's reason.
        pause: The cause, the length in seconds, and whether a probe follows; None if the answer imposes no pause.
        headers: The answer's headers.
        retried: Whether the request is sent once more if a newer token is stored.
        http: The HTTP status, where the status in the body counts.
    """

    status: int
    body: bytes
    error: type[RelayError]
    reason: str
    pause: tuple[str, float, bool] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    retried: bool = False
    http: int | None = None


def inside(row: Row) -> Row:
    """Put the status into the JSON of a success."""
    return replace(row, body=b'{"response": {"status": %d}, ' % row.status + row.body[1:], http=200)


LIMIT = error_body("Rate limit exceeded. Client may not make more than 400 requests an hour.")
LIMITED = "StockTwits limits the rate (429: Rate limit exceeded. Client may not make more than 400 requests an hour.)"
BLOCKED = "StockTwits' bot protection blocks this client (403): contact StockTwits if this continues"
OF_BOT_PROTECTION = {"cloudflare_error", "ray_id", "error_code"}
NOT_IDS = (
    b"true",
    b"null",
    b'""',
    b'" 7"',
    b'"-7"',
    b'"7.0"',
    b'"\\u0667"',
    b'"\\u00b2"',
    b"[7]",
    b"0",
    b'"0"',
    b"-7",
    b"7.0",
)
NO_DUPLICATES = "Duplicate messages within 30 minutes will not be posted."


def token_refused(status: int, body: bytes, text: str) -> Row:
    reason = f"StockTwits refused the token ({status}{text}): store a valid one"
    return Row(status, body, Halt, reason, ("token_refused", 300, True), retried=True)


def blocked(body: bytes) -> Row:
    return Row(403, body, Halt, BLOCKED, ("blocked", 900, True))


def unexpected(status: int, error: type[RelayError], body: bytes = b"", text: str = "") -> Row:
    reason = f"StockTwits answered {status}{text}, which is not about the message: check StockTwitsApiUrl"
    return Row(status, body, error, reason, ("unexpected_answer", 300, True), {"Location": "/api/2/messages.json"})


ABOUT_THE_ACCOUNT_OR_THE_CLIENT = {
    "429": Row(429, LIMIT, Wait, LIMITED, ("rate_limited", 60, False)),
    "429 inside a success": inside(Row(429, LIMIT, Wait, LIMITED, ("rate_limited", 60, False))),
    "429 with a page": Row(429, PAGE, Wait, "StockTwits limits the rate (429)", ("rate_limited", 60, False)),
    "401": token_refused(401, error_body("Account suspended"), ": Account suspended"),
    "401 with a page": token_refused(401, PAGE, ""),
    "401 without a body": token_refused(401, b"", ""),
    "403 in JSON": token_refused(403, error_body("lacks the scope"), ": lacks the scope"),
    "401 inside a success": inside(token_refused(401, error_body("no"), ": no")),
    "401 with what only bot protection's JSON has": token_refused(401, b'{"ray_id": "8f"}', ""),
    "403 with other JSON": token_refused(403, b'{"error": "forbidden", "title": "Forbidden"}', ""),
    "403 with JSON that has errors as well": token_refused(
        403, b'{"errors": [{"message": "no"}], "error_code": 17}', ": no"
    ),
    "403 with a page": blocked(PAGE),
    "403 without a body": blocked(b""),
    "403 with a list": blocked(b"[]"),
    "403 with bot protection's JSON": blocked(
        b'{"type": "https://developers.cloudflare.com/...", "title": "Error 1020: Access denied", "status": 403, '
        b'"error_code": 1020, "cloudflare_error": true, "ray_id": "8f0c", "retryable": false}'
    ),
    **{f"403 with {name} in JSON": blocked(b'{"%b": 1}' % name.encode()) for name in sorted(OF_BOT_PROTECTION)},
    "503": Row(503, PAGE, Unknown, "StockTwits answered 503", ("unavailable", 60, False)),
    **{
        str(status): Row(status, error_body("Oops"), Unknown, f"StockTwits answered {status}: Oops")
        for status in (408, 425, 500, 502, 504, 520)
    },
    "500 with another status inside": Row(
        500, b'{"response": {"status": 422}, "errors": [{"message": "no"}]}', Unknown, "StockTwits answered 500: no"
    ),
    "401 with a success inside": token_refused(401, b'{"response": {"status": 200}, "message": {"id": 7}}', ""),
    "500 inside a success": inside(Row(500, error_body("Oops"), Unknown, "StockTwits answered 500: Oops")),
    # The server that redirects may have taken the post before.
    **{str(status): unexpected(status, Unknown) for status in (300, 301, 302, 307)},
    **{str(status): unexpected(status, Halt) for status in (402, 405, 409, 410, 451)},
}

ABOUT_THE_MESSAGE = {
    f"{status} {kind}": Row(status, body, Reject, f"StockTwits refused it ({status}{text})")
    for status in (400, 404, 413, 414, 418, 422)
    for kind, body, text in (
        ("in JSON", error_body("Body can't be blank"), ": Body can't be blank"),
        ("with one error of several", b'{"errors": [7, {"message": ""}, {"message": "Too long"}]}', ": Too long"),
    )
} | {
    "422 inside a success": inside(Row(422, error_body("blank"), Reject, "StockTwits refused it (422: blank)")),
    "422 duplicate inside a success": inside(
        Row(422, error_body(NO_DUPLICATES), Duplicate, f"StockTwits refused it as a duplicate (422: {NO_DUPLICATES})")
    ),
    "422 duplicate": Row(
        422, error_body(NO_DUPLICATES), Duplicate, f"StockTwits refused it as a duplicate (422: {NO_DUPLICATES})"
    ),
    "400 duplicate": Row(400, error_body(NO_DUPLICATES), Reject, f"StockTwits refused it (400: {NO_DUPLICATES})"),
}

NOT_THE_DOCUMENTED_SHAPE = {
    f"{status} with {body[:30]!r}": unexpected(status, Halt, body)
    for status in (400, 404, 413, 414, 418, 422)
    for body in (
        PAGE,
        b"",
        b"Bad Request",
        b"[7]",
        b"{}",
        b'{"errors": []}',
        b'{"errors": [{}]}',
        b'{"errors": [{"message": ""}]}',
        b'{"errors": "blank"}',
        b'{"errors": {"body": ["blank"]}}',
        b'{"error": {"message": "blank"}}',
        b'{"message": "Not Found"}',
        b"[" * 100_000,
    )
} | {"404 in digits, inside a success": replace(unexpected(404, Halt, b'{"response": {"status": "404"}}'), http=200)}

WITHOUT_AN_ID = {
    repr(body[:30]): Row(200, body, NoId, "StockTwits answered without a message id")
    for body in (
        b"",
        b"OK",
        b"[7]",
        b"{}",
        b'{"message": 7}',
        b'{"message": {"body": ""}}',
        *(b'{"message": {"id": %b}}' % each for each in NOT_IDS),
        b'{"id": 7}',
        b'{"response": {"status": 200}}',
        b'{"response": {"status": true}, "message": {}}',
        b'{"message": {"id": %d}}' % (MAX_ID + 1),
        b'{"message": {"id": ' + b"9" * 5000 + b"}}",
        b'{"message": {"id": "' + b"9" * 5000 + b'"}}',
    )
} | {
    "an id, and a failure": Row(
        200,
        b'{"response": {"status": 500}, "message": {"id": 7}}',
        NoId,
        "StockTwits answered 500, but with a message id",
    )
}

STREAM_REFUSED = {
    name: replace(
        row,
        error=Halt,
        reason=f"the stream of account 4242 cannot be read ({row.status}): check the token parameter",
        pause=("stream", 300, True),
    )
    for name, row in (ABOUT_THE_MESSAGE | NOT_THE_DOCUMENTED_SHAPE).items()
}

NOT_A_STREAM = {
    "201": unexpected(201, Unknown),
    **{
        repr(body): Row(200, body, Unknown, "StockTwits' answer for the account's stream contains no messages")
        for body in (b"", b"[7]", b"{}", b'{"messages": null}', b'{"messages": {}}', PAGE)
    },
}

PUBLISH = ABOUT_THE_ACCOUNT_OR_THE_CLIENT | ABOUT_THE_MESSAGE | NOT_THE_DOCUMENTED_SHAPE | WITHOUT_AN_ID
STREAM = ABOUT_THE_ACCOUNT_OR_THE_CLIENT | STREAM_REFUSED | NOT_A_STREAM


def publish(client: StockTwits) -> None:
    client.publish(an_alert(), None)


def stream(client: StockTwits) -> None:
    client.stream(None)


BOTH = [
    *(pytest.param(publish, row, id=f"publish: {name}") for name, row in PUBLISH.items()),
    *(pytest.param(stream, row, id=f"stream: {name}") for name, row in STREAM.items()),
]


@pytest.mark.parametrize(("call", "row"), BOTH)
def test_an_answer_leads_to_an_error_that_names_what_to_do_next(
    api: FakeApi, client_of: Clients, call: Callable[[StockTwits], None], row: Row
) -> None:
    api.answer(row.http or row.status, row.body, row.headers)
    credentials = FakeCredentials()
    with pytest.raises(RelayError) as raised:
        call(client_of(api.url, credentials=credentials))
    error = raised.value
    pause = error.pause and (error.pause.cause, (error.pause.until or 0) - NOW, error.pause.probe)
    assert (type(error), error.reason, error.status, pause) == (
        row.error,
        row.reason,
        row.status,
        row.pause,
    )
    assert credentials.fresh_reads == row.retried
    assert TOKEN not in "".join(traceback.format_exception(error))
    assert len(api.requests) == 1  # the stored token is the refused one: there is no point in trying it again
    if error.pause:
        assert error.pause.reason == ("StockTwits is unavailable (503)" if row.status == 503 else row.reason)


@pytest.mark.parametrize(("call", "row"), BOTH)
def test_a_request_is_sent_once_more_only_if_its_token_was_refused_and_a_newer_one_is_stored(
    api: FakeApi, client_of: Clients, call: Callable[[StockTwits], None], row: Row
) -> None:
    api.answer(row.http or row.status, row.body, row.headers)
    with pytest.raises(row.error):
        call(client_of(api.url, credentials=FakeCredentials("old", stored="newer")))
    tokens = [each.headers["Authorization"] for each in api.requests]
    assert tokens == ["Bearer old", "Bearer newer"][: 1 + row.retried]


@pytest.mark.parametrize("status", [200, 201, 299])
@pytest.mark.parametrize(
    ("body", "post_id"),
    [
        (b'{"message": {"id": 7}}', 7),
        (b'{"message": {"id": "7"}}', 7),
        (b'{"message": {"id": "0061042991"}}', 61042991),
        (b'{"response": {"status": 200}, "message": {"id": 7}}', 7),
        (b'{"response": {"status": "201"}, "message": {"id": 7}}', 7),
        (b'{"response": {"status": null}, "message": {"id": 7}}', 7),
        (b'{"response": 500, "message": {"id": 7}}', 7),
        (b'{"message": {"id": %d}}' % MAX_ID, MAX_ID),
        (b'{"message": {"id": "%d"}}' % MAX_ID, MAX_ID),
    ],
)
def test_a_message_id_is_all_that_a_success_needs(
    api: FakeApi, client_of: Clients, status: int, body: bytes, post_id: int
) -> None:
    api.answer(status, body)
    assert client_of(api.url + "/").publish(an_alert(), None).id == post_id


# --- The token


def test_a_refused_token_halts_even_when_it_cannot_be_read_again(api: FakeApi, client_of: Clients) -> None:
    def unreadable_again(*, fresh: bool = False) -> object:
        if fresh:
            raise Retry("the token parameter could not be read")
        return credentials_with()

    api.answer(401)
    assert type(failure(client_of(api.url, credentials=unreadable_again))) is Halt
    assert len(api.requests) == 1


def test_nothing_is_sent_while_the_credentials_cannot_be_read(api: FakeApi, client_of: Clients) -> None:
    def unreadable(*, fresh: bool = False) -> object:
        raise Retry("the token parameter could not be read")

    error = failure(client_of(api.url, credentials=unreadable))
    assert (type(error), error.reason) == (Retry, "the token parameter could not be read")
    assert api.requests == []


# --- What a reason quotes


@pytest.mark.parametrize("style", ["bearer", "oauth", "form"])
@pytest.mark.parametrize("status", [302, 400, 401, 403, 422, 429, 500])
def test_a_token_that_stocktwits_echoes_is_cut_out(api: FakeApi, client_of: Clients, style: str, status: int) -> None:
    api.answer(status, error_body(f"no such token: {TOKEN}."))
    error = failure(client_of(api.url, style))
    assert "no such token: \u2026." in error.reason
    assert TOKEN not in "".join(traceback.format_exception(error))
    assert TOKEN not in repr(error.pause)
    assert error.__cause__ is None


@pytest.mark.parametrize("status", [422, 429, 500])
@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        (
            "cannot fetch https://b.example/x.png?signature=5ecret now",
            "cannot fetch https://b.example/x.png?\u2026 now",
        ),
        ("cannot fetch HTTPS://B.EXAMPLE/X.PNG?A=5ECRET now", "cannot fetch HTTPS://B.EXAMPLE/X.PNG?\u2026 now"),
        ("cannot fetch /x.png?signature=5ecret now", "cannot fetch /x.png?\u2026 now"),
        ("https%3A%2F%2Fb.example%2Fx.png%3Fsignature%3D5ecret", "https%3A%2F%2Fb.example%2Fx.png%3F\u2026"),
        ("b.example/x.png%3fsignature=5ecret", "b.example/x.png%3f\u2026"),
    ],
)
def test_what_follows_a_question_mark_is_not_quoted(
    api: FakeApi, client_of: Clients, status: int, text: str, quoted: str
) -> None:
    api.answer(status, error_body(text))
    assert f"{status}: {quoted}" in failure(client_of(api.url)).reason
    assert "5ecret" not in failure(client_of(api.url)).reason.lower()


def test_several_errors_are_quoted_one_after_the_other(api: FakeApi, client_of: Clients) -> None:
    api.answer(422, error_body("Body is too long", "", "Sentiment is unknown"))
    assert failure(client_of(api.url)).reason == "StockTwits refused it (422: Body is too long Sentiment is unknown)"


def test_only_the_beginning_of_a_long_error_is_quoted(api: FakeApi, client_of: Clients) -> None:
    api.answer(422, error_body("x" * 10_000))
    assert failure(client_of(api.url)).reason == f"StockTwits refused it (422: {'x' * 300})"


def test_an_error_is_quoted_in_characters_that_can_be_written_anywhere(api: FakeApi, client_of: Clients) -> None:
    api.answer(400, b'{"errors": [{"message": "half an emoji \\ud83d\\u0000\\u001b[31m\\u202e"}]}')
    reason = failure(client_of(api.url)).reason
    assert reason.isprintable()
    assert reason.encode()


@pytest.mark.parametrize(
    "body", [b'{"errors": "x"}', b'{"errors": ["x"]}', b'{"errors": [{}]}', b'{"errors": {"body": ["x"]}}', b"[7]"]
)
def test_an_error_in_another_form_is_not_quoted(api: FakeApi, client_of: Clients, body: bytes) -> None:
    api.answer(500, body)
    assert failure(client_of(api.url)).reason == "StockTwits answered 500"


# --- A parent that is not there


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (404, "Message not found"),
        (404, "Something else"),
        (422, "Message not found"),
        (400, "You cannot reply to this message"),
        (422, "In reply to message does not exist"),
        (422, "The conversation is closed"),
        (422, "No such parent"),
    ],
)
def test_a_refused_reply_whose_parent_may_appear_is_not_yet_final(
    api: FakeApi, client_of: Clients, status: int, text: str
) -> None:
    api.answer(status, error_body(text))
    with pytest.raises(NotYet, match=text):
        client_of(api.url).publish(an_alert(in_reply_to_message_id=7), None)


def test_a_reply_is_final_when_something_else_is_wrong_with_it(api: FakeApi, client_of: Clients) -> None:
    api.answer(422, error_body("Body can't be blank"))
    with pytest.raises(Reject) as raised:
        client_of(api.url).publish(an_alert(in_reply_to_message_id=7), None)
    assert type(raised.value) is Reject
    api.answer(404, error_body("Message not found"))
    assert type(failure(client_of(api.url))) is Reject
