"""`relay status --why KEY`: what a message waits for, in order of when that ends; what became of it otherwise."""

import json
from datetime import datetime
from typing import Any

import pytest
from relay.errors import Pause
from relay.posting.ledger import LEASE_SECONDS
from relay_cli.deployed.waits import QUEUE_VISIBILITY_SECONDS

from tests.template import TEMPLATE
from tests.worlds.cli import DONE, FAILED, NO_AWS, NO_STACK, OVERRIDE, SHOWN, USAGE, CliHarness, control_characters, iso
from tests.worlds.functions import Leftovers, Outbox
from tests.worlds.posting import TABLE, PostingWorld

HOUR = 3600


def alert(key: str, body: str = "Up 3% $AAPL", **fields: str) -> str:
    return json.dumps({"body": body, "key": key, **fields})


def why(cli: CliHarness, key: str = "k1") -> dict[str, Any]:
    result = cli("status", "--why", key, "--json")
    assert result.code == DONE, result.err
    return result.json


def waits(cli: CliHarness, key: str = "k1") -> list[tuple[str, float | None]]:
    """The causes with the seconds until they end, in the order shown."""
    now = cli.world.clock()
    found = [(each["cause"], each["until"]) for each in why(cli, key)["waits"]]
    return [(cause, until and round(datetime.fromisoformat(until).timestamp() - now)) for cause, until in found]


def rule(cli: CliHarness, **settings: object) -> None:
    """Set a rule of the owner's, for the functions and in the stack's parameters."""
    cli.world.settings(**settings)
    cli.parameters |= {
        "".join(word.capitalize() for word in name.split("_")): str(value) for name, value in settings.items()
    }


def close_gate(cli: CliHarness, cause: str, seconds: float) -> None:
    cli.world.gate().close(Pause(cause, "StockTwits limits the rate", cli.world.clock() + seconds))


# What it waits for


