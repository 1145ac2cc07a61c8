"""`relay doctor`: a healthy relay has no line that is not ok, and each defect has its line, with what to do."""

import json
import socket
import threading
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, NoCredentialsError
from relay.errors import Pause
from relay_cli.doctor import permissions, volume
from relay_cli.doctor.account import identity
from relay_cli.doctor.finding import ok
from relay_cli.doctor.runner import RESTORE, run

from local.stand_ins.firestream.server import FirestreamStandIn
from tests.servers import answering, request_of, tcp_server
from tests.worlds.backups import ARCHIVE, PASSWORD
from tests.worlds.cli import (
    DONE,
    FAILED,
    NO_AWS,
    NO_STACK,
    OVERRIDE,
    SHOWN,
    WEBHOOK_PARAMETER,
    CliHarness,
    control_characters,
    session,
)
from tests.worlds.defects import DEFECTS, Defect, a_dead_letter, check_lines, log, no_token, rounds
from tests.worlds.doctor import MAIL, NOTIFY_PARAMETER, OUTBOX_TRIGGER, TOPIC_ARN, DoctorWorld, policy, tls_only
from tests.worlds.posting import TABLE, TOKEN

CHECKS = [
    *("credentials", "clock", "stack", "posting", "backups", "concurrency"),
    *("token", "stocktwits", "gate", "pace", "function-post-messages", "function-drain-leftovers"),
    *("errors-post-messages", "errors-drain-leftovers", "trigger-outbox", "schedule-drain-leftovers"),
    *("firestream", "archive", "function-fetch-backups", "errors-fetch-backups"),
    *("trigger-backup-requests", "schedule-nightly"),
    *("queue-outbox", "queue-leftovers", "queue-dead-letters", "queue-backup-requests", "queue-backup-failures"),
    *("dead-letters", "backup-failures", "alarms", "alarm-topic"),
]
"""The names of the checks and their order, which others rely on."""


@pytest.fixture
def deployed(cli: CliHarness, firestream: FirestreamStandIn) -> Iterator[DoctorWorld]:
    yield DoctorWorld(cli, firestream)
    for secret in (TOKEN, json.dumps(PASSWORD)[1:-1], PASSWORD):
        assert secret not in cli.everything


@pytest.mark.any_aws
def test_a_healthy_relay_has_no_line_that_is_not_ok(deployed: DoctorWorld) -> None:
    report = deployed.doctor()
    assert (report.code, report.not_ok()) == (DONE, {})


def marks(defects: list[Defect]) -> list[pytest.MarkDecorator]:
    """Where only StockTwits fails, it does not matter what answers as AWS."""
    return [] if {each.check for each in defects} == {"stocktwits"} else [pytest.mark.any_aws]


@pytest.mark.parametrize(
    "defects", [pytest.param(each, id=each[0].name, marks=marks(each)) for each in rounds(DEFECTS)]
)
def test_each_defect_has_its_line_with_what_to_do(deployed: DoctorWorld, defects: list[Defect]) -> None:
    check_lines(deployed, defects)


# What is printed


def test_the_report_is_a_list_of_findings_in_a_fixed_order(deployed: DoctorWorld) -> None:
    findings = deployed.doctor().findings
    assert [each["check"] for each in findings] == CHECKS
    assert {tuple(each) for each in findings} == {("check", "state", "text", "what_to_do")}


def test_a_line_has_what_was_seen_and_below_it_what_to_do(deployed: DoctorWorld) -> None:
    with a_dead_letter.put_in(deployed), no_token.put_in(deployed):
        done = deployed.cli("doctor")
    lines = [" ".join(each.split()) for each in done.lines]
    place = lines.index("broken token there is no parameter /stocktwits-relay/token")
    assert lines[place + 1] == "store it: relay login"
    assert lines[-1] == "31 checks: 28 ok, 2 warnings, 1 broken."
    assert (done.code, done.err) == (FAILED, "")


def test_what_others_wrote_cannot_control_the_terminal(deployed: DoctorWorld) -> None:
    log(deployed, "PostMessagesLogs", level="ERROR", message=f"{OVERRIDE}\x1b[2J")
    done = deployed.cli("doctor")
    assert (control_characters(done.out), SHOWN in done.out) == (set(), True)


# It reads, and does nothing else


