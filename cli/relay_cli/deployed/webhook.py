"""The webhook's address: where it is, and whether it answers. Nothing is posted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import requests
from relay import __version__
from relay.posting.stocktwits import Adapter, Answer, exchange
from urllib3.exceptions import HTTPError

from relay_cli.failure import FAILED, Failure

if TYPE_CHECKING:
    from relay_cli.deployed.stack import Stack

CONNECT_SECONDS, READ_SECONDS = 5.0, 15.0
"""Time-outs in seconds, the second to the answer's last byte: more than a cold start takes, and than a sender waits."""


def post_nothing(stack: Stack, path: str) -> Answer:
    """Post an empty body, which the webhook never accepts; a redirect is not followed.

    Args:
        stack: The stack, whose webhook is switched on.
        path: What follows the webhook's address, such as ``/alerts/NAME``; it may contain a secret.

    Raises:
        Failure: There was no answer, or it broke off; the reason shows no path.
    """
    url = stack.output("WebhookUrl")
    headers = {"User-Agent": f"StockTwitsRelay/{__version__}"}
    adapter = Adapter(1, tls=url.startswith("https://"))
    try:
        request = requests.Request("POST", url + path, headers).prepare()
        return exchange(adapter, request, CONNECT_SECONDS, READ_SECONDS)
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:
        # Without the error's text and without its cause: both show the address, and so the secret.
        raise Failure(
            f"The webhook could not be reached, or did not answer ({type(error).__name__}): check the network.", FAILED
        ) from None
    finally:
        adapter.close()


def reason(answer: Answer) -> str:
    """Return the reason in an answer; empty if it has none."""
    words = (answer.json() or {}).get("message")
    return words if isinstance(words, str) else ""
