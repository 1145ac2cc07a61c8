"""The webhook's handler: from a request to a post, with AWS in between; what it answers, logs and counts."""

import json
from typing import Any

import pytest
from relay.aws import WAITED_FOR_CONFIG
from relay.posting.webhook.body_template import Template

from tests.factories import api_event
from tests.worlds.posting import PostingWorld
from tests.worlds.runs import Run
from tests.worlds.webhook import PARAMETER, WebhookWorld, answered

HERE = "52.89.214.238"


def logged(run: Run) -> dict[str, Any]:
    """The log line of the request."""
    (line,) = (line for line in run.lines if line["message"] == "alert")
    return line


def counted(run: Run) -> list[tuple[str, dict[str, str]]]:
    """Each metric with its dimensions."""
    found = []
    for each in run.metrics:
        (described,) = each["_aws"]["CloudWatchMetrics"]
        ((dimensions,), (metric,)) = described["Dimensions"], described["Metrics"]
        assert (described["Namespace"], each[metric["Name"]]) == ("StockTwitsRelay", [1.0])
        found.append((metric["Name"], {name: each[name] for name in dimensions}))
    return found


def by_source(name: str) -> tuple[str, dict[str, str]]:
    return name, {"service": "receive_alerts", "source": "scanner"}


OF_THE_STACK = {"stack": "stocktwits-relay"}


# From a request to a post


@pytest.mark.any_aws
def test_an_alert_becomes_a_post_and_its_sender_and_the_ledger_know_it_by_the_same_key(webhook: WebhookWorld) -> None:
    webhook.add("scanner")
    run = webhook.receive("scanner", "Up 3% on volume $AAPL")
    status, ids = answered(run)
    assert status == 202
    assert webhook.posts() == ["Up 3% on volume $AAPL"]
    assert webhook.posting.status(ids["key"]) == "posted"


SLOW = [{"MAX_POSTS_PER_HOUR": 1, "POST_BURST": 1}, {"MAX_POSTS_PER_DAY": 1}, {"SYMBOL_COOLDOWN_MINUTES": 120}]


@pytest.mark.parametrize("settings", SLOW, ids=str)
@pytest.mark.parametrize(("options", "posts"), [({}, 2), ({"expires_in": 1800}, 1)], ids=["for ever", "half an hour"])
def test_a_repetition_in_the_next_half_hour_that_has_to_wait_is_posted_again_unless_it_expires(
    webhook: WebhookWorld, settings: dict[str, int], options: dict[str, int], posts: int
) -> None:
    world = webhook.posting
    world.settings(**settings)
    webhook.add("scanner", **options)
    world.clock.forward(1799 - world.clock() % 1800)
    keys = []
    for _ in range(2):
        keys.append(answered(webhook.receive("scanner"))[1]["key"])
        world.functions["outbox"].run()
        world.clock.forward(2)
    for _ in range(200):
        world.functions["outbox"].poll()
        world.functions["leftovers"].run()
        world.clock.forward(900)
    assert (len(set(keys)), len(world.posted)) == (2, posts)
    assert (world.count(world.outbox), world.count(world.leftovers), world.count(world.dead)) == (0, 0, 2 - posts)


@pytest.mark.any_aws
def test_a_template_makes_the_post_of_a_fixed_payload(webhook: WebhookWorld) -> None:
    maps = {"side": {"buy": "bullish"}}
    template = Template(body="Up {change}% ${symbol}", sentiment="{side}", key="{id}", maps=maps)
    webhook.add("scanner", template=template, expires_in=1800)
    payload = '{"change": 3.10, "symbol": "AAPL", "side": "buy", "id": 7}'
    assert answered(webhook.receive("scanner", payload))[1]["key"] == "7"
    assert webhook.posts() == ["Up 3.10% $AAPL"]
    (post,) = webhook.posting.stand_in.posts
    assert post.sentiment == "bullish"


@pytest.mark.any_aws
def test_a_repetition_within_the_half_hour_is_one_post(webhook: WebhookWorld) -> None:
    webhook.add("scanner")
    first, second = (answered(webhook.receive("scanner"))[1] for _ in range(2))
    assert first["key"] == second["key"]
    assert first["id"] != second["id"]
    assert webhook.posts() == ["Up $AAPL"]


@pytest.mark.any_aws
def test_a_repetition_in_the_next_half_hour_ends_as_stocktwits_duplicate_in_dead_letters(webhook: WebhookWorld) -> None:
    webhook.add("scanner")
    webhook.posting.clock.forward(1799)  # the half hour of the clock ends in a second
    first = answered(webhook.receive("scanner"))[1]["key"]
    webhook.posts()
    webhook.posting.clock.forward(2)
    assert answered(webhook.receive("scanner"))[1]["key"] != first
    assert webhook.posts() == ["Up $AAPL"]
    ((body, attributes),) = webhook.posting.dead_letters()
    assert body == "Up $AAPL"
    assert "duplicate" in attributes["RejectReason"]


