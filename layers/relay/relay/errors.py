"""Every way that posting a message or fetching a backup can fail, named by what to do next.

::

    RelayError
    ├── Reject          this can never be done as it is asked for: move it to Dead letters
    │   ├── Duplicate   StockTwits takes it for a duplicate
    │   ├── NotYet      what it needs is not there: final only when it is not there a little later either
    │   └── Expired     it is too late for this message
    ├── Retry           nothing was done: leave it, try again later
    │   ├── Corrupt     the bytes are not a whole backup: keep none of them
    │   └── StartOver   the backup changed while it was read: start over
    ├── Unknown         it may or may not be posted: leave it, and read the account's stream before trying again
    │   └── NoId        StockTwits says that it is posted, but not as which post
    ├── Absent          Firestream has no such backup: not yet, or never
    ├── Refused         Firestream refuses this backup alone: leave it, go on with the others
    ├── Unchanged       Firestream's file is still the stored one: there is nothing to do
    ├── Wait            StockTwits limits the rate: pause everyone until then
    ├── Halt            an operator must fix something: pause everyone, raise an alarm
    └── Misconfigured   this function cannot start: a setting is missing or unreadable

Errors of libraries (requests, botocore, msgspec) are translated into these once, in the module that calls the library.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pause:
    """Why nothing may be posted now, and until when.

    Attributes:
        cause: A short label from a small set, fit for a metric's dimension: ``operator``, ``rate_limited``, ...
        reason: The same for an operator, with what to do.
        until: When the pause ends, in seconds since the epoch; None when it has no end yet (an operator's pause).
        who: Who imposed it: ``relay``, or the operator's name.
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
        reason: What happened, for an operator; contains no secret.
        status: The HTTP status of StockTwits or Firestream, if there was one.
        pause: The pause that this failure imposes on everyone, if any.
        answer: StockTwits' status and words, if it answered.
    """

    def __init__(self, reason: str, *, status: int | None = None, pause: Pause | None = None, answer: str = "") -> None:
        """Keep the reason; it is also the exception's text."""
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.pause = pause
        self.answer = answer


class Reject(RelayError):
    """This can never be done as it is asked for."""


class Duplicate(Reject):
    """StockTwits takes this text, or one much like it, for a duplicate (422)."""


class NotYet(Reject):
    """A chart or a parent is not there; it may be a moment later."""


class Expired(Reject):
    """The message's time is over."""


class Retry(RelayError):
    """Nothing was posted or stored; a later attempt is harmless."""


class Corrupt(Retry):
    """The bytes are not a whole gzip file of JSON objects, a line each."""


class StartOver(Retry):
    """The backup changed while it was read: what was read of it belongs to another file."""


class Unknown(RelayError):
    """StockTwits may or may not have published the post."""


class NoId(Unknown):
    """StockTwits answered with success, but with no id that can be this message's."""


class Refused(RelayError):
    """Firestream refuses this backup, though not its login: that is this day's failure alone."""


class Absent(RelayError):
    """Firestream has no such backup; its age decides whether it may still come."""


class Unchanged(RelayError):
    """Firestream's file is the one that is stored."""


class _Pausing(RelayError):
    """A failure that is not about the message and always imposes a pause."""

    def __init__(self, pause: Pause, *, status: int | None = None, answer: str = "") -> None:
        super().__init__(pause.reason, status=status, pause=pause, answer=answer)


class Wait(_Pausing):
    """StockTwits or Firestream limits the rate: nothing is asked for until the pause ends."""


class Halt(_Pausing):
    """An operator must fix something; one probe when the pause ends."""


class Misconfigured(RelayError):
    """A setting of this function is missing or unreadable."""
