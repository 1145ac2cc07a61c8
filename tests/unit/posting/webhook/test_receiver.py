"""A request to the webhook: the order of its checks, and the answer to each."""

import base64
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import pytest
from relay.errors import Misconfigured, Reject, Retry
from relay.posting.webhook.body_template import Template
from relay.posting.webhook.receiver import MAX_BYTES, Receipt, Receiver, Request, failure, read_request
from relay.posting.webhook.sources import Source, new_source

from tests.factories import NOW, api_event

SECRET = "a-secret-of-the-tests-0123456789_abcdefghij"
HERE = "52.89.214.238"
SCANNER = new_source(SECRET, added="2026-11-27")
HOME_ONLY = new_source(SECRET, added="2026-11-27", addresses=["192.0.2.0/24"])
UNREADABLE = "not Base64 \udcff"
"""A body that fails whoever decodes it."""


class Surroundings:
    """The sources and the Outbox; both can fail."""

    def __init__(self, **sources: Source) -> None:
        self.known: Mapping[str, Source] = sources
        self.added: Mapping[str, Source] = {}
        self.reads: list[bool] = []
        self.sent: list[tuple[str, str]] = []
        self.fails: Exception | None = None
        self.outbox_fails: Exception | None = None

    def sources(self, *, fresh: bool = False) -> Mapping[str, Source]:
        self.reads.append(fresh)
        if self.fails:
            raise self.fails
        return {**self.known, **self.added} if fresh else self.known

    def send(self, body: str, key: str) -> str:
        if self.outbox_fails:
            raise self.outbox_fails
        self.sent.append((body, key))
        return "m-1"

    def receive(self, body: str = "Up $AAPL", source: str = "scanner", secret: str = SECRET, **but: Any) -> Receipt:
        receiver = Receiver(self.sources, self.send, lambda: NOW)
        return receiver.receive(Request(source, secret, HERE, body, **but))


@pytest.fixture
def around() -> Surroundings:
    return Surroundings(scanner=SCANNER, home=HOME_ONLY)


def answer(receipt: Receipt) -> tuple[int, Any]:
    return receipt.response["statusCode"], json.loads(receipt.response["body"])


# The secret


def test_an_alert_with_the_right_secret_is_sent_and_its_sender_learns_both_ids(around: Surroundings) -> None:
    status, ids = answer(around.receive('{"body": "Up $AAPL", "key": "k-1"}'))
    assert (status, ids) == (202, {"id": "m-1", "key": "k-1"})
    assert around.sent == [('{"body": "Up $AAPL", "key": "k-1"}', "k-1")]


def test_the_key_that_was_made_goes_to_the_outbox_and_to_the_sender(around: Surroundings) -> None:
    _, ids = answer(around.receive("Up $AAPL"))
    assert around.sent == [("Up $AAPL", ids["key"])]
    assert ids["key"].startswith("webhook-scanner-")


NOT_LET_IN = {
    "an unknown source": {"source": "nobody"},
    "a wrong secret": {"secret": SECRET[:-1]},
    "no secret": {"secret": ""},
    "the hash instead of the secret": {"secret": SCANNER.hash},
    "the secret as a name": {"source": SECRET, "secret": "scanner"},
    "another address": {"source": "home"},
}


@pytest.mark.parametrize("request_", NOT_LET_IN.values(), ids=NOT_LET_IN)
def test_whoever_is_not_let_in_gets_what_api_gateway_answers_for_a_path_that_is_not_there(
    around: Surroundings, request_: dict[str, str]
) -> None:
    assert around.receive(**request_).response == {
        "statusCode": 404,
        "headers": {"Content-Type": "application/json"},
        "body": '{"message":"Not Found"}',
    }
    assert around.sent == []


@pytest.mark.parametrize("request_", NOT_LET_IN.values(), ids=NOT_LET_IN)
def test_of_a_stranger_nothing_is_kept_but_the_address(around: Surroundings, request_: dict[str, str]) -> None:
    receipt = around.receive("What a stranger wrote", **request_)
    assert receipt == Receipt(HTTPStatus.NOT_FOUND, HERE, reason=receipt.reason)
    assert not any(word in receipt.reason for word in ("nobody", "home", "wrote", SECRET))


