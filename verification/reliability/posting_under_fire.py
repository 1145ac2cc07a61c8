"""Posting under fire: four publishers at once, StockTwits failing in every way it can, workers killed in between."""

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
from verification.reliability.checker import Alert, End, Entry, PostingAccounts, Silence
from verification.reliability.holds import Holds, altered, left, visibility
from verification.reliability.page import Section, table
from verification.reliability.workers import Killer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from local.stand_ins.stocktwits.server import StandIn

TIMES = 10
"""So many times as fast as it may go: the pace is that many times the template's largest, the account's stream shows
that many times as many posts, and a hold is that much shorter."""

LONGEST_HOLD_SECONDS = 5
"""Of a message that waits for a pause of minutes which an operator ends after a moment."""

FASTEST_PER_HOUR = 3600
BURST = 100
VISIBILITY_SECONDS = 95
"""Longer than a function may run (60 s), and than a claim's lease (90 s)."""

LATENCY_SECONDS = 0.3
"""How long StockTwits takes for each answer: time enough for a kill to come in between."""

GRACE_SECONDS = 1.0 + 3.05
"""What is promised of a pause: nothing is begun later than a second after; connecting may take 3.05 s."""

BATCH = 10
IN_FLIGHT = 10
SELDOM, OFTEN = 0.002, 0.02
PASSING = {
    "429 2": OFTEN,
    "5xx-before": OFTEN,
    "5xx-after": OFTEN,
    "timeout-before 12": OFTEN,
    "timeout-after 12": OFTEN,
    "reset-before": OFTEN,
    "reset-after": OFTEN,
    "close-after": OFTEN,
    "no-id": OFTEN,
    "not-json": OFTEN,
}
STOPPING = {
    "401": SELDOM,
    "suspended": SELDOM,
    "403-json": SELDOM,
    "403-html": SELDOM,
    "redirect": SELDOM,
    "5xx-before 503": SELDOM,
    "5xx-after 503": SELDOM,
}
"""These shut the gate for one to fifteen minutes; an operator opens it again after a second or two."""

CLEAR = frozenset({"429", "401", "suspended", "403-json", "403-html"})
"""The answers that leave no doubt: nothing was posted."""


@dataclass(frozen=True)
class Plan:
    """What a run does, beside what it is done to.

    Attributes:
        seed: Of all its choices.
        messages: How many are published, copies included.
        publishing_seconds: How long the four publishers take.
        kill_pauses: The shortest and the longest time between two kills.
        kills: How many workers are killed.
        pause_seconds: How long the operator's pause lasts.
        patience_seconds: When it is over, finished or not.
    """

    seed: int
    messages: int
    publishing_seconds: float
    kill_pauses: tuple[float, float]
    kills: int
    pause_seconds: float
    patience_seconds: float


FULL = Plan(
    seed=20261122,
    messages=2000,
    publishing_seconds=200,
    kill_pauses=(8, 16),
    kills=25,
    pause_seconds=15,
    patience_seconds=900,
)
PUBLISHERS = 4
DRAINS = 2
RESTART_SECONDS = 3


@dataclass
class Run:
    """What was done and seen."""

    plan: Plan
    alerts: Sequence[Alert]
    message_ids: dict[str, list[str]] = field(default_factory=dict)
    kills: Sequence[float] = ()
    restarts: int = 0
    mended: Counter[str] = field(default_factory=Counter)
    pause: tuple[float, float] = (0, 0)
    shortened: int = 0
    seconds: float = 0
    drained: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    silence: Silence = field(default_factory=lambda: Silence(0, 0, ()))
    accounts: PostingAccounts = field(default_factory=lambda: PostingAccounts((), {}, {}, {}, frozenset(), 0, {}))

    def complaints(self) -> list[str]:
        """Where a promise was broken."""
        found = self.accounts.complaints()
        if broken := self.silence.broken(GRACE_SECONDS):
            found.append(f"{broken} posts were sent while the operator's pause was in force")
        return found


def prove() -> Section:
    """Do the full run on a stack of its own."""
    with Stack({"MaxPostsPerDay": 0}, enforce_iam=True) as stack:
        run = fire(stack, FULL, print)
    return Section.of(_in_words(run), run.complaints())


