"""Posts about one symbol, or with texts that are alike, are made one after the other, with time between them.

A message that has to wait costs nothing but looks at it; what was not posted keeps nobody waiting; what may have been
posted does.
"""

import sys
from typing import Any

import pytest
from relay.aws import Clients
from relay.posting.alert import Alert
from relay.posting.ledger import LEASE_SECONDS, Ledger
from relay.posting.outcome import Claim, Published, Settlement, Status
from relay.posting.spacing import LATEST_SECONDS, LOOK_AGAIN_SECONDS, Spacing
from relay.queues import VISIBILITY_LIMIT_SECONDS

from tests.factories import LATER
from tests.integration.posting.test_alarms import OURS, breaches
from tests.integration.posting.test_outcomes import is_wait
from tests.integration.posting.test_post_messages import in_a_thread
from tests.worlds.clock import Clock
from tests.worlds.functions import Function, Outbox
from tests.worlds.posting import TABLE, PostingWorld
from tests.worlds.runs import Run

MINUTE, HOUR, WEEK = 60, 3600, 7 * 24 * 3600
HALF_AN_HOUR = 1800
AAPL, ALERT = "spacing#$AAPL", Alert(body="$AAPL up")
WRITES = ("UpdateItem", "PutItem", "DeleteItem", "TransactWriteItems")
POSTED = Settlement(Status.POSTED, published=Published(7, "https://stocktwits.com/relay_demo/message/7"))


@pytest.fixture
def by_symbol(world: PostingWorld) -> PostingWorld:
    """A relay that posts about a symbol once an hour."""
    world.settings(SYMBOL_COOLDOWN_MINUTES=60)
    return world


def writes(world: PostingWorld) -> list[str]:
    """The writes about messages since the last call; those about the gate come once a batch."""
    calls = [(name, call) for name, call in world.aws.calls if name in WRITES]
    world.aws.calls.clear()
    return [name for name, call in calls if "gate" not in str(call.get("Key", call.get("Item")))]


def holds(run: Run, number: int = -1) -> list[tuple[str, float]]:
    """What keeps a message back: the rules, and until when."""
    return [(each["cause"], each["until"]) for each in run.deliveries[number].get("holds", [])]


def unreachable(world: PostingWorld, function: Function) -> Run:
    with world.unreachable():
        return function.run()


# One symbol


@pytest.mark.any_aws
def test_a_symbol_is_posted_about_once_in_its_time(by_symbol: PostingWorld, function: Function) -> None:
    function.send("$AAPL one")
    assert function.run().outcomes == ["posted"]
    function.send("$AAPL two", "$MSFT one")
    run = function.run()
    assert (sorted(run.outcomes), function.depth()) == (["deferred", "posted"], 1)
    assert by_symbol.posted == ["$AAPL one", "$MSFT one"]


def test_its_time_begins_when_the_post_was_made_and_not_when_it_was_begun(
    by_symbol: PostingWorld, outbox: Function
) -> None:
    by_symbol.on_request(lambda _: by_symbol.clock.forward(5))
    outbox.send("$AAPL one", "$AAPL two")
    run = outbox.run()
    (post,) = by_symbol.stand_in.posts
    assert holds(run) == [("symbol", post.created_at.timestamp() + HOUR)]
    assert by_symbol.item(AAPL)["at"] == post.created_at.timestamp() - 5


def test_of_two_messages_in_a_batch_the_second_waits(by_symbol: PostingWorld, outbox: Function) -> None:
    by_symbol.settings(POST_CONCURRENCY=4)
    outbox.send("$AAPL one", "$AAPL two", "$MSFT one")
    assert sorted(outbox.run().outcomes) == ["deferred", "posted", "posted"]
    assert len(by_symbol.publishes) == 2


@pytest.mark.any_aws
def test_a_message_with_several_symbols_waits_for_all_and_keeps_none_back(
    by_symbol: PostingWorld, outbox: Function
) -> None:
    now = by_symbol.clock()
    outbox.send("$AAPL one")
    outbox.run()
    by_symbol.clock.forward(10 * MINUTE)
    outbox.send("$MSFT one", "$AAPL $MSFT $TSLA two", "$TSLA three")
    run = outbox.run()
    assert run.outcomes == ["posted", "deferred", "posted"]
    assert sorted(holds(run, 1)) == [("symbol", now + HOUR), ("symbol", now + 10 * MINUTE + HOUR)]
    by_symbol.clock.forward(HOUR)
    assert outbox.run().outcomes == ["posted"]
    outbox.send("$TSLA four")
    assert outbox.run().outcomes == ["deferred"]


