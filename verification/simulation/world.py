"""A day of the relay: its real code and handlers, with queues, a table and StockTwits in memory."""

from __future__ import annotations

from collections import defaultdict
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from http import HTTPStatus
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from relay import queues
from relay.credentials import Credentials
from relay.posting import batch, ledger, reconciliation
from relay.posting.backoff import LEFTOVERS_RECEIVES, OUTBOX_RECEIVES
from relay.posting.batch import BatchDelivery
from relay.posting.bootstrap import Container
from relay.posting.delivery import PERHAPS_POSTED, Delivery
from relay.posting.gate import Admission, Gate
from relay.posting.hours import HoursPause, posting_hours
from relay.posting.ledger import Ledger
from relay.posting.outcome import Result
from relay.posting.reconciliation import Reconciler
from relay.posting.spacing import Spacing
from relay.posting.stocktwits import StockTwits as Client
from relay.queues import DeadLetters

from functions.drain_leftovers import app as drain_leftovers
from functions.post_messages import app as post_messages
from verification.simulation.dynamodb import Table
from verification.simulation.network import DynamoDB, Network, OnCall, Sqs
from verification.simulation.scenario import START, Alert, Scenario
from verification.simulation.scheduler import MAX_TURNS, Lock, Pool, Process, Scheduler, SimpleQueue
from verification.simulation.sqs import Queue, Stored
from verification.simulation.stocktwits import URL, Adapter, StockTwits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from relay.errors import Pause
    from relay.posting.outcome import Hold, Outcome
    from relay.queue_message import QueueMessage

    from verification.simulation.rules import Rules

POST_SECONDS, DRAIN_SECONDS = 60, 50
PAUSE_SECONDS = 2 * 3600
"""How long the operator's pauses are meant to be, if they have an end; they are lifted long before."""

MAX_SECONDS = 13.5 * 24 * 3600
"""A day must end before SQS' retention period does."""

OPERATOR_LOOKS_AFTER = 40 * 60
"""How long the operator waits before retrying duplicates: longer than StockTwits remembers a text."""


@dataclass(frozen=True)
class LastAdmission:
    """A worker's last admission by the gate."""

    at: float = 0.0
    probe: bool = False


@dataclass(eq=False)
class Worker(Process):
    """A process of a function, with the container that it created at its start."""

    mortal: bool = True
    container: Container = field(init=False)
    admission: LastAdmission = LastAdmission()
    invocations: int = 0


class WatchedGate(Gate):
    """The gate, which records the last admission of its worker."""

    def __init__(self, worker: Worker, *args: Any) -> None:
        super().__init__(*args)
        self._worker = worker
        self._asked_at = 0.0

    def admit(self, wanted: int) -> Admission:
        admission = super().admit(wanted)
        if admission.granted:
            self._worker.admission = LastAdmission(self._asked_at, admission.probe)
        return admission

    def _admission(self, wanted: int) -> tuple[Admission, int]:
        answer = super()._admission(wanted)
        self._asked_at = self._now()
        return answer


@dataclass
class Closed:
    """A time in which the gate's item or the operator's closed the gate."""

    since: float
    until: float
    cause: str


@dataclass(frozen=True)
class Change:
    """A change of a key's item in the ledger.

    Attributes:
        at: When it was made.
        by: The worker.
        status: The status from then on.
        unsettled: How many claims there were, in a row, that nobody has settled.
    """

    at: float
    by: str
    status: str
    unsettled: int


@dataclass(frozen=True)
class Taken:
    """A name of `relay.posting.spacing` that a key took.

    Attributes:
        at: When.
        name: The name.
        key: The idempotency key.
    """

    at: float
    name: str
    key: str


@dataclass(frozen=True)
class Held:
    """A message that a rule kept back.

    Attributes:
        at: When.
        receipt: The receipt of this delivery.
        key: Its idempotency key.
        until: When it may be seen again.
        holds: What kept it back.
    """

    at: float
    receipt: str
    key: str
    until: float
    holds: tuple[Hold, ...]


