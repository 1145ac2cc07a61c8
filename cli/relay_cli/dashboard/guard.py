"""Access control for the page: the secret, the host name, and the origin of changes."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    # If markup slipped into the page, it still could not run scripts, load resources or send data elsewhere.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address contains the secret
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_READING = frozenset({"GET", "HEAD"})


class Guard:
    """Refuses requests that may not use the page."""

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        """Guard an application.

        Args:
            app: The application.
            token: The secret that its paths start with.
            port: The port that it listens on.
        """
        self._app = app
        self._token = token.encode()
        self._hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refused = self._refused(scope)
        app = PlainTextResponse(refused[1], refused[0]) if refused else self._app
        await app(scope, receive, guarded)

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        """Return status and message if a request is refused."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            # DNS rebinding: another site's name that resolves to this machine would make its page same-origin.
            return 421, "This server does not serve that host name.\n"
        token = scope["path"].split("/")[1] if "/" in scope["path"] else ""
        if not hmac.compare_digest(token.encode(), self._token):
            return 403, "Open the whole address that `relay dashboard` printed.\n"
        if scope["method"] not in _READING and not _of_the_page(headers, hosts[0]):
            return 403, "Only the dashboard's own page may do this.\n"
        return None


def _of_the_page(headers: Headers, host: str) -> bool:
    """Return whether the browser confirms that the page itself sent a request.

    Because the referrer is suppressed, browsers send a form's origin as null, but Sec-Fetch-Site still shows whether it
    is the page's own.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    ours = origin == f"http://{host}"
    if site is None:
        return ours
    return site == "same-origin" and (ours or origin in {None, "null"})
