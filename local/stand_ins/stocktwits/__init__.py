"""A stand-in for StockTwits: a real HTTP server on loopback with the rules, limits and failures of the original.

Tests use a `StandIn` in their own process; other processes run `python -m local.stand_ins.stocktwits` and control it
over HTTP:

    POST /_standin/faults     {"fault": "timeout-after", "times": 2, "text": "$AAPL", "seconds": 5}
    POST /_standin/settings   {"latency_seconds": 0.05, "rate_limit": 400}
    POST /_standin/reset
    GET  /_standin/posts, /_standin/requests, /_standin/stats
"""
