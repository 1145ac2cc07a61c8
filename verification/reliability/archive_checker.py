"""Check the archive against everything that Firestream offered. Pure."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from relay.backups.backup import Remark

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

CLOCK_SECONDS = 1.0
"""The precision of the emulator's times of uploads, which have no fractions of seconds."""

FINISH_SECONDS = 5.0
"""Tags and remarks are written within this time after an object."""

MOST_SMALL = 2
"""How many requests without a body an unchanged file may cost a night: for the link, and for the file's state."""

FEW_LINES_SHARE = 0.1
"""A day has few lines if it has less than this share of a usual day's."""

_WHITE_SPACE = b" \t\r"


@dataclass(frozen=True)
class Content:
    """A whole file that Firestream offered.

    Attributes:
        sha256: Its checksum.
        lines: How many objects it has, one a line.
        odd: How many of its lines are neither empty nor an object.
        first_odd: The number of the first of these, from 1; None if there is none.
        few: Whether it has no lines, or far fewer than usual.
    """

    sha256: str
    lines: int
    odd: int = 0
    first_odd: int | None = None
    few: bool = False

    @property
    def tags(self) -> dict[str, str]:
        """The tags that say the same in the archive."""
        tags = {"sha256": self.sha256, "lines": str(self.lines)}
        return tags | ({"odd-lines": str(self.odd), "first-odd-line": str(self.first_odd)} if self.odd else {})


@dataclass(frozen=True)
class Stored:
    """An object in the archive.

    Attributes:
        versions: The checksum of each version, oldest first; the last one is current.
        since: When the current bytes were first stored.
        tags: The tags of the current version.
        remarks: The remarks about the current version.
    """

    versions: Sequence[str]
    since: float = 0.0
    tags: Mapping[str, str] = field(default_factory=dict)
    remarks: AbstractSet[str] = frozenset()

    @property
    def distinct(self) -> list[str]:
        """The versions without repetitions: a killed worker may have stored the same bytes before."""
        return [digest for digest, _ in groupby(self.versions)]


@dataclass(frozen=True)
class Cost:
    """How many requests of a night were answered for a file: without a body of it, and with one."""

    small: int
    body: int


