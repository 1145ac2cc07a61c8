"""When a rate limit ends: every form of Retry-After and X-RateLimit-Reset, and what says nothing."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay.errors import Wait
from relay.limits import limit_end

from tests.factories import NOW
from tests.unit.posting.stocktwits_helpers import Clients, FakeApi, error_body, failure

NOW_IN_MILLISECONDS = int(NOW) * 1000
DAY = 24 * 3600
AN_HOUR_AHEAD = "Fri, 15 Jan 2027 09:00:00 GMT"

SECONDS = {
    "7": 7,
    " 7 ": 7,
    "7.5": 7.5,
    "3600": 3600,
    str(DAY): DAY,
    # Longer than a day in seconds, so it is in milliseconds.
    str(DAY + 1): (DAY + 1) / 1000,
    "300000": 300,
    str(DAY * 1000): DAY,
    # A moment, in seconds or milliseconds.
    str(int(NOW) + 1): 1,
    str(int(NOW) + 1200): 1200,
    str(int(NOW) + DAY): DAY,
    f"{int(NOW) + 1200}.5": 1200.5,
    str(NOW_IN_MILLISECONDS + 300_000): 300,
    str(NOW_IN_MILLISECONDS + 1): 0.001,
    str(NOW_IN_MILLISECONDS + DAY * 1000): DAY,
    AN_HOUR_AHEAD: 3600,
    "Friday, 15-Jan-27 09:00:00 GMT": 3600,
    "Fri Jan 15 09:00:00 2027": 3600,
    "Fri, 15 Jan 2027 10:00:00 +0100": 3600,
}
"""How many seconds from now each header means."""

SAYS_NOTHING = [
    "",
    "0",
    "-1",
    "soon",
    "inf",
    "-inf",
    "nan",
    "1 minute",
    "2027-01-15",
    "7, 7",
    "0x10",
    "\u0667",
    "9" * 15,
    "9" * 5000,
    "1e300",
    # In the past.
    str(int(NOW)),
    str(int(NOW) - 5),
    str(NOW_IN_MILLISECONDS - 5),
    "Fri, 15 Jan 2027 08:00:00 GMT",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    # Beyond a day.
    str(int(NOW) + DAY + 1),
    str(int(NOW) + 10**7),
    str(NOW_IN_MILLISECONDS + DAY * 1000 + 1),
    "Sat, 16 Jan 2027 08:00:01 GMT",
    "Fri, 31 Dec 9999 23:59:59 -1200",
    # No date.
    "Fri, 45 Jan 2027 09:00:00 GMT",
    "Fri, 15 Jan 99999999999999999999 09:00 GMT",
    AN_HOUR_AHEAD + " " * 40 + ".",
]

HEADERS = ["Retry-After", "X-RateLimit-Reset"]


def pause_seconds(api: FakeApi, client_of: Clients, headers: dict[str, str]) -> float:
    """How long the pause is after a 429 with these headers."""
    api.answer(429, error_body("Rate limit exceeded"), headers)
    error = failure(client_of(api.url))
    assert type(error) is Wait
    assert error.pause
    assert (error.pause.cause, error.pause.probe) == ("rate_limited", False)
    return (error.pause.until or 0) - NOW


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("value", SECONDS)
def test_a_rate_limit_ends_at_the_nearest_sensible_reading_of_its_header(
    api: FakeApi, client_of: Clients, name: str, value: str
) -> None:
    assert pause_seconds(api, client_of, {name: value}) == pytest.approx(SECONDS[value], abs=1e-4)


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("value", SAYS_NOTHING)
def test_a_rate_limit_whose_header_names_no_time_within_a_day_is_a_minute(
    api: FakeApi, client_of: Clients, name: str, value: str
) -> None:
    assert pause_seconds(api, client_of, {name: value}) == 60


@pytest.mark.parametrize("value", SAYS_NOTHING)
def test_a_header_that_says_nothing_leaves_it_to_the_other(api: FakeApi, client_of: Clients, value: str) -> None:
    reset = str(int(NOW) + 1200)
    assert pause_seconds(api, client_of, {"Retry-After": value, "X-RateLimit-Reset": reset}) == 1200


def test_of_two_headers_retry_after_counts(api: FakeApi, client_of: Clients) -> None:
    assert pause_seconds(api, client_of, {"Retry-After": "7", "X-RateLimit-Reset": str(int(NOW) + 1200)}) == 7


def test_a_rate_limit_without_headers_is_a_minute(api: FakeApi, client_of: Clients) -> None:
    assert pause_seconds(api, client_of, {}) == 60


@pytest.mark.parametrize("date", ["Fri Jan 15 09:00:00 2027", "Fri, 15 Jan 2027 09:00:00 -0000"])
def test_a_date_without_a_zone_is_in_utc_wherever_the_relay_runs(
    api: FakeApi, client_of: Clients, monkeypatch: pytest.MonkeyPatch, date: str
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert pause_seconds(api, client_of, {"Retry-After": date}) == 3600
    finally:
        monkeypatch.undo()
        time.tzset()


@given(
    st.text() | st.integers().map(str) | st.floats().map(str) | st.datetimes().map("{:%a, %d %b %Y %H:%M:%S}".format)
)
def test_no_header_means_the_past_or_more_than_a_day(header: str) -> None:
    end = limit_end(header, NOW)
    assert end is None or NOW < end <= NOW + DAY


@given(st.floats(0.5, DAY, exclude_min=True))
def test_a_wait_within_a_day_is_never_cut_short(seconds: float) -> None:
    end = limit_end(f"{seconds:.3f}", NOW)
    assert end == pytest.approx(NOW + seconds, abs=0.01)
