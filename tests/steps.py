"""Steps that looking at a text takes, counted: lines of Python, and what a regular expression tries.

Seconds depend on the machine, steps do not. A pattern is walked as `re` walks it, place by place and with backtracking,
by the tree that `re` parses it into.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from contextlib import ExitStack
from functools import cache
from itertools import groupby
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType, ModuleType

MOST_STEPS_A_CHARACTER = 500
"""A function that needs more is stopped: it is not linear, and would take hours for a megabyte."""


class TooManyStepsError(AssertionError):
    """The function takes more steps per character than any linear one here."""


class Counter:
    """Counts steps, up to a bound."""

    def __init__(self, most: int) -> None:
        self.steps = 0
        self._most = most

    def add(self, steps: int) -> None:
        self.steps += steps
        if self.steps > self._most:
            raise TooManyStepsError(f"more than {self._most} steps")


def steps(function: Callable[[str], object], text: str, modules: Sequence[ModuleType]) -> int:
    """Count the steps of a function: in these modules, and in the patterns that they hold.

    Raises:
        TooManyStepsError: There are more than `MOST_STEPS_A_CHARACTER` for each character.
    """
    counter = Counter(MOST_STEPS_A_CHARACTER * (len(text) + 1000))
    files = {module.__file__ for module in modules}

    def on_call(frame: FrameType, event: str, _argument: object) -> Any:
        if frame.f_code.co_filename not in files:
            return None
        counter.add(1)
        return on_line if event == "call" else None

    def on_line(_frame: FrameType, _event: str, _argument: object) -> Any:
        counter.add(1)
        return on_line

    with ExitStack() as stack:
        for module in modules:
            for name, value in vars(module).items():
                if isinstance(value, re.Pattern):
                    stack.enter_context(patch.object(module, name, Counted(value, counter)))
        stack.enter_context(patch.object(unicodedata, "normalize", _normalizing(counter)))
        stack.callback(sys.settrace, sys.gettrace())
        sys.settrace(on_call)
        function(text)
    return counter.steps


class Counted:
    """A pattern whose searches are counted before `re` does them."""

    def __init__(self, pattern: re.Pattern[str], counter: Counter) -> None:
        self._pattern = pattern
        self._counter = counter

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._pattern, name)
        if name not in {"sub", "subn", "search", "finditer", "findall", "split", "match", "fullmatch"}:
            return method

        def counted(*arguments: Any) -> Any:
            text = arguments[1] if name in {"sub", "subn"} else arguments[0]
            trace = sys.gettrace()
            sys.settrace(None)  # counting itself does not count
            for _ in found(self._pattern, text, self._counter, anchored=name in {"match", "fullmatch"}):
                if name in {"search", "match", "fullmatch"}:
                    break
            sys.settrace(trace)
            return method(*arguments)

        return counted


def found(
    pattern: re.Pattern[str], text: str, counter: Counter, *, anchored: bool = False
) -> Iterator[tuple[int, int]]:
    """Find a pattern's matches one after the other, as `re` does, and count the attempts."""
    tree = _parser.parse(pattern.pattern, pattern.flags)
    walk = _Walk(tree.state, text, counter)
    first = _compiled(repr(tree[0]), pattern.flags, _Node(tree[0])) if tree[0][0] in _ONE_CHARACTER else None
    known: dict[str, tuple[int, int | None]] = {}  # by the text around a place, to walk it only once
    start, firsts = 0, set[str]()
    while start <= len(text):
        if not anchored and first and text[start : start + 1] not in firsts:
            match = first.search(text, start)
            place = match.start() if match else len(text)
            counter.add(place - start)  # `re` tries each of these places, too
            start = place if match else place + 1
            firsts.add(text[start : start + 1])
        around = text[max(0, start - AHEAD) : start + AHEAD]
        steps, length = known.get(around) or walk.match(tree, start)
        counter.add(steps)
        if start >= AHEAD and walk.furthest < start + AHEAD < len(text):
            known[around] = steps, length
        if length is not None:
            yield start, start + length
        if anchored:
            return
        start += length or 1


AHEAD = 64
"""How many characters around a place are compared; longer than what any pattern here looks at before it gives up."""


