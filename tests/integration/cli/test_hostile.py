"""What strangers write, where `relay` reads it: it steers no terminal, and one thing's defect hides no other."""

import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import shellingham
from relay.errors import Pause
from relay.posting.alert import Reading, read_message
from relay_cli.deployed import dead_letters, deliveries

from tests.worlds.cli import DONE, FAILED, NO_AWS, OVERRIDE, REFUSED, USAGE, CliHarness, control_characters, session
from tests.worlds.cli import SHOWN as ESCAPED
from tests.worlds.functions import Outbox
from tests.worlds.posting import TABLE, TOKEN, PostingWorld

NONE: Mapping[str, str] = MappingProxyType({})
CLIPBOARD = "\x1b]52;c;cm0gLXJm\x07"
TEXT = f"{CLIPBOARD}\x9b31m\x7f\x00\r\u202e\u2066\u200f\u061c\u2028\U000e0041[red]:smile:"
SHOWN = r"\x1b]52;c;cm0gLXJm\x07\x9b31m\x7f\x00 \u202e\u2066\u200f\u061c \U000e0041[red]:smile:"
"""As one line: what Python takes for white space is a space in it."""

NINES = "9" * 5000
MOVED = {"DeadLetterQueueSourceArn": "arn:aws:sqs:us-east-1:123456789012:stocktwits-relay-leftovers"}
APPLICATION = ["--client-id", "i", "--client-secret", "s", "--redirect-uri", "u"]
SENT = 1795273200


@pytest.fixture
def cli(world: PostingWorld, monkeypatch: pytest.MonkeyPatch) -> Iterator[CliHarness]:
    """The command, whose every output is looked at."""
    cli = CliHarness(world, monkeypatch)
    yield cli
    assert control_characters(cli.everything) == set()


@pytest.fixture
def letters(cli: CliHarness) -> Callable[..., None]:
    """Let SQS hand over these letters, whatever it would have refused itself."""

    def given(*letters: dict[str, Any]) -> None:
        cli.plan("ReceiveMessage", lambda _: {"Messages": list(letters)}, lambda _: {})

    return given


def letter(
    message_id: str = "an-id",
    body: str = "Up 3% $AAPL",
    system: Mapping[str, str] = NONE,
    **attributes: str | dict[str, Any],
) -> dict[str, Any]:
    return {
        "MessageId": message_id,
        "ReceiptHandle": f"receipt-of-{message_id}",
        "Body": body,
        "Attributes": {"ApproximateReceiveCount": "201", "SentTimestamp": f"{SENT}000", **dict(system)},
        "MessageAttributes": {
            name: value if isinstance(value, dict) else {"DataType": "String", "StringValue": value}
            for name, value in attributes.items()
        },
    }


def log(cli: CliHarness, *messages: str) -> None:
    for message in messages:
        session().client("logs").put_log_events(
            logGroupName="PostMessagesLogs",
            logStreamName="stream",
            logEvents=[{"timestamp": round(cli.world.clock() * 1000), "message": message}],
        )


def delivery(**fields: object) -> str:
    return json.dumps({"message": "delivery", "message_id": "m", "outcome": "posted", "text": "Up 3% $AAPL"} | fields)


# A terminal


def test_a_dead_letter_steers_no_terminal(cli: CliHarness, letters: Callable[..., None]) -> None:
    hostile = letter(body=json.dumps({"body": TEXT}), RejectReason=TEXT, RelayKey=TEXT, Other=TEXT)
    for words in (["list"], ["list", "--json"], ["show", "an-id"], ["show", "an-id", "--json"]):
        letters(hostile)
        result = cli("dead", *words)
        assert result.code == DONE
        assert result.json if "--json" in words else SHOWN in result.out


def test_the_body_of_a_dead_letter_keeps_its_lines(cli: CliHarness, letters: Callable[..., None]) -> None:
    letters(letter(body='{\r\n\t"body": "\x1b[2J"\r\n}'))
    assert cli("dead", "show", "an-id").out.endswith('\n\n{\\r\n        "body": "\\x1b[2J"\\r\n}\n')


def test_an_attribute_cannot_pass_for_what_we_say(cli: CliHarness, letters: Callable[..., None]) -> None:
    letters(letter(RejectReason="it expired", Reason="forged", Key="forged", Status="forged"))
    shown = cli("dead", "show", "an-id").out
    assert re.findall("^(?:Reason|Key|Status) .*", shown, re.MULTILINE) == [
        "Reason      it expired",
        "Key         an-id",
    ]


