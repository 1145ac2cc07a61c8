"""``relay doctor``: check whether a deployed relay will work."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from relay_cli.deployed.stack import find
from relay_cli.doctor import deployment
from relay_cli.doctor.account import identity
from relay_cli.doctor.checklist import checks
from relay_cli.doctor.deployment import QUICK
from relay_cli.doctor.finding import State, broken
from relay_cli.doctor.runner import run
from relay_cli.failure import FAILED, NO_AWS, Failure
from relay_cli.output import print_json
from relay_cli.text import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relay_cli.context import Context
    from relay_cli.doctor.finding import Finding

_STYLES = {State.OK: "green", State.WARNING: "yellow", State.BROKEN: "bold red"}
_STATE_WIDTH, _CHECK_WIDTH = 7, 24


def doctor(
    ctx: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check whether the relay will work: permissions, functions, token, queues, alarms, pace.

    It changes nothing and posts nothing, and takes a minute at most. Each line is ok, a warning, or broken, with what
    to do. The exit code is 1 if something is broken, and 0 if there are only warnings.

    [dim]relay doctor
    relay doctor --json | jq '.[] | select(.state != "ok")'[/dim]
    """
    context: Context = ctx.obj
    examination = _Examination(context, exact=as_json or context.exact)
    findings = []
    for finding in examination.findings():
        findings.append(finding)
        if not as_json:
            context.console.print(_line(finding))
    if as_json:
        print_json(findings)
    else:
        fine, warned, failed = (sum(each.state is state for each in findings) for state in State)
        summary = f"{count(len(findings), 'check')}: {fine} ok, {count(warned, 'warning')}, {failed} broken."
        context.console.print(summary, style="dim")
    if examination.code:
        raise typer.Exit(examination.code)


class _Examination:
    """The checks of one run; `code` is the command's exit code once all findings are there."""

    def __init__(self, context: Context, *, exact: bool) -> None:
        self._context = context
        self._exact = exact
        self.code = 0

    def findings(self) -> Iterator[Finding]:
        """Yield the findings in their order. Without credentials or a stack, those up to there are all."""
        try:
            session = self._context.session
            verdicts = identity(session, time.time)
        except Failure as failure:
            self.code = failure.code
            yield broken(failure.reason, "").of("credentials")
            return
        for name, verdict in verdicts.items():
            yield self._counted(verdict.of(name))
        if verdicts["credentials"].state is State.BROKEN:
            self.code = NO_AWS
            return
        try:
            stack = find(session, self._context.stack_name, **QUICK)
            found = deployment.read(stack, time.time(), exact=self._exact, invocation=self._context.invocation)
        except Failure as failure:
            self.code = failure.code
            yield broken(failure.reason, "").of("stack")
            return
        for finding in run(checks(found)):
            yield self._counted(finding)

    def _counted(self, finding: Finding) -> Finding:
        if finding.state is State.BROKEN:
            self.code = FAILED
        return finding


def _line(finding: Finding) -> Table:
    """Lay out a finding: its state, its check, what was seen, and below it what to do."""
    text = Text(finding.text)
    if finding.what_to_do:
        text.append(f"\n{finding.what_to_do}", "bold")
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=_STATE_WIDTH, no_wrap=True)
    table.add_column(min_width=_CHECK_WIDTH, no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(Text(finding.state, _STYLES[finding.state]), Text(finding.check), text)
    return table
