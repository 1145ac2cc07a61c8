"""The events and requests that fetch_backups accepts, and the reasons for which it refuses others."""

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay.backups.backup import FILE_TYPES, FIRST_DAY, Backup
from relay.backups.events import Backfill, IfStored, Nightly, Request, Requests, read_event, read_request
from relay.errors import Reject

TODAY = date(2026, 3, 10)
A_REQUEST = '{"file_type": "message", "day": "2016-12-05"}'
A_RECORD: dict[str, Any] = {
    "messageId": "m-1",
    "receiptHandle": "r-1",
    "body": A_REQUEST,
    "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1795274420000"},
    "eventSource": "aws:sqs",
}
NOT_COUNTS = ["", "soon", "-1", " 1", "1.0", "\u0661", "9" * 5000, 1_795_274_420_000, None]


def a_range(**but: Any) -> dict[str, Any]:
    return {"first_day": "2024-01-01", "last_day": "2024-12-31", **but}


def a_request(**but: Any) -> str:
    return json.dumps({"file_type": "message", "day": "2016-12-05", **but})


def refused_event(event: object) -> str:
    with pytest.raises(Reject) as refused:
        read_event(event, TODAY)
    return refused.value.reason


def refused_request(body: str) -> str:
    with pytest.raises(Reject) as refused:
        read_request(body, TODAY)
    return refused.value.reason


@given(day=st.dates(FIRST_DAY, date(2026, 3, 9)), file_type=st.sampled_from(FILE_TYPES))
def test_a_request_names_the_backup_it_was_made_of(day: date, file_type: str) -> None:
    assert read_request(Request(Backup(day, file_type)).body, TODAY) == Request(Backup(day, file_type))


@pytest.mark.parametrize("if_stored", IfStored)
@pytest.mark.parametrize("asked_at", [None, "2026-03-09T09:00:00Z"])
def test_a_request_is_read_as_it_was_written(if_stored: IfStored, asked_at: str | None) -> None:
    request = Request(Backup(date(2016, 12, 5), "message"), if_stored, asked_at)
    assert read_request(request.body, TODAY) == request


def test_a_plain_request_has_the_fields_of_its_backup_alone() -> None:
    backup = Backup(date(2016, 12, 5), "message")
    assert Request(backup).body == A_REQUEST


# --- The three events


def test_the_nightly_event_has_one_field() -> None:
    assert read_event({"run": "nightly"}, TODAY) == Nightly()


def test_a_range_alone_asks_for_the_types_that_are_kept_and_not_again_for_what_is_absent() -> None:
    assert read_event(a_range(), TODAY) == Backfill(date(2024, 1, 1), date(2024, 12, 31), None, retry_absent=False)


def test_a_range_may_name_its_types_and_ask_again_for_what_is_absent() -> None:
    event = a_range(file_types=["activity"], retry_absent=True)
    assert read_event(event, TODAY) == Backfill(date(2024, 1, 1), date(2024, 12, 31), ("activity",), retry_absent=True)


def test_a_type_that_is_named_twice_counts_once_and_the_order_stays() -> None:
    event = read_event(a_range(file_types=["message", "activity", "message"]), TODAY)
    assert isinstance(event, Backfill)
    assert event.file_types == ("message", "activity")


def test_a_range_may_be_a_day_and_reach_from_the_first_one_to_yesterday() -> None:
    day = read_event(a_range(first_day="2024-02-29", last_day="2024-02-29"), TODAY)
    everything = read_event(a_range(first_day="2009-01-01", last_day="2026-03-09"), TODAY)
    assert day == Backfill(date(2024, 2, 29), date(2024, 2, 29), None, retry_absent=False)
    assert everything == Backfill(date(2009, 1, 1), date(2026, 3, 9), None, retry_absent=False)


@pytest.mark.parametrize("records", [[], [A_RECORD], [A_RECORD, {**A_RECORD, "body": "not JSON"}]])
def test_records_of_a_queue_are_handed_on_as_they_came(records: list[dict[str, Any]]) -> None:
    # Their bodies are read one by one: a bad one must not harm its neighbours.
    assert read_event({"Records": records}, TODAY) == Requests(records)


def test_a_request_that_comes_back_from_the_failures_is_read_whatever_its_attributes() -> None:
    given_up = {"RejectReason": {"stringValue": "the gzip data is damaged", "dataType": "String"}}
    back = {**A_RECORD, "messageAttributes": given_up}
    assert read_event({"Records": [back]}, TODAY) == Requests([back])


# --- Events that are none of the three


