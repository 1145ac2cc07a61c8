"""StockTwits answers as nobody documented: never twice, never lost, never stuck."""

import hashlib
import json

import pytest
from relay.posting.backoff import BEHIND_OTHERS_SECONDS, OUTBOX_RECEIVES
from relay.posting.delivery import PERHAPS_POSTED
from relay.posting.stocktwits import TOKEN_REFUSED_SECONDS

from tests.worlds.functions import Function
from tests.worlds.posting import CHARTS, TABLE, PostingWorld
from tests.worlds.runs import Run

PNG = b"\x89PNG\r\n\x1a\npixels"


def message(body: str, **fields: object) -> str:
    return json.dumps({"body": body, **fields})


def later(world: PostingWorld, function: Function, seconds: float = 900) -> Run:
    world.clock.forward(seconds)
    return function.run()


def reason(world: PostingWorld) -> str:
    """The reason of the only dead letter."""
    found = world.dead_letters()
    assert len(found) == 1, found
    return found[0][1]["RejectReason"]


# Whose post is it?


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("New 8-K $AAPL https://filings.example/1", "New 8-K $AAPL https://filings.example/2"),
        ("https://filings.example/1", "https://filings.example/2"),
        ("\U0001f680 https://filings.example/1", "\U0001f680 https://filings.example/2"),
    ],
)
def test_the_post_of_another_key_is_not_taken_for_one_with_another_link(
    world: PostingWorld, outbox: Function, first: str, second: str
) -> None:
    outbox.send(message(first, key="f-1"))
    assert outbox.run().outcomes == ["posted"]
    world.clock.forward(5)
    outbox.send(message(second, key="f-2"))
    world.stand_in.fail("reset-before")
    assert outbox.run().outcomes == ["deferred"]
    assert later(world, outbox).outcomes == ["posted"]
    assert world.posted == [first, second]


@pytest.mark.parametrize("words", ["New 8-K $AAPL ", ""])
@pytest.mark.parametrize("listed", [True, False])
def test_of_two_lost_answers_to_the_same_words_each_finds_its_own_post_where_links_are_listed(
    world: PostingWorld, outbox: Function, words: str, *, listed: bool
) -> None:
    texts = [f"{words}https://filings.example/{number}" for number in (1, 2)]
    for number, text in enumerate(texts):
        if not listed:
            world.stand_in.fail("links", form="missing")
        world.stand_in.fail("close-after")
        outbox.send(message(text, key=f"f-{number}"))
        outbox.run()
    later(world, outbox)
    assert (world.posted, len(world.publishes)) == (texts, 2)
    if listed:
        owned = [world.item(f"id#{post.id}") for post in world.stand_in.posts]
        assert [(each["key"], each["certain"]) for each in owned] == [("f-0", True), ("f-1", True)]
    elif not words:
        assert all(each[1]["RejectReason"].endswith(PERHAPS_POSTED) for each in world.dead_letters())


def test_an_id_belongs_to_the_key_that_was_posted_with_it(world: PostingWorld, outbox: Function) -> None:
    outbox.send(message("$AAPL one", key="k"))
    outbox.run()
    owner = world.item(f"id#{world.stand_in.posts[0].id}")
    assert (owner["key"], owner["certain"]) == ("k", True)
    assert owner["expires_at"] == world.entry("k")["expires_at"]


def test_an_answer_with_the_id_of_another_keys_post_is_looked_into(world: PostingWorld, outbox: Function) -> None:
    outbox.send("$AAPL one")
    outbox.run()
    outbox.send("$MSFT two")
    world.stand_in.fail("id-of-another")
    run = outbox.run()
    assert run.outcomes == ["posted"] or later(world, outbox).outcomes == ["posted"]
    assert world.posted == ["$AAPL one", "$MSFT two"]


# Is the text what was sent?

ALTERED = ["linkified", "linkified-shortened", "cashtags-upper", "truncated", "note", "emoji-removed"]
SENSITIVE = "see example.com/a $aapl \U0001f680 it goes up and up"


