"""The gate's arithmetic: the pace, the daily cap, pauses and probes."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay.errors import Pause
from relay.posting.gate import Admission, Pace, State, _item, _operators, _state

from tests.factories import NOW, a_pause

EVERY_MINUTE = Pace(per_hour=60, burst=3, per_day=0)
MIDNIGHT = NOW + 16 * 3600
UNEVEN = NOW + 0.123456
"""A moment as clocks give it: DynamoDB must return it to the last digit."""


def admit(state: State, wanted: int, now: float = NOW, pace: Pace = EVERY_MINUTE) -> Admission:
    return state.admit(wanted, now, pace)


def after(posts: int, pace: Pace = EVERY_MINUTE) -> State:
    return admit(State(), posts, pace=pace).state


def test_a_quiet_gate_lets_a_burst_through() -> None:
    admission = admit(State(), 3)
    assert (admission.granted, admission.pause, admission.opens_in(NOW)) == (3, None, 0)


def test_beyond_the_burst_one_post_an_interval_goes_through() -> None:
    assert admit(State(), 5).granted == 3
    assert admit(after(3), 5, NOW + 59.999999).granted == 0
    assert admit(after(3), 5, NOW + 60).granted == 1
    assert admit(after(3), 5, NOW + 120).granted == 2


def test_quiet_time_saves_up_no_more_than_a_burst() -> None:
    assert admit(after(3), 10, NOW + 3600).granted == 3


def test_a_granted_post_moves_the_next_one_by_an_interval() -> None:
    state = admit(after(3), 1, NOW + 90).state
    assert admit(state, 1, NOW + 119).granted == 0
    assert admit(state, 1, NOW + 120).granted == 1


@pytest.mark.parametrize(("now", "seconds"), [(NOW, 60), (NOW + 45, 15)])
def test_a_pace_that_is_reached_names_when_the_next_post_may_go(now: float, seconds: float) -> None:
    admission = admit(after(3), 1, now)
    assert admission.pause
    assert (admission.pause.cause, admission.opens_in(now)) == ("pace", seconds)
    assert admission.pause.reason == "the pace of 60 posts an hour, 3 at once, is reached"
    assert admit(after(3), 1, admission.pause.until or 0).granted == 1


def test_a_pace_that_grants_some_names_when_the_rest_may_go() -> None:
    admission = admit(State(), 4)
    assert (admission.granted, admission.opens_in(NOW)) == (3, 60)


@pytest.mark.parametrize("per_hour", [1, 7, 60, 400, 3601])
def test_an_interval_is_rounded_so_that_an_hour_never_has_one_post_more(per_hour: int) -> None:
    interval = Pace(per_hour, 1, 0).interval
    assert interval * per_hour >= 3600 * 1_000_000
    assert (interval - 1) * per_hour < 3600 * 1_000_000


def test_a_pace_that_was_raised_is_in_force_at_once() -> None:
    booked_slowly = after(3, pace=Pace(per_hour=1, burst=3, per_day=0))
    assert admit(booked_slowly, 1).opens_in(NOW) == 60


def test_asking_does_not_change_the_state() -> None:
    state = State()
    admit(state, 3)
    assert state == State()


def test_a_day_lets_its_cap_through_until_midnight_utc() -> None:
    pace = Pace(3600, 100, per_day=5)
    state = after(3, pace)
    admission = admit(state, 9, pace=pace)
    assert admission.granted == 2
    assert admission.pause == Pause("daily_cap", "the cap of 5 posts a day (UTC) is reached", MIDNIGHT)
    assert admit(admission.state, 1, MIDNIGHT - 0.001, pace).granted == 0
    assert admit(admission.state, 9, MIDNIGHT, pace).granted == 5


def test_a_clock_behind_the_others_at_midnight_does_not_begin_the_old_day_anew() -> None:
    pace = Pace(3600, 100, per_day=5)
    state = admit(State(), 5, MIDNIGHT, pace).state
    late = admit(state, 5, MIDNIGHT - 0.001, pace)
    assert late.granted == 0
    assert admit(late.state, 5, MIDNIGHT + 1, pace).granted == 0


def test_without_a_cap_only_the_pace_counts() -> None:
    assert admit(State(day="2027-01-15", count=10**6), 3).granted == 3


@pytest.mark.parametrize(("per_day", "burst", "cause"), [(2, 3, "daily_cap"), (3, 2, "pace"), (2, 2, "daily_cap")])
def test_the_longest_of_several_limits_is_named(per_day: int, burst: int, cause: str) -> None:
    pause = admit(State(), 5, pace=Pace(60, burst, per_day)).pause
    assert pause
    assert pause.cause == cause


def test_a_pause_in_force_lets_nothing_through_and_is_named() -> None:
    state = State().close(a_pause("rate_limited", 60))
    admission = admit(state, 3, NOW + 59.999)
    assert (admission.granted, admission.pause, admission.probe) == (0, a_pause("rate_limited", 60), False)
    assert admission.state == state


def test_a_pause_that_is_over_without_a_probe_lets_the_burst_through() -> None:
    admission = admit(State().close(a_pause(seconds=60)), 3, NOW + 60)
    assert (admission.granted, admission.probe) == (3, False)


def refused(seconds: float = 300) -> Pause:
    return a_pause("token_refused", seconds, probe=True)


def probed(now: float = NOW + 300) -> Admission:
    return admit(State().close(refused()), 3, now)


def test_after_a_refused_token_one_probe_goes_and_the_rest_waits_for_it() -> None:
    probe = probed()
    assert (probe.granted, probe.probe) == (1, True)
    assert probe.pause
    assert probe.pause.cause == "token_refused"
    assert admit(probe.state, 1, NOW + 300 + 89).granted == 0


def test_a_probe_that_never_came_back_is_followed_by_another() -> None:
    again = admit(probed().state, 3, NOW + 300 + 90)
    assert (again.granted, again.probe) == (1, True)


def test_a_probe_takes_its_place_in_the_pace() -> None:
    used_up = after(3)
    waiting = admit(used_up.close(refused(1)), 1, NOW + 1)
    assert (waiting.granted, waiting.probe) == (0, False)
    assert waiting.pause
    assert waiting.pause.cause == "pace"
    assert admit(used_up.close(refused(1)), 1, NOW + 60).probe


def test_a_probe_that_was_not_used_may_go_at_once() -> None:
    probe = probed()
    state = probe.state.give_back(1, probe, NOW + 310, EVERY_MINUTE)
    assert admit(state, 3, NOW + 310).probe


def test_a_probe_that_succeeded_opens_the_gate() -> None:
    probe = probed()
    assert admit(probe.state.open(probe, NOW), 9, NOW + 301).granted == 2


def test_a_probe_does_not_lift_a_pause_that_came_after_it() -> None:
    probe = probed()
    newer = probe.state.close(a_pause("blocked", 1200))
    assert newer.open(probe, 0.0) == newer
    assert newer.give_back(1, probe, NOW + 310, EVERY_MINUTE).pause == newer.pause


@pytest.mark.parametrize("moment", [UNEVEN, NOW, NOW + 1 / 3])
def test_a_probe_recognises_its_pause_when_it_was_stored_in_between(moment: float) -> None:
    probe = probed(moment + 300)
    assert _state(_item(probe.state)).open(probe, NOW).pause is None


@pytest.mark.parametrize("closed_again", [True, False])
def test_a_probe_that_was_posted_is_remembered_whether_it_opens_the_gate_or_not(*, closed_again: bool) -> None:
    probe = probed()
    state = probe.state.close(a_pause("blocked", 1200)) if closed_again else probe.state
    assert state.open(probe, NOW + 301).posted_at == NOW + 301


@pytest.mark.parametrize("late", [0.0, NOW, NOW + 300])
def test_when_a_probe_was_last_posted_never_goes_back(late: float) -> None:
    probe = probed()
    assert replace(probe.state, posted_at=NOW + 301).open(probe, late).posted_at == NOW + 301


@pytest.mark.parametrize(("first", "second"), [(60, 900), (900, 60)])
def test_the_longer_of_two_pauses_is_in_force(first: float, second: float) -> None:
    state = State().close(a_pause("one", first)).close(a_pause("two", second))
    assert state.pause
    assert state.pause.until == NOW + 900


@pytest.mark.parametrize("order", [(True, False), (False, True)])
def test_a_probe_stays_due_whatever_pause_comes_before_or_after(order: tuple[bool, bool]) -> None:
    state = State()
    for seconds, probe in zip((300, 400), order, strict=True):
        state = state.close(a_pause(seconds=seconds, probe=probe))
    assert admit(state, 3, NOW + 400).probe


def test_what_was_not_used_may_go_at_once() -> None:
    admission = admit(State(), 3)
    state = admission.state.give_back(2, admission, NOW + 1, EVERY_MINUTE)
    assert admit(state, 3, NOW + 1).granted == 2


def test_what_was_not_used_is_lost_to_the_pace_once_another_batch_was_admitted() -> None:
    first = admit(State(), 1)
    second = admit(first.state, 1)
    assert admit(second.state.give_back(1, first, NOW, EVERY_MINUTE), 3).granted == 1
    assert admit(second.state.give_back(1, second, NOW, EVERY_MINUTE), 3).granted == 2


def test_what_was_not_used_does_not_count_towards_the_cap() -> None:
    pace = Pace(3600, 100, per_day=5)
    first = admit(State(), 5, pace=pace)
    second = replace(first.state, due=first.state.due + 1)  # another batch was admitted after it
    assert admit(second.give_back(4, first, NOW, pace), 9, pace=pace).granted == 4


def test_what_was_not_used_yesterday_does_not_lift_todays_cap() -> None:
    pace = Pace(3600, 100, per_day=5)
    yesterday = admit(State(), 5, MIDNIGHT - 1, pace)
    today = admit(yesterday.state, 5, MIDNIGHT + 1, pace)
    assert admit(today.state.give_back(5, yesterday, MIDNIGHT + 2, pace), 5, MIDNIGHT + 2, pace).granted == 0


waits = st.integers(0, 200_000_000).map(lambda microseconds: ("wait", microseconds))
long_waits = st.integers(0, 100_000).map(lambda seconds: ("wait", seconds * 1_000_000))
admissions = st.integers(1, 10).map(lambda wanted: ("admit", wanted))
give_backs = st.integers(0, 10**6).map(lambda seed: ("give back", seed))
paces = st.builds(Pace, st.integers(1, 3600), st.integers(1, 20), st.integers(0, 30))


@given(paces, st.lists(admissions | give_backs | waits | long_waits, max_size=60))
def test_a_window_never_has_more_posts_than_the_pace_and_a_day_never_more_than_the_cap(
    pace: Pace, steps: list[tuple[str, int]]
) -> None:
    clock, state = round(NOW * 1_000_000), State()
    admitted: list[dict[str, Any]] = []
    for what, number in steps:
        now = clock / 1_000_000
        if what == "wait":
            clock += number
        elif what == "admit":
            admission = state.admit(number, now, pace)
            assert 0 <= admission.granted <= number
            assert (admission.pause is None) is (admission.granted == number)
            state = admission.state
            admitted.append({"at": clock, "posts": admission.granted, "day": state.day, "admission": admission})
        elif open_ones := [each for each in admitted if each["admission"]]:
            each = open_ones[number % len(open_ones)]
            unused = number // 10 % (each["posts"] + 1)
            state = state.give_back(unused, each["admission"], now, pace)
            each.update(posts=each["posts"] - unused, admission=None)

    for i, first in enumerate(admitted):
        posts = 0
        for last in admitted[i:]:
            posts += last["posts"]
            assert posts <= pace.burst + (last["at"] - first["at"]) / pace.interval
    if pace.per_day:
        for day in {each["day"] for each in admitted}:
            assert sum(each["posts"] for each in admitted if each["day"] == day) <= pace.per_day


@given(paces, st.lists(admissions | waits, max_size=30), st.integers(1, 10))
def test_a_pause_for_the_pace_or_the_cap_ends_exactly_when_the_next_post_may_go(
    pace: Pace, steps: list[tuple[str, int]], wanted: int
) -> None:
    clock, state = round(NOW * 1_000_000), State()
    for what, number in steps:
        if what == "wait":
            clock += number
        else:
            state = state.admit(number, clock / 1_000_000, pace).state
    admission = state.admit(wanted, clock / 1_000_000, pace)
    if admission.pause:
        assert admission.pause.until is not None
        until = round(admission.pause.until * 1_000_000)
        before = admission.state.admit(1, (until - 2) / 1_000_000, pace)
        then = admission.state.admit(1, until / 1_000_000, pace)
        assert before.granted == 0
        assert then.granted == 1 or (then.pause and then.pause.cause != admission.pause.cause)


moments = st.floats(0, 4e9)
pauses = st.builds(Pause, st.text(), st.text(), moments, st.text(), st.booleans())
counts = st.integers(0)
states = st.builds(
    State,
    st.integers(0, 10**17),
    st.sampled_from(["", "2027-01-15"]),
    counts,
    pauses | st.none(),
    counts,
    moments,
    counts,
)


@given(states)
def test_a_state_is_the_same_after_it_was_stored(state: State) -> None:
    assert _state(_item(state)) == state


@given(states)
def test_a_state_that_version_0_1_stored_has_posted_no_probe_and_counted_no_missing_ids(state: State) -> None:
    of_today = ("posted", "no_ids")
    item = {name: value for name, value in _item(state).items() if name not in of_today}
    assert _state(item) == replace(state, posted_at=0.0, no_ids=0)


def test_without_an_item_in_the_table_the_gate_is_open() -> None:
    assert _state({}) == State()


@pytest.mark.parametrize(
    ("item", "pause"),
    [
        ({}, Pause("operator", "paused by unknown: unknown", None, "unknown")),
        ({"who": {"S": "ann"}, "why": {"S": "fire"}}, Pause("operator", "paused by ann: fire", None, "ann")),
        ({"who": {"S": ""}, "why": {"N": "5"}}, Pause("operator", "paused by unknown: 5", None, "unknown")),
        ({"until": {"N": str(NOW + 1)}}, Pause("operator", "paused by unknown: unknown", NOW + 1, "unknown")),
        ({"until": {"S": "tomorrow"}}, Pause("operator", "paused by unknown: unknown", None, "unknown")),
        ({"until": {"NULL": True}}, Pause("operator", "paused by unknown: unknown", None, "unknown")),
    ],
)
def test_an_operators_pause_is_in_force_however_it_was_written(item: dict[str, Any], pause: Pause) -> None:
    assert _operators(item, NOW) == pause


@pytest.mark.parametrize("item", [None, {"until": {"N": str(NOW)}}])
def test_an_operators_pause_that_is_absent_or_over_is_not_in_force(item: dict[str, Any] | None) -> None:
    assert _operators(item, NOW) is None


def test_a_pause_without_an_end_opens_at_no_known_time() -> None:
    assert Admission(0, a_pause("operator", None), State()).opens_in(NOW) is None


def test_a_pause_that_is_over_opens_at_once() -> None:
    assert Admission(0, a_pause(seconds=60), State()).opens_in(NOW + 61) == 0
