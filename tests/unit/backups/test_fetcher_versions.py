"""Stored backups over time: compared, replaced, remarked on, fetched anew, and what is damaged kept apart."""

from dataclasses import replace

import pytest
from relay.backups.backup import Backup, Remark
from relay.backups.events import IfStored, Request
from relay.backups.fetcher import Outcome, Result
from relay.backups.runs import GIVE_UP_SECONDS, REQUEST_RECEIVES, SECOND_LOOK_SECONDS, START_SECONDS
from relay.backups.upload import Receipt
from relay.backups.verifier import Content
from relay.errors import Absent, Corrupt, Refused, Retry

from tests.factories import NOW, a_message
from tests.unit.backups.fetcher_helpers import ENDLESS, RECEIPT, TAGS, TYPES, FakeBackups, ago, counted

NEWER = Receipt(2000, Content(40_000, 9), "02" * 32, '"newer"')
ASKED_AT = "2027-01-15T08:00:00Z"


@pytest.fixture
def full(fake: FakeBackups) -> FakeBackups:
    """The archive has each day of the look-back."""
    fake.there = {ago(age, file_type) for age in range(1, 8) for file_type in TYPES}
    return fake


def outcome_of(fake: FakeBackups, backup: Backup) -> Outcome:
    (outcome,) = (each for each in fake.outcomes if each.backup == backup)
    return outcome


# --- The nightly comparison


def test_a_night_without_changes_compares_every_day_and_stores_nothing(full: FakeBackups) -> None:
    assert counted(full.nightly()) == {"already_there": 14}
    assert (sorted(full.compared), full.asked, full.sent, full.remarked) == (sorted(full.there), [], [], [])


def test_a_changed_file_takes_the_place_of_the_stored_one_and_is_remarked_on(full: FakeBackups) -> None:
    full.changed[ago(5)] = NEWER
    run = full.nightly()
    assert counted(run) == {"stored": 1, "already_there": 13, "replaced": 1, "bytes": 2000, "lines": 40_000}
    outcome = outcome_of(full, ago(5))
    assert (outcome.result, outcome.replaced, outcome.remarks, outcome.notable) == (
        Result.STORED,
        True,
        (Remark.REPLACED,),
        True,
    )
    assert outcome.reason == "Firestream's file is another one now: 40,000 lines after 7"
    details = {"lines": 40_000, "replaced_lines": "7", "replaced_sha256": TAGS["sha256"]}
    assert full.remarked[0] == (ago(5), '"newer"', Remark.REPLACED, details)
    assert full.tagged[ago(5)][0] == NEWER


def test_a_file_of_another_etag_but_the_same_bytes_is_only_tagged_anew(full: FakeBackups) -> None:
    full.changed[ago(5)] = same = replace(NEWER, sha256=TAGS["sha256"])
    assert counted(full.nightly()) == {"already_there": 14}
    assert full.tagged[ago(5)][0] == replace(same, etag=None, made=False)
    assert full.remarked == []


def test_a_stored_backup_of_which_nothing_is_known_is_fetched_anew(full: FakeBackups) -> None:
    full.known_tags[ago(5)] = {}
    assert counted(full.nightly())["stored"] == 1
    assert full.asked == [ago(5)]


def test_a_changed_file_that_is_not_whole_leaves_the_stored_one_and_is_requested(full: FakeBackups) -> None:
    full.fail(ago(5), Corrupt("the gzip data ends early"))
    assert counted(full.nightly()) == {"already_there": 13, "failed": 1, "queued": 1}
    assert full.requested == [Request(ago(5), IfStored.COMPARE).body]


@pytest.mark.parametrize(
    "error", [Absent("Firestream has no file (404)", status=404), Refused("Firestream refuses it (403)", status=403)]
)
def test_a_stored_backup_that_firestream_does_not_show_any_more_is_kept(full: FakeBackups, error: Exception) -> None:
    full.fail(ago(5), error)
    assert counted(full.nightly()) == {"already_there": 14}
    assert outcome_of(full, ago(5)).reason == f"{error}; the stored one is kept"
    assert full.recorded_absent == set()


