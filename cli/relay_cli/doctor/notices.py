"""The check of notices: whether their function can read where to send them. Nothing is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay_cli.doctor.finding import ok
from relay_cli.doctor.logins import Parameter

if TYPE_CHECKING:
    from relay_cli.doctor.deployment import Deployment
    from relay_cli.doctor.finding import Verdict


def address(deployment: Deployment) -> Verdict:
    """Check that the address is stored as the function can read it. It is a secret, and is not read here."""
    found = Parameter(deployment, "NotifyUrlParameter")
    wrong = found.check_storage("see `Notices in Slack, Discord or elsewhere` in docs/operating.md")
    return wrong or ok(f"alarms and rejected posts are told to the incoming webhook in {found.name}")
