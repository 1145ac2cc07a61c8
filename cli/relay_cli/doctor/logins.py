"""Checks of the two secrets, and of the services that they are for. Nothing is posted or downloaded."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError
from relay.aws_errors import error_code
from relay.credentials import LOGIN, TOKEN
from relay.errors import Halt, RelayError

from relay_cli.deployed import firestream_login
from relay_cli.doctor.finding import Verdict, broken, ok, warning
from relay_cli.doctor.runner import unknown
from relay_cli.failure import Failure, is_denied
from relay_cli.text import one_line

if TYPE_CHECKING:
    from relay.credentials import Credentials, SecretKind
    from relay.posting.stocktwits import Answer

    from relay_cli.deployed.stocktwits_account import Account
    from relay_cli.doctor.deployment import Deployment

_Secret = TypeVar("_Secret")

DEFAULT_KEY = "alias/aws/ssm"
"""The account's own key for SSM, which every role that may read a parameter may use through SSM:
https://docs.aws.amazon.com/systems-manager/latest/userguide/secure-string-parameter-kms-encryption.html."""

_REFUSED = frozenset({401, 403})
_TOO_MANY, _SERVER_ERROR = 429, 500
_TOKEN_LOGIN, _FIRESTREAM_LOGIN = "login", "login firestream"


def token(deployment: Deployment) -> Verdict:
    """Check that the token is stored as the functions can read it."""
    from relay_cli.deployed.stocktwits_account import allows_posting  # noqa: PLC0415  slow to import

    found = Parameter(deployment, "StockTwitsTokenParameter")
    credentials = found.stored(TOKEN, deployment.invocation.relay(_TOKEN_LOGIN))
    if isinstance(credentials, Verdict):
        return credentials
    scope = str(found.content.get("scope") or "")
    if not allows_posting(scope):
        return broken(
            f"its scope does not allow posting: {one_line(scope, 80)}",
            f"authorize again: {deployment.invocation.relay(_TOKEN_LOGIN)}",
        )
    about = f"scope {one_line(scope, 80)}" if scope else "its scope is not known"
    return ok(f"{found.name} has a token for @{one_line(credentials.username, 60)}, {about}")


def stocktwits(deployment: Deployment) -> Verdict:
    """Ask StockTwits to whom the token belongs. A GET, from this machine."""
    from relay_cli.deployed.stocktwits_account import OAuthClient, parse_account  # noqa: PLC0415  as above

    stack = deployment.stack
    stored, why = _stored_token(deployment)
    client = OAuthClient(stack.parameter("StockTwitsApiUrl"), stack.parameter("StockTwitsAuthStyle"))
    try:
        answer = client.verify(stored.access_token if stored else None)
    except Failure as failure:
        return warning(failure.reason, "check the network here; the functions use another: see the line gate")
    if stored is None and answer.meant in _REFUSED and answer.names_errors:
        return unknown(f"StockTwits answers, but was not asked whose the token is: {why}")
    account = parse_account(answer)
    return _compare(deployment, stored, account) if stored and account else _unusable(deployment, answer, stored)


def _unusable(deployment: Deployment, answer: Answer, stored: Credentials | None) -> Verdict:
    """Return what an answer that names no account means."""
    from relay_cli.deployed.stocktwits_account import is_blocked, quote_error  # noqa: PLC0415  as above

    status, content = answer.meant, answer.json()
    if is_blocked(answer):
        return warning(
            f"StockTwits' bot protection blocks this computer ({status})",
            "do not try again and again; the functions use other addresses: see the line gate",
        )
    words = f"{status}{quote_error(content or {}, *([stored.access_token] if stored else []))}"
    if status in _REFUSED and content is not None:
        return broken(
            f"StockTwits refuses the token ({words})", f"store a valid one: {deployment.invocation.relay(_TOKEN_LOGIN)}"
        )
    if status == _TOO_MANY or status >= _SERVER_ERROR:
        return warning(f"StockTwits answered {words}", "try again in some minutes")
    if content is None:
        words = f"{status} with a page, where JSON was expected"
    return broken(f"StockTwits answered {words}", "check StockTwitsApiUrl; if it is right, look for a newer version")