def test_every_call_to_aws_reads(deployed: DoctorWorld) -> None:
    deployed.cli.calls.clear()
    deployed.doctor()
    assert {name for name, _ in deployed.cli.calls} == set(permissions.READS)
    verbs = ("Get", "List", "Describe", "Filter", "BatchGetItem")
    assert [each for each in permissions.READS if not each.startswith(verbs)] == []


def test_every_request_to_stocktwits_and_firestream_is_a_get(deployed: DoctorWorld) -> None:
    deployed.doctor()
    assert [each.method for each in deployed.stocktwits.requests] == ["GET"]
    assert [(each.host, each.method) for each in deployed.firestream.requests] == [("api", "GET")]


# What keeps it from checking

USED_BY = {
    "ListStackResources": ["stack", "errors-post-messages", "trigger-outbox", "schedule-nightly", "alarms"],
    "GetAccountSettings": ["concurrency"],
    "GetFunctionConfiguration": ["function-post-messages", "function-drain-leftovers", "function-fetch-backups"],
    "GetFunctionConcurrency": ["function-post-messages", "function-drain-leftovers", "function-fetch-backups"],
    "GetEventSourceMapping": ["trigger-outbox", "trigger-backup-requests"],
    "GetSchedule": ["schedule-drain-leftovers", "schedule-nightly"],
    "GetQueueAttributes": ["queue-outbox", "queue-backup-failures", "dead-letters", "backup-failures", "pace"],
    "ListSubscriptionsByTopic": ["alarm-topic"],
    "DescribeAlarms": ["alarms"],
    "GetMetricStatistics": ["pace"],
    "FilterLogEvents": ["errors-post-messages", "errors-drain-leftovers", "errors-fetch-backups"],
    "DescribeParameters": ["token", "firestream"],
    "GetParameter": ["token", "firestream"],
    "BatchGetItem": ["gate"],
    "ListObjectsV2": ["archive"],
}


@pytest.mark.parametrize("operation", USED_BY)
def test_a_missing_permission_is_a_warning_with_its_name(deployed: DoctorWorld, operation: str) -> None:
    deployed.denied = {operation}
    permission = permissions.READS[operation]
    lines = [deployed.line(each) for each in USED_BY[operation]]
    assert {each["state"] for each in lines} == {"warning"}
    assert [each for each in lines if f"permission {permission}" not in each["text"]] == []
    assert [each for each in lines if f"allow {permission}" not in each["what_to_do"]] == []


def test_without_any_permission_every_check_has_its_line(deployed: DoctorWorld) -> None:
    deployed.denied = set(USED_BY)
    report = deployed.doctor()
    assert ([each["check"] for each in report.findings], report.code) == (CHECKS, DONE)
    assert set(CHECKS) - set(report.not_ok()) == {"credentials", "clock", "posting", "backups"}


def test_every_permission_is_one_of_those(deployed: DoctorWorld) -> None:
    assert set(permissions.READS) - set(USED_BY) == {"GetCallerIdentity", "DescribeStacks"}


def test_whose_the_token_is_stays_open_if_you_may_not_read_it(deployed: DoctorWorld) -> None:
    deployed.denied = {"GetParameter"}
    line = deployed.line("stocktwits")
    assert (line["state"], line["text"]) == (
        "warning",
        "could not be checked: StockTwits answers, but was not asked whose the token is: you may not read it",
    )


def test_a_stocktwits_that_cannot_be_reached_from_here_is_a_warning(deployed: DoctorWorld) -> None:
    with deployed.cli.world.unreachable():
        line = deployed.line("stocktwits")
    assert (line["state"], "could not be reached" in line["text"]) == ("warning", True)


