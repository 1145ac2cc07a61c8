"""Posting under faults: four publishers at once, StockTwits failing in every way, and workers being killed."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from local.build import HOST_RUNTIME
from local.stack.stack import Stack
from local.stand_ins.stocktwits.api import PostRecord
from verification.reliability import alerts
from verification.reliability.checker import Alert, End, Entry, PauseCheck, PostingChecker
from verification.reliability.page import Section, table
from verification.reliability.visibility import VisibilityProxy, depth, visibility_timeout, with_environment
from verification.reliability.workers import Killer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from local.stand_ins.stocktwits.server import StandIn

TIMES = 10
"""The factor by which the run is faster: the pace is that many times the template's maximum, the account's stream shows
that many times as many posts, and visibility timeouts are that much shorter."""

LONGEST_VISIBILITY_SECONDS = 5
"""For messages that wait for a pause of minutes, which the operator ends after a moment."""

FASTEST_PER_HOUR = 3600
BURST = 100
VISIBILITY_SECONDS = 95
"""Longer than a function's timeout (60 s) and a claim's lease (90 s)."""

LATENCY_SECONDS = 0.3
"""How long StockTwits takes for each answer: long enough that kills interrupt requests."""

GRACE_SECONDS = 1.0 + 3.05
"""The guarantee of a pause: no post is started more than a second after it; connecting may take 3.05 s."""

BATCH = 10
IN_FLIGHT = 10
RARE, FREQUENT = 0.002, 0.02
TRANSIENT = {
    "429 2": FREQUENT,
    "5xx-before": FREQUENT,
    "5xx-after": FREQUENT,
    "timeout-before 12": FREQUENT,
    "timeout-after 12": FREQUENT,
    "reset-before": FREQUENT,
    "reset-after": FREQUENT,
    "close-after": FREQUENT,
    "no-id": FREQUENT,
    "not-json": FREQUENT,
}
PAUSING = {
    "401": RARE,
    "suspended": RARE,
    "403-json": RARE,
    "403-html": RARE,
    "redirect": RARE,
    "5xx-before 503": RARE,
    "5xx-after 503": RARE,
}
"""These close the gate for one to fifteen minutes; an operator opens it again after a second or two."""

CLEAR = frozenset({"429", "401", "suspended", "403-json", "403-html"})
"""The answers after which it is certain that nothing was posted."""


@dataclass(frozen=True)
class Plan:
    """What a run does.

    Attributes:
        seed: The seed of all its choices.
        messages: How many messages are published, including repetitions.
        publishing_seconds: How long the four publishers take.
        kill_pauses: The shortest and the longest time between two kills.
        kills: How many workers are killed.
        pause_seconds: How long the operator's pause lasts.
        max_seconds: After how long the run ends, finished or not.
    """

    seed: int
    messages: int
    publishing_seconds: float
    kill_pauses: tuple[float, float]
    kills: int
    pause_seconds: float
    max_seconds: float


FULL = Plan(
    seed=20261122,
    messages=2000,
    publishing_seconds=200,
    kill_pauses=(8, 16),
    kills=25,
    pause_seconds=15,
    max_seconds=900,
)
PUBLISHERS = 4
DRAINS = 2
RESTART_SECONDS = 3


@dataclass
class Run:
    """What a run did, and what was observed."""

    plan: Plan
    alerts: Sequence[Alert]
    message_ids: dict[str, list[str]] = field(default_factory=dict)
    kills: Sequence[float] = ()
    restarts: int = 0
    reopened: Counter[str] = field(default_factory=Counter)
    pause: tuple[float, float] = (0, 0)
    shortened: int = 0
    seconds: float = 0
    drained: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    pause_check: PauseCheck = field(default_factory=lambda: PauseCheck(0, 0, ()))
    checker: PostingChecker = field(default_factory=lambda: PostingChecker((), {}, {}, {}, frozenset(), 0, {}))

    def violations(self) -> list[str]:
        """Return the violations of guarantees."""
        found = self.checker.violations()
        if late := self.pause_check.late(GRACE_SECONDS):
            found.append(f"{late} posts were sent while the operator's pause was in force")
        return found


def prove() -> Section:
    """Do the full run on its own stack."""
    with Stack({"MaxPostsPerDay": 0}, enforce_iam=True) as stack:
        run = fire(stack, FULL, print)
    return Section.of(_page_text(run), run.violations())


def fire(stack: Stack, plan: Plan, on_progress: Callable[[str], None] = lambda _: None) -> Run:
    """Do a run; it first empties the stack's Outbox, Leftovers and Dead letters.

    Args:
        stack: The deployed stack; the functions' settings are restored afterwards.
        plan: What to do.
        on_progress: Called with the progress from time to time.
    """
    choice = random.Random(plan.seed)
    copies = alerts.make(plan.messages, choice)
    run = Run(plan, list(dict.fromkeys(copies)))
    _prepare(stack)
    began = time.monotonic()
    with ExitStack() as contexts:
        proxy = contexts.enter_context(
            VisibilityProxy(stack.emulator.url, stack.client("sqs"), TIMES, LONGEST_VISIBILITY_SECONDS)
        )
        for function in ("PostMessagesFunction", "DrainLeftoversFunction"):
            contexts.enter_context(
                with_environment(
                    stack,
                    function,
                    AWS_ENDPOINT_URL_SQS=proxy.url,
                    MAX_POSTS_PER_HOUR=str(TIMES * FASTEST_PER_HOUR),
                    POST_BURST=str(BURST),
                    MAX_POSTS_PER_DAY="0",
                )
            )
        for queue in ("OutboxQueue", "LeftoversQueue"):
            contexts.enter_context(visibility_timeout(stack, queue, VISIBILITY_SECONDS))
        contexts.enter_context(_configured(stack.stocktwits))
        stack.stocktwits.fail_at_random(plan.seed, TRANSIENT | PAUSING)
        functions = [stack.outputs[f"{each}Name"] for each in ("PostMessagesFunction", "DrainLeftoversFunction")]
        killer = Killer(stack.emulator.url, functions, random.Random(plan.seed), plan.kill_pauses, plan.kills)
        contexts.enter_context(_repeated(lambda: _reopen_gate(stack, run)))
        for _ in range(DRAINS):
            contexts.enter_context(_repeated(lambda: _drain(stack, run)))
        with ThreadPoolExecutor(PUBLISHERS + 2) as pool, killer:
            tasks = [pool.submit(_publish, stack, run, copies[n::PUBLISHERS], n) for n in range(PUBLISHERS)]
            tasks += [pool.submit(task, stack, run) for task in (_restart, _pause)]
            _wait(stack, run, lambda: all(each.done() for each in tasks), on_progress)
            for each in tasks:
                each.result()
        run.kills, run.shortened = killer.kills, proxy.shortened
    run.seconds = time.monotonic() - began
    _check(stack, run)
    stack.stocktwits.reset()
    return run


@contextmanager
def _configured(stand_in: StandIn) -> Iterator[None]:
    """Configure the stand-in for the run, and restore its settings afterwards."""
    changes = {"latency_seconds": LATENCY_SECONDS, "stream_times": TIMES, "duplicate_seconds": 0.0}
    before = {name: getattr(stand_in, name) for name in changes}
    stand_in.configure(**changes)
    try:
        yield
    finally:
        stand_in.configure(**before)


def _prepare(stack: Stack) -> None:
    """Empty the queues, and give the account older posts, as a real account has."""
    for queue in ("OutboxQueue", "LeftoversQueue", "DeadLetterQueue"):
        stack.client("sqs").purge_queue(QueueUrl=stack.outputs[f"{queue}Url"])
    stack.stocktwits.reset()
    past = datetime.now(UTC) - timedelta(days=1)
    for number in range(30 * TIMES):
        stack.stocktwits.api.timeline.add(PostRecord(0, f"Yesterday: {number}", "neutral", None, None, past))


def _publish(stack: Stack, run: Run, copies: Sequence[Alert], number: int) -> None:
    """Publish a share of the messages."""
    choice, sqs, url = random.Random(f"{run.plan.seed} {number}"), stack.client("sqs"), stack.outputs["OutboxQueueUrl"]
    began = time.monotonic()
    gap = run.plan.publishing_seconds / len(copies)
    due = 0.0
    for each in copies:
        due += choice.expovariate(1 / gap)
        time.sleep(max(0.0, began + due - time.monotonic()))
        message_id = sqs.send_message(QueueUrl=url, MessageBody=each.body)["MessageId"]
        run.message_ids.setdefault(each.body, []).append(message_id)


def _wait_for_posts(stack: Stack, run: Run, share: float) -> None:
    """Wait until the relay has started to post, and then for a share of the time that publishing takes."""
    began = time.monotonic()
    while not stack.stocktwits.requests and time.monotonic() - began < run.plan.max_seconds:
        time.sleep(0.1)
    time.sleep(run.plan.publishing_seconds * share)


def _restart(stack: Stack, run: Run) -> None:
    """Stop StockTwits for a moment: running requests fail, and new connections are refused."""
    _wait_for_posts(stack, run, 0.3)
    stack.stocktwits.stop()
    time.sleep(RESTART_SECONDS)
    stack.stocktwits.start()
    run.restarts += 1


def _pause(stack: Stack, run: Run) -> None:
    """Pause posting for a while as an operator, as in docs/operating.md."""
    _wait_for_posts(stack, run, 0.6)
    dynamodb, table_name = stack.client("dynamodb"), stack.outputs["LedgerTableName"]
    item = {"pk": {"S": "pause"}, "who": {"S": "an operator"}, "why": {"S": "to test the pause"}}
    dynamodb.put_item(TableName=table_name, Item=item)
    began = time.time()
    time.sleep(run.plan.pause_seconds)
    run.pause = (began, time.time())
    dynamodb.delete_item(TableName=table_name, Key={"pk": {"S": "pause"}})


def _reopen_gate(stack: Stack, run: Run) -> None:
    """End a pause of minutes, as an operator does who has fixed its cause: remove it from the gate's item."""
    dynamodb, table_name = stack.client("dynamodb"), stack.outputs["LedgerTableName"]
    key = {"pk": {"S": "gate"}}
    gate = dynamodb.get_item(TableName=table_name, Key=key, ConsistentRead=True).get("Item", {})
    pause = gate.get("shut", {}).get("M")
    if pause is None or float(pause["until"]["N"]) < time.time() + RESTART_SECONDS:
        return
    time.sleep(1)
    try:
        dynamodb.update_item(
            TableName=table_name,
            Key=key,
            UpdateExpression="REMOVE #shut SET #version = #version + :one",
            ConditionExpression="#version = :seen",
            ExpressionAttributeNames={"#shut": "shut", "#version": "version"},
            ExpressionAttributeValues={":one": {"N": "1"}, ":seen": gate["version"]},
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return  # the item has changed: read it again
    run.reopened[pause["cause"]["S"]] += 1


def _drain(stack: Stack, run: Run) -> None:
    """Invoke the drain, in addition to its schedule, whose minute is ten times too long here."""
    stack.client("lambda").invoke(FunctionName=stack.outputs["DrainLeftoversFunctionName"])
    run.drained += 1


@contextmanager
def _repeated(action: Callable[[], None], seconds: float = 0.5) -> Iterator[None]:
    """Repeat an action every so many seconds until the block ends."""
    stopping = threading.Event()

    def repeat() -> None:
        while not stopping.wait(seconds):
            action()

    with ThreadPoolExecutor(1) as pool:
        repeating = pool.submit(repeat)
        try:
            yield
        finally:
            stopping.set()
            repeating.result()


def _wait(stack: Stack, run: Run, published: Callable[[], bool], on_progress: Callable[[str], None]) -> None:
    """Wait until everything is published and the queues are empty, or the time is up."""
    began = time.monotonic()
    reported = began
    while time.monotonic() - began < run.plan.max_seconds:
        counts = {name: depth(stack, name) for name in ("OutboxQueue", "LeftoversQueue")}
        if published() and not any(counts.values()):
            return
        if time.monotonic() - reported > 15:  # noqa: PLR2004
            reported = time.monotonic()
            on_progress(f"{reported - began:4.0f} s: {len(stack.stocktwits.posts) - 30 * TIMES} posts, {counts}")
        time.sleep(0.5)


def _check(stack: Stack, run: Run) -> None:
    stand_in = stack.stocktwits
    publishes = [seen.at for seen in stand_in.requests if seen.resource == "messages/create"]
    run.pause_check = PauseCheck(*run.pause, publishes)
    run.requests = len(stand_in.requests)
    run.faults = Counter(planned.name for _, planned in stand_in.faulted)
    run.checker = PostingChecker(
        alerts=run.alerts,
        posts={post.id: post.body for post in stand_in.posts if not post.body.startswith("Yesterday: ")},
        ledger=_ledger(stack, run),
        dead=_dead(stack, run),
        unsure=_unsure(stand_in),
        interrupted=BATCH * len(run.kills) + IN_FLIGHT * run.restarts,
        waiting={name: depth(stack, name) for name in ("OutboxQueue", "LeftoversQueue")},
    )


def _unsure(stand_in: StandIn) -> frozenset[str]:
    return frozenset(
        seen.fields["body"]
        for seen, planned in stand_in.faulted
        if seen.resource == "messages/create" and planned.fault not in CLEAR
    )


def _ledger(stack: Stack, run: Run) -> dict[str, list[Entry]]:
    pages = stack.client("dynamodb").get_paginator("scan").paginate(TableName=stack.outputs["LedgerTableName"])
    entries = {
        item["pk"]["S"].removeprefix("post#"): Entry(
            item["status"]["S"], int(item["stocktwits_id"]["N"]) if "stocktwits_id" in item else None
        )
        for page in pages
        for item in page["Items"]
        if item["pk"]["S"].startswith("post#")
    }
    keys = {each.body: [each.key] if each.key else run.message_ids.get(each.body, []) for each in run.alerts}
    return {body: [entries[key] for key in found if key in entries] for body, found in keys.items()}


def _dead(stack: Stack, run: Run) -> dict[str, list[str]]:
    """Return the reasons in Dead letters by body; empty for a dead letter without a reason."""
    sqs, url = stack.client("sqs"), stack.outputs["DeadLetterQueueUrl"]
    published = {each.body for each in run.alerts}
    reasons: dict[str, list[str]] = {}
    while letters := sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=600, MessageAttributeNames=["All"]
    ).get("Messages"):
        for letter in letters:
            if letter["Body"] in published:
                reason: dict[str, Any] = letter.get("MessageAttributes", {}).get("RejectReason", {})
                reasons.setdefault(letter["Body"], []).append(reason.get("StringValue", ""))
    return reasons


