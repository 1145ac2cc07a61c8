"""`relay backups`, `backfill`, `get` and `cat`, over an archive that the real function fills.

AWS is moto's, but for Lambda: `relay backfill` invokes the function over HTTP, and its workers work between two looks.
"""

import gzip
import io
import json
import os
import stat
import subprocess
import sys
from contextlib import contextmanager, redirect_stdout
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
import relay_cli
from botocore.awsrequest import AWSResponse
from moto.core.botocore_stubber import MockRawResponse
from relay.backups import bootstrap as backup_wiring
from relay.backups.backup import Backup, days
from relay_cli.app import main
from relay_cli.commands import backfill as backfill_room
from relay_cli.commands import get
from relay_cli.deployed import backup_file as stored
from relay_cli.deployed import calendar, peek
from urllib3.exceptions import ProtocolError

from functions.fetch_backups import app as fetch_backups
from local.build import ROOT
from local.stand_ins.firestream.faults import Fault
from local.stand_ins.http_server import Handler, Server
from tests.integration.conftest import ARCHIVE, Context
from tests.strict_s3 import refuse
from tests.worlds.cli import OVERRIDE, SHOWN, Said, steering

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
TODAY = date(2026, 11, 21)
DAY = date(2016, 12, 5)
BACKUP = Backup(DAY, "message")
A_WEEK = ("2016-12-05", "2016-12-11")
DONE, FAILED, USAGE, NO_AWS, NO_STACK, INTERRUPTED = 0, 1, 2, 3, 4, 130
CLI = Path(relay_cli.__file__).parents[1]
FUNCTION = "stocktwits-relay-fetch-backups"


class Services(Handler):
    """CloudFormation, which knows one stack, and Lambda, which invokes the real function."""

    def serve(self):
        body, operator = self.read_body(), self.server.stand_in
        if self.path == "/":
            self.answer(200, described(operator.outputs, operator.parameters), {"Content-Type": "text/xml"})
            return
        event = json.loads(body)
        operator.events.append((self.path, event))
        status, headers, answer = operator.invoke(event)
        self.answer(status, json.dumps(answer).encode(), headers)


def described(outputs, parameters):
    """CloudFormation's answer to DescribeStacks."""

    def members(kind, values):
        return "".join(
            f"<member><{kind}Key>{name}</{kind}Key><{kind}Value>{value}</{kind}Value></member>"
            for name, value in values.items()
        )

    return (
        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>stocktwits-relay</StackName>"
        f"<StackStatus>UPDATE_COMPLETE</StackStatus><Outputs>{members('Output', outputs)}</Outputs>"
        f"<Parameters>{members('Parameter', parameters)}</Parameters>"
        "</member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
    ).encode()


class Operator:
    """A person with the command line, a deployed stack, and workers that fulfil requests while the person waits."""

    def __init__(self, backups, session, patch, capsys, folder):
        self.backups = backups
        self.patch = patch
        self.folder = folder
        self.events = []
        self.looks = 0
        self.works = True
        self.interrupts = False
        self.answers = []
        self.everything = ""
        self.outputs = {
            "OutboxQueueUrl": "the Outbox",
            "BackupBucketName": ARCHIVE,
            "BackupRequestsQueueUrl": backups.requests,
            "BackupFailuresQueueUrl": backups.failures,
            "FetchBackupsFunctionName": FUNCTION,
        }
        self.parameters = {"BackupFileTypes": "message", "BackupLagDays": "2"}
        self._session = session
        self._capsys = capsys
        patch.chdir(folder)
        patch.setenv("COLUMNS", "80")
        patch.setattr(calendar, "today", lambda: TODAY)
        patch.setattr(backfill_room, "time", SimpleNamespace(sleep=self._wait, monotonic=backups.clock))

    def __call__(self, *words):
        """Run `relay` with these words."""
        self._capsys.readouterr()
        self.patch.setattr(sys, "argv", ["relay", *words])
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        said = Said(code, *self._capsys.readouterr())
        self.everything += said.out + said.err
        return said

    def store(self, *backups):
        """Let the function fetch backups."""
        with self.aside():
            self.backups.fulfil(*backups)

    def bury(self, backup, reason):
        self.backups.sqs.send_message(
            QueueUrl=self.backups.failures,
            MessageBody=backup if isinstance(backup, str) else backup.request,
            MessageAttributes={"RejectReason": {"DataType": "String", "StringValue": reason}},
        )

    def invoke(self, event):
        """Do what Lambda does with an invocation."""
        if self.answers:
            return self.answers.pop(0)
        with self.aside():
            for handler in backup_wiring.telemetry().logger.handlers:
                handler.stream = sys.stdout
            return 200, {}, fetch_backups.handler(event, Context(self.backups.clock, 900_000))

    @contextmanager
    def pages_of(self, keys):
        """Let S3 list so many keys at a time."""

        def limit(params, **_):
            params["MaxKeys"] = keys

        self._session.events.register("before-parameter-build.s3.ListObjectsV2", limit)
        yield
        self._session.events.unregister("before-parameter-build.s3.ListObjectsV2", limit)

    @contextmanager
    def ascii_only(self):
        """Give the command a standard output that holds nothing else."""
        with redirect_stdout(io.TextIOWrapper(io.BytesIO(), "ascii")) as output:
            yield lambda: output.buffer.getvalue().decode("ascii")

    @contextmanager
    def aside(self):
        """Keep apart what the functions write: it is not what the command writes."""
        written = io.StringIO()

        def taken():
            text = written.getvalue()
            written.seek(0)
            written.truncate()
            return text, ""

        with redirect_stdout(written), pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.backups, "_capsys", SimpleNamespace(readouterr=taken))
            yield

    def _wait(self, seconds):
        self.looks += 1
        self.backups.clock.forward(seconds)
        if self.interrupts:
            raise KeyboardInterrupt
        if self.works:
            with self.aside():
                self.backups.work(most=2)


