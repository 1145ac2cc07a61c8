"""``make demo``: run the relay on this machine, and show the result of each message and each backup."""

import signal
import sys
import time
from types import FrameType

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from local.build import BuildError
from local.demo.backups import BackupDemo
from local.demo.posting import PostingDemo
from local.stack.emulator import EmulatorError
from local.stack.stack import PACE, Stack
from local.stack.webhook import ENABLED

EVERY_MINUTE = {"BackupSchedule": "rate(1 minute)"}
"""The nightly schedule, so that the demo need not wait for a night."""

WIDTH = 80
"""The columns of a usual terminal."""


WORDS = """\
[bold]Outbox[/]: the queue that your programs send alerts to. They are posted at once, if the pace allows it.
[bold]Leftovers[/]: the queue of alerts that could not be posted at once. A function works on it every minute.
[bold]Dead letters[/]: the queue of alerts that cannot be posted, each with its reason.
[bold]Archive[/]: the bucket with Firestream's backups."""

NEXT = """\
[bold]What to do next[/]
  make up        Start the same stack and keep it running, to try it yourself.
  relay setup    Deploy to your own AWS account: "Deploy it" in README.md."""


def run(stack: Stack, console: Console, started: float) -> bool:
    """Show both halves, and a summary; return whether every message and backup ended as expected."""
    posting, backups = PostingDemo(stack, console), BackupDemo(stack, console)
    console.print(f"\n{WORDS}")
    posting.begin()
    backups.begin()  # while the messages are being posted
    posted = posting.end()
    fetched = backups.end()
    console.print("\n[bold]Summary[/]")
    seconds = time.monotonic() - started
    for line in (*posting.summary(), *backups.summary(), f"The whole demo took {seconds:.0f} seconds."):
        console.print(Padding(Text(line), (0, 0, 0, 2), expand=False))
    console.print(f"\n{NEXT}")
    return fetched and posted


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run the demo; return 0 only if everything ended as expected."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGHUP, _stop)
    console = Console(highlight=False)
    console.width = min(console.width, WIDTH)
    started = time.monotonic()
    try:
        with Stack(
            {**PACE, **ENABLED, **EVERY_MINUTE}, on_step=lambda step: console.print(f"[cyan]•[/] {step}")
        ) as stack:
            return 0 if run(stack, console, started) else 1
    except (BuildError, EmulatorError) as error:
        console.print(Text(str(error), style="red"))
        return 1
    except KeyboardInterrupt:
        console.print("Stopped, and cleaned up.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
