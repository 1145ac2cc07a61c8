"""What every command gets: the stack, found when it is first needed, and the way to show things."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, is_dataclass
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rich.console import Console

from relay_cli import stack

if TYPE_CHECKING:
    from relay_cli.stack import Stack


@dataclass
class Context:
    """The options in front of a command.

    Attributes:
        stack_name: Of the stack; None for the usual one.
        region: Of AWS; None for the usual one.
        profile: Of AWS; None for the usual one.
    """

    stack_name: str | None = None
    region: str | None = None
    profile: str | None = None

    @cached_property
    def stack(self) -> Stack:
        """The stack; raises `relay_cli.failure.Failure` when it cannot be found."""
        return stack.find(self.stack_name, self.region, self.profile)

    @cached_property
    def console(self) -> Console:
        """For people: what is asked for."""
        return Console(highlight=False)

    @cached_property
    def notes(self) -> Console:
        """For people: progress, questions and warnings, beside what is asked for."""
        return Console(stderr=True, highlight=False)


def print_json(value: object) -> None:
    """Print a value for scripts: data classes as objects, moments in ISO 8601."""
    json.dump(value, sys.stdout, indent=2, default=_plain, ensure_ascii=False)
    sys.stdout.write("\n")


def _plain(value: object) -> Any:  # noqa: ANN401  whatever JSON can hold
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return str(value)
