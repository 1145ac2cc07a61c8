"""The archive night after night: late, re-issued, empty and withdrawn days, odd lines, and what is damaged."""

import gzip
import json
from datetime import date, timedelta
from hashlib import sha256
from typing import Any

import pytest
from relay.backups.backup import Backup, Remark
from relay.backups.bucket import Archive
from relay.backups.events import IfStored, Request
from relay.backups.runs import GIVE_UP_SECONDS

from tests.worlds.backups import ARCHIVE, BackupsWorld

pytestmark = pytest.mark.any_aws

TODAY = date(2026, 11, 21)
A_DAY = 86_400
D = Backup(TODAY - timedelta(days=3), "message")
OLD = Backup(date(2016, 12, 5), "message")


@pytest.fixture
def nights(backups: BackupsWorld) -> BackupsWorld:
    """A world in which S3 keeps versions, as the template's bucket does."""
    backups.s3.put_bucket_versioning(Bucket=ARCHIVE, VersioningConfiguration={"Status": "Enabled"})
    return backups


def versions(world: BackupsWorld, key: str = D.key) -> list[bytes]:
    """The bytes of each version, the newest first."""
    found = world.s3.list_object_versions(Bucket=ARCHIVE, Prefix=key).get("Versions", [])
    return [world.s3.get_object(Bucket=ARCHIVE, Key=key, VersionId=each["VersionId"])["Body"].read() for each in found]


def remarks(world: BackupsWorld, backup: Backup = D) -> set[Remark]:
    archive = Archive(lambda: world.s3, ARCHIVE, world.clock)
    stored = archive.stored(backup.file_type, backup.day, backup.day)
    return archive.remarks(backup.file_type, stored).get(backup.day, set())


def offered(world: BackupsWorld, backup: Backup = D) -> bytes:
    found = world.firestream.offered(backup.file_type, backup.day)
    assert found
    return found.read()


def plan(world: BackupsWorld, behaviour: str, backup: Backup = D, **details: Any) -> None:
    world.firestream.fail(behaviour, times=None, file_type=backup.file_type, day=backup.day, **details)


# --- Unchanged


def test_an_unchanged_window_costs_two_small_requests_a_file_and_no_body(nights: BackupsWorld) -> None:
    nights.nightly()
    nights.firestream.requests.clear()
    before = nights.firestream.counted(kind="small"), nights.firestream.counted(kind="body")
    run = nights.nightly()
    assert (run.answer["already_there"], run.answer["stored"], run.answer["queued"]) == (14, 0, 0)
    assert nights.firestream.counted(kind="small") - before[0] == 2 * 14
    assert nights.firestream.counted(kind="body") == before[1]
    assert len(versions(nights)) == 1


@pytest.mark.parametrize(
    ("behaviour", "details"),
    [
        ("etag", {"form": "missing"}),
        ("etag", {"form": "weak"}),
        ("etag", {"form": "unquoted"}),
        ("last-modified", {"form": "missing"}),
        ("last-modified", {"form": "changing"}),
        ("conditions-ignored", {}),
    ],
)
def test_an_unchanged_file_is_recognized_however_it_is_told_from_others(
    nights: BackupsWorld, behaviour: str, details: dict[str, Any]
) -> None:
    plan(nights, behaviour, **details)
    nights.nightly()
    run = nights.nightly()
    assert run.answer["already_there"] == 14
    assert len(versions(nights)) == 1
    assert remarks(nights) == set()


def test_a_file_that_can_only_be_told_from_others_by_its_bytes_is_no_new_version(nights: BackupsWorld) -> None:
    plan(nights, "etag", form="changing")
    nights.nightly()
    assert nights.nightly().answer["already_there"] == 14
    assert len(versions(nights)) == 1


# --- Late


@pytest.mark.moto("several weeks of nights take LocalEmu long")
def test_files_of_days_that_were_not_there_for_five_nights_are_all_stored(nights: BackupsWorld) -> None:
    late = [Backup(TODAY + timedelta(days=number), "message") for number in range(5)]
    nights.firestream.configure(missing=[("message", each.day) for each in late])
    for _ in range(6):
        nights.clock.forward(A_DAY)
        nights.nightly()
    assert not set(nights.listing()) & {each.key for each in late}
    nights.firestream.configure(missing=[])
    run = nights.nightly()
    assert run.answer["stored"] == 5
    assert {each.key for each in late} <= set(nights.listing())
    assert run.metric("BackupDaysBeyondLag") == 0


@pytest.mark.moto("several weeks of nights take LocalEmu long")
def test_a_missing_day_is_told_of_as_long_as_it_may_still_come(nights: BackupsWorld) -> None:
    nights.firestream.configure(missing=[("message", D.day)])
    for days in (1, 2, 3, 4, 5):  # from the age of 3 on, with a lag of 2
        run = nights.nightly()
        (told,) = (each for each in run.backups if each["day"] == D.day.isoformat() and each["file_type"] == "message")
        assert (told["level"], told["late"]) == ("WARNING", True)
        assert run.metric("BackupDaysBeyondLag") == days
        nights.clock.forward(A_DAY)
    assert nights.nightly().metric("BackupDaysBeyondLag") == 0


