"""Who gets in: sources, their secrets, and the parameter that keeps them."""

import json

import msgspec
import pytest
from relay.errors import Reject
from relay.posting.webhook.body_template import Template
from relay.posting.webhook.sources import (
    MAX_CHARACTERS,
    Source,
    authenticate,
    check_address,
    check_name,
    decode,
    encode,
    new_secret,
    new_source,
)

HERE = "192.0.2.7"
SECRET = "a-secret-of-the-tests-0123456789_abcdefghij"
SOURCES = {"scanner": new_source(SECRET, added="2026-11-27")}


def test_the_right_secret_gets_in() -> None:
    assert authenticate(SOURCES, "scanner", SECRET, HERE) is SOURCES["scanner"]


@pytest.mark.parametrize(
    "secret",
    ["", SECRET[:-1], f"{SECRET} ", SECRET.swapcase(), "\ud800", SOURCES["scanner"].hash],
    ids=["none", "shorter", "longer", "other letters", "half a character", "its hash"],
)
def test_no_other_secret_does(secret: str) -> None:
    assert authenticate(SOURCES, "scanner", secret, HERE) is None


def test_a_hash_that_was_edited_by_hand_lets_nobody_in() -> None:
    edited = msgspec.structs.replace(SOURCES["scanner"], hash="é")
    assert authenticate({"scanner": edited}, "scanner", SECRET, HERE) is None


@pytest.mark.parametrize("name", ["", "Scanner", "other"])
def test_a_secret_belongs_to_its_source(name: str) -> None:
    sources = SOURCES | {"other": new_source(new_secret(), added="2026-11-27")}
    assert authenticate(sources, name, SECRET, HERE) is None


def test_nobody_gets_in_by_the_hash_that_unknown_names_are_compared_with() -> None:
    assert authenticate({}, "scanner", "", HERE) is None


@pytest.mark.parametrize(
    ("allowed", "address", "gets_in"),
    [
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("192.0.2.0/24", "192.0.2.255", True),
        ("2001:db8::/32", "2001:db8::1", True),
        ("2001:db8::/32", "192.0.2.7", False),
        ("192.0.2.7", "", False),
    ],
)
def test_a_source_with_addresses_is_let_in_from_those_alone(allowed: str, address: str, *, gets_in: bool) -> None:
    sources = {"scanner": new_source(SECRET, added="2026-11-27", addresses=["198.51.100.1", allowed])}
    assert (authenticate(sources, "scanner", SECRET, address) is not None) is gets_in


def test_secrets_and_salts_are_never_the_same_and_need_no_quoting_in_a_url() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(len(each) == 43 and each.replace("-", "").replace("_", "").isalnum() for each in secrets)
    assert len({new_source(SECRET, added="").hash for _ in range(100)}) == 100


def test_the_parameter_keeps_no_secret_and_everything_else() -> None:
    template = Template(body="Up ${symbol}", sentiment="{side}", maps={"side": {"buy": "bullish"}})
    sources = {"a": new_source(SECRET, added="2026-11-27", addresses=[HERE], template=template, expires_in=1800)}
    text = encode(sources)
    assert SECRET not in text
    assert decode(text) == sources


def test_a_parameter_that_would_be_too_long_is_refused_with_both_numbers() -> None:
    sources = {str(i): new_source(SECRET, added="", template=Template(body="x" * 1000)) for i in range(4)}
    with pytest.raises(Reject, match=rf"4,\d\d\d characters, and the parameter holds {MAX_CHARACTERS:,}"):
        encode(sources)


def test_characters_beyond_ascii_count_as_their_bytes() -> None:
    def sources(emoji: int) -> dict[str, Source]:
        return {"a": Source(salt="", hash="", added="", template=Template(body="🚀" * emoji))}

    most = (MAX_CHARACTERS - len(encode(sources(0)))) // 4
    assert decode(encode(sources(most))) == sources(most)
    with pytest.raises(Reject):
        encode(sources(most + 1))


@pytest.mark.parametrize("body", ["{{a}}", "{{{a}}}", "{{{{", r"\{{a}}", "{{ssm:name}}"])
def test_the_parameter_never_has_the_double_braces_that_ssm_refuses(body: str) -> None:
    sources = {"a": Source(salt="", hash="", added="", template=Template(body=body))}
    assert "{{" not in encode(sources)
    assert decode(encode(sources)) == sources


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", '{"a": {}}', '{"a": {"salt": "s", "hash": "SECRET-HASH", "added": "", "limit": 5}}', "\ud800"],
)
def test_a_parameter_that_is_not_understood_whole_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(Reject) as refused:
        decode(text)
    assert "SECRET-HASH" not in refused.value.reason
    assert refused.value.__cause__ is None


def test_a_parameter_with_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(Reject, match="an address must be one as in"):
        decode('{"a": {"salt": "s", "hash": "h", "added": "d", "addresses": ["192.0.2.7", "home"]}}')


def test_a_source_needs_salt_hash_and_day_alone() -> None:
    assert decode('{"a": {"salt": "s", "hash": "h", "added": "d"}}') == {"a": Source(salt="s", hash="h", added="d")}
    assert set(json.loads(encode(SOURCES))["scanner"]) == {"salt", "hash", "added"}


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ä", "x" * 33, "a\n", "..", "%41"])
def test_a_name_that_an_address_cannot_hold_is_refused(name: str) -> None:
    check_name("Trading_View-1")
    with pytest.raises(Reject):
        check_name(name)


@pytest.mark.parametrize("address", ["", "52.89.214", "10.0.0.1/8", "example.com", "1.2.3.4,5.6.7.8"])
def test_what_is_not_an_address_or_a_network_is_refused(address: str) -> None:
    assert check_address(" 10.0.0.0/8") == "10.0.0.0/8"
    with pytest.raises(Reject):
        check_address(address)


@pytest.mark.parametrize("seconds", [1, 59, 13 * 86400 + 1, -60])
def test_an_expiry_that_cannot_be_kept_is_refused(seconds: int) -> None:
    assert new_source(SECRET, added="", expires_in=60).expires_in == 60
    with pytest.raises(Reject):
        new_source(SECRET, added="", expires_in=seconds)
