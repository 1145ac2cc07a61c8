"""`relay webhook`: a secret is shown once, what is stored is never overwritten unread, and a test posts nothing."""

import json
import re
import shlex
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from relay.posting.webhook import sources as secrets
from relay.posting.webhook.message import compose
from relay.posting.webhook.receiver import MAX_BYTES, Receiver, read_request
from relay.posting.webhook.sources import MAX_CHARACTERS, Source, authenticate, decode
from relay_cli.commands import webhook

from local.build import ROOT
from tests.factories import api_event
from tests.servers import answering, request_of, tcp_server
from tests.worlds.cli import (
    DONE,
    FAILED,
    NO_AWS,
    NO_STACK,
    OVERRIDE,
    SHOWN,
    USAGE,
    WEBHOOK_PARAMETER,
    CliHarness,
    CommandResult,
    control_characters,
    iso,
)
from tests.worlds.posting import PostingWorld

URL = "https://a1b2c3.execute-api.us-east-1.amazonaws.com"
HERE = "127.0.0.1"


@pytest.fixture
def cli(world: PostingWorld, monkeypatch: pytest.MonkeyPatch) -> Iterator[CliHarness]:
    """The command and a stack with a webhook. Each secret is shown once at most, and AWS never gets one."""
    made: list[str] = []

    def new_secret() -> str:
        made.append(secrets.new_secret())
        return made[-1]

    monkeypatch.setattr(webhook, "sources", SimpleNamespace(**vars(secrets) | {"new_secret": new_secret}))
    cli = CliHarness(world, monkeypatch)
    cli.outputs["WebhookUrl"] = URL
    yield cli
    assert control_characters(cli.everything) == set()
    assert [each for each in made if cli.everything.count(each) > 1 or each in json.dumps(cli.calls)] == []


def sources(cli: CliHarness) -> dict[str, Source]:
    found = cli.world.ssm.get_parameter(Name=WEBHOOK_PARAMETER, WithDecryption=True)["Parameter"]
    assert found["Type"] == "SecureString"
    return decode(found["Value"])


def store(cli: CliHarness, value: str, **how: Any) -> None:
    cli.world.ssm.put_parameter(**{"Name": WEBHOOK_PARAMETER, "Type": "SecureString", "Value": value} | how)


def raw(cli: CliHarness) -> tuple[str, int]:
    found = cli.world.ssm.get_parameter(Name=WEBHOOK_PARAMETER, WithDecryption=True)["Parameter"]
    return found["Value"], found["Version"]


def add(cli: CliHarness, *words: str, name: str = "scanner") -> str:
    """Add a source; its secret."""
    result = cli("webhook", "add", name, *words)
    assert result.code == DONE, result.err
    start, _, secret = result.out.strip().rpartition("/")
    assert start == f"{cli.outputs['WebhookUrl']}/alerts/{name}"
    return secret


def gets_in(cli: CliHarness, secret: str, name: str = "scanner", address: str = HERE) -> bool:
    return authenticate(sources(cli), name, secret, address) is not None


# Adding


def test_the_secret_in_the_address_that_is_shown_gets_in(cli: CliHarness) -> None:
    assert gets_in(cli, add(cli))


def test_a_program_gets_the_address_alone_and_no_note_repeats_the_secret(cli: CliHarness) -> None:
    result = cli("webhook", "add", "scanner")
    assert re.fullmatch(rf"{re.escape(URL)}/alerts/scanner/[\w-]{{43}}\n", result.out)
    assert result.out.strip().rpartition("/")[2] not in result.err
    assert "shown this once" in result.err


def test_a_person_gets_commands_too_that_a_shell_reads_as_they_are_meant(
    cli: CliHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "goes_to_a_terminal", lambda: True)
    result = cli("webhook", "add", "scanner")
    address = result.out.strip()
    by_path, by_header = (shlex.split(line) for line in result.err.splitlines() if "curl" in line)
    assert by_path == ["curl", "--data", "Up 3% on twice the usual volume $AAPL", address]
    place, _, secret = address.rpartition("/")
    assert by_header == [*by_path[:3], "-H", f"Authorization: Bearer {secret}", place]
    cli.everything = ""


