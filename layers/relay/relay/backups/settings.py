"""The settings of the function that fetches backups, as the template gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.backups.backup import FILE_TYPES, parse_file_types
from relay.environment import check_url, read_settings
from relay.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSettings:
    """The settings of the function that fetches backups; each is an environment variable of the same name in capitals.

    Attributes:
        backup_file_types: Comma-separated; `file_types` has them apart.
        backup_lag_days: A missing backup that is older than this, in days, is reported.
        backup_lookback_days: The age in days up to which the nightly run looks for what is missing or has changed.
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
        return parse_file_types(self.backup_file_types)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> BackupSettings:
        """Read the settings from environment variables.

        Raises:
            Misconfigured: One is missing or unreadable, or two do not fit each other; the reason names them.
        """
        settings = cls(**read_settings(cls, environment))
        check_url("FIRESTREAM_URL", settings.firestream_url)
        if unknown := set(settings.file_types) - set(FILE_TYPES):
            raise Misconfigured(f"BACKUP_FILE_TYPES: {', '.join(sorted(unknown))!r} is none of {', '.join(FILE_TYPES)}")
        if settings.backup_lookback_days <= settings.backup_lag_days:
            raise Misconfigured(
                "BACKUP_LOOKBACK_DAYS must be more than BACKUP_LAG_DAYS, or a missing backup is never reported"
            )
        return settings
