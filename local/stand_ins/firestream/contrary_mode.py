"""The contrary mode: draws by a seed what Firestream does that no documentation says."""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import TYPE_CHECKING

from local.stand_ins.firestream.contrary import BEHAVIOURS, Contrary, Kind
from local.stand_ins.firestream.faults import PlannedFault, Stage, plan

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import date

_FOR_EVER = 0.1
"""The share of the contrary files of which a client can never get the whole."""

_OF_REQUESTS = {
    Stage.API: frozenset({Kind.ANSWER}),
    Stage.LINK: frozenset({Kind.ANSWER}),
    Stage.WAY: frozenset({Kind.REDIRECT}),
    Stage.CONTENT: frozenset({Kind.CONTENT}),
}


class ContraryMode:
    """What a seed decides: for the whole run, for each file, and for each request.

    The seed and the file decide, and for a request what it is for and how often it was made: the same in every run, in
    whatever order the files are asked for.
    """

    def __init__(self, seed: int, share: float, names: Collection[str] = ()) -> None:
        """Draw the habits of the run: how files are identified, and how links are reached.

        Args:
            seed: Decides, together with each file or request.
            share: The share of requests, of files, and of habits, that are contrary; from 0 to 1.
            names: The values of `Contrary` to draw from; empty for all.

        Raises:
            ValueError: A name is unknown, or the share is not one.
        """
        if not 0 <= share <= 1:
            raise ValueError("contrary_share must be from 0 to 1")
        self._seed = seed
        self._share = share
        allowed = {Contrary(name) for name in names or Contrary}
        self._allowed = [each for each in Contrary if each in allowed]
        self._counts: Counter[tuple[Stage, str, date]] = Counter()
        self._lock = threading.Lock()
        self._habits = list(self._draw_habits())

    def of_file(self, file_type: str, day: date) -> list[PlannedFault]:
        """Return what is always so for a file."""
        habits = [each for each in self._habits if each.stage is not Stage.WAY]
        spoils = self.spoils(file_type, day)
        drawn = []
        for kind in (Kind.DAY, Kind.CONTENT):
            chance = self._random("file", kind, file_type, day)
            if chance.random() < self._share and not spoils:
                drawn += self._drawn(chance, self._of({kind}, spoils=False))
        if spoils:
            drawn += self._drawn(self._random("spoiled", file_type, day), self._of([*Kind], spoils=True))
        return [*drawn, *habits]

    def spoils(self, file_type: str, day: date) -> bool:
        """Return whether a client may never get this file as a whole, however often it asks."""
        chance = self._random("for ever", file_type, day)
        return chance.random() < self._share * _FOR_EVER and bool(self._of([*Kind], spoils=True))

    def of_request(self, stage: Stage, file_type: str, day: date) -> PlannedFault | None:
        """Return what happens to this request, at one of the stages of its way; call it once for each."""
        kinds = _OF_REQUESTS.get(stage)
        if kinds is None:
            return None
        with self._lock:
            self._counts[stage, file_type, day] += 1
            count = self._counts[stage, file_type, day]
        chance = self._random("request", stage, file_type, day, count)
        if chance.random() < self._share:
            # A sound file that came once only would be another version of it.
            among = self._of(kinds, spoils=True if stage is Stage.CONTENT else None)
            drawn = [each for each in self._drawn(chance, among) if each.stage is stage]
            if drawn:
                return drawn[0]
        return next((each for each in self._habits if each.stage is stage), None)

    def _draw_habits(self) -> Iterator[PlannedFault]:
        for behaviour in [*self._of({Kind.IDENTITY}), *self._of({Kind.REDIRECT})]:
            chance = self._random("habit", behaviour)
            if behaviour not in {Contrary.REDIRECT_LOOP, Contrary.REDIRECT_BAD} and chance.random() < self._share:
                yield from self._drawn(chance, [behaviour])

    def _of(self, kinds: Collection[Kind], *, spoils: bool | None = None) -> list[Contrary]:
        """Return the behaviours of these kinds, those alone that spoil files or do not, or all."""
        found = [each for each in self._allowed if BEHAVIOURS[each].kind in kinds]
        return [each for each in found if spoils is None or BEHAVIOURS[each].spoils is spoils]

    def _drawn(self, chance: random.Random, among: Collection[Contrary]) -> list[PlannedFault]:
        if not among:
            return []
        drawn = chance.choice(list(among))
        return [plan(drawn, None, None, None, chance.choice(BEHAVIOURS[drawn].draws))]

    def _random(self, *what: object) -> random.Random:
        return random.Random(f"{self._seed} {[str(each) for each in what]}")
