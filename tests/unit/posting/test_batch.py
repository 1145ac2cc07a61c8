"""A batch to its outcomes: one ask of the gate, side by side, and a stop when there must be one."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from relay.errors import Duplicate, Halt, Pause, Reject, Retry, Unknown, Wait
from relay.posting.alert import Alert
from relay.posting.batch import BatchDelivery
from relay.posting.delivery import Claim, Delivery, Outcome, Published, Result, Settlement, Status
from relay.posting.gate import Admission, Pace, State
from relay.queue_message import QueueMessage

from tests.factories import NOW, Clock, a_claim, a_message, a_pause, messages, published

UNREADABLE = "{"
PATIENCE = 5.0
"""How long a test waits for another thread before it fails."""


class MemoryGate:
    """The gate's arithmetic without its table, and what was asked of it."""

    def __init__(self, clock: Clock, pace: Pace = Pace(3600, 100, 0)) -> None:  # noqa: B008
        self.state = State()
        self.operators: Pause | None = None
        self.asked: list[int] = []
        self.looks = 0
        self.told: list[Pause] = []
        self._clock, self._pace = clock, pace
        self._lock = threading.Lock()

    def admit(self, wanted: int) -> Admission:
        self.asked.append(wanted)
        if self.operators:
            return Admission(0, self.operators, self.state)
        admission = self.state.admit(wanted, self._clock(), self._pace)
        self.state = admission.state
        return admission

    def pause_since(self, since: Admission) -> Pause | None:
        self.looks += 1
        pause = self.state.pause
        in_force = pause is not None and (pause.until or 0) > self._clock() and pause != since.state.pause
        return self.operators or (pause if in_force else None)

    def give_back(self, admission: Admission, unused: int) -> None:
        self.state = self.state.give_back(unused, admission, self._clock(), self._pace)

    def close(self, pause: Pause) -> None:
        with self._lock:
            self.told.append(pause)
            self.state = self.state.close(pause)

    def open(self, probe: Admission) -> None:
        self.state = self.state.open(probe)


@dataclass
class Office:
    """A posting with a gate, a ledger in memory, and a StockTwits that does as the test says for each text."""

    clock: Clock = field(default_factory=Clock)
    concurrency: int = 1
    answers: dict[str, Callable[[], Any] | Exception] = field(default_factory=dict)
    claims: dict[str, Claim | Exception] = field(default_factory=dict)
    dry_run: bool = False
    seconds_left: Callable[[], float] = lambda: 60.0
    sent: list[str] = field(default_factory=list)
    claimed: list[str] = field(default_factory=list)
    settled: dict[str, Status] = field(default_factory=dict)
    dead_letters: list[tuple[str, str]] = field(default_factory=list)
    dead_letter: Callable[[QueueMessage, Outcome], bool] | None = None
    on_outcome: Callable[[QueueMessage, Outcome], None] = lambda *_: None
    claim: Callable[[str, str, str], Claim] | None = None
    settle: Callable[[Claim, Settlement], None] | None = None

    def __post_init__(self) -> None:
        self.gate: Any = MemoryGate(self.clock)

    def deliver(self, batch: Sequence[QueueMessage]) -> list[Outcome]:
        delivery = Delivery(
            claim=self.claim or self._claim,
            settle=self.settle or self._settle,
            find=lambda *_: None,
            prepare=lambda _: None,
            send=None if self.dry_run else self._send,
            now=self.clock,
        )
        posting = BatchDelivery(
            delivery, self.gate, self.dead_letter or self._dead_letter, self.concurrency, self.clock
        )
        delivered = posting.deliver(batch, self.seconds_left, self.on_outcome)
        assert [message for message, _ in delivered] == list(batch)
        return [outcome for _, outcome in delivered]

    def _claim(self, key: str, body: str, _: str) -> Claim:
        self.claimed.append(body)
        found = self.claims.get(body) or a_claim(key)
        if isinstance(found, Exception):
            raise found
        return found

    def _settle(self, claim: Claim, settlement: Settlement) -> None:
        self.settled[claim.key] = settlement.status

    def _send(self, post: Alert, _: bytes | None) -> Published:
        self.sent.append(post.body)
        answer = self.answers.get(post.body)
        if isinstance(answer, Exception):
            raise answer
        return (answer and answer()) or published(len(self.sent))

    def _dead_letter(self, message: QueueMessage, outcome: Outcome) -> bool:
        self.dead_letters.append((message.body, outcome.reason))
        return True


