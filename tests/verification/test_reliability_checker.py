"""The checker of a run under fire: whatever breaks a promise is found, and what keeps it is not."""

from dataclasses import replace

import pytest

from verification.reliability import backups_under_fire, posting_under_fire
from verification.reliability.checker import (
    OPERATOR_MUST_CHECK,
    Alert,
    ArchiveChecker,
    End,
    Entry,
    PauseCheck,
    PostingChecker,
)

GOOD = Alert("$AAPL rises", '{"body": "$AAPL rises", "key": "a"}', "a")
BAD = Alert("", '{"body": "", "key": "b"}', "b", refusal="body: is empty")
LOOK = f"the stream does not reach back - {OPERATOR_MUST_CHECK}: look on StockTwits"


def checker(alert=GOOD, *, ledger=(), dead=(), **seen):
    """The checker of one alert, by default of a good one that nobody has seen again."""
    nothing = PostingChecker(
        alerts=[alert],
        posts={},
        ledger={alert.body: list(ledger)},
        dead={alert.body: list(dead)} if dead else {},
        unsure=frozenset(),
        interrupted=0,
        waiting={},
    )
    return replace(nothing, **seen)


POSTED = checker(posts={7: GOOD.text}, ledger=[Entry("posted", 7)])


def end(found):
    (only,) = found.ends()
    return only


def test_a_good_alert_that_stands_once_and_is_known_as_this_post_is_posted():
    assert (end(POSTED), POSTED.violations()) == (End.POSTED, [])


def test_an_alert_that_is_nowhere_is_lost():
    found = checker(ledger=[Entry("released")])
    assert end(found) is End.LOST
    assert found.violations()[0].startswith("lost: ")


def test_a_bad_alert_that_is_nowhere_is_lost_too():
    assert end(checker(BAD)) is End.LOST


@pytest.mark.parametrize("dead", [(), (LOOK,)], ids=["posted", "left to a person"])
def test_a_text_that_stands_twice_is_found_whatever_else_is_said_of_it(dead):
    found = checker(posts={7: GOOD.text, 8: GOOD.text}, ledger=[Entry("posted", 8)], dead=dead, unsure=[GOOD.text])
    assert end(found) is End.TWICE
    assert found.violations()[0].startswith("twice: ")


@pytest.mark.parametrize("dead", [("body: is empty",), ("the message is not valid: body: is empty",) * 2])
def test_a_bad_alert_is_refused_for_its_own_reason_once_or_again_after_a_kill(dead):
    found = checker(BAD, dead=dead)
    assert (end(found), found.violations()) == (End.REFUSED, [])


WRONG = {
    "refused for another reason": checker(BAD, dead=["body: is empty", "it expired"]),
    "a good one refused": checker(dead=["body: is empty"]),
    "a good one posted and refused": replace(POSTED, dead={GOOD.body: ["body: is empty"]}),
    "a bad one posted": checker(replace(BAD, text="x"), posts={7: "x"}, dead=["body: is empty"]),
    "a bad one posted, and left to a person": checker(replace(BAD, text="x"), posts={7: "x"}, dead=[LOOK]),
    "posted, but not in the ledger": replace(POSTED, ledger={}),
    "posted, but open in the ledger": replace(POSTED, ledger={GOOD.body: [Entry("claimed")]}),
    "the ledger knows another post": replace(POSTED, ledger={GOOD.body: [Entry("posted", 8)]}),
    "left to a person, and refused": checker(dead=[LOOK, "body: is empty"], unsure=[GOOD.text]),
    "without a reason": checker(dead=[""]),
}


@pytest.mark.parametrize("found", WRONG.values(), ids=WRONG)
def test_every_other_end_is_wrong(found):
    assert end(found) is End.WRONG
    assert found.violations()[0].startswith("wrong: ")


@pytest.mark.parametrize("posts", [{}, {7: GOOD.text}], ids=["not there", "there"])
def test_an_alert_whose_answer_was_lost_may_be_left_to_a_person_whether_it_stands_or_not(posts):
    found = checker(posts=posts, ledger=[Entry("rejected")], dead=[LOOK], unsure=[GOOD.text])
    assert (end(found), found.violations()) == (End.LEFT_TO_AN_OPERATOR, [])
    assert (found.left_but_posted(), found.interrupted_without_fault()) == (len(posts), 0)


