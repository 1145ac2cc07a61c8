"""Storing by smart_open, which reads and writes streams."""

import shutil
from collections.abc import Callable

import boto3
import smart_open  # type: ignore[import-not-found,unused-ignore]  # it is in no other environment

from verification.benchmarks.ways.job import BUCKET, Job


def prepare(job: Job) -> Callable[[], int]:
    """See `verification.benchmarks.ways.job.Way`."""
    s3 = boto3.client("s3")
    login = {"user": job.username, "password": job.password}

    def run() -> int:
        with (
            smart_open.open(job.url, "rb", compression="disable", transport_params=login) as source,
            smart_open.open(
                f"s3://{BUCKET}/{job.key}", "wb", compression="disable", transport_params={"client": s3}
            ) as target,
        ):
            shutil.copyfileobj(source, target)
        return 0

    return run
