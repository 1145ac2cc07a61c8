"""`make demo`, `make up` and `make down`, as a newcomer runs them."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from local.stack.up import SETTINGS, STATE

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
GONE_SECONDS = 10
CURL = "--silent --show-error --fail --max-time 10"
RELAY = (
    f"relay() {{ PYTHONPATH=cli:layers/relay {sys.executable} -c 'from relay_cli.app import main; main()' \"$@\"; }}"
)
"""The command, as docs/local-development.md runs it from the sources."""


def start(module: str, home: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Start a module; `home` is its folder for temporary files, and marks every process that it starts."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(home), "RELAY_TEST_MARK": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def left_over(home: Path) -> list[str]:
    """Return what a run left behind after a few seconds: a killed process takes a moment to end."""
    deadline = time.monotonic() + GONE_SECONDS
    while (left := _files_and_processes(home)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _files_and_processes(home: Path) -> list[str]:
    """Return the files of a run, and the processes whose environment names its folder."""
    files = [path.name for path in home.iterdir()]
    processes = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            environment = path.read_bytes()
        except OSError:
            continue
        if str(home).encode() in environment and int(path.parent.name) != os.getpid():
            processes.append(path.parent.name)
    return files + processes


def answer_to_a_page_of_a_browser() -> int:
    """Create a function on the stack of `make up`, as a page can that knows its address without the session token."""
    url = f"{json.loads(STATE.read_text())['endpoint']}/2015-03-31/functions"
    request = urllib.request.Request(url, b"{}", {"Content-Type": "text/plain", "Origin": "https://page.example"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    with refused.value:
        return refused.value.code


def in_the_shell_of_up(command: str) -> str:
    """Run a command with the settings of `make up`, as its output says; return what it prints."""
    shell = ["sh", "-euc", f". {SETTINGS}\n{command}"]
    return subprocess.run(shell, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout


def shown_command(shown: str, program: str) -> str:
    """Return the command of a program that `make up` shows."""
    (command,) = [line.strip() for line in shown.splitlines() if line.startswith(f"  {program} ")]
    return command


@pytest.mark.timeout(420)
def test_the_demo_succeeds_when_every_message_and_backup_ended_as_expected(tmp_path: Path) -> None:
    demo = start("local.demo", tmp_path)
    output, _ = demo.communicate(timeout=400)
    assert demo.returncode == 0, output
    text = " ".join(output.split())
    assert "Every message ended as expected" in text
    assert "found on the account's stream" in text
    assert "2 of them by the webhook" in text
    for kind in ("in JSON: $AMZN closes below", "as text: $GOOG closes above"):
        assert f"✓ by the webhook, {kind}" in text
    assert "Every backup is complete: 76 files, each identical to Firestream's." in text
    assert "62 of 62 files are in the archive" in text
    assert "A scheduled nightly run" in text
    assert "resumed where it broke off" in text
    assert "in place of an older version, which is kept" in text
    summary = text.partition(" Summary ")[2]
    assert summary.startswith(
        "38 messages: 36 posted, 1 not posted again, 1 refused and kept in Dead letters. Refused: "
    )
    assert "Healed: a lost answer, whose post was found on the account's stream; a rate limit" in summary
    assert "Healed: a transfer that broke off, which was resumed; a damaged file, which was fetched again;" in summary
    assert "What to do next make up" in summary
    assert len(re.findall("✓ a burst over the pace: 25 messages", output)) == 1
    assert [line for line in output.splitlines() if len(line) > 80] == []
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_interrupted_leaves_nothing_behind(number: signal.Signals, tmp_path: Path) -> None:
    demo = start("local.demo", tmp_path)
    assert demo.stdout is not None
    for line in demo.stdout:
        if "sam build" in line:
            break
    demo.send_signal(number)
    output, _ = demo.communicate(timeout=60)
    assert demo.returncode == 130, output
    assert left_over(tmp_path) == []


def test_a_demo_whose_deployment_fails_explains_why_and_leaves_nothing_behind(tmp_path: Path) -> None:
    code = "import sys; from local.demo.__main__ import PACE, main; PACE['PostBurst'] = 'many'; sys.exit(main())"
    demo = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert demo.returncode == 1
    assert "sam deploy failed" in demo.stdout.replace("\n", " ")
    assert left_over(tmp_path) == []


def test_up_shows_how_to_publish_and_down_stops_everything(tmp_path: Path) -> None:
    up = start("local.stack.up", tmp_path)
    try:
        shown, _ = up.communicate(timeout=200)
        assert up.returncode == 0, shown
        assert "sqs send-message --queue-url http://127.0.0.1:" in shown
        assert "StockTwits:  http://127.0.0.1:" in shown
        assert '--event \'{"run": "nightly"}\'' in shown
        assert answer_to_a_page_of_a_browser() == 403
        assert set(json.loads(in_the_shell_of_up(f"{shown_command(shown, 'curl')} {CURL}"))) == {"id", "key"}
        link = in_the_shell_of_up(f"{RELAY}\n{shown_command(shown, 'relay')}").split()[-1]
        with urllib.request.urlopen(link, timeout=10) as page:
            assert "Up 3% on volume" in page.read().decode()
        assert stat.S_IMODE(SETTINGS.stat().st_mode) == 0o600
    finally:
        down = start("local.stack.up", tmp_path, "--stop")
        output, _ = down.communicate(timeout=90)
    assert "Stopped." in output
    assert left_over(tmp_path) == []
