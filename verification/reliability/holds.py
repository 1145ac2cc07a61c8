"""A stretch of wire between the deployed functions and SQS on which a message's hold becomes shorter."""

from __future__ import annotations

import http.client
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from local.stand_ins.http_server import Handler, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.stack.stack import Stack

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"})


class Holds:
    """A proxy in front of the emulator's SQS: when a function holds a message, it asks SQS to hold it for less.

    What the function says goes on untouched. Whoever knows a receipt handle may change a hold, and a message may always
    come before its time (SQS delivers at least once), so nothing may rely on it.

    Attributes:
        url: Its address.
        shortened: How many holds it made shorter.
    """

    def __init__(self, target: str, sqs: Any, divisor: int, longest: int) -> None:  # noqa: ANN401  of any emulator
        """Stand before the emulator at `target`; divide holds, to a second at least and `longest` seconds at most."""
        self.target = urlsplit(target)
        self.url = ""
        self.shortened = 0
        self._sqs = sqs
        self._divisor = divisor
        self._longest = longest
        self._server: Server[Holds] | None = None

    def __enter__(self) -> Self:
        """Start."""
        self._server = Server(0, _Handler, self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        if self._server:
            self._server.stop()

    def shorten(self, body: bytes) -> None:
        """Shorten the holds that a ``ChangeMessageVisibilityBatch`` has just brought about."""
        asked = json.loads(body)
        for entry in asked["Entries"]:
            entry["VisibilityTimeout"] = min(max(1, entry["VisibilityTimeout"] // self._divisor), self._longest)
        self._sqs.change_message_visibility_batch(QueueUrl=asked["QueueUrl"], Entries=asked["Entries"])
        self.shortened += len(asked["Entries"])


class _Handler(Handler):
    """One connection of a function."""

    server: Server[Holds]

    def serve(self) -> None:
        """Pass a request on, and its answer back."""
        body, holds = self.read_body(), self.server.stand_in
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        connection = http.client.HTTPConnection(str(holds.target.hostname), holds.target.port or 80, timeout=60)
        try:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        told = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP}
        if self.headers.get("X-Amz-Target", "").endswith(".ChangeMessageVisibilityBatch"):
            holds.shorten(body)
        self.answer(answer.status, content, told)


@contextmanager
def altered(stack: Stack, function: str, **variables: str) -> Iterator[None]:
    """Give a deployed function other environment variables, and its own ones back afterwards."""
    client, name = stack.client("lambda"), stack.outputs[f"{function}Name"]
    before = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    client.update_function_configuration(FunctionName=name, Environment={"Variables": before | variables})
    try:
        yield
    finally:
        client.update_function_configuration(FunctionName=name, Environment={"Variables": before})


@contextmanager
def visibility(stack: Stack, queue: str, seconds: int) -> Iterator[None]:
    """Let what a killed worker had received come back to its queue so soon, and as before afterwards."""
    sqs, url = stack.client("sqs"), stack.outputs[f"{queue}Url"]
    name = "VisibilityTimeout"
    before = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={name: str(seconds)})
    try:
        yield
    finally:
        sqs.set_queue_attributes(QueueUrl=url, Attributes={name: before})


def left(stack: Stack, queue: str) -> int:
    """Return how many messages a queue has, visible or not."""
    names = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "NotVisible", "Delayed")]
    answer = stack.client("sqs").get_queue_attributes(QueueUrl=stack.outputs[f"{queue}Url"], AttributeNames=names)
    return sum(int(answer["Attributes"][name]) for name in names)
