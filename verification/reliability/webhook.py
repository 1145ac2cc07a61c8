"""The webhook under faults: senders that send again while answers are lost, and somebody who tries secrets.

The real handler runs in simulated time; SSM and SQS are in memory, and fail. What reaches the Outbox is then posted by
the real functions in the world of `verification.simulation`.
"""

from __future__ import annotations

import heapq
import io
import json
import logging
import secrets
import sys
import time
import tracemalloc
from collections import Counter, defaultdict
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError
from msgspec.structs import replace
from relay.posting.webhook.body_template import Template
from relay.posting.webhook.message import SAME_SECONDS
from relay.posting.webhook.outbox import Outbox
from relay.posting.webhook.receiver import Receiver
from relay.posting.webhook.source_parameter import REREAD_SECONDS, SourceParameter
from relay.posting.webhook.sources import encode, new_secret, new_source
from relay.posting.webhook.telemetry import WebhookTelemetry

from functions.receive_alerts import app
from verification.reliability import costs
from verification.reliability.page import Section, table
from verification.simulation import scenario
from verification.simulation.network import Weather
from verification.simulation.scenario import START, Scenario
from verification.simulation.stocktwits import Nature
from verification.simulation.world import World, key_of, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_ssm import SSMClient

    from verification.simulation.sqs import Stored

SENDS_AGAIN_AFTER = (1, 5, 20, 60, 180, 600)
"""Seconds between a sender's attempts; after the last it gives up. All of them fit into half an hour."""

CONTAINERS = 3
"""As many containers of the function take turns."""

SSM_FAILS = 0.2
RESTLESS = 0.02
"""How likely SQS delivers a message again."""

THROTTLE = 5
"""The default of ``WebhookRatePerSecond``."""

FLAT_BYTES = 64 * 1024
"""How much more memory a container may use after all wrong secrets than after the first tenth of them."""

OTHER_LOG_BYTES = 1100
"""Lambda's own lines about an invocation (start, report), and a line of the API's access log, which this run does not
have."""


class Fate(StrEnum):
    """What happens to a request."""

    ANSWERED = "answered"
    NEVER_ARRIVED = "lost before it arrived"
    KILLED_BEFORE = "the function was killed before it had sent the alert"
    KILLED_AFTER = "the function was killed after it had sent the alert"
    REFUSED = "SQS refused the alert"
    NOT_CONNECTED = "SQS could not be reached"
    TAKEN = "SQS took the alert, but its answer was lost"
    ANSWER_LOST = "the answer to the sender was lost"


LIKELY = {
    Fate.ANSWERED: 0.72,
    Fate.NEVER_ARRIVED: 0.04,
    Fate.KILLED_BEFORE: 0.02,
    Fate.KILLED_AFTER: 0.02,
    Fate.REFUSED: 0.06,
    Fate.NOT_CONNECTED: 0.02,
    Fate.TAKEN: 0.06,
    Fate.ANSWER_LOST: 0.06,
}


@dataclass(frozen=True)
class Plan:
    """What a run does.

    Attributes:
        seed: The seed of all its choices.
        alerts: How many alerts there are.
        hours: In how many hours they are sent.
        wrong_secrets: How many requests have a wrong secret.
    """

    seed: int
    alerts: int
    hours: float
    wrong_secrets: int


FULL = Plan(seed=20261127, alerts=10_000, hours=6.5, wrong_secrets=10_000)


@dataclass(frozen=True)
class Alert:
    """An alert that a sender wants to be posted once.

    Attributes:
        after: When it is sent first, in seconds after the start.
        source: The name of its source.
        payload: What is sent.
        text: The text of its post, which no other alert has.
        has_key: Whether its sender gives it a key.
    """

    after: float
    source: str
    payload: str
    text: str
    has_key: bool


@dataclass(frozen=True)
class Arrival:
    """A message in the Outbox: when it was sent, its body, and its attribute ``RelayKey``."""

    after: float
    body: str
    key: str


