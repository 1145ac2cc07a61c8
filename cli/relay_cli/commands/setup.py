"""``relay setup``: from a clone to a deployed dry run, step by step."""

from __future__ import annotations

import io
import json
import os
import shlex
import sys
import time
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from botocore.exceptions import BotoCoreError, ClientError
from relay.client import DEFAULT_STACK, STACK_VARIABLE, NoStack, NotDeployed, NotRelay

from relay_cli import prompts
from relay_cli.answers import ALARMS, BACKUPS, POSTING, WEBHOOK, Answers, Login, read_login, unless
from relay_cli.clone import Clone
from relay_cli.commands.options import Json  # noqa: TC001  typer reads it
from relay_cli.deployed.stack import UnusableStack, client, configured_region, find
from relay_cli.doctor.account import identity
from relay_cli.doctor.finding import State
from relay_cli.failure import FAILED, NO_AWS, NO_STACK, USAGE, Failure, from_aws_error
from relay_cli.logins import check_login, check_token, read_secret
from relay_cli.output import print_error, print_json
from relay_cli.prompts import choose, confirm
from relay_cli.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from relay_cli.context import Context
    from relay_cli.deployed.stack import Stack
    from relay_cli.invocation import Invocation

TEST_MESSAGE = ("send", "A test of the relay $AAPL", "--expires-in", "2m", "--wait", "--wait-for", "3m")
"""It expires: during a pause it would wait, and be posted after the operator has gone live. The wait outlasts that."""

LIVE, DRY_RUN, NO_POSTING = "live", "dry_run", "no_posting"

_NEVER_DEPLOYED = frozenset({"CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"})
"""The statuses of a stack whose first deployment failed, which CloudFormation can only delete:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html."""

SECRETS = {
    "StockTwitsTokenParameter": "/stocktwits-relay/token",
    "FirestreamCredentialsParameter": "/stocktwits-relay/firestream",
}
"""Where the template has the secrets by default; a test compares them."""


