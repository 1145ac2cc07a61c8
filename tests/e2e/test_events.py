"""Each sample event, in Lambda's own runtime, against the built artifacts: what `sam local invoke` would run."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.rie import Rie
from local.stack import BUILD, CHART_BUCKET, Stack

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
EVENTS = sorted((ROOT / "events").glob("*.json"))
POSTS = {"mixed_batch": None, "duplicate_key": 1, "invalid": 0, "drain_schedule": 0}


def environment(stack: Stack, function: str) -> dict[str, str]:
    """Return env.json's variables, pointed at the stack that runs."""
    source = "LeftoversQueueUrl" if function == "DrainLeftoversFunction" else "OutboxQueueUrl"
    return {
        **json.loads((ROOT / "env.json").read_text())[function],
        **stack.emulator.environment,
        "SOURCE_QUEUE_URL": stack.outputs[source],
        "DEAD_LETTER_QUEUE_URL": stack.outputs["DeadLetterQueueUrl"],
        "LEDGER_TABLE_NAME": stack.outputs["LedgerTableName"],
        "STOCKTWITS_API_URL": stack.stocktwits.api_url,
        "CHART_BUCKET_NAME": CHART_BUCKET,
        "MAX_POSTS_PER_HOUR": "3600",
        "POST_BURST": "100",
        "MAX_POSTS_PER_DAY": "0",
        "DRY_RUN": "false",
    }


@pytest.fixture(scope="module")
def functions(stack: Stack) -> Iterator[dict[str, Rie]]:
    names = ("PostMessagesFunction", "DrainLeftoversFunction")
    post, drain = (Rie(BUILD / name, BUILD / "RelayLayer", environment(stack, name)) for name in names)
    with post, drain:
        yield {"post": post, "drain": drain}


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: path.stem)
def test_every_sample_event_runs_in_the_real_runtime(path: Path, functions: dict[str, Rie], stack: Stack) -> None:
    event: dict[str, Any] = json.loads(path.read_text())
    stack.stocktwits.reset()
    if path.stem.startswith("drain"):
        assert functions["drain"].invoke(event) == {"done": 0, "left": 0}
        return
    assert functions["post"].invoke(event) == {"batchItemFailures": []}
    expected = POSTS.get(path.stem, len(event["Records"]))
    if expected is not None:
        assert len(stack.stocktwits.posts) == expected


def test_there_is_an_event_for_each_function() -> None:
    assert {"plain_text", "drain_schedule"} <= {path.stem for path in EVENTS}


def test_the_runtime_has_nothing_but_what_the_layer_brings(stack: Stack, tmp_path: Path) -> None:
    """The proof that a library missing from the layer would be missed here."""
    (tmp_path / "app.py").write_text(
        "from importlib.util import find_spec\n"
        "def handler(event, context): return [name for name in event if find_spec(name)]\n"
    )
    with Rie(tmp_path, None, {}) as bare:
        assert bare.invoke(["boto3", "requests", "msgspec", "aws_lambda_powertools", "urllib3"]) == []
