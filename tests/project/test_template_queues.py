"""The queues of the template: visibility, redrive and sizes fit the functions and each other."""

from datetime import date

import pytest
from relay import queues
from relay.backups import runs
from relay.backups.backup import FILE_TYPES, Backup
from relay.backups.events import IfStored, Request
from relay.posting import backoff, ledger

from tests.template import FUNCTIONS, POSTING, QUEUES, of_type, properties


def test_every_queue_of_the_template_is_tested_here() -> None:
    assert set(of_type("AWS::SQS::Queue")) == set(QUEUES)


@pytest.mark.parametrize(("function", "queue"), FUNCTIONS.items())
def test_a_message_stays_invisible_for_six_times_the_timeout_of_its_function(function: str, queue: str) -> None:
    assert properties(queue)["VisibilityTimeout"] >= 6 * properties(function)["Timeout"]


def test_a_lease_is_over_when_a_message_comes_back_after_a_crash() -> None:
    assert min(properties(queue)["VisibilityTimeout"] for queue in POSTING.values()) > ledger.LEASE_SECONDS


def test_leftovers_allows_more_receives_than_a_message_brings_from_the_outbox() -> None:
    outbox, leftovers = (properties(name)["RedrivePolicy"]["maxReceiveCount"] for name in QUEUES[:2])
    assert leftovers > outbox
    assert (outbox, leftovers) == (backoff.OUTBOX_RECEIVES, backoff.LEFTOVERS_RECEIVES)


def test_the_code_moves_a_request_to_backup_failures_with_a_reason_before_sqs_moves_it_without_one() -> None:
    assert properties("BackupRequestsQueue")["RedrivePolicy"] == {
        "deadLetterTargetArn": {"Fn::GetAtt": ["BackupFailuresQueue", "Arn"]},
        "maxReceiveCount": runs.REQUEST_RECEIVES,
    }


def test_a_request_fits_its_queue_again_with_the_reason_why_it_failed() -> None:
    asked = "2026-11-26T09:00:00.000000+00:00"
    backups = [Backup(date(2009, 12, 31), file_type) for file_type in FILE_TYPES]
    longest = max(len(Request(each, IfStored.REPLACE, asked).body) for each in backups)
    reason = queues.MAX_REASON_CHARACTERS * 4
    names_types_and_the_other_attributes = 200
    limit = properties("BackupRequestsQueue")["MaximumMessageSize"]
    assert longest + reason + names_types_and_the_other_attributes <= limit


@pytest.mark.parametrize("queue", of_type("AWS::SQS::Queue"))
def test_every_queue_is_encrypted_and_keeps_messages_for_fourteen_days(queue: str) -> None:
    assert properties(queue)["SqsManagedSseEnabled"] is True
    assert properties(queue)["MessageRetentionPeriod"] == 14 * 24 * 3600


@pytest.mark.parametrize(
    ("queue", "source"),
    [("LeftoversQueue", "outbox"), ("DeadLetterQueue", "leftovers"), ("BackupFailuresQueue", "backup-requests")],
)
def test_a_queue_takes_redriven_messages_only_from_the_one_before_it(queue: str, source: str) -> None:
    policy = properties(queue)["RedriveAllowPolicy"]
    assert policy["redrivePermission"] == "byQueue"
    (arn,) = policy["sourceQueueArns"]
    assert arn["Fn::Sub"].endswith(f":${{AWS::StackName}}-{source}")


@pytest.mark.parametrize("queue", ["OutboxQueue", "BackupRequestsQueue"])
def test_nothing_is_redriven_into_a_first_queue(queue: str) -> None:
    assert properties(queue)["RedriveAllowPolicy"] == {"redrivePermission": "denyAll"}


def test_a_message_and_its_reason_fit_into_dead_letters() -> None:
    sizes = [properties(name)["MaximumMessageSize"] for name in QUEUES[:3]]
    assert sizes[0] == sizes[1] <= sizes[2] - queues.MAX_REASON_CHARACTERS * 4


def test_a_request_and_its_reason_fit_into_backup_failures() -> None:
    default = 262_144  # of SQS
    request = properties("BackupRequestsQueue")["MaximumMessageSize"]
    size = properties("BackupFailuresQueue").get("MaximumMessageSize", default)
    assert request <= size - queues.MAX_REASON_CHARACTERS * 4
