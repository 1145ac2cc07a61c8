"""The function that fetches backups: its three events, and their results in bucket, queues, log and metrics."""

import json
from datetime import date, timedelta
from hashlib import sha256
from typing import Any

import pytest
from relay.backups.backup import Backup, days
from relay.backups.events import Request
from relay.backups.runs import GIVE_UP_SECONDS
from relay.errors import Misconfigured, Reject

from local.stand_ins.firestream.faults import Fault
from tests.worlds.backups import BackupsWorld

pytestmark = pytest.mark.any_aws

TODAY = date(2026, 11, 21)
DAY = date(2016, 12, 5)
BACKUP = Backup(DAY, "message")
OTHER = Backup(DAY, "activity")
ALLOWED_CALLS = {
    "GetParameter",
    "ListObjectsV2",
    "PutObject",
    "PutObjectTagging",
    "GetObjectTagging",
    "ChangeMessageVisibilityBatch",
} | {f"{verb}MultipartUpload" for verb in ("Create", "Complete", "Abort")}


def ago(age: int, file_type: str = "message") -> Backup:
    return Backup(TODAY - timedelta(days=age), file_type)


# A request


def test_a_request_stores_the_source_byte_for_byte_and_is_logged(backups: BackupsWorld) -> None:
    run = backups.fulfil(BACKUP)
    content = backups.source(BACKUP)
    assert run.answer == {"batchItemFailures": []}
    assert backups.listing() == [BACKUP.key]
    assert backups.content(BACKUP) == content
    assert {name: run.backup[name] for name in ("file_type", "day", "outcome", "bytes", "lines", "resumes")} == {
        "file_type": "message",
        "day": "2016-12-05",
        "outcome": "stored",
        "bytes": len(content),
        "lines": 40,
        "resumes": 0,
    }
    assert (run.backup["level"], run.backup["request_id"]) == ("INFO", "8c5a4b9e-7a55-4f0e-9c3a-0d1f6f6b3a11")
    assert run.counted("BackupsStored") == {"message": 1}
    assert run.counted("BackupBytes") == {"message": len(content)}
    assert run.counted("BackupsFailed") == run.counted("BackupsNotYet") == {}


def test_a_stored_backup_is_tagged(backups: BackupsWorld) -> None:
    backups.fulfil(BACKUP)
    tags = backups.tags(BACKUP)
    assert tags.pop("source-etag").endswith("-3")
    assert tags.pop("source-modified") == "2016-12-06T03:00:00Z"
    assert tags == {
        "sha256": sha256(backups.source(BACKUP)).hexdigest(),
        "lines": "40",
        "fetched-at": "2026-11-21T15:00:00Z",
    }


def test_a_backup_that_is_already_there_is_not_requested_from_firestream(backups: BackupsWorld) -> None:
    backups.fulfil(BACKUP)
    backups.firestream.reset()
    run = backups.fulfil(BACKUP)
    assert (run.outcomes, run.answer) == (["already_there"], {"batchItemFailures": []})
    assert backups.firestream.requests == []
    assert run.counted("BackupsStored") == {}


def test_the_login_is_sent_to_firestream_and_never_to_the_links_host(backups: BackupsWorld) -> None:
    backups.fulfil(BACKUP)
    assert [seen.host for seen in backups.firestream.requests] == ["api", "link"]
    assert ["Authorization" in seen.headers for seen in backups.firestream.requests] == [True, False]


# Retries and dead letters


@pytest.mark.parametrize(("receives", "seconds"), [(1, 300), (2, 1200), (3, 4800), (4, 14400)])
def test_a_failed_request_waits_longer_each_time(backups: BackupsWorld, receives: int, seconds: int) -> None:
    backups.firestream.fail("flipped-byte")
    backups.fulfil(OTHER, BACKUP, receive_count=receives)
    ((entry,),) = (call["Entries"] for call in backups.aws.calls_of("ChangeMessageVisibilityBatch"))
    assert seconds < entry["VisibilityTimeout"] <= seconds + 16


