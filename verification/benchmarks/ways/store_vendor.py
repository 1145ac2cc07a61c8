"""Storing as the vendor's documentation downloads: requests, 1024 bytes at a time, into a file; then `upload_file`."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import boto3
import requests

from verification.benchmarks.ways.job import BUCKET, Job


def prepare(job: Job) -> Callable[[], int]:
    """See `verification.benchmarks.ways.job.Way`."""
    s3 = boto3.client("s3")

    def run() -> int:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "backup.gz"
            with requests.get(job.url, auth=(job.username, job.password), stream=True, timeout=60) as answer:
                answer.raise_for_status()
                with path.open("wb") as file:
                    for chunk in answer.iter_content(1024):
                        file.write(chunk)
            s3.upload_file(str(path), BUCKET, job.key)
        return 0

    return run
