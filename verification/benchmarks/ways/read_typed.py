"""Reading by the relay, a typed message or activity for each line."""

from collections.abc import Callable

import msgspec
from relay.backups.reader import Message, read_backup

from verification.benchmarks.ways.job import Job


class Activity(msgspec.Struct, frozen=True, gc=False):
    """What every activity has, whatever its format."""

    object: str
    action: str


TYPES: dict[str, type[Message] | type[Activity]] = {"message": Message, "activity": Activity}


def prepare(job: Job) -> Callable[[], int]:
    """See `verification.benchmarks.ways.job.Way`."""

    def run() -> int:
        lines = 0
        for _ in read_backup(job.file, type=TYPES[job.file_type]):
            lines += 1
        return lines

    return run
