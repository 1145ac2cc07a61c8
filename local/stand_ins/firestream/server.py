"""The stand-in: two servers on loopback that share one state."""

from __future__ import annotations

from typing import Any, Self

from local.stand_ins.firestream.api_host import ApiHandler
from local.stand_ins.firestream.link_host import LinkHandler
from local.stand_ins.firestream.state import State
from local.stand_ins.http_server import Server


class FirestreamStandIn(State):
    """A stand-in for Firestream's backups on loopback; with ports 0 the system picks free ones at the first start."""

    def __post_init__(self) -> None:
        """Start without backups, requests and planned faults."""
        super().__post_init__()
        self._servers: list[Server[Any]] = []

    def start(self) -> Self:
        """Start serving in the background; after a stop, on the same ports again."""
        api, links = Server(self.port, ApiHandler, self), Server(self.link_port, LinkHandler, self)
        self.port, self.link_port = api.server_port, links.server_port
        self._servers = [api, links]
        if self.tls:
            # The handshake is left to each connection's own thread.
            api.socket = self.tls.wrap_socket(api.socket, server_side=True, do_handshake_on_connect=False)
        for server in self._servers:
            server.start()
        return self

    def stop(self) -> None:
        """Stop at once: stalled transfers are dropped and every connection is closed."""
        while self._servers:
            self._servers.pop().stop()

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()
