"""`relay export`: backups as one table, in a file that other programs read."""

import csv
import errno
import gc
import gzip
import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from relay.backups.backup import Backup
from relay_cli import app, progress
from relay_cli import parquet as relay_parquet
from relay_cli.commands import export
from relay_cli.files import complete_file

from tests.worlds.archive_cli import BACKUP, DONE, FAILED, USAGE, ArchiveCli, lines_of, put

MESSAGE = {
    "id": 70123456,
    "body": 'Up "3%",\n$AAPL 🚀',
    "created_at": "2016-12-05T14:30:00Z",
    "user": {"id": 7, "username": "ann", "followers": 12},
    "symbols": [{"id": 686, "symbol": "AAPL"}, {"id": 2, "symbol": "SPY"}],
    "entities": {"sentiment": {"basic": "Bullish"}},
    "likes": 3,
}
COLUMNS = ["day", "id", "created_at", "body", "user_id", "username", "symbols", "sentiment", "raw"]
RAW = json.dumps(MESSAGE)
READ: dict[str, Callable[[Path], list[dict[str, Any]]]] = {
    "parquet": lambda file: parquet.read_table(file).to_pylist(),
    "csv": lambda file: list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"), newline=""))),
    "jsonl": lambda file: [json.loads(line) for line in file.read_bytes().splitlines()],
}
FORMATS = list(READ)


class NoPosition(io.BytesIO):
    """Like a pipe, it does not know its position."""

    def tell(self) -> int:
        raise OSError(29, "Illegal seek")


def exported(relay: ArchiveCli, form: str, *words: str, period: str = "2016-12-05") -> list[dict[str, Any]]:
    """The rows of what is exported."""
    result = relay("export", *(words or ["message"]), period, "--format", form, "-o", f"table.{form}", "--force")
    assert (result.code, result.err) == (DONE, "")
    return READ[form](relay.folder / f"table.{form}")


def test_a_message_is_a_row_of_parquet(relay: ArchiveCli) -> None:
    put(relay, BACKUP, lines_of(MESSAGE))
    (row,) = exported(relay, "parquet")
    assert list(row) == COLUMNS
    assert row == {
        "day": date(2016, 12, 5),
        "id": 70123456,
        "created_at": datetime(2016, 12, 5, 14, 30, tzinfo=UTC),
        "body": 'Up "3%",\n$AAPL 🚀',
        "user_id": 7,
        "username": "ann",
        "symbols": ["AAPL", "SPY"],
        "sentiment": "Bullish",
        "raw": RAW,
    }


def test_a_message_is_a_row_of_csv(relay: ArchiveCli) -> None:
    put(relay, BACKUP, lines_of(MESSAGE))
    (row,) = exported(relay, "csv")
    assert list(row.values()) == [
        "2016-12-05",
        "70123456",
        "2016-12-05T14:30:00Z",
        'Up "3%",\n$AAPL 🚀',
        "7",
        "ann",
        "AAPL,SPY",
        "Bullish",
        RAW,
    ]
    assert list(row) == COLUMNS


def test_a_message_is_a_line_of_json_with_the_whole_line_in_it(relay: ArchiveCli) -> None:
    put(relay, BACKUP, lines_of(MESSAGE))
    (row,) = exported(relay, "jsonl")
    assert list(row) == COLUMNS
    assert (row["day"], row["symbols"], row["raw"]) == ("2016-12-05", ["AAPL", "SPY"], MESSAGE)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("line", "id_", "body"),
    [
        (b"{}", None, None),
        (b'{"id": "70123456", "body": 3, "user": [], "symbols": null, "entities": "", "created_at": 1}', None, None),
        (b'{"id": 1.5, "body": ["x"], "symbols": "AAPL", "user": "ann"}', None, None),
        (b'{"id": true, "body": null, "symbols": [null, {"symbol": 1}], "created_at": "soon"}', None, None),
        (b'{"id": 9223372036854775808, "body": "x"}', None, "x"),
        (b'{"id": 1, "body": "\\ud83d", "n": NaN}', 1, "?"),
    ],
    ids=["empty", "other-kinds", "lists", "nulls", "large", "half-a-character"],
)
def test_what_a_line_has_in_another_shape_is_null_and_the_line_is_kept(
    relay: ArchiveCli, form: str, line: bytes, id_: int | None, body: str | None
) -> None:
    put(relay, BACKUP, gzip.compress(line + b"\n", mtime=0))
    relay("export", "message", "2016-12-05", "--format", form, "-o", "table", "--force")
    if form == "jsonl":  # which Python reads more of than it can write
        assert line in (relay.folder / "table").read_bytes()
        return
    (row,) = READ[form](relay.folder / "table")
    expected = (id_, body) if form == "parquet" else (str(id_ or ""), body or "")
    assert (row["id"], row["body"], row["raw"]) == (*expected, line.decode())