@dataclass(frozen=True, slots=True)
class NextStep:
    """What remains to be done.

    Attributes:
        text: What it is.
        command: The command that does it; empty if there is none.
    """

    text: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class SetupResult:
    """The result of the command.

    Attributes:
        stack: The stack's name.
        region: Its AWS region.
        deployed: Whether it was deployed now; if not, it had these settings already.
        state: `LIVE`, `DRY_RUN` or `NO_POSTING`.
        parameters: The answers, as parameters of the template.
        doctor: What `relay doctor` found, as its ``--json`` has it.
        trial: The test message, as ``relay send --json`` has it; None if none was sent.
        next_steps: What remains to be done.
    """

    stack: str
    region: str
    deployed: bool
    state: str
    parameters: Mapping[str, str]
    doctor: list[dict[str, Any]]
    trial: dict[str, Any] | None
    next_steps: list[NextStep]


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
    expect_username: Annotated[
        str | None, typer.Option(metavar="NAME", help="The StockTwits account that the token must belong to.")
    ] = None,
    firestream_username: Annotated[
        str | None, typer.Option(metavar="NAME", help="Firestream's user name; '' to log in later.")
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file with Firestream's password.")
    ] = None,
    yes: Annotated[
        bool,
        typer.Option("--yes", "-y", help="Deploy without asking first; stopping a live relay needs --no-posting, too."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Deploy the relay for the first time, as a dry run, which posts nothing.

    Run it in the clone of the project. It checks your AWS credentials, asks for what it needs, writes that to
    samconfig.toml, deploys, stores the token and Firestream's login, checks everything, and sends a test message. Each
    command that it runs is shown. If something stops it, run it again: it asks only for what it does not know yet, and
    continues where it was. Without a terminal, each question needs its option.

    [dim]relay setup
    AWS_REGION=eu-west-1 relay setup --no-backups
    relay setup --no-posting --firestream-username my_login[/dim]
    """
    context: Context = ctx.obj
    clone = Clone(Path.cwd())
    _check_stack_name(context, clone)
    if not context.profile and clone.profile:
        context = replace(context, profile=clone.profile, region=context.region or configured_region())
    clone.check_deployable(context.profile)
    runtime = clone.find_runtime()
    if runtime:
        context.notes.print(f"The functions will run on {runtime}, whose Python is on this machine.", soft_wrap=True)
    if not context.session.region_name:
        region = choose("AWS region", "--region", "us-east-1", str.strip)
        context = replace(context, region=region)
    given = replace(context.invocation, runtime=runtime)
    context, account = _identify(context)
    stack = _find(context, given)
    answers = Answers(clone, stack)
    posts = answers.take_switch("PostingEnabled", posting, POSTING)
    fetches = answers.take_switch("BackupsEnabled", backups, BACKUPS, unasked=None if posts else "true")
    if not posts and not fetches:
        raise Failure("There is nothing to set up with --no-posting and --no-backups: leave out one of them.", USAGE)
    answers.take_switch("WebhookEnabled", webhook, WEBHOOK, unasked=None if posts else "false")
    if posts:
        answers.take_number("MaxPostsPerHour", posts_per_hour, "Posts an hour", "--posts-per-hour")
        answers.take_number("PostBurst", burst, "Posts at once, after a quiet time", "--burst")
        answers.take_number("MaxPostsPerDay", posts_per_day, "Posts a day (0 for no limit)", "--posts-per-day")
    answers.take("AlarmEmail", alarm_email, ALARMS)
    if not posts and (login or token_file or expect_username):
        raise Failure("Leave out --login, --token-file and --expect-username: this stack does not post.", USAGE)
    if not fetches and (firestream_username or password_file):
        raise Failure("Leave out --firestream-username and --password-file: this stack fetches no backups.", USAGE)
    secrets = _Secrets(context, answers)
    logins = [
        _token_login(secrets, login, expect_username, token_file) if posts else None,
        _archive_login(secrets, firestream_username, password_file) if fetches else None,
    ]

    before = stack
    ask = not yes or (_stops(stack, answers.values) and posting is None)
    stack = _deploy(context, clone, stack, answers.values, account=account, given=given, ask=ask, quiet=as_json)
    commands = _Commands(ctx, context, given, quiet=as_json)
    left = [
        each.by_hand
        for each in filter(None, logins)
        if not (each.words and commands.run(*each.words, secret=each.secret).done)
    ]
    findings = commands.run("doctor").result or []
    state = _state(stack)
    sent = commands.run(*TEST_MESSAGE).result if state == DRY_RUN else None
    steps = list(_next_steps(answers, left, given, state, failed=bool(commands.code)))
    if as_json:
        region, deployed = str(context.region), stack is not before
        trial = sent["messages"][0] if sent else None
        print_json(SetupResult(stack.name, region, deployed, state, answers.values, findings, trial, steps))
    else:
        _show(context, steps)
    if commands.code:
        raise Failure("Not all of it works yet: see above what failed.", commands.code)


@dataclass(frozen=True, slots=True)
class _Done:
    """How a command ended: whether it did what it was to do, and its result as JSON if that was asked for."""

    done: bool
    result: Any = None


class _Commands:
    """Other commands of `relay`, run and shown as the operator would type them.

    Attributes:
        code: The exit code of the first one that failed; 0 if none did.
    """

    def __init__(self, ctx: typer.Context, context: Context, given: Invocation, *, quiet: bool) -> None:
        self._command = ctx.find_root().command
        self._notes = context.notes
        self._given = given
        self._quiet = quiet
        options = {"--stack-name": context.stack_name, "--region": context.region, "--profile": context.profile}
        self._options = [word for option, value in options.items() if value for word in (option, value)]
        self.code = 0

    def run(self, *words: str, secret: str | None = None) -> _Done:
        """Run a command, with a secret as its standard input; print why it failed."""
        self._notes.print(f"\n$ {self._given.relay(shlex.join(words))}", style="bold", soft_wrap=True)
        stdin, code = sys.stdin, 0
        json_option = ["--json"] if self._quiet else []
        with redirect_stdout(io.StringIO()) if self._quiet else nullcontext() as out:
            try:
                if secret is not None:
                    sys.stdin = io.StringIO(f"{secret}\n")
                arguments = [*self._options, *words, *json_option]
                code = self._command.main(arguments, prog_name="relay", standalone_mode=False, obj=self._given) or 0
            except (Failure, ClientError, BotoCoreError) as error:
                failure = error if isinstance(error, Failure) else from_aws_error(error)
                print_error(f"relay: {failure.reason}")
                code = failure.code
            finally:
                sys.stdin = stdin
        self.code = self.code or code
        return _Done(not code, json.loads(out.getvalue()) if out and out.getvalue() else None)


class _Secrets:
    """Where the stack that is to be deployed will look for its secrets."""

    def __init__(self, context: Context, answers: Answers) -> None:
        self._ssm = client(context.session, "ssm")
        self._answers = answers

    def has(self, parameter: str) -> bool:
        """Return whether a secret is stored already; `parameter` is the template's."""
        try:
            self._ssm.get_parameter(Name=self._answers.known(parameter) or SECRETS[parameter])  # not decrypted
        except self._ssm.exceptions.ParameterNotFound:
            return False
        return True


@dataclass(frozen=True, slots=True)
class _LoginStep:
    """A login that is to be stored once the stack is deployed.

    Attributes:
        by_hand: The command for later.
        words: The command for now; none if the operator wants to do it later.
        secret: The token or password, if it comes from a file.
    """

    by_hand: tuple[str, ...]
    words: tuple[str, ...] = ()
    secret: str | None = None


def _check_stack_name(context: Context, clone: Clone) -> None:
    name = clone.stack_name or DEFAULT_STACK
    if context.stack_name not in {None, name}:
        by_environment = context.stack_name == os.environ.get(STACK_VARIABLE)
        remedy = f"unset {STACK_VARIABLE}" if by_environment else "leave out --stack-name"
        raise Failure(
            f"`make deploy` deploys the stack {name}, not {context.stack_name}: change stack_name in samconfig.toml, "
            f"or {remedy}.",
            USAGE,
        )


def _identify(context: Context) -> tuple[Context, str]:
    """Check the credentials; return the context with its region, and whose credentials they are.

    Raises:
        Failure: AWS does not accept them.
    """
    context = replace(context, region=context.session.region_name)
    found = identity(context.session, time.time)
    for verdict in found.values():
        if verdict.state is State.BROKEN:
            raise Failure(f"{verdict.text}{f': {verdict.what_to_do}' if verdict.what_to_do else ''}", NO_AWS)
    context.notes.print(f"AWS: {found['credentials'].text}.", soft_wrap=True)
    return context, found["credentials"].text


def _find(context: Context, given: Invocation) -> Stack | None:
    """Return the stack; None if there is none of this name.

    Raises:
        Failure: There is one, but it is not a relay, or its first deployment failed or still runs.
    """
    try:
        return find(context.session, context.stack_name)
    except UnusableStack as failure:
        cause = failure.cause
        if isinstance(cause, NoStack):
            return None
        if isinstance(cause, NotRelay):
            remedy = "change stack_name in samconfig.toml"
        elif isinstance(cause, NotDeployed):
            remedy = _remedy(context, given, cause)
        else:
            raise
        raise Failure(f"{one_line(cause.reason)}: {remedy}.", NO_STACK) from None


def _remedy(context: Context, given: Invocation, cause: NotDeployed) -> str:
    """Return what to do about a stack that is not completely deployed; only one that never was is to be deleted."""
    if cause.stack_status in _NEVER_DEPLOYED:
        delete = given.aws(f"aws cloudformation delete-stack --stack-name {cause.name}", str(context.region))
        return f"its first deployment failed, so delete it first: `{delete}`"
    if cause.stack_status.endswith("_IN_PROGRESS") and cause.stack_status != "REVIEW_IN_PROGRESS":
        return "wait until that has ended, and run this again"
    events = given.aws(f"aws cloudformation describe-stack-events --stack-name {cause.name}", str(context.region))
    return f"wait if it is being deployed just now; if it is not, see what happened to it: `{events}`"


def _is_live(stack: Stack | None) -> bool:
    """Return whether a stack posts for real. One without posting has a `DryRun` too, which says nothing."""
    parameters = stack.parameters if stack else {}
    return parameters.get("DryRun") == "false" and parameters.get("PostingEnabled") != "false"


def _state(stack: Stack) -> str:
    if stack.parameters.get("PostingEnabled") == "false":
        return NO_POSTING
    return LIVE if _is_live(stack) else DRY_RUN


def _deploy(  # noqa: PLR0913  what there is to decide on
    context: Context,
    clone: Clone,
    stack: Stack | None,
    values: Mapping[str, str],
    *,
    account: str,
    given: Invocation,
    ask: bool,
    quiet: bool,
) -> Stack:
    """Deploy unless the stack has these values already; return the stack."""
    if stack and stack.parameters.items() >= values.items() and stack.status.endswith("_COMPLETE"):
        context.notes.print("The stack is deployed with these settings already.")
        return stack
    dry_run = "false" if _is_live(stack) else "true"
    stops = _stops(stack, values)
    for line in _summary(values, account, dry_run=dry_run == "true", stops=stops):
        context.notes.print(line, soft_wrap=True)
    if (configured := clone.parameter("DryRun")) not in {None, dry_run}:
        context.notes.print(
            f"Note: samconfig.toml has DryRun={configured}, which the next `make deploy` will apply.", soft_wrap=True
        )
    if ask and stops and not prompts.at_a_terminal():
        raise Failure(
            "Nothing was deployed: it would stop a relay that is live, and there is nobody to ask. Use --no-posting "
            "with --yes, or set PostingEnabled=true in samconfig.toml.",
            FAILED,
        )
    if ask:
        confirm("Deploy this? It takes three to six minutes.", "Nothing was deployed", "--yes")
    region = str(context.region)
    if clone.write(region, values):
        context.notes.print("Wrote samconfig.toml.")
    parameters = f"DryRun={dry_run}"  # always: samconfig.toml may have another one
    context.notes.print(f"\n$ {given.make_deploy(parameters)}", style="bold", soft_wrap=True)
    clone.deploy(region, context.profile, parameters, given.runtime, quiet=quiet)
    return find(context.session, context.stack_name)


def _stops(stack: Stack | None, values: Mapping[str, str]) -> bool:
    """Return whether deploying these values would stop a relay that is live."""
    return _is_live(stack) and values["PostingEnabled"] != "true"


def _summary(values: Mapping[str, str], account: str, *, dry_run: bool, stops: bool) -> Iterator[str]:
    yield f"Account:  {account.removeprefix('you are ')}"
    if values["PostingEnabled"] == "true":
        pace = "{MaxPostsPerHour} an hour, {PostBurst} at once, {MaxPostsPerDay} a day".format_map(values)
        state = "a dry run, which posts nothing" if dry_run else "live: it posts to StockTwits, as before"
        yield f"Posts:    {pace.replace(', 0 a day', ', no daily limit')}; {state}"
    else:
        yield "Posts:    none: this stops a relay that is live" if stops else "Posts:    none"
    yield f"Backups:  {'every night' if values['BackupsEnabled'] == 'true' else 'none'}"
    yield f"Webhook:  {'on' if values['WebhookEnabled'] == 'true' else 'off'}"
    yield f"Alarms:   {'mailed to ' + values['AlarmEmail'] if values['AlarmEmail'] else 'mailed to nobody'}"


def _token_login(secrets: _Secrets, login: Login | None, username: str | None, file: Path | None) -> _LoginStep | None:
    """Decide how the token of the StockTwits account gets there; None if it is stored already.

    Raises:
        Failure: It cannot be stored like this.
    """
    by_hand: tuple[str, ...] = ("login", "--token")
    if file and login not in {None, Login.TOKEN}:
        raise Failure(f"Leave out --token-file with --login {login}, or use --login token.", USAGE)
    if file and not username:
        raise Failure("--token-file needs --expect-username, the account that the token must belong to.", USAGE)
    if file:
        login = Login.TOKEN
    elif login is None and secrets.has("StockTwitsTokenParameter"):
        return None
    elif login is None:
        login = choose(
            "Log in to StockTwits with a token, with your application, or later?", "--login", Login.LATER, read_login
        )
    if login is Login.LATER:
        return _LoginStep(by_hand)
    if not file and not prompts.at_a_terminal():
        raise Failure("There is nobody to ask for the token: use --token-file, or --login later.", USAGE)
    secret = read_secret(file) if file else None
    if secret is not None:
        check_token(secret)
    if login is Login.APPLICATION:
        by_hand = ("login",)
    return _LoginStep(by_hand, (*by_hand, *(["--expect-username", username] if username else [])), secret)


def _archive_login(secrets: _Secrets, username: str | None, file: Path | None) -> _LoginStep | None:
    """Decide how Firestream's login gets there; None if it is stored already.

    Raises:
        Failure: It cannot be stored like this.
    """
    by_hand = ("login", "firestream")
    if file and not username:
        raise Failure("--password-file needs --firestream-username, whose password it is.", USAGE)
    if username is None and secrets.has("FirestreamCredentialsParameter"):
        return None
    if username is None:
        username = choose("Firestream's user name, or later", "--firestream-username", "later", unless("later"))
    if not username:
        return _LoginStep(by_hand)
    if not file and not prompts.at_a_terminal():
        raise Failure(
            "There is nobody to ask for the password: use --password-file, or --firestream-username ''.", USAGE
        )
    secret = read_secret(file) if file else None
    check_login(username, secret)
    return _LoginStep(by_hand, (*by_hand, "--username", username), secret)


def _next_steps(
    answers: Answers, left: list[tuple[str, ...]], given: Invocation, state: str, *, failed: bool
) -> Iterator[NextStep]:
    """Yield what remains to be done."""
    for words in left:
        yield NextStep("Log in:", given.relay(shlex.join(words)))
    if failed:
        yield NextStep("Correct what failed above, and run this again:", given.relay("setup"))
    if answers.values["AlarmEmail"]:
        yield NextStep("Agree to AWS's mail that asks whether you want the alarms.")
    if answers.is_on("WebhookEnabled"):
        yield NextStep("Make an address for each program that posts alerts:", given.relay("webhook add NAME"))
    if answers.is_on("BackupsEnabled"):
        yield NextStep("Fetch a first backup:", given.relay("backfill 2016-12-05 2016-12-05"))
    if state == DRY_RUN:
        yield NextStep("Go live, when you are ready. Posts cannot be deleted:", given.make_deploy("DryRun=false"))


def _show(context: Context, steps: list[NextStep]) -> None:
    context.console.print("\nWhat to do next:" if steps else "\nEverything is set up.", style="bold")
    for number, step in enumerate(steps, start=1):
        context.console.print(f"{number}. {step.text}")
        if step.command:
            context.console.print(f"     {step.command}", soft_wrap=True)