@pytest.mark.any_aws
def test_two_sources_with_the_same_alert_are_two_messages(webhook: WebhookWorld) -> None:
    keys = set()
    for name in ("scanner", "another"):
        webhook.add(name)
        webhook.posting.clock.forward(5)
        keys.add(answered(webhook.receive(name))[1]["key"])
    assert len(keys) == 2


# Who gets in


def test_a_source_that_is_added_gets_in_within_seconds_and_a_revoked_one_is_out_within_a_minute(
    webhook: WebhookWorld,
) -> None:
    assert answered(webhook.invoke(api_event("scanner", "guess")))[0] == 404
    webhook.add("scanner")
    webhook.posting.clock.forward(5)
    assert answered(webhook.receive("scanner"))[0] == 202
    webhook.revoke("scanner")
    webhook.posting.clock.forward(60)
    assert answered(webhook.receive("scanner"))[0] == 404


def test_a_wrong_secret_costs_one_read_of_the_sources_and_nothing_in_the_outbox(webhook: WebhookWorld) -> None:
    webhook.add("scanner")
    for number in range(100):
        run = webhook.receive("scanner", secret=f"wrong-{number}")
        assert answered(run) == (404, {"message": "Not Found"})
    assert [operation for operation, _ in webhook.calls] == ["GetParameter"]
    assert webhook.posting.count(webhook.posting.outbox) == 0


def test_only_its_addresses_get_in(webhook: WebhookWorld) -> None:
    webhook.add("scanner", addresses=["52.89.214.238", "192.0.2.0/24"])
    for address, status in (("52.89.214.238", 202), ("192.0.2.77", 202), ("52.89.214.239", 404)):
        assert answered(webhook.receive("scanner", address=address))[0] == status


# When AWS fails


@pytest.mark.parametrize("failure", ["ServiceUnavailable", "AccessDenied", "QueueDoesNotExist"])
def test_when_sqs_does_not_take_it_the_sender_is_asked_to_come_back_after_one_attempt(
    webhook: WebhookWorld, failure: str
) -> None:
    webhook.add("scanner")
    webhook.posting.aws.answer("SendMessage", failure)
    run = webhook.receive("scanner")
    assert answered(run) == (503, {"message": "Service Unavailable"})
    assert run.answer["headers"]["Retry-After"] == "5"
    assert counted(run) == [("AlertsNotTaken", OF_THE_STACK)]
    line = logged(run)
    assert (line["level"], line["source"], line["text"]) == ("ERROR", "scanner", "Up $AAPL")
    assert line["reason"] == f"SQS did not take the alert ({failure})"
    assert answered(webhook.receive("scanner"))[0] == 202


@pytest.mark.moto
@pytest.mark.any_aws
def test_an_alert_whose_answer_from_sqs_is_lost_is_one_post_when_its_sender_repeats_it(webhook: WebhookWorld) -> None:
    webhook.add("scanner")
    webhook.posting.aws.lose_answer("SendMessage")
    assert answered(webhook.receive("scanner"))[0] == 503
    assert answered(webhook.receive("scanner"))[0] == 202
    assert webhook.posting.count(webhook.posting.outbox) == 2
    assert webhook.posts() == ["Up $AAPL"]


def test_what_sqs_refuses_for_its_characters_is_told_to_its_sender(webhook: WebhookWorld) -> None:
    webhook.add("scanner")
    webhook.posting.aws.answer("SendMessage", "InvalidMessageContents")
    status, content = answered(webhook.receive("scanner"))
    assert (status, "characters that SQS does not accept" in content["message"]) == (400, True)


def test_while_ssm_is_down_a_known_source_still_gets_in_and_a_new_container_asks_to_come_back(
    webhook: WebhookWorld,
) -> None:
    webhook.add("scanner")
    webhook.receive("scanner")
    webhook.posting.aws.answer("GetParameter", "InternalServerError", times=2)
    webhook.posting.clock.forward(60)
    run = webhook.receive("scanner")
    assert answered(run)[0] == 202
    (warning,) = (line for line in run.lines if line["level"] == "WARNING")
    assert "cannot be read (InternalServerError)" in warning["message"]
    webhook.restart()
    run = webhook.receive("scanner")
    assert answered(run)[0] == 503
    assert counted(run) == [("AlertsNotTaken", OF_THE_STACK)]


