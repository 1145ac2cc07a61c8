"""The archive as Athena reads it: the queries of docs/athena.md over the keys that the function writes.

DuckDB stands in for Athena, by way of `local.stand_ins.athena`; the tables are those that the template declares.
"""

import json
import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws
from relay.backups.backup import Backup

from local.stand_ins import athena
from local.stand_ins.firestream import data
from tests.template import TEMPLATE
from tests.worlds.athena import DAY, NEXT_DAY, STATEMENTS, TABLES, key_of, rows, stored

QUERIES = dict(list(STATEMENTS.items())[:3])
MESSAGES_A_DAY, MOST_MENTIONED, BULLISH_AGAINST_BEARISH = QUERIES.values()

TODAY = datetime.now(UTC).date()


def about(*symbols: str) -> dict[str, Any]:
    return {"id": 1, "symbols": [{"id": 7, "symbol": symbol, "title": f"{symbol} Inc."} for symbol in symbols]}


def marked(sentiment: str | None) -> dict[str, Any]:
    return {"id": 1, "entities": {"sentiment": sentiment and {"basic": sentiment}}}


# The queries


def test_the_page_has_the_three_queries_first() -> None:
    assert list(QUERIES) == ["Messages a day", "Most mentioned symbols", "Bullish against bearish by day"]


def test_messages_a_day() -> None:
    archive = stored("message", NEXT_DAY, {"id": 4}) | stored("message", DAY, {"id": 1}, {"id": 2}, {"id": 3})
    assert athena.answer(MESSAGES_A_DAY, archive, TABLES) == [
        {"day": "2016/12/05", "messages": 3},
        {"day": "2016/12/06", "messages": 1},
    ]


def test_most_mentioned_symbols() -> None:
    first_day = stored("message", DAY, about("TSLA"), about("SPY", "AAPL"), about("BRK.B"))
    archive = first_day | stored("message", NEXT_DAY, about("AAPL"))
    assert athena.answer(MOST_MENTIONED, archive, TABLES) == [
        {"symbol": "AAPL", "mentions": 2},
        {"symbol": "BRK.B", "mentions": 1},
        {"symbol": "SPY", "mentions": 1},
        {"symbol": "TSLA", "mentions": 1},
    ]


def test_a_message_that_names_a_symbol_twice_mentions_it_once() -> None:
    assert rows(MOST_MENTIONED, stored("message", DAY, about("AAPL", "AAPL"))) == [("AAPL", 1)]


def test_a_message_without_symbols_mentions_none() -> None:
    archive = stored("message", DAY, {"id": 1}, {"id": 2, "symbols": None}, {"id": 3, "symbols": []})
    assert rows(MOST_MENTIONED, archive) == []


def test_only_the_twenty_most_mentioned_symbols_are_listed() -> None:
    lines = [about(*(f"S{number:02}" for number in range(21))), about("S20")]
    assert rows(MOST_MENTIONED, stored("message", DAY, *lines)) == [
        ("S20", 2),
        *((f"S{number:02}", 1) for number in range(19)),
    ]


def test_bullish_against_bearish_by_day() -> None:
    archive = stored("message", NEXT_DAY, marked("Bearish"))
    archive |= stored("message", DAY, marked("Bullish"), marked("Bearish"), marked("Bullish"), marked(None))
    assert athena.answer(BULLISH_AGAINST_BEARISH, archive, TABLES) == [
        {"day": "2016/12/05", "bullish": 2, "bearish": 1, "bullish_percent": 66.7},
        {"day": "2016/12/06", "bullish": 0, "bearish": 1, "bullish_percent": 0},
    ]


@pytest.mark.parametrize("line", [{"id": 1}, {"id": 1, "entities": None}, {"id": 1, "entities": {}}, marked(None)])
def test_a_day_without_a_sentiment_has_no_bullish_percentage(line: dict[str, Any]) -> None:
    assert rows(BULLISH_AGAINST_BEARISH, stored("message", DAY, line)) == [("2016/12/05", 0, 0, None)]


@pytest.mark.parametrize("sql", [MESSAGES_A_DAY, BULLISH_AGAINST_BEARISH])
def test_days_are_in_order(sql: str) -> None:
    archive: dict[str, bytes] = {}
    for number in (17, 3, 29, 11, 8, 23, 5):
        archive |= stored("message", date(2016, 12, number), {"id": 1})
    days = [row[0] for row in rows(sql, archive)]
    assert days == sorted(days)


@pytest.mark.parametrize("sql", QUERIES.values(), ids=QUERIES)
def test_a_query_uses_only_what_the_tables_declare(sql: str) -> None:
    assert rows(sql, {}) == []


@pytest.mark.parametrize("sql", QUERIES.values(), ids=QUERIES)
def test_a_query_reads_only_december_2016(sql: str) -> None:
    line = about("AAPL") | marked("Bullish")
    outside = stored("message", date(2016, 11, 30), line) | stored("message", date(2017, 1, 1), line)
    within = stored("message", date(2016, 12, 1), line) | stored("message", date(2016, 12, 31), line)
    assert rows(sql, outside) == []
    assert rows(sql, outside | within) == rows(sql, within) != []


