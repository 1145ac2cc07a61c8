"""No secret appears anywhere, whatever fails, and the search finds a secret wherever it is planted."""

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import date, timedelta
from typing import Any

import pytest
import requests

from local.stack.stack import CHART_BUCKET, CHART_KEY, LOGIN_PARAMETER, SOURCES_PARAMETER, TOKEN_PARAMETER, Stack
from local.stand_ins.firestream import api_host
from local.stand_ins.firestream.faults import API_FAULTS
from local.stand_ins.firestream.faults import Fault as BackupFault
from local.stand_ins.stocktwits import faults
from local.stand_ins.stocktwits.api import Reply
from local.stand_ins.stocktwits.contrary import BEHAVIOURS, Contrary, Kind
from local.stand_ins.stocktwits.faults import Fault
from tests.e2e.leaks import MARK, Secrets, leaks, logs
from tests.e2e.sender import NOT_FOUND, REFUSED, TAKEN, TOO_LARGE, Sender
from tests.factories import api_event

pytestmark = pytest.mark.e2e

FIRST_DAY = date(2015, 5, 1)
BROKEN = "a-secret-in-broken-json"


def records(*bodies: str) -> dict[str, Any]:
    """Return an SQS event; the same text has the same message id every time."""
    return {
        "Records": [
            {
                "messageId": f"message {body}",
                "receiptHandle": "none",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "0"},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
            }
            for body in bodies
        ]
    }


def left(*bodies: str) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": f"message {body}"} for body in bodies]}


class Functions:
    """The functions, invoked by hand; their answers and errors are searched too."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.client, self.dynamodb = stack.client("lambda"), stack.client("dynamodb")

    def invoke(self, function: str, event: object) -> Any:
        name = self.stack.outputs[f"{function}FunctionName"]
        text = self.client.invoke(FunctionName=name, Payload=json.dumps(event))["Payload"].read().decode()
        assert list(Secrets(self.stack, BROKEN).within("answer", text)) == []
        return json.loads(text)

    def open_gate(self) -> None:
        self.dynamodb.delete_item(TableName=self.stack.outputs["LedgerTableName"], Key={"pk": {"S": "gate"}})

    def post(self, *bodies: str) -> Any:
        """Deliver messages while the gate is open."""
        self.open_gate()
        return self.invoke("PostMessages", records(*bodies))

    def fetch(self, *requests: str) -> Any:
        return self.invoke("FetchBackups", records(*requests))

    def restart(self, function: str) -> None:
        """End a function's workers, which cache secrets."""
        name = self.stack.outputs[f"{function}FunctionName"]
        timeout = self.client.get_function_configuration(FunctionName=name)["Timeout"]
        self.client.update_function_configuration(FunctionName=name, Timeout=timeout)


@pytest.fixture(scope="module")
def functions(stack: Stack) -> Iterator[Functions]:
    many = stack.firestream.messages_per_day
    stack.firestream.configure(messages_per_day=200)  # small, so fetched quickly
    yield Functions(stack)
    stack.firestream.configure(messages_per_day=many)


@pytest.fixture(autouse=True)
def no_leftover_faults(stack: Stack) -> None:
    stack.stocktwits.reset()
    stack.firestream.reset()


def logged(stack: Stack, text: str) -> bool:
    return any(text in line for _, line in logs(stack))


def alert(text: str, *, chart: bool) -> str:
    """Return a reply, with a chart or without."""
    fields: dict[str, object] = {"body": f"{text} $AAPL", "in_reply_to_message_id": 7, "sentiment": "bullish"}
    return json.dumps(fields | ({"chart": f"s3://{CHART_BUCKET}/{CHART_KEY}"} if chart else {}))


def request_for(day: date, file_type: str = "message") -> str:
    return json.dumps({"file_type": file_type, "day": day.isoformat()})


@contextmanager
def stored(stack: Stack, parameter: str, value: str) -> Iterator[None]:
    """Put another secret into a parameter temporarily."""
    ssm = stack.client("ssm")
    before = ssm.get_parameter(Name=parameter, WithDecryption=True)["Parameter"]["Value"]
    ssm.put_parameter(Name=parameter, Type="SecureString", Value=value, Overwrite=True)
    try:
        yield
    finally:
        ssm.put_parameter(Name=parameter, Type="SecureString", Value=before, Overwrite=True)


