"""`relay login`: whose account it is is known before anything is stored, and no secret shows anywhere."""

import io
import json
from contextlib import contextmanager
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tests.integration.conftest import LOGIN_PARAMETER, PASSWORD, TOKEN, TOKEN_PARAMETER
from tests.worlds.cli import DONE, NO_AWS, REFUSED, FAILED, USAGE, Desk

CALLBACK = "https://example.com/callback"
CODE = "a-secret-code"
SECRET = "a-secret-of-the-client"


@pytest.fixture
def desk(world, monkeypatch):
    for name, value in {"client_id": "our-client", "client_secret": SECRET, "code": CODE}.items():
        monkeypatch.setattr(world.stand_in, name, value)
    monkeypatch.setenv("STOCKTWITS_CLIENT_ID", "our-client")
    monkeypatch.setenv("STOCKTWITS_CLIENT_SECRET", SECRET)
    monkeypatch.setenv("STOCKTWITS_REDIRECT_URI", CALLBACK)
    world.ssm.delete_parameter(Name=TOKEN_PARAMETER)
    desk = Desk(world, monkeypatch)
    yield desk
    for secret in (TOKEN, SECRET, PASSWORD):
        assert secret not in desk.everything
        assert quote(secret) not in json.dumps([[each.path, each.query] for each in world.stand_in.requests])


@pytest.fixture
def archive(desk, firestream):
    """Firestream, known to the stack."""
    desk.parameters |= {"FirestreamUrl": firestream.url, "FirestreamCredentialsParameter": LOGIN_PARAMETER}
    return firestream


def login(desk, typed, *words):
    return desk("login", "--no-browser", *words, typed=typed)


def test_a_code_becomes_the_stored_token_when_the_operator_agrees(desk):
    said = login(desk, f"{CODE}\ny\n")
    assert said.code == DONE
    assert "This is the account @relay_demo." in said.err
    assert desk.stored(TOKEN_PARAMETER) == {"access_token": TOKEN, "username": "relay_demo", "user_id": 4242}


def test_the_relay_posts_with_what_was_stored(desk, world, outbox):
    login(desk, f"{CODE}\n", "--expect-username", "relay_demo")
    outbox.send("Up 3% $AAPL")
    assert outbox.run().outcomes == ["posted"]


def test_the_code_is_taken_out_of_the_address_that_came_back(desk):
    said = login(desk, f"{CALLBACK}?state=1&code={quote(CODE)}#_\n", "--expect-username", "relay_demo")
    assert said.code == DONE
    assert desk.stored(TOKEN_PARAMETER)["access_token"] == TOKEN


@pytest.mark.parametrize("expected", ["@relay_demo", "RELAY_DEMO"])
def test_an_account_is_known_by_its_name_in_any_case(desk, monkeypatch, world, expected):
    monkeypatch.setattr(world.stand_in, "username", "Relay_Demo")
    assert login(desk, f"{CODE}\n", "--expect-username", expected).code == DONE
    assert desk.stored(TOKEN_PARAMETER)["username"] == "Relay_Demo"


