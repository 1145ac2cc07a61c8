"""``relay setup``: from a clone to a deployed dry run, step by step."""

from __future__ import annotations

import io
import re
import shlex
import sys
import time
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from relay.client import DEFAULT_STACK

from relay_cli.clone import Clone
from relay_cli.deployed.stack import find
from relay_cli.doctor.account import identity
from relay_cli.doctor.finding import State
from relay_cli.failure import NO_AWS, NO_STACK, USAGE, Failure
from relay_cli.prompts import choose, confirm
from relay_cli.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from relay_cli.context import Context
    from relay_cli.deployed.stack import Stack

MAIL = re.compile(r"[^@\s,\"'\\=]+@[^@\s,\"'\\=]+")
"""What the template's AlarmEmail allows, without what would need quotes in samconfig.toml."""

TEST_MESSAGE = "A test of the relay $AAPL"
WAIT_FOR_TEST = "3m"

LIMITS = {"MaxPostsPerHour": (1, 3600), "PostBurst": (1, 100), "MaxPostsPerDay": (0, 10_000)}
"""The template's bounds; a test compares them."""

CAUTIOUS = {"MaxPostsPerHour": "6", "PostBurst": "2", "MaxPostsPerDay": "40"}
"""The pace that is suggested: posts cannot be deleted, and accounts that flood are suspended."""


class Login(StrEnum):
    """How to get the token of the StockTwits account."""

    TOKEN = "token"  # noqa: S105  # nosec B105  # not one itself
    APPLICATION = "application"
    LATER = "later"


def setup(  # noqa: PLR0913  each is an option
    ctx: typer.Context,
    *,
    posting: Annotated[
        bool | None, typer.Option("--posting/--no-posting", help="Whether to post alerts to StockTwits.")
    ] = None,
    backups: Annotated[
        bool | None, typer.Option("--backups/--no-backups", help="Whether to copy Firestream's backups every night.")
    ] = None,
    webhook: Annotated[
        bool | None,
        typer.Option("--webhook/--no-webhook", help="Whether programs without AWS credentials can post alerts."),
    ] = None,
    posts_per_hour: Annotated[int | None, typer.Option(metavar="N", help="Posts an hour, evenly spread.")] = None,
    burst: Annotated[int | None, typer.Option(metavar="N", help="Posts at once after a quiet time.")] = None,
    posts_per_day: Annotated[int | None, typer.Option(metavar="N", help="Posts a day; 0 for no limit.")] = None,
    alarm_email: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Where alarms are mailed; '' for nowhere.")
    ] = None,
    login: Annotated[
        Login | None, typer.Option(metavar="HOW", help="How to log in to StockTwits: token, application or later.")
    ] = None,
    token_file: Annotated[Path | None, typer.Option(metavar="FILE", help="A file with the token.")] = None,
    username: Annotated[
        str | None, typer.Option(metavar="NAME", help="The StockTwits account that the token must belong to.")
    ] = None,
    firestream_user: Annotated[
        str | None, typer.Option(metavar="NAME", help="Firestream's user name; '' to log in later.")
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file with Firestream's password.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Deploy without asking first.")] = False,
) -> None:
    """Deploy the relay for the first time, as a dry run, which posts nothing.

    Run it in the clone of the project. It checks your AWS credentials, asks for what it needs, writes that to
    samconfig.toml, deploys, stores the token and Firestream's login, checks everything, and sends a test message. Each
    command that it runs is shown. If something stops it, run it again: it asks only for what it does not know yet, and
    continues where it was. Without a terminal, each question needs its option.

    [dim]relay setup
    AWS_REGION=eu-west-1 relay setup --no-backups
    relay setup --no-posting --firestream-user my_login[/dim]
    """
    context: Context = ctx.obj
    clone = Clone(Path.cwd())
    _check_stack_name(context, clone)
    context, account = _identify(context)
    stack = _find(context)
    answers = _Answers(clone, stack)
    posts = answers.take_switch("PostingEnabled", posting, _POSTING)
    answers.take_switch("BackupsEnabled", backups, _BACKUPS, unasked=None if posts else "true")
    answers.take_switch("WebhookEnabled", webhook, _WEBHOOK, unasked=None if posts else "false")
    if posts:
        answers.take_number("MaxPostsPerHour", posts_per_hour, "Posts an hour", "--posts-per-hour")
        answers.take_number("PostBurst", burst, "Posts at once, after a quiet time", "--burst")
        answers.take_number("MaxPostsPerDay", posts_per_day, "Posts a day (0 for no limit)", "--posts-per-day")
    answers.take("AlarmEmail", alarm_email, _MAIL)

    stack = _deploy(context, clone, stack, answers.values, account, ask=not yes)
    live = stack.parameter("DryRun") == "false"
    commands = _Commands(ctx, context)
    left = []
    if posts and not _store_token(commands, stack, login, username, token_file):
        left.append("relay login --token")
    if answers.is_on("BackupsEnabled") and not _store_login(commands, stack, firestream_user, password_file):
        left.append("relay login firestream")
    code = commands.run("doctor")
    if posts and not live:
        commands.run("send", TEST_MESSAGE, "--wait", "--wait-for", WAIT_FOR_TEST)
    _show_next(context, answers, left, live=live)
    if code:
        raise typer.Exit(code)


