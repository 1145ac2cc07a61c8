"""How the commands show points in time: as seen from now on a terminal, and exactly elsewhere and with `--utc`."""

import re

import pytest
from relay.errors import Pause

from tests.worlds.cli import CliHarness
from tests.worlds.functions import Outbox
from tests.worlds.posting import PostingWorld

pytestmark = pytest.mark.any_aws

EXACT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8} UTC")

COMMANDS = {
    ("status",): "closed for another 10 min: StockTwits limits the rate",
    ("status", "--why", "k1"): "for another 10 min: StockTwits limits the rate",
    ("posts",): "5 min ago  deferred",
    ("posts", "--outcome", "deferred"): "for another 10 min: StockTwits limits the rate",
    ("dead", "list"): "first seen 2 h ago",
    ("dead", "show", "{letter}"): "First seen  2 h ago",
    ("pause", "--for", "2h"): "Nothing is posted for 2 h.",
    ("resume",): "The gate is still closed for another 10 min: StockTwits limits the rate",
    ("resume", "--force"): "The gate is closed for another 10 min: StockTwits limits the rate",
    ("doctor",): "closed for another 10 min: StockTwits limits the rate",
}
"""Commands that show points in time, and what they print of one on a terminal."""


@pytest.fixture
def letter(cli: CliHarness, world: PostingWorld, outbox: Outbox) -> str:
    """A dead letter, beside a message that waits for the end of a pause."""
    world.stand_in.fail("5xx-before")
    outbox.send('{"body": "Up 3% $AAPL", "key": "k1"}')
    cli.log(outbox.run())
    world.clock.forward(300)
    world.gate().close(Pause("rate_limited", "StockTwits limits the rate", world.clock() + 600.5))
    return cli.add_dead_letter("Up 4% $MSFT", FirstSeen="2026-11-21T13:05:00Z")


@pytest.mark.parametrize(("command", "words"), COMMANDS.items(), ids=[" ".join(each) for each in COMMANDS])
def test_points_in_time_are_shown_as_seen_from_now_on_a_terminal(
    cli: CliHarness, letter: str, command: tuple[str, ...], words: str
) -> None:
    cli.patch.setattr("relay_cli.context.goes_to_a_terminal", lambda: True)
    cli.patch.setattr("relay_cli.commands.status.local", lambda _: "the time of this machine")
    shown = cli(*(each.format(letter=letter) for each in command)).out
    assert words in shown
    assert not EXACT.search(shown)


@pytest.mark.parametrize(("options", "terminal"), [(["--utc"], True), ([], False)], ids=["--utc", "piped"])
@pytest.mark.parametrize("command", COMMANDS, ids=[" ".join(each) for each in COMMANDS])
def test_points_in_time_are_exact_on_demand_and_without_a_terminal(
    cli: CliHarness, letter: str, command: tuple[str, ...], options: list[str], terminal: bool
) -> None:
    cli.patch.setattr("relay_cli.context.goes_to_a_terminal", lambda: terminal)
    shown = cli(*(each.format(letter=letter) for each in command), *options).out
    assert EXACT.search(shown)
    assert not re.search(r"for another| ago\b|posted for ", shown)
