"""The published schema is the one in the code, and allows the same messages as the code."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from relay.errors import Reject
from relay.posting.alert import read, schema

PUBLISHED = Path(__file__).parents[2] / "docs" / "message.schema.json"

GOOD: list[dict[str, Any]] = [
    {"body": "$AAPL up"},
    {"body": "x", "sentiment": "bearish"},
    {"body": "x", "sentiment": None, "key": None, "chart": None, "expires_at": None, "in_reply_to_message_id": None},
    {"body": "x", "in_reply_to_message_id": 1},
    {"body": "x", "in_reply_to_message_id": 2**63 - 1},
    {"body": "x", "chart": "https://example.com/c.png?a=b"},
    {"body": "x", "chart": "s3://charts/a folder/c.png"},
    {"body": "x", "key": "k" * 256},
    {"body": "x", "expires_at": "2026-11-21T16:00:00Z"},
    {"body": "x", "expires_at": "2026-11-21T16:00:00.5-05:00"},
]

BAD: list[Any] = [
    "$AAPL up",
    7,
    None,
    ["x"],
    {},
    {"body": ""},
    {"body": None},
    {"body": 7},
    {"body": "x", "boddy": "y"},
    {"body": "x", "sentiment": "Bullish"},
    {"body": "x", "sentiment": ""},
    {"body": "x", "in_reply_to_message_id": 0},
    {"body": "x", "in_reply_to_message_id": 2**63},
    {"body": "x", "in_reply_to_message_id": "7"},
    {"body": "x", "in_reply_to_message_id": 1.5},
    {"body": "x", "in_reply_to_message_id": True},
    {"body": "x", "chart": "http://example.com/c.png"},
    {"body": "x", "chart": "https://example.com/c d.png"},
    {"body": "x", "chart": "https://example.com/c.png\n"},
    {"body": "x", "chart": "s3://charts/"},
    {"body": "x", "chart": "https://example.com/" + "c" * 2000},
    {"body": "x", "key": ""},
    {"body": "x", "key": "k" * 257},
    {"body": "x", "expires_at": 1_800_000_000},
]


@pytest.fixture
def validator() -> Draft202012Validator:
    Draft202012Validator.check_schema(schema())
    return Draft202012Validator(schema())


def test_the_published_schema_is_the_one_in_the_code() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == json.dumps(schema(), indent=2) + "\n"


@pytest.mark.parametrize("message", GOOD, ids=json.dumps)
def test_what_the_schema_allows_is_read(validator: Draft202012Validator, message: Any) -> None:
    assert validator.is_valid(message)
    assert read(json.dumps(message)).body


@pytest.mark.parametrize("message", BAD, ids=lambda message: json.dumps(message)[:60])
def test_what_the_schema_forbids_is_refused(validator: Draft202012Validator, message: Any) -> None:
    assert not validator.is_valid(message)
    with pytest.raises(Reject):
        read(json.dumps(message))


def test_every_field_has_a_description() -> None:
    assert [name for name, each in schema()["properties"].items() if not each.get("description")] == []