def test_the_queries_agree_with_a_count_in_python_over_the_stand_ins_backups() -> None:
    days = [DAY, NEXT_DAY]
    archive = {key_of("message", day): data.backup("message", day, 300) for day in days}
    lines = {day: [json.loads(line) for line in data.lines("message", day, 300)] for day in days}
    mentions = Counter(symbol["symbol"] for day in days for line in lines[day] for symbol in line["symbols"])
    marks = {day: Counter(str(line["entities"]["sentiment"]) for line in lines[day]) for day in days}

    assert rows(MESSAGES_A_DAY, archive) == [("2016/12/05", 300), ("2016/12/06", 300)]
    assert rows(MOST_MENTIONED, archive) == sorted(mentions.items(), key=lambda each: (-each[1], each[0]))[:20]
    assert [row[1:3] for row in rows(BULLISH_AGAINST_BEARISH, archive)] == [
        (marks[day]["{'basic': 'Bullish'}"], marks[day]["{'basic': 'Bearish'}"]) for day in days
    ]


# Which objects belong to the tables


@pytest.mark.parametrize(("file_type", "table"), [("message", "messages"), ("activity", "activities")])
def test_each_type_of_file_has_tables_of_its_own(file_type: str, table: str) -> None:
    assert [each.name for each in TABLES if each.date_of(key_of(file_type, DAY))] == [table, f"{file_type}_lines"]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_day_from_2009_to_today_is_in_the_table(table: athena.Table) -> None:
    file_type = table.folder.removesuffix("/")
    first, today, yet_to_come = date(2009, 1, 1), TODAY, TODAY + timedelta(days=2)
    found = [table.date_of(key_of(file_type, day)) for day in (first, today, yet_to_come)]
    assert found == ["2009/01/01", f"{today:%Y/%m/%d}", None]


@pytest.mark.parametrize(
    "key",
    [
        Backup(day=DAY, file_type="message").absent_key,
        f"damaged/{key_of('message', DAY)}",
        "athena-results/1.csv",
        "message/2016/12/5/lines.gz",
    ],
)
def test_other_objects_in_the_bucket_are_in_no_table(key: str) -> None:
    assert not [each for each in TABLES if each.date_of(key)]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_partitions_step_by_days(table: athena.Table) -> None:
    (parameters,) = [
        each["Properties"]["TableInput"]["Parameters"]
        for each in TEMPLATE["Resources"].values()
        if each["Type"] == "AWS::Glue::Table" and each["Properties"]["TableInput"]["Name"] == table.name
    ]
    assert (parameters["projection.day.interval"], parameters["projection.day.interval.unit"]) == ("1", "DAYS")


def test_a_declaration_that_finds_no_file_is_refused() -> None:
    properties = TEMPLATE["Resources"]["MessagesTable"]["Properties"]
    parameters = properties["TableInput"]["Parameters"] | {"projection.enabled": "false"}
    with pytest.raises(ValueError, match="not a projection of dates"):
        athena.Table.declared({"TableInput": properties["TableInput"] | {"Parameters": parameters}})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Columns": [{"Name": "id", "Type": "bigint"}]}, "of another type would fail the query"),
        ({"Columns": [{"Name": "symbols", "Type": "array<string>"}]}, "of another type would fail the query"),
        ({"SerdeInfo": {"SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe", "Parameters": {}}}, "not JSON"),
    ],
)
def test_a_declaration_with_which_a_line_can_fail_a_query_is_refused(change: dict[str, Any], reason: str) -> None:
    declared = TEMPLATE["Resources"]["MessagesTable"]["Properties"]["TableInput"]
    storage = declared["StorageDescriptor"] | change
    with pytest.raises(ValueError, match=reason):
        athena.Table.declared({"TableInput": declared | {"StorageDescriptor": storage}})


def test_a_buckets_objects_are_all_fetched() -> None:
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="archive")
        for key, content in {"a": b"1", "b/c": b"2"}.items():
            s3.put_object(Bucket="archive", Key=key, Body=content)
        assert athena.objects(s3, "archive") == {"a": b"1", "b/c": b"2"}


# The workgroup


def workgroup() -> Any:
    return TEMPLATE["Resources"]["ArchiveWorkGroup"]["Properties"]["WorkGroupConfiguration"]


def test_the_limit_of_a_query_is_the_parameters_number_of_gigabytes() -> None:
    parameter = TEMPLATE["Parameters"]["AthenaScanLimitGB"]
    limit = workgroup()["BytesScannedCutoffPerQuery"]["Fn::Sub"].replace("${AthenaScanLimitGB}", parameter["Default"])
    assert int(limit) == 100 * 10**9
    assert [bool(re.fullmatch(parameter["AllowedPattern"], given)) for given in ("1", "99999")] == [True, True]
    assert not [given for given in ("0", "1.5", "-1", "", "1e3") if re.fullmatch(parameter["AllowedPattern"], given)]


def test_a_query_cannot_override_the_limit() -> None:
    assert workgroup()["EnforceWorkGroupConfiguration"] is True


def test_results_are_encrypted_and_deleted_after_thirty_days() -> None:
    results = workgroup()["ResultConfiguration"]
    assert results["EncryptionConfiguration"] == {"EncryptionOption": "SSE_S3"}
    prefix = results["OutputLocation"]["Fn::Sub"].removeprefix("s3://${BackupBucket}/")
    rules = TEMPLATE["Resources"]["BackupBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert [rule["ExpirationInDays"] for rule in rules if rule.get("Prefix") == prefix] == [30]
