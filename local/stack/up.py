"""``make up`` and ``make down``: start the whole stack in the background, and stop it."""

import argparse
import json
import os
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from local.build import ROOT, BuildError
from local.processes import interrupts_deferred, start_session
from local.stack.emulator import EmulatorError
from local.stack.stack import PACE, Stack
from local.stack.webhook import ENABLED, add_source

if TYPE_CHECKING:
    import subprocess

STATE = ROOT / ".local" / "up.json"
SETTINGS = ROOT / ".local" / "up.env"
LOG = ROOT / ".local" / "up.log"
START_SECONDS = 240
STOP_SECONDS = 60


def start() -> int:
    """Start the stack in a background process, and print how to use it once it is ready."""
    if _running():
        print("It is running already.")
        return _show()
    STATE.unlink(missing_ok=True)
    process: subprocess.Popen[bytes] | None = None
    try:
        with interrupts_deferred():
            process = start_session([sys.executable, "-m", "local.stack.up", "--keep"], LOG, cwd=ROOT)
        _follow(process)
    except KeyboardInterrupt:
        if process:
            process.terminate()
            process.wait()
        return 130
    if process.poll() is not None or not STATE.exists():
        process.terminate()
        return 1
    return _show()


def stop() -> int:
    """Stop the stack, and wait until it has stopped."""
    process_id = _running()
    if process_id is None:
        print("The stack is not running.")
        return 0
    os.kill(process_id, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while _is_alive(process_id) and time.monotonic() < deadline:
        time.sleep(0.1)
    if _is_alive(process_id):
        print(f"The stack does not stop: see process {process_id}.", file=sys.stderr)
        return 1
    print("Stopped.")
    return 0


def keep() -> int:
    """Run the stack until SIGTERM or SIGINT; this is the background process."""
    stopped = {signal.SIGTERM, signal.SIGINT}
    for number in stopped:
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        with Stack({**PACE, **ENABLED}, on_step=lambda step: print(step, flush=True)) as stack:
            state = {
                "pid": os.getpid(),
                "endpoint": stack.emulator.url,
                "page": stack.stocktwits.url,
                "firestream": stack.firestream.url,
                "outputs": stack.outputs,
            }
            SETTINGS.unlink(missing_ok=True)
            SETTINGS.touch(0o600)  # the session token is in it, and the webhook's secret
            SETTINGS.write_text(settings(stack, WEBHOOK=add_source(stack, "tradingview")))
            part = STATE.with_suffix(".part")
            part.write_text(json.dumps(state, indent=2))
            part.rename(STATE)
            signal.pthread_sigmask(signal.SIG_BLOCK, stopped)
            signal.sigwait(stopped)
    except (BuildError, EmulatorError) as error:
        print(error)
        return 1
    finally:
        STATE.unlink(missing_ok=True)
        SETTINGS.unlink(missing_ok=True)
    return 0


def settings(stack: Stack, **more: str) -> str:
    """Return the shell variables to use a stack: those of the AWS tools, the addresses of the stand-ins, and others."""
    aws = {name: value for name, value in stack.emulator.environment.items() if name.startswith("AWS_")}
    variables = {**aws, "STOCKTWITS": stack.stocktwits.url, "FIRESTREAM": stack.firestream.url, **more}
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def _follow(process: "subprocess.Popen[bytes]") -> None:
    """Print the steps as the process logs them, until the stack is ready or the process has ended."""
    shown = 0
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        ready = STATE.exists() or process.poll() is not None
        text = LOG.read_text(errors="replace")
        print(text[shown:], end="", flush=True)
        shown = len(text)
        if ready:
            return
        time.sleep(0.2)


def _show() -> int:
    state = json.loads(STATE.read_text())
    outputs = state["outputs"]
    queue = outputs["OutboxQueueUrl"]
    aws = f"aws --endpoint-url {state['endpoint']}"
    print(
        f"""
The relay is running on this machine. Only you can use it.

Outbox:      {queue}
StockTwits:  {state["page"]}  (a stand-in: open it to see the posts)
Firestream:  {state["firestream"]}  (a stand-in: it has a backup of every day before today)
Archive:     {outputs["BackupBucketName"]}

Point this shell to it, for the AWS CLI, `relay` and other tools:
  . .local/up.env

Post an alert, and get the link to the post (`pip install .` installs `relay`):
  relay send 'Up 3% on volume $NVDA' --wait

The same without `relay`:
  {aws} sqs send-message --queue-url {queue} --message-body 'Up 3% on volume $AAPL'

The same by the webhook, as TradingView does (after . .local/up.env):
  curl --header 'Content-Type: text/plain' --data 'Up 3% on volume $MSFT' "$WEBHOOK"

Fetch the backups of the last days, and list them:
  .venv/bin/sam remote invoke FetchBackupsFunction --event '{{"run": "nightly"}}' --parameter InvocationType=Event
  {aws} s3 ls --recursive {outputs["BackupBucketName"]}

Stop it:
  make down"""
    )
    return 0


def _running() -> int | None:
    """Return the id of the background process, if it is alive."""
    try:
        process_id = int(json.loads(STATE.read_text())["pid"])
    except (OSError, ValueError, KeyError):
        return None
    return process_id if _is_alive(process_id) else None


def _is_alive(process_id: int) -> bool:
    """Return whether a process id is that of a stack: after a reboot, it may belong to another program."""
    try:
        return b"local.stack.up" in Path(f"/proc/{process_id}/cmdline").read_bytes()
    except OSError:
        return False


def main() -> int:
    """Start, stop or run the stack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stop", action="store_true")
    parser.add_argument("--keep", action="store_true", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    return stop() if wanted.stop else keep() if wanted.keep else start()


if __name__ == "__main__":
    sys.exit(main())