@pytest.fixture(scope="module")
def session():
    """Made once: reading botocore's models takes longer than a test."""
    return boto3.Session("test", "test", region_name="us-east-1")


@pytest.fixture
def relay(backups, session, monkeypatch, capsys, tmp_path):
    operator = Operator(backups, session, monkeypatch, capsys, tmp_path)
    server = Server(0, Services, operator)
    server.start()
    monkeypatch.setattr("boto3.Session", lambda **_: session)
    for service in ("LAMBDA", "CLOUDFORMATION"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", f"http://127.0.0.1:{server.server_port}")
    yield operator
    server.stop()


def put(relay, backup, content):
    relay.backups.s3.put_object(Bucket=ARCHIVE, Key=backup.key, Body=content)


def note_absent(relay, backup):
    relay.backups.s3.put_object(Bucket=ARCHIVE, Key=backup.absent_key, Body=b"{}")


def lines_of(*objects):
    return gzip.compress(b"".join(json.dumps(each).encode() + b"\n" for each in objects), mtime=0)


def values(text):
    """The values of JSON lines, whatever characters they are written in."""
    return [json.loads(line) for line in text.splitlines()]


# relay backups


def states(relay, *words):
    (found,) = relay("backups", "--json", *words).json["calendars"]
    return {each["day"]: each["status"] for each in found["days"]}


def test_every_day_has_the_state_that_bucket_and_queues_tell(relay):
    backups = [Backup(day, "message") for day in days(date(2016, 12, 5), date(2016, 12, 8))]
    relay.store(backups[0])
    note_absent(relay, backups[1])
    relay.bury(backups[2], "the gzip data is damaged")
    assert states(relay, "--from", "2016-12-05", "--to", "2016-12-08") == {
        "2016-12-05": "stored",
        "2016-12-06": "absent",
        "2016-12-07": "failed",
        "2016-12-08": "missing",
    }


def test_what_is_stored_failed_no_more(relay):
    relay.bury(BACKUP, "the gzip data is damaged")
    relay.store(BACKUP)
    assert states(relay, "--from", "2016-12-05", "--to", "2016-12-05") == {"2016-12-05": "stored"}


def test_what_is_absent_and_failed_waits_for_a_person(relay):
    note_absent(relay, BACKUP)
    relay.bury(BACKUP, "Firestream refused the login")
    assert states(relay, "--from", "2016-12-05", "--to", "2016-12-05") == {"2016-12-05": "failed"}


def test_up_to_the_lag_a_day_is_not_there_yet(relay):
    assert states(relay, "--from", "2026-11-18") == {
        "2026-11-18": "missing",
        "2026-11-19": "not_yet",
        "2026-11-20": "not_yet",
    }


def test_json_has_sizes_reasons_and_what_is_requested(relay):
    relay.store(BACKUP)
    relay.bury(Backup(date(2016, 12, 6), "message"), "the gzip data is damaged")
    relay.bury("no request", "the request is no JSON")
    relay.backups.sqs.send_message(QueueUrl=relay.backups.requests, MessageBody="one more")
    said = relay("backups", "--from", "2016-12-05", "--to", "2016-12-06", "--json").json
    size = len(relay.backups.content(BACKUP))
    assert said == {
        "calendars": [
            {
                "file_type": "message",
                "days": [
                    {"day": "2016-12-05", "status": "stored", "bytes": size, "reason": ""},
                    {"day": "2016-12-06", "status": "failed", "bytes": 0, "reason": "the gzip data is damaged"},
                ],
            }
        ],
        "requested": 1,
        "failures": 2,
    }


def test_the_last_twelve_months_are_the_default(relay):
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
def test_a_range_is_a_year_or_reaches_from_a_day_to_a_day(relay, words, first, last):
    found = list(states(relay, *words))
    assert (found[0], found[-1]) == (first, last)


def test_a_type_alone_or_those_that_the_stack_keeps(relay):
    relay.parameters["BackupFileTypes"] = "activity,message"
    kept = relay("backups", "--json").json["calendars"]
    one = relay("backups", "--json", "--type", "message").json["calendars"]
    assert [each["file_type"] for each in kept] == ["activity", "message"]
    assert [each["file_type"] for each in one] == ["message"]


def test_what_is_missing_or_failed_is_listed_a_line_each_for_scripts(relay):
    relay.store(BACKUP)
    relay.bury(Backup(date(2016, 12, 7), "message"), "the gzip data is damaged")
    note_absent(relay, Backup(date(2016, 12, 8), "message"))
    said = relay("backups", "--from", "2016-12-05", "--to", "2016-12-09", "--missing")
    assert said.lines == ["message 2016-12-06", "message 2016-12-07", "message 2016-12-09"]
    assert (said.code, said.err) == (DONE, "")


def test_the_list_is_there_as_json_too(relay):
    said = relay("backups", "--from", "2016-12-05", "--to", "2016-12-05", "--missing", "--json")
    assert said.json == [{"file_type": "message", "day": "2016-12-05", "status": "missing", "reason": ""}]


def test_a_calendar_has_weeks_as_columns_and_tells_states_apart_without_colour(relay):
    first = date(2016, 11, 28)  # a Monday
    for number, size in enumerate((100, 50, 25)):
        put(relay, Backup(first + timedelta(days=number), "message"), b"x" * size)
    put(relay, Backup(first + timedelta(days=9), "message"), b"x" * 51)
    note_absent(relay, Backup(first + timedelta(days=3), "message"))
    relay.bury(Backup(first + timedelta(days=7), "message"), "it is [no] gzip")
    said = relay("backups", "--from", str(first), "--to", "2016-12-07")
    assert said.lines == [
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
        "░▒▓█ stored, by size   F failed   - absent   . missing   ~ not yet",
        "F message 2016-12-05: it is [no] gzip",
        "1 in BackupFailures; `relay backfill` over their days requests them again.",
    ]


def test_days_that_do_not_fit_side_by_side_are_drawn_in_pieces(relay):
    relay.patch.setenv("COLUMNS", "25")  # five for the weekday, twenty weeks
    said = relay("backups", "--from", "2026-01-05", "--to", "2026-08-02")  # thirty weeks from a Monday on
    assert [line for line in said.lines if line.startswith("Wed")] == ["Wed  " + "." * 20, "Wed  " + "." * 10]


def test_years_are_drawn_one_by_one_with_their_months(relay):
    said = relay("backups", "--from", "2015-01-01", "--to", "2016-12-31")
    assert [line for line in said.lines if line.startswith("Fri")] == [f"Fri  {'.' * 52}", f"Fri  {'.' * 53}"]
    assert [line.split()[0] for line in said.lines if line.split()[1:] == MONTHS] == ["2015", "2016"]


def test_where_there_is_only_ascii_sizes_are_digits(relay):
    put(relay, BACKUP, b"x")
    with relay.ascii_only() as written:
        relay("backups", "--from", "2016-12-05", "--to", "2016-12-05")
    assert "Mon  4" in written().splitlines()


def test_a_wide_terminal_has_room_between_the_weeks(relay):
    relay.patch.setenv("COLUMNS", "120")
    said = relay("backups", "--from", "2026-01-05", "--to", "2026-01-18")
    assert "Mon  . ." in said.lines


def test_a_terminal_gets_colours_and_no_color_takes_them_away(relay):
    relay.patch.setenv("FORCE_COLOR", "1")
    coloured = relay("backups", "--year", "2016").out
    relay.patch.setenv("NO_COLOR", "1")
    plain = relay("backups", "--year", "2016").out
    assert "\x1b[1;33m." in coloured
    assert "\x1b[1;33m" not in plain


def test_a_file_type_takes_one_listing_of_what_is_stored_and_one_of_what_is_absent(relay):
    relay.backups.strict.sent.clear()
    relay("backups", "--from", "2014-01-01", "--to", "2016-12-31")
    assert relay.backups.strict.sent == {"ListObjectsV2": 2}


def test_more_days_than_one_page_holds_are_listed_to_the_end(relay):
    for day in days(date(2016, 12, 5), date(2016, 12, 11)):
        put(relay, Backup(day, "message"), b"x")
    with relay.pages_of(2):
        found = states(relay, "--from", "2016-12-05", "--to", "2016-12-11")
    assert list(found.values()) == ["stored"] * 7


def test_somebody_elses_objects_are_no_backups(relay):
    key = BACKUP.key.replace("stocktwits_", "notes_")
    relay.backups.s3.put_object(Bucket=ARCHIVE, Key=key, Body=b"x")
    assert states(relay, "--from", "2016-12-05", "--to", "2016-12-05") == {"2016-12-05": "missing"}


def test_to_look_at_failures_leaves_them_to_be_seen_by_others(relay):
    failed = [Backup(day, "message") for day in days(date(2016, 12, 1), date(2016, 12, 12))]  # more than one receive
    for backup in failed:
        relay.bury(backup, "the gzip data is damaged")
    found = states(relay, "--from", "2016-12-01", "--to", "2016-12-12")
    assert list(found.values()) == ["failed"] * 12
    relay.backups.clock.forward(1)
    assert len(relay.backups.buried()) == 10


def test_of_many_failures_some_are_told_and_the_rest_counted(relay):
    for day in days(date(2016, 12, 1), date(2016, 12, 7)):
        relay.bury(Backup(day, "message"), "Firestream refused the login")
    said = relay("backups", "--year", "2016")
    assert sum("refused the login" in line for line in said.lines) == 5
    assert "F and 2 more: relay backups --missing --json" in said.lines


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--from", "2016-13-01"], "first_day: '2016-13-01' is no day; give one such as 2016-12-05."),
        (["--to", "yesterday"], "is no day"),
        (["--from", "2016-12-05", "--to", "2016-12-04"], "first_day: 2016-12-05 is after last_day, 2016-12-04."),
        (["--to", "2026-11-21"], "last_day: 2026-11-21 is not over yet; 2026-11-20 is the newest day that is (UTC)."),
        (["--year", "2008"], "first_day: 2008-01-01 is before 2009-01-01"),
        (["--year", "2027"], "first_day: 2027-01-01 is not over yet"),
        (["--year", "20161"], "is no day"),
        (["--year", "2016", "--to", "2016-12-05"], "--year names all of its days"),
        (["--type", "symbol"], "file_types: 'symbol' is none of activity, message."),
    ],
)
def test_a_range_that_is_none_is_refused_in_a_line(relay, words, reason):
    said = relay("backups", *words)
    assert (said.code, said.out) == (USAGE, "")
    assert reason in said.err
    assert said.err.startswith("relay: ")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("command", ["backups", "backfill", "get", "cat"])