@pytest.mark.parametrize("request_", NOT_LET_IN.values(), ids=NOT_LET_IN)
def test_the_body_of_a_stranger_is_neither_decoded_nor_measured(
    around: Surroundings, request_: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("the body was looked at")

    for name in ("b64decode", "compose", "_content"):
        monkeypatch.setattr(f"relay.posting.webhook.receiver.{name}", read)
    assert around.receive("x" * (MAX_BYTES + 1), is_base64=True, **request_).status == 404


@pytest.mark.parametrize("request_", NOT_LET_IN.values(), ids=NOT_LET_IN)
def test_every_refusal_takes_the_same_steps(
    around: Surroundings, request_: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []

    def record(salt: str, secret: str) -> str:
        hashed.append(secret)
        return "another hash"

    monkeypatch.setattr("relay.posting.webhook.sources._hash", record)
    around.receive(**request_)
    assert (around.reads, len(hashed)) == ([False, True], 2)


def test_a_source_that_was_just_added_is_let_in(around: Surroundings) -> None:
    around.added = {"new": SCANNER}
    assert around.receive(source="new").status == 202
    assert around.reads == [False, True]


def test_the_sources_are_not_read_again_for_a_right_secret(around: Surroundings) -> None:
    around.receive()
    assert around.reads == [False]


def test_while_the_sources_cannot_be_read_the_sender_is_asked_to_come_back(around: Surroundings) -> None:
    around.fails = Retry("the parameter cannot be read")
    receipt = around.receive(UNREADABLE, is_base64=True)
    assert answer(receipt) == (503, {"message": "Service Unavailable"})
    assert receipt.reason == "the parameter cannot be read"
    assert receipt.response["headers"]["Retry-After"] == "5"
    assert receipt.source == ""


# The body


@pytest.mark.parametrize("is_base64", [False, True])
@pytest.mark.parametrize(("size", "status"), [(MAX_BYTES, 400), (MAX_BYTES + 1, 413)])
def test_a_body_is_refused_for_its_size_from_64_kib_on_as_its_bytes_count(
    around: Surroundings, size: int, status: int, is_base64: bool
) -> None:
    text = "é" * (size // 2) + "x" * (size % 2)
    body = base64.b64encode(text.encode()).decode() if is_base64 else text
    receipt = around.receive(body, is_base64=is_base64)
    assert receipt.status == status
    assert receipt.text.startswith("éé")
    assert around.sent == []


def test_too_large_a_body_is_told_its_size(around: Surroundings) -> None:
    words = "the message has 65537 bytes, at most 65536 are allowed"
    assert answer(around.receive("x" * (MAX_BYTES + 1))) == (413, {"message": words})


def test_a_body_in_base64_is_decoded(around: Surroundings) -> None:
    around.receive(base64.b64encode("Über 3% $AAPL".encode()).decode(), is_base64=True)
    ((body, _),) = around.sent
    assert body == "Über 3% $AAPL"


@pytest.mark.parametrize(
    ("body", "is_base64", "reason"),
    [
        ("", False, "the message is empty"),
        (" \n", False, "the message is empty"),
        ("", True, "the message is empty"),
        ("{}", False, "missing required field `body`"),
        (base64.b64encode(b"\xff\xfe").decode(), True, "is not text in UTF-8"),
        ("\ud800", False, "is not text in UTF-8"),
        ("Up \ufffd $AAPL", False, "is not text in UTF-8"),
        ("!", True, "cannot be decoded"),
        (UNREADABLE, True, "cannot be decoded"),
        ('{"body": "Up $AAPL", "expires_at": "2026-11-27T00:00:00Z"}', False, "expires_at: is past"),
    ],
)
def test_what_cannot_be_posted_is_refused_with_the_reason_in_words(
    around: Surroundings, body: str, is_base64: bool, reason: str
) -> None:
    status, content = answer(around.receive(body, is_base64=is_base64))
    assert status == 400
    assert reason in content["message"]
    assert around.sent == []


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, "text=Up+3%25"),
        (f"{FORM}; charset=utf-8", "payload=%7B%22text%22"),
        (FORM.upper(), "message=Up&title="),
        ("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data"),
    ],
)
def test_a_form_is_not_posted_as_it_stands(around: Surroundings, content_type: str, body: str) -> None:
    status, content = answer(around.receive(body, content_type=content_type))
    assert (status, "is a form" in content["message"], around.sent) == (400, True, [])


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, "Up 3% $AAPL"),
        (FORM, "RSI = 70 $AAPL"),
        (FORM, '{"body":"a=b"}'),
        ("text/plain", "RSI=70"),
        ("", "RSI=70"),
    ],
)
def test_a_text_is_posted_although_curl_calls_it_a_form(around: Surroundings, content_type: str, body: str) -> None:
    assert around.receive(body, content_type=content_type).status == 202


def test_a_payload_is_filled_into_its_sources_template_under_its_sources_name(around: Surroundings) -> None:
    around.known = {"tv": new_source(SECRET, added="", template=Template(body="Up {change}% $AAPL"), expires_in=60)}
    assert around.receive('{"change": 3}', source="tv").key.startswith("webhook-tv-")
    ((body, _),) = around.sent
    assert json.loads(body) == {"body": "Up 3% $AAPL", "expires_at": "2027-01-15T08:01:00Z"}


def test_the_log_gets_the_beginning_of_what_was_refused_as_it_shows_texts(around: Surroundings) -> None:
    text = '{"text": "see https://example.com/?signature=abc"}' + " x" * 1000
    receipt = around.receive(text)
    assert receipt.text.startswith('{"text": "see https://example.com/?…')
    assert len(receipt.text) == 1000


