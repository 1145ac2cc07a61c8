"""Each sample event, in Lambda's own runtime, against the built artifacts: what `sam local invoke` would run."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from local.stack.lambda_runtime import Rie
from local.stack.stack import CHART_BUCKET, LOGIN_PARAMETER, Stack

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[3]
EVENTS = sorted(path for path in (ROOT / "events").glob("*.json") if path.stem != "env")
ARCHIVE = "events-archive"
POSTS = {"mixed_batch": None, "duplicate_key": 1, "invalid": 0, "drain_schedule": 0}


def from_env_json(stack: Stack, function: str) -> dict[str, str]:
    """Return env.json's variables, and those of the emulator."""
    return {**json.loads((ROOT / "events" / "env.json").read_text())[function], **stack.emulator.environment}


def posting(stack: Stack, function: str) -> dict[str, str]:
    """Return the variables of a function that posts, for the running stack."""
    source = "LeftoversQueueUrl" if function == "DrainLeftoversFunction" else "OutboxQueueUrl"
    return {
        **from_env_json(stack, function),
        "SOURCE_QUEUE_URL": stack.outputs[source],
        "OUTBOX_QUEUE_URL": stack.outputs["OutboxQueueUrl"],
        "DEAD_LETTER_QUEUE_URL": stack.outputs["DeadLetterQueueUrl"],
        "LEDGER_TABLE_NAME": stack.outputs["LedgerTableName"],
        "STOCKTWITS_API_URL": stack.stocktwits.api_url,
        "CHART_BUCKET_NAME": CHART_BUCKET,
        "MAX_POSTS_PER_HOUR": "3600",
        "POST_BURST": "100",
        "MAX_POSTS_PER_DAY": "0",
        "DRY_RUN": "false",
    }


def fetching(stack: Stack) -> dict[str, str]:
    """Return the variables of the function that fetches, with a bucket and queues that no deployed function uses."""
    stack.client("s3").create_bucket(Bucket=ARCHIVE)
    queues = (stack.client("sqs").create_queue(QueueName=f"events-{name}") for name in ("requests", "failures"))
    requests, failures = (queue["QueueUrl"] for queue in queues)
    return {
        **from_env_json(stack, "FetchBackupsFunction"),
        "BACKUP_REQUESTS_QUEUE_URL": requests,
        "BACKUP_FAILURES_QUEUE_URL": failures,
        "BACKUP_BUCKET_NAME": ARCHIVE,
        "FIRESTREAM_URL": stack.firestream.url,
        "FIRESTREAM_CREDENTIALS_PARAMETER": LOGIN_PARAMETER,
    }


@pytest.fixture(scope="module")
def functions(stack: Stack) -> Iterator[dict[str, Rie]]:
    build = stack.build_directory
    layer = build / "RelayLayer"
    names = ("PostMessagesFunction", "DrainLeftoversFunction")
    post, drain = (Rie(build / name, layer, posting(stack, name)) for name in names)
    fetch = Rie(build / "FetchBackupsFunction", layer, fetching(stack), timeout=900)
    with post, drain, fetch:
        yield {"post": post, "drain": drain, "fetch": fetch}


def events(*prefixes: str) -> list[Path]:
    return [path for path in EVENTS if path.stem.startswith(prefixes)]


BACKUPS = events("backup_requests")
OTHERS = [*events("drain", "nightly", "backfill"), *BACKUPS]


@pytest.mark.parametrize("path", [path for path in EVENTS if path not in OTHERS], ids=lambda path: path.stem)
def test_every_message_is_posted_in_the_real_runtime(path: Path, functions: dict[str, Rie], stack: Stack) -> None:
    event: dict[str, Any] = json.loads(path.read_text())
    stack.stocktwits.reset()
    assert functions["post"].invoke(event) == {"batchItemFailures": []}
    expected = POSTS.get(path.stem, len(event["Records"]))
    if expected is not None:
        assert len(stack.stocktwits.posts) == expected


@pytest.mark.parametrize("path", events("drain"), ids=lambda path: path.stem)
def test_the_drain_runs_in_the_real_runtime(path: Path, functions: dict[str, Rie]) -> None:
    assert functions["drain"].invoke(json.loads(path.read_text())) == {"done": 0, "left": 0}


def stored(stack: Stack) -> dict[str, bytes]:
    """Return all objects in the archive."""
    s3 = stack.client("s3")
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=ARCHIVE).get("Contents", [])]
    return {key: s3.get_object(Bucket=ARCHIVE, Key=key)["Body"].read() for key in keys}


def test_the_night_is_fetched_in_the_real_runtime(functions: dict[str, Rie], stack: Stack) -> None:
    (path,) = events("nightly")
    event = json.loads(path.read_text())
    first, second = (functions["fetch"].invoke(event) for _ in range(2))
    assert (first["stored"], first["failed"], first["stopped"]) == (14, 0, "")
    assert (second["stored"], second["already_there"]) == (0, 14)
    nights = {key: content for key, content in stored(stack).items() if "/2016/" not in key}
    assert len(nights) == 14
    assert sum(map(len, nights.values())) == first["bytes"]


@pytest.mark.parametrize("path", BACKUPS, ids=lambda path: path.stem)
def test_requests_are_fulfilled_in_the_real_runtime(path: Path, functions: dict[str, Rie], stack: Stack) -> None:
    event: dict[str, Any] = json.loads(path.read_text())
    assert functions["fetch"].invoke(event) == {"batchItemFailures": []}
    wanted = json.loads(event["Records"][0]["body"])
    day = date.fromisoformat(wanted["day"])
    content = stack.firestream.content(wanted["file_type"], day)
    assert content in [each for key, each in stored(stack).items() if f"{wanted['file_type']}/{day:%Y/%m/%d}" in key]


def test_the_backfill_is_requested_in_the_real_runtime(functions: dict[str, Rie]) -> None:
    (path,) = events("backfill")
    answer = functions["fetch"].invoke(json.loads(path.read_text()))
    assert (answer["queued"] + answer["already_there"], answer["failed"]) == (62, 0)


def test_there_is_an_event_for_each_function() -> None:
    assert {"plain_text", "drain_schedule", "nightly_schedule", "backfill"} <= {path.stem for path in EVENTS}
    assert [path.stem for path in BACKUPS] == ["backup_requests", "backup_requests_mixed"]


def test_the_runtime_has_only_the_libraries_of_the_layer(stack: Stack, tmp_path: Path) -> None:
    """So a library that is missing in the layer fails these tests."""
    (tmp_path / "app.py").write_text(
        "from importlib.util import find_spec\n"
        "def handler(event, context): return [name for name in event if find_spec(name)]\n"
    )
    with Rie(tmp_path, None, {}) as bare:
        assert bare.invoke(["boto3", "requests", "msgspec", "aws_lambda_powertools", "urllib3", "isal"]) == []
