"""A stand-in for StockTwits' Firestream backups: two real HTTP servers on loopback, for the API and for its links.

    GET {url}/backups/{file_type}/{yyyy}/{mm}/{dd}   Basic auth; 302 to a link to the other server, valid for a while

Tests use a `FirestreamStandIn` in their own process; other processes run `python -m local.stand_ins.firestream`
and control it over HTTP, at the API's address:

    POST /_standin/faults     {"fault": "truncated", "file_type": "message", "day": "2024-01-02", "after": 9}
    POST /_standin/faults     {"fault": "reissued", "file_type": "message", "day": "2024-01-02", "asked": 1}
    POST /_standin/settings   {"password": "new", "link_seconds": 5, "lag_days": 2, "missing": ["2024-01-02"]}
    POST /_standin/settings   {"contrary": 7, "contrary_share": 0.2, "contrary_behaviours": ["late", "crlf"]}
    POST /_standin/put        {"file_type": "message", "day": "2024-01-02", "file": "large.gz", "at": "2024-01-09"}
    POST /_standin/reset
    GET  /_standin/requests, /_standin/stats, /_standin/faults
"""