def test_a_damaged_parameter_is_not_quoted(stack: Stack, functions: Functions) -> None:
    functions.restart("PostMessages")
    functions.restart("FetchBackups")
    message, request = alert("Nobody may post it", chart=False), request_for(FIRST_DAY)
    with stored(stack, TOKEN_PARAMETER, f'{{"access_token": "{BROKEN}", "username" "relay"}}'):
        assert functions.post(message) == left(message)
    with stored(stack, LOGIN_PARAMETER, f'{{"username": "relay", "password": "{BROKEN}}}'):
        assert functions.fetch(request) == left(request)
    assert logged(stack, "does not contain a JSON object with access_token")
    assert logged(stack, "does not contain a JSON object with username and password")
    assert leaks(stack, BROKEN) == []


def test_no_fault_of_stocktwits_reveals_a_secret(stack: Stack, functions: Functions) -> None:
    messages = {fault: alert(f"Struck by {fault}", chart=number % 2 == 0) for number, fault in enumerate(Fault)}
    for fault in Fault:
        stack.stocktwits.fail(fault, text=f"Struck by {fault} ")
    slow = [messages[fault] for fault in Fault if fault.startswith("timeout")]
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(functions.post, *slow)
        while len(stack.stocktwits.requests) < len(slow):  # so that nothing closes the gate before them
            assert not waiting.done(), waiting.result()
            time.sleep(0.05)
        for fault, message in messages.items():
            if message not in slow:
                found_at_once = fault in {Fault.NO_ID, Fault.NOT_JSON}  # on the stream
                assert functions.post(message) == (left() if found_at_once else left(message)), message
        assert waiting.result() == left(*slow)
    stack.stocktwits.fail("5xx-before", path="streams/user")  # the first search for a possible post fails
    again = list(messages.values())
    answers = [functions.post(*again[:10]), functions.post(*again[10:])]
    assert sum(len(answer["batchItemFailures"]) for answer in answers) == 1
    assert any(seen.resource.startswith("streams/user") for seen in stack.stocktwits.requests)
    assert leaks(stack, BROKEN) == []


def test_no_contrary_answer_of_stocktwits_reveals_a_secret(stack: Stack, functions: Functions) -> None:
    link = stack.firestream.grant("message", FIRST_DAY)
    words = f"The token {stack.stocktwits.access_token} is not known: {link}"
    behaviours = [
        (each, draw | ({"message": words} if "message" in BEHAVIOURS[each].details else {}))
        for each in Contrary
        for draw in BEHAVIOURS[each].draws
        if each is not Contrary.LATE  # as silent as a time-out
    ]
    for number, (behaviour, details) in enumerate(behaviours):
        if BEHAVIOURS[behaviour].kind is not Kind.PAGE:
            stack.stocktwits.fail(behaviour, text=f"Met {number} ", **details)
            functions.post(alert(f"Met {number}", chart=number % 2 == 0))
        if BEHAVIOURS[behaviour].kind is not Kind.POSTING:
            stack.stocktwits.fail("close-after", text=f"Lost {number} ")
            functions.post(alert(f"Lost {number}", chart=False))
            stack.stocktwits.fail(behaviour, path="streams/user", **details)
            functions.post(alert(f"Lost {number}", chart=False))
    assert {each.fault for _, each in stack.stocktwits.faulted} >= {each for each, _ in behaviours}
    assert logged(stack, "The token … is not known: https://") or logged(stack, "The token … is not known: http://")
    assert leaks(stack, BROKEN) == []