def test_a_defect_of_a_check_hides_no_other(deployed: DoctorWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise KeyError(TOKEN)

    monkeypatch.setattr(volume, "pace", fail)
    report = deployed.doctor()
    assert report.not_ok() == {"pace": "warning"}
    assert report.line("pace")["text"].startswith("could not be checked: KeyError in test_doctor.py, line ")


@pytest.mark.timeout(30)
def test_a_check_that_does_not_end_does_not_keep_the_others_waiting() -> None:

    never = threading.Event()
    found = list(run({"slow": lambda: ok(str(never.wait())), "fast": lambda: ok("done")}, limit_seconds=0.2))
    assert [(each.check, each.state) for each in found] == [("slow", "warning"), ("fast", "ok")]
    assert "no answer within 0.2 s" in found[0].text
    never.set()


# Credentials, clock and stack


def test_without_credentials_that_is_the_line(deployed: DoctorWorld) -> None:
    def nobody(_: object) -> dict[str, Any]:
        raise NoCredentialsError

    deployed.cli.plan("GetCallerIdentity", nobody)
    report = deployed.doctor()
    assert report.code == NO_AWS
    assert report.not_ok() == {"credentials": "broken", "clock": "warning"}
    assert "run `aws configure`" in report.line("credentials")["text"]


def test_an_aws_that_does_not_answer_is_the_line(deployed: DoctorWorld) -> None:
    def silence(_: object) -> dict[str, Any]:
        raise ConnectTimeoutError(endpoint_url="https://sts.amazonaws.com")

    deployed.cli.plan("GetCallerIdentity", silence)
    assert "AWS did not respond" in deployed.doctor().line("credentials")["text"]


@pytest.mark.parametrize(
    ("seconds", "state", "words"),
    [
        (60, "ok", "60 s ahead of AWS's"),
        (61, "warning", "61 s ahead of AWS's"),
        (-61, "warning", "61 s behind AWS's"),
        (301, "broken", "5 min ahead of AWS's, and AWS refuses"),
        (-301, "broken", "5 min behind AWS's, and AWS refuses"),
    ],
)
def test_a_clock_is_compared_with_aws_s(deployed: DoctorWorld, seconds: int, state: str, words: str) -> None:
    deployed.clock_ahead_seconds = seconds
    clock = identity(session(), deployed.now)["clock"]
    assert (clock.state, words in clock.text, "NTP" in clock.what_to_do) == (state, True, state != "ok")


def test_the_time_is_in_aws_s_refusals_too(deployed: DoctorWorld) -> None:
    def refuse(_: object) -> dict[str, Any]:
        date = formatdate(deployed.now() - 3600, usegmt=True)
        answer = {"Error": {"Code": "SignatureDoesNotMatch"}, "ResponseMetadata": {"HTTPHeaders": {"date": date}}}
        raise ClientError(answer, "GetCallerIdentity")

    deployed.cli.plan("GetCallerIdentity", refuse)
    report = deployed.doctor()
    assert (report.code, report.state("credentials"), report.state("clock")) == (NO_AWS, "broken", "broken")


def test_a_stack_that_is_not_there_is_the_last_line(deployed: DoctorWorld) -> None:
    deployed.cli.plan("DescribeStacks", "ValidationError")
    report = deployed.doctor()
    assert (report.code, [each["check"] for each in report.findings]) == (NO_STACK, ["credentials", "clock", "stack"])
    assert "There is no stack stocktwits-relay in us-east-1" in report.line("stack")["text"]


def test_whoever_may_not_see_the_stack_learns_which_permission_is_missing(deployed: DoctorWorld) -> None:
    deployed.denied = {"DescribeStacks"}
    report = deployed.doctor()
    assert (report.code, "DescribeStacks" in report.line("stack")["text"]) == (NO_AWS, True)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("UPDATE_COMPLETE", "ok"),
        ("UPDATE_IN_PROGRESS", "warning"),
        ("UPDATE_ROLLBACK_COMPLETE", "warning"),
        ("UPDATE_ROLLBACK_FAILED", "broken"),
    ],
)
def test_a_stack_is_completely_deployed_or_not(deployed: DoctorWorld, status: str, state: str) -> None:
    deployed.cli.stack_status = status
    line = deployed.line("stack")
    assert (line["state"], status in line["text"]) == (state, True)


def test_a_stack_that_was_never_completed_is_the_last_line(deployed: DoctorWorld) -> None:
    deployed.cli.stack_status = "ROLLBACK_COMPLETE"
    report = deployed.doctor()
    assert (report.code, [each["check"] for each in report.findings]) == (NO_STACK, ["credentials", "clock", "stack"])
    assert "not completely deployed (ROLLBACK_COMPLETE)" in report.line("stack")["text"]


def test_a_resource_that_failed_is_named(deployed: DoctorWorld) -> None:
    deployed.statuses["PostMessagesLogs"] = "UPDATE_FAILED"
    line = deployed.line("stack")
    assert (line["state"], "PostMessagesLogs failed" in line["text"]) == ("broken", True)


# The halves