def raising(error: type[BaseException]) -> Callable[[], Any]:
    def fail() -> None:
        raise error

    return fail


def results(outcomes: Sequence[Outcome]) -> list[str]:
    return [str(outcome.result) for outcome in outcomes]


def await_(event: threading.Event) -> None:
    assert event.wait(PATIENCE)


def test_a_batch_is_posted_and_each_message_keeps_its_outcome() -> None:
    office = Office(concurrency=4)
    outcomes = office.deliver(messages("a", "b", "c"))
    assert results(outcomes) == ["posted", "posted", "posted"]
    assert [each.key for each in outcomes] == ["m-1", "m-2", "m-3"]
    assert sorted(office.sent) == ["a", "b", "c"]


def test_an_outcome_shows_the_text_of_its_post_whatever_became_of_it() -> None:
    office = Office(answers={"b": Reject("no"), "c": Retry("later")})
    outcomes = office.deliver(messages("a", "b", "c", '{"body": "d"}', UNREADABLE))
    assert results(outcomes) == ["posted", "rejected", "deferred", "posted", "rejected"]
    assert [outcome.text for outcome in outcomes] == ["a", "b", "c", "d", ""]


def test_an_outcome_shows_the_sentiment_of_its_post_whatever_became_of_it() -> None:
    office = Office(answers={"b": Reject("no")})
    bodies = ('{"body": "a", "sentiment": "bullish"}', '{"body": "b", "sentiment": "bearish"}', "c", UNREADABLE)
    assert [outcome.sentiment for outcome in office.deliver(messages(*bodies))] == ["bullish", "bearish", None, None]


def test_of_a_link_in_a_text_only_what_is_before_its_question_mark_is_shown() -> None:
    (outcome,) = Office().deliver(messages("$AAPL https://x.org/a.png?signature=secret up"))
    assert outcome.text == "$AAPL https://x.org/a.png?… up"


def test_each_message_is_told_of_as_it_ends() -> None:
    told: list[str] = []

    def on_outcome(message: QueueMessage, outcome: Outcome) -> None:
        told.append(f"{message.id} {outcome.result}")

    Office(dead_letter=lambda *_: told.append("dead letter") or True, on_outcome=on_outcome).deliver(
        messages("a", UNREADABLE)
    )
    assert told == ["m-1 posted", "dead letter", "m-2 rejected"]


def test_of_two_messages_with_one_key_the_later_waits_for_the_outcome_of_the_earlier() -> None:
    under_way: list[str] = []
    claimed_twice = threading.Event()

    def claim(key: str, _body: str, _id: str) -> Claim:
        if under_way:
            claimed_twice.set()
            raise Retry("another worker is delivering this key")
        under_way.append(key)
        return a_claim(key)

    office = Office(
        concurrency=4,
        claim=claim,
        settle=lambda *_: under_way.clear(),
        answers={"a": lambda: published(1 + claimed_twice.wait(0.1))},
    )
    assert results(office.deliver(messages("a", "a", relay_key="k"))) == ["posted", "posted"]
    assert not claimed_twice.is_set()


# --- What ends the function that delivers it


class Ended(BaseException):
    """The function is gone."""


def test_a_message_that_was_cut_off_is_delivered_when_all_others_are_settled() -> None:
    office = Office(concurrency=4, claims={"a": a_claim("m-1", perhaps_posted=True, cut_off=1)})
    assert results(office.deliver(messages("a", "b", "c"))) == ["posted", "posted", "posted"]
    assert office.sent[-1] == "a"
    assert list(office.settled.values()) == [Status.POSTED] * 3


