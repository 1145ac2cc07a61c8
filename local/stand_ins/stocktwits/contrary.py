"""What StockTwits may do that its documentation does not say: each behaviour by its name.

Some were reported about StockTwits, others about platforms like it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from local.stand_ins.stocktwits.rendering import Rendering

CREATE, STREAM, SHOW = "messages/create", "streams/user", "messages/show"
ODD_IDS: tuple[object, ...] = (None, 0, -1, 1.5, "abc", "", True, 10**30)
"""What may stand where a message's id is expected."""

Details = Mapping[str, Any]


class Contrary(StrEnum):
    """A behaviour that can be planned for certain requests, as a `Fault` can, or is drawn by the contrary mode."""

    PAGE = "page"
    EMPTY = "empty"
    OTHER_JSON = "other-json"
    ERROR = "error"
    PROBLEM = "problem"
    INNER_STATUS = "inner-status"
    RATE_LIMIT = "429-form"
    DUPLICATE = "duplicate"
    PARENT_HIDDEN = "parent-hidden"
    DUPLICATE_ACCEPTED = "duplicate-accepted"
    LATE = "late"
    LAG = "lag"
    FOREIGN_POST = "foreign-post"
    RENDERED = "rendered"
    ID_TEXT = "id-text"
    ID_MISSING = "id-missing"
    ID_ODD = "id-odd"
    ID_OF_ANOTHER = "id-of-another"
    CREATED_AT = "created-at"
    CHART_MISSING = "chart-missing"
    SENTIMENT = "sentiment"
    LINKS = "links"
    MAX_IGNORED = "max-ignored"
    SHUFFLED = "shuffled"
    PINNED = "pinned"
    SHORT = "short"
    CURSOR = "cursor"
    NOT_OBJECTS = "not-objects"
    STREAM_EMPTY = "stream-empty"
    MESSAGES = "messages"


HIDING = frozenset({Contrary.LATE, Contrary.LAG, Contrary.STREAM_EMPTY, Contrary.SHORT})
"""These hide a post that was or will be made. Where duplicates are accepted as well, no client could know better than
to post again, so the contrary mode does not draw both."""


class Kind(StrEnum):
    """What a behaviour changes."""

    ANSWER = "the answer to a request"
    POSTING = "how a request to post is carried out"
    MESSAGE = "how a post is shown"
    PAGE = "a page of the stream"


@dataclass(frozen=True)
class Behaviour:
    """A behaviour's description.

    Attributes:
        kind: What it changes.
        words: What it does, in plain words.
        details: The details that it accepts, with their defaults.
        main: The detail that is given after the name where shares are given by name, as in `page 404`.
        forms: The values that the main detail may have, if not every value makes sense.
        draws: The details that the contrary mode draws from.
    """

    kind: Kind
    words: str
    details: Details = field(default_factory=dict)
    main: str = ""
    forms: tuple[object, ...] = ()
    draws: tuple[Details, ...] = ({},)

    def __post_init__(self) -> None:
        """Draw from every form, unless the draws are given."""
        if self.forms and self.draws == ({},):
            object.__setattr__(self, "draws", tuple({self.main: form} for form in self.forms))


_OF_A_POST = {"everywhere": True}
_REFUSED = {"accepted": False}