def test_the_page_to_authorize_at_is_printed_and_opened(desk, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    said = desk("login", typed=f"{CODE}\ny\n")
    (page,) = opened
    assert page in said.err
    assert parse_qs(urlsplit(page).query) == {
        "client_id": ["our-client"],
        "response_type": ["code"],
        "redirect_uri": [CALLBACK],
        "scope": ["read,publish_messages"],
    }


def test_no_browser_opens_nothing(desk, monkeypatch):
    monkeypatch.setattr("webbrowser.open", lambda _: pytest.fail("it was opened"))
    assert login(desk, f"{CODE}\ny\n").code == DONE


def test_what_the_environment_does_not_say_is_asked_for(desk, monkeypatch):
    for name in ("STOCKTWITS_CLIENT_ID", "STOCKTWITS_CLIENT_SECRET", "STOCKTWITS_REDIRECT_URI"):
        monkeypatch.delenv(name)
    assert login(desk, f"our-client\n{SECRET}\n{CALLBACK}\n{CODE}\ny\n").code == DONE


def test_where_nobody_answers_it_says_so(desk):
    said = login(desk, "")
    assert (said.code, "the code in it: nobody answered" in said.err) == (FAILED, True)


def test_ctrl_c_in_front_of_a_question_is_an_interruption(desk, monkeypatch):
    class Terminal(io.TextIOWrapper):
        def isatty(self):
            return True

        def readline(self, *_):
            raise KeyboardInterrupt

    monkeypatch.setattr("tests.worlds.cli.io.TextIOWrapper", Terminal)
    assert login(desk, "").code == 130


@pytest.mark.parametrize(
    ("pasted", "code", "words"),
    [
        (f"{CALLBACK}?error=access_denied&error_description=The+user+said+no", REFUSED, "The user said no"),
        (f"{CALLBACK}?error=server_error", REFUSED, "server_error"),
        (f"{CALLBACK}?code=another", REFUSED, "The code is not valid"),
        ("another", REFUSED, "The code is not valid"),
        (f"{CALLBACK}?state=1", USAGE, "no code in that address"),
        (CALLBACK, USAGE, "no code in that"),
        ("I do not know", USAGE, "no code in that"),
    ],
)
def test_without_a_good_code_nothing_is_stored(desk, pasted, code, words):
    said = login(desk, f"{pasted}\ny\n")
    assert said.code == code
    assert words in said.err
    assert desk.stored(TOKEN_PARAMETER) is None


def test_a_wrong_client_secret_is_told_without_showing_it(desk, monkeypatch, world):
    monkeypatch.setattr(world.stand_in, "client_secret", "another")
    said = login(desk, f"{CODE}\ny\n")
    assert said.code == REFUSED
    assert "Client authentication failed" in said.err
    assert desk.stored(TOKEN_PARAMETER) is None


def test_a_token_that_may_not_post_is_not_stored(desk, monkeypatch, world):
    granted = {"access_token": TOKEN, "user_id": 4242, "username": "relay_demo", "scope": "read"}
    monkeypatch.setitem(world.stand_in.api._endpoints, "POST oauth/token", lambda _: granted)
    said = login(desk, f"{CODE}\ny\n")
    assert (said.code, "its scope is read" in said.err) == (REFUSED, True)
    assert desk.stored(TOKEN_PARAMETER) is None


def test_a_token_of_another_account_is_not_stored(desk):
    said = login(desk, f"{CODE}\n", "--expect-username", "somebody_else")
    assert said.code == REFUSED
    assert "of @relay_demo, not of @somebody_else" in said.err
    assert desk.stored(TOKEN_PARAMETER) is None


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_nothing_is_stored_unless_the_operator_agrees(desk, answer):
    said = login(desk, f"{CODE}\n{answer}")
    assert (said.code, "Nothing was stored" in said.err) == (FAILED, True)
    assert ("nobody answered. Where nobody can, say --expect-username relay_demo" in said.err) == (not answer)
    assert desk.stored(TOKEN_PARAMETER) is None


def test_a_token_that_one_has_comes_by_a_pipe(desk, world):
    assert desk("login", "--token", "--expect-username", "relay_demo", typed=f"{TOKEN}\n").code == DONE
    assert desk.stored(TOKEN_PARAMETER)["access_token"] == TOKEN
    assert [each.resource for each in world.stand_in.requests] == ["account/verify"]


def test_the_token_goes_where_the_stack_says(desk, world):
    desk.parameters["StockTwitsAuthStyle"] = "oauth"
    desk("login", "--token", "--expect-username", "relay_demo", typed=f"{TOKEN}\n")
    assert world.stand_in.requests[0].headers["Authorization"] == f"OAuth {TOKEN}"


@pytest.mark.parametrize(
    ("token", "code", "words"),
    [("another", REFUSED, "refused the token"), ("", USAGE, "nothing came"), ("two words", USAGE, "no access token")],
)
def test_a_token_that_is_none_is_not_stored(desk, token, code, words):
    said = desk("login", "--token", "--expect-username", "relay_demo", typed=f"{token}\n")
    assert (said.code, words in said.err) == (code, True)
    assert desk.stored(TOKEN_PARAMETER) is None


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("403-html", REFUSED, "StockTwits answered 403"),
        ("5xx-before", REFUSED, "StockTwits answered 500"),
        ("redirect", REFUSED, "StockTwits answered 302"),
        ("reset-before", FAILED, "could not be reached"),
        ("suspended", REFUSED, "Account suspended"),
    ],
)
def test_whatever_keeps_stocktwits_from_saying_whose_it_is_is_told(desk, world, fault, code, words):
    world.stand_in.fail(fault, path="account/verify")
    said = desk("login", "--token", "--expect-username", "relay_demo", typed=f"{TOKEN}\n")
    assert (said.code, words in said.err) == (code, True)
    assert desk.stored(TOKEN_PARAMETER) is None


def test_a_token_that_may_not_be_stored_says_which_permission_is_missing(desk):
    desk.plan("PutParameter", "AccessDeniedException")
    said = desk("login", "--token", "--expect-username", "relay_demo", typed=f"{TOKEN}\n")
    assert (said.code, "does not allow you PutParameter" in said.err) == (NO_AWS, True)


# Firestream


def test_firestreams_login_is_stored_after_one_request_and_no_download(desk, archive):
    said = desk("login", "firestream", "--username", archive.username, typed=f"{PASSWORD}\n")
    assert said.code == DONE
    assert desk.stored(LOGIN_PARAMETER) == {"username": archive.username, "password": PASSWORD}
    assert [each.host for each in archive.requests] == ["api"]


def test_a_login_that_is_told_of_a_missing_day_is_good(desk, archive):
    archive.fail("404")
    assert desk("login", "firestream", typed=f"{archive.username}\n{PASSWORD}\n").code == DONE
    assert desk.stored(LOGIN_PARAMETER) is not None


@contextmanager
def stopped(firestream):
    firestream.stop()
    try:
        yield
    finally:
        firestream.start()


def test_a_refused_login_is_not_stored(desk, archive):
    said = desk("login", "firestream", "--username", archive.username, typed="another\n")
    assert said.code == REFUSED
    assert "refused the login" in said.err
    assert desk.stored(LOGIN_PARAMETER) is None
    assert len(archive.requests) == 1


def test_a_login_that_cannot_be_checked_is_not_stored(desk, archive):
    with stopped(archive):
        said = desk("login", "firestream", "--username", archive.username, typed=f"{PASSWORD}\n")
    assert (said.code, "could not be checked" in said.err) == (FAILED, True)
    assert desk.stored(LOGIN_PARAMETER) is None


@pytest.mark.parametrize(("username", "password"), [("a:b", "good"), ("a", "b\x07"), ("a", "")])
def test_a_login_that_no_request_could_carry_is_refused(desk, archive, username, password):
    assert desk("login", "firestream", "--username", username, typed=f"{password}\n").code == USAGE
    assert archive.requests == []
