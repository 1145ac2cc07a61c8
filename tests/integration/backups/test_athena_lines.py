"""How Athena reads the lines of a file, and that none of them fails a query of docs/athena.md.

The stand-in reads lines as Trino's sources have it; the page says which.
"""

import gzip
import json
import re
from typing import Any

import pytest

from local.build import ROOT
from local.stand_ins import athena
from local.stand_ins.firestream import data
from tests.worlds.athena import DAY, NEXT_DAY, STATEMENTS, TABLES, key_of, rows, stored

PAGE = (ROOT / "docs" / "athena.md").read_text()
GOOD = {
    "id": 1,
    "body": "Up $AAPL",
    "created_at": "2016-12-05T13:30:00Z",
    "user": {"id": 7, "username": "owl"},
    "symbols": [{"symbol": "AAPL"}],
    "entities": {"sentiment": {"basic": "Bullish"}},
}

# Lines that are objects, and the ids that Athena reads.
OBJECTS = [
    ('{"id":1}\r', ["1"]),
    ('{"id":1} ', ["1"]),
    (' {"id":1}', ["1"]),
    ('\t{"id":1}\t', ["1"]),
    ('{"id":1,"id":2}', ["2"]),
    ('{"id":1,"ID":2}', ["2"]),
    ('{"id":1,"body":"\\u001b]0;owned\\u0007\\u001b[2J"}', ["1"]),
    ('{"id":1,"body":"\\u0000"}', ["1"]),
    ('{"id":12345678901234567890}', ["12345678901234567890"]),
    ('{"id":"one"}', ["one"]),
    ('{"id":true}', ["true"]),
    ('{"id":{"of": [1]}}', ['{"of":[1]}']),
    ('{"id":null}', [None]),
    ("{}", [None]),
]
# Lines that are not, and the ids that Athena reads: a lone carriage return makes two rows.
ODD = [
    ("not JSON", [None]),
    ("<html><body>Service unavailable</body></html>", [None]),
    ('{"id":1,"body":"cut off}', [None]),
    ("{", [None]),
    ('"id"', [None]),
    ("1", [None]),
    ("null", [None]),
    ("[]", [None]),
    ('[1,"text"]', ["1"]),
    ('{"id":1,"body":"a\tb"}', ["1"]),
    ('{"id":1,"body":"a\x01b"}', ["1"]),
    ('{"id":2}{"id":3}', ["2"]),
    ('{"id":2},', ["2"]),
    ('\ufeff{"id":1}', [None]),
    ('{"id":1,\r"body":"x"}', [None, None]),
]
# Lines on which Python, DuckDB and Athena's json_parse disagree: whether they are found cannot be tested here.
DISPUTED: list[tuple[str | bytes, list[str | None]]] = [
    ('{"id":1,"body":"\\ud83d"}', ["1"]),
    (b'{"id":1,"body":"\xff"}', ["1"]),
    ('{"id":1,"likes":NaN}', ["1"]),
    ('{"id":1,}', [None]),
]
EMPTY = ["", " ", "\t", "\r"]
ALL_LINES = [line for line, _ in (*OBJECTS, *ODD, *DISPUTED)] + EMPTY
OTHER_VALUES: list[Any] = ["text", '{"cut', "[", "", 7, 1.5, True, None, {"a": {}}, {}, ["a"], [{"a": 1}], []]


def all_before(title: str) -> str:
    """A statement of the page, after those that it needs."""
    needed = ["Create the copy", "Add a month"] if "_by_month" in STATEMENTS[title] else []
    return ";\n".join(STATEMENTS[each] for each in dict.fromkeys([*needed, title]))


# No line fails a query


@pytest.mark.parametrize("title", STATEMENTS)
def test_a_statement_of_the_page_runs_on_every_kind_of_line(title: str) -> None:
    rows(all_before(title), stored("message", DAY, GOOD, *ALL_LINES, GOOD))


@pytest.mark.parametrize("title", STATEMENTS)
def test_a_statement_of_the_page_runs_whatever_the_fields_are(title: str) -> None:
    lines = [GOOD | {field: value} for field in GOOD for value in OTHER_VALUES]
    rows(all_before(title), stored("message", DAY, GOOD, *lines, GOOD))


