"""Posting under faults: four publishers at once, StockTwits failing in every way, and workers being killed.

One run has the documented faults alone; in another one StockTwits does as well what it does not document; and in a
third one the owner has rules.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from local.build import HOST_RUNTIME
from local.stack.stack import Stack
from local.stand_ins.stocktwits.api import PostRecord
from local.stand_ins.stocktwits.contrary import CREATE, HIDING, Contrary
from verification.reliability import alerts
from verification.reliability.checker import KILL, PAGES_RAN_OUT, Alert, End, Entry, PauseCheck, PostingChecker
from verification.reliability.contrary import IDS, FairApi, causes, is_unclear
from verification.reliability.page import Section, table
from verification.reliability.rules import Cause, Drained, Rules, RulesChecker, symbols
from verification.reliability.visibility import VisibilityProxy, depth, visibility_timeout, with_environment
from verification.reliability.workers import Killer
from verification.simulation.scenario import STYLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

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

TAKING_SECONDS = 2.0
"""How long it may take, on a busy machine, to look at the gate and to take the names of a post before its request."""

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
"""These close the gate for one to fifteen minutes; the run ends such a pause after a second or two."""

HALF_AN_HOUR = 1800
"""How long the relay waits before it looks again for what StockTwits refused as a duplicate."""

PROBE_SECONDS = 15
"""Longer than a probe takes: one request, and looking at the stream."""

LAST = 60
LAST_SECONDS = 3.0
"""In a contrary run, so many alerts are published when few others are left, one at a time: a text that is refused for
ever is rejected only when another one was posted since."""


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
        contrary: The seed of what StockTwits does that it does not document; None for the documented faults alone.
        share: The share of requests, of posts and of habits that are contrary.
        rules: The owner's rules, if there are any.
        sooner: The factor by which visibility timeouts are shorter.
        longest_visibility_seconds: The longest of them, for messages that wait for a pause of minutes, which the run
            ends after a moment.
    """

    seed: int
    messages: int
    publishing_seconds: float
    kill_pauses: tuple[float, float]
    kills: int
    pause_seconds: float
    max_seconds: float
    contrary: int | None = None
    share: float = 0.0
    rules: Rules | None = None
    sooner: int = TIMES
    longest_visibility_seconds: int = LONGEST_VISIBILITY_SECONDS


