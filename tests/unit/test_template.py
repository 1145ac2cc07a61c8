"""The template's invariants: most outages are two numbers that do not fit each other."""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from relay import gate, ledger, queues
from relay.settings import PostingSettings
from relay.stocktwits import AUTH_STYLES
from samcli.yamlhelper import yaml_parse

ROOT = Path(__file__).parents[2]
TEMPLATE: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text())
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
FUNCTIONS = {"PostMessagesFunction": "OutboxQueue", "DrainLeftoversFunction": "LeftoversQueue"}
QUEUES = ("OutboxQueue", "LeftoversQueue", "DeadLetterQueue")


def properties(name: str) -> dict[str, Any]:
    return RESOURCES[name]["Properties"]


def of_type(kind: str) -> dict[str, Any]:
    return {name: each["Properties"] for name, each in RESOURCES.items() if each["Type"] == kind}


def statements(policy: dict[str, Any]) -> list[dict[str, Any]]:
    return policy["PolicyDocument"]["Statement"]


def policies_of_roles() -> list[dict[str, Any]]:
    inline = [policy for role in of_type("AWS::IAM::Role").values() for policy in role["Policies"]]
    return inline + list(of_type("AWS::IAM::Policy").values()) + list(of_type("AWS::IAM::ManagedPolicy").values())


def as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize(("function", "queue"), FUNCTIONS.items())
def test_a_message_stays_invisible_for_six_times_the_timeout_of_its_function(function: str, queue: str) -> None:
    assert properties(queue)["VisibilityTimeout"] >= 6 * properties(function)["Timeout"]


def test_a_drain_ends_before_the_next_one_begins() -> None:
    assert properties("DrainLeftoversFunction")["Timeout"] < 60


def test_a_drain_that_failed_is_not_repeated_beside_the_next_one() -> None:
    drain = properties("DrainLeftoversFunction")
    schedule = drain["Events"]["EveryMinute"]["Properties"]
    assert schedule["ScheduleExpression"] == "rate(1 minute)"
    for retries in (drain["EventInvokeConfig"], schedule["RetryPolicy"]):
        assert retries == {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}


def test_sqs_is_told_that_batch_item_failures_are_reported() -> None:
    source = properties("PostMessagesFunction")["Events"]["Outbox"]["Properties"]
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["BatchSize"] == 10


def test_concurrency_is_bounded_at_the_event_source_by_a_literal() -> None:
    source = properties("PostMessagesFunction")["Events"]["Outbox"]["Properties"]
    assert source["ScalingConfig"] == {"MaximumConcurrency": 2}
    assert "ReservedConcurrentExecutions" not in properties("PostMessagesFunction")


def test_leftovers_takes_more_receives_than_a_message_brings_from_the_outbox() -> None:
    outbox, leftovers = (properties(name)["RedrivePolicy"]["maxReceiveCount"] for name in QUEUES[:2])
    assert leftovers > outbox
    assert (outbox, leftovers) == (queues.OUTBOX_RECEIVES, queues.LEFTOVERS_RECEIVES)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_leases_and_probes_outlive_every_function(function: str) -> None:
    assert min(ledger.LEASE_SECONDS, gate.PROBE_SECONDS) > properties(function)["Timeout"]


def test_a_lease_is_over_when_a_message_comes_back_after_a_crash() -> None:
    assert min(properties(queue)["VisibilityTimeout"] for queue in FUNCTIONS.values()) > ledger.LEASE_SECONDS


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_template_sets_just_the_settings_that_the_code_reads(function: str) -> None:
    common = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    own = properties(function)["Environment"]["Variables"]
    assert {*common, *own} == {each.name.upper() for each in fields(PostingSettings)}


@pytest.mark.parametrize(("function", "queue"), FUNCTIONS.items())
def test_each_function_takes_from_its_own_queue(function: str, queue: str) -> None:
    assert properties(function)["Environment"]["Variables"]["SOURCE_QUEUE_URL"] == {"Ref": queue}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_env_json_has_every_setting_and_is_a_dry_run(function: str) -> None:
    variables = json.loads((ROOT / "env.json").read_text())[function]
    assert PostingSettings.from_environment(variables).dry_run
    assert set(variables) == {each.name.upper() for each in fields(PostingSettings)}


@pytest.mark.parametrize("name", TEMPLATE["Parameters"])
def test_every_parameter_is_described_bounded_and_has_a_default_within_its_bounds(name: str) -> None:
    parameter = TEMPLATE["Parameters"][name]
    assert len(parameter["Description"]) > 20
    default = parameter["Default"]
    if "AllowedValues" in parameter:
        assert default in parameter["AllowedValues"]
    elif parameter["Type"] == "Number":
        assert parameter["MinValue"] <= default <= parameter["MaxValue"]
    else:
        assert re.fullmatch(parameter["AllowedPattern"], default)


def test_the_defaults_are_those_that_were_agreed() -> None:
    defaults = {name: each["Default"] for name, each in TEMPLATE["Parameters"].items()}
    assert defaults["PythonRuntime"] == "python3.13"
    assert defaults["Architecture"] == "arm64"
    assert defaults["PostConcurrency"] == 4
    assert defaults["DryRun"] == "false"


