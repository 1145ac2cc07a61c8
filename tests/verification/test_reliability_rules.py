"""The checker of the owner's rules in a run under faults: it finds every violation, and nothing else."""

import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from relay.posting import alert, hours
from relay.posting.spacing import cashtags, fingerprint

from verification.reliability import alerts, posting_under_fire
from verification.reliability.checker import Alert, End, PostingChecker
from verification.reliability.rules import Drained, Rules, RulesChecker, pattern, symbols

NOW = 1_800_000_000.0
RULES = Rules(
    default_expiry_minutes=5, alike_minutes=2, symbol_cooldown_minutes=1, shut_after_seconds=30, shut_minutes=2
)
SENT = Alert("Alert 1: sharp rally of $RAA, last 2.00", "a body")
LATER = Alert("Alert 2: slow dip of $RAB", "another body", not_before=NOW + 100)
KEPT = RulesChecker(
    RULES, (NOW, NOW + 120), [SENT, LATER], {SENT.body: NOW, LATER.body: NOW}, [], [], {}, [], grace_seconds=5
)


@pytest.mark.parametrize(("at", "violations"), [(-1.0, 0), (5.0, 0), (6.0, 1), (119.0, 1), (120.0, 0)])
def test_a_post_outside_the_posting_hours_is_found_when_it_comes_later_than_is_allowed(
    at: float, violations: int
) -> None:
    assert len(replace(KEPT, requests=[(NOW + at, SENT.text)]).violations()) == violations


@pytest.mark.parametrize(
    ("drained", "violations"),
    [(Drained(NOW + 1, NOW + 9, 2), 1), (Drained(NOW + 1, NOW + 9, 0), 0), (Drained(NOW - 1, NOW + 9, 2), 0)],
    ids=["received", "nothing received", "begun before"],
)
def test_what_the_drain_receives_outside_the_posting_hours_is_found(drained: Drained, violations: int) -> None:
    assert len(replace(KEPT, drains=[drained]).violations()) == violations


@pytest.mark.parametrize(
    ("text", "seconds", "violations"),
    [
        (SENT.text, 305, []),
        (SENT.text, 306, [f"posted after it had expired: {SENT.text}"]),
        (LATER.text, 404, []),
        (LATER.text, 406, [f"posted after it had expired: {LATER.text}"]),
        (LATER.text, -9, [f"posted before its not_before: {LATER.text}"]),
    ],
)
def test_a_post_before_or_after_its_time_is_found(text: str, seconds: float, violations: list[str]) -> None:
    assert replace(KEPT, requests=[(NOW + seconds, text)]).violations() == violations


@pytest.mark.parametrize(("seconds", "early"), [(299, [SENT.body]), (300, [])])
def test_an_alert_that_expired_before_its_time_is_found(seconds: float, early: list[str]) -> None:
    assert replace(KEPT, expired={SENT.body: NOW + seconds}).expired_early() == early


@pytest.mark.parametrize(
    ("second", "seconds", "violations"),
    [
        ("Alert 9: $RAA rises", 59, ["two posts about $RAA within its time"]),
        ("Alert 9: $RAA rises", 60, []),
        ("Alert 9: $RAC and $RAA rise", 59, ["two posts about $RAA within its time"]),
        (
            "Alert 9: sharp rally of $RAC, last 7.10",
            119,
            ["two posts too soon that are alike: Alert : sharp rally of , last"],
        ),
        ("Alert 9: sharp rally of $RAC, last 7.10", 120, []),
        ("Alert 9: sharp slide of $RAC, last 7.10", 1, []),
    ],
)
def test_two_posts_that_are_too_close_are_found(second: str, seconds: float, violations: list[str]) -> None:
    posts = [(NOW + 500 + seconds, second), (NOW + 500, SENT.text)]
    assert replace(KEPT, posts=posts).violations() == violations


def test_the_checker_and_the_relay_read_the_same_names_in_the_alerts_of_a_run() -> None:
    texts = [alerts.ruled_text(number, random.Random(number)) for number in range(300)]
    assert all(sorted(f"${each}" for each in cashtags(text)) == symbols(text) for text in texts)
    alike = {(fingerprint(text), *pattern(text)) for text in texts}
    assert len(alike) == len({each for each, _ in alike}) == len({each for _, each in alike}) < len(texts)


@pytest.mark.parametrize("hour", range(24))
def test_the_posting_hours_of_a_run_leave_out_its_shut_minutes_and_no_others(hour: int) -> None:
    start = datetime(2026, 11, 26, hour, 59, 10, tzinfo=UTC).timestamp()
    begins, ends = RULES.shut(start)
    assert (begins - start, ends - begins) == (50, 120)
    given = hours.posting_hours(RULES.environment(start)["POSTING_HOURS"])
    shut = {minute for minute in range(-60, 60) if not given.is_open(begins + 60 * minute)}
    assert shut == {0, 1}


def test_some_alerts_have_a_time_of_their_own_and_some_a_high_priority() -> None:
    made = alerts.make(1000, random.Random(1), text=alerts.ruled_text)
    changed = alerts.scheduled(made, random.Random(1), NOW, 60)
    assert len(dict.fromkeys(changed)) == len(dict.fromkeys(made))
    own = {each for each in changed if each.not_before}
    assert len(own) > 10
    for each in own:
        not_before = alert.read(each.body).not_before
        assert not_before
        assert NOW <= not_before.timestamp() == each.not_before <= NOW + 60
    assert sum(alert.read(each.body).priority == "high" for each in changed if not each.refusal) > 20


def a_run(**checked: Any) -> posting_under_fire.Run:
    nothing = PostingChecker([SENT], {}, {}, {}, frozenset(), 0, {})
    return posting_under_fire.Run(
        posting_under_fire.RULED, [SENT], checker=replace(nothing, **checked), rules_checker=KEPT
    )


def test_an_alert_that_expired_to_the_log_is_not_lost_and_one_that_is_nowhere_is() -> None:
    assert a_run(expired={SENT.body}).checker.ends() == {End.EXPIRED: 1}
    assert a_run().checker.ends() == {End.LOST: 1}


def test_an_alert_that_is_posted_or_in_dead_letters_did_not_expire_to_the_log_alone() -> None:
    for found in ({"posts": {7: SENT.text}}, {"dead": {SENT.body: ["it expired at 09:30"]}}):
        assert a_run(expired={SENT.body}, **found).checker.ends() == {End.WRONG: 1}


def test_the_page_names_the_rules_and_what_broke_them() -> None:
    run = a_run(expired={SENT.body})
    run.rules_checker = replace(KEPT, requests=[(NOW + 6, SENT.text)], posts=[(NOW, SENT.text), (NOW, SENT.text)])
    text = posting_under_fire._page_text(run)
    assert "## Posting under faults, with the owner's rules" in text
    for row in (
        "expired in time, to the log alone | 1",
        "**posts outside the posting hours** | 1",
        "**two posts about a symbol within its time** | 1",
        "**two posts that are alike, too soon** | 1",
        "**posts of expired alerts** | 0",
    ):
        assert f"| {row} |" in text
    assert len(run.violations()) == 3


def test_the_page_without_rules_does_not_speak_of_them() -> None:
    plain = replace(a_run(), plan=posting_under_fire.FULL, rules_checker=None)
    assert "rule" not in posting_under_fire._page_text(plain)