def test_each_message_that_was_cut_off_is_let_through_by_itself() -> None:
    cut_off = {each: a_claim(key, perhaps_posted=True, cut_off=1) for each, key in (("a", "m-1"), ("b", "m-2"))}
    office = Office(claims=cut_off)
    office.deliver(messages("a", "b", "c"))
    assert office.gate.asked == [3, 1, 1]
    assert (office.gate.state.count, sorted(office.sent)) == (3, ["a", "b", "c"])


def test_a_message_that_ends_the_function_again_costs_the_gate_one_post() -> None:
    office = Office(claims={"a": a_claim("m-1", perhaps_posted=True, cut_off=2)}, answers={"a": raising(Ended)})
    with pytest.raises(Ended):
        office.deliver(messages("a", "b", "c"))
    assert office.gate.state.count == 3
    assert office.settled["m-2"] is office.settled["m-3"] is Status.POSTED


def test_a_message_that_was_cut_off_waits_while_the_gate_is_closed() -> None:
    office = Office(claims={"a": a_claim("m-1", perhaps_posted=True, cut_off=1)})
    office.answers = {"b": Halt(a_pause("blocked", 900, probe=True), status=403)}
    (first, _) = office.deliver(messages("a", "b"))
    assert (first.result, first.tried, first.pause and first.pause.cause) == (Result.DEFERRED, False, "blocked")
    assert office.sent == ["b"]


def test_a_message_that_was_cut_off_is_told_of_once() -> None:
    told: list[str] = []
    office = Office(
        claims={"a": a_claim("m-1", perhaps_posted=True, cut_off=1)},
        on_outcome=lambda message, outcome: told.append(f"{message.id} {outcome.result}"),
    )
    office.deliver(messages("a", "b"))
    assert told == ["m-2 posted", "m-1 posted"]


def test_a_message_that_was_cut_off_three_times_is_moved_to_dead_letters_and_uses_no_admission() -> None:
    office = Office(claims={"a": a_claim("m-1", perhaps_posted=True, cut_off=3)})
    (outcome,) = office.deliver(messages("a"))
    ((body, reason),) = office.dead_letters
    assert (outcome.result, body, office.gate.state.count) == (Result.REJECTED, "a", 0)
    assert reason.startswith("its delivery was cut off three times")


def test_a_defect_that_reading_a_message_meets_buries_it_and_not_its_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def read(body: str) -> Alert:
        if body == "b":
            raise ZeroDivisionError
        return Alert(body=body)

    monkeypatch.setattr("relay.posting.alert.read", read)
    office = Office()
    assert results(office.deliver(messages("a", "b", "c"))) == ["posted", "rejected", "posted"]
    ((_, reason),) = office.dead_letters
    assert "unexpected ZeroDivisionError" in reason


@pytest.mark.parametrize(("days", "result"), [(12.99, "deferred"), (13, "rejected")])
def test_a_message_is_moved_to_dead_letters_the_day_before_sqs_deletes_it_however_seldom_it_came(
    days: float, result: str
) -> None:
    office = Office(answers={"a": Retry("reset by peer")})
    (outcome,) = office.deliver(messages("a", receive_count=4, sent_at=NOW - days * 24 * 3600))
    assert str(outcome.result) == result
    reason = "given up after 13 days and 4 receives, the last one: reset by peer"
    assert office.dead_letters == ([("a", reason)] if result == "rejected" else [])


def test_an_empty_batch_asks_nobody() -> None:
    office = Office()
    assert office.deliver([]) == []
    assert office.gate.asked == []


# --- The gate


def test_the_gate_is_asked_once_for_all_that_can_be_read() -> None:
    office = Office()
    office.deliver(messages("a", UNREADABLE, "b"))
    assert office.gate.asked == [2]


def test_a_halt_before_any_request_uses_no_admission() -> None:
    office = Office(answers={"a": Halt(a_pause("token_unreadable"))})
    office.deliver(messages("a"))
    assert office.gate.state.count == 0


@pytest.mark.parametrize("key", ["k" * 257, "a\x00b"])
def test_a_relay_key_that_the_ledger_cannot_hold_is_moved_to_dead_letters_in_words(key: str) -> None:
    office = Office()
    (outcome,) = office.deliver([a_message(relay_key=key)])
    assert outcome.result is Result.REJECTED
    assert outcome.reason.startswith("RelayKey: has ")
    assert len(outcome.key) <= 256


