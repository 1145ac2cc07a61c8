"""A source of the webhook for a stack on this machine; in AWS, ``relay webhook add`` stores them.

It is written here once more, since the layer and its libraries are not installed where `make demo` runs.
"""

import base64
import hashlib
import json
import secrets

PARAMETER = "/stocktwits-relay/webhook-sources"
SALT = "a-stack-on-this-machine"


def new_secret() -> str:
    """Return a secret that needs no quoting in a URL."""
    return secrets.token_urlsafe(32)


def one_source(name: str, secret: str) -> str:
    """Return the parameter's content for one source, which may send from any address and has no template."""
    digest = hashlib.sha256(f"{SALT}:{secret}".encode()).digest()
    stored = {"salt": SALT, "hash": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), "added": "2026-11-27"}
    return json.dumps({name: stored})
