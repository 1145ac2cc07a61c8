"""``relay webhook``: the sources that may post alerts to the webhook's address."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Annotated
from urllib.parse import unquote

import typer
from msgspec import structs
from relay.errors import Reject
from relay.posting.webhook import body_template, message, sources
from relay.posting.webhook.body_template import Template
from relay.posting.webhook.receiver import MAX_BYTES, read_payload
from rich.text import Text

from relay_cli.commands.options import FromFile, Json, Limit, parsed_by
from relay_cli.deployed import webhook_sources
from relay_cli.durations import span
from relay_cli.failure import FAILED, NO_STACK, USAGE, Failure
from relay_cli.files import read_input
from relay_cli.output import goes_to_a_terminal, print_json
from relay_cli.prompts import ask_secret, confirm
from relay_cli.text import count, length, one_line, printable

if TYPE_CHECKING:
    from relay.posting.webhook.message import Composed
    from relay.posting.webhook.sources import Source

    from relay_cli.context import Context
    from relay_cli.deployed.stack import Stack

app = typer.Typer(no_args_is_help=True, help="Let programs without AWS credentials post alerts to an address.")

SWITCH_ON = "WebhookEnabled=true"

Name = Annotated[str, typer.Argument(metavar="NAME", help="The source's name, which is a part of its address.")]

_SECRET = re.compile(r"[A-Za-z0-9_-]{1,200}")
_SERVER_ERROR = 500


@app.command()
def add(  # noqa: PLR0913  each is an option
    ctx: typer.Context,
    name: Name,
    *,
    body: Annotated[
        str | None, typer.Option(metavar="TEMPLATE", help="The text to post, with {fields} of the payload.")
    ] = None,
    sentiment: Annotated[
        str | None, typer.Option(metavar="TEMPLATE", help="Its sentiment, such as bullish or {side}.")
    ] = None,
    maps: Annotated[
        str | None,
        typer.Option("--map", metavar="FIELD:VALUE=WORD,...", help="Sentiments for values, as in side:buy=bullish."),
    ] = None,
    key: Annotated[str | None, typer.Option(metavar="TEMPLATE", help="Its idempotency key, such as {id}.")] = None,
    expires_in: Annotated[
        timedelta | None,
        typer.Option(
            parser=parsed_by(span),
            metavar="SPAN",
            help="Let an alert expire so long after it was received: 30m, 2h ...",
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS,...", help="Accept alerts from these addresses and networks alone; may be repeated."
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Make a new secret for a source; what no option changes stays.")
    ] = False,
    keep_secret: Annotated[
        bool, typer.Option("--keep-secret", help="Change a source and keep its address; what no option changes stays.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Add a source, and print its address. The secret in the address is shown this once.

    Whoever has the address can post alerts. If a program cannot choose what it sends, say with --body, --sentiment,
    --map and --key what becomes of it: {fields} stand for values of its JSON. `relay webhook test NAME --file FILE`
    shows the result.

    If the output is not a terminal, the address alone is printed.

    [dim]relay webhook add scanner
    relay webhook add tradingview --expires-in 30m --allow 192.0.2.1,198.51.100.0/24
    relay webhook add bot --body 'Up {change}% ${symbol}' --sentiment '{side}' --map side:buy=bullish,side:sell=bearish
    relay webhook add scanner --replace
    relay webhook add scanner --keep-secret --expires-in 1h[/dim]
    """
    context: Context = ctx.obj
    _check_name(name)
    stored = webhook_sources.read(context.stack)
    before = stored.sources.get(name)
    if before and not (replace or keep_secret):
        raise Failure(
            f"There is a source {name} already: choose another name, change it with --keep-secret, or make it a new "
            "secret with --replace.",
            USAGE,
        )
    if keep_secret and not before:
        raise Failure(f"There is no source {name} whose secret could be kept.", USAGE)
    secret = sources.new_secret()
    try:
        template = _template(before.template if before else None, body, sentiment, maps, key)
        source = sources.new_source(
            secret,
            added=datetime.fromtimestamp(time.time(), UTC).date().isoformat(),
            addresses=_addresses(allow) if allow else before.addresses if before else (),
            template=template,
            expires_in=int(expires_in.total_seconds()) if expires_in else before.expires_in if before else 0,
        )
        if template:
            message.try_template(template)
    except Reject as error:
        raise Failure(f"Nothing was stored: {one_line(error.reason, 1000)}.", USAGE) from None
    if before and keep_secret:
        source = structs.replace(source, salt=before.salt, hash=before.hash, added=before.added)
    webhook_sources.write(context.stack, stored, stored.sources | {name: source})
    if as_json:
        address = None if keep_secret else _address(context, name, secret)
        print_json({"name": name, "address": address, "replaced": before is not None})
        return
    if keep_secret:
        context.console.print(f"Changed {name}; its address stays the same. The change works within a minute.")
        return
    _show_address(context, name, secret, source)
    _note_replaced(context, before)