# --- Re-issued


@pytest.mark.parametrize("form", ["shorter", "longer", "reordered", "recompressed"])
@pytest.mark.parametrize("identity", [None, "etag", "conditions-ignored"])
def test_a_file_that_changed_is_the_newest_version_and_the_old_one_is_kept(
    nights: BackupsWorld, form: str, identity: str | None
) -> None:
    if identity:
        plan(nights, identity)
    plan(nights, "reissued", form=form, at=nights.clock() + 3600)
    before = offered(nights)
    nights.nightly()
    nights.clock.forward(A_DAY)
    after = offered(nights)
    assert before != after
    run = nights.nightly()
    assert versions(nights) == [after, before]
    assert nights.tags(D)["sha256"] == sha256(after).hexdigest()
    assert (run.answer["replaced"], run.counted("BackupsReplaced")) == (1, {"message": 1})
    (line,) = (each for each in run.backups if each["remarks"])
    assert (line["level"], line["outcome"], line["remarks"]) == ("WARNING", "stored", ["replaced"])
    assert remarks(nights) == {Remark.REPLACED}


def test_a_day_that_was_empty_at_first_is_replaced_by_the_full_file(nights: BackupsWorld) -> None:
    plan(nights, "empty-first", form="gzip", at=nights.clock() + 3600)
    run = nights.nightly()
    assert nights.tags(D)["lines"] == "0"
    assert (remarks(nights), run.counted("BackupsFewLines")) == ({Remark.FEW_LINES}, {"message": 1})
    nights.clock.forward(A_DAY)
    nights.nightly()
    assert nights.content(D) == nights.source(D)
    assert remarks(nights) == {Remark.REPLACED}


def test_a_new_file_that_is_not_whole_leaves_the_stored_one_current(nights: BackupsWorld) -> None:
    nights.nightly()
    before = nights.content(D)
    nights.clock.forward(3600)
    plan(nights, "reissued", form="damaged", changed="after", at=nights.clock() - 60)
    run = nights.nightly()
    assert (run.answer["failed"], run.answer["queued"]) == (1, 1)
    assert versions(nights) == [before]
    assert [json.loads(each)["if_stored"] for each in nights.waiting()] == ["compare"]
    assert nights.tags(D)["sha256"] == sha256(before or b"").hexdigest()


def test_a_day_that_firestream_withdrew_is_kept(nights: BackupsWorld) -> None:
    nights.nightly()
    before = nights.content(D)
    nights.firestream.configure(missing=[("message", D.day)])
    run = nights.nightly()
    assert (run.answer["already_there"], run.answer["not_yet"]) == (14, 0)
    assert versions(nights) == [before]
    assert D.absent_key not in nights.listing()


def test_two_workers_that_replace_one_day_make_one_version(nights: BackupsWorld) -> None:
    plan(nights, "reissued", form="shorter", at=nights.clock() + 3600)
    nights.nightly()
    nights.clock.forward(A_DAY)
    request = Request(D, IfStored.COMPARE).body
    assert nights.fulfil(request, request).outcomes == ["stored", "already_there"]
    assert len(versions(nights)) == 2


def test_a_day_is_fetched_anew_when_its_owner_asks_for_it(nights: BackupsWorld) -> None:
    nights.fulfil(OLD)
    plan(nights, "etag", OLD, form="stuck")
    event = {"first_day": "2016-12-05", "last_day": "2016-12-05", "file_types": ["message"]}
    assert nights.invoke(event).answer["queued"] == 0
    assert nights.invoke(event | {"again": True}).answer["queued"] == 1
    assert nights.work_once().outcomes == ["stored"]
    assert len(versions(nights, OLD.key)) == 2


# --- Few lines, odd lines


def test_a_day_of_far_fewer_lines_than_its_neighbours_is_stored_flagged_and_told(nights: BackupsWorld) -> None:
    plan(nights, "few-lines", lines=3)
    run = nights.nightly()
    assert nights.content(D) == offered(nights)
    assert remarks(nights) == {Remark.FEW_LINES}
    assert run.counted("BackupsFewLines") == {"message": 1}
    (line,) = (each for each in run.backups if each["remarks"])
    assert (line["level"], line["reason"]) == ("WARNING", "3 lines, where the days around it have about 40")
    assert nights.nightly().counted("BackupsFewLines") == {}


@pytest.mark.parametrize(
    "lines", [{"form": "words", "places": [0.5], "count": 2}, {"form": "list", "places": [0.1, 0.9]}]
)
def test_a_whole_file_with_odd_lines_is_stored_tagged_and_told(nights: BackupsWorld, lines: dict[str, Any]) -> None:
    plan(nights, "bad-lines", OLD, **lines)
    run = nights.fulfil(OLD)
    assert nights.content(OLD) == offered(nights, OLD)
    tags = nights.tags(OLD)
    assert (tags["lines"], tags["odd-lines"]) == ("40", "2")
    text = gzip.decompress(offered(nights, OLD)).splitlines()
    first = next(number for number, line in enumerate(text, 1) if not (line.startswith(b"{") and line.endswith(b"}")))
    assert tags["first-odd-line"] == str(first)
    assert (run.outcomes, run.backup["level"]) == (["stored"], "WARNING")
    assert (run.counted("BackupsOdd"), remarks(nights, OLD)) == ({"message": 1}, {Remark.ODD})