@dataclass
class Run:
    """What was sent, and what became of it.

    Attributes:
        alerts: All alerts.
        arrivals: The messages in the Outbox, by the alert's text.
        answers: The statuses that senders got, by the alert's text; None for a request without an answer.
        fates: How often each happened.
        reads: How often SSM was asked.
        posts: How often each text is on StockTwits.
        dead: The reasons in Dead letters, by the message's key.
        leaks: How often a log line contained the secret of a source.
    """

    alerts: Sequence[Alert]
    arrivals: defaultdict[str, list[Arrival]] = field(default_factory=lambda: defaultdict(list))
    answers: defaultdict[str, list[int | None]] = field(default_factory=lambda: defaultdict(list))
    fates: Counter[Fate] = field(default_factory=Counter)
    reads: int = 0
    posts: Counter[str] = field(default_factory=Counter)
    dead: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    leaks: int = 0

    def violations(self) -> list[str]:
        """Return the violations of guarantees."""
        found = [f"{self.leaks} log lines contain the secret of a source"] if self.leaks else []
        for alert in self.alerts:
            found += self._violations(alert)
        return found

    def _violations(self, alert: Alert) -> Iterator[str]:
        arrivals, name = self.arrivals[alert.text], alert.text
        if HTTPStatus.ACCEPTED in self.answers[name] and not arrivals:
            yield f"LOST: {name!r} was answered with 202, and is not in the Outbox"
        keys = {each.key for each in arrivals}
        most = 1 if alert.has_key else len(half_hours(arrivals))
        if len(keys) > most:
            yield f"{name!r} has {len(keys)} keys, at most {most} are allowed"
        if self.posts[name] != bool(arrivals):
            yield f"{name!r} is in the Outbox {len(arrivals)} times, and on StockTwits {self.posts[name]} times"
        # Of the same dead letter, there may be copies: SQS delivers a message at least once.
        dead = {key: set(self.dead[key]) for key in keys if self.dead[key]}
        if len(dead) != max(0, len(keys) - 1) or not all("duplicate" in each for each in set().union(*dead.values())):
            yield f"{name!r} with {len(keys)} keys is in Dead letters because of {dead}"

    @property
    def again_in_the_next_half_hour(self) -> int:
        """How many alerts without a key arrived again in the next half hour."""
        return sum(len({each.key for each in arrivals}) > 1 for arrivals in self.arrivals.values())


@dataclass(frozen=True)
class Storm:
    """What requests with wrong secrets did.

    Attributes:
        requests: How many there were.
        seconds: In how many simulated seconds.
        statuses: How often each status was the answer.
        answers: The different answers.
        sent: How many messages are in the Outbox.
        reads: How often SSM was asked.
        grown_bytes: How much more memory was used at the end than after the first tenth.
        log_bytes: How much the function logged for each request.
        milliseconds: The processor time of each request on this machine.
    """

    requests: int
    seconds: float
    statuses: Counter[int]
    answers: set[str]
    sent: int
    reads: int
    grown_bytes: int
    log_bytes: float
    milliseconds: float

    @property
    def most_reads(self) -> float:
        """How often SSM may be asked: each container once at its start, and then once in `REREAD_SECONDS`."""
        return CONTAINERS * (2 + self.seconds / REREAD_SECONDS)

    def violations(self) -> Iterator[str]:
        """Yield the violations of guarantees."""
        if set(self.statuses) != {HTTPStatus.NOT_FOUND} or len(self.answers) != 1:
            yield f"wrong secrets were answered with {dict(self.statuses)}"
        if self.sent:
            yield f"{self.sent} messages with a wrong secret are in the Outbox"
        if self.reads > self.most_reads:
            yield f"wrong secrets made {self.reads} requests to SSM"
        if self.grown_bytes > FLAT_BYTES:
            yield f"wrong secrets took {self.grown_bytes} bytes of memory"


class Killed(BaseException):
    """The function's process ends."""


