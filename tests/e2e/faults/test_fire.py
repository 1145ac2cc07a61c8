"""Both halves under faults at the same time, on the deployed stack; `make reliability` does it at length."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from local.stack.stack import Stack
from verification.reliability import backups_under_fire, posting_under_fire
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
BACKUPS = backups_under_fire.Plan(seed=11, days=8, kill_pauses=(0.5, 1.5), kills=2, max_seconds=400)


@dataclass(frozen=True)
class Fire:
    """The results of both runs."""

    posting: posting_under_fire.Run
    backups: backups_under_fire.Run


@pytest.fixture(scope="module")
def fire(stack: Stack) -> Fire:
    with ThreadPoolExecutor(2) as pool:
        posting = pool.submit(posting_under_fire.fire, stack, POSTING)
        backups = pool.submit(backups_under_fire.fire, stack, BACKUPS)
        return Fire(posting.result(), backups.result())


def test_every_alert_is_posted_once_or_left_to_an_operator_with_its_reason(fire: Fire) -> None:
    assert fire.posting.violations() == []
    assert fire.posting.checker.ends()[End.POSTED] > 100


def test_every_backup_is_there_byte_for_byte_and_no_upload_is_left(fire: Fire) -> None:
    assert fire.backups.checker.violations() == []
    assert len(fire.backups.checker.stored) == 16


def test_there_were_kills_and_faults(fire: Fire) -> None:
    assert fire.posting.kills
    assert fire.backups.kills
    assert fire.posting.restarts == 1
    assert fire.posting.faults.total() > 15
    assert fire.backups.planned.total() == 5