def test_what_is_stored_has_no_secret(cli: CliHarness) -> None:
    secret = add(cli)
    assert secret not in raw(cli)[0]


def test_a_source_is_stored_with_all_that_was_said_of_it(cli: CliHarness) -> None:
    add(
        cli,
        *("--body", "Up {change}% ${symbol}", "--sentiment", "{side}", "--map", "side:buy=bullish,side:sell=bearish"),
        *("--key", "{id}", "--expires-in", "30m", "--allow", "192.0.2.1,2001:db8::/32", "--allow", "198.51.100.0/24"),
    )
    source = sources(cli)["scanner"]
    assert source.addresses == ("192.0.2.1/32", "2001:db8::/32", "198.51.100.0/24")
    payload = {"change": 3.1, "symbol": "AAPL", "side": "sell", "id": "k-1"}
    composed = compose("scanner", source, json.dumps(payload), 1000.0)
    assert json.loads(composed.body) == {
        "body": "Up 3.1% $AAPL",
        "sentiment": "bearish",
        "key": "k-1",
        "expires_at": "1970-01-01T00:46:40Z",
    }


def test_the_day_is_noted(cli: CliHarness) -> None:
    add(cli)
    assert sources(cli)["scanner"].added == iso(cli.world.clock()).split()[0]


def test_another_source_leaves_the_first_as_it_was(cli: CliHarness) -> None:
    first = add(cli, "--expires-in", "1h")
    before = sources(cli)["scanner"]
    second = add(cli, name="other")
    assert sources(cli)["scanner"] == before
    assert (gets_in(cli, first), gets_in(cli, second, "other"), gets_in(cli, second)) == (True, True, False)


def test_a_name_that_is_taken_is_refused_and_its_secret_stays(cli: CliHarness) -> None:
    secret = add(cli)
    result = cli("webhook", "add", "scanner")
    assert (result.code, result.out, "--replace" in result.err) == (USAGE, "", True)
    assert gets_in(cli, secret)


def test_replacing_a_source_makes_a_new_secret_and_keeps_everything_else(cli: CliHarness) -> None:
    old = add(cli, "--body", "Up {a}", "--key", "{b}", "--allow", HERE, "--expires-in", "1h")
    before = sources(cli)["scanner"]
    new = add(cli, "--replace")
    after = sources(cli)["scanner"]
    assert (gets_in(cli, old), gets_in(cli, new)) == (False, True)
    assert (after.template, after.addresses, after.expires_in) == (before.template, before.addresses, before.expires_in)


def test_replacing_a_source_changes_what_is_given(cli: CliHarness) -> None:
    add(cli, "--body", "Up {a}", "--key", "{b}", "--allow", HERE, "--expires-in", "1h")
    add(cli, "--replace", "--body", "Down {a}", "--allow", "192.0.2.1", "--expires-in", "2h")
    after = sources(cli)["scanner"]
    assert after.template
    assert (after.template.body, after.template.key) == ("Down {a}", "{b}")
    assert (after.addresses, after.expires_in) == (("192.0.2.1/32",), 7200)


