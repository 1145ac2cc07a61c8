"""The webhook's sources: who may POST alerts, told by a secret of its own, and what is made of its payloads. Pure.

All of them are kept in one SSM SecureString, as the JSON of a dictionary from names to `Source`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING

import msgspec

from relay.errors import Reject
from relay.posting.webhook.body_template import Template, check

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_CHARACTERS = 4096
"""The most that a standard parameter of SSM holds, free of charge; one beyond ASCII counts as its bytes in UTF-8, since
SSM's documents say 4 KB and its errors 4096 characters:
https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html."""

SECRET_BYTES = 32
"""The randomness of a secret: 256 bits cannot be guessed at any rate, so that a fast hash is enough to store it."""

SALT_BYTES = 8
"""Two sources with the same secret would have different hashes, and no table of hashes made before is of use."""

MIN_EXPIRY_SECONDS = 60
"""A minute is what a message may wait for the drain alone."""

MAX_EXPIRY_SECONDS = 13 * 24 * 3600
"""SQS keeps a message for 14 days."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A sender of alerts, as the parameter keeps it.

    A field that this version does not know makes the parameter unreadable: it might be a limit on who gets in.

    Attributes:
        salt: What its secret was hashed with, in base64.
        hash: The SHA-256 of salt and secret, in base64.
        added: The day on which it was added, as in ``2026-11-27``.
        addresses: The networks that its requests may come from, as in ``52.89.214.238/32``; empty for any.
        template: How an alert is made of its payload; None if the payload is the alert.
        expires_in: After how many seconds an alert expires that does not say when; 0 for never.
    """

    salt: str
    hash: str
    added: str
    addresses: tuple[str, ...] = ()
    template: Template | None = None
    expires_in: int = 0


def new_secret() -> str:
    """Return a new secret that needs no quoting in a URL."""
    return secrets.token_urlsafe(SECRET_BYTES)


def new_source(
    secret: str,
    *,
    added: str,
    addresses: Sequence[str] = (),
    template: Template | None = None,
    expires_in: int = 0,
) -> Source:
    """Describe a source by its secret, which cannot be found out from it; the arguments are those of `Source`.

    Raises:
        Reject: An address, the template or the expiry is invalid; the reason says why.
    """
    if template:
        check(template)
    if expires_in and not MIN_EXPIRY_SECONDS <= expires_in <= MAX_EXPIRY_SECONDS:
        raise Reject("alerts must expire after at least a minute and at most 13 days")
    salt = _text(secrets.token_bytes(SALT_BYTES))
    return Source(
        salt=salt,
        hash=_hash(salt, secret),
        added=added,
        addresses=tuple(check_address(each) for each in addresses),
        template=template,
        expires_in=expires_in,
    )


def check_name(name: str) -> None:
    """Refuse a name that cannot stand in an address.

    Raises:
        Reject: It has other characters, or too many.
    """
    if not _NAME.fullmatch(name):
        raise Reject("a source's name has 1 to 32 letters, digits, - and _, as in tradingview")


def check_address(text: str) -> str:
    """Return a network that requests may come from, in the form in which it is stored.

    Args:
        text: An address, as in ``52.89.214.238``, or a network, as in ``10.1.0.0/16``.

    Raises:
        Reject: It is neither.
    """
    import ipaddress  # noqa: PLC0415  only who limits addresses pays for it

    try:
        return str(ipaddress.ip_network(text.strip()))
    except ValueError:
        raise Reject("an address must be one as in 52.89.214.238, or a network as in 10.1.0.0/16") from None


def decode(text: str) -> dict[str, Source]:
    """Read the parameter.

    Raises:
        Reject: It is not what `encode` wrote; the reason does not repeat it.
    """
    try:
        sources = msgspec.json.decode(text, type=dict[str, Source])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        where = str(error).rpartition(" - at ")[2] if isinstance(error, msgspec.ValidationError) else "not JSON"
        raise Reject(f"it does not contain the sources of this version ({where})") from None
    for each in sources.values():
        for address in each.addresses:  # one that was edited by hand must not fail only when it is used
            check_address(address)
    return sources


def encode(sources: Mapping[str, Source]) -> str:
    """Write the parameter.

    Raises:
        Reject: It would be too long.
    """
    # SSM refuses a value with {{…}}, where it may see another parameter's name. Only texts have two braces in a row.
    text = msgspec.json.encode(sources).decode().replace("{{", r"\u007b\u007b")
    size = len(text.encode())
    if size > MAX_CHARACTERS:
        raise Reject(f"the sources would take {size:,} characters, and the parameter holds {MAX_CHARACTERS:,}")
    return text


def authenticate(sources: Mapping[str, Source], name: str, secret: str, address: str) -> Source | None:
    """Return the source that a request comes from, or None. An unknown name takes as long as a wrong secret.

    Args:
        sources: Those that are known.
        name: The source that the request names.
        secret: The secret that it gives.
        address: Where it comes from, as API Gateway saw it.
    """
    found = sources.get(name)
    source = found or _NOBODY
    # As bytes: a text beyond ASCII, in a parameter edited by hand, cannot be compared.
    right = hmac.compare_digest(_hash(source.salt, secret).encode(), source.hash.encode())
    return found if right and found and _allowed(address, found.addresses) else None


def _allowed(address: str, networks: Sequence[str]) -> bool:
    if not networks:
        return True
    import ipaddress  # noqa: PLC0415  as above

    try:
        seen = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(seen in ipaddress.ip_network(each) for each in networks)


def _hash(salt: str, secret: str) -> str:
    return _text(hashlib.sha256(f"{salt}:{secret}".encode(errors="surrogatepass")).digest())


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


_NOBODY = Source(salt="", hash=_hash("", ""), added="")
"""What an unknown name is compared with; the comparison decides nothing."""
