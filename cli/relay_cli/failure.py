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
    ConfigNotFound,
    ConfigParseError,
    CredentialRetrievalError,
    EndpointConnectionError,
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

from relay_cli.text import one_line

FAILED, USAGE, NO_AWS, NO_STACK, REFUSED = 1, 2, 3, 4, 5
INTERRUPTED = 130

_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_UNKNOWN = frozenset(
    {"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidAccessKeyId"}
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_GONE = frozenset({"NonExistentQueue", "QueueDoesNotExist", "ResourceNotFoundException", "NoSuchBucket"})


class Failure(Exception):
    """An expected failure; it is shown without a traceback.

    Attributes:
        reason: What is wrong and what to do, in one or two lines; holds no secret.
        code: The exit code.
    """

    def __init__(self, reason: str, code: int = FAILED) -> None:
        """Keep both."""
        super().__init__(reason)
        self.reason = reason
        self.code = code


def from_aws_error(error: ClientError | BotoCoreError) -> Failure:
    """Say what to do about an error of AWS."""
    return _from_response(error) if isinstance(error, ClientError) else Failure(_local_reason(error), NO_AWS)


def _from_response(error: ClientError) -> Failure:
    """Say what to do about what AWS answered."""
    code, operation = error.response["Error"]["Code"].rpartition(".")[2], error.operation_name
    if code in _EXPIRED:
        words = "Your AWS session has expired: log in again (aws sso login, or new credentials)."
    elif code in _UNKNOWN:
        words = f"AWS does not know your credentials ({code}): check profile and region."
    elif code in _DENIED:
        words = f"AWS does not allow you {operation}: ask for the permission, or use another profile."
    elif code in _GONE:
        words = f"What {operation} needs is not there any more ({code}): deploy the stack again."
        return Failure(words, NO_STACK)
    else:
        said = one_line(error.response["Error"].get("Message", ""))
        words = f"AWS refused {operation} ({code}): {said}".rstrip(": ")
    return Failure(words, NO_AWS)


def _local_reason(error: BotoCoreError) -> str:
    """Say what to do about what kept this machine from asking AWS, or from hearing its answer."""
    match error:
        case NoCredentialsError() | PartialCredentialsError():
            words = "There are no AWS credentials: run `aws configure`, or name a profile with --profile."
        case NoRegionError():
            words = "No AWS region is set: name one with --region, or in your profile."
        case InvalidRegionError():
            words = f"{_said(error)} Name one such as us-east-1 with --region."
        case ProfileNotFound():
            words = f"{_said(error)} `aws configure list-profiles` shows those there are."
        case TokenRetrievalError() | SSOError() | LoginError():
            words = "Your AWS session has expired, or was never begun: log in with `aws sso login` (or `aws login`)."
        case CredentialRetrievalError():  # not its own words: they are another program's, and may hold anything
            words = "Your profile's way to get AWS credentials failed: try it by `aws sts get-caller-identity`."
        case (
            ConfigParseError()
            | ConfigNotFound()
            | InvalidConfigError()
            | InvalidDefaultsMode()
            | InvalidRetryConfigurationError()
        ):
            words = f"{_said(error)} Mend your AWS configuration, or name another profile with --profile."
        case EndpointConnectionError():
            words = f"{_said(error)} Check the network and the region."
        case ProxyConnectionError() | SSLError():
            words = f"{_said(error)} Check the proxy, the certificates, and AWS_ENDPOINT_URL if you set it."
        case _:
            words = f"AWS did not answer ({type(error).__name__}): try again."
    return words


def _said(error: BotoCoreError) -> str:
    """Quote an error of this machine's side, in one line that ends like a sentence."""
    return f"{one_line(str(error)).rstrip('.')}."