def _compare(deployment: Deployment, stored: Credentials, account: Account) -> Verdict:
    """Compare the account that the parameter names with the token's own."""
    own, named = one_line(account.username, 60), one_line(stored.username, 60)
    if stored.user_id not in {str(account.user_id), account.username}:
        return broken(
            f"the token belongs to @{own} ({account.user_id}), and the parameter names @{named} "
            f"({one_line(stored.user_id, 40)}): the relay would look for lost posts on another account's stream",
            f"store it again: {deployment.invocation.relay('login --token')}",
        )
    if stored.username.lower() != account.username.lower():
        return warning(
            f"the token belongs to @{own}, and the parameter names @{named}: links to posts are wrong",
            f"store it again: {deployment.invocation.relay('login --token')}",
        )
    return ok(f"it answers, and the token is @{own}'s")


def _stored_token(deployment: Deployment) -> tuple[Credentials | None, str]:
    """Return the stored credentials, or why there are none to ask with."""
    try:
        credentials = Parameter(deployment, "StockTwitsTokenParameter").parse(TOKEN)
    except ClientError as error:
        return None, "you may not read it" if is_denied(error) else f"it cannot be read ({error_code(error)})"
    return credentials, "" if credentials else "none is stored"


def firestream(deployment: Deployment) -> Verdict:
    """Check that Firestream's login is stored as the function can read it, and valid. A GET; nothing is downloaded."""
    login = Parameter(deployment, "FirestreamCredentialsParameter").stored(
        LOGIN, deployment.invocation.relay(_FIRESTREAM_LOGIN)
    )
    if isinstance(login, Verdict):
        return login
    try:
        firestream_login.check(deployment.stack.parameter("FirestreamUrl"), login)
    except Halt as error:
        return broken(one_line(error.reason), f"store a valid one: {deployment.invocation.relay(_FIRESTREAM_LOGIN)}")
    except RelayError as error:
        return warning(one_line(error.reason), "check FirestreamUrl, and the network here; try again later")
    return ok(f"Firestream accepts the login of {one_line(login.username, 60)}")


class Parameter:
    """A SecureString of the stack; its value is read when first needed, and never shown."""

    def __init__(self, deployment: Deployment, parameter: str) -> None:
        """Use the SecureString that a parameter of the template names."""
        self.name = one_line(deployment.stack.parameter(parameter))
        self._ssm = deployment.stack.client("ssm")
        self._name = deployment.stack.parameter(parameter)
        self.content: dict[str, Any] = {}

    def stored(self, kind: SecretKind[_Secret], command: str) -> _Secret | Verdict:
        """Return what it holds, or what is wrong with it; `command` stores it."""
        if wrong := self.check_storage(command):
            return wrong
        return self.parse(kind) or broken(
            f"{self.name} does not contain a JSON object with {kind.fields}", f"store it: {command}"
        )

    def check_storage(self, command: str) -> Verdict | None:
        """Return what is wrong with how it is stored; None if nothing is."""
        wanted = [{"Key": "Name", "Option": "Equals", "Values": [self._name]}]
        pages = self._ssm.get_paginator("describe_parameters").paginate(ParameterFilters=wanted)
        found = next((each for page in pages for each in page["Parameters"] if each["Name"] == self._name), None)
        if found is None:
            return broken(f"there is no parameter {self.name}", f"store it: {command}")
        if found["Type"] != "SecureString":
            return warning(f"{self.name} is not encrypted: it is a {one_line(found['Type'])}", f"delete it; {command}")
        if (key := found.get("KeyId", DEFAULT_KEY)) != DEFAULT_KEY:
            return warning(
                f"{self.name} is encrypted with {one_line(key)}, and the functions' roles have no kms:Decrypt: they "
                "can only read it if that key's policy lets them",
                f"store it with the account's own key: {command}",
            )
        return None

    def parse(self, kind: SecretKind[_Secret]) -> _Secret | None:
        """Read and parse it, as the functions do; None if it is not there, or not as it should be."""
        try:
            value = self._ssm.get_parameter(Name=self._name, WithDecryption=True)["Parameter"]["Value"]
        except ClientError as error:
            if error_code(error) == "ParameterNotFound":
                return None
            raise
        with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
            content = json.loads(value)
            self.content = content if isinstance(content, dict) else {}
            return kind.parse(content)
        return None
