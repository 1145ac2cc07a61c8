"""Every possible outcome, through both functions: what happens to the message, the ledger and the gate."""

from typing import Any, NamedTuple

import pytest
from relay.posting.alert import Alert
from relay.posting.backoff import BEHIND_OTHERS_FACTOR, BEHIND_OTHERS_SECONDS, GATE_RECHECK_SECONDS
from relay.posting.delivery import NOT_FOUND_IN_TIME
from relay.posting.ledger import LEASE_SECONDS
from relay.posting.stocktwits import BLOCKED_SECONDS

from tests.factories import LATER
from tests.worlds.functions import Function
from tests.worlds.posting import PostingWorld

HALF_AN_HOUR = 30 * 60


class Fails(NamedTuple):
    """A failure of a request to StockTwits, and its consequences.

    Attributes:
        fault: The stand-in's name of the failure.
        details: The stand-in's settings of it.
        ledger: The entry's status afterwards.
        posts: How many posts there are then.
        pause: Why and for how many seconds the gate is closed; None if it stays open.
    """

    fault: str
    details: dict[str, Any]
    ledger: str
    posts: int
    pause: tuple[str, int] | None = None


FAILURES = {
    "429": Fails("429", {}, "released", 0, ("rate_limited", 60)),
    "429 with a reset": Fails("429", {"reset_in_seconds": 1200}, "released", 0, ("rate_limited", 1200)),
    "429 with Retry-After": Fails("429", {"retry_after": 30}, "released", 0, ("rate_limited", 30)),
    "401": Fails("401", {}, "released", 0, ("token_refused", 300)),
    "401 suspended": Fails("suspended", {}, "released", 0, ("token_refused", 300)),
    "403 in JSON": Fails("403-json", {}, "released", 0, ("token_refused", 300)),
    "403 page": Fails("403-html", {}, "released", 0, ("blocked", 900)),
    "redirect": Fails("redirect", {}, "unknown", 0, ("unexpected_answer", 300)),
    "500 refused": Fails("5xx-before", {"status": 500}, "unknown", 0),
    "500 accepted": Fails("5xx-after", {"status": 500}, "unknown", 1),
    "504 accepted": Fails("5xx-after", {"status": 504}, "unknown", 1),
    "503 refused": Fails("5xx-before", {"status": 503}, "unknown", 0, ("unavailable", 60)),
    "503 accepted": Fails("5xx-after", {"status": 503}, "unknown", 1, ("unavailable", 60)),
    "time-out, accepted": Fails("timeout-after", {"seconds": 60}, "unknown", 1),
    "time-out, refused": Fails("timeout-before", {"seconds": 60}, "unknown", 0),
    "reset, accepted": Fails("reset-after", {}, "unknown", 1),
    "reset, refused": Fails("reset-before", {}, "unknown", 0),
    "closed, accepted": Fails("close-after", {}, "unknown", 1),
}
UNKNOWN_AND_THERE = {name: row for name, row in FAILURES.items() if row.ledger == "unknown" and row.posts}
UNKNOWN_AND_NOT_THERE = {name: row for name, row in FAILURES.items() if row.ledger == "unknown" and not row.posts}


