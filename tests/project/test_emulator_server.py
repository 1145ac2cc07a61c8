"""The emulator of AWS answers only its owner."""

import asyncio
from typing import Any

import pytest

from local.stack.emulator_server import HEALTH, guarded

TOKEN = "the token of this run"
SIGNED = "AWS4-HMAC-SHA256 Credential={}/20161205/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=00"


def answers(
    *, kind: str = "http", path: str = "/", query: str = "", enforce_iam: bool = False, **headers: str | list[str]
) -> list[str]:
    """Send a request to an emulator, and return what the guard or the emulator sent; a list repeats its header."""
    sent: list[str] = []

    async def emulator(*_: object) -> None:
        sent.append("answered")

    async def receive() -> dict[str, Any]:
        raise AssertionError("the guard reads no body")

    async def send(message: dict[str, Any]) -> None:
        sent.append(str(message.get("status", message["type"])))

    scope = {
        "type": kind,
        "path": path,
        "query_string": query.encode(),
        "headers": [
            (name.replace("_", "-").encode(), value.encode())
            for name, values in headers.items()
            for value in ([values] if isinstance(values, str) else values)
        ],
    }
    asyncio.run(guarded(emulator, TOKEN, enforce_iam=enforce_iam)(scope, receive, send))
    return sent


def test_a_request_with_the_token_is_answered() -> None:
    assert answers(x_amz_security_token=TOKEN) == ["answered"]
    assert answers(query="X-Amz-Security-Token=the+token+of+this+run") == ["answered"]


@pytest.mark.parametrize("enforce_iam", [True, False])
@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"x_amz_security_token": ""},
        {"x_amz_security_token": TOKEN[:-1]},
        {"x_amz_security_token": "é"},
        {"query": "X-Amz-Security-Token="},
        {"authorization": SIGNED.format("test")},
        {"authorization": SIGNED.format("000000000000")},
        {"authorization": f"{SIGNED.format('000000000000')}, x=AKIA"},
        {"authorization": [SIGNED.format("000000000000"), SIGNED.format("AKIA0123456789ABCDEF")]},
        {"authorization": SIGNED.format("AKIA0123456789ABCDEF"), "path": "/_ministack/config"},
        {"origin": "https://page.example"},
        {"path": "/_ministack/reset"},
        {"path": f"{HEALTH}/../reset"},
    ],
    ids=str,
)
def test_any_other_request_is_refused(request_: dict[str, Any], enforce_iam: bool) -> None:
    assert answers(**request_, enforce_iam=enforce_iam) == ["403", "http.response.body"]


def test_every_websocket_is_closed() -> None:
    assert answers(kind="websocket", x_amz_security_token=TOKEN) == ["websocket.close"]


def test_the_health_check_needs_no_token() -> None:
    assert answers(path=HEALTH) == ["answered"]


@pytest.mark.parametrize("key", ["AKIA0123456789ABCDEF", "ASIA0123456789ABCDEF"])
def test_keys_of_the_emulator_pass_when_it_enforces_iam(key: str) -> None:
    assert answers(authorization=SIGNED.format(key), enforce_iam=True) == ["answered"]
    assert answers(authorization=SIGNED.format(key)) == ["403", "http.response.body"]
