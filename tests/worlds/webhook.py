"""The function that receives alerts, in front of those that post."""

import json
from typing import TYPE_CHECKING, Any

from relay.posting.webhook import bootstrap
from relay.posting.webhook.sources import Source, encode, new_secret, new_source

from functions.receive_alerts import app
from tests.factories import api_event
from tests.iam import refused
from tests.worlds.posting import PostingWorld
from tests.worlds.runs import Run, write_to_stdout

if TYPE_CHECKING:
    from tests.worlds.aws import Call

PARAMETER = "/stocktwits-relay/webhook-sources"


class WebhookWorld:
    """The webhook and its sources.

    Attributes:
        posting: The functions that post, and everything that they use.
        secrets: The secrets of all sources that were ever added, by name.
        calls: The function's calls to AWS, oldest first.
    """

    def __init__(self, posting: PostingWorld) -> None:
        self.posting = posting
        self.secrets: dict[str, str] = {}
        self.calls: list[tuple[str, Call]] = []
        self._sources: dict[str, Source] = {}
        posting.patch.setenv("WEBHOOK_SOURCES_PARAMETER", PARAMETER)
        posting.patch.setattr("relay.posting.webhook.bootstrap.time", posting.clock.module)

    def add(self, name: str, **options: Any) -> str:
        """Add a source to the parameter, and return its secret."""
        secret = self.secrets[name] = new_secret()
        self._sources[name] = new_source(secret, added="2026-11-21", **options)
        self.store(encode(self._sources))
        return secret

    def revoke(self, name: str) -> None:
        del self._sources[name]
        self.store(encode(self._sources))

    def store(self, value: str) -> None:
        self.posting.ssm.put_parameter(Name=PARAMETER, Type="SecureString", Value=value, Overwrite=True)

    def restart(self) -> None:
        """Let the next invocation start cold."""
        bootstrap.container.cache_clear()

    def receive(self, source: str, body: str = "Up $AAPL", secret: str | None = None, **request: Any) -> Run:
        """Invoke the handler with a request that has its source's secret, or this one, in its path."""
        return self.invoke(api_event(source, self.secrets[source] if secret is None else secret, body, **request))

    def invoke(self, event: dict[str, Any]) -> Run:
        """Invoke the handler; its role must allow each of its calls."""
        write_to_stdout(bootstrap.telemetry())
        before = self.posting.aws.calls
        self.posting.aws.calls = []
        answer = app.handler(event, self.posting.context())
        made, self.posting.aws.calls = self.posting.aws.calls, before
        assert refused(("ReceiveAlertsRole",), made) == []
        self.calls += made
        return Run(answer, self.posting.written())

    def posts(self) -> list[str]:
        """Let the Outbox be delivered, and return the texts on StockTwits, oldest first."""
        while self.posting.count(self.posting.outbox):
            self.posting.functions["outbox"].run()
        return self.posting.posted

    def assert_no_secret_is_kept(self) -> None:
        """Search what was written, and what the queues and the ledger hold."""
        kept = [self.posting.output, json.dumps(self.posting.dynamodb.scan(TableName="stocktwits-relay-ledger"))]
        queues = (self.posting.outbox, self.posting.leftovers, self.posting.dead)
        kept += [json.dumps(self.posting.receive(queue), default=str) for queue in queues]
        for secret in self.secrets.values():
            assert not any(secret in each for each in kept)


def answered(run: Run) -> tuple[int, Any]:
    """The status and the content of an answer."""
    return run.answer["statusCode"], json.loads(run.answer["body"])
