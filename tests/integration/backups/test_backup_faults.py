"""Every fault of Firestream and of S3: a backup is stored completely or not at all."""

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from threading import Barrier
from typing import Any

import pytest
from relay.backups import bootstrap
from relay.backups.backup import Backup

from local.stand_ins.firestream.faults import Fault
from tests.strict_s3 import refuse
from tests.worlds.backups import BackupsWorld
from tests.worlds.runs import BackupRun

DAY = date(2016, 12, 5)
BACKUP = Backup(DAY, "message")


def served(backups: BackupsWorld) -> int:
    """How many bytes of the backup Firestream sent."""
    return backups.firestream.served["message", DAY]


# Firestream

STORED, ABSENT = "stored", "not_yet"
RETRIED, REJECTED = "retried", "rejected"
"""The request stays in its queue, or is moved to Dead letters."""

ONCE = {
    Fault.BAD_REQUEST: REJECTED,
    Fault.UNAUTHORIZED: RETRIED,
    Fault.NOT_FOUND: ABSENT,
    Fault.ERROR: STORED,
    Fault.UNAVAILABLE: STORED,
    Fault.TRUNCATED: STORED,
    Fault.TRUNCATED_UNDECLARED: STORED,
    Fault.RESET: STORED,
    Fault.STALL: STORED,
    Fault.EXPIRED: STORED,
    Fault.CHANGED: STORED,
    Fault.SERVER_ERROR: STORED,
    Fault.NO_RANGE: STORED,
    Fault.FLIPPED_BYTE: RETRIED,
    Fault.TRAILING_GARBAGE: RETRIED,
    Fault.TWO_MEMBERS: STORED,
    Fault.NOT_JSON: STORED,
    Fault.EMPTY: RETRIED,
    Fault.CONTENT_ENCODING: STORED,
    Fault.CUT: RETRIED,
    Fault.NO_LENGTH: STORED,
}
"""The result of a request when a fault occurs once."""

FOR_EVER = ONCE | dict.fromkeys(
    (
        Fault.ERROR,
        Fault.UNAVAILABLE,
        Fault.TRUNCATED,
        Fault.TRUNCATED_UNDECLARED,
        Fault.RESET,
        Fault.STALL,
        Fault.EXPIRED,
        Fault.CHANGED,
        Fault.SERVER_ERROR,
    ),
    RETRIED,
)
"""The same when it occurs every time: a transfer that always stops half-way never reaches its last byte."""

REASONS = {
    Fault.BAD_REQUEST: "Firestream refused to look for message 2016-12-05 (400: Please verify",
    Fault.UNAUTHORIZED: "Firestream refused the login of demo-user (401",
    Fault.NOT_FOUND: "Firestream has no file for message 2016-12-05 (404: The file was not found)",
    Fault.ERROR: "Firestream answered 500: Something went wrong",
    Fault.UNAVAILABLE: "Firestream answered 503: The service is not available",
    Fault.TRUNCATED: "failed 7 times at byte ",
    Fault.TRUNCATED_UNDECLARED: "failed 7 times at byte ",
    Fault.RESET: "failed 7 times at byte ",
    Fault.STALL: "failed 7 times at byte 0: the transfer broke",
    Fault.EXPIRED: "the link's host answered 403 AccessDenied",
    Fault.CHANGED: "has changed since",
    Fault.SERVER_ERROR: "the link's host answered 503 SlowDown",
    Fault.FLIPPED_BYTE: "the gzip data is damaged",
    Fault.TRAILING_GARBAGE: "the gzip data ends early",
    Fault.EMPTY: "the file is empty",
    Fault.CUT: "the gzip data ends early",
    Fault.NOT_JSON: "1 lines are no JSON objects, the first is line 21",
}
SECOND_LOOK = [{"file_type": "message", "day": "2016-12-05", "asked_at": "2026-11-21T15:00:00Z"}]


def test_every_fault_is_tested_here() -> None:
    assert ONCE.keys() == set(Fault)


