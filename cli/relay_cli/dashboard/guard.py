"""Who may use the page: whoever has its secret, at its own address, from the page itself."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    # Whatever slips into the page as markup could still run nothing, load nothing and send nothing elsewhere.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address holds the secret
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_LOOKING = frozenset({"GET", "HEAD"})


class Guard:
    """Stands before the page, and says no."""

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        """Guard a page.

        Args:
            app: It.
            token: The secret that its paths begin with.
            port: Where it listens on this machine.
        """
        self._app = app
        self._token = token.encode()
        self._hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refused = self._refused(scope)
        app = PlainTextResponse(refused[1], refused[0]) if refused else self._app
        await app(scope, receive, guarded)

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        """Return status and words, if a request is refused."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            # A name of somebody else's that leads here: their page would be of the same origin as this one.
            return 421, "This is another server than you asked for.\n"
        token = scope["path"].split("/")[1] if "/" in scope["path"] else ""
        if not hmac.compare_digest(token.encode(), self._token):
            return 403, "Open the whole address that `relay dashboard` printed.\n"
        if scope["method"] not in _LOOKING and not _of_the_page(headers, hosts[0]):
            return 403, "Only the page itself may do this.\n"
        return None


def _of_the_page(headers: Headers, host: str) -> bool:
    """Say whether a browser vouches that the page itself sent a request; every browser can.

    Browsers hide the origin of a form from us, as they hide the referrer, and then tell only whether it is ours.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    ours = origin == f"http://{host}"
    if site is None:
        return ours
    return site == "same-origin" and (ours or origin in {None, "null"})
