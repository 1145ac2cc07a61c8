"""AWS clients of a function: their time-outs and attempts, each client made once, when first needed."""

from __future__ import annotations

import threading
from typing import Any

import botocore.session
from botocore.config import Config

from relay import __version__

AWS_CONFIG = Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=16,
    parameter_validation=False,
    user_agent=f"StockTwitsRelay/{__version__}",
)
"""Time-outs in seconds; three attempts end before a function's time does. Validating our own parameters, and
describing this Python in every call, would take a fifth of a call's time."""


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
"""Announcing what became of a post must not take the time of the next one; `relay.posting.result_events` tries it
again."""

WAITED_FOR_CONFIG = AWS_CONFIG.merge(Config(connect_timeout=0.4, read_timeout=1.0, retries={"total_max_attempts": 1}))
"""While the sender of an alert waits. Two calls that get no answer take 2.8 s at most, and TradingView gives up after
3 s (docs/tradingview.md); it is the sender who tries again."""

_CONFIGS = {"s3": S3_CONFIG, "events": EVENTS_CONFIG}


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
