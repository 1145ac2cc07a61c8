"""Settings from environment variables: each field of a settings class is the variable of the same name in capitals."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from relay.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Mapping


def read_settings(kind: type[Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Read the fields of a settings dataclass.

    Args:
        kind: The dataclass; its fields are of type str, int or bool.
        environment: The environment variables.

    Returns:
        Each field's name with its value.

    Raises:
        Misconfigured: One is missing or unreadable; the reason names it.
    """
    return {each.name: _read(environment, each.name.upper(), str(each.type)) for each in fields(kind)}


def check_url(name: str, value: str) -> None:
    """Check that a variable is a URL.

    Raises:
        Misconfigured: It is not.
    """
    if not value.startswith(("https://", "http://")):
        raise Misconfigured(f"{name} must begin with https://")


def stack_name(environment: Mapping[str, str]) -> str:
    """Return the name of this function's stack, for its metrics; a missing variable must not hide another error."""
    return environment.get("STACK_NAME") or "unknown"


def _read(environment: Mapping[str, str], name: str, kind: str) -> str | int | bool:
    try:
        value = environment[name]
    except KeyError:
        raise Misconfigured(f"the environment variable {name} is missing: deploy the template as it is") from None
    if kind == "int":
        if not value.isdecimal():
            raise Misconfigured(f"{name} must be a whole number")
        return int(value)
    if kind == "bool":
        if value not in {"true", "false"}:
            raise Misconfigured(f"{name} must be true or false")
        return value == "true"
    return value
