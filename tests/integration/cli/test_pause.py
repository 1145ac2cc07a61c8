"""`relay pause` and `relay resume`: what the gate makes of what they write."""

import pytest
from relay.errors import Pause
from relay_cli.deployed.operator_pause import NO_REASON

from tests.worlds.cli import DONE, NO_AWS, USAGE, CliHarness, iso
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
    assert cli("resume").lines == ["Lifted the pause of Ann: earnings call.", "1 message waiting: within two minutes."]
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
    assert cli("resume").lines[0] == "Lifted the pause of unknown: 7."
    assert world.item("pause") is None


def test_resume_reports_when_there_was_no_pause(cli: CliHarness) -> None:
    assert (cli("resume").code, cli("resume").out) == (DONE, "There was no pause.\nNothing waits.\n")


def test_resume_reports_what_else_keeps_the_gate_closed(cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    world.stand_in.fail("429", reset_in_seconds=600)
    outbox.send("Up 3% $AAPL")
    outbox.run()
    assert f"The gate is still closed until {iso(world.clock() + 600)}: StockTwits limits the rate" in cli("resume").out


@pytest.mark.parametrize("words", [[], [" "]])
def test_a_pause_needs_no_reason(cli: CliHarness, world: PostingWorld, words: list[str]) -> None:
    assert cli("pause", *words, "--who", "Ann").code == DONE
    assert world.gate().look(1).pause.reason == f"paused by Ann: {NO_REASON}"


def test_resume_says_how_many_wait_and_when_they_are_posted(cli: CliHarness, world: PostingWorld) -> None:
    cli("pause")
    for number in range(27):  # 3 at once, then one every five minutes
        world.send(world.outbox if number else world.leftovers, f"{number} $A")
    last = cli("resume").lines[-1]
    assert last == f"27 messages waiting: about 2 h at 12 an hour and 48 a day, until {iso(world.clock() + 7200)}."


def test_a_resume_that_may_not_count_what_waits_is_one_nevertheless(cli: CliHarness, world: PostingWorld) -> None:
    cli("pause")
    cli.plan("GetQueueAttributes", "AccessDenied")
    result = cli("resume")
    assert (result.code, "not allow you to count what waits" in result.err) == (DONE, True)
    assert world.item("pause") is None


def refused(world: PostingWorld) -> Pause:
    return imposed(world, "token_refused", "StockTwits refused the token", probe=True)


def imposed(world: PostingWorld, cause: str, reason: str, *, probe: bool) -> Pause:
    pause = Pause(cause, reason, world.clock() + 300, probe=probe)
    world.gate().close(pause)
    return pause


def test_resume_by_force_shows_what_closed_the_gate_and_lets_one_post_through(
    cli: CliHarness, world: PostingWorld
) -> None:
    until = refused(world).until
    cli("pause", "lunch", "--who", "Ann")
    advice = "`relay login` stores a valid one and opens the gate"
    assert cli("resume", "--force").lines[:3] == [
        f"The gate is closed until {iso(until)}: StockTwits refused the token; {advice}",
        "Lifted the pause of Ann: lunch.",
        "Ended what closed the gate: a single post is tried first.",
    ]
    admission = world.gate().admit(3)
    assert (admission.granted, admission.probe) == (1, True)


def test_resume_by_force_lets_one_post_through_after_a_rate_limit_too(cli: CliHarness, world: PostingWorld) -> None:
    imposed(world, "rate_limited", "StockTwits' rate limit is reached", probe=False)
    assert cli("resume", "--force").lines[1:3] == [
        "Ended what closed the gate: a single post is tried first.",
        "Nothing waits.",
    ]
    admission = world.gate().admit(3)
    assert (admission.granted, admission.probe) == (1, True)


def test_resume_by_force_does_not_change_the_pace(cli: CliHarness, world: PostingWorld) -> None:
    cli.parameters |= {"MaxPostsPerHour": "1", "PostBurst": "1"}
    world.gate().admit(3)
    before = world.item("gate")
    assert "The gate is still closed until " in cli("resume", "--force").out
    assert world.item("gate") == before


def test_without_force_the_pause_of_the_relay_stays(cli: CliHarness, world: PostingWorld) -> None:
    refused(world)
    assert "The gate is still closed until " in cli("resume").out
    assert world.gate().look(1).granted == 0


def test_who_may_not_end_the_relays_pause_is_told_so(cli: CliHarness, world: PostingWorld) -> None:
    refused(world)
    cli.plan("UpdateItem", "AccessDeniedException")
    assert cli("resume", "--force").code == NO_AWS


def test_json_has_what_was_imposed_and_what_was_lifted(cli: CliHarness, world: PostingWorld) -> None:
    pause = {"who": "Ann", "why": "lunch", "until": None, "replaced": None}
    assert cli("pause", "lunch", "--who", "Ann", "--json").json == pause
    refused(world)
    world.send(world.outbox, "Up 3% $AAPL")
    resumed = cli("resume", "--force", "--json").json
    assert (resumed["lifted"], [each["cause"] for each in resumed["forced"]]) == ("Ann: lunch", ["token_refused"])
    assert (resumed["gate"]["open"], resumed["outlook"]["waiting"]) == (True, 1)


@pytest.mark.parametrize("wrong", [["why", "--who", " "], ["why", "--for", "soon"], ["why", "--for", "0m"]])
def test_an_empty_name_or_an_invalid_duration_is_refused(
    cli: CliHarness, world: PostingWorld, wrong: list[str]
) -> None:
    assert cli("pause", *wrong).code == USAGE
    assert world.item("pause") is None


def test_what_would_steer_a_terminal_is_not_shown(cli: CliHarness) -> None:
    assert "\x1b" not in cli("pause", "red \x1b[31m alert", "--who", "Ann").out


def test_a_line_break_in_a_pauses_reason_forges_no_line(cli: CliHarness, world: PostingWorld) -> None:
    world.gate().close(Pause("halt", "why\nThere was no pause.", world.clock() + 60))
    assert cli("resume").lines[:2] == [
        "There was no pause.",
        f"The gate is still closed until {iso(world.clock() + 60)}: why There was no pause.",
    ]
