"""The function of the Outbox: which messages of a batch it acknowledges, in which order it posts, what it logs."""

from collections.abc import Callable
from threading import Barrier, Thread
from typing import NoReturn

import pytest
import requests
from pytest_socket import SocketConnectBlockedError
from relay.posting import bootstrap
from relay.posting.backoff import GATE_RECHECK_SECONDS

from local.stand_ins.stocktwits.api import RefusedError
from tests.worlds.functions import Function
from tests.worlds.posting import PostingWorld

pytestmark = pytest.mark.any_aws

TEN = [f"$AAPL crosses {price}" for price in range(300, 310)]


def in_a_thread(invoke: Callable[[], object]) -> Thread:
    """Start an invocation beside the test's own."""
    thread = Thread(target=invoke)
    thread.start()
    return thread


# Acknowledging


def test_a_batch_reports_the_ids_that_are_not_done_and_no_others(world: PostingWorld, outbox: Function) -> None:
    ids = outbox.send("$AAPL one", '{"bodi": 1}', "$AAPL two", "$AAPL three")
    world.stand_in.fail("5xx-before", text="two")
    run = outbox.run()
    assert run.answer == {"batchItemFailures": [{"itemIdentifier": ids[2]}]}


@pytest.mark.parametrize(("receive_count", "seconds"), [(1, 10), (2, 40), (3, 160)])
def test_the_wait_after_a_failure_grows_fourfold(
    world: PostingWorld, outbox: Function, receive_count: int, seconds: int
) -> None:
    outbox.send("$AAPL one")
    outbox.world.receive_times(outbox.queue, receive_count - 1)
    world.stand_in.fail("5xx-before")
    outbox.run()
    (timeout,) = outbox.visibility_timeouts()
    assert seconds < timeout <= seconds + min(seconds, 60) / 4 + 1


def test_after_three_failures_a_message_is_left_to_the_drain_under_the_same_key(
    world: PostingWorld, outbox: Function, leftovers: Function
) -> None:
    (key,) = outbox.send("$AAPL one")
    world.stand_in.fail("5xx-before", times=3)
    for _ in range(3):
        outbox.run()
        world.clock.forward(400)
    assert world.receive(outbox.queue) == []
    run = leftovers.run()
    assert (run.outcomes, world.status(key), world.posted) == (["posted"], "posted", ["$AAPL one"])
    assert run.deliveries[0]["receive_count"] == 4


@pytest.mark.parametrize("cause", ["operator", "rate_limited", "daily_cap"])
def test_what_waits_for_the_gate_alone_comes_back_within_a_minute_however_long_the_pause(
    world: PostingWorld, outbox: Function, cause: str
) -> None:
    """Then the gate may open early; a closed one costs three receives, after which the message is in Leftovers."""
    world.settings(MAX_POSTS_PER_DAY=1)
    outbox.send("$AAPL one", "$AAPL two")
    if cause == "operator":
        world.pause(until={"N": str(world.clock() + 2 * 3600)})
    if cause == "rate_limited":
        world.stand_in.fail("429", reset_in_seconds=3600)
    run = outbox.run()
    assert set(run.pauses) == {cause}
    assert outbox.visibility_timeouts() != []
    assert all(GATE_RECHECK_SECONDS <= each <= 60 for each in outbox.visibility_timeouts())


# Order and concurrency


def test_one_request_at_a_time_posts_in_the_order_of_the_batch(world: PostingWorld, outbox: Function) -> None:
    outbox.send(*TEN)
    outbox.run()
    assert (world.posted, world.stand_in.connections) == (TEN, 1)


def test_as_many_requests_as_configured_run_concurrently_each_on_its_own_connection(
    world: PostingWorld, outbox: Function
) -> None:
    world.settings(POST_CONCURRENCY=4)
    four_at_once = Barrier(4)
    started: list[bool] = []

    def wait_for_the_others(_: object) -> None:
        started.append(True)
        if len(started) <= 4:
            four_at_once.wait(30)

    world.on_request(wait_for_the_others)
    outbox.send(*TEN)
    assert outbox.run().outcomes == ["posted"] * 10
    assert sorted(world.posted) == TEN
    assert world.stand_in.connections == 4


def test_a_rate_limit_stops_the_requests_that_have_not_started(world: PostingWorld, outbox: Function) -> None:
    world.settings(POST_CONCURRENCY=4)
    outbox.send(*TEN)
    world.stand_in.fail("429", times=None)
    outbox.run()
    assert 1 <= len(world.publishes) <= 4
    assert (world.posted, outbox.depth()) == ([], 10)