@pytest.mark.parametrize("form", FORMATS)
def test_activities_of_both_shapes_have_the_same_columns(relay: ArchiveCli, form: str) -> None:
    flat = {"object": "Friendship", "action": "create", "created_at": "2016-12-05T14:30:00Z", "subject_id": 1}
    envelope = {"object": "Block", "action": "create", "time": "2016-12-05T14:31:00Z", "data": {"user_id": 2}}
    put(relay, Backup(BACKUP.day, "activity"), lines_of(flat, envelope))
    rows = exported(relay, form, "activity")
    assert list(rows[0]) == ["day", "object", "action", "created_at", "raw"]
    assert [(row["object"], str(row["created_at"])[14:16]) for row in rows] == [("Friendship", "30"), ("Block", "31")]


@pytest.mark.parametrize("form", FORMATS)
def test_a_month_is_one_file_in_the_order_of_its_days(relay: ArchiveCli, form: str) -> None:
    for day in (31, 1):
        put(relay, Backup(date(2016, 12, day), "message"), lines_of({"id": day}, {"id": day + 100}))
    put(relay, Backup(date(2017, 1, 1), "message"), lines_of({"id": 500}))
    result = relay("export", "message", "2016-12", "--format", form)
    file = relay.folder / f"stocktwits_message_2016_12.{form}"
    assert [int(row["id"]) for row in READ[form](file)] == [1, 101, 31, 131]
    assert result.out.startswith(f"stocktwits_message_2016_12.{form}: 4 rows of 2 days, ")
    assert "29 days of 2016-12 are not stored: `relay backups --type message --from 2016-12-01 --to" in result.err


