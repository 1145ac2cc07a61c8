"""A stand-in for StockTwits: a real HTTP server on loopback with the rules, limits and failures of the original.

Tests use a `StandIn` in their own process; other processes run `python -m local.stand_ins.stocktwits` and control it
over HTTP:

    POST /_standin/faults     {"fault": "timeout-after", "times": 2, "text": "$AAPL", "seconds": 5}
    POST /_standin/random     {"seed": 7, "shares": {"5xx-before 503": 0.02, "created-at zone": 0.05}}
    POST /_standin/settings   {"latency_seconds": 0.05, "rate_limit": 400, "contrary": 7}
    POST /_standin/reset
    GET  /_standin/faults, /_standin/posts, /_standin/requests, /_standin/stats

`Fault` has the ways in which it fails as documented, or as any server does; `Contrary` those in which it does what no
documentation says. Both are planned in the same way; the setting `contrary`, a seed, draws the latter at random.
"""