def test_a_comparison_without_time_left_is_requested(full: FakeBackups) -> None:
    full.left = START_SECONDS - 1
    assert counted(full.nightly()) == {"queued": 14}
    assert full.requested[0] == Request(ago(1, "message"), IfStored.COMPARE).body
    assert full.compared == []


# --- Requests for what is stored


@pytest.mark.parametrize(
    ("if_stored", "asked", "compared", "result"),
    [
        (IfStored.KEEP, 0, 0, Result.ALREADY_THERE),
        (IfStored.COMPARE, 0, 1, Result.ALREADY_THERE),
        (IfStored.REPLACE, 1, 0, Result.STORED),
    ],
)
def test_a_request_says_what_becomes_of_a_stored_backup(
    fake: FakeBackups, if_stored: IfStored, asked: int, compared: int, result: Result
) -> None:
    fake.there = {ago(50)}
    (outcome,) = fake.fulfil(a_message(Request(ago(50), if_stored).body))
    assert (outcome.result, len(fake.asked), len(fake.compared)) == (result, asked, compared)


def test_a_backup_that_is_fetched_anew_is_a_new_version_even_of_the_same_bytes(fake: FakeBackups) -> None:
    fake.there = {ago(50)}
    fake.known_tags[ago(50)] = {**TAGS, "sha256": RECEIPT.sha256}
    (outcome,) = fake.fulfil(a_message(Request(ago(50), IfStored.REPLACE).body))
    assert (outcome.result, outcome.replaced, outcome.remarks) == (Result.STORED, False, ())


@pytest.mark.parametrize("error", [Absent("no", status=404), Refused("no", status=403)])
def test_a_backup_that_cannot_be_fetched_anew_is_no_success(fake: FakeBackups, error: Exception) -> None:
    fake.there = {ago(50)}
    fake.fail(ago(50), error)
    (outcome,) = fake.fulfil(a_message(Request(ago(50), IfStored.REPLACE).body))
    assert outcome.result in {Result.NOT_YET, Result.FAILED}


def test_a_backfill_may_fetch_what_is_there_again(fake: FakeBackups) -> None:
    fake.there = {ago(50)}
    run = fake.backfill(ago(51).day, ago(50).day, "message", again=True)
    assert counted(run) == {"queued": 2}
    assert fake.requested == [Request(ago(51)).body, Request(ago(50), IfStored.REPLACE).body]


def test_a_stored_backup_without_tags_is_fetched_again_by_the_request_whose_worker_ended(fake: FakeBackups) -> None:
    fake.there, fake.known_tags = {ago(50)}, {ago(50): {}}
    (outcome,) = fake.fulfil(a_message(Request(ago(50)).body, receive_count=2))
    assert (outcome.result, fake.tagged[ago(50)][0]) == (Result.STORED, RECEIPT)


def test_an_object_of_the_same_bytes_is_tagged_but_not_counted(fake: FakeBackups) -> None:
    """An answer of S3 was lost: whoever made the object, its tags may be missing."""
    fake.changed[ago(50)] = made = replace(NEWER, made=False)
    (outcome,) = fake.fulfil(a_message(Request(ago(50)).body))
    assert (outcome.result, outcome.bytes, outcome.notable) == (Result.ALREADY_THERE, 0, False)
    assert fake.tagged[ago(50)][0] == made


# --- The second look


def test_a_missing_old_file_is_asked_for_a_second_time_minutes_later(fake: FakeBackups) -> None:
    fake.fail(ago(50), Absent("no", status=404))
    (outcome,) = fake.fulfil(a_message(Request(ago(50)).body))
    assert (outcome.result, outcome.done, fake.recorded_absent) == (Result.NOT_YET, True, set())
    assert outcome.reason == "no; it is asked for once more in 5 minutes"
    assert (fake.requested, fake.delays) == ([Request(ago(50), asked_at=ASKED_AT).body], [SECOND_LOOK_SECONDS])


def test_a_file_that_is_missing_at_the_second_look_is_recorded_as_absent(fake: FakeBackups) -> None:
    fake.fail(ago(50), Absent("no", status=404))
    (outcome,) = fake.fulfil(a_message(Request(ago(50), asked_at=ASKED_AT).body))
    assert (outcome.result, fake.recorded_absent, fake.sent) == (Result.ABSENT, {ago(50)}, [])


