"""What a token and a login can be, and reading one from a file; nothing is sent anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay_cli.failure import USAGE, Failure

if TYPE_CHECKING:
    from pathlib import Path


def check_token(token: str) -> None:
    """Check that a text can be an access token.

    Raises:
        Failure: It contains characters that no token has.
    """
    if not token.isascii() or not token.isprintable() or " " in token:
        raise Failure(
            "That is not an access token: it contains characters that no token has. Nothing was stored.", USAGE
        )


def check_login(username: str, password: str | None = None) -> None:
    """Check that Firestream's login can be one.

    Raises:
        Failure: It contains characters that no request could carry.
    """
    if ":" in username or not username.isprintable() or not (password or "").isprintable():
        raise Failure(
            "That is not a login: the username must not contain a colon, and the password only printable characters.",
            USAGE,
        )


def read_secret(file: Path) -> str:
    """Read a secret, the first line of a file.

    Raises:
        Failure: The file cannot be read, or its first line is empty.
    """
    try:
        secret = file.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}.", USAGE) from None
    except UnicodeDecodeError:
        raise Failure(f"{file} is not UTF-8 text.", USAGE) from None
    if not secret:
        raise Failure(f"The first line of {file} is empty.", USAGE)
    return secret
