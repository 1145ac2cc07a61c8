"""The functions of the template: timeouts, events, settings and logs fit each other and the code."""

import json
import re
from dataclasses import fields
from datetime import date
from typing import Any

import pytest
from relay.backups import runs
from relay.backups.events import Nightly, read_event
from relay.backups.settings import BackupSettings
from relay.environment import stack_name
from relay.notices.settings import NoticeSettings
from relay.posting import gate, ledger
from relay.posting.settings import PostingSettings
from relay.posting.webhook.settings import WebhookSettings

from tests.template import (
    ALL_FUNCTIONS,
    FUNCTIONS,
    NOTICES,
    POSTING,
    RESOURCES,
    ROOT,
    TEMPLATE,
    WEBHOOK,
    as_list,
    of_type,
    properties,
)
from verification.benchmarks import memory


def test_a_drain_takes_less_than_the_minute_between_two_runs() -> None:
    assert properties("DrainLeftoversFunction")["Timeout"] < 60


@pytest.mark.parametrize("function", ALL_FUNCTIONS)
def test_a_function_is_there_only_while_all_policies_of_its_role_are(function: str) -> None:
    role = {"Ref": function.replace("Function", "Role")}
    policies = [name for name, each in of_type("AWS::IAM::Policy").items() if role in each["Roles"]]
    assert as_list(RESOURCES[function].get("DependsOn", [])) == policies
    assert {RESOURCES[name].get("Condition") for name in policies} <= {RESOURCES[function]["Condition"]}


def test_two_stacks_in_one_account_have_schedules_of_their_own() -> None:
    names = [
        event["Properties"]["Name"]["Fn::Sub"]
        for function in of_type("AWS::Serverless::Function").values()
        for event in function.get("Events", {}).values()
        if event["Type"] == "ScheduleV2"
    ]
    assert names == ["${AWS::StackName}-drain-leftovers", "${AWS::StackName}-nightly"]


def test_a_failed_drain_is_not_retried_while_the_next_one_runs() -> None:
    drain = properties("DrainLeftoversFunction")
    schedule = drain["Events"]["EveryMinute"]["Properties"]
    assert schedule["ScheduleExpression"] == "rate(1 minute)"
    for retries in (drain["EventInvokeConfig"], schedule["RetryPolicy"]):
        assert retries == {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}


@pytest.mark.parametrize(
    ("function", "event", "batch", "concurrency"),
    [("PostMessagesFunction", "Outbox", 10, 2), ("FetchBackupsFunction", "Requests", 1, 5)],
)
def test_an_event_source_reports_batch_item_failures_and_limits_concurrency(
    function: str, event: str, batch: int, concurrency: int
) -> None:
    source = properties(function)["Events"][event]["Properties"]
    assert source == {
        "Queue": {"Fn::GetAtt": [FUNCTIONS[function], "Arn"]},
        "BatchSize": batch,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": {"MaximumConcurrency": concurrency},
    }
    assert "ReservedConcurrentExecutions" not in properties(function)


def test_a_backup_has_the_longest_timeout_and_is_started_only_with_enough_of_it_left() -> None:
    assert properties("FetchBackupsFunction")["Timeout"] == 900
    assert runs.ENQUEUE_SECONDS < runs.START_SECONDS < 900 / 2


def test_the_memory_of_the_function_that_fetches_is_what_the_bench_chose() -> None:
    assert properties("FetchBackupsFunction")["MemorySize"] == memory.CHOSEN_MB
    assert memory.CHOSEN_MB in memory.MEMORY_MB


def test_the_nightly_schedule_sends_the_nightly_event_at_the_configured_time() -> None:
    schedule = properties("FetchBackupsFunction")["Events"]["Nightly"]
    assert schedule["Type"] == "ScheduleV2"
    event = json.loads(schedule["Properties"]["Input"])
    assert read_event(event, date(2026, 11, 21)) == Nightly()
    assert event == json.loads((ROOT / "events" / "nightly_schedule.json").read_text())
    assert schedule["Properties"]["ScheduleExpression"] == {"Ref": "BackupSchedule"}
    assert schedule["Properties"]["ScheduleExpressionTimezone"] == {"Ref": "BackupTimeZone"}