def test_a_message_waits_no_second_time_for_what_it_took_itself(by_symbol: PostingWorld, outbox: Function) -> None:
    outbox.send("$AAPL one")
    assert unreachable(by_symbol, outbox).outcomes == ["deferred"]
    by_symbol.clock.forward(15)
    assert outbox.run().outcomes == ["posted"]
    assert by_symbol.item(AAPL)["at"] == by_symbol.clock()


@pytest.mark.any_aws
def test_a_message_that_comes_again_is_not_kept_back_by_its_own_post(by_symbol: PostingWorld, outbox: Function) -> None:
    event = by_symbol.event("$AAPL one")
    assert [outbox.invoke(event).outcomes for _ in range(2)] == [["posted"], ["already_posted"]]


def test_what_waits_gives_its_place_at_the_gate_to_others(by_symbol: PostingWorld, outbox: Function) -> None:
    by_symbol.settings(POST_BURST=2, MAX_POSTS_PER_HOUR=1)
    outbox.send("$AAPL one", "$AAPL two", "$MSFT one")
    assert outbox.run().outcomes == ["posted", "deferred", "posted"]


# Texts that are alike


def test_texts_that_are_alike_are_spaced_instead_of_being_refused(world: PostingWorld, outbox: Function) -> None:
    world.stand_in.configure(near_identical=True)
    outbox.send("$AAPL crosses 300", "$MSFT crosses 300")
    assert outbox.run().outcomes == ["posted", "rejected"]
    world.clock.forward(HALF_AN_HOUR)
    world.settings(ALIKE_MINUTES=30)
    outbox.send("$AAPL crosses 300", "$MSFT crosses 300")
    run = outbox.run()
    assert (run.outcomes, holds(run)) == (["posted", "deferred"], [("alike", world.clock() + HALF_AN_HOUR)])
    world.clock.forward(HALF_AN_HOUR + 20)
    assert outbox.run().outcomes == ["posted"]


@pytest.mark.any_aws
def test_each_rule_has_its_own_time_and_a_message_waits_for_both(world: PostingWorld, outbox: Function) -> None:
    world.settings(ALIKE_MINUTES=30, SYMBOL_COOLDOWN_MINUTES=60)
    now = world.clock()
    outbox.send("$AAPL up")
    outbox.run()
    outbox.send("$AAPL up 3%", "$AAPL down", "$MSFT up")
    run = outbox.run()
    assert [sorted(holds(run, number)) for number in range(3)] == [
        [("alike", now + HALF_AN_HOUR), ("symbol", now + HOUR)],
        [("symbol", now + HOUR)],
        [("alike", now + HALF_AN_HOUR)],
    ]
    alike = "a post like it was made less than 30 minutes before"
    symbol = "a post about $AAPL was made less than 60 minutes before"
    assert run.deliveries[0]["reason"].endswith(f"{alike}, and {symbol}")


# What was not posted keeps nobody waiting


def test_a_message_that_stocktwits_rejects_frees_its_symbol(by_symbol: PostingWorld, outbox: Function) -> None:
    by_symbol.stand_in.fail("error", status=422, message="Not this one")
    outbox.send("$AAPL one", "$AAPL two")
    assert outbox.run().outcomes == ["rejected", "posted"]


def test_a_message_that_was_not_sent_frees_its_symbol(by_symbol: PostingWorld, outbox: Function) -> None:
    outbox.send("$AAPL one")
    unreachable(by_symbol, outbox)
    outbox.send("$AAPL two")
    assert outbox.run().outcomes == ["posted"]
    by_symbol.clock.forward(15)
    assert outbox.run().outcomes == ["deferred"]


def test_a_message_that_a_pause_stops_takes_nothing(by_symbol: PostingWorld, outbox: Function) -> None:
    by_symbol.stand_in.fail("429")
    outbox.send("$MSFT one", "$AAPL one")
    outbox.run()
    assert by_symbol.item(AAPL) is None


def test_a_rejected_message_that_an_operator_sends_again_waits_as_any_other(
    by_symbol: PostingWorld, outbox: Function
) -> None:
    by_symbol.stand_in.fail("error", status=422, message="Not this one")
    outbox.send('{"body": "$AAPL one", "key": "k"}', "$AAPL two")
    outbox.run()
    outbox.send('{"body": "$AAPL one", "key": "k"}')
    run = outbox.run()
    assert (run.outcomes, holds(run)) == (["deferred"], [("symbol", by_symbol.clock() + HOUR)])
    assert by_symbol.status("k") == "released"
    by_symbol.clock.forward(HOUR + 20)
    assert outbox.run().outcomes == ["posted"]