@app.command("list")
def list_sources(ctx: typer.Context, *, limit: Limit = None, as_json: Json = False) -> None:
    """List the sources: when they were added, who may use them, and what becomes of their payloads.

    Their secrets cannot be shown: only hashes of them are stored.

    [dim]relay webhook list[/dim]
    """
    context: Context = ctx.obj
    stored = webhook_sources.read(context.stack)
    if as_json:
        print_json(
            {
                "sources": [_plain(name, each) for name, each in islice(stored.sources.items(), limit)],
                "characters": {"used": stored.characters, "most": sources.MAX_CHARACTERS},
            }
        )
        return
    for name, source in islice(stored.sources.items(), limit):
        context.console.print(_described(name, source), soft_wrap=True)
    context.console.print(
        f"{count(len(stored.sources), 'source')}; {stored.characters:,} of {sources.MAX_CHARACTERS:,} characters used.",
        style="dim",
    )
    _note_switched_off(context)


@app.command()
def revoke(
    ctx: typer.Context,
    name: Name,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    as_json: Json = False,
) -> None:
    """Remove a source: within a minute, nobody can post alerts with its address any more.

    [dim]relay webhook revoke scanner[/dim]
    """
    context: Context = ctx.obj
    stored, _ = _find(context, name)
    if not yes:
        confirm(
            f"Remove {name}? Whatever uses its address can post no alerts any more.", "Nothing was changed", "--yes"
        )
    left = {each: source for each, source in stored.sources.items() if each != name}
    webhook_sources.write(context.stack, stored, left)
    if as_json:
        print_json({"removed": name})
        return
    context.console.print(f"Removed {name}. Within a minute, its address answers 404.")


@app.command("test")
def try_source(
    ctx: typer.Context,
    name: Name,
    *,
    file: Annotated[
        str | None,
        typer.Option("--file", "-f", metavar="FILE|-", help="A payload, as the source sends it; - for standard input."),
    ] = None,
    from_file: FromFile = None,
    as_json: Json = False,
) -> None:
    """Test an address, or show what becomes of a payload. Nothing is posted.

    Without --file, the source's address or secret is asked for, or read from a pipe, and an empty request is sent to
    the address: the webhook refuses it as empty once it has accepted the secret. With --file, nothing is sent, and no
    secret is needed. The exit code is 1 if the address does not work, or the webhook would refuse the payload.

    [dim]relay webhook test scanner
    relay webhook test scanner --file payload.json[/dim]
    """
    context: Context = ctx.obj
    _check_name(name)
    file = from_file if file is None else file
    if file is None:
        _test_address(context, name, as_json=as_json)
        return
    _, source = _find(context, name)
    composed = _composed(name, source, read_input(file))
    if as_json:
        alert = structs.asdict(composed.alert) | {"key": composed.key}
        print_json({field: value for field, value in alert.items() if value is not None})
    else:
        _show_composed(context, composed)


# What add stores


