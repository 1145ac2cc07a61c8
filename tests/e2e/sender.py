"""A program that POSTs alerts to the webhook of the deployed stack, such as TradingView."""

import time
from http.client import HTTPMessage
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from relay.posting.webhook.sources import encode, new_secret, new_source

from local.stack.stack import SOURCES_PARAMETER, Stack
from tests.e2e import leaks

PATIENCE_SECONDS = 30
TAKEN, REFUSED, NOT_FOUND, TOO_LARGE, COME_BACK = 202, 400, 404, 413, 503


class Answer(NamedTuple):
    status: int
    headers: HTTPMessage
    content: bytes

    @property
    def lasting(self) -> dict[str, str]:
        """The headers that two equal answers have in common."""
        changing = {"date", "apigw-requestid"}
        return {name.lower(): value for name, value in self.headers.items() if name.lower() not in changing}


class Sender:
    """A sender with a source and a secret of its own.

    Attributes:
        secret: Its secret, which must show nowhere.
    """

    def __init__(self, stack: Stack, name: str = "scanner") -> None:
        """Make it the only source."""
        self._stack = stack
        self._name = name
        self.secret = new_secret()
        leaks.OF_SOURCES.add(self.secret)
        stack.client("ssm").put_parameter(
            Name=SOURCES_PARAMETER,
            Type="SecureString",
            Value=encode({name: new_source(self.secret, added="2026-11-27")}),
            Overwrite=True,
        )
        function = stack.outputs["ReceiveAlertsFunctionName"]
        functions = stack.client("lambda")
        timeout = functions.get_function_configuration(FunctionName=function)["Timeout"]
        functions.update_function_configuration(
            FunctionName=function, Timeout=timeout
        )  # its workers, which know others, end

    def send(self, body: str | bytes, content_type: str = "text/plain; charset=utf-8") -> Answer:
        """POST an alert with the secret in the path, again as long as it is not taken."""
        return self.post(f"/alerts/{self._name}/{self.secret}", body, **{"Content-Type": content_type})

    def post(self, path: str, body: str | bytes = b"", *, method: str = "POST", **headers: str) -> Answer:
        """Send any request to the webhook."""
        content = body.encode() if isinstance(body, str) else body
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            request = Request(self._stack.webhook_url(path), content, headers, method=method)
            try:
                with urlopen(request, timeout=PATIENCE_SECONDS) as answer:
                    return Answer(answer.status, answer.headers, answer.read())
            except HTTPError as error:
                with error:
                    if error.code != COME_BACK or time.monotonic() > deadline:
                        return Answer(error.code, error.headers, error.read())