@pytest.mark.any_aws
def test_a_message_that_waits_for_the_gate_shows_why_it_is_closed(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    close_gate(cli, "rate_limited", 600)
    outbox.send(alert("k1"))
    cli.log(outbox.run())
    assert (why(cli)["state"], waits(cli)) == ("waiting", [("rate_limited", 600)])
    shown = cli("status", "--why", "k1").out
    assert f"until {iso(world.clock() + 600)}: StockTwits limits the rate" in shown
    assert "it is tried within two minutes after the last of these" in shown


def test_everything_that_closes_the_gate_is_a_wait_and_what_has_no_end_comes_last(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    rule(cli, POSTING_HOURS="MON-FRI 09:30-16:00 America/New_York", POSTING_HOLIDAYS="none")
    close_gate(cli, "rate_limited", 600)
    world.gate(12, 3, 48).close(Pause("rate_limited", "StockTwits limits the rate", 0))
    world.pause(who={"S": "Ann"}, why={"S": "earnings"})
    outbox.send(alert("k1"))
    cli.log(outbox.run())
    monday = datetime.fromisoformat("2026-11-23T14:30:00Z").timestamp() - world.clock()
    assert waits(cli) == [("rate_limited", 600), ("hours", round(monday)), ("operator", None)]
    assert "until resumed: paused by Ann: earnings" in cli("status", "--why", "k1").out


@pytest.mark.parametrize(("per_day", "cause"), [("0", "pace"), ("3", "daily_cap")])
def test_a_pace_or_cap_that_is_used_up_is_a_wait(cli: CliHarness, outbox: Outbox, per_day: str, cause: str) -> None:
    cli.parameters["MaxPostsPerDay"] = per_day
    cli.world.settings(MAX_POSTS_PER_HOUR=12, POST_BURST=3, MAX_POSTS_PER_DAY=per_day)
    outbox.send(*(alert(f"k{number}", f"{number} up $A{number}") for number in range(4)))
    cli.log(outbox.run())
    left = next(f"k{number}" for number in range(4) if cli.world.status(f"k{number}") is None)
    ((found, _),) = waits(cli, left)
    assert found == cause


def test_a_message_for_later_waits_for_its_not_before(cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    outbox.send(alert("k1", not_before=iso(world.clock() + 2 * HOUR).replace(" UTC", "Z")))
    cli.log(outbox.run())
    assert waits(cli) == [("not_before", 2 * HOUR)]


@pytest.mark.any_aws
def test_a_message_about_a_symbol_waits_for_its_cool_down_and_the_log_is_not_all_that_is_known(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    rule(cli, SYMBOL_COOLDOWN_MINUTES=60)
    outbox.send(alert("first", "one $AAPL"))
    outbox.run()
    world.clock.forward(600)
    outbox.send(alert("second", "two $MSFT"))
    outbox.run()
    close_gate(cli, "rate_limited", 100)
    outbox.send(alert("k1", "three $AAPL and $MSFT"))  # the gate is closed: nobody looks at its symbols
    cli.log(outbox.run())
    assert waits(cli) == [("rate_limited", 100), ("symbol", 3000), ("symbol", 3600)]
    assert [each["reason"] for each in why(cli)["waits"][1:]] == [
        f"a post about {symbol} was made less than 60 minutes before" for symbol in ("$AAPL", "$MSFT")
    ]


def test_a_message_that_a_rule_keeps_back_shows_it_once(cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    rule(cli, ALIKE_MINUTES=30)
    outbox.send(alert("first", "$AAPL is up 3%"))
    outbox.run()
    outbox.send(alert("k1", "$MSFT is up 4%"))
    cli.log(outbox.run())
    assert waits(cli) == [("alike", 1800)]


def test_a_post_that_was_made_since_the_log_line_moves_the_end(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    rule(cli, SYMBOL_COOLDOWN_MINUTES=60)
    outbox.send(alert("first", "one $AAPL"))
    outbox.run()
    outbox.send(alert("k1", "two $AAPL"))
    cli.log(outbox.run())
    world.dynamodb.update_item(
        TableName=TABLE,
        Key={"pk": {"S": "post#first"}},
        UpdateExpression="SET settled_at = :later",
        ExpressionAttributeValues={":later": {"N": str(world.clock() + 60)}},
    )
    assert waits(cli) == [("symbol", 3660)]


@pytest.mark.parametrize("over", ["freed", "switched off"])
def test_a_message_whose_rule_is_over_waits_until_sqs_shows_it(
    cli: CliHarness, world: PostingWorld, outbox: Outbox, over: str
) -> None:
    rule(cli, SYMBOL_COOLDOWN_MINUTES=24 * 60)
    outbox.send(alert("first", "one $AAPL"))
    outbox.run()
    outbox.send(alert("k1", "two $AAPL"))
    cli.log(outbox.run())
    assert waits(cli) == [("symbol", 24 * HOUR)]
    if over == "freed":
        world.dynamodb.delete_item(TableName=TABLE, Key={"pk": {"S": "spacing#$AAPL"}})
    else:
        cli.parameters["SymbolCooldownMinutes"] = "0"
    assert waits(cli) == [("hidden", 12 * HOUR)]
    assert "SQS hides it until then" in why(cli)["waits"][0]["reason"]


def test_a_duplicate_that_waits_shows_when_it_is_tried_once_more(cli: CliHarness, outbox: Outbox) -> None:
    rule(cli, WHEN_DUPLICATE="wait")
    cli.world.post_elsewhere("Up 3% $AAPL")
    outbox.send(alert("k1"))
    cli.log(outbox.run())
    assert waits(cli) == [("duplicate", 1860)]


def test_a_message_whose_attempt_failed_waits_for_its_back_off(cli: CliHarness, outbox: Outbox) -> None:
    cli.world.stand_in.fail("5xx-before")
    outbox.send(alert("k1"))
    cli.log(outbox.run())
    (wait,) = why(cli)["waits"]
    assert wait["reason"].startswith("its last attempt failed: ")
    assert waits(cli) == [("back_off", outbox.first_back_off)]


def test_a_message_that_is_looked_for_once_more_says_so_once(cli: CliHarness, outbox: Outbox) -> None:
    cli.world.stand_in.configure(near_identical=True)
    cli.world.post_elsewhere("Up 3% $MSFT")
    cli.world.stand_in.fail("5xx-before", text="AAPL")
    outbox.send(alert("k1"))
    for _ in range(2):
        cli.log(outbox.run())
        cli.world.clock.forward(120)
    assert waits(cli) == [("retry", 1680)]
    assert "it is looked for once more in 30 minutes" in why(cli)["waits"][0]["reason"]


@pytest.mark.parametrize(
    ("seconds_ago", "wait"),
    [(10, ("delivery", LEASE_SECONDS - 10)), (100, ("retry", QUEUE_VISIBILITY_SECONDS - 100))],
    ids=["being delivered", "cut off"],
)
def test_a_claim_that_is_open_says_whether_it_is_held(
    cli: CliHarness, world: PostingWorld, seconds_ago: float, wait: tuple[str, float]
) -> None:
    world.dynamodb.put_item(
        TableName=TABLE,
        Item={
            "pk": {"S": "post#k1"},
            "status": {"S": "claimed"},
            "message_id": {"S": "m"},
            "lease_until": {"N": str(world.clock() - seconds_ago + LEASE_SECONDS)},
        },
    )
    assert waits(cli) == [wait]


def test_a_cut_off_message_comes_back_when_its_queue_shows_it() -> None:
    queues = [TEMPLATE["Resources"][name]["Properties"] for name in ("OutboxQueue", "LeftoversQueue")]
    assert {each["VisibilityTimeout"] for each in queues} == {QUEUE_VISIBILITY_SECONDS}


def test_a_wait_that_is_over_is_left_out_and_a_message_without_one_is_about_to_be_tried(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    close_gate(cli, "rate_limited", 600)
    outbox.send(alert("k1"))
    cli.log(outbox.run())
    world.clock.forward(600)
    assert waits(cli) == []
    assert "nothing that is known keeps it" in cli("status", "--why", "k1").out


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (0, "it may expire before it can be posted"),
        (700, "it has expired: it is not posted any more, and ends when it is next received"),
    ],
)
def test_a_message_that_expires_says_when_and_whether_that_is_too_soon(
    cli: CliHarness, world: PostingWorld, outbox: Outbox, after: float, words: str
) -> None:
    rule(cli, DEFAULT_EXPIRY_MINUTES=10)
    expires = world.clock() + 600
    close_gate(cli, "rate_limited", 800)
    outbox.send(alert("k1"))
    cli.log(outbox.run())
    world.clock.forward(after)
    assert datetime.fromisoformat(why(cli)["expires_at"]).timestamp() == expires
    assert words in cli("status", "--why", "k1").out


def test_a_message_without_a_key_is_known_by_its_id(cli: CliHarness, outbox: Outbox) -> None:
    close_gate(cli, "rate_limited", 600)
    (name,) = outbox.send("Up 3% $AAPL")
    cli.log(outbox.run())
    assert waits(cli, name) == [("rate_limited", 600)]


def test_nothing_is_received_and_nothing_is_written(cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    rule(cli, SYMBOL_COOLDOWN_MINUTES=60)
    close_gate(cli, "rate_limited", 600)
    outbox.send(alert("k1"))
    cli.log(outbox.run())
    cli.calls.clear()
    cli("status", "--why", "k1")
    assert {name for name, _ in cli.calls} == {
        "DescribeStacks",
        "ListStackResources",
        "BatchGetItem",
        "FilterLogEvents",
    }


# What became of it


@pytest.mark.any_aws
def test_a_posted_message_shows_its_page_even_before_the_log_has_it(cli: CliHarness, outbox: Outbox) -> None:
    outbox.send(alert("k1"))
    outbox.run()
    (post,) = cli.world.stand_in.posts
    found = why(cli)
    page = f"{cli.world.stand_in.url}/relay_demo/message/{post.id}"
    assert (found["state"], found["url"], found["waits"]) == ("posted", page, [])
    assert page in cli("status", "--why", "k1").out


def test_a_rejected_message_shows_its_reason_and_that_it_is_in_dead_letters(cli: CliHarness, outbox: Outbox) -> None:
    cli.world.post_elsewhere("Up 3% $AAPL")
    outbox.send(alert("k1"))
    cli.log(outbox.run())
    assert (why(cli)["state"], "Duplicate" in why(cli)["reason"]) == ("rejected", True)
    shown = cli("status", "--why", "k1").out
    assert "it is in Dead letters, unless somebody retried or dropped it: `relay dead list`" in shown


def test_a_rejected_message_that_dead_letters_did_not_take_is_not_said_to_be_there(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    world.post_elsewhere("Up 3% $AAPL")
    outbox.send(alert("k1"))
    world.aws.answer("SendMessage", "InternalFailure")
    cli.log(outbox.run())
    assert why(cli)["outlook"].startswith("Dead letters did not take it")


def test_a_message_that_is_rejected_before_it_has_an_entry_is_known_by_the_log(cli: CliHarness, outbox: Outbox) -> None:
    (name,) = outbox.send(" ")
    cli.log(outbox.run())
    assert why(cli, name)["state"] == "rejected"


@pytest.mark.parametrize("logged", [True, False], ids=["in the log", "not yet in the log"])
@pytest.mark.parametrize(("target", "state"), [("log", "expired"), ("dead-letters", "rejected")])
def test_an_expired_message_ends_where_the_rule_says(
    cli: CliHarness, outbox: Outbox, *, logged: bool, target: str, state: str
) -> None:
    rule(cli, DEFAULT_EXPIRY_MINUTES=10, EXPIRED_TO=target)
    outbox.send(alert("k1"))
    cli.world.clock.forward(700)
    run = outbox.run()
    if logged:
        cli.log(run)
    assert (why(cli)["state"], why(cli)["reason"][:10]) == (state, "it expired")


def test_an_expired_message_that_may_be_posted_is_in_dead_letters_wherever_expired_ones_go(
    cli: CliHarness, outbox: Outbox
) -> None:
    rule(cli, DEFAULT_EXPIRY_MINUTES=10, EXPIRED_TO="log")
    cli.world.stand_in.fail("5xx-before")
    outbox.send(alert("k1"))
    outbox.run()
    cli.world.clock.forward(700)
    outbox.run()
    assert (why(cli)["state"], len(cli.world.dead_letters())) == ("rejected", 1)


def test_a_dry_run_is_said_to_have_sent_nothing(cli: CliHarness, outbox: Outbox) -> None:
    cli.world.settings(DRY_RUN="true")
    outbox.send(alert("k1"))
    cli.log(outbox.run())
    assert why(cli)["state"] == "dry_run"
    assert "nothing was sent" in cli("status", "--why", "k1").out


def test_a_dead_letter_that_was_sent_again_waits_again(cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    world.post_elsewhere("Up 3% $AAPL")
    outbox.send(alert("k1"))
    cli.log(outbox.run())
    world.clock.forward(60)
    close_gate(cli, "rate_limited", 600)
    outbox.send(alert("k1"))
    cli.log(outbox.run())
    assert (why(cli)["state"], waits(cli)) == ("waiting", [("rate_limited", 600)])


def test_of_two_messages_with_one_key_the_later_outcome_counts_even_before_the_log_has_it(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    close_gate(cli, "rate_limited", 10)
    outbox.send(alert("k1"))
    cli.log(outbox.run())
    world.clock.forward(10)
    world.post_elsewhere("Up 3% $AAPL")
    outbox.send(alert("k1"))
    outbox.run()
    assert why(cli)["state"] == "rejected"


def test_another_message_that_misused_the_key_does_not_hide_the_one_that_waits(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    world.stand_in.fail("5xx-before")
    outbox.send(alert("k1"))
    cli.log(outbox.run())
    world.clock.forward(1)
    outbox.send(alert("k1", "another text $MSFT"))
    cli.log(outbox.run())
    assert (why(cli)["text"], waits(cli)) == ("Up 3% $AAPL", [("back_off", outbox.first_back_off - 1)])


def test_a_message_that_was_given_up_is_rejected_whatever_the_ledger_was_left_with(
    cli: CliHarness, world: PostingWorld, leftovers: Leftovers
) -> None:
    world.stand_in.fail("5xx-before")
    leftovers.send(alert("k1"))
    world.receive_times(leftovers.queue, 199)
    cli.log(leftovers.run())
    assert world.status("k1") == "unknown"
    assert (why(cli)["state"], why(cli)["reason"][:8]) == ("rejected", "given up")


# What is not known, or not readable


def test_a_key_that_was_never_seen_is_said_to_be_unknown_with_an_exit_code(cli: CliHarness) -> None:
    result = cli("status", "--why", "k1")
    assert result.code == FAILED
    assert "nothing is known of this key: no message with it was received so far" in " ".join(result.out.split())
    assert json.loads(cli("status", "--why", "k1", "--json").out)["state"] == "unknown"


@pytest.mark.parametrize("key", [f"k{OVERRIDE}\x1b[2J", "cut \ud83d", "", "k" * 3000])
def test_a_hostile_key_is_shown_escaped_and_does_no_harm(cli: CliHarness, key: str) -> None:
    result = cli("status", "--why", key)
    assert (result.code in {FAILED, NO_AWS}, "Traceback" in result.err) == (True, False)
    assert not control_characters(result.out + result.err)


def test_hostile_words_in_the_log_are_shown_escaped(cli: CliHarness, outbox: Outbox) -> None:
    cli.world.stand_in.fail("5xx-before")
    outbox.send(alert("k1"))
    run = outbox.run()
    for line in run.deliveries:
        line |= {"reason": f"a {OVERRIDE}", "text": f"\x1b[2J{OVERRIDE}"}
    cli.log(run)
    shown = cli("status", "--why", "k1").out
    assert (control_characters(shown), shown.count(SHOWN)) == (set(), 2)


@pytest.mark.parametrize(
    "fields",
    [
        {"holds": "soon"},
        {"holds": [1, {}]},
        {"holds": [{"until": 10**30}]},
        {"retry_at": "soon", "expires_at": float("nan")},
    ],
)
def test_what_cannot_be_read_in_a_log_line_is_left_out(
    cli: CliHarness, outbox: Outbox, fields: dict[str, object]
) -> None:
    cli.world.stand_in.fail("5xx-before")
    outbox.send(alert("k1"))
    run = outbox.run()
    for line in run.deliveries:
        line.update(fields)
    cli.log(run)
    assert why(cli)["expires_at"] is None


def test_the_screen_fits_80_columns(cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    cli.patch.setenv("COLUMNS", "80")
    world.pause(who={"S": "Ann"}, why={"S": "earnings " * 30})
    outbox.send(alert("k1", "Up 3% on twice the usual volume, and more to come " * 4 + "$AAPL"))
    cli.log(outbox.run())
    assert max(map(len, cli("status", "--why", "k1").lines)) <= 80


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ("BatchGetItem", "AWS does not allow you to call BatchGetItem"),
        ("FilterLogEvents", "AWS does not allow you to call FilterLogEvents"),
    ],
)
def test_what_may_not_be_read_is_named(cli: CliHarness, operation: str, words: str) -> None:
    cli.plan(operation, "AccessDeniedException")
    result = cli("status", "--why", "k1")
    assert (result.code, words in result.err) == (NO_AWS, True)


def test_a_ledger_that_is_too_busy_is_named(cli: CliHarness) -> None:
    cli.plan("BatchGetItem", lambda sent: {"Responses": {TABLE: []}, "UnprocessedKeys": sent["RequestItems"]})
    assert "The ledger is too busy. Try again." in cli("status", "--why", "k1").err


def test_without_posting_there_is_nothing_to_wait_for(cli: CliHarness) -> None:
    del cli.outputs["PostMessagesFunctionName"]
    assert cli("status", "--why", "k1").code == NO_STACK


def test_a_message_is_not_watched(cli: CliHarness) -> None:
    result = cli("status", "--why", "k1", "--watch")
    assert (result.code, "--watch and --why cannot be combined" in result.err) == (USAGE, True)
