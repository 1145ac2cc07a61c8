"""What a post takes before it is sent: the cashtags of its text, and a fingerprint of what else its text says."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from relay.errors import Halt, Retry
from relay.posting.alert import Alert
from relay.posting.backoff import LEFTOVERS_RECEIVES
from relay.posting.ledger import LEASE_SECONDS, MOST_KEYS, Ledger
from relay.posting.outcome import Claim, Hold, Settlement, Status
from relay.posting.spacing import (
    LATEST_SECONDS,
    LOOK_AGAIN_SECONDS,
    MAX_NAMES,
    TAKE_ATTEMPTS,
    Spacing,
    View,
    cashtags,
    fingerprint,
)
from relay.queues import VISIBILITY_LIMIT_SECONDS

from local.stand_ins.stocktwits.rendering import CASHTAG, LINK
from tests.factories import LATER, NOW, Clock, published
from verification.simulation.dynamodb import Exceptions, Table

HALF_AN_HOUR, HOUR, A_WEEK = 1800, 3600, 7 * 24 * 3600
POSTED = Settlement(Status.POSTED, published=published())


def spacing(alike_seconds: float = 60, symbol_seconds: float = 60) -> Spacing:
    """The rules without a table: no name is looked up."""
    table: object = None
    return Spacing(table, "ledger", lambda: 0.0, alike_seconds=alike_seconds, symbol_seconds=symbol_seconds)  # type: ignore[arg-type]


# Symbols


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("$AAPL up", ["AAPL"]),
        ("up: $AAPL", ["AAPL"]),
        ("$AAPL, $TSLA and $NVDA.", ["AAPL", "TSLA", "NVDA"]),
        ("$AAPL\n$TSLA", ["AAPL", "TSLA"]),
        ("$aapl up", ["AAPL"]),
        ("$Aapl, then $AAPL", ["AAPL"]),
        ("$BRK.B up", ["BRK.B"]),
        ("$brk.b up", ["BRK.B"]),
        ("$BTC.X up", ["BTC.X"]),
        ("$ES_F up", ["ES_F"]),
        ("$C3 up", ["C3"]),
        ("$AAPL's", ["AAPL"]),
        ("($AAPL)", ["AAPL"]),
        ("$AAPL... $AAPL.", ["AAPL"]),
        ("$AAPL.Breakout", ["AAPL"]),
        ("&#36;AAPL up", ["AAPL"]),
        ("&amp;#36;AAPL up", ["AAPL"]),
        ("R&amp;D at $AAPL", ["AAPL"]),
        ("$A$B", ["A", "B"]),
        ("US$AAPL", ["AAPL"]),
        ("at $5 and $50USD and $1.2B", []),
        ("AAPL, #AAPL, @AAPL and $ AAPL", []),
        ("https://charts.example/$AAPL", []),
        ("HTTPS://charts.example/?symbol=$AAPL $TSLA", ["TSLA"]),
        ("$\u0410\u0410PL", []),
        ("", []),
    ],
)
def test_the_symbols_of_a_text_are_those_of_its_cashtags_in_capitals(text: str, found: list[str]) -> None:
    assert cashtags(text) == found


@given(st.text("aZ9$._ :/-\n&;#36h", max_size=30) | st.text(max_size=30))
def test_no_cashtag_that_stocktwits_links_is_overlooked(text: str) -> None:
    linked = {each.upper() for each in CASHTAG.findall(LINK.sub(" ", text))}
    found = {each.upper() for each in cashtags(text)}
    assert linked <= found


# Texts that are alike


@pytest.mark.parametrize(
    "other",
    [
        "$TSLA crosses 300",
        "$AAPL crosses 301.50",
        "$AAPL crosses $1,300",
        "$AAPL crosses +3.5%",
        "$AAPL $TSLA crosses 300",
        "crosses 300",
        "$aapl CROSSES 300",
        "  $AAPL\n crosses\t300 ",
        "$AAPL crosses 300!",
        "$AAPL crosses 300 \U0001f680",
        "$AAPL: crosses 300 ...",
        "&#36;AAPL crosses 300",
        "$AAPL&nbsp;crosses 300",
        "$AAPL crosses 300 https://charts.example/7",
        "$AAPL crosses 300 HTTP://charts.example/a-page?about=apples",
        "$AAPL crosses \u0663\u0660\u0660",
        "$AAPL crosses \u00bd",
        "$AAPL crosses 300k",
        "$AAPL cro\u200bsses 300",
    ],
)
def test_texts_are_alike_that_differ_in_cashtags_numbers_links_capitals_spaces_and_marks(other: str) -> None:
    assert fingerprint(other) == fingerprint("$AAPL crosses 300")


@pytest.mark.parametrize(
    "other",
    ["$AAPL crosses below 300", "$AAPL touches 300", "300 $AAPL", "$AAPL crosses crosses 300", "AAPL crosses 300", ""],
)
def test_texts_with_other_words_are_not_alike(other: str) -> None:
    assert fingerprint(other) != fingerprint("$AAPL crosses 300")


def test_texts_with_the_same_words_in_another_order_are_not_alike() -> None:
    assert fingerprint("buy or sell") != fingerprint("sell or buy")


@pytest.mark.parametrize(("one", "other"), [("\U0001f680", "\U0001f43b"), ("\U0001f680", "$AAPL 300")])
def test_texts_without_words_differ_by_their_pictures(one: str, other: str) -> None:
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(f"$AAPL\u00a0{one} 300\u00a0\u00bd!") == fingerprint(one)


@pytest.mark.parametrize(
    ("one", "other"), [("Stra\u00dfe", "STRASSE"), ("\u00e9t\u00e9", "\u00c9T\u00c9"), ("&eacute;", "e\u0301")]
)
def test_capitals_accents_and_entities_of_every_language_make_no_difference(one: str, other: str) -> None:
    assert fingerprint(one) == fingerprint(other)


WORDS = st.lists(st.sampled_from(["up", "Down", "300", "\U0001f680", "$5k", "R&amp;D"]), max_size=4)
TAGS = st.lists(st.sampled_from(["$AAPL", "$tsla", "$BRK.B", "$ES_F"]), max_size=3)


@given(WORDS, TAGS, TAGS, st.data())
def test_what_stocktwits_takes_for_nearly_identical_is_alike(
    words: list[str], some: list[str], others: list[str], data: st.DataObject
) -> None:
    one, other = (" ".join(data.draw(st.permutations([*words, *tags]))) for tags in (some, others))
    if CASHTAG.sub("", one).split() == CASHTAG.sub("", other).split():
        assert fingerprint(one) == fingerprint(other)


# Names


def test_each_rule_has_its_own_names() -> None:
    text = "$AAPL and $TSLA up"
    alike = f"alike#{fingerprint(text)}"
    assert spacing().names(text) == [alike, "$AAPL", "$TSLA"]
    assert spacing(alike_seconds=0).names(text) == ["$AAPL", "$TSLA"]
    assert spacing(symbol_seconds=0).names(text) == [alike]


def test_a_text_without_cashtags_takes_no_symbol() -> None:
    assert spacing(alike_seconds=0).names("the market is up") == []


def test_a_text_takes_no_more_names_than_one_transaction_and_one_reading_have_place_for() -> None:
    tags = " ".join(f"${first}{second}" for first in "ABCDEFGHIJKLMN" for second in "ABCDEFGHIJ")
    most_of_dynamodb, own_entry = 100, 1
    assert len(spacing().names(tags)) == MAX_NAMES == most_of_dynamodb - own_entry


# A table of names and posts


class Client(Table):
    """The table in memory as a client that can be told to fail, and that counts its writes."""

    def __init__(self) -> None:
        super().__init__()
        self.exceptions = Exceptions
        self.errors: list[str] = []
        self.unprocessed = False

    def put_item(self, Item: Any, **options: Any) -> Any:  # noqa: N803
        self._fail("PutItem")
        return super().put_item(Item, **options)

    def transact_write_items(self, TransactItems: Any) -> Any:  # noqa: N803
        self._fail("TransactWriteItems")
        return super().transact_write_items(TransactItems)

    def batch_get_item(self, RequestItems: Any) -> Any:  # noqa: N803
        (wanted,) = RequestItems.values()
        assert wanted["ConsistentRead"]
        assert 0 < len(wanted["Keys"]) <= MOST_KEYS
        return super().batch_get_item(RequestItems) | ({"UnprocessedKeys": RequestItems} if self.unprocessed else {})

    def _fail(self, operation: str) -> None:
        if self.errors:
            raise ClientError({"Error": {"Code": self.errors.pop(0), "Message": ""}}, operation)


class Workers:
    """Several workers that claim keys, look and take; the ledger is the relay's own."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.table = Client()
        self.ledger = Ledger(self.table, "ledger", self.clock)  # type: ignore[arg-type]
        self.claims: dict[str, Claim] = {}
        self.views: dict[str, View] = {}
        self.rules()

    def rules(self, alike: float = 0, symbol: float = HOUR, **but: bool) -> None:
        table: Any = self.table
        self.spacing = Spacing(table, "ledger", self.clock, alike_seconds=alike, symbol_seconds=symbol, **but)

    def claim(self, key: str, text: str = "$AAPL up", message: str = "") -> None:
        self.claims[key] = self.ledger.claim(key, Alert(body=text), message or f"message of {key}", LATER)

    def look(self, key: str, text: str = "$AAPL up") -> tuple[Hold, ...]:
        self.views[key] = self.spacing.look(key, Alert(body=text))
        return self.views[key].holds

    def take(self, key: str, text: str = "$AAPL up") -> tuple[Hold, ...]:
        return self.spacing.take(key, Alert(body=text), self.views[key])

    def settle(self, key: str, settlement: Settlement) -> None:
        self.ledger.settle(self.claims[key], settlement)

    def begin(self, key: str, text: str = "$AAPL up") -> tuple[Hold, ...]:
        """Do all that comes before a post's request."""
        self.look(key, text)
        self.claim(key, text)
        return self.take(key, text)

    def post(self, key: str, text: str = "$AAPL up") -> None:
        assert self.begin(key, text) == ()
        self.settle(key, Settlement(Status.POSTED, published=published(len(self.claims))))

    def item(self, name: str) -> dict[str, Any]:
        return {field: next(iter(value.values())) for field, value in self.table.items[f"spacing#{name}"].items()}


