"""MiniStack, for whoever knows this run's session token: started by the emulator's own interpreter, without our code.

By itself it takes any request, signed or not, from any page that a browser on this machine shows and from any of its
users, and whoever may create a function runs programs as the user who started it.
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
REFUSAL = b'{"__type": "AccessDenied", "message": "This emulator answers whoever knows its session token."}'

_GIVEN_OUT = re.compile(rb"AWS4-HMAC-SHA256 Credential=(?:AKIA|ASIA)")
"""How ``Authorization`` begins with the key of a user or a role. With IAM enforced, the emulator checks it itself."""

_UNCHECKED = "/_"
"""How the paths begin that are not AWS's own, such as ``/_ministack/config``: the emulator checks no key there."""


def guarded(application: Application, token: str, *, enforce_iam: bool) -> Application:
    """Wrap an ASGI application, so that it gets only the requests that carry a session token.

    Args:
        application: What answers the others.
        token: The session token.
        enforce_iam: Let pass the keys that the application gives out and checks itself, too.
    """

    def passes(scope: Scope) -> bool:
        headers = dict(reversed(list(scope["headers"])))  # of a repeated one the first, whose key the emulator takes
        query = parse_qs(scope["query_string"])
        (given,) = query.get(b"X-Amz-Security-Token", [b""])[:1]
        if any(compare_digest(each, token.encode()) for each in (headers.get(b"x-amz-security-token", b""), given)):
            return True
        given_out = _GIVEN_OUT.match(headers.get(b"authorization", b""))
        return enforce_iam and given_out is not None and not scope["path"].startswith(_UNCHECKED)

    async def application_behind_it(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (scope["type"] == "http" and (scope["path"] == HEALTH or passes(scope))):
            await application(scope, receive, send)
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": REFUSAL})
        else:
            await send({"type": "websocket.close", "code": 1008})

    return application_behind_it


def main() -> None:
    """Serve until the process is stopped; MiniStack reads its settings from the environment."""
    from ministack import app  # type: ignore[import-not-found]  # noqa: PLC0415  there is none where tests import this

    enforce_iam = os.environ["AUTH"] == "true"
    app.app = guarded(app.app, os.environ["AWS_SESSION_TOKEN"], enforce_iam=enforce_iam)
    app.main()


if __name__ == "__main__":
    main()