BEHAVIOURS: Mapping[Contrary, Behaviour] = MappingProxyType(
    {
        Contrary.PAGE: Behaviour(
            Kind.ANSWER,
            "a page, with `status`, `by` the `server` or `cloudflare`; `accepted`: after the post was made",
            {"status": 404, "by": "server", **_REFUSED},
            "status",
            draws=(
                *({"status": each} for each in (400, 404, 413, 418, 422, 401, 402, 405, 406, 409, 410, 451)),
                *({"status": each, "by": "cloudflare"} for each in (403, 429, 503, *range(520, 528), 530)),
                *({"status": 200, "accepted": each} for each in (True, False)),
            ),
        ),
        Contrary.EMPTY: Behaviour(
            Kind.ANSWER,
            "an answer without a body, with `status`; `accepted`: after the post was made",
            {"status": 404, **_REFUSED},
            "status",
            draws=(
                *({"status": each} for each in (400, 403, 404, 413, 418, 422)),
                *({"status": 200, "accepted": each} for each in (True, False)),
            ),
        ),
        Contrary.OTHER_JSON: Behaviour(
            Kind.ANSWER,
            "JSON of another shape, with `status`; `accepted`: after the post was made",
            {"form": "error", "status": 404, **_REFUSED},
            "form",
            ("error", "message", "errors-text", "errors-empty", "errors-null", "list", "text", "number", "null"),
            draws=(
                *({"form": form, "status": each} for form in ("error", "message") for each in (400, 404, 418, 422)),
                *({"form": form, "status": 400} for form in ("errors-text", "errors-empty", "list", "null")),
                *(
                    {"form": form, "status": 200, "accepted": each}
                    for form in ("list", "text", "message")
                    for each in (True, False)
                ),
            ),
        ),
        Contrary.ERROR: Behaviour(
            Kind.ANSWER,
            "an error in StockTwits' format, with `status` and `message`",
            {"status": 403, "message": "You cannot reply to this message", **_REFUSED},
            "status",
            draws=(
                {},
                {"status": 401, "message": "You may not post this message"},
                *(
                    {"status": each, "message": "Something about this request"}
                    for each in (402, 405, 406, 409, 410, 451)
                ),
            ),
        ),
        Contrary.PROBLEM: Behaviour(
            Kind.ANSWER,
            "bot protection in JSON: Cloudflare's problem details with `status` and its error `code`",
            {"code": 1020, "status": 403, "type": "application/problem+json", **_REFUSED},
            "code",
            draws=(
                {},
                {"type": "application/json"},
                {"code": 1010},
                {"code": 1006},
                {"code": 1015, "status": 429},
                {"code": 1200, "status": 503},
            ),
        ),
        Contrary.INNER_STATUS: Behaviour(
            Kind.ANSWER,
            "200 whose body has another `status`, as digits with `as_text`; `accepted`: after the post was made",
            {"status": 422, "as_text": False, "message": None, **_REFUSED},
            "status",
            draws=tuple(
                {"status": each, "as_text": as_text, "accepted": accepted}
                for each in (401, 422, 429, 500)
                for as_text in (False, True)
                for accepted in (False, True)
            ),
        ),
        Contrary.RATE_LIMIT: Behaviour(
            Kind.ANSWER,
            "429 with a `header` (`X-RateLimit-Reset` or `Retry-After`) in another form, `seconds` from now",
            {"form": "milliseconds", "header": "X-RateLimit-Reset", "seconds": 300},
            "form",
            (
                *("seconds", "epoch", "milliseconds", "http-date", "iso-date", "decimal-seconds", "decimal-epoch"),
                *("past", "days", "days-epoch", "zero", "negative", "empty", "nonsense"),
            ),
        ),
        Contrary.DUPLICATE: Behaviour(
            Kind.ANSWER,
            "422 as for a duplicate, although nothing alike was posted; `accepted`: after this very post was made",
            _REFUSED,
            draws=({}, {"accepted": True}),
        ),
        Contrary.PARENT_HIDDEN: Behaviour(
            Kind.ANSWER,
            "the error for a reply to a post that is not visible yet, with `status` 404 or 422",
            {"status": 404, **_REFUSED},
            "status",
            (404, 422),
        ),
        Contrary.DUPLICATE_ACCEPTED: Behaviour(Kind.POSTING, "the text is posted although it is a duplicate"),
        Contrary.LATE: Behaviour(
            Kind.POSTING,
            "silence; the post is made after `seconds`, when the client may have given up",
            {"seconds": 30.0},
            "seconds",
            draws=({"seconds": 12.0}, {"seconds": 40.0}),
        ),
        Contrary.LAG: Behaviour(
            Kind.POSTING,
            "the post is on the stream only after `seconds`",
            {"seconds": 120.0},
            "seconds",
            draws=({"seconds": 20.0}, {"seconds": 120.0}, {"seconds": 400.0}),
        ),
        Contrary.FOREIGN_POST: Behaviour(
            Kind.POSTING,
            "somebody else posts `body` on the account, just before or after; `source` is how",
            {"body": None, "when": "after", "source": "StockTwits Web"},
            "when",
            ("before", "after"),
            draws=({"when": "before"}, {"when": "after"}, {"when": "after", "source": "Another tool"}),
        ),
        Contrary.RENDERED: Behaviour(
            Kind.MESSAGE,
            "the text is altered; `rendering` is how",
            {"rendering": Rendering.LINKIFIED.value, **_OF_A_POST},
            "rendering",
            tuple(each.value for each in Rendering),
        ),
        Contrary.ID_TEXT: Behaviour(Kind.MESSAGE, "the id is a string of digits", {"everywhere": False}),
        Contrary.ID_MISSING: Behaviour(Kind.MESSAGE, "there is no id", {"everywhere": False}),
        Contrary.ID_ODD: Behaviour(
            Kind.MESSAGE,
            "the id is `value`",
            {"value": 0, "everywhere": False},
            "value",
            draws=tuple({"value": each} for each in ODD_IDS),
        ),
        Contrary.ID_OF_ANOTHER: Behaviour(Kind.MESSAGE, "the id is that of another post", {"everywhere": False}),
        Contrary.CREATED_AT: Behaviour(
            Kind.MESSAGE,
            "the time of the post in another form, wrong or not there",
            {"form": "missing", **_OF_A_POST},
            "form",
            ("missing", "null", "empty", "word", "zone", "fraction", "space", "http-date", "epoch"),
        ),
        Contrary.CHART_MISSING: Behaviour(Kind.MESSAGE, "the chart is not shown", _OF_A_POST),
        Contrary.SENTIMENT: Behaviour(
            Kind.MESSAGE,
            "the sentiment is not shown, or another one is",
            {"form": "missing", **_OF_A_POST},
            "form",
            ("missing", "other", "no-entities"),
        ),
        Contrary.LINKS: Behaviour(
            Kind.MESSAGE,
            "where the post's links lead is not shown, only of the first one, or by another address",
            {"form": "missing", **_OF_A_POST},
            "form",
            ("missing", "null", "empty", "first", "text", "untracked", "elsewhere", "slash"),
        ),
        Contrary.MAX_IGNORED: Behaviour(Kind.PAGE, "`max` is ignored, so each page repeats the first"),
        Contrary.SHUFFLED: Behaviour(Kind.PAGE, "the posts of a page are in no order"),
        Contrary.PINNED: Behaviour(
            Kind.PAGE,
            "the `count` oldest posts come first, on each page or, with `every` false, on the first",
            {"count": 1, "every": True},
            "count",
            draws=tuple({"count": count, "every": every} for count in (1, 3) for every in (True, False)),
        ),
        Contrary.SHORT: Behaviour(
            Kind.PAGE,
            "a page shows half of its posts: `end` leaves the rest to the next page, `middle` shows them on none",
            {"where": "end"},
            "where",
            ("end", "middle"),
        ),
        Contrary.CURSOR: Behaviour(
            Kind.PAGE,
            "the cursor is not there, or wrong",
            {"form": "missing"},
            "form",
            ("missing", "null", "text", "empty", "no-more", "more", "digits", "swapped", "stuck"),
        ),
        Contrary.NOT_OBJECTS: Behaviour(Kind.PAGE, "some messages are not objects"),
        Contrary.STREAM_EMPTY: Behaviour(Kind.PAGE, "the stream is empty, although there are posts"),
        Contrary.MESSAGES: Behaviour(
            Kind.PAGE, "there are no `messages`", {"form": "missing"}, "form", ("missing", "null", "object", "text")
        ),
    }
)
