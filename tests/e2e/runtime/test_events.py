"""Each sample event, in Lambda's own runtime, against the built artifacts: what `sam local invoke` would run."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from local.stack.lambda_runtime import Rie
from tests.worlds.runtime import Runtime

pytestmark = [pytest.mark.e2e, pytest.mark.any_aws]

ROOT = Path(__file__).parents[3]
EVENTS = sorted(path for path in (ROOT / "events").glob("*.json") if path.stem != "env")
POSTS = {"mixed_batch": None, "duplicate_key": 1, "invalid": 0, "drain_schedule": 0}


def events(*prefixes: str) -> list[Path]:
    return [path for path in EVENTS if path.stem.startswith(prefixes)]


BACKUPS = events("backup_requests")
OTHERS = [*events("drain", "nightly", "backfill", "webhook"), *BACKUPS]


@pytest.mark.parametrize("path", [path for path in EVENTS if path not in OTHERS], ids=lambda path: path.stem)
def test_every_message_is_posted_in_the_real_runtime(path: Path, runtime: Runtime) -> None:
    event: dict[str, Any] = json.loads(path.read_text())
    runtime.stocktwits.reset()
    assert runtime.functions["post"].invoke(event) == {"batchItemFailures": []}
    expected = POSTS.get(path.stem, len(event["Records"]))
    if expected is not None:
        assert len(runtime.stocktwits.posts) == expected


@pytest.mark.parametrize("path", events("webhook"), ids=lambda path: path.stem)
def test_an_alert_of_the_webhook_is_taken_in_the_real_runtime(path: Path, runtime: Runtime) -> None:
    event: dict[str, Any] = json.loads(path.read_text())
    runtime.empty()
    answer = runtime.functions["receive"].invoke(event)
    assert (answer["statusCode"], set(json.loads(answer["body"]))) == (202, {"id", "key"})
    (message,) = runtime.receive(runtime.outbox)
    assert message["Body"] == event["body"]


@pytest.mark.parametrize("path", events("drain"), ids=lambda path: path.stem)
def test_the_drain_runs_in_the_real_runtime(path: Path, runtime: Runtime) -> None:
    assert runtime.functions["drain"].invoke(json.loads(path.read_text())) == {"done": 0, "left": 0}


def test_the_night_is_fetched_in_the_real_runtime(runtime: Runtime) -> None:
    (path,) = events("nightly")
    event = json.loads(path.read_text())
    first, second = (runtime.functions["fetch"].invoke(event) for _ in range(2))
    assert (first["stored"], first["failed"], first["stopped"]) == (14, 0, "")
    assert (second["stored"], second["already_there"]) == (0, 14)
    nights = {key: content for key, content in runtime.stored().items() if "/2016/" not in key}
    assert len(nights) == 14
    assert sum(map(len, nights.values())) == first["bytes"]


@pytest.mark.parametrize("path", BACKUPS, ids=lambda path: path.stem)
def test_requests_are_fulfilled_in_the_real_runtime(path: Path, runtime: Runtime) -> None:
    event: dict[str, Any] = json.loads(path.read_text())
    assert runtime.functions["fetch"].invoke(event) == {"batchItemFailures": []}
    wanted = json.loads(event["Records"][0]["body"])
    day = date.fromisoformat(wanted["day"])
    content = runtime.firestream.content(wanted["file_type"], day)
    assert content in [each for key, each in runtime.stored().items() if f"{wanted['file_type']}/{day:%Y/%m/%d}" in key]


def test_the_backfill_is_requested_in_the_real_runtime(runtime: Runtime) -> None:
    (path,) = events("backfill")
    answer = runtime.functions["fetch"].invoke(json.loads(path.read_text()))
    assert (answer["queued"] + answer["already_there"], answer["failed"]) == (62, 0)


def test_there_is_an_event_for_each_function() -> None:
    assert {"plain_text", "drain_schedule", "nightly_schedule", "backfill", "webhook_alert"} <= {
        path.stem for path in EVENTS
    }
    assert [path.stem for path in BACKUPS] == ["backup_requests", "backup_requests_mixed"]


def test_the_runtime_has_only_the_libraries_of_the_layer(tmp_path: Path) -> None:
    """So a library that is missing in the layer fails these tests."""
    (tmp_path / "app.py").write_text(
        "from importlib.util import find_spec\n"
        "def handler(event, context): return [name for name in event if find_spec(name)]\n"
    )
    with Rie(tmp_path, None, {}) as bare:
        assert bare.invoke(["boto3", "requests", "msgspec", "aws_lambda_powertools", "urllib3", "isal"]) == []
