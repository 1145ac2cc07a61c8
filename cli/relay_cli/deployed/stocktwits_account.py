"""Get an access token from StockTwits by OAuth, and look up its account."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlencode

import requests
from relay import __version__
from relay.posting.stocktwits import Adapter, Answer, exchange, is_bot_protection
from urllib3.exceptions import HTTPError

from relay_cli.failure import FAILED, REFUSED, USAGE, Failure
from relay_cli.text import one_line, read_number

SCOPE = "read,publish_messages"
"""The permissions the relay needs: to post, and to read the account's stream."""

CONNECT_SECONDS, READ_SECONDS = 5.0, 20.0
"""Timeouts in seconds, the second to a response's last byte; short because the operator is waiting."""

_NO_CODE = "There is no code in that: paste the whole address that the browser was redirected to."
_ADDRESS = re.compile(r"://|^[?#]|(^|[?&#])(code|error|state)=")
_OK = 200
_REFUSED = frozenset({400, 401, 403})


@dataclass(frozen=True, slots=True)
class Application:
    """An application registered with StockTwits.

    Attributes:
        client_id: Its id.
        client_secret: Its secret.
        redirect_uri: The registered redirect address; nothing needs to listen there.
    """

    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class Token:
    """An access token.

    Attributes:
        value: The token itself.
        scope: What it allows, in StockTwits' words; empty if the answer did not say.
    """

    value: str = field(repr=False)
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """A StockTwits account."""

    username: str
    user_id: int


