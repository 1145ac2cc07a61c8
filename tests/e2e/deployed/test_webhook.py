"""From a program that knows no AWS to a post: the webhook as deployed, with IAM enforced."""

import json
import time
from typing import Any
from urllib.request import Request, urlopen

import pytest

from local.stack.stack import Stack
from tests.e2e.leaks import logs
from tests.e2e.sender import NOT_FOUND, REFUSED, TAKEN, TOO_LARGE, Sender

pytestmark = pytest.mark.e2e


def eventually(check: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def sender(stack: Stack) -> Sender:
    return Sender(stack)


def test_what_any_program_posts_is_posted_on_stocktwits_once(stack: Stack, sender: Sender) -> None:
    alert = json.dumps({"body": "As JSON $AAPL", "sentiment": "bullish"})
    bearer = {"Authorization": f"Bearer {sender.secret}", "Content-Type": "application/json"}
    first = sender.send("As text $AAPL")
    eventually(lambda: stack.stocktwits.posts)  # at the same time, the second would be put off for some seconds
    answers = [
        first,
        sender.send("As text $AAPL"),
        sender.send(alert, "application/json; charset=utf-8"),
        sender.send("As curl -d sends it $AAPL", "application/x-www-form-urlencoded"),
        sender.post("/alerts/scanner", '{"body": "With a header $AAPL"}', **bearer),
    ]
    assert {each.status for each in answers} == {TAKEN}
    assert len({json.loads(each.content)["key"] for each in answers}) == 4
    eventually(lambda: len(stack.stocktwits.posts) == 4)
    eventually(lambda: sum(map(len, stack.emulator.messages().values())) == 0)
    assert sorted(post.body for post in stack.stocktwits.posts) == [
        "As JSON $AAPL",
        "As curl -d sends it $AAPL",
        "As text $AAPL",
        "With a header $AAPL",
    ]


def test_whoever_is_not_let_in_cannot_tell_the_answer_from_api_gateways_own(sender: Sender) -> None:
    own = sender.post("/alerts/scanner/a/b/c", "Up $AAPL")
    refused = [
        sender.post("/alerts/nobody/guess", "Up $AAPL"),
        sender.post("/alerts/scanner/guess", "Up $AAPL"),
        sender.post("/alerts/scanner", "Up $AAPL"),
        sender.post("/alerts/scanner", "Up $AAPL", Authorization="Bearer guess"),
        sender.post(f"/alerts/scanner/{sender.secret[:-1]}", "Up $AAPL"),
        sender.post(f"/alerts/{sender.secret}/scanner", "Up $AAPL"),
    ]
    assert (own.status, own.content) == (NOT_FOUND, b'{"message":"Not Found"}')
    assert {(each.status, each.content, str(each.lasting)) for each in refused} == {
        (own.status, own.content, str(own.lasting))
    }


def test_a_refused_alert_gets_its_reason_and_none_reaches_the_outbox(stack: Stack, sender: Sender) -> None:
    before = len(stack.stocktwits.requests)
    empty, unreadable, large = sender.send(""), sender.send('{"text": "Up $AAPL"}'), sender.send("x" * 65_537)
    assert (empty.status, json.loads(empty.content)) == (REFUSED, {"message": "the message is empty"})
    assert (unreadable.status, large.status) == (REFUSED, TOO_LARGE)
    assert "unknown field `text`" in json.loads(unreadable.content)["message"]
    assert len(stack.stocktwits.requests) == before
    assert sum(map(len, stack.emulator.messages().values())) == 0


def test_a_body_in_chunks_is_taken_whole(stack: Stack, sender: Sender) -> None:
    chunks = iter([b"In ", b"two chunks $AAPL"])  # urllib sends the length of nothing else but bytes
    address = stack.webhook_url(f"/alerts/scanner/{sender.secret}")
    with urlopen(Request(address, chunks, {"Content-Type": "text/plain"}, method="POST"), timeout=60) as answer:
        assert answer.status == TAKEN
    eventually(lambda: "In two chunks $AAPL" in [post.body for post in stack.stocktwits.posts])


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_only_post_reaches_the_function(stack: Stack, sender: Sender, method: str) -> None:
    before = len([place for place, _ in logs(stack) if "ReceiveAlerts" in place])
    assert sender.post(f"/alerts/scanner/{sender.secret}", "Up $AAPL", method=method).status == NOT_FOUND
    assert len([place for place, _ in logs(stack) if "ReceiveAlerts" in place]) == before