def rows(table: dict[str, Fails]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", table.values(), ids=table)


def fail(world: PostingWorld, row: Fails, text: str | None = None) -> None:
    """Fail the next request to publish this text."""
    world.stand_in.fail(row.fault, text=text, **row.details)
    if row.fault.startswith("timeout"):
        world.shorten_read_timeout()


def is_wait(seconds: float, at_least: float) -> bool:
    """Whether a wait has the minimum length, with a jitter of at most a quarter of it or of a minute."""
    return at_least <= seconds <= at_least + min(at_least, 60) / 4 + 1


def wait_of(row: Fails, function: Function) -> float:
    """How long the failed message waits: for the gate alone, or longer than the others, if another one is the probe."""
    cause, seconds = row.pause or ("", 0)
    if cause in {"token_refused", "blocked", "unexpected_answer"}:
        times = 1 if cause == "token_refused" else BEHIND_OTHERS_FACTOR
        return seconds + BEHIND_OTHERS_SECONDS + times * function.first_back_off
    back_off = 1 if cause == "rate_limited" else function.first_back_off
    return max(back_off, min(seconds, GATE_RECHECK_SECONDS))


@pytest.mark.any_aws
def test_a_valid_message_is_posted_acknowledged_and_recorded(world: PostingWorld, function: Function) -> None:
    (key,) = function.send("$AAPL crosses 300")
    run = function.run()
    (post,) = world.stand_in.posts
    assert (run.outcomes, post.body, function.depth(), world.dead_letters()) == (["posted"], "$AAPL crosses 300", 0, [])
    assert (world.status(key), world.entry(key)["stocktwits_id"], world.current_pause()) == ("posted", post.id, None)
    assert function.visibility_timeouts() == []


@rows(FAILURES)
def test_a_failed_message_stays_in_the_queue_and_waits_for_its_back_off_and_for_the_gate(
    world: PostingWorld, function: Function, row: Fails
) -> None:
    failed, following = function.send("$AAPL the first", "$MSFT the second")
    fail(world, row, text="the first")
    run = function.run()
    assert (run.outcomes[0], world.status(failed), world.current_pause()) == ("deferred", row.ledger, row.pause)
    assert world.publishes.count("$AAPL the first") == 1
    assert world.posted.count("$AAPL the first") == row.posts
    assert is_wait(function.visibility_timeouts()[0], wait_of(row, function))
    if row.pause:
        assert (run.outcomes, run.pauses, function.depth()) == (["deferred", "deferred"], [row.pause[0]], 2)
        assert (world.publishes, world.entry(following)) == (["$AAPL the first"], None)
        assert is_wait(function.visibility_timeouts()[1], min(row.pause[1], GATE_RECHECK_SECONDS))
    else:
        assert (run.outcomes, run.pauses, function.depth()) == (["deferred", "posted"], [], 1)
    assert world.dead_letters() == []


@rows(UNKNOWN_AND_THERE)
@pytest.mark.any_aws
def test_a_post_of_unknown_outcome_that_is_on_the_stream_is_not_posted_again(
    world: PostingWorld, outbox: Function, row: Fails
) -> None:
    (key,) = outbox.send("$AAPL > 300 & rising: https://example.com/a?b=c")
    fail(world, row)
    outbox.run()
    world.clock.forward(120)
    run = outbox.run()
    assert (run.outcomes, outbox.depth(), world.status(key)) == (["posted"], 0, "posted")
    assert "an earlier attempt had posted it" in run.reason
    assert (len(world.publishes), len(world.posted), world.readings) == (1, 1, 1)
    assert world.entry(key)["stocktwits_id"] == world.stand_in.posts[0].id


@rows(UNKNOWN_AND_NOT_THERE)
def test_a_post_of_unknown_outcome_that_is_not_on_the_stream_is_posted_once(
    world: PostingWorld, outbox: Function, row: Fails
) -> None:
    (key,) = outbox.send("$AAPL crosses 300")
    fail(world, row)
    outbox.run()
    world.clock.forward(700)
    run = outbox.run()
    assert (run.outcomes, outbox.depth(), world.status(key)) == (["posted"], 0, "posted")
    assert (len(world.publishes), world.posted, world.readings) == (2, ["$AAPL crosses 300"], 1)


def test_the_drain_also_reads_the_stream_before_it_posts_a_message_of_unknown_outcome(
    world: PostingWorld, leftovers: Function
) -> None:
    leftovers.send("$AAPL one", "$AAPL two")
    world.stand_in.fail("5xx-after", text="one")
    world.stand_in.fail("5xx-before", text="two")
    leftovers.run()
    world.clock.forward(120)
    assert leftovers.run().outcomes == ["posted", "posted"]
    assert (world.posted, world.readings, len(world.publishes)) == (["$AAPL one", "$AAPL two"], 2, 3)


@pytest.mark.any_aws
def test_a_post_of_a_worker_that_died_is_found_and_not_posted_again(world: PostingWorld, outbox: Function) -> None:
    (key,) = outbox.send("$AAPL crosses 300")
    world.ledger().claim(key, Alert(body="$AAPL crosses 300"), key, LATER)
    world.post_elsewhere("$AAPL crosses 300")
    assert outbox.run().outcomes == ["deferred"]
    world.clock.forward(LEASE_SECONDS + outbox.first_back_off)
    assert outbox.run().outcomes == ["posted"]
    assert len(world.publishes) == 1


def test_a_message_whose_delivery_was_cut_off_three_times_is_moved_to_dead_letters(
    world: PostingWorld, function: Function
) -> None:
    deadly, other = function.send("$AAPL crosses 300", "$MSFT crosses 400")
    for _ in range(3):
        world.ledger().claim(deadly, Alert(body="$AAPL crosses 300"), deadly, LATER)
        world.clock.forward(LEASE_SECONDS)
    run = function.run()
    assert (sorted(run.outcomes), function.depth(), world.posted) == (["posted", "rejected"], 0, ["$MSFT crosses 400"])
    ((body, attributes),) = world.dead_letters()
    assert body == "$AAPL crosses 300"
    assert attributes["RejectReason"].startswith("three deliveries in a row were interrupted")
    assert (world.status(deadly), world.status(other)) == ("rejected", "posted")


@pytest.mark.any_aws
def test_a_message_whose_key_is_already_posted_is_acknowledged_without_a_request(
    world: PostingWorld, outbox: Function
) -> None:
    outbox.send('{"body": "$AAPL crosses 300", "key": "aapl-300"}')
    outbox.run()
    outbox.send('{"body": "$AAPL crosses 300", "key": "aapl-300"}')
    run = outbox.run()
    assert (run.outcomes, run.deliveries[0]["stocktwits_id"]) == (["already_posted"], world.stand_in.posts[0].id)
    assert (len(world.stand_in.requests), outbox.depth()) == (1, 0)


@pytest.mark.parametrize("status", [400, 404, 413, 418, 422])
@pytest.mark.any_aws
def test_a_message_that_stocktwits_rejects_is_moved_to_dead_letters_with_the_status(
    world: PostingWorld, outbox: Function, status: int
) -> None:
    (key,) = outbox.send("$AAPL crosses 300")
    world.stand_in.fail("error", status=status, message="Not this one")
    run = outbox.run()
    ((body, attributes),) = world.dead_letters()
    assert (run.outcomes, outbox.depth(), body) == (["rejected"], 0, "$AAPL crosses 300")
    assert attributes["StatusCode"] == str(status)
    assert str(status) in attributes["RejectReason"]
    assert (world.status(key), world.entry(key)["http_status"], world.current_pause()) == ("rejected", status, None)


def test_the_reason_of_stocktwits_is_in_the_dead_letter(world: PostingWorld, outbox: Function) -> None:
    world.stand_in.configure(link_weight=30)
    outbox.send("https://example.com/ " + "x" * 975)
    outbox.run()
    ((_, attributes),) = world.dead_letters()
    assert "Body is too long (maximum is 1000 characters)" in attributes["RejectReason"]


def test_a_duplicate_at_the_first_attempt_is_moved_to_dead_letters(world: PostingWorld, function: Function) -> None:
    world.post_elsewhere("$AAPL crosses 300")
    (key,) = function.send("$AAPL crosses 300")
    run = function.run()
    ((_, attributes),) = world.dead_letters()
    assert (run.outcomes, function.depth(), world.status(key)) == (["rejected"], 0, "rejected")
    assert "refused it as a duplicate" in attributes["RejectReason"]
    assert (attributes["StatusCode"], world.readings, len(world.posted)) == ("422", 0, 1)


def test_a_duplicate_after_an_unknown_outcome_waits_half_an_hour_when_the_stream_does_not_show_it(
    world: PostingWorld, function: Function
) -> None:
    world.stand_in.configure(near_identical=True)
    world.post_elsewhere("$MSFT crosses 300")
    (key,) = function.send("$AAPL crosses 300")
    world.stand_in.fail("5xx-before", text="AAPL")
    function.run()
    world.clock.forward(120)
    refused = function.run()
    assert (refused.outcomes, function.depth(), world.status(key)) == (["deferred"], 1, "unknown")
    assert (world.readings, world.dead_letters(), world.current_pause()) == (4, [], None)  # twice, each to its end
    assert is_wait(function.visibility_timeouts()[-1], HALF_AN_HOUR)
    world.clock.forward(HALF_AN_HOUR + 20)
    assert function.run().outcomes == ["rejected"]
    ((_, attributes),) = world.dead_letters()
    assert attributes["RejectReason"].startswith(NOT_FOUND_IN_TIME)
    assert (world.posted, world.publishes.count("$AAPL crosses 300")) == (["$MSFT crosses 300"], 2)


def test_a_duplicate_after_an_unknown_outcome_is_our_own_post_that_appears_late(
    world: PostingWorld, outbox: Function
) -> None:
    (key,) = outbox.send("$AAPL crosses 300")
    world.stand_in.fail("5xx-after")
    outbox.run()
    stream = next(path for path in world.stand_in.api._endpoints if "streams" in path)
    shown = world.stand_in.api._endpoints[stream]
    answers: list[Any] = [{"messages": []}]

    def late(*asked: Any) -> Any:
        return answers.pop() if answers else shown(*asked)

    world.patch.setitem(world.stand_in.api._endpoints, stream, late)
    world.clock.forward(120)
    run = outbox.run()
    assert (run.outcomes, outbox.depth(), world.status(key)) == (["posted"], 0, "posted")
    assert (len(world.publishes), len(world.posted), world.readings) == (2, 1, 2)


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("5xx-before", None),
        ("reset-before", None),
        ("not-json", None),
        ("429", "rate_limited"),
        ("403-html", "blocked"),
    ],
)
def test_while_the_stream_cannot_be_read_nothing_is_posted_again(
    world: PostingWorld, outbox: Function, fault: str, cause: str | None
) -> None:
    (key,) = outbox.send("$AAPL crosses 300")
    world.stand_in.fail("5xx-after")
    outbox.run()
    world.stand_in.fail(fault, path="streams/user")
    world.clock.forward(120)
    run = outbox.run()
    assert (run.outcomes, outbox.depth(), world.status(key)) == (["deferred"], 1, "unknown")
    assert (world.current_pause() or (None,))[0] == cause
    world.clock.forward(BLOCKED_SECONDS + 120 + 12 * 40 + 30)
    assert outbox.run().outcomes == ["posted"]
    assert (len(world.publishes), len(world.posted)) == (1, 1)


