"""What the deployed function keeps of a file: its versions, its odd lines, what is damaged, and notes of absence."""

import gzip
import json
import time
from datetime import date
from typing import Any

import pytest
from relay.backups.backup import Backup
from relay.backups.events import IfStored, Request
from relay.backups.runs import GIVE_UP_SECONDS, SECOND_LOOK_SECONDS

from local.stack.stack import Stack

pytestmark = pytest.mark.e2e

REISSUED, UNCHANGED, ODD, DAMAGED, ABSENT = (Backup(date(2013, 4, number), "message") for number in range(1, 6))


def fetch(stack: Stack, request: Request, age: float = 0) -> Any:
    """Invoke the function with a request that it first received `age` seconds ago, as SQS would."""
    received = str(round((time.time() - age) * 1000))
    record = {
        "messageId": "1",
        "receiptHandle": "none",
        "body": request.body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": received,
            "ApproximateFirstReceiveTimestamp": received,
        },
        "messageAttributes": {},
        "eventSource": "aws:sqs",
    }
    answer = stack.client("lambda").invoke(
        FunctionName=stack.outputs["FetchBackupsFunctionName"], Payload=json.dumps({"Records": [record]})
    )
    return json.loads(answer["Payload"].read())


def versions(stack: Stack, key: str) -> list[bytes]:
    """Return the versions of an object, the newest first."""
    s3, place = stack.client("s3"), {"Bucket": stack.outputs["BackupBucketName"]}
    found = s3.list_object_versions(**place, Prefix=key).get("Versions", [])
    return [s3.get_object(**place, Key=key, VersionId=each["VersionId"])["Body"].read() for each in found]


def tags(stack: Stack, key: str) -> dict[str, str]:
    answer = stack.client("s3").get_object_tagging(Bucket=stack.outputs["BackupBucketName"], Key=key)
    return {each["Key"]: each["Value"] for each in answer["TagSet"]}


def kinds_of_remarks(stack: Stack, backup: Backup) -> list[str]:
    """Return the kinds of the remarks about every version of a backup."""
    prefix = f"remarks/{backup.file_type}/{backup.day:%Y/%m/%d}/"
    answer = stack.client("s3").list_objects_v2(Bucket=stack.outputs["BackupBucketName"], Prefix=prefix)
    return [each["Key"].rpartition("/")[2] for each in answer.get("Contents", [])]


def requests_of(stack: Stack, backup: Backup, queue: str) -> list[dict[str, Any]]:
    """Return the messages of a queue about a backup, also those that are not visible."""
    name = stack.outputs[f"{queue}Url"].rpartition("/")[2]
    (waiting,) = (each for url, each in stack.emulator.messages().items() if url.endswith(f"/{name}"))
    return [message for message in waiting if backup.day.isoformat() in json.dumps(message, default=str)]


def test_a_reissued_file_becomes_the_next_version_and_the_one_before_is_kept(stack: Stack) -> None:
    stack.firestream.fail("reissued", file_type="message", day=REISSUED.day, asked=1)
    fetch(stack, Request(REISSUED))
    (before,) = versions(stack, REISSUED.key)
    fetch(stack, Request(REISSUED, IfStored.COMPARE))
    now = stack.firestream.content("message", REISSUED.day)
    assert now != before
    assert versions(stack, REISSUED.key) == [now, before]
    assert tags(stack, REISSUED.key)["lines"] == str(len(gzip.decompress(now).splitlines()))
    assert kinds_of_remarks(stack, REISSUED) == ["replaced.json"]


def test_a_file_that_has_not_changed_stays_the_only_version(stack: Stack) -> None:
    for if_stored in IfStored.KEEP, IfStored.COMPARE:
        fetch(stack, Request(UNCHANGED, if_stored))
    assert len(versions(stack, UNCHANGED.key)) == 1
    assert kinds_of_remarks(stack, UNCHANGED) == []


def test_odd_lines_are_stored_and_told_of_in_tags_and_a_remark(stack: Stack) -> None:
    stack.firestream.fail("not-json", file_type="message", day=ODD.day, after=4)
    fetch(stack, Request(ODD))
    (stored,) = versions(stack, ODD.key)
    assert gzip.decompress(stored).splitlines()[4] == b"This is not a JSON object"
    found = tags(stack, ODD.key)
    assert (found["odd-lines"], found["first-odd-line"]) == ("1", "5")
    assert kinds_of_remarks(stack, ODD) == ["odd.json"]


def test_a_damaged_file_is_kept_as_it_came_when_its_request_is_given_up(stack: Stack) -> None:
    stack.firestream.fail("cut", times=None, file_type="message", day=DAMAGED.day)
    whole = stack.firestream.content("message", DAMAGED.day)
    assert fetch(stack, Request(DAMAGED)) == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    assert versions(stack, DAMAGED.damaged_key) == []
    assert fetch(stack, Request(DAMAGED), GIVE_UP_SECONDS) == {"batchItemFailures": []}
    assert versions(stack, DAMAGED.damaged_key) == [whole[: len(whole) // 2]]
    assert tags(stack, DAMAGED.damaged_key)["reason"]
    assert versions(stack, DAMAGED.key) == []
    (failure,) = requests_of(stack, DAMAGED, "BackupFailuresQueue")
    assert f"relay get message {DAMAGED.day} --damaged" in json.dumps(failure, default=str)


def test_a_file_is_noted_as_absent_only_by_a_second_look_five_minutes_later(stack: Stack) -> None:
    stack.firestream.configure(missing=[("message", ABSENT.day)])
    fetch(stack, Request(ABSENT))
    assert versions(stack, ABSENT.absent_key) == []
    (second,) = requests_of(stack, ABSENT, "BackupRequestsQueue")
    assert SECOND_LOOK_SECONDS - 60 < second["VisibleAt"] - time.time() <= SECOND_LOOK_SECONDS
    fetch(stack, Request(ABSENT, asked_at="2026-11-26T09:00:00Z"))
    (note,) = versions(stack, ABSENT.absent_key)
    assert json.loads(note)["day"] == ABSENT.day.isoformat()
