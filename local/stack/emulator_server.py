"""MiniStack behind a check of this run's session token; started by the emulator's own interpreter, without our code.

MiniStack alone accepts any request, signed or not, from every user of this machine and from every page in its browsers,
and a request that creates a function runs programs as the user who started the emulator.
"""

import os
import re
from collections.abc import Awaitable, Callable, Mapping
from hmac import compare_digest
from typing import Any
from urllib.parse import parse_qs

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

HEALTH = "/_ministack/health"
REFUSAL = b'{"__type": "AccessDenied", "message": "This emulator needs the session token of its run."}'

_ISSUED_KEY = re.compile(rb"AWS4-HMAC-SHA256 Credential=(?:AKIA|ASIA)")
"""How ``Authorization`` begins with a key that the emulator issued: with IAM enforced, it checks that key itself."""

_UNCHECKED = "/_"
"""How the paths begin that are not AWS's own, such as ``/_ministack/config``: the emulator checks no key there."""


def guarded(application: Application, token: str, *, enforce_iam: bool) -> Application:
    """Wrap an ASGI application, so that it receives only requests with a session token.

    Args:
        application: The application to protect.
        token: The session token.
        enforce_iam: Also pass requests with keys that the application issued, and checks itself.
    """

    def authorized(scope: Scope) -> bool:
        headers = dict(reversed(list(scope["headers"])))  # the first of a repeated header, whose key the emulator uses
        query = parse_qs(scope["query_string"])
        (in_query,) = query.get(b"X-Amz-Security-Token", [b""])[:1]
        given = headers.get(b"x-amz-security-token", b""), in_query
        if any(compare_digest(each, token.encode()) for each in given):
            return True
        issued = _ISSUED_KEY.match(headers.get(b"authorization", b""))
        return enforce_iam and issued is not None and not scope["path"].startswith(_UNCHECKED)

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (scope["type"] == "http" and (scope["path"] == HEALTH or authorized(scope))):
            await application(scope, receive, send)
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": REFUSAL})
        else:
            await send({"type": "websocket.close", "code": 1008})

    return guard


def main() -> None:
    """Serve until the process is stopped; MiniStack reads its settings from the environment."""
    from ministack import app  # type: ignore[import-not-found]  # noqa: PLC0415  it is not installed where tests import this module

    enforce_iam = os.environ["AUTH"] == "true"
    app.app = guarded(app.app, os.environ["AWS_SESSION_TOKEN"], enforce_iam=enforce_iam)
    app.main()


if __name__ == "__main__":
    main()
