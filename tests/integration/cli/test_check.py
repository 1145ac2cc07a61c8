"""`relay backups --check`: stored backups against their tags, and against what Firestream has now."""

import gzip
import tracemalloc
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from relay.backups.backup import Backup, days

from tests.strict_s3 import refuse
from tests.worlds.archive_cli import (
    A_WEEK,
    BACKUP,
    DAY,
    DONE,
    FAILED,
    NO_AWS,
    USAGE,
    ArchiveCli,
    lines_of,
    put,
)
from tests.worlds.backups import ARCHIVE, LOGIN_PARAMETER
from tests.worlds.cli import OVERRIDE, CommandResult

pytestmark = pytest.mark.any_aws

ONE_DAY = ("2016-12-05", "2016-12-05")
LINE = {"id": 1}


@pytest.fixture
def relay(relay: ArchiveCli) -> ArchiveCli:
    relay.parameters |= {
        "FirestreamUrl": relay.backups.firestream.url,
        "FirestreamCredentialsParameter": LOGIN_PARAMETER,
    }
    return relay


def check(relay: ArchiveCli, *words: str, period: tuple[str, str] = ONE_DAY) -> CommandResult:
    return relay("backups", "--check", *period, *words)


def tag(relay: ArchiveCli, backup: Backup = BACKUP, **tags: str) -> None:
    """Tag an object; an underscore stands for a hyphen."""
    found = [{"Key": name.replace("_", "-"), "Value": value} for name, value in tags.items()]
    relay.backups.s3.put_object_tagging(Bucket=ARCHIVE, Key=backup.key, Tagging={"TagSet": found})


def put_tagged(relay: ArchiveCli, content: bytes, backup: Backup = BACKUP, **tags: str) -> None:
    put(relay, backup, content)
    tag(relay, backup, **{"sha256": sha256(content).hexdigest(), **tags})


def found(result: CommandResult) -> dict[str, Any]:
    """The only backup that was checked."""
    (backup,) = result.json["backups"]
    return backup


def test_what_is_as_it_was_stored_does_not_differ(relay: ArchiveCli) -> None:
    week = [Backup(day, "message") for day in days(DAY, DAY + timedelta(days=6))]
    relay.store(*week[:3])
    size = sum(len(relay.backups.content(each) or b"") for each in week)
    result = check(relay, period=A_WEEK)
    assert (result.code, result.err) == (DONE, "")
    assert result.out == f"3 backups checked ({size / 1000:.1f} kB, 120 lines): none differs.\n"


