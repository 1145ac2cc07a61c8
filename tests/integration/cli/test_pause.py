"""`relay pause` and `relay resume`: what the gate makes of what they write."""

import pytest
from relay.errors import Pause

from tests.worlds.cli import DONE, USAGE, CliHarness, iso
from tests.worlds.functions import Leftovers, Outbox
from tests.worlds.posting import PostingWorld

pytestmark = pytest.mark.any_aws


def test_a_pause_stops_posting_until_it_is_lifted(cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    result = cli("pause", "earnings call", "--who", "Ann")
    assert (result.code, result.out) == (
        DONE,
        "Paused by Ann: earnings call. Nothing is posted until `relay resume`.\n",
    )
    outbox.send("Up 3% $AAPL")
    assert outbox.run().reason == "paused by Ann: earnings call"
    assert cli("resume").out == "Lifted the pause of Ann: earnings call.\n"
    world.clock.forward(120)
    assert outbox.run().outcomes == ["posted"]


@pytest.mark.parametrize("drain_at", [0, 30, 55])
@pytest.mark.parametrize("resumed_after", [1, 60, 110, 170, 600])
def test_what_arrives_during_a_long_pause_goes_on_within_two_minutes_of_its_end(
    cli: CliHarness, world: PostingWorld, resumed_after: int, drain_at: int
) -> None:
    outbox, leftovers = Outbox(world), Leftovers(world)
    cli("pause", "maintenance", "--for", "2h")
    outbox.send("Up 3% $AAPL")
    waited = 0
    while not world.posted:
        outbox.poll()
        if waited % 60 == drain_at:
            leftovers.run()
        world.clock.forward(1)
        waited += 1
        if waited == resumed_after:
            cli("resume")
        assert waited - resumed_after <= 120
    assert waited >= resumed_after


def test_a_pause_with_an_end_ends_by_itself(cli: CliHarness, world: PostingWorld) -> None:
    until = world.clock() + 5400
    assert iso(until) in cli("pause", "maintenance", "--for", "1h30m").out
    assert world.gate().look(1).pause.until == until
    world.clock.forward(5400)
    assert world.gate().look(1).granted == 1


def test_a_pause_is_by_the_user_who_is_logged_in_unless_who_is_given(
    cli: CliHarness, world: PostingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "bob")
    cli("pause", "lunch")
    assert world.gate().look(1).pause.who == "bob"


def test_a_second_pause_replaces_the_first_and_names_whose_it_was(cli: CliHarness, world: PostingWorld) -> None:
    cli("pause", "lunch", "--who", "Ann", "--for", "1h")
    assert "It replaces the pause of Ann: lunch." in cli("pause", "for good", "--who", "Bob").out
    assert world.gate().look(1).pause.until is None


def test_a_pause_that_another_tool_wrote_is_lifted_whatever_is_in_it(cli: CliHarness, world: PostingWorld) -> None:
    world.pause(why={"N": "7"})
    assert cli("resume").out == "Lifted the pause of unknown: 7.\n"
    assert world.item("pause") is None


def test_resume_reports_when_there_was_no_pause(cli: CliHarness) -> None:
    assert (cli("resume").code, cli("resume").out) == (DONE, "There was no pause.\n")


def test_resume_reports_what_else_keeps_the_gate_closed(cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    world.stand_in.fail("429", reset_in_seconds=600)
    outbox.send("Up 3% $AAPL")
    outbox.run()
    assert f"The gate is still closed until {iso(world.clock() + 600)}: StockTwits limits the rate" in cli("resume").out


@pytest.mark.parametrize("wrong", [[" "], ["why", "--who", " "], ["why", "--for", "soon"], ["why", "--for", "0m"]])
def test_an_empty_reason_or_name_or_an_invalid_duration_is_refused(
    cli: CliHarness, world: PostingWorld, wrong: list[str]
) -> None:
    assert cli("pause", *wrong).code == USAGE
    assert world.item("pause") is None


def test_what_would_steer_a_terminal_is_not_shown(cli: CliHarness) -> None:
    assert "\x1b" not in cli("pause", "red \x1b[31m alert", "--who", "Ann").out


def test_a_line_break_in_a_pauses_reason_forges_no_line(cli: CliHarness, world: PostingWorld) -> None:
    world.gate().close(Pause("halt", "why\nThere was no pause.", world.clock() + 60))
    assert cli("resume").lines == [
        "There was no pause.",
        f"The gate is still closed until {iso(world.clock() + 60)}: why There was no pause.",
    ]
