"""Every shell and Python block of the documents, run as its reader would: in order, on the deployed stack."""

import json
import time
from collections.abc import Iterator
from itertools import groupby

import pytest

from local.stack.stack import LOGIN_PARAMETER, TOKEN_PARAMETER, Stack
from local.stack.up import settings
from local.stack.webhook import add_source
from local.stand_ins.firestream.server import FirestreamStandIn
from local.stand_ins.stocktwits.server import StandIn
from tests.e2e.documented.blocks import AWS, SECONDS, Block, Reader, blocks, blocks_of, escapes

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2 * SECONDS)]

NOT_HERE = {
    "make demo": "it deploys a stack of its own: tests/e2e/test_demo.py runs it",
    "make test": "it is what runs this test",
    "make test-runtimes": "it takes minutes for each Python",
    "make up": "the stack is up already",
    "make build": "sam local invoke, which follows, needs Docker: test_events.py gives each event to Lambda's runtime",
    "make .local/runtime/.ready": "it installs Lambda's runtime: test_events.py runs the functions in it",
    "PYTHON=/path/to/python": "it names a Python that is not here",
    "PYTHONPATH=layers/relay .venv/bin/python -m verification.reliability": "it deploys a stack, and takes minutes",
    ".venv/bin/python -m verification.benchmarks": "it takes minutes, and needs what is compared with",
    "make deploy": "it deploys to AWS; to the emulator, local/stack/stack.py does, in the same way",
    "sam build": "it makes what AWS runs, and deploys it there: test_build.py builds, local/stack/stack.py deploys",
    "sam delete": "it would take the stack away from the tests that follow",
    "from relay.archive import read_backup": "tests/unit/backups/test_reader.py reads a file and an object",
    "python3 -m venv ~/relay": "it installs into the home folder: test_first_hour.py does that, in another",
    "relay setup": "it deploys: test_first_hour.py does that, from a clone",
    "queue_arn() {": "the emulator does not know StartMessageMoveTask",
    "kept() {": "it would take the stack away from the tests that follow, with all that a deleted one leaves",
    "aws cloudwatch set-alarm-state": "nobody is told of an alarm here",
    "curl -sS --data": "the webhook's address is another here: the next one posts to it",
    "ADDRESS=https://": "the webhook's address is another here: tests/e2e posts to it",
    "URL=https://": "the same",
    "relay webhook test scanner": "it sends a request to the address that the webhook has in AWS",
    "aws s3 rm --recursive s3://YOUR-BUCKET/": "it deletes from a bucket of the reader's, beside the copy of queries",
}
"""The start of each block that is not run here, and why."""

REDIRECT = "https://example.com/back"
ANSWERS = {
    "relay login --expect-username": (
        StandIn.client_id,
        StandIn.client_secret,
        REDIRECT,
        f"{REDIRECT}?code={StandIn.code}",
    ),
    "relay login --token": (StandIn.access_token,),
    "relay login firestream": (FirestreamStandIn.password,),
}
"""The answers for blocks that ask, by their start."""

BLOCKS = blocks()
RUN = [block for block in BLOCKS if block.language in {"sh", "python"}]
HERE = {
    document: list(read)
    for document, read in groupby(
        (block for block in RUN if not block.command.startswith(tuple(NOT_HERE))), lambda block: block.document
    )
}