@pytest.mark.parametrize("form", FORMATS)
def test_a_dash_is_standard_output(relay: ArchiveCli, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(relay, BACKUP, lines_of(MESSAGE, MESSAGE))
    relay("export", "message", "2016-12-05", "--format", form, "-o", "file")
    file = relay.folder / "file"
    output = NoPosition()
    monkeypatch.setattr(export, "binary_output", lambda: output)
    result = relay("export", "message", "2016-12-05", "--format", form, "-o", "-")
    assert (result.code, result.out, result.err, output.getvalue()) == (DONE, "", "", file.read_bytes())
    assert list(relay.folder.iterdir()) == [file]


@pytest.mark.parametrize(
    ("words", "terminal", "why"),
    [
        ([], True, "The texts could control your terminal: use `relay cat`, or write -o - to a file or a pipe."),
        (["--json"], False, "--json and -o - cannot be combined"),
    ],
)
def test_standard_output_takes_a_table_unless_it_is_a_terminal_or_has_other_content(
    relay: ArchiveCli, monkeypatch: pytest.MonkeyPatch, words: list[str], terminal: bool, why: str
) -> None:
    put(relay, BACKUP, lines_of(MESSAGE))
    monkeypatch.setattr(export, "goes_to_a_terminal", lambda: terminal)
    result = relay("export", "message", "2016-12-05", "--format", "csv", "-o", "-", *words)
    assert (result.code, result.out, why in result.err) == (USAGE, "", True)


@pytest.mark.parametrize("form", FORMATS)
def test_a_damaged_backup_on_standard_output_is_told_at_its_end(
    relay: ArchiveCli, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(relay, BACKUP, lines_of(MESSAGE)[:-9])
    monkeypatch.setattr(export, "binary_output", NoPosition)
    result = relay("export", "message", "2016-12-05", "--format", form, "-o", "-")
    assert (result.code, result.err.endswith(". Discard the output.\n")) == (FAILED, True)


def test_what_is_not_stored_is_told_beside_standard_output(relay: ArchiveCli, monkeypatch: pytest.MonkeyPatch) -> None:
    put(relay, BACKUP, lines_of(MESSAGE))
    monkeypatch.setattr(export, "binary_output", NoPosition)
    result = relay("export", "message", "2016-12", "--format", "csv", "-o", "-")
    assert (result.out, "30 days of 2016-12 are not stored" in result.err) == ("", True)


def test_json_has_what_a_script_wants_to_know(relay: ArchiveCli) -> None:
    put(relay, BACKUP, lines_of(MESSAGE, MESSAGE))
    shown = relay("export", "message", "2016-12-05", "--format", "csv", "--json").json
    name = "stocktwits_message_2016_12_05.csv"
    size = (relay.folder / name).stat().st_size
    assert shown == {
        "file": name,
        "format": "csv",
        "rows": 2,
        "bytes": size,
        "days": 1,
        "missing": [],
        "skipped": 0,
    }


@pytest.mark.parametrize(
    ("period", "first", "last"),
    [
        ("2025", "2025-01-01", "2025-12-31"),
        ("2026-11", "2026-11-01", "2026-11-20"),
        ("2024-02", "2024-02-01", "2024-02-29"),
    ],
)
def test_a_period_goes_up_to_its_last_day_that_is_over(relay: ArchiveCli, period: str, first: str, last: str) -> None:
    result = relay("export", "message", period, "--format", "csv")
    assert f"No backup of {period} is stored: `relay backups --type message --from {first} --to {last}`" in result.err


@pytest.mark.parametrize("period", ["2016-13", "2016-02-30", "16-12", "December", "0000", "2016-12-"])
def test_what_is_not_a_period_is_refused(relay: ArchiveCli, period: str) -> None:
    result = relay("export", "message", period, "--format", "csv")
    expected = f"relay: {period} is not a day, a month or a year such as 2016-12-05, 2016-12 or 2016.\n"
    assert (result.code, result.err) == (USAGE, expected)


def test_groups_of_parquet_are_written_as_they_fill(relay: ArchiveCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_parquet, "GROUP_ROWS", 2)
    put(relay, BACKUP, lines_of(*({"id": each} for each in range(5))))
    rows = exported(relay, "parquet")
    groups = parquet.ParquetFile(relay.folder / "table.parquet").metadata
    assert ([row["id"] for row in rows], groups.num_row_groups) == ([0, 1, 2, 3, 4], 3)


def test_a_group_of_parquet_ends_before_it_takes_much_memory(
    relay: ArchiveCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_parquet, "GROUP_BYTES", 1)
    put(relay, BACKUP, lines_of({"id": 1}, {"id": 2}))
    assert len(exported(relay, "parquet")) == 2
    assert parquet.ParquetFile(relay.folder / "table.parquet").metadata.num_row_groups == 2


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lines_of(MESSAGE)[:-9], "message 2016-12-05 is damaged: the gzip data ends early, after "),
        (gzip.compress(b"{}\nno JSON\n", mtime=0), "message 2016-12-05, line 2: "),
    ],
    ids=["cut", "no-json"],
)
def test_what_cannot_be_read_leaves_nothing_behind(relay: ArchiveCli, form: str, content: bytes, reason: str) -> None:
    put(relay, BACKUP, content)
    result = relay("export", "message", "2016-12-05", "--format", form)
    assert (result.code, list(relay.folder.iterdir())) == (FAILED, [])
    assert result.err.startswith(f"relay: {reason}")


def test_bad_lines_are_left_out_and_counted_if_that_is_asked_for(relay: ArchiveCli) -> None:
    put(relay, BACKUP, gzip.compress(b'{"id": 1}\nno JSON\n{"id": 2}\n', mtime=0))
    result = relay("export", "message", "2016-12-05", "--format", "csv", "--errors", "skip", "--json")
    assert (result.json["rows"], result.json["skipped"]) == (2, 1)
    assert "line 2: " in result.err
    assert "Skipped 1 line that cannot be read." in result.err