@pytest.fixture
def workers() -> Workers:
    return Workers()


def causes(holds: tuple[Hold, ...]) -> list[tuple[str, float]]:
    return [(each.cause, each.until - NOW) for each in holds]


BEING_MADE = Hold("symbol", "a post about $AAPL is being made", NOW + LEASE_SECONDS)
ENDS = LATEST_SECONDS + HOUR

# What a name's last post keeps waiting


@pytest.mark.parametrize(
    ("settlement", "until"),
    [
        (POSTED, 5 + HOUR),
        (Settlement(Status.REJECTED), None),
        (Settlement(Status.RELEASED), None),
        (Settlement(Status.RELEASED, lease_until=NOW + 1860, duplicates=1), None),
        (Settlement(Status.DRY_RUN), None),
        (Settlement(Status.UNKNOWN), 10 + LOOK_AGAIN_SECONDS),
        (Settlement(Status.UNKNOWN, lease_until=NOW + 1800), 1800),
        (Settlement(Status.REJECTED, perhaps_posted=True), ENDS),
    ],
    ids=["posted", "rejected", "not sent", "duplicate", "dry run", "unknown", "unknown for longer", "perhaps posted"],
)
def test_a_name_is_taken_by_what_was_or_may_have_been_posted_and_by_nothing_else(
    workers: Workers, settlement: Settlement, until: float | None
) -> None:
    workers.begin("k-1")
    workers.clock.now += 5
    workers.settle("k-1", settlement)
    workers.clock.now += 5
    assert causes(workers.look("k-2")) == ([] if until is None else [("symbol", until)])