class Ledgers(Table):
    """The table, and its history.

    Attributes:
        closed: The times in which its items closed the gate.
        proofs: When the gate's item was written, and when a probe had last been posted by then.
        changes: The changes of each item of a key.
        taken: The names that were taken.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self._scheduler = scheduler
        self.taken: list[Taken] = []
        self.closed: dict[str, list[Closed]] = {"gate": [], "pause": []}
        self.proofs: list[tuple[float, float]] = []
        self.changes: defaultdict[str, list[Change]] = defaultdict(list)

    def put_item(self, Item: dict[str, Any], **options: Any) -> dict[str, Any]:
        answer = super().put_item(Item, **options)
        if Item["pk"]["S"].startswith("spacing#"):
            self.taken.append(Taken(self._scheduler.now, Item["pk"]["S"].removeprefix("spacing#"), Item["key"]["S"]))
        self._record_pause(Item["pk"]["S"])
        if Item["pk"]["S"] == "gate":
            self.proofs.append((self._scheduler.now, float(Item["posted"]["N"])))
        return answer

    def update_item(self, Key: dict[str, Any], UpdateExpression: str, **options: Any) -> dict[str, Any]:
        answer = super().update_item(Key, UpdateExpression, **options)
        pk = Key["pk"]["S"]
        item = self.items[pk]
        unsettled = int(item.get("unsettled", {"N": "0"})["N"])
        change = Change(self._scheduler.now, self._scheduler.process.name, item["status"]["S"], unsettled)
        self.changes[pk].append(change)
        return answer

    def delete_item(self, Key: dict[str, Any]) -> dict[str, Any]:
        answer = super().delete_item(Key)
        self._record_pause(Key["pk"]["S"])
        return answer

    def owned(self) -> list[int]:
        """Return the ids of the posts that belong to a key."""
        return [int(pk.removeprefix("id#")) for pk in self.items if pk.startswith("id#")]

    def _record_pause(self, which: str) -> None:
        """Start or end a time in which the gate is closed."""
        if which not in self.closed:
            return
        now, item, times = self._scheduler.now, self.items.get(which), self.closed[which]
        until, cause = now, "operator"
        if item and which == "pause":
            until = float(item["until"]["N"]) if "until" in item else float("inf")
        elif item and "shut" in item:
            until, cause = float(item["shut"]["M"]["until"]["N"]), item["shut"]["M"]["cause"]["S"]
        if times and times[-1].until == until and times[-1].cause == cause:
            return
        if times and times[-1].until > now:
            times[-1].until = now
        if until > now:
            times.append(Closed(now, until, cause))


class World:
    """The relay and all services of one day."""

    def __init__(
        self, day: Scenario, on_call: OnCall | None = None, *, max_turns: int = MAX_TURNS, trace: bool = True
    ) -> None:
        self.day = day
        self._on_call = on_call
        self.scheduler = Scheduler(day.seed, START, max_turns)
        self.forecast = replace(day.weather)
        self.network = Network(self.scheduler, day.weather, trace=trace)
        self.began = START
        self.table = Ledgers(self.scheduler)
        self.stocktwits = StockTwits(self.network, day.nature, self.table.owned)
        random = self.scheduler.random
        self.dead = Queue("dead-letters", random)
        self.leftovers = Queue("leftovers", random, (LEFTOVERS_RECEIVES, self.dead), day.restless)
        self.outbox = Queue("outbox", random, (OUTBOX_RECEIVES, self.leftovers), day.restless)
        self.published: list[tuple[str, Alert]] = []
        self.retried: list[Stored] = []
        self.waiting: set[str] = set()
        """The receipts of messages that were left to wait for the gate alone."""
        self.held: list[Held] = []
        """The messages that the owner's rules, or their own, kept back."""
        self.expired: dict[str, float] = {}
        """The keys of messages that expired to the log, and when."""
        self.overtaken: list[tuple[float, str]] = []
        """When a message was sent although one of high priority in the same batch was not, and which."""
        self.drained: list[tuple[float, str]] = []
        """When a drain received messages, and which drain."""
        self.invocations: list[tuple[str, float]] = []
        """The function of each invocation, and its duration."""
        self._token = "token-1"
        self._aws = Process("aws")
        self._outside = Process("publisher")
        self._working = 0
        self._claims = 0
        self._workers = 0

    def run(self) -> None:
        """Run the day, and the calm after the storm, until every message has ended."""
        self._plan()
        with self._patched():
            try:
                self.scheduler.run(self._over)
            finally:
                self.scheduler.end()

    @property
    def overdue(self) -> bool:
        """Whether the day did not end."""
        return self.scheduler.now > START + MAX_SECONDS

    def _over(self) -> bool:
        quiet = self.scheduler.now > START + self.day.storm and len(self.published) == len(self.day.alerts)
        empty = not (self.outbox.messages or self.leftovers.messages)
        return self.overdue or (quiet and empty and not self._working and not self._to_retry())

    def _plan(self) -> None:
        day = self.day

        def later(seconds: float, action: Callable[[], Any]) -> None:
            self.scheduler.at(START + seconds, action)

        for alert in day.alerts:
            later(alert.after, partial(self._publish, alert))
        for begin, end in day.pauses:
            pause = {"pk": {"S": "pause"}, "who": {"S": "ann"}, "why": {"S": "earnings"}}
            if day.pauses_end:
                pause |= {"until": {"N": f"{START + begin + PAUSE_SECONDS:.3f}"}}
            later(begin, partial(self._operate, "pauses", self.table.put_item, pause))
            later(end, lambda: self._operate("resumes", self.table.delete_item, {"pk": {"S": "pause"}}))
        if day.new_token_after is not None:
            later(day.new_token_after, self._revoke)
            later(day.new_token_after + self.scheduler.random.uniform(0, 600), self._store_token)
        for moment in day.posts_by_hand:
            later(moment, lambda: self.stocktwits.post_by_hand(f"by hand {self.scheduler.random.random()}"))
        for moment, text in day.lookalikes:
            later(moment, partial(self.stocktwits.post_by_hand, text))
        later(day.storm, self._clear_up)
        for _ in range(2):
            self.scheduler.start(self._aws, self._poll)
        self.scheduler.start(self._aws, self._schedule)

    def _publish(self, alert: Alert) -> None:
        relay_key = {"RelayKey": {"DataType": "String", "StringValue": alert.relay_key}} if alert.relay_key else {}
        message_id = self.outbox.send(alert.body, relay_key, self.scheduler.now)
        self.network.calls["sqs.SendMessage"] += 1
        self.network.log(f"publishes {message_id}: {alert.body}", "publisher")
        self.published.append((message_id, alert))
        if alert.deadly and alert.text:
            self.stocktwits.deadly.add(alert.text)
        if alert.poison and alert.text:
            self.stocktwits.poisoned[alert.text] = alert.poison
        if alert.lost and alert.text:
            self.stocktwits.lost[alert.text] = alert.lost

    def _operate(self, what: str, action: Callable[[Any], Any], item: Any) -> None:
        self.network.log(what, "operator")
        action(item)

    def _revoke(self) -> None:
        self.network.log("revokes the token", "stocktwits")
        self.stocktwits.settings.access_token = "token-2"

    def _store_token(self) -> None:
        self.network.log("stores the new token", "operator")
        self._token = "token-2"

    def _clear_up(self) -> None:
        self.network.log("--- calm from here on ---", "aws")
        self.day.weather.clear_up()
        self.stocktwits.calm = True
        for queue in (self.outbox, self.leftovers):
            queue.restless = 0
        self.scheduler.at(self.scheduler.now + OPERATOR_LOOKS_AFTER, self._retry)

    def _to_retry(self) -> list[Stored]:
        """Return the dead letters of duplicates that were not retried yet."""
        return [
            each
            for each in self.dead.messages
            if "duplicate" in reason(each)
            and PERHAPS_POSTED not in reason(each)
            and key_of(each) not in map(key_of, self.retried)
        ]

    def _retry(self) -> None:
        """Retry duplicates, as in ``docs/operating.md``: the same body, with its key."""
        for letter in self._to_retry():
            key = letter.attributes["RelayKey"]
            self.retried.append(letter)
            self.dead.messages.remove(letter)
            self.network.log(f"retries {letter.body}", "operator")
            self.outbox.send(letter.body, {"RelayKey": key}, self.scheduler.now)
        if not self.overdue:
            self.scheduler.at(self.scheduler.now + OPERATOR_LOOKS_AFTER, self._retry)

    # ------------------------------------------------------------ Lambda: workers, event source, schedule

    def _worker(self, function: str) -> Worker:
        self._workers += 1
        worker = Worker(f"{function}-{self._workers}")
        network, now, day = self.network, lambda: self.scheduler.now, self.day
        dynamodb = DynamoDB(network, self.table, self._on_call)
        sqs = Sqs(network, self.outbox, self.leftovers, self.dead)
        own_ledger = Ledger(dynamodb, "ledger", now)  # type: ignore[arg-type]
        hours_pause = HoursPause(posting_hours(day.rules.posting_hours)) if day.rules.posting_hours else None
        gate = WatchedGate(worker, dynamodb, "ledger", day.pace, now, hours_pause)
        stocktwits = Client(URL, "bearer", self._credentials(worker), day.concurrency, now)
        stocktwits._adapter = Adapter(self.stocktwits, worker)  # type: ignore[assignment]
        delivery = Delivery(
            claim=own_ledger.claim,
            settle=own_ledger.settle,
            known=own_ledger.known,
            perhaps_posted=own_ledger.perhaps_posted,
            find=Reconciler(stocktwits.stream, own_ledger.owners, now).find,
            prepare=lambda _alert: None,
            send=stocktwits.publish,
            page=stocktwits.page,
            now=now,
            spacing=_spacing(day.rules, dynamodb, now),
            expiry_seconds=60 * day.rules.default_expiry_minutes,
            expired_to_log=day.rules.expired_to == "log",
            waits_as_duplicate=day.rules.when_duplicate == "wait",
        )
        dead_letters = DeadLetters(lambda: sqs, "dead-letters")  # type: ignore[arg-type,return-value]
        batches = BatchDelivery(delivery, gate, partial(_dead_letter, dead_letters), day.concurrency, now)
        source = queues.Queue(lambda: sqs, "outbox" if function == "post" else "leftovers")  # type: ignore[arg-type,return-value]
        outbox = queues.Queue(lambda: sqs, "outbox")  # type: ignore[arg-type,return-value]
        worker.container = Container(source, gate, batches, stocktwits, outbox, lambda _delivered, _seconds_left: [])
        return worker

    def _credentials(self, worker: Worker) -> Callable[..., Credentials]:
        known = {"token": self._token}

        def credentials(*, fresh: bool = False) -> Credentials:
            if fresh and known["token"] != self._token:
                self.network.log("reads the token again", worker.name)
                known["token"] = self._token
            return Credentials(known["token"], "relay_demo", "4242")

        return credentials

    def _poll(self) -> None:
        """The event source mapping: pass batches of the Outbox to a worker, and delete what it does not report."""
        worker = self._worker("post")
        random = self.scheduler.random
        while not self.overdue:
            received = self.outbox.receive(random.randint(self.day.smallest_batch, 10), self.scheduler.now)
            if not received:  # no call is counted: an idle poller polls all the time
                self._wait_for_the_outbox()
                continue
            self.network.calls["sqs.ReceiveMessage"] += 1
            if not worker.alive:
                worker = self._worker("post")
            self.network.log(f"gets {shown(received)}", worker.name)
            event = {"Records": [_record(each) for each in received]}
            answer = self._invoke(worker, post_messages.handler, event, POST_SECONDS)
            if answer is None:
                continue
            self.scheduler.sleep(random.uniform(0.001, 0.05))
            reported = {each["itemIdentifier"] for each in answer["batchItemFailures"]}
            done = [each for each in received if each.id not in reported]
            self.network.calls["sqs.DeleteMessageBatch"] += bool(done)
            for each in done:
                self.network.log(f"deletes {each.receipt} from the outbox")
                self.outbox.delete(each.receipt, self.scheduler.now)

    def _wait_for_the_outbox(self) -> None:
        """Wait until a message is sent, or one becomes visible again."""
        wake = self.scheduler.park()
        self.outbox.listeners.append(wake)
        if soon := self.outbox.next_visible():
            self.scheduler.at(soon, wake)
        self.scheduler.wait()
        if wake in self.outbox.listeners:
            self.outbox.listeners.remove(wake)
        self.scheduler.sleep(self.scheduler.random.choice([0, 0.5]))  # more messages may join the batch

    def _schedule(self) -> None:
        """The schedule: a drain every minute, and sometimes a second one while it runs."""
        worker = self._worker("drain")
        while not self.overdue:
            self.scheduler.sleep(60)
            if not self.leftovers.messages:
                continue
            if self.day.two_drains and self.scheduler.random.random() < 0.3:
                second = self._worker("drain")
                self.scheduler.start(
                    self._aws, partial(self._invoke, second, drain_leftovers.handler, {}, DRAIN_SECONDS)
                )
            if not worker.alive:
                worker = self._worker("drain")
            self._invoke(worker, drain_leftovers.handler, {}, DRAIN_SECONDS)

    def _invoke(self, worker: Worker, handler: Callable[..., Any], event: Any, seconds: float) -> Any:
        """Run a handler as Lambda does, with its timeout; return None if it did not return."""
        result: list[Any] = []
        wake = self.scheduler.park()
        began = self.scheduler.now
        worker.invocations += 1
        invocation = worker.invocations
        context = SimpleNamespace(
            aws_request_id="", get_remaining_time_in_millis=lambda: (began + seconds - self.scheduler.now) * 1000
        )

        def work() -> None:
            try:
                result.append(handler(event, context))
            except Exception as error:  # noqa: BLE001  Lambda reports it, and ends the worker
                self.network.log(f"failed: {type(error).__name__}: {error}")
                worker.alive = False
            finally:
                worker.invocations += 1
                wake()

        def cut_off() -> None:
            if worker.alive and worker.invocations == invocation:
                self.network.kill(worker)

        self.scheduler.start(worker, work)
        self.scheduler.at(began + seconds, cut_off)
        self._working += 1
        self.scheduler.wait()
        self._working -= 1
        self.invocations.append((worker.name.partition("-")[0], self.scheduler.now - began))
        return result[0] if result else None

    @contextmanager
    def _patched(self) -> Iterator[None]:
        """Replace the real time, threads and random numbers by simulated ones."""
        scheduler = self.scheduler
        clock = SimpleNamespace(time=lambda: scheduler.now, sleep=scheduler.sleep)
        patches: list[AbstractContextManager[object]] = [
            patch.multiple(
                batch,
                ThreadPoolExecutor=lambda threads: Pool(scheduler, threads),
                SimpleQueue=lambda: SimpleQueue(scheduler),
                threading=SimpleNamespace(Lock=lambda: Lock(scheduler)),
                time=clock,
            ),
            patch.multiple(
                reconciliation,
                threading=SimpleNamespace(Lock=lambda: Lock(scheduler)),
                _likeness=lru_cache(maxsize=None)(
                    reconciliation._likeness
                ),  # the same posts are compared over and over
            ),
            patch.object(queues, "random", scheduler.random),
            patch.object(ledger, "secrets", SimpleNamespace(token_hex=self._claim_id)),
        ]
        for handler in (post_messages, drain_leftovers):
            patches += [
                patch.object(handler, "container", lambda: scheduler.process.container),  # type: ignore[attr-defined]
                patch.object(handler, "telemetry", self._telemetry),
                patch.object(handler, "time", clock),
            ]
        with ExitStack() as stack:
            for each in patches:
                stack.enter_context(each)
            yield

    def _claim_id(self, _: int) -> str:
        self._claims += 1
        return f"claim-{self._claims}"

    def _telemetry(self, _service: str) -> Any:
        return _Telemetry(self)


