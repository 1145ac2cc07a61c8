"""A hundred days of the relay in simulated time: no guarantee is violated, and a violation would be found."""

import time
from typing import Any

import boto3
import pytest
from moto import mock_aws

from verification.simulation.dynamodb import ConditionalCheckFailedException, Table
from verification.simulation.mutations import MUTATIONS, Mutation
from verification.simulation.rule_mutations import RULE_MUTATIONS
from verification.simulation.run import run
from verification.simulation.scenario import scenario
from verification.simulation.stocktwits import Links

DAYS = 100
SECONDS = 60
"""Enough for all days on an idle machine; a busy one runs as many as it can."""


@pytest.mark.timeout(4 * SECONDS)
def test_nothing_is_lost_nothing_posted_twice_and_no_gate_or_pace_ignored() -> None:
    end = time.monotonic() + SECONDS
    for seed in range(DAYS):
        day = run(seed)
        assert not day.violations, day.report()
        if time.monotonic() > end:
            break
    assert seed >= DAYS / 4


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("mutation", "first"), MUTATIONS.items(), ids=lambda each: getattr(each, "__name__", ""))
def test_a_deliberate_defect_is_found(mutation: Mutation, first: int) -> None:
    _is_found(mutation, first, ruled=False)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("mutation", "first"), RULE_MUTATIONS.items(), ids=lambda each: getattr(each, "__name__", ""))
def test_a_defect_in_an_owners_rule_is_found(mutation: Mutation, first: int) -> None:
    _is_found(mutation, first, ruled=True)


def _is_found(mutation: Mutation, first: int, *, ruled: bool) -> None:
    """`first` is a day on which it is found now; if the days change, the search continues from there."""
    for seed in range(first, first + 300):
        with mutation():
            day = run(seed, rough=seed % 2 == 0, ruled=ruled)
        if day.violations:
            break
    assert day.violations, f"{mutation.__doc__} It was not found."
    assert not run(seed, rough=seed % 2 == 0, ruled=ruled).violations  # the defect is the cause, nothing else


def test_the_same_seed_is_the_same_day() -> None:
    seed = next(seed for seed in range(100) if run(seed).world.network.kills)
    assert run(seed).report() == run(seed).report()
    assert f"Repeat: make simulate SEED={seed}" in run(seed).report()


def test_the_days_contain_what_they_should_test() -> None:
    """Collected over the first hundred days, and two more for what is rare."""
    met: set[str] = set()
    for seed in (*range(100), 182, 337):
        day = run(seed, ruled=False).world
        trace = " ".join(what for _, _, what in day.network.trace)
        met |= {words for words in EXPECTED if words in trace}
        met |= {"workers killed"} if day.network.kills else set()
        met |= {"a retry by the operator"} if day.retried else set()
        met |= {"two at once"} if scenario(seed).two_drains else set()
        met |= {day.day.nature.links}
    assert met == {*EXPECTED, *Links, "workers killed", "a retry by the operator", "two at once"}


EXPECTED = (
    "worked on late",
    "not reached",
    "found on the account's stream",
    "its answer is lost",
    "looked for once more in 30 minutes",
    "the ledger has it as posted",
    "already used for another text",
    "it expired at",
    "paused by ann",
    "is reached",
    "StockTwits refused the token",
    "bot protection",
    "StockTwits limits the rate",
    "another worker is delivering this key",
    "could not be deleted",
    "could not be rescheduled",
    "reads the token again",
    "StockTwits shows another text than was sent",
    "took another message in between",
    "may have posted it",
    "is much like it",
    "compare their links",
    "without a readable id",
    "may be older than the first attempt",
    "could not be read back",
    "is another message's",
    "answered twice that it is posted",
    "which is not about the message",
)


def test_the_table_in_memory_answers_as_dynamodb_does() -> None:
    asked: list[tuple[str, dict[str, Any]]] = []
    for seed in range(10, 14):
        run(seed, on_call=lambda operation, given: asked.append((operation, given)))
    ours = Table()
    with mock_aws():
        theirs = boto3.client("dynamodb", region_name="us-east-1")
        theirs.create_table(
            TableName="ledger",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        )
        for operation, given in asked[:400]:
            assert _answer(ours, operation, given) == _answer(theirs, operation, given), (operation, given)
    assert {operation for operation, _ in asked} == {"put_item", "update_item", "batch_get_item"}


def _answer(client: Any, operation: str, given: dict[str, Any]) -> Any:
    """Return the result of an operation, or the item that refused it, without what differs in every answer."""
    refused = (ConditionalCheckFailedException, getattr(client, "exceptions", ConditionalCheckFailedException))
    try:
        answer = getattr(client, operation)(**given)
    except Exception as error:
        if not isinstance(error, refused[0]) and type(error).__name__ != "ConditionalCheckFailedException":
            raise
        return "refused", error.response.get("Item")  # type: ignore[union-attr]
    if operation == "batch_get_item":
        (items,) = answer["Responses"].values()
        return sorted(items, key=lambda item: item["pk"]["S"])
    return answer.get("Attributes")