FULL = Plan(
    seed=20261122,
    messages=2000,
    publishing_seconds=200,
    kill_pauses=(8, 16),
    kills=25,
    pause_seconds=15,
    max_seconds=900,
)
CONTRARY = replace(FULL, contrary=19, share=0.05, max_seconds=1800)
RULED = replace(
    FULL,
    messages=600,
    publishing_seconds=240,
    kills=20,
    rules=Rules(
        default_expiry_minutes=6,
        alike_minutes=1,
        symbol_cooldown_minutes=1,
        shut_after_seconds=175,  # after the operator's pause
        shut_minutes=2,
    ),
    sooner=2,
    longest_visibility_seconds=20,
    max_seconds=1500,
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
    drained: list[Drained] = field(default_factory=list)
    sent: dict[str, float] = field(default_factory=dict)
    start: float = 0
    faults: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    half_hours: int = 0
    ended_pause: tuple[str, float] = ("", 0.0)
    pause_check: PauseCheck = field(default_factory=lambda: PauseCheck(0, 0, ()))
    checker: PostingChecker = field(default_factory=lambda: PostingChecker((), {}, {}, {}, frozenset(), 0, {}))
    rules_checker: RulesChecker | None = None

    def violations(self) -> list[str]:
        """Return the violations of guarantees."""
        found = self.checker.violations()
        if late := self.pause_check.late(GRACE_SECONDS):
            found.append(f"{late} posts were sent while the operator's pause was in force")
        return found + (self.rules_checker.violations() if self.rules_checker else [])


def prove() -> Section:
    """Do the full run with the documented faults on its own stack."""
    return _prove(FULL)


def prove_contrary() -> Section:
    """Do the full run with a contrary StockTwits on its own stack."""
    return _prove(CONTRARY)


def prove_rules() -> Section:
    """Do the run with the owner's rules on its own stack."""
    return _prove(RULED)


def _prove(plan: Plan) -> Section:
    with Stack({"MaxPostsPerDay": 0}, enforce_iam=True) as stack:
        run = fire(stack, plan, print)
    return Section.of(_page_text(run), run.violations())


def fire(stack: Stack, plan: Plan, on_progress: Callable[[str], None] = lambda _: None) -> Run:
    """Do a run; it first empties the stack's Outbox, Leftovers and Dead letters.

    Args:
        stack: The deployed stack; the functions' settings are restored afterwards.
        plan: What to do.
        on_progress: Called with the progress from time to time.
    """
    choice = random.Random(plan.seed)
    start = time.time()
    if plan.rules:
        copies = alerts.make(plan.messages, choice, text=alerts.ruled_text)
        copies = alerts.scheduled(copies, choice, start, 2 * plan.publishing_seconds)
    else:
        copies = alerts.make(plan.messages, choice, ("{}",) if plan.contrary is None else STYLES)
    run = Run(plan, list(dict.fromkeys(copies)), start=start)
    last = 0 if plan.contrary is None else min(LAST, len(copies) // 2)
    copies, late = copies[: len(copies) - last], copies[len(copies) - last :]
    began = time.monotonic()
    with ExitStack() as contexts:
        proxy = contexts.enter_context(
            VisibilityProxy(stack.emulator.url, stack.client("sqs"), plan.sooner, plan.longest_visibility_seconds)
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
                    **(plan.rules.environment(start) if plan.rules else {}),
                )
            )
        for queue in ("OutboxQueue", "LeftoversQueue"):
            contexts.enter_context(visibility_timeout(stack, queue, VISIBILITY_SECONDS))
        contexts.enter_context(_configured(stack, plan))
        _prepare(stack)
        stack.stocktwits.fail_at_random(plan.seed, TRANSIENT | PAUSING)
        functions = [stack.outputs[f"{each}Name"] for each in ("PostMessagesFunction", "DrainLeftoversFunction")]
        killer = Killer(stack.emulator.url, functions, random.Random(plan.seed), plan.kill_pauses, plan.kills)
        contexts.enter_context(_repeated(lambda: _reopen_gate(stack, run)))
        contexts.enter_context(_repeated(lambda: _let_half_an_hour_pass(stack, run), 3))
        for _ in range(DRAINS):
            contexts.enter_context(_repeated(lambda: _drain(stack, run)))
        with ThreadPoolExecutor(PUBLISHERS + 3) as pool, killer:
            tasks = [pool.submit(_publish, stack, run, copies[n::PUBLISHERS], n) for n in range(PUBLISHERS)]
            tasks.append(pool.submit(_publish_last, stack, run, late, tuple(tasks)))
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
def _configured(stack: Stack, plan: Plan) -> Iterator[None]:
    """Configure the stand-in for the run, and restore its settings afterwards."""
    stand_in, dynamodb, table_name = stack.stocktwits, stack.client("dynamodb"), stack.outputs["LedgerTableName"]

    def is_settled(post_id: int) -> bool:
        return "Item" in dynamodb.get_item(TableName=table_name, Key={"pk": {"S": f"id#{post_id}"}})

    changes: dict[str, Any] = {
        "latency_seconds": LATENCY_SECONDS,
        "stream_times": TIMES,
        "duplicate_seconds": 0.0,
        "contrary": plan.contrary,
        "contrary_share": plan.share,
        "contrary_behaviours": tuple(each for each in Contrary if each not in HIDING),
    }
    before, api = {name: getattr(stand_in, name) for name in changes}, stand_in.api
    stand_in.api = FairApi(stand_in, is_settled)
    stand_in.configure(**changes)
    try:
        yield
    finally:
        stand_in.configure(**before)
        stand_in.api = api


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
    choice = random.Random(f"{run.plan.seed} {number}")
    began = time.monotonic()
    gap = run.plan.publishing_seconds / len(copies)
    due = 0.0
    for each in copies:
        due += choice.expovariate(1 / gap)
        time.sleep(max(0.0, began + due - time.monotonic()))
        _send(stack, run, each)


def _publish_last(stack: Stack, run: Run, copies: Sequence[Alert], others: Sequence[Future[None]]) -> None:
    """Publish some messages one at a time, when all others are published and few of them are left."""
    wait(others)
    began = time.monotonic()
    while _waiting(stack) > len(copies) // 2 and time.monotonic() - began < run.plan.max_seconds:
        time.sleep(LAST_SECONDS)
    for each in copies:
        time.sleep(LAST_SECONDS)
        _send(stack, run, each)


def _waiting(stack: Stack) -> int:
    return sum(depth(stack, name) for name in ("OutboxQueue", "LeftoversQueue"))


def _send(stack: Stack, run: Run, alert: Alert) -> None:
    sent = stack.client("sqs").send_message(QueueUrl=stack.outputs["OutboxQueueUrl"], MessageBody=alert.body)
    run.message_ids.setdefault(alert.body, []).append(sent["MessageId"])
    run.sent[alert.body] = time.time()


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
    """End a pause of minutes after a second, as if its time were over: then a probe decides, as in reality."""
    dynamodb, table_name = stack.client("dynamodb"), stack.outputs["LedgerTableName"]
    key = {"pk": {"S": "gate"}}
    gate = dynamodb.get_item(TableName=table_name, Key=key, ConsistentRead=True).get("Item", {})
    pause = gate.get("shut", {}).get("M")
    if pause is None or float(pause["until"]["N"]) < time.time() + RESTART_SECONDS:
        return
    last, ended_at = run.ended_pause
    if last == gate["shuts"]["N"] and time.monotonic() - ended_at < PROBE_SECONDS:
        return  # a probe is under way
    time.sleep(1)
    try:
        dynamodb.update_item(
            TableName=table_name,
            Key=key,
            UpdateExpression="SET #shut.#until = :now, #version = #version + :one",
            ConditionExpression="#version = :seen",
            ExpressionAttributeNames={"#shut": "shut", "#until": "until", "#version": "version"},
            ExpressionAttributeValues={
                ":one": {"N": "1"},
                ":seen": gate["version"],
                ":now": {"N": repr(time.time())},
            },
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return  # the item has changed: read it again
    run.ended_pause = gate["shuts"]["N"], time.monotonic()
    run.reopened[pause["cause"]["S"]] += 1


def _let_half_an_hour_pass(stack: Stack, run: Run) -> None:
    """Let the half hour pass for which an alert waits that StockTwits refused as a duplicate: its times move back."""
    dynamodb, table_name = stack.client("dynamodb"), stack.outputs["LedgerTableName"]
    refused = {
        seen.fields["body"]
        for seen, planned in stack.stocktwits.faulted
        if seen.resource == CREATE and planned.fault in {Contrary.DUPLICATE, Contrary.INNER_STATUS}
    }
    for key in (key for alert in run.alerts if alert.text in refused for key in _keys(run, alert)):
        with suppress(dynamodb.exceptions.ConditionalCheckFailedException):
            dynamodb.update_item(
                TableName=table_name,
                Key={"pk": {"S": f"post#{key}"}},
                UpdateExpression="SET lease_until = :now, settled_at = settled_at - :time,"
                " first_claimed_at = first_claimed_at - :time",
                ConditionExpression="#status = :unknown AND lease_until > :soon",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues={
                    ":unknown": {"S": "unknown"},
                    ":now": {"N": f"{time.time():.3f}"},
                    ":soon": {"N": f"{time.time() + HALF_AN_HOUR / 2:.3f}"},
                    ":time": {"N": str(HALF_AN_HOUR)},
                },
            )
            run.half_hours += 1


def _drain(stack: Stack, run: Run) -> None:
    """Invoke the drain, in addition to its schedule, whose minute is ten times too long here."""
    began = time.time()
    answer = stack.client("lambda").invoke(FunctionName=stack.outputs["DrainLeftoversFunctionName"])
    received = 0 if answer.get("FunctionError") else sum(json.load(answer["Payload"]).values())
    run.drained.append(Drained(began, time.time(), received))


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
    publishes = [seen.at for seen in stand_in.requests if seen.resource == CREATE]
    run.pause_check = PauseCheck(*run.pause, publishes)
    run.requests = len(stand_in.requests)
    contrary = run.plan.contrary is not None
    run.faults = Counter(str(planned.fault) if contrary else planned.name for _, planned in stand_in.faulted)
    posts = [post for post in stand_in.posts if not post.source and not post.body.startswith("Yesterday: ")]
    of_posts = stand_in.api.of_posts(each.text for each in run.alerts) if isinstance(stand_in.api, FairApi) else {}
    items = _items(stack)
    dead = _dead(stack, run)
    expired = _expired(items, run) if run.plan.rules else {}
    sent_at = {each.text: [at for _, at in dead[each.body]] for each in run.alerts if each.body in dead}
    found = causes(stand_in.faulted, {post.body: post.created_at.timestamp() for post in posts}, of_posts, sent_at)
    always = (KILL,) if contrary else (KILL, PAGES_RAN_OUT)
    run.checker = PostingChecker(
        alerts=run.alerts,
        posts={post.id: post.body for post in posts},
        ledger={each.body: _entries(items, _keys(run, each)) for each in run.alerts},
        dead={body: [reason for reason, _ in letters] for body, letters in dead.items()},
        unsure=_unsure(stand_in) | {text for text, names in of_posts.items() if not names.isdisjoint(IDS)},
        interrupted=BATCH * len(run.kills) + IN_FLIGHT * run.restarts,
        waiting={name: depth(stack, name) for name in ("OutboxQueue", "LeftoversQueue")},
        causes={text: (*names, *always) for text, names in found.items()},
        settled=_settled(items),
        owners={int(pk.removeprefix("id#")): item["key"]["S"] for pk, item in items.items() if pk.startswith("id#")},
        sent_again={body for body, message_ids in run.message_ids.items() if len(message_ids) > 1},
        expired=expired,
    )
    if run.plan.rules:
        run.rules_checker = RulesChecker(
            run.plan.rules,
            run.plan.rules.shut(run.start),
            run.alerts,
            run.sent,
            [(seen.at, seen.fields["body"]) for seen in stand_in.requests if seen.resource == CREATE],
            [(post.created_at.timestamp(), post.body) for post in posts],
            expired,
            run.drained,
            GRACE_SECONDS + TAKING_SECONDS,
        )


def _unsure(stand_in: StandIn) -> frozenset[str]:
    return frozenset(
        seen.fields["body"] for seen, planned in stand_in.faulted if seen.resource == CREATE and is_unclear(planned)
    )


def _keys(run: Run, alert: Alert) -> list[str]:
    return [alert.key] if alert.key else run.message_ids.get(alert.body, [])


def _items(stack: Stack) -> dict[str, dict[str, Any]]:
    """Return the items of the ledger."""
    pages = stack.client("dynamodb").get_paginator("scan").paginate(TableName=stack.outputs["LedgerTableName"])
    return {item["pk"]["S"]: item for page in pages for item in page["Items"]}


def _entries(items: Mapping[str, dict[str, Any]], keys: Sequence[str]) -> list[Entry]:
    found = (items[f"post#{key}"] for key in keys if f"post#{key}" in items)
    return [Entry(each["status"]["S"], _post_id(each)) for each in found]


def _expired(items: Mapping[str, dict[str, Any]], run: Run) -> dict[str, float]:
    """Return when each alert expired that certainly no attempt posted, by its body."""
    found = {}
    for alert in run.alerts:
        for item in (items.get(f"post#{key}", {}) for key in _keys(run, alert)):
            reason = item.get("reason", {"S": ""})["S"]
            if reason.startswith("it expired") and "first_claimed_at" not in item:
                found[alert.body] = float(item["settled_at"]["N"])
    return found


def _settled(items: Mapping[str, dict[str, Any]]) -> dict[int, list[str]]:
    """Return the keys for which each post is settled."""
    settled: dict[int, list[str]] = {}
    for pk, item in items.items():
        post_id = _post_id(item)
        if post_id is not None and item["status"]["S"] == "posted":
            settled.setdefault(post_id, []).append(pk.removeprefix("post#"))
    return settled


def _post_id(item: Mapping[str, Any]) -> int | None:
    return int(item["stocktwits_id"]["N"]) if "stocktwits_id" in item else None


def _dead(stack: Stack, run: Run) -> dict[str, list[tuple[str, float]]]:
    """Return the reasons in Dead letters, and when they were sent, by body; "" for a dead letter without a reason."""
    sqs, url = stack.client("sqs"), stack.outputs["DeadLetterQueueUrl"]
    published = {each.body for each in run.alerts}
    reasons: dict[str, list[tuple[str, float]]] = {}
    while letters := sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        VisibilityTimeout=600,
        MessageAttributeNames=["All"],
        AttributeNames=["SentTimestamp"],
    ).get("Messages"):
        for letter in letters:
            if letter["Body"] in published:
                reason: dict[str, Any] = letter.get("MessageAttributes", {}).get("RejectReason", {})
                sent_at = int(letter["Attributes"]["SentTimestamp"]) / 1000
                reasons.setdefault(letter["Body"], []).append((reason.get("StringValue", ""), sent_at))
    return reasons


_PAGE = """\
## {title}

{publishers} concurrent publishers sent {messages:,} messages to the deployed stack (`sam deploy` to an emulator of AWS,
with IAM enforced). {copies} of the messages repeat the key of an earlier one, and {bad} cannot be posted, for a reason
known in advance. The stand-in for StockTwits took {latency} s for each answer, and failed at random: {often:.0%} of all
requests with each transient fault, {seldom:.1%} with each fault that closes the gate for minutes. At the same time,
workers of both functions were killed (`kill -9`), StockTwits was down for {gone} s, and an operator paused posting for
{paused:.0f} s.

{contrary}{rules}{outcomes}

{remarks}

{deeds}

It took {seconds:.0f} s, seed {seed}, {python}, {processors} processors.

To fit hours into minutes, without changes to the tested code:

- The pace was {times} times the template's maximum ({per_hour:,} an hour, {burst} at once), set in the functions'
environment. The account's stream showed {times} times as many posts as StockTwits' 30: how far back the relay can read
is a question of time, and at the default pace thirty posts cover hours.
- When a function set a message's visibility timeout, the run made it {sooner} times shorter, {longest} s at most (a
proxy between the functions and SQS gave it the receipt handles). The messages of a killed worker returned after
{visibility} s instead of 360 (the queues' `VisibilityTimeout`), which is still longer than a function's timeout and a
claim's lease.
- The drain was invoked continuously, by {drains} callers at a time, in addition to its schedule.
- Pauses of minutes (401, 403, redirects, 503) were over after a second or two: the run changed their end in the gate's
item. A 429 named a reset in 2 s.
- StockTwits' own check for repeated texts was off: it would have hidden duplicates.
{also}"""

_CONTRARY = """\
In addition, StockTwits did at random what it does not document ([`local-development.md`](local-development.md) lists
it, seed {seed}): {share:.0%} of the other requests, of the posts and of the habits were contrary, with {styles} kinds
of texts that it may render in other ways. {last} messages were published when few others were left, one every
{seconds:.0f} s: a text that it refuses for ever, with an answer that is not about the message, is rejected when another
one was posted since.

"""

_RULES = """\
The owner's rules were on: a message expired after {expiry} minutes, to the log alone (`DefaultExpiryMinutes`,
`ExpiredTo`); a cashtag was posted about at most once in {symbol} min (`SymbolCooldownMinutes`), and a text like another
one at most once in {alike} min (`AlikeMinutes`). The posting hours (`PostingHours`) were over for {shut} minutes while
messages were published. {later} messages had a `not_before` of their own, and {high} a high priority. The messages were
about {symbols} symbols, some of which were in far more messages than these rules let through: the rest had to expire.

"""

_ALSO = """\
- Therefore StockTwits did nothing that hides or denies a post that was made (such as an empty stream, or a post that
appears minutes later): any client would have posted again. The simulation has these, with a StockTwits that
remembers texts.
"""

_REAL_MINUTES = """\
- The rules' minutes were real ones. A message that a rule keeps back comes back when the rule's time is over; here it
came back sooner, like all others, and was kept back again.
"""

_HALF_HOURS = """\
- The half hour that an alert waits which StockTwits refused as a duplicate, after an attempt with an unknown outcome,
passed within seconds: the run moved its times in the ledger back.
"""


def _page_text(run: Run) -> str:
    plan = run.plan
    contrary = plan.contrary is not None
    described = _CONTRARY.format(
        seed=plan.contrary, share=plan.share, styles=len(STYLES), last=LAST, seconds=LAST_SECONDS
    )
    return _PAGE.format(
        title=_title(plan),
        contrary=described if contrary else "",
        rules=_rules(run, plan.rules) if plan.rules else "",
        also="".join(
            text
            for text, applies in ((_ALSO, contrary), (_REAL_MINUTES, plan.rules), (_HALF_HOURS, run.half_hours))
            if applies
        ),
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
        sooner=plan.sooner,
        longest=plan.longest_visibility_seconds,
        visibility=VISIBILITY_SECONDS,
        drains=DRAINS,
    )


def _title(plan: Plan) -> str:
    with_what = ", with a contrary StockTwits" if plan.contrary is not None else ", with the owner's rules"
    return "Posting under faults" + (with_what if plan.contrary is not None or plan.rules else "")


def _rules(run: Run, rules: Rules) -> str:
    return _RULES.format(
        expiry=rules.default_expiry_minutes,
        symbol=rules.symbol_cooldown_minutes,
        alike=rules.alike_minutes,
        shut=rules.shut_minutes,
        later=sum(bool(each.not_before) for each in run.alerts),
        high=sum('"priority": "high"' in each.body for each in run.alerts),
        symbols=len({symbol for each in run.alerts for symbol in symbols(each.text)}),
    )


def _bad(run: Run) -> int:
    return sum(bool(each.refusal) for each in run.alerts)


def _outcomes(run: Run) -> list[list[object]]:
    ends = run.checker.ends()
    return [
        ["posted once", ends[End.POSTED]],
        ["rejected, with the expected reason", ends[End.REFUSED]],
        *([["expired in time, to the log alone", ends[End.EXPIRED]]] if run.rules_checker else []),
        *([["refused by StockTwits; see below", refused]] if (refused := ends[End.REFUSED_BY_STOCKTWITS]) else []),
        ["left to an operator, since it may be posted; see below", ends[End.LEFT_TO_AN_OPERATOR]],
        ["**lost**", ends[End.LOST]],
        ["**posted twice**", ends[End.TWICE]],
        ["**a post under another key, by its id**", len(run.checker.under_another_key())],
        ["**other outcome**", ends[End.WRONG]],
        ["posts started during the operator's pause", run.pause_check.late(GRACE_SECONDS)],
        *(_kept(run.rules_checker) if run.rules_checker else []),
        ["messages left in Outbox and Leftovers", sum(run.checker.waiting.values())],
    ]


def _kept(checker: RulesChecker) -> list[list[object]]:
    return [
        ["**posts outside the posting hours**", len(checker.outside_hours())],
        ["**messages received from Leftovers outside the posting hours**", checker.received_outside_hours()],
        ["**posts of expired alerts**", len(checker.stale())],
        ["**alerts that expired before their time**", len(checker.expired_early())],
        ["**posts before their `not_before`**", len(checker.early())],
        ["**two posts about a symbol within its time**", len(checker.too_close(Cause.SYMBOL))],
        ["**two posts that are alike, too soon**", len(checker.too_close(Cause.ALIKE))],
    ]


def _remarks(run: Run) -> Iterator[str]:
    checker = run.checker
    left_to_operator = checker.ends()[End.LEFT_TO_AN_OPERATOR]
    if left_to_operator:
        yield (
            "Left to an operator: the answer to an attempt was lost, and the account's stream did not show for certain "
            "whether it was posted. The message is in Dead letters with the reason, and is not posted again. Of these "
            f"{left_to_operator} alerts, {checker.left_but_posted()} are on StockTwits, once; "
            f"{checker.interrupted_without_fault()} were interrupted by a kill or the restart, not by an answer. Each "
            "was left because of what StockTwits did to its requests, to its post or to the stream at that time:"
        )
        yield _why(checker, End.LEFT_TO_AN_OPERATOR, "left to an operator, with this reason")
    if checker.ends()[End.REFUSED_BY_STOCKTWITS]:
        yield "Refused by StockTwits: no post was made, and the message is in Dead letters with StockTwits' words:"
        yield _why(checker, End.REFUSED_BY_STOCKTWITS, "refused, with this reason")
    if run.pause_check.last:
        yield (
            "The last post after the operator's pause was written reached StockTwits "
            f"{run.pause_check.last:.1f} s later; a second and the time to connect are allowed ({GRACE_SECONDS:.2f} s)."
        )
    else:
        yield "No post reached StockTwits after the operator's pause was written."


def _why(checker: PostingChecker, end: End, heading: str) -> str:
    counted = sorted(checker.reasons(end).items(), key=lambda each: (-each[1], each[0]))
    rows = [[f"“… {words} …”", _cause(cause), number] for (words, cause), number in counted]
    return table([heading, "because of", "alerts"], rows or [["—", "—", 0]])


def _cause(cause: str) -> str:
    name, space, where = cause.partition(" ")
    return f"`{name}`{space}{where}"


def _injected(run: Run) -> list[list[object]]:
    return [
        ["workers killed", len(run.kills)],
        ["restarts of StockTwits", run.restarts],
        ["pauses of minutes that the run ended", run.reopened.total()],
        *([["half hours that passed", run.half_hours]] if run.half_hours else []),
        ["requests to StockTwits", run.requests],
        ["of these, with a fault", run.faults.total()],
        *(["`" + name + "`", run.faults[name]] for name in sorted(run.faults)),
    ]