@dataclass(frozen=True)
class _Question:
    """A question to the operator, the option that answers it, what Enter answers, and what reads an answer."""

    text: str
    option: str
    default: str
    read: Callable[[str], str]

    def ask(self) -> str:
        """Ask it."""
        return choose(self.text, self.option, self.default, self.read)


class _Answers:
    """The parameters of the template: each from its option, else samconfig.toml, else the stack, else the operator."""

    def __init__(self, clone: Clone, stack: Stack | None) -> None:
        self._clone = clone
        self._stack = stack
        self.values: dict[str, str] = {}

    def take(self, name: str, given: str | None, question: _Question, unasked: str | None = None) -> str:
        """Set a parameter; return it. With `unasked`, that is the answer and the question is left out."""
        found = given if given is not None else self._clone.parameter(name)
        if found is None and self._stack:
            found = self._stack.parameters.get(name)
        found = unasked if found is None else found
        try:
            value = question.ask() if found is None else question.read(found)
        except typer.BadParameter as error:
            raise Failure(f"{name} cannot be {one_line(str(found), 80)}: {error.message}", USAGE) from None
        self.values[name] = value
        return value

    def take_switch(
        self,
        name: str,
        given: bool | None,  # noqa: FBT001  an option's value
        question: _Question,
        unasked: str | None = None,
    ) -> bool:
        """Set a parameter that is true or false; return it."""
        return self.take(name, None if given is None else str(given).lower(), question, unasked) == "true"

    def take_number(self, name: str, given: int | None, text: str, option: str) -> None:
        """Set a parameter of the pace."""
        least, most = LIMITS[name]

        def read(answer: str) -> str:
            if not answer.isdecimal() or not least <= int(answer) <= most:
                raise typer.BadParameter(f"It must be a number from {least} to {most}.")
            return str(int(answer))

        self.take(name, None if given is None else str(given), _Question(text, option, CAUTIOUS[name], read))

    def is_on(self, name: str) -> bool:
        """Return a parameter that is true or false."""
        return self.values[name] == "true"


