"""One file of Firestream: which there are, and what they are called in the archive. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


FILE_TYPES = ("activity", "message")
"""The types of files that Firestream keeps a day's backup of: https://firestream.stocktwits.com/documentation."""

FIRST_DAY = date(2009, 1, 1)
"""The earliest day that may be requested: StockTwits began to keep messages then."""


class Remark(StrEnum):
    """What an operator should know of a stored backup."""

    ODD = "odd"
    """It has lines that are neither empty nor a JSON object."""
    FEW_LINES = "few-lines"
    """It has no lines, or far fewer than the backups of the days around it."""
    REPLACED = "replaced"
    """It took the place of another version, which S3 keeps."""


@dataclass(frozen=True, slots=True, order=True)
class Backup:
    """One file of Firestream: everything of a type on a day.

    Attributes:
        day: The day, as Firestream cuts it.
        file_type: One of `FILE_TYPES`.
    """

    day: date
    file_type: str

    @property
    def key(self) -> str:
        """Its key in the archive; the name is the one that the vendor's own example gives the file."""
        name = f"stocktwits_{self.file_type}_{self.day:%Y_%m_%d}.gz"
        return f"{self.file_type}/{self.day:%Y/%m/%d}/{name}"

    @property
    def absent_key(self) -> str:
        """The key of the note that Firestream has no such file."""
        return f"absent/{self.key.removesuffix('.gz')}.json"

    @property
    def damaged_key(self) -> str:
        """The key of what Firestream sent for it, if that was never whole."""
        return f"damaged/{self.key}"

    def remark_key(self, etag: str, remark: Remark) -> str:
        """Return the key of a remark about one version of it: `etag` is S3's, so that a newer version has none."""
        version = etag.strip('"')
        return f"remarks/{self.file_type}/{self.day:%Y/%m/%d}/{version}/{remark}.json"

    @property
    def fields(self) -> dict[str, str]:
        """What names it in JSON: requests, notes and remarks."""
        return {"file_type": self.file_type, "day": self.day.isoformat()}

    def __str__(self) -> str:
        return f"{self.file_type} {self.day.isoformat()}"


def parse_file_types(text: str) -> tuple[str, ...]:
    """Parse the types of a comma-separated list, as in the parameter ``BackupFileTypes``."""
    return tuple(dict.fromkeys(each.strip() for each in text.split(",")))


def days(first: date, last: date) -> Iterator[date]:
    """Return the days from the first to the last, both included."""
    return (first + timedelta(days=number) for number in range((last - first).days + 1))
