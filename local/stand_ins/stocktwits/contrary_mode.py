"""The contrary mode: draws by a seed what StockTwits does that its documentation does not say."""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

from local.stand_ins.stocktwits.contrary import BEHAVIOURS, CREATE, HIDING, SHOW, STREAM, Contrary, Kind
from local.stand_ins.stocktwits.faults import PlannedFault, plan

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from local.stand_ins.stocktwits.api import SeenRequest
    from local.stand_ins.stocktwits.contrary import Details

_REFUSALS = frozenset({Contrary.PAGE, Contrary.EMPTY, Contrary.OTHER_JSON, Contrary.ERROR, Contrary.PROBLEM})
_ONLY_FOR_POSTING = frozenset({Contrary.DUPLICATE, Contrary.PARENT_HIDDEN, Contrary.RENDERED})
"""A text is rendered alike in every answer, so how is drawn when it is posted."""

_IDS = frozenset({Contrary.ID_TEXT, Contrary.ID_MISSING, Contrary.ID_ODD, Contrary.ID_OF_ANOTHER})
_FOR_EVER = 0.1
"""The share of the contrary posts that are refused however often they are sent."""

_HABITS = (
    Contrary.MAX_IGNORED,
    Contrary.PINNED,
    Contrary.CURSOR,
    Contrary.ID_TEXT,
    Contrary.RENDERED,
    Contrary.SENTIMENT,
)
_RULES: dict[Contrary, tuple[dict[str, Any], ...]] = {
    Contrary.LAG: ({"stream_lag_seconds": 20.0}, {"stream_lag_seconds": 120.0}, {"stream_lag_seconds": 300.0}),
    Contrary.PARENT_HIDDEN: tuple(
        {"parent_lag_seconds": seconds, "parent_status": status} for seconds in (5.0, 45.0) for status in (404, 422)
    ),
    Contrary.DUPLICATE: ({"duplicate_seconds": 7200.0}, {"near_identical": True}),
}