class Services:
    """SSM and SQS in memory, the function's containers, and API Gateway in front of them, in simulated time."""

    def __init__(self, seed: int) -> None:
        """Make a source of each kind."""
        self.random = Random(f"webhook {seed}")
        self.now = START
        self.arrived: Callable[[Arrival], None] = lambda _: None
        self.fate = Fate.ANSWERED
        self.ssm_fails = 0.0
        self.reads = 0
        self.log = Log()
        self.secrets = {name: new_secret() for name in ("text", "filled", "keyed")}
        form = Template(body="{name} at {price}", sentiment="{side}", maps={"side": {"buy": "bullish"}})
        templates = {"text": None, "filled": form, "keyed": replace(form, key="{id}")}
        self._parameter = encode(
            {
                name: new_source(secret, added="2026-11-27", template=templates[name], expires_in=12 * 3600)
                for name, secret in self.secrets.items()
            }
        )
        self._containers = [self._container() for _ in range(CONTAINERS)]

    def post(self, source: str, secret: str, payload: str, *, in_header: bool = False) -> tuple[int | None, str]:
        """Make a request; return the status and the body of its answer, or None if the sender gets none."""
        if self.fate is Fate.NEVER_ARRIVED:
            return None, ""
        which = self.random.randrange(CONTAINERS)
        self._container_in_use = self._containers[which]
        event = {
            "pathParameters": {"source": source} if in_header else {"source": source, "secret": secret},
            "headers": {"authorization": f"Bearer {secret}"} if in_header else {},
            "requestContext": {"http": {"sourceIp": "52.89.214.238"}},
            "body": payload,
            "isBase64Encoded": False,
        }
        try:
            answer = app.handler(
                event, SimpleNamespace(aws_request_id="b7b1", get_remaining_time_in_millis=lambda: 5000)
            )
        except Killed:
            self._containers[which] = self._container()
            return HTTPStatus.INTERNAL_SERVER_ERROR, ""  # API Gateway's own
        return (None, "") if self.fate is Fate.ANSWER_LOST else (answer["statusCode"], answer["body"])

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let the handler use these services."""
        with ExitStack() as stack:
            stack.enter_context(redirect_stdout(cast("Any", self.log)))
            telemetry = WebhookTelemetry("receive_alerts", "stack")
            stack.enter_context(patch.object(logging.getLogger("receive_alerts"), "propagate", new=False))
            for handler in telemetry.logger.handlers:
                handler.stream = sys.stdout  # type: ignore[attr-defined]  # not that of an earlier run
            stack.enter_context(patch.object(app, "telemetry", lambda: telemetry))
            stack.enter_context(patch.object(app, "container", lambda: self._container_in_use))
            yield

    def get_parameter(self, **_: object) -> dict[str, Any]:
        """Answer as SSM does."""
        self.reads += 1
        if self.random.random() < self.ssm_fails:
            raise ClientError({"Error": {"Code": "ServiceUnavailable", "Message": ""}}, "GetParameter")
        return {"Parameter": {"Value": self._parameter}}

    def send_message(self, MessageBody: str, MessageAttributes: Mapping[str, Any], **_: object) -> dict[str, str]:  # noqa: N803  AWS names its arguments
        """Answer as SQS does, or as the request's fate has it."""
        match self.fate:
            case Fate.KILLED_BEFORE:
                raise Killed
            case Fate.REFUSED:
                raise ClientError({"Error": {"Code": "ServiceUnavailable", "Message": ""}}, "SendMessage")
            case Fate.NOT_CONNECTED:
                raise ConnectTimeoutError(endpoint_url="sqs")
        key = MessageAttributes["RelayKey"]["StringValue"]
        self.arrived(Arrival(self.now - START, MessageBody, key))
        match self.fate:
            case Fate.KILLED_AFTER:
                raise Killed
            case Fate.TAKEN:
                raise ReadTimeoutError(endpoint_url="sqs")
        return {"MessageId": f"{self.random.getrandbits(64):016x}"}

    def _container(self) -> Receiver:
        parameter = SourceParameter(lambda: cast("SSMClient", self), "/webhook-sources", lambda: self.now, print)
        outbox = Outbox(lambda: cast("SQSClient", self), "outbox")
        return Receiver(parameter.sources, outbox.send, lambda: self.now)


class Log(io.TextIOBase):
    """What the function writes; only counted, and searched for secrets."""

    def __init__(self) -> None:
        """Begin empty."""
        self.size = 0
        self.leaks = 0
        self.secrets: Sequence[str] = ()

    def write(self, text: str) -> int:
        """Count a part of the log."""
        self.size += len(text.encode())
        self.leaks += any(each in text for each in self.secrets)
        return len(text)


class NobodyRetries(World):
    """A world in which nobody retries dead letters."""

    def _to_retry(self) -> list[Stored]:
        return []