def test_a_source_can_be_added_before_the_webhook_is_switched_on(cli: CliHarness) -> None:
    del cli.outputs["WebhookUrl"]
    result = cli("--region", "us-east-1", "webhook", "add", "scanner")
    path, _, secret = result.out.strip().rpartition("/")
    assert (result.code, path, gets_in(cli, secret)) == (DONE, "/alerts/scanner", True)
    assert 'AWS_REGION=us-east-1 make deploy PARAMETERS="WebhookEnabled=true"' in result.err
    assert secret not in result.err


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["a/b"], "letters, digits, - and _"),
        (["../token"], "letters, digits, - and _"),
        (["x" * 33], "1 to 32"),
        ([f"a{OVERRIDE}"], "is not a name"),
        (["s", "--body", "Up {a"], "a single {"),
        (["s", "--body", "Up \x1b[2J"], "control character"),
        (["s", "--body", " "], "body is empty"),
        (["s", "--body", "x" * 1001], "at most 1000 are allowed"),
        (["s", "--body", "New high ${{ticker}}"], "placeholder ${ticker}"),
        (["s", "--body", "Up {a}", "--key", "same"], "the same for every alert"),
        (["s", "--sentiment", "bullish"], "needs a --body"),
        (["s", "--body", "Up", "--map", "side=buy"], "side:buy=bullish"),
        (["s", "--body", "Up", "--map", "side:buy=bullish"], "the map of side is of no use"),
        (["s", "--allow", "example.com"], "52.89.214.238"),
        (["s", "--allow", ""], "from everywhere"),
        (["s", "--allow", " , "], "from everywhere"),
        (["s", "--keep-secret"], "no source s"),
        (["s", "--allow", "10.0.0.1/8"], "10.1.0.0/16"),
        (["s", "--expires-in", "59s"], "at least a minute"),
        (["s", "--expires-in", "soon"], "is not a duration"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words_and_nothing_is_stored(
    cli: CliHarness, words: list[str], what: str
) -> None:
    result = cli("webhook", "add", *words)
    assert (result.code, result.out, what in result.err) == (USAGE, "", True), result.err
    assert cli.stored(WEBHOOK_PARAMETER) is None


def test_what_no_longer_fits_is_refused_with_the_characters_that_are_free(cli: CliHarness) -> None:
    add(cli)
    before = raw(cli)
    result = cli("webhook", "add", "other", "--body", "x", "--key", "{id}" + "x" * 5000)
    assert (result.code, result.out) == (FAILED, "")
    assert f"{MAX_CHARACTERS - len(before[0]):,} of 4,096 characters are free" in result.err
    assert "Shorter templates, fewer addresses" in result.err
    assert raw(cli) == before


def test_sources_fit_up_to_the_last_character(cli: CliHarness) -> None:
    add(cli, "--body", "x", "--key", "{i}")
    add(cli, "--replace", "--key", "{i}" + "x" * (MAX_CHARACTERS - len(raw(cli)[0])))
    assert len(raw(cli)[0]) == MAX_CHARACTERS
    assert cli("webhook", "add", "scanner", "--replace", "--expires-in", "1h").code == FAILED


def test_sources_in_a_larger_parameter_than_ours_can_be_listed_and_get_no_more(cli: CliHarness) -> None:
    large = json.dumps({"a": {"salt": "", "hash": "", "added": "", "template": {"body": "x" * 5000}}})
    store(cli, large, Tier="Advanced")
    assert "of 4,096 characters used" in cli("webhook", "list").out
    result = cli("webhook", "add", "other")
    assert (result.code, "0 of 4,096 characters are free" in result.err, raw(cli)[0]) == (FAILED, True, large)


# Others that write at the same time, and what is not ours


@pytest.mark.parametrize(
    "value",
    [" ", "not JSON", "null", '{"a": {"hash": "A-HASH"}}', '{"a": {"salt": "", "hash": "", "added": "", "more": 1}}'],
)
def test_what_cannot_be_read_is_never_overwritten(cli: CliHarness, value: str) -> None:
    store(cli, value)
    before = raw(cli)
    for words in (["add", "a", "--replace"], ["revoke", "a", "--yes"], ["list"]):
        result = cli("webhook", *words)
        assert (result.code, result.out) == (FAILED, "")
        assert f"in {WEBHOOK_PARAMETER} cannot be used" in result.err
        assert "A-HASH" not in result.err
    assert raw(cli) == before


def test_sources_that_are_not_encrypted_are_not_used(cli: CliHarness) -> None:
    store(cli, "{}", Type="String")
    result = cli("webhook", "add", "a")
    assert (result.code, "it is a String, not a SecureString" in result.err) == (FAILED, True)


def test_a_change_at_the_same_time_is_reported_since_it_is_lost(cli: CliHarness) -> None:
    add(cli)
    value, _ = raw(cli)

    def meanwhile(call: dict[str, Any]) -> dict[str, Any]:
        store(cli, value, Overwrite=True)
        return dict(cli.world.ssm.put_parameter(**call))

    cli.plan("PutParameter", meanwhile)
    result = cli("webhook", "add", "other")
    assert (result.code, result.out, "at the same time, and that change is lost" in result.err) == (FAILED, "", True)
    assert set(sources(cli)) == {"scanner", "other"}


def test_the_first_source_is_not_stored_over_one_that_was_added_at_the_same_time(cli: CliHarness) -> None:
    cli.plan("GetParameter", "ParameterNotFound")
    store(cli, "{}")
    result = cli("webhook", "add", "scanner")
    assert (result.code, "nothing was stored. Run the command again" in result.err) == (FAILED, True)
    assert raw(cli)[0] == "{}"


def test_a_lost_answer_is_not_taken_for_somebody_elses_change(cli: CliHarness) -> None:
    def lost(call: dict[str, Any]) -> dict[str, Any]:
        cli.world.ssm.put_parameter(**call)
        raise ReadTimeoutError(endpoint_url="https://ssm")

    cli.plan("PutParameter", lost)
    result = cli("webhook", "add", "scanner")
    assert (result.code, result.out, "may be stored nevertheless" in result.err) == (NO_AWS, "", True)
    assert set(sources(cli)) == {"scanner"}


def test_a_source_can_be_changed_without_a_new_secret(cli: CliHarness) -> None:
    secret = add(cli, "--body", "Up ${symbol}", "--allow", HERE)
    result = cli("webhook", "add", "scanner", "--keep-secret", "--expires-in", "1h", "--body", "New high ${symbol}")
    assert (result.code, "its address stays the same" in result.out, gets_in(cli, secret)) == (DONE, True, True)
    source = sources(cli)["scanner"]
    assert source.template
    assert (source.template.body, source.expires_in) == ("New high ${symbol}", 3600)
    assert not gets_in(cli, secret, address="198.51.100.9")


@pytest.mark.parametrize("operation", ["GetParameter", "PutParameter"])
def test_a_call_that_aws_denies_is_named(cli: CliHarness, operation: str) -> None:
    cli.plan(operation, "AccessDeniedException")
    result = cli("webhook", "add", "scanner")
    assert (result.code, result.out, f"allow you to call {operation}" in result.err) == (NO_AWS, "", True)


def test_a_stack_of_an_earlier_version_must_be_deployed_again(cli: CliHarness) -> None:
    del cli.parameters["WebhookSourcesParameter"]
    assert cli("webhook", "list").code == NO_STACK


# Listing and revoking


def test_the_list_shows_everything_but_salts_and_hashes(cli: CliHarness) -> None:
    add(cli, "--body", "Up {a}", "--sentiment", "{s}", "--map", "s:b=bullish", "--expires-in", "1h", "--allow", HERE)
    text, listed = cli("webhook", "list").out, cli("webhook", "list", "--json").json
    source = sources(cli)["scanner"]
    assert listed == {
        "sources": [
            {
                "name": "scanner",
                "added": source.added,
                "addresses": ["127.0.0.1/32"],
                "template": {"body": "Up {a}", "sentiment": "{s}", "key": "", "maps": {"s": {"b": "bullish"}}},
                "expires_in": 3600,
            }
        ],
        "characters": {"used": len(raw(cli)[0]), "most": MAX_CHARACTERS},
    }
    for shown in (
        "scanner",
        source.added,
        "127.0.0.1/32",
        "expires after 1 h",
        "Up {a}",
        "b: bullish",
        "1 source;",
        "of 4,096",
    ):
        assert shown in text, shown
    for hidden in (source.salt, source.hash):
        assert hidden not in text + json.dumps(listed)


def test_without_a_source_the_list_says_so(cli: CliHarness) -> None:
    result = cli("webhook", "list")
    assert (result.code, result.out.startswith("0 sources")) == (DONE, True)
    assert cli("webhook", "list", "--json").json["sources"] == []


def test_a_template_of_somebody_else_steers_no_terminal(cli: CliHarness) -> None:
    template = {"body": f"\x1b[2J{OVERRIDE}"}
    hostile = {"salt": "", "hash": "", "added": OVERRIDE, "template": template}
    store(cli, json.dumps({f"{OVERRIDE}[red]": hostile}))
    assert cli("webhook", "list").out.count(SHOWN) == 3


def test_nobody_gets_in_with_a_revoked_source_and_the_others_stay(cli: CliHarness) -> None:
    secret, other = add(cli), add(cli, name="other")
    result = cli("webhook", "revoke", "scanner", typed="y\n")
    assert (result.code, "Within a minute" in result.out) == (DONE, True)
    assert (gets_in(cli, secret), gets_in(cli, other, "other")) == (False, True)


@pytest.mark.parametrize("typed", ["n\n", ""])
def test_nothing_is_revoked_without_a_yes(cli: CliHarness, typed: str) -> None:
    secret = add(cli)
    result = cli("webhook", "revoke", "scanner", typed=typed)
    assert (result.code, "Nothing was changed" in result.err) == (FAILED, True)
    assert gets_in(cli, secret)


@pytest.mark.parametrize("words", [["revoke", "nobody", "--yes"], ["test", "nobody", "--file", "-"]])
def test_a_source_that_there_is_not_is_named(cli: CliHarness, words: list[str]) -> None:
    add(cli)
    result = cli("webhook", *words, typed="Up")
    assert (result.code, "There is no source nobody" in result.err) == (USAGE, True)
    assert set(sources(cli)) == {"scanner"}


# What becomes of a payload


def test_a_payload_is_shown_as_it_would_be_posted(cli: CliHarness) -> None:
    add(cli, "--body", "Up {c}% ${s}", "--sentiment", "bullish", "--key", "{id}", "--expires-in", "30m")
    result = cli("webhook", "test", "scanner", "--file", "-", typed='{"c": 3, "s": "AAPL", "id": 7}')
    assert result.code == DONE
    *about, empty, text = result.lines
    assert (empty, text) == ("", "Up 3% $AAPL")
    assert [line.split(maxsplit=1)[0] for line in about] == ["Sentiment", "Key", "Expires"]
    assert about[1].split() == ["Key", "7"]


def test_the_key_that_is_shown_is_the_one_that_the_webhook_makes(cli: CliHarness) -> None:
    add(cli)
    shown = cli("webhook", "test", "scanner", "--file", "-", typed="Up 3% $AAPL").lines
    made = compose("scanner", sources(cli)["scanner"], "Up 3% $AAPL", cli.world.clock()).key
    assert f"Key         {made}" in shown


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ('{"a": 1}', "the payload has no field symbol"),
        ("Up 3%", "the payload must be a JSON object"),
        ("", "the message is empty"),
        (b"\xff", "is not text in UTF-8"),
        ('{"symbol": "A\ufffd"}', "is not text in UTF-8"),
        (json.dumps({"symbol": "\x1b[2J" + "x" * 2000}), "at most 1000 are allowed"),
    ],
)
def test_the_reason_of_a_refusal_is_shown(cli: CliHarness, payload: str | bytes, reason: str) -> None:
    add(cli, "--body", "Up ${symbol}")
    result = cli("webhook", "test", "scanner", "--file", "-", typed=payload)
    assert (result.code, "would answer 400" in result.err, reason in result.err) == (FAILED, True, True), result.err


