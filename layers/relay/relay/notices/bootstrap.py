"""Builds what sends notices, once for each container of its function; loads nothing of either half."""

from __future__ import annotations

import os
from functools import cache

from relay.aws import EVENTS_CONFIG, Clients
from relay.environment import stack_name
from relay.notices.incoming_webhook import IncomingWebhook
from relay.notices.settings import NoticeSettings
from relay.telemetry import Telemetry


@cache
def telemetry() -> Telemetry:
    """Return the function's log and metrics, made when first needed."""
    return Telemetry("send_notices", stack_name(os.environ))


@cache
def container() -> IncomingWebhook:
    """Build the sender from the environment, when first needed.

    Raises:
        Misconfigured: A setting is missing.
    """
    settings = NoticeSettings.from_environment(os.environ)
    clients = Clients(ssm=EVENTS_CONFIG)
    return IncomingWebhook(lambda: clients.get("ssm"), settings.notify_url_parameter)