def test_a_file_that_is_there_at_the_second_look_is_stored(fake: FakeBackups) -> None:
    (outcome,) = fake.fulfil(a_message(Request(ago(50), asked_at=ASKED_AT).body))
    assert (outcome.result, fake.recorded_absent) == (Result.STORED, set())


@pytest.mark.parametrize(("age", "result"), [(7, Result.NOT_YET), (8, Result.ABSENT)])
def test_an_absence_within_the_look_back_is_left_to_the_nightly_run(
    fake: FakeBackups, age: int, result: Result
) -> None:
    fake.fail(ago(age), Absent("no", status=404))
    (outcome,) = fake.fulfil(a_message(Request(ago(age), asked_at=ASKED_AT).body))
    assert (outcome.result, fake.sent) == (result, [])


def test_a_second_look_that_sqs_does_not_take_leaves_the_request(fake: FakeBackups) -> None:
    fake.fail(ago(50), Absent("no", status=404))
    fake.refused = {Request(ago(50), asked_at=ASKED_AT).body}
    (outcome,) = fake.fulfil(a_message(Request(ago(50)).body))
    assert (outcome.result, outcome.done) == (Result.FAILED, False)


# --- Remarks


def test_odd_lines_are_remarked_on(fake: FakeBackups) -> None:
    fake.changed[ago(1)] = Receipt(1000, Content(900, 9, odd=3, first_odd=17), "03" * 32, '"odd"')
    outcome = fake.fetch(ago(1))
    assert (outcome.result, outcome.remarks, outcome.notable) == (Result.STORED, (Remark.ODD,), True)
    assert outcome.reason == "3 lines are no JSON objects, the first is line 17"
    assert fake.remarked == [(ago(1), '"odd"', Remark.ODD, {"lines": 900, "odd_lines": 3, "first_odd_line": 17})]


def test_a_backup_whose_remark_could_not_be_written_is_stored_all_the_same(fake: FakeBackups) -> None:
    fake.changed[ago(1)] = Receipt(1000, Content(900, 9, odd=3, first_odd=17), "03" * 32, '"odd"')
    fake.broken["remark"] = Retry("S3 did not write it (SlowDown)")
    outcome = fake.fetch(ago(1))
    assert (outcome.result, outcome.remarks) == (Result.STORED, (Remark.ODD,))
    assert outcome.reason == "stored whole, but without a remark in the calendar: S3 did not write it (SlowDown)"


def with_lines(fake: FakeBackups, lines: dict[int, int], first_age: int = 1) -> None:
    for age, number in lines.items():
        fake.there.add(ago(first_age + age))
        fake.known_tags[ago(first_age + age)] = {**TAGS, "lines": str(number)}


@pytest.mark.parametrize(
    ("lines", "few"),
    [
        ({0: 0}, True),
        ({0: 99, 1: 1000, 2: 1000, 3: 1000}, True),
        ({0: 100, 1: 1000, 2: 1000, 3: 1000}, False),
        ({0: 99, 1: 1000, 2: 1000}, False),  # too few neighbours to know
        ({0: 99, 1: 1000, 2: 1000, 5: 1000}, False),
        ({0: 99, 1: 1000, -1: 1000, -2: 1000}, True),
        ({0: 99, 1: 0, -1: 990, -2: 1000}, False),  # one empty day among them counts as one
        ({0: 0, 1: 0, -1: 0, -2: 0}, True),
    ],
)
def test_a_day_has_few_lines_when_it_has_none_or_a_tenth_of_its_neighbours(
    fake: FakeBackups, lines: dict[int, int], few: bool
) -> None:
    with_lines(fake, lines, first_age=50)
    day = ago(50).day
    found = fake.backups.fetcher.few_lines("message", day, day)
    assert [each.remarks for each in found] == ([(Remark.FEW_LINES,)] if few else [])
    assert [each[:3] for each in fake.remarked] == ([(ago(50), '"old"', Remark.FEW_LINES)] if few else [])