@pytest.mark.parametrize(
    "event",
    [
        {},
        [],
        None,
        "nightly",
        [{"run": "nightly"}],
        {"run": "weekly"},
        {"run": "nightly", "lookback_days": 30},
        {"Run": "nightly"},
        {"file_types": ["message"]},
        {"file_type": "message", "day": "2016-12-05"},
        {"Records": None},
        {"Records": A_RECORD},
        {"Records": ["m-1"]},
        {"version": "0", "source": "aws.events", "detail-type": "Scheduled Event", "detail": {}},
    ],
)
def test_an_event_of_another_shape_is_refused_with_the_three_there_are(event: object) -> None:
    reason = refused_event(event)
    assert "none of the three" in reason
    for shape in ('{"run": "nightly"}', '"first_day"', "BackupRequests"):
        assert shape in reason


@pytest.mark.parametrize(
    "record",
    [
        {"eventSource": "aws:s3", "s3": {"object": {"key": "a.gz"}}},
        {**A_RECORD, "eventSource": "aws:s3"},
        {**A_RECORD, "body": {"file_type": "message"}},
        {**A_RECORD, "attributes": None},
        {**A_RECORD, "attributes": {"ApproximateReceiveCount": "1"}},
        {**A_RECORD, "attributes": {"SentTimestamp": "1795274420000"}},
        *({**A_RECORD, "attributes": {**A_RECORD["attributes"], "SentTimestamp": sent}} for sent in NOT_COUNTS),
        {**A_RECORD, "messageAttributes": None},
        {**A_RECORD, "messageAttributes": {"RelayKey": "k"}},
        *({name: value for name, value in A_RECORD.items() if name != lost} for lost in A_RECORD),
    ],
)
def test_records_that_are_not_of_a_queue_are_refused(record: dict[str, Any]) -> None:
    assert "none of the three" in refused_event({"Records": [A_RECORD, record]})


# --- Ranges that are refused


def test_a_range_backwards_is_refused_with_both_its_ends() -> None:
    reason = refused_event(a_range(first_day="2024-12-31", last_day="2024-01-01"))
    assert reason == "first_day: 2024-12-31 is after last_day, 2024-01-01"


@pytest.mark.parametrize(
    ("field", "day"),
    [("last_day", "2026-03-10"), ("last_day", "2026-03-11"), ("last_day", "2049-01-01"), ("first_day", "2027-01-01")],
)
def test_a_day_that_is_not_over_is_refused_with_the_newest_that_is(field: str, day: str) -> None:
    assert refused_event(a_range(**{field: day})) == (
        f"{field}: {day} is not over yet; 2026-03-09 is the newest day that is complete (UTC)"
    )


def test_a_range_is_refused_for_the_end_that_is_wrong() -> None:
    assert refused_event(a_range(first_day="2009-01-01", last_day="2049-01-01")).startswith("last_day: 2049-01-01")
    assert refused_event(a_range(first_day="1984-01-01", last_day="2024-01-01")).startswith("first_day: 1984-01-01")


@pytest.mark.parametrize("field", ["first_day", "last_day"])
def test_a_day_before_the_first_is_refused(field: str) -> None:
    reason = refused_event(a_range(**{field: "2008-12-31"}))
    assert reason == f"{field}: 2008-12-31 is before 2009-01-01, the first day that StockTwits kept"


NOT_DAYS = [
    "2025-02-30",
    "2025-13-01",
    "2025-1-1",
    "20250101",
    "2025-W01-1",
    "2025-01-01T00:00",
    " 2025-01-01",
    "2025-01-01\n",
    "\uff12025-01-01",
    "yesterday",
    "",
    20250101,
    True,
    ["2025-01-01"],
    {},
]


@pytest.mark.parametrize("field", ["first_day", "last_day"])
@pytest.mark.parametrize("value", NOT_DAYS)
def test_a_value_that_is_not_a_day_is_quoted_with_its_field(field: str, value: object) -> None:
    assert refused_event(a_range(**{field: value})) == (f"{field}: {value!r} is not a day; give one such as 2016-12-05")


@pytest.mark.parametrize(("missing", "given"), [("first_day", "last_day"), ("last_day", "first_day")])
def test_half_a_range_lacks_a_field(missing: str, given: str) -> None:
    assert refused_event({given: "2024-01-01"}).startswith(f"{missing}: missing")
    assert refused_event({given: "2024-01-01", missing: None}).startswith(f"{missing}: missing")


