"""The incoming webhook that notices go to. Its address is a secret: whoever knows it can write into the channel."""

from __future__ import annotations

import json
import re
from http.client import HTTPException, HTTPSConnection
from typing import TYPE_CHECKING

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
"""For connecting, and for each part of the answer."""

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
        connection = _connect(host, port)
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
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


def _connect(host: str, port: int) -> HTTPConnection:
    return HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=standard_context())
