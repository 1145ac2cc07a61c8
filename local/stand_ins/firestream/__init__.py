"""A stand-in of StockTwits' Firestream backups: two real HTTP servers on loopback, the API and the host of its links.

    GET {url}/backups/{file_type}/{yyyy}/{mm}/{dd}   Basic auth; 302 to a link of the other server, good for a while

Tests hold a `FirestreamStandIn` in their own process; other processes run `python -m local.stand_ins.firestream`
and steer it over HTTP, at the API's address:

    POST /_standin/faults     {"fault": "truncated", "file_type": "message", "day": "2024-01-02", "after": 9}
    POST /_standin/settings   {"password": "new", "link_seconds": 5, "lag_days": 2, "missing": ["2024-01-02"]}
    POST /_standin/put        {"file_type": "message", "day": "2024-01-02", "file": "large.gz"}
    POST /_standin/reset
    GET  /_standin/requests, /_standin/stats
"""