def test_without_the_backups_half_a_command_says_so(relay, command):
    for name in [name for name in relay.outputs if name != "OutboxQueueUrl"]:
        del relay.outputs[name]
    words = {"backups": [], "backfill": A_WEEK}.get(command, ["message", "2016-12-05"])
    said = relay(command, *words)
    assert (said.code, said.out) == (NO_STACK, "")
    assert "with this half switched on" in said.err
    assert said.err.count("\n") == 1


# relay backfill


def test_a_backfill_is_followed_until_every_missing_day_is_stored(relay):
    relay.store(BACKUP)
    said = relay("backfill", *A_WEEK)
    size = sum(len(relay.backups.content(Backup(day, "message"))) for day in days(DAY, DAY + timedelta(days=6)))
    size -= len(relay.backups.content(BACKUP))
    assert (said.code, said.out) == (DONE, f"6 stored ({size / 1000:.1f} kB).\n")
    assert said.err == "message: 6 of 7 days are missing.\n"
    assert relay.looks == 3  # two at a time


def test_the_function_is_asked_for_just_this_range(relay):
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


def test_where_nothing_is_missing_nothing_is_invoked(relay):
    note_absent(relay, BACKUP)
    said = relay("backfill", "2016-12-05", "2016-12-05")
    assert (said.code, said.out, relay.events) == (DONE, "Nothing is missing.\n", [])