def test_a_token_in_an_answer_of_stocktwits_is_not_repeated(
    stack: Stack, functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = stack.stocktwits.access_token
    for fault, status in ((Fault.UNAUTHORIZED, 401), (Fault.FORBIDDEN, 403)):
        text = f"The token {token} is not known: https://stocktwits.com/token?access_token={token}"
        monkeypatch.setitem(faults._REPLIES, fault, Reply.error(status, text))
        stack.stocktwits.fail(fault, times=None, text=f"{fault} that quotes")
        message = alert(f"{fault} that quotes", chart=True)
        assert functions.post(message) == left(message)
        assert logged(stack, f"({status}: The token … is not known: https://stocktwits.com/token?…)")
    assert leaks(stack, BROKEN) == []


def test_no_request_to_the_webhook_reveals_its_secret(stack: Stack, functions: Functions) -> None:
    sender = Sender(stack)
    secret = sender.secret
    bodies = [
        f"Published with {secret} $AAPL",
        json.dumps({"body": 1, "passphrase": secret}),
        json.dumps({"body": "x $AAPL", "key": secret}),
        json.dumps({secret: "x"}),
        f'{{"body": "cut off", "passphrase": "{secret}',
        f"{secret} " + "x" * 70_000,
        secret.encode() + b"\xff",
    ]
    assert {sender.send(body).status for body in bodies} == {REFUSED, TOO_LARGE}
    strangers = [
        f"scanner/{secret}x",
        f"scanner/{secret[:-1]}",
        f"{secret}/scanner",
        f"{secret}",
        f"scanner/{secret}/x",
    ]
    for path in strangers:
        assert sender.post(f"/alerts/{path}", secret).status == NOT_FOUND
    assert sender.post("/alerts/scanner", secret, Authorization=f"Basic {secret}").status == NOT_FOUND
    invoked = {"pathParameters": {"source": "scanner", "secret": secret}, "body": secret}  # without an address
    assert functions.invoke("ReceiveAlerts", invoked)["statusCode"] == 500
    assert sender.send("Taken $AAPL").status == TAKEN
    with stored(stack, SOURCES_PARAMETER, f'{{"scanner": {{"secret": "{secret}"}}}}'):
        functions.restart("ReceiveAlerts")
        answer = functions.invoke("ReceiveAlerts", api_event("scanner", secret))
        assert answer["statusCode"] == 503
    functions.restart("ReceiveAlerts")
    assert logged(stack, "contains the secret of its source")
    assert logged(stack, "cannot be used")
    assert leaks(stack, secret, BROKEN) == []


def test_neither_a_replaced_token_nor_the_new_one_appears(stack: Stack, functions: Functions) -> None:
    old, new = stack.stocktwits.access_token, "the-next-token"
    functions.post(alert("With the old token", chart=False))
    value = json.dumps({"access_token": new, "username": stack.stocktwits.username, "user_id": 1})
    try:
        with stored(stack, TOKEN_PARAMETER, value):
            stack.stocktwits.configure(access_token=new)
            assert functions.post(alert("With the new token", chart=False)) == left()
    finally:
        stack.stocktwits.configure(access_token=old)
    sent = [seen.headers["Authorization"].split()[1] for seen in stack.stocktwits.requests]
    assert sent == [old, old, new]
    assert leaks(stack, new, BROKEN) == []


def test_the_drain_shows_no_secret_either(stack: Stack, functions: Functions) -> None:
    functions.open_gate()
    stack.stocktwits.fail("5xx-after", text="drained")
    for body in (alert("To be drained", chart=True), '{"body": 1}'):
        stack.client("sqs").send_message(QueueUrl=stack.outputs["LeftoversQueueUrl"], MessageBody=body)
    functions.invoke("DrainLeftovers", {})
    while not stack.stocktwits.posts:  # the schedule's own drain may have taken it
        time.sleep(0.1)
    assert leaks(stack, BROKEN) == []


def test_no_fault_of_firestream_reveals_a_secret(stack: Stack, functions: Functions) -> None:
    days = {fault: FIRST_DAY + timedelta(days=number) for number, fault in enumerate(BackupFault)}
    for fault, day in days.items():
        stack.firestream.fail(fault, file_type="message", day=day)
    requests = {fault: request_for(day) for fault, day in days.items() if fault is not BackupFault.UNAUTHORIZED}
    never = FIRST_DAY - timedelta(days=1)
    stack.firestream.fail("expired", times=None, file_type="message", day=never)
    with ThreadPoolExecutor() as pool:
        stalled = pool.submit(functions.fetch, requests.pop(BackupFault.STALL))
        expired = pool.submit(functions.fetch, request_for(never))
        functions.fetch(*requests.values())
        assert stalled.result() == left()
        assert expired.result() == left(request_for(never))
    assert logged(stack, "the link's host answered 403 AccessDenied")
    hosts = [seen.host for seen in stack.firestream.requests]
    assert hosts.count("api") > len(days)
    assert hosts.count("link") > len(days) - len(API_FAULTS)
    assert leaks(stack, BROKEN) == []


def test_a_login_in_an_answer_of_firestream_is_not_repeated(
    stack: Stack, functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    (basic,) = Secrets(stack).basics
    text = f"{stack.firestream.password} is not the password; Basic {basic} is refused"
    monkeypatch.setitem(api_host._TEXTS, 401, text)
    stack.firestream.fail("401", times=None)
    request = request_for(date(2015, 7, 2))
    assert functions.fetch(request) == left(request)
    assert logged(stack, "… is not the password; Basic … is refused")
    assert leaks(stack, BROKEN) == []


@pytest.mark.parametrize(
    ("function", "event", "error"),
    [
        ("PostMessages", {"Records": [{"body": "no message at all"}]}, "attributes"),
        ("FetchBackups", {"run": "hourly"}, "the event is none of the three"),
    ],
    ids=["post", "fetch"],
)
def test_a_function_that_raises_shows_no_secret(
    function: str, event: dict[str, Any], error: str, stack: Stack, functions: Functions
) -> None:
    answer = functions.invoke(function, event)
    assert error in answer["errorMessage"]
    assert logged(stack, "the invocation failed")
    assert leaks(stack, BROKEN) == []


# ---------------------------------------------------------------- the search itself
@contextmanager
def in_a_log(stack: Stack, secret: str) -> Iterator[None]:
    client = stack.client("logs")
    group = {"logGroupName": "planted"}
    client.create_log_group(**group)
    client.create_log_stream(**group, logStreamName="one")
    event = {"timestamp": int(time.time() * 1000), "message": f"it is {secret}, really"}
    client.put_log_events(**group, logStreamName="one", logEvents=[event])
    yield
    client.delete_log_group(**group)


@contextmanager
def in_a_dead_letter(stack: Stack, secret: str) -> Iterator[None]:
    sqs, url = stack.client("sqs"), stack.outputs["DeadLetterQueueUrl"]
    reason = {"RejectReason": {"DataType": "String", "StringValue": f"refused: {secret}"}}
    sqs.send_message(QueueUrl=url, MessageBody="An alert", MessageAttributes=reason)
    yield
    sqs.purge_queue(QueueUrl=url)


@contextmanager
def in_an_invisible_request(stack: Stack, secret: str) -> Iterator[None]:
    sqs = stack.client("sqs")
    url = sqs.create_queue(QueueName="planted")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody=secret)
    sqs.receive_message(QueueUrl=url)
    yield
    sqs.delete_queue(QueueUrl=url)


@contextmanager
def in_the_ledger(stack: Stack, secret: str) -> Iterator[None]:
    dynamodb, table = stack.client("dynamodb"), stack.outputs["LedgerTableName"]
    dynamodb.put_item(TableName=table, Item={"pk": {"S": "post#1"}, "reason": {"S": secret}})
    yield
    dynamodb.delete_item(TableName=table, Key={"pk": {"S": "post#1"}})


@contextmanager
def in_the_archive(stack: Stack, key: str, **how: Any) -> Iterator[None]:
    s3, bucket = stack.client("s3"), stack.outputs["BackupBucketName"]
    s3.put_object(Bucket=bucket, Key=key, **how)
    yield
    s3.delete_object(Bucket=bucket, Key=key)


def in_a_key(stack: Stack, secret: str) -> AbstractContextManager[None]:
    return in_the_archive(stack, f"absent/{secret}")


def in_a_tag(stack: Stack, secret: str) -> AbstractContextManager[None]:
    return in_the_archive(stack, "tagged", Tagging=f"source-etag={secret}")


def in_metadata(stack: Stack, secret: str) -> AbstractContextManager[None]:
    return in_the_archive(stack, "described", Metadata={"link": secret})


def in_a_note(stack: Stack, secret: str) -> AbstractContextManager[None]:
    return in_the_archive(stack, "note", Body=json.dumps([secret]).encode(), ContentType="application/json")


@contextmanager
def in_a_setting(stack: Stack, secret: str) -> Iterator[None]:
    functions, name = stack.client("lambda"), stack.outputs["DrainLeftoversFunctionName"]
    before = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": {**before, "TOKEN": secret}})
    yield
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": before})


@contextmanager
def sent(stack: Stack, url: str, **what: Any) -> Iterator[None]:
    requests.request(**{"method": "POST", "url": url, "timeout": 5, **what})
    yield
    stack.stocktwits.reset()
    stack.firestream.reset()


def in_a_query(stack: Stack, secret: str) -> AbstractContextManager[None]:
    return sent(stack, f"{stack.stocktwits.api_url}/messages/create.json", params={"access_token": secret})


def in_a_field(stack: Stack, secret: str) -> AbstractContextManager[None]:
    return sent(stack, f"{stack.stocktwits.api_url}/messages/create.json", data={"access_token": secret})


def in_another_header(stack: Stack, secret: str) -> AbstractContextManager[None]:
    return sent(stack, f"{stack.stocktwits.api_url}/messages/create.json", headers={"Referer": secret})


def in_a_chart(stack: Stack, secret: str) -> AbstractContextManager[None]:
    return sent(stack, f"{stack.stocktwits.api_url}/messages/create.json", files={"chart": ("c", secret)})


def in_the_path_of_a_backup(stack: Stack, secret: str) -> AbstractContextManager[None]:
    return sent(stack, f"{stack.firestream.url}/backups/{secret}", method="GET")


PLACES = [
    in_a_log,
    in_a_dead_letter,
    in_an_invisible_request,
    in_the_ledger,
    in_a_key,
    in_a_tag,
    in_metadata,
    in_a_note,
    in_a_setting,
    in_a_query,
    in_a_field,
    in_another_header,
    in_a_chart,
    in_the_path_of_a_backup,
]


def test_a_secret_is_found_wherever_it_is(stack: Stack) -> None:
    with ExitStack() as planted:
        for place in PLACES:
            planted.enter_context(place(stack, f"{place.__name__}-{stack.stocktwits.access_token}"))
        found = leaks(stack)
    for place in PLACES:
        assert len([line for line in found if f"{place.__name__}-{MARK}" in line]) == 1, place
    assert len(found) == len(PLACES)
    assert leaks(stack) == []


def test_every_secret_is_found_in_every_form(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.e2e.leaks.OF_SOURCES", {"of-a-source"})
    token, user = stack.stocktwits.access_token, stack.firestream.username
    link = stack.firestream.grant("message", FIRST_DAY)
    secrets = Secrets(stack, "the one/before")
    for secret in (
        token,
        token.upper(),
        stack.firestream.password,
        base64.b64encode(f"{user}:{stack.firestream.password}".encode()).decode(),
        link,
        link.rpartition("=")[2],
        "of-a-source",
        "the one/before",
        "the%20one%2Fbefore",
        base64.b64encode(f"{user}:the one/before".encode()).decode(),
    ):
        (found, *_) = secrets.within("somewhere", f"it is {secret}, really")
        assert found.startswith("somewhere: ")
        assert secret not in found
    assert list(secrets.within("somewhere", f"{user} has a token and a password")) == []


def test_a_login_belongs_at_the_api_and_not_at_the_host_of_the_links(stack: Stack) -> None:
    login = (stack.firestream.username, stack.firestream.password)
    with sent(stack, f"{stack.firestream.url}/backups/message/2015/05/01", method="GET", auth=login):
        well = leaks(stack)  # the library follows the link without the login
    link = stack.firestream.grant("message", FIRST_DAY)
    with sent(stack, link, method="GET", auth=login):
        badly = leaks(stack)
    assert (well, len(badly)) == ([], 1)


def test_a_signature_belongs_at_the_host_of_the_links_and_nowhere_else(stack: Stack) -> None:
    found = {}
    for host in ("", f"{stack.firestream.url}/backups/message/2015/05/01", f"{stack.stocktwits.api_url}/"):
        link, _, query = stack.firestream.grant("message", FIRST_DAY).partition("?")
        with sent(stack, f"{host or link}?{query}", method="GET"):
            found[host] = bool(leaks(stack))
    assert list(found.values()) == [False, True, True]
