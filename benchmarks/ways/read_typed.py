"""Reading by the relay, a typed message for each line."""

from collections.abc import Callable

from relay.reading import Message, read_backup

from benchmarks.ways import Job


def prepare(job: Job) -> Callable[[], int]:
    """See `benchmarks.ways.Way`."""

    def run() -> int:
        lines = 0
        for _ in read_backup(job.file, type=Message):
            lines += 1
        return lines

    return run