def test_a_log_line_steers_no_terminal(cli: CliHarness) -> None:
    hostile = dict.fromkeys(("outcome", "text", "sentiment", "url", "reason", "key", "message_id"), TEXT)
    log(cli, delivery(**hostile), delivery(message_id="n", url=TEXT))
    assert cli("posts").out.count(SHOWN) == 5
    assert [row["url"] for row in cli("posts", "--json").json] == [TEXT, TEXT]
    assert SHOWN in cli("status").out
    assert cli("status", "--json").json["posting"]["last_post"]["url"] == TEXT


@pytest.mark.parametrize("command", ["status", "send", "pause", "resume"])
def test_an_operators_pause_steers_no_terminal(cli: CliHarness, world: PostingWorld, command: str) -> None:
    world.pause(who={"S": TEXT}, why={"S": TEXT})
    words = {"status": [], "send": ["Up 3% $AAPL", "--wait", "--wait-for", "1s"], "pause": ["lunch"], "resume": []}
    result = cli(command, *words[command])
    assert SHOWN.split(maxsplit=1)[0] in result.out + result.err


def test_the_reason_of_a_closed_gate_steers_no_terminal(cli: CliHarness, world: PostingWorld) -> None:
    world.gate().close(Pause("halt", TEXT, world.clock() + 60, probe=True))
    assert SHOWN in cli("status").out
    assert r"\x1b]52;c;cm0gLXJm" in cli("resume").out
    world.clock.forward(60)
    assert SHOWN in cli("status").out


def test_who_pauses_and_why_steer_no_terminal(cli: CliHarness) -> None:
    assert r"\x1b]52;c;cm0gLXJm" in cli("pause", TEXT, "--who", TEXT).out


def test_a_rejection_in_the_ledger_steers_no_terminal(cli: CliHarness, world: PostingWorld) -> None:
    cli.meanwhile = [
        lambda: world.dynamodb.put_item(
            TableName=TABLE,
            Item={
                "pk": {"S": "post#k"},
                "status": {"S": "rejected"},
                "reason": {"S": TEXT},
                "body_sha256": {"S": "another"},
                "first_claimed_at": {"N": "1"},
            },
        )
    ]
    result = cli("send", "Up 3% $AAPL", "--key", "k", "--wait", "--wait-for", "5s")
    assert result.code == FAILED


