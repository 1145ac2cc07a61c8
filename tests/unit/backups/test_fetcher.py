"""The nightly run, backfills and their requests, with an archive, a Firestream and queues of a few lines each."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Self

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from relay.backups.backup import Backup, days
from relay.backups.events import Backfill
from relay.backups.fetcher import (
    ENQUEUE_SECONDS,
    MAX_STARTS,
    REQUEST_RECEIVES,
    START_SECONDS,
    Backups,
    Outcome,
    Result,
    Run,
)
from relay.backups.upload import Receipt
from relay.errors import Absent, Corrupt, Halt, Pause, Reject, RelayError, Retry, StartOver
from relay.queue_message import QueueMessage

from tests.factories import NOW, Clock, a_message

TODAY = datetime.fromtimestamp(NOW, UTC).date()
TYPES = ("activity", "message")
REFUSED = Halt(Pause("firestream_refused", "Firestream refused the login of me (401)", NOW + 300), status=401)
RECEIPT = Receipt(1000, 7, "5a" * 32)
NEVER = float("inf")


def ago(age: int, file_type: str = "message") -> Backup:
    return Backup(TODAY - timedelta(days=age), file_type)


class Download:
    """What was begun; its own `close` is noted."""

    etag, resumes = '"tag"', 2

    def __init__(self, world: "World") -> None:
        self.world = world

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.world.closed += 1


class World:
    """An archive, a Firestream and two queues in memory.

    Attributes:
        answers: What becomes of a download: errors to raise, in this order; then it is stored.
        refused: Bodies that SQS does not take.
    """

    def __init__(self) -> None:
        self.there: set[Backup] = set()
        self.never: set[Backup] = set()
        self.tags: dict[Backup, tuple[Receipt, str]] = {}
        self.answers: dict[Backup, list[Exception | None]] = {}
        self.broken: dict[str, RelayError] = {}
        self.asked: list[Backup] = []
        self.closed = 0
        self.listings = 0
        self.sent: list[list[str]] = []
        self.refused: set[str] = set()
        self.dead_letters: list[tuple[str, str]] = []
        self.taken: bool | Exception = True
        self.told: list[Outcome] = []
        self.clock = Clock()
        self.left = NEVER
        self.backups = Backups(
            archive=self,  # type: ignore[arg-type]
            open=self.open,  # type: ignore[arg-type]
            request=self.request,
            dead_letter=self.dead_letter,
            file_types=TYPES,
            lag_days=2,
            lookback_days=7,
            now=self.clock,
        )

    # The archive

    def stored(self, file_type: str, first: date, last: date) -> set[date]:
        self._may("list")
        self.listings += 1
        return {each.day for each in self.there if each.file_type == file_type and first <= each.day <= last}

    def absent(self, file_type: str, first: date, last: date) -> set[date]:
        self.listings += 1
        return {each.day for each in self.never if each.file_type == file_type and first <= each.day <= last}

    def newest(self, file_type: str) -> date | None:
        return max((each.day for each in self.there if each.file_type == file_type), default=None)

    def mark_absent(self, backup: Backup) -> None:
        self._may("mark")
        self.never.add(backup)

    def store(self, backup: Backup, download: Download) -> Receipt | None:
        answers = self.answers.get(backup)
        if answers and (error := answers.pop(0)):
            raise error
        if backup in self.there:
            return None
        self.there.add(backup)
        return RECEIPT

    def tag(self, backup: Backup, receipt: Receipt, etag: str) -> None:
        self._may("tag")
        self.tags[backup] = receipt, etag

    def _may(self, verb: str) -> None:
        if verb in self.broken:
            raise self.broken[verb]

    # Firestream and the queues

    def open(self, backup: Backup, seconds_left: Callable[[], float]) -> Download:
        self.asked.append(backup)
        answers = self.answers.get(backup)
        if answers and isinstance(answers[0], Absent | Halt | Reject):
            raise answers[0]
        return Download(self)

    def request(self, bodies: Sequence[str]) -> list[str]:
        assert bodies
        self.sent.append(list(bodies))
        return [body for body in bodies if body in self.refused]

    def dead_letter(self, message: QueueMessage, outcome: Outcome) -> bool:
        if isinstance(self.taken, Exception):
            raise self.taken
        self.dead_letters.append((message.body, outcome.reason))
        return self.taken

    @property
    def requested(self) -> list[str]:
        return [body for call in self.sent for body in call]

    # What is done with them

    def fail(self, backup: Backup, *errors: Exception | None) -> None:
        self.answers[backup] = list(errors)

    def fetch(self, backup: Backup) -> Outcome:
        return self.backups.fetch(backup, lambda: self.left)

    def nightly(self) -> Run:
        return self.backups.nightly(lambda: self.left, self.told.append)

    def backfill(self, first: date, last: date, *types: str, retry_absent: bool = False) -> Run:
        order = Backfill(first, last, types or None, retry_absent)
        return self.backups.backfill(order, lambda: self.left, self.told.append)

    def fulfil(self, *requests: QueueMessage) -> list[Outcome]:
        fulfilled = self.backups.fulfil(requests, lambda: self.left, self.told.append)
        assert [request for request, _ in fulfilled] == list(requests)
        assert [outcome for _, outcome in fulfilled] == self.told
        return self.told


@pytest.fixture
def world() -> World:
    return World()


def counted(run: Run) -> dict[str, int]:
    return {name: count for name, count in run.summary().items() if count and isinstance(count, int)}


# One backup


def test_what_is_stored_says_how_much_and_is_tagged(world: World) -> None:
    assert world.fetch(ago(1)) == Outcome(backup=ago(1), result=Result.STORED, bytes=1000, lines=7, resumes=2)
    assert world.tags == {ago(1): (RECEIPT, '"tag"')}
    assert world.closed == 1


def test_who_comes_second_finds_it_there_and_leaves_its_tags_alone(world: World) -> None:
    world.there.add(ago(1))
    outcome = world.fetch(ago(1))
    assert (outcome.result, outcome.bytes, outcome.done) == (Result.ALREADY_THERE, 0, True)
    assert world.tags == {}


def test_a_backup_whose_tags_could_not_be_written_is_stored_all_the_same(world: World) -> None:
    world.broken["tag"] = Retry("S3 did not tag it (SlowDown)")
    outcome = world.fetch(ago(1))
    assert (outcome.result, outcome.bytes) == (Result.STORED, 1000)
    assert outcome.reason == "stored whole, but without tags: S3 did not tag it (SlowDown)"


@pytest.mark.parametrize("changes", range(1, MAX_STARTS))
def test_a_file_that_changed_while_it_was_read_is_begun_anew(world: World, changes: int) -> None:
    world.fail(ago(1), *[StartOver("it has changed")] * changes)
    assert world.fetch(ago(1)).result is Result.STORED
    assert world.asked == [ago(1)] * (changes + 1)
    assert world.closed == changes + 1


def test_a_file_that_changes_all_the_time_fails_after_three_beginnings(world: World) -> None:
    world.fail(ago(1), *[StartOver("it has changed")] * 4)
    outcome = world.fetch(ago(1))
    assert (outcome.result, outcome.reason, outcome.final) == (Result.FAILED, "it has changed", False)
    assert len(world.asked) == world.closed == 3


@pytest.mark.parametrize(
    "error", [Corrupt("line 7 is no JSON object"), Retry("the link's host answered 503", status=503)]
)
def test_a_failure_says_why_and_may_be_tried_again(world: World, error: RelayError) -> None:
    world.fail(ago(1), error)
    outcome = world.fetch(ago(1))
    assert (outcome.result, outcome.reason, outcome.status) == (Result.FAILED, error.reason, error.status)
    assert not outcome.final
    assert not outcome.done
    assert outcome.pause is None
    assert len(world.asked) == world.closed == 1


def test_a_defect_that_one_file_meets_costs_no_other_and_shows_no_secret(world: World) -> None:
    world.fail(ago(2), KeyError("https://the-link"))
    run = world.nightly()
    assert (run.counts[Result.STORED], run.counts[Result.FAILED], run.counts[Result.QUEUED]) == (13, 1, 1)
    (failed,) = (each for each in world.told if each.result is Result.FAILED)
    assert failed.reason.startswith("a defect, please report it: KeyError at test_fetcher.py:")
    assert "the-link" not in failed.reason


def test_what_firestream_will_never_have_is_final(world: World) -> None:
    world.fail(ago(1), Reject("Firestream refused to look for it (400)", status=400))
    outcome = world.fetch(ago(1))
    assert (outcome.result, outcome.status, outcome.final) == (Result.FAILED, 400, True)


def test_a_refused_login_is_a_pause_for_everyone(world: World) -> None:
    world.fail(ago(1), REFUSED)
    outcome = world.fetch(ago(1))
    assert (outcome.result, outcome.pause, outcome.final) == (Result.FAILED, REFUSED.pause, False)


@pytest.mark.parametrize("age", [1, 2])
def test_a_file_that_is_missing_within_the_lag_is_not_there_yet(world: World, age: int) -> None:
    world.fail(ago(age), Absent("Firestream has no file for it (404)", status=404))
    outcome = world.fetch(ago(age))
    assert (outcome.result, outcome.reason, outcome.status) == (
        Result.NOT_YET,
        "Firestream has no file for it (404)",
        404,
    )
    assert outcome.done
    assert world.never == set()


def test_an_older_one_that_is_missing_is_recorded_as_absent(world: World) -> None:
    world.fail(ago(3), Absent("Firestream has no file for it (404)", status=404))
    outcome = world.fetch(ago(3))
    assert (outcome.result, outcome.status, outcome.done) == (Result.ABSENT, 404, True)
    assert world.never == {ago(3)}


def test_the_age_is_counted_in_days_of_utc(world: World) -> None:
    world.fail(ago(2), Absent("no", status=404))
    world.clock.now += 16 * 3600 - 1
    assert world.fetch(ago(2)).result is Result.NOT_YET
    world.clock.now += 1
    assert world.fetch(ago(2)).result is Result.ABSENT


def test_an_absence_that_cannot_be_recorded_is_a_failure(world: World) -> None:
    world.fail(ago(3), Absent("no", status=404))
    world.broken["mark"] = Retry("S3 did not write the note (SlowDown)")
    outcome = world.fetch(ago(3))
    assert (outcome.result, outcome.reason) == (Result.FAILED, "S3 did not write the note (SlowDown)")


# The nightly run


def test_the_first_night_fetches_the_days_of_age_1_to_7_of_each_type_oldest_first(world: World) -> None:
    run = world.nightly()
    assert world.asked == [ago(age, file_type) for age in range(7, 0, -1) for file_type in TYPES]
    assert counted(run) == {"stored": 14, "bytes": 14_000, "lines": 98}
    assert world.told == [
        Outcome(backup=each, result=Result.STORED, bytes=1000, lines=7, resumes=2) for each in world.asked
    ]
    assert world.sent == []
    assert run.newest == dict.fromkeys(TYPES, ago(1).day)


def test_the_window_moves_at_midnight_utc(world: World) -> None:
    world.clock.now += 16 * 3600 - 1
    assert world.backups.today() == TODAY
    world.clock.now += 1
    world.nightly()
    assert (world.asked[0], world.asked[-1]) == (ago(6, "activity"), ago(0))


def test_how_far_back_is_a_setting(world: World) -> None:
    Backups.nightly(
        Backups(**{**vars(world.backups), "lookback_days": 3, "file_types": ("message",)}),
        lambda: NEVER,
        world.told.append,
    )
    assert world.asked == [ago(3), ago(2), ago(1)]


def test_a_hole_is_healed_and_what_is_there_is_not_asked_for(world: World) -> None:
    world.nightly()
    world.asked.clear()
    hole = ago(4)
    world.there.remove(hole)
    run = world.nightly()
    assert world.asked == [hole]
    assert counted(run) == {"stored": 1, "already_there": 13, "bytes": 1000, "lines": 7}


def test_a_file_that_was_not_there_yet_is_asked_for_again_the_next_night(world: World) -> None:
    world.fail(ago(1), Absent("no", status=404))
    assert counted(world.nightly())["not_yet"] == 1
    assert world.sent == []
    world.asked.clear()
    world.answers.clear()
    assert counted(world.nightly())["stored"] == 1
    assert world.asked == [ago(1)]


def test_a_file_that_is_absent_is_not_asked_for_again(world: World) -> None:
    world.fail(ago(5), Absent("no", status=404))
    assert counted(world.nightly())["absent"] == 1
    world.asked.clear()
    assert counted(world.nightly()) == {"already_there": 13, "absent": 1}
    assert world.asked == []


def test_what_is_both_there_and_noted_absent_is_counted_once_as_there(world: World) -> None:
    world.nightly()
    world.never.add(ago(5))
    assert counted(world.nightly()) == {"already_there": 14}


def test_a_day_that_failed_becomes_a_request_and_stops_no_other(world: World) -> None:
    world.fail(ago(7, "activity"), Corrupt("the gzip data ends early"))
    world.fail(ago(3), Reject("Firestream refused to look for it (400)", status=400))
    run = world.nightly()
    assert counted(run) == {"stored": 12, "failed": 2, "queued": 2, "bytes": 12_000, "lines": 84}
    assert world.requested == [ago(7, "activity").request, ago(3).request]
    assert run.stopped == ""


def test_what_finds_no_time_becomes_a_request(world: World) -> None:
    world.left = START_SECONDS
    open_one = world.backups.archive.store

    def slow(backup: Backup, download: Any) -> Receipt | None:
        if len(world.asked) == 5:
            world.left = START_SECONDS - 0.001
        return open_one(backup, download)

    world.store = slow  # type: ignore[method-assign, assignment]
    run = world.nightly()
    assert (counted(run)["stored"], counted(run)["queued"], len(world.asked)) == (5, 9, 5)
    assert world.requested[0] == ago(5).request
    assert world.requested[-1] == ago(1).request
    assert "failed" not in counted(run)


def test_a_refused_login_stops_the_night_with_nothing_requested(world: World) -> None:
    world.fail(ago(7), Retry("the link's host answered 503"))
    world.fail(ago(6), REFUSED)
    run = world.nightly()
    assert world.asked[-1] == ago(6)
    assert world.sent == []
    assert run.summary()["stopped"] == REFUSED.reason
    assert (counted(run)["stored"], counted(run)["failed"]) == (2, 2)
    assert run.newest == {"activity": ago(6).day, "message": None}


def test_a_request_that_sqs_does_not_take_is_reported_as_failed(world: World) -> None:
    world.fail(ago(5), Retry("no"))
    world.fail(ago(4), Retry("no"))
    world.refused = {ago(4).request}
    run = world.nightly()
    assert (counted(run)["failed"], counted(run)["queued"]) == (3, 1)
    assert world.told[-1] == Outcome(
        backup=ago(4), result=Result.FAILED, reason="SQS did not take the request: ask again"
    )


def test_a_night_without_a_listing_asks_for_nothing(world: World) -> None:
    world.broken["list"] = Retry("S3 did not list message/ (AccessDenied)")
    with pytest.raises(Retry):
        world.nightly()
    assert (world.asked, world.sent) == ([], [])


# A backfill

ALL = date(2009, 1, 1), date(2025, 12, 31)


def test_all_years_become_12418_requests_in_one_invocation_oldest_first(world: World) -> None:
    run = world.backfill(*ALL)
    assert counted(run) == {"queued": 12_418}
    assert world.requested == [Backup(day, file_type).request for day in days(*ALL) for file_type in TYPES]
    assert world.asked == world.told == []
    assert run.stopped == ""
    assert world.listings == 4


def test_a_backfill_leaves_out_what_is_there_and_what_is_absent(world: World) -> None:
    first, last = date(2016, 12, 1), date(2016, 12, 4)
    world.there = {Backup(first, "message"), Backup(last, "activity"), Backup(date(2016, 12, 5), "message")}
    world.never = {Backup(date(2016, 12, 2), "message"), Backup(date(2016, 11, 30), "message")}
    run = world.backfill(first, last)
    assert counted(run) == {"already_there": 2, "absent": 1, "queued": 5}
    assert world.requested == [
        Backup(day, file_type).request
        for day in days(first, last)
        for file_type in TYPES
        if Backup(day, file_type) not in world.there | world.never
    ]


def test_a_backfill_may_ask_again_for_what_was_absent(world: World) -> None:
    day = date(2016, 12, 1)
    world.never = {Backup(day, "message")}
    assert counted(world.backfill(day, day, "message")) == {"absent": 1}
    assert counted(world.backfill(day, day, "message", retry_absent=True)) == {"queued": 1}


def test_a_backfill_may_name_its_types(world: World) -> None:
    day = date(2016, 12, 1)
    world.backfill(day, day, "message")
    assert world.requested == [Backup(day, "message").request]


def test_a_backfill_of_what_is_all_there_sends_nothing(world: World) -> None:
    day = date(2016, 12, 1)
    world.there = {Backup(day, each) for each in TYPES}
    assert counted(world.backfill(day, day)) == {"already_there": 2}
    assert world.sent == []


def test_a_backfill_that_runs_out_of_time_says_from_where_to_ask_again(world: World) -> None:
    world.left = ENQUEUE_SECONDS
    send = world.backups.request

    def slow(bodies: Sequence[str]) -> list[str]:
        if len(world.sent) == 2:
            world.left = ENQUEUE_SECONDS - 0.001
        return send(bodies)

    backups = Backups(**{**vars(world.backups), "request": slow})
    run = backups.backfill(Backfill(*ALL, None, False), lambda: world.left, world.told.append)
    next_one = Backup(ALL[0] + timedelta(days=len(world.requested) // 2), TYPES[len(world.requested) % 2])
    assert counted(run) == {"queued": len(world.requested)}
    assert 0 < len(world.requested) < 12_418
    assert run.stopped == f"time ran out before {next_one} was requested: ask again from there"


def test_the_requests_of_a_backfill_that_sqs_refuses_are_named(world: World) -> None:
    refused = [Backup(date(2009, 1, 1), "message"), Backup(date(2017, 7, 7), "activity")]
    world.refused = {each.request for each in refused}
    run = world.backfill(*ALL)
    assert counted(run) == {"queued": 12_416, "failed": 2}
    assert [outcome.backup for outcome in world.told] == refused


# Requests


def requests(*backups: Backup, receive_count: int = 1) -> list[QueueMessage]:
    return [a_message(each.request, id=str(each), receive_count=receive_count) for each in backups]


def results(outcomes: Sequence[Outcome]) -> list[str]:
    return [f"{each.result}{' as a dead letter' if each.dead_lettered else ''}" for each in outcomes]


def test_a_request_is_fulfilled(world: World) -> None:
    assert results(world.fulfil(*requests(ago(100)))) == ["stored"]
    assert world.there == {ago(100)}
    assert world.told[0].done


def test_what_is_there_already_is_not_asked_for(world: World) -> None:
    world.there.add(ago(100))
    assert results(world.fulfil(*requests(ago(100)))) == ["already_there"]
    assert world.asked == []


def test_a_request_for_what_was_absent_asks_again(world: World) -> None:
    world.never.add(ago(100))
    assert results(world.fulfil(*requests(ago(100)))) == ["stored"]


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (Corrupt("the gzip data ends early"), "failed"),
        (Retry("Firestream answered 500"), "failed"),
        (Absent("no", status=404), "absent"),
        (Reject("no", status=400), "failed as a dead letter"),
    ],
)
def test_a_request_that_fails_leaves_its_neighbours_unharmed(world: World, error: RelayError, result: str) -> None:
    world.fail(ago(50), error)
    assert results(world.fulfil(*requests(ago(49), ago(50), ago(51)))) == ["stored", result, "stored"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("no JSON", "the request is not JSON: 'no JSON'"),
        ('{"file_type": "symbol", "day": "2016-12-05"}', "file_type: 'symbol' is none of activity, message"),
        ('{"file_type": "message", "day": "2025-02-30"}', "day: '2025-02-30' is not a day"),
        ('{"file_type": "message", "day": "%s"}' % TODAY, f"day: {TODAY} is not over yet"),  # noqa: UP031
    ],
)
def test_a_request_that_names_no_backup_is_a_dead_letter_at_once_and_leaves_its_neighbours_unharmed(
    world: World, body: str, reason: str
) -> None:
    good = requests(ago(49), ago(51))
    outcomes = world.fulfil(good[0], a_message(body), good[1])
    assert results(outcomes) == ["stored", "failed as a dead letter", "stored"]
    ((dead_letters, why),) = world.dead_letters
    assert dead_letters == body
    assert why.startswith(reason)
    assert outcomes[1].backup is None
    assert outcomes[1].done


@pytest.mark.parametrize(
    ("receives", "result"), [(4, "failed"), (5, "failed as a dead letter"), (6, "failed as a dead letter")]
)
def test_the_fifth_receive_is_the_last(world: World, receives: int, result: str) -> None:
    assert REQUEST_RECEIVES == 5
    world.fail(ago(50), Retry("Firestream answered 500", status=500))
    (outcome,) = world.fulfil(*requests(ago(50), receive_count=receives))
    assert results([outcome]) == [result]
    assert outcome.done == outcome.dead_lettered
    assert world.dead_letters == ([(ago(50).request, "Firestream answered 500")] if outcome.dead_lettered else [])


def test_a_success_at_the_fifth_receive_buries_nothing(world: World) -> None:
    assert results(world.fulfil(*requests(ago(50), receive_count=5))) == ["stored"]
    assert world.dead_letters == []


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "AccessDenied", "Message": "secret"}}, "SendMessage"),
        EndpointConnectionError(endpoint_url="secret"),
    ],
)
def test_a_request_that_could_not_be_moved_stays(world: World, error: Exception) -> None:
    world.taken = error
    (outcome,) = world.fulfil(a_message("no JSON"))
    assert (outcome.result, outcome.dead_lettered, outcome.done) == (Result.FAILED, False, False)
    assert (
        outcome.reason == f"the request is not JSON: 'no JSON'; BackupFailures did not take it ({type(error).__name__})"
    )


def test_a_request_that_was_moved_without_its_reason_says_so(world: World) -> None:
    world.taken = False
    (outcome,) = world.fulfil(a_message("no JSON"))
    assert outcome.dead_lettered
    assert outcome.reason.endswith("(this reason did not fit beside it)")


def test_after_a_refused_login_the_rest_is_not_tried_and_stays(world: World) -> None:
    world.fail(ago(50), REFUSED)
    outcomes = world.fulfil(*requests(ago(49), ago(50), ago(51), ago(52)))
    assert results(outcomes) == ["stored", "failed", "failed", "failed"]
    assert world.asked == [ago(49), ago(50)]
    assert [each.backup for each in outcomes] == [ago(49), ago(50), ago(51), ago(52)]
    assert {each.reason for each in outcomes[1:]} == {REFUSED.reason}
    assert not any(each.done for each in outcomes[1:])


def test_an_unreadable_request_is_a_dead_letter_even_after_a_refused_login(world: World) -> None:
    world.fail(ago(50), REFUSED)
    assert results(world.fulfil(*requests(ago(50)), a_message("no JSON"))) == ["failed", "failed as a dead letter"]


def test_with_too_little_time_left_a_request_is_left(world: World) -> None:
    world.left = START_SECONDS - 0.001
    (outcome,) = world.fulfil(*requests(ago(50)))
    assert (outcome.result, outcome.done, outcome.reason) == (
        Result.FAILED,
        False,
        "there was no time left to begin it",
    )
    assert world.asked == []


def test_a_request_is_left_when_s3_does_not_say_what_is_there(world: World) -> None:
    world.broken["list"] = Retry("S3 did not list message/ (SlowDown)")
    (outcome,) = world.fulfil(*requests(ago(50)))
    assert (outcome.result, outcome.done, outcome.reason) == (
        Result.FAILED,
        False,
        "S3 did not list message/ (SlowDown)",
    )
    assert world.asked == []