def test_a_payload_that_is_too_large_is_refused_as_the_webhook_would(cli: CliHarness) -> None:
    add(cli, "--body", "Up")
    sized = json.dumps({"a": "x" * (MAX_BYTES - len('{"a": ""}'))})
    assert cli("webhook", "test", "scanner", "--file", "-", typed=sized).code == DONE
    result = cli("webhook", "test", "scanner", "--file", "-", typed=f"{sized} ")
    assert (result.code, "413: the message has 65,537 bytes" in result.err) == (FAILED, True)


def test_a_payload_s_text_steers_no_terminal(cli: CliHarness) -> None:
    add(cli, "--body", "{a}", "--key", "{a}")
    assert cli("webhook", "test", "scanner", "--file", "-", typed=json.dumps({"a": f"Up {OVERRIDE}"})).code == DONE


def test_a_file_that_is_not_there_is_named(cli: CliHarness) -> None:
    add(cli)
    result = cli("webhook", "test", "scanner", "--file", "/nowhere.json")
    assert (result.code, "/nowhere.json cannot be read" in result.err) == (USAGE, True)


def test_looking_at_a_payload_sends_nothing(cli: CliHarness) -> None:
    add(cli)
    cli.calls.clear()
    cli("webhook", "test", "scanner", "--file", "-", typed="Up 3% $AAPL")
    assert [name for name, _ in cli.calls] == ["DescribeStacks", "GetParameter"]


