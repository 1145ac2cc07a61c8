"""What the two parameters with secrets may contain, when they are read, and that a secret is never shown."""

import json
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError
from relay.credentials import LOGIN, TOKEN, Credentials, Login, SecretParameter
from relay.errors import Halt, Retry

from tests.factories import NOW, Clock

NAME = "/relay/parameter"


class FakeParameter:
    """SSM with one parameter, or one failure."""

    def __init__(self, content: object) -> None:
        self.content = content
        self.reads = 0

    def __call__(self, *, Name: str, WithDecryption: bool) -> dict[str, Any]:  # noqa: N803
        assert (Name, WithDecryption) == (NAME, True)
        self.reads += 1
        if isinstance(self.content, Exception):
            raise self.content
        value = self.content if isinstance(self.content, str) else json.dumps(self.content)
        return {"Parameter": {"Value": value}}

    def token(self, now: Callable[[], float]) -> SecretParameter[Credentials]:
        return SecretParameter(TOKEN, lambda: SimpleNamespace(get_parameter=self), NAME, now)

    def login(self, now: Callable[[], float]) -> SecretParameter[Login]:
        return SecretParameter(LOGIN, lambda: SimpleNamespace(get_parameter=self), NAME, now)


KINDS = [FakeParameter.token, FakeParameter.login]


def stored(token: object = "t-1", **but: object) -> dict[str, object]:
    return {"access_token": token, "username": "relay_demo", "user_id": 4242, **but}


def a_login(password: object = "p-1", **but: object) -> dict[str, object]:
    return {"username": "demo-user", "password": password, **but}


def both(secret: str) -> dict[str, object]:
    """What either parameter can read."""
    return stored(secret) | {"password": secret}


def secret_of(read: Any) -> str:
    return getattr(read, "access_token", None) or read.password


def refused_by_aws(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "GetParameter")


def halt_for(content: object, kind: Callable[..., Any]) -> Halt:
    with pytest.raises(Halt) as halted:
        kind(FakeParameter(content), Clock()).credentials()
    assert halted.value.pause
    assert (halted.value.pause.until, halted.value.pause.probe) == (NOW + 300, True)
    return halted.value


# --- What is read


def test_the_accounts_credentials_are_read_from_the_token_parameter() -> None:
    assert FakeParameter(stored()).token(Clock()).credentials() == Credentials("t-1", "relay_demo", "4242")


@pytest.mark.parametrize("user_id", [None, ""])
def test_without_a_user_id_the_user_name_stands_for_it(user_id: object) -> None:
    assert FakeParameter(stored(user_id=user_id)).token(Clock()).credentials().user_id == "relay_demo"


def test_a_line_break_after_a_pasted_token_is_removed() -> None:
    assert FakeParameter(stored("t-1\n")).token(Clock()).credentials().access_token == "t-1"


def test_firestreams_login_is_read_from_its_parameter() -> None:
    assert FakeParameter(a_login()).login(Clock()).credentials() == Login("demo-user", "p-1")


def test_a_password_is_taken_as_it_is() -> None:
    for password in (" p 1 ", "pässwörd:/?#", "0"):
        assert FakeParameter(a_login(password)).login(Clock()).credentials().password == password


def test_a_line_break_after_a_pasted_user_name_is_removed() -> None:
    assert FakeParameter(a_login(username="demo-user\n")).login(Clock()).credentials().username == "demo-user"


# --- When it is read


@pytest.mark.parametrize("kind", KINDS)
def test_a_parameter_is_not_read_before_it_is_asked_for(kind: Callable[..., Any]) -> None:
    parameter = FakeParameter(both("old"))
    kind(parameter, Clock())
    assert parameter.reads == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_secret_is_kept_for_five_minutes(kind: Callable[..., Any]) -> None:
    parameter, clock = FakeParameter(both("old")), Clock()
    reader = kind(parameter, clock)
    reader.credentials()
    parameter.content = both("new")
    clock.now = NOW + 300
    assert secret_of(reader.credentials()) == "old"
    clock.now = NOW + 301
    assert secret_of(reader.credentials()) == "new"


@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_secret_is_read_at_once_and_kept(kind: Callable[..., Any]) -> None:
    parameter = FakeParameter(both("old"))
    reader = kind(parameter, Clock())
    reader.credentials()
    parameter.content = both("new")
    assert secret_of(reader.credentials(fresh=True)) == "new"
    assert secret_of(reader.credentials()) == "new"
    assert parameter.reads == 2


