"""The permissions of the template: roles, and the policies of queues, buckets and topics, allow no more than needed."""

import json
import re
from typing import Any

import pytest
from relay.backups.backup import FILE_TYPES
from relay.posting.result_events import SOURCE

from tests.template import (
    ALL_FUNCTIONS,
    FUNCTIONS,
    POSTING,
    RESOURCES,
    TEMPLATE,
    as_list,
    conditional_statements,
    of_type,
    properties,
    statements,
    tls_only,
)

# Roles


def policies_of_roles() -> list[dict[str, Any]]:
    inline = [policy for role in of_type("AWS::IAM::Role").values() for policy in role["Policies"]]
    return inline + list(of_type("AWS::IAM::Policy").values()) + list(of_type("AWS::IAM::ManagedPolicy").values())


@pytest.mark.parametrize("function", ALL_FUNCTIONS)
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


@pytest.mark.parametrize("function", ALL_FUNCTIONS)
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


def test_a_posting_role_only_takes_messages_and_the_drain_also_counts_the_outbox() -> None:
    for function in POSTING:
        taking, _logging = properties(function.replace("Function", "Role"))["Policies"]
        _taking, *others = statements(taking)
        count = {
            "Effect": "Allow",
            "Action": "sqs:GetQueueAttributes",
            "Resource": {"Fn::GetAtt": ["OutboxQueue", "Arn"]},
        }
        assert others == ([count] if function == "DrainLeftoversFunction" else [])


def test_the_fetching_role_is_allowed_exactly_this_and_not_to_delete_backups() -> None:
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
            "s3:GetObject",
            "s3:GetObjectTagging",
            "s3:PutObject",
            "s3:PutObjectTagging",
        ],
        '{"Fn::Sub": "${BackupBucket.Arn}/damaged/*"}': [
            "s3:AbortMultipartUpload",
            "s3:PutObject",
            "s3:PutObjectTagging",
        ],
        json.dumps([{"Fn::Sub": f"${{BackupBucket.Arn}}/{folder}/*"} for folder in ("absent", "remarks")]): [
            "s3:PutObject"
        ],
        json.dumps({"Fn::Sub": f"arn:${{AWS::Partition}}:ssm:{name}"}): ["ssm:GetParameter"],
        '{"Fn::GetAtt": ["FetchBackupsLogs", "Arn"]}': ["logs:CreateLogStream", "logs:PutLogEvents"],
    }


def test_publishers_may_only_publish() -> None:
    (policy,) = of_type("AWS::IAM::ManagedPolicy").values()
    assert statements(policy) == [
        {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": {"Fn::GetAtt": ["OutboxQueue", "Arn"]}}
    ]


def test_results_may_be_put_on_the_named_bus_and_nowhere_else() -> None:
    (only,) = conditional_statements(properties("PostingPolicy"), "ResultsAreAnnounced")
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
    assert [each["Ref"] for each in properties("PostingPolicy")["Roles"]] == ["PostMessagesRole", "DrainLeftoversRole"]


def test_charts_may_be_read_from_the_named_bucket_and_no_other() -> None:
    bucket = "arn:${AWS::Partition}:s3:::${ChartBucketName}"
    assert conditional_statements(properties("PostingPolicy"), "ChartsAreRead") == [
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": {"Fn::Sub": f"{bucket}/*"}},
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": {"Fn::Sub": bucket}},
    ]


# Policies of resources


@pytest.mark.parametrize("queue", of_type("AWS::SQS::Queue"))
def test_every_queue_refuses_what_does_not_come_over_tls(queue: str) -> None:
    (policy,) = [each for each in of_type("AWS::SQS::QueuePolicy").values() if {"Ref": queue} in each["Queues"]]
    assert tls_only("sqs:*", {"Fn::GetAtt": [queue, "Arn"]}) in statements(policy)


@pytest.mark.parametrize("bucket", of_type("AWS::S3::Bucket"))
def test_every_bucket_refuses_what_does_not_come_over_tls(bucket: str) -> None:
    (policy,) = [each for each in of_type("AWS::S3::BucketPolicy").values() if each["Bucket"] == {"Ref": bucket}]
    itself_and_its_objects = [{"Fn::GetAtt": [bucket, "Arn"]}, {"Fn::Sub": f"${{{bucket}.Arn}}/*"}]
    assert tls_only("s3:*", itself_and_its_objects) in statements(policy)


def test_no_policy_of_a_queue_or_a_bucket_allows_anything_but_the_named_publishers() -> None:
    for kind in ("AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy"):
        for policy in of_type(kind).values():
            publishers = conditional_statements(policy, "ServicesPublish")
            assert {each["Effect"] for each in statements(policy) if each not in publishers} == {"Deny"}
    publishable = [name for name in RESOURCES if conditional_statements(properties(name), "ServicesPublish")]
    assert publishable == ["OutboxTlsOnly"]


def test_only_the_named_topics_and_rules_may_publish_to_the_outbox() -> None:
    (allowed,) = conditional_statements(properties("OutboxTlsOnly"), "ServicesPublish")
    assert TEMPLATE["Conditions"]["ServicesPublish"] == {
        "Fn::Not": [{"Fn::Equals": [{"Fn::Join": ["", {"Ref": "PublisherArns"}]}, ""]}]
    }
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
