"""What the commands share: the stack, looked up on first use, and the consoles."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from relay_cli.deployed import stack
from relay_cli.invocation import Invocation
from relay_cli.output import SafeConsole, goes_to_a_terminal
from relay_cli.text import ago, moment, until

if TYPE_CHECKING:
    from datetime import datetime

    from boto3 import Session

    from relay_cli.deployed.stack import Stack


@dataclass
class Context:
    """The options before a command.

    Attributes:
        stack_name: The stack; None for the default.
        region: The AWS region; None for the default.
        profile: The AWS profile; None for the default.
        utc: Whether to show points in time in UTC on a terminal, too.
        given: What further commands have to repeat, if `relay setup` runs this one; otherwise None.
    """

    stack_name: str | None = None
    region: str | None = None
    profile: str | None = None
    utc: bool = False
    given: Invocation | None = None

    @cached_property
    def session(self) -> Session:
        """The operator's way to AWS; raises `relay_cli.failure.Failure` if its configuration cannot be used."""
        return stack.open_session(self.region, self.profile)

    @cached_property
    def stack(self) -> Stack:
        """The stack; raises `relay_cli.failure.Failure` if it cannot be found."""
        return stack.find(self.session, self.stack_name)

    @cached_property
    def invocation(self) -> Invocation:
        """What further commands have to repeat: with a profile, the region too, or `make deploy` might use another.

        Raises `relay_cli.failure.Failure` as `session` does.
        """
        if self.given:
            return self.given
        by_profile = self.profile or os.environ.get("AWS_PROFILE")
        return Invocation(self.session.region_name if by_profile else self.region, self.profile)

    @property
    def exact(self) -> bool:
        """Whether to show points in time in UTC, not as seen from now: on demand, and anywhere but on a terminal."""
        return self.utc or not goes_to_a_terminal()

    def moment(self, at: datetime | None) -> str:
        """Format a point in time: how long ago it was, or in how long it is, unless it must be exact."""
        return moment(at) if at is None or self.exact else ago(at, time.time())

    def until(self, end: datetime) -> str:
        """Format the end of something that lasts: for how long it does, unless it must be exact."""
        return until(end, None if self.exact else time.time())

    @cached_property
    def console(self) -> SafeConsole:
        """Standard output: the result of the command."""
        return SafeConsole()

    @cached_property
    def notes(self) -> SafeConsole:
        """Standard error: progress, notes and warnings."""
        return SafeConsole(stderr=True)
