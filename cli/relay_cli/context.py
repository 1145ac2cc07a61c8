"""What the commands share: the stack, looked up on first use, and the consoles."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from relay_cli.deployed import stack
from relay_cli.output import SafeConsole

if TYPE_CHECKING:
    from boto3 import Session

    from relay_cli.deployed.stack import Stack


@dataclass
class Context:
    """The options before a command.

    Attributes:
        stack_name: The stack; None for the default.
        region: The AWS region; None for the default.
        profile: The AWS profile; None for the default.
    """

    stack_name: str | None = None
    region: str | None = None
    profile: str | None = None

    @cached_property
    def session(self) -> Session:
        """The operator's way to AWS; raises `relay_cli.failure.Failure` if its configuration cannot be used."""
        return stack.open_session(self.region, self.profile)

    @cached_property
    def stack(self) -> Stack:
        """The stack; raises `relay_cli.failure.Failure` if it cannot be found."""
        return stack.find(self.session, self.stack_name)

    @cached_property
    def console(self) -> SafeConsole:
        """Standard output: the result of the command."""
        return SafeConsole()

    @cached_property
    def notes(self) -> SafeConsole:
        """Standard error: progress, notes and warnings."""
        return SafeConsole(stderr=True)
