"""`relay dashboard` over the local stack, in Debian's chromium."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from local.build import ROOT
from local.stack import PACE, Stack

CHROMIUM = "/usr/bin/chromium"
PATIENCE_MS = 60_000
"""For what takes the way through the stack: a queue, a function, a log, the page's next look."""

POSTED = (
    "NVDA breaks out of its base on 3x the usual volume $NVDA",
    "Unusual call buying ahead of earnings $AAPL",
    "Gap filled, back above the 50-day line $MSFT",
)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The deployed application, with some days behind it."""
    build = tmp_path_factory.mktemp("stack") / "build"
    with Stack(PACE, say=lambda _: None, build_directory=build) as running:
        for text in POSTED:
            send(running, {"body": text})
        send(running, {"body": "Too late to say so $TSLA", "expires_at": "2020-01-01T00:00:00Z"})
        running.client("lambda").invoke(
            FunctionName=running.outputs["FetchBackupsFunctionName"], Payload=json.dumps({"run": "nightly"})
        )
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
    assert Path(CHROMIUM).exists(), "apt-get install chromium"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page in a tab of its own; at the end, nothing may have been complained about."""
    tab = browser.new_page(viewport={"width": 1000, "height": 900})
    tab.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []
    tab.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("requestfailed", lambda request: complaints.append(f"{request.url}: {request.failure}"))
    tab.goto(address)
    yield tab
    tab.goto("about:blank")  # a request that the end cuts off is no complaint
    tab.close()
    assert [each for each in complaints if "ERR_ABORTED" not in each] == []


def send(stack: Stack, message: dict[str, str]) -> None:
    """Publish a message."""
    stack.client("sqs").send_message(QueueUrl=stack.outputs["OutboxQueueUrl"], MessageBody=json.dumps(message))
