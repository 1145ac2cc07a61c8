"""``relay login``: get the account's token or Firestream's login, check it, and store it."""

from __future__ import annotations

import json
import webbrowser
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError
from relay.credentials import Login
from relay.errors import Halt, RelayError
from rich.text import Text

from relay_cli.commands.options import Json  # noqa: TC001  typer reads it
from relay_cli.deployed import firestream_login
from relay_cli.deployed.operator_pause import TOKEN_CAUSES, end_relays
from relay_cli.failure import FAILED, REFUSED, Failure, from_aws_error
from relay_cli.logins import check_login, check_token
from relay_cli.output import print_json
from relay_cli.prompts import ask, ask_secret, confirm
from relay_cli.text import one_line

if TYPE_CHECKING:
    from relay_cli.context import Context
    from relay_cli.deployed.stack import Stack

app = typer.Typer()


@dataclass(frozen=True, slots=True)
class StoredLogin:
    """A login that was stored.

    Attributes:
        username: Whose it is.
        parameter: The name of the SecureString.
        gate_opened: Whether the gate was closed because of the earlier token, and was opened for a trial.
    """

    username: str
    parameter: str
    gate_opened: bool = False


@app.callback(invoke_without_command=True)
def stocktwits(  # noqa: PLR0913  each is an option
    ctx: typer.Context,
    client_id: Annotated[
        str | None,
        typer.Option(envvar="STOCKTWITS_CLIENT_ID", metavar="ID", help="The client id of your StockTwits application."),
    ] = None,
    client_secret: Annotated[
        str | None,
        typer.Option(
            envvar="STOCKTWITS_CLIENT_SECRET",
            metavar="SECRET",
            help="Its secret; prefer the environment variable or the prompt.",
        ),
    ] = None,
    redirect_uri: Annotated[
        str | None,
        typer.Option(
            envvar="STOCKTWITS_REDIRECT_URI",
            metavar="URL",
            help="Its registered redirect address; nothing needs to listen there.",
        ),
    ] = None,
    *,
    token: Annotated[
        bool, typer.Option("--token", help="Store an existing access token, typed when asked or read from a pipe.")
    ] = False,
    expect_username: Annotated[
        str | None, typer.Option(metavar="NAME", help="The account the token must belong to; skips the confirmation.")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address instead of opening it.")] = False,
    as_json: Json = False,
) -> None:
    """Log in to StockTwits, and store the token for the relay.

    You authorize your application, and paste the address that the browser is redirected to. The account is shown before
    anything is stored. If StockTwits refused the earlier token, the gate is opened for a trial. `relay login
    firestream` stores the login for backups.

    [dim]relay login --expect-username my_account
    relay login --token[/dim]
    """
    if ctx.invoked_subcommand:
        return
    from relay_cli.deployed.stocktwits_account import Application, OAuthClient, Token, parse_code  # noqa: PLC0415  only the login needs requests

    context: Context = ctx.obj
    stack = context.stack  # found first, because a code works only once
    client = OAuthClient(stack.parameter("StockTwitsApiUrl"), stack.parameter("StockTwitsAuthStyle"))
    if token:
        access = Token(ask_secret("Access token"))
    else:
        application = Application(
            client_id or ask("Client id"),
            client_secret or ask_secret("Client secret"),
            redirect_uri or ask("Registered redirect address"),
        )
        page = client.authorize_url(application)
        context.notes.print("Authorize your application at:")
        context.notes.print(page, soft_wrap=True)
        if not no_browser:
            webbrowser.open(page)
        pasted = ask("The address that the browser was redirected to, or the code in it")
        access = client.exchange(application, parse_code(pasted))
    access_token = access.value
    check_token(access_token)
    account = client.account(access_token)
    if expect_username is None:
        confirm(
            f"This is the account @{one_line(account.username, 60)}. Post as it?",
            "Nothing was stored",
            f"--expect-username {one_line(account.username, 60)}",
        )
    elif account.username.lower() != expect_username.removeprefix("@").lower():
        raise Failure(
            f"The token belongs to @{one_line(account.username, 60)}, not to @{expect_username.removeprefix('@')}: "
            "nothing was stored.",
            REFUSED,
        )
    name = stack.parameter("StockTwitsTokenParameter")
    scope = {"scope": access.scope} if access.scope else {}
    _store(stack, name, access_token=access_token, username=account.username, user_id=account.user_id, **scope)
    if not as_json:
        context.console.print(
            f"Stored the token of @{one_line(account.username, 60)} in {name}. The relay uses it within five minutes.",
            soft_wrap=True,
        )
    opened = _open_gate(context)
    if as_json:
        print_json(StoredLogin(account.username, name, opened))
    elif opened:
        context.console.print(
            "The earlier token had closed the gate: it is open again, and a single post is tried first."
        )


def _open_gate(context: Context) -> bool:
    """End the pause that the earlier token caused; return whether there was one. The new one is stored already."""
    if "LedgerTableName" not in context.stack.outputs:
        return False
    try:
        return end_relays(context.stack, TOKEN_CAUSES)
    except (ClientError, BotoCoreError, Failure) as error:
        failure = error if isinstance(error, Failure) else from_aws_error(error)
        note = (
            "Note: the token is stored. If the earlier one closed the gate, it opens by itself, or at once with "
            f"`relay resume --force`; it could not be opened now. {failure.reason}"
        )
        context.notes.print(Text(note, "yellow"), soft_wrap=True)
        return False


@app.command()
def firestream(
    ctx: typer.Context,
    username: Annotated[
        str | None, typer.Option(metavar="NAME", help="The user name; by default, it is asked for.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Log in to Firestream, and store the login for the nightly run.

    The login is checked with one request. The password is asked for, or read from a pipe.

    [dim]relay login firestream --username my_login[/dim]
    """
    context: Context = ctx.obj
    stack = context.stack
    login = Login((username or ask("Username")).strip(), ask_secret("Password"))
    check_login(login.username, login.password)
    _check(stack.parameter("FirestreamUrl"), login)
    name = stack.parameter("FirestreamCredentialsParameter")
    _store(stack, name, username=login.username, password=login.password)
    if as_json:
        print_json(StoredLogin(login.username, name))
        return
    context.console.print(
        f"Stored the login of {one_line(login.username, 60)} in {name}. The next nightly run uses it.", soft_wrap=True
    )


def _check(url: str, login: Login) -> None:
    try:
        firestream_login.check(url, login)
    except Halt as error:
        raise Failure(f"{_sentence(error)} Nothing was stored.", REFUSED) from None
    except RelayError as error:
        raise Failure(f"{_sentence(error)} The login could not be checked, and nothing was stored.", FAILED) from None


def _sentence(error: RelayError) -> str:
    return f"{one_line(error.reason)}."


def _store(stack: Stack, name: str, **fields: str | int) -> None:
    stack.client("ssm").put_parameter(Name=name, Type="SecureString", Value=json.dumps(fields), Overwrite=True)