def test_what_cloudformation_deleted_with_a_half_is_not_missed(deployed: DoctorWorld) -> None:
    for name in ("PostMessages", "DrainLeftovers"):
        del deployed.outputs[f"{name}FunctionName"]
    deployed.statuses |= {"PostMessagesFunctionOutbox": "DELETE_COMPLETE", "DeadLettersAlarm": "DELETE_COMPLETE"}
    deployed.client("cloudwatch").delete_alarms(AlarmNames=[deployed.resource("DeadLettersAlarm")])
    assert deployed.doctor().not_ok() == {}


def test_a_dry_run_is_a_warning(deployed: DoctorWorld) -> None:
    deployed.cli.parameters["DryRun"] = "true"
    line = deployed.line("posting")
    assert (line["state"], "nothing is posted" in line["text"]) == ("warning", True)
    assert 'make deploy PARAMETERS="DryRun=false"' in line["what_to_do"]


@pytest.mark.parametrize(
    ("functions", "check", "left_out"),
    [
        (("PostMessages", "DrainLeftovers"), "posting", {"token", "stocktwits", "gate", "trigger-outbox"}),
        (("FetchBackups",), "backups", {"firestream", "archive", "schedule-nightly"}),
    ],
)
def test_of_a_half_that_is_switched_off_only_what_stays_is_checked(
    deployed: DoctorWorld, functions: tuple[str, ...], check: str, left_out: set[str]
) -> None:
    for name in functions:
        del deployed.outputs[f"{name}FunctionName"]
    report = deployed.doctor()
    assert (report.code, report.not_ok(), "switched off" in report.line(check)["text"]) == (DONE, {}, True)
    assert left_out & {each["check"] for each in report.findings} == set()
    assert {"queue-outbox", "queue-backup-requests", "dead-letters"} <= {each["check"] for each in report.findings}


# The webhook

NOT_FOUND = b'{"message": "Not Found"}'


def test_of_a_webhook_that_works_every_line_is_ok(deployed: DoctorWorld) -> None:
    with answering(404, NOT_FOUND) as url:
        report = deployed.with_webhook(url, "tradingview", "scanner").doctor()
    assert (report.code, report.not_ok()) == (DONE, {})
    names = [each["check"] for each in report.findings]
    lines = ["webhook", "webhook-address", "function-receive-alerts", "errors-receive-alerts"]
    assert [each for each in names if each not in CHECKS] == lines
    assert report.line("webhook")["text"].startswith("2 sources (tradingview, scanner), ")
    assert url in report.line("webhook-address")["text"]


def test_the_doctor_asks_the_webhook_for_nothing_and_without_a_secret(deployed: DoctorWorld) -> None:
    received: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        received.append(request_of(connection))
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    with tcp_server(answer) as server:
        deployed.with_webhook(f"http://127.0.0.1:{server.port}", "scanner").line("webhook-address")
    (request,) = received
    assert request.startswith(b"POST /alerts/relay-doctor HTTP/1.1\r\n")
    assert (request.endswith(b"\r\n\r\n"), b"authorization" in request.lower()) == (True, False)


@pytest.mark.parametrize(
    ("status", "state", "words"),
    [
        (503, "broken", "answers 503: no alert gets in"),
        (429, "warning", "WebhookRatePerSecond"),
        (202, "warning", "answers 202, where 404 was expected"),
    ],
)
def test_a_webhook_that_answers_otherwise_is_not_ok(deployed: DoctorWorld, status: int, state: str, words: str) -> None:
    with answering(status, b"") as url:
        line = deployed.with_webhook(url, "scanner").line("webhook-address")
    assert (line["state"], words in line["text"], line["what_to_do"] != "") == (state, True, True), line


def test_a_webhook_that_cannot_be_reached_from_here_is_a_warning(deployed: DoctorWorld) -> None:
    with answering(404, b"") as url:
        pass
    line = deployed.with_webhook(url, "scanner").line("webhook-address")
    assert (line["state"], "could not be reached" in line["text"]) == ("warning", True)


def test_a_webhook_without_a_source_is_a_warning(deployed: DoctorWorld) -> None:
    line = deployed.with_webhook("http://127.0.0.1").line("webhook")
    assert (line["state"], line["what_to_do"]) == ("warning", "add one: relay webhook add NAME")


