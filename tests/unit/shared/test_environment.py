"""Reading settings from environment variables."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from relay.environment import check_url, read_settings, stack_name
from relay.errors import Misconfigured


@dataclass
class Settings:
    queue_url: str
    per_hour: int
    dry_run: bool


def read(**but: str | None) -> Settings:
    environment = {"QUEUE_URL": "https://sqs/q", "PER_HOUR": "60", "DRY_RUN": "false", **but}
    return Settings(
        **read_settings(Settings, {name: value for name, value in environment.items() if value is not None})
    )


def test_each_field_is_read_from_the_variable_of_its_name_in_capitals() -> None:
    assert read() == Settings("https://sqs/q", 60, dry_run=False)
    assert read(QUEUE_URL="", PER_HOUR="0", DRY_RUN="true", OTHER="x") == Settings("", 0, dry_run=True)


@pytest.mark.parametrize("name", ["QUEUE_URL", "PER_HOUR", "DRY_RUN"])
def test_a_missing_variable_is_named_with_what_to_do(name: str) -> None:
    with pytest.raises(Misconfigured) as raised:
        read(**{name: None})
    assert raised.value.reason == f"the environment variable {name} is missing: deploy the template as it is"


@pytest.mark.parametrize("value", ["", "-1", "+1", "1.5", " 1", "1e3", "a week"])
def test_a_number_is_whole_and_not_negative(value: str) -> None:
    with pytest.raises(Misconfigured, match=r"^PER_HOUR must be a whole number$"):
        read(PER_HOUR=value)


@pytest.mark.parametrize("value", ["", "True", "yes", "1", " true"])
def test_a_switch_is_true_or_false(value: str) -> None:
    with pytest.raises(Misconfigured, match=r"^DRY_RUN must be true or false$"):
        read(DRY_RUN=value)


@pytest.mark.parametrize("url", ["https://api.stocktwits.com", "http://127.0.0.1:8080"])
def test_a_url_begins_with_its_scheme(url: str) -> None:
    check_url("API_URL", url)


@pytest.mark.parametrize("url", ["", "api.stocktwits.com", "ftp://api.stocktwits.com", " https://api.stocktwits.com"])
def test_another_text_is_refused_as_a_url(url: str) -> None:
    with pytest.raises(Misconfigured, match=r"^API_URL must begin with https://$"):
        check_url("API_URL", url)


@pytest.mark.parametrize(
    ("environment", "name"),
    [({"STACK_NAME": "relay-test"}, "relay-test"), ({"STACK_NAME": ""}, "unknown"), ({}, "unknown")],
)
def test_a_missing_stack_name_is_unknown_and_not_an_error(environment: dict[str, str], name: str) -> None:
    assert stack_name(environment) == name
