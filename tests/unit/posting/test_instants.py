"""Which moment a text names, in whatever form of ISO 8601, RFC 3339 or RFC 9557."""

import json
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay.errors import Reject
from relay.posting.alert import read
from relay.posting.instants import instant

FOUR = datetime(2026, 11, 21, 16, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21T16:00:00Z",
        "2026-11-21t16:00:00z",
        "2026-11-21 16:00:00Z",
        "2026-11-21 16:00:00 Z",
        "2026-11-21 16:00:00 UTC",
        "2026-11-21 16:00:00 GMT",
        " 2026-11-21T16:00:00Z\n",
        "2026-11-21T16:00Z",
        "2026-11-21T16Z",
        "20261121T160000Z",
        "20261121T1600Z",
        "20261121T16Z",
        "20261121160000Z",
        "2026-11-21T160000Z",
        "2026-11-21T16:00:00+00:00",
        "2026-11-21T16:00:00-00:00",
        "2026-11-21T16:00:00+00",
        "2026-11-21T17:00:00+01",
        "2026-11-21T17:00:00+0100",
        "2026-11-21 17:00:00 +0100",
        "20261121T170000+01",
        "2026-11-21T11:00:00-05:00",
        "2026-11-21T11:00:00\u221205:00",
        "2026-11-21T21:30+05:30",
        "2026-11-21T16:00:00.000Z",
        "2026-11-21T16:00:00,0Z",
        "2026-11-21T16:00:00.0000009Z",
        "2026-W47-6T16:00:00Z",
        "2026W476T160000Z",
        "2026-325T16:00:00Z",
        "2026325T160000Z",
        "2026-11-21T17:00:00+01:00[Europe/Berlin]",
        "2026-11-21T17:00:00+01:00[!Europe/Berlin]",
        "2026-11-21T17:00:00+01:00[+01:00]",
        "2026-11-21T17:00:00+01:00[Europe/Berlin][u-ca=hebrew]",
        "2026-11-21T16:00:00Z[Europe/Berlin]",
        "2026-11-21T17:00:00+01:00[Mars/Olympus]",
        "2026-11-21T17:00:00+01:00[../../../etc/passwd]",
    ],
)
def test_every_form_of_a_moment_names_it(text: str) -> None:
    assert instant(text) == FOUR
    assert read(json.dumps({"body": "x", "expires_at": text})).expires_at == FOUR


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("2026-11-21T16:00:00.5Z", timedelta(seconds=0.5)),
        ("2026-11-21T16:00:00,25Z", timedelta(seconds=0.25)),
        ("2026-11-21T16:00:00.123456789Z", timedelta(microseconds=123456)),
        ("2026-11-21T16:00:00." + "9" * 5000 + "Z", timedelta(microseconds=999_999)),
        ("2026-11-21T16:00.5Z", timedelta(seconds=30)),
        ("2026-11-21T16,25Z", timedelta(minutes=15)),
        ("2026-11-21T24:00:00Z", timedelta(hours=8)),
        ("20261121T24Z", timedelta(hours=8)),
        ("2026-11-21T23:59:60Z", timedelta(hours=8)),
        ("2026-11-21T18:59:60-05:00", timedelta(hours=8)),
        ("2026-11-22T05:29:60+05:30", timedelta(hours=8)),
    ],
)
def test_fractions_midnight_and_leap_seconds_are_read(text: str, after: timedelta) -> None:
    assert instant(text) - FOUR == after


