"""What became stale is not posted; it ends in Dead letters, or in the log alone, without an alarm."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.posting.test_alarms import OURS, breaches
from tests.integration.posting.test_result_events import NewEvents, new_events  # noqa: F401  a fixture
from tests.worlds.functions import Function
from tests.worlds.posting import PostingWorld

TEXT = "$AAPL crosses 300"
HALF_AN_HOUR = 1800
OWN = json.dumps({"body": TEXT, "expires_at": "2026-11-21T15:30:00Z"})
"""It expires half an hour after the test begins."""

LOG, DEAD_LETTERS = "log", "dead-letters"


def ends(world: PostingWorld, function: Function) -> tuple[int, int, list[str]]:
    """How many messages are in the function's queue and in Dead letters, and what was posted."""
    return function.depth(), world.count(world.dead), world.posted


@pytest.fixture
def rule(world: PostingWorld) -> Callable[..., None]:
    """Sets the rule: messages expire after half an hour."""

    def set_rule(expired_to: str = DEAD_LETTERS, **more: object) -> None:
        world.settings(DEFAULT_EXPIRY_MINUTES=30, EXPIRED_TO=expired_to, **more)

    return set_rule


@pytest.mark.parametrize(("waited", "outcome"), [(HALF_AN_HOUR - 1, "posted"), (HALF_AN_HOUR, "rejected")])
def test_a_message_expires_so_many_minutes_after_it_was_sent(
    world: PostingWorld, function: Function, rule: Callable[..., None], waited: int, outcome: str
) -> None:
    rule()
    function.send(TEXT)
    world.clock.forward(waited)
    assert function.run().outcomes == [outcome]
    assert ends(world, function) == ((0, 0, [TEXT]) if outcome == "posted" else (0, 1, []))


def test_without_the_rule_a_message_waits_for_days(world: PostingWorld, leftovers: Function) -> None:
    leftovers.send(TEXT)
    world.clock.forward(12 * 24 * 3600)
    assert leftovers.run().outcomes == ["posted"]


def test_an_expired_message_is_a_dead_letter_with_its_reason_and_sending_it_again_begins_its_time_anew(
    world: PostingWorld, outbox: Function, rule: Callable[..., None]
) -> None:
    rule()
    outbox.send(TEXT)
    world.clock.forward(HALF_AN_HOUR)
    outbox.run()
    ((body, attributes),) = world.dead_letters()
    assert attributes["RejectReason"] == (
        "it expired at 2026-11-21 15:30:00 UTC, by DefaultExpiryMinutes; "
        "it was 2026-11-21 15:30:00 UTC when its turn came"
    )
    outbox.send(body, RelayKey=attributes["RelayKey"])
    assert (outbox.run().outcomes, world.posted) == (["posted"], [TEXT])


# Expired to the log


@pytest.mark.any_aws
@pytest.mark.parametrize("body", [TEXT, OWN], ids=["by the default", "by its own moment"])
def test_what_expired_to_the_log_is_a_log_line_and_a_metric_and_no_alarm(
    world: PostingWorld, function: Function, rule: Callable[..., None], body: str
) -> None:
    rule(LOG)
    (key,) = function.send(body)
    world.clock.forward(HALF_AN_HOUR)
    run = function.run()
    assert ends(world, function) == (0, 0, [])
    (line,) = run.deliveries
    assert (line["level"], line["outcome"], line["text"]) == ("INFO", "expired", TEXT)
    assert line["reason"].startswith("it expired at 2026-11-21")
    assert (run.metric("Expired"), run.metric("Rejected")) == (1, 0)
    assert [name for name in OURS if breaches(run, name)] == []
    assert world.status(key) == "rejected"


def test_a_message_that_sqs_delivers_again_after_it_expired_ends_in_the_log_again(
    world: PostingWorld, outbox: Function, rule: Callable[..., None]
) -> None:
    rule(LOG)
    event = world.event(TEXT)
    world.clock.forward(HALF_AN_HOUR)
    for _ in range(2):
        run = outbox.invoke(event)
        assert (run.answer, run.outcomes) == ({"batchItemFailures": []}, ["expired"])
    assert (world.posted, world.dead_letters()) == ([], [])


def test_a_message_that_an_earlier_attempt_may_have_posted_needs_an_operator_although_it_expired(
    world: PostingWorld, outbox: Function, rule: Callable[..., None]
) -> None:
    rule(LOG)
    outbox.send(TEXT)
    world.stand_in.fail("reset-before")
    outbox.run()
    world.clock.forward(HALF_AN_HOUR)
    assert outbox.run().outcomes == ["rejected"]
    ((_, attributes),) = world.dead_letters()
    assert "an earlier attempt may have posted it: look on StockTwits" in attributes["RejectReason"]


def test_a_message_that_an_earlier_attempt_has_posted_is_posted_although_it_expired(
    world: PostingWorld, outbox: Function, rule: Callable[..., None]
) -> None:
    rule(LOG)
    outbox.send(TEXT)
    world.stand_in.fail("reset-after")
    outbox.run()
    world.clock.forward(HALF_AN_HOUR)
    assert (outbox.run().outcomes, world.posted) == (["posted"], [TEXT])


def test_an_invalid_message_is_a_dead_letter_wherever_expired_ones_go(
    world: PostingWorld, outbox: Function, rule: Callable[..., None]
) -> None:
    rule(LOG)
    outbox.send('{"bodi": 1}')
    outbox.run()
    assert ends(world, outbox) == (0, 1, [])


def test_stale_messages_use_up_nothing_of_the_pace(
    world: PostingWorld, leftovers: Function, rule: Callable[..., None]
) -> None:
    rule(LOG, POST_BURST=1, MAX_POSTS_PER_HOUR=1)
    leftovers.send("$AAPL one", "$AAPL two", "$AAPL three")
    world.clock.forward(HALF_AN_HOUR)
    leftovers.send("$AAPL fresh")
    run = leftovers.run()
    assert (sorted(run.outcomes), world.posted) == (["expired"] * 3 + ["posted"], ["$AAPL fresh"])


@pytest.mark.parametrize("expired_to", [LOG, DEAD_LETTERS])
def test_an_expired_message_is_announced_as_rejected(
    world: PostingWorld,
    outbox: Function,
    rule: Callable[..., None],
    new_events: NewEvents,  # noqa: F811
    expired_to: str,
) -> None:
    rule(expired_to)
    outbox.send(TEXT)
    world.clock.forward(HALF_AN_HOUR)
    run = outbox.run()
    (event,) = new_events()
    detail: dict[str, Any] = event["detail"]
    assert (event["detail-type"], detail["reason"], detail["url"]) == ("Post Rejected", run.reason, None)
