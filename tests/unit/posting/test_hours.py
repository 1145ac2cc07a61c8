"""Posting hours: wall clocks, changes of the clocks, holidays and half days, and what cannot be read."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from relay.errors import Misconfigured
from relay.posting.exchange import closes, early_close
from relay.posting.gate import Gate, Pace, pause_by_hours
from relay.posting.hours import LOOK_AHEAD, PostingHours, posting_hours

NEW_YORK = "MON-FRI 09:30-16:00 America/New_York"


def moment(text: str, zone: str = "America/New_York", fold: int = 0) -> float:
    """When a wall clock shows a time; `fold` is 1 for the second time that it does."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def opens(hours: PostingHours, now: float) -> str:
    """The next opening in UTC, as ``2026-11-30 14:30:00``."""
    return f"{datetime.fromtimestamp(hours.opens_at(now), UTC):%Y-%m-%d %H:%M:%S}"


# The boundaries


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("2026-11-25T09:29:59.999", False),
        ("2026-11-25T09:30:00.000", True),
        ("2026-11-25T15:59:59.999", True),
        ("2026-11-25T16:00:00.000", False),
    ],
)
def test_hours_open_with_their_first_moment_and_are_over_with_their_last(at: str, is_open: bool) -> None:
    assert posting_hours(NEW_YORK).is_open(moment(at)) is is_open


@pytest.mark.parametrize("at", ["2026-11-25T09:29:01", "2026-11-25T09:29:59.9", "2026-11-24T16:00:00.000"])
def test_the_next_opening_is_a_whole_minute_whenever_it_is_asked_for(at: str) -> None:
    assert opens(posting_hours(NEW_YORK), moment(at)) == "2026-11-25 14:30:00"


def test_open_hours_open_now() -> None:
    now = moment("2026-11-25T12:00:00.5")
    assert posting_hours(NEW_YORK).opens_at(now) == now


def test_a_weekend_lasts_from_friday_to_monday() -> None:
    friday = moment("2026-12-04T16:00")
    assert posting_hours(NEW_YORK).opens_at(friday) - friday == 65.5 * 3600


@pytest.mark.parametrize(
    ("at", "opening"),
    [("2026-11-25T08:00", "09:30"), ("2026-11-25T12:00", "13:00"), ("2026-11-25T12:59", "13:00")],
)
def test_a_day_may_have_several_ranges(at: str, opening: str) -> None:
    hours = posting_hours("MON-FRI 09:30-12:00,13:00-16:00 America/New_York")
    assert hours.opens_at(moment(at)) == moment(f"2026-11-25T{opening}")


def test_different_days_may_have_different_hours() -> None:
    hours = posting_hours("MON-THU 09:30-16:00 FRI,SUN 10:00-12:00 America/New_York")
    assert hours.opens_at(moment("2026-12-03T16:00")) == moment("2026-12-04T10:00")
    assert hours.opens_at(moment("2026-12-04T12:00")) == moment("2026-12-06T10:00")
    assert hours.opens_at(moment("2026-12-06T12:00")) == moment("2026-12-07T09:30")


def test_days_may_go_over_the_end_of_a_week() -> None:
    hours = posting_hours("SAT-MON 10:00-11:00 Europe/London")
    assert sorted(hours.ranges) == [0, 5, 6]


def test_a_range_that_ends_at_24_00_and_one_that_begins_at_00_00_meet_at_midnight() -> None:
    hours = posting_hours("THU 22:00-24:00 FRI 00:00-02:00 America/New_York")
    assert hours.is_open(moment("2026-12-03T23:59:59.999"))
    assert hours.is_open(moment("2026-12-04T00:00"))
    assert not hours.is_open(moment("2026-12-04T22:00"))