class _Telemetry:
    """Adds to the trace what the real telemetry would log."""

    def __init__(self, world: World) -> None:
        self._world = world

    @contextmanager
    def invocation(self, context: Any) -> Iterator[Callable[[], float]]:
        yield lambda: float(context.get_remaining_time_in_millis()) / 1000

    def delivery(self, message: Any, outcome: Any) -> None:
        reason = f" ({outcome.reason})" if outcome.reason else ""
        self._world.network.log(f"{message.id} {outcome.key}: {outcome.result}{reason}")
        limited = outcome.status == HTTPStatus.TOO_MANY_REQUESTS
        if outcome.pause and outcome.retry_at is None and (limited or not outcome.tried):
            self._world.waiting.add(message.receipt_handle)
        now = self._world.scheduler.now
        if outcome.holds:
            held = Held(now, message.receipt_handle, outcome.key, outcome.retry_at, outcome.holds)
            self._world.held.append(held)
        if outcome.result is Result.EXPIRED:
            self._world.expired[outcome.key] = now

    def batch(self, delivered: Any) -> None:
        sent = [outcome.key for _, outcome in delivered if outcome.sent and not outcome.high]
        paced = [outcome for _, outcome in delivered if outcome.pause and outcome.pause.cause == "pace"]
        if sent and any(outcome.high and not outcome.tried for outcome in paced):
            self._world.overtaken.append((self._world.scheduler.now, sent[0]))
        if self._world.scheduler.process.name.startswith("drain") and delivered:
            self._world.drained.append((self._world.scheduler.now, self._world.scheduler.process.name))

    def failures(self, lines: Any) -> None:
        for line in lines:
            self._world.network.log(line)

    def unannounced(self, lines: Any) -> None:
        self.failures(lines)

    def outbox_depth(self, messages: int) -> None:
        if messages:
            self._world.network.log(f"the outbox has {messages} messages while the gate is open")

    def gate_closed(self, pause: Pause | None) -> None:
        if pause:
            self._world.network.log(f"the gate is closed: {pause.reason}")