_PAGE = """\
## Posting under faults

{publishers} concurrent publishers sent {messages:,} messages to the deployed stack (`sam deploy` to an emulator of AWS,
with IAM enforced). {copies} of the messages repeat the key of an earlier one, and {bad} cannot be posted, for a reason
known in advance. The stand-in for StockTwits took {latency} s for each answer, and failed at random: {often:.0%} of all
requests with each transient fault, {seldom:.1%} with each fault that closes the gate for minutes. At the same time,
workers of both functions were killed (`kill -9`), StockTwits was down for {gone} s, and an operator paused posting for
{paused:.0f} s.

{outcomes}

{remarks}

{deeds}

It took {seconds:.0f} s, seed {seed}, {python}, {processors} processors.

To fit hours into minutes, without changes to the tested code:

- The pace was {times} times the template's maximum ({per_hour:,} an hour, {burst} at once), set in the functions'
environment. The account's stream showed {times} times as many posts as StockTwits' 30: how far back the relay can read
is a question of time, and at the default pace thirty posts cover hours.
- When a function set a message's visibility timeout, the run made it {times} times shorter, {longest} s at most (a
proxy between the functions and SQS gave it the receipt handles). The messages of a killed worker returned after
{visibility} s instead of 360 (the queues' `VisibilityTimeout`), which is still longer than a function's timeout and a
claim's lease.
- The drain was invoked continuously, by {drains} callers at a time, in addition to its schedule.
- Pauses of minutes (401, 403, redirects, 503) were ended after a second or two by an operator, who removed them from
the gate's item. A 429 named a reset in 2 s.
- StockTwits' own check for repeated texts was off: it would have hidden duplicates.
"""