# Whether the address works


@pytest.fixture
def served(cli: CliHarness) -> Iterator[list[bytes]]:
    """The webhook at an address of this machine; the requests that it gets."""
    requests: list[bytes] = []

    def send(body: str, key: str) -> str:
        pytest.fail(f"{body} was sent as {key}")

    receiver = Receiver(lambda *, fresh=False: sources(cli), send, cli.world.clock)

    def answer(connection: socket.socket) -> None:
        requests.append(request_of(connection))
        head, _, body = requests[-1].decode().partition("\r\n\r\n")
        _, _, name, secret = head.split(" ")[1].split("/")
        response = receiver.receive(read_request(api_event(name, secret, body, address=HERE))).response
        content = response["body"].encode()
        length = f"Content-Length: {len(content)}\r\n\r\n"
        connection.sendall(f"HTTP/1.1 {response['statusCode']} So\r\n{length}".encode() + content)

    with tcp_server(answer) as server:
        cli.outputs["WebhookUrl"] = f"http://127.0.0.1:{server.port}"
        yield requests


def check(cli: CliHarness, secret: str, typed: str | None = None) -> CommandResult:
    """Test the address; no output shows the secret."""
    result = cli("webhook", "test", "scanner", typed=typed or f"{secret}\n")
    assert secret not in result.out + result.err
    return result


