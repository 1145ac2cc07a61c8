"""The deployed relay, found by its name: its outputs, its parameters, and clients of the account it lives in."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relay_cli.failure import NO_AWS, NO_STACK, WRONG, Failure, of_aws
from relay_cli.text import one_line

if TYPE_CHECKING:
    from boto3 import Session

DEFAULT_NAME = "stocktwits-relay"
SETTINGS: dict[str, Any] = {
    "connect_timeout": 5,
    "read_timeout": 15,
    "retries": {"mode": "standard", "total_max_attempts": 3},
}
"""How clients are configured, as `botocore.config.Config` takes it; time-outs in seconds: a person waits."""

_OF_A_RELAY = "OutboxQueueUrl"
"""An output that every relay has, whatever is switched off."""


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
    session: Session
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:  # noqa: ANN401  its type depends on the name
        """Return the client of a service, such as ``sqs``; made once."""
        if service not in self._clients:
            self._clients[service] = client(self.session, service)
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
    import boto3  # noqa: PLC0415  help, completion and what is wrong with a command's words would wait for it

    name = name or _configured(Path("samconfig.toml")) or DEFAULT_NAME
    try:
        session = boto3.Session(region_name=region, profile_name=profile)
        (found,) = client(session, "cloudformation").describe_stacks(StackName=name)["Stacks"]
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
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}
    # Whatever an update is doing, or did not finish, what was deployed before it is there: to pause, above all.
    if status not in {"CREATE_COMPLETE", "IMPORT_COMPLETE"} and not status.startswith("UPDATE_"):
        raise Failure(
            f"The stack {name} is not deployed completely ({status}): wait until it is, or deploy it again.", NO_STACK
        )
    if _OF_A_RELAY not in outputs:
        raise Failure(f"The stack {name} is no StockTwits Relay: name the one that is with --stack-name.", NO_STACK)
    parameters = {each["ParameterKey"]: each.get("ParameterValue", "") for each in found.get("Parameters", [])}
    return Stack(name, outputs, parameters, session)


def client(session: Session, service: str, **settings: Any) -> Any:  # noqa: ANN401  its type depends on the name
    """Make a client of a service with `SETTINGS`, and others in place of some of them.

    Raises:
        Failure: ``AWS_ENDPOINT_URL``, or its like in a profile, is no address.
    """
    from botocore.config import Config  # noqa: PLC0415  as above

    try:
        return session.client(service, config=Config(**SETTINGS | settings))  # type: ignore[call-overload]
    except BotoCoreError:
        raise
    except ValueError as error:
        raise Failure(f"AWS cannot be reached: {one_line(str(error))}. Check AWS_ENDPOINT_URL.", NO_AWS) from None


def _configured(file: Path) -> str | None:
    """Return the stack's name as ``sam deploy`` reads it in a ``samconfig.toml``, if there is one.

    Raises:
        Failure: It cannot be read: the usual name in place of the one in it could be another relay.
    """
    try:
        settings = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise Failure(
            f"{file} cannot be read ({one_line(why or '')}): mend it, or name the stack with --stack-name.", WRONG
        ) from None
    for command in ("deploy", "global"):
        with suppress(KeyError, TypeError):
            return str(settings["default"][command]["parameters"]["stack_name"])
    return None