def test_sources_that_cannot_be_used_are_told_to_the_operator_without_their_content(webhook: WebhookWorld) -> None:
    webhook.secrets["scanner"] = "a-secret-in-broken-json"
    webhook.store('{"scanner": {"secret": "a-secret-in-broken-json"}}')
    run = webhook.receive("scanner")
    assert answered(run) == (503, {"message": "Service Unavailable"})
    assert f"{PARAMETER}, cannot be used" in logged(run)["reason"]
    assert counted(run) == [("AlertsNotTaken", OF_THE_STACK)]
    assert logged(run)["level"] == "ERROR"


# What is logged and counted


def test_an_alert_that_was_taken_is_logged_with_all_that_finds_it_again(webhook: WebhookWorld) -> None:
    webhook.add("scanner")
    run = webhook.receive("scanner", '{"body": "Up $AAPL", "key": "k-1"}')
    line = logged(run)
    assert (line["level"], line["status"], line["source"], line["key"]) == ("INFO", 202, "scanner", "k-1")
    assert (line["message_id"], line["address"]) == (answered(run)[1]["id"], HERE)
    assert (line["reason"], line["text"]) == ("", "")
    assert counted(run) == [by_source("AlertsReceived")]


def test_an_alert_that_was_refused_is_logged_with_its_text_and_sets_off_an_alarm(webhook: WebhookWorld) -> None:
    secret = webhook.add("scanner")
    run = webhook.receive("scanner", json.dumps({"text": "Up $AAPL", "passphrase": secret}))
    line = logged(run)
    assert (line["level"], line["status"], line["source"]) == ("WARNING", 400, "scanner")
    assert line["reason"] == answered(run)[1]["message"]
    assert line["text"] == '{"text": "Up $AAPL", "passphrase": "…"}'
    assert counted(run) == [by_source("AlertsRefused"), ("AlertsRefused", OF_THE_STACK)]


def test_an_empty_request_which_proves_a_secret_sets_off_no_alarm(webhook: WebhookWorld) -> None:
    webhook.add("scanner")
    run = webhook.receive("scanner", "")
    assert answered(run) == (400, {"message": "the message is empty"})
    assert counted(run) == [by_source("AlertsRefused")]
    assert logged(run)["level"] == "INFO"


@pytest.mark.parametrize("source", ["scanner", "nobody", "../token", "%0a", "x" * 5000])
def test_of_a_stranger_the_address_is_logged_and_nothing_else(webhook: WebhookWorld, source: str) -> None:
    webhook.add("scanner")
    run = webhook.receive(source, "What a stranger wrote", "guess")
    line = logged(run)
    assert (line["level"], line["status"], line["address"]) == ("WARNING", 404, HERE)
    assert {line[name] for name in ("source", "key", "message_id", "text")} == {""}
    assert source not in run.output
    assert counted(run) == [("WrongSecrets", {"service": "receive_alerts"})]


def test_an_unexpected_error_is_an_answer_too_and_its_log_has_neither_the_event_nor_its_text(
    webhook: WebhookWorld, world: PostingWorld
) -> None:
    secret = webhook.add("scanner")

    def fail(*_: object) -> None:
        raise ValueError(f"POST /alerts/scanner/{secret}")

    world.patch.setattr("relay.posting.webhook.receiver.compose", fail)
    run = webhook.receive("scanner")
    assert answered(run) == (500, {"message": "Internal Server Error"})
    assert logged(run)["reason"].startswith("ValueError in ")
    assert counted(run) == [("AlertsNotTaken", OF_THE_STACK)]
    assert "/alerts/" not in run.output


@pytest.mark.parametrize("event", [{}, {"pathParameters": None}, api_event("a", "b") | {"headers": None}])
def test_even_an_event_that_is_not_api_gateways_is_answered(webhook: WebhookWorld, event: dict[str, Any]) -> None:
    assert webhook.invoke(event).answer["statusCode"] in {404, 500}


def test_a_missing_setting_is_answered_and_named_in_the_log(webhook: WebhookWorld, world: PostingWorld) -> None:
    webhook.add("scanner")
    world.patch.delenv("WEBHOOK_SOURCES_PARAMETER")
    run = webhook.receive("scanner")
    assert answered(run) == (500, {"message": "Internal Server Error"})
    assert "WEBHOOK_SOURCES_PARAMETER is missing" in logged(run)["reason"]


def test_each_call_is_made_once_and_ends_before_tradingview_gives_up() -> None:
    config: Any = WAITED_FOR_CONFIG
    calls = 2
    assert calls * (config.connect_timeout + config.read_timeout) < 3
    assert config.retries["total_max_attempts"] == 1