@pytest.fixture(scope="module")
def reader(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A reader with `your_account` and `your_login`, as in the documents, and small backups."""
    assert AWS.exists(), "make .local/awscli/.ready"
    account, archive = stack.stocktwits, stack.firestream
    username = account.username
    before = {name: getattr(archive, name) for name in ("username", "messages_per_day", "activities_per_day")}
    account.username = "your_account"
    archive.configure(username="your_login", messages_per_day=50, activities_per_day=50)
    token = log_in(stack)
    reader = Reader(stack, tmp_path_factory.mktemp("reader"))
    reader.writes("token.json", token)
    reader.writes("url.txt", "https://chat.example.com/services/secret")
    reader.writes(".local/up.env", settings(stack, WEBHOOK=add_source(stack, "local")))
    yield reader
    account.username = username
    archive.configure(**before)
    log_in(stack)


def log_in(stack: Stack) -> str:
    """Store the logins of the stand-ins, and return the one for StockTwits as it is stored."""
    account, archive = stack.stocktwits, stack.firestream
    token = json.dumps({"access_token": account.access_token, "username": account.username, "user_id": account.user_id})
    login = json.dumps({"username": archive.username, "password": archive.password})
    for name, value in ((TOKEN_PARAMETER, token), (LOGIN_PARAMETER, login)):
        stack.client("ssm").put_parameter(Name=name, Type="SecureString", Value=value, Overwrite=True)
    return token


@pytest.mark.parametrize("document", HERE)
def test_the_commands_of_a_document_work_one_after_the_other(document: str, reader: Reader, stack: Stack) -> None:
    read = HERE[document]
    done = reader.runs(read, ANSWERS)
    stack.client("dynamodb").delete_item(TableName=stack.outputs["LedgerTableName"], Key={"pk": {"S": "pause"}})
    assert (done.code, done.reached) == (0, [block.place for block in read]), str(done)
    published = {body for block in read for body in block.bodies}
    deadline = time.monotonic() + 90
    while waiting(stack) or not published <= {post.body for post in stack.stocktwits.posts}:
        assert time.monotonic() < deadline, (published, stack.stocktwits.posts)
        time.sleep(0.1)
    stack.stocktwits.reset()  # another document may post the same
    stack.firestream.reset()


def waiting(stack: Stack) -> int:
    """Count the messages in the queues, also invisible ones."""
    counted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    sqs, total = stack.client("sqs"), 0
    for queue in ("OutboxQueue", "LeftoversQueue", "BackupRequestsQueue"):
        answer = sqs.get_queue_attributes(QueueUrl=stack.outputs[f"{queue}Url"], AttributeNames=counted)
        total += sum(int(count) for count in answer["Attributes"].values())
    return total


@pytest.mark.parametrize(
    "text", ["false", "false | true", 'echo "$SET_NOWHERE"', "read -r answer", "no-such-program", "x=$(false)"]
)
def test_a_command_that_fails_ends_the_shell_and_is_named(text: str, reader: Reader) -> None:
    done = reader.runs(
        [
            Block("README.md", 1, "sh", "said=yes\n"),
            Block("README.md", 5, "sh", f'echo "heard $said"\n{text}\n'),
            Block("README.md", 9, "sh", "true\n"),
        ]
    )
    assert done.code > 0
    assert done.reached == ["README.md:1", "README.md:5"]
    assert str(done).startswith(f'README.md:5 ended with {done.code}:\necho "heard $said"\nheard yes\n{text}\n')


def test_every_block_with_commands_is_marked() -> None:
    assert [block.place for block in BLOCKS if escapes(block)] == []


def test_every_block_that_is_not_run_still_exists() -> None:
    beginnings = [block.command for block in RUN]
    assert [each for each in NOT_HERE if not any(command.startswith(each) for command in beginnings)] == []


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("bash", "true"),
        ("console", "$ true"),
        ("", "aws sqs list-queues"),
        ("", "$ relay status"),
        ("text", "AWS_PROFILE=work make deploy"),
        ("", "id=$(relay dead list --json | jq -r '.[0].id')"),
        ("text", "# first\nsam build"),
    ],
)
def test_a_block_that_looks_like_commands_must_be_marked(language: str, text: str) -> None:
    assert escapes(Block("README.md", 1, language, text))


@pytest.mark.parametrize(
    ("language", "text"),
    [("sh", "aws sqs list-queues"), ("python", "import boto3"), ("text", "relay: no"), ("", "queue ─► function")],
)
def test_other_blocks_need_no_mark(language: str, text: str) -> None:
    assert not escapes(Block("README.md", 1, language, text))


def test_blocks_are_found_in_lists_and_in_longer_fences() -> None:
    text = "1. Do\n   ```sh\n   a <<E\n     b\n   E\n   ```\n\n````text\n```\n````\n~~~json\n{}\n~~~\n"
    assert blocks_of("README.md", text) == [
        Block("README.md", 3, "sh", "a <<E\n  b\nE\n"),
        Block("README.md", 9, "text", "```\n"),
        Block("README.md", 12, "json", "{}\n"),
    ]
