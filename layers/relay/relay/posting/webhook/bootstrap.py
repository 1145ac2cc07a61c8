"""Builds the webhook's receiver, once for each container of its function; loads nothing of what posts."""

from __future__ import annotations

import os
import time
from functools import cache

from relay.aws import WAITED_FOR_CONFIG, Clients
from relay.environment import stack_name
from relay.posting.webhook.outbox import Outbox
from relay.posting.webhook.receiver import Receiver
from relay.posting.webhook.settings import WebhookSettings
from relay.posting.webhook.source_parameter import SourceParameter
from relay.posting.webhook.telemetry import WebhookTelemetry


@cache
def telemetry() -> WebhookTelemetry:
    """Return the function's log and metrics, made when first needed."""
    return WebhookTelemetry("receive_alerts", stack_name(os.environ))


@cache
def container() -> Receiver:
    """Build the receiver from the environment, when first needed.

    Raises:
        Misconfigured: A setting is missing.
    """
    settings = WebhookSettings.from_environment(os.environ)
    clients = Clients(sqs=WAITED_FOR_CONFIG, ssm=WAITED_FOR_CONFIG)
    parameter = SourceParameter(
        lambda: clients.get("ssm"),
        settings.webhook_sources_parameter,
        time.time,
        lambda reason: telemetry().failures([reason]),
    )
    outbox = Outbox(lambda: clients.get("sqs"), settings.outbox_queue_url)
    return Receiver(parameter.sources, outbox.send, time.time)
