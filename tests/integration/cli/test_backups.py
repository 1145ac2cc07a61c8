"""`relay backups`: the status of every day, as the bucket and the queues show it."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from relay.backups.backup import Backup, days
from relay_cli.deployed import calendar, peek

from tests.worlds.archive_cli import A_WEEK, BACKUP, DONE, MONTHS, NO_STACK, USAGE, ArchiveCli, note_absent, put
from tests.worlds.backups import ARCHIVE
from tests.worlds.cli import OVERRIDE, SHOWN

pytestmark = pytest.mark.any_aws


def states(relay: ArchiveCli, *words: str) -> dict[str, str]:
    (found,) = relay("backups", "--json", *words).json["calendars"]
    return {each["day"]: each["status"] for each in found["days"]}


def test_every_day_has_the_state_that_bucket_and_queues_tell(relay: ArchiveCli) -> None:
    backups = [Backup(day, "message") for day in days(date(2016, 12, 5), date(2016, 12, 8))]
    relay.store(backups[0])
    note_absent(relay, backups[1])
    relay.add_failure(backups[2], "the gzip data is damaged")
    assert states(relay, "--from", "2016-12-05", "--to", "2016-12-08") == {
        "2016-12-05": "stored",
        "2016-12-06": "absent",
        "2016-12-07": "failed",
        "2016-12-08": "missing",
    }


def test_what_is_stored_failed_no_more(relay: ArchiveCli) -> None:
    relay.add_failure(BACKUP, "the gzip data is damaged")
    relay.store(BACKUP)
    assert states(relay, "--from", "2016-12-05", "--to", "2016-12-05") == {"2016-12-05": "stored"}


def test_a_day_that_is_both_absent_and_failed_counts_as_failed(relay: ArchiveCli) -> None:
    note_absent(relay, BACKUP)
    relay.add_failure(BACKUP, "Firestream refused the login")
    assert states(relay, "--from", "2016-12-05", "--to", "2016-12-05") == {"2016-12-05": "failed"}


def test_up_to_the_lag_a_day_is_not_there_yet(relay: ArchiveCli) -> None:
    assert states(relay, "--from", "2026-11-18") == {
        "2026-11-18": "missing",
        "2026-11-19": "not_yet",
        "2026-11-20": "not_yet",
    }


def test_json_has_sizes_reasons_and_what_is_requested(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    relay.add_failure(Backup(date(2016, 12, 6), "message"), "the gzip data is damaged")
    relay.add_failure("no request", "the request is not JSON")
    relay.backups.sqs.send_message(QueueUrl=relay.backups.requests, MessageBody="one more")
    result = relay("backups", "--from", "2016-12-05", "--to", "2016-12-06", "--json").json
    size = len(relay.backups.content(BACKUP))
    assert result == {
        "calendars": [
            {
                "file_type": "message",
                "days": [
                    {"day": "2016-12-05", "status": "stored", "bytes": size, "reason": "", "marks": []},
                    {
                        "day": "2016-12-06",
                        "status": "failed",
                        "bytes": 0,
                        "reason": "the gzip data is damaged",
                        "marks": [],
                    },
                ],
            }
        ],
        "requested": 1,
        "failures": 2,
    }


def test_the_last_twelve_months_are_the_default(relay: ArchiveCli) -> None:
    found = list(states(relay))
    assert (found[0], found[-1], len(found)) == ("2025-11-21", "2026-11-20", 365)


@pytest.mark.parametrize(
    ("words", "first", "last"),
    [
        (["--year", "2016"], "2016-01-01", "2016-12-31"),
        (["--year", "2026"], "2026-01-01", "2026-11-20"),
        (["--to", "2016-12-05"], "2015-12-07", "2016-12-05"),
        (["--to", "2009-02-01"], "2009-01-01", "2009-02-01"),
        (["--from", "2026-11-01"], "2026-11-01", "2026-11-20"),
    ],
)
def test_a_range_is_a_year_or_reaches_from_a_day_to_a_day(
    relay: ArchiveCli, words: list[str], first: str, last: str
) -> None:
    found = list(states(relay, *words))
    assert (found[0], found[-1]) == (first, last)


def test_a_type_alone_or_those_that_the_stack_keeps(relay: ArchiveCli) -> None:
    relay.parameters["BackupFileTypes"] = "activity,message"
    kept = relay("backups", "--json").json["calendars"]
    one = relay("backups", "--json", "--type", "message").json["calendars"]
    assert [each["file_type"] for each in kept] == ["activity", "message"]
    assert [each["file_type"] for each in one] == ["message"]


def test_of_the_missing_days_the_newest_that_were_asked_for_are_listed_of_every_type(relay: ArchiveCli) -> None:
    note_absent(relay, Backup(date(2016, 12, 9), "message"))
    words = ["backups", "--from", "2016-12-05", "--to", "2016-12-09", "--limit", "2", "--missing"]
    assert relay(*words).lines == ["message 2016-12-07", "message 2016-12-08"]
    both = relay(*words, "--type", "message", "--type", "activity").lines
    assert both == ["message 2016-12-08", "activity 2016-12-08", "activity 2016-12-09"]


def test_the_calendar_shows_no_more_than_the_newest_days_that_were_asked_for(relay: ArchiveCli) -> None:
    found = list(states(relay, "--from", "2016-12-05", "--to", "2016-12-09", "--limit", "2"))
    assert found == ["2016-12-08", "2016-12-09"]
    assert len(list(states(relay, "--from", "2016-12-05", "--to", "2016-12-09", "--limit", "9"))) == 5


def test_a_check_has_its_own_days(relay: ArchiveCli) -> None:
    result = relay("backups", "--check", "2016-12-05", "2016-12-09", "--limit", "2")
    assert (result.code, "--check has its own days" in result.err) == (USAGE, True)


def test_what_is_missing_or_failed_is_listed_a_line_each_for_scripts(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    relay.add_failure(Backup(date(2016, 12, 7), "message"), "the gzip data is damaged")
    note_absent(relay, Backup(date(2016, 12, 8), "message"))
    result = relay("backups", "--from", "2016-12-05", "--to", "2016-12-09", "--missing")
    assert result.lines == ["message 2016-12-06", "message 2016-12-07", "message 2016-12-09"]
    assert (result.code, result.err) == (DONE, "")


def test_the_list_is_there_as_json_too(relay: ArchiveCli) -> None:
    result = relay("backups", "--from", "2016-12-05", "--to", "2016-12-05", "--missing", "--json")
    assert result.json == [{"file_type": "message", "day": "2016-12-05", "status": "missing", "reason": ""}]


def test_a_calendar_has_weeks_as_columns_and_tells_states_apart_without_colour(relay: ArchiveCli) -> None:
    first = date(2016, 11, 28)  # a Monday
    for number, size in enumerate((100, 50, 25)):
        put(relay, Backup(first + timedelta(days=number), "message"), b"x" * size)
    put(relay, Backup(first + timedelta(days=9), "message"), b"x" * 51)
    note_absent(relay, Backup(first + timedelta(days=3), "message"))
    relay.add_failure(Backup(first + timedelta(days=7), "message"), "it is [no] gzip")
    result = relay("backups", "--from", str(first), "--to", "2016-12-07")
    assert result.lines == [
        (
            "message  2016-11-28 to 2016-12-07: "
            "4 of 10 stored (226 bytes, the largest 100 bytes), 1 failed, 1 absent, 4 missing"
        ),
        "",
        "2016 Dec",
        "Mon  █F",
        "     ▒.",
        "Wed  ░▓",
        "     -",
        "Fri  .",
        "     .",
        "     .",
        "",
        "░▒▓█ stored, by size   ! stored, with a remark   F failed   x damaged",
        "- absent   . missing   ~ not yet",
        "F message 2016-12-05: it is [no] gzip",
        "1 request in BackupFailures: run `relay backfill` for their days.",
    ]


def test_days_that_do_not_fit_side_by_side_are_drawn_in_pieces(relay: ArchiveCli) -> None:
    relay.patch.setenv("COLUMNS", "25")  # five for the weekday, twenty weeks
    result = relay("backups", "--from", "2026-01-05", "--to", "2026-08-02")  # thirty weeks from a Monday on
    assert [line for line in result.lines if line.startswith("Wed")] == ["Wed  " + "." * 20, "Wed  " + "." * 10]


def test_years_are_drawn_one_by_one_with_their_months(relay: ArchiveCli) -> None:
    result = relay("backups", "--from", "2015-01-01", "--to", "2016-12-31")
    assert [line for line in result.lines if line.startswith("Fri")] == [f"Fri  {'.' * 52}", f"Fri  {'.' * 53}"]
    assert [line.split()[0] for line in result.lines if line.split()[1:] == MONTHS] == ["2015", "2016"]


def test_where_there_is_only_ascii_sizes_are_digits(relay: ArchiveCli) -> None:
    put(relay, BACKUP, b"x")
    with relay.ascii_only() as written:
        relay("backups", "--from", "2016-12-05", "--to", "2016-12-05")
    assert "Mon  4" in written().splitlines()


def test_a_wide_terminal_shows_space_between_the_weeks(relay: ArchiveCli) -> None:
    relay.patch.setenv("COLUMNS", "120")
    result = relay("backups", "--from", "2026-01-05", "--to", "2026-01-18")
    assert "Mon  . ." in result.lines


def test_a_terminal_gets_colours_and_no_color_takes_them_away(relay: ArchiveCli) -> None:
    relay.patch.setenv("FORCE_COLOR", "1")
    coloured = relay("backups", "--year", "2016").out
    relay.patch.setenv("NO_COLOR", "1")
    plain = relay("backups", "--year", "2016").out
    assert "\x1b[1;33m." in coloured
    assert "\x1b[1;33m" not in plain


def test_a_file_type_takes_one_listing_each_of_what_is_stored_absent_and_damaged(relay: ArchiveCli) -> None:
    relay.backups.strict.sent.clear()
    relay("backups", "--from", "2014-01-01", "--to", "2016-12-31")
    assert relay.backups.strict.sent == {"ListObjectsV2": 3}


def test_more_days_than_one_page_holds_are_listed_to_the_end(relay: ArchiveCli) -> None:
    for day in days(date(2016, 12, 5), date(2016, 12, 11)):
        put(relay, Backup(day, "message"), b"x")
    with relay.pages_of(2):
        found = states(relay, "--from", "2016-12-05", "--to", "2016-12-11")
    assert list(found.values()) == ["stored"] * 7


def test_somebody_elses_objects_are_not_backups(relay: ArchiveCli) -> None:
    key = BACKUP.key.replace("stocktwits_", "notes_")
    relay.backups.s3.put_object(Bucket=ARCHIVE, Key=key, Body=b"x")
    assert states(relay, "--from", "2016-12-05", "--to", "2016-12-05") == {"2016-12-05": "missing"}


def test_to_look_at_failures_leaves_them_to_be_seen_by_others(relay: ArchiveCli) -> None:
    failed = [Backup(day, "message") for day in days(date(2016, 12, 1), date(2016, 12, 12))]  # more than one receive
    for backup in failed:
        relay.add_failure(backup, "the gzip data is damaged")
    found = states(relay, "--from", "2016-12-01", "--to", "2016-12-12")
    assert list(found.values()) == ["failed"] * 12
    relay.backups.clock.forward(1)
    assert len(relay.backups.dead_letters()) == 10


def test_of_many_failures_some_are_listed_and_the_rest_counted(relay: ArchiveCli) -> None:
    for day in days(date(2016, 12, 1), date(2016, 12, 7)):
        relay.add_failure(Backup(day, "message"), "Firestream refused the login")
    result = relay("backups", "--year", "2016")
    assert sum("refused the login" in line for line in result.lines) == 5
    assert "F and 2 more: relay backups --missing --json" in result.lines


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--from", "2016-13-01"], "relay: '2016-13-01' is not a day; give one such as 2016-12-05."),
        (["--to", "yesterday"], "is not a day"),
        (["--from", "2016-12-05", "--to", "2016-12-04"], "relay: 2016-12-05 is after the last day, 2016-12-04."),
        (
            ["--to", "2026-11-21"],
            "relay: 2026-11-21 is not over yet; 2026-11-20 is the newest day that is complete (UTC).",
        ),
        (["--year", "2008"], "relay: 2008-01-01 is before 2009-01-01"),
        (["--year", "2027"], "relay: 2027-01-01 is not over yet"),
        (["--year", "20161"], "relay: --year: 20161 is not a year such as 2016."),
        (["--year", "2016", "--to", "2016-12-05"], "--year cannot be combined"),
        (["--type", "symbol"], "relay: 'symbol' is none of activity, message."),
    ],
)
def test_a_range_that_is_none_is_refused_in_a_line(relay: ArchiveCli, words: list[str], reason: str) -> None:
    result = relay("backups", *words)
    assert (result.code, result.out) == (USAGE, "")
    assert reason in result.err
    assert result.err.startswith("relay: ")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("command", ["backups", "backfill", "get", "cat"])
def test_without_the_backups_half_a_command_explains_why_it_fails(relay: ArchiveCli, command: str) -> None:
    for name in [name for name in relay.outputs if name != "OutboxQueueUrl"]:
        del relay.outputs[name]
    words = {"backups": [], "backfill": A_WEEK}.get(command, ["message", "2016-12-05"])
    result = relay(command, *words)
    assert (result.code, result.out) == (NO_STACK, "")
    assert "with posting and backups switched on" in result.err
    assert result.err.count("\n") == 1


def test_a_failure_that_steers_a_terminal_is_shown_escaped(relay: ArchiveCli) -> None:
    relay.add_failure(BACKUP, f"{OVERRIDE} [bold]no[/] gzip")
    result = relay("backups", "--from", "2016-12-05", "--to", "2016-12-05")
    assert rf"F message 2016-12-05: {SHOWN} [bold]no[/] gzip" in result.out
    assert SHOWN in relay("get", "message", "2016-12-05").err
    assert relay("backups", "--from", "2016-12-05", "--to", "2016-12-05", "--json").out.isascii()
    assert OVERRIDE not in relay.everything


def test_a_file_type_that_steers_a_terminal_is_shown_escaped(relay: ArchiveCli) -> None:
    relay.parameters["BackupFileTypes"] = OVERRIDE
    assert relay("backups", "--from", "2016-12-05", "--to", "2016-12-05", "--missing").out == f"{SHOWN} 2016-12-05\n"


def test_a_reason_that_travelled_with_a_request_that_sqs_moved_is_not_ours(
    relay: ArchiveCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moved(self: peek.Peek) -> Iterator[dict[str, Any]]:
        for each in messages(self):
            yield each | {"Attributes": each["Attributes"] | {"DeadLetterQueueSourceArn": "arn"}}

    messages = peek.Peek.messages
    monkeypatch.setattr(peek.Peek, "messages", moved)
    relay.add_failure(BACKUP, "forged")
    result = relay("backups", "--from", "2016-12-05", "--to", "2016-12-05").out
    assert f"F message 2016-12-05: {calendar.NO_REASON}" in result


def test_a_line_break_in_a_reason_forges_no_row(relay: ArchiveCli) -> None:
    relay.add_failure(BACKUP, "it failed\nF message 2016-12-06: forged")
    result = relay("backups", "--from", "2016-12-05", "--to", "2016-12-05")
    assert [line for line in result.lines if line.startswith("F ")] == [
        "F message 2016-12-05: it failed F message 2016-12-06: forged"
    ]


def test_a_line_break_in_a_file_type_forges_no_row(relay: ArchiveCli) -> None:
    relay.parameters["BackupFileTypes"] = "message\nactivity"
    result = relay("backups", "--from", "2016-12-05", "--to", "2016-12-05", "--missing")
    assert result.lines == ["message activity 2016-12-05"]
