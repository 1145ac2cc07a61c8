"""The targets of `verification.fuzz` for the webhook, with generated requests, templates and payloads."""

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from relay.posting.webhook.body_template import Template

from verification.fuzz import webhook
from verification.fuzz.webhook import SECRET, SOURCES

fuzzed = settings(derandomize=True, deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])

# Payloads

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(["AAPL", "buy", "sell", "a\nb", "\u2028", "{x}", SECRET, "3.10", "\0", "\ud83d"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "a.b", "0", ""]), inner),
    max_leaves=6,
)
names = st.sampled_from(["name", "price", "symbols", "side", "id", "a", "body", "key", "sentiment", "expires_at"])
alerts = st.fixed_dictionaries(
    {"body": st.text(min_size=1, max_size=40) | st.sampled_from(["Up 3% $AAPL", f"see {SECRET}"])},
    optional={"key": st.text(max_size=10), "sentiment": st.sampled_from(["bullish", "up"]), "expires_at": values},
)
filled = st.fixed_dictionaries(
    {"name": st.just("Gap") | values, "price": values, "symbols": st.just(["AAPL"]) | values, "side": values},
    optional={"id": values},
)
SECRET_IN_ESCAPES = "".join(f"\\u{ord(each):04x}" for each in SECRET)
payloads = (
    alerts.map(json.dumps)
    | (alerts | filled | st.dictionaries(names, values)).map(json.dumps)
    | alerts.map(lambda alert: json.dumps(alert).replace(SECRET, SECRET_IN_ESCAPES))
    | st.text(max_size=60)
    | values.map(json.dumps)
)

# Templates

pieces = st.sampled_from(
    [
        "{",
        "}",
        "{{",
        "}}",
        "{a}",
        "{a.b}",
        "{a.0.b}",
        "{name}",
        "{ side }",
        "{}",
        "{a..b}",
        "$",
        " ",
        "\n",
        "\x1b",
        "Up",
    ]
) | st.text(max_size=3)
forms = st.sampled_from(["Up {price} ${name}", "{side}", "{a.b} {{x}}"]) | st.lists(pieces, max_size=5).map("".join)
written_maps = st.lists(st.sampled_from(["side", ":", "=", ",", "buy", "bullish", " ", "{", "a.b"]), max_size=12).map(
    "".join
)
replacements = st.dictionaries(
    st.sampled_from(["a", "side", "a.b"]), st.dictionaries(st.text(max_size=3), st.text(max_size=3), min_size=1)
)

# Requests

secrets = st.sampled_from(
    [
        *([SECRET] * 30),
        quote(SECRET).replace("-", "%2d"),
        SECRET[:-1],
        SECRET + "x",
        SECRET.upper(),
        quote(quote(SECRET + "%")),
        "",
        "%ff",
        "\0",
        " ",
        "é",
        "\ud83d",
        "$AAPL",
    ]
)
sources = st.sampled_from([*SOURCES, *SOURCES, "nobody", "", "../plain", "plain%2F", "PLAIN"])
authorizations = secrets.flatmap(lambda secret: st.sampled_from([f"Bearer {secret}", f"bEaReR  {secret} ", secret, ""]))
contexts = st.sampled_from(["203.0.113.7", "192.0.2.1", "2001:db8::1", "::ffff:203.0.113.7", ""]).map(
    lambda address: {"http": {"sourceIp": address}}
)


@st.composite
def requests(draw: DrawFn) -> dict[str, Any]:
    """A request as API Gateway passes it on, sometimes with a value of another kind."""
    in_path = draw(st.booleans())
    body = draw(payloads)
    is_base64 = draw(st.sampled_from([False, False, True]))
    request: dict[str, Any] = {
        "pathParameters": {"source": draw(sources)} | ({"secret": draw(secrets)} if in_path else {}),
        "headers": {draw(st.sampled_from(["authorization", "Authorization", "x"])): draw(authorizations)},
        "requestContext": draw(contexts),
        "body": base64.b64encode(body.encode("utf-8", "surrogatepass")).decode() if is_base64 else body,
        "isBase64Encoded": draw(st.sampled_from([is_base64, is_base64, is_base64, not is_base64])),
        "rawPath": f"/alerts/plain/{SECRET}",
    }
    if draw(st.integers(0, 9)) == 0:
        place = draw(
            st.sampled_from([request, request["pathParameters"], request["headers"], request["requestContext"]])
        )
        place[draw(st.sampled_from(sorted(place)))] = draw(values)
    return request


@fuzzed
@given(requests() | requests() | requests() | values)
def test_any_request_is_answered_and_only_the_right_secret_opens_its_body(event: Any) -> None:
    webhook.request(event)


@fuzzed
@given(forms, forms, forms, replacements, payloads)
def test_any_template_is_refused_or_makes_an_alert_of_any_payload_or_refuses_it(
    body: str, sentiment: str, key: str, maps: dict[str, dict[str, str]], payload: str
) -> None:
    webhook.template(Template(body=body, sentiment=sentiment, key=key, maps=maps), payload)


@fuzzed
@given(st.sampled_from([*SOURCES.values()]), payloads)
def test_any_payload_is_a_message_that_the_relay_reads_or_refused_with_a_reason(source: Any, payload: str) -> None:
    webhook.message(source, payload)


@fuzzed
@given(written_maps | st.text(max_size=20))
def test_any_maps_are_read_or_refused_with_a_reason(written: str) -> None:
    webhook.maps(written)


def a_request(secret: str, body: str, **more: Any) -> dict[str, Any]:
    return {
        "pathParameters": {"source": "plain", "secret": secret},
        "requestContext": {"http": {"sourceIp": "192.0.2.1"}},
        "body": body,
        **more,
    }


@pytest.mark.parametrize("secret", [SECRET, "wrong"])
@pytest.mark.parametrize("is_base64", [True, False])
@pytest.mark.parametrize("unit", ["x", "A", "=", "[", '{"a":', "\0", "é", "\ud83d", '"', "%", SECRET])
@pytest.mark.parametrize("size", [65_535, 65_537, 6 * 1024 * 1024])  # the last is Lambda's limit
def test_a_body_of_any_size_is_answered(size: int, unit: str, is_base64: bool, secret: str) -> None:
    webhook.request(a_request(secret, unit * (size // len(unit)), isBase64Encoded=is_base64))


@pytest.mark.parametrize("depth", [100, *range(900, 1010, 10), 50_000])
@pytest.mark.parametrize("opening", ["[", '{"name":'])
def test_a_payload_of_any_depth_is_answered(opening: str, depth: int) -> None:
    closing = {"[": "]", "{": "}"}[opening[0]]
    payload = opening * depth + "1" + closing * depth
    for name in SOURCES:
        event = a_request(SECRET, payload)
        event["pathParameters"]["source"] = name
        webhook.request(event)


# Planted defects, which the generated input must find

PLANTED: list[tuple[str, Any]] = [
    ("hmac.compare_digest", lambda *_: True),
    ("relay.posting.webhook.sources._allowed", lambda *_: True),
    ("relay.posting.webhook.receiver._without", lambda _, text: text),
    ("relay.posting.webhook.receiver.failure", lambda error: pytest.fail(str(error))),
    ("relay.posting.webhook.receiver.MAX_BYTES", 100_000_000),
]