def test_an_absent_day_is_asked_for_again_on_demand(relay):
    note_absent(relay, BACKUP)
    said = relay("backfill", "2016-12-05", "2016-12-05", "--retry-absent")
    assert (said.code, relay.looks) == (DONE, 1)
    assert relay.backups.content(BACKUP)


def test_a_day_that_is_absent_again_is_done(relay):
    note_absent(relay, BACKUP)
    relay.backups.firestream.configure(missing=[DAY])
    said = relay("backfill", "2016-12-05", "2016-12-05", "--retry-absent")
    assert (said.code, said.out, relay.looks) == (DONE, "0 stored (0 bytes), 1 absent.\n", 1)


def test_a_day_that_firestream_does_not_have_yet_is_waited_for_no_longer_than_its_request(relay):
    relay.backups.firestream.configure(missing=[date(2026, 11, 20)])
    said = relay("backfill", "2026-11-20", "2026-11-20")
    assert (said.code, said.out) == (DONE, "0 stored (0 bytes), 1 not there yet.\n")
    assert relay.looks < 5


def test_what_failed_is_told_with_its_reason_and_the_exit_code(relay):
    relay.backups.firestream.fail(Fault.BAD_REQUEST, day=DAY, times=None)
    said = relay("backfill", *A_WEEK)
    assert said.code == FAILED
    assert said.out.endswith("1 failed.\n")
    _, reason, advice = said.err.splitlines()
    assert reason.startswith("message 2016-12-05: Firestream refused to look for")
    assert advice.startswith("relay: Some failed")


def test_a_failure_of_another_time_is_not_told_as_a_new_one(relay):
    relay.bury(BACKUP, "an old reason")
    said = relay("backfill", "2016-12-05", "2016-12-05")
    assert (said.code, "an old reason" in said.err) == (DONE, False)
    assert said.out.startswith("1 stored")


def test_a_day_that_was_lost_on_the_way_is_no_success(relay):
    relay.answers.append((200, {}, {"failed": 0, "stopped": "", "queued": 1}))
    said = relay("backfill", "2016-12-05", "2016-12-05")
    assert said.code == FAILED
    assert said.out == "0 stored (0 bytes), 1 neither stored nor failed.\n"
    assert "message 2016-12-05 is not there: run it again" in said.err
    assert relay.looks >= 29  # SQS may be a minute late to know of a request


def test_who_does_not_wait_is_told_where_to_look(relay):
    said = relay("backfill", *A_WEEK, "--no-wait")
    assert (said.code, said.out) == (DONE, "Requested. `relay backups` shows how far it is.\n")
    assert (relay.looks, len(relay.backups.waiting())) == (0, 7)