@pytest.mark.parametrize(("first", "second"), [("outbox", "leftovers"), ("leftovers", "outbox")])
def test_a_key_that_both_functions_have_at_the_same_time_is_posted_once(
    world: PostingWorld, first: str, second: str
) -> None:
    one, other = world.functions[first], world.functions[second]
    for function in (one, other):
        function.send('{"body": "$AAPL crosses 300", "key": "k"}')
    with world.delayed_request("$AAPL crosses 300") as arrived:
        thread = in_a_thread(one.run_beside)
        assert arrived.wait(30)
        run = other.run()
        assert (run.outcomes, other.depth()) == (["deferred"], 1)
    thread.join()
    assert (len(world.publishes), one.depth(), world.status("k")) == (1, 0, "posted")
    world.clock.forward(120)
    assert other.run().outcomes == ["already_posted"]
    assert len(world.publishes) == 1


def test_the_same_message_in_two_invocations_is_posted_once(world: PostingWorld, outbox: Function) -> None:
    event = world.event("$AAPL crosses 300")
    with world.delayed_request("$AAPL crosses 300") as arrived:
        thread = in_a_thread(lambda: outbox.app.handler(event, world.context()))
        assert arrived.wait(30)
        other = outbox.in_another_container(lambda: outbox.invoke(event))
        assert other.outcomes == ["deferred"]
    thread.join()
    assert len(world.publishes) == 1


@pytest.mark.parametrize("by", ["a 429", "an operator"])
def test_a_pause_stops_an_invocation_that_is_running(
    world: PostingWorld, outbox: Function, leftovers: Function, by: str
) -> None:
    outbox.send("$AAPL one", "$AAPL two", "$AAPL three")
    leftovers.send("$MSFT one")
    with world.delayed_request("$AAPL one") as arrived:
        thread = in_a_thread(outbox.run_beside)
        assert arrived.wait(30)
        if by == "a 429":
            world.stand_in.fail("429", text="$MSFT")
            leftovers.run()
        else:
            world.pause()
        world.clock.forward(2)
    thread.join()
    assert world.posted == ["$AAPL one"]
    assert not {"$AAPL two", "$AAPL three"} & set(world.publishes)
    assert outbox.depth() == 2


def test_the_gate_is_read_once_for_a_batch(world: PostingWorld, outbox: Function) -> None:
    outbox.send(*TEN)
    outbox.run()
    assert len(world.aws.calls_of("BatchGetItem")) == 1


# Time


def test_with_little_time_left_nothing_is_started(world: PostingWorld, outbox: Function) -> None:
    (key, _) = outbox.send("$AAPL one", "$AAPL two")
    run = outbox.run(remaining_ms=19_000)
    assert (world.stand_in.requests, outbox.depth(), world.entry(key)) == ([], 2, None)
    assert (run.outcomes, run.pauses, world.item("gate")["count"]) == (["deferred"] * 2, [], 0)
    assert max(outbox.visibility_timeouts()) <= 3


def test_a_slow_batch_ends_early_and_leaves_the_rest_in_the_queue(world: PostingWorld, outbox: Function) -> None:
    outbox.send("$AAPL one", "$AAPL two", "$AAPL three")
    world.on_request(lambda _: world.clock.forward(25))
    run = outbox.run(remaining_ms=60_000)
    assert (run.outcomes, world.posted) == (["posted", "posted", "deferred"], ["$AAPL one", "$AAPL two"])
    assert "almost out of time" in run.deliveries[2]["reason"]
    world.clock.forward(5)
    assert outbox.run().outcomes == ["posted"]


# Costs


def test_ten_messages_cost_three_writes_each_plus_one_and_no_call_of_sqs(world: PostingWorld, outbox: Function) -> None:
    outbox.send(*TEN)
    outbox.run()
    asked = [name for name, _ in world.aws.calls]
    assert asked.count("UpdateItem") + asked.count("PutItem") <= 3 * 10 + 1
    assert sorted(set(asked)) == ["BatchGetItem", "GetParameter", "PutItem", "UpdateItem"]
    assert len(world.stand_in.requests) == 10


def test_a_container_reads_its_settings_and_its_token_once_for_all_its_batches(
    world: PostingWorld, outbox: Function
) -> None:
    world.patch.setattr(outbox.app, "container", bootstrap.container)
    world.settings(SOURCE_QUEUE_URL=outbox.queue)
    for body in TEN[:3]:
        outbox.send(body)
        outbox.run()
        world.settings(MAX_POSTS_PER_HOUR="changed later")
    assert (world.posted, len(world.aws.calls_of("GetParameter"))) == (TEN[:3], 1)


