"""The command ``relay``: its subcommands and the global options."""

from __future__ import annotations

import inspect
import logging
import os
import re
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from botocore.exceptions import BotoCoreError, ClientError
from relay import __version__
from relay.client import STACK_VARIABLE

from relay_cli.commands import dead, login, webhook
from relay_cli.commands.backfill import backfill
from relay_cli.commands.backups import backups
from relay_cli.commands.cat import cat
from relay_cli.commands.dashboard import dashboard
from relay_cli.commands.doctor import doctor
from relay_cli.commands.export import export
from relay_cli.commands.get import get
from relay_cli.commands.pause import pause, resume
from relay_cli.commands.posts import posts
from relay_cli.commands.send import send
from relay_cli.commands.setup import setup
from relay_cli.commands.status import status
from relay_cli.context import Context
from relay_cli.conventions import GLOBAL, RelayCommand, RelayGroup
from relay_cli.failure import FAILED, INTERRUPTED, Failure, from_aws_error
from relay_cli.output import LogHandler, SafeConsole, escape_unencodable, print_error

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done; 1 failed; 2 usage error; 3 AWS cannot be used; 4 no such stack, or not completely "
    "deployed; 5 StockTwits or Firestream refused; 130 interrupted.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001  as typer calls it
    if wanted:
        SafeConsole().print(f"relay {__version__}")
        raise typer.Exit


def _without_colors(wanted: bool) -> None:  # noqa: FBT001  as typer calls it
    """Do as if the environment had said so, which holds for typer's help texts, too: https://no-color.org."""
    if wanted:
        os.environ["NO_COLOR"] = "1"


@app.callback()
def options(
    ctx: typer.Context,
    stack_name: Annotated[
        str | None,
        typer.Option(
            envvar=STACK_VARIABLE,
            metavar="NAME",
            help="The stack; by default, the one in samconfig.toml, or stocktwits-relay.",
            rich_help_panel=GLOBAL,
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            envvar="AWS_REGION",
            metavar="REGION",
            help="The AWS region; by default, AWS_DEFAULT_REGION, that of samconfig.toml unless you choose a profile, "
            "or your profile's.",
            rich_help_panel=GLOBAL,
        ),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="The AWS profile.", rich_help_panel=GLOBAL)
    ] = None,
    *,
    _no_color: Annotated[
        bool,
        typer.Option(
            "--no-color",
            help="Print no colors, as with NO_COLOR=1 in the environment.",
            callback=_without_colors,
            is_eager=True,
            expose_value=False,
            rich_help_panel=GLOBAL,
        ),
    ] = False,
    utc: Annotated[
        bool,
        typer.Option(
            "--utc",
            help="Show points in time in UTC, instead of how long ago they were or how far off they are.",
            rich_help_panel=GLOBAL,
        ),
    ] = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Set up, monitor and control StockTwits Relay.

    [dim]relay status
    relay --stack-name my-relay --region eu-west-1 --profile work status
    relay help send[/dim]
    """
    ctx.obj = Context(stack_name, region, profile, utc, given=ctx.obj)


_BRACKET = re.compile(r"\[(?!/?dim\])")
"""A bracket that is not our own markup; rich would take what it encloses for a style, and leave it out."""

_IN_OUR_WORDS = {
    "Value error, ": "",
    "Input should be a valid integer, unable to parse string as an integer": "must be a whole number",
    "Input should be ": "must be ",
}
_PYDANTIC = re.compile(rf"(?<=': )({'|'.join(_IN_OUR_WORDS)})")
"""How pydantic, with which typer reads values, begins to say what is wrong with one."""

app.add_typer(login.app, name="login")
for command in (setup, doctor, send, status, posts, pause, resume, backups, backfill, get, cat, export, dashboard):
    app.command()(command)
app.add_typer(dead.app, name="dead")
app.add_typer(webhook.app, name="webhook")


def _reflow(text: str) -> str:
    """Join the lines of each paragraph, which typer would not wrap; examples stay as they are, and brackets, too."""
    paragraphs = _BRACKET.sub(r"\[", inspect.cleandoc(text)).split("\n\n")
    return "\n\n".join(each if each.startswith("[dim]") else each.replace("\n", " ") for each in paragraphs)


def _follow_conventions(group: typer.Typer) -> None:
    """Give a group and all its commands the global options and aliases, and their docstrings as help texts."""
    group.info.cls = RelayGroup
    for command in group.registered_commands:
        command.cls = RelayCommand
        command.help = _reflow(getattr(command.callback, "__doc__", None) or "")
    for each in group.registered_groups:
        if each.typer_instance:
            _follow_conventions(each.typer_instance)


_follow_conventions(app)
login.app.info.help = _reflow(login.stocktwits.__doc__ or "")


def main() -> None:
    """Run a command; an expected failure prints at most two lines, and has its own exit code."""
    escape_unencodable()
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.WARNING, handlers=[LogHandler()])
    installing = any(each.startswith("--install-completion") for each in sys.argv)
    if installing:
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
        if installing:
            _complete_at_once(Path.home() / ".zfunc" / "_relay")
        if isinstance(ended.__context__, BrokenPipeError):  # typer exits with 1 in this case
            _close_quietly()
        raise
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001  every error is reported
        code = _report(error)
    sys.exit(code)


def _complete_at_once(zsh_function: Path) -> None:
    """Let zsh complete at the first Tab of a session: typer's file would only define the function then."""
    call = '\n_relay_completion "$@"\n'
    with suppress(OSError):
        if not zsh_function.read_text().endswith(call):
            with zsh_function.open("a") as file:
                file.write(call)


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
    message = _PYDANTIC.sub(lambda found: _IN_OUR_WORDS[found[1]], error.format_message(), count=1)
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