def test_after_a_day_of_failures_a_request_is_moved_to_dead_letters_with_its_reason(backups: BackupsWorld) -> None:
    backups.firestream.fail("flipped-byte", times=3)
    run = backups.fulfil(BACKUP, receive_count=5, age=GIVE_UP_SECONDS - 1)
    assert run.answer == {"batchItemFailures": [{"itemIdentifier": "record 1"}]}
    run = backups.fulfil(BACKUP, receive_count=5, age=GIVE_UP_SECONDS)
    assert run.answer == {"batchItemFailures": []}
    ((body, attributes),) = backups.dead_letters()
    assert body == Request(BACKUP).body
    assert attributes.pop("RejectReason").startswith("the gzip data is damaged")
    assert attributes == {"Attempts": "5", "FirstSeen": "2026-11-21T15:00:00Z"}


def test_a_request_that_could_not_be_moved_to_dead_letters_stays_in_its_queue(backups: BackupsWorld) -> None:
    backups.aws.answer("SendMessage", "AccessDenied")
    run = backups.fulfil("not JSON")
    assert run.answer == {"batchItemFailures": [{"itemIdentifier": "record 1"}]}
    assert "BackupFailures did not take it" in run.backup["reason"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("not JSON", "the request is not JSON"),
        ("[1]", "the request is not a JSON object"),
        ('{"file_type": "symbol", "day": "2016-12-05"}', "file_type: 'symbol' is none of"),
        ('{"day": "2016-12-05"}', "file_type: None is none of"),
        ('{"file_type": "message"}', "day: missing"),
        ('{"file_type": "message", "day": "2025-02-30"}', "day: '2025-02-30' is not a day"),
        ('{"file_type": "message", "day": "2008-12-31"}', "day: 2008-12-31 is before 2009-01-01"),
        ('{"file_type": "message", "day": "2026-11-21"}', "day: 2026-11-21 is not over yet"),
        ('{"file_type": "message", "day": "2016-12-05", "dya": 1}', "'dya' is not a field"),
    ],
)
def test_an_invalid_request_is_moved_to_dead_letters_at_once_and_affects_no_other(
    backups: BackupsWorld, body: str, reason: str
) -> None:
    run = backups.fulfil(BACKUP, body, OTHER)
    assert run.outcomes == ["stored", "failed", "stored"]
    assert run.answer == {"batchItemFailures": []}
    ((letter, attributes),) = backups.dead_letters()
    assert (letter, attributes["Attempts"]) == (body, "1")
    assert attributes["RejectReason"].startswith(reason)
    assert run.counted("BackupsFailed") == {"unknown": 1}
    assert len(backups.link_requests()) == 2


# The login


def test_a_refused_login_stops_the_batch_after_one_fresh_read_of_the_parameter(backups: BackupsWorld) -> None:
    backups.store_login("an old one")
    run = backups.fulfil(OTHER, BACKUP)
    assert run.outcomes == ["failed", "failed"]
    assert run.answer == {"batchItemFailures": [{"itemIdentifier": f"record {number}"} for number in (1, 2)]}
    assert len(backups.link_requests()) == 1
    assert len(backups.aws.calls_of("GetParameter")) == 2
    assert run.counted("FirestreamRefused") == {"firestream_refused": 2}
    assert backups.listing() == []


def test_a_refused_login_does_not_affect_posting(backups: BackupsWorld) -> None:
    backups.store_login("an old one")
    backups.fulfil(BACKUP)
    backups.restart()
    backups.nightly()
    assert {name for name, _ in backups.aws.calls} <= ALLOWED_CALLS


def test_a_changed_password_is_used_at_once(backups: BackupsWorld) -> None:
    backups.fulfil(OTHER)
    backups.store_login("a new one")
    backups.firestream.configure(password="a new one")
    run = backups.fulfil(BACKUP)
    assert (run.outcomes, run.counted("FirestreamRefused")) == (["stored"], {})


def test_a_missing_login_is_reported(backups: BackupsWorld) -> None:
    backups.ssm.delete_parameter(Name="/stocktwits-relay/firestream")
    run = backups.nightly()
    assert run.counted("FirestreamRefused") == {"login_unreadable": 1}
    missing = "the Firestream credentials parameter /stocktwits-relay/firestream cannot be read (ParameterNotFound)"
    assert missing in run.answer["stopped"]
    assert backups.link_requests() == []


