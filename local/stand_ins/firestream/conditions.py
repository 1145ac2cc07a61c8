"""Conditional requests: what identifies a file, and whether the conditions of a request hold (RFC 9110, section 13)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message

NOT_MODIFIED, PRECONDITION_FAILED = 304, 412
_TAG = re.compile(r'(?:W/)?"[^"]*"')


@dataclass(frozen=True)
class Identity:
    """What a file is told by.

    Attributes:
        etag: The ETag as it is sent; None if there is none.
        modified: When it was last modified, in seconds since the epoch; None if that is not sent.
        unreadable: What is sent in place of a date.
    """

    etag: str | None
    modified: float | None
    unreadable: str | None = None

    @property
    def last_modified(self) -> str | None:
        """The Last-Modified as it is sent; None if there is none."""
        if self.unreadable is not None or self.modified is None:
            return self.unreadable
        return formatdate(self.modified, usegmt=True)

    def outcome(self, headers: Message | Mapping[str, str]) -> int | None:
        """Return 304 or 412 as the conditions of a request want it, or None if it is to be answered as usual.

        As in S3, If-Match decides over If-Unmodified-Since, and If-None-Match over If-Modified-Since.
        """
        match, none_match = headers.get("If-Match"), headers.get("If-None-Match")
        if match is not None:
            if not self._matches(match, weak=False):
                return PRECONDITION_FAILED
        elif (since := _date(headers.get("If-Unmodified-Since"))) is not None and self._modified_after(since):
            return PRECONDITION_FAILED
        if none_match is not None:
            return NOT_MODIFIED if self._matches(none_match, weak=True) else None
        since = _date(headers.get("If-Modified-Since"))
        known = self.modified is not None and self.unreadable is None
        return NOT_MODIFIED if since is not None and known and not self._modified_after(since) else None

    def _matches(self, condition: str, *, weak: bool) -> bool:
        """Compare ETags; only `weak` comparison takes a weak one for the same."""
        if condition.strip() == "*":
            return True
        if not self.etag or (self.etag.startswith("W/") and not weak):
            return False
        asked = _TAG.findall(condition) or [condition.strip()]
        if not weak:
            asked = [each for each in asked if not each.startswith("W/")]
        return _opaque(self.etag) in map(_opaque, asked)

    def _modified_after(self, seconds: float) -> bool:
        """Compare whole seconds, which is all that a date has."""
        return self.modified is not None and self.unreadable is None and int(self.modified) > seconds


def _opaque(tag: str) -> str:
    return tag.removeprefix("W/").strip('"')


def _date(text: str | None) -> float | None:
    """Read an HTTP date; None if there is none, or if it is not one, which is then ignored."""
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except ValueError:
        return None
