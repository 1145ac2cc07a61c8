"""What a backup is called: its keys, its request, and its place in order."""

from datetime import date

import pytest
from relay.backups.backup import Backup, days
from relay.backups.events import Request


@pytest.mark.parametrize(
    ("backup", "key"),
    [
        (Backup(date(2016, 12, 5), "message"), "message/2016/12/05/stocktwits_message_2016_12_05.gz"),
        (Backup(date(2009, 1, 1), "activity"), "activity/2009/01/01/stocktwits_activity_2009_01_01.gz"),
    ],
)
def test_a_backups_key_contains_its_type_and_its_day_twice(backup: Backup, key: str) -> None:
    assert backup.key == key


def test_an_absent_backup_has_a_key_of_its_own() -> None:
    assert Backup(date(2016, 12, 5), "message").absent_key == (
        "absent/message/2016/12/05/stocktwits_message_2016_12_05.json"
    )


def test_backups_sort_by_day_first() -> None:
    early, late = date(2016, 12, 5), date(2016, 12, 6)
    backups = [Backup(late, "activity"), Backup(early, "message"), Backup(late, "message"), Backup(early, "activity")]
    assert [str(each) for each in sorted(backups)] == [
        "activity 2016-12-05",
        "message 2016-12-05",
        "activity 2016-12-06",
        "message 2016-12-06",
    ]


def test_a_request_is_what_its_documentation_shows() -> None:
    assert Request(Backup(date(2016, 12, 5), "message")).body == '{"file_type": "message", "day": "2016-12-05"}'


def test_the_days_of_a_range_are_those_from_its_first_to_its_last() -> None:
    assert list(days(date(2024, 2, 28), date(2024, 3, 1))) == [
        date(2024, 2, 28),
        date(2024, 2, 29),
        date(2024, 3, 1),
    ]
    assert list(days(date(2026, 3, 10), date(2026, 3, 10))) == [date(2026, 3, 10)]