def test_an_interruption_leaves_it_running_and_says_so(relay):
    relay.interrupts = True
    said = relay("backfill", *A_WEEK)
    assert (said.code, len(relay.backups.waiting())) == (INTERRUPTED, 7)
    assert said.err.endswith("relay: It goes on without you: `relay backups` shows how far it is.\n")


def test_a_function_that_fails_says_why(relay):
    relay.answers.append((200, {"X-Amz-Function-Error": "Unhandled"}, {"errorMessage": "FIRESTREAM_URL is missing"}))
    said = relay("backfill", *A_WEEK)
    assert (said.code, said.out) == (FAILED, "")
    assert said.err.endswith("relay: The function that fetches backups failed: FIRESTREAM_URL is missing\n")


def test_what_was_not_requested_is_told(relay):
    relay.answers.append((200, {}, {"failed": 2, "stopped": "time ran out before message 2016-12-09 was requested"}))
    said = relay("backfill", *A_WEEK, "--no-wait")
    assert "SQS did not take 2 of the requests" in said.err
    assert "Not all was requested: time ran out before message 2016-12-09" in said.err


def test_an_invocation_is_not_made_twice_when_its_answer_is_late(relay):
    relay.answers += [(500, {}, {"Message": "planned"})] * 2
    said = relay("backfill", *A_WEEK)
    assert (said.code, len(relay.events)) == (NO_AWS, 1)
    assert said.err.count("\n") == 2


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["2016-12-11", "2016-12-05"], "first_day: 2016-12-11 is after last_day"),
        (["2016-12-5", "2016-12-11"], "first_day: '2016-12-5' is no day"),
        ([*A_WEEK, "--type", "symbol"], "file_types: 'symbol' is none of"),
    ],
)
def test_a_backfill_that_is_none_is_refused_before_anything_happens(relay, words, reason):
    said = relay("backfill", *words)
    assert (said.code, relay.events, said.err.count("\n")) == (USAGE, [], 1)
    assert reason in said.err


# relay get


def test_a_backup_is_downloaded_byte_for_byte(relay):
    relay.store(BACKUP)
    content = relay.backups.content(BACKUP)
    said = relay("get", "message", "2016-12-05")
    name = "stocktwits_message_2016_12_05.gz"
    assert (relay.folder / name).read_bytes() == content
    assert (said.code, said.out) == (DONE, f"{name}: {len(content) / 1000:.1f} kB, 40 lines, whole.\n")


def test_it_goes_into_a_folder_or_under_a_name(relay):
    relay.store(BACKUP)
    (relay.folder / "backups").mkdir()
    relay("get", "message", "2016-12-05", "-o", "backups")
    relay("get", "message", "2016-12-05", "-o", "one.gz")
    assert (relay.folder / "backups" / "stocktwits_message_2016_12_05.gz").exists()
    assert (relay.folder / "one.gz").exists()


def test_json_has_what_a_script_wants_to_know(relay):
    from hashlib import sha256

    relay.store(BACKUP)
    content = relay.backups.content(BACKUP)
    assert relay("get", "message", "2016-12-05", "-o", "one.gz", "--json").json == {
        "file": "one.gz",
        "bytes": len(content),
        "lines": 40,
        "sha256": sha256(content).hexdigest(),
    }


def test_what_is_there_is_overwritten_only_by_force(relay):
    relay.store(BACKUP)
    (relay.folder / "one.gz").write_bytes(b"mine")
    refused = relay("get", "message", "2016-12-05", "-o", "one.gz")
    kept = (relay.folder / "one.gz").read_bytes()
    forced = relay("get", "message", "2016-12-05", "-o", "one.gz", "--force")
    assert (refused.code, kept, forced.code) == (USAGE, b"mine", DONE)
    assert "one.gz is there already" in refused.err
    assert (relay.folder / "one.gz").read_bytes() == relay.backups.content(BACKUP)


def test_a_folder_that_is_not_there_is_told(relay):
    relay.store(BACKUP)
    said = relay("get", "message", "2016-12-05", "-o", "nowhere/one.gz")
    assert (said.code, said.err) == (USAGE, "relay: There is no folder nowhere: make it first.\n")


def tagged(relay, **tags):
    relay.backups.s3.put_object_tagging(
        Bucket=ARCHIVE,
        Key=BACKUP.key,
        Tagging={"TagSet": [{"Key": name, "Value": value} for name, value in tags.items()]},
    )


@pytest.mark.parametrize(
    ("content", "tags", "reason"),
    [
        (lines_of({"id": 1})[:-9], {}, "the gzip data ends early"),
        (gzip.compress(b"no JSON\n", mtime=0), {}, "line 1 is no JSON object"),
        (lines_of({"id": 1}), {"sha256": "0" * 64}, "its bytes do not have the sha256 of its tag"),
    ],
    ids=["cut", "no-json", "another-sum"],
)
def test_what_is_not_whole_is_not_kept(relay, content, tags, reason):
    put(relay, BACKUP, content)
    tagged(relay, lines="1", **tags)
    said = relay("get", "message", "2016-12-05")
    assert (said.code, list(relay.folder.iterdir())) == (FAILED, [])
    assert said.err.startswith(f"relay: message 2016-12-05 is not whole: {reason}")


