"""Run checks side by side, for a minute at most. A check that fails is a finding, and hides no other."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from relay_cli.doctor.finding import Finding, State, Verdict, broken
from relay_cli.doctor.permissions import missing
from relay_cli.failure import NO_STACK, Failure, from_aws_error, is_denied, is_gone
from relay_cli.text import length

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from relay_cli.doctor.finding import Check

LIMIT_SECONDS = 40.0
"""How long all checks together may take: with what comes before them, about a minute if AWS does not answer."""

RESTORE = (
    "CloudFormation does not restore what was deleted by hand: see `Part of the stack is missing` in "
    "docs/troubleshooting.md"
)


def run(checks: Mapping[str, Check], limit_seconds: float = LIMIT_SECONDS) -> Iterator[Finding]:
    """Yield what each check found, in their order, each as soon as those before it are there."""
    deadline = time.monotonic() + limit_seconds
    for name, future in [(name, _start(check)) for name, check in checks.items()]:
        verdict: Verdict | None
        try:
            verdict = future.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            verdict = unknown(f"no answer within {length(limit_seconds)}", "check the network, and try again")
        if verdict:
            yield verdict.of(name)


def unknown(why: str, what_to_do: str = "") -> Verdict:
    """Return that something could not be checked."""
    return Verdict(State.WARNING, f"could not be checked: {why}", what_to_do)


def _start(check: Check) -> Future[Verdict | None]:
    """Run a check in a thread which does not keep the command from ending."""
    future: Future[Verdict | None] = Future()
    threading.Thread(target=lambda: future.set_result(_verdict(check)), daemon=True).start()
    return future


def _verdict(check: Check) -> Verdict | None:
    try:
        return check()
    except Failure as failure:
        if isinstance(failure.__cause__, (ClientError, BotoCoreError)):
            return from_error(failure.__cause__)
        return broken(failure.reason, "") if failure.code == NO_STACK else unknown(failure.reason)
    except (ClientError, BotoCoreError) as error:
        return from_error(error)
    except Exception as error:  # noqa: BLE001  a defect of one check must not hide what the others found
        # Without the error's text, which may quote a secret.
        last = extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} in {Path(last.filename).name}, line {last.lineno}"
        return unknown(where, "this is a defect of the command: please report it")


def from_error(error: ClientError | BotoCoreError) -> Verdict:
    """Return what an error of AWS means for a check."""
    if isinstance(error, BotoCoreError):
        return unknown(from_aws_error(error).reason)
    if is_denied(error):
        permission = missing(error)
        return unknown(
            f"you do not have the permission {permission}", f"allow {permission}, as docs/operator-policy.json does"
        )
    if is_gone(error):
        return broken(f"it no longer exists (AWS's answer to {error.operation_name})", RESTORE)
    return unknown(from_aws_error(error).reason)