@pytest.mark.parametrize(
    ("seconds", "until"),
    [
        (LEASE_SECONDS - 1, LEASE_SECONDS),
        (LEASE_SECONDS, LEASE_SECONDS + LOOK_AGAIN_SECONDS),
        (4 * LOOK_AGAIN_SECONDS, 5 * LOOK_AGAIN_SECONDS),
        (4 * LOOK_AGAIN_SECONDS + 400, 5 * LOOK_AGAIN_SECONDS + 500),
        (ENDS - 1, ENDS),
        (ENDS, None),
    ],
)
def test_a_name_whose_post_is_never_settled_is_taken_as_long_as_the_post_may_still_be_made(
    workers: Workers, seconds: float, until: float | None
) -> None:
    workers.begin("k-1")
    workers.clock.now += seconds
    assert causes(workers.look("k-2")) == ([] if until is None else [("symbol", until)])


@pytest.mark.parametrize(("seconds", "free"), [(HOUR - 0.001, False), (HOUR, True)])
def test_a_names_time_ends_to_the_moment(workers: Workers, seconds: float, *, free: bool) -> None:
    workers.post("k-1")
    workers.clock.now += seconds
    assert bool(workers.look("k-2")) is not free


def test_a_post_that_is_found_late_keeps_nobody_waiting_for_longer_than_one_whose_outcome_stays_unknown(
    workers: Workers,
) -> None:
    workers.begin("k-1")
    workers.clock.now += LATEST_SECONDS + 60
    workers.settle("k-1", POSTED)
    assert causes(workers.look("k-2")) == [("symbol", ENDS)]