@pytest.mark.parametrize("fault", Fault)
def test_no_output_tag_or_dead_letter_contains_a_secret(backups: BackupsWorld, fault: Fault) -> None:
    backups.firestream.fail(fault, times=3)
    backups.firestream.fail("reset", times=3)
    backups.fulfil(BACKUP, receive_count=5)
    backups.settings(BACKUP_FILE_TYPES="message", BACKUP_LOOKBACK_DAYS=3)
    backups.nightly()
    stored = [json.dumps(backups.tags(each)) for each in (BACKUP, ago(1)) if each.key in backups.listing()]
    heads = [
        json.dumps(backups.s3.head_object(Bucket="stocktwits-relay-archive", Key=key), default=str)
        for key in backups.listing()
    ]
    backups.assert_no_secret_was_written(*stored, *heads, json.dumps(backups.dead_letters()))


# The nightly run


def test_the_first_nightly_run_fetches_a_week_and_logs_a_summary(backups: BackupsWorld) -> None:
    run = backups.nightly()
    expected = [ago(age, file_type) for age in range(1, 8) for file_type in ("activity", "message")]
    assert sorted(backups.listing()) == sorted(each.key for each in expected)
    assert all(backups.content(each) == backups.source(each) for each in expected)
    size = sum(len(backups.source(each)) for each in expected)
    summary = {"stored": 14, "already_there": 0, "not_yet": 0, "absent": 0, "queued": 0, "failed": 0, "held": 0}
    assert run.answer == {**summary, "bytes": size, "lines": 14 * 40, "replaced": 0, "stopped": ""}
    assert {name: run.summary[name] for name in run.answer} == run.answer
    assert run.counted("BackupsStored") == {"activity": 7, "message": 7}
    assert run.counted("NewestBackupAgeDays") == {"activity": 1, "message": 1}


def test_a_missing_day_is_fetched_again_and_no_other(backups: BackupsWorld) -> None:
    backups.nightly()
    backups.s3.delete_object(Bucket="stocktwits-relay-archive", Key=ago(4).key)
    backups.firestream.reset()
    run = backups.nightly()
    assert (run.answer["stored"], run.answer["already_there"]) == (1, 13)
    assert backups.content(ago(4)) == backups.source(ago(4))
    assert backups.link_requests()[0] == "/backups/message/2026/11/17"
    assert backups.firestream.counted(kind="body") == 1


def test_a_missed_run_is_made_up_for_by_the_next_one(backups: BackupsWorld) -> None:
    backups.nightly()
    backups.clock.forward(2 * 86_400)
    run = backups.nightly()
    assert (run.answer["stored"], run.answer["already_there"]) == (4, 10)
    assert run.counted("NewestBackupAgeDays") == {"activity": 1, "message": 1}


def test_a_late_file_is_asked_for_again_until_it_is_there(backups: BackupsWorld) -> None:
    backups.firestream.configure(lag_days=3)
    run = backups.nightly()
    assert (run.answer["stored"], run.answer["not_yet"], run.answer["absent"]) == (10, 4, 0)
    assert run.counted("BackupsNotYet") == {"activity": 2, "message": 2}
    assert run.counted("NewestBackupAgeDays") == {"activity": 3, "message": 3}
    assert backups.waiting() == []
    backups.firestream.configure(lag_days=1)
    backups.firestream.reset()
    assert backups.nightly().answer["stored"] == 4
    assert backups.firestream.counted(kind="body") == 4


def test_a_file_that_never_came_is_recorded_as_absent_when_its_day_leaves_the_look_back(backups: BackupsWorld) -> None:
    day = ago(3).day
    backups.firestream.configure(missing=[day])
    for _ in range(3, 7):
        run = backups.nightly()
        assert (run.answer["absent"], run.answer["not_yet"]) == (0, 2)
        assert [each["late"] for each in run.backups if each.get("status_code") == 404] == [True, True]
        backups.clock.forward(86_400)
    run = backups.nightly()
    assert (run.answer["absent"], run.answer["not_yet"]) == (2, 0)
    keys = {Backup(day, each).absent_key for each in ("activity", "message")}
    assert keys == {key for key in backups.listing() if key.startswith("absent/")}
    backups.clock.forward(86_400)
    backups.firestream.reset()
    backups.nightly()
    assert f"/backups/message/{day:%Y/%m/%d}" not in backups.link_requests()