# The secret in the body


def test_an_alert_that_would_publish_its_secret_is_refused(around: Surroundings) -> None:
    in_escapes = "".join(f"\\u{ord(each):04x}" for each in SECRET)
    texts = f"Sent with {SECRET} $AAPL", json.dumps({"body": "Up $AAPL", "key": SECRET}), f'{{"body": "{in_escapes}"}}'
    for body in texts:
        receipt = around.receive(body)
        assert receipt.status == 400
        assert "contains the secret of its source" in receipt.reason
    assert around.sent == []


def test_a_payload_may_have_the_secret_where_its_template_leaves_it_out(around: Surroundings) -> None:
    around.known = {"tv": new_source(SECRET, added="", template=Template(body="Up {change}% $AAPL"))}
    assert around.receive(json.dumps({"change": 3, "passphrase": SECRET}), source="tv").status == 202


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"passphrase": SECRET}),
        json.dumps({SECRET: 1, "body": "x"}),
        f"{SECRET}: {SECRET}",
        json.dumps({"body": "x", "sentiment": SECRET}),
        SECRET + "x" * MAX_BYTES,
    ],
)
def test_neither_the_log_nor_the_answer_repeats_the_secret_of_a_refused_alert(around: Surroundings, body: str) -> None:
    receipt = around.receive(body)
    assert receipt.status in {400, 413}
    assert SECRET not in repr(receipt) + repr(receipt.response)
    assert "…" in receipt.text


def test_neither_a_request_nor_an_error_of_it_shows_the_secret() -> None:
    request = read_request(api_event("scanner", SECRET, f"{SECRET} too"))
    assert SECRET not in repr(request)


# The Outbox


def test_when_sqs_does_not_take_an_alert_its_sender_may_send_it_again_and_the_log_has_it(around: Surroundings) -> None:
    around.outbox_fails = Retry("SQS did not take the alert (Throttled)")
    receipt = around.receive("Up $AAPL")
    assert answer(receipt) == (503, {"message": "Service Unavailable"})
    assert receipt.response["headers"]["Retry-After"] == "5"
    reason = "SQS did not take the alert (Throttled)"
    assert (receipt.source, receipt.reason, receipt.text) == ("scanner", reason, "Up $AAPL")


def test_the_log_has_the_key_of_what_sqs_may_have_taken_so_that_it_can_be_sent_again(around: Surroundings) -> None:
    around.outbox_fails = Retry("SQS did not answer")
    key = around.receive().key
    around.outbox_fails = None
    assert (around.receive().key, key[:16]) == (key, "webhook-scanner-")


def test_what_sqs_refuses_is_a_bad_request(around: Surroundings) -> None:
    around.outbox_fails = Reject("SQS does not accept its characters")
    assert answer(around.receive()) == (400, {"message": "SQS does not accept its characters"})


# Reading the event, and what is not expected


@pytest.mark.parametrize(
    "event",
    [
        api_event("scanner", "s-1"),
        api_event("scanner", "%73-1"),
        api_event("%73canner", "s-1"),
        api_event("scanner", authorization="Bearer s-1"),
        api_event("scanner", Authorization="bearer  s-1 "),
        api_event("scanner", "s-1", authorization="Bearer another"),
        api_event("scanner", "s-1", authorization="Basic c2VjcmV0"),
    ],
)
def test_the_secret_is_in_the_path_or_the_header(event: dict[str, Any]) -> None:
    request = read_request(event)
    assert (request.source, request.secret) == ("scanner", "s-1")


def test_the_kind_of_a_body_is_in_its_header() -> None:
    assert read_request(api_event("scanner", **{"Content-Type": FORM})).content_type == FORM


@pytest.mark.parametrize("authorization", ["Basic s-1", "s-1", "Bearer", "", "Bearers-1"])
def test_no_other_header_is_a_secret(authorization: str) -> None:
    assert read_request(api_event("scanner", authorization=authorization)).secret == ""


def test_an_event_without_a_body_is_an_empty_message() -> None:
    event = api_event("scanner", "s-1")
    del event["body"]
    assert read_request(event).body == ""
    assert read_request(event).address == HERE


def test_an_unexpected_error_is_told_by_its_type_and_place_and_not_by_its_text() -> None:
    with pytest.raises(KeyError) as raised:
        {}[SECRET]
    receipt = failure(raised.value)
    assert answer(receipt) == (500, {"message": "Internal Server Error"})
    assert receipt.reason.startswith("KeyError in ")
    assert "test_receiver.py, line" in receipt.reason
    assert SECRET not in receipt.reason


def test_a_missing_setting_is_named_in_the_log_and_not_to_the_sender() -> None:
    receipt = failure(Misconfigured("OUTBOX_QUEUE_URL is missing"))
    assert receipt.reason == "OUTBOX_QUEUE_URL is missing"
    assert answer(receipt) == (500, {"message": "Internal Server Error"})