def _spacing(rules: Rules, dynamodb: DynamoDB, now: Callable[[], float]) -> Spacing | None:
    if not (rules.alike_minutes or rules.symbol_cooldown_minutes):
        return None
    alike, symbol = 60 * rules.alike_minutes, 60 * rules.symbol_cooldown_minutes
    return Spacing(dynamodb, "ledger", now, alike_seconds=alike, symbol_seconds=symbol)  # type: ignore[arg-type]


def _dead_letter(dead_letters: DeadLetters, message: QueueMessage, outcome: Outcome) -> bool:
    return dead_letters.send(message, outcome.reason, key=outcome.key, status=outcome.status)


def reason(letter: Stored) -> str:
    """Return the reason of a dead letter."""
    return str(letter.attributes.get("RejectReason", {}).get("StringValue", ""))


def shown(messages: list[Stored]) -> str:
    """Format messages for the trace."""
    return ", ".join(f"{each.body} ({each.receipt})" for each in messages)


def key_of(letter: Stored) -> str:
    """Return the idempotency key of a dead letter."""
    return str(letter.attributes.get("RelayKey", {}).get("StringValue", ""))


def _record(message: Stored) -> dict[str, Any]:
    """Describe a message as a Lambda event does."""
    attributes = {
        name: {"stringValue": each["StringValue"], "dataType": each["DataType"]}
        for name, each in message.attributes.items()
    }
    return {
        "messageId": message.id,
        "receiptHandle": message.receipt,
        "body": message.body,
        "attributes": {
            "ApproximateReceiveCount": str(message.receives),
            "SentTimestamp": str(int(message.sent_at * 1000)),
        },
        "messageAttributes": attributes,
    }
