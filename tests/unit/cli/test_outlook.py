"""When what waits will be posted: as the gate itself lets one post after another through."""

from dataclasses import replace
from datetime import timedelta
from itertools import islice, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from relay.errors import Pause
from relay.posting.backoff import GIVE_UP_SECONDS
from relay.posting.gate import MICROSECONDS, Pace, State, pause_by_hours
from relay_cli.outlook import Outlook, Schedule, look
from relay_cli.text import DAY, HOUR, MINUTE

from tests.factories import NOW, a_pause

TICK = 2 / MICROSECONDS
"""The least by which two moments differ, so that they differ as microseconds too."""

NEVER = timedelta(0)
TWELVE_AN_HOUR = Pace(per_hour=12, burst=3, per_day=0)
OFFICE_HOURS = "MON-FRI 09:30-16:00 America/New_York"

paces = st.builds(
    Pace,
    per_hour=st.integers(1, 3600),
    burst=st.integers(1, 100),
    per_day=st.one_of(st.just(0), st.integers(1, 200)),
)
pauses = st.builds(a_pause, seconds=st.floats(-DAY, DAY), probe=st.booleans())
states = st.builds(
    State,
    due=st.integers(round((NOW - HOUR) * MICROSECONDS), round((NOW + DAY) * MICROSECONDS)),
    day=st.sampled_from(["", "2027-01-14", "2027-01-15", "2027-01-16"]),
    count=st.integers(0, 200),
    pause=st.one_of(st.none(), pauses),
)


def outlook(waiting: int, schedule: Schedule, expires_after: timedelta = NEVER) -> Outlook:
    return look(schedule, waiting, expires_after)


@given(state=states, pace=paces)
def test_each_post_goes_at_the_first_moment_at_which_the_gate_admits_it(state: State, pace: Pace) -> None:
    before = NOW
    for at in islice(Schedule(state, pace, NOW).times(), 40):
        if at - TICK > before:
            assert not state.admit(1, at - TICK, pace).granted
        admission = state.admit(1, at, pace)
        assert admission.granted == 1
        state, before = replace(admission.state, pause=None), at  # if it was a probe, it succeeds


@given(until=st.floats(NOW, NOW + DAY))
def test_the_first_post_after_a_pause_is_not_a_microsecond_before_its_end(until: float) -> None:
    paused = State(pause=Pause("unavailable", "a pause", until))
    (at,) = islice(Schedule(paused, TWELVE_AN_HOUR, NOW).times(), 1)
    assert until <= at < until + TICK


@settings(deadline=None)  # the first one reads the calendar of an exchange
@given(state=states, pace=paces)
def test_outside_the_posting_hours_nothing_goes(state: State, pace: Pace) -> None:
    hours = pause_by_hours(OFFICE_HOURS, "none")
    assert hours
    for before, at in pairwise(islice(Schedule(state, pace, NOW, pause_by_hours=hours).times(), 30)):
        assert hours(at) is None
        assert at >= before


def test_posting_hours_delay_what_the_pace_would_allow_until_they_begin() -> None:
    schedule = Schedule(State(), Pace(2, 1, 0), NOW, pause_by_hours=pause_by_hours(OFFICE_HOURS, "none"))
    opens = NOW + 6.5 * HOUR  # 2027-01-15 is a Friday, and it is 08:00 UTC
    first_day = [opens + half_hour * 30 * MINUTE for half_hour in range(13)]
    assert list(islice(schedule.times(), 14)) == [*first_day, opens + 3 * DAY]


def test_a_backlog_takes_as_long_as_its_pace_says() -> None:
    found = outlook(183, Schedule(State(), TWELVE_AN_HOUR, NOW))
    assert found.seconds == 15 * HOUR
    assert found.words == "about 15 h at 12 an hour, until 2027-01-15 23:00:00 UTC"


def test_a_daily_cap_moves_the_rest_to_the_next_days() -> None:
    found = outlook(100, Schedule(State(), Pace(12, 3, per_day=48), NOW))
    assert found.words == "about 40 h 5 min at 12 an hour and 48 a day, until 2027-01-17 00:05:00 UTC"


def test_what_fits_the_burst_is_posted_at_once() -> None:
    assert outlook(3, Schedule(State(), TWELVE_AN_HOUR, NOW)).words == "within two minutes"


def test_nothing_goes_before_the_end_of_a_pause() -> None:
    paused = State(pause=a_pause(seconds=HOUR))
    found = outlook(1, Schedule(paused, TWELVE_AN_HOUR, NOW))
    assert found.next_at == found.last_at
    assert found.seconds == HOUR


def test_an_operators_pause_delays_what_waits_until_its_end() -> None:
    operators = Pause("operator", "paused by Ann: earnings", NOW + 2 * HOUR, "Ann")
    assert outlook(1, Schedule(State(), TWELVE_AN_HOUR, NOW, operators)).seconds == 2 * HOUR


def test_without_an_end_of_the_pause_the_time_counts_from_a_resume() -> None:
    operators = Pause("operator", "paused by Ann: earnings", None, "Ann")
    found = outlook(15, Schedule(State(), TWELVE_AN_HOUR, NOW, operators))
    assert (found.next_at, found.last_at) == (None, None)
    assert found.words == "about 1 h at 12 an hour after `relay resume`"


@pytest.mark.parametrize(
    ("minutes", "late", "words"),
    [
        (61, 0, "09:00:00 UTC"),
        (60, 1, "; the newest would expire"),
        (55, 2, "; the newest 2 would expire"),
    ],
)
def test_a_message_that_is_posted_only_after_its_expiry_is_counted(minutes: int, late: int, words: str) -> None:
    found = outlook(15, Schedule(State(), TWELVE_AN_HOUR, NOW), timedelta(minutes=minutes))
    assert found.too_late == late
    assert found.words.endswith(words)


def test_what_takes_longer_than_the_relay_keeps_trying_is_given_up() -> None:
    a_day = Pace(per_hour=1, burst=1, per_day=1)
    last = GIVE_UP_SECONDS // DAY + 1  # the first one goes today
    assert outlook(last, Schedule(State(), a_day, NOW)).too_late == 0
    found = outlook(last + 1, Schedule(State(), a_day, NOW))
    assert (found.seconds, found.last_at, found.too_late) == (None, None, 1)
    assert found.words == "more than 13 days at 1 an hour and 1 a day; the newest would be given up"


@pytest.mark.parametrize("until", [NOW + GIVE_UP_SECONDS, 9.9e125])
@pytest.mark.parametrize("hours", [None, pause_by_hours(OFFICE_HOURS, "none")])
def test_a_pause_that_lasts_longer_than_the_relay_keeps_messages_has_no_outlook(until: float, hours: Any) -> None:
    operators = Pause("operator", "paused by Ann: earnings", until, "Ann")
    found = outlook(1, Schedule(State(), TWELVE_AN_HOUR, NOW, operators, hours))
    assert (found.next_at, found.last_at, found.seconds, found.too_late) == (None, None, None, 1)
    assert found.words == "not within 13 days; the newest would be given up"


def test_nothing_that_waits_is_posted_now() -> None:
    found = outlook(0, Schedule(State(), TWELVE_AN_HOUR, NOW))
    assert (found.waiting, found.seconds, found.last_at, found.too_late) == (0, 0, None, 0)
