"""Find what the functions were not allowed to do."""

from local.stack.stack import Stack
from tests.e2e.leaks import logs


def denials(stack: Stack, since: float = 0) -> list[str]:
    """Return the functions' log lines since a moment about an action that IAM denied."""
    lines = [line for place, line in logs(stack, since) if place.startswith("log ")]
    # The host of Firestream's links also answers "AccessDenied" for an expired link.
    return [line for line in lines if "AccessDenied" in line.replace("the link's host answered 403 AccessDenied", "")]
