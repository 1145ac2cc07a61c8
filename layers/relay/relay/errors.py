"""Every way a delivery can fail, named by what to do next.

::

    RelayError
    ├── Reject          this message can never be posted: bury it with its reason
    ├── Retry           nothing reached StockTwits: leave the message, try again later
    ├── Unknown         it may or may not be posted: leave it, and read the account's stream before trying again
    ├── Wait            StockTwits asks for patience: stop everyone until a moment
    ├── Halt            nothing can be posted until something is mended: stop everyone, tell a person
    └── Misconfigured   this function cannot start: a setting is missing or unreadable

Errors of libraries (requests, botocore, msgspec) are translated into these once, in the module that calls the library.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pause:
    """Why nothing may be posted now, and until when.

    Attributes:
        cause: A short label from a small set, fit for a metric's dimension: ``operator``, ``rate_limited``, ...
        reason: The same in words for a person, with what to do.
        until: When the pause ends, in seconds since the epoch; None when nobody knows (an operator's pause).
        who: Who ordered it: ``relay``, or the operator's name.
        probe: Whether a single post must succeed after `until` before the gate opens for all.
    """

    cause: str
    reason: str
    until: float | None
    who: str = "relay"
    probe: bool = False


class RelayError(Exception):
    """The base of all the errors above.

    Attributes:
        reason: What happened, in words for a person; holds no secret.
        status: StockTwits' HTTP status, if there was one.
        pause: The pause that this failure imposes on everyone, if any.
    """

    def __init__(self, reason: str, *, status: int | None = None, pause: Pause | None = None) -> None:
        """Keep the reason; it is also the exception's text."""
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.pause = pause


class Reject(RelayError):
    """This message can never be posted as it is."""


class Duplicate(Reject):
    """StockTwits holds this text, or one much like it, to be a duplicate (422)."""


class Retry(RelayError):
    """Nothing reached StockTwits; a later attempt is harmless."""


class Unknown(RelayError):
    """StockTwits may or may not have published the post."""


class _Shut(RelayError):
    """A failure that says nothing about the message and always imposes a pause."""

    def __init__(self, pause: Pause, *, status: int | None = None) -> None:
        super().__init__(pause.reason, status=status, pause=pause)


class Wait(_Shut):
    """StockTwits limits the rate: nobody posts until the pause's end."""


class Halt(_Shut):
    """Somebody must mend something; one probe when the pause ends."""


class Misconfigured(RelayError):
    """A setting of this function is missing or unreadable."""
