"""The secrets of the account's owner: JSON in SSM SecureStrings, read when first needed, and again when refused."""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from relay.errors import Halt, Pause, Retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_ssm import SSMClient

_Secret = TypeVar("_Secret")
_Secret_co = TypeVar("_Secret_co", covariant=True)

CREDENTIALS_SECONDS = 300
"""How long a secret is used without looking for a newer one."""

RECHECK_SECONDS = 300
"""How long to wait for a person when there is no readable secret."""

SILENCE_SECONDS = 10
"""How long a silent SSM is not asked again: those who wait for one another's answer would wait out a time-out each."""

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
    """Gives the secret at hand; ``fresh`` reads it again, because it was refused."""

    def __call__(self, *, fresh: bool = False) -> _Secret_co:
        """Return the secret."""


CredentialsSource = SecretSource[Credentials]


class _SecretParameter(ABC, Generic[_Secret]):
    """A JSON object in an SSM SecureString; threads may share it."""

    _name_in_words: ClassVar[str]
    _shape: ClassVar[str]
    _cause: ClassVar[str]

    def __init__(self, ssm: Callable[[], SSMClient], name: str, now: Callable[[], float]) -> None:
        """Read the parameter `name` with the client that `ssm` gives, when first asked."""
        self._ssm = ssm
        self._name = name
        self._now = now
        self._lock = threading.Lock()
        self._secret: _Secret | None = None
        self._read_at = 0.0
        self._silence = ""
        self._silent_at = 0.0

    def credentials(self, *, fresh: bool = False) -> _Secret:
        """Return what the parameter holds.

        Args:
            fresh: Read it again now, because what is at hand was refused.

        Raises:
            Halt: It is missing or unreadable; the reason says what to store.
            Retry: SSM did not answer.
        """
        with self._lock:
            if fresh or self._secret is None or self._now() - self._read_at > CREDENTIALS_SECONDS:
                if self._silence and self._now() - self._silent_at < SILENCE_SECONDS:
                    raise Retry(self._silence)
                self._secret = self._read()
                self._read_at = self._now()
            return self._secret

    @staticmethod
    @abstractmethod
    def _parse(content: dict[str, Any]) -> _Secret | None:
        """Return the secret that the object holds, or None, or fail as reading an object fails."""

    def _read(self) -> _Secret:
        try:
            answer = self._ssm().get_parameter(Name=self._name, WithDecryption=True)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _PARAMETER_MISSING:
                raise self._unusable(f"cannot be read ({code})") from None
            raise Retry(f"the {self._name_in_words} {self._name} was not answered for ({code})") from None
        except BotoCoreError as error:
            self._silence = f"the {self._name_in_words} {self._name} was not answered for ({type(error).__name__})"
            self._silent_at = self._now()
            raise Retry(self._silence) from None
        secret = None
        with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
            secret = self._parse(json.loads(answer["Parameter"]["Value"]))
        if secret is None:
            # No cause: a JSON error shows the text it failed on, and that is a secret.
            raise self._unusable(f"holds no JSON object with {self._shape}")
        return secret

    def _unusable(self, problem: str) -> Halt:
        reason = f"the {self._name_in_words} {self._name} {problem}: store the account's credentials there, see README"
        return Halt(Pause(self._cause, reason, self._now() + RECHECK_SECONDS, probe=True))


class TokenParameter(_SecretParameter[Credentials]):
    """The account's credentials in an SSM SecureString: ``{"access_token", "username", "user_id"}``."""

    _name_in_words = "token parameter"
    _shape = "access_token, username and user_id"
    _cause = "token_unreadable"

    @staticmethod
    def _parse(content: dict[str, Any]) -> Credentials | None:
        token, username = content["access_token"].strip(), content["username"].strip()
        if username and token and token.isascii() and token.isprintable():
            return Credentials(token, username, str(content.get("user_id") or username))
        return None


class LoginParameter(_SecretParameter[Login]):
    """Firestream's login in an SSM SecureString: ``{"username", "password"}``."""

    _name_in_words = "Firestream credentials parameter"
    _shape = "username and password"
    _cause = "login_unreadable"

    @staticmethod
    def _parse(content: dict[str, Any]) -> Login | None:
        username, password = content["username"].strip(), content["password"]
        if username and ":" not in username and password and username.isprintable() and password.isprintable():
            return Login(username, password)
        return None