def test_waiting_for_a_post_whose_outcome_nobody_will_know_takes_few_receives(workers: Workers) -> None:
    workers.rules(symbol=A_WEEK)
    workers.begin("k-1")
    receives = 0
    while holds := workers.look("k-2"):
        workers.clock.now = min(holds[0].until, workers.clock() + VISIBILITY_LIMIT_SECONDS)
        receives += 1
    assert workers.clock() == NOW + LATEST_SECONDS + A_WEEK
    assert receives < LEFTOVERS_RECEIVES / 5


@pytest.mark.parametrize("dry_run", [True, False])
def test_what_a_dry_run_did_not_post_keeps_waiting_a_dry_run_alone(workers: Workers, *, dry_run: bool) -> None:
    workers.rules(dry_run=True)
    workers.begin("k-1")
    workers.settle("k-1", Settlement(Status.DRY_RUN))
    workers.rules(dry_run=dry_run)
    assert bool(workers.look("k-2")) is dry_run


@pytest.mark.parametrize("dry_run", [True, False])
def test_what_was_posted_keeps_waiting_a_dry_run_too(workers: Workers, *, dry_run: bool) -> None:
    workers.post("k-1")
    workers.rules(dry_run=dry_run)
    assert workers.look("k-2")


def test_a_post_whose_entry_is_gone_keeps_nobody_waiting(workers: Workers) -> None:
    workers.post("k-1")
    del workers.table.items["post#k-1"]
    assert workers.look("k-2") == ()


def test_each_rule_has_its_own_time_and_a_message_waits_for_all(workers: Workers) -> None:
    workers.rules(alike=HALF_AN_HOUR)
    workers.post("k-1")
    workers.clock.now += 60
    workers.post("k-2", "$MSFT down")
    assert workers.look("k-3", "$MSFT, $AAPL and $TSLA up") == (
        Hold("symbol", "a post about $MSFT was made less than 60 minutes before", NOW + 60 + HOUR),
        Hold("symbol", "a post about $AAPL was made less than 60 minutes before", NOW + HOUR),
    )
    alike = Hold("alike", "a post like it was made less than 30 minutes before", NOW + HALF_AN_HOUR)
    assert workers.look("k-3", "$TSLA up") == (alike,)
    workers.clock.now = NOW + HALF_AN_HOUR
    assert workers.look("k-3", "$TSLA up") == ()


# The message itself


@pytest.mark.parametrize(
    ("settlement", "first"),
    [
        (None, True),
        (POSTED, True),
        (Settlement(Status.REJECTED), True),
        (Settlement(Status.DRY_RUN), True),
        (Settlement(Status.UNKNOWN), True),
        (Settlement(Status.REJECTED, perhaps_posted=True), True),
        (Settlement(Status.RELEASED), False),
    ],
)
def test_what_may_have_become_of_a_message_already_comes_first(
    workers: Workers, settlement: Settlement | None, *, first: bool
) -> None:
    workers.begin("k-1")
    if settlement:
        workers.settle("k-1", settlement)
    assert workers.look("k-1") == ()
    assert workers.views["k-1"].must_look is first


def test_a_message_that_nobody_tried_has_nothing_to_come_first(workers: Workers) -> None:
    workers.look("k-1")
    assert not workers.views["k-1"].must_look


def test_a_text_without_names_waits_for_nothing_and_takes_nothing(workers: Workers) -> None:
    workers.table.errors = ["InternalServerError"]
    assert workers.begin("k-1", "the market is up") == ()
    assert workers.table.errors == ["InternalServerError"]


def test_each_attempt_takes_its_names_anew(workers: Workers) -> None:
    workers.begin("k-1", "$AAPL and $MSFT up")
    workers.settle("k-1", Settlement(Status.RELEASED))
    workers.clock.now += 60
    assert workers.begin("k-1", "$AAPL and $MSFT up") == ()
    assert workers.item("$AAPL")["at"] == workers.item("$MSFT")["at"] == str(round(NOW + 60))


def test_a_name_is_forgotten_when_it_can_keep_nobody_waiting(workers: Workers) -> None:
    workers.rules(alike=HALF_AN_HOUR)
    workers.post("k-1")
    latest = NOW + LATEST_SECONDS
    assert workers.item("$AAPL") == {
        "pk": "spacing#$AAPL",
        "key": "k-1",
        "at": str(round(NOW)),
        "expires_at": str(round(latest + HOUR)),
    }
    assert workers.item(f"alike#{fingerprint('up')}")["expires_at"] == str(round(latest + HALF_AN_HOUR))


