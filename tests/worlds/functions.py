"""The two functions that post, each with its queue and triggered as AWS triggers it."""

from collections.abc import Callable
from contextvars import ContextVar
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from relay.posting import bootstrap

from functions.drain_leftovers import app as drain_leftovers
from functions.post_messages import app as post_messages
from tests.worlds.aws import sqs_record
from tests.worlds.runs import Run, write_to_stdout

if TYPE_CHECKING:
    from tests.worlds.posting import PostingWorld

_CONTAINER: ContextVar[bootstrap.Container] = ContextVar("_CONTAINER")


class Function:
    """One function with its queue.

    Attributes:
        app: The module with its handler.
        queue: The URL of its queue.
        first_back_off: For how many seconds a message stays invisible after its first failure.
    """

    first_back_off: int

    def __init__(self, world: "PostingWorld", app: ModuleType, queue: str) -> None:
        self.world = world
        self.app = app
        self.queue = queue
        self._container: bootstrap.Container | None = None
        world.patch.setattr(app, "container", self.current_container)
        world.patch.setattr(app, "time", world.clock.module)

    @property
    def name(self) -> str:
        return self.app.__name__.split(".")[1]

    def new_container(self) -> bootstrap.Container:
        """Build a container of the function that shares nothing with another one."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SOURCE_QUEUE_URL", self.queue)
            return bootstrap.container.__wrapped__()

    def current_container(self) -> bootstrap.Container:
        if container := _CONTAINER.get(None):
            return container
        if self._container is None:
            self._container = self.new_container()
        return self._container

    def restart(self) -> None:
        """Let the next invocation start cold, with the settings as they are then."""
        self._container = None

    def run(self, remaining_ms: float = 60_000) -> Run:
        """Do what the function's trigger does, once."""
        raise NotImplementedError

    def run_beside(self) -> None:
        """Run beside another invocation, which returns what both of them wrote."""
        self.run()

    def invoke(self, event: dict[str, Any], remaining_ms: float = 60_000) -> Run:
        """Invoke the handler with this event."""
        write_to_stdout(bootstrap.telemetry(self.name))
        answer = self.app.handler(event, self.world.context(remaining_ms))
        return Run(answer, self.world.written())

    def in_another_container(self, invoke: Callable[[], Run]) -> Run:
        """Invoke in a new container, as Lambda does while the current one is busy."""
        token = _CONTAINER.set(self.new_container())
        try:
            return invoke()
        finally:
            _CONTAINER.reset(token)

    # Its queue

    def send(self, *bodies: str, **attributes: str) -> list[str]:
        """Send messages to the queue; returns their ids."""
        return [self.world.send(self.queue, body, **attributes) for body in bodies]

    def depth(self) -> int:
        """How many messages are in the queue, visible or not."""
        return self.world.count(self.queue)

    def visibility_timeouts(self) -> list[int]:
        """The visibility timeouts, in seconds, that were set on messages, in the order of the calls."""
        calls = self.world.aws.calls_of("ChangeMessageVisibilityBatch")
        assert {call["QueueUrl"] for call in calls} <= {self.queue}
        return [entry["VisibilityTimeout"] for call in calls for entry in call["Entries"]]


class Outbox(Function):
    """`post_messages`, triggered as by Lambda's event source mapping."""

    first_back_off = 10

    def __init__(self, world: "PostingWorld") -> None:
        super().__init__(world, post_messages, world.outbox)

    def run(self, remaining_ms: float = 60_000) -> Run:
        """Receive a batch, invoke, and delete what is not reported as failed."""
        run = self.poll(remaining_ms)
        assert run, "the Outbox is empty: nothing would be invoked"
        return run

    def poll(self, remaining_ms: float = 60_000) -> Run | None:
        """Do the same if there is something to receive."""
        received = self.world.receive(self.queue)
        if not received:
            return None
        run = self.invoke({"Records": [sqs_record(each, "stocktwits-relay-outbox") for each in received]}, remaining_ms)
        failed = {each["itemIdentifier"] for each in run.answer["batchItemFailures"]}
        assert failed <= {each["MessageId"] for each in received}
        for each in received:
            if each["MessageId"] not in failed:
                self.world.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=each["ReceiptHandle"])
        return run


class Leftovers(Function):
    """`drain_leftovers`, triggered as by its schedule."""

    first_back_off = 60

    def __init__(self, world: "PostingWorld") -> None:
        super().__init__(world, drain_leftovers, world.leftovers)

    def run(self, remaining_ms: float = 50_000) -> Run:
        return self.invoke({}, remaining_ms)