class _Commands:
    """Other commands of `relay`, run and shown as the operator would type them."""

    def __init__(self, ctx: typer.Context, context: Context) -> None:
        self._command = ctx.find_root().command
        self._notes = context.notes
        given = {"--stack-name": context.stack_name, "--region": context.region, "--profile": context.profile}
        self._options = [word for option, value in given.items() if value for word in (option, value)]

    def run(self, *words: str, typed: Path | None = None) -> int:
        """Run a command and return its exit code; a file may be its standard input."""
        self._notes.print(f"\n$ {shlex.join(['relay', *words])}", style="bold", soft_wrap=True)
        stdin = sys.stdin
        try:
            if typed:
                sys.stdin = io.StringIO(typed.read_text(encoding="utf-8"))
            return self._command.main([*self._options, *words], prog_name="relay", standalone_mode=False) or 0
        except OSError as error:
            if typed and error.filename == str(typed):
                raise Failure(f"{typed} cannot be read: {error.strerror}.", USAGE) from None
            raise
        except UnicodeDecodeError:
            raise Failure(f"{typed} is not UTF-8 text.", USAGE) from None
        finally:
            sys.stdin = stdin


def _check_stack_name(context: Context, clone: Clone) -> None:
    name = clone.stack_name or DEFAULT_STACK
    if context.stack_name not in {None, name}:
        raise Failure(
            f"`make deploy` deploys the stack {name}: change stack_name in samconfig.toml, and leave out --stack-name.",
            USAGE,
        )


def _identify(context: Context) -> tuple[Context, str]:
    """Check region and credentials; return the context with its region, and whose credentials they are.

    Raises:
        Failure: AWS does not accept them.
    """
    region = context.session.region_name or choose("AWS region", "--region", "us-east-1", str.strip)
    context = replace(context, region=region)
    found = identity(context.session, time.time)
    for verdict in found.values():
        if verdict.state is State.BROKEN:
            raise Failure(f"{verdict.text}{f': {verdict.what_to_do}' if verdict.what_to_do else ''}", NO_AWS)
    context.notes.print(f"AWS: {found['credentials'].text}.", soft_wrap=True)
    return context, found["credentials"].text


def _find(context: Context) -> Stack | None:
    """Return the stack, if it is deployed."""
    try:
        return find(context.session, context.stack_name)
    except Failure as failure:
        if failure.code != NO_STACK:
            raise
        return None


def _deploy(  # noqa: PLR0913  what there is to decide on
    context: Context, clone: Clone, stack: Stack | None, values: Mapping[str, str], account: str, *, ask: bool
) -> Stack:
    """Deploy unless the stack has these values already; return the stack."""
    if stack and stack.parameters.items() >= values.items() and stack.status.endswith("_COMPLETE"):
        context.notes.print("The stack is deployed with these settings already.")
        return stack
    for line in _summary(values, account, dry_run=stack is None or stack.parameters.get("DryRun") == "true"):
        context.notes.print(line, soft_wrap=True)
    if ask:
        confirm("Deploy this? It takes three to six minutes.", "Nothing was deployed", "--yes")
    region = str(context.region)
    if clone.write(region, values):
        context.notes.print("Wrote samconfig.toml.")
    parameters = "" if stack else "DryRun=true"
    shown = f'make deploy PARAMETERS="{parameters}"' if parameters else "make deploy"
    context.notes.print(f"\n$ {shown}", style="bold")
    clone.deploy(region, context.profile, parameters)
    return find(context.session, context.stack_name)


def _summary(values: Mapping[str, str], account: str, *, dry_run: bool) -> Iterator[str]:
    yield f"Account:  {account.removeprefix('you are ')}"
    if values["PostingEnabled"] == "true":
        pace = "{MaxPostsPerHour} an hour, {PostBurst} at once, {MaxPostsPerDay} a day".format_map(values)
        dry = "; a dry run, which posts nothing" if dry_run else ""
        yield f"Posts:    {pace.replace(', 0 a day', ', no daily limit')}{dry}"
    else:
        yield "Posts:    none"
    yield f"Backups:  {'every night' if values['BackupsEnabled'] == 'true' else 'none'}"
    yield f"Webhook:  {'on' if values['WebhookEnabled'] == 'true' else 'off'}"
    yield f"Alarms:   {'mailed to ' + values['AlarmEmail'] if values['AlarmEmail'] else 'mailed to nobody'}"