class _Walk:
    """One text, walked by a pattern's tree.

    Attributes:
        furthest: The last place that was looked at.
    """

    def __init__(self, state: Any, text: str, counter: Counter) -> None:
        self.text = text
        self.counter = counter
        self.furthest = 0
        self._flags = state.flags

    def match(self, tree: Any, start: int) -> tuple[int, int | None]:
        """Return the steps of a match at this place, and its length, if it matches."""
        before, self.furthest = self.counter.steps, start
        end = next(self.ends(list(tree), start), None)
        steps = self.counter.steps - before
        self.counter.steps = before
        return steps, None if end is None else end - start

    def ends(self, nodes: list[Any], place: int) -> Iterator[int]:
        """Yield each place at which the nodes can end, in the order in which `re` tries them."""
        if not nodes:
            yield place
            return
        (operation, argument), *rest = nodes
        self.counter.add(1)
        self.furthest = max(self.furthest, place)
        if operation in _ONE_CHARACTER:
            if _compiled(repr(nodes[0]), self._flags, _Node(nodes[0])).match(self.text, place):
                yield from self.ends(rest, place + 1)
        elif operation is _constants.SUBPATTERN:
            yield from self.ends([*argument[-1], *rest], place)
        elif operation is _constants.BRANCH:
            for branch in argument[1]:
                yield from self.ends([*branch, *rest], place)
        elif operation in {_constants.ASSERT, _constants.ASSERT_NOT}:
            yield from self._look_around(argument, place, rest, wanted=operation is _constants.ASSERT)
        elif operation in {_constants.MAX_REPEAT, _constants.MIN_REPEAT}:
            yield from self._repeat(operation, argument, place, rest)
        else:
            raise NotImplementedError(operation)

    def _look_around(self, argument: Any, place: int, rest: list[Any], *, wanted: bool) -> Iterator[int]:
        direction, looked_for = argument
        begin = place if direction > 0 else place - looked_for.getwidth()[0]
        there = begin >= 0 and next(self.ends(list(looked_for), begin), None) is not None
        if there is wanted:
            yield from self.ends(rest, place)

    def _repeat(self, operation: Any, argument: Any, place: int, rest: list[Any]) -> Iterator[int]:
        least, most, repeated = argument
        if len(repeated) == 1 and repeated[0][0] in _ONE_CHARACTER:
            run = _compiled(f"{repeated[0]!r}*", self._flags, _Node(repeated[0], repeat=True)).match(self.text, place)
            length = min(run.end() - place if run else 0, int(most))
            self.counter.add(length)
            self.furthest = max(self.furthest, place + length)
            places = range(place + least, place + length + 1)
            for end in places if operation is _constants.MIN_REPEAT else reversed(places):
                self.counter.add(1)
                yield from self.ends(rest, end)
        elif int(most) <= _MOST_UNROLLED:
            for times in range(int(most), least - 1, -1):
                yield from self.ends([*list(repeated) * times, *rest], place)
        else:
            raise NotImplementedError("a repeated group")


_MOST_UNROLLED = 4
_ONE_CHARACTER = frozenset({_constants.LITERAL, _constants.NOT_LITERAL, _constants.ANY, _constants.IN})


class _Node:
    """A node of a tree, as part of a cache's key by its text alone."""

    def __init__(self, node: Any, *, repeat: bool = False) -> None:
        self.node = (_constants.MAX_REPEAT, (0, _constants.MAXREPEAT, [node])) if repeat else node

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Node)

    def __hash__(self) -> int:
        return 0


@cache
def _compiled(_text: str, flags: int, node: _Node) -> re.Pattern[str]:
    state = _parser.State()
    state.flags = flags
    state.str = ""
    (operation, argument) = node.node
    if operation is _constants.MAX_REPEAT:
        argument = (*argument[:2], _parser.SubPattern(state, argument[2]))
    compiled: re.Pattern[str] = _compiler.compile(_parser.SubPattern(state, [(operation, argument)]), flags)
    return compiled


def _normalizing(counter: Counter) -> Callable[[str, str], str]:
    """Normalize as the standard library does, which puts combining marks into their order by insertion."""
    normalize = unicodedata.normalize

    def counted(form: Any, text: str) -> str:
        counter.add(len(text))
        decomposed = "".join(normalize("NFD", character) for character in text)
        for marks, run in groupby(map(unicodedata.combining, decomposed), key=bool):
            classes = list(run)
            if marks and classes != sorted(classes):
                counter.add(len(classes) ** 2 // 4)
        return normalize(form, text)

    return counted