def test_a_webhook_whose_alerts_nobody_posts_is_a_warning(deployed: DoctorWorld) -> None:
    deployed.with_webhook("http://127.0.0.1", "scanner")
    del deployed.outputs["PostMessagesFunctionName"]
    line = deployed.line("webhook")
    assert (line["state"], "posting is switched off" in line["text"]) == ("warning", True)


def test_sources_that_cannot_be_read_are_broken(deployed: DoctorWorld) -> None:
    deployed.with_webhook("http://127.0.0.1", "scanner")
    deployed.client("ssm").put_parameter(Name=WEBHOOK_PARAMETER, Value="{", Overwrite=True)
    line = deployed.line("webhook")
    assert (line["state"], f"{WEBHOOK_PARAMETER} cannot be used" in line["text"]) == ("broken", True)
    assert "get-parameter-history" in line["what_to_do"]


def test_sources_that_you_may_not_read_are_a_missing_permission(deployed: DoctorWorld) -> None:
    deployed.with_webhook("http://127.0.0.1", "scanner").denied = {"GetParameter"}
    assert "permission ssm:GetParameter" in deployed.line("webhook")["text"]


def test_sources_of_a_webhook_that_is_switched_off_are_a_warning(deployed: DoctorWorld) -> None:
    deployed.store_sources("scanner")
    line = deployed.doctor().line("webhook")
    assert (line["state"], "1 source: scanner" in line["text"]) == ("warning", True)


# Functions


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({"State": "Failed", "StateReason": "no role"}, "broken", "AWS cannot run it: no role"),
        ({"LastUpdateStatus": "Failed", "LastUpdateStatusReason": "too large"}, "broken", "update failed, and what"),
        ({"Layers": []}, "broken", "its layer, which has the relay's code, is not attached"),
        ({"State": "Pending"}, "warning", "AWS is still making it ready"),
        ({"LastUpdateStatus": "InProgress"}, "warning", "AWS is still making it ready"),
        ({"State": "Inactive"}, "ok", "it can run"),
    ],
)
def test_a_function_can_run_or_says_why_not(
    deployed: DoctorWorld, changes: dict[str, Any], state: str, words: str
) -> None:
    deployed.functions.functions["post-messages"] |= changes
    line = deployed.line("function-post-messages")
    assert (line["state"], words in line["text"]) == (state, True), line


@pytest.mark.parametrize(("reserved", "state"), [(1, "warning"), (2, "ok")])
def test_fewer_reserved_executions_than_its_queue_uses_are_a_warning(
    deployed: DoctorWorld, reserved: int, state: str
) -> None:
    deployed.functions.reserved["post-messages"] = reserved
    assert deployed.line("function-post-messages")["state"] == state


@pytest.mark.parametrize(("left", "state"), [(8, "warning"), (9, "ok")])
def test_fewer_executions_than_the_relay_may_use_are_a_warning(deployed: DoctorWorld, left: int, state: str) -> None:
    deployed.functions.unreserved = left
    line = deployed.line("concurrency")
    assert (line["state"], "service-quotas" in line["what_to_do"]) == (state, state == "warning")


@pytest.mark.parametrize(("left", "state"), [(10, "warning"), (11, "ok")])
def test_what_sends_notices_needs_executions_too(deployed: DoctorWorld, left: int, state: str) -> None:
    deployed.with_notices()
    deployed.functions.unreserved = left
    assert deployed.line("concurrency")["state"] == state


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"level": "ERROR", "message": "boom", "errorType": "Runtime.ExitError"}, "boom (Runtime.ExitError)"),
        ({"level": "CRITICAL", "message": "boom"}, ": boom"),
        ({"type": "platform.report", "record": {"status": "timeout"}}, "a run ended with timeout"),
        ({"type": "platform.report", "record": {"status": "failure"}}, "a run ended with failure"),
        (
            {"type": "platform.report", "record": {"status": "error", "errorType": "Runtime.OutOfMemory"}},
            "a run ended with error (Runtime.OutOfMemory)",
        ),
        ({"level": "ERROR", "message": "boom", "record": "of another library"}, ": boom"),
    ],
)
def test_the_last_error_of_a_function_is_quoted(deployed: DoctorWorld, line: dict[str, Any], words: str) -> None:
    log(deployed, "PostMessagesLogs", level="ERROR", message="an older one")
    deployed.cli.world.clock.forward(60)
    log(deployed, "PostMessagesLogs", **line)
    found = deployed.line("errors-post-messages")
    assert (found["state"], "2 errors" in found["text"], words in found["text"]) == ("warning", True, True), found