class OAuthClient:
    """The part of StockTwits' API that the login needs. Tokens are never part of a URL."""

    def __init__(self, api_url: str, auth_style: str) -> None:
        """Prepare the client; nothing is sent yet.

        Args:
            api_url: The base URL of the API.
            auth_style: One of `relay.credentials.AUTH_STYLES`; the form field is for posts alone.
        """
        self._api_url = api_url.rstrip("/")
        self._scheme = "OAuth" if auth_style == "oauth" else "Bearer"
        self._adapter = Adapter(1, tls=self._api_url.startswith("https://"))

    def authorize_url(self, application: Application) -> str:
        """Return the page where the account's owner authorizes the application."""
        query = {
            "client_id": application.client_id,
            "response_type": "code",
            "redirect_uri": application.redirect_uri,
            "scope": SCOPE,
        }
        return f"{self._api_url}/oauth/authorize?{urlencode(query, safe=',')}"

    def exchange(self, application: Application, code: str) -> Token:
        """Exchange an authorization code for an access token.

        Raises:
            Failure: StockTwits did not issue a token.
        """
        fields = {
            "client_id": application.client_id,
            "client_secret": application.client_secret,
            "code": code,
            "grant_type": "authorization_code",
            "redirect_uri": application.redirect_uri,
        }
        answer = self._request("POST", "/oauth/token", fields=fields)
        status, content = answer.meant, answer.json() or {}
        token = content.get("access_token")
        if status == _OK and isinstance(token, str) and token:
            scope = str(content.get("scope") or "")
            if not allows_posting(scope):
                raise Failure(
                    f"The token does not allow posting: its scope is {one_line(scope, 80)}. Authorize again.", REFUSED
                )
            return Token(token, scope)
        _check_bot_protection(answer, "the code and the application are")
        quote = quote_error(content, application.client_secret, code)
        if status in _REFUSED:
            raise Failure(
                f"StockTwits did not accept the code ({status}{quote}): a code works once, for a few minutes.\n"
                "Run `relay login` again; if that fails, check client id, secret and redirect address.",
                REFUSED,
            )
        raise _unexpected(status, quote)

    def account(self, token: str) -> Account:
        """Return the account that a token belongs to.

        Raises:
            Failure: StockTwits refused the token, or did not name an account.
        """
        answer = self.verify(token)
        if account := parse_account(answer):
            return account
        status, content = answer.meant, answer.json() or {}
        _check_bot_protection(answer, "the token is")
        quote = quote_error(content, token)
        if status in {401, 403}:
            raise Failure(f"StockTwits refused the token ({status}{quote}): get a new one.", REFUSED)
        raise _unexpected(status, quote)

    def verify(self, token: str | None) -> Answer:
        """Ask to whom a token belongs; without a token, StockTwits answers 401 if it can be reached.

        Raises:
            Failure: There was no response, or it broke off.
        """
        return self._request("GET", "/account/verify.json", token=token)

    def _request(
        self, method: str, path: str, *, fields: dict[str, str] | None = None, token: str | None = None
    ) -> Answer:
        """Send one request.

        Raises:
            Failure: There was no response, or it broke off.
        """
        headers = {"User-Agent": f"StockTwitsRelay/{__version__}", "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"{self._scheme} {token}"
        request = requests.Request(method, self._api_url + path, headers, data=fields).prepare()
        try:
            return exchange(self._adapter, request, CONNECT_SECONDS, READ_SECONDS)
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            # Without the error's text and without its cause: both could reveal what was sent.
            raise Failure(
                f"StockTwits could not be reached, or did not respond ({type(error).__name__}): try again.", FAILED
            ) from None


def allows_posting(scope: str) -> bool:
    """Return whether a token with this scope may post; an unknown scope counts as good."""
    return not scope or "publish_messages" in scope


def parse_account(answer: Answer) -> Account | None:
    """Return the account that StockTwits named, if it named one."""
    user = (answer.json() or {}).get("user")
    if answer.meant == _OK and isinstance(user, dict):
        username, user_id = user.get("username"), read_number(user.get("id"))
        if isinstance(username, str) and username and user_id:
            return Account(username, user_id)
    return None


def parse_code(pasted: str) -> str:
    """Return the code in the address that the browser was redirected to, or the code itself.

    Raises:
        Failure: There is no code in it, or the owner denied access.
    """
    text = pasted.strip().strip("'\"<>").strip()
    if not _ADDRESS.search(text):
        if not text or any(each.isspace() for each in text):
            raise Failure(_NO_CODE, USAGE)
        return text
    # Providers put it into the query, or behind the #, some after a path of its own. Browsers may hide how an address
    # begins, and show a + as it is; a code has no spaces.
    before, _, fragment = text.partition("#")
    address, mark, query = before.partition("?")
    fields = parse_qs(fragment.rpartition("?")[2]) | parse_qs(query if mark else address)
    answer = {name: values[0] for name, values in fields.items()}
    if "error" in answer:
        why = one_line(answer.get("error_description") or answer["error"], 120)
        if answer["error"] == "access_denied":
            raise Failure(f"The account's owner denied access ({why}): nothing was stored.", REFUSED)
        raise Failure(f"StockTwits did not issue a code ({why}): nothing was stored.", REFUSED)
    if not answer.get("code"):
        raise Failure("There is no code in that address: paste all of it, including what follows the `?`.", USAGE)
    return answer["code"].replace(" ", "+")


def is_blocked(answer: Answer) -> bool:
    """Return whether StockTwits' bot protection answered."""
    return answer.meant == 403 and is_bot_protection(answer.json())  # noqa: PLR2004


def _check_bot_protection(answer: Answer, what_is: str) -> None:
    """Fail if bot protection answered: what was sent may be good."""
    if is_blocked(answer):
        raise Failure(
            f"StockTwits' bot protection blocks this computer (403), whatever {what_is}: try again in a quarter of an "
            "hour, or from another network. If that fails, write to StockTwits.",
            REFUSED,
        )


def quote_error(answer: dict[str, Any], *secrets: str) -> str:
    """Quote StockTwits' error message, without secrets."""
    errors = answer.get("errors")
    words = errors[0].get("message") if isinstance(errors, list) and errors and isinstance(errors[0], dict) else None
    words = str(words or answer.get("error_description") or answer.get("error") or "")
    for secret in secrets:  # as it is, and as a form has it
        words = words.replace(secret, "…").replace(quote_plus(secret), "…")
    return f": {one_line(words, 160)}" if words else ""


def _unexpected(status: int, quote: str) -> Failure:
    return Failure(
        f"StockTwits responded with {status}{quote}: try again later; if that fails, check StockTwitsApiUrl.", REFUSED
    )
