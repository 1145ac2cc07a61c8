"""What the log-in makes of a StockTwits that sends more than it should."""

import gzip
import socket
import tracemalloc

import pytest
from relay_cli.deployed.stocktwits_account import MAX_ANSWER_BYTES, OAuthClient
from relay_cli.failure import Failure

from tests.servers import request_of, tcp_server

BEGINNING = b'{"user": {"id": 7, "username": "me"}, "x": "'
BOMB = gzip.compress(BEGINNING + b"x" * (64 << 20) + b'"}', mtime=0)
PACKED, PLAIN = b"Content-Encoding: gzip\r\n", b""


@pytest.mark.parametrize(
    ("headers", "beginning", "then"),
    [(PACKED, BOMB, b""), (PLAIN, BEGINNING, b"x" * 1024), (PLAIN, b"", b"[" * 1024)],
    ids=["packed", "long", "nested"],
)
def test_an_answer_is_read_to_a_bound_and_not_unpacked(headers: bytes, beginning: bytes, then: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + headers + b"\r\n" + beginning)
        for _ in range(32 * 1024 if then else 0):
            connection.sendall(then)

    with tcp_server(serve) as server:
        accounts = OAuthClient(f"http://127.0.0.1:{server.port}", "bearer")
        tracemalloc.start()
        try:
            with pytest.raises(Failure, match="StockTwits responded with 200"):
                accounts.account("a-token")
            assert tracemalloc.get_traced_memory()[1] < 8 * MAX_ANSWER_BYTES
        finally:
            tracemalloc.stop()