def test_a_batch_that_cannot_be_read_does_not_ask_the_gate() -> None:
    office = Office()
    assert results(office.deliver(messages(UNREADABLE, "null"))) == ["rejected", "rejected"]
    assert office.gate.asked == []


def test_what_cannot_be_read_is_moved_to_dead_letters_even_when_the_gate_is_closed() -> None:
    office = Office()
    office.gate.operators = a_pause("operator", None)
    assert results(office.deliver(messages("a", UNREADABLE))) == ["deferred", "rejected"]
    ((body, reason),) = office.dead_letters
    assert (body, "cannot be read" in reason) == (UNREADABLE, True)


@pytest.mark.parametrize("key", ["k" * 257, "k\x00"])
def test_a_key_that_the_ledger_cannot_hold_rejects_its_message(key: str) -> None:
    office = Office()
    (outcome,) = office.deliver([a_message("a", relay_key=key)])
    assert (outcome.result, outcome.key) == (Result.REJECTED, key[:256])
    assert outcome.reason.startswith("RelayKey: has ")
    assert (office.claimed, len(office.dead_letters)) == ([], 1)


def test_a_shut_gate_leaves_every_message_untried_and_unclaimed() -> None:
    office = Office(concurrency=4)
    office.gate.operators = a_pause("operator", None)
    for outcome in office.deliver(messages("a", "b")):
        assert (outcome.done, outcome.tried, outcome.pause) == (False, False, office.gate.operators)
    assert office.claimed == []


def test_no_more_is_posted_than_the_gate_grants() -> None:
    office = Office()
    office.gate = MemoryGate(office.clock, Pace(60, 2, 0))
    outcomes = office.deliver(messages("a", "b", "c"))
    assert results(outcomes) == ["posted", "posted", "deferred"]
    assert outcomes[2].pause
    assert (outcomes[2].pause.cause, outcomes[2].tried) == ("pace", False)
    assert office.sent == ["a", "b"]


@pytest.mark.parametrize("threads", [1, 4])
def test_admissions_that_no_request_used_are_given_back(threads: int) -> None:
    office = Office(concurrency=threads, answers={"offline": Retry("no connection")})
    office.claims = {
        "posted before": a_claim(before=Status.POSTED, published=published(3)),
        "taken": Retry("another worker has it"),
    }
    office.deliver(messages("posted before", "taken", "offline", "new"))
    assert (office.gate.state.count, office.sent.count("new")) == (1, 1)


@pytest.mark.parametrize(
    "error",
    [
        Reject("blank", status=422),
        Duplicate("again", status=422),
        Unknown("reset"),
        Wait(a_pause()),
        Halt(a_pause(), status=401),
    ],
)
def test_a_request_that_reached_stocktwits_has_used_its_admission(error: Exception) -> None:
    office = Office(answers={"a": error})
    office.deliver(messages("a"))
    assert office.gate.state.count == 1


def test_an_admission_given_back_by_one_message_serves_the_next() -> None:
    office = Office(claims={"posted before": a_claim(before=Status.POSTED, published=published(3))})
    office.gate = MemoryGate(office.clock, Pace(60, 1, 0))
    assert results(office.deliver(messages("posted before", "new", "late"))) == ["already_posted", "posted", "deferred"]


def test_a_dry_run_keeps_the_pace() -> None:
    office = Office(dry_run=True)
    assert results(office.deliver(messages("a", "b"))) == ["dry_run", "dry_run"]
    assert (office.sent, office.gate.state.count) == ([], 2)


# --- Walls


@pytest.mark.parametrize(
    "error",
    [
        Wait(a_pause("rate_limited"), status=429),
        Halt(a_pause("token_refused"), status=401),
        Unknown("503", status=503, pause=a_pause("unavailable")),
    ],
)
def test_a_wall_shuts_the_gate_and_leaves_the_rest_of_the_batch_untried(error: Any) -> None:
    office = Office(answers={"b": error})
    outcomes = office.deliver(messages("a", "b", "c", "d"))
    assert results(outcomes) == ["posted", "deferred", "deferred", "deferred"]
    assert [each.tried for each in outcomes] == [True, True, False, False]
    assert [each.pause for each in outcomes[1:]] == [error.pause] * 3
    assert (office.sent, office.claimed) == (["a", "b"], ["a", "b"])
    assert office.gate.told == [error.pause]
    assert office.gate.state.count == 2


