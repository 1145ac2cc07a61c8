"""A deployed stack as the checks see it: its resources, and which of its halves are switched on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relay_cli.doctor.finding import broken, ok, warning
from relay_cli.failure import NO_STACK, Failure
from relay_cli.invocation import Invocation
from relay_cli.text import ago, count, moment, one_line, until

if TYPE_CHECKING:
    from relay_cli.deployed.stack import Stack
    from relay_cli.doctor.finding import Verdict

QUICK: dict[str, Any] = {
    "connect_timeout": 3,
    "read_timeout": 8,
    "retries": {"mode": "standard", "total_max_attempts": 2},
}
"""The clients' time-outs in seconds, and attempts: two attempts end well before the checks' time does."""

_SERVICES = ("cloudformation", "cloudwatch", "dynamodb", "lambda", "logs", "s3", "scheduler", "sns", "sqs", "ssm")


@dataclass(frozen=True)
class Deployment:
    """A deployed relay at a moment.

    Attributes:
        stack: Its outputs, parameters, and AWS clients.
        now: The moment, in seconds since the epoch.
        statuses: CloudFormation's status of each resource, by its logical id.
        exact: Whether to show points in time in UTC, and not as seen from now.
        invocation: What the commands that are advised have to repeat.
    """

    stack: Stack
    now: float
    statuses: dict[str, str] = field(default_factory=dict)
    _physical_ids: dict[str, str] = field(default_factory=dict)
    _unlisted: ClientError | BotoCoreError | None = None
    exact: bool = True
    invocation: Invocation = field(default_factory=Invocation)

    @property
    def posts(self) -> bool:
        """Whether posting is switched on."""
        return "PostMessagesFunctionName" in self.stack.outputs

    @property
    def fetches(self) -> bool:
        """Whether backups are switched on."""
        return "FetchBackupsFunctionName" in self.stack.outputs

    @property
    def receives(self) -> bool:
        """Whether the webhook is switched on."""
        return "WebhookUrl" in self.stack.outputs

    @property
    def notifies(self) -> bool:
        """Whether notices are sent."""
        return "SendNoticesFunctionName" in self.stack.outputs

    @property
    def at(self) -> datetime:
        """The moment."""
        return datetime.fromtimestamp(self.now, UTC)

    def aws(self, command: str) -> str:
        """Return a command of an AWS CLI for this stack, as `relay_cli.invocation.Invocation.aws` does."""
        return self.invocation.aws(command, self.stack.session.region_name)

    def moment(self, at: datetime) -> str:
        """Format a point in time."""
        return moment(at) if self.exact else ago(at, self.now)

    def until(self, end: datetime) -> str:
        """Format the end of something that lasts."""
        return until(end, None if self.exact else self.now)

    def resource(self, logical_id: str) -> str:
        """Return the physical id of a resource of the template.

        Raises:
            ClientError, BotoCoreError: CloudFormation did not list the resources.
            Failure: The stack has no such resource.
        """
        if self._unlisted:
            raise self._unlisted
        if found := self._physical_ids.get(logical_id):
            return found
        raise Failure(f"the stack has no {logical_id}: deploy the version that this command belongs to.", NO_STACK)

    def alarms(self) -> list[str]:
        """Return the names of the stack's alarms, without those that are yet to be made; raises as `resource` does."""
        if self._unlisted:
            raise self._unlisted
        return [name for each, name in self._physical_ids.items() if each.endswith("Alarm") and name]

    def check_resources(self) -> Verdict:
        """Check that the last deployment was completed, and that no resource is left out or failed."""
        status = self.stack.status
        failed = [name for name, each in self.statuses.items() if each.endswith("_FAILED")]
        if status.endswith("_FAILED") or failed:
            what = f"{status}, with {', '.join(map(one_line, failed))} failed" if failed else status
            return broken(
                f"{self.stack.name} is not completely deployed: {what}",
                self._read_why(),
            )
        if status.endswith("_IN_PROGRESS"):
            return warning(f"{self.stack.name} is being deployed: {status}", "wait until it is, and check again")
        if "ROLLBACK" in status:
            return warning(
                f"{self.stack.name}: the last deployment failed, and the one before it runs ({status})",
                self._read_why(),
            )
        if self._unlisted:
            raise self._unlisted
        return ok(f"{self.stack.name} is completely deployed: {status}, {count(len(self.statuses), 'resource')}")

    def _read_why(self) -> str:
        events = self.aws(f"aws cloudformation describe-stack-events --stack-name {self.stack.name}")
        return f"read why in the stack's events ({events}), and deploy again"


def read(stack: Stack, now: float, *, exact: bool = True, invocation: Invocation | None = None) -> Deployment:
    """List a stack's resources. If that is not possible, the checks that need them report it.

    Args:
        stack: The stack.
        now: The moment, in seconds since the epoch.
        exact: As in `Deployment`.
        invocation: As in `Deployment`.
    """
    invocation = invocation or Invocation()
    for service in _SERVICES:  # here, because a session may not create clients in several threads at a time
        stack.client(service)
    try:
        listed = stack.resources()
    except (ClientError, BotoCoreError) as error:
        return Deployment(stack, now, _unlisted=error, exact=exact, invocation=invocation)
    kept = [each for each in listed if not each.get("ResourceStatus", "").startswith("DELETE")]  # of a half that is off
    statuses = {each["LogicalResourceId"]: each.get("ResourceStatus", "") for each in kept}
    physical_ids = {each["LogicalResourceId"]: each.get("PhysicalResourceId", "") for each in kept}
    return Deployment(stack, now, statuses, physical_ids, exact=exact, invocation=invocation)
