"""The dashboard's web server: GET shows the page, POST acts."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import uvicorn
from anyio import create_task_group, to_thread
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from relay.posting.outcome import Result
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from relay_cli import heatmap
from relay_cli.dashboard import svg, view
from relay_cli.dashboard.cache import PATIENCE_AFTER_A_CHANGE_SECONDS, PATIENCE_SECONDS, Snapshot
from relay_cli.dashboard.guard import Guard
from relay_cli.dashboard.model import LASTING
from relay_cli.deployed.calendar import Status
from relay_cli.outlook import SOON_SECONDS
from relay_cli.text import at, count, length, moment, one_line, printable

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from starlette.requests import Request

    from relay_cli.dashboard.cache import Cached
    from relay_cli.dashboard.model import DashboardModel

MAX_FORM_BYTES = 16_384
"""More than any form of the page needs."""

STOP_SECONDS = 3
"""How long Ctrl-C waits for pending responses."""

MARKS: dict[str, str] = {
    Result.POSTED: "✓",
    Result.ALREADY_POSTED: "✓",
    Result.REJECTED: "✗",
    Result.DEFERRED: "…",
    Result.DRY_RUN: "○",
    Result.EXPIRED: "–",  # noqa: RUF001
}
"""A sign for each outcome, in addition to its colour."""

SIGNS = {"bullish": "▲", "bearish": "▼", "neutral": "◆"}
"""A sign for each sentiment, in addition to its name and colour."""

_HERE = Path(__file__).parent
_SECTIONS = {
    "posting": ("Posting", ("gate", "controls")),
    "needs": ("Needs you", ("letters", "failures", "calm")),
    "waiting": ("Waiting", ("queues", "waits")),
    "posts": ("Posts", ("posts",)),
    "backups": ("Backups", ("backups",)),
}
"""The page's sections, what matters first: the title, and the templates of its pieces."""

_READS = {
    "gate": ("gate",),
    "controls": ("gate",),
    "letters": ("letters",),
    "failures": ("backups",),
    "calm": ("gate", "letters", "backups"),
    "queues": ("queues", "gate"),
    "waits": ("posts",),
    "posts": ("posts",),
    "backups": ("backups",),
}
"""The values that each piece shows, by the names of the model's attributes."""

_TOO_LARGE = 413


def create_server(model: DashboardModel, listener: socket.socket, token: str) -> uvicorn.Server:
    """Create the server of the page; it serves once it is run.

    Args:
        model: The data and actions of the page.
        listener: The socket to listen on, on loopback.
        token: The secret in its address.
    """
    app = Guard(Page(model, token).app, token, listener.getsockname()[1])
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,  # the command has configured logging already
            log_level="error",
            access_log=False,  # addresses contain the secret
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )


class Page:
    """The page and its actions."""

    def __init__(self, model: DashboardModel, token: str) -> None:
        """Set up the routes under the secret."""
        self._model = model
        self._templates = _templates()
        self.app = Starlette(
            routes=[
                Mount(
                    f"/{token}",
                    routes=[
                        Route("/", self._get),
                        Route("/pause", self._pause, methods=["POST"]),
                        Route("/resume", self._resume, methods=["POST"]),
                        Route("/retry", self._retry, methods=["POST"]),
                        Route("/drop", self._drop, methods=["POST"]),
                        Mount("/static", StaticFiles(directory=_HERE / "static")),
                    ],
                )
            ]
        )

    async def _get(self, _: Request) -> HTMLResponse:
        return await self._page()

    async def _pause(self, request: Request) -> HTMLResponse:
        fields = await _fields(request)
        return await self._act(lambda: self._model.pause(fields.get("why", ""), fields.get("lasting", "")))

    async def _resume(self, _: Request) -> HTMLResponse:
        return await self._act(self._model.resume)

    async def _retry(self, request: Request) -> HTMLResponse:
        fields = await _fields(request)
        return await self._act(lambda: self._model.retry(fields.get("letter", "")))

    async def _drop(self, request: Request) -> HTMLResponse:
        fields = await _fields(request)
        return await self._act(lambda: self._model.drop(fields.get("letter", "")))

    async def _act(self, act: Callable[[], Snapshot[str]]) -> HTMLResponse:
        """Act, even if the browser stops waiting, and show the result and the new state."""
        return await self._page(await to_thread.run_sync(act))

    async def _page(self, done: Snapshot[str] | None = None) -> HTMLResponse:
        patience = PATIENCE_AFTER_A_CHANGE_SECONDS if done else PATIENCE_SECONDS
        snapshots: dict[str, Snapshot[Any]] = {}

        async def read(name: str, cached: Cached[Any]) -> None:
            snapshots[name] = await cached.get(patience)

        async with create_task_group() as tasks:
            for name in dict.fromkeys(name for names in _READS.values() for name in names):
                tasks.start_soon(read, name, getattr(self._model, name))
        shown = {
            piece: self._piece(piece, {name: snapshots[name] for name in names}) for piece, names in _READS.items()
        }
        template = self._templates.get_template("page.html")
        return HTMLResponse(
            template.render(
                sections=_SECTIONS,
                shown=shown,
                stack=self._model.stack.name,
                now=at(time.time()),
                done=done or Snapshot(),
            )
        )

    def _piece(self, piece: str, snapshots: dict[str, Snapshot[Any]]) -> Markup:
        """Render a piece of the page; if that fails, render the problem, so that the other pieces are still shown."""
        render = partial(
            self._templates.get_template(f"{piece}.html").render,
            posting=self._model.posting_enabled,
            archiving=self._model.backups_enabled,
            lasting=LASTING,
            outlook=self._model.outlook,
        )
        try:
            html = render(snapshots)
        except Exception as error:  # noqa: BLE001  other people wrote the values
            # Not `Snapshot[Any](…)`: before Python 3.13, a frozen class with slots refuses what `typing` sets.
            problem: Snapshot[Any] = Snapshot(problem=f"It could not be rendered ({type(error).__name__}).")
            html = render(dict.fromkeys(snapshots, problem))
        return Markup(html)  # noqa: S704  # nosec B704  # the templates escape every value


def _templates() -> Environment:
    """Load the templates: every value is escaped, control characters included; an undefined name is an error."""
    templates = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: printable(value) if type(value) is str else value,  # not Markup, which is a subclass
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "count": count,
        "count_of": lambda things, name: count(len(things), name),
        "length": length,
        "moment": moment,
        "one_line": one_line,
        "label": heatmap.label,
        "chart": svg.chart,
        "weeks": svg.weeks,
        "link": svg.link,
        "day_before": lambda day: day - timedelta(days=1),
    }
    templates.globals |= {
        "Status": Status,
        "svg": svg,
        "view": view,
        "marks": MARKS,
        "signs": SIGNS,
        "soon": SOON_SECONDS,
    }
    templates.tests["needs_operator"] = view.needs_operator
    return templates


async def _fields(request: Request) -> dict[str, str]:
    """Read a form of limited size."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_FORM_BYTES:
            raise HTTPException(_TOO_LARGE)
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
