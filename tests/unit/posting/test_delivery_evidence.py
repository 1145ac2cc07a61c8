"""A delivery in doubt: what may be posted already is looked for, and posted again only if it is certainly not there."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from relay.errors import Duplicate, Halt, NoId, Reject, RelayError, Retry, Unknown, Wait
from relay.posting.outcome import Claim, IdTaken, Outcome, Published, Result, Settlement, Status
from relay.posting.reconciliation import NOT_THERE, Lost, Verdict

from tests.factories import NOW, a_pause, an_alert, published
from tests.unit.posting.delivery_helpers import (
    DUPLICATE,
    FOUND,
    FOUND_REMARK,
    LOOK_ON_STOCKTWITS,
    PERHAPS_POSTED,
    FakeDelivery,
    RecordingSlot,
    one_after_the_other,
    raising,
)

NO_ID = NoId("StockTwits answered without a message id", status=200)
REFUSED_AS_DUPLICATE = replace(PERHAPS_POSTED, status=422, ended_at=NOW - 1800)
"""A claim half an hour after StockTwits refused the message as a duplicate."""
WITHOUT_ID_BEFORE = replace(PERHAPS_POSTED, status=200)
"""A claim after StockTwits took the message, but without naming the post."""


# --- Looking before posting again


def test_an_alert_that_may_be_posted_already_is_looked_for_before_it_is_sent() -> None:
    fake = FakeDelivery(PERHAPS_POSTED)
    assert fake.deliver(an_alert("$AAPL up")).result is Result.POSTED
    assert fake.looked_for == [(Lost("m-1", "$AAPL up", NOW - 600), NOW - 300)]
    assert fake.happened == ["claim", "find", "prepare", "send", "settle"]


@pytest.mark.parametrize("certain", [True, False])
def test_an_alert_that_the_stream_shows_is_settled_as_posted_and_not_sent_again(*, certain: bool) -> None:
    fake = FakeDelivery(PERHAPS_POSTED, find=lambda *_: Verdict(3, certain=certain))
    assert fake.deliver() == Outcome(Result.POSTED, "m-1", FOUND_REMARK, published(3))
    assert fake.settlement == Settlement(Status.POSTED, published=published(3), certain=certain, answered=False)
    assert fake.sent == []


def test_an_expired_alert_that_the_stream_shows_is_posted() -> None:
    fake = FakeDelivery(PERHAPS_POSTED, find=lambda *_: FOUND)
    assert fake.deliver(an_alert(expires_at=datetime(2027, 1, 15, 7, tzinfo=UTC))).result is Result.POSTED


def test_a_doubt_about_the_stream_leaves_it_to_an_operator() -> None:
    fake = FakeDelivery(PERHAPS_POSTED, find=raising(Reject("post 3 on the account's stream is much like it")))
    outcome = fake.deliver()
    assert outcome.result is Result.REJECTED
    assert outcome.reason == f"post 3 on the account's stream is much like it - {LOOK_ON_STOCKTWITS}"
    assert (fake.settlement.status, fake.settlement.perhaps_posted) == (Status.REJECTED, True)
    assert fake.sent == []


@pytest.mark.parametrize(
    "error", [Retry("no connection"), Unknown("broken off"), Wait(a_pause()), Halt(a_pause("blocked"), status=403)]
)
def test_nothing_is_sent_while_the_stream_cannot_be_read(error: RelayError) -> None:
    fake = FakeDelivery(PERHAPS_POSTED, find=raising(error))
    outcome = fake.deliver()
    assert (outcome.result, outcome.pause, outcome.sent) == (Result.DEFERRED, error.pause, False)
    assert fake.settlement.status is Status.UNKNOWN
    assert fake.sent == []


@pytest.mark.parametrize("error", [Retry("no connection"), Unknown("500", status=500), Wait(a_pause(), status=429)])
@pytest.mark.parametrize("claim", [PERHAPS_POSTED, WITHOUT_ID_BEFORE, REFUSED_AS_DUPLICATE])
def test_what_stocktwits_answered_for_a_message_is_not_forgotten_for_what_it_answers_for_the_stream(
    claim: Claim, error: RelayError
) -> None:
    fake = FakeDelivery(claim, find=raising(error))
    fake.deliver()
    assert fake.settlement.http_status == claim.status


# --- Whose post is it?


def test_a_post_that_stocktwits_names_but_that_is_another_messages_is_looked_for_at_once() -> None:
    fake = FakeDelivery(settle=one_after_the_other(IdTaken(7), None), find=lambda *_: FOUND)
    outcome = fake.deliver()
    assert outcome == Outcome(Result.POSTED, "m-1", FOUND_REMARK, published(3), sent=True)


def test_a_post_that_stocktwits_names_but_that_is_another_messages_leaves_the_outcome_unknown() -> None:
    settled: list[Settlement] = []

    def settle(_: Claim, settlement: Settlement) -> None:
        settled.append(settlement)
        if settlement.published:
            raise IdTaken(settlement.published.id)

    outcome = FakeDelivery(settle=settle).deliver()
    assert (outcome.result, outcome.published, outcome.no_id, outcome.sent) == (Result.DEFERRED, None, True, True)
    assert outcome.reason == "StockTwits answered with post 7, which is another message's"
    assert [(each.status, each.http_status) for each in settled] == [(Status.POSTED, None), (Status.UNKNOWN, 200)]


def test_a_second_answer_that_names_another_messages_post_leaves_it_to_an_operator() -> None:
    fake = FakeDelivery(WITHOUT_ID_BEFORE, settle=one_after_the_other(IdTaken(3), None))
    outcome = fake.deliver()
    assert (outcome.result, outcome.no_id) == (Result.REJECTED, True)
    assert outcome.reason.endswith(LOOK_ON_STOCKTWITS)


def test_a_post_on_the_stream_that_another_message_took_meanwhile_leaves_the_outcome_unknown() -> None:
    fake = FakeDelivery(REFUSED_AS_DUPLICATE, find=lambda *_: FOUND, settle=one_after_the_other(IdTaken(3), None))
    outcome = fake.deliver()
    assert (outcome.result, outcome.published, outcome.no_id, outcome.sent) == (Result.DEFERRED, None, False, False)
    assert outcome.reason == "post 3 on the account's stream is another message's by now"


def test_the_second_look_of_a_post_that_another_message_took_is_made_with_a_slot() -> None:
    happened: list[str] = []
    fake = FakeDelivery(settle=one_after_the_other(IdTaken(3), None), find=lambda *_: happened.append("find") or FOUND)
    fake.deliver(slot=RecordingSlot(happened))
    assert " ".join(happened) == "( ) ( find )"


def test_a_post_on_the_stream_is_looked_for_again_unless_the_ledger_has_whose_it_is() -> None:
    fake = FakeDelivery(PERHAPS_POSTED, find=lambda *_: FOUND, settle=one_after_the_other(OSError("secret"), None))
    outcome = fake.deliver()
    assert (outcome.result, outcome.sent) == (Result.DEFERRED, False)
    assert outcome.reason == "the account's stream shows it, but the ledger could not be updated: OSError"


def test_other_failures_of_the_ledger_do_not_undo_what_stocktwits_answered() -> None:
    outcome = FakeDelivery(settle=raising(OSError("secret"))).deliver()
    assert (outcome.result, outcome.published) == (Result.POSTED, published(7))


# --- A success without a usable id


def test_a_success_without_an_id_is_posted_if_the_stream_shows_it_at_once() -> None:
    fake = FakeDelivery(send=raising(NO_ID), find=lambda *_: FOUND)
    assert fake.deliver() == Outcome(Result.POSTED, "m-1", FOUND_REMARK, published(3), sent=True)
    assert fake.settlement == Settlement(Status.POSTED, published=published(3), answered=False)


def test_a_success_without_an_id_is_looked_for_after_the_answer() -> None:
    fake = FakeDelivery(send=raising(NO_ID))
    fake.deliver()
    assert fake.looked_for == [(Lost("m-1", "$AAPL up", NOW), NOW)]


def test_a_success_without_an_id_that_the_stream_does_not_show_is_unknown_and_remembered() -> None:
    fake = FakeDelivery(send=raising(NO_ID))
    outcome = fake.deliver()
    assert outcome == Outcome(Result.DEFERRED, "m-1", NO_ID.reason, status=200, sent=True, no_id=True)
    assert fake.settlement == Settlement(Status.UNKNOWN, reason=NO_ID.reason, http_status=200)


@pytest.mark.parametrize(("before", "now"), [(200, 200), (201, 201), (200, 201), (299, 200)])
def test_a_second_success_without_an_id_for_one_message_leaves_it_to_an_operator(before: int, now: int) -> None:
    claim = replace(PERHAPS_POSTED, status=before)
    fake = FakeDelivery(claim, send=raising(NoId("without an id", status=now)))
    outcome = fake.deliver()
    assert (outcome.result, outcome.no_id) == (Result.REJECTED, True)
    assert outcome.reason == (
        "StockTwits answered twice that it is posted, but not as which post, and its stream does not show it - "
        + LOOK_ON_STOCKTWITS
    )
    assert (fake.settlement.status, fake.settlement.perhaps_posted) == (Status.REJECTED, True)


@pytest.mark.parametrize("status", [None, 500, 302])
def test_a_success_without_an_id_after_another_unknown_attempt_is_the_first_one(status: int | None) -> None:
    fake = FakeDelivery(replace(PERHAPS_POSTED, status=status), send=raising(NO_ID))
    assert fake.deliver().result is Result.DEFERRED


def test_a_success_without_an_id_whose_look_finds_a_doubt_is_left_to_an_operator() -> None:
    fake = FakeDelivery(send=raising(NO_ID), find=raising(Reject("a post without a readable id has its text")))
    outcome = fake.deliver()
    assert (outcome.result, outcome.reason.endswith(LOOK_ON_STOCKTWITS)) == (Result.REJECTED, True)


@pytest.mark.parametrize(
    ("find", "error"),
    [
        (raising(Retry("no connection")), Retry("no connection")),
        (raising(Wait(a_pause(), status=429)), Wait(a_pause(), status=429)),
    ],
)
def test_a_success_without_an_id_whose_look_fails_is_unknown_and_remembered(find: Any, error: RelayError) -> None:
    fake = FakeDelivery(send=raising(NO_ID), find=find)
    outcome = fake.deliver()
    assert (outcome.result, outcome.no_id, outcome.retry_at) == (Result.DEFERRED, True, None)
    assert (outcome.pause, outcome.status) == (error.pause, error.status)
    settlement = fake.settlement
    assert (settlement.status, settlement.http_status, settlement.lease_until) == (Status.UNKNOWN, 200, 0)


def test_a_success_without_an_id_that_meets_a_pause_is_unknown_and_remembered() -> None:
    fake = FakeDelivery(send=raising(NO_ID))
    outcome = fake.deliver(pause=one_after_the_other(None, a_pause()))
    assert (outcome.result, outcome.retry_at, fake.looked_for) == (Result.DEFERRED, None, [])
    assert (fake.settlement.status, fake.settlement.http_status) == (Status.UNKNOWN, 200)


# --- A duplicate


def test_a_duplicate_at_the_first_attempt_is_rejected() -> None:
    fake = FakeDelivery(send=raising(DUPLICATE))
    outcome = fake.deliver()
    assert (outcome.result, outcome.status, outcome.reason) == (Result.REJECTED, 422, DUPLICATE.reason)
    assert fake.settlement.status is Status.REJECTED
    assert fake.looked_for == []


def test_a_duplicate_after_an_unknown_attempt_is_looked_for_again() -> None:
    fake = FakeDelivery(PERHAPS_POSTED, send=raising(DUPLICATE), find=one_after_the_other(NOT_THERE, FOUND))
    assert fake.deliver() == Outcome(Result.POSTED, "m-1", FOUND_REMARK, published(3), sent=True)
    assert fake.settlement == Settlement(Status.POSTED, published=published(3), answered=False)


def test_a_duplicate_that_the_stream_does_not_show_waits_until_stocktwits_has_forgotten_it() -> None:
    fake = FakeDelivery(PERHAPS_POSTED, send=raising(DUPLICATE))
    reason = (
        "StockTwits refused it as a duplicate, but the account's stream does not show it: it is looked for once more "
        "in 30 minutes"
    )
    assert fake.deliver() == Outcome(Result.DEFERRED, "m-1", reason, status=422, retry_at=NOW + 1800, sent=True)
    assert fake.settlement == Settlement(Status.UNKNOWN, reason=reason, http_status=422, lease_until=NOW + 1800)


@pytest.mark.parametrize(
    "error", [Retry("no connection"), Unknown("500", status=500), Wait(a_pause(), status=429), Halt(a_pause("blocked"))]
)
def test_a_duplicate_whose_second_look_fails_is_looked_for_soon_and_not_forgotten(error: RelayError) -> None:
    fake = FakeDelivery(PERHAPS_POSTED, send=raising(DUPLICATE), find=one_after_the_other(NOT_THERE, error))
    outcome = fake.deliver()
    assert (outcome.result, outcome.retry_at, outcome.sent) == (Result.DEFERRED, None, True)
    assert (outcome.pause, outcome.status) == (error.pause, error.status)
    settlement = fake.settlement
    assert (settlement.status, settlement.http_status, settlement.lease_until) == (Status.UNKNOWN, 422, 0)
    assert fake.stops == ([error.pause] if error.pause else [])


def test_a_duplicate_that_meets_a_pause_is_looked_for_after_it_and_not_forgotten() -> None:
    fake = FakeDelivery(PERHAPS_POSTED, send=raising(DUPLICATE))
    outcome = fake.deliver(pause=one_after_the_other(None, None, a_pause(seconds=7200)))
    assert (outcome.result, outcome.retry_at, len(fake.looked_for)) == (Result.DEFERRED, None, 1)
    settlement = fake.settlement
    assert (settlement.status, settlement.http_status, settlement.lease_until) == (Status.UNKNOWN, 422, 0)


def test_a_duplicate_that_is_looked_for_within_half_an_hour_waits_and_is_not_posted_again() -> None:
    fake = FakeDelivery(replace(REFUSED_AS_DUPLICATE, ended_at=NOW - 1799))
    outcome = fake.deliver()
    assert (outcome.result, outcome.retry_at, outcome.sent) == (Result.DEFERRED, NOW + 1800, False)
    settlement = fake.settlement
    assert (settlement.status, settlement.http_status, settlement.lease_until) == (Status.UNKNOWN, 422, NOW + 1800)
    assert fake.sent == []


def test_a_duplicate_whose_second_look_finds_a_doubt_is_left_to_an_operator() -> None:
    looks = one_after_the_other(NOT_THERE, Reject("post 3 on the account's stream is much like it"))
    outcome = FakeDelivery(PERHAPS_POSTED, send=raising(DUPLICATE), find=looks).deliver()
    assert (outcome.result, outcome.reason.endswith(LOOK_ON_STOCKTWITS)) == (Result.REJECTED, True)


def test_a_duplicate_that_is_not_found_half_an_hour_later_is_left_to_an_operator_and_not_posted_again() -> None:
    fake = FakeDelivery(REFUSED_AS_DUPLICATE)
    outcome = fake.deliver()
    assert (outcome.result, outcome.status) == (Result.REJECTED, 422)
    assert outcome.reason == (
        "StockTwits refused it as a duplicate, and half an hour later its stream does not show it either - "
        + LOOK_ON_STOCKTWITS
    )
    assert (fake.settlement.status, fake.settlement.perhaps_posted) == (Status.REJECTED, True)
    assert fake.sent == []


def test_a_duplicate_that_is_found_half_an_hour_later_is_posted() -> None:
    fake = FakeDelivery(REFUSED_AS_DUPLICATE, find=lambda *_: FOUND)
    assert fake.deliver() == Outcome(Result.POSTED, "m-1", FOUND_REMARK, published(3))


def test_a_duplicate_that_meets_a_pause_half_an_hour_later_is_not_forgotten() -> None:
    fake = FakeDelivery(REFUSED_AS_DUPLICATE)
    assert fake.deliver(pause=a_pause).tried is False
    assert fake.settlement == Settlement(Status.UNKNOWN, http_status=422, untried=1)


# --- What StockTwits shows


@pytest.mark.parametrize("altered", [True, False])
def test_a_posts_remark_and_altered_text_are_part_of_the_outcome(*, altered: bool) -> None:
    post = Published(7, "https://stocktwits.com/relay_demo/message/7", "StockTwits shows something else", altered)
    fake = FakeDelivery(send=lambda *_: post)
    outcome = fake.deliver()
    assert (outcome.result, outcome.reason) == (Result.POSTED, "StockTwits shows something else")
    assert outcome.published
    assert outcome.published.text_altered is altered


def test_a_remark_does_not_hide_that_the_ledger_could_not_be_updated() -> None:
    post = replace(published(7), remark="StockTwits shows it without its chart")
    outcome = FakeDelivery(send=lambda *_: post, settle=raising(OSError("secret"))).deliver()
    assert outcome.reason == ("StockTwits shows it without its chart (the ledger could not be updated: OSError)")


def test_a_found_post_whose_page_cannot_be_named_is_looked_for_again() -> None:
    fake = FakeDelivery(PERHAPS_POSTED, find=lambda *_: FOUND, page=raising(Retry("the token could not be read")))
    assert fake.deliver().result is Result.DEFERRED
    assert fake.settlement.status is Status.UNKNOWN


ANSWERS: list[Any] = [NO_ID, Duplicate("again", status=422)]


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_look_after_an_answer_is_made_within_the_same_slot(answer: RelayError) -> None:
    fake = FakeDelivery(PERHAPS_POSTED, send=raising(answer))
    fake.deliver(slot=RecordingSlot(fake.happened))
    assert [each for each in fake.happened if each != "prepare"] == [
        *("claim", "(", "find", ")", "(", "find"),
        *(("settle", ")") if isinstance(answer, Duplicate) else (")", "settle")),
    ]
