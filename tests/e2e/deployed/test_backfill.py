"""A backfill on the deployed stack: several workers at a time, and every file byte for byte."""

import json
import time
from datetime import date
from typing import Any

import pytest

from local.stack.stack import Stack

pytestmark = pytest.mark.e2e


def test_a_backfill_is_fetched_by_several_workers_at_a_time(stack: Stack) -> None:
    stack.firestream.fail("stall", file_type="activity", times=2, seconds=15)  # long enough for two to overlap
    s3, bucket = stack.client("s3"), stack.outputs["BackupBucketName"]
    event: dict[str, Any] = {"first_day": "2014-03-01", "last_day": "2014-03-20", "file_types": ["activity"]}
    answer = stack.client("lambda").invoke(
        FunctionName=stack.outputs["FetchBackupsFunctionName"], Payload=json.dumps(event)
    )
    assert json.loads(answer["Payload"].read())["queued"] == 20
    deadline = time.monotonic() + 120
    keys: list[str] = []
    while len(keys) < 20:
        assert time.monotonic() < deadline, keys
        time.sleep(0.2)
        found = s3.list_objects_v2(Bucket=bucket, Prefix="activity/2014/03/").get("Contents", [])
        keys = [each["Key"] for each in found]
    for number, key in enumerate(keys, 1):
        expected = stack.firestream.content("activity", date(2014, 3, number))
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == expected
    assert stack.firestream.most_at_once > 1
