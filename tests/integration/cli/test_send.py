"""`relay send`: what cannot be posted is refused before anything is sent, and what is sent is one post."""

import json
import os
import re
import shlex
import stat
import sys
from contextlib import redirect_stderr
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from relay.client import MAX_MESSAGE_BYTES
from relay.posting.alert import Alert
from relay_cli.commands.send import Priority, Sentiment
from relay_cli.drafts import draft

from local.build import ROOT
from local.stack.stack import a_chart
from tests.worlds.cli import DONE, FAILED, NO_AWS, USAGE, Answer, CliHarness, losing_the_answer
from tests.worlds.functions import Outbox
from tests.worlds.posting import CHARTS, TABLE, PostingWorld

TEXT = "Up 3% on twice the usual volume $AAPL"
READ = "BatchGetItem"


def lines(*texts: str) -> str:
    return "".join(json.dumps({"body": text}) + "\n" for text in texts)


def no_answer(call: dict[str, Any]) -> dict[str, Any]:
    raise ReadTimeoutError(endpoint_url="http://127.0.0.1")


@pytest.fixture
def cli(world: PostingWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliHarness:
    cli = CliHarness(world, monkeypatch)
    monkeypatch.chdir(tmp_path)
    return cli


@pytest.mark.any_aws
def test_a_text_becomes_one_post(cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    result = cli("send", TEXT)
    assert (result.code, result.err) == (DONE, "")
    outbox.run()
    assert world.posted == [TEXT]


def test_every_option_becomes_a_field_of_the_message(cli: CliHarness, world: PostingWorld) -> None:
    when = ["--expires-in", "30m", "--not-before", "in 10m"]
    cli("send", TEXT, "--sentiment", "bullish", "--reply-to", "7", "--key", "k1", "--priority", "high", *when)
    (body,) = cli.bodies(world.outbox)
    expires_at = datetime.fromtimestamp(world.clock() - 0.001 + 1800, UTC).isoformat(timespec="seconds")
    assert json.loads(body) == {
        "body": TEXT,
        "sentiment": "bullish",
        "in_reply_to_message_id": 7,
        "key": "k1",
        "expires_at": expires_at,
        "not_before": "2026-11-21T15:10:00+00:00",
        "priority": "high",
    }


def test_the_sentiments_are_those_of_a_message() -> None:
    (one_of, _none) = Alert.__annotations__["sentiment"].__args__[0].__args__
    assert {str(each) for each in Sentiment} == set(one_of.__args__)


def test_the_priorities_are_those_of_a_message() -> None:
    (one_of, _none) = Alert.__annotations__["priority"].__args__[0].__args__
    assert {str(each) for each in Priority} == set(one_of.__args__)


@pytest.mark.parametrize(
    ("typed", "not_before"),
    [
        ("in 90s", "2026-11-21T15:01:30+00:00"),
        (" IN  1h30m ", "2026-11-21T16:30:00+00:00"),
        ("2026-11-21T16:00:00Z", "2026-11-21T16:00:00+00:00"),
        ("20261121T170000.5+01", "2026-11-21T17:00:00.500000+01:00"),
        ("2020-01-01T00:00Z", "2020-01-01T00:00:00+00:00"),
    ],
)
def test_a_message_may_be_for_a_moment_or_for_after_a_while(
    cli: CliHarness, world: PostingWorld, typed: str, not_before: str
) -> None:
    assert cli("send", TEXT, "--not-before", typed).code == DONE
    (body,) = cli.bodies(world.outbox)
    assert json.loads(body)["not_before"] == not_before


@pytest.mark.parametrize(("seconds", "code"), [(0, DONE), (1, USAGE)])
def test_a_message_for_more_than_thirteen_days_later_is_refused_before_it_is_sent(
    cli: CliHarness, world: PostingWorld, seconds: int, code: int
) -> None:
    result = cli("send", TEXT, "--not-before", f"in 13d{seconds}s")
    assert (result.code, "at most 13 days after the message is sent" in result.err) == (code, code == USAGE)
    line = json.dumps({"body": TEXT, "not_before": f"2026-12-04T15:00:0{seconds}Z"})
    assert cli("send", "--file", "-", typed=line).code == code
    assert world.count(world.outbox) == (2 if code == DONE else 0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Give the text to post"),
        (["-"], "Standard input is empty. Give the text to post"),
        ([TEXT, "--file", "a.jsonl"], "Give either a text or --file a.jsonl, not both"),
        (["-", "--file", "-"], "Give either a text or --file -, not both"),
        ([" "], "invalid: the text is empty"),
        ([" -"], "The text is only -"),
        (["x" * 1001], "the body has 1001 characters"),
        (['{"body": "Up 3% $AAPL"}'], "The text is JSON"),
        ([TEXT, "--key", "k" * 257], "invalid: --key: Expected"),
        ([TEXT, "--reply-to", "0"], "Invalid value for '--reply-to'"),
        ([TEXT, "--chart", "http://example.com/c.png"], "--chart: must be an https:// URL"),
        ([TEXT, "--expires-in", "soon"], "is not a duration"),
        ([TEXT, "--not-before", "soon"], "soon is not a moment such as"),
        ([TEXT, "--not-before", "2h"], "2h is not a moment such as"),
        ([TEXT, "--not-before", "in soon"], "in soon is not a moment such as"),
        ([TEXT, "--not-before", "2026-11-21T16:00:00"], "it has no zone"),
        ([TEXT, "--not-before", "in 30m", "--expires-in", "30m"], "--not-before: must be earlier than --expires-in"),
        ([TEXT, "--priority", "urgent"], "urgent"),
        (["--file", "-", "--not-before", "in 2h"], "Leave out --not-before with --file"),
        ([TEXT, "--sentiment", "hopeful"], "hopeful"),
        (["--file", "-", "--reply-to", "7"], "Leave out --reply-to with --file"),
        (["--file", "nowhere.jsonl"], "nowhere.jsonl cannot be read: No such file"),
        (["--file", "-"], "There are no messages in -"),
    ],
)
def test_what_could_not_be_posted_is_refused_before_anything_is_sent(
    cli: CliHarness, world: PostingWorld, words: list[str], message: str
) -> None:
    result = cli("send", *words)
    assert (result.code, message in result.err) == (USAGE, True)
    assert world.count(world.outbox) == 0


@pytest.mark.parametrize("text", [TEXT, "$BRK.B", "up: $BTC.X!", "$ES_F", "($f)"])
def test_a_cashtag_is_recognised(text: str) -> None:
    assert draft(text).has_cashtag


@pytest.mark.parametrize("text", ["$5k", "$2.55", "$50USD", "$FOO$BAR", "AAPL", "US$AAPL"])
def test_a_sum_is_not_a_cashtag(text: str) -> None:
    assert not draft(text).has_cashtag


def test_a_missing_cashtag_is_a_warning_and_not_an_error(cli: CliHarness, world: PostingWorld) -> None:
    result = cli("send", "Up 3%")
    assert (result.code, '"Up 3%" without a cashtag' in result.err) == (DONE, True)
    assert world.count(world.outbox) == 1


def test_a_message_for_a_half_that_is_switched_off_waits_with_a_warning(cli: CliHarness, world: PostingWorld) -> None:
    del cli.outputs["PostMessagesFunctionName"]
    result = cli("send", TEXT)
    assert (result.code, "posting is switched off" in result.err) == (DONE, True)
    assert world.count(world.outbox) == 1


@pytest.mark.parametrize(("typed", "sent"), [("n\n", 0), ("y\n", 1)])
def test_on_a_terminal_a_missing_cashtag_is_asked_about(
    cli: CliHarness, world: PostingWorld, typed: str, sent: int
) -> None:
    result = cli("send", "Up 3% ", typed=typed, at_terminal=True)
    assert (result.code, world.count(world.outbox)) == (DONE if sent else FAILED, sent)
    assert "Within double quotes, the shell replaces $AAPL by nothing: use single quotes." in result.err


@pytest.mark.parametrize("words", [["Up 3%", "--yes"], [TEXT]])
def test_what_has_a_cashtag_or_a_yes_is_not_asked_about(cli: CliHarness, world: PostingWorld, words: list[str]) -> None:
    assert cli("send", *words, at_terminal=True).code == DONE
    assert world.count(world.outbox) == 1


# Standard input


@pytest.mark.parametrize("words", [["-"], []])
def test_standard_input_is_the_text_without_the_white_space_around_it(
    cli: CliHarness, world: PostingWorld, words: list[str]
) -> None:
    assert cli("send", *words, "--key", "k1", typed=f"\ufeff{TEXT}\n\nToday\n").code == DONE
    (body,) = cli.bodies(world.outbox)
    assert json.loads(body) == {"body": f"{TEXT}\n\nToday", "key": "k1"}


def test_standard_input_in_json_is_a_message(cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    assert cli("send", "-", typed='{"body": "Up 3% $AAPL",\n "sentiment": "bullish"}\n').code == DONE
    outbox.run()
    assert [(each.body, each.sentiment) for each in world.stand_in.posts] == [("Up 3% $AAPL", "bullish")]


@pytest.mark.parametrize(
    ("words", "typed", "message"),
    [
        (["--priority", "high"], '{"body": "Up 3% $AAPL"}', "Leave out --priority: standard input is JSON"),
        (["--key", "k1"], '{"body": "Up 3% $AAPL", "key": "k2"}', "Leave out --key: the message has the key 'k2'"),
        (["--key", "k1"], '{"id": "e", "detail-type": "x", "source": "s", "detail": "$A"}', "has the key 'e' already"),
        (["--key", ""], '{"body": "Up 3% $AAPL"}', "The message is invalid: --key: "),
        ([], "-\n", "The text is only -"),
        ([], '{"body": "Up 3% $AAPL", "keys": "k"}', "The message is invalid: the message is not valid"),
        ([], lines("one $A", "two $B"), "a message on each line: send them with --file -"),
        ([], b"\xff $AAPL", "Standard input is not text in UTF-8."),
        ([], "\n", "Standard input is empty."),
    ],
)
def test_standard_input_that_is_no_message_is_refused(
    cli: CliHarness, world: PostingWorld, words: list[str], typed: str | bytes, message: str
) -> None:
    result = cli("send", "-", *words, typed=typed)
    assert (result.code, message in result.err) == (USAGE, True), result.err
    assert world.count(world.outbox) == 0


def test_a_terminal_without_a_text_is_not_read(cli: CliHarness) -> None:
    result = cli("send", typed=TEXT, at_terminal=True)
    assert (result.code, "relay send 'Up 3% $AAPL', or --file FILE.jsonl for many" in result.err) == (USAGE, True)


# Without sending


def test_a_dry_run_shows_the_message_and_calls_nothing(cli: CliHarness, world: PostingWorld) -> None:
    cli.calls.clear()
    result = cli("send", TEXT, "--key", "k1", "--dry-run")
    assert (result.code, json.loads(result.lines[-1])) == (DONE, {"body": TEXT, "key": "k1"})
    assert (cli.calls, world.count(world.outbox)) == ([], 0)


def test_a_dry_run_of_a_file_names_invalid_lines(cli: CliHarness, world: PostingWorld, tmp_path: Path) -> None:
    typed = lines("one $A") + "nonsense\n" + lines("two $B")
    result = cli("send", "--file", "-", "--keep-going", "--dry-run", typed=typed)
    assert (result.code, result.out) == (FAILED, "Nothing was sent (--dry-run). 2 messages can be sent.\n")
    assert "line 2: " in result.err
    assert (world.count(world.outbox), list(tmp_path.iterdir())) == (0, [])


def test_a_dry_run_uploads_no_chart(cli: CliHarness, world: PostingWorld, tmp_path: Path) -> None:
    (tmp_path / "chart.png").write_bytes(a_chart())
    (message,) = cli("send", TEXT, "--chart", "chart.png", "--dry-run", "--json").json["messages"]
    assert message["message"]["chart"].startswith(f"s3://{CHARTS}/relay-send/")
    assert nothing_happened(world)


# Charts


def test_a_local_chart_is_posted_with_its_bytes(
    cli: CliHarness, world: PostingWorld, outbox: Outbox, tmp_path: Path
) -> None:
    chart = tmp_path / "chart.png"
    chart.write_bytes(a_chart())
    assert cli("send", TEXT, "--chart", str(chart)).code == DONE
    outbox.run()
    (post,) = world.stand_in.posts
    assert (post.chart.content, post.chart.type) == (a_chart(), "image/png")


def test_the_address_of_a_chart_goes_as_it_is(cli: CliHarness, world: PostingWorld) -> None:
    cli("send", TEXT, "--chart", "https://example.com/c.png")
    (body,) = cli.bodies(world.outbox)
    assert json.loads(body)["chart"] == "https://example.com/c.png"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (a_chart() + bytes(2_000_000), "it must be under 2,000,000"),
        (b"hello", "not a JPG, PNG or GIF"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_chart_that_stocktwits_would_not_take_is_refused_before_anything_is_sent(
    cli: CliHarness, world: PostingWorld, tmp_path: Path, content: bytes | None, message: str
) -> None:
    chart = tmp_path / "chart.png"
    if content is not None:
        chart.write_bytes(content)
    result = cli("send", TEXT, "--chart", str(chart))
    assert (result.code, message in result.err) == (USAGE, True)
    assert nothing_happened(world)


def test_a_chart_of_a_message_that_cannot_be_posted_is_not_uploaded(
    cli: CliHarness, world: PostingWorld, tmp_path: Path
) -> None:
    chart = tmp_path / "chart.png"
    chart.write_bytes(a_chart())
    assert cli("send", "x" * 990, "--chart", str(chart)).code == USAGE
    assert nothing_happened(world)


def test_without_a_chart_bucket_a_local_chart_is_refused(cli: CliHarness, world: PostingWorld, tmp_path: Path) -> None:
    cli.parameters["ChartBucketName"] = ""
    chart = tmp_path / "chart.png"
    chart.write_bytes(a_chart())
    result = cli("send", TEXT, "--chart", str(chart))
    assert (result.code, "The stack has no chart bucket" in result.err) == (USAGE, True)
    assert nothing_happened(world)


def nothing_happened(world: PostingWorld) -> bool:
    return world.count(world.outbox) == 0 and "Contents" not in world.s3.list_objects_v2(Bucket=CHARTS)


# Many


def sent_batches(cli: CliHarness) -> list[list[dict[str, Any]]]:
    return [call["Entries"] for name, call in cli.calls if name == "SendMessageBatch"]


def test_each_line_of_a_file_is_a_message(cli: CliHarness, world: PostingWorld, tmp_path: Path) -> None:
    file = tmp_path / "alerts.jsonl"
    file.write_text("\ufeff" + lines("one $A") + "\n  \n" + '{"body": "two $B", "sentiment": "bearish"}')
    result = cli("send", "--file", str(file))
    assert (result.code, result.out) == (DONE, "Queued 2 messages.\n")
    assert sorted(cli.bodies(world.outbox)) == ['{"body": "one $A"}', '{"body": "two $B", "sentiment": "bearish"}']


@pytest.mark.any_aws
def test_many_go_ten_at_a_time(cli: CliHarness) -> None:
    cli("send", "--file", "-", typed=lines(*(f"{number} $A" for number in range(23))))
    assert [len(batch) for batch in sent_batches(cli)] == [10, 10, 3]


def test_a_batch_has_no_more_bytes_than_sqs_takes(cli: CliHarness) -> None:
    long = json.dumps({"body": "$A https://example.com/" + "\U0001f402" * 9_900})  # 12 bytes each
    assert cli("send", "--file", "-", typed=f"{long}\n" * 3).code == DONE
    assert [len(batch) for batch in sent_batches(cli)] == [2, 1]


def test_unreadable_lines_are_named_and_nothing_is_sent(cli: CliHarness, world: PostingWorld) -> None:
    typed = lines("one $A").encode() + b'\n{"body": 7}\nplain text\n\xff\xfe\n' + lines("two $B").encode()
    result = cli("send", "--file", "-", typed=typed)
    assert result.code == USAGE
    assert [line.partition(": ")[0] for line in result.err.splitlines()[:3]] == ["line 3", "line 4", "line 5"]
    assert "Nothing was sent: 3 lines invalid." in result.err
    assert world.count(world.outbox) == 0


def test_with_keep_going_the_readable_lines_are_sent(cli: CliHarness, world: PostingWorld) -> None:
    result = cli("send", "--file", "-", "--keep-going", typed=lines("one $A") + "nonsense\n" + lines("two $B"))
    assert (result.code, "line 2: " in result.err) == (FAILED, True)
    assert sorted(cli.bodies(world.outbox)) == ['{"body": "one $A"}', '{"body": "two $B"}']


def test_what_was_not_sent_is_kept_as_it_is_and_the_rest_is_not(cli: CliHarness, tmp_path: Path) -> None:
    (tmp_path / "alerts.jsonl").write_bytes(lines("one $A").encode() + b"\xff nonsense\n" + lines("two $B").encode())
    result = cli("send", "--file", "alerts.jsonl", "--keep-going")
    assert "1 message not sent: see alerts.unsent.jsonl." in result.err
    assert (tmp_path / "alerts.unsent.jsonl").read_bytes() == b"\xff nonsense\n"


def test_what_was_kept_before_is_never_overwritten(cli: CliHarness, tmp_path: Path) -> None:
    for number in range(3):
        cli("send", "--file", "-", "--keep-going", typed=lines("one $A") + f"nonsense {number}\n")
    kept = {each.name: each.read_text() for each in tmp_path.iterdir()}
    assert kept == {
        "relay.unsent.jsonl": "nonsense 0\n",
        "relay.unsent2.jsonl": "nonsense 1\n",
        "relay.unsent3.jsonl": "nonsense 2\n",
    }


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_what_is_kept_is_for_its_owner_alone_whatever_the_umask(cli: CliHarness, tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        cli("send", "--file", "-", "--keep-going", typed=lines("one $A") + "nonsense\n")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "relay.unsent.jsonl").stat().st_mode) == 0o600


def test_where_nothing_can_be_kept_the_lines_that_were_not_sent_are_named(
    cli: CliHarness, world: PostingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/proc")
    result = cli("send", "--file", "-", "--keep-going", typed="nonsense\n" + lines("one $A") + "nonsense\n")
    assert (result.code, ": 1, 3.\nSend only these lines" in result.err) == (FAILED, True)
    assert world.count(world.outbox) == 1


def test_a_line_too_large_for_the_outbox_is_unreadable(cli: CliHarness, world: PostingWorld) -> None:
    large = json.dumps({"body": "$A https://example.com/" + "x" * MAX_MESSAGE_BYTES})
    assert "line 1: it has" in cli("send", "--file", "-", typed=large).err
    assert world.count(world.outbox) == 0


def test_the_outbox_takes_what_the_command_lets_through() -> None:
    template = Path(ROOT / "template.yaml").read_text()
    assert f"MaximumMessageSize: {MAX_MESSAGE_BYTES + 1024} " in template


def failing(*numbers: int, at_fault: bool = False) -> Answer:
    """SQS takes all entries but these; what it takes is noted nowhere."""

    def answer(call: dict[str, Any]) -> dict[str, Any]:
        failed = [each["Id"] for each in call["Entries"] if int(each["Id"]) in numbers]
        taken = [each["Id"] for each in call["Entries"] if each["Id"] not in failed]
        return {
            "Successful": [{"Id": each, "MessageId": f"id {each}", "MD5OfMessageBody": ""} for each in taken],
            "Failed": [{"Id": each, "SenderFault": at_fault, "Code": "Planned"} for each in failed],
        }

    return answer


@pytest.mark.any_aws
def test_entries_that_sqs_did_not_take_are_sent_again_and_no_others(cli: CliHarness) -> None:
    cli.plan("SendMessageBatch", failing(1, 2), failing(2))
    assert cli("send", "--file", "-", typed=lines("a $A", "b $B", "c $C")).code == DONE
    bodies = [[json.loads(entry["MessageBody"])["body"] for entry in batch] for batch in sent_batches(cli)]
    assert bodies == [["a $A", "b $B", "c $C"], ["b $B", "c $C"], ["c $C"]]


@pytest.mark.parametrize(("at_fault", "calls"), [(True, 1), (False, 5)])
def test_an_entry_that_sqs_never_takes_is_named(cli: CliHarness, at_fault: bool, calls: int) -> None:
    cli.plan("SendMessageBatch", *[failing(1, at_fault=at_fault)] * calls)
    result = cli("send", "--file", "-", typed="\n" + lines("a $A", "b $B"))
    assert (result.code, "SQS did not accept line 3: Planned" in result.err) == (FAILED, True)
    assert result.out == "Queued 1 message.\n"
    assert len(sent_batches(cli)) == calls


def test_when_nothing_could_be_sent_the_error_of_aws_is_shown(cli: CliHarness, world: PostingWorld) -> None:
    cli.plan("SendMessageBatch", "AccessDenied")
    result = cli("send", TEXT)
    assert (result.code, "does not allow you to call SendMessageBatch" in result.err) == (NO_AWS, True)
    assert world.count(world.outbox) == 0


def test_when_a_call_fails_the_rest_is_not_tried_and_kept_with_its_keys(cli: CliHarness, tmp_path: Path) -> None:
    cli.plan("SendMessageBatch", None, "AccessDenied")
    result = cli("send", "--file", "-", "--wait", typed=lines(*(f"{number} $A" for number in range(23))))
    assert (result.code, result.out) == (NO_AWS, "Queued 10 messages.\n")
    assert "AWS does not allow you to call SendMessageBatch" in result.err
    assert "13 messages may not have been sent: run `relay send --file relay.unsent.jsonl`" in result.err
    _first, failed = sent_batches(cli)
    kept = [json.loads(line) for line in (tmp_path / "relay.unsent.jsonl").read_text().splitlines()]
    assert [each["body"] for each in kept] == [f"{number} $A" for number in range(10, 23)]
    keys = [each["MessageAttributes"]["RelayKey"]["StringValue"] for each in failed]
    assert [each["key"] for each in kept][:10] == keys


@pytest.mark.any_aws
def test_a_file_whose_answer_was_lost_is_posted_once_by_what_was_kept_of_it(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    cli.plan("SendMessageBatch", losing_the_answer(world))
    line = {"body": "one $A", "sentiment": "bullish", "expires_at": "2100-01-01T00:00:00Z"}
    assert cli("send", "--file", "-", typed=json.dumps(line)).code == NO_AWS
    assert cli("send", "--file", "relay.unsent.jsonl").code == DONE
    world.clock.forward(0.001)
    assert sorted(outbox.run().outcomes) == ["already_posted", "posted"]
    assert [(each.body, each.sentiment) for each in world.stand_in.posts] == [("one $A", "bullish")]


@pytest.mark.any_aws
@pytest.mark.parametrize(
    ("words", "typed"),
    [
        ([TEXT], ""),
        ([TEXT, "--key", "the key, that's mine"], ""),
        (["-"], TEXT),
        (["-"], json.dumps({"body": TEXT, "sentiment": "bullish", "expires_at": "2026-11-21T16:00:00Z"})),
        (["-"], json.dumps({"body": TEXT, "key": "k1"})),
        (["-"], json.dumps({"id": "e", "detail-type": "x", "source": "s", "detail": {"body": TEXT}})),
    ],
    ids=["text", "text with a key", "piped text", "piped JSON", "piped JSON with a key", "a piped event"],
)
def test_a_message_whose_answer_was_lost_is_posted_once_by_the_key_that_is_printed(
    cli: CliHarness, world: PostingWorld, outbox: Outbox, words: list[str], typed: str
) -> None:
    cli.plan("SendMessageBatch", losing_the_answer(world))
    result = cli("send", *words, typed=typed)
    assert (result.code, "may or may not be queued" in result.err) == (NO_AWS, True)
    advice = shlex.split(result.err.partition("send it with ")[2].rpartition(", and it is posted once")[0])
    assert cli("send", words[0], *advice, typed=typed).code == DONE
    world.clock.forward(0.001)
    assert sorted(outbox.run().outcomes) == ["already_posted", "posted"]
    assert world.posted == [TEXT]


def interrupted(_call: object = None) -> None:
    raise KeyboardInterrupt


def test_ctrl_c_between_two_calls_reports_what_was_sent_and_keeps_the_rest(cli: CliHarness, tmp_path: Path) -> None:
    cli.plan("SendMessageBatch", None, interrupted)
    result = cli("send", "--file", "-", typed=lines(*(f"{number} $A" for number in range(12))))
    assert (result.code, result.out) == (130, "Queued 10 messages.\n")
    assert len((tmp_path / "relay.unsent.jsonl").read_text().splitlines()) == 2


def test_a_message_that_sqs_took_twice_is_one_post(cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    cli("send", TEXT)
    (sent,) = world.receive(world.outbox, VisibilityTimeout=0)
    world.send(world.outbox, sent["Body"], RelayKey=sent["MessageAttributes"]["RelayKey"]["StringValue"])
    world.clock.forward(0.001)
    assert sorted(outbox.run().outcomes) == ["already_posted", "posted"]
    assert world.posted == [TEXT]


def test_the_same_text_sent_by_two_commands_is_two_messages(cli: CliHarness, world: PostingWorld) -> None:
    cli("send", TEXT)
    cli("send", TEXT)
    keys = {each["MessageAttributes"]["RelayKey"]["StringValue"] for each in world.receive(world.outbox)}
    assert len(keys) == 2


# Waiting for the outcome


@pytest.mark.any_aws
def test_wait_ends_with_the_link_of_the_post(cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    cli.meanwhile = [lambda: None, outbox.run]
    result = cli("send", TEXT, "--wait")
    (post,) = world.stand_in.posts
    assert result.code == DONE
    assert result.out.splitlines()[-1] == f"posted {world.stand_in.url}/relay_demo/message/{post.id}"


def test_wait_ends_with_the_reason_of_a_rejection(cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    world.post_elsewhere(TEXT)
    cli.meanwhile = [outbox.run]
    result = cli("send", TEXT, "--wait")
    assert (result.code, "rejected StockTwits refused it as a duplicate" in result.out) == (FAILED, True)


@pytest.mark.parametrize(
    ("expired_to", "advice"),
    [
        ("dead-letters", "1 message rejected: see `relay dead list`."),
        ("log", "1 message expired before it was posted."),
    ],
)
def test_wait_ends_with_the_moment_at_which_a_message_expired(
    cli: CliHarness, world: PostingWorld, outbox: Outbox, expired_to: str, advice: str
) -> None:
    cli.parameters["ExpiredTo"] = expired_to
    world.settings(EXPIRED_TO=expired_to)
    cli.meanwhile = [lambda: world.clock.forward(60), outbox.run]
    result = cli("send", TEXT, "--expires-in", "1m", "--wait")
    assert (result.code, advice in result.err) == (FAILED, True)
    outcome = advice.split()[2].rstrip(":")
    assert result.lines[-1].startswith(f"{outcome} it expired at 2026-11-21T15:01:00+00:00")


def test_wait_says_rejected_of_an_expired_message_that_is_a_dead_letter_since_it_may_be_posted(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    cli.parameters["ExpiredTo"] = "log"
    world.settings(EXPIRED_TO="log")
    world.stand_in.fail("reset-before")
    cli.meanwhile = [outbox.run, lambda: world.clock.forward(60), outbox.run]
    result = cli("send", TEXT, "--expires-in", "1m", "--wait")
    assert (result.code, "1 message rejected: see `relay dead list`." in result.err) == (FAILED, True)
    assert len(world.dead_letters()) == 1


def test_wait_goes_on_while_a_message_waits_for_its_moment(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    cli.meanwhile = [outbox.run, lambda: world.clock.forward(80), outbox.run]
    result = cli("send", TEXT, "--not-before", "in 1m", "--wait")
    assert (result.code, "posted http://" in result.out) == (DONE, True)


def test_wait_goes_on_through_what_is_deferred(cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    world.stand_in.fail("5xx-before")
    cli.meanwhile = [outbox.run, lambda: world.clock.forward(60), outbox.run]
    result = cli("send", TEXT, "--wait")
    assert (result.code, "posted http://" in result.out) == (DONE, True)


def test_wait_reports_a_dry_run(cli: CliHarness, outbox: Outbox, world: PostingWorld) -> None:
    world.settings(DRY_RUN="true")
    cli.meanwhile = [outbox.run]
    result = cli("send", TEXT, "--wait")
    assert (result.code, result.out.splitlines()[-1]) == (DONE, "dry_run dry run: nothing was sent")


def test_wait_finds_a_message_of_the_same_key_and_text_that_is_posted_already(
    cli: CliHarness, outbox: Outbox, world: PostingWorld
) -> None:
    cli("send", TEXT, "--key", "k1")
    outbox.run()
    result = cli("send", TEXT, "--key", "k1", "--wait")
    assert (result.code, "posted http://" in result.out) == (DONE, True)


def test_wait_reports_a_key_that_was_used_for_another_text(cli: CliHarness, outbox: Outbox) -> None:
    cli("send", TEXT, "--key", "k1")
    outbox.run()
    result = cli("send", "another $A", "--key", "k1", "--wait")
    assert (result.code, "its key 'k1' was already used for another text" in result.out) == (FAILED, True)


def test_wait_does_not_take_an_earlier_messages_rejection_for_this_ones(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    world.post_elsewhere(TEXT)
    cli("send", TEXT, "--key", "k1")
    assert outbox.run().outcomes == ["rejected"]
    cli.meanwhile = [lambda: world.clock.forward(3600), outbox.run]
    result = cli("send", TEXT, "--key", "k1", "--wait", "--wait-for", "2h")
    assert (result.code, "posted http://" in result.out) == (DONE, True)


def test_wait_follows_another_text_to_which_a_rejected_message_left_its_key(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    world.post_elsewhere(TEXT)
    cli("send", TEXT, "--key", "k1")
    assert outbox.run().outcomes == ["rejected"]
    cli.meanwhile = [outbox.run]
    result = cli("send", "another $A", "--key", "k1", "--wait")
    assert (result.code, "posted http://" in result.out) == (DONE, True)


@pytest.mark.any_aws
def test_wait_finds_in_dead_letters_what_the_ledger_does_not_know(cli: CliHarness, world: PostingWorld) -> None:
    def give_up() -> None:
        (message,) = world.receive(world.outbox)
        key = message["MessageAttributes"]["RelayKey"]["StringValue"]
        cli.add_dead_letter(message["Body"], RelayKey=key, RejectReason="given up after 200 receives")

    cli.meanwhile = [give_up]
    result = cli("send", TEXT, "--wait")
    assert (result.code, "rejected given up after 200 receives" in result.out) == (FAILED, True)
    assert world.count(world.dead) == 1


def test_wait_gives_up_in_the_end_and_explains_that_the_relay_does_not(cli: CliHarness, world: PostingWorld) -> None:
    started = world.clock()
    result = cli("send", TEXT, "--wait", "--wait-for", "2m")
    assert (result.code, "1 message not posted yet, but still queued: do not send it again" in result.err) == (
        FAILED,
        True,
    )
    assert 120 <= world.clock() - started < 150


def test_ctrl_c_ends_the_waiting_and_explains_that_the_relay_goes_on(cli: CliHarness, world: PostingWorld) -> None:
    cli.meanwhile = [interrupted]
    result = cli("send", TEXT, "--wait")
    assert (result.code, "The relay continues without you" in result.err) == (130, True)
    assert world.count(world.outbox) == 1


def test_a_message_whose_outcome_may_not_be_read_is_reported_as_queued(cli: CliHarness) -> None:
    cli.plan(READ, None, "AccessDeniedException")
    result = cli("send", TEXT, "--wait")
    assert (result.code, result.out.startswith("Queued as")) == (NO_AWS, True)
    assert result.err == (
        "relay: It is queued, do not send it again; but its outcome is unknown. "
        "AWS does not allow you to call BatchGetItem: ask for the permission, or use another profile.\n"
    )


def test_wait_goes_on_without_the_gate_when_it_may_not_be_read_and_says_so_once(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    cli.answers = lambda name, _, sent: "AccessDeniedException" if "pause" in str(sent) and name == READ else None
    cli.meanwhile = [*[lambda: None] * 14, outbox.run]
    result = cli("send", TEXT, "--wait")
    assert (result.code, "posted http://" in result.out) == (DONE, True)
    assert result.err == (
        "The gate cannot be read: AWS does not allow you to call BatchGetItem: ask for the permission, or use another "
        "profile.\n"
    )


@pytest.mark.parametrize("look", ["gate", "ledger"])
@pytest.mark.parametrize("failure", ["ThrottlingException", "InternalServerError", no_answer])
def test_wait_goes_on_after_a_look_that_aws_does_not_answer(
    cli: CliHarness, world: PostingWorld, outbox: Outbox, look: str, failure: Answer | str
) -> None:
    cli.plan(READ, *[None] * (look == "ledger"), failure)
    cli.meanwhile = [outbox.run]
    result = cli("send", TEXT, "--wait")
    assert (result.code, "posted http://" in result.out, result.err) == (DONE, True, "")


@pytest.mark.parametrize(("failure", "notes"), [("ThrottlingException", 0), (no_answer, 0), ("AccessDenied", 1)])
def test_wait_goes_on_after_a_look_at_dead_letters_that_fails_and_says_once_if_they_may_not_be_read(
    cli: CliHarness, world: PostingWorld, outbox: Outbox, failure: Answer | str, notes: int
) -> None:
    cli.plan("GetQueueAttributes", failure, failure)
    cli.meanwhile = [*[lambda: None] * 24, outbox.run]
    result = cli("send", TEXT, "--wait")
    assert (result.code, "posted http://" in result.out) == (DONE, True)
    assert result.err.count("Dead letters cannot be read: AWS does not allow you") == notes


def test_wait_tells_of_a_gate_that_closes_after_a_look_that_failed(cli: CliHarness, world: PostingWorld) -> None:
    world.pause(who={"S": "Ann"}, why={"S": "earnings"})
    cli.plan(READ, "ThrottlingException")
    assert "The gate is closed: paused by Ann: earnings" in cli("send", TEXT, "--wait-for", "1m").err


def test_wait_that_could_not_read_the_ledger_in_the_end_does_not_know_the_outcome(
    cli: CliHarness, world: PostingWorld
) -> None:
    cli.plan(READ, *["ThrottlingException"] * 9)
    result = cli("send", TEXT, "--wait-for", "5s")
    assert result.code == NO_AWS
    assert (
        "relay: It is queued, do not send it again; but its outcome is unknown. AWS refused BatchGetItem" in result.err
    )


def test_wait_reports_at_once_why_the_gate_is_closed(cli: CliHarness, world: PostingWorld) -> None:
    world.pause(who={"S": "Ann"}, why={"S": "earnings"})
    assert "The gate is closed: paused by Ann: earnings" in cli("send", TEXT, "--wait", "--wait-for", "5s").err


def test_wait_follows_each_line_of_a_file(cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    world.post_elsewhere("b $B")
    cli.meanwhile = [outbox.run]
    result = cli("send", "--file", "-", "--wait", typed=lines("a $A", "b $B"))
    assert result.code == FAILED
    assert "line 1: posted http://" in result.out
    assert "line 2: rejected " in result.out
    assert "1 message rejected" in result.err


def test_a_line_break_in_a_link_forges_no_line(cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    def posted() -> None:
        outbox.run()
        world.dynamodb.update_item(
            TableName=TABLE,
            Key={"pk": {"S": "post#k"}},
            UpdateExpression="SET #u = :u",
            ExpressionAttributeNames={"#u": "url"},
            ExpressionAttributeValues={":u": {"S": "https://example.com/\nposted https://forged.example"}},
        )

    cli.meanwhile = [posted]
    result = cli("send", TEXT, "--key", "k", "--wait", "--wait-for", "5s")
    assert result.lines[-1] == "posted https://example.com/ posted https://forged.example"


@pytest.mark.parametrize("pause", [{"who": {"S": "Ann"}, "why": {"S": "earnings"}}])
def test_wait_tells_once_why_the_gate_closes_while_it_waits(
    cli: CliHarness, world: PostingWorld, pause: dict[str, Any]
) -> None:
    cli.meanwhile = [*[lambda: None] * 14, lambda: world.pause(**pause)]
    result = cli("send", TEXT, "--wait", "--wait-for", "1m")
    assert result.err.count("The gate is closed: paused by Ann: earnings\n") == 1


def test_wait_tells_that_the_token_is_refused_and_what_to_do(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    world.stand_in.fail("401")
    cli.meanwhile = [outbox.run]
    result = cli("send", TEXT, "--wait-for", "1m")
    assert "The gate is closed until " in result.err
    assert "StockTwits refused the token" in result.err
    assert "`relay login`" in result.err


def test_wait_for_alone_waits(cli: CliHarness, world: PostingWorld) -> None:
    started = world.clock()
    assert "still queued" in cli("send", TEXT, "--wait-for", "1m").err
    assert world.clock() - started >= 60


def test_an_outcome_does_not_share_the_line_of_the_spinner(
    cli: CliHarness, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("tests.worlds.cli.redirect_stderr", lambda _: redirect_stderr(sys.stdout))
    cli.meanwhile = [outbox.run]
    before, posted, _ = cli("send", TEXT, "--wait").out.rpartition("http")
    shown = re.sub(r"\x1b\[[0-9;]*m", "", before[before.rindex("Waiting") :])
    assert (bool(posted), shown.endswith("\r\x1b[1A\x1b[2Kposted ")) == (True, True), repr(shown)


@pytest.mark.parametrize("wait", [[], ["--wait"]])
def test_json_has_each_message_and_its_outcome(
    cli: CliHarness, world: PostingWorld, outbox: Outbox, wait: list[str]
) -> None:
    world.post_elsewhere("b $B")
    cli.meanwhile = [outbox.run]
    typed = '{"body": "a $A", "key": "k1"}\n{"body": "b $B", "key": "k2"}\nnonsense'
    result = cli("send", "--file", "-", "--keep-going", "--json", *wait, typed=typed)
    printed = json.loads(result.out[result.out.index("{\n") :])  # after what the function logged
    assert (result.code, printed["invalid_lines"], printed["unsent_file"]) == (FAILED, 1, "relay.unsent.jsonl")
    found = [(each["key"], each["line"], each["outcome"], bool(each["message_id"])) for each in printed["messages"]]
    outcomes = ["posted", "rejected"] if wait else [None, None]
    assert found == [("k1", 1, outcomes[0], True), ("k2", 2, outcomes[1], True)]


def test_json_is_printed_although_the_call_failed(cli: CliHarness) -> None:
    cli.plan("SendMessageBatch", None, "AccessDenied")
    result = cli("send", "--file", "-", "--json", typed=lines(*(f"{number} $A" for number in range(23))))
    assert (result.code, [bool(each["message_id"]) for each in result.json["messages"]].count(True)) == (NO_AWS, 10)


def test_an_earlier_name_of_file_means_the_same(cli: CliHarness, world: PostingWorld) -> None:
    assert cli("send", "--from", "-", typed=lines("one $A")).code == DONE
    assert world.count(world.outbox) == 1