@pytest.mark.parametrize("name", ["requestId", "request_id"])
def test_an_error_that_was_logged_is_not_counted_again_with_the_report_of_its_run(
    deployed: DoctorWorld, name: str
) -> None:
    log(deployed, "PostMessagesLogs", level="ERROR", message="boom", **{name: "run-1"})
    for status, request in (("error", "run-1"), ("error", "run-2"), ("timeout", "run-1")):
        log(deployed, "PostMessagesLogs", type="platform.report", record={"status": status, "requestId": request})
    assert "3 errors" in deployed.line("errors-post-messages")["text"]


@pytest.mark.parametrize(
    "line",
    [
        {"level": "WARNING", "message": "posted late"},
        {"type": "platform.report", "record": {"status": "success"}},
        {"type": "platform.report", "record": "timeout"},
    ],
)
def test_other_lines_of_a_log_are_no_errors(deployed: DoctorWorld, line: dict[str, Any]) -> None:
    log(deployed, "PostMessagesLogs", **line)
    assert deployed.line("errors-post-messages")["state"] == "ok"


def test_an_error_on_a_later_page_is_found(deployed: DoctorWorld) -> None:
    line = {"timestamp": round(deployed.now() * 1000), "message": json.dumps({"level": "ERROR", "message": "boom"})}
    deployed.cli.plan("FilterLogEvents", lambda _: {"events": [], "nextToken": "more"})
    deployed.cli.plan("FilterLogEvents", lambda sent: {"events": [line] if sent.get("nextToken") == "more" else []})
    assert "boom" in deployed.line("errors-post-messages")["text"]


def test_an_error_of_the_day_before_yesterday_does_not_count(deployed: DoctorWorld) -> None:
    log(deployed, "PostMessagesLogs", level="ERROR", message="boom")
    deployed.cli.world.clock.forward(24 * 3600 + 1)
    assert deployed.line("errors-post-messages")["state"] == "ok"


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({"EventSourceArn": "arn:aws:sqs:us-east-1:123456789012:other"}, "broken", "not from Outbox to PostMessages"),
        ({"FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:other"}, "broken", "it leads from"),
        ({"State": "Enabling"}, "warning", "its state is Enabling"),
        ({"State": "Disabling"}, "broken", "nothing takes messages from Outbox"),
        ({"LastProcessingResult": "PROBLEM: access denied"}, "warning", "PROBLEM: access denied"),
    ],
)
def test_a_trigger_leads_from_its_queue_to_its_function(
    deployed: DoctorWorld, changes: dict[str, Any], state: str, words: str
) -> None:
    deployed.functions.mappings[OUTBOX_TRIGGER] |= changes
    line = deployed.line("trigger-outbox")
    assert (line["state"], words in line["text"], line["what_to_do"] != "") == (state, True, True), line


# What was deleted by hand


@pytest.mark.any_aws
def test_what_was_deleted_is_broken(deployed: DoctorWorld) -> None:
    deployed.client("sqs").delete_queue(QueueUrl=deployed.outputs["OutboxQueueUrl"])
    deployed.client("dynamodb").delete_table(TableName=TABLE)
    deployed.client("s3").delete_bucket(Bucket=ARCHIVE)
    deployed.client("scheduler").delete_schedule(Name=deployed.resource("FetchBackupsFunctionNightly"))
    deployed.client("sns").delete_topic(TopicArn=TOPIC_ARN)
    deployed.client("logs").delete_log_group(logGroupName="FetchBackupsLogs")
    del deployed.functions.functions["post-messages"]
    del deployed.functions.mappings[OUTBOX_TRIGGER]
    found = [each for each in deployed.doctor().findings if "it no longer exists" in each["text"]]
    assert {each["check"]: each["state"] for each in found} == dict.fromkeys(
        [
            *("queue-outbox", "pace", "gate", "archive", "schedule-nightly", "alarm-topic", "errors-fetch-backups"),
            *("function-post-messages", "trigger-outbox"),
        ],
        "broken",
    )
    assert {each["what_to_do"] for each in found} == {RESTORE}


