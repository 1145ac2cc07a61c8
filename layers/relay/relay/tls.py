"""TLS as the standard library's HTTP client speaks it: StockTwits' bot protection was seen to block urllib3's own."""

import ssl


def standard_context() -> ssl.SSLContext:
    """Make the settings of `http.client`, so that a handshake is equal to its own in every extension.

    Certificates are verified against the system's authorities. Reading them takes as long as making an AWS client.
    """
    context = ssl.create_default_context()
    context.post_handshake_auth = True  # http.client's own addition; the other one, ALPN, is urllib3's too
    return context