@pytest.mark.parametrize(
    ("file_types", "quoted"),
    [
        (["messages"], "'messages'"),
        (["message", "Activity"], "'Activity'"),
        (["message", None], "None"),
        ([["message"]], "['message']"),
        ([], "[]"),
        ("message", "'message'"),
        ({"message": True}, "{'message': True}"),
        (False, "False"),
    ],
)
def test_unknown_file_types_are_refused_with_those_there_are(file_types: object, quoted: str) -> None:
    reason = refused_event(a_range(file_types=file_types))
    assert reason.startswith(f"file_types: {quoted} is no")
    assert reason.endswith("activity, message")


@pytest.mark.parametrize("name", ["retry_absent", "again"])
@pytest.mark.parametrize("value", ["true", 1, 0, None, []])
def test_asking_again_is_true_or_false(name: str, value: object) -> None:
    assert refused_event(a_range(**{name: value})) == f"{name}: {value!r} is neither true nor false"


def test_a_range_may_ask_for_what_is_stored_again() -> None:
    assert read_event(a_range(again=True), TODAY) == Backfill(
        date(2024, 1, 1), date(2024, 12, 31), None, retry_absent=False, again=True
    )


def test_an_unknown_field_of_a_range_is_named_with_those_there_are() -> None:
    assert refused_event(a_range(file_type="message")) == (
        "'file_type' is not a field; the fields are again, file_types, first_day, last_day, retry_absent"
    )


# --- Requests that are refused


@pytest.mark.parametrize("body", ["", "message 2016-12-05", '{"file_type": "message"', "[" * 100_000, "9" * 5000])
def test_a_request_that_is_not_json_is_quoted_but_not_at_length(body: str) -> None:
    reason = refused_request(body)
    assert reason.startswith("the request is not JSON: ")
    assert body[:40] in reason
    assert len(reason) < 120


@pytest.mark.parametrize("body", ["null", "[]", '"message"', "20161205", f"[{A_REQUEST}]"])
def test_a_request_that_is_not_an_object_is_refused_with_an_example(body: str) -> None:
    assert refused_request(body) == f"the request is not a JSON object such as {A_REQUEST}"


@pytest.mark.parametrize("file_type", ["messages", "Message", "", None, 1, ["message"], {}])
def test_a_request_for_an_unknown_type_is_refused_with_those_there_are(file_type: object) -> None:
    assert refused_request(a_request(file_type=file_type)) == f"file_type: {file_type!r} is none of activity, message"


def test_a_request_without_a_type_is_refused() -> None:
    assert refused_request('{"day": "2016-12-05"}') == "file_type: None is none of activity, message"


@pytest.mark.parametrize("value", NOT_DAYS)
def test_a_request_for_a_value_that_is_not_a_day_quotes_it(value: object) -> None:
    assert refused_request(a_request(day=value)) == f"day: {value!r} is not a day; give one such as 2016-12-05"


@pytest.mark.parametrize(
    ("day", "problem"),
    [("2008-12-31", "is before 2009-01-01"), ("2026-03-10", "is not over yet"), ("9999-12-31", "is not over yet")],
)
def test_a_request_for_a_day_out_of_range_is_refused(day: str, problem: str) -> None:
    assert refused_request(a_request(day=day)).startswith(f"day: {day} {problem}")


def test_a_request_without_a_day_lacks_a_field() -> None:
    assert refused_request('{"file_type": "message"}').startswith("day: missing")


def test_an_unknown_field_of_a_request_is_named_with_those_there_are() -> None:
    assert (
        refused_request(a_request(first_day="2016-12-05"))
        == "'first_day' is not a field; the fields are asked_at, day, file_type, if_stored"
    )


@pytest.mark.parametrize("value", ["Keep", "", None, True, ["keep"], {}])
def test_what_to_do_with_a_stored_backup_is_one_of_three(value: object) -> None:
    assert refused_request(a_request(if_stored=value)) == f"if_stored: {value!r} is none of keep, compare, replace"


@pytest.mark.parametrize("value", ["now", "", 0, 1.5, "2016-12-05", "2016-12-05T03:00:00", [], True])
def test_the_time_of_the_first_look_is_a_moment(value: object) -> None:
    assert refused_request(a_request(asked_at=value)).startswith(f"asked_at: {value!r} is not a moment")


def test_a_value_that_is_nested_too_deeply_to_be_quoted_is_named_by_its_kind() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    assert refused_event(a_range(first_day=nested)) == (
        "first_day: a list nested too deeply is not a day; give one such as 2016-12-05"
    )


@pytest.mark.parametrize("value", ["x" * 10_000, ["x"] * 10_000])
def test_a_long_wrong_value_is_cut_short(value: object) -> None:
    assert len(refused_request(a_request(day=value))) < 150
    assert len(refused_event(a_range(**{"x" * 10_000: value}))) < 200
