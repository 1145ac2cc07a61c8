"""The settings of both functions that post, as the template gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.credentials import AUTH_STYLES
from relay.environment import check_url, read_settings
from relay.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Mapping

_CHOICES = {
    "stocktwits_auth_style": AUTH_STYLES,
    "expired_to": ("dead-letters", "log"),
    "when_duplicate": ("reject", "wait"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PostingSettings:
    """The settings of both functions that post; each is an environment variable of the same name in capitals.

    Attributes:
        source_queue_url: The queue that this function takes from.
        outbox_queue_url: The queue that publishers use; the drain checks that it is being emptied.
        default_expiry_minutes: How long after it was sent a message expires that does not say when; 0 for never.
        expired_to: Where expired messages end: ``dead-letters`` or ``log``.
        posting_hours: When posts may be made, as `relay.posting.hours` reads it; empty for always.
        posting_holidays: The exchange on whose holidays none are made, or ``none``.
        alike_minutes: How far apart two posts with texts that are alike must be; 0 for no such rule.
        when_duplicate: What happens to what StockTwits refuses as a duplicate: ``reject`` or ``wait``.
        symbol_cooldown_minutes: How far apart two posts about the same cashtag must be; 0 for no such rule.
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
    default_expiry_minutes: int
    expired_to: str
    posting_hours: str
    posting_holidays: str
    alike_minutes: int
    when_duplicate: str
    symbol_cooldown_minutes: int
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
        for name, choices in _CHOICES.items():
            if getattr(settings, name) not in choices:
                raise Misconfigured(f"{name.upper()} must be one of {', '.join(choices)}")
        if settings.posting_holidays != "none" and not settings.posting_hours:
            raise Misconfigured("POSTING_HOLIDAYS needs POSTING_HOURS, in the time zone of its exchange")
        check_url("STOCKTWITS_API_URL", settings.stocktwits_api_url)
        for name in ("max_posts_per_hour", "post_burst", "post_concurrency"):
            if getattr(settings, name) < 1:
                raise Misconfigured(f"{name.upper()} must be at least 1")
        return settings
