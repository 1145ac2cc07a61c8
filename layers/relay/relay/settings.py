"""What the template decides: the settings of each function, and its AWS clients. All read when first needed."""

from __future__ import annotations

import threading
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.config import Config

from relay import __version__
from relay.credentials import AUTH_STYLES
from relay.errors import Misconfigured
from relay.orders import FILE_TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping

AWS_CONFIG = Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=16,
    parameter_validation=False,
    user_agent=f"StockTwitsRelay/{__version__}",
)
"""Time-outs in seconds; three attempts end before a function's time does. Checking our own parameters again, and
describing this Python anew, would be a fifth of every call's price."""

S3_CONFIG = AWS_CONFIG.merge(
    Config(
        read_timeout=60,
        s3={"payload_signing_enabled": False},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
)
"""A part takes its time, and putting parts together may take minutes, in which S3 sends white space. TLS and our own
checksums guard the bytes: signing them too would read each once more."""


EVENTS_CONFIG = AWS_CONFIG.merge(Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1}))
"""Telling others what became of a post may not take the time of the next one; `relay.result_events` tries again."""

_CONFIGS = {"s3": S3_CONFIG, "events": EVENTS_CONFIG}


@dataclass(frozen=True, slots=True, kw_only=True)
class PostingSettings:
    """The settings of both functions that post; each is an environment variable of the same name in capitals.

    Attributes:
        source_queue_url: The queue that this function takes from.
        outbox_queue_url: The queue that publishers use; the drain looks whether it is being emptied.
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
        settings = cls(**_values(cls, environment))
        if settings.stocktwits_auth_style not in AUTH_STYLES:
            raise Misconfigured(f"STOCKTWITS_AUTH_STYLE must be one of {', '.join(AUTH_STYLES)}")
        _check_url("STOCKTWITS_API_URL", settings.stocktwits_api_url)
        for name in ("max_posts_per_hour", "post_burst", "post_concurrency"):
            if getattr(settings, name) < 1:
                raise Misconfigured(f"{name.upper()} must be at least 1")
        return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSettings:
    """The settings of the function that fetches backups; each is an environment variable of the same name in capitals.

    Attributes:
        backup_file_types: Comma-separated; `file_types` has them apart.
        backup_lag_days: The age in days up to which a missing backup may still come.
        backup_lookback_days: The age in days up to which the nightly run looks for what is missing.
    """

    backup_requests_queue_url: str
    backup_failures_queue_url: str
    backup_bucket_name: str
    firestream_url: str
    firestream_credentials_parameter: str
    backup_file_types: str
    backup_lag_days: int
    backup_lookback_days: int

    @property
    def file_types(self) -> tuple[str, ...]:
        """The types of files that are kept."""
        return tuple(dict.fromkeys(each.strip() for each in self.backup_file_types.split(",")))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> BackupSettings:
        """Read the settings from environment variables.

        Raises:
            Misconfigured: One is missing or unreadable, or two do not fit each other; the reason names them.
        """
        settings = cls(**_values(cls, environment))
        _check_url("FIRESTREAM_URL", settings.firestream_url)
        if unknown := set(settings.file_types) - set(FILE_TYPES):
            raise Misconfigured(f"BACKUP_FILE_TYPES: {', '.join(sorted(unknown))!r} is none of {', '.join(FILE_TYPES)}")
        if settings.backup_lookback_days <= settings.backup_lag_days:
            raise Misconfigured(
                "BACKUP_LOOKBACK_DAYS must be more than BACKUP_LAG_DAYS, or a late backup is never asked for again"
            )
        return settings


def stack_name(environment: Mapping[str, str]) -> str:
    """Return the stack that this function is of, for its metrics: a report of what is misconfigured needs it, too."""
    return environment.get("STACK_NAME") or "unknown"


def _values(kind: type[Any], environment: Mapping[str, str]) -> dict[str, Any]:
    return {each.name: _read(environment, each.name.upper(), str(each.type)) for each in fields(kind)}


def _check_url(name: str, value: str) -> None:
    if not value.startswith(("https://", "http://")):
        raise Misconfigured(f"{name} must begin with https://")


def _read(environment: Mapping[str, str], name: str, kind: str) -> str | int | bool:
    try:
        value = environment[name]
    except KeyError:
        raise Misconfigured(f"the environment variable {name} is missing: deploy the template as it is") from None
    if kind == "int":
        if not value.isdecimal():
            raise Misconfigured(f"{name} must be a whole number")
        return int(value)
    if kind == "bool":
        if value not in {"true", "false"}:
            raise Misconfigured(f"{name} must be true or false")
        return value == "true"
    return value


class Clients:
    """AWS clients, each made once, when first asked for; making one is not safe in several threads at once."""

    def __init__(self, **configs: Config) -> None:
        """Make nothing yet; `configs` are those of services that differ from the usual."""
        self._configs = {**_CONFIGS, **configs}
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}
        self._session = botocore.session.get_session()  # boto3's session is the same, and takes longer to import

    def get(self, service: str) -> Any:  # noqa: ANN401  its type depends on the name
        """Return the client of a service, such as ``sqs``."""
        with self._lock:
            if service not in self._clients:
                config = self._configs.get(service, AWS_CONFIG)
                self._clients[service] = self._session.create_client(service, config=config)
            return self._clients[service]