# What may have been posted does


@pytest.mark.parametrize(("fault", "posts"), [("reset-after", 1), ("reset-before", 0)])
def test_a_lost_answer_keeps_the_symbol_taken_until_the_outcome_is_known(
    by_symbol: PostingWorld, leftovers: Function, fault: str, posts: int
) -> None:
    now = by_symbol.clock()
    by_symbol.stand_in.fail(fault)
    leftovers.send('{"body": "$AAPL one", "key": "k"}', "$AAPL two")
    run = leftovers.run()
    assert (run.outcomes, len(by_symbol.posted)) == (["deferred", "deferred"], posts)
    assert holds(run) == [("symbol", now + LOOK_AGAIN_SECONDS)]
    assert run.deliveries[-1]["reason"].endswith("a post about $AAPL may have been made: its outcome is not known yet")
    by_symbol.clock.forward(80)
    assert leftovers.run().outcomes == ["posted"]  # found on the stream, or posted now
    known_at = by_symbol.entry("k")["settled_at"]
    by_symbol.clock.forward(LOOK_AGAIN_SECONDS)
    assert holds(leftovers.run()) == [("symbol", known_at + HOUR)]
    by_symbol.clock.forward(HOUR)
    assert leftovers.run().outcomes == ["posted"]
    assert by_symbol.posted == ["$AAPL one", "$AAPL two"]


def test_a_message_that_may_be_posted_is_looked_for_however_its_symbol_was_taken_meanwhile(
    by_symbol: PostingWorld, outbox: Function
) -> None:
    event = by_symbol.event("$AAPL one")
    by_symbol.stand_in.fail("reset-after")
    outbox.invoke(event)
    by_symbol.clock.forward(LATEST_SECONDS + HOUR)
    outbox.send("$AAPL two")
    outbox.run()
    assert outbox.invoke(event).outcomes == ["posted"]
    assert by_symbol.publishes == ["$AAPL one", "$AAPL two"]


