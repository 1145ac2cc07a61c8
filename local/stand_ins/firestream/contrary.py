"""What Firestream and the host of its links may do that no documentation says: each behaviour by its name.

Some were reported about Firestream or about archives like it, others are allowed by HTTP, gzip or JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

MEBIBYTE = 1 << 20
Details = Mapping[str, Any]


class Contrary(StrEnum):
    """A behaviour that can be planned as a `Fault` can, or is drawn by the contrary mode."""

    LATE = "late"
    EMPTY_FIRST = "empty-first"
    REISSUED = "reissued"
    FEW_LINES = "few-lines"
    WITHDRAWN = "withdrawn"
    CRLF = "crlf"
    SPACES = "spaces"
    BYTE_ORDER_MARK = "byte-order-mark"
    EMPTY_LINES = "empty-lines"
    NO_LAST_LINE_FEED = "no-last-line-feed"
    BAD_LINES = "bad-lines"
    ODD_VALUES = "odd-values"
    LONG_LINE = "long-line"
    MEMBERS = "members"
    OTHER_FORMAT = "other-format"
    DAMAGED = "damaged"
    ETAG = "etag"
    LAST_MODIFIED = "last-modified"
    CONDITIONS_IGNORED = "conditions-ignored"
    ERROR = "error"
    RETRY_AFTER = "retry-after"
    PAGE = "page"
    REDIRECT = "redirect"
    REDIRECT_LOOP = "redirect-loop"
    REDIRECT_BAD = "redirect-bad"


class Kind(StrEnum):
    """What a behaviour changes."""

    DAY = "which file a day has, and from when"
    CONTENT = "what is in a file"
    IDENTITY = "how a file is told from another, and from its earlier versions"
    ANSWER = "the answer to a request"
    REDIRECT = "the way from the API to the link"


LASTING = frozenset({Kind.DAY, Kind.IDENTITY})
"""What is planned of these kinds stays: no request uses it up."""


@dataclass(frozen=True)
class Behaviour:
    """A behaviour's description.

    Attributes:
        kind: What it changes.
        words: What it does, in plain words.
        details: The details that it accepts, with their defaults.
        main: The detail whose values `forms` lists.
        forms: The values that the main detail may have, if not every value makes sense.
        draws: The details that the contrary mode draws from.
        spoils: Whether a client cannot get the day's whole file as long as it lasts.
    """

    kind: Kind
    words: str
    details: Details = field(default_factory=dict)
    main: str = "form"
    forms: tuple[object, ...] = ()
    draws: tuple[Details, ...] = ({},)
    spoils: bool = False

    def __post_init__(self) -> None:
        """Draw from every form, unless the draws are given."""
        if self.forms and self.draws == ({},):
            object.__setattr__(self, "draws", tuple({self.main: form} for form in self.forms))


_MOMENT = {"at": None, "hours": None, "asked": None}
_SOME, _EVERY = {"places": [0.5]}, {"places": None}
_API = {"host": "api", "until": None}
_WAY = {"status": 302, "via": "api"}
REDIRECTS = (301, 302, 303, 307, 308)
VIA = ("api", "link", "both")
HOSTS = ("api", "link")

BEHAVIOURS: Mapping[Contrary, Behaviour] = MappingProxyType(
    {
        Contrary.LATE: Behaviour(
            Kind.DAY,
            "the day is absent until the moment",
            _MOMENT,
            draws=({"asked": 1}, {"asked": 3}, {"hours": 30}, {"hours": 96}),
        ),
        Contrary.EMPTY_FIRST: Behaviour(
            Kind.DAY,
            "the day's file is empty until the moment: gzip without lines, no bytes, or one empty line",
            {"form": "gzip", **_MOMENT},
            forms=("gzip", "bytes", "line"),
            draws=tuple({"form": form, "asked": 1} for form in ("gzip", "bytes", "line")),
        ),
        Contrary.REISSUED: Behaviour(
            Kind.DAY,
            "the day has another file with another ETag until the moment or, with `changed` `after`, from then on; "
            "`share` of the lines are left out or repeated",
            {"form": "shorter", "changed": "before", "share": 0.5, **_MOMENT},
            forms=("shorter", "longer", "reordered", "recompressed", "damaged"),
            draws=(
                *({"form": form, "asked": 1} for form in ("shorter", "longer", "reordered", "recompressed", "damaged")),
                *({"form": form, "asked": 1, "changed": "after"} for form in ("longer", "recompressed")),
                {"share": 0.9, "hours": 60},
            ),
        ),
        Contrary.FEW_LINES: Behaviour(
            Kind.DAY,
            "the day's file has only its first `lines` lines, until the moment if one is given",
            {"lines": 3, **_MOMENT},
            draws=({"lines": 1}, {"lines": 3}, {"lines": 0}),
        ),
        Contrary.WITHDRAWN: Behaviour(
            Kind.DAY, "the day is absent from the moment on", _MOMENT, draws=({"asked": 2}, {"hours": 60}), spoils=True
        ),
        Contrary.CRLF: Behaviour(
            Kind.CONTENT,
            "lines end in CR LF; at `places` only, if they are given",
            _EVERY,
            draws=({}, {"places": [0, 0.5]}),
        ),
        Contrary.SPACES: Behaviour(
            Kind.CONTENT,
            "there is white space around lines; at `places` only, if they are given",
            {"form": "after", **_EVERY},
            forms=("after", "before", "both", "tabs"),
        ),
        Contrary.BYTE_ORDER_MARK: Behaviour(
            Kind.CONTENT,
            "a byte order mark: at the file's beginning, in front of a line in the middle or of each, or nothing else",
            {"form": "first"},
            forms=("first", "middle", "each-line", "only"),
        ),
        Contrary.EMPTY_LINES: Behaviour(
            Kind.CONTENT,
            "`count` empty lines at the beginning, in the middle or at the end, with white space, or nothing else",
            {"form": "middle", "count": 1},
            forms=("first", "middle", "last", "white", "only"),
        ),
        Contrary.NO_LAST_LINE_FEED: Behaviour(Kind.CONTENT, "the last line does not end in a line feed"),
        Contrary.BAD_LINES: Behaviour(
            Kind.CONTENT,
            "`count` lines that are not JSON objects, at each of `places`; `line` is their text, if not the form's",
            {"form": "words", "line": None, "count": 1, **_SOME},
            forms=(
                *("words", "list", "string", "number", "null", "two-objects", "cut", "cut-open", "braces"),
                *("control", "not-utf-8", "trailing-comma", "single-quotes"),
            ),
        ),
        Contrary.ODD_VALUES: Behaviour(
            Kind.CONTENT,
            "objects with values that the standard library reads, at each of `places`, or everywhere with null",
            {"form": "nulls", **_SOME},
            forms=(
                *("duplicate-keys", "lone-surrogate", "nan", "infinity", "big-number", "escapes", "nul", "shape"),
                *("nulls", "missing", "empty", "deep", "another-kind"),
            ),
        ),
        Contrary.LONG_LINE: Behaviour(
            Kind.CONTENT,
            "a line of `bytes` in the middle: a long text, a long list, nothing but spaces, or not an object",
            {"form": "text", "bytes": MEBIBYTE + 1},
            forms=("text", "list", "spaces", "bad"),
        ),
        Contrary.MEMBERS: Behaviour(
            Kind.CONTENT,
            "`count` gzip members, divided between or within lines, with empty ones around them, or one a line; "
            "zero bytes after the end, or a file name in the header",
            {"form": "lines", "count": 3},
            forms=("lines", "within", "empty", "each-line", "padded", "named"),
        ),
        Contrary.OTHER_FORMAT: Behaviour(
            Kind.CONTENT,
            "gzip within gzip, a page in place of gzip or within it, an error's XML, or the lines in another format",
            {"form": "gzip-twice"},
            forms=("gzip-twice", "page", "page-in-gzip", "xml", "plain", "zlib", "bzip2", "zip"),
            spoils=True,
        ),
        Contrary.DAMAGED: Behaviour(
            Kind.CONTENT,
            "gzip whose checksum or length is wrong, or that ends early: in its header, half way, before or within its "
            "last eight bytes, or in a second member",
            {"form": "crc"},
            forms=("crc", "length", "header", "half", "trailer", "within-trailer", "second-member"),
            spoils=True,
        ),
        Contrary.ETAG: Behaviour(
            Kind.IDENTITY,
            "the ETag is weak, not there, another one at each request, empty, without quotes, or never changes",
            {"form": "missing"},
            forms=("weak", "missing", "changing", "changing-weak", "empty", "unquoted", "stuck"),
            draws=tuple({"form": form} for form in ("weak", "missing", "changing", "changing-weak", "unquoted")),
        ),
        Contrary.LAST_MODIFIED: Behaviour(
            Kind.IDENTITY,
            "Last-Modified is not there, later at each request, not a date, or never changes",
            {"form": "missing"},
            forms=("missing", "changing", "nonsense", "stuck"),
        ),
        Contrary.CONDITIONS_IGNORED: Behaviour(
            Kind.IDENTITY, "the host of the links ignores If-Match, If-None-Match and their like"
        ),
        Contrary.ERROR: Behaviour(
            Kind.ANSWER,
            "an error of the `host`, with `status` and `message`; of `link`, in S3's format with its `code`",
            {"status": 403, **_API, "message": None, "code": None},
            "status",
            draws=(
                *({"status": status} for status in (402, 403, 404, 408, 410, 451, 500, 502, 504)),
                *({"status": status, "host": "link"} for status in (400, 403, 404, 500, 503)),
            ),
        ),
        Contrary.RETRY_AFTER: Behaviour(
            Kind.ANSWER,
            "429 or another `status` of the `host`, with Retry-After in this form, `seconds` from now",
            {"form": "seconds", "seconds": 3600, "status": 429, **_API},
            forms=(
                *("seconds", "http-date", "decimal", "days", "zero", "negative", "past", "iso-date", "empty"),
                *("nonsense", "missing"),
            ),
            draws=tuple(
                {"form": form, "status": status, "host": host, "seconds": 2}
                for form in ("seconds", "http-date", "decimal", "zero", "past", "nonsense", "missing")
                for status in (429, 503)
                for host in HOSTS
            ),
        ),
        Contrary.PAGE: Behaviour(
            Kind.ANSWER,
            "a page of the `host`, with `status`",
            {"status": 200, **_API},
            "status",
            draws=tuple({"status": status, "host": host} for status in (200, 403, 503) for host in HOSTS),
        ),
        Contrary.REDIRECT: Behaviour(
            Kind.REDIRECT,
            "`hops` redirects with `status` come before the link, `via` the host `api`, `link` or `both` in turn; "
            "addresses on the same host are given in this form",
            {"form": "absolute", "hops": 1, **_WAY},
            forms=("absolute", "root", "relative", "scheme"),
            draws=(
                *({"status": status, "hops": 0} for status in REDIRECTS),
                *({"form": form, "status": status} for form in ("root", "relative") for status in REDIRECTS),
                *({"form": "scheme", "via": via, "hops": 4} for via in VIA),
            ),
        ),
        Contrary.REDIRECT_LOOP: Behaviour(
            Kind.REDIRECT,
            "redirects that never end: an address leads to itself, two to each other, back to the first request's, or "
            "each to a new one",
            {"form": "self", **_WAY},
            forms=("self", "pair", "origin", "endless"),
        ),
        Contrary.REDIRECT_BAD: Behaviour(
            Kind.REDIRECT,
            "a redirect with an address that is not there, empty or not one, has another scheme, or is not reachable",
            {"form": "missing", "status": 302},
            forms=("missing", "empty", "nonsense", "ftp", "file", "unreachable"),
        ),
    }
)