def test_a_deleted_alarm_is_broken(deployed: DoctorWorld) -> None:
    deployed.client("cloudwatch").delete_alarms(AlarmNames=[deployed.resource("BackupsLateAlarm")])
    line = deployed.line("alarms")
    assert (line["state"], line["text"]) == ("broken", "missing: stocktwits-relay-backups-late")


def test_an_alarm_that_a_deployment_is_yet_to_make_hides_no_other(deployed: DoctorWorld) -> None:
    deployed.resources["NothingPostedAlarm"] = ""
    assert deployed.line("alarms")["text"] == "2 alarms, none raised"


def test_an_alarm_that_leads_elsewhere_is_broken(deployed: DoctorWorld) -> None:
    deployed.client("cloudwatch").delete_alarms(AlarmNames=[deployed.resource("BackupsLateAlarm")])
    deployed.create_alarm(deployed.resource("BackupsLateAlarm"), "arn:aws:sns:us-east-1:123456789012:other")
    line = deployed.line("alarms")
    assert (line["state"], "do not lead to the alarms' topic: stocktwits-relay-backups-late" in line["text"]) == (
        "broken",
        True,
    )


def test_a_stack_of_an_older_version_lacks_what_this_command_looks_for(deployed: DoctorWorld) -> None:
    del deployed.resources["FetchBackupsFunctionNightly"]
    line = deployed.line("schedule-nightly")
    assert (line["state"], "the stack has no FetchBackupsFunctionNightly" in line["text"]) == ("broken", True)


# Queues and alarms


def test_topics_that_publisherarns_names_may_publish(deployed: DoctorWorld) -> None:
    deployed.cli.parameters["PublisherArns"] = ""
    line = deployed.line("queue-outbox")
    assert (line["state"], "its policy lets others use it" in line["text"]) == ("broken", True)


@pytest.mark.parametrize("effect", ["Allow", "Deny"])
def test_a_statement_without_an_action_hides_nothing_else(deployed: DoctorWorld, effect: str) -> None:
    odd: dict[str, Any] = {
        "Effect": effect,
        "Principal": {"Service": "sns.amazonaws.com"},
        "NotAction": "sqs:AddPermission",
    }
    if effect == "Deny":
        odd["Principal"] = "*"
    arn = deployed.outputs["DeadLetterQueueArn"]
    attributes = {"Policy": policy(odd | {"Resource": arn, "Condition": {"Bool": {"a": "b"}}}, tls_only(arn))}
    deployed.cli.plan("GetQueueAttributes", lambda _: {"Attributes": attributes})
    line = deployed.line("queue-dead-letters")
    assert (line["state"], "defect" in line["what_to_do"]) == ("broken" if effect == "Allow" else "ok", False), line


@pytest.mark.parametrize(
    ("subscriptions", "mail", "state", "words"),
    [
        ([(MAIL, "PendingConfirmation")], MAIL, "warning", "has not confirmed the subscription"),
        ([("ops@example.com", "arn:1"), (MAIL, "PendingConfirmation")], MAIL, "warning", "has not confirmed"),
        ([("ops@example.com", "PendingConfirmation")], "", "warning", "1 subscription unconfirmed"),
        ([], "", "warning", "nobody receives the alarms"),
        ([("ops@example.com", "arn:1")], "", "ok", "they go to ops@example.com"),
        ([(MAIL, "Deleted")], MAIL, "warning", "the subscription was ended"),
    ],
)
def test_somebody_has_confirmed_to_receive_the_alarms(
    deployed: DoctorWorld, subscriptions: list[tuple[str, str]], mail: str, state: str, words: str
) -> None:
    deployed.cli.parameters["AlarmEmail"] = mail
    found = [{"Endpoint": endpoint, "SubscriptionArn": arn} for endpoint, arn in subscriptions]
    deployed.cli.plan("ListSubscriptionsByTopic", lambda _: {"Subscriptions": found})
    line = deployed.line("alarm-topic")
    assert (line["state"], words in line["text"], line["what_to_do"] != "") == (state, True, state != "ok"), line


# The gate and the pace


def test_a_gate_that_opens_by_itself_is_ok(deployed: DoctorWorld) -> None:
    deployed.cli.parameters["PostBurst"] = "1"
    deployed.cli.world.gate(12, 1, 48).admit(1)
    line = deployed.line("gate")
    assert (line["state"], line["text"].startswith("closed until 2026-11-21 15:05")) == ("ok", True), line


