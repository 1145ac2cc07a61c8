"""What every command gets: the stack, found when it is first needed, and the way to show things."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from relay_cli.deployed import stack
from relay_cli.output import SafeConsole

if TYPE_CHECKING:
    from relay_cli.deployed.stack import Stack


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
    def console(self) -> SafeConsole:
        """For people: what is asked for."""
        return SafeConsole()

    @cached_property
    def notes(self) -> SafeConsole:
        """For people: progress, questions and warnings, beside what is asked for."""
        return SafeConsole(stderr=True)
