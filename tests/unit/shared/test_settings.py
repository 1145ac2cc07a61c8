"""What the environment may hold, and which clients are made of it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.session import Session
from relay.aws import AWS_CONFIG, EVENTS_CONFIG, S3_CONFIG, Clients
from relay.backups.settings import BackupSettings
from relay.errors import Misconfigured
from relay.posting.batch import RESERVE_SECONDS
from relay.posting.result_events import ATTEMPTS, NEEDED_SECONDS
from relay.posting.settings import PostingSettings

from tests.factories import BACKUP_ENVIRONMENT, ENVIRONMENT


def settings(**but: str) -> PostingSettings:
    return PostingSettings.from_environment({**ENVIRONMENT, **but})


def backup_settings(**but: str) -> BackupSettings:
    return BackupSettings.from_environment({**BACKUP_ENVIRONMENT, **but})


def test_settings_are_read_from_the_variables_of_their_names() -> None:
    assert settings() == PostingSettings(
        source_queue_url="https://sqs/outbox",
        outbox_queue_url="https://sqs/outbox",
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
        result_event_bus_name="",
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


def test_the_settings_of_backups_are_read_from_the_variables_of_their_names() -> None:
    assert backup_settings() == BackupSettings(
        backup_requests_queue_url="https://sqs/requests",
        backup_failures_queue_url="https://sqs/failures",
        backup_bucket_name="archive",
        firestream_url="https://firestream.stocktwits.com",
        firestream_credentials_parameter="/relay/firestream",
        backup_file_types="message,activity",
        backup_lag_days=2,
        backup_lookback_days=7,
    )


@pytest.mark.parametrize("name", sorted(BACKUP_ENVIRONMENT))
def test_a_missing_variable_of_backups_is_named(name: str) -> None:
    rest = {each: value for each, value in BACKUP_ENVIRONMENT.items() if each != name}
    with pytest.raises(Misconfigured, match=f"the environment variable {name} is missing"):
        BackupSettings.from_environment(rest)


@pytest.mark.parametrize(
    ("value", "types"),
    [
        ("message", ("message",)),
        ("activity,message", ("activity", "message")),
        (" message , activity ", ("message", "activity")),
    ],
)
def test_the_types_of_files_are_told_apart_by_commas(value: str, types: tuple[str, ...]) -> None:
    assert backup_settings(BACKUP_FILE_TYPES=value).file_types == types


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("FIRESTREAM_URL", "firestream.stocktwits.com", "must begin with https://"),
        ("FIRESTREAM_URL", "", "must begin with https://"),
        ("BACKUP_LAG_DAYS", "-1", "must be a whole number"),
        ("BACKUP_LOOKBACK_DAYS", "a week", "must be a whole number"),
        ("BACKUP_FILE_TYPES", "messages", ".*'messages' is none of activity, message"),
        ("BACKUP_FILE_TYPES", "message,Activity,x", ".*'Activity, x' is none of activity, message"),
        ("BACKUP_FILE_TYPES", "message,", ".*'' is none of"),
        ("BACKUP_FILE_TYPES", "", ".*'' is none of"),
        ("BACKUP_LOOKBACK_DAYS", "2", "must be more than BACKUP_LAG_DAYS"),
        ("BACKUP_LOOKBACK_DAYS", "0", "must be more than BACKUP_LAG_DAYS"),
    ],
)
def test_an_unreadable_variable_of_backups_is_named_with_what_it_must_be(name: str, value: str, words: str) -> None:
    with pytest.raises(Misconfigured, match=f"^{name}:? ?{words}"):
        backup_settings(**{name: value})


def test_the_nightly_run_looks_at_least_a_day_further_back_than_a_backup_may_be_late() -> None:
    assert backup_settings(BACKUP_LAG_DAYS="0", BACKUP_LOOKBACK_DAYS="1").backup_lookback_days == 1
    assert backup_settings(BACKUP_LOOKBACK_DAYS="3").backup_lookback_days == 3


def test_a_client_is_made_once_however_many_threads_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    together = threading.Barrier(8)
    second = threading.Event()

    def client(_: Session, service: str, **__: object) -> object:
        made.append(service)
        second.wait(0.05)  # another thread would come in here
        return object()

    def ask(_: int) -> object:
        together.wait()
        return clients.get("sqs")

    monkeypatch.setattr(Session, "create_client", client)
    clients = Clients()
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
    assert made == ["sqs"]


def test_each_service_has_a_client_of_its_own_and_none_is_made_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(Session, "create_client", lambda _, service, **__: made.append(service) or object())
    clients = Clients()
    assert made == []
    assert clients.get("sqs") is not clients.get("ssm")
    assert made == ["sqs", "ssm"]


def test_only_the_client_of_s3_waits_long_for_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    configs: dict[str, Any] = {}
    monkeypatch.setattr(Session, "create_client", lambda _, service, config: configs.update({service: config}))
    clients = Clients()
    for service in ("sqs", "s3", "ssm", "events"):
        clients.get(service)
    assert configs == {"sqs": AWS_CONFIG, "s3": S3_CONFIG, "ssm": AWS_CONFIG, "events": EVENTS_CONFIG}
    assert S3_CONFIG.read_timeout == 60
    assert AWS_CONFIG.read_timeout == 5
    assert (S3_CONFIG.retries, S3_CONFIG.connect_timeout) == (AWS_CONFIG.retries, AWS_CONFIG.connect_timeout)


def test_a_service_may_have_a_configuration_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    configs: dict[str, Any] = {}
    monkeypatch.setattr(Session, "create_client", lambda _, service, config: configs.update({service: config}))
    clients = Clients(s3=AWS_CONFIG)
    for service in ("s3", "events"):
        clients.get(service)
    assert configs == {"s3": AWS_CONFIG, "events": EVENTS_CONFIG}


def test_announcing_a_batch_takes_less_time_than_must_be_left_for_it() -> None:
    attempt = (EVENTS_CONFIG.connect_timeout + EVENTS_CONFIG.read_timeout) * EVENTS_CONFIG.retries["total_max_attempts"]
    assert ATTEMPTS * attempt < NEEDED_SECONDS < RESERVE_SECONDS
    assert AWS_CONFIG.retries["total_max_attempts"] == 3