def test_a_post_that_others_followed_is_found_on_a_later_page(world: PostingWorld, outbox: Function) -> None:
    outbox.send("$AAPL crosses 300")
    world.stand_in.fail("5xx-after")
    outbox.run()
    world.clock.forward(120)
    for number in range(45):
        world.post_elsewhere(f"by hand {number}")
    assert outbox.run().outcomes == ["posted"]
    assert (world.posted.count("$AAPL crosses 300"), world.readings) == (1, 2)


def test_when_the_stream_does_not_reach_back_the_message_is_left_to_an_operator(
    world: PostingWorld, outbox: Function
) -> None:
    outbox.send("$AAPL crosses 300")
    world.stand_in.fail("5xx-after")
    outbox.run()
    world.clock.forward(120)
    for number in range(30):
        world.post_elsewhere(f"by hand {number}")
    world.stand_in.fail("max-ignored", times=None)
    run = outbox.run()
    ((_, attributes),) = world.dead_letters()
    assert (run.outcomes, world.posted.count("$AAPL crosses 300")) == (["rejected"], 1)
    assert "could not be read back to the first attempt" in attributes["RejectReason"]
    assert "look on StockTwits" in attributes["RejectReason"]


def test_when_stocktwits_cannot_be_reached_the_key_is_released(world: PostingWorld, function: Function) -> None:
    (key,) = function.send("$AAPL crosses 300")
    with world.unreachable():
        run = function.run()
    assert (run.outcomes, world.status(key), world.current_pause()) == (["deferred"], "released", None)
    assert "could not be reached" in run.reason
    assert is_wait(function.visibility_timeouts()[0], function.first_back_off)
    world.clock.forward(120)
    assert function.run().outcomes == ["posted"]
    assert world.readings == 0


