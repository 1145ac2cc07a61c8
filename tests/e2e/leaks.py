"""Search for secrets in everything that a run leaves: logs, settings, items, messages, objects, requests."""

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
"""How many characters before and after a secret are shown."""

SIGNED = "X-Amz-Signature"
SIGNATURE = re.compile("(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
"""A possible signature; it is looked up, since a pattern of all granted signatures would be slow."""

OF_SOURCES: set[str] = set()
"""The secrets of all the webhook's sources that a test made."""

AUTH_SCHEMES = {"bearer": "Bearer", "oauth": "OAuth"}


def leaks(stack: Stack, *more: str, since: float = 0) -> list[str]:
    """Search for the token, the password, the login, presigned links and webhook secrets in all that a run left.

    Args:
        stack: A running one.
        more: Further secrets: tokens and passwords that were in use before.
        since: Search log lines from this moment on, in seconds since the epoch.

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
    """The secrets, in every form in which they might appear."""

    def __init__(self, stack: Stack, *more: str) -> None:
        token, login = stack.stocktwits.access_token, stack.firestream
        passwords = [login.password, *more]
        pairs = [f"{login.username}:{each}" for each in passwords]
        self.tokens = [token, *more]
        self.basics = [base64.b64encode(each.encode()).decode() for each in pairs]
        self.signatures = set(stack.firestream._links)
        plain = [*self.tokens, *passwords, *self.basics, *OF_SOURCES, SIGNED]
        forms = {form for each in plain for form in (each, quote(each, safe=""), json.dumps(each)[1:-1])}
        self._pattern = re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))), re.IGNORECASE)

    def within(self, place: str, text: str) -> Iterator[str]:
        """Yield a line for each secret in a text."""
        marked = SIGNATURE.sub(lambda found: MARK if found[0] in self.signatures else found[0], text)
        marked = self._pattern.sub(MARK, marked)
        for found in re.finditer(re.escape(MARK), marked):
            yield f"{place}: {marked[max(0, found.start() - AROUND) : found.end() + AROUND]}"


def everything(stack: Stack, since: float = 0) -> Iterator[tuple[str, str]]:
    """Yield everything that the emulator has of a run, with its place."""
    yield from logs(stack, since)
    yield from settings(stack)
    yield from items(stack)
    yield from messages(stack)
    yield from objects(stack)


def logs(stack: Stack, since: float = 0) -> Iterator[tuple[str, str]]:
    """Yield every line of the functions' logs since a moment, and all of the emulator's log."""
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
    """Yield the functions' settings, and what CloudFormation has of the stack."""
    functions = stack.client("lambda")
    for page in functions.get_paginator("list_functions").paginate():
        for name in [each["FunctionName"] for each in page["Functions"]]:
            yield f"function {name}", text_of(functions.get_function_configuration(FunctionName=name))
    cloudformation = stack.client("cloudformation")
    yield "template", text_of(cloudformation.get_template(StackName=STACK_NAME)["TemplateBody"])
    yield "stack", text_of(cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"])
    yield "events of the stack", text_of(cloudformation.describe_stack_events(StackName=STACK_NAME)["StackEvents"])


def items(stack: Stack) -> Iterator[tuple[str, str]]:
    """Yield every item of every table: the ledger's."""
    dynamodb = stack.client("dynamodb")
    for table in dynamodb.list_tables()["TableNames"]:
        for page in dynamodb.get_paginator("scan").paginate(TableName=table):
            yield from ((f"table {table}", text_of(item)) for item in page["Items"])


def messages(stack: Stack) -> Iterator[tuple[str, str]]:
    """Yield every message of every queue, also invisible ones, without receiving any."""
    for queue, waiting in stack.emulator.messages().items():
        yield from ((f"queue {queue}", text_of(message)) for message in waiting)


def objects(stack: Stack) -> Iterator[tuple[str, str]]:
    """Yield every object's key, metadata and tags, and the content of the relay's own notes."""
    s3 = stack.client("s3")
    for bucket in [each["Name"] for each in s3.list_buckets()["Buckets"]]:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for key in [each["Key"] for each in page.get("Contents", [])]:
                head = s3.head_object(Bucket=bucket, Key=key)
                tags = s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
                note = s3.get_object(Bucket=bucket, Key=key)["Body"].read() if "json" in head["ContentType"] else b""
                yield f"bucket {bucket}", key + text_of(head) + text_of(tags) + note.decode(errors="replace")


def requests(stack: Stack, secrets: Secrets) -> Iterator[tuple[str, str]]:
    """Yield the requests to the stand-ins, without secrets in their proper place."""
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
    """Return a request's headers without an allowed authorization."""
    return [(name, value) for name, value in given.items() if name.lower() != "authorization" or value not in allowed]


def text_of(value: object) -> str:
    """Return a value as text, without the headers of an answer of AWS, which repeat it."""
    if isinstance(value, dict):
        value = {name: each for name, each in value.items() if name != "ResponseMetadata"}
    return json.dumps(value, default=str, ensure_ascii=False)