def fire(stack: Stack, plan: Plan, say: Callable[[str], None] = lambda _: None) -> Run:
    """Do a run; the stack's Outbox, Leftovers and Dead letters are emptied before.

    Args:
        stack: The deployed stack; its functions get their own settings back afterwards.
        plan: What to do.
        say: Told now and then how far it is.
    """
    choice = random.Random(plan.seed)
    copies = alerts.make(plan.messages, choice)
    run = Run(plan, list(dict.fromkeys(copies)))
    _prepare(stack)
    began = time.monotonic()
    with ExitStack() as stage:
        holds = stage.enter_context(Holds(stack.emulator.url, stack.client("sqs"), TIMES, LONGEST_HOLD_SECONDS))
        for function in ("PostMessagesFunction", "DrainLeftoversFunction"):
            stage.enter_context(
                altered(
                    stack,
                    function,
                    AWS_ENDPOINT_URL_SQS=holds.url,
                    MAX_POSTS_PER_HOUR=str(TIMES * FASTEST_PER_HOUR),
                    POST_BURST=str(BURST),
                    MAX_POSTS_PER_DAY="0",
                )
            )
        for queue in ("OutboxQueue", "LeftoversQueue"):
            stage.enter_context(visibility(stack, queue, VISIBILITY_SECONDS))
        stage.enter_context(_configured(stack.stocktwits))
        stack.stocktwits.fail_at_random(plan.seed, PASSING | STOPPING)
        functions = [stack.outputs[f"{each}Name"] for each in ("PostMessagesFunction", "DrainLeftoversFunction")]
        killer = Killer(stack.emulator.url, functions, random.Random(plan.seed), plan.kill_pauses, plan.kills)
        stage.enter_context(_meanwhile(lambda: _mend(stack, run)))
        for _ in range(DRAINS):
            stage.enter_context(_meanwhile(lambda: _drain(stack, run)))
        with ThreadPoolExecutor(PUBLISHERS + 2) as pool, killer:
            acts = [pool.submit(_publish, stack, run, copies[n::PUBLISHERS], n) for n in range(PUBLISHERS)]
            acts += [pool.submit(act, stack, run) for act in (_restart, _pause)]
            _wait(stack, run, lambda: all(each.done() for each in acts), say)
            for each in acts:
                each.result()
        run.kills, run.shortened = killer.kills, holds.shortened
    run.seconds = time.monotonic() - began
    _account(stack, run)
    stack.stocktwits.reset()
    return run


@contextmanager
def _configured(stand_in: StandIn) -> Iterator[None]:
    """Let the stand-in be as the run needs it, and as before afterwards."""
    changes = {"latency_seconds": LATENCY_SECONDS, "stream_times": TIMES, "duplicate_seconds": 0.0}
    before = {name: getattr(stand_in, name) for name in changes}
    stand_in.configure(**changes)
    try:
        yield
    finally:
        stand_in.configure(**before)


def _prepare(stack: Stack) -> None:
    """Empty the queues, and give the account a past: a stream that shows all there is reads as one that is cut off."""
    for queue in ("OutboxQueue", "LeftoversQueue", "DeadLetterQueue"):
        stack.client("sqs").purge_queue(QueueUrl=stack.outputs[f"{queue}Url"])
    stack.stocktwits.reset()
    past = datetime.now(UTC) - timedelta(days=1)
    for number in range(30 * TIMES):
        stack.stocktwits.api.timeline.add(PostRecord(0, f"Of yesterday: {number}", "neutral", None, None, past))


def _publish(stack: Stack, run: Run, copies: Sequence[Alert], number: int) -> None:
    """Be a publisher."""
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
    """Wait until the relay has begun to post, and then for a share of the time that publishing takes."""
    began = time.monotonic()
    while not stack.stocktwits.requests and time.monotonic() - began < run.plan.patience_seconds:
        time.sleep(0.1)
    time.sleep(run.plan.publishing_seconds * share)


def _restart(stack: Stack, run: Run) -> None:
    """Let StockTwits be gone for a moment: requests that are under way break, new ones are refused."""
    _wait_for_posts(stack, run, 0.3)
    stack.stocktwits.stop()
    time.sleep(RESTART_SECONDS)
    stack.stocktwits.start()
    run.restarts += 1


