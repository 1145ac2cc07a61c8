"""One message or all? What StockTwits refuses again, after it took another message in between, is about the message."""

from dataclasses import replace

import pytest
from relay.errors import Halt, Pause, Reject, RelayError, Retry, Unknown, Wait
from relay.posting.outcome import Claim, Result, Settlement, Status

from tests.factories import NOW, a_claim, a_pause
from tests.unit.posting.delivery_helpers import LOOK_ON_STOCKTWITS, PERHAPS_POSTED, FakeDelivery, raising

WORDS = "403: You cannot reply to this message"
REFUSED = Halt(a_pause("token_refused", 300, probe=True), status=403, answer=WORDS)
REFUSED_BEFORE = a_claim(refused_at=NOW - 600)

PAUSES_EVERYONE = [
    REFUSED,
    Halt(a_pause("token_refused", 300, probe=True), status=401, answer="401"),
    Halt(a_pause("blocked", 900, probe=True), status=403, answer="403"),
    Halt(a_pause("unexpected_answer", 300, probe=True), status=400, answer="400"),
    Unknown("redirected", status=302, pause=a_pause("unexpected_answer", 300, probe=True), answer="302"),
]


@pytest.mark.parametrize("error", PAUSES_EVERYONE)
def test_a_first_refusal_that_pauses_everyone_is_remembered_with_its_time(error: RelayError) -> None:
    fake = FakeDelivery(send=raising(error))
    outcome = fake.deliver(posted_at=NOW - 1)
    assert (outcome.result, outcome.pause, fake.stops) == (Result.DEFERRED, error.pause, [error.pause])
    assert fake.settlement.refused_at == NOW


@pytest.mark.parametrize("error", PAUSES_EVERYONE)
def test_a_second_refusal_after_another_message_was_posted_is_about_this_one_and_pauses_nobody(
    error: RelayError,
) -> None:
    fake = FakeDelivery(REFUSED_BEFORE, send=raising(error))
    outcome = fake.deliver(posted_at=NOW - 599)
    assert (outcome.result, outcome.status, outcome.pause) == (Result.REJECTED, error.status, None)
    assert outcome.reason.startswith(
        f"StockTwits refused it twice, and took another message in between ({error.answer})"
    )
    assert fake.stops == []
    assert fake.settlement.status is Status.REJECTED


@pytest.mark.parametrize("posted_at", [0.0, NOW - 601, NOW - 600])
def test_a_second_refusal_before_another_message_was_posted_pauses_everyone_again(posted_at: float) -> None:
    fake = FakeDelivery(REFUSED_BEFORE, send=raising(REFUSED))
    outcome = fake.deliver(posted_at=posted_at)
    assert (outcome.result, outcome.pause, fake.stops) == (Result.DEFERRED, REFUSED.pause, [REFUSED.pause])
    assert fake.settlement == Settlement(Status.RELEASED, refused_at=NOW)


@pytest.mark.parametrize(
    ("error", "in_doubt"), [(REFUSED, False), (PAUSES_EVERYONE[-1], True)], ids=["refused", "redirected"]
)
def test_whoever_redirects_a_message_may_have_taken_it(error: RelayError, in_doubt: bool) -> None:
    fake = FakeDelivery(REFUSED_BEFORE, send=raising(error))
    outcome = fake.deliver(posted_at=NOW)
    assert outcome.reason.endswith(LOOK_ON_STOCKTWITS) is in_doubt
    assert fake.settlement.perhaps_posted is in_doubt


def test_a_second_refusal_after_an_unknown_attempt_leaves_it_to_an_operator() -> None:
    fake = FakeDelivery(replace(PERHAPS_POSTED, refused_at=NOW - 500), send=raising(REFUSED))
    outcome = fake.deliver(posted_at=NOW)
    assert (outcome.result, outcome.reason.endswith(LOOK_ON_STOCKTWITS)) == (Result.REJECTED, True)


@pytest.mark.parametrize(
    "error",
    [
        Wait(a_pause("rate_limited"), status=429),
        Unknown("503", status=503, pause=a_pause("unavailable")),
        Halt(a_pause("token_unreadable", probe=True)),
        Retry("no connection"),
        Unknown("reset"),
    ],
)
@pytest.mark.parametrize("claim", [a_claim(), REFUSED_BEFORE])
def test_what_says_nothing_about_a_message_is_never_held_against_it(claim: Claim, error: RelayError) -> None:
    fake = FakeDelivery(claim, send=raising(error))
    outcome = fake.deliver(posted_at=NOW)
    assert (outcome.result, outcome.pause) == (Result.DEFERRED, error.pause)
    assert fake.settlement.refused_at == claim.refused_at


def test_a_stream_that_is_refused_is_not_held_against_the_message() -> None:
    claim = replace(PERHAPS_POSTED, refused_at=NOW - 600)
    fake = FakeDelivery(claim, find=raising(REFUSED))
    assert fake.deliver(posted_at=NOW).result is Result.DEFERRED
    assert fake.settlement.refused_at == NOW - 600


@pytest.mark.parametrize("pause", [a_pause("operator", None), a_pause("time", 0)])
def test_a_message_left_untried_stays_refused_since_the_same_time(pause: Pause) -> None:
    fake = FakeDelivery(REFUSED_BEFORE)
    assert fake.deliver(pause=lambda: pause).tried is False
    assert fake.settlement.refused_at == NOW - 600


def test_a_message_that_is_posted_at_last_was_not_to_blame() -> None:
    fake = FakeDelivery(REFUSED_BEFORE)
    assert fake.deliver(posted_at=NOW).result is Result.POSTED


def test_a_refusal_of_the_message_itself_needs_no_second_one() -> None:
    fake = FakeDelivery(send=raising(Reject("StockTwits refused it (422: blank)", status=422)))
    assert fake.deliver().result is Result.REJECTED
    assert fake.stops == []


def test_a_rejection_is_final_so_that_whoever_sends_the_message_anew_begins_anew() -> None:
    fake = FakeDelivery(replace(REFUSED_BEFORE, late=2), send=raising(REFUSED))
    fake.deliver(posted_at=NOW)
    assert (fake.settlement.status, fake.settlement.refused_at, fake.settlement.late) == (Status.REJECTED, 0, 0)
