"""The archive over an emulator's S3: stored and absent days, the newest day, and tags."""

import gzip
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any, NoReturn

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import EndpointConnectionError
from relay.aws import S3_CONFIG
from relay.backups.backup import Backup, Remark, days
from relay.backups.bucket import Archive
from relay.backups.identity import Identity, tag_value
from relay.backups.upload import Receipt
from relay.backups.verifier import Content
from relay.errors import Retry

from tests.strict_s3 import WatchedS3, refuse
from tests.worlds.aws import Emulator
from tests.worlds.clock import Clock

pytestmark = pytest.mark.any_aws

BUCKET = "archive"
NOW = 1_795_273_200.0
DAY = date(2016, 12, 5)


def near(number: int) -> date:
    return DAY + timedelta(days=number)


def message(day: date) -> Backup:
    return Backup(day, "message")


def receipt(content: Content = Content(1, 1)) -> Receipt:  # noqa: B008  it is immutable
    return Receipt(1000, content, "5a" * 32, '"new"')


class Bucket:
    """A bucket with its archive."""

    def __init__(self, s3: Any, strict: WatchedS3) -> None:
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
def bucket(s3: Any, emulator: Emulator, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    with emulator.serving(clock, monkeypatch):
        s3.create_bucket(Bucket=BUCKET)
        yield Bucket(s3, emulator.watch_s3(monkeypatch))


def test_the_key_is_the_vendors_file_name_in_a_folder_for_each_day() -> None:
    assert message(DAY).key == "message/2016/12/05/stocktwits_message_2016_12_05.gz"
    assert message(DAY).absent_key == "absent/message/2016/12/05/stocktwits_message_2016_12_05.json"


# Stored days


def test_an_empty_archive_has_nothing(bucket: Bucket) -> None:
    assert set(bucket.archive.stored("message", DAY, near(30))) == set()
    assert set(bucket.archive.absent("message", DAY, near(30))) == set()
    assert bucket.archive.newest("message") is None


def test_a_range_includes_its_first_and_its_last_day_and_no_other(bucket: Bucket) -> None:
    bucket.put(*(message(near(number)).key for number in (-1, 0, 1, 3, 4, 5)))
    assert set(bucket.archive.stored("message", near(0), near(4))) == {near(0), near(1), near(3), near(4)}
    assert set(bucket.archive.stored("message", near(2), near(2))) == set()
    assert set(bucket.archive.stored("message", near(3), near(3))) == {near(3)}


def test_a_range_may_span_months_and_years(bucket: Bucket) -> None:
    kept = [date(2015, 12, 31), date(2016, 1, 1), date(2016, 2, 29), date(2016, 10, 1)]
    bucket.put(*(message(day).key for day in kept))
    assert set(bucket.archive.stored("message", kept[0], kept[-1])) == set(kept)
    assert set(bucket.archive.stored("message", kept[1], kept[2])) == set(kept[1:3])


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
    assert set(bucket.archive.stored("message", near(-10), near(10))) == {near(0)}
    assert set(bucket.archive.stored("activity", near(-10), near(10))) == {near(1)}
    assert set(bucket.archive.absent("message", near(-10), near(10))) == {near(2)}


@pytest.mark.parametrize(
    "name", ["mine.txt", "stocktwits_message_2016_12_05.gz.tmp", "stocktwits_message_2016_12_04.gz"]
)
def test_another_file_in_the_folder_of_a_day_is_not_its_backup(bucket: Bucket, name: str) -> None:
    bucket.put(f"message/2016/12/05/{name}", f"absent/message/2016/12/05/{name}")
    assert set(bucket.archive.stored("message", near(-1), near(1))) == set()
    assert set(bucket.archive.absent("message", near(-1), near(1))) == set()


@pytest.mark.moto("a thousand objects take LocalEmu half a minute")
def test_a_long_range_takes_one_request_for_each_thousand_days(bucket: Bucket) -> None:
    all_days = list(days(date(2009, 1, 1), date(2012, 6, 30)))
    bucket.put(*(message(day).key for day in all_days))
    bucket.strict.sent.clear()
    assert set(bucket.archive.stored("message", all_days[100], all_days[-1])) == set(all_days[100:])
    assert bucket.strict.sent == {"ListObjectsV2": 2}


@pytest.mark.moto("a thousand objects take LocalEmu half a minute")
def test_a_listing_reads_only_the_range(bucket: Bucket) -> None:
    bucket.put(*(message(day).key for day in days(date(2009, 1, 1), date(2012, 6, 30))))
    bucket.strict.sent.clear()
    assert set(bucket.archive.stored("message", date(2012, 6, 1), date(2012, 6, 2))) == {
        date(2012, 6, 1),
        date(2012, 6, 2),
    }
    assert set(bucket.archive.stored("message", date(2009, 1, 1), date(2009, 1, 1))) == {date(2009, 1, 1)}
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
    assert set(bucket.archive.absent("message", DAY, DAY)) == {DAY}
    assert set(bucket.archive.stored("message", DAY, DAY)) == set()
    assert set(bucket.archive.absent("activity", DAY, DAY)) == set()
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
    bucket.archive.tag(message(DAY), receipt(Content(7, 900)), Identity("9b2cf535f27731c9-3"))
    assert tags(bucket) == bucket.archive.tags(message(DAY))
    assert tags(bucket) == {
        "sha256": "5a" * 32,
        "lines": "7",
        "source-etag": "9b2cf535f27731c9-3",
        "fetched-at": "2026-11-21T15:00:00Z",
    }


def test_the_tags_tell_of_odd_lines_and_of_the_sources_date_if_there_are_any(bucket: Bucket) -> None:
    bucket.put(message(DAY).key)
    odd = receipt(Content(7, 900, empty=1, odd=2, first_odd=3))
    bucket.archive.tag(message(DAY), odd, Identity("5a", "2016-12-06T03:00:00Z", 88))
    found = tags(bucket)
    assert (found["lines"], found["odd-lines"], found["first-odd-line"]) == ("7", "2", "3")
    assert (found["source-etag"], found["source-modified"]) == ("5a", "2016-12-06T03:00:00Z")


@pytest.mark.parametrize("etag", ['W/"x"', "a;b{c}é\t", "x" * 300, "a=b+c.d_e:f/g@h-i j"])
def test_an_etag_is_shortened_to_what_a_tag_allows(bucket: Bucket, etag: str) -> None:
    bucket.put(message(DAY).key)
    bucket.archive.tag(message(DAY), receipt(), Identity(etag))
    assert tags(bucket)["source-etag"] == tag_value(etag)


# Remarks


def test_a_remark_is_about_one_version_and_found_by_listing(bucket: Bucket) -> None:
    bucket.put(message(DAY).key)
    stored = bucket.archive.stored("message", DAY, DAY)
    bucket.archive.remark(message(DAY), stored[DAY].etag, Remark.ODD, {"odd_lines": 2})
    bucket.archive.remark(message(DAY), '"older"', Remark.REPLACED, {})
    bucket.strict.sent.clear()
    assert bucket.archive.remarks("message", stored) == {DAY: {Remark.ODD}}
    assert bucket.strict.sent == {"ListObjectsV2": 1}
    assert bucket.archive.remarks("activity", stored) == {}
    key = message(DAY).remark_key(stored[DAY].etag, Remark.ODD)
    assert key == f"remarks/message/2016/12/05/{stored[DAY].etag[1:-1]}/odd.json"
    assert json.loads(bucket.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()) == {
        "file_type": "message",
        "day": "2016-12-05",
        "kind": "odd",
        "odd_lines": 2,
        "at": "2026-11-21T15:00:00Z",
    }


def test_without_stored_backups_nothing_is_listed_for_remarks(bucket: Bucket) -> None:
    assert bucket.archive.remarks("message", {}) == {}
    assert bucket.strict.sent["ListObjectsV2"] == 0


# Damaged backups


class Sent(io.BytesIO):
    """What Firestream sends."""

    identity = Identity("5a")

    def read(self, size: int = -1, /) -> bytes:
        return super().read(size)

    def close(self) -> None:
        """Stay open: what it sends is read again."""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (gzip.compress(b'{"id":1}\n' * 9, mtime=0)[:-9], "the gzip data ends early"),
        (b"<html>" + b"x" * 3_000_000, "the gzip data"),
        (gzip.compress(b"<html>", mtime=0), "the file holds a web page its only line is not a JSON object"),
    ],
)
def test_what_is_damaged_is_kept_byte_for_byte_with_its_reason(bucket: Bucket, content: bytes, reason: str) -> None:
    assert bucket.archive.keep_damaged(message(DAY), Sent(content))  # type: ignore[arg-type]
    key = message(DAY).damaged_key
    assert key == f"damaged/{message(DAY).key}"
    assert bucket.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == content
    found = {each["Key"]: each["Value"] for each in bucket.s3.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"]}
    assert reason in found.pop("reason").replace(":", "")
    assert found == {
        "sha256": hashlib.sha256(content).hexdigest(),
        "source-etag": "5a",
        "fetched-at": "2026-11-21T15:00:00Z",
    }
    assert set(bucket.archive.find({message(near(each)).damaged_key: near(each) for each in (-1, 0, 1)})) == {DAY}
    assert bucket.archive.stored("message", DAY, DAY) == {}


def test_a_newer_damaged_file_takes_the_place_of_the_kept_one(bucket: Bucket) -> None:
    for content in (b"1", b"2"):
        bucket.archive.keep_damaged(message(DAY), Sent(content))  # type: ignore[arg-type]
    assert bucket.s3.get_object(Bucket=BUCKET, Key=message(DAY).damaged_key)["Body"].read() == b"2"


def test_a_file_that_is_whole_is_not_kept_as_damaged(bucket: Bucket) -> None:
    whole = Sent(gzip.compress(b'{"id":1}\n', mtime=0))
    assert bucket.archive.keep_damaged(message(DAY), whole) == ""  # type: ignore[arg-type]
    assert bucket.archive.find({message(DAY).damaged_key: DAY}) == {}
    assert "Uploads" not in bucket.s3.list_multipart_uploads(Bucket=BUCKET)


def test_nothing_at_all_cannot_be_kept(bucket: Bucket) -> None:
    with pytest.raises(Retry, match="there is not one byte to store"):
        bucket.archive.keep_damaged(message(DAY), Sent(b""))  # type: ignore[arg-type]


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
            lambda archive: archive.tag(message(DAY), receipt(), Identity()),
            f"S3 did not tag {message(DAY).key} (AccessDenied)",
        ),
        (
            "GetObjectTagging",
            lambda archive: archive.tags(message(DAY)),
            f"S3 did not read the tags of {message(DAY).key} (AccessDenied)",
        ),
        (
            "PutObject",
            lambda archive: archive.remark(message(DAY), '"a"', Remark.ODD, {}),
            f"S3 did not write {message(DAY).remark_key('a', Remark.ODD)} (AccessDenied)",
        ),
        (
            "CreateMultipartUpload",
            lambda archive: archive.keep_damaged(message(DAY), Sent(b"1")),
            f"S3 did not take {message(DAY).damaged_key} (AccessDenied)",
        ),
    ],
    ids=["stored", "absent", "newest", "mark", "tag", "tags", "remark", "damaged"],
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