def _pause(stack: Stack, run: Run) -> None:
    """Be the operator who pauses posting, as docs/operating.md says."""
    _wait_for_posts(stack, run, 0.6)
    dynamodb, table_name = stack.client("dynamodb"), stack.outputs["LedgerTableName"]
    item = {"pk": {"S": "pause"}, "who": {"S": "an operator"}, "why": {"S": "to see whether it holds"}}
    dynamodb.put_item(TableName=table_name, Item=item)
    began = time.time()
    time.sleep(run.plan.pause_seconds)
    run.pause = (began, time.time())
    dynamodb.delete_item(TableName=table_name, Key={"pk": {"S": "pause"}})


def _mend(stack: Stack, run: Run) -> None:
    """Be the operator who has mended what shut the gate for minutes, and takes that pause out of its item."""
    dynamodb, table_name = stack.client("dynamodb"), stack.outputs["LedgerTableName"]
    key = {"pk": {"S": "gate"}}
    gate = dynamodb.get_item(TableName=table_name, Key=key, ConsistentRead=True).get("Item", {})
    shut = gate.get("shut", {}).get("M")
    if shut is None or float(shut["until"]["N"]) < time.time() + RESTART_SECONDS:
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
        return  # it has changed meanwhile: look again
    run.mended[shut["cause"]["S"]] += 1


def _drain(stack: Stack, run: Run) -> None:
    """Invoke the drain beside its schedule, whose minute is ten times too long here."""
    stack.client("lambda").invoke(FunctionName=stack.outputs["DrainLeftoversFunctionName"])
    run.drained += 1


@contextmanager
def _meanwhile(act: Callable[[], None], seconds: float = 0.5) -> Iterator[None]:
    """Act again and again, with so many seconds between, until the block ends."""
    stopping = threading.Event()

    def repeat() -> None:
        while not stopping.wait(seconds):
            act()

    with ThreadPoolExecutor(1) as pool:
        repeating = pool.submit(repeat)
        try:
            yield
        finally:
            stopping.set()
            repeating.result()


def _wait(stack: Stack, run: Run, published: Callable[[], bool], say: Callable[[str], None]) -> None:
    """Wait until all is published and the queues are empty, or patience is at its end."""
    began = time.monotonic()
    said = began
    while time.monotonic() - began < run.plan.patience_seconds:
        counts = {name: left(stack, name) for name in ("OutboxQueue", "LeftoversQueue")}
        if published() and not any(counts.values()):
            return
        if time.monotonic() - said > 15:  # noqa: PLR2004
            said = time.monotonic()
            say(f"{said - began:4.0f} s: {len(stack.stocktwits.posts) - 30 * TIMES} posts, {counts}")
        time.sleep(0.5)


def _account(stack: Stack, run: Run) -> None:
    stand_in = stack.stocktwits
    struck = stand_in.faulted
    publishes = [seen.at for seen in stand_in.requests if seen.resource == "messages/create"]
    run.silence = Silence(*run.pause, publishes)
    run.requests = len(stand_in.requests)
    run.faults = Counter(planned.name for _, planned in struck)
    run.accounts = PostingAccounts(
        alerts=run.alerts,
        posts={post.id: post.body for post in stand_in.posts if not post.body.startswith("Of yesterday: ")},
        ledger=_ledger(stack, run),
        dead=_dead(stack, run),
        unsure=_unsure(stand_in),
        interrupted=BATCH * len(run.kills) + IN_FLIGHT * run.restarts,
        waiting={name: left(stack, name) for name in ("OutboxQueue", "LeftoversQueue")},
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
    """The reasons in Dead letters, by body; a letter without a reason counts as one with an empty reason."""
    sqs, url = stack.client("sqs"), stack.outputs["DeadLetterQueueUrl"]
    ours = {each.body for each in run.alerts}
    reasons: dict[str, list[str]] = {}
    while letters := sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=600, MessageAttributeNames=["All"]
    ).get("Messages"):
        for letter in letters:
            if letter["Body"] in ours:
                told: dict[str, Any] = letter.get("MessageAttributes", {}).get("RejectReason", {})
                reasons.setdefault(letter["Body"], []).append(told.get("StringValue", ""))
    return reasons