def _page_text(run: Run) -> str:
    plan = run.plan
    return _PAGE.format(
        messages=plan.messages,
        publishers=PUBLISHERS,
        copies=plan.messages - len(run.alerts),
        bad=_bad(run),
        latency=LATENCY_SECONDS,
        often=FREQUENT,
        seldom=RARE,
        gone=RESTART_SECONDS,
        paused=run.pause[1] - run.pause[0],
        outcomes=table(["outcome of the alerts", "number"], _outcomes(run)),
        remarks="\n\n".join(_remarks(run)),
        deeds=table(["injected", "times"], _injected(run)),
        seconds=run.seconds,
        seed=plan.seed,
        python=HOST_RUNTIME.replace("python", "Python "),
        processors=os.cpu_count(),
        times=TIMES,
        per_hour=TIMES * FASTEST_PER_HOUR,
        burst=BURST,
        longest=LONGEST_VISIBILITY_SECONDS,
        visibility=VISIBILITY_SECONDS,
        drains=DRAINS,
    )


def _bad(run: Run) -> int:
    return sum(bool(each.refusal) for each in run.alerts)


def _outcomes(run: Run) -> list[list[object]]:
    ends = run.checker.ends()
    return [
        ["posted once", ends[End.POSTED]],
        ["rejected, with the expected reason", ends[End.REFUSED]],
        ["left to an operator, since it may be posted; see below", ends[End.LEFT_TO_AN_OPERATOR]],
        ["**lost**", ends[End.LOST]],
        ["**posted twice**", ends[End.TWICE]],
        ["**other outcome**", ends[End.WRONG]],
        ["posts started during the operator's pause", run.pause_check.late(GRACE_SECONDS)],
        ["messages left in Outbox and Leftovers", sum(run.checker.waiting.values())],
    ]


