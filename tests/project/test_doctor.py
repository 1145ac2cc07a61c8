"""What `relay doctor` takes for granted of the template: names, limits, and where messages move."""

from functools import cache
from typing import Any

import pytest
from relay_cli.doctor import queues
from relay_cli.doctor.functions import DRAIN, FETCH, POST, Function

from local.transformed import transformed
from tests.template import RESOURCES, ROOT


@cache
def deployed() -> dict[str, Any]:
    """The resources that SAM makes of the template."""
    found: dict[str, Any] = transformed((ROOT / "template.yaml").read_text())["Resources"]
    return found


@pytest.mark.parametrize(
    ("logical_id", "kind"),
    [
        ("PostMessagesFunctionOutbox", "AWS::Lambda::EventSourceMapping"),
        ("FetchBackupsFunctionRequests", "AWS::Lambda::EventSourceMapping"),
        ("DrainLeftoversFunctionEveryMinute", "AWS::Scheduler::Schedule"),
        ("FetchBackupsFunctionNightly", "AWS::Scheduler::Schedule"),
        ("PostMessagesLogs", "AWS::Logs::LogGroup"),
        ("DrainLeftoversLogs", "AWS::Logs::LogGroup"),
        ("FetchBackupsLogs", "AWS::Logs::LogGroup"),
        ("ReceiveAlertsLogs", "AWS::Logs::LogGroup"),
        ("SendNoticesLogs", "AWS::Logs::LogGroup"),
    ],
)
def test_what_the_doctor_looks_up_is_what_sam_makes(logical_id: str, kind: str) -> None:
    assert deployed()[logical_id]["Type"] == kind


def test_every_alarm_is_found_by_its_name() -> None:
    alarms = {name for name, each in RESOURCES.items() if each["Type"] == "AWS::CloudWatch::Alarm"}
    assert alarms == {name for name in deployed() if name.endswith("Alarm")}


@pytest.mark.parametrize(
    ("function", "source", "others"), [(POST, "Outbox", 0), (DRAIN, None, 1), (FETCH, "Requests", 1)]
)
def test_so_many_of_a_function_run_at_a_time(function: Function, source: str | None, others: int) -> None:
    events = RESOURCES[f"{function.name}Function"]["Properties"]["Events"]
    queue = events[source]["Properties"]["ScalingConfig"]["MaximumConcurrency"] if source else 0
    assert len(events) == (1 if source is None else 1 + others)
    assert function.concurrency == queue + others


def test_messages_move_where_the_template_lets_them() -> None:
    redrives = {
        name.removesuffix("Queue"): (
            policy["deadLetterTargetArn"]["Fn::GetAtt"][0].removesuffix("Queue"),
            policy["maxReceiveCount"],
        )
        for name, each in RESOURCES.items()
        if (policy := each.get("Properties", {}).get("RedrivePolicy"))
    }
    assert redrives == queues.REDRIVES