@pytest.mark.parametrize("error", [Reject("blank"), Retry("no connection"), Unknown("reset")])
def test_a_failure_of_one_message_stops_nobody(error: Exception) -> None:
    office = Office(answers={"a": error})
    assert results(office.deliver(messages("a", "b")))[1] == "posted"
    assert office.gate.told == []


def test_a_message_that_waits_for_its_request_while_a_wall_is_met_makes_none() -> None:
    office = Office(concurrency=2)
    out, waiting = threading.Barrier(3), threading.Barrier(4)
    both_out, others_settled = threading.Event(), threading.Event()

    def limited() -> None:
        out.wait(PATIENCE)
        waiting.wait(PATIENCE)
        raise Wait(a_pause(), status=429)

    def claim_in_turn(key: str, body: str, _: str) -> Claim:
        if body in {"c", "d"}:
            await_(both_out)
            waiting.wait(PATIENCE)
        return a_claim(key)

    def settle_slowly(claim: Claim, settlement: Settlement) -> None:
        if claim.key in {"m-1", "m-2"}:
            await_(others_settled)
        office.settled[claim.key] = settlement.status
        if {"m-3", "m-4"} <= office.settled.keys():
            others_settled.set()

    def watch() -> None:
        out.wait(PATIENCE)
        both_out.set()

    office.answers = {"a": limited, "b": limited}
    office.claim, office.settle = claim_in_turn, settle_slowly
    watcher = threading.Thread(target=watch)
    watcher.start()
    outcomes = office.deliver(messages("a", "b", "c", "d"))
    watcher.join()
    assert sorted(office.sent) == ["a", "b"]
    assert [each.tried for each in outcomes] == [True, True, False, False]


@pytest.mark.parametrize("gate_knows", [True, False])
def test_a_pause_that_another_worker_met_stops_the_batch_at_the_next_look(gate_knows: bool) -> None:
    office = Office()

    def meanwhile() -> None:
        office.clock.now += 1.001 if gate_knows else 1.0
        office.gate.state = office.gate.state.close(a_pause("rate_limited", 60))

    office.answers = {"a": meanwhile}
    outcomes = office.deliver(messages("a", "b", "c"))
    assert results(outcomes)[1:] == ["deferred" if gate_knows else "posted"] * 2
    assert office.gate.looks == (1 if gate_knows else 0)
    assert office.gate.told == []


def test_a_look_that_found_nothing_is_good_for_a_second() -> None:
    office = Office()
    office.answers = {"a": lambda: setattr(office.clock, "now", NOW + 1.5)}
    office.deliver(messages("a", "b", "c"))
    assert (office.gate.looks, office.sent) == (1, ["a", "b", "c"])


def test_an_operators_pause_stops_the_batch_at_the_next_look() -> None:
    office = Office()

    def meanwhile() -> None:
        office.clock.now += 2
        office.gate.operators = a_pause("operator", None)

    office.answers = {"a": meanwhile}
    outcomes = office.deliver(messages("a", "b"))
    assert (results(outcomes), outcomes[1].tried) == (["posted", "deferred"], False)
    assert outcomes[1].pause == a_pause("operator", None)


def test_the_look_right_before_a_request_takes_the_claim_back() -> None:
    office = Office()

    def claim_slowly(key: str, *_: str) -> Claim:
        office.clock.now += 2
        office.gate.operators = a_pause("operator", None)
        return a_claim(key)

    office.claim = claim_slowly
    (outcome,) = office.deliver(messages("a"))
    assert (outcome.done, outcome.tried, office.sent) == (False, False, [])
    assert office.settled == {"m-1": Status.RELEASED}
    assert office.gate.state.count == 0


