"""The settings of the functions that post."""

import pytest
from relay.errors import Misconfigured
from relay.posting.settings import PostingSettings

from tests.factories import ENVIRONMENT


def settings(**but: str) -> PostingSettings:
    return PostingSettings.from_environment({**ENVIRONMENT, **but})


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
        default_expiry_minutes=0,
        expired_to="dead-letters",
        posting_hours="",
        posting_holidays="none",
        alike_minutes=0,
        when_duplicate="reject",
        symbol_cooldown_minutes=0,
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
        ("EXPIRED_TO", "nowhere", "must be one of dead-letters, log"),
        ("WHEN_DUPLICATE", "", "must be one of reject, wait"),
        ("ALIKE_MINUTES", "1.5", "must be a whole number"),
        ("POSTING_HOLIDAYS", "NYSE", "needs POSTING_HOURS"),
        ("STOCKTWITS_API_URL", "api.stocktwits.com/api/2", "must begin with https://"),
        ("STOCKTWITS_API_URL", "", "must begin with https://"),
    ],
)
def test_an_unreadable_variable_is_named_with_what_it_must_be(name: str, value: str, words: str) -> None:
    with pytest.raises(Misconfigured, match=f"{name} {words}"):
        settings(**{name: value})


def test_a_dry_run_is_asked_for_by_true() -> None:
    assert settings(DRY_RUN="true").dry_run is True