def test_the_auth_styles_of_template_and_code_are_the_same() -> None:
    assert tuple(TEMPLATE["Parameters"]["StockTwitsAuthStyle"]["AllowedValues"]) == AUTH_STYLES


@pytest.mark.parametrize("queue", QUEUES)
def test_every_queue_is_encrypted_and_keeps_messages_for_fourteen_days(queue: str) -> None:
    assert properties(queue)["SqsManagedSseEnabled"] is True
    assert properties(queue)["MessageRetentionPeriod"] == 14 * 24 * 3600


@pytest.mark.parametrize("queue", QUEUES)
def test_every_queue_refuses_what_does_not_come_over_tls(queue: str) -> None:
    (policy,) = [each for each in of_type("AWS::SQS::QueuePolicy").values() if each["Queues"] == [{"Ref": queue}]]
    (statement,) = statements(policy)
    assert statement["Effect"] == "Deny"
    assert statement["Principal"] == "*"
    assert statement["Action"] == "sqs:*"
    assert statement["Resource"] == {"Fn::GetAtt": [queue, "Arn"]}
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.parametrize(("queue", "source"), [("LeftoversQueue", "outbox"), ("DeadLetterQueue", "leftovers")])
def test_a_queue_takes_redriven_messages_only_from_the_one_to_its_left(queue: str, source: str) -> None:
    policy = properties(queue)["RedriveAllowPolicy"]
    assert policy["redrivePermission"] == "byQueue"
    (arn,) = policy["sourceQueueArns"]
    assert arn["Fn::Sub"].endswith(f":${{AWS::StackName}}-{source}")


def test_nothing_is_redriven_into_the_outbox() -> None:
    assert properties("OutboxQueue")["RedriveAllowPolicy"] == {"redrivePermission": "denyAll"}


def test_dead_letters_has_room_for_a_message_and_its_reason() -> None:
    sizes = [properties(name)["MaximumMessageSize"] for name in QUEUES]
    assert sizes[0] == sizes[1] <= sizes[2] - queues.MAX_REASON_CHARACTERS * 4


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_logs_to_a_group_with_a_retention(function: str) -> None:
    group = properties(function)["LoggingConfig"]["LogGroup"]["Ref"]
    assert properties(group)["RetentionInDays"] == {"Ref": "LogRetentionDays"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_has_a_role_of_its_own_and_no_policies_from_the_transform(function: str) -> None:
    assert properties(function)["Role"] == {"Fn::GetAtt": [function.replace("Function", "Role"), "Arn"]}
    assert "Policies" not in properties(function)
    assert all("ManagedPolicyArns" not in role for role in of_type("AWS::IAM::Role").values())


def test_no_policy_names_a_whole_service_or_any_resource() -> None:
    for policy in policies_of_roles():
        for statement in statements(policy):
            assert not [action for action in as_list(statement["Action"]) if "*" in action]
            assert "*" not in as_list(statement["Resource"])


def test_a_role_takes_messages_only_from_its_own_queue() -> None:
    for function, queue in FUNCTIONS.items():
        (policy,) = properties(function.replace("Function", "Role"))["Policies"]
        (statement,) = statements(policy)
        assert statement["Resource"] == {"Fn::GetAtt": [queue, "Arn"]}


def test_publishers_may_publish_and_nothing_more() -> None:
    (policy,) = of_type("AWS::IAM::ManagedPolicy").values()
    assert statements(policy) == [
        {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": {"Fn::GetAtt": ["OutboxQueue", "Arn"]}}
    ]


def test_the_ledger_survives_the_stack_and_forgets_by_ttl() -> None:
    table = RESOURCES["LedgerTable"]
    assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"
    assert table["Properties"]["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}


def test_the_outputs_that_other_tools_rely_on_are_there() -> None:
    expected = {f"{queue}{what}" for queue in QUEUES for what in ("Url", "Arn", "Name")}
    expected |= {f"{name}{what}" for name in (*FUNCTIONS, "LedgerTable") for what in ("Name", "Arn")}
    assert set(TEMPLATE["Outputs"]) == expected | {"PublishPolicyArn"}


def test_the_layer_is_built_for_the_runtime_and_architecture_of_the_functions() -> None:
    layer = RESOURCES["RelayLayer"]
    assert layer["Metadata"] == {"BuildMethod": {"Ref": "PythonRuntime"}, "BuildArchitecture": {"Ref": "Architecture"}}
    function = TEMPLATE["Globals"]["Function"]
    assert (function["Runtime"], function["Architectures"]) == ({"Ref": "PythonRuntime"}, [{"Ref": "Architecture"}])


def test_the_readme_shows_how_to_invoke_with_each_sample_event() -> None:
    readme = (ROOT / "README.md").read_text()
    for event in (ROOT / "events").glob("*.json"):
        assert f"--env-vars env.json --event events/{event.name}\n" in readme
