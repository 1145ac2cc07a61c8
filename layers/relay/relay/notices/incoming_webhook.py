"""The incoming webhook that notices go to. Its address is a secret: whoever knows it can write into the channel."""

from __future__ import annotations

import json
import re
import socket
import time
from http.client import HTTPException, HTTPSConnection
from typing import TYPE_CHECKING

from relay import __version__
from relay.aws_errors import AWS_ERRORS, error_code
from relay.errors import RelayError
from relay.notices.notice import payload
from relay.tls import standard_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from http.client import HTTPConnection

    from mypy_boto3_ssm import SSMClient

    from relay.notices.notice import Notice

TIMEOUT_SECONDS = 5
"""For connecting, over all the addresses of the host and with TLS, and for each part of the answer."""

MOST_ADDRESSES = 3
"""How many addresses of the host are tried, so that each has time to answer."""

_LABEL = "[A-Za-z0-9-]{1,63}"
_ADDRESS = re.compile(rf"https://({_LABEL}(?:[.]{_LABEL})*)(?::([0-9]{{1,5}}))?(/[!-~]*)")
"""An address without a user: its host, with labels as in DNS (RFC 1035, section 2.3.4), its port and its path."""

_MAX_PORT = 65535


class NotSent(RelayError):
    """A notice did not get through. The reason has nothing of the address."""


class IncomingWebhook:
    """An incoming webhook of Slack, Discord or another service."""

    def __init__(self, ssm: Callable[[], SSMClient], parameter: str) -> None:
        """Use the address in the SecureString `parameter`; `ssm` gives the client when it is first needed."""
        self._ssm = ssm
        self._parameter = parameter

    def send(self, notice: Notice) -> None:
        """POST a notice. The address is read each time: notices are few. Redirects are not followed.

        Raises:
            NotSent: It did not get through; Lambda tries again.
        """
        host, port, path = self._address()
        body = json.dumps(payload(notice, host.lower())).encode()
        headers = {"Content-Type": "application/json", "User-Agent": f"StockTwitsRelay/{__version__}"}
        connection = _connect(host, port)
        try:
            connection.request("POST", path, body, headers)
            status = connection.getresponse().status
        except (OSError, HTTPException, ValueError) as error:  # ValueError for a name that cannot be encoded
            # Only the kind: the error's text may quote the address.
            raise NotSent(f"the receiver of notices gave no answer ({type(error).__name__})") from None
        finally:
            connection.close()
        if status not in range(200, 300):
            raise NotSent(f"the receiver of notices answered {status}")

    def _address(self) -> tuple[str, int, str]:
        try:
            value = self._ssm().get_parameter(Name=self._parameter, WithDecryption=True)["Parameter"]["Value"]
        except AWS_ERRORS as error:
            raise NotSent(
                f"the parameter {self._parameter} with the address for notices cannot be read ({error_code(error)})"
            ) from None
        found = _ADDRESS.fullmatch(value.strip())
        port = int(found[2] or 443) if found else 0
        if not found or not 0 < port <= _MAX_PORT:
            raise NotSent(
                f"the parameter {self._parameter} must contain an address such as https://hooks.example.com/a/path, "
                "without a user name, and in ASCII without spaces"
            )
        return found[1], port, found[3]


class _Connection(HTTPSConnection):
    """A connection that is made within one time-out; http.client's own has one for each address of the host."""

    def __init__(self, host: str, port: int) -> None:
        self._tls = standard_context()
        super().__init__(host, port, timeout=TIMEOUT_SECONDS, context=self._tls)

    def connect(self) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        plain = _first_that_answers(self.host, self.port, deadline)
        plain.settimeout(max(deadline - time.monotonic(), 0.001))  # zero would mean not to wait
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)
        self.sock.settimeout(TIMEOUT_SECONDS)


def _connect(host: str, port: int) -> HTTPConnection:
    return _Connection(host, port)


def _first_that_answers(host: str, port: int, deadline: float) -> socket.socket:
    """Connect to the first address of a host that answers; those that are left share the time that is left."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[:MOST_ADDRESSES]
    failure = OSError("the host has no address")
    for tried, (*_, address) in enumerate(found):
        seconds = (deadline - time.monotonic()) / (len(found) - tried)
        try:
            return socket.create_connection((str(address[0]), int(address[1])), max(seconds, 0.001))
        except OSError as error:
            failure = error
    raise failure
