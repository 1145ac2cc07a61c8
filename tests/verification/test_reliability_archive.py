"""The checker of backups finds each way in which the archive can be wrong; and it reads files as Python itself does."""

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from relay.backups.backup import Backup

from verification.reliability import backup_nights, backups_under_fire
from verification.reliability.archive_checker import ArchiveChecker, Content, Cost, Stored, digest, read

DAY = Backup(date(2026, 11, 20), "message")
OLD, NEW = Content("1", 10), Content("2", 20)
TAGS = {"sha256": "2", "lines": "20", "source-etag": "x"}
RIGHT = Stored(["1", "2"], since=100.0, tags=TAGS, remarks={"replaced"})
WHOLE = ArchiveChecker({"a.gz": [OLD, NEW]}, {"a.gz": RIGHT})

ODD = Content("3", 9, odd=2, first_odd=4)
ODD_TAGS = {"sha256": "3", "lines": "9", "odd-lines": "2", "first-odd-line": "4"}
ODD_WHOLE = ArchiveChecker({"o.gz": [ODD]}, {"o.gz": Stored(["3"], tags=ODD_TAGS, remarks={"odd"})})

FEW = Content("4", 0, few=True)
FEW_WHOLE = ArchiveChecker(
    {"f.gz": [FEW]}, {"f.gz": Stored(["4"], tags={"sha256": "4", "lines": "0"}, remarks={"few-lines"})}
)


def with_object(checker: ArchiveChecker, **changes: Any) -> ArchiveChecker:
    ((key, each),) = checker.stored.items()
    return replace(checker, stored={key: replace(each, **changes)})


@pytest.mark.parametrize("checker", [WHOLE, ODD_WHOLE, FEW_WHOLE], ids=["replaced", "odd", "few lines"])
def test_an_archive_that_has_what_firestream_offered_has_no_violation(checker: ArchiveChecker) -> None:
    assert checker.violations() == []
    assert len(checker.current()) == 1


@pytest.mark.parametrize(
    ("versions", "violation"),
    [
        (["1", "0"], "different from Firestream's newest file: a.gz"),
        (["1"], "different from Firestream's newest file: a.gz"),
        (["2", "1"], "different from Firestream's newest file: a.gz"),
        (["1", "2", "deleted"], "different from Firestream's newest file: a.gz"),
        (["2"], "not every version is kept, once and in its order: a.gz"),
        (["0", "2"], "not every version is kept, once and in its order: a.gz"),
        (["1", "3", "2"], "not every version is kept, once and in its order: a.gz"),
    ],
    ids=["wrong byte", "never replaced", "turned back", "deleted", "old one gone", "old one wrong", "never offered"],
)
def test_a_version_that_is_wrong_or_missing_is_found(versions: Sequence[str], violation: str) -> None:
    assert violation in with_object(WHOLE, versions=versions).violations()


def test_the_same_bytes_may_be_stored_again_by_a_worker_that_knew_nothing_of_them() -> None:
    assert with_object(WHOLE, versions=["1", "1", "2", "2"]).violations() == []


def test_a_file_that_firestream_offered_and_the_archive_lacks_is_found() -> None:
    assert replace(WHOLE, stored={}).violations() == ["not in the archive: a.gz"]


def test_a_file_without_a_whole_version_need_not_be_there_and_must_not() -> None:
    never = replace(WHOLE, offered={"a.gz": []})
    assert replace(never, stored={}).violations() == []
    assert "not every version is kept, once and in its order: a.gz" in never.violations()


@pytest.mark.parametrize(
    ("checker", "changes", "violation"),
    [
        (WHOLE, {"tags": {**TAGS, "sha256": "1"}}, "the tag sha256 is 1, not 2: a.gz"),
        (WHOLE, {"tags": {**TAGS, "lines": "10"}}, "the tag lines is 10, not 20: a.gz"),
        (WHOLE, {"tags": {"sha256": "2"}}, "no tag lines: a.gz"),
        (WHOLE, {"tags": {**TAGS, "odd-lines": "1"}}, "the tag odd-lines is there for nothing: a.gz"),
        (WHOLE, {"remarks": set()}, "no remark that it is replaced: a.gz"),
        (WHOLE, {"remarks": {"replaced", "odd"}}, "a remark for nothing, odd: a.gz"),
        (ODD_WHOLE, {"remarks": set()}, "no remark that it is odd: o.gz"),
        (ODD_WHOLE, {"remarks": {"odd", "replaced"}}, "a remark for nothing, replaced: o.gz"),
        (ODD_WHOLE, {"tags": {**ODD_TAGS, "first-odd-line": "5"}}, "the tag first-odd-line is 5, not 4: o.gz"),
        (ODD_WHOLE, {"tags": {"sha256": "3", "lines": "9", "odd-lines": "2"}}, "no tag first-odd-line: o.gz"),
        (FEW_WHOLE, {"remarks": set()}, "no remark that it is few-lines: f.gz"),
    ],
)
def test_a_tag_or_a_remark_that_is_wrong_or_missing_is_found(
    checker: ArchiveChecker, changes: Mapping[str, Any], violation: str
) -> None:
    assert with_object(checker, **changes).violations() == [violation]