def test_a_gate_that_cannot_be_told_does_not_undo_what_was_posted() -> None:
    def unreachable(*_: object) -> None:
        raise Retry("the ledger table did not answer")

    office = Office(answers={"b": Wait(a_pause(), status=429)})
    office.gate.close = office.gate.give_back = office.gate.open = unreachable
    assert results(office.deliver(messages("a", "b", "c"))) == ["posted", "deferred", "deferred"]
    assert office.sent == ["a", "b"]


# --- Time


def test_with_little_time_left_the_rest_is_left_untried_and_the_gate_stays_open() -> None:
    left = iter([60.0, 60.0, 20.0, 19.9])
    office = Office(seconds_left=lambda: next(left))
    outcomes = office.deliver(messages("a", "b", "c"))
    assert results(outcomes) == ["posted", "deferred", "deferred"]
    assert (office.claimed, [each.tried for each in outcomes]) == (["a", "b"], [True, False, False])
    assert outcomes[2].pause == Pause("time", "this invocation's time runs short", NOW)
    assert (office.gate.told, office.gate.state.count) == ([], 1)


def test_what_cannot_be_read_is_moved_to_dead_letters_however_little_time_is_left() -> None:
    office = Office(seconds_left=lambda: 1.0)
    assert results(office.deliver(messages("a", UNREADABLE))) == ["deferred", "rejected"]
    assert [body for body, _ in office.dead_letters] == [UNREADABLE]


# --- Side by side


def test_one_at_a_time_is_strictly_in_order() -> None:
    texts = [f"post {i}" for i in range(10)]
    office = Office(concurrency=1)
    office.deliver(messages(*texts))
    assert (office.claimed, office.sent) == (texts, texts)


def test_as_many_requests_as_allowed_are_out_at_a_time_and_never_more() -> None:
    office = Office(concurrency=3)
    together, lock = threading.Barrier(3), threading.Lock()
    out: list[int] = [0]
    most: list[int] = []

    def count() -> None:
        with lock:
            out[0] += 1
            most.append(out[0])
        together.wait(PATIENCE)  # breaks unless three are out
        with lock:
            out[0] -= 1

    texts = [f"post {i}" for i in range(9)]
    office.answers = dict.fromkeys(texts, count)
    assert results(office.deliver(messages(*texts))) == ["posted"] * 9
    assert max(most) == 3


def test_the_next_messages_are_claimed_while_requests_are_out() -> None:
    office = Office(concurrency=2)
    third_claimed = threading.Event()

    def claim_and_say_so(key: str, body: str, _: str) -> Claim:
        if body == "c":
            third_claimed.set()
        return a_claim(key)

    office.claim = claim_and_say_so
    office.answers = {"a": lambda: await_(third_claimed), "b": lambda: await_(third_claimed)}
    assert results(office.deliver(messages("a", "b", "c"))) == ["posted"] * 3


# --- Probes


def after_a_refused_token() -> Office:
    office = Office()
    office.gate.state = State(pause=a_pause("token_refused", -1, probe=True))
    return office


def open_to_all(office: Office) -> bool:
    return office.gate.state.pause is None


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_probe_that_is_posted_opens_the_gate_for_the_next_batch(dry_run: bool) -> None:
    office = after_a_refused_token()
    office.dry_run = dry_run
    outcomes = office.deliver(messages("a", "b"))
    assert [each.done for each in outcomes] == [True, False]
    assert outcomes[1].tried is False
    assert open_to_all(office)


def test_a_probe_whose_text_is_refused_shows_that_the_token_is_good() -> None:
    office = after_a_refused_token()
    office.answers = {"a": Reject("blank", status=422)}
    office.deliver(messages("a"))
    assert open_to_all(office)


@pytest.mark.parametrize("error", [Unknown("reset"), Halt(a_pause("token_refused", 300, probe=True), status=401)])
def test_a_probe_that_did_not_succeed_leaves_the_gate_shut_and_used_up(error: Exception) -> None:
    office = after_a_refused_token()
    office.answers = {"a": error}
    office.deliver(messages("a", "b"))
    assert not open_to_all(office)
    assert office.gate.state.admit(5, NOW + 1, Pace(60, 10, 0)).granted == 0