def test_a_day_that_fails_is_queued_and_stops_no_other(backups: BackupsWorld) -> None:
    backups.firestream.fail("flipped-byte", file_type="message", day=ago(4).day)
    run = backups.nightly()
    assert (run.answer["stored"], run.answer["failed"], run.answer["queued"]) == (13, 1, 1)
    assert run.counted("BackupsFailed") == {"message": 1}
    assert backups.work_once().outcomes == ["stored"]
    assert backups.content(ago(4)) == backups.source(ago(4))


def test_with_little_time_left_the_rest_is_queued(backups: BackupsWorld) -> None:
    run = backups.nightly(remaining_ms=60_000)
    assert (run.answer["queued"], run.answer["stored"], backups.link_requests()) == (14, 0, [])
    assert run.counted("NewestBackupAgeDays") == {}
    assert backups.waiting() == [
        Request(ago(age, each)).body for age in range(7, 0, -1) for each in ("activity", "message")
    ]


def test_a_refused_login_stops_the_run_at_once_and_queues_nothing(backups: BackupsWorld) -> None:
    backups.store_login("an old one")
    run = backups.nightly()
    assert len(backups.link_requests()) == 1
    assert backups.waiting() == []
    assert run.answer["stopped"].startswith("Firestream refused the login of demo-user (401")
    assert (run.answer["failed"], run.answer["queued"]) == (1, 0)
    assert run.summary["level"] == "WARNING"
    assert run.counted("FirestreamRefused") == {"firestream_refused": 1}


def test_the_age_of_the_newest_backup_is_measured_for_each_type_even_when_nothing_can_be_fetched(
    backups: BackupsWorld,
) -> None:
    backups.nightly()
    backups.store_login("an old one")
    backups.restart()
    backups.clock.forward(3 * 86_400)
    assert backups.nightly().counted("NewestBackupAgeDays") == {"activity": 4, "message": 4}


def test_only_the_configured_types_are_fetched(backups: BackupsWorld) -> None:
    backups.settings(BACKUP_FILE_TYPES="message", BACKUP_LOOKBACK_DAYS=3)
    run = backups.nightly()
    assert backups.listing() == [ago(age).key for age in (3, 2, 1)]
    assert run.counted("NewestBackupAgeDays") == {"message": 1}


# Backfills


def test_a_backfill_is_queued_and_workers_fetch_it(backups: BackupsWorld) -> None:
    first, last = DAY, DAY + timedelta(days=10)
    backups.fulfil(BACKUP)
    run = backups.invoke({"first_day": "2016-12-05", "last_day": "2016-12-15"})
    assert (run.answer["queued"], run.answer["already_there"]) == (21, 1)
    assert {name: run.summary[name] for name in run.answer} == run.answer
    outcomes: list[str] = []
    while worked := backups.work():
        outcomes += worked.outcomes
    assert outcomes == ["stored"] * 21
    expected = [Backup(day, file_type) for day in days(first, last) for file_type in ("activity", "message")]
    assert sorted(backups.listing()) == sorted(each.key for each in expected)
    assert all(backups.content(each) == backups.source(each) for each in expected)
    assert backups.waiting() == []


def test_a_backfill_of_all_years_is_queued_in_one_invocation(backups: BackupsWorld) -> None:
    backups.fulfil(BACKUP)
    backups.aws.reset()
    backups.aws.answer("SendMessageBatch", lambda _: {"Successful": []}, times=2000)  # moto takes a minute for them
    run = backups.invoke({"first_day": "2009-01-01", "last_day": "2025-12-31"})
    assert (run.answer["queued"], run.answer["already_there"], run.answer["stopped"]) == (12_417, 1, "")
    sent = [call["Entries"] for call in backups.aws.calls_of("SendMessageBatch")]
    assert sum(map(len, sent)) == 12_417
    assert len(sent) < 1250
    assert len(backups.aws.calls_of("ListObjectsV2")) == 4
    assert {name for name, _ in backups.aws.calls} == {"SendMessageBatch", "ListObjectsV2"}


def test_a_backfill_may_name_its_types_and_retry_absent_files(backups: BackupsWorld) -> None:
    backups.firestream.configure(missing=[DAY])
    backups.fulfil(Request(BACKUP, asked_at="2026-11-21T14:55:00Z").body)
    request = {"first_day": "2016-12-05", "last_day": "2016-12-05", "file_types": ["message"]}
    run = backups.invoke(request)
    assert (run.answer["queued"], run.answer["absent"]) == (0, 1)
    backups.firestream.configure(missing=[])
    assert backups.invoke(request | {"retry_absent": True}).answer["queued"] == 1
    assert backups.work_once().outcomes == ["stored"]


