"""The targets of `verification.fuzz`, with generated messages, backups and events.

The inputs are the same every time; ``make fuzz`` looks for new ones.
"""

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from verification.fuzz import targets
from verification.fuzz.shapes import UNITS

fuzzed = settings(
    derandomize=True,
    deadline=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


# JSON as text, so that it can be what no encoder would write

SURROGATES = [r"\ud83d", r"\ude80", r"\ud83d\ude80", r"\u0000", r"\u001b", r"\ufeff", r"\n", r"\x", "\ud83d", "\0"]
FIELDS = ["body", "sentiment", "in_reply_to_message_id", "chart", "key", "expires_at"]
ENVELOPES = ["Type", "TopicArn", "Message", "detail", "detail-type", "source"]
EVENTS = ["run", "first_day", "last_day", "file_types", "retry_absent", "again", "file_type", "day", "Records"]
RECORDS = ["messageId", "receiptHandle", "body", "attributes", "messageAttributes", "eventSource", "RelayKey"]
VALUES = [
    "bullish",
    "Notification",
    "https://a.b/c.png",
    "s3://b/c.png",
    "2026-11-21T16:00:00Z",
    "0001-01-01T00:00:00Z",
]
DAYS = ["2026-03-01", "2026-03-09", "2026-03-10", "2008-12-31", "0001-01-01", "9999-12-31", "2025-02-30"]

texts = st.text(max_size=20) | st.sampled_from([*VALUES, *DAYS, "message", "activity", "nightly", "aws:sqs", "1"])
strings = texts.map(json.dumps) | st.lists(st.sampled_from(SURROGATES), max_size=3).map(lambda s: f'"{"".join(s)}"')
numbers = (
    st.integers().map(str)
    | st.floats().map(json.dumps)
    | st.sampled_from(["NaN", "-Infinity", "1e999", "-0", "0.1e-999", "9" * 400, "9" * 5000, "1_0", "+1", "01"])
)
scalars = strings | numbers | st.sampled_from(["null", "true", "false", "", "nul", "{", "]"])
names = st.sampled_from([*FIELDS, *ENVELOPES, *EVENTS, *RECORDS]).map(json.dumps) | strings


def json_objects(values: SearchStrategy[str], of: SearchStrategy[str] = names) -> SearchStrategy[str]:
    """Objects as text, with duplicate names, and white space and commas in wrong places."""
    field = st.tuples(of, values).map(lambda pair: f"{pair[0]}:{pair[1]}")
    comma = st.sampled_from([",", ", ", " ,\n"])
    return st.tuples(comma, st.lists(field, max_size=5)).map(lambda parts: "{" + parts[0].join(parts[1]) + "}")


def json_lists(values: SearchStrategy[str]) -> SearchStrategy[str]:
    return st.lists(values, max_size=3).map(lambda inner: f"[{','.join(inner)}]")


def nested(values: SearchStrategy[str]) -> SearchStrategy[str]:
    """Values nested so deeply that a recursive parser exceeds its limit, or nearly so."""
    depths = st.sampled_from([1, 50, 900, *range(960, 1000), 5000])
    brackets = st.sampled_from([("[", "]"), ('{"a":', "}"), ('[{"body":', "}]")])
    return st.tuples(depths, brackets, values).map(lambda of: of[1][0] * of[0] + of[2] + of[1][1] * of[0])


json_texts = st.recursive(scalars, lambda inner: json_lists(inner) | json_objects(inner), max_leaves=12)
anything = json_texts | nested(scalars)
posts = json_objects(anything, st.sampled_from(FIELDS).map(json.dumps)).map(lambda text: '{"body":"$AAPL",' + text[1:])
posts = posts.map(lambda text: text.replace(",}", "}"))


def sns(inner: SearchStrategy[str]) -> SearchStrategy[str]:
    """SNS's envelope around a text."""
    key = json.dumps({"RelayKey": {"Type": "String", "Value": "k-1"}})
    return inner.map(
        lambda text: (
            f'{{"Type":"Notification","TopicArn":"arn","MessageId":"m","MessageAttributes":{key},'
            f'"Message":{json.dumps(text)}}}'
        )
    )


def eventbridge(inner: SearchStrategy[str]) -> SearchStrategy[str]:
    """EventBridge's envelope around JSON."""
    return inner.map(lambda text: f'{{"detail-type":"Alert","source":"scanner","detail":{text}}}')


hostile = st.lists(st.tuples(st.sampled_from(list(UNITS.values())), st.sampled_from([1, 1, 2, 300]))).map(
    lambda parts: "".join(unit * times for unit, times in parts)
)
hostile_posts = hostile.map(lambda text: json.dumps({"body": text}))
messages = (
    hostile
    | hostile_posts
    | st.text()
    | anything
    | posts
    | sns(st.text() | posts | anything)
    | eventbridge(posts | anything)
)


@fuzzed
@given(messages | sns(messages) | eventbridge(sns(messages)))
def test_any_message_is_an_alert_within_its_limits_or_refused_with_a_reason(text: str) -> None:
    targets.message(text)


@fuzzed
@given(texts | st.text() | hostile | st.text(alphabet="\"'\\`{}[]:, bodykey=&;%$A\n"))
def test_an_alert_that_was_wrapped_is_read_as_it_was_meant_or_refused(body: str) -> None:
    targets.wrapped(body)


@fuzzed
@given(st.text() | hostile)
def test_every_function_on_texts_accepts_any_text(text: str) -> None:
    targets.text(text)


@pytest.mark.parametrize("unit", ["x", "https://a.b ", "http", "\0", " ", "{},", '{"a":', "["])
@pytest.mark.parametrize("before", ["", "{", '{"body":"', '{"Type":"', '"'])
def test_a_message_of_the_largest_size_is_handled(before: str, unit: str) -> None:
    a_mebibyte = 1024 * 1024
    targets.message(before + unit * ((a_mebibyte - len(before)) // len(unit.encode())))


@pytest.mark.parametrize("wrapped", ["{}", '{{"TopicArn":1,"Type":{}}}', '{{"detail-type":1,"source":1,"detail":{}}}'])
@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
def test_any_depth_of_nesting_is_handled(wrapped: str, opening: str) -> None:
    closing = "".join({"[": "]", "{": "}"}.get(each, "") for each in reversed(opening))
    for depth in (100, *range(440, 500), *range(940, 1000), 100_000):
        text = wrapped.format('{"a":' + opening * depth + "1" + closing * depth + "}")
        targets.message(text)
        targets.request(text)


# Backups

LINES = [b"{}", b'{"a":1}', b'{"a":"\xff"}', b"{no}", b'{"a":1}{"b":2}', b"{", b"", b"[]", b'{"a":"\xed\xa0\x80"}']
text_of_lines = st.lists(st.sampled_from([*LINES[:2] * 5, *LINES]), max_size=8).map(b"\n".join)


@st.composite
def members(draw: DrawFn) -> bytes:
    """A member of a gzip file, with any options in its header, and a right or wrong header checksum."""
    text = draw(text_of_lines | st.binary(max_size=40)) + draw(st.sampled_from([b"\n", b""]))
    flags = draw(st.sampled_from([0, 0, 0, 0]) | st.integers(0, 255))
    header = b"\x1f\x8b\x08" + bytes([flags]) + bytes(6)
    header += b"\x03\x00abc" * bool(flags & 4) + b"name\0" * bool(flags & 8) + b"comment\0" * bool(flags & 16)
    if flags & 2:
        header += (zlib.crc32(header) & 0xFFFF ^ draw(st.sampled_from([0, 1]))).to_bytes(2, "little")
    pressed = zlib.compressobj(
        draw(st.integers(0, 9)), wbits=-draw(st.integers(9, 15)), strategy=draw(st.integers(0, 4))
    )
    data = pressed.compress(text) + pressed.flush()
    return header + data + zlib.crc32(text).to_bytes(4, "little") + len(text).to_bytes(4, "little")


@st.composite
def damaged(draw: DrawFn, files: SearchStrategy[bytes]) -> bytes:
    """A file with some damage."""
    content = draw(files)
    for kind in draw(st.lists(st.sampled_from(["flip", "cut", "insert", "remove", "splice"]), max_size=2)):
        at, other = (draw(st.integers(0, len(content))) for _ in range(2))
        match kind:
            case "flip" if at < len(content):
                content = content[:at] + bytes([content[at] ^ 1 << draw(st.integers(0, 7))]) + content[at + 1 :]
            case "cut":
                content = content[:at]
            case "insert":
                content = content[:at] + draw(st.binary(max_size=4)) + content[at:]
            case "remove":
                content = content[:at] + content[at + draw(st.integers(1, 4)) :]
            case "splice":
                content = content[:at] + content[other:]
    return content


padding = st.sampled_from([b"", b"", b"\0", b"\0" * 7])
files = st.lists(st.tuples(members(), padding).map(b"".join), max_size=3).map(b"".join)
piece_sizes = st.sampled_from([1, 2, 7, 100, 1 << 20])


@fuzzed
@given(st.binary() | files | damaged(files), piece_sizes)
def test_the_verifier_agrees_with_the_standard_library_on_any_file(content: bytes, piece_bytes: int) -> None:
    targets.backup(content, piece_bytes)


@pytest.mark.parametrize("flag", [4, 8, 16], ids=["extra", "name", "comment"])
@pytest.mark.parametrize("size", [0, 100, 65_535, 524_200, 524_280, 524_289, 2_000_000])
def test_a_header_of_any_length_is_handled(flag: int, size: int) -> None:
    filled = size.to_bytes(4, "little")[:2] + b"x" * min(size, 65_535) if flag == 4 else b"x" * size + b"\0"
    whole = gzip.compress(b"{}\n")
    targets.backup(b"\x1f\x8b\x08" + bytes([flag]) + bytes(6) + filled + whole[10:], 1 << 20)


# Events


@st.composite
def records(draw: DrawFn) -> dict[str, Any]:
    """Records of an SQS event, sometimes with a missing value or one of another type."""
    record: dict[str, Any] = {
        "messageId": "m-1",
        "receiptHandle": "r-1",
        "body": draw(anything | st.text()),
        "attributes": {"ApproximateReceiveCount": draw(st.sampled_from(["1", "5"])), "SentTimestamp": "1795274420000"},
        "messageAttributes": {"RelayKey": {"stringValue": "k", "dataType": "String"}},
        "eventSource": "aws:sqs",
    }
    for place in draw(
        st.lists(st.sampled_from([record, record["attributes"], record["messageAttributes"]]), max_size=2)
    ):
        place[draw(st.sampled_from(sorted(place) or ["x"]))] = draw(values)
    return record


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
ranges = st.fixed_dictionaries(
    {"first_day": st.sampled_from(DAYS) | values, "last_day": st.sampled_from(DAYS) | values},
    optional={
        "file_types": st.lists(st.sampled_from(["message", "activity", "message", "Message"])) | values,
        "retry_absent": st.booleans() | values,
        "x": values,
    },
)
good_requests = st.fixed_dictionaries(
    {"day": st.sampled_from(DAYS), "file_type": st.sampled_from(["message", "x"])},
    optional={"if_stored": st.sampled_from(["keep", "replace", "Keep"]), "asked_at": st.just("2026-11-21T15:00:00Z")},
)
odd_requests = st.fixed_dictionaries(
    {"day": st.sampled_from(DAYS) | values, "file_type": texts}, optional={"x": values}
)
requests = (good_requests | odd_requests).map(json.dumps)
events = st.fixed_dictionaries({"Records": st.lists(records(), max_size=3)}) | ranges | values


@fuzzed
@given(events)
def test_any_event_is_handled_or_refused_with_a_reason(event: object) -> None:
    targets.event(event)


@fuzzed
@given(requests | anything | st.text())
def test_any_request_names_a_backup_or_is_refused_with_a_reason(body: str) -> None:
    targets.request(body)


@pytest.mark.parametrize("depth", [100, *range(940, 1000, 4), 100_000])
@pytest.mark.parametrize("name", ["first_day", "file_types", "retry_absent", "Records"])
def test_an_event_of_any_depth_is_handled(name: str, depth: int) -> None:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    targets.event({"first_day": "2016-12-05", "last_day": "2016-12-05", name: value})


@pytest.mark.parametrize("first", ["0001-01-01", "2009-01-01", "9999-12-31"])
@pytest.mark.parametrize("last", ["0001-01-01", "2026-03-09", "9999-12-31"])
def test_a_range_has_at_most_all_days_with_backups(first: str, last: str) -> None:
    targets.event({"first_day": first, "last_day": last})


# The seeds of the fuzzer, and planted defects that it must find


@pytest.mark.parametrize("target", targets.TARGETS.values(), ids=list(targets.TARGETS))
def test_the_seeds_of_a_target_pass(target: targets.Target) -> None:
    assert target.seeds
    for seed in target.seeds:
        target.run(seed)


PLANTED = [
    ("relay.posting.not_alerts.cause", lambda _: None, texts, targets.wrapped),
    ("relay.posting.not_alerts.bare", str.strip, texts, targets.wrapped),
    ("relay.posting.not_alerts.trimmed", str.strip, texts, targets.wrapped),
    ("relay.posting.alert._check_text", lambda *_: None, messages, targets.message),
    ("relay.posting.alert._quoted", str, messages, targets.message),
    ("relay.posting.alert.MAX_BODY_CHARACTERS", 1001, st.integers(990, 1010).map("x".__mul__), targets.message),
    ("relay.backups.gunzip._DAMAGED", OSError, damaged(files), lambda content: targets.backup(content, 7)),
    ("relay.backups.verifier._is_object", lambda *_: True, files, lambda content: targets.backup(content, 7)),
    ("relay.backups.events._is_count", lambda _: True, events, targets.event),
    ("relay.backups.events.FIRST_DAY", targets.date.min, requests, targets.request),
]


@pytest.mark.parametrize(("what", "planted", "inputs", "target"), PLANTED, ids=[what for what, *_ in PLANTED])
def test_a_planted_defect_is_found(
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    planted: object,
    inputs: SearchStrategy[Any],
    target: Callable[[Any], None],
) -> None:
    monkeypatch.setattr(what, planted)

    @settings(fuzzed, max_examples=1000, phases=["generate"], report_multiple_bugs=False)
    @given(inputs)
    def check(each: Any) -> None:
        target(each)

    with pytest.raises(Exception) as found:  # noqa: PT011  a fuzzer looks for any exception
        check()
    assert not isinstance(found.value, targets.Reject | targets.Corrupt)