@pytest.mark.parametrize(
    "claim",
    [a_claim(before=Status.POSTED, published=published(3)), Retry("another worker has it"), Reject("another text")],
)
def test_a_probe_that_never_went_out_proves_nothing_and_is_given_back(claim: Any) -> None:
    office = after_a_refused_token()
    office.claims = {"a": claim}
    office.deliver(messages("a"))
    assert not open_to_all(office)
    assert office.gate.state.admit(5, NOW + 1, Pace(60, 10, 0)).probe


def test_a_batch_that_needs_no_probe_lifts_nothing() -> None:
    office = Office()
    pause = a_pause("rate_limited", -1)
    office.gate.state = State(pause=pause)
    office.deliver(messages("a"))
    assert office.gate.state.pause == pause


# --- Burying


def test_a_rejected_message_is_moved_to_dead_letters_with_its_reason() -> None:
    office = Office(answers={"a": Reject("blank", status=422)})
    (outcome,) = office.deliver(messages("a"))
    assert (outcome.result, outcome.done, outcome.status) == (Result.REJECTED, True, 422)
    assert office.dead_letters == [("a", "blank")]


def test_what_is_posted_or_only_left_is_not_moved_to_dead_letters() -> None:
    office = Office(answers={"b": Unknown("reset")})
    office.deliver(messages("a", "b"))
    assert office.dead_letters == []


@pytest.mark.parametrize("body", ["a", UNREADABLE])
def test_a_message_that_dead_letters_do_not_take_stays_in_its_queue(body: str) -> None:
    def full(*_: object) -> bool:
        raise OSError("secret")

    office = Office(answers={"a": Reject("blank")}, dead_letter=full)
    outcomes = office.deliver(messages(body, "b"))
    assert results(outcomes) == ["deferred", "posted"]
    assert outcomes[0].reason.endswith("(Dead letters did not take it: OSError)")
    assert "secret" not in outcomes[0].reason


def test_a_reason_that_had_to_stay_behind_is_said_in_the_outcome() -> None:
    office = Office(answers={"a": Reject("blank")}, dead_letter=lambda *_: False)
    (outcome,) = office.deliver(messages("a"))
    assert (outcome.done, outcome.reason) == (True, "blank (Dead letters has it without this reason)")


def test_after_two_hundred_receives_a_message_is_given_up_with_its_last_reason() -> None:
    office = Office(answers={"a": Unknown("reset by peer", status=502)})
    (outcome,) = office.deliver([a_message("a", receive_count=200)])
    assert (outcome.result, outcome.status) == (Result.REJECTED, 502)
    assert office.dead_letters == [("a", "given up after 200 receives, the last one: reset by peer")]


def test_a_message_is_not_given_up_before() -> None:
    office = Office(answers={"a": Unknown("reset by peer")})
    assert results(office.deliver([a_message("a", receive_count=199)])) == ["deferred"]
    assert office.dead_letters == []


def test_a_message_that_is_posted_at_last_is_not_given_up() -> None:
    office = Office()
    assert results(office.deliver([a_message("a", receive_count=200)])) == ["posted"]
    assert office.dead_letters == []


# --- Neighbours


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("where", ["claim", "send", "settle", "dead letter"])
def test_no_exception_of_one_message_hurts_its_neighbours(where: str, threads: int) -> None:
    office = Office(concurrency=threads)

    def defect(*_: object) -> Any:
        raise ZeroDivisionError

    def settle(claim: Claim, settlement: Settlement) -> None:
        if claim.key == "m-2":
            defect()
        office.settled[claim.key] = settlement.status

    if where == "claim":
        office.claims = {"b": ZeroDivisionError()}
    elif where == "send":
        office.answers = {"b": ZeroDivisionError()}
    elif where == "settle":
        office.settle = settle
    else:
        office.answers, office.dead_letter = {"b": Reject("blank")}, defect
    outcomes = office.deliver(messages("a", "b", "c"))
    assert results(outcomes) == ["posted", "posted" if where == "settle" else "deferred", "posted"]
    assert "ZeroDivisionError" in outcomes[1].reason
    assert office.settled["m-1"] == office.settled["m-3"] == Status.POSTED