@pytest.mark.parametrize(
    ("behaviour", "details"),
    [
        ("crlf", {}),
        ("spaces", {"form": "both"}),
        ("byte-order-mark", {"form": "first"}),
        ("empty-lines", {"form": "white"}),
        ("no-last-line-feed", {}),
        ("odd-values", {"form": "lone-surrogate"}),
        ("long-line", {"form": "text"}),
        ("members", {"form": "within"}),
    ],
)
def test_what_the_vendors_reader_reads_is_stored_without_a_remark(
    nights: BackupsWorld, behaviour: str, details: dict[str, Any]
) -> None:
    plan(nights, behaviour, OLD, **details)
    run = nights.fulfil(OLD)
    assert (run.outcomes, run.backup["level"]) == (["stored"], "INFO")
    assert nights.content(OLD) == offered(nights, OLD)
    assert remarks(nights, OLD) == set()


# --- Statuses


def test_403_for_one_day_is_that_days_failure(nights: BackupsWorld) -> None:
    nights.firestream.fail("error", times=None, file_type="message", day=D.day, status=403, message="not in your plan")
    run = nights.nightly()
    assert (run.answer["stored"], run.answer["failed"], run.answer["stopped"]) == (13, 1, "")
    (failed,) = (each for each in run.backups if each["outcome"] == "failed")
    assert "403: not in your plan" in failed["reason"]


def test_an_hour_of_429_costs_a_request_nothing(nights: BackupsWorld) -> None:
    nights.firestream.fail("retry-after", seconds=3600, file_type="message", day=OLD.day)
    run = nights.fulfil(OLD, receive_count=40, age=2 * A_DAY)
    assert (run.outcomes, nights.dead_letters()) == (["held"], [])
    assert len(nights.link_requests()) == 1
    ((entry,),) = (call["Entries"] for call in nights.aws.calls_of("ChangeMessageVisibilityBatch"))
    assert 3600 <= entry["VisibilityTimeout"] <= 3600 + 190
    nights.clock.forward(3601)
    assert nights.fulfil(OLD).outcomes == ["stored"]


def test_a_missing_day_of_a_backfill_is_looked_for_twice_before_it_counts_as_absent(nights: BackupsWorld) -> None:
    nights.firestream.configure(missing=[OLD.day])
    nights.invoke({"first_day": "2016-12-05", "last_day": "2016-12-05", "file_types": ["message"]})
    assert nights.work_once().outcomes == ["not_yet"]
    assert nights.listing() == []
    (body,) = nights.held_back()
    assert nights.fulfil(body).outcomes == ["absent"]
    assert nights.listing() == [OLD.absent_key]
    note = json.loads(nights.s3.get_object(Bucket=ARCHIVE, Key=OLD.absent_key)["Body"].read())
    assert note == {"file_type": "message", "day": "2016-12-05", "asked_at": "2026-11-21T15:00:00Z"}


# --- Damaged


@pytest.mark.parametrize(
    ("behaviour", "details"),
    [
        ("damaged", {"form": "crc"}),
        ("damaged", {"form": "half"}),
        ("other-format", {"form": "page-in-gzip"}),
        ("other-format", {"form": "gzip-twice"}),
        ("other-format", {"form": "plain"}),
    ],
)
def test_what_is_never_whole_is_kept_as_it_is_when_its_request_is_given_up(
    nights: BackupsWorld, behaviour: str, details: dict[str, Any]
) -> None:
    plan(nights, behaviour, OLD, **details)
    assert nights.fulfil(OLD, receive_count=8).outcomes == ["failed"]
    assert nights.listing() == []
    run = nights.fulfil(OLD, receive_count=9, age=GIVE_UP_SECONDS)
    assert (run.outcomes, run.backup["buried"], run.counted("BackupsDamaged")) == (["failed"], True, {"message": 1})
    assert nights.listing() == [OLD.damaged_key]
    assert versions(nights, OLD.damaged_key) == [offered(nights, OLD)]
    found = nights.s3.get_object_tagging(Bucket=ARCHIVE, Key=OLD.damaged_key)["TagSet"]
    tags = {each["Key"]: each["Value"] for each in found}
    assert tags["sha256"] == sha256(offered(nights, OLD)).hexdigest()
    assert tags["reason"]
    ((_, attributes),) = nights.dead_letters()
    assert "relay get message 2016-12-05 --damaged" in attributes["RejectReason"]
    nights.assert_no_upload_is_open()


def test_after_a_damaged_file_was_kept_a_whole_one_is_still_stored(nights: BackupsWorld) -> None:
    nights.firestream.fail("damaged", times=2, file_type="message", day=OLD.day)
    nights.fulfil(OLD, receive_count=9, age=GIVE_UP_SECONDS)
    assert nights.fulfil(OLD).outcomes == ["stored"]
    assert nights.content(OLD) == nights.source(OLD)