def test_a_bad_alert_that_a_kill_met_may_be_left_to_a_person():
    found = checker(BAD, dead=["body: is empty", LOOK], interrupted=1)
    assert (end(found), found.violations()) == (End.LEFT_TO_AN_OPERATOR, [])


def test_an_alert_is_left_to_a_person_without_a_broken_request_only_where_kills_account_for_it():
    found = checker(dead=[LOOK], interrupted=1)
    assert (found.interrupted_without_fault(), found.violations()) == (1, [])
    assert len(replace(found, interrupted=0).violations()) == 1


def test_a_post_that_nobody_published_is_found():
    assert replace(POSTED, posts={7: GOOD.text, 8: "$MSFT"}).violations() == ["posted, but never published: $MSFT"]


def test_a_message_that_is_left_is_found():
    found = replace(POSTED, waiting={"OutboxQueue": 0, "LeftoversQueue": 2})
    assert found.violations() == ["2 messages are left in LeftoversQueue"]


@pytest.mark.parametrize(
    ("posts", "last", "broken"),
    [((), 0, 0), ((9, 21), 0, 0), ((11, 12), 2, 0), ((13,), 3, 1), ((19, 14, 11), 9, 2)],
)
def test_a_post_in_a_pause_is_found_when_it_comes_later_than_is_allowed(posts, last, broken):
    pause_check = PauseCheck(10, 20, posts)
    assert (pause_check.last, pause_check.broken(2)) == (last, broken)


WHOLE = ArchiveChecker(expected={"a.gz": "1", "b.gz": "2"}, stored={"a.gz": "1", "b.gz": "2"}, uploads=(), kills=())


def test_an_archive_that_is_as_firestream_is_gives_no_complaint():
    assert WHOLE.violations() == []


@pytest.mark.parametrize(
    ("change", "violation"),
    [
        ({"stored": {"a.gz": "1"}}, "not in the archive: b.gz"),
        ({"stored": {"a.gz": "1", "b.gz": "0"}}, "not what Firestream has: b.gz"),
        ({"stored": {"a.gz": "1", "b.gz": "2", "c.gz": "3"}}, "in the archive, but nobody asked for it: c.gz"),
        ({"waiting": {"BackupRequestsQueue": 1}}, "1 messages are left in BackupRequestsQueue"),
        ({"uploads": [("a.gz", 50.0)]}, "an upload was left dangling by a worker that lives: a.gz"),
    ],
    ids=["missing", "different", "strange", "waiting", "dangling"],
)
def test_an_archive_that_is_not_is_found(change, violation):
    assert replace(WHOLE, **change).violations() == [violation]


@pytest.mark.parametrize(
    ("uploads", "kills", "dangling"),
    [
        ([("a", 50.0)], [60.0], []),
        ([("a", 60.9)], [60.0], []),  # the emulator's seconds have no fractions
        ([("a", 61.1)], [60.0], ["a"]),
        ([("a", 50.0), ("b", 55.0)], [60.0], ["a"]),
        ([("a", 50.0), ("b", 55.0)], [52.0, 60.0], []),
        ([("a", 50.0), ("b", 55.0)], [51.0, 53.0], ["b"]),
        ([("b", 55.0), ("a", 50.0)], [60.0, 70.0], []),
    ],
)
def test_each_kill_explains_one_upload_that_was_begun_before_it(uploads, kills, dangling):
    assert replace(WHOLE, uploads=uploads, kills=kills).dangling() == dangling


def test_what_was_lost_and_what_was_sent_into_a_pause_stands_on_the_page():
    run = posting_under_fire.Run(
        posting_under_fire.FULL, [GOOD], pause_check=PauseCheck(10, 20, (15, 16)), checker=checker()
    )
    text = posting_under_fire._page_text(run)
    assert "| **lost** | 1 |" in text
    assert "| posts begun during the operator's pause | 2 |" in text
    assert run.violations()[-1] == "2 posts were sent while the operator's pause was in force"


def test_what_is_missing_and_what_is_dangling_stands_on_the_page():
    found = replace(WHOLE, stored={"a.gz": "0"}, uploads=[("a.gz", 50.0)])
    text = backups_under_fire._page_text(backups_under_fire.Run(backups_under_fire.FULL, checker=found))
    for row in (
        "**missing** | 1",
        "**in the archive, but different** | 1",
        "**unfinished uploads of workers that live** | 1",
    ):
        assert f"| {row} |" in text
