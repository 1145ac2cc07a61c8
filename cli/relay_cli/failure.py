"""Expected failures: one or two lines on what is wrong and what to do, and an exit code.

Exit codes::

    0    done
    1    it failed: for example, a message was rejected, or a backup is damaged
    2    usage error: an option, a date or a file is invalid (typer uses the same code)
    3    AWS cannot be used: no credentials, an expired session, no permission, no connection
    4    there is no such stack, or it is not completely deployed
    5    StockTwits or Firestream refused the request
    130  interrupted
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigNotFound,
    ConfigParseError,
    ConnectionError,  # noqa: A004  AWS cannot be reached; not Python's own
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    InvalidConfigError,
    InvalidDefaultsMode,
    InvalidRegionError,
    InvalidRetryConfigurationError,
    LoginError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    SSLError,
    SSOError,
    TokenRetrievalError,
)
from relay.aws_errors import error_code

from relay_cli.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

FAILED, USAGE, NO_AWS, NO_STACK, REFUSED = 1, 2, 3, 4, 5
INTERRUPTED = 130

_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_UNKNOWN = frozenset(
    {"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidAccessKeyId"}
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"})
_GONE = frozenset({"NonExistentQueue", "NotFound", "QueueDoesNotExist", "ResourceNotFoundException", "NoSuchBucket"})


class Failure(Exception):
    """An expected failure; it is printed without a traceback.

    Attributes:
        reason: What is wrong and what to do, in one or two lines; holds no secret.
        code: The exit code.
        temporary: Whether the same call may succeed a little later.
    """

    def __init__(self, reason: str, code: int = FAILED, *, temporary: bool = False) -> None:
        """Create the failure."""
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.temporary = temporary


def from_aws_error(error: ClientError | BotoCoreError) -> Failure:
    """Return what to do about an AWS error."""
    if isinstance(error, ClientError):
        return _from_response(error)
    return Failure(_local_reason(error), NO_AWS, temporary=isinstance(error, (ConnectionError, HTTPClientError)))


@contextmanager
def outlast_temporary() -> Iterator[None]:
    """End the block quietly at a failure that is temporary: for what looks again a little later.

    Raises:
        Failure: The failure is another one.
    """
    try:
        yield
    except Failure as failure:
        if not failure.temporary:
            raise
    except (ClientError, BotoCoreError) as error:
        what = from_aws_error(error)
        if not what.temporary:
            raise what from None


def is_denied(error: Exception) -> bool:
    """Return whether AWS refused a call because a permission is missing."""
    return isinstance(error, ClientError) and _code(error) in _DENIED


def is_gone(error: Exception) -> bool:
    """Return whether what a call is about does not exist."""
    return isinstance(error, ClientError) and _code(error) in _GONE


def _code(error: ClientError) -> str:
    """Return AWS's code without a prefix such as ``AWS.SimpleQueueService.``."""
    return error_code(error).rpartition(".")[2]


def _from_response(error: ClientError) -> Failure:
    """Return what to do about an error response of AWS."""
    code, operation = _code(error), error.operation_name
    if code in _EXPIRED:
        reason = "Your AWS session has expired: log in again (aws sso login, or new credentials)."
    elif code in _UNKNOWN:
        reason = f"AWS does not recognize your credentials ({code}): check profile and region."
    elif code in _DENIED:
        reason = f"AWS does not allow you to call {operation}: ask for the permission, or use another profile."
    elif code in _GONE:
        reason = f"The resource for {operation} no longer exists ({code}): deploy the stack again."
        return Failure(reason, NO_STACK)
    else:
        message = one_line(error.response["Error"].get("Message", ""))
        reason = f"AWS refused {operation} ({code}): {message}".rstrip(": ")
        return Failure(reason, NO_AWS, temporary=True)  # throttled, most often, or an error of its own
    return Failure(reason, NO_AWS)


def _local_reason(error: BotoCoreError) -> str:
    """Return what to do about an error on this machine, or a missing response."""
    match error:
        case NoCredentialsError() | PartialCredentialsError():
            reason = "There are no AWS credentials: run `aws configure`, or choose a profile with --profile."
        case NoRegionError():
            reason = "No AWS region is set: choose one with --region, or set it in your profile."
        case InvalidRegionError():
            reason = f"{_quote(error)} Choose a region such as us-east-1 with --region."
        case ProfileNotFound():
            reason = f"{_quote(error)} `aws configure list-profiles` lists the available ones."
        case TokenRetrievalError() | SSOError() | LoginError():
            reason = "Your AWS session has expired or does not exist: log in with `aws sso login` (or `aws login`)."
        case CredentialRetrievalError():  # without its message: another program wrote it, and it may contain secrets
            reason = "Your profile's credential provider failed: test it with `aws sts get-caller-identity`."
        case (
            ConfigParseError()
            | ConfigNotFound()
            | InvalidConfigError()
            | InvalidDefaultsMode()
            | InvalidRetryConfigurationError()
        ):
            reason = f"{_quote(error)} Fix your AWS configuration, or choose another profile with --profile."
        case EndpointConnectionError():
            reason = f"{_quote(error)} Check the network and the region."
        case ProxyConnectionError() | SSLError():
            reason = f"{_quote(error)} Check the proxy, the certificates, and AWS_ENDPOINT_URL if you set it."
        case _:
            reason = f"AWS did not respond ({type(error).__name__}): try again."
    return reason


def _quote(error: BotoCoreError) -> str:
    """Quote an error of this machine in one line that ends with a full stop."""
    return f"{one_line(str(error)).rstrip('.')}."
