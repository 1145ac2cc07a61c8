"""What the template and the account's owner decide: settings, credentials, AWS clients. All read when first needed."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from relay import __version__
from relay.errors import Halt, Misconfigured, Pause, Retry
from relay.stocktwits import AUTH_STYLES, Credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_ssm import SSMClient

CREDENTIALS_SECONDS = 300
"""How long the token is used without looking for a newer one."""

TOKEN_RECHECK_SECONDS = 300
"""How long to wait for a person when there is no readable token."""

AWS_CONFIG = Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=16,
    parameter_validation=False,
    user_agent=f"StockTwitsRelay/{__version__}",
)
"""Time-outs in seconds; three attempts end before a function's time does. Checking our own parameters again, and
describing this Python anew, would be a fifth of every call's price."""

_PARAMETER_MISSING = frozenset({"ParameterNotFound", "AccessDeniedException"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PostingSettings:
    """The settings of both functions that post; each is an environment variable of the same name in capitals."""

    source_queue_url: str
    dead_letter_queue_url: str
    ledger_table_name: str
    stocktwits_api_url: str
    stocktwits_auth_style: str
    stocktwits_token_parameter: str
    max_posts_per_hour: int
    post_burst: int
    max_posts_per_day: int
    post_concurrency: int
    dry_run: bool
    chart_bucket_name: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> PostingSettings:
        """Read the settings from environment variables.

        Raises:
            Misconfigured: One is missing or unreadable; the reason names it.
        """
        values: dict[str, Any] = {
            each.name: _read(environment, each.name.upper(), str(each.type)) for each in fields(cls)
        }
        settings = cls(**values)
        if settings.stocktwits_auth_style not in AUTH_STYLES:
            raise Misconfigured(f"STOCKTWITS_AUTH_STYLE must be one of {', '.join(AUTH_STYLES)}")
        if not settings.stocktwits_api_url.startswith(("https://", "http://")):
            raise Misconfigured("STOCKTWITS_API_URL must begin with https://")
        for name in ("max_posts_per_hour", "post_burst", "post_concurrency"):
            if getattr(settings, name) < 1:
                raise Misconfigured(f"{name.upper()} must be at least 1")
        return settings


def _read(environment: Mapping[str, str], name: str, kind: str) -> str | int | bool:
    try:
        value = environment[name]
    except KeyError:
        raise Misconfigured(f"the environment variable {name} is missing: deploy the template as it is") from None
    if kind == "int":
        if not value.isdecimal():
            raise Misconfigured(f"{name} must be a whole number")
        return int(value)
    if kind == "bool":
        if value not in {"true", "false"}:
            raise Misconfigured(f"{name} must be true or false")
        return value == "true"
    return value


class Clients:
    """AWS clients, each made once, when first asked for; making one is not safe in several threads at once."""

    def __init__(self) -> None:
        """Make nothing yet."""
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}

    def get(self, service: str) -> Any:  # noqa: ANN401  its type depends on the name
        """Return the client of a service, such as ``sqs``."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = boto3.client(service, config=AWS_CONFIG)  # type: ignore[call-overload]
            return self._clients[service]


class TokenParameter:
    """The account's credentials in an SSM SecureString: ``{"access_token", "username", "user_id"}``."""

    def __init__(self, ssm: Callable[[], SSMClient], name: str, now: Callable[[], float]) -> None:
        """Read the parameter `name` with the client that `ssm` gives, when first asked."""
        self._ssm = ssm
        self._name = name
        self._now = now
        self._lock = threading.Lock()
        self._credentials: Credentials | None = None
        self._read_at = 0.0

    def credentials(self, *, fresh: bool = False) -> Credentials:
        """Return the credentials.

        Args:
            fresh: Read them again now, because StockTwits refused the ones at hand.

        Raises:
            Halt: They are missing or unreadable; the reason says what to store.
            Retry: SSM did not answer.
        """
        with self._lock:
            if fresh or self._credentials is None or self._now() - self._read_at > CREDENTIALS_SECONDS:
                self._credentials = self._read()
                self._read_at = self._now()
            return self._credentials

    def _read(self) -> Credentials:
        try:
            answer = self._ssm().get_parameter(Name=self._name, WithDecryption=True)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _PARAMETER_MISSING:
                raise self._unusable(f"cannot be read ({code})") from None
            raise Retry(f"the token parameter {self._name} was not answered for ({code})") from None
        except BotoCoreError as error:
            raise Retry(f"the token parameter {self._name} was not answered for ({type(error).__name__})") from None
        try:
            content = json.loads(answer["Parameter"]["Value"])
            token, username = content["access_token"].strip(), content["username"].strip()
            if username and token and token.isascii() and token.isprintable():
                return Credentials(token, username, str(content.get("user_id") or username))
        except (ValueError, TypeError, KeyError, AttributeError):
            pass
        # No cause: a JSON error shows the text it failed on, and that is a secret.
        raise self._unusable("holds no JSON object with access_token, username and user_id")

    def _unusable(self, problem: str) -> Halt:
        reason = f"the token parameter {self._name} {problem}: store the account's credentials there, see README"
        return Halt(Pause("token_unreadable", reason, self._now() + TOKEN_RECHECK_SECONDS, probe=True))
