"""Shorten visibility timeouts between the deployed functions and SQS, so that retries need seconds, not minutes."""

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


class VisibilityProxy:
    """A proxy in front of the emulator's SQS, which shortens the visibility timeouts that a function sets.

    The function's own requests pass unchanged. Anyone with a receipt handle may change a timeout, and a message may
    always come early (SQS delivers at least once), so the relay must not rely on it.

    Attributes:
        url: Its address.
        shortened: How many timeouts it has shortened.
    """

    def __init__(self, target: str, sqs: Any, divisor: int, longest: int) -> None:  # noqa: ANN401  of any emulator
        """Forward to the emulator at `target`; divide timeouts, to at least 1 second and at most `longest` seconds."""
        self.target = urlsplit(target)
        self.url = ""
        self.shortened = 0
        self._sqs = sqs
        self._divisor = divisor
        self._longest = longest
        self._server: Server[VisibilityProxy] | None = None

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
        """Shorten the timeouts that a ``ChangeMessageVisibilityBatch`` has just set."""
        request = json.loads(body)
        for entry in request["Entries"]:
            entry["VisibilityTimeout"] = min(max(1, entry["VisibilityTimeout"] // self._divisor), self._longest)
        self._sqs.change_message_visibility_batch(QueueUrl=request["QueueUrl"], Entries=request["Entries"])
        self.shortened += len(request["Entries"])


class _Handler(Handler):
    """One connection from a function."""

    server: Server[VisibilityProxy]

    def serve(self) -> None:
        """Forward a request, and return its answer."""
        body, proxy = self.read_body(), self.server.stand_in
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        connection = http.client.HTTPConnection(str(proxy.target.hostname), proxy.target.port or 80, timeout=60)
        try:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        response_headers = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP}
        if self.headers.get("X-Amz-Target", "").endswith(".ChangeMessageVisibilityBatch"):
            proxy.shorten(body)
        self.answer(answer.status, content, response_headers)


@contextmanager
def with_environment(stack: Stack, function: str, **variables: str) -> Iterator[None]:
    """Change environment variables of a deployed function, and restore them afterwards."""
    client, name = stack.client("lambda"), stack.outputs[f"{function}Name"]
    before = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    client.update_function_configuration(FunctionName=name, Environment={"Variables": before | variables})
    try:
        yield
    finally:
        client.update_function_configuration(FunctionName=name, Environment={"Variables": before})


@contextmanager
def visibility_timeout(stack: Stack, queue: str, seconds: int) -> Iterator[None]:
    """Set a queue's visibility timeout, after which a killed worker's messages return; restore it afterwards."""
    sqs, url = stack.client("sqs"), stack.outputs[f"{queue}Url"]
    name = "VisibilityTimeout"
    before = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={name: str(seconds)})
    try:
        yield
    finally:
        sqs.set_queue_attributes(QueueUrl=url, Attributes={name: before})


def depth(stack: Stack, queue: str) -> int:
    """Return how many messages a queue contains, visible or not."""
    names = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "NotVisible", "Delayed")]
    answer = stack.client("sqs").get_queue_attributes(QueueUrl=stack.outputs[f"{queue}Url"], AttributeNames=names)
    return sum(int(answer["Attributes"][name]) for name in names)
