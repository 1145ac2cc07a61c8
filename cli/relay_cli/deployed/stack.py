"""A deployed stack: its outputs, its parameters, and AWS clients for its account."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from relay import client as relay_client
from relay.client import AwsError, NoStack, NotDeployed, NotRelay, SamConfigError, StackError

from relay_cli.failure import NO_AWS, NO_STACK, USAGE, Failure, from_aws_error
from relay_cli.text import one_line

if TYPE_CHECKING:
    from boto3 import Session

MORE_ATTEMPTS = {"logs": {"retries": {"mode": "standard", "total_max_attempts": 6}}}
"""Settings of services that throttle sooner than others: see `relay_cli.deployed.logs.REQUEST_SECONDS`."""

_CHOICES = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE")
"""The variables with which an operator chooses a region, or a profile that has one."""

_ADVICE = {
    NoStack: ("name another with --stack-name or --region, or deploy it first", NO_STACK),
    NotDeployed: ("wait until it is, or deploy it again", NO_STACK),
    NotRelay: ("name another one with --stack-name", NO_STACK),
    SamConfigError: ("correct that, or name the stack with --stack-name", USAGE),
}
"""What to do about each reason why a stack cannot be used, and the exit code."""


class UnusableStack(Failure):
    """A stack that cannot be used.

    Attributes:
        cause: Why, as `relay.client` found out: `relay.client.NoStack` alone means that there is none.
    """

    def __init__(self, cause: StackError) -> None:
        """Create the failure with what to do about it."""
        advice, code = _ADVICE[type(cause)]
        super().__init__(f"{one_line(cause.reason)}: {advice}.", code)
        self.cause = cause


@dataclass
class Stack:
    """A deployed relay.

    Attributes:
        name: The stack's name.
        outputs: The template's outputs, such as ``OutboxQueueUrl``.
        parameters: The values it was deployed with, such as ``MaxPostsPerHour``.
        session: The operator's way to AWS.
        status: CloudFormation's status of it, such as ``UPDATE_COMPLETE``.
        settings: What differs from `relay.client.SETTINGS` for its clients.
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
    """Open the operator's way to AWS, as `relay.client.open_session` does.

    Args:
        region: The AWS region; None for the default of the environment, else the one in ``samconfig.toml`` in the
            current folder unless a profile was chosen, else that of the profile.
        profile: The AWS profile; None for the default.

    Raises:
        Failure: There is no such profile, or AWS's configuration cannot be read.
    """
    try:
        return relay_client.open_session(region or (None if profile else configured_region()), profile)
    except BotoCoreError as error:
        raise from_aws_error(error) from None


def configured_region() -> str | None:
    """Return the region of ``samconfig.toml`` in the current folder, unless the environment names one or a profile."""
    if any(os.environ.get(name) for name in _CHOICES):
        return None
    with suppress(SamConfigError):  # `relay.client.find_stack` reports it, unless the stack is named
        return relay_client.configured("region")
    return None


def find(session: Session, name: str | None = None, **settings: Any) -> Stack:  # noqa: ANN401  botocore's own
    """Find a stack in CloudFormation.

    Args:
        session: The operator's way to AWS.
        name: Its name; None for the one that `relay.client.find_stack` finds.
        settings: What differs from `relay.client.SETTINGS` for the stack's clients.

    Raises:
        UnusableStack: There is no such stack, it is not a relay, or its deployment is incomplete.
        Failure: AWS cannot be used.
    """
    try:
        found = relay_client.find_stack(client(session, "cloudformation", **settings), name)
    except StackError as error:
        raise UnusableStack(error) from None
    except (ClientError, BotoCoreError) as error:
        raise from_aws_error(error) from None
    return Stack(found.name, found.outputs, found.parameters, session, found.status, settings)


def client(session: Session, service: str, **settings: Any) -> Any:  # noqa: ANN401  its type depends on the name
    """Create a client of a service, as `relay.client.open_client` does.

    Raises:
        Failure: ``AWS_ENDPOINT_URL``, or the same setting of the profile, is not a URL.
    """
    try:
        return relay_client.open_client(session, service, **settings)
    except AwsError as error:
        raise Failure(f"{one_line(error.reason)}. Check AWS_ENDPOINT_URL.", NO_AWS) from None
