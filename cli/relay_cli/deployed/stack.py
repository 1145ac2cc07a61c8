"""A deployed stack: its outputs, its parameters, and AWS clients for its account."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from relay.aws_errors import error_code

from relay_cli.failure import NO_AWS, NO_STACK, USAGE, Failure, from_aws_error
from relay_cli.text import one_line

if TYPE_CHECKING:
    from boto3 import Session

DEFAULT_NAME = "stocktwits-relay"
SETTINGS: dict[str, Any] = {
    "connect_timeout": 5,
    "read_timeout": 15,
    "retries": {"mode": "standard", "total_max_attempts": 3},
}
"""The clients' `botocore.config.Config`; timeouts in seconds, short because the operator is waiting."""

MORE_ATTEMPTS = {"logs": {"retries": {"mode": "standard", "total_max_attempts": 6}}}
"""Settings of services that throttle sooner than others: see `relay_cli.deployed.logs.REQUEST_SECONDS`."""

_REQUIRED_OUTPUT = "OutboxQueueUrl"
"""An output that every relay has, whatever is switched off."""


@dataclass
class Stack:
    """A deployed relay.

    Attributes:
        name: The stack's name.
        outputs: The template's outputs, such as ``OutboxQueueUrl``.
        parameters: The values it was deployed with, such as ``MaxPostsPerHour``.
        session: The operator's way to AWS.
        status: CloudFormation's status of it, such as ``UPDATE_COMPLETE``.
        settings: What differs from `SETTINGS` for its clients.
    """

    name: str
    outputs: dict[str, str]
    parameters: dict[str, str]
    session: Session
    status: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:  # noqa: ANN401  its type depends on the name
        """Return the client of a service, such as ``sqs``; created once."""
        if service not in self._clients:
            settings = self.settings | MORE_ATTEMPTS.get(service, {})
            self._clients[service] = client(self.session, service, **settings)
        return self._clients[service]

    def resources(self) -> list[dict[str, Any]]:
        """List its resources, as CloudFormation's ListStackResources does."""
        pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=self.name)
        return [each for page in pages for each in page["StackResourceSummaries"]]

    def output(self, name: str) -> str:
        """Return an output.

        Raises:
            Failure: The stack has no such output: it is too old, or has posting or backups switched off.
        """
        try:
            return self.outputs[name]
        except KeyError:
            raise Failure(
                f"The stack {self.name} has no output {name}: deploy it again, with posting and backups switched on.",
                NO_STACK,
            ) from None

    def parameter(self, name: str) -> str:
        """Return the value of a parameter.

        Raises:
            Failure: The stack has no such parameter: it is older than this command.
        """
        try:
            return self.parameters[name]
        except KeyError:
            raise Failure(f"The stack {self.name} has no parameter {name}: deploy it again.", NO_STACK) from None


def open_session(region: str | None = None, profile: str | None = None) -> Session:
    """Open the operator's way to AWS; nothing is sent yet.

    Args:
        region: The AWS region; None for the default of the environment or the profile.
        profile: The AWS profile; None for the default.

    Raises:
        Failure: There is no such profile, or AWS's configuration cannot be read.
    """
    import boto3  # noqa: PLC0415  slow to import, and not needed for help and completion

    try:
        return boto3.Session(region_name=region, profile_name=profile)
    except BotoCoreError as error:
        raise from_aws_error(error) from None


def find(session: Session, name: str | None = None, **settings: Any) -> Stack:  # noqa: ANN401  botocore's own
    """Find a stack in CloudFormation.

    Args:
        session: The operator's way to AWS.
        name: Its name; None for the one in ``samconfig.toml`` in the current folder, else `DEFAULT_NAME`.
        settings: What differs from `SETTINGS` for the stack's clients.

    Raises:
        Failure: There is no such stack, its deployment is incomplete, or AWS cannot be used.
    """
    name = name or _configured(Path("samconfig.toml")) or DEFAULT_NAME
    try:
        (found,) = client(session, "cloudformation", **settings).describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if error_code(error) == "ValidationError":
            where = session.region_name
            raise Failure(
                f"There is no stack {name} in {where}: name another with --stack-name or --region, or deploy it first.",
                NO_STACK,
            ) from None
        raise from_aws_error(error) from None
    except BotoCoreError as error:
        raise from_aws_error(error) from None
    status = found["StackStatus"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}
    # During an update, or after a failed one, the stack's resources exist, and the operator may need to pause posting.
    if status not in {"CREATE_COMPLETE", "IMPORT_COMPLETE"} and not status.startswith("UPDATE_"):
        raise Failure(
            f"The stack {name} is not completely deployed ({status}): wait until it is, or deploy it again.", NO_STACK
        )
    if _REQUIRED_OUTPUT not in outputs:
        raise Failure(f"The stack {name} is not a StockTwits Relay: name another one with --stack-name.", NO_STACK)
    parameters = {each["ParameterKey"]: each.get("ParameterValue", "") for each in found.get("Parameters", [])}
    return Stack(name, outputs, parameters, session, status, settings)


def client(session: Session, service: str, **settings: Any) -> Any:  # noqa: ANN401  its type depends on the name
    """Create a client of a service with `SETTINGS`, some of which may be overridden.

    Raises:
        Failure: ``AWS_ENDPOINT_URL``, or the same setting of the profile, is not a URL.
    """
    from botocore.config import Config  # noqa: PLC0415  as above

    try:
        return session.client(service, config=Config(**SETTINGS | settings))  # type: ignore[call-overload]
    except BotoCoreError:
        raise
    except ValueError as error:
        raise Failure(f"AWS cannot be reached: {one_line(str(error))}. Check AWS_ENDPOINT_URL.", NO_AWS) from None


def _configured(file: Path) -> str | None:
    """Return the stack's name as ``sam deploy`` reads it from a ``samconfig.toml``, if there is one.

    Raises:
        Failure: It cannot be read. Falling back to the default name could mean another relay.
    """
    if file.exists() and not file.is_file():  # reading a FIFO would block
        raise Failure(f"{file} is not a file: remove it, or name the stack with --stack-name.", USAGE)
    try:
        settings = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise Failure(
            f"{file} cannot be read ({one_line(why or '')}): fix it, or name the stack with --stack-name.", USAGE
        ) from None
    for command in ("deploy", "global"):
        with suppress(KeyError, TypeError):
            return str(settings["default"][command]["parameters"]["stack_name"])
    return None