def test_connections_do_not_outlive_their_invocation(world: PostingWorld, outbox: Function) -> None:
    for body in TEN[:2]:
        outbox.send(body)
        outbox.run()
    assert world.stand_in.connections == 2


# Logs and metrics


def test_every_delivery_is_logged_in_one_line(world: PostingWorld, outbox: Function) -> None:
    posted, refused = outbox.send('{"body": "$AAPL one", "sentiment": "bullish"}', "$AAPL two")
    world.clock.forward(7)
    world.post_elsewhere("$AAPL two")
    run = outbox.run()
    assert len(run.lines) == 2
    good, bad = run.deliveries
    assert (
        good.items()
        >= {
            "level": "INFO",
            "service": "post_messages",
            "request_id": world.context().aws_request_id,
            "key": posted,
            "message_id": posted,
            "outcome": "posted",
            "reason": "",
            "text": "$AAPL one",
            "sentiment": "bullish",
            "queued_at": "2026-11-21T15:00:00.000Z",
            "stocktwits_id": world.stand_in.posts[1].id,
            "url": f"{world.stand_in.url}/relay_demo/message/{world.stand_in.posts[1].id}",
            "receive_count": 1,
        }.items()
    )
    assert bad.items() >= {"level": "WARNING", "key": refused, "outcome": "rejected", "status_code": 422}.items()
    assert "422" in bad["reason"]
    assert "sentiment" not in bad


def test_neither_the_token_nor_a_links_query_is_ever_written(world: PostingWorld, outbox: Function) -> None:
    """StockTwits' answer may quote both; the fixture searches all output for them."""
    link = "https://example.com/chart?signature=a-secret-query"
    quoting = f"Body refused: {link} for a-secret-token-0123456789"
    world.patch.setitem(world.stand_in.api._endpoints, "POST messages/create", lambda *_: refuse(quoting))
    outbox.send(f"$AAPL {link}")
    run = outbox.run()
    assert "Body refused: https://example.com/chart?…" in run.reason
    ((body, attributes),) = world.dead_letters()
    assert link in body
    assert "a-secret" not in attributes["RejectReason"]


def refuse(reason: str) -> NoReturn:
    raise RefusedError(422, reason)


def test_metrics_count_the_outcomes(world: PostingWorld, outbox: Function) -> None:
    outbox.send('{"body": "$AAPL one", "key": "k"}', '{"body": "$AAPL one", "key": "k"}', "$AAPL two", " ", *TEN[:2])
    world.stand_in.fail("5xx-before", text="two")
    world.clock.forward(7)
    run = outbox.run()
    assert [run.metric(name) for name in ("Posted", "AlreadyPosted", "Rejected", "Deferred")] == [3, 1, 1, 1]
    assert run.metric("SecondsFromQueuedToPosted") == 3 * 7
    assert {each.get("service") or each["stack"] for each in run.metrics} == {"post_messages", "stocktwits-relay"}
    assert {each["_aws"]["CloudWatchMetrics"][0]["Namespace"] for each in run.metrics} == {"StockTwitsRelay"}


@pytest.mark.parametrize(
    ("fault", "cause"), [("429", "rate_limited"), ("401", "token_refused"), ("403-html", "blocked")]
)
def test_a_closed_gate_is_a_metric_by_cause_and_a_log_line_with_what_to_do(
    world: PostingWorld, outbox: Function, fault: str, cause: str
) -> None:
    outbox.send("$AAPL one", "$AAPL two")
    world.stand_in.fail(fault)
    run = outbox.run()
    (metric,) = [each for each in run.metrics if "GateShut" in each]
    assert (metric["reason"], metric["service"], run.metric("GateShut")) == (cause, "post_messages", 1)
    (line,) = [line for line in run.lines if line["message"] == "gate shut"]
    assert (line["cause"], line["until"]) == (cause, float(world.item("gate")["shut"]["until"]))
    assert "StockTwits" in line["reason"]


def test_an_invalid_setting_is_named(world: PostingWorld, outbox: Function) -> None:
    outbox.send("$AAPL one")
    world.settings(POST_BURST="many")
    with pytest.raises(Exception, match="POST_BURST must be a whole number"):
        outbox.run()
    assert "POST_BURST must be a whole number" in world.written()
    assert outbox.depth() == 1


# The test environment


def test_no_connection_leaves_this_machine(world: PostingWorld) -> None:
    with pytest.warns(UserWarning, match="192.0.2.1"), pytest.raises(SocketConnectBlockedError):
        requests.get("http://192.0.2.1/", timeout=1)
