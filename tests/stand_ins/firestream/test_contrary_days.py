"""Days of the stand-in for Firestream that come late, change, are nearly empty, or go."""

import gzip
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from local.stand_ins.firestream.server import FirestreamStandIn
from tests.stand_ins.firestream.client import DAY, Client, Clock, records

MORNING = datetime(2024, 1, 11, 6, tzinfo=UTC)
"""The first test's clock shows noon of the day before."""


def statuses(client: Client, *paths: str) -> list[int]:
    return [client.ask(path).status_code for path in paths or ["message/2024/01/02"]]


@pytest.mark.parametrize(
    "at", [MORNING.timestamp(), "2024-01-11T06:00:00Z", "2024-01-11T07:00:00+01:00", "2024-01-11T06:00:00"]
)
def test_a_day_can_be_late_until_a_moment(
    client: Client, stand_in: FirestreamStandIn, clock: Clock, at: str | float
) -> None:
    stand_in.fail("late", day=DAY, at=at)
    assert statuses(client, "message/2024/01/02", "activity/2024/01/02", "message/2024/01/03") == [404, 404, 302]
    clock.now = MORNING.timestamp() - 1
    assert statuses(client) == [404]
    clock.now = MORNING.timestamp()
    assert statuses(client) == [302]


def test_every_day_can_be_late_by_some_hours_after_its_end(
    client: Client, stand_in: FirestreamStandIn, clock: Clock
) -> None:
    stand_in.fail("late", file_type="message", hours=36)
    assert statuses(client, "message/2024/01/08", "message/2024/01/09", "activity/2024/01/09") == [302, 404, 302]
    clock.now += timedelta(days=1).total_seconds()
    assert statuses(client, "message/2024/01/09", "message/2024/01/10") == [302, 404]


def test_a_day_can_be_late_until_it_was_asked_for_so_many_times(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail("late", asked=2)
    assert statuses(client, *["message/2024/01/02"] * 4) == [404, 404, 302, 302]
    assert statuses(client, "message/2024/01/03") == [404]


def test_a_refused_request_does_not_count_as_asking(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail("late", asked=1)
    stand_in.fail("500")
    assert client.ask(login=None).status_code == 500
    assert client.ask(login=None).status_code == 401
    assert statuses(client, *["message/2024/01/02"] * 2) == [404, 302]


def test_a_late_file_was_last_modified_when_it_came(client: Client, stand_in: FirestreamStandIn, clock: Clock) -> None:
    stand_in.fail("late", at=clock.now - 60)
    modified = parsedate_to_datetime(client.get(client.link()).headers["Last-Modified"])
    assert modified.timestamp() == clock.now - 60


@pytest.mark.parametrize(
    ("form", "lines_before"), [("shorter", 10), ("longer", 30), ("reordered", 20), ("recompressed", 20)]
)
def test_a_day_can_be_reissued_with_other_content_and_another_etag(
    client: Client, stand_in: FirestreamStandIn, form: str, lines_before: int
) -> None:
    stand_in.fail("reissued", form=form, asked=1)
    before, after = client.get(client.link()), client.get(client.link())
    assert len(records(before.content)) == lines_before
    assert len(records(after.content)) == 20
    assert before.content != after.content
    assert before.headers["ETag"] != after.headers["ETag"]
    dates = [parsedate_to_datetime(each.headers["Last-Modified"]) for each in (before, after)]
    assert dates[0] < dates[1]


def test_a_reissued_day_can_lack_any_share_of_its_lines_at_first(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail("reissued", share=0.95, asked=1)
    assert [len(records(client.download())) for _ in range(3)] == [1, 20, 20]


def test_a_damaged_day_can_be_reissued_whole(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail("reissued", form="damaged", asked=1)
    with pytest.raises(EOFError):
        records(client.download())
    assert len(records(client.download())) == 20


def test_a_whole_day_can_be_reissued_damaged(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail("reissued", form="damaged", changed="after", asked=1)
    assert len(records(client.download())) == 20
    with pytest.raises(EOFError):
        records(client.download())


def test_a_day_can_be_reissued_several_times(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail("reissued", share=0.9, asked=2)
    stand_in.fail("reissued", share=0.5, asked=1)
    assert [len(records(client.download())) for _ in range(3)] == [1, 2, 20]


def test_a_link_leads_to_the_version_of_the_moment(client: Client, stand_in: FirestreamStandIn, clock: Clock) -> None:
    stand_in.fail("reissued", at=clock.now + 10)
    link = client.link()
    first = client.get(link).content
    clock.now += 10
    assert client.get(link).content == stand_in.content("message", DAY) != first


@pytest.mark.parametrize(("form", "content"), [("gzip", gzip.compress(b"", mtime=0)), ("bytes", b"")])
def test_a_day_can_be_empty_at_first(client: Client, stand_in: FirestreamStandIn, form: str, content: bytes) -> None:
    stand_in.fail("empty-first", form=form, asked=1)
    assert client.download() == content
    assert len(records(client.download())) == 20


def test_a_day_can_have_one_empty_line_at_first(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail("empty-first", form="line", asked=1)
    assert gzip.decompress(client.download()) == b"\n"


@pytest.mark.parametrize(("details", "lines"), [({}, 3), ({"lines": 1}, 1), ({"lines": 0}, 0)])
def test_a_day_can_have_far_fewer_lines_than_its_neighbours(
    client: Client, stand_in: FirestreamStandIn, details: dict[str, int], lines: int
) -> None:
    stand_in.fail("few-lines", day=DAY, **details)
    assert [len(records(client.download())) for _ in range(2)] == [lines] * 2
    assert len(records(client.download("message/2024/01/03"))) == 20


def test_a_day_can_have_few_lines_until_a_moment(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail("few-lines", lines=2, asked=1)
    assert [len(records(client.download())) for _ in range(2)] == [2, 20]


def test_a_day_can_be_withdrawn(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail("withdrawn", asked=1)
    link = client.link()
    assert statuses(client) == [404]
    assert client.get(link).status_code == 404


@pytest.mark.parametrize(
    "planned",
    [
        {"fault": "late"},
        {"fault": "late", "hours": 1, "asked": 1},
        {"fault": "few-lines", "hours": 1, "asked": 1},
        {"fault": "late", "at": "soon"},
        {"fault": "reissued", "asked": 1, "form": "odd"},
        {"fault": "reissued", "asked": 1, "changed": "never"},
    ],
)
def test_a_day_that_makes_no_sense_is_refused_when_it_is_planned(
    client: Client, stand_in: FirestreamStandIn, planned: dict[str, Any]
) -> None:
    assert client.control("faults", **planned).status_code == 400
    assert statuses(client) == [302]


def test_a_backup_can_be_put_from_a_moment_on(client: Client, stand_in: FirestreamStandIn, clock: Clock) -> None:
    stand_in.put("message", DAY, b"one")
    stand_in.put("message", DAY, None, at=clock.now + 20)
    stand_in.put("message", DAY, b"two", at=clock.now + 10)
    assert client.download() == b"one"
    clock.now += 10
    answer = client.get(client.link())
    assert answer.content == b"two"
    assert parsedate_to_datetime(answer.headers["Last-Modified"]).timestamp() == clock.now
    clock.now += 10
    assert statuses(client) == [404]


def test_a_backup_that_is_put_later_replaces_the_usual_one_only_then(
    client: Client, stand_in: FirestreamStandIn, clock: Clock
) -> None:
    stand_in.put("message", DAY, b"other", at=clock.now + 10)
    assert len(records(client.download())) == 20
    clock.now += 10
    assert client.download() == b"other"
