"""``relay``: its commands and the options in front of them."""

from __future__ import annotations

import inspect
import logging
import os
import sys
import traceback
from typing import Annotated, NoReturn

import typer
from botocore.exceptions import BotoCoreError, ClientError

from relay_cli.commands import dead, login
from relay_cli.commands.backfill import backfill
from relay_cli.commands.backups import backups
from relay_cli.commands.cat import cat
from relay_cli.commands.dashboard import dashboard
from relay_cli.commands.get import get
from relay_cli.commands.pause import pause, resume
from relay_cli.commands.posts import posts
from relay_cli.commands.send import send
from relay_cli.commands.status import status
from relay_cli.context import Context
from relay_cli.failure import INTERRUPTED, FAILED, Failure, from_aws_error
from relay_cli.output import LogHandler, complain

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done; 1 tried, and it did not come about; 2 the command is wrong; 3 AWS cannot be used; "
    "4 no such stack, or not deployed completely; 5 StockTwits or Firestream refused; 130 interrupted.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    ctx: typer.Context,
    stack_name: Annotated[
        str | None, typer.Option(envvar="RELAY_STACK", help="The stack; else samconfig.toml's, or stocktwits-relay.")
    ] = None,
    region: Annotated[
        str | None, typer.Option(envvar="AWS_REGION", help="The AWS region; else your profile's.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="The AWS profile.")] = None,
) -> None:
    """Set up, see and steer StockTwits Relay.

    [dim]relay status
    relay --stack-name my-relay --region eu-west-1 --profile work status
    relay send --help[/dim]
    """
    ctx.obj = Context(stack_name, region, profile)


app.add_typer(login.app, name="login")
for command in (send, status, posts, pause, resume, backups, backfill, get, cat, dashboard):
    app.command()(command)
app.add_typer(dead.app, name="dead")


def _flowing(text: str) -> str:
    """Join the lines of each paragraph, which typer would keep apart at any width; examples stay as they are."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(each if each.startswith("[dim]") else each.replace("\n", " ") for each in paragraphs)


for each in (*app.registered_commands, *login.app.registered_commands, *dead.app.registered_commands):
    each.help = _flowing(getattr(each.callback, "__doc__", None) or "")
login.app.info.help = _flowing(login.stocktwits.__doc__ or "")


def main() -> None:
    """Run a command; an expected failure is two lines at most, and an exit code that means something."""
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.WARNING, handlers=[LogHandler()])
    if any(each.startswith("--install-completion") for each in sys.argv):
        os.umask(0o077)  # typer writes a file that shells will run, and perhaps their first settings
    try:
        try:
            code = app(standalone_mode=False) or 0
        finally:
            if sys.stdout:  # a caller may have closed it
                sys.stdout.flush()
    except BrokenPipeError:
        _close_quietly()
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # typer's own way to end there is 1
            _close_quietly()
        raise
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001  each is told
        code = _tell(error)
    sys.exit(code)


def _tell(error: Exception) -> int:
    """Say what went wrong; return the exit code."""
    match error:
        case Failure():
            failure = error
        case ClientError() | BotoCoreError():
            failure = from_aws_error(error)
        case typer.TyperException():
            failure = _misused(error)
        case OSError():  # a full disk, above all: what a command reads or writes it tells of itself
            _forget_output()
            failure = Failure(f"{error.filename or 'The output'} cannot be used: {error.strerror or error}.")
        case _:  # a defect of ours
            complain("".join(traceback.format_exception(error)).rstrip())
            return FAILED
    if failure.reason:
        complain(f"relay: {failure.reason}")
    return failure.code


def _misused(error: typer.TyperException) -> Failure:
    """Say what typer does not know, and where to read what it does; nothing when it showed that by itself."""
    context: typer.Context | None = getattr(error, "ctx", None)
    words = error.format_message()
    if context and words:
        words = f"{words}\nSee `{context.command_path} --help`."
    return Failure(words, error.exit_code)


def _close_quietly() -> NoReturn:
    """End well: whoever read the output has enough of it."""
    _forget_output()
    sys.exit(0)


def _forget_output() -> None:
    """Leave nothing to write for the end of the process, which would complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
