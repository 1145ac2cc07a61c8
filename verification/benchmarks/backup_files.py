"""Backups to store and read: always the same bytes, cached in ``.local/bench-data``."""

import zlib
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path

from local.build import ROOT
from local.stand_ins.firestream import data

MB = 1_000_000
SMALL, LARGE = 64, 512
SHORT_LINES = 32
"""The size of the backup of activities: about as much text as in four times as much of messages."""

_DIRECTORY = ROOT / ".local" / "bench-data"
_FIRST_DAY = date(2016, 12, 5)
_DAY_LINES = 10_000
_DAYS = 12
"""The text is generated once and repeated: gzip looks back only 32 KiB, so the repetition does not help it."""

_SLICE_LINES = 1000
_SAMPLE_LINES = 100


@dataclass(frozen=True)
class BackupFile:
    """A backup on this machine; `megabytes` is the requested size, `size` and `lines` are the actual ones."""

    file_type: str
    megabytes: int
    path: Path
    size: int
    lines: int

    @property
    def name(self) -> str:
        """What it is called in tables and targets."""
        return f"{self.megabytes} MB" if self.file_type == data.MESSAGE else f"{self.megabytes} MB of short lines"


def backup_file(megabytes: int, file_type: str = data.MESSAGE) -> BackupFile:
    """Return a gzipped backup of about this size; create it if it does not exist yet."""
    # A different text gets a different file.
    sample = zlib.crc32(b"".join(data.lines(file_type, _FIRST_DAY, _SAMPLE_LINES)))
    path = _DIRECTORY / f"{megabytes}MB-{sample:08x}.gz"
    line_count = path.with_suffix(".lines")
    if not line_count.exists():
        print(f"Creating a backup of {megabytes} MB, once", flush=True)
        line_count.write_text(str(_make(path, file_type, megabytes * MB)))
    return BackupFile(file_type, megabytes, path, path.stat().st_size, int(line_count.read_text()))


def _make(path: Path, file_type: str, size: int) -> int:
    """Write the file; return its number of lines."""
    _DIRECTORY.mkdir(parents=True, exist_ok=True)
    compressor, lines, written = zlib.compressobj(6, wbits=31), 0, 0
    with path.open("wb") as file:
        while True:
            for piece in _text(file_type):
                written += file.write(compressor.compress(b"".join(piece)))
                lines += len(piece)
                if written >= size:
                    file.write(compressor.flush())
                    return lines


@cache
def _text(file_type: str) -> list[list[bytes]]:
    """Return the lines of some days, a slice at a time."""
    days = [_FIRST_DAY + timedelta(days=number) for number in range(_DAYS)]
    lines = [line for day in days for line in data.lines(file_type, day, _DAY_LINES)]
    return [lines[start : start + _SLICE_LINES] for start in range(0, len(lines), _SLICE_LINES)]