@pytest.mark.parametrize(
    ("rule", "hours_a_week"),
    [
        (NEW_YORK, 32.5),
        ("MON-FRI 09:30-12:00,13:00-16:00 America/New_York", 27.5),
        ("MON 09:00-12:00,11:00-13:00 MON 12:30-13:30 UTC", 4.5),
        ("MON-SUN 00:00-24:00 UTC", 168),
    ],
)
def test_hours_that_overlap_count_once_in_a_week(rule: str, hours_a_week: float) -> None:
    assert sum(posting_hours(rule).minutes_a_day()) == hours_a_week * 60


# When clocks change, the wall clock counts


@pytest.mark.parametrize(
    ("rule", "after", "opening"),
    [
        pytest.param("MON-FRI 09:30-16:00 America/New_York", "2026-10-30 20:00", "2026-11-02 14:30:00", id="autumn"),
        pytest.param("MON-FRI 09:30-16:00 America/New_York", "2027-03-12 21:00", "2027-03-15 13:30:00", id="spring"),
        pytest.param(
            "MON-FRI 08:00-16:30 Europe/London", "2026-10-23 15:30", "2026-10-26 08:00:00", id="London autumn"
        ),
        pytest.param(
            "MON-FRI 08:00-16:30 Europe/London", "2027-03-26 16:30", "2027-03-29 07:00:00", id="London spring"
        ),
        pytest.param("MON-FRI 09:00-15:00 Asia/Tokyo", "2027-03-12 06:00", "2027-03-15 00:00:00", id="no change"),
        pytest.param(
            "MON 09:00-10:00 Australia/Lord_Howe", "2026-09-28 00:00", "2026-10-04 22:00:00", id="half spring"
        ),
        pytest.param(
            "MON 09:00-10:00 Australia/Lord_Howe", "2027-03-29 00:00", "2027-04-04 22:30:00", id="half autumn"
        ),
    ],
)
def test_the_first_opening_after_a_change_is_at_the_same_time_of_the_wall_clock(
    rule: str, after: str, opening: str
) -> None:
    assert opens(posting_hours(rule), utc(after)) == opening


@pytest.mark.parametrize(
    ("rule", "after", "opening"),
    [
        ("SUN 02:30-04:00 America/New_York", "2027-03-14 00:00", "2027-03-14 07:00:00"),
        ("SUN 02:00-03:00 America/New_York", "2027-03-14 00:00", "2027-03-21 06:00:00"),
        ("SUN 01:30-02:30 Europe/London", "2027-03-28 00:00", "2027-03-28 01:00:00"),
        ("SUN 02:00-02:30 Australia/Lord_Howe", "2026-10-03 00:00", "2026-10-10 15:00:00"),
        ("SUN 02:00-03:00 Australia/Lord_Howe", "2026-10-03 00:00", "2026-10-03 15:30:00"),
    ],
)
def test_what_the_clocks_skip_in_spring_does_not_come(rule: str, after: str, opening: str) -> None:
    assert opens(posting_hours(rule), utc(after)) == opening


def test_what_the_clocks_repeat_in_autumn_counts_both_times() -> None:
    hours = posting_hours("SUN 01:00-01:30 America/New_York")
    first, second = (moment("2026-11-01T01:00", fold=fold) for fold in (0, 1))
    assert second - first == 3600
    assert (hours.opens_at(first - 60), hours.opens_at(first + 1800)) == (first, second)
    assert not hours.is_open(second + 1800)


def test_hours_through_a_change_last_as_long_as_the_clock_shows() -> None:
    hours = posting_hours("SUN 00:00-04:00 America/New_York")
    for day, lasts in (("2026-11-01", 5), ("2027-03-14", 3)):
        begins = moment(f"{day}T00:00")
        assert [hours.is_open(begins + each * 3600 - 1) for each in (lasts, lasts + 1)] == [True, False]


# Holidays and half days, New Year and leap day


