"""`relay login`: whose account it is is known before anything is stored, and no secret shows anywhere."""

import inspect
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from botocore.exceptions import EndpointConnectionError
from relay.errors import Pause
from relay.posting import stocktwits
from relay_cli.deployed.operator_pause import TOKEN_CAUSES

from local.stand_ins.firestream.server import FirestreamStandIn
from tests.servers import tcp_server
from tests.worlds.backups import LOGIN_PARAMETER, PASSWORD
from tests.worlds.cli import DONE, FAILED, NO_AWS, REFUSED, USAGE, CliHarness, CommandResult
from tests.worlds.firestream import always
from tests.worlds.functions import Outbox
from tests.worlds.posting import TOKEN, TOKEN_PARAMETER, PostingWorld

CALLBACK = "https://example.com/callback"
CODE = "a-secret-code"
SECRET = "a-secret-of-the-client"


@pytest.fixture
def cli(world: PostingWorld, monkeypatch: pytest.MonkeyPatch) -> Iterator[CliHarness]:
    for name, value in {"client_id": "our-client", "client_secret": SECRET, "code": CODE}.items():
        monkeypatch.setattr(world.stand_in, name, value)
    monkeypatch.setenv("STOCKTWITS_CLIENT_ID", "our-client")
    monkeypatch.setenv("STOCKTWITS_CLIENT_SECRET", SECRET)
    monkeypatch.setenv("STOCKTWITS_REDIRECT_URI", CALLBACK)
    world.ssm.delete_parameter(Name=TOKEN_PARAMETER)
    cli = CliHarness(world, monkeypatch)
    yield cli
    for secret in (TOKEN, SECRET, PASSWORD):
        assert secret not in cli.everything
        assert quote(secret) not in json.dumps([[each.path, each.query] for each in world.stand_in.requests])


@pytest.fixture
def archive(cli: CliHarness, firestream: FirestreamStandIn) -> FirestreamStandIn:
    """Firestream, known to the stack."""
    cli.parameters |= {"FirestreamUrl": firestream.url, "FirestreamCredentialsParameter": LOGIN_PARAMETER}
    return firestream


def login(cli: CliHarness, typed: str, *words: str) -> CommandResult:
    return cli("login", "--no-browser", *words, typed=typed)


def test_a_code_becomes_the_stored_token_when_the_operator_agrees(cli: CliHarness) -> None:
    result = login(cli, f"{CODE}\ny\n")
    assert result.code == DONE
    assert "This is the account @relay_demo." in result.err
    assert cli.stored(TOKEN_PARAMETER) == {
        "access_token": TOKEN,
        "username": "relay_demo",
        "user_id": 4242,
        "scope": "read,publish_messages",
    }


