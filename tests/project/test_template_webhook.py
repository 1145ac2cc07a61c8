"""The webhook of the template: what API Gateway lets through, to whom, and what it logs."""

import json

from relay.aws import WAITED_FOR_CONFIG

from tests.template import RESOURCES, TEMPLATE, WEBHOOK, of_type, properties, statements

ROUTES = ["WebhookSecretInPathRoute", "WebhookSecretInHeaderRoute"]


def test_only_posts_of_alerts_reach_the_function() -> None:
    assert [properties(name)["RouteKey"] for name in ROUTES] == [
        "POST /alerts/{source}/{secret}",
        "POST /alerts/{source}",
    ]
    assert sorted(of_type("AWS::ApiGatewayV2::Route")) == sorted(ROUTES)
    (integration,) = of_type("AWS::ApiGatewayV2::Integration")
    for name in ROUTES:
        assert properties(name)["Target"] == {"Fn::Sub": f"integrations/${{{integration}}}"}
    assert properties(integration)["IntegrationUri"] == {"Fn::GetAtt": [WEBHOOK, "Arn"]}
    assert properties(integration)["PayloadFormatVersion"] == "2.0"


def test_requests_are_throttled_at_the_owners_rate_with_a_burst_for_the_end_of_a_bar() -> None:
    (stage,) = of_type("AWS::ApiGatewayV2::Stage").values()
    assert stage["DefaultRouteSettings"] == {
        "ThrottlingRateLimit": {"Ref": "WebhookRatePerSecond"},
        "ThrottlingBurstLimit": 50,
    }
    assert "RouteSettings" not in stage
    assert "50 at once" in TEMPLATE["Parameters"]["WebhookRatePerSecond"]["Description"]
    assert TEMPLATE["Parameters"]["WebhookRatePerSecond"]["Default"] == 5


def test_the_access_log_has_no_path_which_may_have_a_secret_in_it() -> None:
    (stage,) = of_type("AWS::ApiGatewayV2::Stage").values()
    settings = stage["AccessLogSettings"]
    assert settings["DestinationArn"] == {"Fn::GetAtt": ["WebhookAccessLogs", "Arn"]}
    assert "\n" not in settings["Format"]
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html
    assert json.loads(settings["Format"]) == {
        "requestId": "$context.requestId",
        "time": "$context.requestTime",
        "routeKey": "$context.routeKey",
        "status": "$context.status",
        "address": "$context.identity.sourceIp",
        "latency": "$context.responseLatency",
        "bytes": "$context.responseLength",
        "integrationStatus": "$context.integrationStatus",
        "integrationError": "$context.integrationErrorMessage",
    }


def test_only_this_api_may_call_the_function_and_for_alerts_alone() -> None:
    arn = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${WebhookApi}/*/POST/alerts/*"
    assert properties("WebhookPermission") == {
        "Action": "lambda:InvokeFunction",
        "FunctionName": {"Ref": WEBHOOK},
        "Principal": "apigateway.amazonaws.com",
        "SourceArn": {"Fn::Sub": arn},
    }


def test_the_stage_is_the_last_to_come_and_the_first_to_go() -> None:
    assert set(RESOURCES["WebhookStage"]["DependsOn"]) == {*ROUTES, "WebhookPermission"}
    assert properties("WebhookStage")["StageName"] == "$default"
    assert TEMPLATE["Outputs"]["WebhookUrl"]["Value"] == {"Fn::GetAtt": ["WebhookApi", "ApiEndpoint"]}
    assert "DisableExecuteApiEndpoint" not in properties("WebhookApi")


def test_the_function_has_time_for_both_of_its_calls_and_api_gateway_for_a_cold_start_besides() -> None:
    function = properties(WEBHOOK)["Timeout"]
    calls = 2 * (WAITED_FOR_CONFIG.connect_timeout + WAITED_FOR_CONFIG.read_timeout)  # type: ignore[attr-defined]
    assert calls + 1 < function
    (integration,) = of_type("AWS::ApiGatewayV2::Integration").values()
    assert integration["TimeoutInMillis"] >= 1000 * (function + 2)


def test_the_role_may_send_to_the_outbox_and_read_the_sources_and_nothing_else() -> None:
    send, read, _log = [each for policy in properties("ReceiveAlertsRole")["Policies"] for each in statements(policy)]
    assert send == {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": {"Fn::GetAtt": ["OutboxQueue", "Arn"]}}
    name = "${AWS::Region}:${AWS::AccountId}:parameter${WebhookSourcesParameter}"
    assert read == {
        "Effect": "Allow",
        "Action": "ssm:GetParameter",
        "Resource": {"Fn::Sub": f"arn:${{AWS::Partition}}:ssm:{name}"},
    }