@pytest.mark.parametrize(
    ("after", "opening"),
    [
        pytest.param("2026-11-25T16:00", "2026-11-27T09:30", id="Thanksgiving"),
        pytest.param("2026-11-27T13:00", "2026-11-30T09:30", id="half day after it"),
        pytest.param("2026-12-24T13:00", "2026-12-28T09:30", id="Christmas Eve and a weekend"),
        pytest.param("2026-12-31T16:00", "2027-01-04T09:30", id="New Year"),
        pytest.param("2027-12-31T16:00", "2028-01-03T09:30", id="New Year that is not observed"),
        pytest.param("2028-02-28T16:00", "2028-02-29T09:30", id="leap day"),
        pytest.param("2028-02-29T16:00", "2028-03-01T09:30", id="after leap day"),
    ],
)
def test_nothing_is_posted_on_holidays_of_new_york_and_after_early_closes(after: str, opening: str) -> None:
    assert posting_hours(NEW_YORK, "NYSE").opens_at(moment(after)) == moment(opening)


@pytest.mark.parametrize("day", ["2026-11-27", "2026-12-24"])
def test_a_half_day_is_open_until_its_early_close(day: str) -> None:
    hours = posting_hours(NEW_YORK, "NYSE")
    assert hours.is_open(moment(f"{day}T12:59:59.999"))
    assert not hours.is_open(moment(f"{day}T13:00"))
    assert posting_hours(NEW_YORK).is_open(moment(f"{day}T13:00"))


@pytest.mark.parametrize(
    ("name", "minute"),
    [
        ("Christmas Eve (markets close at 12:00 p.m. SAST)", 12 * 60),
        ("Republic Day (from 1pm)", 13 * 60),  # as the library names it on Python 3.11
        ("Cumhuriyet (saat 13.00'ten)", 13 * 60),
        ("Christmas Eve (markets close early)", None),
        ("100 years of the exchange", None),
    ],
)
def test_a_time_is_found_in_a_holidays_name_however_it_is_written(name: str, minute: int | None) -> None:
    assert early_close(name) == minute


@pytest.mark.parametrize(
    ("exchange", "day", "minute"),
    [
        ("NYSE", "2026-11-26", 0),
        ("NYSE", "2026-11-27", 13 * 60),
        ("NYSE", "2026-11-30", None),
        ("XNAS", "2026-12-24", 13 * 60),
        ("TSX", "2026-12-24", 13 * 60),
        ("LSE", "2026-12-24", 12 * 60 + 30),
        ("XPAR", "2026-12-24", 14 * 60 + 5),
        ("JSE", "2026-12-24", 12 * 60),
        ("NZX", "2026-12-24", 13 * 60 + 30),
        ("BIST", "2026-10-28", 13 * 60),
        pytest.param("ASX", "2026-12-24", None, id="no time known"),
        pytest.param("HKEX", "2026-12-24", None, id="no time known in Chinese"),
        pytest.param("JPX", "2026-12-31", 0, id="no half days"),
    ],
)
def test_when_an_exchange_closes_is_read_from_the_librarys_names(exchange: str, day: str, minute: int | None) -> None:
    assert closes(exchange)(datetime.fromisoformat(day).date()) == minute


