"""What a check found: a state, what it saw, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    """It is as it should be."""
    WARNING = "warning"
    """The relay may work, but you should know this; or it could not be checked."""
    BROKEN = "broken"
    """The relay, or a part of it, does not work until this is fixed."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a check.

    Attributes:
        state: How it ended.
        text: What was seen, in a line; holds no secret.
        what_to_do: What to do about it; empty if there is nothing, or if the text says it.
    """

    state: State
    text: str
    what_to_do: str = ""

    def of(self, check: str) -> Finding:
        """Return the line of the report for a check of this name."""
        return Finding(check, self.state, self.text, self.what_to_do)


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of the report. These names, and those of the checks, are what ``--json`` prints: others rely on them.

    Attributes:
        check: The check's name, such as ``trigger-outbox``.
        state: As in `Verdict`.
        text: As in `Verdict`.
        what_to_do: As in `Verdict`.
    """

    check: str
    state: State
    text: str
    what_to_do: str


Check = Callable[[], Verdict | None]
"""Looks at one thing; None if there is nothing to say. May raise what AWS's clients raise, and
`relay_cli.failure.Failure`."""


def ok(text: str) -> Verdict:
    """Return that all is well."""
    return Verdict(State.OK, text)


def warning(text: str, what_to_do: str) -> Verdict:
    """Return what an owner should know."""
    return Verdict(State.WARNING, text, what_to_do)


def broken(text: str, what_to_do: str) -> Verdict:
    """Return what keeps the relay from working."""
    return Verdict(State.BROKEN, text, what_to_do)