@pytest.mark.parametrize("year", [2020, 2024, 2026, 2032])
def test_days_by_week_and_by_number_are_those_of_the_calendar(year: int) -> None:
    day = datetime(year, 1, 1, tzinfo=UTC)
    while day.year == year:
        week = "{}-W{:02}-{}".format(*day.isocalendar())
        assert instant(f"{week}T00Z") == instant(f"{day:%Y-%jT00Z}") == day
        day += timedelta(days=1)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("2026-11-21T16:00:00", "it has no zone: add the offset from UTC or a Z"),
        ("20261121T16", "it has no zone"),
        ("2026-11-21T16:00:00[Europe/Berlin]", "it has no zone: add the offset from UTC before the name in brackets"),
        ("2026-11-21", "it is not a date and a time of day"),
        ("2026-11-21Z", "it is not a date and a time of day"),
        ("2026-W47T16:00Z", "it is not a date and a time of day"),
        ("16:00:00Z", "it is not a date and a time of day"),
        ("tomorrow", "it is not a date and a time of day"),
        ("", "it is not a date and a time of day"),
        ("21.11.2026 16:00Z", "it is not a date and a time of day"),
        ("2026-11-21T16:00:00 Europe/Berlin", "it is not a date and a time of day"),
        ("\u0662\u0660\u0662\u0666-11-21T16:00:00Z", "it is not a date and a time of day"),
        ("1795273200", "it is a number"),
        ("1795273200.5", "it is a number"),
        ("1795273200000", "it is a number"),
        ("2026-02-29T16:00:00Z", "there is no such day"),
        ("2026-13-01T16:00:00Z", "there is no such day"),
        ("2026-366T16:00:00Z", "there is no such day"),
        ("2026-000T16:00:00Z", "there is no such day"),
        ("2025-W53-1T16:00:00Z", "there is no such day"),
        ("2026-W47-8T16:00:00Z", "there is no such day"),
        ("0000-01-01T16:00:00Z", "its year must be one from 0001 to 9999"),
        ("9999-12-31T24:00:00Z", "its year must be one from 0001 to 9999"),
        ("2026-11-21T25:00:00Z", "there is no such time of day"),
        ("2026-11-21T24:00:01Z", "there is no such time of day"),
        ("2026-11-21T24:00:00.1Z", "there is no such time of day"),
        ("2026-11-21T16:60:00Z", "there is no such time of day"),
        ("2026-11-21T16:00:61Z", "there is no such time of day"),
        ("2026-11-21T16:00:60Z", "only 23:59 UTC can have a second 60"),
        ("2026-11-21T23:59:60+01:00", "only 23:59 UTC can have a second 60"),
        ("2026-11-21T16:00:00+24:00", "there is no such offset from UTC"),
        ("2026-11-21T16:00:00+01:60", "there is no such offset from UTC"),
        ("2026-11-21T16:00:00+02:00[Europe/Berlin]", "the zone in brackets contradicts the offset"),
        ("2026-11-21T16:00:00+01:00[+02:00]", "the zone in brackets contradicts the offset"),
        ("2026-11-21T16:00:00+01:00[!Mars/Olympus]", "the zone in brackets is not known here"),
    ],
)
def test_what_names_no_moment_is_refused_with_the_cause(text: str, cause: str) -> None:
    with pytest.raises(Reject) as refused:
        read(json.dumps({"body": "x", "expires_at": text}))
    example = "must be ISO 8601 with a zone, as in 2026-11-21T16:00:00Z"
    assert refused.value.reason.startswith(f"the message is not valid: expires_at: {example}: {cause}")


@given(
    st.datetimes(timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))),
    st.sampled_from("T "),
)
def test_what_python_writes_is_read(moment: datetime, between: str) -> None:
    assert instant(moment.isoformat(between)) == moment


@given(st.text("0123456789-:.,TWZz+[]! Europ/Berlin"))
def test_any_text_names_a_moment_with_a_zone_or_is_refused(text: str) -> None:
    try:
        moment = instant(text)
    except ValueError as refused:
        assert str(refused)  # noqa: PT017 - either way out is right
    else:
        assert moment.utcoffset() is not None


def test_the_database_of_zones_is_loaded_only_for_a_name_in_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zoneinfo", None)
    assert instant("2026-11-21T16:00:00Z[Europe/Berlin]") == FOUR
