"""`relay dashboard` over the local stack, in the chromium of this machine."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from relay.backups.backup import FILE_TYPES, Backup
from relay.backups.events import Request

from local.build import ROOT
from local.stack.stack import STACK_NAME, Stack
from local.stand_ins.firestream.data import backup as content_of

QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
"""Chromium asks nobody else's servers for anything."""

PATIENCE_MS = 60_000
"""For what takes the way through the stack: a queue, a function, a log, the page's next look."""

SHOWN_PACE = {"MaxPostsPerHour": 6, "PostBurst": 2, "MaxPostsPerDay": 40}
"""The pace that the page shows, as README.md recommends it: the documents have pictures of the page."""

POSTED = {
    2: ("Breaks out of a six-week base on three times the usual volume $NVDA", "bullish"),
    14: ("Unusual call buying ahead of earnings $AAPL", "bullish"),
    27: ("Gap filled, back above the 50-day line $MSFT", None),
    52: ("Loses the 200-day line on heavy volume $INTC", "bearish"),
    71: ("Implied volatility is back at its median $SPY", "neutral"),
}
EARLIER = {
    **POSTED,
    39: ("Holds its opening low through the first hour $IWM", "neutral"),
    86: ("Volume at its highest in 30 days $AMZN", "bullish"),
    95: ("Turns down at last week's high $NFLX", "bearish"),
    180: ("Closes above its 20-day line for the third day $META", "bullish"),
    260: ("Moves into the upper half of its range $DIS", None),
    1500: ("Golden cross on the daily chart $ORCL", "bullish"),
    1800: ("Earnings gap closed $CRM", None),
}
"""What was posted before: the text and the sentiment, by how many minutes ago."""

REJECTED = "Opening range broken to the downside $TSLA"
AT_SECOND_ATTEMPT = "Relative strength at a 52-week high $COST"

TIME_ZONE = "America/New_York"
"""Where the browser is."""

NIGHTLY_DAYS = 7
"""How far back the nightly run looks."""


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The deployed application, with some days behind it."""
    build = tmp_path_factory.mktemp("stack") / "build"
    with Stack(SHOWN_PACE, on_step=lambda _: None, build_directory=build) as running:
        post_faster(running)
        running.stocktwits.fail("reset-before", text=AT_SECOND_ATTEMPT)
        send(running, {"body": AT_SECOND_ATTEMPT, "sentiment": "bullish"})
        send(running, {"body": REJECTED, "sentiment": "bearish", "expires_at": "2026-11-20T21:00:00Z"})
        log_earlier_posts(running)
        fetch_a_week(running)
        fill_the_year(running)
        yield running


@pytest.fixture(scope="session")
def address(stack: Stack) -> Iterator[str]:
    """Where the dashboard is served."""
    paths = os.pathsep.join(str(ROOT / each) for each in ("cli", "layers/relay"))
    with subprocess.Popen(
        [sys.executable, "-c", "from relay_cli.app import main; main()", "dashboard", "--no-browser"],
        env={**stack.emulator.environment, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as serving:
        assert serving.stdout
        found = re.search(r"http://127\.0\.0\.1:\d+/\S+", serving.stdout.readline())
        assert found
        yield found[0]
        serving.terminate()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = subprocess.run(["sh", "local/chromium.sh"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    assert found.returncode == 0, "no chromium: what to install is printed above"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=found.stdout.strip(),
            chromium_sandbox=os.geteuid() != 0,  # it has none for root
            args=QUIET,
        )
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page in a tab of its own; by the end, the page logged no errors and requested nothing from other servers."""
    tab = browser.new_page(viewport={"width": 1280, "height": 900}, timezone_id=TIME_ZONE)
    tab.set_default_timeout(PATIENCE_MS)
    problems: list[str] = []
    asked: set[str] = set()
    tab.on("request", lambda request: asked.add(request.url))
    tab.on("console", lambda result: problems.append(result.text) if result.type in {"error", "warning"} else None)
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("requestfailed", lambda request: problems.append(f"{request.url}: {request.failure}"))
    tab.goto(address)
    yield tab
    assert {each for each in asked if not each.startswith((address, "data:"))} == set()
    tab.goto("about:blank")  # a request that the end cuts off is not a failure
    tab.close()
    assert [each for each in problems if "ERR_ABORTED" not in each] == []


