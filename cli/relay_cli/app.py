"""The command ``relay``: its subcommands and the options before them."""

from __future__ import annotations

import inspect
import logging
import os
import sys
import traceback
from typing import Annotated, NoReturn

import typer
from botocore.exceptions import BotoCoreError, ClientError
from relay.client import STACK_VARIABLE

from relay_cli.commands import dead, login, webhook
from relay_cli.commands.backfill import backfill
from relay_cli.commands.backups import backups
from relay_cli.commands.cat import cat
from relay_cli.commands.dashboard import dashboard
from relay_cli.commands.doctor import doctor
from relay_cli.commands.get import get
from relay_cli.commands.pause import pause, resume
from relay_cli.commands.posts import posts
from relay_cli.commands.send import send
from relay_cli.commands.setup import setup
from relay_cli.commands.status import status
from relay_cli.context import Context
from relay_cli.failure import FAILED, INTERRUPTED, Failure, from_aws_error
from relay_cli.output import LogHandler, escape_unencodable, print_error

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done; 1 failed; 2 usage error; 3 AWS cannot be used; 4 no such stack, or not completely "
    "deployed; 5 StockTwits or Firestream refused; 130 interrupted.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    ctx: typer.Context,
    stack_name: Annotated[
        str | None,
        typer.Option(
            envvar=STACK_VARIABLE, help="The stack; by default, the one in samconfig.toml, or stocktwits-relay."
        ),
    ] = None,
    region: Annotated[
        str | None, typer.Option(envvar="AWS_REGION", help="The AWS region; by default, your profile's.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="The AWS profile.")] = None,
) -> None:
    """Set up, monitor and control StockTwits Relay.

    [dim]relay status
    relay --stack-name my-relay --region eu-west-1 --profile work status
    relay send --help[/dim]
    """
    ctx.obj = Context(stack_name, region, profile)


app.add_typer(login.app, name="login")
for command in (setup, doctor, send, status, posts, pause, resume, backups, backfill, get, cat, dashboard):
    app.command()(command)
app.add_typer(dead.app, name="dead")
app.add_typer(webhook.app, name="webhook")


def _reflow(text: str) -> str:
    """Join the lines of each paragraph, which typer would not wrap; examples stay as they are."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(each if each.startswith("[dim]") else each.replace("\n", " ") for each in paragraphs)


for group in (app, login.app, dead.app, webhook.app):
    for each in group.registered_commands:
        each.help = _reflow(getattr(each.callback, "__doc__", None) or "")
login.app.info.help = _reflow(login.stocktwits.__doc__ or "")


def main() -> None:
    """Run a command; an expected failure prints at most two lines, and has its own exit code."""
    escape_unencodable()
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.WARNING, handlers=[LogHandler()])
    if any(each.startswith("--install-completion") for each in sys.argv):
        os.umask(0o077)  # typer writes files that shells execute
    try:
        try:
            code = app(prog_name="relay", standalone_mode=False) or 0
        finally:
            if sys.stdout:  # a caller may have closed it
                sys.stdout.flush()
    except BrokenPipeError:
        _close_quietly()
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # typer exits with 1 in this case
            _close_quietly()
        raise
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001  every error is reported
        code = _report(error)
    sys.exit(code)


def _report(error: Exception) -> int:
    """Print what went wrong; return the exit code."""
    match error:
        case Failure():
            failure = error
        case ClientError() | BotoCoreError():
            failure = from_aws_error(error)
        case typer.TyperException():
            failure = _usage_failure(error)
        case OSError():  # above all a full disk: commands report errors of their own files themselves
            _discard_output()
            failure = Failure(f"{error.filename or 'The output'} cannot be used: {error.strerror or error}.")
        case _:  # a bug
            print_error("".join(traceback.format_exception(error)).rstrip())
            return FAILED
    if failure.reason:
        print_error(f"relay: {failure.reason}")
    return failure.code


def _usage_failure(error: typer.TyperException) -> Failure:
    """Add the command's --help to typer's message, which is empty if typer has printed it already."""
    ctx: typer.Context | None = getattr(error, "ctx", None)
    message = error.format_message()
    if ctx and message:
        message = f"{message}\nSee `{ctx.command_path} --help`."
    return Failure(message, error.exit_code)


def _close_quietly() -> NoReturn:
    """Exit with 0: the reader of the output has closed it."""
    _discard_output()
    sys.exit(0)


def _discard_output() -> None:
    """Discard buffered output, which would raise again when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
