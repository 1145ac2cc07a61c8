"""The webhook's sources: who may post alerts to its address, in one SecureString of SSM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from relay.aws_errors import error_code
from relay.errors import Reject
from relay.posting.webhook.sources import MAX_CHARACTERS, decode, encode

from relay_cli.deployed.stack import client
from relay_cli.failure import FAILED, Failure, from_aws_error
from relay_cli.text import one_line

if TYPE_CHECKING:
    from relay.posting.webhook.sources import Source

    from relay_cli.deployed.stack import Stack

PARAMETER = "WebhookSourcesParameter"
"""The stack's parameter with the name of the SecureString."""

_SECURE = "SecureString"


@dataclass(frozen=True, slots=True)
class StoredSources:
    """The sources as they are stored.

    Attributes:
        sources: Each source by its name.
        version: SSM's number of this version; 0 if nothing is stored yet.
        characters: How many of `MAX_CHARACTERS` they take; more are possible in an advanced parameter.
    """

    sources: dict[str, Source]
    version: int = 0
    characters: int = 0


def read(stack: Stack) -> StoredSources:
    """Read the sources; there are none if the parameter does not exist.

    Raises:
        Failure: What is stored is not a list of sources. It must stay as it is until somebody has looked at it.
        ClientError, BotoCoreError: SSM did not return it.
    """
    name = stack.parameter(PARAMETER)
    try:
        found = stack.client("ssm").get_parameter(Name=name, WithDecryption=True)["Parameter"]
    except ClientError as error:
        if error_code(error) == "ParameterNotFound":
            return StoredSources({})
        raise
    if found["Type"] != _SECURE:
        raise _unusable(name, f"it is a {one_line(found['Type'])}, not a {_SECURE}")
    try:
        return StoredSources(decode(found["Value"]), found["Version"], len(found["Value"].encode()))
    except Reject as error:
        raise _unusable(name, error.reason) from None


def write(stack: Stack, stored: StoredSources, sources: dict[str, Source]) -> None:
    """Store other sources in place of those that were read.

    SSM has no conditional write for a parameter that exists, so another writer is noticed only afterwards:
    https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html.

    Raises:
        Failure: They do not fit; or something else changed the parameter since it was read.
        ClientError: SSM did not store them.
    """
    name = stack.parameter(PARAMETER)
    try:
        value = encode(sources)
    except Reject as error:
        free = max(0, MAX_CHARACTERS - stored.characters)
        raise Failure(
            f"{one_line(error.reason).capitalize()}. Nothing was stored; {free:,} of {MAX_CHARACTERS:,} characters are "
            "free in the parameter.\nShorter templates, fewer addresses, and revoked sources make space.",
            FAILED,
        ) from None
    # Only once: a second attempt after a lost answer would look like somebody else's change.
    ssm = client(stack.session, "ssm", retries={"mode": "standard", "total_max_attempts": 1})
    try:
        answer = ssm.put_parameter(Name=name, Type=_SECURE, Value=value, Overwrite=stored.version > 0)
    except BotoCoreError as error:
        failure = from_aws_error(error)
        raise Failure(
            f"{failure.reason}\nThe change may be stored nevertheless: see `relay webhook list`.", failure.code
        ) from None
    except ClientError as error:
        if error_code(error) == "ParameterAlreadyExists":
            raise Failure(
                f"Something else created {name} at the same time: nothing was stored. Run the command again.", FAILED
            ) from None
        raise
    if answer["Version"] != stored.version + 1:
        raise Failure(
            f"Something else changed {name} at the same time, and that change is lost: compare `relay webhook list` "
            "with what it should be.\nThe change of this command is stored; if it was an `add`, run it again with "
            "--replace to get an address.",
            FAILED,
        )


def _unusable(name: str, why: str) -> Failure:
    return Failure(
        f"The webhook's sources in {name} cannot be used: {one_line(why)}. Nothing was changed.\n"
        f"Restore an earlier version (aws ssm get-parameter-history --with-decryption --name {name}), "
        "or delete the parameter and add the sources anew.",
        FAILED,
    )