def assert_result(backups: BackupsWorld, run: BackupRun, end: str, fault: Fault) -> None:
    """Check that the bucket has nothing for the day, or exactly the source's bytes, and that log and metrics say so."""
    stored = backups.content(BACKUP) or b""
    outcome = {STORED: "stored", ABSENT: "not_yet"}.get(end, "failed")
    odd = fault is Fault.NOT_JSON
    assert (run.outcomes, run.backup["buried"]) == ([outcome], end == REJECTED)
    assert run.answer == {"batchItemFailures": [{"itemIdentifier": "record 1"}] if end == RETRIED else []}
    backups.assert_no_upload_is_open()
    if end == STORED:
        content = backups.source(BACKUP)
        if fault is Fault.TWO_MEMBERS:
            assert gzip.decompress(stored) == gzip.decompress(content)
            assert stored != content
        elif fault is Fault.NOT_JSON:
            lines = gzip.decompress(stored).splitlines()
            assert lines.pop(20) == b"This is not a JSON object"
            assert lines == gzip.decompress(content).splitlines()
        else:
            assert stored == content
        assert run.backup["bytes"] == len(stored)
        assert run.backup["reason"] == (REASONS[fault] if odd else "")
        assert run.counted("BackupBytes") == {"message": len(stored)}
    else:
        assert stored == b""
        assert REASONS[fault] in run.backup["reason"]
        assert run.backup["bytes"] == 0
    remarks = [key for key in backups.listing() if key.startswith("remarks/message/2016/12/05/")]
    assert [key.rpartition("/")[2] for key in remarks] == (["odd.json"] if odd else [])
    assert backups.listing() == ([BACKUP.key, *remarks] if end == STORED else [])
    assert [json.loads(body) for body in backups.held_back()] == (SECOND_LOOK if end == ABSENT else [])
    assert run.counted("BackupsOdd") == ({"message": 1} if odd else {})
    assert run.counted("BackupsStored") == ({"message": 1} if end == STORED else {})
    assert run.counted("BackupsFailed") == ({"message": 1} if end in (RETRIED, REJECTED) else {})
    assert run.backup["level"] == ("WARNING" if outcome == "failed" or odd else "INFO")
    assert len(backups.dead_letters()) == (end == REJECTED)


@pytest.mark.parametrize(("fault", "end"), ONCE.items())
def test_after_a_fault_the_backup_is_stored_completely_or_not_at_all(
    backups: BackupsWorld, fault: Fault, end: str
) -> None:
    backups.firestream.fail(fault, file_type="message", day=DAY)
    assert_result(backups, backups.fulfil(BACKUP), end, fault)


@pytest.mark.parametrize(("fault", "end"), [each for each in FOR_EVER.items() if each[0] is not Fault.CHANGED])
def test_after_a_persistent_fault_the_backup_is_stored_completely_or_not_at_all(
    backups: BackupsWorld, fault: Fault, end: str
) -> None:
    details: dict[str, Any] = {"after": 0} if fault is Fault.STALL else {}
    backups.firestream.fail(fault, times=None, **details)
    assert_result(backups, backups.fulfil(BACKUP), end, fault)


def test_a_file_that_changes_at_every_attempt_is_not_stored(backups: BackupsWorld) -> None:
    for _ in range(3):
        backups.firestream.fail("changed")
        backups.firestream.fail("changed", after=0)
    assert_result(backups, backups.fulfil(BACKUP), RETRIED, Fault.CHANGED)


@pytest.mark.parametrize("fault", ["truncated", "truncated-undeclared", "reset", "stall", "expired", "link-503"])
def test_a_transfer_without_progress_is_given_up(backups: BackupsWorld, fault: str) -> None:
    details: dict[str, Any] = {} if fault == "link-503" else {"after": 0}
    backups.firestream.fail(fault, times=None, **details)
    run = backups.fulfil(BACKUP)
    assert (run.outcomes, backups.listing()) == (["failed"], [])
    assert run.answer == {"batchItemFailures": [{"itemIdentifier": "record 1"}]}
    assert len(backups.link_requests()) == 7


@pytest.mark.parametrize("after", [1, 100, 0.5, 0.99, -1])
@pytest.mark.parametrize(
    ("fault", "details"),
    [
        ("truncated", {}),
        ("truncated-undeclared", {"chunked": False}),
        ("truncated-undeclared", {"chunked": True}),
        ("reset", {}),
        ("stall", {}),
        ("expired", {}),
    ],
)
@pytest.mark.any_aws
def test_a_broken_transfer_continues_where_it_stopped(
    backups: BackupsWorld, fault: str, details: dict[str, Any], after: float
) -> None:
    content = backups.source(BACKUP)
    after = len(content) - 1 if after == -1 else after
    backups.firestream.fail(fault, after=after, **details)
    run = backups.fulfil(BACKUP)
    assert backups.content(BACKUP) == content
    assert served(backups) == len(content)
    resumed = [seen.headers["Range"] for seen in backups.firestream.requests if "Range" in seen.headers]
    assert resumed == [f"bytes={int(after * len(content)) if isinstance(after, float) else after}-"]
    assert run.backup["resumes"] == 1


