"""The settings of the function that fetches backups."""

import pytest
from relay.backups.settings import BackupSettings
from relay.errors import Misconfigured

from tests.factories import BACKUP_ENVIRONMENT


def settings(**but: str) -> BackupSettings:
    return BackupSettings.from_environment({**BACKUP_ENVIRONMENT, **but})


def test_settings_are_read_from_the_variables_of_their_names() -> None:
    assert settings() == BackupSettings(
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
def test_a_missing_variable_is_named(name: str) -> None:
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
def test_file_types_are_separated_by_commas(value: str, types: tuple[str, ...]) -> None:
    assert settings(BACKUP_FILE_TYPES=value).file_types == types


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
def test_an_unreadable_variable_is_named_with_what_it_must_be(name: str, value: str, words: str) -> None:
    with pytest.raises(Misconfigured, match=f"^{name}:? ?{words}"):
        settings(**{name: value})


def test_the_nightly_run_looks_at_least_a_day_further_back_than_a_backup_may_be_late() -> None:
    assert settings(BACKUP_LAG_DAYS="0", BACKUP_LOOKBACK_DAYS="1").backup_lookback_days == 1
    assert settings(BACKUP_LOOKBACK_DAYS="3").backup_lookback_days == 3
