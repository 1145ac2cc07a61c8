"""Fetching backups: one to its outcome, and the nightly run."""

from typing import Any

import pytest
from relay.backups.backup import Backup
from relay.backups.events import Request
from relay.backups.fetcher import MAX_STARTS, Outcome, Result
from relay.backups.identity import Identity
from relay.backups.runs import ENQUEUE_SECONDS, START_SECONDS, Backups
from relay.backups.upload import Receipt
from relay.errors import Absent, Corrupt, Pause, Reject, RelayError, Retry, StartOver, Wait

from tests.factories import NOW
from tests.unit.backups.fetcher_helpers import ENDLESS, RECEIPT, REFUSED, TODAY, TYPES, FakeBackups, ago, counted

# --- One backup


def test_a_backup_that_is_stored_is_tagged_and_its_size_is_in_the_outcome(fake: FakeBackups) -> None:
    assert fake.fetch(ago(1)) == Outcome(backup=ago(1), result=Result.STORED, bytes=1000, lines=7, resumes=2)
    assert fake.tagged == {ago(1): (RECEIPT, Identity("tag"))}
    assert fake.closed == 1


def test_a_backup_that_another_worker_stored_keeps_its_tags(fake: FakeBackups) -> None:
    fake.there.add(ago(1))
    outcome = fake.backups.fetcher.fetch(ago(1), lambda: ENDLESS)
    assert (outcome.result, outcome.bytes, outcome.done) == (Result.ALREADY_THERE, 0, True)
    assert fake.tagged == {}


def test_a_backup_whose_tags_could_not_be_written_is_stored_all_the_same(fake: FakeBackups) -> None:
    fake.broken["tag"] = Retry("S3 did not tag it (SlowDown)")
    outcome = fake.fetch(ago(1))
    assert (outcome.result, outcome.bytes) == (Result.STORED, 1000)
    assert outcome.reason == "stored whole, but without tags: S3 did not tag it (SlowDown)"


@pytest.mark.parametrize("changes", range(1, MAX_STARTS))
def test_a_file_that_changed_while_it_was_read_is_begun_anew(fake: FakeBackups, changes: int) -> None:
    fake.fail(ago(1), *[StartOver("it has changed")] * changes)
    assert fake.fetch(ago(1)).result is Result.STORED
    assert fake.asked == [ago(1)] * (changes + 1)
    assert fake.closed == changes + 1


def test_a_file_that_changes_all_the_time_fails_after_three_beginnings(fake: FakeBackups) -> None:
    fake.fail(ago(1), *[StartOver("it has changed")] * 4)
    outcome = fake.fetch(ago(1))
    assert (outcome.result, outcome.reason, outcome.final) == (Result.FAILED, "it has changed", False)
    assert len(fake.asked) == fake.closed == 3


@pytest.mark.parametrize(
    "error", [Corrupt("line 7 is not a JSON object"), Retry("the link's host answered 503", status=503)]
)
def test_a_failure_has_a_reason_and_may_be_tried_again(fake: FakeBackups, error: RelayError) -> None:
    fake.fail(ago(1), error)
    outcome = fake.fetch(ago(1))
    assert (outcome.result, outcome.reason, outcome.status) == (Result.FAILED, error.reason, error.status)
    assert not outcome.final
    assert not outcome.done
    assert outcome.pause is None
    assert len(fake.asked) == fake.closed == 1


def test_a_defect_in_one_backup_leaves_the_others_unharmed_and_shows_no_secret(fake: FakeBackups) -> None:
    fake.fail(ago(2), KeyError("https://the-link"))
    run = fake.nightly()
    assert (run.counts[Result.STORED], run.counts[Result.FAILED], run.counts[Result.QUEUED]) == (13, 1, 1)
    (failed,) = (each for each in fake.outcomes if each.result is Result.FAILED)
    assert failed.reason.startswith("a defect, please report it: KeyError at fetcher_helpers.py:")
    assert "the-link" not in failed.reason


def test_a_backup_that_firestream_refuses_to_look_for_is_final(fake: FakeBackups) -> None:
    fake.fail(ago(1), Reject("Firestream refused to look for it (400)", status=400))
    outcome = fake.fetch(ago(1))
    assert (outcome.result, outcome.status, outcome.final) == (Result.FAILED, 400, True)


def test_a_refused_login_is_a_pause_for_everyone(fake: FakeBackups) -> None:
    fake.fail(ago(1), REFUSED)
    outcome = fake.fetch(ago(1))
    assert (outcome.result, outcome.pause, outcome.final) == (Result.FAILED, REFUSED.pause, False)


