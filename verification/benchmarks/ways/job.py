"""Ways to store and to read a backup. Each is a module whose `prepare` returns the function that is measured.

``python -m verification.benchmarks.ways NAME JOB`` runs one in a process that does nothing else; see
`verification.benchmarks.own_process`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

BUCKET = "archive"


@dataclass(frozen=True)
class Job:
    """The backup to store or read.

    Attributes:
        file: The backup as a file on this machine.
        file_type: What its lines are.
        day: The day, such as ``2016-12-05``, of which Firestream has the same backup.
        firestream_url: Firestream's base URL.
        username: Its login.
        password: Its password.
    """

    file: str
    file_type: str
    day: str = ""
    firestream_url: str = ""
    username: str = ""
    password: str = ""

    @property
    def url(self) -> str:
        """The backup's address at Firestream."""
        return f"{self.firestream_url}/backups/{self.file_type}/{self.day.replace('-', '/')}"

    @property
    def key(self) -> str:
        """The key of the object."""
        return f"{self.file_type}/{self.day}.gz"


class Way(Protocol):
    """A module of this package."""

    def prepare(self, job: Job) -> Callable[[], int]:
        """Do what a process does once, and return the function that handles a backup.

        Returns:
            A function that does the job, and returns the number of lines, or 0 if it does not know.
        """