@dataclass(frozen=True)
class ArchiveChecker:
    """Checks the archive after a run of backups. Files are named by their keys in the archive.

    Attributes:
        offered: The whole files that Firestream offered under each key, oldest first; none if it never had a whole one.
        stored: The objects in the archive.
        uploads: The key and the start of each upload that is neither completed nor aborted.
        kills: When workers were killed.
        waiting: How many messages are left in each queue.
        failures: The reasons in BackupFailures.
        spoiled: The checksums of damaged files that Firestream offered for long enough to be given up; empty for a file
            of no bytes.
        damaged: The checksums of what is kept as damaged.
        absent: Of which files there must be a note of absence.
        notes: Of which files there is one.
        quiet: What each night cost in which nothing changed.
        unnamed: How many requests of these nights named no file, so that they were not counted for one.
        early: How many requests came although Firestream had asked to wait, and no kill explains them.
        errors: How many invocations ended with an error that no kill explains.
    """

    offered: Mapping[str, Sequence[Content]]
    stored: Mapping[str, Stored]
    uploads: Sequence[tuple[str, float]] = ()
    kills: Sequence[float] = ()
    waiting: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, Sequence[str]] = field(default_factory=dict)
    spoiled: Mapping[str, str] = field(default_factory=dict)
    damaged: Mapping[str, str] = field(default_factory=dict)
    absent: Collection[str] = frozenset()
    notes: Collection[str] = frozenset()
    quiet: Sequence[Mapping[str, Cost]] = ()
    unnamed: int = 0
    early: int = 0
    errors: int = 0

    def current(self) -> list[str]:
        """Return the keys whose current version is the newest whole file that Firestream offered."""
        return [key for key, _, _ in self._right()]

    def older(self) -> int:
        """Return how many older versions there are, of those that Firestream offered."""
        return sum(len(each.distinct) - 1 for key, each in self.stored.items() if key not in self.lost_versions())

    def missing(self) -> list[str]:
        """Return the keys of files that Firestream offered, and of which nothing is current."""
        return sorted(key for key, offered in self.offered.items() if offered and not self._current(key))

    def different(self) -> list[str]:
        """Return the keys whose current version is not the newest whole file that Firestream offered."""
        newest = {key: offered[-1].sha256 for key, offered in self.offered.items() if offered}
        return sorted(key for key in newest if self._current(key) not in {None, newest[key]})

    def lost_versions(self) -> list[str]:
        """Return the keys without all the versions that Firestream offered, in their order."""
        return sorted(
            key
            for key, offered in self.offered.items()
            if (each := self.stored.get(key)) and each.distinct != [content.sha256 for content in offered]
        )

    def dangling(self) -> list[str]:
        """Return the keys of unfinished uploads that no kill explains: each kill explains one that began before it."""
        kills = sorted(self.kills)
        unexplained = []
        for key, began in sorted(self.uploads, key=lambda upload: upload[1], reverse=True):
            if kills and kills[-1] >= began - CLOCK_SECONDS:
                kills.pop()
            else:
                unexplained.append(key)
        return unexplained

    def violations(self) -> list[str]:
        """Describe each violation of a guarantee in one line."""
        return [
            *(f"not in the archive: {key}" for key in self.missing()),
            *(f"in the archive, but never requested: {key}" for key in sorted(self.stored.keys() - self.offered)),
            *(f"different from Firestream's newest file: {key}" for key in self.different()),
            *(f"not every version is kept, once and in its order: {key}" for key in self.lost_versions()),
            *self.untold(),
            *self._given_up(),
            *(f"no note that it is absent: {key}" for key in sorted(set(self.absent) - set(self.notes))),
            *(f"noted as absent, though it is there: {key}" for key in sorted(set(self.notes) - set(self.absent))),
            *self._costly(),
            *(f"an unfinished upload of a worker that was not killed: {key}" for key in self.dangling()),
            *(f"{count} messages are left in {queue}" for queue, count in self.waiting.items() if count),
        ]

    def untold_after_kills(self) -> list[str]:
        """Describe each tag and remark that is missing because its worker was killed just then."""
        return [what for what, explained in self._shortcomings() if explained]

    def _current(self, key: str) -> str | None:
        each = self.stored.get(key)
        return each.versions[-1] if each else None

    def untold(self) -> Iterator[str]:
        """Describe each wrong tag or remark, and each missing one that no kill explains."""
        yield from (what for what, explained in self._shortcomings() if not explained)
        for key, each, content in self._right():
            for name, value in content.tags.items():
                if each.tags.get(name, value) != value:
                    yield f"the tag {name} is {each.tags[name]}, not {value}: {key}"
            wrong = (each.tags.keys() & {"odd-lines", "first-odd-line"}) - content.tags.keys()
            yield from (f"the tag {name} is there for nothing: {key}" for name in sorted(wrong))
            for remark in sorted(each.remarks - self._remarks(key, content)):
                yield f"a remark for nothing, {remark}: {key}"

    def _shortcomings(self) -> Iterator[tuple[str, bool]]:
        """Yield each missing tag and remark, and whether a kill just after the object was made explains it."""
        for key, each, content in self._right():
            explained = any(-CLOCK_SECONDS <= kill - each.since <= FINISH_SECONDS for kill in self.kills)
            yield from ((f"no tag {name}: {key}", explained) for name in sorted(content.tags.keys() - each.tags.keys()))
            missing = self._remarks(key, content) - each.remarks
            yield from ((f"no remark that it is {remark}: {key}", explained) for remark in sorted(missing))

    def _right(self) -> Iterator[tuple[str, Stored, Content]]:
        """Yield the objects whose current version is Firestream's newest file, with that file."""
        for key, each in sorted(self.stored.items()):
            offered = self.offered.get(key)
            if offered and each.versions[-1] == offered[-1].sha256:
                yield key, each, offered[-1]

    def _remarks(self, key: str, content: Content) -> set[str]:
        """Return the remarks that there must be about the current version."""
        wanted = {
            Remark.ODD: content.odd > 0,
            Remark.FEW_LINES: content.few,
            Remark.REPLACED: len(self.offered[key]) > 1,
        }
        return {str(remark) for remark, there in wanted.items() if there}

    def _given_up(self) -> Iterator[str]:
        for key, reasons in sorted(self.failures.items()):
            if key not in self.spoiled or not all(reasons):
                yield f"in BackupFailures, without need or reason: {key} ({'; '.join(reasons)})"
        for key, digest in sorted(self.spoiled.items()):
            if key not in self.failures:
                yield f"damaged for long, but not in BackupFailures: {key}"
            if self.damaged.get(key, "") != digest:
                yield f"what Firestream sent was damaged, and is not kept as it was: {key}"
        yield from (f"kept as damaged without need: {key}" for key in sorted(self.damaged.keys() - self.spoiled.keys()))

    def _costly(self) -> Iterator[str]:
        for number, night in enumerate(self.quiet, 1):
            for key, cost in sorted(night.items()):
                if cost.body or cost.small > MOST_SMALL:
                    yield f"quiet night {number}: {cost.small} small requests and {cost.body} with a body for {key}"
            for key in sorted(self.offered.keys() - {key for key, cost in night.items() if cost.small}):
                yield f"quiet night {number}: Firestream was not asked for {key}"
        if self.unnamed:
            yield f"{self.unnamed} requests of the quiet nights name no file"
        if self.early:
            yield f"{self.early} requests came before the time that Retry-After gave"
        if self.errors:
            yield f"{self.errors} invocations ended with an error, though their workers were not killed"


def digest(content: bytes) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def read(content: bytes, usual_lines: int) -> Content | None:
    """Read a file with the standard library; None if it is not whole, or holds no object though it has lines.

    Args:
        content: The bytes as Firestream offers them.
        usual_lines: How many lines such a file has on a usual day.
    """
    try:
        text = gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return None
    if not content:
        return None
    lines = odd = 0
    first_odd = None
    for number, line in enumerate(text.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not (words := line.strip(_WHITE_SPACE)):
            continue
        if _is_object(words):
            lines += 1
        else:
            odd += 1
            first_odd = first_odd or number
    if odd and not lines:
        return None
    return Content(digest(content), lines, odd, first_odd, few=lines < FEW_LINES_SHARE * usual_lines)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
