"""What goes wrong in front of a person: one or two lines that say what it is and what to do, and an exit code.

Exit codes::

    0    done
    1    it was tried, and did not come about: a message was rejected, a backup is not whole
    2    the command is wrong: an option, a date, a file (also what typer itself gives)
    3    AWS cannot be used: no credentials, an expired session, no permission, no connection
    4    there is no such stack, or it is not deployed completely
    5    StockTwits or Firestream refused
    130  interrupted
"""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

UNDONE, WRONG, NO_AWS, NO_STACK, REFUSED = 1, 2, 3, 4, 5

_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_UNKNOWN = frozenset(
    {"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidAccessKeyId"}
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})


class Failure(Exception):
    """An expected failure; it is shown without a traceback.

    Attributes:
        reason: What is wrong and what to do, in one or two lines; holds no secret.
        code: The exit code.
    """

    def __init__(self, reason: str, code: int = UNDONE) -> None:
        """Keep both."""
        super().__init__(reason)
        self.reason = reason
        self.code = code


def of_aws(error: ClientError | BotoCoreError) -> Failure:
    """Say what to do about an error of AWS."""
    if isinstance(error, ClientError):
        code, operation = error.response["Error"]["Code"].rpartition(".")[2], error.operation_name
        if code in _EXPIRED:
            return Failure("Your AWS session has expired: log in again (aws sso login, or new credentials).", NO_AWS)
        if code in _UNKNOWN:
            return Failure(f"AWS does not know your credentials ({code}): check profile and region.", NO_AWS)
        if code in _DENIED:
            return Failure(
                f"AWS does not allow you {operation}: ask for the permission, or use another profile.", NO_AWS
            )
        return Failure(
            f"AWS refused {operation} ({code}): {error.response['Error'].get('Message', '')}".rstrip(": "), NO_AWS
        )
    match error:
        case NoCredentialsError() | PartialCredentialsError():
            words = "There are no AWS credentials: run `aws configure`, or name a profile with --profile."
        case NoRegionError():
            words = "No AWS region is set: name one with --region, or in your profile."
        case ProfileNotFound():
            words = f"{error}: `aws configure list-profiles` shows those there are."
        case TokenRetrievalError() | UnauthorizedSSOTokenError():
            words = "Your AWS session has expired: log in again with `aws sso login`."
        case EndpointConnectionError():
            words = f"{error} Check the network and the region."
        case _:
            words = f"AWS did not answer ({type(error).__name__}): try again."
    return Failure(words, NO_AWS)