@pytest.mark.parametrize("kind", KINDS)
def test_threads_that_ask_at_once_read_it_once(kind: Callable[..., Any]) -> None:
    together = threading.Barrier(8)
    second = threading.Event()

    class Slow(FakeParameter):
        def __call__(self, **what: Any) -> dict[str, Any]:
            second.wait(0.05)  # another thread would come in here
            return super().__call__(**what)

    def ask(_: int) -> str:
        together.wait()
        return secret_of(reader.credentials())

    parameter = Slow(both("s"))
    reader = kind(parameter, Clock())
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {"s"}
    assert parameter.reads == 1


# --- What cannot be used


NOT_OBJECTS = ["s3cret", "", '{"access_token": "s3cret", "password": "s3cret"', ["s3cret"], "null", "1", "[" * 4096]


@pytest.mark.parametrize(
    "content",
    [
        *NOT_OBJECTS,
        {"username": "relay_demo"},
        {"access_token": "s3cret"},
        stored(""),
        stored(" "),
        stored("s3cret\u00e9"),
        stored("s3c\nret"),
        stored(None),
        stored(["s3cret"]),
        stored("s3cret", username=None),
        stored("s3cret", username=" "),
    ],
)
def test_an_unusable_token_parameter_halts_and_is_never_quoted(content: object) -> None:
    halt = halt_for(content, FakeParameter.token)
    assert halt.pause
    assert halt.pause.cause == "token_unreadable"
    assert (
        f"the token parameter {NAME} does not contain a JSON object with access_token, username and user_id"
        in halt.reason
    )
    assert "s3cret" not in "".join(traceback.format_exception(halt))


@pytest.mark.parametrize(
    "content",
    [
        *NOT_OBJECTS,
        {"username": "demo-user"},
        {"password": "s3cret"},
        a_login(""),
        a_login(None),
        a_login(12345678),
        a_login(["s3cret"]),
        a_login("s3c\nret"),
        a_login("s3cret\n"),
        a_login("s3cret", username=""),
        a_login("s3cret", username=" "),
        a_login("s3cret", username=None),
        a_login("s3cret", username="demo\nuser"),
        a_login("s3cret", username="demo:user"),  # Basic auth would take the rest for the password
    ],
)
def test_an_unusable_login_halts_and_is_never_quoted(content: object) -> None:
    halt = halt_for(content, FakeParameter.login)
    assert halt.pause
    assert halt.pause.cause == "login_unreadable"
    assert (
        f"the Firestream credentials parameter {NAME} does not contain a JSON object with username and password"
        in halt.reason
    )
    assert "s3cret" not in "".join(traceback.format_exception(halt))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", ["ParameterNotFound", "AccessDeniedException"])
def test_a_parameter_that_an_operator_must_fix_halts(kind: Callable[..., Any], code: str) -> None:
    assert f"{NAME} cannot be read ({code})" in halt_for(refused_by_aws(code), kind).reason


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (refused_by_aws("ThrottlingException"), "ThrottlingException"),
        (ConnectTimeoutError(endpoint_url="https://ssm"), "ConnectTimeoutError"),
    ],
)
def test_a_parameter_store_that_does_not_answer_is_asked_again_later(
    kind: Callable[..., Any], error: Exception, code: str
) -> None:
    with pytest.raises(Retry, match=rf"{NAME} could not be read \({code}\)"):
        kind(FakeParameter(error), Clock()).credentials()


@pytest.mark.parametrize("kind", KINDS)
def test_a_parameter_store_that_timed_out_is_not_asked_again_for_ten_seconds(kind: Callable[..., Any]) -> None:
    parameter, clock = FakeParameter(ConnectTimeoutError(endpoint_url="https://ssm")), Clock()
    secret = kind(parameter, clock)
    for seconds, fresh in ((0, False), (0, True), (9.999, False), (9.999, True)):
        clock.now = NOW + seconds
        with pytest.raises(Retry, match="could not be read"):
            secret.credentials(fresh=fresh)
    assert parameter.reads == 1
    clock.now = NOW + 10
    parameter.content = both("s-1")
    assert secret_of(secret.credentials()) == "s-1"


@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_read_is_not_kept(kind: Callable[..., Any]) -> None:
    parameter = FakeParameter(refused_by_aws("ThrottlingException"))
    reader = kind(parameter, Clock())
    with pytest.raises(Retry):
        reader.credentials()
    parameter.content = both("s")
    assert secret_of(reader.credentials()) == "s"


@pytest.mark.parametrize("secret", [Credentials("s3cret", "relay_demo", "4242"), Login("demo-user", "s3cret")])
def test_a_secret_does_not_show_itself(secret: object) -> None:
    assert "s3cret" not in repr(secret)
    assert "s3cret" not in str(secret)
    assert "s3cret" not in f"{[secret]}"
