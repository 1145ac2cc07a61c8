"""The template's invariants: most outages are two numbers that do not fit each other."""

import json
import re
import tomllib
from dataclasses import fields
from datetime import date
from itertools import permutations
from pathlib import Path
from typing import Any

import click
import pytest
from relay import __version__, backups, gate, ledger, queues
from relay.credentials import AUTH_STYLES
from relay.orders import FILE_TYPES, Backup, Nightly, read_event
from relay.result_events import SOURCE
from relay.settings import BackupSettings, PostingSettings, stack_name
from samcli.commands.build.command import cli as build_cli
from samcli.commands.deploy.command import cli as deploy_cli
from samcli.commands.local.invoke.cli import cli as invoke_cli
from samcli.commands.validate.validate import cli as validate_cli

from tests.template import RESOURCES, TEMPLATE

ROOT = Path(__file__).parents[2]
ENV_JSON = ROOT / "events" / "env.json"
POSTING = {"PostMessagesFunction": "OutboxQueue", "DrainLeftoversFunction": "LeftoversQueue"}
FUNCTIONS = POSTING | {"FetchBackupsFunction": "BackupRequestsQueue"}
SETTINGS: dict[str, Any] = dict.fromkeys(POSTING, PostingSettings) | {"FetchBackupsFunction": BackupSettings}
QUEUES = ("OutboxQueue", "LeftoversQueue", "DeadLetterQueue", "BackupRequestsQueue", "BackupFailuresQueue")


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