@pytest.mark.parametrize("rendering", ALTERED)
def test_an_altered_post_whose_answer_was_lost_is_left_to_an_operator_at_once(
    world: PostingWorld, outbox: Function, rendering: str
) -> None:
    outbox.send(SENSITIVE)
    world.stand_in.configure(renderings=[rendering])
    world.stand_in.fail("close-after")
    outbox.run()
    assert later(world, outbox, 60).outcomes == ["rejected"]
    assert "on the account's stream is much like it" in reason(world)
    assert reason(world).endswith(PERHAPS_POSTED)
    assert (world.posted, len(world.publishes)) == ([SENSITIVE], 1)


@pytest.mark.parametrize("rendering", ALTERED)
def test_an_altered_text_is_a_metric_and_a_remark(world: PostingWorld, outbox: Function, rendering: str) -> None:
    outbox.send(SENSITIVE)
    world.stand_in.configure(renderings=[rendering])
    run = outbox.run()
    assert (run.outcomes, run.metric("TextAltered")) == (["posted"], 1)
    assert run.reason == "StockTwits shows another text than was sent"


def test_a_shortened_link_is_not_an_alteration(world: PostingWorld, outbox: Function) -> None:
    outbox.send("$AAPL & <3 https://example.com/a")
    run = outbox.run()
    assert (run.outcomes, run.reason, run.metric("TextAltered")) == (["posted"], "", 0)


# An answer that cannot be used


def test_ids_may_be_digits_in_quotes(world: PostingWorld, outbox: Function) -> None:
    (key,) = outbox.send("$AAPL one")
    world.stand_in.fail("id-text")
    assert outbox.run().outcomes == ["posted"]
    assert world.entry(key)["stocktwits_id"] == world.stand_in.posts[0].id


@pytest.mark.parametrize("fault", ["id-missing", "id-odd", "no-id", "not-json"])
def test_a_success_without_a_usable_id_is_looked_into_at_once(
    world: PostingWorld, outbox: Function, fault: str
) -> None:
    outbox.send("$AAPL one")
    world.stand_in.fail(fault)
    assert outbox.run().outcomes == ["posted"]
    assert (len(world.publishes), world.readings) == (1, 1)


def test_a_success_that_the_stream_never_shows_is_posted_twice_at_most_and_left_to_an_operator(
    world: PostingWorld, outbox: Function
) -> None:
    outbox.send("$AAPL one")
    world.stand_in.fail("no-id", times=None, accepted=False)
    outcomes = [outbox.run().outcomes, later(world, outbox).outcomes]
    assert outcomes == [["deferred"], ["rejected"]]
    assert reason(world).endswith(PERHAPS_POSTED)
    assert len(world.publishes) == 2


def test_three_successes_in_a_row_without_an_id_pause_everyone(world: PostingWorld, outbox: Function) -> None:
    outbox.send("$AAPL one", "$MSFT two", "$TSLA three", "$NVDA four")
    world.stand_in.fail("no-id", times=None, accepted=False)
    run = outbox.run()
    assert (world.current_pause() or ("",))[0] == "unexpected_answer"
    assert (run.outcomes, len(world.publishes)) == (["deferred"] * 4, 3)
    assert run.metric("NeedsAPerson") >= 1


def test_ids_that_cannot_be_read_anywhere_are_for_an_operator_and_not_posted_again(
    world: PostingWorld, outbox: Function
) -> None:
    outbox.send("$AAPL one")
    world.stand_in.fail("id-odd", times=None, everywhere=True)
    assert outbox.run().outcomes == ["rejected"]
    assert "a post without a readable id" in reason(world)
    assert (world.posted, len(world.publishes)) == (["$AAPL one"], 1)


def test_a_status_inside_a_success_counts(world: PostingWorld, outbox: Function) -> None:
    outbox.send("$AAPL one")
    world.stand_in.fail("inner-status", status=422)
    assert outbox.run().outcomes == ["rejected"]
    assert "422: Duplicate messages within 30 minutes will not be posted." in reason(world)