def test_a_failed_nightly_run_is_retried_but_not_until_the_next_one() -> None:
    function = properties("FetchBackupsFunction")
    for retries in (function["EventInvokeConfig"], function["Events"]["Nightly"]["Properties"]["RetryPolicy"]):
        assert retries["MaximumRetryAttempts"] >= 2
        assert retries["MaximumEventAgeInSeconds"] <= 12 * 3600


@pytest.mark.parametrize("function", POSTING)
def test_leases_and_probes_outlive_every_function(function: str) -> None:
    assert min(ledger.LEASE_SECONDS, gate.PROBE_SECONDS) > properties(function)["Timeout"]


@pytest.mark.parametrize("function", ALL_FUNCTIONS)
def test_every_function_logs_to_a_group_with_a_retention(function: str) -> None:
    group = properties(function)["LoggingConfig"]["LogGroup"]["Ref"]
    assert properties(group)["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_the_layer_is_built_for_the_runtime_and_architecture_of_the_functions() -> None:
    layer = RESOURCES["RelayLayer"]
    assert layer["Metadata"] == {"BuildMethod": {"Ref": "PythonRuntime"}, "BuildArchitecture": {"Ref": "Architecture"}}
    function = TEMPLATE["Globals"]["Function"]
    assert (function["Runtime"], function["Architectures"]) == ({"Ref": "PythonRuntime"}, [{"Ref": "Architecture"}])


def test_each_stack_has_a_layer_of_its_own() -> None:
    assert properties("RelayLayer")["LayerName"] == {"Fn::Sub": "${AWS::StackName}-relay"}


# Settings

SETTINGS: dict[str, Any] = {
    **dict.fromkeys(POSTING, PostingSettings),
    "FetchBackupsFunction": BackupSettings,
    WEBHOOK: WebhookSettings,
    NOTICES: NoticeSettings,
}
ENV_JSON = ROOT / "events" / "env.json"


@pytest.mark.parametrize("function", ALL_FUNCTIONS)
def test_the_template_sets_exactly_the_settings_that_the_code_reads(function: str) -> None:
    own = properties(function)["Environment"]["Variables"]
    assert set(own) == {each.name.upper() for each in fields(SETTINGS[function])}


def test_every_function_knows_the_stack_of_its_metrics() -> None:
    common = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    assert common == {"STACK_NAME": {"Ref": "AWS::StackName"}}
    assert stack_name({"STACK_NAME": "mine"}) == "mine"
    assert stack_name({}) == "unknown"


@pytest.mark.parametrize("function", ALL_FUNCTIONS)
def test_a_setting_is_the_resource_or_parameter_of_its_name(function: str) -> None:
    known = {re.sub("[^a-z0-9]", "", name.lower()): name for name in (*RESOURCES, *TEMPLATE["Parameters"])}
    for name, value in properties(function)["Environment"]["Variables"].items():
        if name != "SOURCE_QUEUE_URL":
            called = re.sub("_(URL|NAME)$", "", name).replace("_", "").lower()
            whole = name.replace("_", "").lower()
            assert value == {"Ref": known.get(whole) or known[called]}


@pytest.mark.parametrize(("function", "queue"), POSTING.items())
def test_each_function_takes_from_its_own_queue(function: str, queue: str) -> None:
    assert properties(function)["Environment"]["Variables"]["SOURCE_QUEUE_URL"] == {"Ref": queue}


@pytest.mark.parametrize("function", ALL_FUNCTIONS)
def test_env_json_has_every_setting_of_every_function(function: str) -> None:
    variables = json.loads(ENV_JSON.read_text())[function]
    SETTINGS[function].from_environment(variables)
    assert set(variables) == {each.name.upper() for each in fields(SETTINGS[function])}


@pytest.mark.parametrize("function", POSTING)
def test_env_json_posts_nothing(function: str) -> None:
    assert json.loads(ENV_JSON.read_text())[function]["DRY_RUN"] == "true"


def test_env_json_has_exactly_these_functions() -> None:
    assert json.loads(ENV_JSON.read_text()).keys() == set(ALL_FUNCTIONS)


def test_local_development_shows_how_to_invoke_with_each_sample_event() -> None:
    page = (ROOT / "docs" / "local-development.md").read_text()
    for event in set((ROOT / "events").glob("*.json")) - {ENV_JSON}:
        assert f"Function --event events/{event.name}\n" in page