def test_what_is_there_is_overwritten_only_by_force(relay: ArchiveCli) -> None:
    put(relay, BACKUP, lines_of(MESSAGE))
    (relay.folder / "table").write_bytes(b"mine")
    words = ("export", "message", "2016-12-05", "--format", "jsonl", "-o", "table")
    refused = relay(*words)
    assert (refused.code, (relay.folder / "table").read_bytes()) == (USAGE, b"mine")
    assert relay(*words, "--force").code == DONE


def test_without_pyarrow_the_error_says_how_to_install_it(relay: ArchiveCli, monkeypatch: pytest.MonkeyPatch) -> None:
    put(relay, BACKUP, lines_of(MESSAGE))
    monkeypatch.delitem(sys.modules, "relay_cli.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = relay("export", "message", "2016-12-05", "--format", "parquet")
    assert (result.code, list(relay.folder.iterdir())) == (USAGE, [])
    assert result.err.startswith("relay: Parquet needs pyarrow, which is not installed.")
    assert "pip install '.[export]'" in result.err
    assert relay("export", "message", "2016-12-05", "--format", "csv").code == DONE


def test_a_disk_that_is_full_at_the_end_is_reported_and_nothing_kept(relay: ArchiveCli) -> None:
    put(relay, BACKUP, lines_of(MESSAGE))
    relay.patch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    result = relay("export", "message", "2016-12-05", "--format", "csv", "-o", "table")
    assert (result.code, result.err) == (FAILED, "relay: table cannot be written: No space left.\n")
    assert list(relay.folder.iterdir()) == []


class Ends(io.BytesIO):
    """A file that fails after some bytes: by the place where its disk is full, or its reader has gone."""

    def __init__(self, size: int, error: OSError) -> None:
        super().__init__()
        self._size, self._error = size, error

    def write(self, content: Any) -> int:
        if self.tell() + memoryview(content).nbytes > self._size:
            raise self._error
        return super().write(content)


@pytest.fixture
def many(relay: ArchiveCli, monkeypatch: pytest.MonkeyPatch) -> ArchiveCli:
    """An archive with a backup that makes a table of several groups."""
    put(relay, BACKUP, lines_of(*({"id": number, "body": f"{number:0200x}"} for number in range(100))))
    monkeypatch.setattr(relay_parquet, "GROUP_ROWS", 10)
    return relay


ENDS = pytest.mark.parametrize(
    ("form", "size"),
    [("csv", 100), ("jsonl", 100), ("parquet", 0), ("parquet", 100), ("parquet", 1500)],
    ids=["csv", "jsonl", "parquet-nothing", "parquet-a-little", "parquet-some-rows"],
)
"""A table of a format, and after how many bytes nothing more can be written."""


@ENDS
def test_a_disk_that_fills_up_is_reported_and_nothing_kept(many: ArchiveCli, form: str, size: int) -> None:
    @contextmanager
    def full(target: Path) -> Iterator[Ends]:
        with complete_file(target):
            yield Ends(size, OSError(errno.ENOSPC, "No space left on device"))

    many.patch.setattr(export, "complete_file", full)
    result = many("export", "message", "2016-12-05", "--format", form, "-o", "table")
    gc.collect()  # what was left open would write now
    assert (result.code, result.err) == (FAILED, "relay: table cannot be written: No space left on device.\n")
    assert list(many.folder.iterdir()) == []


@ENDS
def test_who_has_read_enough_is_left_in_peace(many: ArchiveCli, form: str, size: int) -> None:
    output = Ends(size, BrokenPipeError(errno.EPIPE, "Broken pipe"))
    many.patch.setattr(app, "_discard_output", lambda: None)  # of the tests, here
    many.patch.setattr(export, "binary_output", lambda: output)
    result = many("export", "message", "2016-12-05", "--format", form, "-o", "-")
    gc.collect()
    assert (result.code, result.err) == (DONE, "")


def test_a_long_export_shows_a_bar_with_the_day(relay: ArchiveCli) -> None:
    put(relay, BACKUP, lines_of(MESSAGE))
    relay.patch.setattr(progress, "LARGE_BYTES", 1)
    relay.patch.setenv("FORCE_COLOR", "1")
    result = relay("export", "message", "2016-12-05", "--format", "csv")
    assert ("━" in result.err, "2016-12-05" in result.err, "━" in result.out) == (True, True, False)