def test_a_transfer_may_break_many_times_if_it_progresses_each_time(backups: BackupsWorld) -> None:
    backups.firestream.fail("truncated", times=20, after=100)
    run = backups.fulfil(BACKUP)
    assert (run.outcomes, run.backup["resumes"]) == (["stored"], 20)
    assert backups.content(BACKUP) == backups.source(BACKUP)
    assert served(backups) == len(backups.source(BACKUP))


def test_a_host_that_does_not_resume_is_asked_for_the_whole_file_again(backups: BackupsWorld) -> None:
    backups.firestream.fail("truncated")
    backups.firestream.fail("no-range")
    run = backups.fulfil(BACKUP)
    assert (run.outcomes, run.backup["resumes"]) == (["stored"], 0)
    assert backups.content(BACKUP) == backups.source(BACKUP)


@pytest.mark.any_aws
def test_a_file_that_changed_half_way_is_stored_as_it_is_now(backups: BackupsWorld) -> None:
    before = backups.source(BACKUP)
    backups.firestream.fail("changed")
    run = backups.fulfil(BACKUP)
    assert backups.content(BACKUP) == backups.source(BACKUP) != before
    assert run.backup["lines"] == 41


def test_a_file_without_a_length_is_complete_when_nothing_follows_it(backups: BackupsWorld) -> None:
    backups.firestream.fail("no-length")
    backups.fulfil(BACKUP)
    assert served(backups) == len(backups.source(BACKUP))


def test_an_expired_link_is_replaced(backups: BackupsWorld) -> None:
    backups.firestream.configure(link_seconds=0)
    seen = backups.firestream.record

    def record(host: str, *rest: Any) -> None:
        if host == "link":
            backups.firestream.configure(link_seconds=300)
        seen(host, *rest)

    backups.patch.setattr(backups.firestream, "record", record)
    assert backups.fulfil(BACKUP).outcomes == ["stored"]
    assert backups.firestream.redirects == 2


@pytest.mark.parametrize("fault", sorted(set(Fault) - {Fault.UNAUTHORIZED}))
def test_a_fault_affects_only_its_own_request(backups: BackupsWorld, fault: Fault) -> None:
    backups.firestream.fail(fault, times=2, day=DAY)
    others = [Backup(DAY + timedelta(days=number), "message") for number in (-1, 1)]
    run = backups.fulfil(others[0], BACKUP, others[1])
    assert (run.outcomes[0], run.outcomes[2]) == ("stored", "stored")
    assert [backups.content(each) == backups.source(each) for each in others] == [True, True]
    assert run.answer["batchItemFailures"] in ([], [{"itemIdentifier": "record 2"}])


# S3


@pytest.mark.parametrize(
    "operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "ListObjectsV2"]
)
@pytest.mark.any_aws
def test_when_s3_refuses_the_request_stays_in_its_queue_and_nothing_is_stored(
    backups: BackupsWorld, operation: str
) -> None:
    backups.strict.before(operation, refuse("AccessDenied", 403))
    run = backups.fulfil(BACKUP)
    assert run.answer == {"batchItemFailures": [{"itemIdentifier": "record 1"}]}
    assert "(AccessDenied)" in run.backup["reason"]
    assert backups.listing() == []


@pytest.mark.any_aws
def test_a_backup_is_complete_although_the_answer_of_s3_was_lost(backups: BackupsWorld) -> None:
    backups.aws.lose_answer("CompleteMultipartUpload")
    run = backups.fulfil(BACKUP)
    assert run.answer == {"batchItemFailures": []}
    assert backups.content(BACKUP) == backups.source(BACKUP)


@pytest.mark.any_aws
def test_two_concurrent_workers_store_a_day_once(backups: BackupsWorld) -> None:
    both = Barrier(2, timeout=20)

    def wait_for_the_other(_: object) -> None:
        both.wait()

    backups.strict.before("CompleteMultipartUpload", wait_for_the_other, times=2)
    fetcher = bootstrap.container().backups.fetcher
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda _: fetcher.fetch(BACKUP, lambda: 900.0), range(2)))
    assert sorted(str(each.result) for each in outcomes) == ["already_there", "stored"]
    assert backups.content(BACKUP) == backups.source(BACKUP)
