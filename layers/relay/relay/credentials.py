"""The secrets of the account's owner: JSON in SSM SecureStrings, read when first needed, and again when refused."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from botocore.exceptions import BotoCoreError

from relay.aws_errors import AWS_ERRORS, error_code
from relay.errors import Halt, Pause, Retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_ssm import SSMClient

_Secret = TypeVar("_Secret")
_Secret_co = TypeVar("_Secret_co", covariant=True)

CREDENTIALS_SECONDS = 300
"""How long a secret is used without looking for a newer one."""

RECHECK_SECONDS = 300
"""How long to wait for an operator when no secret can be read."""

SILENCE_SECONDS = 10
"""How long an SSM that timed out is not asked again: threads that need the same secret would each wait for it."""

AUTH_STYLES = ("bearer", "oauth", "form")
"""Where the token goes: ``Authorization: Bearer``, ``Authorization: OAuth``, or the form field ``access_token``. Never
into the query, where it would leak into logs."""

_PARAMETER_MISSING = frozenset({"ParameterNotFound", "AccessDeniedException"})


@dataclass(frozen=True, slots=True)
class Credentials:
    """The account that is posted to, as kept in the token parameter."""

    access_token: str = field(repr=False)
    username: str
    user_id: str


@dataclass(frozen=True, slots=True)
class Login:
    """The stream-authorized login of Firestream, as kept in the credentials parameter."""

    username: str
    password: str = field(repr=False)


class SecretSource(Protocol[_Secret_co]):
    """Returns the secret in use; ``fresh`` reads it again, because it was refused."""

    def __call__(self, *, fresh: bool = False) -> _Secret_co:
        """Return the secret."""


CredentialsSource = SecretSource[Credentials]


@dataclass(frozen=True)
class SecretKind(Generic[_Secret]):
    """What a parameter contains, and how to read it.

    Attributes:
        name: What it is called in reasons.
        fields: The fields that it must have, for a reason.
        cause: The cause of the pause while it cannot be used.
        parse: Returns the secret of a JSON object, or None; may also raise what reading an object raises.
    """

    name: str
    fields: str
    cause: str
    parse: Callable[[dict[str, Any]], _Secret | None]


class SecretParameter(Generic[_Secret]):
    """A JSON object in an SSM SecureString; threads may share it."""

    def __init__(
        self, kind: SecretKind[_Secret], ssm: Callable[[], SSMClient], name: str, now: Callable[[], float]
    ) -> None:
        """Read the parameter `name` with the client that `ssm` gives, when first asked."""
        self._kind = kind
        self._ssm = ssm
        self._name = name
        self._now = now
        self._lock = threading.Lock()
        self._secret: _Secret | None = None
        self._read_at = 0.0
        self._silence = ""
        self._silent_at = 0.0

    def credentials(self, *, fresh: bool = False) -> _Secret:
        """Return the secret.

        Args:
            fresh: Read it again now, because the one in use was refused.

        Raises:
            Halt: It is missing or unreadable; the reason names what to store.
            Retry: SSM did not answer.
        """
        with self._lock:
            if fresh or self._secret is None or self._now() - self._read_at > CREDENTIALS_SECONDS:
                if self._silence and self._now() - self._silent_at < SILENCE_SECONDS:
                    raise Retry(self._silence)
                self._secret = self._read()
                self._read_at = self._now()
            return self._secret

    def _read(self) -> _Secret:
        try:
            answer = self._ssm().get_parameter(Name=self._name, WithDecryption=True)
        except AWS_ERRORS as error:
            code = error_code(error)
            if code in _PARAMETER_MISSING:
                raise self._unusable(f"cannot be read ({code})") from None
            reason = f"the {self._kind.name} {self._name} could not be read ({code})"
            if isinstance(error, BotoCoreError):
                self._silence, self._silent_at = reason, self._now()
            raise Retry(reason) from None
        secret = None
        with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
            secret = self._kind.parse(json.loads(answer["Parameter"]["Value"]))
        if secret is None:
            # No cause: a JSON error shows the text it failed on, and that is a secret.
            raise self._unusable(f"does not contain a JSON object with {self._kind.fields}")
        return secret

    def _unusable(self, problem: str) -> Halt:
        reason = f"the {self._kind.name} {self._name} {problem}: store the account's credentials there, see README"
        return Halt(Pause(self._kind.cause, reason, self._now() + RECHECK_SECONDS, probe=True))


def _parse_token(content: dict[str, Any]) -> Credentials | None:
    token, username = content["access_token"].strip(), content["username"].strip()
    if username and token and token.isascii() and token.isprintable():
        return Credentials(token, username, str(content.get("user_id") or username))
    return None


def _parse_login(content: dict[str, Any]) -> Login | None:
    username, password = content["username"].strip(), content["password"]
    if username and ":" not in username and password and username.isprintable() and password.isprintable():
        return Login(username, password)
    return None


TOKEN = SecretKind("token parameter", "access_token, username and user_id", "token_unreadable", _parse_token)
"""The account's credentials: ``{"access_token", "username", "user_id"}``."""

LOGIN = SecretKind("Firestream credentials parameter", "username and password", "login_unreadable", _parse_login)
"""Firestream's login: ``{"username", "password"}``."""
