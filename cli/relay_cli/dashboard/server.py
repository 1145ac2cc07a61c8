"""The page over HTTP: looked at with GET, acted on with POST."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import uvicorn
from anyio import create_task_group, to_thread
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from relay.posting.delivery import Result
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from relay_cli import heatmap
from relay_cli.dashboard import svg as drawing
from relay_cli.dashboard.cache import PATIENCE_AFTER_A_CHANGE_SECONDS, PATIENCE_SECONDS, Snapshot
from relay_cli.dashboard.guard import Guard
from relay_cli.dashboard.model import LASTING
from relay_cli.deployed.calendar import Status
from relay_cli.text import at, count, length, moment, one_line, printable

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from starlette.requests import Request

    from relay_cli.dashboard.cache import Cached
    from relay_cli.dashboard.model import Desk

MAX_FORM_BYTES = 16_384
"""More than a form of the page ever has."""

STOP_SECONDS = 3
"""How long Ctrl-C waits for answers that are on their way."""

MARKS: dict[str, str] = {
    Result.POSTED: "✓",
    Result.ALREADY_POSTED: "✓",
    Result.REJECTED: "✗",
    Result.DEFERRED: "…",
    Result.DRY_RUN: "○",
}
"""What is shown beside an outcome's colour."""

SIGNS = {"bullish": "▲", "bearish": "▼", "neutral": "◆"}
"""What is shown beside a sentiment's word and colour."""

_HERE = Path(__file__).parent
_PARTS = {
    "gate": ("Gate", ("gate", "steer")),
    "queues": ("Queues", ("queues",)),
    "letters": ("Dead letters", ("letters",)),
    "posts": ("Posts", ("posts",)),
    "backups": ("Backups", ("backups",)),
}
"""The page's sections: what the desk calls each, its title, and the templates of its pieces."""

_TOO_LARGE = 413


def create_server(model: Desk, listener: socket.socket, token: str) -> uvicorn.Server:
    """Make the server of a page; it serves once it is run.

    Args:
        desk: What the page shows.
        listener: Where it listens, on loopback.
        token: The secret that its address holds.
    """
    app = Guard(Page(desk, token).app, token, listener.getsockname()[1])
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,  # it logs as everything here does
            log_level="error",
            access_log=False,  # an address is a secret
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )


class Page:
    """The page, as it is asked for."""

    def __init__(self, desk: Desk, token: str) -> None:
        """Lay it out under its secret."""
        self._desk = desk
        self._templates = _templates()
        self.app = Starlette(
            routes=[
                Mount(
                    f"/{token}",
                    routes=[
                        Route("/", self._look),
                        Route("/pause", self._pause, methods=["POST"]),
                        Route("/resume", self._resume, methods=["POST"]),
                        Route("/retry", self._retry, methods=["POST"]),
                        Mount("/static", StaticFiles(directory=_HERE / "static")),
                    ],
                )
            ]
        )

    async def _look(self, _: Request) -> HTMLResponse:
        return await self._page()

    async def _pause(self, request: Request) -> HTMLResponse:
        fields = await _fields(request)
        return await self._done(lambda: self._desk.pause(fields.get("why", ""), fields.get("lasting", "")))

    async def _resume(self, _: Request) -> HTMLResponse:
        return await self._done(self._desk.resume)

    async def _retry(self, request: Request) -> HTMLResponse:
        fields = await _fields(request)
        return await self._done(lambda: self._desk.retry(fields.get("letter", "")))

    async def _done(self, act: Callable[[], Snapshot[str]]) -> HTMLResponse:
        """Act, whether or not the page waits for it, and show what came of it and how things are now."""
        return await self._page(await to_thread.run_sync(act))

    async def _page(self, done: Snapshot[str] | None = None) -> HTMLResponse:
        patience = PATIENCE_AFTER_A_CHANGE_SECONDS if done else PATIENCE_SECONDS
        seen: dict[str, Snapshot[Any]] = {}

        async def see(name: str, kept: Cached[Any]) -> None:
            seen[name] = await kept.seen(patience)

        async with create_task_group() as looks:
            for name in _PARTS:
                looks.start_soon(see, name, getattr(self._desk, name))
        shown = {
            piece: self._piece(piece, name, seen[name]) for name, (_, pieces) in _PARTS.items() for piece in pieces
        }
        template = self._templates.get_template("page.html")
        return HTMLResponse(
            template.render(
                parts=_PARTS,
                shown=shown,
                stack=self._desk.stack.name,
                now=at(time.time()),
                done=done or Snapshot(),
            )
        )

    def _piece(self, piece: str, name: str, seen: Snapshot[Any]) -> Markup:
        """Draw a piece of the page; whatever is wrong with what it shows, it is drawn, as are the others."""
        draw = partial(
            self._templates.get_template(f"{piece}.html").render, posting=self._desk.posts_here, lasting=LASTING
        )
        try:
            drawn = draw({name: seen})
        except Exception as error:  # noqa: BLE001  others wrote what it shows
            drawn = draw({name: Snapshot(problem=f"It could not be drawn ({type(error).__name__}).")})
        return Markup(drawn)  # noqa: S704  # nosec B704  # our templates escape every value


def _templates() -> Environment:
    """Prepare the templates: every value is escaped, what would steer its display too; a misspelt one is an error."""
    templates = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: printable(value) if type(value) is str else value,  # not markup, which is a subclass
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "count": count,
        "count_of": lambda things, name: count(len(things), name),
        "length": length,
        "moment": moment,
        "one_line": one_line,
        "words": heatmap.words,
        "summary": lambda calendar: heatmap.summary(calendar).plain,
        "chart": drawing.chart,
        "weeks": drawing.weeks,
        "link": drawing.link,
    }
    templates.globals |= {"Status": Status, "drawing": drawing, "marks": MARKS, "signs": SIGNS}
    return templates


async def _fields(request: Request) -> dict[str, str]:
    """Read a form, the size of which is bounded."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_FORM_BYTES:
            raise HTTPException(_TOO_LARGE)
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