@pytest.mark.parametrize("form", ["{secret}\n", "{url}/alerts/scanner/{secret}\n", " '{url}/alerts/scanner/{secret}' "])
def test_an_address_that_works_is_confirmed_by_an_empty_request(
    cli: CliHarness, served: list[bytes], form: str
) -> None:
    secret = add(cli, "--body", "Always the same $AAPL")
    result = check(cli, secret, form.format(url=cli.outputs["WebhookUrl"], secret=secret))
    assert (result.code, "works" in result.out) == (DONE, True), result.err
    (request,) = served
    assert request.startswith(f"POST /alerts/scanner/{secret} HTTP/1.1\r\n".encode())
    assert request.endswith(b"\r\n\r\n")


def test_a_secret_that_was_replaced_does_not_work(cli: CliHarness, served: list[bytes]) -> None:
    old = add(cli)
    add(cli, "--replace")
    result = check(cli, old)
    assert (result.code, "does not know this secret" in result.err, len(served)) == (FAILED, True, 1)


def test_a_source_without_this_machines_address_does_not_work_from_here(cli: CliHarness, served: list[bytes]) -> None:
    result = check(cli, add(cli, "--allow", "192.0.2.1"))
    assert (result.code, "other addresses than this one" in result.err, len(served)) == (FAILED, True, 1)