def test_a_backup_that_firestream_does_not_have_is_not_there_yet(fake: FakeBackups) -> None:
    fake.fail(ago(3), Absent("Firestream has no file for it (404)", status=404))
    outcome = fake.fetch(ago(3))
    assert outcome == Outcome(
        backup=ago(3), result=Result.NOT_YET, reason="Firestream has no file for it (404)", status=404
    )
    assert outcome.done
    assert fake.recorded_absent == set()


# --- The nightly run


def test_the_first_night_fetches_the_days_of_age_1_to_7_of_each_type_oldest_first(fake: FakeBackups) -> None:
    run = fake.nightly()
    assert fake.asked == [ago(age, file_type) for age in range(7, 0, -1) for file_type in TYPES]
    assert counted(run) == {"stored": 14, "bytes": 14_000, "lines": 98}
    assert fake.outcomes == [
        Outcome(backup=each, result=Result.STORED, bytes=1000, lines=7, resumes=2) for each in fake.asked
    ]
    assert fake.sent == []
    assert run.newest == dict.fromkeys(TYPES, ago(1).day)


def test_the_window_moves_at_midnight_utc(fake: FakeBackups) -> None:
    fake.clock.now += 16 * 3600 - 1
    assert fake.backups.today() == TODAY
    fake.clock.now += 1
    fake.nightly()
    assert (fake.asked[0], fake.asked[-1]) == (ago(6, "activity"), ago(0))


def test_how_far_back_is_a_setting(fake: FakeBackups) -> None:
    Backups.nightly(
        Backups(**{**vars(fake.backups), "lookback_days": 3, "file_types": ("message",)}),
        lambda: ENDLESS,
        fake.outcomes.append,
    )
    assert fake.asked == [ago(3), ago(2), ago(1)]


def test_a_missing_day_is_fetched_first_and_then_what_is_there_is_compared_newest_first(fake: FakeBackups) -> None:
    fake.nightly()
    fake.asked.clear()
    missing = ago(4)
    fake.there.remove(missing)
    run = fake.nightly()
    assert fake.asked == [missing]
    others = [ago(age, file_type) for age in range(1, 8) for file_type in reversed(TYPES)]
    assert fake.compared == [each for each in others if each != missing]
    assert counted(run) == {"stored": 1, "already_there": 13, "bytes": 1000, "lines": 7}


def test_a_file_that_was_not_there_yet_is_asked_for_again_the_next_night(fake: FakeBackups) -> None:
    fake.fail(ago(1), Absent("no", status=404))
    assert counted(fake.nightly())["not_yet"] == 1
    assert fake.sent == []
    fake.asked.clear()
    fake.answers.clear()
    assert counted(fake.nightly())["stored"] == 1
    assert fake.asked == [ago(1)]


@pytest.mark.parametrize(
    ("age", "result"), [(1, "not_yet"), (2, "not_yet"), (3, "not_yet"), (6, "not_yet"), (7, "absent")]
)
def test_an_absence_is_recorded_when_its_day_leaves_the_look_back(fake: FakeBackups, age: int, result: str) -> None:
    fake.fail(ago(age), Absent("no", status=404))
    assert counted(fake.nightly())[result] == 1
    assert fake.recorded_absent == ({ago(7)} if result == "absent" else set())


@pytest.mark.parametrize(("age", "late"), [(1, False), (2, False), (3, True), (7, True)])
def test_a_file_that_is_missing_beyond_the_lag_is_late(fake: FakeBackups, age: int, late: bool) -> None:
    fake.fail(ago(age), Absent("no", status=404))
    fake.nightly()
    (outcome,) = (each for each in fake.outcomes if each.status == 404)
    assert (outcome.late, outcome.notable, outcome.done) == (late, late, True)


def test_a_missing_file_is_asked_for_whatever_a_note_says(fake: FakeBackups) -> None:
    fake.recorded_absent = {ago(3), ago(7)}
    assert counted(fake.nightly())["stored"] == 14


def test_the_age_is_counted_in_days_of_utc(fake: FakeBackups) -> None:
    fake.fail(ago(6), Absent("no", status=404))
    fake.clock.now += 16 * 3600 - 1
    assert counted(fake.nightly())["not_yet"] == 1
    fake.clock.now += 1
    assert counted(fake.nightly())["absent"] == 1


def test_an_absence_that_cannot_be_recorded_is_a_failure(fake: FakeBackups) -> None:
    fake.fail(ago(7), Absent("no", status=404))
    fake.broken["mark"] = Retry("S3 did not write the note (SlowDown)")
    assert counted(fake.nightly())["failed"] == 1
    (outcome,) = (each for each in fake.outcomes if each.status == 404)
    assert (outcome.result, outcome.reason) == (Result.FAILED, "S3 did not write the note (SlowDown)")
    assert fake.requested == [Request(ago(7)).body]


