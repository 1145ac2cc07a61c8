"""``relay dashboard``: serve the page until Ctrl-C."""

from __future__ import annotations

import os
import secrets
import socket
import webbrowser
from typing import TYPE_CHECKING, Annotated

import typer

from relay_cli.deployed import operator_pause
from relay_cli.failure import USAGE, Failure

if TYPE_CHECKING:
    from relay_cli.context import Context

ADDRESS = "127.0.0.1"
"""Loopback: only this machine can connect."""


def dashboard(
    ctx: typer.Context,
    *,
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="The port to listen on; 0 for any free port.")
    ] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in your browser.")] = True,
) -> None:
    """Serve a page that shows the relay, pauses and resumes posting, and retries or drops dead letters, until Ctrl-C.

    Anyone on this machine who knows the whole address can use it; it contains a secret that is new each time.

    [dim]relay dashboard
    relay dashboard --port 8080 --no-browser[/dim]
    """
    # Imported here because they would slow down every other command.
    from relay_cli.dashboard import server  # noqa: PLC0415
    from relay_cli.dashboard.model import DashboardModel  # noqa: PLC0415

    context: Context = ctx.obj
    model = DashboardModel(context.stack, operator_pause.current_user())
    try:
        listener = socket.create_server((ADDRESS, port))
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise Failure(f"Port {port} cannot be used ({why}): choose another one with --port.", USAGE) from None
    with listener:
        token = secrets.token_urlsafe()
        address = f"http://{ADDRESS}:{listener.getsockname()[1]}/{token}/"
        context.console.print(f"The dashboard of {context.stack.name}: {address}", soft_wrap=True)
        context.console.print("Keep the address to yourself. Stop with Ctrl-C.", style="dim")
        if browser and not webbrowser.open(address):
            context.notes.print("No browser was found: open the address yourself.")
        try:
            server.create_server(model, listener, token).run(sockets=[listener])
        except KeyboardInterrupt:  # the usual way to stop it
            return