def broken(relay, after):
    """An answer of S3 whose connection breaks after so many bytes."""
    content = relay.backups.content(BACKUP)
    etag = relay.backups.s3.head_object(Bucket=ARCHIVE, Key=BACKUP.key)["ETag"]

    class Breaking(MockRawResponse):
        def readinto(self, buffer):
            if self.tell() >= after:
                raise ProtocolError("the connection broke")
            return super().readinto(memoryview(buffer)[: after - self.tell()])

    headers = {"Content-Length": str(len(content)), "ETag": etag}
    return lambda request: AWSResponse(request.url, 200, headers, Breaking(content))


@pytest.mark.parametrize("command", ["get", "cat"])
def test_a_transfer_that_breaks_is_taken_up_where_it_broke(relay, command):
    relay.store(BACKUP)
    ranges = []
    relay.backups.strict.after("GetObject", broken(relay, 100))
    relay.backups.strict.before("GetObject", lambda request: None)
    relay.backups.strict.before("GetObject", lambda request: ranges.append(dict(request.headers)))
    said = relay(command, "message", "2016-12-05")
    assert (said.code, said.err) == (DONE, "")
    ((asked),) = ranges
    assert asked["Range"] in {"bytes=100-", b"bytes=100-"}
    if command == "get":
        (file,) = relay.folder.iterdir()
        assert file.read_bytes() == relay.backups.content(BACKUP)
    else:
        assert values(said.out) == values(gzip.decompress(relay.backups.content(BACKUP)))


def test_a_transfer_that_never_gets_on_is_given_up_and_nothing_kept(relay):
    relay.store(BACKUP)
    relay.backups.strict.after("GetObject", broken(relay, 0), times=1 + stored.MAX_RESUMES)
    said = relay("get", "message", "2016-12-05")
    assert (said.code, said.err.count("\n"), list(relay.folder.iterdir())) == (NO_AWS, 1, [])


def test_a_large_download_shows_a_bar_beside_the_answer(relay):
    relay.store(BACKUP)
    relay.patch.setattr(get, "LARGE_BYTES", 1)
    relay.patch.setenv("FORCE_COLOR", "1")
    said = relay("get", "message", "2016-12-05")
    assert "━" in said.err
    assert "━" not in said.out


def test_what_cannot_be_written_says_so(relay):
    relay.store(BACKUP)
    relay.patch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    said = relay("get", "message", "2016-12-05", "-o", "one.gz")
    assert (said.code, said.err) == (FAILED, "relay: one.gz cannot be written: No space left.\n")
    assert list(relay.folder.iterdir()) == []


def test_tags_that_may_not_be_read_are_no_obstacle(relay):
    relay.store(BACKUP)
    relay.backups.strict.before("GetObjectTagging", refuse("AccessDenied", 403))
    assert relay("get", "message", "2016-12-05").code == DONE


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _: None, "it is missing. To fetch it: relay backfill 2016-12-05 2016-12-05 --type message"),
        (lambda relay: note_absent(relay, BACKUP), "Firestream has none (absent). To ask again: relay backfill"),
        (lambda relay: relay.bury(BACKUP, "the gzip data is damaged"), "it failed: the gzip data is damaged."),
    ],
    ids=["missing", "absent", "failed"],
)
@pytest.mark.parametrize("command", ["get", "cat"])
def test_a_day_that_is_not_stored_says_why(relay, command, make, reason):
    make(relay)
    said = relay(command, "message", "2016-12-05")
    assert (said.code, said.out, list(relay.folder.iterdir())) == (FAILED, "", [])
    assert said.err.startswith(f"relay: message 2016-12-05 is not stored: {reason}")
    assert said.err.count("\n") <= 2


def test_a_day_that_firestream_may_not_have_yet_says_so(relay):
    said = relay("get", "message", "2026-11-19")
    assert (said.code, "it is not there yet" in said.err) == (FAILED, True)


@pytest.mark.parametrize("command", ["get", "cat"])
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["message", "5.12.2016"], "day: '5.12.2016' is no day; give one such as 2016-12-05."),
        (["symbol", "2016-12-05"], "file_type: 'symbol' is none of activity, message."),
        (["message", "2026-11-21"], "day: 2026-11-21 is not over yet"),
    ],
)
def test_a_backup_that_cannot_be_is_refused_in_a_line(relay, command, words, reason):
    said = relay(command, *words)
    assert (said.code, said.out, said.err.count("\n")) == (USAGE, "", 1)
    assert reason in said.err


@pytest.mark.parametrize(("umask", "rights"), [(0o000, 0o666), (0o022, 0o644), (0o777, 0o000)])
def test_a_download_is_for_its_owner_alone_until_it_is_whole(relay, monkeypatch, umask, rights):
    def copied(self):
        (part,) = relay.folder.iterdir()
        meanwhile.append(stat.S_IMODE(part.stat().st_mode))
        check(self)

    meanwhile, check = [], get._CopyingReader.check
    monkeypatch.setattr(get._CopyingReader, "check", copied)
    relay.store(BACKUP)
    before = os.umask(umask)
    try:
        assert relay("get", "message", "2016-12-05").code == DONE
    finally:
        os.umask(before)
    (file,) = relay.folder.iterdir()
    assert (meanwhile, stat.S_IMODE(file.stat().st_mode)) == ([0o600], rights)