def _check_name(name: str) -> None:
    """Refuse a name that no source can have; raises `Failure`."""
    try:
        sources.check_name(name)
    except Reject as error:
        raise Failure(f"{one_line(name, 60)} is not a name: {error.reason}.", USAGE) from None


def _addresses(given: list[str]) -> list[str]:
    """Return the addresses of the option; raises `Failure` if there are none, which would let in any."""
    addresses = [each for text in given for each in text.split(",") if each.strip()]
    if not addresses:
        raise Failure("--allow needs an address: without one, alerts would be accepted from everywhere.", USAGE)
    return addresses


def _template(
    before: Template | None, body: str | None, sentiment: str | None, maps: str | None, key: str | None
) -> Template | None:
    """Return the template after changes; raises `Reject` or `Failure` if they are not those of a template."""
    parsed = None if maps is None else body_template.parse_maps(maps)
    given = {"body": body, "sentiment": sentiment, "maps": parsed, "key": key}
    changes = {field: value for field, value in given.items() if value is not None}
    if not changes:
        return before
    if not before and body is None:
        raise Failure("--sentiment, --map and --key are parts of a template, which needs a --body, too.", USAGE)
    return structs.replace(before or Template(body=""), **changes)


# What add shows


def _address(context: Context, name: str, secret: str) -> str:
    return f"{context.stack.outputs.get('WebhookUrl', '')}/alerts/{name}/{secret}"


def _show_address(context: Context, name: str, secret: str, source: Source) -> None:
    """Print an address, with what to do with it; to a program, the address alone."""
    url = context.stack.outputs.get("WebhookUrl", "")
    address = _address(context, name, secret)
    shown = f"The address of {name} is shown this once: store it where only the program that uses it can read it."
    context.notes.print(shown, soft_wrap=True)
    context.console.print(address, soft_wrap=True)
    if not url:
        _note_switched_off(context)
    elif goes_to_a_terminal():  # or the secret would be in the log of whatever ran this
        data = "--data-binary @payload.json" if source.template else "--data 'Up 3% on twice the usual volume $AAPL'"
        context.notes.print("To post an alert:")
        context.notes.print(f"  curl {data} '{address}'", soft_wrap=True)
        context.notes.print("The same for programs that can send headers, where the secret is not in the address:")
        context.notes.print(f"  curl {data} -H 'Authorization: Bearer {secret}' '{url}/alerts/{name}'", soft_wrap=True)
        context.notes.print(f"To test it without posting: relay webhook test {name}")


def _note_replaced(context: Context, before: Source | None) -> None:
    if before:
        context.notes.print("The earlier address answers 404 within a minute.")


def _note_switched_off(context: Context) -> None:
    if "WebhookUrl" in context.stack.outputs:
        return
    note = (
        "Note: the webhook is switched off in this stack, so that the address has no beginning yet. Switch it on "
        f"({context.invocation.make_deploy(SWITCH_ON)}), and put the output WebhookUrl before the path."
    )
    context.notes.print(Text(note, "yellow"), soft_wrap=True)


# What is stored


def _find(context: Context, name: str) -> tuple[webhook_sources.StoredSources, Source]:
    """Return the sources, and one of them; raises `Failure` if there is none of this name."""
    stored = webhook_sources.read(context.stack)
    if name not in stored.sources:
        raise Failure(f"There is no source {one_line(name, 60)}: `relay webhook list` shows them.", USAGE)
    return stored, stored.sources[name]


def _plain(name: str, source: Source) -> dict[str, object]:
    """Return what may be seen of a source."""
    return {
        "name": name,
        "added": source.added,
        "addresses": list(source.addresses),
        "template": structs.asdict(source.template) if source.template else None,
        "expires_in": source.expires_in or None,
    }