_PAGE = """\
## Posting under fire

{messages:,} messages from {publishers} publishers at the same time, on the deployed stack (`sam deploy` to an emulator
of AWS, IAM enforced): {copies} of them repeat an earlier one's key, {bad} can never be posted, for a reason known
beforehand. The stand-in of StockTwits took {latency} s for each answer, and failed at random, {often:.0%} of all
requests with each fault that passes, {seldom:.1%} with each of those that shut the gate for minutes. Meanwhile workers
of both functions were killed (`kill -9`), StockTwits was gone for {gone} s, and an operator paused posting for
{paused:.0f} s.

{outcomes}

{remarks}

{deeds}

It took {seconds:.0f} s, seed {seed}, {python}, {processors} processors.

So that hours fit into minutes, without a change to the code under test:

- The pace was {times} times the template's largest ({per_hour:,} an hour, {burst} at once), by the functions'
environment. The account's stream showed {times} times as many posts as StockTwits' 30: what can be read back is a
question of time, and at the default pace thirty posts are hours.
- When a function held a message back, the run asked SQS for a hold {times} times shorter, {longest} s at most (a
proxy between the functions and SQS gave it the receipt handles). What a killed worker had received came back after
{visibility} s instead of 360 (the queues' `VisibilityTimeout`), which is still longer than a function runs and than a
claim's lease.
- The drain was invoked without a break, by {drains} at a time, beside its schedule.
- Pauses of minutes (401, 403, redirects, 503) were ended after a second or two by an operator, who took them out of the
gate's item; a 429 named a reset in 2 s.
- StockTwits' own rule against repeated texts was off: it would have hidden a second post.
"""


def _in_words(run: Run) -> str:
    plan = run.plan
    return _PAGE.format(
        messages=plan.messages,
        publishers=PUBLISHERS,
        copies=plan.messages - len(run.alerts),
        bad=_bad(run),
        latency=LATENCY_SECONDS,
        often=OFTEN,
        seldom=SELDOM,
        gone=RESTART_SECONDS,
        paused=run.pause[1] - run.pause[0],
        outcomes=table(["What became of the alerts", "number"], _outcomes(run)),
        remarks="\n\n".join(_remarks(run)),
        deeds=table(["What was done to it", "times"], _deeds(run)),
        seconds=run.seconds,
        seed=plan.seed,
        python=HOST_RUNTIME.replace("python", "Python "),
        processors=os.cpu_count(),
        times=TIMES,
        per_hour=TIMES * FASTEST_PER_HOUR,
        burst=BURST,
        longest=LONGEST_HOLD_SECONDS,
        visibility=VISIBILITY_SECONDS,
        drains=DRAINS,
    )


def _bad(run: Run) -> int:
    return sum(bool(each.refusal) for each in run.alerts)


def _outcomes(run: Run) -> list[list[object]]:
    ends = run.accounts.ends()
    return [
        ["posted once", ends[End.POSTED]],
        ["refused, with the reason that was expected", ends[End.REFUSED]],
        ["left to a person: perhaps posted, see below", ends[End.LEFT_TO_A_PERSON]],
        ["**lost**", ends[End.LOST]],
        ["**posted twice**", ends[End.TWICE]],
        ["**ended in another way**", ends[End.WRONG]],
        ["posts begun during the operator's pause", run.silence.broken(GRACE_SECONDS)],
        ["messages left in Outbox and Leftovers", sum(run.accounts.waiting.values())],
    ]


def _remarks(run: Run) -> Iterator[str]:
    accounts = run.accounts
    left_over = accounts.ends()[End.LEFT_TO_A_PERSON]
    if left_over:
        yield (
            "Left to a person: an attempt's answer was lost, and by the time of the next one the account's stream did "
            f"not reach back to it any more. Dead letters says so, and nothing is posted again. Of these {left_over}, "
            f"{accounts.left_but_posted()} stand on StockTwits, once; {accounts.by_chance_cut_off()} met a kill or the "
            "restart instead of a fault."
        )
    if run.silence.last:
        yield (
            "The last post to reach StockTwits after the operator's pause was written came "
            f"{run.silence.last:.1f} s later; a second, and the time of a connection, are allowed "
            f"({GRACE_SECONDS:.2f} s)."
        )
    else:
        yield "No post reached StockTwits once the operator's pause was written."


def _deeds(run: Run) -> list[list[object]]:
    return [
        ["workers killed", len(run.kills)],
        ["restarts of StockTwits", run.restarts],
        ["pauses of minutes ended by an operator", run.mended.total()],
        ["requests to StockTwits", run.requests],
        ["of these, struck by a fault", run.faults.total()],
        *(["`" + name + "`", run.faults[name]] for name in sorted(run.faults)),
    ]
