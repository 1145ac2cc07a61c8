"""The targets of `verification.fuzz` for the webhook, with generated requests, templates and payloads."""

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from relay.posting.webhook import receiver
from relay.posting.webhook.body_template import Template
from relay.posting.webhook.receiver import Receipt, Receiver, Request
from relay.posting.webhook.sources import Source

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
GOOD = {"name": "Gap", "price": 1.5, "symbols": ["AAPL"], "side": "buy", "id": 7}
lines = st.sampled_from(["a\nb", "\x1b[31mred", "\0"])
filled = st.dictionaries(st.sampled_from(sorted(GOOD)), lines | values, max_size=2).map(lambda other: GOOD | other)
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
usual_forms = st.sampled_from(["Up {price} ${name}", "{side}", "{a.b} {{x}}", "{name}", "{" + 500 * "a" + "}"])
forms = usual_forms | usual_forms | st.lists(pieces, max_size=5).map("".join)
written_maps = st.lists(st.sampled_from(["side", ":", "=", ",", "buy", "bullish", " ", "{", "a.b"]), max_size=12).map(
    "".join
)
replacements = st.dictionaries(
    st.sampled_from(["a", "side", "a.b"]), st.dictionaries(st.text(max_size=3), st.text(max_size=3), min_size=1)
)

templates = st.builds(
    Template,
    body=forms,
    sentiment=st.sampled_from(["", "{side}"]) | forms,
    key=st.sampled_from(["", "{id}"]) | forms,
    maps=st.just({}) | replacements,
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
@given(templates, payloads)
def test_any_template_is_refused_or_makes_an_alert_of_any_payload_or_refuses_it(form: Template, payload: str) -> None:
    webhook.template(form, payload)


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


def opens_before_it_asks(self: Receiver, request: Request) -> Source | None:
    receiver._content(request)
    return authenticated(self, request)


def as_it_is(content: Any, path: str) -> str:
    return str(content.get(path, "") if isinstance(content, dict) else "")


authenticated = Receiver._authenticated
unread = st.tuples(st.sampled_from([*SOURCES.values()]), payloads)
unfilled = st.tuples(templates, payloads)
with_lines = st.tuples(st.just(Template(body="Up {price} ${name}")), filled.map(json.dumps))

PLANTED: list[tuple[str, object, SearchStrategy[Any], Callable[[Any], None]]] = [
    ("hmac.compare_digest", lambda *_: True, requests(), webhook.request),
    ("relay.posting.webhook.receiver.Receiver._authenticated", opens_before_it_asks, requests(), webhook.request),
    ("relay.posting.webhook.receiver._without", lambda _, text: text, requests(), webhook.request),
    ("relay.posting.webhook.receiver._refuse_secret", lambda *_: None, requests(), webhook.request),
    ("functions.receive_alerts.app.failure", lambda _: Receipt(502), requests(), webhook.request),
    ("relay.posting.webhook.body_template._quoted", str, unfilled, lambda both: webhook.template(*both)),
    ("relay.posting.webhook.body_template._value", as_it_is, with_lines, lambda both: webhook.template(*both)),
    ("relay.posting.webhook.message._made_key", lambda *_: "", unread, lambda both: webhook.message(*both)),
    ("relay.posting.webhook.message._encoded", lambda alert: alert.body, unread, lambda both: webhook.message(*both)),
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

    with pytest.raises(AssertionError):
        check()
