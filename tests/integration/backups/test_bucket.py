"""The archive over moto's S3: stored and absent days, the newest day, and tags."""

import json
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any, NoReturn

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws
from relay.aws import S3_CONFIG
from relay.backups.backup import Backup, days
from relay.backups.bucket import Archive
from relay.backups.upload import Receipt
from relay.errors import Retry

from tests.strict_s3 import StrictS3, refuse

BUCKET = "archive"
NOW = 1_795_273_200.0
DAY = date(2016, 12, 5)


def near(number: int) -> date:
    return DAY + timedelta(days=number)


def message(day: date) -> Backup:
    return Backup(day, "message")


class Bucket:
    """A bucket with its archive."""

    def __init__(self, s3: Any, strict: StrictS3) -> None:
        self.s3 = s3
        self.strict = strict
        self.archive = Archive(lambda: s3, BUCKET, lambda: NOW)

    def put(self, *keys: str) -> None:
        for key in keys:
            self.s3.put_object(Bucket=BUCKET, Key=key, Body=b"")


@pytest.fixture(scope="module")
def s3() -> Any:
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
    return session.client("s3", config=S3_CONFIG)


@pytest.fixture
def bucket(s3: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    with mock_aws():
        s3.create_bucket(Bucket=BUCKET)
        yield Bucket(s3, StrictS3(monkeypatch))


def test_the_key_is_the_vendors_file_name_in_a_folder_for_each_day() -> None:
    assert message(DAY).key == "message/2016/12/05/stocktwits_message_2016_12_05.gz"
    assert message(DAY).absent_key == "absent/message/2016/12/05/stocktwits_message_2016_12_05.json"


# Stored days


def test_an_empty_archive_has_nothing(bucket: Bucket) -> None:
    assert bucket.archive.stored("message", DAY, near(30)) == set()
    assert bucket.archive.absent("message", DAY, near(30)) == set()
    assert bucket.archive.newest("message") is None


def test_a_range_includes_its_first_and_its_last_day_and_no_other(bucket: Bucket) -> None:
    bucket.put(*(message(near(number)).key for number in (-1, 0, 1, 3, 4, 5)))
    assert bucket.archive.stored("message", near(0), near(4)) == {near(0), near(1), near(3), near(4)}
    assert bucket.archive.stored("message", near(2), near(2)) == set()
    assert bucket.archive.stored("message", near(3), near(3)) == {near(3)}


def test_a_range_may_span_months_and_years(bucket: Bucket) -> None:
    kept = [date(2015, 12, 31), date(2016, 1, 1), date(2016, 2, 29), date(2016, 10, 1)]
    bucket.put(*(message(day).key for day in kept))
    assert bucket.archive.stored("message", kept[0], kept[-1]) == set(kept)
    assert bucket.archive.stored("message", kept[1], kept[2]) == set(kept[1:3])


def test_other_keys_are_not_backups(bucket: Bucket) -> None:
    bucket.put(
        message(near(0)).key,
        Backup(near(1), "activity").key,
        message(near(2)).absent_key,
        "athena-results/2016/12/08/6f1c.csv",
        "message/readme.txt",
        "message/2016/12/notes/of/mine.txt",
        "message/2016/13/45/stocktwits_message_2016_13_45.gz",
        "messages/2016/12/09/stocktwits_message_2016_12_09.gz",
        "0",
        "zzz",
    )
    assert bucket.archive.stored("message", near(-10), near(10)) == {near(0)}
    assert bucket.archive.stored("activity", near(-10), near(10)) == {near(1)}
    assert bucket.archive.absent("message", near(-10), near(10)) == {near(2)}


@pytest.mark.parametrize(
    "name", ["mine.txt", "stocktwits_message_2016_12_05.gz.tmp", "stocktwits_message_2016_12_04.gz"]
)
def test_another_file_in_the_folder_of_a_day_is_not_its_backup(bucket: Bucket, name: str) -> None:
    bucket.put(f"message/2016/12/05/{name}", f"absent/message/2016/12/05/{name}")
    assert bucket.archive.stored("message", near(-1), near(1)) == set()
    assert bucket.archive.absent("message", near(-1), near(1)) == set()


def test_a_long_range_takes_one_request_for_each_thousand_days(bucket: Bucket) -> None:
    all_days = list(days(date(2009, 1, 1), date(2012, 6, 30)))
    bucket.put(*(message(day).key for day in all_days))
    bucket.strict.sent.clear()
    assert bucket.archive.stored("message", all_days[100], all_days[-1]) == set(all_days[100:])
    assert bucket.strict.sent == {"ListObjectsV2": 2}


def test_a_listing_reads_only_the_range(bucket: Bucket) -> None:
    bucket.put(*(message(day).key for day in days(date(2009, 1, 1), date(2012, 6, 30))))
    bucket.strict.sent.clear()
    assert bucket.archive.stored("message", date(2012, 6, 1), date(2012, 6, 2)) == {
        date(2012, 6, 1),
        date(2012, 6, 2),
    }
    assert bucket.archive.stored("message", date(2009, 1, 1), date(2009, 1, 1)) == {date(2009, 1, 1)}
    assert bucket.strict.sent == {"ListObjectsV2": 2}


# The newest


@pytest.mark.parametrize(
    ("stored", "newest"),
    [
        ([date(2016, 12, 5)], date(2016, 12, 5)),
        ([date(2015, 12, 31), date(2016, 1, 1)], date(2016, 1, 1)),
        ([date(2016, 9, 30), date(2016, 10, 1), date(2016, 9, 1)], date(2016, 10, 1)),
        ([date(2009, 1, 1), date(2026, 11, 20), date(2026, 2, 28)], date(2026, 11, 20)),
    ],
)
def test_the_newest_day_is_found_by_its_folders(bucket: Bucket, stored: list[date], newest: date) -> None:
    bucket.put(*(message(day).key for day in stored))
    bucket.put(Backup(date(2030, 1, 1), "activity").key, message(date(2031, 1, 1)).absent_key)
    bucket.strict.sent.clear()
    assert bucket.archive.newest("message") == newest
    assert bucket.strict.sent == {"ListObjectsV2": 3}


def test_other_files_do_not_hide_the_newest_day(bucket: Bucket) -> None:
    bucket.put(message(DAY).key, "message/readme.txt", "message/notes/a/b.txt", "message/2016/12/z/c.txt")
    assert bucket.archive.newest("message") == DAY


# Absent days and tags


def test_an_absent_backup_is_recorded_under_a_key_of_its_own(bucket: Bucket) -> None:
    bucket.archive.mark_absent(message(DAY))
    assert bucket.archive.absent("message", DAY, DAY) == {DAY}
    assert bucket.archive.stored("message", DAY, DAY) == set()
    assert bucket.archive.absent("activity", DAY, DAY) == set()
    note = bucket.s3.get_object(Bucket=BUCKET, Key=message(DAY).absent_key)
    assert note["ContentType"] == "application/json"
    assert json.loads(note["Body"].read()) == {
        "file_type": "message",
        "day": "2016-12-05",
        "asked_at": "2026-11-21T15:00:00Z",
    }


def tags(bucket: Bucket) -> dict[str, str]:
    found = bucket.s3.get_object_tagging(Bucket=BUCKET, Key=message(DAY).key)["TagSet"]
    return {each["Key"]: each["Value"] for each in found}


def test_a_backup_is_tagged_with_its_checksum_lines_etag_and_time(bucket: Bucket) -> None:
    bucket.put(message(DAY).key)
    bucket.archive.tag(message(DAY), Receipt(1000, 7, "5a" * 32), '"9b2cf535f27731c974343645a3985328-3"')
    assert tags(bucket) == {
        "sha256": "5a" * 32,
        "lines": "7",
        "source-etag": "9b2cf535f27731c974343645a3985328-3",
        "fetched-at": "2026-11-21T15:00:00Z",
    }


@pytest.mark.parametrize(
    ("etag", "value"),
    [("", ""), ('W/"x"', "W/x"), ("a;b{c}é\t", "abc"), ("x" * 300, "x" * 256), ("a=b+c.d_e:f/g@h-i j",) * 2],
)
def test_an_etag_is_shortened_to_what_a_tag_allows(bucket: Bucket, etag: str, value: str) -> None:
    bucket.put(message(DAY).key)
    bucket.archive.tag(message(DAY), Receipt(1, 1, ""), etag)
    assert tags(bucket)["source-etag"] == value


# Errors of S3


@pytest.mark.parametrize(
    ("operation", "act", "expected"),
    [
        (
            "ListObjectsV2",
            lambda archive: archive.stored("message", DAY, DAY),
            "S3 did not list message/ (AccessDenied)",
        ),
        (
            "ListObjectsV2",
            lambda archive: archive.absent("message", DAY, DAY),
            "S3 did not list absent/message/ (AccessDenied)",
        ),
        ("ListObjectsV2", lambda archive: archive.newest("message"), "S3 did not list message/ (AccessDenied)"),
        (
            "PutObject",
            lambda archive: archive.mark_absent(message(DAY)),
            f"S3 did not write {message(DAY).absent_key} (AccessDenied)",
        ),
        (
            "PutObjectTagging",
            lambda archive: archive.tag(message(DAY), Receipt(1, 1, ""), ""),
            f"S3 did not tag {message(DAY).key} (AccessDenied)",
        ),
    ],
    ids=["stored", "absent", "newest", "mark", "tag"],
)
def test_an_error_of_s3_is_retried_and_its_code_is_the_reason(
    bucket: Bucket, operation: str, act: Callable[[Archive], object], expected: str
) -> None:
    bucket.strict.before(operation, refuse("AccessDenied", 403))
    with pytest.raises(Retry) as caught:
        act(bucket.archive)
    assert caught.value.reason == expected
    assert caught.value.__suppress_context__


def test_an_unreachable_s3_is_reported_by_the_name_of_the_error(bucket: Bucket) -> None:
    def unreachable(request: AWSPreparedRequest) -> NoReturn:
        raise EndpointConnectionError(endpoint_url=request.url)

    bucket.strict.before("ListObjectsV2", unreachable, times=3)
    with pytest.raises(Retry, match=r"^S3 did not list message/ \(EndpointConnectionError\)$"):
        bucket.archive.stored("message", DAY, DAY)
