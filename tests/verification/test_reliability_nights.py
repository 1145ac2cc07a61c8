"""What Firestream offers in each night of a run is what the stories of its files say."""

from datetime import date

import pytest
from relay.backups.backup import Backup

from local.stand_ins.firestream.server import FirestreamStandIn
from verification.reliability import backup_nights, backups_under_fire
from verification.reliability.archive_checker import Content, digest, read
from verification.reliability.backup_stories import OUTAGE, SPOILED, SPOILED_NIGHT, STORIES, begin, spoil

FILE = Backup(date(2016, 12, 5), "message")
LINES = 40
NIGHTS = backup_nights.FULL.nights


class Vendor:
    """A Firestream whose nights are so many seconds apart."""

    def __init__(self) -> None:
        self.now = 0.0
        self.firestream = FirestreamStandIn(
            messages_per_day=LINES, today=date(2016, 12, 20), lag_days=1, clock=lambda: self.now
        )

    def offers(self) -> bytes | None:
        offered = self.firestream.offered(FILE.file_type, FILE.day)
        return offered.read() if offered else None


def told(story: str) -> list[Content | None]:
    """Return what is offered in each night; None when there is no file."""
    vendor = Vendor()
    found = []
    for night in range(NIGHTS):
        vendor.now = night + 0.5
        begin(vendor.firestream, FILE, OUTAGE if story == "outage" else STORIES[story], float, night)
        content = vendor.offers()
        whole = read(content, LINES) if content is not None else None
        assert (whole is None) is (content is None)
        found.append(whole)
    return found


def changes(story: str) -> list[int]:
    """Return the nights in which another file is offered than in the night before."""
    found = told(story)
    return [night for night in range(1, NIGHTS) if found[night] != found[night - 1]]


@pytest.mark.parametrize("story", STORIES)
def test_every_file_that_a_story_offers_is_whole_and_the_last_change_is_before_the_last_night(story: str) -> None:
    assert any(told(story))
    assert max(changes(story), default=0) < NIGHTS - 1


@pytest.mark.parametrize(
    ("story", "nights"),
    [
        ("outage", [3]),
        ("a day late", [1]),
        ("re-issued twice", [1, 3]),
        ("re-issued with odd lines", [2]),
        ("re-issued, then withdrawn", [1, 3]),
        ("re-issued in several gzip members", [1]),
        ("no ETag, and re-issued", [2]),
        ("few lines", []),
        ("odd lines", []),
    ],
)
def test_a_file_changes_in_the_nights_of_its_story(story: str, nights: list[int]) -> None:
    assert changes(story) == nights


def test_odd_and_few_lines_are_in_the_files_that_are_to_have_them() -> None:
    last = {story: [each for each in told(story) if each][-1] for story in STORIES}
    assert {story for story, each in last.items() if each.odd} == {"odd lines", "re-issued with odd lines"}
    assert {story for story, each in last.items() if each.few} == {"few lines"}


@pytest.mark.parametrize("story", SPOILED)
def test_a_spoiled_file_is_not_whole_in_one_night_only(story: str) -> None:
    vendor = Vendor()
    spoiled = spoil(vendor.firestream, FILE, story, float)
    for night in range(NIGHTS):
        vendor.now = night + 0.5
        content = vendor.offers()
        if night == SPOILED_NIGHT:
            assert content == spoiled
        assert (content is not None and read(content, LINES) is None) is (night == SPOILED_NIGHT)


@pytest.mark.parametrize(("content", "details"), backups_under_fire.ODD_CONTENTS)
def test_odd_contents_of_the_backfill_are_whole_files(content: str, details: dict[str, object]) -> None:
    vendor = Vendor()
    plain = vendor.offers()
    vendor.firestream.fail(content, times=None, **details)
    offered = vendor.offers()
    assert plain
    assert offered
    assert digest(offered) != digest(plain)
    assert read(offered, LINES)
