"""What the functions do in Lambda's own runtime, also when StockTwits or Firestream fails."""

import json
from datetime import date, timedelta

import pytest

from tests.factories import api_event
from tests.worlds.runtime import ARCHIVE, SOURCE, SOURCE_SECRET, Runtime

pytestmark = [pytest.mark.e2e, pytest.mark.any_aws]

SAMPLE = json.dumps({"body": "$AAPL by key", "key": "k-1"})
FIRST, LAST = date(2016, 12, 1), date(2016, 12, 12)


@pytest.fixture(autouse=True)
def empty(runtime: Runtime) -> None:
    runtime.empty()


def test_what_is_posted_is_deleted_and_a_key_is_posted_once(runtime: Runtime) -> None:
    runtime.send(runtime.outbox, "$AAPL one", SAMPLE, SAMPLE)
    assert runtime.deliver("post", runtime.outbox) == []
    assert (runtime.posted, runtime.depth(runtime.outbox)) == (["$AAPL by key", "$AAPL one"], 0)


def test_of_a_batch_only_what_failed_comes_back_and_it_is_posted_then(runtime: Runtime) -> None:
    runtime.send(runtime.outbox, "$TSLA one", "$TSLA two", "{}")
    runtime.stocktwits.fail("5xx-before", text="two", status=503)
    assert runtime.deliver("post", runtime.outbox) == ["$TSLA two"]
    assert (runtime.posted, runtime.depth(runtime.outbox)) == (["$TSLA one"], 1)
    (letter,) = runtime.receive(runtime.dead)
    assert letter["Body"] == "{}"
    assert "missing required field `body`" in letter["MessageAttributes"]["RejectReason"]["StringValue"]
    runtime.open_gate()
    assert runtime.deliver("post", runtime.outbox) == []
    assert (runtime.posted, runtime.depth(runtime.outbox)) == (["$TSLA one", "$TSLA two"], 0)


@pytest.mark.parametrize("fault", ["reset-after", "5xx-after"])
def test_a_post_whose_answer_is_lost_is_not_made_again(runtime: Runtime, fault: str) -> None:
    runtime.send(runtime.outbox, f"$NVDA {fault}")
    runtime.stocktwits.fail(fault)
    while runtime.deliver("post", runtime.outbox):
        pass
    assert (runtime.posted, runtime.depth(runtime.outbox)) == ([f"$NVDA {fault}"], 0)
    assert sum(seen.method == "POST" for seen in runtime.stocktwits.requests) == 1


def test_an_alert_that_is_received_twice_is_posted_once(runtime: Runtime) -> None:
    event = api_event(SOURCE, SOURCE_SECRET, "$AAPL by a webhook")
    first, second = (json.loads(runtime.functions["receive"].invoke(event)["body"]) for _ in range(2))
    assert (first["key"] == second["key"], first["id"] == second["id"]) == (True, False)
    while runtime.depth(runtime.outbox):
        runtime.deliver("post", runtime.outbox)
    assert runtime.posted == ["$AAPL by a webhook"]


def test_without_the_right_secret_nothing_is_received(runtime: Runtime) -> None:
    for event in (api_event(SOURCE, "guess"), api_event("nobody", SOURCE_SECRET), api_event(SOURCE)):
        assert runtime.functions["receive"].invoke(event)["statusCode"] == 404
    assert runtime.depth(runtime.outbox) == 0
    assert SOURCE_SECRET not in runtime.functions["receive"].log


def test_leftovers_are_drained_and_what_fails_stays(runtime: Runtime) -> None:
    runtime.send(runtime.leftovers, "$MSFT one", "$MSFT two")
    runtime.stocktwits.fail("5xx-before", text="two", status=503, times=None)
    assert runtime.functions["drain"].invoke({}) == {"done": 1, "left": 1}
    assert (runtime.posted, runtime.depth(runtime.leftovers)) == (["$MSFT one"], 1)


def test_a_backfills_requests_are_fulfilled_byte_for_byte_and_no_upload_stays(runtime: Runtime) -> None:
    event = {"first_day": str(FIRST), "last_day": str(LAST), "file_types": ["message"]}
    assert runtime.functions["fetch"].invoke(event)["queued"] == 12
    runtime.firestream.fail("truncated", file_type="message", day=str(FIRST))
    while runtime.depth(runtime.requests):
        assert runtime.deliver("fetch", runtime.requests) == []
    stored = {key: content for key, content in runtime.stored().items() if "message/2016/12" in key}
    assert list(stored.values()) == [
        runtime.firestream.content("message", FIRST + timedelta(days=number)) for number in range(12)
    ]
    assert "Uploads" not in runtime.s3.list_multipart_uploads(Bucket=ARCHIVE)