def tls_only(action: str, resource: object) -> dict[str, Any]:
    """The statement by which plain HTTP is refused to everyone."""
    return {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": action,
        "Resource": resource,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


@pytest.mark.parametrize(("function", "queue"), FUNCTIONS.items())
def test_a_message_stays_invisible_for_six_times_the_timeout_of_its_function(function: str, queue: str) -> None:
    assert properties(queue)["VisibilityTimeout"] >= 6 * properties(function)["Timeout"]


def test_a_drain_ends_before_the_next_one_begins() -> None:
    assert properties("DrainLeftoversFunction")["Timeout"] < 60


def test_two_stacks_in_one_account_have_schedules_of_their_own() -> None:
    names = [
        event["Properties"]["Name"]["Fn::Sub"]
        for function in of_type("AWS::Serverless::Function").values()
        for event in function.get("Events", {}).values()
        if event["Type"] == "ScheduleV2"
    ]
    assert names == ["${AWS::StackName}-drain-leftovers", "${AWS::StackName}-nightly"]


def test_a_drain_that_failed_is_not_repeated_beside_the_next_one() -> None:
    drain = properties("DrainLeftoversFunction")
    schedule = drain["Events"]["EveryMinute"]["Properties"]
    assert schedule["ScheduleExpression"] == "rate(1 minute)"
    for retries in (drain["EventInvokeConfig"], schedule["RetryPolicy"]):
        assert retries == {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}


@pytest.mark.parametrize(
    ("function", "event", "batch", "concurrency"),
    [("PostMessagesFunction", "Outbox", 10, 2), ("FetchBackupsFunction", "Requests", 1, 5)],
)
def test_sqs_is_told_that_batch_item_failures_are_reported_and_how_many_work_at_a_time(
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


def test_leftovers_takes_more_receives_than_a_message_brings_from_the_outbox() -> None:
    outbox, leftovers = (properties(name)["RedrivePolicy"]["maxReceiveCount"] for name in QUEUES[:2])
    assert leftovers > outbox
    assert (outbox, leftovers) == (queues.OUTBOX_RECEIVES, queues.LEFTOVERS_RECEIVES)


def test_a_request_is_buried_by_its_last_receive_with_a_reason_and_not_moved_by_sqs_without() -> None:
    assert properties("BackupRequestsQueue")["RedrivePolicy"] == {
        "deadLetterTargetArn": {"Fn::GetAtt": ["BackupFailuresQueue", "Arn"]},
        "maxReceiveCount": backups.REQUEST_RECEIVES,
    }


def test_a_request_fits_its_queue() -> None:
    longest = max(len(Backup(date(2009, 12, 31), file_type).request) for file_type in FILE_TYPES)
    assert longest < properties("BackupRequestsQueue")["MaximumMessageSize"]


def test_a_backup_has_all_the_time_that_lambda_gives_and_is_begun_with_some_of_it_left() -> None:
    assert properties("FetchBackupsFunction")["Timeout"] == 900
    assert backups.ENQUEUE_SECONDS < backups.START_SECONDS < 900 / 2


def test_the_nightly_schedule_sends_the_nightly_event_when_the_owner_chose() -> None:
    schedule = properties("FetchBackupsFunction")["Events"]["Nightly"]
    assert schedule["Type"] == "ScheduleV2"
    event = json.loads(schedule["Properties"]["Input"])
    assert read_event(event, date(2026, 11, 21)) == Nightly()
    assert event == json.loads((ROOT / "events" / "nightly_schedule.json").read_text())
    assert schedule["Properties"]["ScheduleExpression"] == {"Ref": "BackupSchedule"}
    assert schedule["Properties"]["ScheduleExpressionTimezone"] == {"Ref": "BackupTimeZone"}


def test_a_night_that_failed_is_repeated_but_not_into_the_next_one() -> None:
    function = properties("FetchBackupsFunction")
    for retries in (function["EventInvokeConfig"], function["Events"]["Nightly"]["Properties"]["RetryPolicy"]):
        assert retries["MaximumRetryAttempts"] >= 2
        assert retries["MaximumEventAgeInSeconds"] <= 12 * 3600


@pytest.mark.parametrize("function", POSTING)
def test_leases_and_probes_outlive_every_function(function: str) -> None:
    assert min(ledger.LEASE_SECONDS, gate.PROBE_SECONDS) > properties(function)["Timeout"]


def test_a_lease_is_over_when_a_message_comes_back_after_a_crash() -> None:
    assert min(properties(queue)["VisibilityTimeout"] for queue in POSTING.values()) > ledger.LEASE_SECONDS


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_template_sets_just_the_settings_that_the_code_reads(function: str) -> None:
    own = properties(function)["Environment"]["Variables"]
    assert set(own) == {each.name.upper() for each in fields(SETTINGS[function])}


def test_every_function_knows_the_stack_that_its_metrics_are_of() -> None:
    common = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    assert common == {"STACK_NAME": {"Ref": "AWS::StackName"}}
    assert stack_name({"STACK_NAME": "mine"}) == "mine"
    assert stack_name({}) == "unknown"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_setting_is_the_resource_or_the_parameter_of_its_name(function: str) -> None:
    known = {re.sub("[^a-z0-9]", "", name.lower()): name for name in (*RESOURCES, *TEMPLATE["Parameters"])}
    for name, value in properties(function)["Environment"]["Variables"].items():
        if name != "SOURCE_QUEUE_URL":
            called = re.sub("_(URL|NAME)$", "", name).replace("_", "").lower()
            whole = name.replace("_", "").lower()
            assert value == {"Ref": known.get(whole) or known[called]}


@pytest.mark.parametrize(("function", "queue"), POSTING.items())
def test_each_function_takes_from_its_own_queue(function: str, queue: str) -> None:
    assert properties(function)["Environment"]["Variables"]["SOURCE_QUEUE_URL"] == {"Ref": queue}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_env_json_has_every_setting_of_every_function(function: str) -> None:
    variables = json.loads(ENV_JSON.read_text())[function]
    SETTINGS[function].from_environment(variables)
    assert set(variables) == {each.name.upper() for each in fields(SETTINGS[function])}


@pytest.mark.parametrize("function", POSTING)
def test_env_json_posts_nothing(function: str) -> None:
    assert json.loads(ENV_JSON.read_text())[function]["DRY_RUN"] == "true"


def test_env_json_is_of_these_functions() -> None:
    assert json.loads(ENV_JSON.read_text()).keys() == FUNCTIONS.keys()


def test_every_queue_of_the_template_is_held_to_the_rules_here() -> None:
    assert set(of_type("AWS::SQS::Queue")) == set(QUEUES)


def test_the_parameters_are_these_and_each_is_shown_in_one_group() -> None:
    groups = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    shown = [name for group in groups for name in group["Parameters"]]
    assert sorted(shown) == sorted(TEMPLATE["Parameters"])
    assert {name for name in shown if re.match("Firestream|Backup|Athena", name)} == {
        "FirestreamUrl",
        "FirestreamCredentialsParameter",
        "BackupsEnabled",
        "BackupFileTypes",
        "BackupSchedule",
        "BackupTimeZone",
        "BackupLagDays",
        "BackupLookbackDays",
        "BackupColderAfterDays",
        "BackupStorageClass",
        "AthenaScanLimitGB",
    }


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
    assert (defaults["BackupLagDays"], defaults["BackupLookbackDays"]) == (2, 7)
    assert defaults["BackupColderAfterDays"] == 90
    assert set(defaults["BackupFileTypes"].split(",")) == set(FILE_TYPES)


def test_the_auth_styles_of_template_and_code_are_the_same() -> None:
    assert tuple(TEMPLATE["Parameters"]["StockTwitsAuthStyle"]["AllowedValues"]) == AUTH_STYLES


def test_the_file_types_that_the_template_takes_are_those_of_the_code() -> None:
    pattern = TEMPLATE["Parameters"]["BackupFileTypes"]["AllowedPattern"]
    for number in range(1, len(FILE_TYPES) + 1):
        for types in permutations(FILE_TYPES, number):
            assert re.fullmatch(pattern, ",".join(types))
    for wrong in ("", "symbol", "message,", "message, activity", "message,symbol"):
        assert not re.fullmatch(pattern, wrong)


@pytest.mark.parametrize("queue", of_type("AWS::SQS::Queue"))
def test_every_queue_is_encrypted_and_keeps_messages_for_fourteen_days(queue: str) -> None:
    assert properties(queue)["SqsManagedSseEnabled"] is True
    assert properties(queue)["MessageRetentionPeriod"] == 14 * 24 * 3600


@pytest.mark.parametrize("queue", of_type("AWS::SQS::Queue"))
def test_every_queue_refuses_what_does_not_come_over_tls(queue: str) -> None:
    (policy,) = [each for each in of_type("AWS::SQS::QueuePolicy").values() if {"Ref": queue} in each["Queues"]]
    assert tls_only("sqs:*", {"Fn::GetAtt": [queue, "Arn"]}) in statements(policy)


@pytest.mark.parametrize("bucket", of_type("AWS::S3::Bucket"))
def test_every_bucket_refuses_what_does_not_come_over_tls(bucket: str) -> None:
    (policy,) = [each for each in of_type("AWS::S3::BucketPolicy").values() if each["Bucket"] == {"Ref": bucket}]
    itself_and_its_objects = [{"Fn::GetAtt": [bucket, "Arn"]}, {"Fn::Sub": f"${{{bucket}.Arn}}/*"}]
    assert tls_only("s3:*", itself_and_its_objects) in statements(policy)


def test_no_policy_of_a_queue_or_a_bucket_allows_anything_but_what_the_owner_names() -> None:
    for kind in ("AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy"):
        for policy in of_type(kind).values():
            assert {each["Effect"] for each in statements(policy) if each not in under_a_condition(policy)} == {"Deny"}
    assert [name for name in RESOURCES if under_a_condition(properties(name))] == ["OutboxTlsOnly"]


def under_a_condition(policy: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in policy.get("PolicyDocument", {}).get("Statement", []) if "Fn::If" in each]


def test_the_topics_and_rules_that_the_owner_names_and_no_others_may_publish_to_the_outbox() -> None:
    (conditional,) = under_a_condition(properties("OutboxTlsOnly"))
    condition, allowed, otherwise = conditional["Fn::If"]
    assert TEMPLATE["Conditions"][condition] == {
        "Fn::Not": [{"Fn::Equals": [{"Fn::Join": ["", {"Ref": "PublisherArns"}]}, ""]}]
    }
    assert otherwise == {"Ref": "AWS::NoValue"}
    assert allowed == {
        "Sid": "Publishers",
        "Effect": "Allow",
        "Principal": {"Service": ["sns.amazonaws.com", "events.amazonaws.com"]},
        "Action": "sqs:SendMessage",
        "Resource": {"Fn::GetAtt": ["OutboxQueue", "Arn"]},
        "Condition": {"ArnLike": {"aws:SourceArn": {"Ref": "PublisherArns"}}},
    }


@pytest.mark.parametrize(
    ("arn", "fits"),
    [
        ("arn:aws:sns:us-east-1:123456789012:alerts", True),
        ("arn:aws:events:us-east-1:123456789012:rule/alerts", True),
        ("arn:aws:events:*:123456789012:rule/*", True),
        ("arn:aws-us-gov:sns:*:123456789012:*", True),
        ("arn:aws:sns:us-east-1:123456789012:alerts.fifo", True),
        ("arn:aws:events:us-east-1:123456789012:rule/my-bus/alerts", True),
        ("arn:aws:events:us-east-1:123456789012:event-bus/alerts", False),
        ("arn:aws:events:us-east-1:123456789012:*", False),
        ("arn:aws:s3:::alerts", False),
        ("*", False),
    ],
)
def test_only_topics_and_rules_can_be_named_as_publishers(arn: str, fits: bool) -> None:
    assert bool(re.fullmatch(TEMPLATE["Parameters"]["PublisherArns"]["AllowedPattern"], arn)) is fits


@pytest.mark.parametrize(
    "account", ["*", "", "12345678901*", "1234567890123", "12345678901", "????????????", "\u0661" * 12]
)
def test_a_topic_of_any_account_cannot_become_a_publisher(account: str) -> None:
    pattern = TEMPLATE["Parameters"]["PublisherArns"]["AllowedPattern"]
    assert not re.fullmatch(pattern, f"arn:aws:sns:us-east-1:{account}:alerts")
    assert not re.fullmatch(pattern, f"arn:aws:events:us-east-1:{account}:rule/alerts")
    # Nor by a wildcard that stands for the account and its neighbours.
    assert not re.fullmatch(pattern, f"arn:aws:sns:*:{account}:*")
    assert not re.fullmatch(pattern, "arn:aws:sns:*:alerts")


@pytest.mark.parametrize(
    ("queue", "source"),
    [("LeftoversQueue", "outbox"), ("DeadLetterQueue", "leftovers"), ("BackupFailuresQueue", "backup-requests")],
)
def test_a_queue_takes_redriven_messages_only_from_the_one_to_its_left(queue: str, source: str) -> None:
    policy = properties(queue)["RedriveAllowPolicy"]
    assert policy["redrivePermission"] == "byQueue"
    (arn,) = policy["sourceQueueArns"]
    assert arn["Fn::Sub"].endswith(f":${{AWS::StackName}}-{source}")


@pytest.mark.parametrize("queue", ["OutboxQueue", "BackupRequestsQueue"])
def test_nothing_is_redriven_into_a_queue_that_begins(queue: str) -> None:
    assert properties(queue)["RedriveAllowPolicy"] == {"redrivePermission": "denyAll"}


def test_dead_letters_has_room_for_a_message_and_its_reason() -> None:
    sizes = [properties(name)["MaximumMessageSize"] for name in QUEUES[:3]]
    assert sizes[0] == sizes[1] <= sizes[2] - queues.MAX_REASON_CHARACTERS * 4


def test_backup_failures_has_room_for_a_request_and_its_reason() -> None:
    of_sqs = 262_144  # what a queue takes when nothing else is said
    request = properties("BackupRequestsQueue")["MaximumMessageSize"]
    room = properties("BackupFailuresQueue").get("MaximumMessageSize", of_sqs)
    assert request <= room - queues.MAX_REASON_CHARACTERS * 4


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
        policies = properties(function.replace("Function", "Role"))["Policies"]
        taking = [each for policy in policies for each in statements(policy) if "sqs:ReceiveMessage" in each["Action"]]
        assert [each["Resource"] for each in taking] == [{"Fn::GetAtt": [queue, "Arn"]}]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_writes_only_the_log_of_its_own_function(function: str) -> None:
    policies = properties(function.replace("Function", "Role"))["Policies"]
    logging = [each for policy in policies for each in statements(policy) if "logs:PutLogEvents" in each["Action"]]
    assert logging == [
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": {"Fn::GetAtt": [properties(function)["LoggingConfig"]["LogGroup"]["Ref"], "Arn"]},
        }
    ]


def test_who_posts_takes_messages_and_of_its_own_may_only_count_what_is_in_the_outbox() -> None:
    for function in POSTING:
        taking, _logging = properties(function.replace("Function", "Role"))["Policies"]
        _taking, *others = statements(taking)
        count = {
            "Effect": "Allow",
            "Action": "sqs:GetQueueAttributes",
            "Resource": {"Fn::GetAtt": ["OutboxQueue", "Arn"]},
        }
        assert others == ([count] if function == "DrainLeftoversFunction" else [])


def test_who_fetches_keeps_the_archive_and_can_neither_read_nor_delete_what_is_in_it() -> None:
    policies = properties("FetchBackupsRole")["Policies"]
    allowed = {
        json.dumps(each["Resource"]): each["Action"]
        for policy in policies
        for each in statements(policy)
        if each["Effect"] == "Allow"
    }
    name = "${AWS::Region}:${AWS::AccountId}:parameter${FirestreamCredentialsParameter}"
    assert {resource: sorted(as_list(actions)) for resource, actions in allowed.items()} == {
        '{"Fn::GetAtt": ["BackupRequestsQueue", "Arn"]}': [
            "sqs:ChangeMessageVisibility",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "sqs:ReceiveMessage",
            "sqs:SendMessage",
        ],
        '{"Fn::GetAtt": ["BackupFailuresQueue", "Arn"]}': ["sqs:SendMessage"],
        '{"Fn::GetAtt": ["BackupBucket", "Arn"]}': ["s3:ListBucket"],
        json.dumps([{"Fn::Sub": f"${{BackupBucket.Arn}}/{file_type}/*"} for file_type in FILE_TYPES]): [
            "s3:AbortMultipartUpload",
            "s3:PutObject",
            "s3:PutObjectTagging",
        ],
        '{"Fn::Sub": "${BackupBucket.Arn}/absent/*"}': ["s3:PutObject"],
        json.dumps({"Fn::Sub": f"arn:${{AWS::Partition}}:ssm:{name}"}): ["ssm:GetParameter"],
        '{"Fn::GetAtt": ["FetchBackupsLogs", "Arn"]}': ["logs:CreateLogStream", "logs:PutLogEvents"],
    }


def test_publishers_may_publish_and_nothing_more() -> None:
    (policy,) = of_type("AWS::IAM::ManagedPolicy").values()
    assert statements(policy) == [
        {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": {"Fn::GetAtt": ["OutboxQueue", "Arn"]}}
    ]


def test_the_ledger_survives_the_stack_and_forgets_by_ttl() -> None:
    table = RESOURCES["LedgerTable"]
    assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"
    assert table["Properties"]["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}


def test_the_archive_survives_the_stack_and_keeps_every_version() -> None:
    bucket = RESOURCES["BackupBucket"]
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
    assert bucket["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}


def test_the_archive_is_encrypted_and_public_in_no_way() -> None:
    bucket = properties("BackupBucket")
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert bucket["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "BlockPublicPolicy": True,
        "IgnorePublicAcls": True,
        "RestrictPublicBuckets": True,
    }
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


def lifecycle() -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = properties("BackupBucket")["LifecycleConfiguration"]["Rules"]
    assert {rule["Status"] for rule in rules} == {"Enabled"}
    return rules


def test_what_a_killed_worker_left_of_an_upload_goes_within_a_day_wherever_it_is() -> None:
    (rule,) = [rule for rule in lifecycle() if "AbortIncompleteMultipartUpload" in rule]
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    assert "Prefix" not in rule


def test_backups_of_each_type_move_to_the_colder_class_and_never_expire() -> None:
    colder = {rule["Prefix"]: rule for rule in lifecycle() if "Transitions" in rule}
    assert colder.keys() == {f"{file_type}/" for file_type in FILE_TYPES}
    for rule in colder.values():
        assert rule["Transitions"] == [
            {"StorageClass": {"Ref": "BackupStorageClass"}, "TransitionInDays": {"Ref": "BackupColderAfterDays"}}
        ]
    expiring = [rule for rule in lifecycle() if any("Expiration" in name for name in rule)]
    assert [rule["Prefix"] for rule in expiring] == ["athena-results/"]


def test_a_colder_class_is_one_that_can_be_read_at_once() -> None:
    assert set(TEMPLATE["Parameters"]["BackupStorageClass"]["AllowedValues"]) == {
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "GLACIER_IR",
    }


def test_the_outputs_that_other_tools_rely_on_are_there() -> None:
    expected = {f"{queue}{what}" for queue in QUEUES for what in ("Url", "Arn", "Name")}
    expected |= {f"{name}{what}" for name in (*FUNCTIONS, "LedgerTable", "BackupBucket") for what in ("Name", "Arn")}
    expected |= {"PublishPolicyArn", "ArchiveDatabaseName", "ArchiveWorkGroupName", "AlarmTopicArn"}
    assert set(TEMPLATE["Outputs"]) == expected


def test_the_layer_is_built_for_the_runtime_and_architecture_of_the_functions() -> None:
    layer = RESOURCES["RelayLayer"]
    assert layer["Metadata"] == {"BuildMethod": {"Ref": "PythonRuntime"}, "BuildArchitecture": {"Ref": "Architecture"}}
    function = TEMPLATE["Globals"]["Function"]
    assert (function["Runtime"], function["Architectures"]) == ({"Ref": "PythonRuntime"}, [{"Ref": "Architecture"}])


def test_the_readme_shows_how_to_invoke_with_each_sample_event() -> None:
    readme = (ROOT / "README.md").read_text()
    for event in set((ROOT / "events").glob("*.json")) - {ENV_JSON}:
        assert f"Function --event events/{event.name}\n" in readme


# Halves


def switched_by(condition: str) -> set[str]:
    return {name for name, each in RESOURCES.items() if each.get("Condition") == condition}


def test_a_half_that_is_switched_off_leaves_its_queues_its_data_and_its_logs() -> None:
    posting = {f"{name}{what}" for name in ("PostMessages", "DrainLeftovers") for what in ("Function", "Role")}
    assert {name for name in switched_by("PostingIsOn") if not name.endswith("Alarm")} == posting | {"PostingPolicy"}
    fetching = {f"FetchBackups{what}" for what in ("Function", "Role")}
    assert {name for name in switched_by("BackupsAreOn") if not name.endswith("Alarm")} == fetching
    unconditional = {each["Type"] for each in RESOURCES.values() if "Condition" not in each}
    assert {"AWS::SQS::Queue", "AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::Logs::LogGroup"} <= unconditional


def test_each_half_is_on_unless_its_parameter_says_false() -> None:
    for condition, parameter in (("PostingIsOn", "PostingEnabled"), ("BackupsAreOn", "BackupsEnabled")):
        assert TEMPLATE["Conditions"][condition] == {"Fn::Equals": [{"Ref": parameter}, "true"]}
        assert TEMPLATE["Parameters"][parameter]["Default"] == "true"


@pytest.mark.parametrize("condition", ["ChartsAreRead", "ResultsAreAnnounced", "SilenceIsAlarming"])
def test_what_a_parameter_adds_to_posting_goes_with_posting(condition: str) -> None:
    assert {"Condition": "PostingIsOn"} in TEMPLATE["Conditions"][condition]["Fn::And"]


@pytest.mark.parametrize(
    ("condition", "parameter", "off"),
    [
        ("ChartsAreRead", "ChartBucketName", ""),
        ("ResultsAreAnnounced", "ResultEventBusName", ""),
        ("SilenceIsAlarming", "AlarmNothingPostedHours", "0"),
        ("AlarmsAreMailed", "AlarmEmail", ""),
        ("AlarmTopicHasKey", "AlarmTopicKeyArn", ""),
    ],
)
def test_what_is_optional_is_off_unless_its_parameter_is_set(condition: str, parameter: str, off: str) -> None:
    rule = TEMPLATE["Conditions"][condition]
    assert {"Fn::Not": [{"Fn::Equals": [{"Ref": parameter}, off]}]} in rule.get("Fn::And", [rule])
    assert str(TEMPLATE["Parameters"][parameter]["Default"]) == off


def references(value: Any) -> set[str]:
    """The resources that a value refers to; what `Fn::If` chooses between is looked into by its own condition."""
    match value:
        case {"Fn::If": _}:
            return set()
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), *_]}:
            return {name} & RESOURCES.keys()
        case {"Fn::Sub": text}:
            texts = text if isinstance(text, list) else [text, {}]
            return {name for name in re.findall(r"\$\{(\w+)", texts[0]) if name in RESOURCES} | references(texts[1])
        case dict():
            return {name for each in value.values() for name in references(each)}
        case list():
            return {name for each in value for name in references(each)}
    return set()


def test_nothing_refers_to_what_another_condition_takes_away() -> None:
    everything = {**RESOURCES, **{f"output {name}": each for name, each in TEMPLATE["Outputs"].items()}}
    for name, each in everything.items():
        own = each.get("Condition")
        implied = {own} | {part["Condition"] for part in TEMPLATE["Conditions"].get(own, {}).get("Fn::And", [])[:1]}
        for other in references({key: part for key, part in each.items() if key != "Condition"}):
            assert RESOURCES[other].get("Condition") in implied | {None}, (name, other)


# Alarms

ALARMS = of_type("AWS::CloudWatch::Alarm")
OF_THE_STACK = {"Name": "stack", "Value": {"Ref": "AWS::StackName"}}


def of_the_queue(name: str) -> dict[str, Any]:
    return {"Name": "QueueName", "Value": {"Fn::GetAtt": [name, "QueueName"]}}


def of_the_function(name: str) -> dict[str, Any]:
    return {"Name": "FunctionName", "Value": {"Ref": name}}


@pytest.mark.parametrize(
    ("alarm", "metric", "dimension", "condition", "when"),
    [
        (
            "DeadLettersAlarm",
            "AWS/SQS ApproximateNumberOfMessagesVisible",
            of_the_queue("DeadLetterQueue"),
            "PostingIsOn",
            "Maximum >= 1 in 1 of 1 x 300, else notBreaching",
        ),
        (
            "OutboxWaitsAlarm",
            "StockTwitsRelay OutboxHoldsWhileOpen",
            OF_THE_STACK,
            "PostingIsOn",
            "Minimum >= 1 in 15 of 17 x 60, else notBreaching",
        ),
        (
            "LeftoversWaitAlarm",
            "StockTwitsRelay OldestSecondsWhileOpen",
            OF_THE_STACK,
            "PostingIsOn",
            "Maximum >= 900 in 1 of 4 x 300, else notBreaching",
        ),
        (
            "NeedsAPersonAlarm",
            "StockTwitsRelay NeedsAPerson",
            OF_THE_STACK,
            None,
            "Sum >= 1 in 1 of 4 x 300, else notBreaching",
        ),
        (
            "NothingPostedAlarm",
            "StockTwitsRelay PostedInAll",
            OF_THE_STACK,
            "SilenceIsAlarming",
            "Sum < 1 in AlarmNothingPostedHours of AlarmNothingPostedHours x 3600, else breaching",
        ),
        *(
            (
                function.replace("Function", "ErrorsAlarm"),
                "AWS/Lambda Errors",
                of_the_function(function),
                "PostingIsOn" if function in POSTING else "BackupsAreOn",
                "Sum >= 1 in 1 of 1 x 300, else notBreaching",
            )
            for function in FUNCTIONS
        ),
        (
            "DrainStoppedAlarm",
            "AWS/Lambda Invocations",
            of_the_function("DrainLeftoversFunction"),
            "PostingIsOn",
            "Sum < 1 in 1 of 1 x 300, else breaching",
        ),
        (
            "BackupsLateAlarm",
            "StockTwitsRelay BackupDaysBeyondLag",
            OF_THE_STACK,
            "BackupsAreOn",
            "Maximum > 1 in 1 of 1 x 3600, else ignore",
        ),
        (
            "BackupFailuresAlarm",
            "AWS/SQS ApproximateNumberOfMessagesVisible",
            of_the_queue("BackupFailuresQueue"),
            "BackupsAreOn",
            "Maximum >= 1 in 1 of 1 x 300, else notBreaching",
        ),
    ],
)
def test_an_alarm_looks_at_this_metric_and_goes_off_then(
    alarm: str, metric: str, dimension: dict[str, Any], condition: str | None, when: str
) -> None:
    has = ALARMS[alarm]
    sign = {
        "GreaterThanOrEqualToThreshold": ">=",
        "GreaterThanThreshold": ">",
        "LessThanThreshold": "<",
    }[has["ComparisonOperator"]]
    of = has["EvaluationPeriods"]
    of = of["Ref"] if isinstance(of, dict) else of
    points = has.get("DatapointsToAlarm", of)
    assert f"{has['Namespace']} {has['MetricName']}" == metric
    assert has["Dimensions"] == [dimension]
    assert RESOURCES[alarm].get("Condition") == condition
    rule = f"{has['Statistic']} {sign} {has['Threshold']} in {points} of {of} x {has['Period']}"
    assert f"{rule}, else {has['TreatMissingData']}" == when


def test_the_alarms_are_as_many_as_are_free_and_one_that_the_owner_chooses() -> None:
    assert len(ALARMS.keys() - switched_by("SilenceIsAlarming")) == 10
    assert len(ALARMS) == 11


@pytest.mark.parametrize("alarm", ALARMS)
def test_an_alarm_tells_the_topic_and_says_what_it_means_and_what_to_do(alarm: str) -> None:
    assert ALARMS[alarm]["AlarmActions"] == [{"Ref": "AlarmTopic"}]
    assert re.search(r"\b(Read|See|Check|log|Fix)\b", ALARMS[alarm]["AlarmDescription"])
    assert 80 < len(ALARMS[alarm]["AlarmDescription"]) < 400
    assert ALARMS[alarm]["AlarmName"]["Fn::Sub"].startswith("${AWS::StackName}-")


@pytest.mark.parametrize("alarm", ALARMS)
def test_an_alarm_takes_one_metric_and_looks_back_no_further_than_cloudwatch_does(alarm: str) -> None:
    assert "Metrics" not in ALARMS[alarm]
    periods = ALARMS[alarm]["EvaluationPeriods"]
    most = periods if isinstance(periods, int) else TEMPLATE["Parameters"][periods["Ref"]]["MaxValue"]
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
    assert most * ALARMS[alarm]["Period"] <= (7 * 24 * 3600 if ALARMS[alarm]["Period"] >= 3600 else 24 * 3600)


@pytest.mark.parametrize("alarm", ALARMS)
def test_every_alarm_is_in_the_operators_manual(alarm: str) -> None:
    name = ALARMS[alarm]["AlarmName"]["Fn::Sub"].removeprefix("${AWS::StackName}-")
    assert f"| `{name}` |" in (ROOT / "docs" / "operating.md").read_text()


def test_what_fails_in_leftovers_comes_again_before_its_alarm_forgets_it() -> None:
    leftovers = ALARMS["LeftoversWaitAlarm"]
    longest = queues.leftovers_back_off(queues.LEFTOVERS_RECEIVES) + 60 * queues.JITTER + 60  # and the drain's minute
    assert leftovers["EvaluationPeriods"] * leftovers["Period"] > longest


def test_the_topic_takes_alarms_of_this_stack_and_nothing_over_plain_http() -> None:
    (policy,) = of_type("AWS::SNS::TopicPolicy").values()
    refused, allowed = statements(policy)
    assert policy["Topics"] == [{"Ref": "AlarmTopic"}]
    assert refused == tls_only("sns:Publish", {"Ref": "AlarmTopic"})
    arn = "arn:${AWS::Partition}:cloudwatch:*:${AWS::AccountId}:alarm:${AWS::StackName}-*"
    assert allowed == {
        "Sid": "AlarmsOfThisAccount",
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": {"Ref": "AlarmTopic"},
        "Condition": {
            "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
            "ArnLike": {"aws:SourceArn": {"Fn::Sub": arn}},
        },
    }


def test_the_topic_is_encrypted_with_the_owners_key_if_there_is_one_and_never_with_one_that_silences_it() -> None:
    key = properties("AlarmTopic")["KmsMasterKeyId"]
    assert key == {"Fn::If": ["AlarmTopicHasKey", {"Ref": "AlarmTopicKeyArn"}, {"Ref": "AWS::NoValue"}]}
    pattern = TEMPLATE["Parameters"]["AlarmTopicKeyArn"]["AllowedPattern"]
    assert re.fullmatch(pattern, "arn:aws:kms:us-east-1:123456789012:key/1")
    assert not re.fullmatch(pattern, "alias/aws/sns")


def test_alarms_are_mailed_to_whom_the_owner_names() -> None:
    (name,) = switched_by("AlarmsAreMailed")
    assert properties(name) == {
        "TopicArn": {"Ref": "AlarmTopic"},
        "Protocol": "email",
        "Endpoint": {"Ref": "AlarmEmail"},
    }
    pattern = TEMPLATE["Parameters"]["AlarmEmail"]["AllowedPattern"]
    assert re.fullmatch(pattern, "ops+relay@example.com")
    assert not re.fullmatch(pattern, "ops, example.com")


# Result events


def test_results_may_be_put_on_the_named_bus_and_nowhere_else() -> None:
    (name,) = switched_by("ResultsAreAnnounced")
    (only,) = statements(properties(name))
    arn = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/${ResultEventBusName}"
    assert only == {
        "Effect": "Allow",
        "Action": "events:PutEvents",
        "Resource": {"Fn::Sub": arn},
        "Condition": {
            "ForAllValues:StringEquals": {"events:source": [SOURCE]},
            "Null": {"events:source": "false"},
        },
    }
    assert [each["Ref"] for each in properties(name)["Roles"]] == ["PostMessagesRole", "DrainLeftoversRole"]


# The dashboard


def dashboard() -> tuple[dict[str, Any], dict[str, Any]]:
    """The body with its variables as they stand, and what the names of its own become."""
    body, names = properties("Dashboard")["DashboardBody"]["Fn::Sub"]
    return json.loads(body), names


def shown() -> list[list[str]]:
    """Every metric of the dashboard, written out: namespace, name, dimensions."""
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


def test_the_dashboard_is_json_and_its_widgets_fill_the_page_side_by_side() -> None:
    body, _ = dashboard()
    taken = [
        (x, y)
        for each in body["widgets"]
        for x in range(each["x"], each["x"] + each["width"])
        for y in range(each["y"], each["y"] + each["height"])
    ]
    assert len(taken) == len(set(taken)) == 24 * 18
    assert max(x for x, _ in taken) == 23


def test_the_dashboard_shows_the_gate_the_queues_the_posts_the_backups_and_the_functions() -> None:
    metrics = {(each[0], each[1]) for each in shown()}
    searched = json.dumps(dashboard()[0])
    assert metrics >= {
        ("StockTwitsRelay", name) for name in ("Posted", "AlreadyPosted", "Rejected", "Deferred", "NeedsAPerson")
    }
    assert ("StockTwitsRelay", "SecondsFromQueuedToPosted") in metrics
    assert {("AWS/SQS", f"Approximate{what}") for what in ("NumberOfMessagesVisible", "AgeOfOldestMessage")} <= metrics
    assert {("AWS/Lambda", name) for name in ("Errors", "Invocations")} <= metrics
    for name in ("GateShut", "NewestBackupAgeDays", "BackupsStored", "BackupsFailed"):
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


# Publishing and configuring


def test_the_application_can_be_published_under_the_projects_version_and_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    application = TEMPLATE["Metadata"]["AWS::ServerlessRepo::Application"]
    assert application["SemanticVersion"] == project["version"] == __version__
    assert application["Name"] == project["name"]
    assert application["SpdxLicenseId"] == project["license"]
    for file in ("LicenseUrl", "ReadmeUrl"):
        assert (ROOT / application[file]).is_file()


def test_the_repository_of_applications_would_take_these_words() -> None:
    # https://docs.aws.amazon.com/serverlessrepo/latest/devguide/applications.html
    application = TEMPLATE["Metadata"]["AWS::ServerlessRepo::Application"]
    assert len(application["Description"]) <= 256
    assert re.fullmatch("[a-z0-9](([a-z0-9]|-(?!-))*[a-z0-9])?", application["Author"])
    assert 1 <= len(application["Labels"]) <= 10
    assert all(re.fullmatch(r"[a-zA-Z0-9+\-_:/@]{1,127}", label) for label in application["Labels"])


SAMCONFIG = tomllib.loads((ROOT / "samconfig.toml").read_text())
COMMANDS: dict[str, click.Command] = {
    "build": build_cli,
    "deploy": deploy_cli,
    "local_invoke": invoke_cli,
    "validate": validate_cli,
}


@pytest.mark.parametrize("profile", ["default", "local"])
def test_samconfig_says_only_what_its_commands_understand(profile: str) -> None:
    for command, said in SAMCONFIG[profile].items():
        commands = COMMANDS.values() if command == "global" else [COMMANDS[command]]
        known = {each.name for one in commands for each in one.params}
        assert set(said["parameters"]) <= known


def test_sam_local_invoke_takes_its_variables_from_the_events_folder() -> None:
    assert ROOT / SAMCONFIG["default"]["local_invoke"]["parameters"]["env_vars"] == ENV_JSON


@pytest.mark.parametrize("profile", ["default", "local"])
def test_a_deployment_asks_nothing_and_may_make_roles(profile: str) -> None:
    deploy = SAMCONFIG[profile]["deploy"]["parameters"]
    assert (deploy["resolve_s3"], deploy["confirm_changeset"]) == (True, False)
    assert "CAPABILITY_IAM" in deploy["capabilities"]
