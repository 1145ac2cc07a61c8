"""`relay dead`: letters are looked at without being lost, and sent again as the same post."""

import hashlib
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from relay_cli.commands import dead
from relay_cli.deployed import dead_letters

from tests.worlds.cli import DONE, FAILED, NO_AWS, USAGE, Answer, CliHarness
from tests.worlds.functions import Outbox
from tests.worlds.posting import TABLE, PostingWorld

pytestmark = pytest.mark.any_aws

REASON = "StockTwits refused it (422: Body can't be blank)"
PERHAPS = "an earlier attempt may have posted it: look on StockTwits; if it is not there, send it as a new message"


def test_list_shows_reason_key_and_text_of_each_letter(cli: CliHarness) -> None:
    first = cli.add_dead_letter("Up 3% $AAPL", RejectReason=REASON, RelayKey="k1", FirstSeen="2026-11-20T09:30:00Z")
    cli.add_dead_letter('{"body": "Breakout $NVDA", "key": "own"}', RejectReason="it expired", RelayKey="own")
    result = cli("dead", "list").out
    assert f"{first[:8]}  first seen 2026-11-20 09:30:00 UTC, key k1\n    Up 3% $AAPL\n    {REASON}\n" in result
    assert "key own\n    Breakout $NVDA\n    it expired\n" in result
    assert result.endswith("2 dead letters.\n")


def test_looking_leaves_every_letter_where_it_was_and_visible(cli: CliHarness, world: PostingWorld) -> None:
    for number in range(23):
        cli.add_dead_letter(f"letter {number} $AAPL")
    assert len(cli("dead", "list", "--json").json) == 23
    world.clock.forward(0.001)  # moto hides a message to the end of the millisecond
    counts = world.sqs.get_queue_attributes(QueueUrl=world.dead, AttributeNames=["All"])["Attributes"]
    assert counts["ApproximateNumberOfMessages"] == "23"


def test_a_letter_that_could_not_be_put_back_is_reported(cli: CliHarness) -> None:
    letter = cli.add_dead_letter()
    cli.plan(
        "ChangeMessageVisibilityBatch",
        lambda sent: {"Failed": [{"Id": sent["Entries"][0]["Id"], "Code": "InternalError", "SenderFault": False}]},
    )
    result = cli("dead", "list")
    assert result.code == DONE
    assert f"message {letter} could not be rescheduled: InternalError; it stays hidden for up to 2 min" in result.err


def test_without_letters_list_reports_that(cli: CliHarness) -> None:
    assert cli("dead", "list").out == "There are no dead letters.\n"


def test_a_letter_without_a_reason_names_where_to_look(cli: CliHarness) -> None:
    cli.add_dead_letter("Up 3% $AAPL")
    assert "it has no reason" in cli("dead", "list").out


def test_a_letter_that_sqs_gave_up_is_marked_and_keeps_its_message_id_as_its_key(
    cli: CliHarness, world: PostingWorld
) -> None:
    cli.plan("ReceiveMessage", lambda _: {"Messages": [given_up("an-id", "Up 3% $AAPL")]}, lambda _: {})
    result = cli("dead", "list").out
    assert "SQS moved it here after its last receive" in result
    assert "key an-id" in result
    cli.plan("ReceiveMessage", lambda _: {"Messages": [given_up("an-id", "Up 3% $AAPL")]}, lambda _: {})
    cli("dead", "retry", "--all")
    (found,) = world.receive(world.outbox)
    assert found["MessageAttributes"]["RelayKey"]["StringValue"] == "an-id"


def given_up(message_id: str, body: str) -> dict[str, Any]:
    """A message that SQS moved from Leftovers; moto does not say where from."""
    system = {
        "ApproximateReceiveCount": "201",
        "SentTimestamp": "1795273200000",
        "DeadLetterQueueSourceArn": "arn:aws:sqs:us-east-1:123456789012:stocktwits-relay-leftovers",
    }
    return {"MessageId": message_id, "ReceiptHandle": "a receipt", "Body": body, "Attributes": system}


def test_show_prints_the_whole_original_body_and_all_that_is_known(cli: CliHarness) -> None:
    body = '{"body": "Up 3%\\n$AAPL",\n  "sentimint": "bullish"}'
    letter = cli.add_dead_letter(body, RejectReason=REASON, RelayKey="k1", StatusCode="422", Attempts="2")
    shown = cli("dead", "show", letter[:8]).out
    assert shown.endswith(f"\n\n{body}\n")
    for line in (letter, REASON, "k1", "422"):
        assert line in shown
    assert cli("dead", "show", letter, "--json").json["body"] == body


