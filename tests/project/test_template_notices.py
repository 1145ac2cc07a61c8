"""The notices of the template: who invokes their function, with what, and what it may do."""

import json

import pytest
from relay.aws import EVENTS_CONFIG
from relay.notices.incoming_webhook import TIMEOUT_SECONDS

from tests.template import NOTICES, RESOURCES, of_type, properties, statements

ARN = {"Fn::GetAtt": [NOTICES, "Arn"]}


def test_each_alarm_is_a_notice() -> None:
    assert properties("AlarmNotices") == {"TopicArn": {"Ref": "AlarmTopic"}, "Protocol": "lambda", "Endpoint": ARN}
    assert properties("AlarmNoticesPermission") == {
        "Action": "lambda:InvokeFunction",
        "FunctionName": {"Ref": NOTICES},
        "Principal": "sns.amazonaws.com",
        "SourceArn": {"Ref": "AlarmTopic"},
    }


@pytest.mark.parametrize("function", ["PostMessages", "DrainLeftovers"])
def test_each_rejected_post_is_a_notice_whichever_function_rejects_it(function: str) -> None:
    assert properties(f"{function}Rejections") == {
        "LogGroupName": {"Ref": f"{function}Logs"},
        "FilterPattern": '{ ($.message = "delivery") && ($.outcome = "rejected") }',
        "DestinationArn": ARN,
    }
    assert properties(f"{function}RejectionsPermission") == {
        "Action": "lambda:InvokeFunction",
        "FunctionName": {"Ref": NOTICES},
        "Principal": "logs.amazonaws.com",
        "SourceArn": {"Fn::GetAtt": [f"{function}Logs", "Arn"]},
        "SourceAccount": {"Ref": "AWS::AccountId"},
    }
    assert RESOURCES[f"{function}Rejections"]["DependsOn"] == f"{function}RejectionsPermission"


def test_its_own_log_leads_to_no_notice() -> None:
    groups = {each["LogGroupName"]["Ref"] for each in of_type("AWS::Logs::SubscriptionFilter").values()}
    assert groups == {"PostMessagesLogs", "DrainLeftoversLogs"}


def test_the_function_has_time_for_its_calls_and_is_tried_again_while_the_notice_is_news() -> None:
    calls = EVENTS_CONFIG.connect_timeout + EVENTS_CONFIG.read_timeout + 2 * TIMEOUT_SECONDS  # type: ignore[attr-defined]
    assert calls + 2 < properties(NOTICES)["Timeout"]
    assert properties(NOTICES)["EventInvokeConfig"] == {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 3600}


def test_the_template_has_the_name_of_the_address_alone() -> None:
    assert properties(NOTICES)["Environment"]["Variables"] == {"NOTIFY_URL_PARAMETER": {"Ref": "NotifyUrlParameter"}}
    assert "https://" not in json.dumps(properties(NOTICES))


def test_the_role_may_read_the_address_and_nothing_else() -> None:
    read, log = [each for policy in properties("SendNoticesRole")["Policies"] for each in statements(policy)]
    name = "${AWS::Region}:${AWS::AccountId}:parameter${NotifyUrlParameter}"
    assert (read["Action"], read["Resource"]) == (
        "ssm:GetParameter",
        {"Fn::Sub": f"arn:${{AWS::Partition}}:ssm:{name}"},
    )
    assert log["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"]