def test_a_post_that_was_not_sent_does_not_count_towards_the_pace(world: PostingWorld, outbox: Function) -> None:
    outbox.send("$AAPL one", "$AAPL two")
    with world.unreachable():
        outbox.run()
    assert world.item("gate")["count"] == 0


def test_a_post_that_was_refused_counts_towards_the_pace(world: PostingWorld, outbox: Function) -> None:
    outbox.send("$AAPL one")
    world.stand_in.fail("429")
    outbox.run()
    assert world.item("gate")["count"] == 1


# The token


def test_a_refused_token_is_read_again_and_a_newer_one_used_at_once(world: PostingWorld, function: Function) -> None:
    function.send("$AAPL one")
    function.run()
    newer = world.stand_in.access_token + "-newer"
    world.stand_in.configure(access_token=newer)
    world.store_token(newer)
    function.send("$AAPL two")
    assert function.run().outcomes == ["posted"]
    assert (world.posted, world.current_pause()) == (["$AAPL one", "$AAPL two"], None)
    assert len(world.aws.calls_of("GetParameter")) == 2


def test_a_refused_token_that_is_still_the_stored_one_is_not_tried_twice(world: PostingWorld, outbox: Function) -> None:
    outbox.send("$AAPL one")
    world.stand_in.configure(access_token="another")
    assert outbox.run().outcomes == ["deferred"]
    assert (len(world.publishes), world.current_pause()) == (1, ("token_refused", 300))