def test_a_gate_outside_the_posting_hours_is_ok(deployed: DoctorWorld) -> None:
    deployed.cli.parameters["PostingHours"] = "MON-FRI 09:30-16:00 America/New_York"
    line = deployed.line("gate")
    assert (line["state"], line["text"].startswith("closed until 2026-11-23 14:30")) == ("ok", True), line


@pytest.mark.parametrize(
    ("parameters", "possible"),
    [({}, 55), ({"MaxPostsPerDay": "20"}, 14), ({"MaxPostsPerHour": "1"}, 4)],
)
def test_the_pace_counts_the_posting_hours_alone(
    deployed: DoctorWorld, parameters: dict[str, str], possible: int
) -> None:
    deployed.cli.parameters |= {
        "PostingHours": "MON-FRI 09:30-16:00 America/New_York",
        "MaxPostsPerHour": "12",
        "MaxPostsPerDay": "0",
        **parameters,
    }
    assert deployed.line("pace")["text"].endswith(
        f"{possible} a day may be posted on average, within the 32.5 hours a week of PostingHours"
    )


def test_a_gate_that_tries_a_single_post_is_a_warning(deployed: DoctorWorld) -> None:
    world = deployed.cli.world
    world.gate(12, 3, 48).close(Pause("token_refused", "store a valid one", world.clock() + 300, probe=True))
    assert deployed.line("gate")["state"] == "warning"
    world.clock.forward(300)
    line = deployed.line("gate")
    assert (line["state"], line["text"]) == ("warning", "open for one post, which is a trial, after: store a valid one")


def test_more_waiting_than_a_day_can_post_is_a_warning(deployed: DoctorWorld) -> None:
    deployed.cli.parameters["MaxPostsPerDay"] = "2"
    for text in ("one $A", "two $B", "three $C"):
        deployed.cli.world.send(deployed.outputs["LeftoversQueueUrl"], text)
    line = deployed.line("pace")
    assert line["state"] == "warning"
    assert line["text"] == "3 messages wait, which takes 36 h: 2 a day may be posted"


@pytest.mark.parametrize(
    ("words", "options", "variables"),
    [
        ([], "", ""),
        (["--region", "us-east-1"], "--region us-east-1 ", "AWS_REGION=us-east-1 "),
        (
            ["--profile", "my own"],  # whose region `make deploy` would not use, if samconfig.toml had another one
            "--region us-east-1 --profile 'my own' ",
            "AWS_REGION=us-east-1 AWS_PROFILE='my own' ",
        ),
    ],
)
def test_advised_commands_repeat_the_region_and_the_profile_and_those_of_aws_always_have_a_region(
    deployed: DoctorWorld, words: list[str], options: str, variables: str
) -> None:
    deployed.cli.parameters["DryRun"] = "true"
    deployed.cli.add_dead_letter()
    deployed.functions.reserved["post-messages"] = 0
    advice = {each["check"]: each["what_to_do"] for each in deployed.cli(*words, "doctor", "--json").json}
    assert advice["posting"].endswith(f': {variables}make deploy PARAMETERS="DryRun=false"')
    assert advice["dead-letters"] == f"read why: relay {options}dead list"
    profile = " --profile 'my own'" if "--profile" in words else ""
    assert advice["function-post-messages"].endswith(f"-name post-messages --region us-east-1{profile}")


# Notices


def test_of_notices_that_work_every_line_is_ok(deployed: DoctorWorld) -> None:
    deployed.with_notices().client("ssm").put_parameter(
        Name=NOTIFY_PARAMETER, Type="SecureString", Value="https://hooks.slack.com/services/secret"
    )
    report = deployed.doctor()
    assert {report.state(f"{each}send-notices") for each in ("function-", "errors-")} == {"ok"}
    assert report.line("notices")["text"].endswith(f"the incoming webhook in {NOTIFY_PARAMETER}")
    assert "secret" not in str(report.findings)


def test_notices_without_an_address_are_broken(deployed: DoctorWorld) -> None:
    line = deployed.with_notices().line("notices")
    assert (line["state"], line["text"]) == ("broken", f"there is no parameter {NOTIFY_PARAMETER}")


def test_without_notices_nothing_is_said_of_them(deployed: DoctorWorld) -> None:
    assert not [each for each in deployed.doctor().findings if "notices" in each["check"]]
