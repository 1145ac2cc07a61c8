"""What a file at Firestream is known by, so that a later look can tell whether it is still the same one. Pure.

The link's host gives each file an ETag, as S3 does; where there is none, the date of its last change and its size must
do: https://www.rfc-editor.org/rfc/rfc9110#section-8.8.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ETAG_TAG, MODIFIED_TAG = "source-etag", "source-modified"
"""The tags of a stored backup that keep it."""

_NOT_IN_A_TAG = re.compile(r"[^A-Za-z0-9 +=._:/@-]|(?<=.{256}).")


def tag_value(text: str) -> str:
    """Return a text without what S3 refuses in a tag's value.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
    """
    return _NOT_IN_A_TAG.sub("", text)


@dataclass(frozen=True, slots=True)
class Identity:
    """What a file is known by.

    Attributes:
        etag: Its ETag as a tag keeps it, without quotes; empty if there is none.
        modified: When it was last changed, in ISO 8601; empty if that is not known.
        size: In bytes; None if that is not known.
    """

    etag: str = ""
    modified: str = ""
    size: int | None = None

    @classmethod
    def of_answer(cls, headers: Mapping[str, str]) -> Identity:
        """Read it from the headers of an answer that has, or would have, the whole file."""
        length = headers.get("Content-Length", "")
        return cls(
            tag_value(headers.get("ETag", "")),
            _iso(headers.get("Last-Modified", "")),
            int(length) if length.isdecimal() else None,
        )

    @classmethod
    def of_tags(cls, tags: Mapping[str, str], size: int) -> Identity:
        """Read it from a stored backup's tags."""
        return cls(tags.get(ETAG_TAG, ""), tags.get(MODIFIED_TAG, ""), size)

    @property
    def tags(self) -> dict[str, str]:
        """The tags that keep it; the size is the object's own."""
        return {ETAG_TAG: self.etag} | ({MODIFIED_TAG: self.modified} if self.modified else {})

    @property
    def conditions(self) -> dict[str, str]:
        """The headers that ask for the file unless it is still this one."""
        if self.etag:
            weak, bare = ("W/", self.etag[2:]) if self.etag.startswith("W/") else ("", self.etag)
            return {"If-None-Match": f'{weak}"{bare}"'}
        if self.modified:
            return {"If-Modified-Since": format_datetime(datetime.fromisoformat(self.modified), usegmt=True)}
        return {}

    def is_same(self, other: Identity) -> bool | None:
        """Return whether both are one file, as far as both are known.

        An ETag decides, but for another size, unless it is a weak one, which says nothing about bytes. None if nothing
        is known of both.
        """
        if self.etag and other.etag and not self.etag.startswith("W/"):
            return self.etag == other.etag and (None in {self.size, other.size} or self.size == other.size)
        pairs = ((self.etag, other.etag), (self.modified, other.modified), (self.size, other.size))
        known = [mine == theirs for mine, theirs in pairs if mine not in {"", None} and theirs not in {"", None}]
        return all(known) if known else None


def _iso(http_date: str) -> str:
    try:
        moment = parsedate_to_datetime(http_date)
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""