def test_the_link_of_a_post_steers_no_terminal(cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    def posted() -> None:
        outbox.run()
        world.dynamodb.update_item(
            TableName=TABLE,
            Key={"pk": {"S": "post#k"}},
            UpdateExpression="SET #u = :u",
            ExpressionAttributeNames={"#u": "url"},
            ExpressionAttributeValues={":u": {"S": f"https://example.com/{TEXT}"}},
        )

    cli.meanwhile = [posted]
    result = cli("send", "Up 3% $AAPL", "--key", "k", "--wait", "--wait-for", "5s")
    assert (result.code, "https://example.com/" in result.out) == (DONE, True)


@pytest.mark.parametrize("words", [["--token", "--expect-username", "nobody"], ["--token"]])
def test_the_name_of_an_account_steers_no_terminal(
    cli: CliHarness, world: PostingWorld, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setattr(world.stand_in, "username", TEXT)
    result = cli("login", *words, typed=TOKEN)
    assert r"@\x1b]52;c;cm0gLXJm" in result.err


def test_the_names_that_login_stores_steer_no_terminal(
    cli: CliHarness, world: PostingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.stand_in, "username", f"bold[/]{CLIPBOARD}")
    parameter = "/relay/[red]"
    cli.parameters["StockTwitsTokenParameter"] = parameter
    result = cli("login", "--token", "--expect-username", f"bold[/]{CLIPBOARD}", typed=TOKEN)
    assert result.out.startswith(rf"Stored the token of @bold[/]\x1b]52;c;cm0gLXJm\x07 in {parameter}.")
    assert cli.stored(parameter)["username"] == f"bold[/]{CLIPBOARD}"


def test_the_error_of_a_refused_login_steers_no_terminal(cli: CliHarness, world: PostingWorld) -> None:
    pasted = f"https://example.com/callback?error=denied&error_description={CLIPBOARD}%1b%9b"
    result = cli(
        "login", "--no-browser", "--client-id", "i", "--client-secret", "s", "--redirect-uri", "u", typed=pasted
    )
    assert (result.code, r"\x1b]52;c;cm0gLXJm" in result.err) == (REFUSED, True)


def test_an_invalid_address_is_a_usage_error(cli: CliHarness) -> None:
    result = cli("login", "--no-browser", *APPLICATION, typed="http://[?state=x")
    assert (result.code, "There is no code in that" in result.err) == (USAGE, True)


def test_an_error_of_aws_steers_no_terminal(cli: CliHarness) -> None:
    cli.plan("GetQueueAttributes", "AccessDenied\x1b[2J")
    result = cli("status")
    assert (result.code, r"(AccessDenied\x1b[2J)" in result.err) == (NO_AWS, True)


def test_an_error_of_sqs_about_a_message_steers_no_terminal(cli: CliHarness) -> None:
    refusal = {"Id": "0", "Code": TEXT, "SenderFault": True, "Message": TEXT}
    cli.plan("SendMessageBatch", lambda _: {"Failed": [refusal]})
    assert r"SQS did not accept the message: \x1b]52" in cli("send", "Up 3% $AAPL").err


def test_an_output_of_the_stack_steers_no_terminal(cli: CliHarness) -> None:
    cli.outputs["OutboxQueueUrl"] = TEXT
    assert cli("send", "Up 3% $AAPL").code != DONE


@pytest.mark.parametrize(
    "words",
    [
        [CLIPBOARD],
        ["posts", f"--{CLIPBOARD}"],
        ["posts", "--since", CLIPBOARD],
        ["posts", "--outcome", CLIPBOARD],
        ["pause", "lunch", "--for", CLIPBOARD],
        ["get", CLIPBOARD, "2016-12-05"],
        ["get", "message", CLIPBOARD],
        ["cat", "message", "2016-12-05", "--fields", f"{CLIPBOARD},"],
        ["send", "--from", CLIPBOARD],
        ["send", "Up", "--chart", CLIPBOARD],
        ["dead", CLIPBOARD],
        ["dead", "show", CLIPBOARD],
        ["backfill", CLIPBOARD, "2016-12-05"],
    ],
    ids=lambda words: "-".join(words).replace(CLIPBOARD, "it"),
)
def test_what_the_operator_was_made_to_paste_steers_no_terminal(cli: CliHarness, words: list[str]) -> None:
    result = cli(*words)
    assert result.code == USAGE
    assert r"\x1b]52;c;cm0gLXJm\x07" in result.err


def test_a_wrong_option_names_where_the_right_ones_are(cli: CliHarness) -> None:
    result = cli("posts", "--last", "many")
    assert (result.code, result.out) == (USAGE, "")
    assert result.err.startswith("relay: Invalid value for '--last'")
    assert result.err.endswith("See `relay posts --help`.\n")


def test_a_defect_of_ours_shows_its_traceback_and_steers_no_terminal(
    cli: CliHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defective(*_: object, **__: object) -> None:
        raise ValueError(TEXT)

    monkeypatch.setattr(deliveries, "newest", defective)
    result = cli("posts")
    assert result.code == FAILED
    assert result.err.startswith("Traceback (most recent call last):\n")
    assert r"ValueError: \x1b]52;c;cm0gLXJm\x07" in result.err


def test_a_pause_from_a_terminal_that_does_not_speak_utf_8_stops_posting(cli: CliHarness, world: PostingWorld) -> None:
    assert cli("pause", "caf\udce9", "--who", "Zo\udceb").code == DONE
    assert world.gate().look(1).pause.reason == "paused by Zo?: caf?"


def test_a_token_that_is_not_text_is_refused_without_a_traceback(cli: CliHarness) -> None:
    result = cli("login", "--token", typed=b"\xff")
    assert (result.code, result.err) == (USAGE, "relay: Access token: the input is not UTF-8 text.\n")


def test_the_key_of_a_letter_that_is_sent_again_steers_no_terminal(cli: CliHarness) -> None:
    letter = cli.add_dead_letter("Up 3% $AAPL", RelayKey=OVERRIDE)
    assert cli("dead", "retry", letter).out.endswith(rf"with its key {ESCAPED}." + "\n")


# A poisoned dead letter


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("StatusCode", NINES),
        ("StatusCode", "-1"),
        ("StatusCode", "1e400"),
        ("StatusCode", "NaN"),
        ("StatusCode", "²"),
        ("Attempts", NINES),
        ("Attempts", "no number"),
        ("Attempts", "inf"),
        ("FirstSeen", "0000-01-01T00:00:00Z"),
        ("FirstSeen", "0001-01-01T00:00:00+23:59"),
        ("FirstSeen", "9999-12-31T23:59:59-23:59"),
        ("FirstSeen", "no moment"),
        ("FirstSeen", {"DataType": "Binary", "BinaryValue": b"\xff"}),
        ("RelayKey", {"DataType": "Binary", "BinaryValue": b"\xff"}),
        ("RejectReason", {"DataType": "Binary", "BinaryValue": b"\xff"}),
    ],
)
@pytest.mark.parametrize("system", [{}, MOVED], ids=["sent", "moved"])
def test_a_poisoned_attribute_stops_nothing(
    cli: CliHarness,
    letters: Callable[..., None],
    attribute: str,
    value: str | dict[str, object],
    system: dict[str, str],
) -> None:
    poisoned = letter("poisoned", system=system, **{attribute: value})
    letters(poisoned, letter("other", RejectReason="it expired"))
    first, other = cli("dead", "list", "--json").json
    assert (first["id"], first["attempts"], first["status_code"], first["key"]) == ("poisoned", 200, None, "poisoned")
    assert first["first_seen"] == "2026-11-21T15:00:00+00:00"
    assert (other["id"], other["reason"]) == ("other", "it expired")
    letters(poisoned)
    assert cli("dead", "show", "poisoned").code == DONE


def test_what_we_wrote_counts(cli: CliHarness, letters: Callable[..., None]) -> None:
    letters(letter(RejectReason="it expired", Attempts="2", StatusCode="422", FirstSeen="2026-11-20T09:30:00+02:00"))
    (shown,) = cli("dead", "list", "--json").json
    assert (shown["reason"], shown["attempts"], shown["status_code"]) == ("it expired", 2, 422)
    assert shown["first_seen"] == "2026-11-20T07:30:00+00:00"


def test_a_reason_that_its_publisher_forged_does_not_count(cli: CliHarness, letters: Callable[..., None]) -> None:
    forged = {"RejectReason": "retry me", "Attempts": "1", "StatusCode": "200", "FirstSeen": "2020-01-01T00:00:00Z"}
    letters(letter(system=MOVED, RelayKey="k1", **forged))
    (shown,) = cli("dead", "list", "--json").json
    assert shown["reason"].startswith("SQS moved it here after its last receive")
    assert (shown["attempts"], shown["status_code"], shown["first_seen"][:4]) == (200, None, "2026")
    assert shown["key"] == "k1"  # in the Outbox, whoever sends a message may name its key


def test_a_letter_that_cannot_be_read_is_a_row_beside_the_others(
    cli: CliHarness, letters: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(body: str) -> Reading:
        if body == "broken":
            raise RecursionError
        return read_message(body)

    monkeypatch.setattr(dead_letters, "read_message", read)
    letters(letter("one"), letter("odd", "broken", RelayKey="k1"), letter("two"))
    result = cli("dead", "list")
    assert (result.code, result.out.count("Up 3% $AAPL")) == (DONE, 2)
    assert "key k1\n    broken\n    it cannot be parsed (RecursionError)" in result.out


def test_whoever_waits_for_a_message_is_not_stopped_by_a_poisoned_letter(cli: CliHarness) -> None:
    cli.add_dead_letter("Up 3% $AAPL", StatusCode="9" * 256, RelayKey="k")
    result = cli("send", "Up 3% $MSFT", "--wait", "--wait-for", "15s")
    assert (result.code, "not posted yet" in result.err) == (FAILED, True)


# A poisoned log line


@pytest.mark.parametrize(
    "fields",
    [
        {"receive_count": True},
        {"receive_count": 10**4000},
        {"receive_count": float("nan")},
        {"stocktwits_id": 10**4000, "status_code": -(10**4000)},
        {"queued_at": "0001-01-01T00:00:00+23:59"},
        {"queued_at": {"a": 1}},
        {"outcome": ["posted"], "reason": {"a": 1}, "key": 7, "url": 7, "text": [], "sentiment": {}},
    ],
    ids=str,
)
def test_a_poisoned_log_line_stops_nothing(cli: CliHarness, fields: dict[str, object]) -> None:
    log(cli, delivery(**fields), delivery(message_id="other"))
    found = cli("posts", "--json").json
    assert [row["attempts"] for row in found] == [1, 1]
    result = cli("posts")
    assert (result.code, "Up 3% $AAPL" in result.out) == (DONE, True)
    assert cli("status").code == DONE


@pytest.mark.parametrize(
    "broken",
    ['{"message": "delivery", "receive_count": ' + NINES + "}", '{"message": "delivery", "a": ' + "[" * 100_000],
    ids=["digits", "depth"],
)
def test_a_log_line_that_cannot_be_read_is_a_row_beside_the_others(cli: CliHarness, broken: str) -> None:
    log(cli, delivery(), broken, broken, "START RequestId: 1 delivery", '{"message": "batch"}')
    found = cli("posts", "--json").json
    assert sorted(row["outcome"] for row in found) == ["posted", "unreadable", "unreadable"]
    assert cli("posts").out.count("unreadable\n    key \n    this log line cannot be parsed") == 2


def test_a_nightly_run_with_odd_log_fields_stops_nothing(cli: CliHarness) -> None:
    cli.with_backups("message")
    line = {"message": "backups", "run": "nightly", "stopped": {"a": TEXT}, "stored": True, "failed": 10**4000}
    session().client("logs").put_log_events(
        logGroupName="FetchBackupsLogs",
        logStreamName="stream",
        logEvents=[{"timestamp": round(cli.world.clock() * 1000), "message": json.dumps(line | {"absent": 2})}],
    )
    result = cli("status")
    assert result.code == DONE
    assert "2 absent; it stopped early: {'a': " in result.out


# A poisoned ledger


@pytest.mark.parametrize("until", ["1e400", "NaN", "Infinity", "9.9E+125", "-9.9E+125", "no number", NINES])
def test_a_pause_until_no_moment_is_shown_as_one_without_an_end(cli: CliHarness, until: str) -> None:
    pause = {"pk": {"S": "pause"}, "who": {"N": "7"}, "why": {"L": []}, "until": {"N": until}}
    cli.plan("BatchGetItem", *[lambda _: {"Responses": {TABLE: [pause]}, "UnprocessedKeys": {}}] * 2)
    shown = cli("status", "--json").json["posting"]["gate"]
    in_the_past = until.startswith("-")
    assert shown["open"] is in_the_past
    assert [(each["reason"], each["until"]) for each in shown["shut"]] == (
        [] if in_the_past else [("paused by 7: unknown", None)]
    )
    assert cli("status").code == DONE


@pytest.mark.parametrize("until", ["NaN", "1e400"])
def test_a_pause_with_an_invalid_end_explains_what_to_do(cli: CliHarness, world: PostingWorld, until: str) -> None:
    world.gate().close(Pause("halt", "why", world.clock() + 60))
    item = session().client("dynamodb").get_item(TableName=TABLE, Key={"pk": {"S": "gate"}})["Item"]
    item["shut"]["M"]["until"]["N"] = until
    cli.plan("BatchGetItem", lambda _: {"Responses": {TABLE: [item]}, "UnprocessedKeys": {}})
    result = cli("status")
    assert (result.code, 'the item "gate"' in result.err, "delete it" in result.err) == (NO_AWS, True, True)


def test_an_age_that_is_not_a_number_is_unknown(cli: CliHarness) -> None:
    cli.world.send(cli.world.outbox, "one $A")
    point = {"Timestamp": cli.world.clock(), "Maximum": float("nan")}
    cli.plan("GetMetricStatistics", lambda _: {"Datapoints": [point]})
    assert "age of the oldest: unknown" in cli("status").out


# Files


def test_a_completion_file_is_for_its_owner_alone(
    cli: CliHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(shellingham, "detect_shell", lambda: ("bash", "/bin/bash"))  # whatever started the tests
    before = os.umask(0)
    try:
        assert cli("--install-completion", "bash").code == DONE
    finally:
        os.umask(before)
    files = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert {each.suffix or each.name for each in files} == {".bashrc", ".sh"}
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}