@pytest.mark.parametrize(("kill", "explained"), [(98.9, 0), (99.0, 2), (105.0, 2), (105.1, 0)])
def test_only_a_kill_just_after_an_object_was_made_explains_missing_tags_and_remarks(
    kill: float, explained: int
) -> None:
    found = replace(with_object(WHOLE, tags={"lines": "20"}, remarks=set()), kills=[kill])
    assert len(found.untold_after_kills()) == explained
    assert len(found.violations()) == 2 - explained


def test_no_kill_explains_a_wrong_tag() -> None:
    found = replace(with_object(WHOLE, tags={**TAGS, "lines": "10"}), kills=[100.0])
    assert found.violations() == ["the tag lines is 10, not 20: a.gz"]


SPOILED = replace(WHOLE, spoiled={"a.gz": "9"}, damaged={"a.gz": "9"}, failures={"a.gz": ["damaged; given up"]})


def test_a_file_that_was_damaged_for_long_is_given_up_with_a_reason_and_kept_as_it_was() -> None:
    assert SPOILED.violations() == []
    no_bytes = replace(SPOILED, spoiled={"a.gz": ""}, damaged={})
    assert no_bytes.violations() == []


@pytest.mark.parametrize(
    ("change", "violation"),
    [
        ({"failures": {}}, "damaged for long, but not in BackupFailures: a.gz"),
        ({"failures": {"a.gz": [""]}}, "in BackupFailures, without need or reason: a.gz ()"),
        ({"damaged": {}}, "what Firestream sent was damaged, and is not kept as it was: a.gz"),
        ({"damaged": {"a.gz": "8"}}, "what Firestream sent was damaged, and is not kept as it was: a.gz"),
        ({"damaged": {"a.gz": "9", "b.gz": "7"}}, "kept as damaged without need: b.gz"),
        (
            {"failures": {**SPOILED.failures, "b.gz": ["500"]}},
            "in BackupFailures, without need or reason: b.gz (500)",
        ),
    ],
)
def test_a_request_that_is_given_up_wrongly_is_found(change: Mapping[str, Any], violation: str) -> None:
    assert replace(SPOILED, **change).violations() == [violation]


@pytest.mark.parametrize(
    ("absent", "notes", "violations"),
    [
        ({"b.gz"}, {"b.gz"}, []),
        ({"b.gz"}, set(), ["no note that it is absent: b.gz"]),
        (set(), {"b.gz"}, ["noted as absent, though it is there: b.gz"]),
    ],
)
def test_a_note_of_absence_is_there_for_an_absent_file_and_for_no_other(
    absent: set[str], notes: set[str], violations: list[str]
) -> None:
    assert replace(WHOLE, absent=absent, notes=notes).violations() == violations


@pytest.mark.parametrize(
    ("night", "violations"),
    [
        ({"a.gz": Cost(1, 0)}, []),
        ({"a.gz": Cost(2, 0)}, []),
        ({"a.gz": Cost(3, 0)}, ["quiet night 2: 3 small requests and 0 with a body for a.gz"]),
        ({"a.gz": Cost(2, 1)}, ["quiet night 2: 2 small requests and 1 with a body for a.gz"]),
        ({"a.gz": Cost(0, 0)}, ["quiet night 2: Firestream was not asked for a.gz"]),
        ({}, ["quiet night 2: Firestream was not asked for a.gz"]),
    ],
)
def test_a_night_without_changes_costs_a_request_or_two_for_each_file(
    night: Mapping[str, Cost], violations: list[str]
) -> None:
    assert replace(WHOLE, quiet=[{"a.gz": Cost(2, 0)}, night]).violations() == violations