def post_faster(stack: Stack) -> None:
    """Let the functions post faster than the page says: the tests send more than that pace allows."""
    functions = stack.client("lambda")
    pace = {"MAX_POSTS_PER_HOUR": "3600", "POST_BURST": "15", "MAX_POSTS_PER_DAY": "0"}
    for output in ("PostMessagesFunctionName", "DrainLeftoversFunctionName"):
        name = stack.outputs[output]
        variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": {**variables, **pace}})


def log_earlier_posts(stack: Stack) -> None:
    """Let the log have what was posted hours ago."""
    logs, resources = (
        stack.client("logs"),
        stack.client("cloudformation").describe_stack_resources(StackName=STACK_NAME),
    )
    (group,) = [
        each["PhysicalResourceId"]
        for each in resources["StackResources"]
        if each["LogicalResourceId"] == "PostMessagesLogs"
    ]
    logs.create_log_stream(logGroupName=group, logStreamName="earlier")
    events = []
    for minutes, (text, sentiment) in sorted(EARLIER.items(), reverse=True):
        ended = datetime.now(UTC) - timedelta(minutes=minutes)
        line = {
            "message": "delivery",
            "outcome": "posted",
            "text": text,
            "sentiment": sentiment,
            "url": f"{stack.stocktwits.url}/{stack.stocktwits.username}/message/{600_000_000 - minutes}",
            "key": f"earlier-{minutes}",
            "message_id": f"earlier-{minutes}",
            "receive_count": 1,
            "queued_at": (ended - timedelta(seconds=2)).isoformat(),
        }
        events.append({"timestamp": round(ended.timestamp() * 1000), "message": json.dumps(line)})
    logs.put_log_events(logGroupName=group, logStreamName="earlier", logEvents=events)


def fetch_a_week(stack: Stack) -> None:
    """Let the application fetch the last days."""
    for number in range(1, NIGHTLY_DAYS + 1):
        day = today() - timedelta(days=number)
        for file_type in FILE_TYPES:
            stack.firestream.put(file_type, day, some_content(file_type, day))
    stack.client("lambda").invoke(
        FunctionName=stack.outputs["FetchBackupsFunctionName"], Payload=json.dumps({"run": "nightly"})
    )


def fill_the_year(stack: Stack) -> None:
    """Put the days before that into the archive: some are absent, some missing, and one failed."""
    s3, bucket = stack.client("s3"), stack.outputs["BackupBucketName"]
    for number in range(NIGHTLY_DAYS + 1, 366):
        for file_type in FILE_TYPES:
            backup = Backup(today() - timedelta(days=number), file_type)
            if number == 24:
                stack.client("sqs").send_message(
                    QueueUrl=stack.outputs["BackupFailuresQueueUrl"],
                    MessageBody=Request(backup).body,
                    MessageAttributes={
                        "RejectReason": {"DataType": "String", "StringValue": "Firestream's file ends too early"}
                    },
                )
            elif number in {101, 102, 230}:
                s3.put_object(Bucket=bucket, Key=backup.absent_key, Body=b"")
            elif number not in {59, 60, 61}:
                s3.put_object(Bucket=bucket, Key=backup.key, Body=some_content(file_type, backup.day))


def some_content(file_type: str, day: date) -> bytes:
    """A day's backup, small; at weekends people write less."""
    lines = 4 if day.weekday() > 4 else 12 + day.toordinal() * 7 % 9
    return content_of(file_type, day, lines)


def today() -> date:
    return datetime.now(UTC).date()


def send(stack: Stack, message: dict[str, str | None]) -> None:
    """Publish a message."""
    stack.client("sqs").send_message(QueueUrl=stack.outputs["OutboxQueueUrl"], MessageBody=json.dumps(message))
