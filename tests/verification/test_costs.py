"""What a message costs does not grow with their number, and what a month costs is added up right."""

from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.template import TEMPLATE
from verification.reliability.costs import (
    BILLED_MESSAGES,
    CONDITIONS,
    MEMORY_GB,
    MOST_WRITE_UNITS,
    OPEN_GATE,
    PACED,
    WEBHOOK_LOG_BYTES,
    WEBHOOK_SECONDS,
    Usage,
    bills,
    grown,
    month,
    price_list,
    usage,
    webhook,
    webhook_price_list,
)

README = Path(__file__).parents[2] / "README.md"
WEBHOOK_PAGE = README.parent / "docs" / "webhook.md"


@cache
def many(number: int) -> Usage:
    return usage(BILLED_MESSAGES, CONDITIONS[number])


@pytest.mark.parametrize("number", range(len(CONDITIONS)), ids=[each.name for each in CONDITIONS])
def test_a_message_takes_no_more_calls_among_many(number: int) -> None:
    assert grown(usage(50, CONDITIONS[number]), many(number)) == []


def test_the_readme_says_what_the_bills_come_to() -> None:
    measured = {each.name: many(CONDITIONS.index(each)) for each in (OPEN_GATE, PACED)}
    assert f"\n\n{price_list(bills(measured))}\n\n" in README.read_text()


def test_a_message_takes_one_request_and_three_writes_beside_its_share_of_the_gate() -> None:
    taken = usage(100, CONDITIONS[0])
    assert taken.of("stocktwits") == 100
    assert 300 < taken.write_units <= 312
    assert taken.invocations <= 12


def test_ten_alerts_take_at_most_31_write_units() -> None:
    assert usage(10, OPEN_GATE).write_units <= MOST_WRITE_UNITS == 31


def test_a_lost_answer_takes_one_request_for_the_stream_and_no_second_post() -> None:
    taken = usage(10, OPEN_GATE, lost=1)
    assert (taken.calls["stocktwits.stream"], taken.calls["stocktwits.create"]) == (1, 10)


def test_a_call_that_is_made_more_often_for_each_of_many_is_found() -> None:
    few = Usage(10, 1, Counter({"sqs.ReceiveMessage": 10}), 10, 1)
    many = Usage(100, 1, Counter({"sqs.ReceiveMessage": 116}), 100, 10)
    assert grown(few, many) == ["sqs.ReceiveMessage: 1.000 a message of 10, 1.160 of 100"]
    assert grown(few, Usage(100, 1, Counter({"sqs.ReceiveMessage": 115}), 100, 10)) == []


def test_a_month_is_its_idling_and_its_posts() -> None:
    one = Usage(
        1, 1, Counter({"sqs.SendMessage": 1, "dynamodb.UpdateItem": 2, "dynamodb.BatchGetItem": 1}), 1, MEMORY_GB
    )
    idle, busy = month(0, one), month(1000, one)
    assert idle.sqs == 2 * 5 * 3 * 60 * 24 * 30 + 2 * 60 * 24 * 30
    assert busy.sqs - idle.sqs == 30_000
    assert (busy.writes, busy.reads - idle.reads) == (60_000, 60_000)
    assert busy.listed - idle.listed == pytest.approx(
        30_000 * 0.4e-6 + 30_000 * 0.2e-6 + 15_000 * 0.0000133334 + 60_000 * 0.75e-6 + 0.5 * 0.045
    )


def test_what_is_free_is_not_paid() -> None:
    one = Usage(1, 1, Counter({"sqs.SendMessage": 1}), 1, MEMORY_GB)
    idle = month(0, one)
    assert idle.paid < idle.listed
    assert idle.paid == pytest.approx((idle.sqs - 1e6) * 0.4e-6 + idle.reads * 0.125e-6)


# The webhook


def test_the_page_of_the_webhook_says_what_it_costs() -> None:
    throttle = TEMPLATE["Parameters"]["WebhookRatePerSecond"]["Default"]
    assert f"\n\n{webhook_price_list(throttle)}\n\n" in WEBHOOK_PAGE.read_text()


def test_a_request_to_the_webhook_costs_its_api_call_its_function_its_message_and_its_log() -> None:
    bill = webhook(10**6)
    assert (bill.api, bill.lambda_requests, bill.sqs) == pytest.approx((1.00, 0.20, 0.40))
    assert bill.duration == pytest.approx(10**6 * WEBHOOK_SECONDS * 0.5 * 0.0000133334)
    assert bill.logs == pytest.approx(WEBHOOK_LOG_BYTES / 1000 * 0.50)
    assert bill.total == pytest.approx(bill.api + bill.lambda_requests + bill.sqs + bill.duration + bill.logs)


def test_a_wrong_secret_costs_no_message_and_less_time() -> None:
    wrong, right = webhook(1000, taken=False), webhook(1000)
    assert wrong.sqs == 0
    assert 0 < wrong.duration < right.duration


def test_the_bill_of_the_webhook_is_for_the_memory_and_the_alarms_that_the_template_has() -> None:
    assert "MemorySize" not in TEMPLATE["Resources"]["ReceiveAlertsFunction"]["Properties"]
    assert TEMPLATE["Globals"]["Function"]["MemorySize"] == 1024 * MEMORY_GB
    own = [each for each in TEMPLATE["Resources"].values() if each.get("Condition") == "WebhookIsOn"]
    alarms = [each for each in own if each["Type"] == "AWS::CloudWatch::Alarm"]
    assert len(alarms) == 3
    assert "the webhook's three alarms" in WEBHOOK_PAGE.read_text()