@pytest.mark.parametrize(
    "typed",
    ["https://example.com/alerts/scanner/{secret}", "{url}/alerts/other/{secret}", "{secret}\x00", "{secret}/x"],
)
def test_a_secret_is_sent_to_no_other_address(cli: CliHarness, served: list[bytes], typed: str) -> None:
    secret = add(cli)
    result = check(cli, secret, typed.format(url=cli.outputs["WebhookUrl"], secret=secret))
    assert (result.code, "othing was sent" in result.err, served) == (USAGE, True, []), result.err


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (202, b'{"id": "1"}', "answered 202, which was not expected"),
        (400, b'{"message": "Bad Request"}', "answered 400, which was not expected"),
        (400, b"[]", "answered 400, which was not expected"),
        (429, b'{"message": "Too Many Requests"}', "WebhookRatePerSecond"),
        (503, b'{"message": "Service Unavailable"}', "does not work at present (503)"),
        (307, b"", "answered 307, which was not expected"),
    ],
)
def test_any_other_answer_is_a_failure_in_words(cli: CliHarness, status: int, body: bytes, words: str) -> None:
    with answering(status, body, b"Location: https://example.com/\r\n") as cli.outputs["WebhookUrl"]:
        result = check(cli, "a-secret-of-the-test")
    assert (result.code, words in result.err) == (FAILED, True), result.err


def test_no_error_of_the_connection_shows_the_secret(cli: CliHarness) -> None:
    with tcp_server(lambda _: None) as server:
        cli.outputs["WebhookUrl"] = f"http://127.0.0.1:{server.port}"
        assert check(cli, "a-secret-of-the-test").code == FAILED
    result = check(cli, "a-secret-of-the-test")
    assert (result.code, "could not be reached" in result.err) == (FAILED, True)


def test_an_address_is_tested_only_if_the_webhook_is_switched_on(cli: CliHarness) -> None:
    del cli.outputs["WebhookUrl"]
    result = check(cli, "a-secret-of-the-test")
    assert (result.code, "WebhookEnabled=true" in result.err) == (NO_STACK, True)


# The document


def examples() -> list[tuple[list[str], str, str]]:
    """Each template of docs/webhook.md: the command that adds it, a payload, and what it becomes."""
    text = (ROOT / "docs" / "webhook.md").read_text().partition("\n## Templates\n")[2].partition("\n## ")[0]
    blocks = re.findall(
        r"```sh\n(relay webhook add .*?)```\n\n```json\n(.*?)```\n.*?```text\n(.*?)```", text, re.DOTALL
    )
    return [(shlex.split(command.replace("\\\n", "")), payload, shown) for command, payload, shown in blocks]


@pytest.mark.parametrize("example", [pytest.param(each, id=each[0][3]) for each in examples()])
def test_a_template_of_the_document_makes_what_it_shows(cli: CliHarness, example: tuple[list[str], str, str]) -> None:
    (_, _, _, name, *options), payload, shown = example
    add(cli, *options, name=name)
    result = cli("webhook", "test", name, "--file", "-", typed=payload)
    assert result.code == DONE, result.err
    made = re.sub(r"^Key +webhook-.*\n\n", "", result.out)
    assert made == shown


def test_every_template_of_the_document_is_an_example() -> None:
    text = (ROOT / "docs" / "webhook.md").read_text()
    assert len(examples()) == len(re.findall(r"^relay webhook add .* --body", text, re.MULTILINE)) >= 4


# JSON


def test_json_has_the_address_and_whether_it_replaces_another(cli: CliHarness) -> None:
    first = cli("webhook", "add", "scanner", "--json").json
    assert (first["name"], first["replaced"]) == ("scanner", False)
    assert first["address"].startswith(f"{URL}/alerts/scanner/")
    assert cli("webhook", "add", "scanner", "--replace", "--json").json["replaced"]
    assert cli("webhook", "revoke", "scanner", "--yes", "--json").json == {"removed": "scanner"}


def test_json_has_the_message_that_a_payload_becomes(cli: CliHarness) -> None:
    add(cli, "--body", "Up {change}% ${symbol}", "--key", "{id}")
    payload = '{"change": 3, "symbol": "AAPL", "id": "7"}'
    result = cli("webhook", "test", "scanner", "--file", "-", "--json", typed=payload).json
    assert (result["body"], "7" in result["key"]) == ("Up 3% $AAPL", True)


def test_no_more_sources_are_shown_than_were_asked_for(cli: CliHarness) -> None:
    for name in ("a", "b", "c"):
        add(cli, name=name)
    assert [each["name"] for each in cli("webhook", "list", "--limit", "2", "--json").json["sources"]] == ["a", "b"]
