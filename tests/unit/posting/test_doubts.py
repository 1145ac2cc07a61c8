"""What is not certain stays known until an operator reads it."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from relay.errors import Duplicate, Pause, Reject, RelayError, Retry, Unknown
from relay.posting.alert import Reading
from relay.posting.delivery import DUPLICATE_WINDOW_SECONDS, NOT_FOUND_IN_TIME, PERHAPS_POSTED, Delivery
from relay.posting.outcome import Claim, Result, Settlement
from relay.posting.reconciliation import NOT_THERE, Lost, Page, Reconciler, Shown, judge

from tests.factories import NOW, a_message, an_alert

ERROR_OF_THE_STREAM = Unknown("StockTwits' answer for the account's stream contains no messages", status=200)
DUPLICATE = Duplicate("StockTwits refused it as a duplicate (422)", status=422)


def raising(error: RelayError) -> Callable[..., Any]:
    def fail(*_: object) -> Any:
        raise error

    return fail


class Attempt:
    """A delivery of one claim, with its outcome and its settlement."""

    def __init__(
        self, claim: Claim, *, find: Callable[..., Any], send: Callable[..., Any], posted: bool = False
    ) -> None:
        self.settled: list[Settlement] = []
        requests: Any = SimpleNamespace(
            slot=nullcontext, pause=lambda: None, stop=lambda _: None, posted_since=lambda _: posted
        )
        delivery = Delivery(
            claim=lambda *_: claim,
            settle=lambda _, settlement: self.settled.append(settlement),
            known=lambda _: True,
            perhaps_posted=lambda _: True,
            find=find,
            prepare=lambda _: None,
            send=send,
            page=lambda post_id: f"https://stocktwits.com/{post_id}",
            now=lambda: NOW,
        )
        self.outcome = delivery.deliver(a_message(), Reading(an_alert()), requests)


def unsure(**but: Any) -> Claim:
    return Claim("m-1", "c-1", perhaps_posted=True, first_claimed_at=NOW - 3600, **but)


def shows_nothing(*_: object) -> Any:
    return NOT_THERE


def test_a_refusal_as_a_duplicate_stays_known_while_the_stream_cannot_be_read() -> None:
    attempt = Attempt(unsure(status=422), find=raising(ERROR_OF_THE_STREAM), send=raising(DUPLICATE))
    assert [each.http_status for each in attempt.settled] == [422]


def test_an_unreadable_stream_does_not_count_as_an_answer_about_the_message() -> None:
    attempt = Attempt(unsure(), find=raising(ERROR_OF_THE_STREAM), send=raising(DUPLICATE))
    assert [each.http_status for each in attempt.settled] == [None]


def test_a_duplicate_whose_stream_cannot_be_read_is_settled_as_a_duplicate() -> None:
    looks = iter([shows_nothing, raising(ERROR_OF_THE_STREAM)])
    attempt = Attempt(unsure(), find=lambda *_: next(looks)(), send=raising(DUPLICATE))
    assert [each.http_status for each in attempt.settled] == [422]


@pytest.mark.parametrize(
    ("seconds_ago", "result"),
    [(60, Result.DEFERRED), (DUPLICATE_WINDOW_SECONDS, Result.REJECTED)],
)
def test_an_operator_looks_for_a_duplicate_that_the_stream_does_not_show_after_half_an_hour(
    seconds_ago: float, result: Result
) -> None:
    claim = unsure(status=422, ended_at=NOW - seconds_ago)
    attempt = Attempt(claim, find=shows_nothing, send=raising(DUPLICATE))
    assert attempt.outcome.result is result
    assert attempt.outcome.reason.startswith(NOT_FOUND_IN_TIME) is (result is Result.REJECTED)


def test_a_redirect_that_is_held_against_its_message_may_have_posted_it() -> None:
    pause = Pause("unexpected_answer", "StockTwits answered 302", NOW + 300, probe=True)
    redirect = Unknown("StockTwits answered 302", status=302, pause=pause)
    claim = Claim("m-1", "c-1", first_claimed_at=NOW, refused_at=NOW - 600)
    attempt = Attempt(claim, find=shows_nothing, send=raising(redirect), posted=True)
    assert attempt.outcome.result is Result.REJECTED
    assert attempt.outcome.reason.endswith(PERHAPS_POSTED)


def test_a_page_whose_ids_cannot_be_read_is_not_the_end_of_the_stream() -> None:
    """Ours is on the third page, and the second one shows no ids."""
    newest = [Shown(1000 - i, f"by hand {i}", NOW) for i in range(30)]
    nameless = [Shown(None, f"by hand {i}", NOW) for i in range(30, 60)]
    pages: Sequence[Page] = [Page(newest, more=True), Page(nameless, more=True)]
    left = iter(pages)
    with pytest.raises(Reject, match="could not be read back"):
        Reconciler(lambda _: next(left), lambda _: {}, lambda: NOW).find(
            Lost("ours", "$AAPL up", NOW - 60), NOW - 1, lambda: None
        )


def test_a_text_that_is_cut_off_before_a_note_is_alike() -> None:
    post = Shown(1000, "$AAPL breaks out above the lev… (posted with StockTwits)", NOW)
    verdict = judge(Lost("ours", "$AAPL breaks out above the level of 2021", NOW), [post], {}, reached=True)
    assert "is much like it" in verdict.doubt


def test_a_text_with_three_full_stops_in_it_is_not_alike_to_every_other() -> None:
    post = Shown(1000, "Watching... the close", NOW)
    assert judge(Lost("ours", "$AAPL breaks out", NOW), [post], {}, reached=True) == NOT_THERE


def test_what_aws_does_not_do_leaves_what_stocktwits_said_known() -> None:
    attempt = Attempt(unsure(status=422), find=raising(Retry("the ledger did not answer")), send=raising(DUPLICATE))
    assert [each.http_status for each in attempt.settled] == [422]