def test_after_a_refused_token_one_probe_goes_first_and_opens_the_gate_for_all(
    world: PostingWorld, function: Function
) -> None:
    world.stand_in.fail("401")
    function.send("$AAPL one", "$AAPL two", "$AAPL three")
    function.run()
    world.clock.forward(320)
    before = len(world.publishes)
    outbox_probe = function.run()
    if function.name == "post_messages":
        assert outbox_probe.outcomes == ["posted", "deferred"]
        assert len(world.publishes) == before + 1
    world.clock.forward(400)
    function.run()
    assert sorted(world.posted) == ["$AAPL one", "$AAPL three", "$AAPL two"]


def test_a_probe_that_is_refused_closes_the_gate_again(world: PostingWorld, function: Function) -> None:
    world.stand_in.fail("401", times=2)
    function.send("$AAPL one", "$AAPL two")
    function.run()
    world.clock.forward(320)
    function.run()
    assert (len(world.publishes), world.posted, world.current_pause()) == (2, [], ("token_refused", 300))


@pytest.mark.parametrize(
    ("style", "header", "field"),
    [
        ("bearer", "Bearer a-secret-token-0123456789", None),
        ("oauth", "OAuth a-secret-token-0123456789", None),
        ("form", None, "a-secret-token-0123456789"),
    ],
)
def test_the_token_is_sent_in_the_configured_style_and_never_in_the_url(
    world: PostingWorld, outbox: Function, style: str, header: str | None, field: str | None
) -> None:
    world.settings(STOCKTWITS_AUTH_STYLE=style)
    outbox.send("$AAPL one")
    outbox.run()
    (seen,) = world.stand_in.requests
    assert (seen.headers.get("Authorization"), seen.fields.get("access_token"), seen.query) == (header, field, {})
    assert world.posted == ["$AAPL one"]


# Dry runs, pace, pauses and keys


def test_a_dry_run_does_everything_but_the_request(world: PostingWorld, function: Function) -> None:
    world.settings(DRY_RUN="true")
    (key, _) = function.send("$AAPL one", '{"bodi": 1}')
    run = function.run()
    assert (run.outcomes, function.depth(), world.status(key)) == (["dry_run", "rejected"], 0, "dry_run")
    assert (world.stand_in.requests, len(world.dead_letters()), run.metric("Posted")) == ([], 1, 0)
    assert "nothing was sent" in run.deliveries[0]["reason"]


def test_a_dry_run_keeps_the_pace(world: PostingWorld, outbox: Function) -> None:
    world.settings(DRY_RUN="true", POST_BURST=1, MAX_POSTS_PER_HOUR=1)
    outbox.send("$AAPL one", "$AAPL two")
    assert outbox.run().outcomes.count("dry_run") == 1


def test_after_a_dry_run_the_same_key_can_be_posted(world: PostingWorld, outbox: Function) -> None:
    world.settings(DRY_RUN="true")
    outbox.send('{"body": "$AAPL one", "key": "k"}')
    outbox.run()
    world.settings(DRY_RUN="false")
    outbox.send('{"body": "$AAPL one", "key": "k"}')
    assert outbox.run().outcomes == ["posted"]


def test_a_batch_goes_no_faster_than_the_pace(world: PostingWorld, function: Function) -> None:
    world.settings(POST_BURST=3, MAX_POSTS_PER_HOUR=12)
    function.send(*(f"$AAPL {number}" for number in range(5)))
    run = function.run()
    assert (len(world.posted), function.depth(), run.pauses) == (3, 2, ["pace"])


def test_the_daily_cap_applies_to_both_functions_together(
    world: PostingWorld, outbox: Function, leftovers: Function
) -> None:
    world.settings(MAX_POSTS_PER_DAY=3)
    outbox.send("$AAPL one", "$AAPL two")
    leftovers.send("$MSFT one", "$MSFT two")
    outbox.run()
    leftovers.run()
    assert len(world.posted) == 3