def test_a_day_that_failed_becomes_a_request_and_the_others_are_fetched(fake: FakeBackups) -> None:
    fake.fail(ago(7, "activity"), Corrupt("the gzip data ends early"))
    fake.fail(ago(3), Reject("Firestream refused to look for it (400)", status=400))
    run = fake.nightly()
    assert counted(run) == {"stored": 12, "failed": 2, "queued": 2, "bytes": 12_000, "lines": 84}
    assert fake.requested == [Request(ago(7, "activity")).body, Request(ago(3)).body]
    assert run.stopped == ""


def test_a_backup_without_time_left_becomes_a_request(fake: FakeBackups) -> None:
    fake.left = START_SECONDS
    store = fake.store

    def slow(*args: Any, **options: Any) -> Receipt | None:
        if len(fake.asked) == 5:
            fake.left = START_SECONDS - 0.001
        return store(*args, **options)

    fake.store = slow  # type: ignore[method-assign, assignment]
    run = fake.nightly()
    assert (counted(run)["stored"], counted(run)["queued"], len(fake.asked)) == (5, 9, 5)
    assert fake.requested[0] == Request(ago(5)).body
    assert fake.requested[-1] == Request(ago(1)).body
    assert "failed" not in counted(run)


def test_a_refused_login_stops_the_nightly_run_and_nothing_is_requested(fake: FakeBackups) -> None:
    fake.fail(ago(7), Retry("the link's host answered 503"))
    fake.fail(ago(6), REFUSED)
    run = fake.nightly()
    assert fake.asked[-1] == ago(6)
    assert fake.sent == []
    assert run.summary()["stopped"] == REFUSED.reason
    assert (counted(run)["stored"], counted(run)["failed"]) == (2, 2)
    assert run.newest == {"activity": ago(6).day, "message": None}


def test_a_request_that_sqs_does_not_take_is_reported_as_failed(fake: FakeBackups) -> None:
    fake.fail(ago(5), Retry("no"))
    fake.fail(ago(4), Retry("no"))
    fake.refused = {Request(ago(4)).body}
    run = fake.nightly()
    assert (counted(run)["failed"], counted(run)["queued"]) == (3, 1)
    assert fake.outcomes[-1] == Outcome(
        backup=ago(4), result=Result.FAILED, reason="SQS did not accept the request: request the backup again"
    )


def test_without_a_listing_nothing_is_asked_for(fake: FakeBackups) -> None:
    fake.broken["list"] = Retry("S3 did not list message/ (AccessDenied)")
    with pytest.raises(Retry):
        fake.nightly()
    assert (fake.asked, fake.sent) == ([], [])


@pytest.mark.parametrize(
    ("missing", "days"),
    [
        ([], 0),
        ([ago(1), ago(2, "activity")], 0),
        ([ago(1), ago(3)], 1),
        ([ago(1), ago(4, "activity"), ago(3)], 2),
        ([ago(7)], 5),  # its absence is recorded this night
    ],
)
def test_a_nightly_run_counts_how_far_the_oldest_missing_day_is_behind_the_lag(
    fake: FakeBackups, missing: list[Backup], days: int
) -> None:
    for each in missing:
        fake.fail(each, Absent("no", status=404))
    assert fake.nightly().days_beyond_lag == days


def test_what_was_not_fetched_for_other_reasons_is_behind_the_lag_too(fake: FakeBackups) -> None:
    fake.fail(ago(4), Retry("the link's host answered 503"))
    assert fake.nightly().days_beyond_lag == 2
    fake.left = 0
    assert fake.nightly().days_beyond_lag == 2
    fake.there.clear()
    assert fake.nightly().days_beyond_lag == 5


def test_a_night_without_time_left_stops_before_it_requests_anything(fake: FakeBackups) -> None:
    fake.left = ENQUEUE_SECONDS - 0.001
    run = fake.nightly()
    assert (
        run.stopped == f"time ran out before {ago(7, 'activity')} was requested: request the remaining days from there"
    )
    assert (fake.asked, fake.sent) == ([], [])


@pytest.mark.parametrize(("seconds", "delay"), [(60, 60), (3600, 900)])
def test_when_firestream_asks_to_wait_the_night_requests_the_rest_for_later(
    fake: FakeBackups, seconds: float, delay: int
) -> None:
    fake.fail(ago(5), Wait(Pause("firestream_limited", "Firestream asks to wait (429)", NOW + seconds), status=429))
    run = fake.nightly()
    held = [each for each in fake.outcomes if each.result is Result.HELD]
    assert [each.backup.day if each.backup else None for each in held] == [ago(5).day]
    assert run.stopped == ""
    assert len(fake.requested) == run.counts[Result.QUEUED] == 14 - run.counts[Result.STORED]
    assert fake.delays == [delay]