@pytest.mark.parametrize(
    ("change", "violation"),
    [
        ({"stored": {"a.gz": RIGHT, "c.gz": Stored(["3"])}}, "in the archive, but never requested: c.gz"),
        ({"unnamed": 1}, "1 requests of the quiet nights name no file"),
        ({"early": 2}, "2 requests came before the time that Retry-After gave"),
        ({"errors": 3}, "3 invocations ended with an error, though their workers were not killed"),
        ({"waiting": {"BackupRequestsQueue": 1}}, "1 messages are left in BackupRequestsQueue"),
        ({"uploads": [("a.gz", 50.0)]}, "an unfinished upload of a worker that was not killed: a.gz"),
    ],
    ids=["strange", "uncounted", "early", "errors", "waiting", "dangling"],
)
def test_whatever_else_is_not_as_it_should_be_is_found(change: Mapping[str, Any], violation: str) -> None:
    assert violation in replace(WHOLE, **change).violations()


@pytest.mark.parametrize(
    ("uploads", "kills", "dangling"),
    [
        ([("a", 50.0)], [60.0], []),
        ([("a", 60.9)], [60.0], []),  # the emulator's seconds have no fractions
        ([("a", 61.1)], [60.0], ["a"]),
        ([("a", 50.0), ("b", 55.0)], [60.0], ["a"]),
        ([("a", 50.0), ("b", 55.0)], [52.0, 60.0], []),
        ([("a", 50.0), ("b", 55.0)], [51.0, 53.0], ["b"]),
        ([("b", 55.0), ("a", 50.0)], [60.0, 70.0], []),
    ],
)
def test_each_kill_explains_one_upload_that_began_before_it(
    uploads: Sequence[tuple[str, float]], kills: Sequence[float], dangling: list[str]
) -> None:
    assert replace(WHOLE, uploads=uploads, kills=kills).dangling() == dangling


@pytest.mark.parametrize(
    ("text", "lines", "odd", "first_odd"),
    [
        (b'{"id":1}\n{"id":2}', 2, 0, None),
        (b'\xef\xbb\xbf{"id":1}\r\n\r\n \t\n', 1, 0, None),
        (b'\n{"id":1}\n[1]\nnull\n{"id":2\n', 1, 3, 3),
        (b'{"id":NaN}\n', 1, 0, None),
        (b"\n\n", 0, 0, None),
        (b"", 0, 0, None),
    ],
)
def test_a_file_is_read_as_the_standard_library_reads_it(
    text: bytes, lines: int, odd: int, first_odd: int | None
) -> None:
    content = gzip.compress(text)
    assert read(content, 5) == Content(digest(content), lines, odd, first_odd, few=lines == 0)


@pytest.mark.parametrize(
    "content",
    [b"", gzip.compress(b'{"id":1}')[:-1], gzip.compress(b'{"id":1}') + b"x", gzip.compress(b"<html>\n"), b"<html>"],
    ids=["no bytes", "cut", "more", "page within gzip", "page"],
)
def test_what_is_no_whole_file_is_not_read(content: bytes) -> None:
    assert read(content, 5) is None


@pytest.mark.parametrize(("lines", "few"), [(9, True), (10, False)])
def test_a_file_with_less_than_a_tenth_of_the_usual_lines_has_few(lines: int, few: bool) -> None:
    content = read(gzip.compress(b"{}\n" * lines), 100)
    assert content
    assert content.few is few


def test_the_page_of_a_backfill_shows_what_is_missing_different_and_unfinished() -> None:
    found = ArchiveChecker(
        {"a.gz": [OLD], "b.gz": [OLD]}, {"a.gz": Stored(["0"])}, uploads=[("a.gz", 50.0)], failures={"b.gz": ["500"]}
    )
    text = backups_under_fire._page_text(backups_under_fire.Run(backups_under_fire.FULL, checker=found))
    for row in (
        "**missing** | 1",
        "**in the archive, but different** | 1",
        "**unfinished uploads of other workers** | 1",
        "**requests that ended in BackupFailures** | 1",
    ):
        assert f"| {row} |" in text


def test_the_page_of_nights_shows_lost_versions_wrong_tags_and_what_a_night_cost() -> None:
    found = replace(with_object(WHOLE, versions=["2"], tags={}), quiet=[{"a.gz": Cost(3, 1)}], early=4)
    text = backup_nights.page_text(backup_nights.Run(backup_nights.FULL, {DAY: "withdrawn"}, checker=found))
    for row in (
        "**files without all their versions** | 1",
        "**tags or remarks that are wrong or missing** | 2",
        "most requests for a file in a night without changes | 4",
        "**of these, with a body** | 1",
        "**requests before the time that Firestream gave** | 4",
    ):
        assert f"| {row} |" in text
