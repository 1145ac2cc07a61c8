"""The copy in Parquet that docs/athena.md shows how to write."""

from datetime import date
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from local.build import ROOT
from tests.template import TEMPLATE
from tests.worlds.athena import DAY, STATEMENTS, rows, stored

CREATE, ADD = STATEMENTS["Create the copy"], STATEMENTS["Add a month"]
DECEMBER, JANUARY = DAY, date(2017, 1, 9)
MOST_PARTITIONS = 100
"""A statement may write no more: https://docs.aws.amazon.com/athena/latest/ug/ctas-insert-into.html."""


def message(number: int, sentiment: str | None = None, *symbols: str) -> dict[str, Any]:
    return {
        "id": number,
        "body": f"message {number}",
        "created_at": "2016-12-05T13:30:00Z",
        "user": {"id": 7, "username": "owl"},
        "symbols": [{"symbol": symbol} for symbol in symbols],
        "entities": {"sentiment": sentiment and {"basic": sentiment}},
    }


def copied(sql: str, archive: dict[str, bytes]) -> list[tuple[Any, ...]]:
    """What a query says after both statements have run."""
    return rows(f"{CREATE};\n{ADD};\n{sql}", archive)


def test_the_first_month_is_copied_by_the_first_statement_and_the_next_by_the_second() -> None:
    archive = stored("message", DECEMBER, message(1)) | stored("message", JANUARY, message(2))
    assert rows(f"{CREATE}; SELECT id, month FROM messages_by_month", archive) == [(1, "2016-12")]
    assert copied("SELECT id, month FROM messages_by_month ORDER BY id", archive) == [(1, "2016-12"), (2, "2017-01")]


def test_a_message_is_copied_with_its_fields_in_their_types() -> None:
    archive = stored("message", DECEMBER, message(1, "Bullish", "AAPL", "SPY"))
    assert copied("SELECT * FROM messages_by_month", archive) == [
        (1, "2016-12-05T13:30:00Z", 7, "owl", "message 1", ["AAPL", "SPY"], "Bullish", "2016/12/05", "2016-12")
    ]


@pytest.mark.parametrize(
    ("first", "last", "month"),
    [(date(2016, 12, 1), date(2016, 12, 31), "2016-12"), (date(2017, 1, 1), date(2017, 1, 31), "2017-01")],
)
def test_a_month_is_copied_from_its_first_day_to_its_last(first: date, last: date, month: str) -> None:
    archive = stored("message", first, message(1)) | stored("message", last, message(2))
    assert copied("SELECT id, month FROM messages_by_month ORDER BY id", archive) == [(1, month), (2, month)]


def test_days_of_other_months_are_not_copied() -> None:
    archive = stored("message", date(2016, 11, 30), message(1)) | stored("message", date(2017, 2, 1), message(2))
    assert copied("SELECT id FROM messages_by_month", archive) == []


def test_lines_without_an_id_are_not_copied() -> None:
    archive = stored("message", DECEMBER, "not JSON", "", {"body": "no id"}, message(1))
    assert copied("SELECT id FROM messages_by_month", archive) == [(1,)]


def test_what_does_not_fit_a_type_is_null_in_the_copy() -> None:
    line = {"id": "one", "user": "owl", "symbols": "AAPL", "entities": {"sentiment": {"basic": ["Bullish"]}}}
    archive = stored("message", DECEMBER, line)
    sql = "SELECT id, user_id, username, symbols, sentiment FROM messages_by_month"
    assert copied(sql, archive) == [(None, None, None, None, None)]


def test_a_number_in_quotes_is_a_number_in_the_copy() -> None:
    archive = stored("message", DECEMBER, {"id": "1", "user": {"id": "7"}})
    assert copied("SELECT id, user_id FROM messages_by_month", archive) == [(1, 7)]


def test_both_statements_select_the_same() -> None:
    first, second = (sqlglot.parse_one(sql, read="athena").expression for sql in (CREATE, ADD))
    assert [str(each) for each in first.expressions] == [str(each) for each in second.expressions]


def test_bullish_against_bearish_by_month() -> None:
    lines = [message(1, "Bullish"), message(2, "Bearish"), message(3, "Bullish"), message(4)]
    archive = stored("message", DECEMBER, *lines) | stored("message", JANUARY, message(5, "Bearish"))
    assert copied(STATEMENTS["Query the copy"], archive) == [("2016-12", 2, 1), ("2017-01", 0, 1)]


def test_the_copys_most_mentioned_symbols_are_those_of_the_files() -> None:
    lines = [message(1, None, "AAPL", "SPY", "AAPL"), message(2, None, "SPY"), message(3)]
    archive = stored("message", DECEMBER, *lines)
    mentioned = copied(STATEMENTS["Most mentioned symbols of the copy"], archive)
    assert mentioned == rows(STATEMENTS["Most mentioned symbols"], archive) == [("SPY", 2), ("AAPL", 1)]


def test_the_copy_is_parquet_and_its_partition_the_last_column() -> None:
    assert "format = 'PARQUET'" in CREATE
    assert "partitioned_by = ARRAY['month']" in CREATE
    assert sqlglot.parse_one(CREATE, read="athena").expression.expressions[-1].alias == "month"


@pytest.mark.parametrize("sql", [CREATE, ADD], ids=["create", "add"])
def test_a_statement_writes_no_more_partitions_than_athena_allows(sql: str) -> None:
    (days,) = sqlglot.parse_one(sql, read="athena").find_all(exp.Between)
    first, last = (date.fromisoformat(days.args[end].name.replace("/", "-")) for end in ("low", "high"))
    assert 1 + (last.year - first.year) * 12 + last.month - first.month <= MOST_PARTITIONS


def test_the_copy_is_created_outside_the_stacks_workgroup_which_would_put_it_where_results_are_deleted() -> None:
    settings = TEMPLATE["Resources"]["ArchiveWorkGroup"]["Properties"]["WorkGroupConfiguration"]
    assert settings["EnforceWorkGroupConfiguration"]
    assert "external_location = 's3://YOUR-BUCKET/" in CREATE
    assert "such as `primary`" in (ROOT / "docs" / "athena.md").read_text()