def _remarks(run: Run) -> Iterator[str]:
    checker = run.checker
    left_to_operator = checker.ends()[End.LEFT_TO_AN_OPERATOR]
    if left_to_operator:
        yield (
            "Left to an operator: the answer to an attempt was lost, and at the next attempt the account's stream did "
            "not reach back far enough. The message is in Dead letters with this reason, and is not posted again. Of "
            f"these {left_to_operator} alerts, {checker.left_but_posted()} are on StockTwits, once; "
            f"{checker.interrupted_without_fault()} were interrupted by a kill or the restart, not by a fault."
        )
    if run.pause_check.last:
        yield (
            "The last post after the operator's pause was written reached StockTwits "
            f"{run.pause_check.last:.1f} s later; a second and the time to connect are allowed ({GRACE_SECONDS:.2f} s)."
        )
    else:
        yield "No post reached StockTwits after the operator's pause was written."


def _injected(run: Run) -> list[list[object]]:
    return [
        ["workers killed", len(run.kills)],
        ["restarts of StockTwits", run.restarts],
        ["pauses of minutes ended by an operator", run.reopened.total()],
        ["requests to StockTwits", run.requests],
        ["of these, with a fault", run.faults.total()],
        *(["`" + name + "`", run.faults[name]] for name in sorted(run.faults)),
    ]
