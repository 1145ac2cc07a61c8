"""Check a login of Firestream with one request."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from relay.backups.backup import Backup
from relay.errors import Refused

if TYPE_CHECKING:
    from relay.credentials import Login

CHECKED_DAYS_AGO = 10
"""The age of the backup that a login is checked with: old enough to exist."""


def check(url: str, login: Login) -> None:
    """Ask for the link to a backup, which needs a valid login, without downloading it.

    Raises:
        Halt: Firestream refuses the login.
        RelayError: Firestream did not answer as it should.
    """
    from relay.backups.firestream import Firestream  # noqa: PLC0415  slow to import, and rarely needed

    client = Firestream(url, lambda *, fresh=False: login, time.time)  # noqa: ARG005  there is only this login
    day = (datetime.now(UTC) - timedelta(days=CHECKED_DAYS_AGO)).date()
    try:
        client.check(Backup(day, "message"))
    except Refused:  # this day alone: only a valid login gets this response
        return
    finally:
        client.close()
