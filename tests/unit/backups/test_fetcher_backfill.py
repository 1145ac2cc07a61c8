"""A backfill: every day of a range that is missing becomes a request."""

from collections.abc import Sequence
from datetime import date, timedelta

from relay.backups.backup import Backup, days
from relay.backups.events import Backfill, Request
from relay.backups.runs import ENQUEUE_SECONDS, Backups

from tests.unit.backups.fetcher_helpers import TYPES, FakeBackups, counted

ALL = date(2009, 1, 1), date(2025, 12, 31)


def test_all_years_become_12418_requests_in_one_invocation_oldest_first(fake: FakeBackups) -> None:
    run = fake.backfill(*ALL)
    assert counted(run) == {"queued": 12_418}
    assert (run.newest, run.days_beyond_lag) == ({}, None)
    assert fake.requested == [Request(Backup(day, file_type)).body for day in days(*ALL) for file_type in TYPES]
    assert fake.asked == fake.outcomes == []
    assert run.stopped == ""
    assert fake.listings == 4


def test_a_backfill_leaves_out_what_is_there_and_what_is_absent(fake: FakeBackups) -> None:
    first, last = date(2016, 12, 1), date(2016, 12, 4)
    fake.there = {Backup(first, "message"), Backup(last, "activity"), Backup(date(2016, 12, 5), "message")}
    fake.recorded_absent = {Backup(date(2016, 12, 2), "message"), Backup(date(2016, 11, 30), "message")}
    run = fake.backfill(first, last)
    assert counted(run) == {"already_there": 2, "absent": 1, "queued": 5}
    assert fake.requested == [
        Request(Backup(day, file_type)).body
        for day in days(first, last)
        for file_type in TYPES
        if Backup(day, file_type) not in fake.there | fake.recorded_absent
    ]


def test_a_backfill_may_ask_again_for_what_was_absent(fake: FakeBackups) -> None:
    day = date(2016, 12, 1)
    fake.recorded_absent = {Backup(day, "message")}
    assert counted(fake.backfill(day, day, "message")) == {"absent": 1}
    assert counted(fake.backfill(day, day, "message", retry_absent=True)) == {"queued": 1}


def test_a_backfill_may_name_its_types(fake: FakeBackups) -> None:
    day = date(2016, 12, 1)
    fake.backfill(day, day, "message")
    assert fake.requested == [Request(Backup(day, "message")).body]


def test_a_backfill_of_what_is_all_there_sends_nothing(fake: FakeBackups) -> None:
    day = date(2016, 12, 1)
    fake.there = {Backup(day, each) for each in TYPES}
    assert counted(fake.backfill(day, day)) == {"already_there": 2}
    assert fake.sent == []


def test_a_backfill_that_runs_out_of_time_names_where_to_ask_again(fake: FakeBackups) -> None:
    fake.left = ENQUEUE_SECONDS
    send = fake.backups.request

    def slow(bodies: Sequence[str], delay: int) -> list[str]:
        if len(fake.sent) == 2:
            fake.left = ENQUEUE_SECONDS - 0.001
        return send(bodies, delay)

    backups = Backups(**{**vars(fake.backups), "request": slow})
    run = backups.backfill(Backfill(*ALL, None, False), lambda: fake.left, fake.outcomes.append)
    next_one = Backup(ALL[0] + timedelta(days=len(fake.requested) // 2), TYPES[len(fake.requested) % 2])
    assert counted(run) == {"queued": len(fake.requested)}
    assert 0 < len(fake.requested) < 12_418
    assert run.stopped == f"time ran out before {next_one} was requested: request the remaining days from there"


def test_the_requests_of_a_backfill_that_sqs_refuses_are_named(fake: FakeBackups) -> None:
    refused = [Backup(date(2009, 1, 1), "message"), Backup(date(2017, 7, 7), "activity")]
    fake.refused = {Request(each).body for each in refused}
    run = fake.backfill(*ALL)
    assert counted(run) == {"queued": 12_416, "failed": 2}
    assert [outcome.backup for outcome in fake.outcomes] == refused