def half_hours(arrivals: Sequence[Arrival]) -> set[int]:
    """Return the half hours in which messages arrived."""
    return {int((START + each.after) // SAME_SECONDS) for each in arrivals}


def prove() -> Section:
    """Do the full run, and write the section."""
    print(f"Sending {FULL.alerts:,} alerts to the webhook, and {FULL.wrong_secrets:,} wrong secrets", flush=True)
    began = time.monotonic()
    run, log_bytes = send_again(FULL)
    wrong = storm(FULL)
    text = _page_text(FULL, run, wrong, log_bytes, time.monotonic() - began)
    return Section.of(text, [*run.violations(), *wrong.violations()])


def send_again(plan: Plan) -> tuple[Run, float]:
    """Send alerts, each again until it is answered, and post what reaches the Outbox.

    Returns:
        The run, and how many bytes the function logged for each request that it got.
    """
    services = Services(plan.seed)
    services.ssm_fails = SSM_FAILS
    services.log.secrets = tuple(services.secrets.values())
    run = Run(_alerts(plan, services.random))
    due = [(alert.after, number, 0) for number, alert in enumerate(run.alerts)]
    heapq.heapify(due)
    fates, weights = list(LIKELY), list(LIKELY.values())
    with services.running():
        while due:
            after, number, attempt = heapq.heappop(due)
            alert = run.alerts[number]
            services.now = START + after
            services.fate = services.random.choices(fates, weights)[0]
            services.arrived = run.arrivals[alert.text].append
            status, _ = services.post(alert.source, services.secrets[alert.source], alert.payload)
            run.fates[services.fate] += 1
            run.answers[alert.text].append(status)
            if (status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR) and attempt < len(SENDS_AGAIN_AFTER):
                heapq.heappush(due, (after + SENDS_AGAIN_AFTER[attempt], number, attempt + 1))
    run.reads, run.leaks = services.reads, services.log.leaks
    _post(plan, run)
    return run, services.log.size / (run.fates.total() - run.fates[Fate.NEVER_ARRIVED])


def storm(plan: Plan) -> Storm:
    """Send wrong secrets as fast as the throttle lets them through."""
    services = Services(plan.seed)
    sent: list[Arrival] = []
    services.arrived = sent.append
    statuses: Counter[int] = Counter()
    answers = set()
    names = [*services.secrets, "nobody", "admin"]
    payload = json.dumps({"body": "Buy $SCAM now"})
    before = after = 0
    with services.running():
        tracemalloc.start()
        began = time.process_time()
        for number in range(plan.wrong_secrets):
            services.now += 1 / THROTTLE
            name = services.random.choice(names)
            status, answer = services.post(name, secrets.token_urlsafe(32), payload, in_header=number % 2 == 1)
            statuses[status or 0] += 1
            answers.add(answer)
            if number == plan.wrong_secrets // 10:
                before, _ = tracemalloc.get_traced_memory()
        took = time.process_time() - began
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return Storm(
        requests=plan.wrong_secrets,
        seconds=plan.wrong_secrets / THROTTLE,
        statuses=statuses,
        answers=answers,
        sent=len(sent),
        reads=services.reads,
        grown_bytes=after - before,
        log_bytes=services.log.size / plan.wrong_secrets,
        milliseconds=1000 * took / plan.wrong_secrets,
    )


def _alerts(plan: Plan, random: Random) -> list[Alert]:
    """Make alerts: text and JSON, with a key and without, and payloads for templates."""
    made = []
    for number in range(plan.alerts):
        after, price = random.uniform(0, plan.hours * 3600), f"{random.uniform(1, 900):.2f}"
        text = f"$W{number} at {price}"
        side = random.choice(["buy", "neutral"])
        match random.randrange(5):
            case 0:
                made.append(Alert(after, "text", text, text, has_key=False))
            case 1:
                made.append(Alert(after, "text", json.dumps({"body": text}), text, has_key=False))
            case 2:
                payload = json.dumps({"body": text, "key": f"own-{number}"})
                made.append(Alert(after, "text", payload, text, has_key=True))
            case 3:
                payload = json.dumps({"name": f"$W{number}", "price": float(price), "side": side})
                made.append(Alert(after, "filled", payload, f"$W{number} at {float(price)}", has_key=False))
            case _:
                payload = json.dumps({"name": f"$W{number}", "price": price, "side": side, "id": number})
                made.append(Alert(after, "keyed", payload, text, has_key=True))
    return made


def _post(plan: Plan, run: Run) -> None:
    """Post the messages in the Outbox, and look at StockTwits and Dead letters."""
    published = [
        scenario.Alert(each.after, each.body, text, relay_key=each.key)
        for text, arrivals in run.arrivals.items()
        for each in arrivals
    ]
    day = Scenario(
        plan.seed,
        published,
        Weather(),
        Nature(),
        costs.OPEN,
        concurrency=4,
        storm=plan.hours * 3600 + sum(SENDS_AGAIN_AFTER),
        restless=RESTLESS,
    )
    world = NobodyRetries(day, max_turns=costs.ENDLESS, trace=False)
    world.run()
    run.posts.update(post.body for post in world.stocktwits.timeline.posts)
    for letter in world.dead.messages:
        run.dead[key_of(letter)].append(reason(letter))


def _page_text(plan: Plan, run: Run, wrong: Storm, log_bytes: float, seconds: float) -> str:
    requests = run.fates.total()
    arrivals = sum(map(len, run.arrivals.values()))
    accepted = sum(HTTPStatus.ACCEPTED in run.answers[each.text] for each in run.alerts)
    unanswered = [each for each in run.alerts if HTTPStatus.ACCEPTED not in run.answers[each.text]]
    in_the_outbox = sum(bool(run.arrivals[each.text]) for each in unanswered)
    violated = len(run.violations())
    outcomes = [
        ["alerts", len(run.alerts)],
        ["requests", requests],
        ["alerts that were answered with 202 in the end", accepted],
        ["alerts whose sender gave up although they were in the Outbox", in_the_outbox],
        ["alerts whose sender gave up, and which never reached the Outbox", len(unanswered) - in_the_outbox],
        ["messages in the Outbox", arrivals],
        ["posts", run.posts.total()],
        ["alerts that arrived again in the next half hour, whose second message is in Dead letters as a duplicate",
         run.again_in_the_next_half_hour],
        ["**alerts that were lost, posted twice, or had two keys within a half hour**", violated],
        ["**log lines with the secret of a source**", run.leaks],
    ]  # fmt: skip
    fates = [[each.value, run.fates[each]] for each in Fate]
    day = costs.webhook(THROTTLE * costs.DAY, taken=False)
    storm_rows = [
        ["requests with a wrong secret", wrong.requests],
        ["**of these, answered with anything but the one 404**", wrong.requests - wrong.statuses[HTTPStatus.NOT_FOUND]],
        ["**messages in the Outbox**", wrong.sent],
        [f"requests to SSM by {CONTAINERS} containers in {wrong.seconds:.0f} s", wrong.reads],
        ["kilobytes of memory more after the last than after the first tenth", round(wrong.grown_bytes / 1024)],
        ["bytes that the function logged for each", round(wrong.log_bytes)],
    ]
    return f"""\
## The webhook under faults

The real handler of `receive_alerts` ran in simulated time, in {CONTAINERS} containers that took turns, with SSM and SQS
in memory. {plan.alerts:,} alerts (text, JSON, and payloads for templates, with a key and without) were sent in
{plan.hours} hours. Senders did what TradingView is said to do, and more: after an answer of 5xx, or none, they sent the
same again, after {", ".join(map(str, SENDS_AGAIN_AFTER[:-1]))} and {SENDS_AGAIN_AFTER[-1]} s. SSM failed at
{SSM_FAILS:.0%} of the attempts to read the sources. What reached the Outbox was then posted by the real functions,
with a StockTwits that refuses a text for half an hour as a duplicate, and with SQS delivering some messages twice
(`verification/simulation`).

{table(["result", "number"], outcomes)}

{table(["what happened to a request", "times"], fates)}

SSM was asked {run.reads:,} times, and the function logged {log_bytes:.0f} bytes for each request.

### Wrong secrets

{wrong.requests:,} requests with a secret that was wrong, each another one, for sources that exist and others that do
not, arrived at the rate that the throttle lets through, {THROTTLE} a second:

{table(["result", "number"], storm_rows)}

Each took {wrong.milliseconds:.2f} ms of processor time here. A whole day of them costs {day.total:.2f} USD
([`webhook.md`](webhook.md#what-it-costs)), and API Gateway answers what exceeds the throttle by itself.

It took {seconds:.0f} s, seed {plan.seed}.
"""
