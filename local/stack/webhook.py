"""A source of the webhook for a stack on this machine; in AWS, ``relay webhook add`` stores them.

The format is written down here once more, since the layer's libraries are not installed where `make demo` runs.
"""

import base64
import hashlib
import json
import secrets

from local.stack.stack import SOURCES_PARAMETER, Stack

ENABLED = {"WebhookEnabled": "true"}
"""The parameter with which a stack has a webhook."""

SALT = "a-stack-on-this-machine"


def new_secret() -> str:
    """Return a secret that needs no quoting in a URL."""
    return secrets.token_urlsafe(32)


def one_source(name: str, secret: str) -> str:
    """Return the parameter's content for one source, which may send from any address and has no template."""
    digest = hashlib.sha256(f"{SALT}:{secret}".encode()).digest()
    stored = {"salt": SALT, "hash": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), "added": "2026-11-27"}
    return json.dumps({name: stored})


def add_source(stack: Stack, name: str) -> str:
    """Store a new source as the only one; return the address to POST its alerts to."""
    secret = new_secret()
    content = one_source(name, secret)
    stack.client("ssm").put_parameter(Name=SOURCES_PARAMETER, Type="SecureString", Value=content, Overwrite=True)
    return stack.webhook_url(f"/alerts/{name}/{secret}")