# What cannot be read


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("MON-FRI 09:30-16:00", "write days, hours and a time zone"),
        ("MON-FRI America/New_York", "write days, hours and a time zone"),
        ("America/New_York", "write days, hours and a time zone"),
        (" ", "write days, hours and a time zone"),
        ("MON-FRI 09:30-16:00 New_York", "'New_York' is not a time zone of the IANA database"),
        ("MON-FRI 09:30-16:00 America", "'America' is not a time zone of the IANA database"),
        ("MON-FRI 09:30-16:00 ../America/New_York", "is not a time zone of the IANA database"),
        ("mon-fri 09:30-16:00 UTC", "'mon-fri' is not a day such as MON"),
        ("MON-TUE-WED 09:30-16:00 UTC", "'MON-TUE-WED' is not a day"),
        ("MON, 09:30-16:00 UTC", "'' is not a day"),
        ("MON 9:30-16:00 UTC", "'9:30-16:00' is not a range of hours"),
        ("MON 09:30-16:00, UTC", "'' is not a range of hours"),
        ("MON 09:30-25:00 UTC", "'09:30-25:00' is not a range of hours"),
        ("MON 22:00-02:00 UTC", "22:00-02:00 does not end on its day: write what is after midnight for the next day"),
        ("MON 09:30-24:01 UTC", "does not end on its day"),
        ("MON 09:30-09:30 UTC", "does not end on its day"),
    ],
)
def test_a_rule_that_cannot_be_read_says_what_is_wrong_and_how_one_looks(rule: str, words: str) -> None:
    with pytest.raises(Misconfigured) as error:
        posting_hours(rule)
    assert words in error.value.reason
    assert error.value.reason.startswith(f"POSTING_HOURS, {rule!r}, cannot be read")
    assert error.value.reason.endswith("as in MON-FRI 09:30-16:00 America/New_York")


def test_an_exchange_that_the_library_does_not_know_is_refused_with_those_that_it_knows() -> None:
    with pytest.raises(Misconfigured, match=r"POSTING_HOLIDAYS, 'NYSX', must be none or one of .*LSE, .*NYSE, "):
        posting_hours(NEW_YORK, "NYSX")


# The pause


def test_the_pause_says_which_rule_it_is_and_when_it_opens_by_the_rules_own_clock() -> None:
    hours_pause = pause_by_hours(NEW_YORK, "none")
    assert hours_pause
    pause = hours_pause(moment("2026-12-04T16:00"))
    assert pause
    assert (pause.cause, pause.until, pause.probe) == ("hours", moment("2026-12-07T09:30"), False)
    assert pause.reason == f"outside PostingHours, {NEW_YORK}: it opens on Monday 2026-12-07 09:30 EST"


@pytest.mark.parametrize("seconds", [-60, -0.001, 0, 1, 3600])
def test_a_pause_that_is_known_lasts_exactly_until_its_opening(seconds: float) -> None:
    hours_pause = pause_by_hours(NEW_YORK, "none")
    assert hours_pause
    opening = moment("2026-12-07T09:30")
    assert hours_pause(moment("2026-12-06T12:00"))
    assert bool(hours_pause(opening + seconds)) is (seconds < 0)


def test_a_clock_that_is_set_back_into_open_hours_finds_them_open() -> None:
    hours_pause = pause_by_hours(NEW_YORK, "none")
    assert hours_pause
    assert hours_pause(moment("2026-12-04T16:00"))
    assert hours_pause(moment("2026-12-04T15:59")) is None


def test_without_hours_there_is_nothing_to_ask() -> None:
    assert pause_by_hours("", "none") is None


def test_an_opening_that_is_not_found_is_looked_for_anew_later() -> None:
    now = moment("2026-12-04T16:00")
    never = PostingHours("never", ZoneInfo("UTC"), {0: [(0, 60)]}, closes=lambda _day: 0)
    assert never.opens_at(now) == now + LOOK_AHEAD / timedelta(seconds=1)


@pytest.mark.parametrize(
    ("later", "opening"), [("2026-12-04T15:59", "2026-12-04T15:59"), ("2026-12-04T16:00", "2026-12-07T09:30")]
)
def test_a_gate_knows_the_first_moment_within_the_hours_from_a_later_one_on(later: str, opening: str) -> None:
    client: Any = None
    gate = Gate(client, "ledger", Pace(1, 1, 0), lambda: moment("2026-12-04T12:00"), pause_by_hours(NEW_YORK, "none"))
    assert gate.opens_at(moment(later)) == moment(opening)


def test_a_gate_without_hours_is_within_them_at_any_moment() -> None:
    client: Any = None
    assert Gate(client, "ledger", Pace(1, 1, 0), lambda: 0.0).opens_at(1.0) == 1.0
