"""The deployed relay, found by its name: its outputs, its parameters, and clients of the account it lives in."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from relay_cli.failure import NO_STACK, Failure, of_aws

DEFAULT_NAME = "stocktwits-relay"
CONFIG = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3})
"""Time-outs in seconds: a person waits."""


@dataclass
class Stack:
    """A deployed relay.

    Attributes:
        name: The stack's name.
        outputs: The template's outputs, such as ``OutboxQueueUrl``.
        parameters: The values it was deployed with, such as ``MaxPostsPerHour``.
    """

    name: str
    outputs: dict[str, str]
    parameters: dict[str, str]
    session: boto3.Session
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:  # noqa: ANN401  its type depends on the name
        """Return the client of a service, such as ``sqs``; made once."""
        if service not in self._clients:
            self._clients[service] = self.session.client(service, config=CONFIG)  # type: ignore[call-overload]
        return self._clients[service]

    def output(self, name: str) -> str:
        """Return an output.

        Raises:
            Failure: The stack has none of this name: it is older than this command, or a half of it is switched off.
        """
        try:
            return self.outputs[name]
        except KeyError:
            raise Failure(
                f"The stack {self.name} has no output {name}: deploy it again, with this half switched on.", NO_STACK
            ) from None

    def parameter(self, name: str) -> str:
        """Return the value of a parameter.

        Raises:
            Failure: The stack has none of this name: it is older than this command.
        """
        try:
            return self.parameters[name]
        except KeyError:
            raise Failure(f"The stack {self.name} has no parameter {name}: deploy it again.", NO_STACK) from None


def find(name: str | None = None, region: str | None = None, profile: str | None = None) -> Stack:
    """Find a stack in CloudFormation.

    Args:
        name: Its name; None for what ``samconfig.toml`` in this folder says, else `DEFAULT_NAME`.
        region: The AWS region; None for the profile's, or the environment's.
        profile: The AWS profile; None for the usual one.

    Raises:
        Failure: There is none, it is half deployed, or AWS cannot be used.
    """
    name = name or _configured(Path("samconfig.toml")) or DEFAULT_NAME
    try:
        session = boto3.Session(region_name=region, profile_name=profile)
        (found,) = session.client("cloudformation", config=CONFIG).describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            where = session.region_name
            raise Failure(
                f"There is no stack {name} in {where}: name another with --stack-name or --region, or deploy it first.",
                NO_STACK,
            ) from None
        raise of_aws(error) from None
    except BotoCoreError as error:
        raise of_aws(error) from None
    status = found["StackStatus"]
    if not status.endswith("_COMPLETE") or status in {"ROLLBACK_COMPLETE", "DELETE_COMPLETE"}:
        raise Failure(
            f"The stack {name} is not deployed completely ({status}): wait until it is, or deploy it again.", NO_STACK
        )
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}
    parameters = {each["ParameterKey"]: each.get("ParameterValue", "") for each in found.get("Parameters", [])}
    return Stack(name, outputs, parameters, session)


def _configured(file: Path) -> str | None:
    """Return the stack's name that a ``samconfig.toml`` holds, if there is one."""
    try:
        settings = tomllib.loads(file.read_text())
        name = settings["default"]["global"]["parameters"]["stack_name"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(name)
