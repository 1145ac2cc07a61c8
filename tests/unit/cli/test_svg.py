"""The charts of the dashboard."""

from datetime import UTC, datetime, timedelta

import pytest
from relay_cli.dashboard import svg
from relay_cli.deployed import calendar
from relay_cli.deployed.deliveries import Delivered


def post(delay: float | None, number: int = 0) -> Delivered:
    at = datetime(2026, 11, 21, 15, number, tzinfo=UTC)
    return Delivered(at, "posted", "text", None, None, None, "", "key", "id", 1, None, delay, None)


def test_delays_are_drawn_oldest_first_on_a_scale_of_powers() -> None:
    drawn = svg.chart([post(100, 3), post(10, 2), post(None), post(1, 1), post(0)])
    assert [bar.label.partition("UTC: ")[2] for bar in drawn.bars] == ["0.0 s", "1.0 s", "10 s", "100 s"]
    lowest, one, ten, hundred = (bar.height for bar in drawn.bars)
    assert (hundred - ten, ten - one) == (pytest.approx(one), pytest.approx(one))
    assert 0 < lowest < one
    assert hundred < svg.HEIGHT
    assert [name for _, name in drawn.lines] == ["1 s", "10 s", "60 s", "10 min"]
    assert all(bar.y + bar.height == svg.HEIGHT for bar in drawn.bars)
    assert drawn.label == "From queued to posted, 4 posts: median 5.5 s, longest 100 s."


def test_without_a_known_delay_nothing_is_drawn() -> None:
    assert svg.chart([post(None)]) is None


def test_weeks_are_columns_that_begin_on_monday() -> None:
    first = datetime(2016, 12, 4, tzinfo=UTC).date()  # a Sunday
    days = tuple(
        calendar.Day(first + timedelta(days=number), calendar.Status.STORED, size)
        for number, size in enumerate([400, 0, 100, 101])
    )
    drawn = svg.weeks(calendar.Calendar("message", days), first)
    step = svg.STEP
    assert [(each.x, each.y) for each in drawn.squares] == [(0, 6 * step), (step, 0), (step, step), (step, 2 * step)]
    assert [each.shade for each in drawn.squares] == [4, 1, 1, 2]
