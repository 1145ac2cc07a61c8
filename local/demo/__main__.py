"""``make demo``: run the relay on this machine, and show the result of each message and each backup."""

import signal
import sys
from types import FrameType

from rich.console import Console
from rich.text import Text

from local.build import BuildError
from local.demo.backups import BackupDemo
from local.demo.posting import PostingDemo
from local.stack.emulator import EmulatorError
from local.stack.stack import PACE, Stack
from local.stack.webhook import ENABLED

EVERY_MINUTE = {"BackupSchedule": "rate(1 minute)"}
"""The nightly schedule, so that the demo need not wait for a night."""


def run(stack: Stack, console: Console) -> bool:
    """Show both halves; return whether every message and backup ended as expected."""
    posting, backups = PostingDemo(stack, console), BackupDemo(stack, console)
    posting.begin()
    backups.begin()  # while the messages are being posted
    posted = posting.end()
    return backups.end() and posted


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run the demo; return 0 only if everything ended as expected."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGHUP, _stop)
    console = Console(soft_wrap=True, highlight=False)
    try:
        with Stack(
            {**PACE, **ENABLED, **EVERY_MINUTE}, on_step=lambda step: console.print(f"[cyan]•[/] {step}")
        ) as stack:
            return 0 if run(stack, console) else 1
    except (BuildError, EmulatorError) as error:
        console.print(Text(str(error), style="red"))
        return 1
    except KeyboardInterrupt:
        console.print("Stopped, and cleaned up.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