@pytest.mark.parametrize("status", [400, 404, 418, 422, 413, 414])
@pytest.mark.parametrize("fault", ["page", "empty", "other-json"])
def test_what_is_not_an_error_as_documented_rejects_nothing(
    world: PostingWorld, outbox: Function, fault: str, status: int
) -> None:
    outbox.send("$AAPL one", "$MSFT two")
    world.stand_in.fail(fault, status=status)
    run = outbox.run()
    assert (run.outcomes, world.dead_letters()) == (["deferred", "deferred"], [])
    assert world.current_pause() == ("unexpected_answer", 300)
    assert run.metric("NeedsAPerson") >= 1
    while outbox.depth():
        later(world, outbox, 450)
    assert sorted(world.posted) == ["$AAPL one", "$MSFT two"]


# One message, or all?

GOOD = ["$MSFT 0", "$MSFT 1", "$MSFT 2"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_that_comes_to_one_message_alone_is_about_that_message(
    world: PostingWorld, leftovers: Function, status: int
) -> None:
    words = "You cannot reply to this message"
    world.stand_in.fail("error", status=status, message=words, text="refused", times=None)
    leftovers.send("$AAPL refused", *GOOD)
    for _ in range(30):
        later(world, leftovers, 60)
    assert sorted(world.posted) == GOOD
    assert words in reason(world)
    assert PERHAPS_POSTED not in reason(world)
    assert world.publishes.count("$AAPL refused") == 2
    assert (leftovers.depth(), world.current_pause()) == (0, None)


def test_a_refused_message_stays_while_nothing_else_is_posted(world: PostingWorld, leftovers: Function) -> None:
    leftovers.send("$AAPL refused")
    world.stand_in.fail("401", times=3)
    outcomes = leftovers.run().outcomes
    for _ in range(3):
        waits = leftovers.visibility_timeouts()[-1]
        assert waits >= TOKEN_REFUSED_SECONDS + BEHIND_OTHERS_SECONDS + leftovers.first_back_off
        outcomes += later(world, leftovers, waits).outcomes
    assert outcomes == ["deferred"] * 3 + ["posted"]
    assert world.dead_letters() == []


def test_bot_protection_that_answers_in_json_is_not_a_refused_token(world: PostingWorld, outbox: Function) -> None:
    outbox.send("$AAPL one")
    world.stand_in.fail("problem")
    outbox.run()
    assert world.current_pause() == ("blocked", 900)


# Late, and lost on the way


def test_a_chart_that_comes_late_is_waited_for(world: PostingWorld, outbox: Function) -> None:
    outbox.send(message("$AAPL one", chart=f"s3://{CHARTS}/late.png"))
    assert outbox.run().outcomes == ["deferred"]
    assert 10 <= outbox.visibility_timeouts()[-1] <= 15
    world.s3.put_object(Bucket=CHARTS, Key="late.png", Body=PNG)
    assert later(world, outbox, 15).outcomes == ["posted"]


def test_a_chart_that_never_comes_is_final_after_the_third_attempt(world: PostingWorld, outbox: Function) -> None:
    (key,) = outbox.send(message("$AAPL one", chart=f"s3://{CHARTS}/none.png"))
    outcomes = [outbox.run().outcomes, later(world, outbox, 15).outcomes]
    assert (outcomes, world.entry(key)["late"]) == ([["deferred"], ["deferred"]], 2)
    assert 40 <= outbox.visibility_timeouts()[-1] <= 51
    assert later(world, outbox, 55).outcomes == ["rejected"]
    assert "there is no object 'none.png'" in reason(world)
    assert (world.entry(key)["attempts"], OUTBOX_RECEIVES) == (3, 3)


@pytest.mark.parametrize("key", ["rising+channel+%24AAPL.png", "rising%20channel%20$AAPL.png"])
def test_a_charts_key_may_be_url_encoded(world: PostingWorld, outbox: Function, key: str) -> None:
    world.s3.put_object(Bucket=CHARTS, Key="rising channel $AAPL.png", Body=PNG)
    outbox.send(message("$AAPL one", chart=f"s3://{CHARTS}/{key}"))
    assert outbox.run().outcomes == ["posted"]


@pytest.mark.parametrize("status", [404, 422])
def test_a_parent_that_is_not_visible_yet_is_waited_for(world: PostingWorld, outbox: Function, status: int) -> None:
    outbox.send(message("$AAPL one", in_reply_to_message_id=7))
    world.stand_in.fail("parent-hidden", status=status, times=2)
    outcomes = [outbox.run().outcomes, later(world, outbox, 15).outcomes, later(world, outbox, 55).outcomes]
    assert outcomes == [["deferred"], ["deferred"], ["posted"]]


def test_a_post_without_its_chart_or_sentiment_is_posted_with_that_remark(
    world: PostingWorld, outbox: Function
) -> None:
    world.s3.put_object(Bucket=CHARTS, Key="c.png", Body=PNG)
    outbox.send(message("$AAPL one", chart=f"s3://{CHARTS}/c.png", sentiment="bullish"))
    world.stand_in.fail("chart-missing")
    world.stand_in.fail("sentiment")
    run = outbox.run()
    assert run.outcomes == ["posted"]
    assert "shows it without its" in run.reason


# Keys


def test_an_envelopes_id_is_the_key_of_what_is_delivered_twice(world: PostingWorld, outbox: Function) -> None:
    event = {"id": "e-1", "detail-type": "alert", "source": "scanner", "detail": {"body": "$AAPL one"}}
    outbox.send(json.dumps(event))
    assert outbox.run().outcomes == ["posted"]
    world.clock.forward(40 * 60)
    outbox.send(json.dumps(event))
    assert outbox.run().outcomes == ["already_posted"]
    assert (world.posted, world.status("e-1")) == (["$AAPL one"], "posted")


@pytest.mark.parametrize("status", ["unknown", "claimed"])
def test_what_version_0_1_left_under_the_sqs_id_goes_on_under_it(
    world: PostingWorld, outbox: Function, status: str
) -> None:
    """The only request to publish is the one that the world made by hand."""
    event = {
        "id": "e-1",
        "detail-type": "alert",
        "source": "scanner",
        "detail": message("$AAPL one", sentiment="bullish"),
    }
    (sqs_id,) = outbox.send(json.dumps(event))
    first_claimed_at = world.clock()
    world.post_elsewhere("$AAPL one")
    left = {
        "pk": {"S": f"post#{sqs_id}"},
        "status": {"S": status},
        "body_sha256": {"S": hashlib.sha256(b"$AAPL one").hexdigest()},
        "message_id": {"S": sqs_id},
        "claim_id": {"S": "of-version-0.1"},
        "first_claimed_at": {"N": str(first_claimed_at)},
        "lease_until": {"N": str(first_claimed_at + 90)},
        "attempts": {"N": "1"},
        "unsettled": {"N": "1"},
    }
    world.dynamodb.put_item(TableName=TABLE, Item=left)
    assert later(world, outbox, 120).outcomes == ["posted"]
    assert (len(world.publishes), world.status(sqs_id), world.entry("e-1")) == (1, "posted", None)


@pytest.mark.parametrize("field", [{"sentiment": "bearish"}, {"in_reply_to_message_id": 7}])
def test_a_key_is_refused_for_the_same_text_with_another_field(
    world: PostingWorld, outbox: Function, field: dict[str, object]
) -> None:
    outbox.send(message("$AAPL one", key="k", sentiment="bullish"))
    outbox.run()
    outbox.send(message("$AAPL one", key="k", **({"sentiment": "bullish"} | field)))
    assert outbox.run().outcomes == ["rejected"]
    assert "its key 'k' was already used for this text with another sentiment, reply or chart" in reason(world)
