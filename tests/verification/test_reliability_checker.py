"""The checkers of a run of posting under faults: they find every violation of a guarantee, and nothing else."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from relay.posting.delivery import NO_ID_TWICE

from verification.reliability import posting_under_fire
from verification.reliability.checker import (
    KILL,
    OPERATOR_MUST_CHECK,
    PAGES_RAN_OUT,
    Alert,
    End,
    Entry,
    PauseCheck,
    PostingChecker,
)

GOOD = Alert("$AAPL rises", '{"body": "$AAPL rises", "key": "a"}', "a")
BAD = Alert("", '{"body": "", "key": "b"}', "b", refusal="body: is empty")
LOOK = f"the account's stream could not be read back to the first attempt - {OPERATOR_MUST_CHECK}"
REFUSED_TWICE = "StockTwits refused it twice, and took another message in between (404)"


def checker(
    alert: Alert = GOOD, *, ledger: Sequence[Entry] = (), dead: Sequence[str] = (), **seen: Any
) -> PostingChecker:
    """Return a checker of one alert, by default of a valid one that is nowhere."""
    nothing = PostingChecker(
        alerts=[alert],
        posts={},
        ledger={alert.body: list(ledger)},
        dead={alert.body: list(dead)} if dead else {},
        unsure=frozenset(),
        interrupted=0,
        waiting={},
        causes={alert.text: {KILL, PAGES_RAN_OUT}},
    )
    return replace(nothing, **seen)


POSTED = checker(posts={7: GOOD.text}, ledger=[Entry("posted", 7)])


def end(found: PostingChecker) -> End:
    (only,) = found.ends()
    return only


def test_a_valid_alert_that_is_on_stocktwits_once_and_in_the_ledger_is_posted() -> None:
    assert (end(POSTED), POSTED.violations()) == (End.POSTED, [])


def test_an_alert_that_is_nowhere_is_lost() -> None:
    found = checker(ledger=[Entry("released")])
    assert end(found) is End.LOST
    assert found.violations()[0].startswith("lost: ")


def test_an_invalid_alert_that_is_nowhere_is_lost_too() -> None:
    assert end(checker(BAD)) is End.LOST


@pytest.mark.parametrize("dead", [(), (LOOK,)], ids=["posted", "left to an operator"])
def test_a_text_that_is_posted_twice_is_found_whatever_else_is_known(dead: Sequence[str]) -> None:
    found = checker(posts={7: GOOD.text, 8: GOOD.text}, ledger=[Entry("posted", 8)], dead=dead, unsure={GOOD.text})
    assert end(found) is End.TWICE
    assert found.violations()[0].startswith("twice: ")


@pytest.mark.parametrize("dead", [("body: is empty",), ("the message is not valid: body: is empty",) * 2])
def test_an_invalid_alert_is_refused_for_its_own_reason_once_or_again_after_a_kill(dead: Sequence[str]) -> None:
    found = checker(BAD, dead=dead)
    assert (end(found), found.violations()) == (End.REFUSED, [])


WRONG = {
    "refused for another reason": checker(BAD, dead=["body: is empty", "it expired"]),
    "a valid one refused": checker(dead=["body: is empty"]),
    "a valid one posted and refused": replace(POSTED, dead={GOOD.body: ["body: is empty"]}),
    "an invalid one posted": checker(replace(BAD, text="x"), posts={7: "x"}, dead=["body: is empty"]),
    "an invalid one posted, and left to an operator": checker(replace(BAD, text="x"), posts={7: "x"}, dead=[LOOK]),
    "posted, but not in the ledger": replace(POSTED, ledger={}),
    "posted, but open in the ledger": replace(POSTED, ledger={GOOD.body: [Entry("claimed")]}),
    "the ledger has another post": replace(POSTED, ledger={GOOD.body: [Entry("posted", 8)]}),
    "left to an operator, and refused": checker(dead=[LOOK, "body: is empty"], unsure={GOOD.text}),
    "without a reason": checker(dead=[""]),
}


@pytest.mark.parametrize("found", WRONG.values(), ids=WRONG)
def test_every_other_end_is_wrong(found: PostingChecker) -> None:
    assert end(found) is End.WRONG
    assert found.violations()[0].startswith("wrong: ")


@pytest.mark.parametrize("posts", [{}, {7: GOOD.text}], ids=["not there", "there"])
def test_an_alert_whose_answer_was_lost_may_be_left_to_an_operator_posted_or_not(posts: dict[int, str]) -> None:
    found = checker(posts=posts, ledger=[Entry("rejected")], dead=[LOOK], unsure={GOOD.text})
    assert (end(found), found.violations()) == (End.LEFT_TO_AN_OPERATOR, [])
    assert (found.left_but_posted(), found.interrupted_without_fault()) == (len(posts), 0)


def test_an_invalid_alert_that_a_kill_interrupted_may_be_left_to_an_operator() -> None:
    found = checker(BAD, dead=["body: is empty", LOOK], interrupted=1)
    assert (end(found), found.violations()) == (End.LEFT_TO_AN_OPERATOR, [])


def test_an_alert_is_left_to_an_operator_without_a_failed_request_only_after_kills() -> None:
    found = checker(dead=[LOOK], interrupted=1)
    assert (found.interrupted_without_fault(), found.violations()) == (1, [])
    assert len(replace(found, interrupted=0).violations()) == 1


def test_an_alert_may_be_left_to_an_operator_only_for_a_reason_that_stocktwits_was_made_to_cause() -> None:
    found = checker(dead=[f"post 7 is much like it - {OPERATOR_MUST_CHECK}"], unsure={GOOD.text})
    assert found.violations()[0].startswith("left to an operator, although nothing explains it: ")
    explained = replace(found, causes={GOOD.text: {"rendered", "page"}})
    assert explained.violations() == []
    assert explained.reasons(End.LEFT_TO_AN_OPERATOR) == {("is much like it", "rendered"): 1}


def test_an_alert_may_be_refused_only_by_an_answer_that_it_got() -> None:
    found = checker(dead=[REFUSED_TWICE], causes={GOOD.text: {"page"}})
    assert (end(found), found.violations()) == (End.REFUSED_BY_STOCKTWITS, [])
    assert found.reasons(End.REFUSED_BY_STOCKTWITS) == {("took another message in between", "page"): 1}
    assert end(replace(found, causes={GOOD.text: {"rendered"}})) is End.WRONG


def test_an_alert_that_is_refused_for_certain_is_not_posted() -> None:
    assert end(replace(POSTED, dead={GOOD.body: [REFUSED_TWICE]}, causes={GOOD.text: {"page"}})) is End.WRONG


def test_an_alert_that_is_published_again_after_a_refusal_may_be_posted() -> None:
    again = replace(POSTED, dead={GOOD.body: [REFUSED_TWICE]}, causes={GOOD.text: {"page"}}, sent_again={GOOD.body})
    assert (end(again), again.violations()) == (End.POSTED, [])


@pytest.mark.parametrize(
    ("settled", "owners"),
    [({7: ["a", "b"]}, {7: "a"}), ({7: ["a"]}, {7: "b"}), ({7: ["a"]}, {})],
    ids=["two keys", "another's", "nobody's"],
)
def test_a_post_under_another_key_is_found(settled: dict[int, list[str]], owners: dict[int, str]) -> None:
    found = replace(POSTED, settled=settled, owners=owners)
    assert found.violations() == found.under_another_key()
    assert len(found.violations()) == 1


def test_a_post_of_one_key_is_not_under_another_one() -> None:
    assert replace(POSTED, settled={7: ["a"]}, owners={7: "a", 8: "b"}).under_another_key() == []


def test_a_post_that_was_never_published_is_found() -> None:
    assert replace(POSTED, posts={7: GOOD.text, 8: "$MSFT"}).violations() == ["posted, but never published: $MSFT"]


def test_a_message_that_is_left_is_found() -> None:
    found = replace(POSTED, waiting={"OutboxQueue": 0, "LeftoversQueue": 2})
    assert found.violations() == ["2 messages are left in LeftoversQueue"]


@pytest.mark.parametrize(
    ("posts", "last", "late"),
    [((), 0, 0), ((9, 21), 0, 0), ((11, 12), 2, 0), ((13,), 3, 1), ((19, 14, 11), 9, 2)],
)
def test_a_post_in_a_pause_is_found_when_it_comes_later_than_is_allowed(
    posts: Sequence[float], last: float, late: int
) -> None:
    pause_check = PauseCheck(10, 20, posts)
    assert (pause_check.last, pause_check.late(2)) == (last, late)


def test_the_page_shows_what_was_lost_and_what_was_posted_in_a_pause() -> None:
    run = posting_under_fire.Run(
        posting_under_fire.FULL, [GOOD], pause_check=PauseCheck(10, 20, (15, 16)), checker=checker()
    )
    text = posting_under_fire._page_text(run)
    assert "| **lost** | 1 |" in text
    assert "| posts started during the operator's pause | 2 |" in text
    assert run.violations()[-1] == "2 posts were sent while the operator's pause was in force"


def test_the_page_shows_why_alerts_were_left_to_an_operator_or_refused() -> None:
    other = replace(GOOD, text="$MSFT", body="$MSFT")
    found = replace(
        checker(dead=[f"{NO_ID_TWICE} - {OPERATOR_MUST_CHECK}"]),
        alerts=[GOOD, other],
        causes={GOOD.text: {"id-missing"}, other.text: {"empty"}},
    )
    found = replace(found, dead={**found.dead, other.body: [REFUSED_TWICE]})
    run = posting_under_fire.Run(posting_under_fire.CONTRARY, found.alerts, checker=found)
    text = posting_under_fire._page_text(run)
    assert f"| “… {NO_ID_TWICE} …” | `id-missing` | 1 |" in text
    assert "| “… took another message in between …” | `empty` | 1 |" in text
    assert "| refused by StockTwits; see below | 1 |" in text


def test_the_page_of_documented_faults_does_not_speak_of_undocumented_ones() -> None:
    run = posting_under_fire.Run(posting_under_fire.FULL, [GOOD], checker=checker())
    assert "does not document" not in posting_under_fire._page_text(run)
