"""How this command was invoked, which the commands that it advises have to repeat."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Invocation:
    """The region and the profile that the operator chose. What the environment says holds for other commands anyway.

    Attributes:
        region: The AWS region; None if none was chosen.
        profile: The AWS profile; None if none was chosen.
        runtime: What ``make deploy`` gets as RUNTIME; None if it needs nothing.
    """

    region: str | None = None
    profile: str | None = None
    runtime: str | None = None

    def relay(self, command: str) -> str:
        """Return a command of `relay` as it is typed."""
        options = [word for option, _, value in self._chosen() for word in (option, value)]
        return " ".join(["relay", *map(shlex.quote, options), command])

    def make_deploy(self, parameters: str) -> str:
        """Return the command that deploys with these parameters, ``Name=value Name=value``, as it is typed."""
        variables = "".join(f"{name}={shlex.quote(value)} " for _, name, value in self._chosen())
        variables += f"RUNTIME={self.runtime} " if self.runtime else ""
        return f'{variables}make deploy PARAMETERS="{parameters}"'

    def aws(self, command: str, region: str) -> str:
        """Return a command of an AWS CLI, such as ``aws sqs list-queues``, as it is typed.

        It always names the region: those CLIs do not find it where `relay` does.
        """
        profile = [f"--profile {shlex.quote(value)}" for option, _, value in self._chosen() if option == "--profile"]
        return " ".join([command, f"--region {shlex.quote(region)}", *profile])

    def _chosen(self) -> list[tuple[str, str, str]]:
        places = (("--region", "AWS_REGION", self.region), ("--profile", "AWS_PROFILE", self.profile))
        return [(option, name, value) for option, name, value in places if value and value != os.environ.get(name)]
