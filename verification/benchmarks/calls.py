"""Count the calls to AWS for a batch on the wire."""

import http.client
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

from verification.benchmarks.fixtures import ALL_DONE, Fixtures, an_event, check
from verification.benchmarks.report import Section, Table, Target

MESSAGES = 10
WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"})
WRITES_A_MESSAGE = 3
"""A claim, whose the post is, and a settlement; a write of an item of at most a kilobyte is one write unit."""

GATE_WRITES = 1

_HOW = f"""\
The first invocation of an execution environment, with a batch of {MESSAGES} valid alerts. A proxy between the function
and the emulator counts every request, including retries. Lambda itself receives and deletes the batch, so a completed
batch costs the function no call to SQS. The token is read again after five minutes."""


class CountingProxy:
    """Forwards requests to the emulator, and counts them by service and operation."""

    def __init__(self, target: str) -> None:
        """Prepare to forward to `target`."""
        self.counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, urlsplit(target).netloc))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        """Start it."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._server.shutdown()
        self._server.server_close()

    def count(self, target: str) -> None:
        """Count a call by its header ``X-Amz-Target``, such as ``DynamoDB_20120810.PutItem``."""
        service, _, operation = target.partition(".")
        with self._lock:
            self.counts[service.partition("_")[0].removeprefix("Amazon"), operation] += 1


def _handler(proxy: CountingProxy, target: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            proxy.count(self.headers.get("X-Amz-Target", "?.?"))
            body = self.rfile.read(int(self.headers["Content-Length"]))
            connection = http.client.HTTPConnection(target)
            connection.request("POST", self.path, body, dict(self.headers.items()))
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {"connection", "content-length", "transfer-encoding"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name in the parent class
            pass

    return Handler


def measure(fixtures: Fixtures) -> Section:
    """Count the calls."""
    fixtures.stocktwits.configure(latency_seconds=0.0)
    fixtures.stocktwits.reset()
    with (
        CountingProxy(fixtures.emulator.url) as proxy,
        fixtures.relay(AWS_ENDPOINT_URL=proxy.url).container() as container,
    ):
        answer = container.invoke(an_event(MESSAGES))
        check(answer == ALL_DONE, f"the relay answered {answer}:\n{container.log}")
    posts = len(fixtures.stocktwits.posts)
    check(posts == MESSAGES, f"the relay made {posts} posts")
    counts = proxy.counts
    check(counts, "no call to AWS was seen")
    writes = sum(count for (_, operation), count in counts.items() if operation in WRITES)
    rows = [[service, operation, str(count)] for (service, operation), count in sorted(counts.items())]
    rows.append(["SQS", "any", str(sum(count for (service, _), count in counts.items() if service == "SQS"))])
    for service, operation, count in rows:
        print(f"  calls  {service} {operation}: {count}", flush=True)
    return Section(
        "Calls to AWS",
        _HOW,
        [Table(["Service", "operation", f"calls for {MESSAGES} alerts"], rows)],
        [
            Target(
                f"DynamoDB writes for {MESSAGES} alerts (three each, one for the gate)",
                MESSAGES * WRITES_A_MESSAGE + GATE_WRITES,
                writes,
                digits=0,
            )
        ],
    )
