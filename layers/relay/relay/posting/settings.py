"""The settings of both functions that post, as the template gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.credentials import AUTH_STYLES
from relay.environment import check_url, read_settings
from relay.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class PostingSettings:
    """The settings of both functions that post; each is an environment variable of the same name in capitals.

    Attributes:
        source_queue_url: The queue that this function takes from.
        outbox_queue_url: The queue that publishers use; the drain checks that it is being emptied.
        result_event_bus_name: Where each post's final outcome is announced; empty for nowhere.
    """

    source_queue_url: str
    outbox_queue_url: str
    dead_letter_queue_url: str
    ledger_table_name: str
    stocktwits_api_url: str
    stocktwits_auth_style: str
    stocktwits_token_parameter: str
    max_posts_per_hour: int
    post_burst: int
    max_posts_per_day: int
    post_concurrency: int
    dry_run: bool
    chart_bucket_name: str
    result_event_bus_name: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> PostingSettings:
        """Read the settings from environment variables.

        Raises:
            Misconfigured: One is missing or unreadable; the reason names it.
        """
        settings = cls(**read_settings(cls, environment))
        if settings.stocktwits_auth_style not in AUTH_STYLES:
            raise Misconfigured(f"STOCKTWITS_AUTH_STYLE must be one of {', '.join(AUTH_STYLES)}")
        check_url("STOCKTWITS_API_URL", settings.stocktwits_api_url)
        for name in ("max_posts_per_hour", "post_burst", "post_concurrency"):
            if getattr(settings, name) < 1:
                raise Misconfigured(f"{name.upper()} must be at least 1")
        return settings
