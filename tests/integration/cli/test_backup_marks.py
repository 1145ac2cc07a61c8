"""What `relay backups` says of backups that are stored with a remark, and of those that were never whole."""

from datetime import date, timedelta

import pytest
from relay.backups.backup import Backup, Remark
from relay.backups.bucket import Archive

from tests.worlds.archive_cli import BACKUP, ArchiveCli, age, note_absent
from tests.worlds.backups import ARCHIVE

THE_DAY = ("--from", "2016-12-05", "--to", "2016-12-05")


def keep_damaged(relay: ArchiveCli, backup: Backup) -> None:
    relay.backups.s3.put_object(Bucket=ARCHIVE, Key=backup.damaged_key, Body=b"cut", Tagging="reason=it ends early")


def remark(relay: ArchiveCli, backup: Backup, *kinds: Remark, etag: str = "") -> None:
    etag = etag or relay.backups.s3.head_object(Bucket=ARCHIVE, Key=backup.key)["ETag"]
    archive = Archive(lambda: relay.backups.s3, ARCHIVE, relay.backups.clock)
    for kind in kinds:
        archive.remark(backup, etag, kind, {})


def the_day(relay: ArchiveCli) -> tuple[str, list[str]]:
    ((found,),) = (each["days"] for each in relay("backups", "--json", *THE_DAY).json["calendars"])
    return found["status"], found["marks"]


def test_a_stored_day_has_the_marks_of_its_remarks(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    remark(relay, BACKUP, Remark.REPLACED, Remark.ODD, Remark.FEW_LINES)
    assert the_day(relay) == ("stored", ["odd", "few-lines", "replaced"])


def test_a_remark_about_an_older_version_no_longer_counts(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    remark(relay, BACKUP, Remark.ODD, etag='"0123"')
    assert the_day(relay) == ("stored", [])


def test_a_damaged_file_that_came_after_the_stored_one_is_a_mark(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    age(relay, BACKUP)
    keep_damaged(relay, BACKUP)
    assert the_day(relay) == ("stored", ["damaged"])


def test_a_damaged_file_that_came_before_the_stored_one_is_past(relay: ArchiveCli) -> None:
    keep_damaged(relay, BACKUP)
    relay.store(BACKUP)
    assert the_day(relay) == ("stored", [])


def test_a_day_with_nothing_but_a_damaged_file_is_damaged_whatever_was_noted(relay: ArchiveCli) -> None:
    keep_damaged(relay, BACKUP)
    note_absent(relay, BACKUP)
    assert the_day(relay) == ("damaged", ["damaged"])
    assert relay("backups", *THE_DAY).lines[-1] == (
        "x message 2016-12-05: what Firestream sent was not whole; "
        "its bytes as received: relay get message 2016-12-05 --damaged; "
        "to try again: relay backfill 2016-12-05 2016-12-05 --type message"
    )


def test_a_damaged_day_is_listed_among_the_missing_ones(relay: ArchiveCli) -> None:
    relay.backups.s3.put_object(Bucket=ARCHIVE, Key=BACKUP.damaged_key, Body=b"half")
    result = relay("backups", "--from", "2016-12-05", "--to", "2016-12-05", "--missing")
    assert result.lines == ["message 2016-12-05"]


def test_a_failure_is_shown_with_the_way_to_its_bytes(relay: ArchiveCli) -> None:
    keep_damaged(relay, BACKUP)
    relay.add_failure(BACKUP, "the gzip data ends early")
    assert the_day(relay) == ("failed", ["damaged"])
    assert (
        "F message 2016-12-05: the gzip data ends early; its bytes as received: relay get message 2016-12-05 --damaged"
    ) in relay("backups", *THE_DAY).lines


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (
            Remark.ODD,
            "has lines that are not JSON objects, relay cat message 2016-12-05 --errors skip reports the first",
        ),
        (
            Remark.FEW_LINES,
            (
                "has no lines, or far fewer than the days around it, "
                "to fetch it anew: relay backfill 2016-12-05 2016-12-05 --type message --again"
            ),
        ),
        (
            Remark.REPLACED,
            "took the place of another version, which S3 keeps; whoever imported the day should import it again",
        ),
    ],
)
def test_a_marked_day_has_a_character_of_its_own_and_words_below(relay: ArchiveCli, kind: Remark, words: str) -> None:
    relay.store(BACKUP)
    remark(relay, BACKUP, kind)
    lines = relay("backups", *THE_DAY).lines
    assert "Mon  !" in lines
    assert lines[0].endswith(", 1 of them with a remark")
    assert lines[-1] == f"! message 2016-12-05: {words}"


def test_many_marked_days_are_counted(relay: ArchiveCli) -> None:
    for number in range(7):
        keep_damaged(relay, Backup(date(2016, 12, 5) + timedelta(days=number), "message"))
    lines = relay("backups", "--from", "2016-12-05", "--to", "2016-12-11").lines
    assert len([line for line in lines if line.startswith("x message")]) == 5
    assert lines[-1] == "x and 2 more: relay backups --json"


def test_marks_take_two_listings_however_many_days_there_are(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    relay.backups.strict.sent.clear()
    relay("backups", "--from", "2014-01-01", "--to", "2016-12-31")
    assert relay.backups.strict.sent["ListObjectsV2"] == 4


def test_the_bytes_of_a_damaged_file_are_fetched_as_they_are(relay: ArchiveCli) -> None:
    keep_damaged(relay, BACKUP)
    result = relay("get", "message", "2016-12-05", "--damaged")
    name = "stocktwits_message_2016_12_05.damaged.gz"
    assert (relay.folder / name).read_bytes() == b"cut"
    assert result.out == f"{name}: 3 bytes, as received, not whole: it ends early.\n"


def test_a_damaged_file_must_match_its_own_sum(relay: ArchiveCli) -> None:
    relay.backups.s3.put_object(Bucket=ARCHIVE, Key=BACKUP.damaged_key, Body=b"cut", Tagging="sha256=0000")
    result = relay("get", "message", "2016-12-05", "--damaged")
    assert (result.code, list(relay.folder.iterdir())) == (1, [])
    assert "its bytes do not match the sha256 in its tag" in result.err


def test_a_stored_backup_is_no_damaged_one(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    result = relay("get", "message", "2016-12-05", "--damaged")
    assert (result.code, list(relay.folder.iterdir())) == (1, [])
    assert "No damaged file of message 2016-12-05 is kept." in result.err


def test_get_says_how_to_get_a_damaged_one(relay: ArchiveCli) -> None:
    keep_damaged(relay, BACKUP)
    result = relay("get", "message", "2016-12-05")
    assert result.err == (
        "relay: message 2016-12-05 is not stored: what Firestream sent was not whole.\n"
        "To try again: relay backfill 2016-12-05 2016-12-05 --type message\n"
        "Its bytes as received: relay get message 2016-12-05 --damaged\n"
    )