def _store_token(
    commands: _Commands, stack: Stack, login: Login | None, username: str | None, file: Path | None
) -> bool:
    """Store the token of the StockTwits account unless there is one; return whether there is."""
    if login is None and file is None and _is_stored(stack, "StockTwitsTokenParameter"):
        return True
    if file:
        login = Login.TOKEN
    elif login is None:
        login = choose(
            "Log in to StockTwits with a token, with your application, or later?", "--login", Login.LATER, _login
        )
    if login is Login.LATER:
        return False
    words = ["login", *(["--token"] if login is Login.TOKEN else [])]
    commands.run(*words, *(["--expect-username", username] if username else []), typed=file)
    return True


def _store_login(commands: _Commands, stack: Stack, username: str | None, file: Path | None) -> bool:
    """Store Firestream's login unless there is one; return whether there is."""
    if username is None and _is_stored(stack, "FirestreamCredentialsParameter"):
        return True
    if username is None:
        username = choose("Firestream's user name, or later", "--firestream-user", "later", _unless("later"))
    if not username:
        return False
    commands.run("login", "firestream", "--username", username, typed=file)
    return True


def _is_stored(stack: Stack, parameter: str) -> bool:
    ssm = stack.client("ssm")
    try:
        ssm.get_parameter(Name=stack.parameter(parameter))  # not decrypted
    except ssm.exceptions.ParameterNotFound:
        return False
    return True


def _show_next(context: Context, answers: _Answers, left: list[str], *, live: bool) -> None:
    """Print what remains to be done."""
    steps = [("Log in:", command) for command in left]
    if answers.values["AlarmEmail"]:
        steps.append(("Agree to AWS's mail that asks whether you want the alarms.", ""))
    if answers.is_on("WebhookEnabled"):
        steps.append(("Make an address for each program that posts alerts:", "relay webhook add NAME"))
    if answers.is_on("BackupsEnabled"):
        steps.append(("Fetch a first backup:", "relay backfill 2016-12-05 2016-12-05"))
    if answers.is_on("PostingEnabled") and not live:
        steps.append(("Go live, when you are ready. Posts cannot be deleted:", 'make deploy PARAMETERS="DryRun=false"'))
    context.console.print("\nWhat to do next:" if steps else "\nEverything is set up.", style="bold")
    for number, (text, command) in enumerate(steps, start=1):
        context.console.print(f"{number}. {text}")
        if command:
            context.console.print(f"     {command}", soft_wrap=True)


def _switch(text: str) -> str:
    answers = {"y": "true", "yes": "true", "true": "true", "n": "false", "no": "false", "false": "false"}
    try:
        return answers[text.strip().lower()]
    except KeyError:
        raise typer.BadParameter("Answer y or n.") from None


def _login(text: str) -> Login:
    try:
        return Login(text.strip().lower())
    except ValueError:
        raise typer.BadParameter("Answer token, application or later.") from None


def _mail(text: str) -> str:
    text = _unless("none")(text)
    if text and not MAIL.fullmatch(text):
        raise typer.BadParameter("It must be an address such as you@example.com.")
    return text


def _unless(word: str) -> Callable[[str], str]:
    """Return what reads an answer, and the word as none."""
    return lambda text: "" if text.strip() == word else text.strip()


_POSTING = _Question("Post alerts to StockTwits?", "--posting or --no-posting", "y", _switch)
_BACKUPS = _Question("Copy Firestream's backups every night?", "--backups or --no-backups", "n", _switch)
_WEBHOOK = _Question(
    "Take alerts from programs without AWS credentials, such as TradingView?", "--webhook or --no-webhook", "n", _switch
)
_MAIL = _Question("Mail alarms to (none for nobody)", "--alarm-email", "none", _mail)
