"""Both halves under faults at the same time, on the deployed stack; `make reliability` does it at length."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from local.stack.stack import Stack
from verification.reliability import backup_nights, backup_stories, backups_under_fire, posting_under_fire
from verification.reliability.checker import End

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

POSTING = posting_under_fire.Plan(
    seed=11,
    messages=150,
    publishing_seconds=8,
    kill_pauses=(0.5, 1.5),
    kills=2,
    pause_seconds=6,
    max_seconds=400,
)
BACKUPS = backups_under_fire.Plan(seed=11, days=8, late=0, absent=0, kill_pauses=(0.5, 1.5), kills=2, max_seconds=400)
NIGHTS = backup_nights.Plan(
    seed=11,
    lookback_days=7,
    outage_days=1,
    nights=4,
    faults=2,
    stories=tuple(backup_stories.STORIES)[:11],
    spoiled=(),
    hold_seconds=0,
    kill_pauses=(0.3, 0.6),
    kills=3,
    night_seconds=100,
)


@dataclass(frozen=True)
class Fire:
    """The results of all runs."""

    posting: posting_under_fire.Run
    backups: backups_under_fire.Run
    nights: backup_nights.Run


@pytest.fixture(scope="module")
def fire(stack: Stack) -> Fire:
    with ThreadPoolExecutor(2) as pool:
        posting = pool.submit(posting_under_fire.fire, stack, POSTING)
        backups = pool.submit(backups_under_fire.fire, stack, BACKUPS)
        return Fire(posting.result(), backups.result(), backup_nights.fire(stack, NIGHTS))


def test_every_alert_is_posted_once_or_left_to_an_operator_with_its_reason(fire: Fire) -> None:
    assert fire.posting.violations() == []
    assert fire.posting.checker.ends()[End.POSTED] > 100


def test_every_backup_is_there_byte_for_byte_and_no_upload_is_left(fire: Fire) -> None:
    assert fire.backups.checker.violations() == []
    assert len(fire.backups.checker.stored) == 16


def test_the_archive_follows_firestream_from_night_to_night_and_keeps_every_version(fire: Fire) -> None:
    assert fire.nights.checker.violations() == []
    assert len(fire.nights.checker.stored) == 14
    assert fire.nights.checker.older() > 5


def test_there_were_kills_and_faults(fire: Fire) -> None:
    assert fire.posting.kills
    assert fire.backups.kills
    assert fire.posting.restarts == 1
    assert fire.posting.faults.total() > 15
    assert fire.nights.kills
    assert fire.nights.faults.total() > 8
    assert fire.backups.faults.total() == 5
    assert fire.backups.contents.total() == 4
