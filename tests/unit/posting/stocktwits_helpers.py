"""What the tests of the StockTwits client share: credentials, answers, and the API without a connection."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import responses
from relay.credentials import Credentials
from relay.errors import RelayError
from relay.posting.stocktwits import StockTwits
from requests import PreparedRequest, Response

from tests.factories import an_alert

Clients = Callable[..., StockTwits]

TOKEN = "demo-token"
GIF = b"GIF89a" + b"pixels"
PAGE = b"<!DOCTYPE html><title>Just a moment...</title>"


def credentials_with(token: str = TOKEN) -> Credentials:
    return Credentials(token, "relay_demo", "4242")


class FakeCredentials:
    """Credentials in use, and those that a fresh read returns."""

    def __init__(self, token: str = TOKEN, stored: str | None = None) -> None:
        self.token = token
        self.fresh_reads = 0
        self._stored = stored or token

    def __call__(self, *, fresh: bool = False) -> Credentials:
        if fresh:
            self.fresh_reads += 1
            self.token = self._stored
        return credentials_with(self.token)


class FakeApi:
    """The API, answered for by `responses`: no connection is made."""

    site = "http://stocktwits.test"
    url = f"{site}/api/2"

    def __init__(self, mock: responses.RequestsMock) -> None:
        self._mock = mock

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """Answer every request with this."""
        self._mock.add(responses.POST, f"{self.url}/messages/create.json", body, status=status, headers=headers)
        self._mock.add(responses.GET, f"{self.url}/streams/user/4242.json", body, status=status, headers=headers)

    @property
    def requests(self) -> list[PreparedRequest]:
        """The requests that were sent."""
        return [call.request for call in self._mock.calls]


def with_request(response: Response) -> Response:
    """Add what `responses` reads of every response, and the client's adapter leaves out."""
    response.request = PreparedRequest()
    response.request.method = "POST"
    return response


def error_body(*texts: str) -> bytes:
    """An error as StockTwits words it."""
    return json.dumps({"errors": [{"message": text} for text in texts]}).encode()


def stream_of(*posts: object, **but: Any) -> bytes:
    """The account's stream."""
    return json.dumps({"messages": posts, **but}).encode()


def failure(client: StockTwits, body: str = "$AAPL up") -> RelayError:
    """The error that publishing raises."""
    with pytest.raises(RelayError) as raised:
        client.publish(an_alert(body), None)
    return raised.value