@pytest.mark.any_aws
def test_after_a_crash_before_the_request_the_symbol_stays_taken_until_the_next_attempt(
    by_symbol: PostingWorld, outbox: Function
) -> None:
    def crash(*_: object) -> None:
        raise SystemExit

    event = by_symbol.event("$AAPL one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("relay.posting.stocktwits.StockTwits.publish", crash)
        outbox.restart()
        with pytest.raises(SystemExit):
            outbox.invoke(event)
    outbox.restart()
    outbox.send("$AAPL two")
    run = outbox.run()
    assert holds(run) == [("symbol", by_symbol.clock() + LEASE_SECONDS)]
    assert run.reason.endswith("a post about $AAPL is being made")
    by_symbol.clock.forward(120)
    assert holds(outbox.run()) == [("symbol", by_symbol.clock() + LOOK_AGAIN_SECONDS)]
    assert outbox.invoke(event).outcomes == ["posted"]
    assert (by_symbol.posted, by_symbol.item(AAPL)["at"]) == (["$AAPL one"], by_symbol.clock())


# Several workers, and DynamoDB's failures


@pytest.mark.any_aws
def test_while_one_worker_posts_about_a_symbol_another_one_does_not(by_symbol: PostingWorld, outbox: Function) -> None:
    with by_symbol.delayed_request("$AAPL one") as arrived:
        event = by_symbol.event("$AAPL one")
        thread = in_a_thread(lambda: outbox.app.handler(event, by_symbol.context()))
        assert arrived.wait(30)
        outbox.send("$AAPL two")
        other = outbox.in_another_container(outbox.run)
        assert other.outcomes == ["deferred"]
        by_symbol.clock.forward(LEASE_SECONDS - 1)
        outbox.send("$AAPL three")
        assert outbox.in_another_container(outbox.run).outcomes == ["deferred"] * 2
    thread.join()
    assert by_symbol.publishes == ["$AAPL one"]


class Workers:
    """Several workers' looks and takes in a table, each key's claim before its take."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.ledger = ledger
        self.clock = clock
        self.claims: dict[str, Claim] = {}
        self.views: dict[str, Any] = {}
        self.spacing = Spacing(Clients().get("dynamodb"), TABLE, clock, alike_seconds=0, symbol_seconds=HOUR)

    def look(self, key: str, text: str = "$AAPL up") -> list[str]:
        """Look, and claim unless something keeps the message back; returns the reasons."""
        alert = Alert(body=text)
        view = self.views[key] = self.spacing.look(key, alert)
        if not view.holds:
            self.claims[key] = self.ledger.claim(key, alert, f"message of {key}", LATER)
        return [each.reason for each in view.holds]

    def take(self, key: str, text: str = "$AAPL up") -> list[str]:
        """Take what the message needs; returns the reasons why it could not."""
        return [each.reason for each in self.spacing.take(key, Alert(body=text), self.views[key])]

    def settle(self, key: str, settlement: Settlement) -> None:
        self.ledger.settle(self.claims[key], settlement)


@pytest.fixture
def workers(world: PostingWorld, ledger: Ledger) -> Workers:
    return Workers(ledger, world.clock)


IS_BEING_MADE = ["a post about $AAPL is being made"]
WAS_MADE = ["a post about $AAPL was made less than 60 minutes before"]


@pytest.mark.any_aws
def test_of_two_workers_that_find_several_symbols_free_one_takes_them_all(
    world: PostingWorld, workers: Workers
) -> None:
    assert workers.look("k-1") == workers.look("k-2", "$MSFT $AAPL") == []
    assert workers.take("k-1") == []
    assert workers.take("k-2", "$MSFT $AAPL") == IS_BEING_MADE
    assert world.item("spacing#$MSFT") is None


@pytest.mark.any_aws
def test_a_symbol_that_a_rejected_post_left_free_is_taken_by_one_of_two(world: PostingWorld, workers: Workers) -> None:
    workers.look("k-1")
    workers.take("k-1")
    workers.settle("k-1", Settlement(Status.REJECTED))
    workers.clock.forward(1)
    assert workers.look("k-2", "$AAPL $MSFT") == workers.look("k-3") == []
    assert workers.take("k-3") == []
    assert workers.take("k-2", "$AAPL $MSFT") == IS_BEING_MADE
    assert world.item(AAPL)["key"] == "k-3"


@pytest.mark.parametrize(("text", "operation"), [("$AAPL up", "PutItem"), ("$AAPL $MSFT", "TransactWriteItems")])
@pytest.mark.any_aws
def test_a_symbol_whose_taking_was_not_answered_is_taken(
    world: PostingWorld, workers: Workers, text: str, operation: str
) -> None:
    workers.look("k-1", text)
    world.aws.lose_answer(operation)
    assert workers.take("k-1", text) == []
    assert world.item(AAPL)["key"] == "k-1"
    assert workers.look("k-2") == IS_BEING_MADE


def test_a_message_whose_symbols_cannot_be_taken_is_not_sent_and_keeps_nobody_waiting(
    by_symbol: PostingWorld, outbox: Function
) -> None:
    by_symbol.aws.answer("TransactWriteItems", "InternalServerError", times=3)
    (key,) = outbox.send("$AAPL $MSFT one")
    run = outbox.run()
    assert (run.outcomes, by_symbol.publishes, by_symbol.status(key)) == (["deferred"], [], "released")
    outbox.send("$AAPL two")
    assert outbox.run().outcomes == ["posted"]


# A dry run


def test_a_dry_run_shows_what_would_wait_and_keeps_no_post_waiting(
    by_symbol: PostingWorld, leftovers: Function
) -> None:
    by_symbol.settings(DRY_RUN="true")
    leftovers.send("$AAPL one", "$AAPL two")
    assert leftovers.run().outcomes == ["dry_run", "deferred"]
    by_symbol.settings(DRY_RUN="false")
    leftovers.send("$AAPL three")
    assert leftovers.run().outcomes == ["posted"]


# How a message waits


def test_a_message_in_leftovers_that_waits_is_hidden_until_its_time(world: PostingWorld, leftovers: Function) -> None:
    world.settings(SYMBOL_COOLDOWN_MINUTES=4)
    leftovers.send("$AAPL one", "$AAPL two")
    leftovers.run()
    (seconds,) = leftovers.visibility_timeouts()
    assert is_wait(seconds, 4 * MINUTE)


def test_steady_messages_that_wait_leave_the_outbox_empty(world: PostingWorld, outbox: Outbox) -> None:
    world.settings(SYMBOL_COOLDOWN_MINUTES=1)
    outbox.send("$AAPL one", "$AAPL two")
    for _ in range(4):
        outbox.poll()
        world.clock.forward(1.001)
    assert outbox.depth() == 0


def test_a_message_in_leftovers_that_waits_for_a_week_is_looked_at_as_seldom_as_sqs_allows(
    world: PostingWorld, leftovers: Function
) -> None:
    world.settings(SYMBOL_COOLDOWN_MINUTES=WEEK // MINUTE)
    leftovers.send("$AAPL one", "$AAPL two")
    leftovers.run()
    assert leftovers.visibility_timeouts() == [VISIBILITY_LIMIT_SECONDS]


def test_a_message_that_waits_is_settled_as_soon_as_it_expires(by_symbol: PostingWorld, leftovers: Function) -> None:
    expiring = '{"body": "$AAPL two", "key": "k", "expires_at": "2026-11-21T15:10:00Z"}'
    leftovers.send("$AAPL one", expiring)
    leftovers.run()
    (seconds,) = leftovers.visibility_timeouts()
    assert is_wait(seconds, 10 * MINUTE)
    by_symbol.clock.forward(seconds)
    run = leftovers.run()
    assert (run.outcomes, holds(run), by_symbol.publishes) == (["rejected"], [], ["$AAPL one"])
    ((body, attributes),) = by_symbol.dead_letters()
    assert body == expiring
    assert attributes["RejectReason"].startswith("it expired at 2026-11-21T15:10:00+00:00")


def test_a_message_that_waited_two_hundred_times_is_given_up_with_what_it_waits_for(
    by_symbol: PostingWorld, outbox: Function
) -> None:
    outbox.send("$AAPL one")
    outbox.run()
    events = [by_symbol.event("$AAPL two", receive_count=count) for count in (199, 200)]
    assert [outbox.invoke(each).outcomes for each in events] == [["deferred"], ["rejected"]]
    ((_, attributes),) = by_symbol.dead_letters()
    assert attributes["RejectReason"].startswith("given up after 200 receives, the last one: it waits until")
    assert attributes["RejectReason"].endswith("no attempt posted it: once the cause is gone, send it again")


def test_a_message_that_waits_sets_off_no_alarm(by_symbol: PostingWorld, leftovers: Function) -> None:
    leftovers.send("$AAPL one", "$AAPL two")
    leftovers.run()
    by_symbol.settings(SYMBOL_COOLDOWN_MINUTES=120)
    by_symbol.clock.forward(HOUR + 20)
    run = leftovers.run()
    assert (run.outcomes, run.pauses, by_symbol.current_pause()) == (["deferred"], [], None)
    assert [name for name in OURS if breaches(run, name)] == []
    assert [line["level"] for line in run.lines] == ["INFO"]


# What it costs


@pytest.mark.parametrize(
    ("rules", "taking"),
    [
        ({}, []),
        ({"WHEN_DUPLICATE": "wait"}, []),
        ({"SYMBOL_COOLDOWN_MINUTES": 60}, ["PutItem"]),
        ({"ALIKE_MINUTES": 30}, ["PutItem"]),
        ({"ALIKE_MINUTES": 30, "SYMBOL_COOLDOWN_MINUTES": 60}, ["TransactWriteItems"]),
    ],
    ids=["no rule", "WhenDuplicate", "SymbolCooldownMinutes", "AlikeMinutes", "both"],
)
def test_a_post_costs_at_most_one_more_write_for_each_rule_and_without_rules_none(
    world: PostingWorld, outbox: Function, rules: dict[str, Any], taking: list[str]
) -> None:
    world.settings(**rules)
    outbox.send("$AAPL up")
    world.aws.calls.clear()
    outbox.run()
    reads = len(world.aws.calls_of("BatchGetItem"))
    assert (writes(world), reads) == (["UpdateItem", *taking, "PutItem", "UpdateItem"], 2 if taking else 1)


def test_a_post_about_several_symbols_costs_one_more_write(by_symbol: PostingWorld, outbox: Function) -> None:
    outbox.send("$AAPL $MSFT $TSLA up")
    outbox.run()
    assert writes(by_symbol) == ["UpdateItem", "TransactWriteItems", "PutItem", "UpdateItem"]


def test_a_message_that_waits_costs_no_write(by_symbol: PostingWorld, function: Function) -> None:
    function.send("$AAPL one")
    function.run()
    function.send("$AAPL two", "$AAPL three")
    by_symbol.aws.calls.clear()
    function.run()
    assert writes(by_symbol) == []


def test_without_these_rules_their_module_is_not_loaded(
    world: PostingWorld, outbox: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "relay.posting.spacing")
    outbox.send("$AAPL one")
    outbox.run()
    assert "relay.posting.spacing" not in sys.modules
