"""The accounts of a run under fire: whatever breaks a promise is found, and what keeps it is not."""

from dataclasses import replace

import pytest

from verification.reliability import backups_under_fire, posting_under_fire
from verification.reliability.checker import (
    A_PERSON_MUST_LOOK,
    Alert,
    ArchiveAccounts,
    End,
    Entry,
    PostingAccounts,
    Silence,
)

GOOD = Alert("$AAPL rises", '{"body": "$AAPL rises", "key": "a"}', "a")
BAD = Alert("", '{"body": "", "key": "b"}', "b", refusal="body: is empty")
LOOK = f"the stream does not reach back - {A_PERSON_MUST_LOOK}: look on StockTwits"


def accounts(alert=GOOD, *, ledger=(), dead=(), **seen):
    """The accounts of one alert, by default of a good one that nobody has seen again."""
    nothing = PostingAccounts(
        alerts=[alert],
        posts={},
        ledger={alert.body: list(ledger)},
        dead={alert.body: list(dead)} if dead else {},
        unsure=frozenset(),
        interrupted=0,
        waiting={},
    )
    return replace(nothing, **seen)


POSTED = accounts(posts={7: GOOD.text}, ledger=[Entry("posted", 7)])


def end(found):
    (only,) = found.ends()
    return only


def test_a_good_alert_that_stands_once_and_is_known_as_this_post_is_posted():
    assert (end(POSTED), POSTED.complaints()) == (End.POSTED, [])


def test_an_alert_that_is_nowhere_is_lost():
    found = accounts(ledger=[Entry("released")])
    assert end(found) is End.LOST
    assert found.complaints()[0].startswith("lost: ")


def test_a_bad_alert_that_is_nowhere_is_lost_too():
    assert end(accounts(BAD)) is End.LOST


@pytest.mark.parametrize("dead", [(), (LOOK,)], ids=["posted", "left to a person"])
def test_a_text_that_stands_twice_is_found_whatever_else_is_said_of_it(dead):
    found = accounts(posts={7: GOOD.text, 8: GOOD.text}, ledger=[Entry("posted", 8)], dead=dead, unsure=[GOOD.text])
    assert end(found) is End.TWICE
    assert found.complaints()[0].startswith("twice: ")


@pytest.mark.parametrize("dead", [("body: is empty",), ("the message is not valid: body: is empty",) * 2])
def test_a_bad_alert_is_refused_for_its_own_reason_once_or_again_after_a_kill(dead):
    found = accounts(BAD, dead=dead)
    assert (end(found), found.complaints()) == (End.REFUSED, [])


WRONG = {
    "refused for another reason": accounts(BAD, dead=["body: is empty", "it expired"]),
    "a good one refused": accounts(dead=["body: is empty"]),
    "a good one posted and refused": replace(POSTED, dead={GOOD.body: ["body: is empty"]}),
    "a bad one posted": accounts(replace(BAD, text="x"), posts={7: "x"}, dead=["body: is empty"]),
    "a bad one posted, and left to a person": accounts(replace(BAD, text="x"), posts={7: "x"}, dead=[LOOK]),
    "posted, but not in the ledger": replace(POSTED, ledger={}),
    "posted, but open in the ledger": replace(POSTED, ledger={GOOD.body: [Entry("claimed")]}),
    "the ledger knows another post": replace(POSTED, ledger={GOOD.body: [Entry("posted", 8)]}),
    "left to a person, and refused": accounts(dead=[LOOK, "body: is empty"], unsure=[GOOD.text]),
    "without a reason": accounts(dead=[""]),
}


@pytest.mark.parametrize("found", WRONG.values(), ids=WRONG)
def test_every_other_end_is_wrong(found):
    assert end(found) is End.WRONG
    assert found.complaints()[0].startswith("wrong: ")


@pytest.mark.parametrize("posts", [{}, {7: GOOD.text}], ids=["not there", "there"])
def test_an_alert_whose_answer_was_lost_may_be_left_to_a_person_whether_it_stands_or_not(posts):
    found = accounts(posts=posts, ledger=[Entry("rejected")], dead=[LOOK], unsure=[GOOD.text])
    assert (end(found), found.complaints()) == (End.LEFT_TO_A_PERSON, [])
    assert (found.left_but_posted(), found.by_chance_cut_off()) == (len(posts), 0)


def test_a_bad_alert_that_a_kill_met_may_be_left_to_a_person():
    found = accounts(BAD, dead=["body: is empty", LOOK], interrupted=1)
    assert (end(found), found.complaints()) == (End.LEFT_TO_A_PERSON, [])


def test_an_alert_is_left_to_a_person_without_a_broken_request_only_where_kills_account_for_it():
    found = accounts(dead=[LOOK], interrupted=1)
    assert (found.by_chance_cut_off(), found.complaints()) == (1, [])
    assert len(replace(found, interrupted=0).complaints()) == 1


def test_a_post_that_nobody_published_is_found():
    assert replace(POSTED, posts={7: GOOD.text, 8: "$MSFT"}).complaints() == ["posted, but never published: $MSFT"]


def test_a_message_that_is_left_is_found():
    found = replace(POSTED, waiting={"OutboxQueue": 0, "LeftoversQueue": 2})
    assert found.complaints() == ["2 messages are left in LeftoversQueue"]


@pytest.mark.parametrize(
    ("posts", "last", "broken"),
    [((), 0, 0), ((9, 21), 0, 0), ((11, 12), 2, 0), ((13,), 3, 1), ((19, 14, 11), 9, 2)],
)
def test_a_post_in_a_pause_is_found_when_it_comes_later_than_is_allowed(posts, last, broken):
    silence = Silence(10, 20, posts)
    assert (silence.last, silence.broken(2)) == (last, broken)


WHOLE = ArchiveAccounts(expected={"a.gz": "1", "b.gz": "2"}, stored={"a.gz": "1", "b.gz": "2"}, uploads=(), kills=())


def test_an_archive_that_is_as_firestream_is_gives_no_complaint():
    assert WHOLE.complaints() == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"stored": {"a.gz": "1"}}, "not in the archive: b.gz"),
        ({"stored": {"a.gz": "1", "b.gz": "0"}}, "not what Firestream has: b.gz"),
        ({"stored": {"a.gz": "1", "b.gz": "2", "c.gz": "3"}}, "in the archive, but nobody asked for it: c.gz"),
        ({"waiting": {"BackupRequestsQueue": 1}}, "1 messages are left in BackupRequestsQueue"),
        ({"uploads": [("a.gz", 50.0)]}, "an upload was left dangling by a worker that lives: a.gz"),
    ],
    ids=["missing", "different", "strange", "waiting", "dangling"],
)
def test_an_archive_that_is_not_is_found(change, complaint):
    assert replace(WHOLE, **change).complaints() == [complaint]


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
        posting_under_fire.FULL, [GOOD], silence=Silence(10, 20, (15, 16)), accounts=accounts()
    )
    text = posting_under_fire._in_words(run)
    assert "| **lost** | 1 |" in text
    assert "| posts begun during the operator's pause | 2 |" in text
    assert run.complaints()[-1] == "2 posts were sent while the operator's pause was in force"


def test_what_is_missing_and_what_is_dangling_stands_on_the_page():
    found = replace(WHOLE, stored={"a.gz": "0"}, uploads=[("a.gz", 50.0)])
    text = backups_under_fire._in_words(backups_under_fire.Run(backups_under_fire.FULL, accounts=found))
    for row in (
        "**missing** | 1",
        "**in the archive, but different** | 1",
        "**unfinished uploads of workers that live** | 1",
    ):
        assert f"| {row} |" in text
