"""What the errors of AWS's client library are called in reasons and logs."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

AWS_ERRORS = (ClientError, BotoCoreError)
"""What a call of AWS raises: for an answer that refuses it, or for a missing answer."""


def error_code(error: ClientError | BotoCoreError) -> str:
    """Return the code that AWS answered with, such as ``AccessDenied``; without an answer, the error's type."""
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__
