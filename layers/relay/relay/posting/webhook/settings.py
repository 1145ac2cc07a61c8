"""The settings of the function that receives alerts, as the template gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.environment import read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """The settings of the webhook; each is an environment variable of the same name in capitals.

    Attributes:
        outbox_queue_url: The queue that alerts are sent to.
        webhook_sources_parameter: The SSM SecureString with the sources, as `relay.posting.webhook.sources` reads it.
    """

    outbox_queue_url: str
    webhook_sources_parameter: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> WebhookSettings:
        """Read the settings from environment variables.

        Raises:
            Misconfigured: One is missing; the reason names it.
        """
        return cls(**read_settings(cls, environment))