def test_what_would_steer_a_terminal_is_not_shown(cli: CliHarness) -> None:
    letter = cli.add_dead_letter('{"body": "\x7f"} ' + chr(0x9B) + "31m", RejectReason=REASON)
    assert chr(0x9B) not in cli("dead", "list").out + cli("dead", "show", letter).out


@pytest.mark.parametrize("command", ["show", "retry", "drop"])
def test_a_letter_that_is_not_there_is_reported(cli: CliHarness, command: str) -> None:
    cli.add_dead_letter()
    result = cli("dead", command, "nowhere")
    assert (result.code, "no dead letter nowhere" in result.err) == (USAGE, True)


@pytest.mark.moto("LocalEmu chooses its messages' ids itself")
def test_a_beginning_that_fits_more_than_one_letter_is_refused(
    cli: CliHarness, world: PostingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moto.sqs.models.random.uuid4", iter(["abc1", "abc2"]).__next__)
    letters = [cli.add_dead_letter("one $A"), cli.add_dead_letter("two $B")]
    assert letters == ["abc1", "abc2"]
    result = cli("dead", "drop", "--yes", "abc")
    assert (result.code, "2 dead letters start with abc" in result.err) == (USAGE, True)
    assert world.count(world.dead) == 2
    assert cli("dead", "drop", "--yes", "abc1").code == DONE


# Retry


def not_deleted(sent: dict[str, Any]) -> dict[str, Any]:
    """SQS's answer when it did not delete a message."""
    return {"Failed": [{"Id": sent["Entries"][0]["Id"], "Code": "InternalError", "SenderFault": False}]}


def taking_it_without_an_answer(world: PostingWorld) -> Answer:
    """SQS takes a message, and its answer does not come back."""

    def answer(sent: dict[str, Any]) -> dict[str, Any]:
        attributes = {name: each["StringValue"] for name, each in sent["MessageAttributes"].items()}
        world.send(world.outbox, sent["MessageBody"], **attributes)
        raise ReadTimeoutError(endpoint_url="http://127.0.0.1")

    return answer


def test_a_retried_letter_goes_to_the_outbox_untouched_with_its_key(cli: CliHarness, world: PostingWorld) -> None:
    letter = cli.add_dead_letter(' {"body": "Up 3% $AAPL"}\n', RejectReason=REASON, RelayKey="k1")
    result = cli("dead", "retry", letter)
    assert (result.code, result.out) == (DONE, f"Sent {letter[:8]} to the Outbox again, with its key k1.\n")
    (found,) = world.receive(world.outbox)
    assert found["Body"] == ' {"body": "Up 3% $AAPL"}\n'
    assert found["MessageAttributes"]["RelayKey"]["StringValue"] == "k1"
    assert world.count(world.dead) == 0


def test_a_rejected_post_is_posted_by_its_retry(cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    world.post_elsewhere("Up 3% $AAPL")
    outbox.send("Up 3% $AAPL")
    assert outbox.run().outcomes == ["rejected"]
    world.clock.forward(3600)
    cli("dead", "retry", "--all")
    assert outbox.run().outcomes == ["posted"]
    assert world.posted == ["Up 3% $AAPL"] * 2


def test_a_letter_that_was_posted_after_all_is_not_posted_again(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    (message,) = outbox.send("Up 3% $AAPL")
    outbox.run()
    cli.add_dead_letter("Up 3% $AAPL", RelayKey=message, RejectReason=f"it expired - {PERHAPS}")
    result = cli("dead", "retry", "--all")
    assert "An earlier attempt may have posted it: the relay checks the account's stream first." in result.out
    assert outbox.run().outcomes == ["already_posted"]
    assert world.posted == ["Up 3% $AAPL"]


def test_a_letter_that_the_outbox_did_not_take_stays(cli: CliHarness, world: PostingWorld) -> None:
    one, two = cli.add_dead_letter("one $A"), cli.add_dead_letter("two $B")
    cli.plan("SendMessage", "AccessDenied")
    result = cli("dead", "retry", one, two)
    assert result.code == FAILED
    assert f"{one[:8]} stays in Dead letters: AWS does not allow you to call SendMessage" in result.err
    assert (cli.bodies(world.dead), cli.bodies(world.outbox)) == (["one $A"], ["two $B"])


def test_a_retry_that_may_have_been_sent_is_to_be_retried_and_not_edited(cli: CliHarness, world: PostingWorld) -> None:
    letter = cli.add_dead_letter(RelayKey="k1")
    cli.plan("SendMessage", taking_it_without_an_answer(world))
    result = cli("dead", "retry", letter)
    assert (result.code, world.count(world.dead), world.count(world.outbox)) == (NO_AWS, 1, 1)
    assert f"did not confirm that it took {letter}" in result.err
    assert "with its key k1. Retry it again, which is the same post; do not edit it" in result.err


def test_a_retry_still_names_the_letter_that_was_edited_into_it(cli: CliHarness, world: PostingWorld) -> None:
    cli.add_dead_letter(RelayKey="k2", ReplacesKey="k1", RejectReason=REASON)
    cli("dead", "retry", "--all")
    assert key_of(world.receive(world.outbox)[0], "ReplacesKey") == "k1"


def test_when_no_letter_could_be_sent_the_exit_code_shows_why(cli: CliHarness) -> None:
    cli.add_dead_letter()
    cli.plan("SendMessage", "AccessDenied")
    assert cli("dead", "retry", "--all").code == NO_AWS


def test_a_letter_that_was_sent_but_not_deleted_is_reported(cli: CliHarness, world: PostingWorld) -> None:
    letter = cli.add_dead_letter()
    cli.plan("DeleteMessageBatch", not_deleted)
    result = cli("dead", "retry", letter)
    assert result.code == FAILED
    assert f"{letter} was sent to the Outbox with its key, but" in result.err
    assert "Drop it: it needs no retry, and an edit would be another post." in result.err
    assert (world.count(world.dead), world.count(world.outbox)) == (1, 1)
    assert cli.bodies(world.dead) == ["Up 3% $AAPL"]


def test_what_is_rejected_again_at_once_is_not_retried_again(cli: CliHarness) -> None:
    cli.add_dead_letter("Up 3% $AAPL", RelayKey="k1")

    def rejected(sent: dict[str, Any]) -> dict[str, Any]:
        cli.add_dead_letter(sent["MessageBody"], RelayKey="k1", RejectReason=REASON)
        return {"MessageId": "an-id", "MD5OfMessageBody": ""}

    cli.plan("SendMessage", rejected)
    result = cli("dead", "retry", "--all")
    assert (result.code, result.out.count("Sent ")) == (DONE, 1)


@pytest.mark.parametrize("command", ["retry", "drop"])
@pytest.mark.parametrize("words", [[], ["--all", "an-id"]])
def test_either_letters_are_named_or_all_are_meant(cli: CliHarness, command: str, words: list[str]) -> None:
    cli.add_dead_letter()
    assert cli("dead", command, *words).code == USAGE


@pytest.mark.parametrize(("letters", "asked"), [(10, False), (11, True)])
def test_more_than_ten_letters_are_sent_again_after_a_question(
    cli: CliHarness, world: PostingWorld, letters: int, asked: bool
) -> None:
    for number in range(letters):
        cli.add_dead_letter(f"letter {number} $AAPL")
    result = cli("dead", "retry", "--all", typed="n\n")
    assert ("Send 11 letters to the Outbox again?" in result.err, result.code) == (asked, FAILED if asked else DONE)
    assert world.count(world.dead) == (letters if asked else 0)


def test_yes_sends_many_letters_again_without_asking(cli: CliHarness, world: PostingWorld) -> None:
    for number in range(11):
        cli.add_dead_letter(f"letter {number} $AAPL")
    assert cli("dead", "retry", "--all", "--yes").code == DONE
    assert world.count(world.outbox) == 11


# Edit


class Editor:
    """The operator's editor: it notes what it is given, and saves these texts, one each time."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        program = (
            "import pathlib, sys\n"
            f"folder, file = pathlib.Path({str(folder)!r}), pathlib.Path(sys.argv[1])\n"
            "number = len(list(folder.glob('opened*')))\n"
            "(folder / f'opened{number}{file.suffix}').write_bytes(file.read_bytes())\n"
            "file.write_bytes((folder / f'saved{number}').read_bytes())\n"
        )
        monkeypatch.delenv("VISUAL", raising=False)
        monkeypatch.setenv("EDITOR", shlex.join([sys.executable, "-c", program]))

    def will_save(self, *texts: str) -> None:
        for number, text in enumerate(texts):
            (self._folder / f"saved{number}").write_text(text)

    @property
    def opened(self) -> list[str]:
        return [each.read_text() for each in sorted(self._folder.glob("opened*"))]


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Editor:
    return Editor(tmp_path, monkeypatch)


def key_of(message: dict[str, Any], name: str = "RelayKey") -> str:
    return message["MessageAttributes"][name]["StringValue"]


def test_an_edited_letter_is_a_new_message_that_names_what_it_replaces(
    cli: CliHarness, world: PostingWorld, editor: Editor
) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON, RelayKey="k1")
    editor.will_save("Up 3% $AAPL\n")
    result = cli("dead", "edit", letter[:8])
    (found,) = world.receive(world.outbox)
    assert (json.loads(found["Body"]), key_of(found, "ReplacesKey")) == ({"body": "Up 3% $AAPL"}, "k1")
    assert editor.opened == ["Up 3% $APPL\n"]
    assert world.count(world.dead) == 0
    expected = f"Sent as a new message with the key {key_of(found)}, in place of {letter[:8]}.\n"
    assert (result.code, result.out, key_of(found) != "k1") == (DONE, expected, True)


def test_an_edited_letter_is_posted_although_its_own_key_was_rejected(
    cli: CliHarness, world: PostingWorld, outbox: Outbox, editor: Editor
) -> None:
    outbox.send('{"body": "Up 3% $AAPL", "key": "k1", "expires_at": "2026-11-20T00:00:00Z"}')
    assert outbox.run().outcomes == ["rejected"]
    editor.will_save('{"body": "Up 3% $AAPL"}')
    shown = cli("dead", "edit", cli("dead", "list", "--json").json[0]["id"], "--json").json
    run = cli.log(outbox.run())
    assert (run.outcomes, world.posted) == (["posted"], ["Up 3% $AAPL"])
    assert json.loads(editor.opened[0]) == {"body": "Up 3% $AAPL", "expires_at": "2026-11-20T00:00:00Z"}
    posted = cli("posts", "--json").json[0]
    assert (posted["key"], posted["replaces_key"]) == (shown["key"], "k1")


def test_a_letter_that_the_relay_cannot_read_is_edited_as_it_is(
    cli: CliHarness, world: PostingWorld, editor: Editor
) -> None:
    letter = cli.add_dead_letter('{"body": "Up 3% $AAPL", "sentimint": "bullish"}', RejectReason="sentimint: unknown")
    editor.will_save('{"body": "Up 3% $AAPL", "sentiment": "bullish"}')
    cli("dead", "edit", letter)
    assert editor.opened == ['{"body": "Up 3% $AAPL", "sentimint": "bullish"}\n']
    assert json.loads(world.receive(world.outbox)[0]["Body"]) == {"body": "Up 3% $AAPL", "sentiment": "bullish"}


def test_an_envelopes_id_is_not_the_key_of_what_is_edited(cli: CliHarness, world: PostingWorld, editor: Editor) -> None:
    event = {"id": "e1", "detail-type": "alert", "source": "s", "detail": {"body": "Up 3% $AAPL", "sentimint": "x"}}
    letter = cli.add_dead_letter(json.dumps(event), RejectReason=REASON)
    editor.will_save(json.dumps(event | {"detail": {"body": "Up 3% $AAPL"}}))
    shown = cli("dead", "edit", letter, "--json").json
    (found,) = world.receive(world.outbox)
    assert (json.loads(found["Body"]), shown["key"]) == ({"body": "Up 3% $AAPL"}, key_of(found))


@pytest.mark.parametrize("second", ["Up 3% $AAPL", "Up 4% $AAPL"])
@pytest.mark.parametrize("lost", ["SendMessage", "DeleteMessageBatch"])
def test_a_letter_that_is_edited_twice_is_one_post(  # noqa: PLR0913, PLR0917  fixtures
    cli: CliHarness, world: PostingWorld, outbox: Outbox, editor: Editor, lost: str, second: str
) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON)
    cli.plan(lost, taking_it_without_an_answer(world) if lost == "SendMessage" else not_deleted)
    editor.will_save("Up 3% $AAPL", second)
    assert cli("dead", "edit", letter).code != DONE
    assert cli("dead", "edit", letter).code == DONE
    other = "already_posted" if second == "Up 3% $AAPL" else "rejected"
    assert sorted(outbox.run().outcomes) == sorted(["posted", other])
    assert len(world.posted) == 1


def test_an_edit_that_may_have_been_sent_says_how_to_find_out(
    cli: CliHarness, world: PostingWorld, editor: Editor
) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON)
    cli.plan("SendMessage", taking_it_without_an_answer(world))
    editor.will_save("Up 3% $AAPL")
    result = cli("dead", "edit", letter)
    key = key_of(world.receive(world.outbox)[0])
    assert f"may have been sent with the key {key}; {letter[:8]} stays in Dead letters." in result.err
    assert (
        f"Do not retry {letter[:8]}, which would be another post: drop it once `relay posts --key {key}`" in result.err
    )
    assert "try again" not in result.err
    assert "The edited text:\n\nUp 3% $AAPL\n" in result.err
    assert world.count(world.dead) == 1


def test_an_edit_that_sqs_refuses_is_printed_and_its_letter_stays(
    cli: CliHarness, world: PostingWorld, editor: Editor
) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON)
    cli.plan("SendMessage", "AccessDenied")
    editor.will_save("Up 3%\n$AAPL")
    result = cli("dead", "edit", letter)
    assert result.code == NO_AWS
    assert f"{letter[:8]} stays in Dead letters: AWS does not allow you to call SendMessage" in result.err
    assert "The edited text:\n\nUp 3%\n$AAPL\n" in result.err
    assert (world.count(world.dead), world.count(world.outbox)) == (1, 0)


def test_an_edit_whose_letter_cannot_be_deleted_is_printed(cli: CliHarness, editor: Editor) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON)
    cli.plan("DeleteMessageBatch", not_deleted)
    editor.will_save("Up 3% $AAPL")
    result = cli("dead", "edit", letter)
    assert f"{letter} was sent to the Outbox edited, with the key {edited(letter)}, but" in result.err
    assert (
        f"Do not retry {letter[:8]}, which would be another post: drop it once `relay posts --key {edited(letter)}`"
        in (result.err)
    )
    assert "The edited text:\n\nUp 3% $AAPL\n" in result.err


def test_an_edit_is_printed_if_the_letter_cannot_be_read_again(
    cli: CliHarness, world: PostingWorld, editor: Editor
) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON)
    cli.plan("ReceiveMessage", None, None, "AccessDenied")  # the first look ends with an empty answer
    editor.will_save("Up 3% $AAPL")
    result = cli("dead", "edit", letter)
    assert (result.code, world.count(world.outbox)) == (NO_AWS, 0)
    assert "The edited text:\n\nUp 3% $AAPL\n" in result.err


def test_what_cannot_be_posted_is_edited_again_from_where_it_was(
    cli: CliHarness, world: PostingWorld, editor: Editor
) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON)
    editor.will_save('{"body": "Up 3% $AAPL"', '{"body": "Up 3% $AAPL"}')
    result = cli("dead", "edit", letter, typed="y\n")
    assert (result.code, "It cannot be posted: " in result.err) == (DONE, True)
    assert editor.opened[1] == '{"body": "Up 3% $AAPL"\n'


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_what_cannot_be_posted_is_not_sent(cli: CliHarness, world: PostingWorld, editor: Editor, answer: str) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON)
    editor.will_save('{"body": "Up 3% $AAPL"')
    result = cli("dead", "edit", letter, typed=answer)
    assert (result.code, world.count(world.dead), world.count(world.outbox)) == (FAILED, 1, 0)
    assert 'The edited text:\n\n{"body": "Up 3% $AAPL"\n' in result.err


def test_an_empty_text_is_not_sent(cli: CliHarness, world: PostingWorld, editor: Editor) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON)
    editor.will_save("")
    result = cli("dead", "edit", letter, typed="n\n")
    assert (result.code, world.count(world.dead), world.count(world.outbox)) == (FAILED, 1, 0)
    assert "The edited text" not in result.err


def test_the_dead_letters_own_key_is_refused(cli: CliHarness, editor: Editor) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON, RelayKey="k1")
    editor.will_save('{"body": "Up 3% $AAPL", "key": "k1"}')
    assert "it has the key of the dead letter" in cli("dead", "edit", letter).err


def test_a_key_that_the_operator_chose_is_kept(cli: CliHarness, world: PostingWorld, editor: Editor) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON, RelayKey="k1")
    editor.will_save('{"body": "Up 3% $AAPL", "key": "k2"}')
    assert cli("dead", "edit", letter, "--json").json["key"] == "k2"
    assert json.loads(world.receive(world.outbox)[0]["Body"])["key"] == "k2"


def test_what_was_not_changed_is_not_sent(cli: CliHarness, world: PostingWorld, editor: Editor) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON)
    editor.will_save("Up 3% $APPL\n\n")
    result = cli("dead", "edit", letter)
    assert (result.code, "Nothing was changed" in result.err, world.count(world.dead)) == (FAILED, True, 1)
    assert "The edited text" not in result.err


@pytest.mark.parametrize("reason", [{"RejectReason": f"it expired - {PERHAPS}"}, {}])
@pytest.mark.parametrize("answer", ["n\n", ""])
def test_what_may_be_posted_is_only_edited_after_a_question(
    cli: CliHarness, world: PostingWorld, editor: Editor, reason: dict[str, str], answer: str
) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL", **reason)
    editor.will_save("Up 3% $AAPL")
    result = cli("dead", "edit", letter, typed=answer)
    assert (result.code, "under a new key it is posted again" in result.err) == (FAILED, True)
    assert (editor.opened, world.count(world.dead)) == ([], 1)
    assert cli("dead", "edit", letter, "--yes").code == DONE


def test_a_letter_that_cannot_be_parsed_is_only_edited_after_a_question(
    cli: CliHarness, editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON)
    monkeypatch.setattr(dead_letters, "_letter", lambda *_: {}["a field"])
    editor.will_save("Up 3% $AAPL")
    result = cli("dead", "edit", letter, typed="n\n")
    assert (result.code, "under a new key it is posted again" in result.err) == (FAILED, True)


def test_a_letter_that_somebody_retried_meanwhile_is_not_sent_twice(
    cli: CliHarness, world: PostingWorld, editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON)
    monkeypatch.setattr(dead.editor, "edit", lambda *_: cli("dead", "retry", letter) and "Up 3% $AAPL")
    result = cli("dead", "edit", letter)
    assert (result.code, "no dead letter" in result.err, cli.bodies(world.outbox)) == (USAGE, True, ["Up 3% $APPL"])
    assert "The edited text:\n\nUp 3% $AAPL\n" in result.err


# One alert, one post: what the ledger knows of a letter and of its edit


def edited(letter: str) -> str:
    """The key of an edit of a letter."""
    return hashlib.sha256(f"edited {letter}".encode()).hexdigest()[:32]


def ledger_has(world: PostingWorld, key: str, status: str, **others: str) -> None:
    item = {name: {"S": value} for name, value in {"pk": f"post#{key}", "status": status, **others}.items()}
    world.dynamodb.put_item(TableName=TABLE, Item=item)


@pytest.mark.parametrize("lost", ["SendMessage", "DeleteMessageBatch"])
def test_a_letter_whose_edit_is_posted_is_neither_retried_nor_edited(
    cli: CliHarness, world: PostingWorld, outbox: Outbox, editor: Editor, lost: str
) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON)
    cli.plan(lost, taking_it_without_an_answer(world) if lost == "SendMessage" else not_deleted)
    editor.will_save("Up 3% $AAPL", "Up 4% $AAPL")
    cli("dead", "edit", letter)
    assert outbox.run().outcomes == ["posted"]
    for words in (["retry", "--all"], ["edit", letter, "--yes"]):
        result = cli("dead", *words)
        said = f"{letter[:8]} was not sent: an edit of it was sent before, with the key {edited(letter)}, and is posted"
        assert (result.code, said in result.err) == (FAILED, True)
        assert f"Drop it: `relay dead drop {letter[:8]}`." in result.err
    assert (world.count(world.outbox), world.count(world.dead), len(editor.opened)) == (0, 1, 1)


def test_a_letter_that_was_retried_and_posted_is_only_edited_after_a_question(
    cli: CliHarness, world: PostingWorld, outbox: Outbox, editor: Editor
) -> None:
    letter = cli.add_dead_letter("Up 3% $AAPL", RejectReason=REASON, RelayKey="k1")
    cli.plan("DeleteMessageBatch", not_deleted)
    cli("dead", "retry", letter)
    assert outbox.run().outcomes == ["posted"]
    editor.will_save("Up 4% $AAPL")
    result = cli("dead", "edit", letter, typed="n\n")
    assert (result.code, editor.opened, world.count(world.outbox)) == (FAILED, [], 0)
    assert f"A message with its key k1 is posted ({world.entry('k1')['url']})." in result.err
    assert cli("dead", "edit", letter, "--yes").code == DONE


def test_a_letter_whose_key_the_publisher_sent_again_is_only_edited_after_a_question(
    cli: CliHarness, world: PostingWorld, outbox: Outbox, editor: Editor
) -> None:
    outbox.send('{"body": "Up 3% $AAPL", "key": "k1", "expires_at": "2026-11-20T00:00:00Z"}')
    assert outbox.run().outcomes == ["rejected"]
    outbox.send('{"body": "Up 3% $AAPL", "key": "k1"}')
    assert outbox.run().outcomes == ["posted"]
    result = cli("dead", "edit", cli("dead", "list", "--json").json[0]["id"])
    assert (result.code, "Use --yes to skip the question" in result.err, editor.opened) == (FAILED, True, [])
    assert world.count(world.outbox) == 0


@pytest.mark.parametrize(
    ("status", "others", "words"),
    [
        ("claimed", {}, "is being delivered, or may be posted"),
        ("unknown", {}, "may be posted"),
        ("rejected", {"first_claimed_at": "1"}, "may be posted"),
        ("released", {}, "waits to be posted"),
    ],
)
def test_a_letter_whose_key_may_be_posted_is_only_edited_after_a_question(  # noqa: PLR0913, PLR0917  fixtures
    cli: CliHarness, world: PostingWorld, editor: Editor, status: str, others: dict[str, str], words: str
) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON, RelayKey="k1")
    ledger_has(world, "k1", status, **others)
    result = cli("dead", "edit", letter, typed="n\n")
    assert (result.code, f"A message with its key k1 {words}." in result.err, editor.opened) == (FAILED, True, [])


@pytest.mark.parametrize("status", ["rejected", "dry_run"])
def test_a_letter_whose_key_is_certainly_not_posted_is_edited_without_a_question(
    cli: CliHarness, world: PostingWorld, editor: Editor, status: str
) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON, RelayKey="k1")
    ledger_has(world, "k1", status)
    editor.will_save("Up 3% $AAPL")
    assert cli("dead", "edit", letter).code == DONE


def test_a_letter_that_version_0_1_posted_under_its_sqs_id_is_only_edited_after_a_question(
    cli: CliHarness, world: PostingWorld, editor: Editor
) -> None:
    event = {"id": "e1", "detail-type": "alert", "source": "s", "detail": "Up 3% $APPL"}
    letter = cli.add_dead_letter(json.dumps(event), RejectReason=REASON)
    ledger_has(world, letter, "posted", url="a-page")
    assert f"A message with its key {letter} is posted (a-page)." in cli("dead", "edit", letter).err
    assert editor.opened == []


def test_what_is_posted_while_the_editor_is_open_is_asked_about(
    cli: CliHarness, world: PostingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON, RelayKey="k1")
    monkeypatch.setattr(dead.editor, "edit", lambda *_: ledger_has(world, "k1", "posted") or "Up 3% $AAPL\n")
    result = cli("dead", "edit", letter)
    assert (result.code, world.count(world.outbox), world.count(world.dead)) == (FAILED, 0, 1)
    assert "A message with its key k1 is posted." in result.err
    assert "The edited text:\n\nUp 3% $AAPL\n" in result.err


def test_what_is_posted_while_the_editor_is_open_is_sent_if_the_operator_agrees(
    cli: CliHarness, world: PostingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON, RelayKey="k1")
    monkeypatch.setattr(dead.editor, "edit", lambda *_: ledger_has(world, "k1", "posted") or "Up 3% $AAPL\n")
    result = cli("dead", "edit", letter, typed="y\n")
    assert (result.code, world.count(world.outbox), world.count(world.dead)) == (DONE, 1, 0)


def test_what_the_operator_agreed_to_is_not_asked_again(cli: CliHarness, world: PostingWorld, editor: Editor) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON, RelayKey="k1")
    ledger_has(world, "k1", "posted")
    editor.will_save("Up 3% $AAPL")
    assert cli("dead", "edit", letter, typed="y\n").code == DONE


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("claimed", "is being delivered, or may be posted"),
        ("released", "waits to be posted"),
        ("rejected", "was rejected: it is in Dead letters itself, unless somebody retried or dropped it"),
        ("dry_run", "went through a dry run"),
    ],
)
def test_a_letter_with_an_edit_is_not_retried_and_the_others_are(
    cli: CliHarness, world: PostingWorld, status: str, words: str
) -> None:
    letter, _other = cli.add_dead_letter("Up 3% $APPL"), cli.add_dead_letter("two $B")
    ledger_has(world, edited(letter), status)
    result = cli("dead", "retry", "--all")
    assert (result.code, cli.bodies(world.outbox), cli.bodies(world.dead)) == (FAILED, ["two $B"], ["Up 3% $APPL"])
    assert f"and {words}. Drop it: `relay dead drop {letter[:8]}`." in result.err
    assert "1 letter of 2 failed." in result.err


def test_a_letter_whose_edit_is_a_dead_letter_itself_is_neither_retried_nor_edited(
    cli: CliHarness, world: PostingWorld
) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON)
    cli.add_dead_letter("Up 3% $AAPL", RelayKey=edited(letter))
    for words in (["edit", letter, "--yes"], ["retry", "--all"]):
        assert "and is in Dead letters itself. Drop it" in cli("dead", *words).err
    assert cli.bodies(world.outbox) == ["Up 3% $AAPL"]


def test_a_letter_with_the_key_of_the_edited_one_is_named(cli: CliHarness, editor: Editor) -> None:
    letter, twin = (cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON, RelayKey="k1") for _ in range(2))
    cli.add_dead_letter("two $B", RelayKey="k2")
    editor.will_save("Up 3% $AAPL")
    result = cli("dead", "edit", letter)
    assert f"{twin[:8]} has the same key. If it is the same alert, do not retry it: drop it.\n" in result.err
    assert (result.code, result.err.count("has the same key")) == (DONE, 1)


def test_the_ledger_is_read_once_for_many_letters(cli: CliHarness) -> None:
    for number in range(10):
        cli.add_dead_letter(f"letter {number} $AAPL")
    cli("dead", "retry", "--all")
    assert [name for name, _ in cli.calls].count("BatchGetItem") == 1


def test_no_letter_is_sent_if_the_ledger_cannot_be_read(cli: CliHarness, world: PostingWorld, editor: Editor) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON)
    cli.plan("BatchGetItem", *["AccessDeniedException"] * 2)
    assert [cli("dead", word, letter).code for word in ("retry", "edit")] == [NO_AWS, NO_AWS]
    assert (world.count(world.outbox), editor.opened) == (0, [])


def saving(text: bytes, then: str = "") -> str:
    """The command of an editor that saves a text, and then does something."""
    program = f"import os, pathlib, signal, sys; pathlib.Path(sys.argv[1]).write_bytes({text!r}); {then}"
    return shlex.join([sys.executable, "-c", program])


def test_ctrl_c_in_the_editor_does_not_end_the_command(
    cli: CliHarness, world: PostingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON)
    monkeypatch.setenv("VISUAL", saving(b"Up 3% $AAPL", "os.kill(os.getppid(), signal.SIGINT)"))
    assert (cli("dead", "edit", letter).code, world.count(world.outbox)) == (DONE, 1)


def test_nobody_else_can_read_what_is_edited(cli: CliHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    noted = tmp_path / "modes"
    note = (
        "file = pathlib.Path(sys.argv[1]); modes = [oct(each.stat().st_mode & 0o777) for each in (file.parent, file)]"
    )
    monkeypatch.setenv("VISUAL", saving(b"Up 3% $AAPL", f"{note}; pathlib.Path({str(noted)!r}).write_text(str(modes))"))
    before = os.umask(0)
    try:
        cli("dead", "edit", cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON))
    finally:
        os.umask(before)
    assert noted.read_text() == "['0o700', '0o600']"


@pytest.mark.parametrize(
    ("editor_command", "words"),
    [
        ("no-such-editor", "cannot be used: No such file or directory. Name another one"),
        ("'", "cannot be used: No closing quotation"),
        (saving(b"Up 3% $AAPL", "sys.exit(3)"), "The edited text:\n\nUp 3% $AAPL\n\nrelay: The editor"),
        (saving(b"Up 3% $AAPL", "sys.exit(3)"), "ended with the code 3"),
        (saving(b"Up 3% $APPL", "os.kill(os.getpid(), 9)"), "ended with the code -9"),
        (saving(b"Up \xff $AAPL"), "The edited text:\n\nUp \\xff $AAPL\n\nrelay: What the editor saved is not UTF-8"),
    ],
    ids=["missing", "not a command", "it fails", "its code", "killed", "not UTF-8"],
)
def test_an_editor_that_fails_sends_nothing(
    cli: CliHarness, world: PostingWorld, monkeypatch: pytest.MonkeyPatch, editor_command: str, words: str
) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL", RejectReason=REASON)
    monkeypatch.setenv("VISUAL", editor_command)
    result = cli("dead", "edit", letter)
    assert (result.code != DONE, words in result.err, world.count(world.dead)) == (True, True, 1)


# Drop


def test_a_letter_is_dropped_when_the_operator_agrees(cli: CliHarness, world: PostingWorld) -> None:
    one, _two = cli.add_dead_letter("one $A"), cli.add_dead_letter("two $B")
    result = cli("dead", "drop", one, typed="y\n")
    assert result.code == DONE
    assert "one $A" in result.err
    assert cli.bodies(world.dead) == ["two $B"]


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_nothing_is_dropped_unless_the_operator_agrees(cli: CliHarness, world: PostingWorld, answer: str) -> None:
    letter = cli.add_dead_letter("one $A")
    result = cli("dead", "drop", letter, typed=answer)
    assert (result.code, "Nothing was deleted" in result.err, "Use --yes" in result.err) == (FAILED, True, not answer)
    assert cli.bodies(world.dead) == ["one $A"]


def test_yes_drops_all_without_asking(cli: CliHarness, world: PostingWorld) -> None:
    for number in range(12):
        cli.add_dead_letter(f"letter {number}")
    assert cli("dead", "drop", "--all", "--yes").code == DONE
    assert world.count(world.dead) == 0


def test_no_more_letters_are_shown_than_were_asked_for(cli: CliHarness) -> None:
    for number in range(12):
        cli.add_dead_letter(f"letter {number} $AAPL")
    assert len(cli("dead", "list", "--limit", "11", "--json").json) == 11
    assert cli("dead", "list", "--limit", "2").lines[-1] == "2 dead letters shown; there may be more."


@pytest.mark.parametrize("words", [["retry"], ["drop", "--yes"]])
def test_json_has_what_became_of_each_letter(cli: CliHarness, words: list[str]) -> None:
    letter = cli.add_dead_letter(RelayKey="k1")
    assert cli("dead", *words, letter[:8], "--json").json == [{"id": letter, "key": "k1", "reason": ""}]
    assert cli("dead", *words, "--all", "--json").json == []


def test_json_has_the_reason_of_what_failed(cli: CliHarness) -> None:
    letter = cli.add_dead_letter(RelayKey="k1")
    cli.plan("DeleteMessageBatch", "AccessDenied")
    result = cli("dead", "drop", letter, "--yes", "--json")
    assert (result.code, "AccessDenied" in result.json[0]["reason"]) == (FAILED, True)
