"""Whatever StockTwits answers, no token and no presigned link gets into a log, a metric, the ledger, a dead letter, a
result event or an exception's text."""

import json
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from relay.errors import RelayError
from relay.posting.alert import Alert

from local.stand_ins.stocktwits.api import RefusedError, Reply
from local.stand_ins.stocktwits.contrary import BEHAVIOURS, STREAM, Contrary, Kind
from tests.worlds.functions import Function
from tests.worlds.posting import SECRET_QUERY, TOKEN, PostingWorld

LINK = f"https://files.example/a?{SECRET_QUERY}"
QUOTED = f" {TOKEN} {LINK} {quote(LINK, safe='')}"
DRAWS = {each: BEHAVIOURS[each].draws for each in Contrary} | {Contrary.LATE: ({"seconds": 1.0},)}
SOME = {each: draws[:: max(1, len(draws) // 4)] for each, draws in DRAWS.items()}
"""Enough to take every way out of the function; what each of them makes an error say is tested on the client."""
ON_THE_STREAM = [each for each in Contrary if BEHAVIOURS[each].kind is not Kind.POSTING]


@pytest.fixture(autouse=True)
def result_events(world: PostingWorld) -> None:
    world.settings(RESULT_EVENT_BUS_NAME="results")
    world.aws.answer("PutEvents", lambda sent: {"Entries": [{"EventId": "e"}] * len(sent["Entries"])}, times=1000)


def quoting(value: Any) -> Any:
    """Add the secrets to every text in a value."""
    match value:
        case str():
            return value + QUOTED
        case list():
            return [quoting(each) for each in value]
        case dict():
            return {name: quoting(each) for name, each in value.items()}
    return value


def quote_secrets(world: PostingWorld) -> None:
    """Let StockTwits quote the token and a presigned link wherever its answers have a text."""
    answer = world.stand_in.api.answer

    def quoted(*asked: Any) -> Reply:
        try:
            reply = answer(*asked)
        except RefusedError as refused:
            reply = Reply.error(*refused.args)
        try:
            body = json.dumps(quoting(json.loads(reply.body))).encode()
        except ValueError:
            body = reply.body + QUOTED.encode()
        return Reply(reply.status, body, reply.type, {**reply.headers, "X-Request": QUOTED})

    world.patch.setattr(world.stand_in.api, "answer", quoted)


def an_alert(number: int) -> str:
    return json.dumps({"body": f"$AAPL {number} {LINK}", "sentiment": "bullish", "chart": f"{LINK}&n={number}"})


def deliver(world: PostingWorld, outbox: Function, *bodies: str) -> list[str]:
    """Deliver messages, and again what is left of them; the outcomes."""
    outbox.send(*bodies)
    outcomes = outbox.run().outcomes
    for _ in range(2):
        world.clock.forward(3600)
        if run := outbox.poll():
            outcomes += run.outcomes
    return outcomes


def assert_no_secret_left_the_relay(world: PostingWorld) -> None:
    """What was sent to AWS, but for messages, which stay as their publishers wrote them; the world searches the log."""
    for operation, sent in world.aws.calls:
        if operation not in {"ReceiveMessage", "DeleteMessage"}:
            written = json.dumps({name: each for name, each in sent.items() if name != "MessageBody"}, default=str)
            for secret in (TOKEN, SECRET_QUERY, quote(SECRET_QUERY)):
                assert secret not in written, operation
    world.assert_no_secret_was_written()


@pytest.mark.parametrize("behaviour", Contrary)
def test_no_answer_to_a_post_brings_a_secret_out(world: PostingWorld, outbox: Function, behaviour: Contrary) -> None:
    world.shorten_read_timeout()
    quote_secrets(world)
    outcomes = []
    for number, details in enumerate(SOME[behaviour]):
        kind = BEHAVIOURS[behaviour].kind
        if kind is Kind.PAGE:
            world.stand_in.fail("close-after")
        world.stand_in.fail(behaviour, **details)
        outcomes += deliver(world, outbox, an_alert(number))
    assert len(outcomes) >= len(SOME[behaviour])
    assert_no_secret_left_the_relay(world)


@pytest.mark.parametrize("behaviour", ON_THE_STREAM)
def test_no_stream_brings_a_secret_out(world: PostingWorld, outbox: Function, behaviour: Contrary) -> None:
    for number, details in enumerate(SOME[behaviour]):
        world.stand_in.fail("close-after")
        world.stand_in.fail(behaviour, path=STREAM, **details)
        deliver(world, outbox, an_alert(number))
    assert world.readings >= len(SOME[behaviour])
    assert_no_secret_left_the_relay(world)


def told_by(request: Callable[[], object]) -> str:
    """All that an error of a request says."""
    try:
        request()
    except RelayError as error:
        return "".join([*traceback.format_exception(error), repr(error), error.reason, error.answer, repr(error.pause)])
    return ""


@pytest.mark.parametrize("behaviour", [each for each in Contrary if each is not Contrary.LATE])
def test_no_error_has_a_secret_in_its_text_or_its_traceback(
    world: PostingWorld, outbox: Function, behaviour: Contrary
) -> None:
    quote_secrets(world)
    client = outbox.current_container().stocktwits
    requests = [lambda: client.publish(Alert(body="$AAPL one"), None)]
    if behaviour in ON_THE_STREAM:
        requests.append(lambda: client.stream(None))
    for details in DRAWS[behaviour]:
        world.stand_in.fail(behaviour, path="", times=len(requests), **details)
        for request in requests:
            told = told_by(request)
            assert TOKEN not in told
            assert SECRET_QUERY not in told