def test_a_download_to_where_files_have_no_rights_is_kept(relay, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refused)
    monkeypatch.setattr(Path, "chmod", refused)
    relay.store(BACKUP)
    assert relay("get", "message", "2016-12-05").code == DONE


# relay cat


def test_the_lines_have_the_values_that_are_stored_in_ascii(relay):
    relay.store(BACKUP)
    said = relay("cat", "message", "2016-12-05")
    content = gzip.decompress(relay.backups.content(BACKUP))
    assert (said.code, said.err) == (DONE, "")
    assert (said.out.isascii(), content.isascii()) == (True, False)
    assert values(said.out) == values(content)


def test_a_line_of_printable_ascii_comes_as_it_is_stored(relay):
    line = b'{ "id":1.50, "body" : "caf\\u00E9 \\/ \\n" }'
    put(relay, BACKUP, gzip.compress(line + b"\n"))
    assert relay("cat", "message", "2016-12-05").out.encode() == line + b"\n"


@pytest.mark.parametrize(
    "text", ["\x7f", "\x9b31m", "\x85", "\u202egpj.exe", "\u2066", "\u200f", "\u061c", "\U000e0041", "\U0001f680"]
)
def test_a_line_that_steers_a_terminal_comes_escaped_with_its_value(relay, text):
    put(relay, BACKUP, gzip.compress(json.dumps({"body": text}, ensure_ascii=False).encode() + b"\n"))
    said = relay("cat", "message", "2016-12-05")
    assert steering(said.out) == set()
    assert said.out.isascii()
    assert values(said.out) == [{"body": text}]


def test_white_space_between_values_that_overwrites_what_was_shown_comes_as_spaces(relay):
    put(relay, BACKUP, gzip.compress(b'{"body": "hidden",\r"id":\t1}\r\n'))
    assert relay("cat", "message", "2016-12-05").out == '{"body": "hidden", "id": 1}\n'


def test_bytes_that_are_not_utf_8_come_as_replacement_characters(relay):
    put(relay, BACKUP, gzip.compress(b'{"body": "\xff\xed\xa0\x80"}\n'))
    assert relay("cat", "message", "2016-12-05").out == '{"body": "' + r"\ufffd" * 4 + '"}\n'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]52;c;cm0gLXJm\x07", r"\x1b]52;c;cm0gLXJm\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("\x7f\x00\x08", r"\x7f\x00\x08"),
        ("\u202egpj.exe\u2069", r"\u202egpj.exe\u2069"),
        ("\u200e\u061c\u2028", r"\u200e\u061c\u2028"),
        ("\U000e0041", r"\U000e0041"),
        (r"\x1b", r"\\x1b"),
        ("[red]\u00a0caf\u00e9\u3000\U0001f680", "[red]\u00a0caf\u00e9\u3000\U0001f680"),
    ],
)
@pytest.mark.parametrize("fields", ["body", "user.name"])
def test_a_field_that_steers_a_terminal_comes_escaped(relay, text, shown, fields):
    put(relay, BACKUP, lines_of({"body": text, "user": {"name": text}}))
    assert relay("cat", "message", "2016-12-05", "--fields", fields).out == f"{shown}\n"


def test_an_object_in_a_field_comes_escaped_too(relay):
    put(relay, BACKUP, lines_of({"user": {"\u202e": "\x7f"}}))
    assert relay("cat", "message", "2016-12-05", "--fields", "user").out == r'{"\u202e":"\x7f"}' + "\n"


def test_a_failure_that_steers_a_terminal_is_shown_escaped(relay):
    relay.bury(BACKUP, f"{OVERRIDE} [bold]no[/] gzip")
    said = relay("backups", "--from", "2016-12-05", "--to", "2016-12-05")
    assert rf"F message 2016-12-05: {SHOWN} [bold]no[/] gzip" in said.out
    assert SHOWN in relay("get", "message", "2016-12-05").err
    assert relay("backups", "--from", "2016-12-05", "--to", "2016-12-05", "--json").out.isascii()
    assert OVERRIDE not in relay.everything


def test_a_file_type_that_steers_a_terminal_is_shown_escaped(relay):
    relay.parameters["BackupFileTypes"] = OVERRIDE
    assert relay("backups", "--from", "2016-12-05", "--to", "2016-12-05", "--missing").out == f"{SHOWN} 2016-12-05\n"


def test_what_the_function_says_of_its_failure_is_shown_escaped(relay):
    relay.answers = [(200, {"X-Amz-Function-Error": "Unhandled"}, {"errorMessage": OVERRIDE})]
    assert relay("backfill", *A_WEEK).err.endswith(f"The function that fetches backups failed: {SHOWN}\n")


def test_a_reason_that_travelled_with_a_request_that_sqs_moved_is_not_ours(relay, monkeypatch):
    def moved(self):
        for each in messages(self):
            yield each | {"Attributes": each["Attributes"] | {"DeadLetterQueueSourceArn": "arn"}}

    messages = peek.Peek.messages
    monkeypatch.setattr(peek.Peek, "messages", moved)
    relay.bury(BACKUP, "forged")
    said = relay("backups", "--from", "2016-12-05", "--to", "2016-12-05").out
    assert f"F message 2016-12-05: {calendar.NO_REASON}" in said


