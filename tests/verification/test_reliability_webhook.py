"""The run of the webhook under faults keeps its guarantees, and its checker finds what breaks them."""

from collections import Counter, defaultdict
from dataclasses import replace
from http import HTTPStatus
from itertools import count
from typing import Any

import pytest
from relay.errors import Reject
from relay.posting.webhook import message, receiver, source_parameter
from relay.posting.webhook.outbox import Outbox
from relay.posting.webhook.receiver import Receipt, Receiver
from relay.posting.webhook.sources import Source

from functions.receive_alerts import app
from verification.reliability import costs, webhook
from verification.reliability.webhook import Alert, Arrival, Fate, Plan, Run

SHORT = Plan(seed=3, alerts=150, hours=0.6, wrong_secrets=300)


def test_each_alert_is_posted_once_under_one_key_while_senders_send_again_and_aws_fails() -> None:
    run, _ = webhook.send_again(SHORT)
    assert run.violations() == []
    assert set(run.fates) == set(Fate)
    assert run.posts.total() == 150
    assert max(map(len, run.arrivals.values())) > 1


def test_wrong_secrets_reach_nothing_and_take_a_bounded_number_of_requests_and_no_memory() -> None:
    storm = webhook.storm(SHORT)
    assert list(storm.violations()) == []
    assert 0 < storm.reads <= storm.most_reads < 60


def test_the_bill_counts_as_many_bytes_of_log_as_are_written() -> None:
    _, for_an_alert = webhook.send_again(SHORT)
    for_a_wrong_secret = webhook.storm(SHORT).log_bytes
    others = webhook.OTHER_LOG_BYTES
    assert for_an_alert + others == pytest.approx(costs.WEBHOOK_LOG_BYTES, rel=0.1)
    assert for_a_wrong_secret + others == pytest.approx(costs.WRONG_SECRET_LOG_BYTES, rel=0.1)


# Planted defects

numbers = count()


def always_taken(self: Receiver, request: Any) -> Receipt:
    found = receive(self, request)
    return replace(found, status=202) if found.status == 503 else found


def refused_for_good(self: Outbox, body: str, key: str) -> str:
    raise Reject("SQS did not take it")


def without_its_key(self: Outbox, body: str, key: str) -> str:
    return send(self, body, f"{key}-{next(numbers)}")


receive, send = Receiver.receive, Outbox.send

PLANTED: list[tuple[object, str, object, str]] = [
    (Receiver, "receive", always_taken, "LOST: "),
    (Outbox, "send", without_its_key, "keys, at most"),
    (message, "_made_key", lambda name, payload, now: f"{name}-{now}", "keys, at most"),
    (message, "_made_key", lambda name, payload, now: name, "on StockTwits 0 times"),
    (message, "SAME_SECONDS", 60, "keys, at most"),
]


@pytest.mark.parametrize(("owner", "name", "planted", "words"), PLANTED)
def test_a_planted_defect_of_the_receiver_is_found(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, planted: object, words: str
) -> None:
    monkeypatch.setattr(owner, name, planted)
    run, _ = webhook.send_again(SHORT)
    assert [each for each in run.violations() if words in each]


def anybody(sources: dict[str, Source], name: str, secret: str, address: str) -> Source | None:
    return sources.get(name)


def says_which(self: Receiver, request: Any) -> Receipt:
    return replace(receive(self, request), status=HTTPStatus(404 if request.source == "nobody" else 403))


@pytest.mark.parametrize(
    ("owner", "name", "planted", "words"),
    [
        (receiver, "authenticate", anybody, "are in the Outbox"),
        (Receiver, "receive", says_which, "were answered with"),
        (source_parameter, "REREAD_SECONDS", 0, "requests to SSM"),
    ],
)
def test_a_planted_defect_that_wrong_secrets_meet_is_found(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, planted: object, words: str
) -> None:
    monkeypatch.setattr(owner, name, planted)
    assert [each for each in webhook.storm(SHORT).violations() if words in each]


# The checker

ALERT = Alert(0, "text", "Up $AAPL", "Up $AAPL", has_key=False)
FIRST, AGAIN, LATER = Arrival(10, "Up $AAPL", "one"), Arrival(20, "Up $AAPL", "one"), Arrival(1810, "Up $AAPL", "two")


def a_run(*arrivals: Arrival, posts: int = 1, dead: dict[str, list[str]] | None = None, **more: Any) -> Run:
    run = Run([ALERT], posts=Counter({ALERT.text: posts}), **more)
    run.arrivals[ALERT.text] += arrivals
    run.dead.update(dead or {})
    return run


@pytest.mark.parametrize(
    ("run", "violations"),
    [
        (a_run(FIRST), 0),
        (a_run(FIRST, AGAIN), 0),
        (a_run(FIRST, posts=2), 1),
        (a_run(FIRST, posts=0), 1),
        (a_run(posts=0), 0),
        (a_run(posts=1), 1),
        (a_run(posts=0, answers=defaultdict(list, {ALERT.text: [None, 202]})), 1),
        (a_run(posts=0, answers=defaultdict(list, {ALERT.text: [None, 503]})), 0),
        (a_run(FIRST, LATER, dead={"two": ["a duplicate"]}), 0),
        (a_run(FIRST, LATER, dead={"two": ["a duplicate", "a duplicate"]}), 0),
        (a_run(FIRST, LATER, dead={"one": ["a duplicate"], "two": ["a duplicate"]}), 1),
        (a_run(FIRST, LATER), 1),
        (a_run(FIRST, LATER, dead={"two": ["another reason"]}), 1),
        (a_run(FIRST, replace(AGAIN, key="two"), dead={"two": ["a duplicate"]}), 1),
        (a_run(FIRST, leaks=1), 1),
    ],
)
def test_the_checker_finds_what_breaks_a_guarantee_and_nothing_else(run: Run, violations: int) -> None:
    assert len(run.violations()) == violations


def test_a_secret_in_the_log_is_noticed() -> None:
    services = webhook.Services(1)
    services.log.secrets = ["s3cret"]
    with services.running():
        app.telemetry().logger.info("a line with s3cret in it")
    assert services.log.leaks == 1


def test_the_page_has_the_numbers_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "FULL", SHORT)
    section = webhook.prove()
    assert section.violations == []
    for row in ("| alerts | 150 |", "| posts | 150 |", "| requests with a wrong secret | 300 |"):
        assert row in section.text