def test_the_relay_posts_with_what_was_stored(cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    login(cli, f"{CODE}\n", "--expect-username", "relay_demo")
    outbox.send("Up 3% $AAPL")
    assert outbox.run().outcomes == ["posted"]


def test_the_code_is_taken_out_of_the_address_that_came_back(cli: CliHarness) -> None:
    result = login(cli, f"{CALLBACK}?state=1&code={quote(CODE)}#_\n", "--expect-username", "relay_demo")
    assert result.code == DONE
    assert cli.stored(TOKEN_PARAMETER)["access_token"] == TOKEN


@pytest.mark.parametrize("expected", ["@relay_demo", "RELAY_DEMO"])
def test_an_account_is_known_by_its_name_in_any_case(
    cli: CliHarness, monkeypatch: pytest.MonkeyPatch, world: PostingWorld, expected: str
) -> None:
    monkeypatch.setattr(world.stand_in, "username", "Relay_Demo")
    assert login(cli, f"{CODE}\n", "--expect-username", expected).code == DONE
    assert cli.stored(TOKEN_PARAMETER)["username"] == "Relay_Demo"


def test_the_page_to_authorize_at_is_printed_and_opened(cli: CliHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    result = cli("login", typed=f"{CODE}\ny\n")
    (page,) = opened
    assert page in result.err
    assert parse_qs(urlsplit(page).query) == {
        "client_id": ["our-client"],
        "response_type": ["code"],
        "redirect_uri": [CALLBACK],
        "scope": ["read,publish_messages"],
    }


def test_no_browser_opens_nothing(cli: CliHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webbrowser.open", lambda _: pytest.fail("it was opened"))
    assert login(cli, f"{CODE}\ny\n").code == DONE


def test_what_the_environment_does_not_say_is_asked_for(cli: CliHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STOCKTWITS_CLIENT_ID", "STOCKTWITS_CLIENT_SECRET", "STOCKTWITS_REDIRECT_URI"):
        monkeypatch.delenv(name)
    assert login(cli, f"our-client\n{SECRET}\n{CALLBACK}\n{CODE}\ny\n").code == DONE


def test_a_question_that_gets_no_answer_ends_the_login(cli: CliHarness) -> None:
    result = login(cli, "")
    assert (result.code, "the code in it: there was no answer" in result.err) == (FAILED, True)


def test_ctrl_c_in_front_of_a_question_is_an_interruption(cli: CliHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.TextIOWrapper):
        def readline(self, *_: object) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr("tests.worlds.cli.io.TextIOWrapper", Terminal)
    assert cli("login", "--no-browser", at_terminal=True).code == 130


@pytest.mark.parametrize(
    ("pasted", "code", "words"),
    [
        (f"{CALLBACK}?error=access_denied&error_description=The+user+result+no", REFUSED, "The user result no"),
        (f"{CALLBACK}?error=server_error", REFUSED, "server_error"),
        (f"{CALLBACK}?code=another", REFUSED, "The code is not valid"),
        ("another", REFUSED, "The code is not valid"),
        (f"{CALLBACK}?state=1", USAGE, "no code in that address"),
        (CALLBACK, USAGE, "no code in that"),
        ("I do not know", USAGE, "no code in that"),
    ],
)
def test_without_a_good_code_nothing_is_stored(cli: CliHarness, pasted: str, code: int, words: str) -> None:
    result = login(cli, f"{pasted}\ny\n")
    assert result.code == code
    assert words in result.err
    assert cli.stored(TOKEN_PARAMETER) is None


def test_a_wrong_client_secret_is_reported_without_showing_it(
    cli: CliHarness, monkeypatch: pytest.MonkeyPatch, world: PostingWorld
) -> None:
    monkeypatch.setattr(world.stand_in, "client_secret", "another")
    result = login(cli, f"{CODE}\ny\n")
    assert result.code == REFUSED
    assert "Client authentication failed" in result.err
    assert cli.stored(TOKEN_PARAMETER) is None


def test_a_token_that_may_not_post_is_not_stored(
    cli: CliHarness, monkeypatch: pytest.MonkeyPatch, world: PostingWorld
) -> None:
    granted = {"access_token": TOKEN, "user_id": 4242, "username": "relay_demo", "scope": "read"}
    monkeypatch.setitem(world.stand_in.api._endpoints, "POST oauth/token", lambda _: granted)
    result = login(cli, f"{CODE}\ny\n")
    assert (result.code, "its scope is read" in result.err) == (REFUSED, True)
    assert cli.stored(TOKEN_PARAMETER) is None


def test_a_token_of_another_account_is_not_stored(cli: CliHarness) -> None:
    result = login(cli, f"{CODE}\n", "--expect-username", "somebody_else")
    assert result.code == REFUSED
    assert "belongs to @relay_demo, not to @somebody_else" in result.err
    assert cli.stored(TOKEN_PARAMETER) is None


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_nothing_is_stored_unless_the_operator_agrees(cli: CliHarness, answer: str) -> None:
    result = login(cli, f"{CODE}\n{answer}")
    assert (result.code, "Nothing was stored" in result.err) == (FAILED, True)
    assert ("there was no answer. Use --expect-username relay_demo" in result.err) == (not answer)
    assert cli.stored(TOKEN_PARAMETER) is None


def test_a_token_that_one_has_comes_by_a_pipe(cli: CliHarness, world: PostingWorld) -> None:
    assert cli("login", "--token", "--expect-username", "relay_demo", typed=f"{TOKEN}\n").code == DONE
    assert cli.stored(TOKEN_PARAMETER)["access_token"] == TOKEN
    assert [each.resource for each in world.stand_in.requests] == ["account/verify"]


def test_the_token_is_stored_in_the_parameter_of_the_stack(cli: CliHarness, world: PostingWorld) -> None:
    cli.parameters["StockTwitsAuthStyle"] = "oauth"
    cli("login", "--token", "--expect-username", "relay_demo", typed=f"{TOKEN}\n")
    assert world.stand_in.requests[0].headers["Authorization"] == f"OAuth {TOKEN}"


@pytest.mark.parametrize(
    ("token", "code", "words"),
    [
        ("another", REFUSED, "refused the token"),
        ("", USAGE, "the input is empty"),
        ("two words", USAGE, "not an access token"),
    ],
)
def test_a_token_that_is_none_is_not_stored(cli: CliHarness, token: str, code: int, words: str) -> None:
    result = cli("login", "--token", "--expect-username", "relay_demo", typed=f"{token}\n")
    assert (result.code, words in result.err) == (code, True)
    assert cli.stored(TOKEN_PARAMETER) is None


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("403-html", REFUSED, "StockTwits' bot protection blocks this computer (403), whatever the token is"),
        ("problem", REFUSED, "StockTwits' bot protection blocks this computer (403), whatever the token is"),
        ("5xx-before", REFUSED, "StockTwits responded with 500"),
        ("redirect", REFUSED, "StockTwits responded with 302"),
        ("reset-before", FAILED, "could not be reached"),
        ("suspended", REFUSED, "Account suspended"),
    ],
)
def test_an_error_in_finding_the_tokens_account_is_reported(
    cli: CliHarness, world: PostingWorld, fault: str, code: int, words: str
) -> None:
    world.stand_in.fail(fault, path="account/verify")
    result = cli("login", "--token", "--expect-username", "relay_demo", typed=f"{TOKEN}\n")
    assert (result.code, words in result.err) == (code, True)
    assert cli.stored(TOKEN_PARAMETER) is None


def test_a_token_that_may_not_be_stored_names_the_missing_permission(cli: CliHarness) -> None:
    cli.plan("PutParameter", "AccessDeniedException")
    result = cli("login", "--token", "--expect-username", "relay_demo", typed=f"{TOKEN}\n")
    assert (result.code, "does not allow you to call PutParameter" in result.err) == (NO_AWS, True)


# Firestream


def test_firestreams_login_is_stored_after_one_request_and_no_download(
    cli: CliHarness, archive: FirestreamStandIn
) -> None:
    result = cli("login", "firestream", "--username", archive.username, typed=f"{PASSWORD}\n")
    assert result.code == DONE
    assert cli.stored(LOGIN_PARAMETER) == {"username": archive.username, "password": PASSWORD}
    assert [each.host for each in archive.requests] == ["api"]


def test_a_login_that_is_answered_with_a_missing_day_is_good(cli: CliHarness, archive: FirestreamStandIn) -> None:
    archive.fail("404")
    assert cli("login", "firestream", typed=f"{archive.username}\n{PASSWORD}\n").code == DONE
    assert cli.stored(LOGIN_PARAMETER) is not None


@pytest.mark.parametrize("status", [200, 301, 302, 303, 307, 308, 403])
def test_a_login_is_good_whatever_firestream_does_with_the_day(
    cli: CliHarness, archive: FirestreamStandIn, status: int
) -> None:
    with tcp_server(always(status, b"not in your plan")) as server:
        cli.parameters["FirestreamUrl"] = f"http://127.0.0.1:{server.port}"
        result = cli("login", "firestream", "--username", archive.username, typed=f"{PASSWORD}\n")
    assert (result.code, server.received.count(b"GET ")) == (DONE, 1)
    assert cli.stored(LOGIN_PARAMETER) is not None


@pytest.mark.parametrize("status", [400, 500])
def test_a_login_that_firestream_does_not_judge_is_not_stored(
    cli: CliHarness, archive: FirestreamStandIn, status: int
) -> None:
    with tcp_server(always(status, b"down")) as server:
        cli.parameters["FirestreamUrl"] = f"http://127.0.0.1:{server.port}"
        result = cli("login", "firestream", "--username", archive.username, typed=f"{PASSWORD}\n")
    assert (result.code, "could not be checked" in result.err) == (FAILED, True)
    assert cli.stored(LOGIN_PARAMETER) is None


@contextmanager
def stopped(firestream: FirestreamStandIn) -> Iterator[None]:
    firestream.stop()
    try:
        yield
    finally:
        firestream.start()


def test_a_refused_login_is_not_stored(cli: CliHarness, archive: FirestreamStandIn) -> None:
    result = cli("login", "firestream", "--username", archive.username, typed="another\n")
    assert result.code == REFUSED
    assert "refused the login" in result.err
    assert cli.stored(LOGIN_PARAMETER) is None
    assert len(archive.requests) == 1


def test_a_login_that_cannot_be_checked_is_not_stored(cli: CliHarness, archive: FirestreamStandIn) -> None:
    with stopped(archive):
        result = cli("login", "firestream", "--username", archive.username, typed=f"{PASSWORD}\n")
    assert (result.code, "could not be checked" in result.err) == (FAILED, True)
    assert cli.stored(LOGIN_PARAMETER) is None


@pytest.mark.parametrize(("username", "password"), [("a:b", "good"), ("a", "b\x07"), ("a", "")])
def test_a_login_that_no_request_could_carry_is_refused(
    cli: CliHarness, archive: FirestreamStandIn, username: str, password: str
) -> None:
    assert cli("login", "firestream", "--username", username, typed=f"{password}\n").code == USAGE
    assert archive.requests == []


# The gate


@pytest.mark.parametrize(("cause", "opened"), [("token_refused", True), ("stream", True), ("rate_limited", False)])
def test_another_token_opens_a_gate_that_the_earlier_one_closed_and_no_other(
    cli: CliHarness, world: PostingWorld, cause: str, opened: bool
) -> None:
    world.gate().close(Pause(cause, "why", world.clock() + 300, probe=True))
    result = login(cli, f"{TOKEN}\n", "--token", "--expect-username", "relay_demo")
    assert (result.code, "it is open again" in result.out) == (DONE, opened)
    assert world.gate().admit(3).granted == opened


@pytest.mark.parametrize("error", ["AccessDeniedException", "ThrottlingException", "ResourceNotFoundException", None])
def test_a_stored_token_is_told_first_whatever_happens_while_the_gate_is_opened(
    cli: CliHarness, error: str | None
) -> None:
    def unreachable(_: dict[str, Any]) -> dict[str, Any]:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1")

    cli.plan("UpdateItem", error or unreachable)
    result = login(cli, f"{TOKEN}\n", "--token", "--expect-username", "relay_demo")
    assert (result.code, result.out.startswith("Stored the token of @relay_demo")) == (DONE, True)
    assert "at once with `relay resume --force`" in result.err


def test_json_has_the_account_and_never_the_token(cli: CliHarness, world: PostingWorld) -> None:
    result = login(cli, f"{TOKEN}\n", "--token", "--expect-username", "relay_demo", "--json")
    assert result.json == {"username": "relay_demo", "parameter": TOKEN_PARAMETER, "gate_opened": False}


def test_the_causes_that_a_token_ends_are_those_of_stocktwits() -> None:
    source = inspect.getsource(stocktwits)
    assert {cause for cause in TOKEN_CAUSES if f'"{cause}"' in source} == set(TOKEN_CAUSES)