def _described(name: str, source: Source) -> Text:
    text = Text.assemble((one_line(name), "bold"), f"  added {one_line(source.added)}")
    text.append(f", from {one_line(', '.join(source.addresses)) if source.addresses else 'any address'}")
    if source.expires_in:
        text.append(f", expires after {length(source.expires_in)}")
    if template := source.template:
        text.append(f"\n    body {one_line(template.body)}")
        if template.sentiment:
            text.append(f"\n    sentiment {one_line(template.sentiment)}")
        for path, words in template.maps.items():
            text.append(f"\n    where {one_line(path)} is {one_line(', '.join(f'{a}: {b}' for a, b in words.items()))}")
        if template.key:
            text.append(f"\n    key {one_line(template.key)}")
    return text


# What test shows


def _composed(name: str, source: Source, content: bytes) -> Composed:
    """Make of a payload what the webhook would make of it; raises `Failure` if it would be refused."""
    if len(content) > MAX_BYTES:
        raise Failure(
            f"The webhook would answer 413: the message has {len(content):,} bytes, at most {MAX_BYTES:,} are allowed.",
            FAILED,
        )
    try:
        return message.compose(name, source, read_payload(content), time.time())
    except Reject as error:
        raise Failure(f"The webhook would answer 400: {one_line(error.reason, 1000)}.", FAILED) from None


def _show_composed(context: Context, composed: Composed) -> None:
    alert = composed.alert
    about = {
        "Sentiment": alert.sentiment,
        "Reply to": alert.in_reply_to_message_id,
        "Chart": alert.chart,
        "Key": composed.key,
        "Not before": context.moment(alert.not_before) if alert.not_before else None,
        "Expires": context.moment(alert.expires_at) if alert.expires_at else None,
        "Priority": alert.priority,
    }
    for name, value in about.items():
        if value is not None:
            context.console.print(Text(f"{name:<11} {one_line(str(value), 2000)}"), soft_wrap=True)
    context.console.print()
    context.console.print(Text(printable(alert.body)), soft_wrap=True)


def _test_address(context: Context, name: str, *, as_json: bool) -> None:
    """Send an empty request with the source's secret, and print what the answer means."""
    from relay_cli.deployed import webhook  # noqa: PLC0415  slow to import

    stack = context.stack
    if "WebhookUrl" not in stack.outputs:
        deploy = context.invocation.make_deploy(SWITCH_ON)
        raise Failure(f"The webhook is switched off in this stack. Switch it on: {deploy}", NO_STACK)
    secret = _secret(stack, name, ask_secret(f"Address or secret of {name}"))
    answer = webhook.post_nothing(stack, f"/alerts/{name}/{secret}")
    reason = webhook.reason(answer)
    match answer.status:
        case 400 if reason == message.EMPTY:
            if as_json:
                print_json({"name": name, "works": True})
                return
            context.console.print(f"The address of {name} works: the webhook accepted the secret. Nothing was posted.")
            return
        case 404:
            words = (
                f"The webhook does not know this secret of {name} (404): it was replaced or revoked, it was added a "
                "few seconds ago, or the source accepts alerts from other addresses than this one.\n"
                "See `relay webhook list`."
            )
        case 429:
            words = "The webhook gets more requests than WebhookRatePerSecond allows (429): try again."
        case status if status >= _SERVER_ERROR:
            words = f"The webhook does not work at present ({status}): `relay doctor` shows why."
        case status:
            words = f"The webhook answered {status}, which was not expected: is there a proxy in between?"
    raise Failure(words, FAILED)


def _secret(stack: Stack, name: str, given: str) -> str:
    """Return the secret in an address, or the secret itself; raises `Failure`, which does not show it."""
    text = given.strip().strip("'\"<>").strip().removesuffix("/")
    begins = f"{stack.output('WebhookUrl')}/alerts/{name}/"
    if "://" in text and not text.startswith(begins):
        raise Failure(f"That is not the address of {name}, which begins with {begins}: nothing was sent.", USAGE)
    secret = unquote(text.removeprefix(begins).removeprefix(f"/alerts/{name}/"))
    if not _SECRET.fullmatch(secret):
        raise Failure("That is not a secret: it has characters that no secret has. Nothing was sent.", USAGE)
    return secret
