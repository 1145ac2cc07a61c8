"""What the environment and the token parameter may hold, and when they are read."""

import json
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError
from relay.errors import Halt, Misconfigured, Retry
from relay.settings import Clients, PostingSettings, TokenParameter
from relay.stocktwits import Credentials

from tests.unit.factories import ENVIRONMENT, NOW, Clock


def settings(**but: str) -> PostingSettings:
    return PostingSettings.from_environment({**ENVIRONMENT, **but})


def test_settings_are_read_from_the_variables_of_their_names() -> None:
    assert settings() == PostingSettings(
        source_queue_url="https://sqs/outbox",
        dead_letter_queue_url="https://sqs/dead",
        ledger_table_name="ledger",
        stocktwits_api_url="https://api.stocktwits.com/api/2",
        stocktwits_auth_style="bearer",
        stocktwits_token_parameter="/relay/token",
        max_posts_per_hour=60,
        post_burst=10,
        max_posts_per_day=0,
        post_concurrency=4,
        dry_run=False,
        chart_bucket_name="",
    )


@pytest.mark.parametrize("name", sorted(ENVIRONMENT))
def test_a_missing_variable_is_named(name: str) -> None:
    rest = {each: value for each, value in ENVIRONMENT.items() if each != name}
    with pytest.raises(Misconfigured, match=f"the environment variable {name} is missing"):
        PostingSettings.from_environment(rest)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("MAX_POSTS_PER_HOUR", "0", "must be at least 1"),
        ("POST_BURST", "0", "must be at least 1"),
        ("POST_CONCURRENCY", "0", "must be at least 1"),
        ("MAX_POSTS_PER_HOUR", "", "must be a whole number"),
        ("POST_BURST", "1.5", "must be a whole number"),
        ("MAX_POSTS_PER_DAY", "-1", "must be a whole number"),
        ("DRY_RUN", "True", "must be true or false"),
        ("DRY_RUN", "", "must be true or false"),
        ("STOCKTWITS_AUTH_STYLE", "Bearer", "must be one of bearer, oauth, form"),
        ("STOCKTWITS_API_URL", "api.stocktwits.com/api/2", "must begin with https://"),
        ("STOCKTWITS_API_URL", "", "must begin with https://"),
    ],
)
def test_an_unreadable_variable_is_named_with_what_it_must_be(name: str, value: str, words: str) -> None:
    with pytest.raises(Misconfigured, match=f"{name} {words}"):
        settings(**{name: value})


def test_a_dry_run_is_asked_for_by_true() -> None:
    assert settings(DRY_RUN="true").dry_run is True


class Parameter:
    """SSM with one parameter, or one failure."""

    def __init__(self, content: object) -> None:
        self.content = content
        self.reads = 0

    def __call__(self, *, Name: str, WithDecryption: bool) -> dict[str, Any]:  # noqa: N803
        assert (Name, WithDecryption) == ("/relay/token", True)
        self.reads += 1
        if isinstance(self.content, Exception):
            raise self.content
        value = self.content if isinstance(self.content, str) else json.dumps(self.content)
        return {"Parameter": {"Value": value}}

    def reader(self, now: Callable[[], float]) -> TokenParameter:
        return TokenParameter(lambda: SimpleNamespace(get_parameter=self), "/relay/token", now)


def stored(token: str = "t-1", **but: object) -> dict[str, object]:
    return {"access_token": token, "username": "relay_demo", "user_id": 4242, **but}


def refused_by_aws(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "GetParameter")


def test_credentials_are_read_from_the_parameter() -> None:
    assert Parameter(stored()).reader(Clock()).credentials() == Credentials("t-1", "relay_demo", "4242")


@pytest.mark.parametrize("user_id", [None, ""])
def test_without_a_user_id_the_user_name_stands_for_it(user_id: object) -> None:
    assert Parameter(stored(user_id=user_id)).reader(Clock()).credentials().user_id == "relay_demo"


def test_a_line_break_after_a_pasted_token_is_no_part_of_it() -> None:
    assert Parameter(stored("t-1\n")).reader(Clock()).credentials().access_token == "t-1"


def test_nothing_is_read_before_it_is_asked_for() -> None:
    parameter = Parameter(stored())
    parameter.reader(Clock())
    assert parameter.reads == 0


def test_credentials_are_kept_for_five_minutes() -> None:
    parameter, clock = Parameter(stored("old")), Clock()
    reader = parameter.reader(clock)
    reader.credentials()
    parameter.content = stored("new")
    clock.now = NOW + 300
    assert reader.credentials().access_token == "old"
    clock.now = NOW + 301
    assert reader.credentials().access_token == "new"


def test_fresh_credentials_are_read_at_once_and_kept() -> None:
    parameter, clock = Parameter(stored("old")), Clock()
    reader = parameter.reader(clock)
    reader.credentials()
    parameter.content = stored("new")
    assert reader.credentials(fresh=True).access_token == "new"
    assert reader.credentials().access_token == "new"
    assert parameter.reads == 2


@pytest.mark.parametrize(
    "content",
    [
        "secret",
        "",
        '{"access_token": "secret"',
        ["secret"],
        "null",
        {"username": "relay_demo"},
        {"access_token": "secret"},
        stored(""),
        stored(" "),
        stored("secret\u00e9"),
        stored("sec\nret"),
        stored(access_token=None),
        stored("secret", username=None),
        stored("secret", username=" "),
    ],
)
def test_an_unusable_parameter_halts_and_is_never_quoted(content: object) -> None:
    with pytest.raises(Halt) as halted:
        Parameter(content).reader(Clock()).credentials()
    assert halted.value.pause
    assert (halted.value.pause.cause, halted.value.pause.until) == ("token_unreadable", NOW + 300)
    assert halted.value.pause.probe
    assert "the token parameter /relay/token holds no JSON object with access_token" in halted.value.reason
    assert "secret" not in "".join(traceback.format_exception(halted.value))


@pytest.mark.parametrize("code", ["ParameterNotFound", "AccessDeniedException"])
def test_a_parameter_that_somebody_must_mend_halts(code: str) -> None:
    with pytest.raises(Halt, match=rf"/relay/token cannot be read \({code}\)"):
        Parameter(refused_by_aws(code)).reader(Clock()).credentials()


@pytest.mark.parametrize(
    "error", [refused_by_aws("ThrottlingException"), ConnectTimeoutError(endpoint_url="https://ssm")]
)
def test_a_parameter_store_that_does_not_answer_is_asked_again_later(error: Exception) -> None:
    with pytest.raises(Retry, match="was not answered for"):
        Parameter(error).reader(Clock()).credentials()


def test_a_failed_read_is_not_kept() -> None:
    parameter = Parameter(refused_by_aws("ThrottlingException"))
    reader = parameter.reader(Clock())
    with pytest.raises(Retry):
        reader.credentials()
    parameter.content = stored()
    assert reader.credentials().access_token == "t-1"


def test_a_client_is_made_once_however_many_threads_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    together = threading.Barrier(8)
    second = threading.Event()

    def client(service: str, **_: object) -> object:
        made.append(service)
        second.wait(0.05)  # another thread would come in here
        return object()

    def ask(_: int) -> object:
        together.wait()
        return clients.get("sqs")

    monkeypatch.setattr(boto3, "client", client)
    clients = Clients()
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
    assert made == ["sqs"]


def test_each_service_has_a_client_of_its_own_and_none_is_made_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(boto3, "client", lambda service, **_: made.append(service) or object())
    clients = Clients()
    assert made == []
    assert clients.get("sqs") is not clients.get("ssm")
    assert made == ["sqs", "ssm"]
