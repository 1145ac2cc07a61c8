"""Looks for secrets wherever a run leaves anything: logs, settings, items, messages, objects, requests."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from local.stack.stack import STACK_NAME, Stack

MARK = "[a secret]"
AROUND = 60
"""How many characters of what stands before and behind a secret are shown."""

SIGNED = "X-Amz-Signature"
SIGNATURE = re.compile("(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
"""What may be one of the many that were granted; looked up, since a pattern of them all would be slow."""

AUTH_SCHEMES = {"bearer": "Bearer", "oauth": "OAuth"}


def leaks(stack: Stack, *more: str, since: float = 0) -> list[str]:
    """Look for the token, the password, the login and presigned links in all that is left of a run; nothing changes.

    Args:
        stack: A running one.
        more: Further secrets: tokens and passwords that were in use before.
        since: Log lines before this moment were looked at already; in seconds since the epoch.

    Returns:
        A line for each find: where it is and what is around it, without the secret itself.
    """
    secrets = Secrets(stack, *more)
    return [
        find
        for place, text in (*everything(stack, since), *requests(stack, secrets))
        for find in secrets.within(place, text)
    ]


class Secrets:
    """What must not show up, in every form that it might."""

    def __init__(self, stack: Stack, *more: str) -> None:
        token, login = stack.stocktwits.access_token, stack.firestream
        passwords = [login.password, *more]
        pairs = [f"{login.username}:{each}" for each in passwords]
        self.tokens = [token, *more]
        self.basics = [base64.b64encode(each.encode()).decode() for each in pairs]
        self.signatures = set(stack.firestream._links)
        plain = [*self.tokens, *passwords, *self.basics, SIGNED]
        forms = {form for each in plain for form in (each, quote(each, safe=""), json.dumps(each)[1:-1])}
        self._pattern = re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))), re.IGNORECASE)

    def within(self, place: str, text: str) -> Iterator[str]:
        """Give a line for each secret in a text."""
        marked = SIGNATURE.sub(lambda found: MARK if found[0] in self.signatures else found[0], text)
        marked = self._pattern.sub(MARK, marked)
        for found in re.finditer(re.escape(MARK), marked):
            yield f"{place}: {marked[max(0, found.start() - AROUND) : found.end() + AROUND]}"


def everything(stack: Stack, since: float = 0) -> Iterator[tuple[str, str]]:
    """Give all that the emulator holds of a run, with the place where it is."""
    yield from logs(stack, since)
    yield from settings(stack)
    yield from items(stack)
    yield from messages(stack)
    yield from objects(stack)


def logs(stack: Stack, since: float = 0) -> Iterator[tuple[str, str]]:
    """Give every line of every log: the functions' since a moment, and all of the emulator's own."""
    client, start = stack.client("logs"), int(since * 1000)
    for groups in client.get_paginator("describe_log_groups").paginate():
        for group in [each["logGroupName"] for each in groups["logGroups"]]:
            for page in client.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=start):
                for event in page["events"]:
                    yield f"log {group}", event["message"]
    assert stack.emulator._home is not None
    for line in Path(stack.emulator._home / "log").read_text(errors="replace").splitlines():
        yield "the emulator's log", line


def settings(stack: Stack) -> Iterator[tuple[str, str]]:
    """Give the functions' settings, and what CloudFormation holds of the stack."""
    functions = stack.client("lambda")
    for page in functions.get_paginator("list_functions").paginate():
        for name in [each["FunctionName"] for each in page["Functions"]]:
            yield f"function {name}", text_of(functions.get_function_configuration(FunctionName=name))
    cloudformation = stack.client("cloudformation")
    yield "template", text_of(cloudformation.get_template(StackName=STACK_NAME)["TemplateBody"])
    yield "stack", text_of(cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"])
    yield "events of the stack", text_of(cloudformation.describe_stack_events(StackName=STACK_NAME)["StackEvents"])


def items(stack: Stack) -> Iterator[tuple[str, str]]:
    """Give every item of every table: the ledger's."""
    dynamodb = stack.client("dynamodb")
    for table in dynamodb.list_tables()["TableNames"]:
        for page in dynamodb.get_paginator("scan").paginate(TableName=table):
            yield from ((f"table {table}", text_of(item)) for item in page["Items"])


def messages(stack: Stack) -> Iterator[tuple[str, str]]:
    """Give every message of every queue, held ones too; none is received for it."""
    for queue, waiting in stack.emulator.messages().items():
        yield from ((f"queue {queue}", text_of(message)) for message in waiting)


def objects(stack: Stack) -> Iterator[tuple[str, str]]:
    """Give every object's key, metadata and tags, and the content of the relay's own notes."""
    s3 = stack.client("s3")
    for bucket in [each["Name"] for each in s3.list_buckets()["Buckets"]]:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for key in [each["Key"] for each in page.get("Contents", [])]:
                head = s3.head_object(Bucket=bucket, Key=key)
                tags = s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
                note = s3.get_object(Bucket=bucket, Key=key)["Body"].read() if "json" in head["ContentType"] else b""
                yield f"bucket {bucket}", key + text_of(head) + text_of(tags) + note.decode(errors="replace")


def requests(stack: Stack, secrets: Secrets) -> Iterator[tuple[str, str]]:
    """Give the requests that the stand-ins got, without each secret that is just where it belongs."""
    (described,) = stack.client("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"]
    style = {each["ParameterKey"]: each["ParameterValue"] for each in described["Parameters"]}["StockTwitsAuthStyle"]
    for seen in stack.stocktwits.requests:
        fields = dict(seen.fields)
        if style == "form" and fields.get("access_token") in secrets.tokens:
            del fields["access_token"]
        allowed = [f"{AUTH_SCHEMES[style]} {token}" for token in secrets.tokens] if style in AUTH_SCHEMES else []
        files = {name: content.decode("latin-1") for name, content in seen.files.items()}
        rest = [seen.path, seen.query, headers(seen.headers, allowed), fields, files]
        yield f"request to StockTwits: {seen.method} {seen.path}", text_of(rest)
    for asked in stack.firestream.requests:
        query = dict(asked.query)
        allowed = []
        if asked.host == "api":
            allowed = [f"Basic {basic}" for basic in secrets.basics]
        elif query.get(SIGNED) in secrets.signatures:
            del query[SIGNED]
        rest = [asked.path, query, headers(asked.headers, allowed)]
        yield f"request to Firestream's {asked.host} host: {asked.method} {asked.path}", text_of(rest)


def headers(given: Any, allowed: list[str]) -> list[tuple[str, str]]:
    """Return a request's headers but the one authorization that is allowed."""
    return [(name, value) for name, value in given.items() if name.lower() != "authorization" or value not in allowed]


def text_of(value: object) -> str:
    """Write a value as text; of an answer of AWS without the headers, which say the same again."""
    if isinstance(value, dict):
        value = {name: each for name, each in value.items() if name != "ResponseMetadata"}
    return json.dumps(value, default=str, ensure_ascii=False)
