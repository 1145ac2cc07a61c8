"""A StockTwits that is contrary, within what any client can cope with while the same text may be posted again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local.stand_ins.stocktwits.contrary import CREATE, STREAM, Contrary, Kind
from local.stand_ins.stocktwits.contrary_api import ContraryApi
from local.stand_ins.stocktwits.contrary_mode import ContraryMode
from local.stand_ins.stocktwits.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from local.stand_ins.stocktwits.api import SeenRequest
    from local.stand_ins.stocktwits.faults import PlannedFault
    from local.stand_ins.stocktwits.server import StandIn

ON_THE_STREAM, OF_ANOTHER_POST = " on the stream", " of another post"

SEEN_SECONDS = 60
"""How long before a dead letter the stream was read, and other posts were made, that may have decided about it."""

DENIES = frozenset({401, 422, 429})
"""A post that was made is not denied by an answer with such a status: whoever believes it posts again, or rejects."""

CLEAR = frozenset({Fault.RATE_LIMITED, Fault.UNAUTHORIZED, Fault.SUSPENDED, Fault.FORBIDDEN, Fault.BOT_BLOCK})
"""The documented answers after which it is certain that nothing was posted."""

IDS = frozenset({Contrary.ID_TEXT, Contrary.ID_MISSING, Contrary.ID_ODD, Contrary.ID_OF_ANOTHER})


class FairApi(ContraryApi):
    """The stand-in's API, which is contrary only in ways that do not force a client into a second post.

    It takes the same text again at any time, so that a second post is seen. Whatever hides a post for a while, or
    denies it, would make any client post again.
    """

    def __init__(self, stand_in: StandIn, is_settled: Callable[[int], bool]) -> None:
        """Serve a stand-in; `is_settled` says whether the ledger knows whose post an id is."""
        super().__init__(stand_in)
        self._ids = stand_in.api._ids  # noqa: SLF001  ids are never reused: the ledger may know earlier ones
        self.forget()
        self._is_settled = is_settled

    def draw(self, seen: SeenRequest) -> list[PlannedFault]:
        """Return what the contrary mode does to this request."""
        return [each for each in super().draw(seen) if _is_fair(each, seen)]

    def of_posts(self, texts: Iterable[str]) -> dict[str, frozenset[str]]:
        """Return the names of what happens to the post of each text, however it is asked for."""
        own = self._settings
        if own.contrary is None:
            return {}
        mode = ContraryMode(own.contrary, own.contrary_share, own.contrary_behaviours, forgetful=True)
        return {text: frozenset(str(each.fault) for each in mode.of_post(text)) for text in texts}

    def _treated(self, post: Any, behaviours: Iterable[PlannedFault]) -> Any:  # noqa: ANN401
        """Show a post under its own id on the stream: under another's, it would be hidden."""
        hiding = [each for each in behaviours if each.fault is Contrary.ID_OF_ANOTHER and each.details["everywhere"]]
        return super()._treated(post, [each for each in behaviours if each not in hiding])

    def _altered(self, kind: Contrary, details: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
        """Name another's id only where the ledger knows whose it is: nobody could notice it otherwise."""
        if kind is not Contrary.ID_OF_ANOTHER:
            return super()._altered(kind, details, message)
        others = (each.id for each in reversed(self.timeline.posts) if each.id != message.get("id"))
        taken = next((each for each in others if self._is_settled(each)), None)
        return message if taken is None else {**message, "id": taken}


def _is_fair(drawn: PlannedFault, seen: SeenRequest) -> bool:
    if drawn.fault is Contrary.ID_OF_ANOTHER:
        return seen.resource == CREATE
    denies = drawn.fault is Contrary.DUPLICATE or drawn.details.get("status") in DENIES
    return not (drawn.accepts and denies)


def is_unclear(planned: PlannedFault) -> bool:
    """Return whether nobody can tell from an answer under this fault or behaviour whether the post was made."""
    if isinstance(planned.fault, Fault):
        return planned.fault not in CLEAR
    if planned.kind is not Kind.ANSWER:
        return planned.fault in {*IDS, Contrary.LATE}
    status = planned.details.get("status", 422)  # the others are refused as documented
    return not 400 <= status < 500  # noqa: PLR2004


def causes(
    faulted: Sequence[tuple[SeenRequest, PlannedFault]],
    posts: Mapping[str, float],
    of_posts: Mapping[str, frozenset[str]],
    dead: Mapping[str, Sequence[float]],
) -> dict[str, tuple[str, ...]]:
    """Return what may have decided about each text that ended in Dead letters.

    Args:
        faulted: The requests that a fault or a behaviour affected.
        posts: When each text was posted, in seconds since the epoch.
        of_posts: What happens to the post of each text.
        dead: When its dead letters were sent, by text.

    Returns:
        The names of faults and behaviours: of its own requests and of its own post; then, with `ON_THE_STREAM`, of what
        the stream answered just before; then, with `OF_ANOTHER_POST`, of other posts made just before.
    """
    own: dict[str, list[str]] = {}
    stream: list[tuple[float, str]] = []
    for seen, planned in faulted:
        if seen.resource == CREATE:
            own.setdefault(seen.fields.get("body", ""), []).append(str(planned.fault))
        elif seen.resource.startswith(STREAM):
            stream.append((seen.at, f"{planned.fault}{ON_THE_STREAM}"))
    others = [(at, f"{name}{OF_ANOTHER_POST}") for text, at in posts.items() for name in of_posts.get(text, ())]
    found = {}
    for text, moments in dead.items():
        near = [
            name for at, name in (*stream, *others) if any(sent - SEEN_SECONDS <= at <= sent + 1 for sent in moments)
        ]
        found[text] = tuple(dict.fromkeys([*own.get(text, ()), *sorted(of_posts.get(text, ())), *near]))
    return found