def test_requests_that_sqs_refuses_are_reported(backups: BackupsWorld) -> None:
    backups.aws.answer("SendMessageBatch", lambda call: {"Failed": [{"Id": "1", "Code": "InternalError"}]})
    run = backups.invoke({"first_day": "2016-12-05", "last_day": "2016-12-05"})
    assert (run.answer["queued"], run.answer["failed"]) == (1, 1)
    assert (run.backup["file_type"], run.backup["day"]) == ("message", "2016-12-05")
    assert run.backup["reason"] == "SQS did not accept the request: request the backup again"


def test_a_backfill_that_runs_out_of_time_reports_where_it_stopped(backups: BackupsWorld) -> None:
    run = backups.invoke({"first_day": "2009-01-01", "last_day": "2025-12-31"}, remaining_ms=10_000)
    assert (
        run.answer["stopped"]
        == "time ran out before activity 2009-01-01 was requested: request the remaining days from there"
    )
    assert backups.waiting() == []


# Bad input

RANGE = {"first_day": "2016-12-05", "last_day": "2016-12-06"}
NONE_OF_THE_THREE = "the event is none of the three that fetch_backups knows"


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (RANGE | {"first_day": "2016-12-07"}, "first_day: 2016-12-07 is after last_day, 2016-12-06"),
        (RANGE | {"last_day": "2026-11-21"}, "last_day: 2026-11-21 is not over yet; 2026-11-20 is the newest"),
        (RANGE | {"last_day": "2027-01-01"}, "last_day: 2027-01-01 is not over yet"),
        (RANGE | {"first_day": "2008-12-31"}, "first_day: 2008-12-31 is before 2009-01-01"),
        ({"first_day": "1987-01-01", "last_day": "2026-11-20"}, "first_day: 1987-01-01 is before 2009-01-01"),
        (RANGE | {"first_day": "2025-02-30"}, "first_day: '2025-02-30' is not a day"),
        (RANGE | {"last_day": "20161206"}, "last_day: '20161206' is not a day"),
        (RANGE | {"last_day": 20161206}, "last_day: 20161206 is not a day"),
        ({"first_day": "2016-12-05"}, "last_day: missing"),
        ({"last_day": "2016-12-05"}, "first_day: missing"),
        (RANGE | {"file_types": ["message", "symbol"]}, "file_types: 'symbol' is none of activity, message"),
        (RANGE | {"file_types": "message"}, "file_types: 'message' is not a list of"),
        (RANGE | {"file_types": []}, "file_types: [] is not a list of"),
        (RANGE | {"retry_absent": "yes"}, "retry_absent: 'yes' is neither true nor false"),
        (RANGE | {"filetypes": ["message"]}, "'filetypes' is not a field"),
        ({}, NONE_OF_THE_THREE),
        ([], NONE_OF_THE_THREE),
        (None, NONE_OF_THE_THREE),
        ({"run": "weekly"}, NONE_OF_THE_THREE),
        ({"run": "nightly", "more": 1}, NONE_OF_THE_THREE),
        ({"Records": [{"eventSource": "aws:s3"}]}, NONE_OF_THE_THREE),
        ({"Records": {}}, NONE_OF_THE_THREE),
    ],
)
def test_an_invalid_event_is_rejected_with_the_name_of_its_field(
    backups: BackupsWorld, event: Any, expected: str
) -> None:
    with pytest.raises(Reject) as caught:
        backups.invoke(event)
    assert caught.value.reason.startswith(expected)
    assert expected in json.loads(backups.written().splitlines()[0])["exception"]
    assert backups.aws.calls == []
    assert backups.firestream.requests == []


def test_a_range_of_one_day_is_valid(backups: BackupsWorld) -> None:
    assert backups.invoke(RANGE | {"last_day": "2016-12-05"}).answer["queued"] == 2


def test_a_missing_setting_is_named(backups: BackupsWorld) -> None:
    backups.patch.delenv("BACKUP_BUCKET_NAME")
    backups.restart()
    with pytest.raises(Misconfigured, match="BACKUP_BUCKET_NAME is missing"):
        backups.nightly()
