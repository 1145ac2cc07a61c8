"""The CloudWatch dashboard of the template: valid, complete, and without functions that are switched off."""

import json
from typing import Any

import pytest

from tests.template import FUNCTIONS, POSTING, QUEUES, properties


def dashboard(*, webhook: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    """The body with its names unresolved, and the values of the names that it defines itself."""
    body, variables = properties("Dashboard")["DashboardBody"]["Fn::Sub"]
    names = dict(variables)
    condition, widgets, otherwise = names.pop("WebhookWidgets")["Fn::If"]
    assert condition == "WebhookIsOn"
    return json.loads(body.replace("${WebhookWidgets}", widgets["Fn::Sub"] if webhook else otherwise)), names


def shown() -> list[list[str]]:
    """Every metric of the dashboard, with its abbreviations resolved: namespace, name, dimensions."""
    found = []
    for widget in dashboard()[0]["widgets"]:
        last: list[str] = []
        for each in widget["properties"]["metrics"]:
            parts = [part for part in each if isinstance(part, str)]
            if parts[:1] == ["..."]:
                parts = last[: len(last) - len(parts) + 1] + parts[1:]
            last = [old if part == "." else part for part, old in zip(parts, last or parts, strict=True)]
            found += [last] if last else []
    return found


@pytest.mark.parametrize(("webhook", "rows"), [(False, 18), (True, 24)])
def test_the_dashboard_is_json_and_its_widgets_fill_the_page_side_by_side(webhook: bool, rows: int) -> None:
    body, _ = dashboard(webhook=webhook)
    taken = [
        (x, y)
        for each in body["widgets"]
        for x in range(each["x"], each["x"] + each["width"])
        for y in range(each["y"], each["y"] + each["height"])
    ]
    assert len(taken) == len(set(taken)) == 24 * rows
    assert max(x for x, _ in taken) == 23


def test_the_dashboard_shows_the_gate_the_queues_the_posts_the_backups_and_the_functions() -> None:
    metrics = {(each[0], each[1]) for each in shown()}
    searched = json.dumps(dashboard()[0])
    assert metrics >= {
        ("StockTwitsRelay", name)
        for name in ("Posted", "AlreadyPosted", "Rejected", "Expired", "Deferred", "NeedsAPerson")
    }
    assert ("StockTwitsRelay", "SecondsFromQueuedToPosted") in metrics
    assert {("AWS/SQS", f"Approximate{what}") for what in ("NumberOfMessagesVisible", "AgeOfOldestMessage")} <= metrics
    assert {("AWS/Lambda", name) for name in ("Errors", "Invocations")} <= metrics
    assert {("StockTwitsRelay", name) for name in ("WrongSecrets", "AlertsNotTaken")} <= metrics
    for name in (
        "GateShut",
        "NewestBackupAgeDays",
        "BackupsStored",
        "BackupsFailed",
        "AlertsReceived",
        "AlertsRefused",
    ):
        assert name in searched
    assert {each[-1] for each in shown() if each[0] == "AWS/SQS"} == {f"${{{queue}.QueueName}}" for queue in QUEUES}


def test_the_dashboard_names_no_function_that_is_switched_off() -> None:
    _, names = dashboard()
    assert names == {
        function.removesuffix("Function"): {
            "Fn::If": ["PostingIsOn" if function in POSTING else "BackupsAreOn", {"Ref": function}, "none"]
        }
        for function in FUNCTIONS
    }
