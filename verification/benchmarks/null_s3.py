"""An S3 that accepts everything and discards it, to measure the cost of an upload on the sender's side.

``python -m verification.benchmarks.null_s3 PORT`` serves on 127.0.0.1. It supports what uploads need: a put, the
three steps of a multipart upload, tags, and a listing, which is empty. The bytes are discarded by the kernel,
without a copy; ``GET /_received`` returns their number.
"""

import re
import socket
import sys
import threading
from itertools import count

_BUFFER = bytearray(1 << 20)  # shared by all connections: with MSG_TRUNC nothing is written to it
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)")
_EXPECTS = re.compile(rb"(?i)\r\nexpect: *100-continue")
_XML = b'<?xml version="1.0" encoding="UTF-8"?>\n<%b xmlns="http://s3.amazonaws.com/doc/2006-03-01/">%b</%b>'
_UPLOADS = count(1)


class NullS3:
    """Counts the bytes that it discards."""

    def __init__(self) -> None:
        """Start with a count of 0."""
        self._received = 0
        self._lock = threading.Lock()

    def serve(self, connection: socket.socket) -> None:
        """Answer the requests of a connection, until the other side closes it."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        early = b""
        with connection:
            while True:
                while b"\r\n\r\n" not in early:
                    piece = connection.recv(1 << 16)
                    if not piece:
                        return
                    early += piece
                head, _, early = early.partition(b"\r\n\r\n")
                if _EXPECTS.search(head):
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                found = _LENGTH.search(head)
                length = int(found[1]) if found else 0
                if not _discard(connection, length - len(early)):
                    return
                early = early[length:]
                with self._lock:
                    self._received += length
                method, target, _ = head.split(b" ", 2)
                headers, body = self._answer(method, target)
                connection.sendall(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (headers, len(body), body))

    def _answer(self, method: bytes, target: bytes) -> tuple[bytes, bytes]:
        """Return headers and a body."""
        if target == b"/_received":
            return b"", b"%d" % self._received
        if method == b"PUT":
            return b'ETag: "null"\r\n', b""
        if method == b"POST" and b"uploads" in target:
            return b"", _xml(b"InitiateMultipartUploadResult", b"<UploadId>%d</UploadId>" % next(_UPLOADS))
        if method == b"POST":
            return b"", _xml(b"CompleteMultipartUploadResult", b"<ETag>&quot;null&quot;</ETag>")
        return b"", _xml(b"ListBucketResult", b"<KeyCount>0</KeyCount><IsTruncated>false</IsTruncated>")


def _discard(connection: socket.socket, left: int) -> bool:
    """Discard a number of bytes; return False if the other side closes before."""
    while left > 0:
        # Linux discards them without copying.
        size = connection.recv_into(_BUFFER, min(left, len(_BUFFER)), socket.MSG_TRUNC)
        if not size:
            return False
        left -= size
    return True


def _xml(name: bytes, content: bytes) -> bytes:
    return _XML % (name, content, name)


def main() -> None:
    """Serve until the process is stopped."""
    null = NullS3()
    with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=null.serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
