"""The alarms of the template: what each watches, when it goes off, and whom it notifies."""

import re
from typing import Any

import pytest
from relay import queues
from relay.posting import backoff

from tests.template import POSTING, RESOURCES, ROOT, TEMPLATE, WEBHOOK, of_type, properties, switched_by

ALARMS = of_type("AWS::CloudWatch::Alarm")
CONDITIONS = {
    **dict.fromkeys(POSTING, "PostingIsOn"),
    "FetchBackupsFunction": "BackupsAreOn",
    WEBHOOK: "WebhookIsOn",
}
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
                condition,
                "Sum >= 1 in 1 of 1 x 300, else notBreaching",
            )
            for function, condition in CONDITIONS.items()
        ),
        (
            "AlertsNotTakenAlarm",
            "AWS/ApiGateway 5xx",
            {"Name": "ApiId", "Value": {"Ref": "WebhookApi"}},
            "WebhookIsOn",
            "Sum >= 1 in 1 of 1 x 300, else notBreaching",
        ),
        (
            "AlertsRefusedAlarm",
            "StockTwitsRelay AlertsRefused",
            OF_THE_STACK,
            "WebhookIsOn",
            "Sum >= 1 in 1 of 1 x 300, else notBreaching",
        ),
        (
            "DrainStoppedAlarm",
            "AWS/Lambda Invocations",
            of_the_function("DrainLeftoversFunction"),
            "PostingIsOn",
            "Sum < 1 in 5 of 5 x 60, else breaching",
        ),
        (
            "BackupsLateAlarm",
            "StockTwitsRelay BackupDaysBeyondLag",
            OF_THE_STACK,
            "BackupsAreOn",
            "Maximum > 0 in 1 of 1 x 3600, else ignore",
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
def test_an_alarm_watches_this_metric_and_goes_off_then(
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


def test_unless_something_is_switched_on_there_are_as_many_alarms_as_are_free() -> None:
    assert len(ALARMS.keys() - switched_by("SilenceIsAlarming") - switched_by("WebhookIsOn")) == 10
    assert len(ALARMS) == 14


@pytest.mark.parametrize("alarm", ALARMS)
def test_an_alarm_notifies_the_topic_and_describes_what_it_means_and_what_to_do(alarm: str) -> None:
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


def test_a_message_that_fails_in_leftovers_is_retried_within_the_period_of_its_alarm() -> None:
    leftovers = ALARMS["LeftoversWaitAlarm"]
    next_run = 60
    longest = backoff.leftovers_back_off(backoff.LEFTOVERS_RECEIVES) + 60 * queues.JITTER + next_run
    assert leftovers["EvaluationPeriods"] * leftovers["Period"] > longest


def test_the_topic_is_encrypted_with_your_key_or_none_and_never_with_the_aws_managed_one() -> None:
    key = properties("AlarmTopic")["KmsMasterKeyId"]
    assert key == {"Fn::If": ["AlarmTopicHasKey", {"Ref": "AlarmTopicKeyArn"}, {"Ref": "AWS::NoValue"}]}
    pattern = TEMPLATE["Parameters"]["AlarmTopicKeyArn"]["AllowedPattern"]
    assert re.fullmatch(pattern, "arn:aws:kms:us-east-1:123456789012:key/1")
    assert not re.fullmatch(pattern, "alias/aws/sns")


def test_alarms_are_mailed_to_the_configured_address() -> None:
    (name,) = switched_by("AlarmsAreMailed")
    assert properties(name) == {
        "TopicArn": {"Ref": "AlarmTopic"},
        "Protocol": "email",
        "Endpoint": {"Ref": "AlarmEmail"},
    }
    pattern = TEMPLATE["Parameters"]["AlarmEmail"]["AllowedPattern"]
    assert re.fullmatch(pattern, "ops+relay@example.com")
    assert not re.fullmatch(pattern, "ops, example.com")
    assert not re.fullmatch(pattern, "ops@example.com,DryRun=true")