class ContraryMode:
    """What a seed decides: for the whole run, for each post, and for each request.

    The seed and what is asked for, or the text that is posted, decide, and for a request how often it was made: the
    same in every run, in whatever order the requests arrive.

    Attributes:
        forgetful: Whether this run accepts duplicates; then it draws nothing of `HIDING`.
        rules: The fields of `Rules` that this run changes.
    """

    def __init__(self, seed: int, share: float, names: Collection[str] = (), *, forgetful: bool = False) -> None:
        """Draw the habits of the run.

        Args:
            seed: Decides, together with each request or text.
            share: The share of requests, of posts, and of habits, that are contrary; from 0 to 1.
            names: The values of `Contrary` to draw from; empty for all.
            forgetful: Whether the run accepts duplicates whatever the seed says.

        Raises:
            ValueError: A name is unknown, or the share is not one.
        """
        if not 0 <= share <= 1:
            raise ValueError("contrary_share must be from 0 to 1")
        self._seed = seed
        self._share = share
        allowed = {Contrary(name) for name in names or Contrary}
        drawn = Contrary.DUPLICATE_ACCEPTED in allowed and self._random("forgetful").random() < share
        self.forgetful = forgetful or drawn
        left_out = {Contrary.DUPLICATE_ACCEPTED, *(HIDING if self.forgetful else ())}
        self._allowed = [each for each in Contrary if each in allowed - left_out]
        self._counts: Counter[tuple[str, ...]] = Counter()
        self._lock = threading.Lock()
        self._habits = list(self._draw_habits())
        self.rules: dict[str, Any] = {}
        for behaviour, choices in _RULES.items():
            chance = self._random("rule", behaviour)
            if behaviour in self._allowed and chance.random() < share:
                self.rules |= chance.choice(choices)
        if self.forgetful:
            self.rules["duplicate_seconds"] = 0.0

    def of_post(self, text: str) -> list[PlannedFault]:
        """Return what happens to a post with this text, whoever asks for it and however its request ends."""
        chance = self._random("post", text)
        drawn = []
        if chance.random() < self._share:
            drawn += self._drawn(chance, [Contrary.RENDERED])
        if chance.random() < self._share:
            kinds = {Kind.MESSAGE, Kind.POSTING}
            drawn += self._drawn(chance, [each for each in self._of(kinds) if each is not Contrary.LATE])
        return [*(each for each in self._habits if each.kind is Kind.MESSAGE), *map(_everywhere, drawn)]

    def of_request(self, seen: SeenRequest) -> list[PlannedFault]:
        """Return how this request is treated, beside what happens to the posts that it makes or shows."""
        posts = seen.resource == CREATE
        text = seen.fields.get("body", "")
        # Not which page of the stream: ids depend on the order in which posts were made.
        asked = seen.resource, text, "further page" if "max" in seen.query else ""
        with self._lock:
            self._counts[asked] += 1
            count = self._counts[asked]
        drawn = [each for each in self._habits if each.kind is not Kind.MESSAGE and each.matches(seen)]
        for_ever = self._random("for ever", text)
        if posts and for_ever.random() < self._share * _FOR_EVER:
            return [*drawn, *self._refused(for_ever)]
        chance = self._random("request", *asked, count)
        if chance.random() < self._share:
            drawn += self._drawn(chance, self._for(seen))
        return drawn

    def _draw_habits(self) -> Iterator[PlannedFault]:
        for behaviour in _HABITS:
            chance = self._random("habit", behaviour)
            if chance.random() < self._share:
                yield from map(_everywhere, self._drawn(chance, [behaviour]))
        for only in ("reply", "chart"):
            if Contrary.ERROR in self._allowed and self._random("habit", only).random() < self._share:
                yield plan(Contrary.ERROR, None, None, CREATE, {"only": only})

    def _refused(self, chance: random.Random) -> list[PlannedFault]:
        refused = self._drawn(chance, [each for each in self._allowed if each in _REFUSALS])
        return [each for each in refused if not 200 <= each.details["status"] < 300]  # noqa: PLR2004

    def _for(self, seen: SeenRequest) -> list[Contrary]:
        """Return the behaviours that can be drawn for a request."""
        if seen.resource.startswith(STREAM):
            drawn = self._of({Kind.ANSWER, Kind.MESSAGE, Kind.PAGE})
        elif seen.resource == CREATE:
            hidden = set() if seen.fields.get("in_reply_to_message_id") else {Contrary.PARENT_HIDDEN}
            return [each for each in [*self._of({Kind.ANSWER}), Contrary.LATE, *_IDS] if each not in hidden]
        else:
            drawn = self._of({Kind.ANSWER, Kind.MESSAGE} if seen.resource.startswith(SHOW) else {Kind.ANSWER})
        return [each for each in drawn if each not in _ONLY_FOR_POSTING]

    def _of(self, kinds: Collection[Kind]) -> list[Contrary]:
        return [each for each in self._allowed if BEHAVIOURS[each].kind in kinds]

    def _drawn(self, chance: random.Random, among: Collection[Contrary]) -> list[PlannedFault]:
        allowed = [each for each in self._allowed if each in among]
        if not allowed:
            return []
        drawn = chance.choice(allowed)
        draws = [each for each in BEHAVIOURS[drawn].draws if not (self.forgetful and _denies_a_post(each))]
        return [plan(drawn, None, None, None, chance.choice(draws))]

    def _random(self, *what: object) -> random.Random:
        return random.Random(f"{self._seed} {what}")


def _denies_a_post(details: Details) -> bool:
    """Return whether an answer refuses a post for the moment, although it was made: it is sent again for certain."""
    return bool(details.get("accepted")) and details.get("status") in {401, 429}


def _everywhere(planned: PlannedFault) -> PlannedFault:
    """Let a behaviour change every answer that shows the post."""
    if "everywhere" in planned.details:
        planned.details["everywhere"] = True
    return planned
