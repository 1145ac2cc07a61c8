"""Requests for backups: fulfilled, left in their queue, or moved to BackupFailures."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from relay.backups.backup import Backup
from relay.backups.events import Request
from relay.backups.fetcher import Outcome, Result
from relay.backups.runs import REQUEST_RECEIVES, START_SECONDS, retry_seconds
from relay.errors import Absent, Corrupt, Reject, RelayError, Retry
from relay.queue_message import QueueMessage

from tests.factories import NOW, a_message
from tests.unit.backups.fetcher_helpers import BUSY, REFUSED, TODAY, FakeBackups, ago


def requests(*backups: Backup, receive_count: int = 1) -> list[QueueMessage]:
    return [a_message(Request(each).body, id=str(each), receive_count=receive_count) for each in backups]


def results(outcomes: Sequence[Outcome]) -> list[str]:
    return [f"{each.result}{' as a dead letter' if each.dead_lettered else ''}" for each in outcomes]


def test_a_request_is_fulfilled(fake: FakeBackups) -> None:
    assert results(fake.fulfil(*requests(ago(100)))) == ["stored"]
    assert fake.there == {ago(100)}
    assert fake.outcomes[0].done


def test_a_backup_that_is_there_already_is_not_asked_for(fake: FakeBackups) -> None:
    fake.there.add(ago(100))
    assert results(fake.fulfil(*requests(ago(100)))) == ["already_there"]
    assert fake.asked == []


def test_a_request_for_an_absent_backup_asks_again(fake: FakeBackups) -> None:
    fake.recorded_absent.add(ago(100))
    assert results(fake.fulfil(*requests(ago(100)))) == ["stored"]


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (Corrupt("the gzip data ends early"), "failed"),
        (Retry("Firestream answered 500"), "failed"),
        (Absent("no", status=404), "not_yet"),
        (Reject("no", status=400), "failed as a dead letter"),
    ],
)
def test_a_request_that_fails_leaves_its_neighbours_unharmed(fake: FakeBackups, error: RelayError, result: str) -> None:
    fake.fail(ago(50), error)
    assert results(fake.fulfil(*requests(ago(49), ago(50), ago(51)))) == ["stored", result, "stored"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("not JSON", "the request is not JSON: 'not JSON'"),
        ('{"file_type": "symbol", "day": "2016-12-05"}', "file_type: 'symbol' is none of activity, message"),
        ('{"file_type": "message", "day": "2025-02-30"}', "day: '2025-02-30' is not a day"),
        ('{"file_type": "message", "day": "%s"}' % TODAY, f"day: {TODAY} is not over yet"),  # noqa: UP031
    ],
)
def test_a_request_without_a_valid_backup_is_a_dead_letter_at_once_and_leaves_its_neighbours_unharmed(
    fake: FakeBackups, body: str, reason: str
) -> None:
    good = requests(ago(49), ago(51))
    outcomes = fake.fulfil(good[0], a_message(body), good[1])
    assert results(outcomes) == ["stored", "failed as a dead letter", "stored"]
    ((dead_letter, why),) = fake.dead_letters
    assert dead_letter == body
    assert why.startswith(reason)
    assert outcomes[1].backup is None
    assert outcomes[1].done


DAY = 24 * 3600


@pytest.mark.parametrize(
    ("first_received_at", "receives", "result"),
    [
        (NOW - DAY + 1, 49, "failed"),
        (NOW - DAY, 2, "failed as a dead letter"),
        (NOW, 50, "failed as a dead letter"),
        (None, 49, "failed"),
    ],
)
def test_a_request_that_has_failed_for_a_day_is_given_up_with_its_reason_and_its_attempts(
    fake: FakeBackups, first_received_at: float | None, receives: int, result: str
) -> None:
    fake.fail(ago(50), Retry("Firestream answered 500", status=500))
    (request,) = requests(ago(50), receive_count=receives)
    (outcome,) = fake.fulfil(replace(request, sent_at=NOW - 10 * DAY, first_received_at=first_received_at))
    assert (results([outcome]), outcome.done) == ([result], outcome.dead_lettered)
    reason = f"Firestream answered 500 (given up after {receives} receives)"
    assert fake.dead_letters == ([(Request(ago(50)).body, reason)] if outcome.dead_lettered else [])


def test_a_success_after_a_day_is_not_a_dead_letter(fake: FakeBackups) -> None:
    (request,) = requests(ago(50), receive_count=REQUEST_RECEIVES)
    assert results(fake.fulfil(replace(request, first_received_at=NOW - DAY))) == ["stored"]
    assert fake.dead_letters == []


def test_a_request_is_held_as_long_as_firestream_asks_and_never_given_up_for_it(fake: FakeBackups) -> None:
    fake.fail(ago(50), BUSY)
    held, *others = (
        replace(each, first_received_at=NOW - 2 * DAY) for each in requests(ago(50), ago(51), receive_count=49)
    )
    outcomes = fake.fulfil(held, *others)
    assert results(outcomes) == ["held", "held"]
    assert fake.asked == [ago(50)]
    assert [retry_seconds(held, each, NOW + 600) for each in outcomes] == [3000, 3000]
    assert (fake.dead_letters, [each.done for each in outcomes]) == ([], [False, False])


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "AccessDenied", "Message": "secret"}}, "SendMessage"),
        EndpointConnectionError(endpoint_url="secret"),
    ],
)
def test_a_request_that_backup_failures_did_not_take_stays_in_its_queue(fake: FakeBackups, error: Exception) -> None:
    fake.taken = error
    (outcome,) = fake.fulfil(a_message("not JSON"))
    assert (outcome.result, outcome.dead_lettered, outcome.done) == (Result.FAILED, False, False)
    assert (
        outcome.reason
        == f"the request is not JSON: 'not JSON'; BackupFailures did not take it ({type(error).__name__})"
    )


def test_the_outcome_mentions_that_the_request_was_moved_without_its_reason(fake: FakeBackups) -> None:
    fake.taken = False
    (outcome,) = fake.fulfil(a_message("not JSON"))
    assert outcome.dead_lettered
    assert outcome.reason.endswith("(this reason did not fit beside it)")


def test_after_a_refused_login_the_rest_is_not_tried_and_stays_in_its_queue(fake: FakeBackups) -> None:
    fake.fail(ago(50), REFUSED)
    outcomes = fake.fulfil(*requests(ago(49), ago(50), ago(51), ago(52)))
    assert results(outcomes) == ["stored", "failed", "failed", "failed"]
    assert fake.asked == [ago(49), ago(50)]
    assert [each.backup for each in outcomes] == [ago(49), ago(50), ago(51), ago(52)]
    assert {each.reason for each in outcomes[1:]} == {REFUSED.reason}
    assert not any(each.done for each in outcomes[1:])


def test_an_unreadable_request_is_a_dead_letter_even_after_a_refused_login(fake: FakeBackups) -> None:
    fake.fail(ago(50), REFUSED)
    assert results(fake.fulfil(*requests(ago(50)), a_message("not JSON"))) == ["failed", "failed as a dead letter"]


def test_with_just_enough_time_left_a_request_is_fulfilled(fake: FakeBackups) -> None:
    fake.left = START_SECONDS
    assert results(fake.fulfil(*requests(ago(50)))) == ["stored"]


def test_with_too_little_time_left_a_request_stays_in_its_queue(fake: FakeBackups) -> None:
    fake.left = START_SECONDS - 0.001
    (outcome,) = fake.fulfil(*requests(ago(50)))
    assert (outcome.result, outcome.done, outcome.reason) == (
        Result.FAILED,
        False,
        "there was not enough time left to start it",
    )
    assert fake.asked == []


def test_a_request_stays_in_its_queue_when_s3_does_not_list_what_is_there(fake: FakeBackups) -> None:
    fake.broken["list"] = Retry("S3 did not list message/ (SlowDown)")
    (outcome,) = fake.fulfil(*requests(ago(50)))
    assert (outcome.result, outcome.done, outcome.reason) == (
        Result.FAILED,
        False,
        "S3 did not list message/ (SlowDown)",
    )
    assert fake.asked == []


@pytest.mark.parametrize(("receives", "seconds"), [(1, 300), (2, 1200), (3, 4800), (4, 14400), (5, 14400), (99, 14400)])
def test_requests_back_off_four_times_longer_each_time_up_to_four_hours(receives: int, seconds: float) -> None:
    failed = Outcome(backup=None, result=Result.FAILED)
    assert retry_seconds(a_message(receive_count=receives), failed, NOW) == seconds