def test_few_lines_are_told_once_for_each_version(full: FakeBackups) -> None:
    with_lines(full, {0: 3, 1: 40_000, 2: 40_000, 3: 40_000})
    full.known_tags |= {ago(age): {**TAGS, "lines": "40000"} for age in range(2, 8)}
    full.nightly()
    told = [each for each in full.outcomes if each.remarks]
    assert [(each.backup, each.reason) for each in told] == [
        (ago(1), "3 lines, where the days around it have about 40,000")
    ]
    full.outcomes.clear()
    full.nightly()
    assert [each for each in full.outcomes if each.remarks] == []


def test_the_request_for_a_day_of_few_lines_tells_of_it(fake: FakeBackups) -> None:
    with_lines(fake, {1: 1000, 2: 1000, 3: 1000}, first_age=50)
    (outcome,) = fake.fulfil(a_message(Request(ago(50)).body))
    assert (outcome.result, outcome.remarks) == (Result.STORED, (Remark.FEW_LINES,))


def test_lines_that_cannot_be_compared_are_told_of(fake: FakeBackups) -> None:
    fake.broken["list"] = Retry("S3 did not list message/ (SlowDown)")
    (outcome,) = fake.backups.fetcher.few_lines("message", ago(7).day, ago(1).day)
    assert outcome.notable
    assert outcome.reason.endswith("S3 did not list message/ (SlowDown)")


# --- What is damaged


def given_up(fake: FakeBackups, receive_count: int = 9) -> Outcome:
    message = a_message(Request(ago(50)).body, receive_count=receive_count)
    (outcome,) = fake.fulfil(replace(message, first_received_at=NOW - GIVE_UP_SECONDS))
    return outcome


def test_what_was_received_but_never_whole_is_kept_when_it_is_given_up(fake: FakeBackups) -> None:
    fake.fail(ago(50), Corrupt("line 7"))
    outcome = given_up(fake)
    assert (outcome.dead_lettered, outcome.kept, fake.kept) == (True, True, [ago(50)])
    assert outcome.reason == (
        "the gzip data ends early; what Firestream sends is kept as it is: "
        f"relay get message {ago(50).day} --damaged (given up after 9 receives)"
    )


@pytest.mark.parametrize("error", [Retry("Firestream answered 500"), Refused("no", status=403)])
def test_what_was_not_received_cannot_be_kept(fake: FakeBackups, error: Exception) -> None:
    fake.fail(ago(50), error)
    outcome = given_up(fake)
    assert (outcome.dead_lettered, outcome.kept, fake.kept) == (True, False, [])


def test_a_damaged_file_is_not_kept_before_it_is_given_up(fake: FakeBackups) -> None:
    fake.fail(ago(50), Corrupt("line 7"))
    fake.fulfil(a_message(Request(ago(50)).body, receive_count=9))
    assert fake.kept == []


def test_what_cannot_be_kept_is_given_up_all_the_same_and_says_so(fake: FakeBackups) -> None:
    fake.fail(ago(50), Corrupt("line 7"))
    fake.broken["keep"] = Retry("S3 did not take it (SlowDown)")
    outcome = given_up(fake)
    assert outcome.dead_lettered
    assert outcome.reason.startswith("line 7; what Firestream sends was not kept: S3 did not take it (SlowDown)")


@pytest.mark.parametrize(("receives", "given_up_now"), [(9, False), (REQUEST_RECEIVES, True)])
def test_a_file_that_is_whole_when_it_is_to_be_kept_is_fetched_another_time(
    fake: FakeBackups, receives: int, given_up_now: bool
) -> None:
    fake.fail(ago(50), Corrupt("line 7"))
    fake.damage = ""
    outcome = given_up(fake, receives)
    assert (outcome.dead_lettered, outcome.done, fake.kept) == (given_up_now, given_up_now, [])


def test_without_time_to_keep_it_a_request_returns_once_more(fake: FakeBackups) -> None:
    fake.fail(ago(50), Corrupt("line 7"))
    store, fake.left = fake.store, ENDLESS

    def slow(*args: object, **options: object) -> Receipt | None:
        fake.left = START_SECONDS - 1
        return store(*args, **options)  # type: ignore[arg-type]

    fake.store = slow  # type: ignore[method-assign]
    outcome = given_up(fake)
    assert (outcome.dead_lettered, outcome.done, fake.kept) == (False, False, [])
