"""The settings of the function that sends notices, as the template gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.environment import read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeSettings:
    """The settings of notices; each is an environment variable of the same name in capitals.

    Attributes:
        notify_url_parameter: The name of the SSM SecureString with the address of an incoming webhook.
    """

    notify_url_parameter: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> NoticeSettings:
        """Read the settings from environment variables.

        Raises:
            Misconfigured: One is missing; the reason names it.
        """
        return cls(**read_settings(cls, environment))
