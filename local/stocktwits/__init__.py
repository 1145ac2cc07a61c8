"""A stand-in of StockTwits: a real HTTP server on loopback with the rules, limits and failures of the original.

Tests hold a `StandIn` in their own process; other processes run `python -m local.stocktwits` and steer it over HTTP:

    POST /_standin/faults     {"fault": "timeout-after", "times": 2, "text": "$AAPL", "seconds": 5}
    POST /_standin/settings   {"latency_seconds": 0.05, "rate_limit": 400}
    POST /_standin/reset
    GET  /_standin/posts, /_standin/requests, /_standin/stats
"""

from local.stocktwits.api import RefusedError
from local.stocktwits.faults import Fault
from local.stocktwits.server import StandIn

__all__ = ["Fault", "RefusedError", "StandIn"]
