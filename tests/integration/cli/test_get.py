"""`relay get`: a backup becomes a file, completely or not at all."""

import gzip
import io
import os
import stat
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from botocore.awsrequest import AWSRequest, AWSResponse
from moto.core.botocore_stubber import MockRawResponse
from relay.backups import stored_object
from relay.backups.backup import Backup
from relay_cli import progress
from relay_cli.commands import get
from urllib3.exceptions import ProtocolError

from tests.strict_s3 import refuse
from tests.worlds.archive_cli import (
    BACKUP,
    DONE,
    FAILED,
    NO_AWS,
    USAGE,
    ArchiveCli,
    lines_of,
    note_absent,
    put,
    values,
)
from tests.worlds.backups import ARCHIVE

pytestmark = pytest.mark.any_aws


def test_a_backup_is_downloaded_byte_for_byte(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    content = relay.backups.content(BACKUP)
    result = relay("get", "message", "2016-12-05")
    name = "stocktwits_message_2016_12_05.gz"
    assert (relay.folder / name).read_bytes() == content
    assert (result.code, result.out) == (DONE, f"{name}: {len(content) / 1000:.1f} kB, 40 lines, complete.\n")


def test_it_goes_into_a_folder_or_under_a_name(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    (relay.folder / "backups").mkdir()
    relay("get", "message", "2016-12-05", "-o", "backups")
    relay("get", "message", "2016-12-05", "-o", "one.gz")
    assert (relay.folder / "backups" / "stocktwits_message_2016_12_05.gz").exists()
    assert (relay.folder / "one.gz").exists()


def test_a_slash_at_the_end_makes_a_folder(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    assert relay("get", "message", "2016-12-05", "-o", "new/backups/").code == DONE
    assert (relay.folder / "new" / "backups" / "stocktwits_message_2016_12_05.gz").exists()


def test_a_dash_is_standard_output(relay: ArchiveCli, monkeypatch: pytest.MonkeyPatch) -> None:
    relay.store(BACKUP)
    output = io.BytesIO()
    monkeypatch.setattr(get, "binary_output", lambda: output)
    result = relay("get", "message", "2016-12-05", "-o", "-")
    assert (result.code, result.out, output.getvalue()) == (DONE, "", relay.backups.content(BACKUP))
    assert list(relay.folder.iterdir()) == []


def test_a_damaged_backup_on_standard_output_is_told_at_its_end(
    relay: ArchiveCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(relay, BACKUP, gzip.compress(b"{}\n")[:-1])
    monkeypatch.setattr(get, "binary_output", io.BytesIO)
    result = relay("get", "message", "2016-12-05", "-o", "-")
    assert (result.code, "Discard the output." in result.err) == (FAILED, True)


@pytest.mark.parametrize(
    ("words", "terminal", "why"),
    [
        (["2016-12-05"], True, "A terminal cannot show a gzip file"),
        (["2016-12-05", "--json"], False, "--json and -o - cannot be combined"),
        (["--from", "2016-12-05", "--to", "2016-12-06"], False, "-o - gets one day"),
    ],
)
def test_standard_output_takes_one_backup_and_nothing_else(
    relay: ArchiveCli, monkeypatch: pytest.MonkeyPatch, words: list[str], terminal: bool, why: str
) -> None:
    relay.store(BACKUP)
    monkeypatch.setattr(get, "goes_to_a_terminal", lambda: terminal)
    result = relay("get", "message", *words, "-o", "-")
    assert (result.code, why in result.err) == (USAGE, True)


def test_json_has_what_a_script_wants_to_know(relay: ArchiveCli) -> None:
    from hashlib import sha256

    relay.store(BACKUP)
    content = relay.backups.content(BACKUP)
    assert relay("get", "message", "2016-12-05", "-o", "one.gz", "--json").json == {
        "file": "one.gz",
        "bytes": len(content),
        "lines": 40,
        "sha256": sha256(content).hexdigest(),
        "reason": "",
    }


def test_what_is_there_is_overwritten_only_by_force(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    (relay.folder / "one.gz").write_bytes(b"mine")
    refused = relay("get", "message", "2016-12-05", "-o", "one.gz")
    kept = (relay.folder / "one.gz").read_bytes()
    forced = relay("get", "message", "2016-12-05", "-o", "one.gz", "--force")
    assert (refused.code, kept, forced.code) == (USAGE, b"mine", DONE)
    assert "one.gz already exists" in refused.err
    assert (relay.folder / "one.gz").read_bytes() == relay.backups.content(BACKUP)


def test_a_folder_that_is_not_there_is_reported(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    result = relay("get", "message", "2016-12-05", "-o", "nowhere/one.gz")
    assert (result.code, result.err) == (USAGE, "relay: There is no folder nowhere: create it first.\n")


def tagged(relay: ArchiveCli, **tags: str) -> None:
    relay.backups.s3.put_object_tagging(
        Bucket=ARCHIVE,
        Key=BACKUP.key,
        Tagging={"TagSet": [{"Key": name, "Value": value} for name, value in tags.items()]},
    )


@pytest.mark.parametrize(
    ("content", "tags", "reason"),
    [
        (lines_of({"id": 1})[:-9], {}, "the gzip data ends early"),
        (gzip.compress(b"no JSON\n", mtime=0), {}, "the file holds other text: its only line is not a JSON object"),
        (lines_of({"id": 1}), {"sha256": "0" * 64}, "its bytes do not match the sha256 in its tag"),
    ],
    ids=["cut", "no-json", "another-sum"],
)
def test_what_is_not_whole_is_not_kept(relay: ArchiveCli, content: bytes, tags: dict[str, object], reason: str) -> None:
    put(relay, BACKUP, content)
    tagged(relay, lines="1", **tags)
    result = relay("get", "message", "2016-12-05")
    assert (result.code, list(relay.folder.iterdir())) == (FAILED, [])
    assert result.err.startswith(f"relay: message 2016-12-05 is damaged: {reason}")


def broken(relay: ArchiveCli, after: int) -> Callable[[AWSRequest], AWSResponse]:
    """An answer of S3 whose connection breaks after so many bytes."""
    content = relay.backups.content(BACKUP)
    etag = relay.backups.s3.head_object(Bucket=ARCHIVE, Key=BACKUP.key)["ETag"]

    class Breaking(MockRawResponse):
        def readinto(self, buffer: bytearray) -> int:
            if self.tell() >= after:
                raise ProtocolError("the connection broke")
            return super().readinto(memoryview(buffer)[: after - self.tell()])

    headers = {"Content-Length": str(len(content)), "ETag": etag}
    return lambda request: AWSResponse(request.url, 200, headers, Breaking(content))


@pytest.mark.parametrize("command", ["get", "cat"])
def test_a_transfer_that_breaks_is_taken_up_where_it_broke(relay: ArchiveCli, command: str) -> None:
    relay.store(BACKUP)
    ranges = []
    relay.backups.strict.after("GetObject", broken(relay, 100))
    relay.backups.strict.before("GetObject", lambda request: None)
    relay.backups.strict.before("GetObject", lambda request: ranges.append(dict(request.headers)))
    result = relay(command, "message", "2016-12-05")
    assert (result.code, result.err) == (DONE, "")
    ((asked),) = ranges
    assert asked["Range"] in {"bytes=100-", b"bytes=100-"}
    if command == "get":
        (file,) = relay.folder.iterdir()
        assert file.read_bytes() == relay.backups.content(BACKUP)
    else:
        assert values(result.out) == values(gzip.decompress(relay.backups.content(BACKUP)))


def test_a_transfer_that_never_gets_on_is_given_up_and_nothing_kept(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    relay.backups.strict.after("GetObject", broken(relay, 0), times=1 + stored_object.MAX_RESUMES)
    result = relay("get", "message", "2016-12-05")
    assert (result.code, result.err.count("\n"), list(relay.folder.iterdir())) == (NO_AWS, 1, [])


def test_a_large_download_shows_a_bar_beside_the_answer(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    relay.patch.setattr(progress, "LARGE_BYTES", 1)
    relay.patch.setenv("FORCE_COLOR", "1")
    result = relay("get", "message", "2016-12-05")
    assert "━" in result.err
    assert "━" not in result.out


def test_an_error_in_writing_is_reported(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    relay.patch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    result = relay("get", "message", "2016-12-05", "-o", "one.gz")
    assert (result.code, result.err) == (FAILED, "relay: one.gz cannot be written: No space left.\n")
    assert list(relay.folder.iterdir()) == []


def test_a_backup_whose_tags_may_not_be_read_is_fetched(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    relay.backups.strict.before("GetObjectTagging", refuse("AccessDenied", 403))
    assert relay("get", "message", "2016-12-05").code == DONE


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _: None, "it is missing. To fetch it: relay backfill 2016-12-05 2016-12-05 --type message"),
        (
            lambda relay: note_absent(relay, BACKUP),
            "Firestream does not have it (absent). To ask again:",
        ),
        (lambda relay: relay.add_failure(BACKUP, "the gzip data is damaged"), "it failed: the gzip data is damaged."),
    ],
    ids=["missing", "absent", "failed"],
)
@pytest.mark.parametrize("command", ["get", "cat"])
def test_a_day_that_is_not_stored_is_explained(
    relay: ArchiveCli, command: str, make: Callable[[ArchiveCli], None], reason: str
) -> None:
    make(relay)
    result = relay(command, "message", "2016-12-05")
    assert (result.code, result.out, list(relay.folder.iterdir())) == (FAILED, "", [])
    assert result.err.startswith(f"relay: message 2016-12-05 is not stored: {reason}")
    assert result.err.count("\n") <= 2


def test_a_day_that_firestream_may_not_have_yet_is_explained(relay: ArchiveCli) -> None:
    result = relay("get", "message", "2026-11-19")
    assert (result.code, "it is not available yet" in result.err) == (FAILED, True)


@pytest.mark.parametrize("command", ["get", "cat"])
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["message", "5.12.2016"], "relay: '5.12.2016' is not a day; give one such as 2016-12-05."),
        (["symbol", "2016-12-05"], "relay: 'symbol' is none of activity, message."),
        (["message", "2026-11-21"], "relay: 2026-11-21 is not over yet"),
    ],
)
def test_a_backup_that_cannot_be_is_refused_in_a_line(
    relay: ArchiveCli, command: str, words: list[str], reason: str
) -> None:
    result = relay(command, *words)
    assert (result.code, result.out, result.err.count("\n")) == (USAGE, "", 1)
    assert reason in result.err


@pytest.mark.parametrize(("umask", "rights"), [(0o000, 0o666), (0o022, 0o644), (0o777, 0o000)])
def test_a_download_is_for_its_owner_alone_until_it_is_whole(
    relay: ArchiveCli, monkeypatch: pytest.MonkeyPatch, umask: int, rights: int
) -> None:
    def copied(self: get._CopyingReader) -> None:
        (part,) = relay.folder.iterdir()
        meanwhile.append(stat.S_IMODE(part.stat().st_mode))
        check(self)

    meanwhile, check = [], get._CopyingReader.check
    monkeypatch.setattr(get._CopyingReader, "check", copied)
    relay.store(BACKUP)
    before = os.umask(umask)
    try:
        assert relay("get", "message", "2016-12-05").code == DONE
    finally:
        os.umask(before)
    (file,) = relay.folder.iterdir()
    assert (meanwhile, stat.S_IMODE(file.stat().st_mode)) == ([0o600], rights)


def test_a_download_to_where_files_have_no_rights_is_kept(relay: ArchiveCli, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refused)
    monkeypatch.setattr(Path, "chmod", refused)
    relay.store(BACKUP)
    assert relay("get", "message", "2016-12-05").code == DONE


@pytest.mark.parametrize("command", ["get", "cat"])
def test_a_line_break_in_a_reason_forges_no_line(relay: ArchiveCli, command: str) -> None:
    relay.add_failure(BACKUP, "it failed.\nrelay: forged")
    result = relay(command, "message", "2016-12-05")
    assert result.err.startswith(
        "relay: message 2016-12-05 is not stored: it failed: it failed. relay: forged.\nTo try"
    )


# Several days

NEXT = Backup(date(2016, 12, 6), "message")
DAYS = ["--from", "2016-12-05", "--to", "2016-12-07"]


def test_several_days_go_into_a_folder_that_is_made(relay: ArchiveCli) -> None:
    relay.store(BACKUP, NEXT)
    result = relay("get", "message", *DAYS, "-o", "out")
    for each in (BACKUP, NEXT):
        assert (relay.folder / "out" / Path(each.key).name).read_bytes() == relay.backups.content(each)
    assert result.code == DONE
    assert result.lines[1].startswith("out/stocktwits_message_2016_12_06.gz: ")
    assert result.lines[1].endswith(" lines, complete.")
    assert "Not stored: 2016-12-07; `relay backups --type message --from 2016-12-05 --to 2016-12-07`" in result.err


def test_many_days_that_are_not_stored_are_counted(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    result = relay("get", "message", "--from", "2016-12-05", "--to", "2016-12-20")
    assert "2016-12-15 and 5 more; " in result.err


def test_what_is_already_there_is_not_downloaded_again_unless_forced(relay: ArchiveCli) -> None:
    relay.store(BACKUP, NEXT)
    mine = relay.folder / Path(BACKUP.key).name
    mine.write_bytes(b"mine")
    result = relay("get", "message", *DAYS, "--json")
    assert ([each["file"] for each in result.json], mine.read_bytes()) == (
        ["stocktwits_message_2016_12_06.gz"],
        b"mine",
    )
    assert "1 file was already there." in result.err
    assert len(relay("get", "message", *DAYS, "--json", "--force").json) == 2
    assert mine.read_bytes() == relay.backups.content(BACKUP)


def test_a_damaged_day_does_not_keep_the_others_from_being_downloaded(relay: ArchiveCli) -> None:
    relay.store(NEXT)
    put(relay, BACKUP, lines_of({"id": 1})[:-9])
    result = relay("get", "message", *DAYS)
    assert [each.name for each in relay.folder.iterdir()] == ["stocktwits_message_2016_12_06.gz"]
    assert (result.code, "message 2016-12-05 is damaged" in result.err) == (FAILED, True)
    assert result.err.endswith("relay: 1 backup of 2 could not be downloaded.\n")


def test_when_no_day_is_stored_nothing_is_made(relay: ArchiveCli) -> None:
    result = relay("get", "message", *DAYS, "-o", "out")
    assert (result.code, list(relay.folder.iterdir())) == (FAILED, [])
    assert "None of these days is stored" in result.err


def test_a_file_is_no_folder_for_several_days(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    (relay.folder / "out").write_bytes(b"mine")
    result = relay("get", "message", *DAYS, "-o", "out")
    assert (result.code, result.err) == (USAGE, "relay: The folder out cannot be used: File exists.\n")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "Give a day, or the first and the last one with --from and --to."),
        (["--from", "2016-12-05"], "Give a day, or the first and the last one"),
        (["2016-12-05", "--to", "2016-12-06"], "Give either 2016-12-05, or --from and --to."),
        ([*DAYS, "--damaged"], "--damaged gets one day"),
        (["--from", "2016-12-06", "--to", "2016-12-05"], "2016-12-06 is after the last day, 2016-12-05"),
    ],
)
def test_days_that_do_not_go_together_are_refused(relay: ArchiveCli, words: list[str], reason: str) -> None:
    result = relay("get", "message", *words)
    assert (result.code, reason in result.err) == (USAGE, True)