def test_a_program_gets_every_backup_with_what_was_read(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    content = relay.backups.content(BACKUP) or b""
    assert check(relay, "--json").json == {
        "backups": [
            {
                "file_type": "message",
                "day": "2016-12-05",
                "bytes": len(content),
                "lines": 40,
                "odd_lines": 0,
                "sha256": sha256(content).hexdigest(),
                "differences": [],
                "notes": {},
            }
        ],
        "bytes": len(content),
        "lines": 40,
        "differ": 0,
        "not_compared": 0,
    }


def test_nothing_is_checked_where_nothing_is_stored(relay: ArchiveCli) -> None:
    result = check(relay)
    assert (result.code, result.out) == (
        DONE,
        "0 backups checked (0 bytes, 0 lines): none of these days is stored.\n",
    )


@pytest.mark.parametrize(
    ("content", "tags", "difference"),
    [
        (lines_of(LINE), {"sha256": "0" * 64, "lines": "1"}, "its bytes do not match the sha256 in its tag"),
        (lines_of(LINE, LINE), {"lines": "3"}, "it has 2 lines, where its tags say 3"),
        (gzip.compress(b'{"id":1}\nodd\n'), {"lines": "1", "odd_lines": "2"}, "it has 2 lines, where its tags say 3"),
        (lines_of(LINE)[:-9], {"lines": "1"}, "it is damaged: the gzip data ends early"),
        (gzip.compress(b"a page\n"), {"lines": "0", "odd_lines": "1"}, "none of its lines is a JSON object"),
    ],
    ids=["bytes", "lines", "odd-lines", "damaged", "no-object"],
)
def test_what_differs_is_said_with_the_way_to_fetch_it_anew(
    relay: ArchiveCli, content: bytes, tags: dict[str, str], difference: str
) -> None:
    put_tagged(relay, content, **tags)
    result = check(relay)
    assert result.code == FAILED
    assert result.out.startswith(f"message 2016-12-05: {difference}")
    assert result.lines[-1].endswith("): 1 differs.")
    assert "relay backfill 2016-12-05 2016-12-05 --type message --again" in result.err


def test_a_damaged_backup_is_read_to_its_end_to_tell_whether_its_bytes_are_those_that_were_stored(
    relay: ArchiveCli,
) -> None:
    put_tagged(relay, lines_of(LINE) + b"more" * 500_000)
    (difference,) = found(check(relay, "--json"))["differences"]
    assert difference.startswith("it is damaged: the gzip data is damaged")


def test_every_line_is_parsed_so_that_odd_ones_are_found_that_look_like_objects(relay: ArchiveCli) -> None:
    content = gzip.compress(b'{"id":1}\n{"id":"\xff"}\n{"id":1,}\n{"id":NaN}\n\n')
    put_tagged(relay, content, lines="4")
    result = check(relay, "--json")
    backup = found(result)
    assert (result.code, backup["differences"], backup["lines"], backup["odd_lines"]) == (DONE, [], 2, 2)
    assert backup["notes"]["odd"].startswith("2 lines of 4 odd: the first is line 2, it is not UTF-8")


def test_a_backup_without_tags_is_told_of_and_does_not_count_as_different(relay: ArchiveCli) -> None:
    put(relay, BACKUP, lines_of(LINE))
    result = check(relay)
    assert (result.code, result.lines[0]) == (
        DONE,
        "message 2016-12-05: nothing to compare with: it has no tag sha256 or lines",
    )


def test_a_day_with_far_fewer_lines_than_the_days_around_it_is_told_of(relay: ArchiveCli) -> None:
    for day in days(DAY - timedelta(days=2), DAY + timedelta(days=1)):
        content = lines_of(*[LINE] * (1 if day == DAY else 40))
        put_tagged(relay, content, Backup(day, "message"), lines="1" if day == DAY else "40")
    few = "1 line, where the days around it have about 40"
    alone = check(relay, "--json")
    among = check(relay, "--json", period=("2016-12-03", "2016-12-06")).json["backups"]
    assert (alone.code, found(alone)["notes"]) == (DONE, {"few-lines": few})
    assert [each["notes"].get("few-lines") for each in among] == [None, None, few, None]


def test_of_many_notes_of_a_kind_some_are_shown_and_the_rest_counted(relay: ArchiveCli) -> None:
    for day in days(DAY, DAY + timedelta(days=6)):
        put(relay, Backup(day, "message"), lines_of(LINE))
    result = check(relay, period=A_WEEK)
    assert sum("nothing to compare with" in line for line in result.lines) == 5
    assert "and 2 more (no-tags), which --json lists." in result.lines


def test_a_backup_that_is_replaced_while_it_is_checked_is_checked_again(relay: ArchiveCli) -> None:
    put_tagged(relay, lines_of(LINE), lines="1")

    def replace(request: Any) -> None:
        put_tagged(relay, lines_of(LINE, LINE), lines="2")

    relay.backups.strict.before("GetObject", replace)
    assert found(check(relay, "--json"))["differences"] == []


def test_a_backup_that_is_deleted_before_it_is_read_is_left_out(relay: ArchiveCli) -> None:
    put_tagged(relay, lines_of(LINE), lines="1")
    relay.backups.strict.before(
        "GetObject", lambda _: relay.backups.s3.delete_object(Bucket=ARCHIVE, Key=BACKUP.key) and None
    )
    assert check(relay, "--json").json["backups"] == []


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_terminal_shows_the_progress_on_standard_error_alone(relay: ArchiveCli, words: list[str]) -> None:
    relay.store(BACKUP)
    plain = check(relay, *words)
    relay.patch.setenv("FORCE_COLOR", "1")
    relay.patch.setenv("NO_COLOR", "1")
    result = check(relay, *words)
    assert "1 of 1 days" in result.err
    assert (plain.err, result.out) == ("", plain.out)


def test_large_backups_are_checked_in_little_memory(relay: ArchiveCli) -> None:
    content = gzip.compress(b'{"id":1,"body":"%s"}\n' % (b"x" * 100) * 400_000, 1)  # 50 MB of text
    put_tagged(relay, content, lines="400000")
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    assert check(relay).code == DONE
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most - before < 10_000_000


# --- With Firestream


def test_what_firestream_still_has_costs_no_download(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    before = relay.backups.firestream.counted(kind="body")
    result = check(relay, "--with-firestream")
    assert (result.code, relay.backups.firestream.counted(kind="body")) == (DONE, before)
    assert result.out.endswith("lines): none differs.\n")
    relay.backups.assert_no_secret_was_written(relay.everything)


def test_what_firestream_has_replaced_differs(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    relay.backups.firestream.fail("reissued", times=None, file_type="message", day=DAY, asked=2)
    result = check(relay, "--with-firestream")
    assert result.code == FAILED
    assert result.out.startswith("message 2016-12-05: Firestream's file is another one now: its ETag is ")
    assert check(relay).code == DONE
    relay.backups.assert_no_secret_was_written(relay.everything)


def test_what_firestream_has_no_more_is_kept_and_told_of(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    relay.backups.firestream.configure(missing=[DAY])
    result = check(relay, "--with-firestream")
    assert (result.code, result.lines[0]) == (DONE, "message 2016-12-05: Firestream does not have it now")


def test_a_backup_whose_tags_do_not_say_which_file_it_is_cannot_be_compared(relay: ArchiveCli) -> None:
    put_tagged(relay, lines_of(LINE), lines="1")
    result = check(relay, "--with-firestream", "--json")
    assert (result.code, found(result)["notes"]) == (
        FAILED,
        {"not-compared": "its tags do not say which file of Firestream's it is"},
    )
    assert relay.backups.link_requests() == []


def test_a_refused_login_is_tried_for_one_day_and_all_backups_are_checked(relay: ArchiveCli) -> None:
    relay.store(*(Backup(day, "message") for day in days(DAY, DAY + timedelta(days=2))))
    relay.backups.store_login("another")
    before = len(relay.backups.link_requests())
    result = check(relay, "--with-firestream", period=A_WEEK)
    assert result.code == FAILED
    assert result.lines[0].startswith("message 2016-12-05: Firestream refused the login of")
    assert result.lines[1].startswith("message 2016-12-06: not asked, because of this: Firestream refused the login")
    assert result.lines[-1].endswith("120 lines): none differs, 3 not compared with Firestream's files.")
    assert len(relay.backups.link_requests()) - before <= 2  # the login is read anew once
    relay.backups.assert_no_secret_was_written(relay.everything)


# --- What is refused


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--check", "2016-12-05", "2016-12-04"], "relay: 2016-12-05 is after the last day"),
        (["--check", *ONE_DAY, "--type", "symbol"], "relay: 'symbol' is none of"),
        (["--check", *ONE_DAY, "--year", "2016"], "--check has its own days"),
        (["--check", *ONE_DAY, "--from", "2016-12-05"], "--check has its own days"),
        (["--check", *ONE_DAY, "--missing"], "--check has its own days"),
        (["--check", "2016-12-05"], "--check"),
        (["--with-firestream"], "--with-firestream needs --check FIRST LAST."),
    ],
)
def test_a_check_that_is_none_is_refused_in_a_line(relay: ArchiveCli, words: list[str], reason: str) -> None:
    result = relay("backups", *words)
    assert (result.code, result.out) == (USAGE, "")
    assert reason in result.err


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        ("GetObjectTagging", "The archive cannot be read: S3 did not read the tags of message/2016/12/05/"),
        ("GetObject", "AWS does not allow you"),
    ],
)
def test_what_s3_denies_ends_the_check(relay: ArchiveCli, operation: str, reason: str) -> None:
    relay.store(BACKUP)
    relay.backups.strict.before(operation, refuse("AccessDenied", 403))
    result = check(relay)
    assert result.code == NO_AWS
    assert reason in result.err


def test_a_file_type_that_steers_a_terminal_is_shown_escaped(relay: ArchiveCli) -> None:
    relay.parameters["BackupFileTypes"] = OVERRIDE
    put(relay, Backup(DAY, OVERRIDE), b"x")
    check(relay)
    assert OVERRIDE not in relay.everything
