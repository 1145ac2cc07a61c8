"""Checks of the webhook: its sources, and whether its address answers. Nothing is posted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from relay.posting.webhook.sources import MAX_CHARACTERS

from relay_cli.deployed import webhook_sources
from relay_cli.doctor.finding import broken, ok, warning
from relay_cli.failure import Failure
from relay_cli.text import count, one_line

if TYPE_CHECKING:
    from relay_cli.doctor.deployment import Deployment
    from relay_cli.doctor.finding import Verdict

_NOT_FOUND, _TOO_MANY, _SERVER_ERROR = 404, 429, 500


def sources(deployment: Deployment) -> Verdict:
    """Check that the sources can be read, and that their alerts are posted."""
    try:
        stored = webhook_sources.read(deployment.stack)
    except Failure as failure:
        words, _, what_to_do = failure.reason.partition("\n")
        return broken(words, what_to_do)
    if not stored.sources:
        add = deployment.invocation.relay("webhook add NAME")
        return warning("it has no source, so that nobody can post alerts to it", f"add one: {add}")
    if not deployment.posts:
        return warning(
            "it accepts alerts, and posting is switched off: they wait in the Outbox, for 14 days at most",
            deployment.invocation.make_deploy("PostingEnabled=true"),
        )
    names = one_line(", ".join(stored.sources))
    return ok(
        f"{count(len(stored.sources), 'source')} ({names}), {stored.characters:,} of {MAX_CHARACTERS:,} characters"
    )


def leftover_sources(deployment: Deployment) -> Verdict | None:
    """Look for sources of a webhook that is switched off; there is nothing to say if there are none."""
    try:
        stored = webhook_sources.read(deployment.stack)
    except (Failure, ClientError, BotoCoreError):  # nothing uses them
        return None
    if not stored.sources:
        return None
    names = one_line(", ".join(stored.sources))
    return warning(
        f"it is switched off, and has {count(len(stored.sources), 'source')}: {names}",
        f"switch it on: {deployment.invocation.make_deploy('WebhookEnabled=true')}; or "
        f"{deployment.invocation.relay('webhook revoke NAME')}",
    )


def address(deployment: Deployment) -> Verdict:
    """Send the webhook an empty request without a secret, which it must refuse. The function reads its sources then."""
    from relay_cli.deployed.webhook import post_nothing  # noqa: PLC0415  slow to import

    try:
        status = post_nothing(deployment.stack, "/alerts/relay-doctor").status
    except Failure as failure:
        return warning(failure.reason, "check the network here, and whether senders get an answer")
    url = one_line(deployment.stack.output("WebhookUrl"))
    if status == _NOT_FOUND:
        return ok(f"{url} answers, and refuses a request without a secret")
    if status == _TOO_MANY:
        return warning(
            f"{url} gets more requests than WebhookRatePerSecond allows (429)", "raise it, or find the sender"
        )
    if status >= _SERVER_ERROR:
        return broken(
            f"{url} answers {status}: no alert gets in",
            "read its log: "
            + deployment.aws(f"sam logs --stack-name {deployment.stack.name} -n ReceiveAlertsFunction"),
        )
    return warning(f"{url} answers {status}, where 404 was expected", "is there a proxy in between?")