# Several workers


@pytest.mark.parametrize("text", ["$AAPL up", "$MSFT and $AAPL up"])
def test_of_two_workers_that_find_a_name_free_one_takes_it_and_the_other_takes_nothing(
    workers: Workers, text: str
) -> None:
    assert workers.look("k-1") == workers.look("k-2", text) == ()
    workers.claim("k-1")
    workers.claim("k-2", text)
    assert workers.take("k-1") == ()
    assert workers.take("k-2", text) == (BEING_MADE,)
    assert workers.item("$AAPL")["key"] == "k-1"
    assert "spacing#$MSFT" not in workers.table.items


@pytest.mark.parametrize("text", ["$AAPL up", "$MSFT and $AAPL up"])
def test_of_two_workers_that_find_a_rejected_posts_name_free_one_takes_it(workers: Workers, text: str) -> None:
    workers.begin("k-0")
    workers.settle("k-0", Settlement(Status.REJECTED))
    workers.look("k-1")
    workers.look("k-2", text)
    workers.claim("k-1")
    workers.claim("k-2", text)
    assert workers.take("k-1") == ()
    assert workers.take("k-2", text) == (BEING_MADE,)
    assert workers.item("$AAPL")["key"] == "k-1"


def test_a_name_that_looked_free_is_not_taken_from_a_key_that_took_it_once_more(workers: Workers) -> None:
    workers.begin("k-1")
    workers.settle("k-1", Settlement(Status.RELEASED))
    workers.look("k-2")
    workers.claim("k-2")
    workers.clock.now += 1
    workers.post("k-1")
    assert causes(workers.take("k-2")) == [("symbol", 1 + HOUR)]


def test_a_key_does_not_take_back_what_another_one_took_since_its_last_attempt(workers: Workers) -> None:
    workers.begin("k-1")
    workers.settle("k-1", Settlement(Status.RELEASED))
    for key in ("k-2", "k-1"):
        workers.look(key)
        workers.claim(key)
    assert workers.take("k-2") == ()
    assert workers.take("k-1") == (BEING_MADE,)


def test_a_message_that_must_be_looked_for_first_takes_nothing_that_was_taken_by_then(workers: Workers) -> None:
    workers.post("k-1")
    workers.claim("k-2")
    assert workers.look("k-2") == workers.take("k-2") != ()
    assert workers.item("$AAPL")["key"] == "k-1"


# DynamoDB's failures


@pytest.mark.parametrize("text", ["$AAPL up", "$MSFT and $AAPL up"])
@pytest.mark.parametrize("code", ["TransactionConflictException", "TransactionCanceledException"])
def test_names_are_looked_at_anew_after_a_conflict_with_another_write(workers: Workers, text: str, code: str) -> None:
    workers.table.errors = [code] * (TAKE_ATTEMPTS - 1)
    assert workers.begin("k-1", text) == ()
    assert workers.item("$AAPL")["key"] == "k-1"


def test_names_that_others_write_again_and_again_are_left_for_later(workers: Workers) -> None:
    workers.table.errors = ["TransactionConflictException"] * TAKE_ATTEMPTS
    with pytest.raises(Retry, match="other workers post about the same at the same time"):
        workers.begin("k-1")
    assert "spacing#$AAPL" not in workers.table.items


@pytest.mark.parametrize("text", ["$AAPL up", "$MSFT and $AAPL up"])
@pytest.mark.parametrize(("code", "error"), [("InternalServerError", Retry), ("AccessDeniedException", Halt)])
def test_names_that_cannot_be_written_are_not_taken(
    workers: Workers, text: str, code: str, error: type[Exception]
) -> None:
    workers.table.errors = [code]
    with pytest.raises(error, match=code):
        workers.begin("k-1", text)


def test_names_that_cannot_be_read_in_full_are_not_free(workers: Workers) -> None:
    workers.table.unprocessed = True
    with pytest.raises(Retry, match="did not answer in full"):
        workers.look("k-1")


def test_a_text_with_as_many_names_as_possible_waits_and_is_taken_as_any_other(workers: Workers) -> None:
    workers.rules(alike=HALF_AN_HOUR)
    tags = [f"${first}{second}" for first in "ABCDEFGHIJKLMN" for second in "ABCDEFGHIJ"]
    workers.post("k-1", " ".join(tags))
    assert len(workers.look("k-2", " ".join(tags))) == MAX_NAMES