@pytest.mark.parametrize("title", ["Messages a day", "Most mentioned symbols", "Bullish against bearish by day"])
def test_odd_lines_do_not_change_what_a_query_says_of_the_others(title: str) -> None:
    odd = [line for line in ODD if line[1] == [None]]
    archive = stored("message", DAY, GOOD, *(line for line, _ in odd), *EMPTY, GOOD)
    assert rows(STATEMENTS[title], archive) == rows(STATEMENTS[title], stored("message", DAY, GOOD, GOOD)) != []


def test_a_sentiment_that_is_text_is_not_counted_and_the_others_are() -> None:
    archive = stored("message", DAY, GOOD, {"id": 2, "entities": {"sentiment": "Bullish"}}, GOOD)
    assert rows(STATEMENTS["Bullish against bearish by day"], archive) == [("2016/12/05", 2, 0, 100.0)]


@pytest.mark.parametrize("symbols", ["AAPL", {"symbol": "AAPL"}, ["AAPL"], [["AAPL"]], [{"symbol": {"is": "AAPL"}}]])
def test_symbols_of_another_shape_are_not_counted_and_the_others_are(symbols: Any) -> None:
    archive = stored("message", DAY, GOOD, {"id": 2, "symbols": symbols}, GOOD)
    assert rows(STATEMENTS["Most mentioned symbols"], archive) == [("AAPL", 2)]


@pytest.mark.parametrize(
    ("line", "ids"),
    [*OBJECTS, *ODD, *DISPUTED, *((line, [None]) for line in EMPTY)],
    ids=repr,
)
def test_any_line_is_read_and_so_are_those_around_it(line: str | bytes, ids: list[str | None]) -> None:
    archive = stored("message", DAY, {"id": "before"}, line, {"id": "after"})
    assert rows("SELECT id FROM messages", archive) == [("before",), *((each,) for each in ids), ("after",)]


# Finding them


def test_the_lines_that_are_not_objects_are_found() -> None:
    lines = [line for line, _ in ODD]
    found = rows(STATEMENTS["The lines themselves"], stored("message", DAY, GOOD, *lines, GOOD))
    assert found == [("2016/12/05", part) for line in lines for part in line.split("\r")]


def test_objects_and_empty_lines_are_not_among_them() -> None:
    archive = stored("message", DAY, *(line for line, _ in OBJECTS), *EMPTY)
    assert rows(STATEMENTS["The lines themselves"], archive) == []


def test_a_day_with_rows_of_nulls_is_listed_with_their_number() -> None:
    archive = stored("message", DAY, GOOD, "not JSON", "") | stored("message", NEXT_DAY, GOOD)
    assert rows(STATEMENTS["Days with rows of nulls"], archive) == [("2016/12/05", 1, 2)]


def test_the_lines_of_activities_can_be_read_as_well() -> None:
    assert rows("SELECT line FROM activity_lines", stored("activity", DAY, '{"a" : 1}')) == [('{"a" : 1}',)]


# Files


@pytest.mark.parametrize("content", [b"", b"\n"], ids=["no line", "an empty line"])
def test_a_file_without_messages_has_none(content: bytes) -> None:
    archive = {key_of("message", DAY): gzip.compress(content)}
    assert rows("SELECT count(id) FROM messages", archive) == [(0,)]


def test_all_members_of_a_file_are_read() -> None:
    archive = {key_of("message", DAY): gzip.compress(b'{"id":1}\n{"i') + gzip.compress(b'd":2}\n')}
    assert rows("SELECT id FROM messages", archive) == [("1",), ("2",)]


def test_a_byte_order_mark_at_the_beginning_of_a_file_is_skipped() -> None:
    assert rows("SELECT id FROM messages", stored("message", DAY, '\ufeff{"id":1}')) == [("1",)]


def test_a_last_line_without_a_line_feed_is_read() -> None:
    archive = {key_of("message", DAY): gzip.compress(b'{"id":1}\n{"id":2}')}
    assert rows("SELECT id FROM messages", archive) == [("1",), ("2",)]


@pytest.mark.parametrize("content", [b"not gzip", gzip.compress(b'{"id":1}\n')[:-4]], ids=["not gzip", "cut off"])
def test_a_file_that_is_not_whole_gzip_fails_the_query(content: bytes) -> None:
    with pytest.raises((OSError, EOFError)):
        rows("SELECT id FROM messages", {key_of("message", DAY): content})


# Columns