def test_no_more_lines_than_the_limit_are_printed(relay):
    relay.store(BACKUP)
    first = gzip.decompress(relay.backups.content(BACKUP)).decode().splitlines()[:3]
    assert relay("cat", "message", "2016-12-05", "--limit", "3").lines == first


@pytest.mark.parametrize(
    ("fields", "row"),
    [
        ("id,body", "7\tUp 3% $AAPL"),
        ("body,id", "Up 3% $AAPL\t7"),
        ("symbols.symbol", "AAPL,BRK.B"),
        ("user.name", "Zoë"),
        ("user.name.first", ""),
        ("odd", "a\\tb\\nc\\rd\\\\e"),
        ("sure,none,none.of.it", "true\t\t"),
        ("user", '{"name":"Zoë"}'),
        (" id , sure ", "7\ttrue"),
    ],
)
def test_fields_are_columns(relay, fields, row):
    line = {
        "id": 7,
        "body": "Up 3% $AAPL",
        "symbols": [{"symbol": "AAPL"}, {"symbol": "BRK.B"}, {"title": "nameless"}],
        "user": {"name": "Zoë"},
        "odd": "a\tb\nc\rd\\e",
        "sure": True,
        "none": None,
    }
    put(relay, BACKUP, lines_of(line))
    assert relay("cat", "message", "2016-12-05", "--fields", fields).out == f"{row}\n"


def test_a_field_that_no_line_has_is_told_beside_the_rows(relay):
    put(relay, BACKUP, lines_of({"id": 1, "user": {}}, {"id": 2, "user": {"name": "x"}}))
    said = relay("cat", "message", "2016-12-05", "--fields", "id,bdoy,user.name,user.nam")
    assert (said.code, said.out) == (DONE, "1\t\t\t\n2\t\tx\t\n")
    assert said.err == "No line has bdoy, user.nam.\n"


@pytest.mark.parametrize("fields", ["", "id,", "symbols..symbol"])
def test_a_field_without_a_name_is_refused(relay, fields):
    said = relay("cat", "message", "2016-12-05", "--fields", fields)
    assert (said.code, said.out) == (USAGE, "")
    assert "has an empty name" in said.err


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lines_of({"id": 1})[:-9], "is damaged, what came before may be too: the gzip data ends early"),
        (gzip.compress(b'{"id": 1}\nno JSON\n', mtime=0), "is no list of JSON objects: line 2"),
    ],
)
def test_a_damaged_backup_is_told(relay, content, reason):
    put(relay, BACKUP, content)
    said = relay("cat", "message", "2016-12-05")
    assert said.code == FAILED
    assert said.err.startswith(f"relay: message 2016-12-05 {reason}")


# A broken pipe


class Shop(Handler):
    """A stack, and an archive with one large backup."""

    content = lines_of(*({"id": number, "body": str(number) * 60} for number in range(60_000)))

    def serve(self):
        self.read_body()
        if self.command == "POST":
            outputs = {"OutboxQueueUrl": "the Outbox", "BackupBucketName": ARCHIVE}
            self.answer(200, described(outputs, {}), {"Content-Type": "text/xml"})
        elif "tagging" in self.path:
            self.answer(200, b"<Tagging><TagSet/></Tagging>", {"Content-Type": "application/xml"})
        else:
            self.answer(200, self.content, {"ETag": '"1"'})


@pytest.fixture
def shop():
    server = Server(0, Shop, None)
    server.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.stop()


@pytest.mark.parametrize("fields", [[], ["--fields", "id,body"]], ids=["lines", "fields"])
def test_who_has_read_enough_is_left_in_peace(shop, tmp_path, fields):
    command = [sys.executable, "-c", "from relay_cli.app import main; main()"]
    environment = os.environ | {
        "AWS_ENDPOINT_URL": shop,
        "PYTHONPATH": os.pathsep.join([str(CLI), str(ROOT / "layers" / "relay")]),
    }
    with subprocess.Popen(
        [*command, "cat", "message", "2016-12-05", *fields],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        first = process.stdout.readline()
        process.stdout.close()
        assert (process.wait(60), process.stderr.read()) == (0, b"")
    assert b"0" * 60 in first


def test_a_backup_is_printed_in_little_memory(shop, tmp_path):
    program = (
        "import sys; from relay_cli.app import main\n"
        "try: main()\n"
        "finally: print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0], file=sys.stderr)"
    )
    environment = os.environ | {
        "AWS_ENDPOINT_URL": shop,
        "PYTHONPATH": os.pathsep.join([str(CLI), str(ROOT / "layers" / "relay")]),
    }

    def peak(*words):
        said = subprocess.run(
            [sys.executable, "-c", program, "cat", "message", "2016-12-05", *words],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            check=True,
        )
        return len(said.stdout), int(said.stderr)

    size, all_of_it = peak()
    _, one_line = peak("--limit", "1")
    assert size > 15_000_000
    assert (all_of_it - one_line) * 1024 < 3_000_000
