"""`relay backfill`: the function fetches what is missing, and the command follows it."""

import json
from datetime import date, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from relay.backups.backup import Backup, days
from relay_cli.commands import backfill

from local.stand_ins.firestream.faults import Fault
from tests.worlds.archive_cli import (
    A_WEEK,
    BACKUP,
    DAY,
    DONE,
    FAILED,
    FUNCTION,
    INTERRUPTED,
    NO_AWS,
    USAGE,
    ArchiveCli,
    age,
    lines_of,
    note_absent,
    put,
)
from tests.worlds.cli import OVERRIDE, SHOWN


@pytest.mark.any_aws
def test_a_backfill_is_followed_until_every_missing_day_is_stored(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    result = relay("backfill", *A_WEEK)
    size = sum(len(relay.backups.content(Backup(day, "message"))) for day in days(DAY, DAY + timedelta(days=6)))
    size -= len(relay.backups.content(BACKUP))
    assert (result.code, result.out) == (DONE, f"6 stored ({size / 1000:.1f} kB).\n")
    assert result.err == "message: 6 of 7 days are missing.\n"
    assert relay.polls == 3  # two at a time


def test_the_function_is_asked_for_just_this_range(relay: ArchiveCli) -> None:
    relay("backfill", *A_WEEK, "--type", "message")
    assert relay.events == [
        (
            f"/2015-03-31/functions/{FUNCTION}/invocations",
            {
                "first_day": "2016-12-05",
                "last_day": "2016-12-11",
                "file_types": ["message"],
                "retry_absent": False,
            },
        )
    ]


def test_where_nothing_is_missing_nothing_is_invoked(relay: ArchiveCli) -> None:
    note_absent(relay, BACKUP)
    result = relay("backfill", "2016-12-05", "2016-12-05")
    assert (result.code, result.out, relay.events) == (DONE, "Nothing is missing.\n", [])


def test_a_failed_day_that_is_noted_as_absent_is_not_requested(relay: ArchiveCli) -> None:
    note_absent(relay, BACKUP)
    relay.add_failure(BACKUP, "it failed")
    result = relay("backfill", "2016-12-05", "2016-12-05")
    assert (result.code, result.out, relay.events) == (DONE, "Nothing is missing.\n", [])


def test_an_absent_day_is_asked_for_again_on_demand(relay: ArchiveCli) -> None:
    note_absent(relay, BACKUP)
    result = relay("backfill", "2016-12-05", "2016-12-05", "--retry-absent")
    assert (result.code, relay.polls) == (DONE, 1)
    assert relay.backups.content(BACKUP)


def test_a_day_that_is_absent_again_is_done(relay: ArchiveCli) -> None:
    note_absent(relay, BACKUP)
    relay.backups.firestream.configure(missing=[DAY])
    result = relay("backfill", "2016-12-05", "2016-12-05", "--retry-absent")
    assert (result.code, result.out) == (DONE, "0 stored (0 bytes), 1 absent.\n")
    assert relay.polls > 30  # it is waited for, although nothing happens for five minutes
    (_, note) = result.err.splitlines()
    assert note.startswith("1 day is asked for a second time in 5 minutes, since Firestream did not have a file")


@pytest.mark.parametrize("age_days", [1, 3, 7])
def test_a_day_of_the_look_back_is_left_to_the_nightly_run(relay: ArchiveCli, age_days: int) -> None:
    day = date(2026, 11, 21) - timedelta(days=age_days)
    relay.backups.firestream.configure(missing=[day])
    result = relay("backfill", str(day), str(day))
    assert (result.code, result.out) == (DONE, "0 stored (0 bytes), 1 not available yet.\n")
    assert result.err.endswith("The nightly run asks again for what is not available yet.\n")


def test_the_look_back_is_as_long_as_the_stack_says(relay: ArchiveCli) -> None:
    day = date(2026, 11, 17)
    relay.parameters["BackupLookbackDays"] = "3"
    relay.backups.settings(BACKUP_LOOKBACK_DAYS=3)
    relay.backups.firestream.configure(missing=[day])
    result = relay("backfill", str(day), str(day))
    assert (result.code, result.out) == (DONE, "0 stored (0 bytes), 1 absent.\n")


@pytest.mark.any_aws
def test_stored_days_are_fetched_anew_on_demand(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    age(relay, BACKUP)
    result = relay("backfill", *A_WEEK, "--type", "message", "--again")
    assert result.code == DONE
    assert result.out.startswith("7 stored (")
    assert result.err.startswith("message: 6 of 7 days are missing, 1 stored ones are fetched anew.\n")
    ((_, event),) = relay.events
    assert event["again"] is True
    assert relay.backups.content(BACKUP) == relay.backups.source(BACKUP)


def test_a_file_that_is_the_same_when_it_is_fetched_anew_is_done(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    age(relay, BACKUP)
    result = relay("backfill", "2016-12-05", "2016-12-05", "--again")
    size = len(relay.backups.content(BACKUP) or b"")
    assert (result.code, result.out) == (DONE, f"1 stored ({size / 1000:.1f} kB).\n")
    assert relay.polls < 5


def test_a_changed_file_is_done_even_if_both_were_stored_in_the_same_second(relay: ArchiveCli) -> None:
    put(relay, BACKUP, lines_of({"id": 1}))
    assert relay("backfill", "2016-12-05", "2016-12-05", "--again").out.startswith("1 stored")


def test_a_stored_day_of_the_look_back_that_firestream_has_no_more_is_kept(relay: ArchiveCli) -> None:
    backup = Backup(date(2026, 11, 18), "message")
    relay.store(backup)
    relay.backups.firestream.configure(missing=[backup.day])
    result = relay("backfill", "2026-11-18", "2026-11-18", "--again")
    assert (result.code, result.out) == (DONE, "0 stored (0 bytes), 1 kept as before.\n")
    assert "Firestream does not have now what is kept as before" in result.err
    assert relay.backups.content(backup)


def test_a_failure_is_explained_once_while_it_waits_for_its_next_attempt(relay: ArchiveCli) -> None:
    relay.backups.firestream.fail(Fault.ERROR, day=DAY, times=8)
    result = relay("backfill", "2016-12-05", "2016-12-05")
    assert (result.code, result.out[:8]) == (DONE, "1 stored")
    assert result.err.count("Failed requests are retried, first after 5 minutes") == 1


def test_the_result_can_be_read_by_a_program(relay: ArchiveCli) -> None:
    relay.backups.firestream.fail(Fault.BAD_REQUEST, day=DAY, times=None)
    result = relay("backfill", "2016-12-05", "2016-12-06", "--json")
    printed = json.loads(result.out)
    other = Backup(DAY + timedelta(days=1), "message")
    size = len(relay.backups.content(other) or b"")
    assert result.code == FAILED
    assert printed.pop("failed")[0]["reason"].startswith("Firestream refused to look for message 2016-12-05 (400")
    assert printed == {
        "stored": [{"file_type": "message", "day": "2016-12-06", "bytes": size, "reason": ""}],
        "absent": [],
        "not_yet": [],
        "kept": [],
        "lost": [],
        "bytes": size,
    }


@pytest.mark.parametrize(("options", "requested"), [(["--no-wait"], {"requested": 1}), ([], None)])
def test_nothing_else_is_printed_for_a_program(
    relay: ArchiveCli, options: list[str], requested: dict[str, int] | None
) -> None:
    result = relay("backfill", "2016-12-05", "2016-12-05", "--json", *options)
    printed = json.loads(result.out)
    assert printed == requested or len(printed["stored"]) == 1


def test_a_day_that_firestream_does_not_have_yet_is_waited_for_no_longer_than_its_request(relay: ArchiveCli) -> None:
    relay.backups.firestream.configure(missing=[date(2026, 11, 20)])
    result = relay("backfill", "2026-11-20", "2026-11-20")
    assert (result.code, result.out) == (DONE, "0 stored (0 bytes), 1 not available yet.\n")
    assert relay.polls < 5


def test_a_failure_is_reported_with_its_reason_and_an_exit_code(relay: ArchiveCli) -> None:
    relay.backups.firestream.fail(Fault.BAD_REQUEST, day=DAY, times=None)
    result = relay("backfill", *A_WEEK)
    assert result.code == FAILED
    assert result.out.endswith("1 failed.\n")
    _, reason, advice = result.err.splitlines()
    assert reason.startswith("message 2016-12-05: Firestream refused to look for")
    assert advice.startswith("relay: Some failed")


def test_an_earlier_failure_is_not_reported_as_a_new_one(relay: ArchiveCli) -> None:
    relay.add_failure(BACKUP, "an old reason")
    result = relay("backfill", "2016-12-05", "2016-12-05")
    assert (result.code, "an old reason" in result.err) == (DONE, False)
    assert result.out.startswith("1 stored")


def test_a_day_that_was_lost_on_the_way_counts_as_a_failure(relay: ArchiveCli) -> None:
    relay.answers.append((200, {}, {"failed": 0, "stopped": "", "queued": 1}))
    result = relay("backfill", "2016-12-05", "2016-12-05")
    assert result.code == FAILED
    assert result.out == "0 stored (0 bytes), 1 neither stored nor failed.\n"
    assert "message 2016-12-05 is not stored: run the command again" in result.err
    assert relay.polls >= 29  # SQS may be a minute late to know of a request


def test_without_waiting_the_output_names_where_to_look(relay: ArchiveCli) -> None:
    result = relay("backfill", *A_WEEK, "--no-wait")
    assert (result.code, result.out) == (DONE, "Requested. `relay backups` shows the progress.\n")
    assert (relay.polls, len(relay.backups.waiting())) == (0, 7)


def test_an_interruption_leaves_the_backfill_running_and_reports_that(relay: ArchiveCli) -> None:
    relay.interrupts = True
    result = relay("backfill", *A_WEEK)
    assert (result.code, len(relay.backups.waiting())) == (INTERRUPTED, 7)
    assert result.err.endswith("relay: The backfill continues without you: `relay backups` shows the progress.\n")


def failing_reads(relay: ArchiveCli, code: str, times: int) -> None:
    """Let AWS answer the first looks at the queues, after the request, with an error."""
    read, errors = backfill.queues.count, [ClientError({"Error": {"Code": code}}, "GetQueueAttributes")] * times

    def count(*asked: Any) -> dict[str, int]:
        if relay.events and errors:
            raise errors.pop()
        return read(*asked)

    relay.patch.setattr(backfill.queues, "count", count)


def test_watching_goes_on_after_looks_that_aws_does_not_answer(relay: ArchiveCli) -> None:
    failing_reads(relay, "ThrottlingException", 20)
    result = relay("backfill", *A_WEEK)
    assert (result.code, result.out.startswith("7 stored")) == (DONE, True)


@pytest.mark.parametrize(("code", "times"), [("ThrottlingException", 1000), ("AccessDenied", 1)])
def test_watching_ends_where_aws_refuses_or_answers_no_more(relay: ArchiveCli, code: str, times: int) -> None:
    failing_reads(relay, code, times)
    result = relay("backfill", *A_WEEK)
    assert (result.code, "GetQueueAttributes" in result.err) == (NO_AWS, True)


def test_the_error_of_a_function_that_fails_is_shown(relay: ArchiveCli) -> None:
    relay.answers.append((200, {"X-Amz-Function-Error": "Unhandled"}, {"errorMessage": "FIRESTREAM_URL is missing"}))
    result = relay("backfill", *A_WEEK)
    assert (result.code, result.out) == (FAILED, "")
    assert result.err.endswith("relay: The function that fetches backups failed: FIRESTREAM_URL is missing\n")


def test_what_was_not_requested_is_reported(relay: ArchiveCli) -> None:
    relay.answers.append((200, {}, {"failed": 2, "stopped": "time ran out before message 2016-12-09 was requested"}))
    result = relay("backfill", *A_WEEK, "--no-wait")
    assert "SQS did not accept 2 of the requests" in result.err
    assert "Not everything was requested: time ran out before message 2016-12-09" in result.err


def test_an_invocation_is_not_made_twice_when_its_answer_is_late(relay: ArchiveCli) -> None:
    relay.answers += [(500, {}, {"Message": "planned"})] * 2
    result = relay("backfill", *A_WEEK)
    assert (result.code, len(relay.events)) == (NO_AWS, 1)
    assert result.err.count("\n") == 2


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["2016-12-11", "2016-12-05"], "relay: 2016-12-11 is after the last day"),
        (["2016-12-5", "2016-12-11"], "relay: '2016-12-5' is not a day"),
        ([*A_WEEK, "--type", "symbol"], "relay: 'symbol' is none of"),
    ],
)
def test_a_backfill_that_is_none_is_refused_before_anything_happens(
    relay: ArchiveCli, words: list[str], reason: str
) -> None:
    result = relay("backfill", *words)
    assert (result.code, relay.events, result.err.count("\n")) == (USAGE, [], 1)
    assert reason in result.err


