"""How long a message that stays in its queue is invisible."""

import random
from typing import Any

import pytest
from relay.posting.backoff import leftovers_back_off, outbox_back_off, visibility_seconds
from relay.posting.outcome import Hold, Outcome, Result

from tests.factories import NOW, a_pause


def deferred(**but: Any) -> Outcome:
    return Outcome(Result.DEFERRED, "m-1", "not now", **but)


@pytest.fixture(params=[0.0, 1.0], ids=["no jitter", "all jitter"])
def jitter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(random, "uniform", lambda least, most: least + request.param * (most - least))
    return float(request.param)


@pytest.mark.parametrize(("receives", "seconds"), [(1, 10), (2, 40), (3, 160)])
def test_the_outbox_backs_off_four_times_longer_each_time(receives: int, seconds: float) -> None:
    assert outbox_back_off(receives) == seconds


@pytest.mark.parametrize(("receives", "seconds"), [(4, 60), (5, 120), (6, 240), (7, 480), (8, 900), (200, 900)])
def test_leftovers_back_off_twice_as_long_each_time_up_to_a_quarter_of_an_hour(receives: int, seconds: float) -> None:
    assert leftovers_back_off(receives) == seconds


@pytest.mark.parametrize("receives", [1, 2, 3])
def test_a_message_that_an_operator_moved_to_leftovers_begins_with_the_shortest_back_off(receives: int) -> None:
    assert leftovers_back_off(receives) == 60


@pytest.mark.usefixtures("jitter")
@pytest.mark.parametrize(
    ("outcome", "least"),
    [
        (deferred(), 40),
        (deferred(retry_at=NOW + 1800), 1800),
        (deferred(retry_at=NOW + 5), 40),
        (deferred(retry_at=NOW + 1800, pause=a_pause(seconds=60), status=429), 1800),
        (deferred(retry_at=NOW + 1800, tried=False), 1800),
        # What StockTwits refused as a duplicate is kept back by a rule, and may expire soon.
        (deferred(retry_at=NOW + 5, holds=(Hold("duplicate", "", NOW + 1860),), status=422), 5),
        # A pause in which StockTwits answered to the message itself says something about it.
        (deferred(pause=a_pause("unavailable", 60), status=503), 45),
        (deferred(pause=a_pause("unavailable", 5), status=503), 40),
        # It waits for the gate alone.
        (deferred(pause=a_pause(seconds=900)), 45),
        (deferred(pause=a_pause(seconds=900), status=429), 45),
        (deferred(pause=a_pause(seconds=900), tried=False), 45),
        (deferred(pause=a_pause(seconds=5)), 5),
        (deferred(pause=a_pause(seconds=5), status=429), 5),
        (deferred(pause=a_pause(seconds=5), tried=False), 5),
        (deferred(pause=a_pause("operator", None)), 45),
        (deferred(pause=a_pause("operator", None), tried=False), 45),
        (deferred(pause=a_pause("token_refused", 300, probe=True), tried=False), 45),
        (deferred(pause=a_pause("token_refused", 300, probe=True)), 45),
        (deferred(pause=a_pause("time", 0), tried=False), 1),
        (deferred(pause=a_pause(seconds=0.25), tried=False), 1),
        (deferred(pause=a_pause(seconds=-5)), 1),
        (deferred(tried=False, alone=True), 1),
    ],
)
def test_a_message_is_invisible_until_its_back_off_and_the_gate_allow_it_and_little_longer(
    outcome: Outcome, least: float
) -> None:
    assert least <= visibility_seconds(outcome, 40, NOW) <= least + min(least, 60) / 4 + 1


@pytest.mark.usefixtures("jitter")
@pytest.mark.parametrize("seconds", [None, -5, 0, 1, 45, 60, 300, 3600, 7200, 86_400])
@pytest.mark.parametrize("waits", [{"tried": False}, {}, {"status": 429}])
@pytest.mark.parametrize("back_off", [10, 160, 900])
def test_a_message_that_waits_for_the_gate_alone_comes_back_within_two_minutes_of_its_opening(
    seconds: float | None, waits: dict[str, Any], back_off: float
) -> None:
    every_minute_the_leftovers_are_drained = 60
    comes_back = visibility_seconds(deferred(pause=a_pause("operator", seconds), **waits), back_off, NOW)
    assert comes_back + every_minute_the_leftovers_are_drained <= 120


@pytest.mark.usefixtures("jitter")
@pytest.mark.parametrize(
    ("cause", "back_off", "behind"),
    [
        ("token_refused", 40, 120 + 40),
        ("stream", 900, 120 + 900),
        ("blocked", 40, 120 + 12 * 40),
        ("unexpected_answer", 900, 120 + 12 * 900),
    ],
)
def test_a_message_whose_answer_closed_the_gate_comes_back_after_those_that_wait_for_it(
    cause: str, back_off: float, behind: float
) -> None:
    outcome = deferred(pause=a_pause(cause, 300, probe=True), status=403)
    assert 300 + behind <= visibility_seconds(outcome, back_off, NOW) <= 300 + behind + 16


def test_visibility_timeouts_differ_so_that_what_failed_together_does_not_come_back_together() -> None:
    assert len({visibility_seconds(deferred(), 40, NOW) for _ in range(200)}) > 5


@pytest.mark.usefixtures("jitter")
def test_a_visibility_timeout_is_never_longer_than_sqs_allows() -> None:
    for outcome in (deferred(retry_at=NOW + 10**7), deferred(pause=a_pause(seconds=10**7, probe=True), status=403)):
        assert 11 * 3600 < visibility_seconds(outcome, 40, NOW) < 12 * 3600
