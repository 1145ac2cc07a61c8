"""What happens to files at Firestream in the course of some nights: each file has one of these stories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from local.stand_ins.firestream.content import damaged, packed, reissued
from local.stand_ins.firestream.contrary import BEHAVIOURS, Contrary, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from relay.backups.backup import Backup

    from local.stand_ins.firestream.server import FirestreamStandIn

NEVER = None
"""In place of a night: the behaviour has no moment, and lasts from the first night on."""


class Step(NamedTuple):
    """What the stand-in does from a night on (or until then, if the behaviour is a temporary one)."""

    night: int | None
    behaviour: Contrary
    details: Mapping[str, Any] = {}


def _reissue(night: int, form: str) -> Step:
    return Step(night, Contrary.REISSUED, {"form": form, "changed": "after"})


OUTAGE = (Step(3, Contrary.LATE),)
"""For the oldest days: Firestream has none of their files before the fourth night."""

STORIES: Mapping[str, Sequence[Step]] = {
    "a day late": (Step(1, Contrary.LATE),),
    "re-issued with more lines": (_reissue(1, "longer"),),
    "re-issued with fewer lines": (_reissue(2, "shorter"),),
    "re-issued twice": (Step(1, Contrary.REISSUED, {"form": "shorter"}), _reissue(3, "longer")),
    "no lines at first": (Step(1, Contrary.EMPTY_FIRST),),
    "few lines at first": (Step(2, Contrary.FEW_LINES),),
    "few lines": (Step(NEVER, Contrary.FEW_LINES),),
    "withdrawn": (Step(1, Contrary.WITHDRAWN),),
    "re-issued with odd lines": (Step(2, Contrary.BAD_LINES, {"count": 2}),),
    "odd lines": (Step(0, Contrary.BAD_LINES, {"form": "cut-open", "places": [0, 0.5]}),),
    "no ETag, and re-issued": (Step(0, Contrary.ETAG, {"form": "missing"}), _reissue(2, "longer")),
    "lines that end in CR LF": (Step(0, Contrary.CRLF),),
    "re-issued with the same lines in another order": (_reissue(2, "reordered"),),
    "re-issued with the same lines, compressed anew": (_reissue(3, "recompressed"),),
    "an empty line at first": (Step(2, Contrary.EMPTY_FIRST, {"form": "line"}),),
    "re-issued, then withdrawn": (_reissue(1, "longer"), Step(3, Contrary.WITHDRAWN)),
    "a byte order mark": (Step(0, Contrary.BYTE_ORDER_MARK),),
    "empty lines": (Step(0, Contrary.EMPTY_LINES, {"count": 3}),),
    "values that few parsers take": (Step(0, Contrary.ODD_VALUES, {"form": "nan"}),),
    "a line longer than 1 MiB": (Step(0, Contrary.LONG_LINE),),
    "several gzip members": (Step(0, Contrary.MEMBERS, {"form": "within"}),),
    "re-issued in several gzip members": (Step(1, Contrary.MEMBERS),),
    "a weak ETag, and re-issued": (Step(0, Contrary.ETAG, {"form": "weak"}), _reissue(2, "longer")),
    "an ETag without quotes, and re-issued": (Step(0, Contrary.ETAG, {"form": "unquoted"}), _reissue(1, "longer")),
}
"""Without the damaged ones; see `SPOILED`."""

SPOILED: Mapping[str, Callable[[bytes], Sequence[bytes | None]]] = {
    "damaged at first": lambda whole: (None, damaged("crc", whole), whole),
    "no bytes at first": lambda whole: (None, b"", whole),
    "re-issued, damaged at first": lambda whole: (whole, damaged("half", whole), reissued("longer", 0.5, whole)),
    "a page in place of a file": lambda whole: (whole, packed(b"<html>\nSorry\n</html>\n"), whole),
}
"""What there is in the first three nights. In the second one it is not whole, for as long as anybody asks."""

SPOILED_NIGHT = 1


def begin(
    firestream: FirestreamStandIn, file: Backup, steps: Sequence[Step], moment: Callable[[int], float], night: int
) -> None:
    """Plan what a story has for a night. Which file a day has is planned in the first night, with its moment."""
    for step in steps:
        of_day = BEHAVIOURS[step.behaviour].kind is Kind.DAY
        if night != ((0 if of_day else step.night) or 0):
            continue
        details = dict(step.details)
        if of_day and step.night is not None:
            details["at"] = moment(step.night)
        firestream.fail(step.behaviour, times=None, file_type=file.file_type, day=file.day, **details)


def spoil(firestream: FirestreamStandIn, file: Backup, story: str, moment: Callable[[int], float]) -> bytes:
    """Plan one of the stories in `SPOILED`; return what is not whole of it."""
    contents = SPOILED[story](firestream.content(file.file_type, file.day))
    for night, content in enumerate(contents):
        firestream.put(file.file_type, file.day, content, moment(night))
    return contents[SPOILED_NIGHT] or b""