def test_the_error_message_of_the_function_is_shown_escaped(relay: ArchiveCli) -> None:
    relay.answers = [(200, {"X-Amz-Function-Error": "Unhandled"}, {"errorMessage": OVERRIDE})]
    assert relay("backfill", *A_WEEK).err.endswith(f"The function that fetches backups failed: {SHOWN}\n")


def test_a_line_break_in_the_functions_error_message_forges_no_line(relay: ArchiveCli) -> None:
    relay.answers = [(200, {"X-Amz-Function-Error": "Unhandled"}, {"errorMessage": "it failed\nrelay: forged"})]
    result = relay("backfill", *A_WEEK)
    assert result.err.endswith("fetches backups failed: it failed relay: forged\n")
    relay.answers = [(200, {}, {"failed": 0, "stopped": "time ran out\nforged"})]
    result = relay("backfill", *A_WEEK, "--no-wait")
    assert "Not everything was requested: time ran out forged" in result.err.replace("\n", " ")


def test_a_dry_run_names_what_is_missing_and_requests_nothing(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    result = relay("backfill", "2016-12-05", "2016-12-07", "--dry-run")
    assert (result.code, result.out, relay.events) == (DONE, "message 2016-12-06\nmessage 2016-12-07\n", [])
    assert "Nothing was requested (--dry-run): 2 backups would be." in result.err
    wanted = [{"file_type": "message", "day": "2016-12-06"}]
    assert relay("backfill", "2016-12-05", "2016-12-06", "--dry-run", "--json").json == wanted