def test_every_declared_field_of_a_message_is_read() -> None:
    (line,) = [json.loads(each) for each in data.lines("message", DAY, 1)]
    archive = {key_of("message", DAY): data.backup("message", DAY, 1)}
    (row,) = athena.answer("SELECT * FROM messages", archive, TABLES)
    texts = {"id": str(line["id"]), "body": line["body"], "created_at": line["created_at"], "day": "2016/12/05"}
    assert {name: row.pop(name) for name in texts} == texts
    assert {name: read and json.loads(read) for name, read in row.items()} == {name: line.get(name) for name in row}


def test_an_object_or_an_array_is_json_without_white_space() -> None:
    archive = stored("message", DAY, '{"user": {"Name": "é </a>", "likes": null}, "links": [1, "b", false]}')
    ((user, links),) = rows('SELECT "user", links FROM messages', archive)
    assert (user, links) == ('{"Name":"é </a>","likes":null}', '[1,"b",false]')


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('{"body": "as it is"}', "as it is"),
        ('{"body": 7}', "7"),
        ('{"body": 1.5}', "1.5"),
        ('{"body": true}', "true"),
        ('{"body": null}', None),
        ('{"Body": "in upper case"}', "in upper case"),
        ('{"body": "\\ud83d"}', "?"),
        (b'{"body": "\xff"}', "�"),
    ],
)
def test_what_is_neither_an_object_nor_an_array_is_its_text(line: str | bytes, text: str | None) -> None:
    assert rows("SELECT body FROM messages", stored("message", DAY, line)) == [(text,)]


def test_an_activity_in_an_envelope_is_read() -> None:
    data = {"id": 9, "user_id": 7}
    line = {"object": "LikeMessage", "action": "create", "data": data, "time": "2016-12-05T13:30:00Z"}
    (row,) = athena.answer("SELECT * FROM activities", stored("activity", DAY, line), TABLES)
    assert json.loads(row.pop("data")) == data
    assert {name: value for name, value in row.items() if value is not None} == {
        "object": "LikeMessage",
        "action": "create",
        "time": "2016-12-05T13:30:00Z",
        "day": "2016/12/05",
    }


def test_a_flat_activity_is_read() -> None:
    line = {
        "object": "Message",
        "object_id": "9",
        "subject": "User",
        "subject_id": "7",
        "action": "create",
        "created_at": "2016-12-05T13:30:00Z",
    }
    (row,) = athena.answer("SELECT * FROM activities", stored("activity", DAY, line), TABLES)
    assert {name: value for name, value in row.items() if value is not None} == line | {"day": "2016/12/05"}


@pytest.mark.parametrize(
    ("written", "file_type", "line", "value"),
    [
        ("json_extract_scalar(data, '$.user_id')", "activity", {"data": {"user_id": 7}}, "7"),
        ("json_extract_scalar(data, '$.user_id')", "activity", {"data": "user 7"}, None),
        ("json_extract_scalar(\"user\", '$.username')", "message", {"user": {"username": "owl"}}, "owl"),
        ("json_extract_scalar(\"user\", '$.username')", "message", {"user": ["owl"]}, None),
        ("json_extract_scalar(\"user\", '$.username')", "message", {"user": {"username": {"is": "owl"}}}, None),
        ("try_cast(json_extract(links, '$') AS array(json))", "message", {"links": [{"url": "a"}]}, ['{"url":"a"}']),
        ("try_cast(json_extract(links, '$') AS array(json))", "message", {"links": "a"}, None),
        ("try_cast(id AS bigint)", "message", {"id": 7}, 7),
        ("try_cast(id AS bigint)", "message", {"id": "7"}, 7),
        ("try_cast(id AS bigint)", "message", {"id": "seven"}, None),
    ],
)
def test_an_expression_of_the_page_reads_a_column(
    written: str, file_type: str, line: dict[str, Any], value: Any
) -> None:
    assert f"`{written}`" in PAGE
    table = {"activity": "activities", "message": "messages"}[file_type]
    assert rows(f"SELECT {written} FROM {table}", stored(file_type, DAY, line)) == [(value,)]


def test_both_forms_of_an_activity_have_its_time() -> None:
    (sql,) = re.findall(r"`(SELECT .* FROM activities)`", PAGE)
    flat = {"object": "Block", "action": "create", "created_at": "2016-12-05T01:00:00Z"}
    envelope = {"object": "Block", "action": "destroy", "data": {}, "time": "2016-12-05T02:00:00Z"}
    assert rows(sql, stored("activity", DAY, flat, envelope)) == [
        ("Block", "create", "2016-12-05T01:00:00Z"),
        ("Block", "destroy", "2016-12-05T02:00:00Z"),
    ]