@pytest.mark.any_aws
def test_an_operators_pause_stops_both_functions_until_it_is_lifted(world: PostingWorld, function: Function) -> None:
    world.pause(who={"S": "anna"}, why={"S": "earnings day"})
    (key,) = function.send("$AAPL one")
    run = function.run()
    assert (world.stand_in.requests, function.depth(), world.entry(key), run.pauses) == ([], 1, None, ["operator"])
    world.lift_pause()
    world.clock.forward(80)
    assert function.run().outcomes == ["posted"]


@pytest.mark.any_aws
def test_the_attribute_relay_key_is_used_when_the_message_has_no_key(world: PostingWorld, function: Function) -> None:
    function.send("$AAPL one", RelayKey="the-first-id")
    function.run()
    function.send("$AAPL one", RelayKey="the-first-id")
    assert function.run().outcomes == ["already_posted"]
    assert world.status("the-first-id") == "posted"


def test_a_messages_own_key_has_precedence_over_the_attribute(world: PostingWorld, outbox: Function) -> None:
    outbox.send('{"body": "$AAPL one", "key": "own"}', RelayKey="the-first-id")
    outbox.run()
    assert (world.status("own"), world.entry("the-first-id")) == ("posted", None)


# When AWS fails


@pytest.mark.any_aws
def test_a_post_that_could_not_be_recorded_is_found_later_and_not_repeated(
    world: PostingWorld, outbox: Function
) -> None:
    outbox.send('{"body": "$AAPL one", "key": "k"}')
    for claim_then_settle in (None, "InternalServerError"):
        world.aws.answer("UpdateItem", claim_then_settle)
    run = outbox.run()
    assert (run.outcomes, outbox.depth(), world.status("k")) == (["posted"], 0, "claimed")
    assert "the ledger could not be updated" in run.reason
    outbox.send('{"body": "$AAPL one", "key": "k"}')
    world.clock.forward(LEASE_SECONDS)
    assert outbox.run().outcomes == ["posted"]
    assert len(world.publishes) == 1


@pytest.mark.any_aws
def test_a_message_that_could_not_be_moved_to_dead_letters_stays_in_its_queue(
    world: PostingWorld, function: Function
) -> None:
    function.send('{"bodi": 1}')
    world.aws.answer("SendMessage", "InternalError")
    run = function.run()
    assert (run.outcomes, function.depth(), world.dead_letters()) == (["deferred"], 1, [])
    assert "Dead letters did not take it" in run.reason
    world.clock.forward(120)
    assert function.run().outcomes == ["rejected"]
    assert (function.depth(), len(world.dead_letters())) == (0, 1)


@pytest.mark.any_aws
def test_a_rejected_message_that_could_not_be_acknowledged_is_not_sent_again(
    world: PostingWorld, outbox: Function
) -> None:
    (key,) = outbox.send("$AAPL one")
    world.stand_in.fail("error", status=422, message="Not this one")
    world.aws.answer("SendMessage", "InternalError")
    outbox.run()
    world.clock.forward(120)
    run = outbox.run()
    assert (run.outcomes, len(world.publishes), world.status(key)) == (["rejected"], 1, "rejected")
    assert world.dead_letters()[0][1]["StatusCode"] == "422"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (lambda sent: {"Failed": [{"Id": "0", "SenderFault": False, "Code": "InternalError"}]}, "InternalError"),
        ("RequestThrottled", "RequestThrottled"),
    ],
    ids=["one entry", "the whole call"],
)
@pytest.mark.any_aws
def test_a_message_whose_visibility_could_not_be_set_is_logged_and_affects_no_other(
    world: PostingWorld, function: Function, answer: Any, code: str
) -> None:
    failed, _ = function.send("$AAPL one", "$AAPL two")
    world.stand_in.fail("5xx-before", text="one")
    world.aws.answer("ChangeMessageVisibilityBatch", answer)
    run = function.run()
    assert run.failures == [f"message {failed} could not be rescheduled: {code}"]
    assert (run.outcomes, function.depth()) == (["deferred", "posted"], 1)


@pytest.mark.any_aws
def test_while_dynamodb_throttles_the_messages_stay_in_the_queue(world: PostingWorld, function: Function) -> None:
    (key,) = function.send("$AAPL one")
    world.aws.answer("BatchGetItem", "ThrottlingException", times=9)
    run = function.run()
    assert (world.stand_in.requests, function.depth(), world.entry(key), run.pauses) == ([], 1, None, ["ledger"])
