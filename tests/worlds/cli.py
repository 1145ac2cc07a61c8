"""The command line over the world of the other tests, its stack known to CloudFormation."""

import io
import json
import sys
import unicodedata
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError
from relay import client
from relay_cli import context, drafts, durations
from relay_cli.app import main
from relay_cli.commands import doctor, login, pause, posts, send, setup, status, webhook
from relay_cli.deployed import backups, deliveries, gate, logs, operator_pause, outbox, outcomes, waits

from tests.worlds.aws import REGION, stubbed_answer
from tests.worlds.backups import ARCHIVE
from tests.worlds.posting import CHARTS, TABLE, TOKEN_PARAMETER, PostingWorld
from tests.worlds.runs import Run

Answer = Callable[[dict[str, Any]], dict[str, Any]]
"""A planned answer of AWS: what a function makes of the request."""

DONE, FAILED, USAGE, NO_AWS, NO_STACK, REFUSED = range(6)
STACK = "stocktwits-relay"
WEBHOOK_PARAMETER = "/stocktwits-relay/webhook-sources"
OVERRIDE, SHOWN = "\u202e", r"\u202e"
"""A character that reverses the order of a text (SQS accepts it), and how it is shown."""

HARNESSES: list["CliHarness"] = []
LOG_GROUPS = {"post_messages": "PostMessagesLogs", "drain_leftovers": "DrainLeftoversLogs"}


@dataclass
class CommandResult:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def control_characters(text: str) -> set[str]:
    """The characters of a text that a terminal obeys, or that hide its order; a line may end."""
    return {each for each in text if each != "\n" and unicodedata.category(each) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}


def _answer_call(**call: Any) -> tuple[Any, Any] | None:
    return HARNESSES[-1].asked(**call)


@cache
def session() -> boto3.Session:
    """The operator's own way to AWS, made once: reading botocore's models takes longer than a test."""
    own = boto3.session.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)
    own.events.register("before-call.*.*", _answer_call)  # before there are clients
    own.client = cache(own.client)
    return own


def losing_the_answer(world: PostingWorld) -> Answer:
    """SQS takes the messages, and its answer does not come back."""

    def answer(call: dict[str, Any]) -> dict[str, Any]:
        for each in call["Entries"]:
            world.send(world.outbox, each["MessageBody"], RelayKey=each["MessageAttributes"]["RelayKey"]["StringValue"])
        raise ReadTimeoutError(endpoint_url="http://127.0.0.1")

    return answer


class CliHarness:
    """An operator at the command line; while a command waits, `meanwhile` happens.

    Attributes:
        paces: For how long, in seconds, the command waited before each request for log lines.
    """

    def __init__(self, world: PostingWorld, patch: pytest.MonkeyPatch) -> None:
        self.world = world
        self.patch = patch
        self.meanwhile: list[Callable[[], object]] = []
        self._planned: dict[str, list[Answer | str | None]] = {}
        self.answers: Callable[[str, str, dict[str, Any]], dict[str, Any] | str | None] = lambda *_: None
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.everything = ""
        self.stack_status = "UPDATE_COMPLETE"
        self.log_groups = [*LOG_GROUPS.values(), "FetchBackupsLogs"]
        self.parameters = {
            "StockTwitsApiUrl": world.stand_in.api_url,
            "StockTwitsAuthStyle": "bearer",
            "StockTwitsTokenParameter": TOKEN_PARAMETER,
            "MaxPostsPerHour": "12",
            "PostBurst": "3",
            "MaxPostsPerDay": "48",
            "DryRun": "false",
            "ChartBucketName": CHARTS,
            "WebhookSourcesParameter": WEBHOOK_PARAMETER,
        }
        self.outputs = {
            "LedgerTableName": TABLE,
            "PostMessagesFunctionName": "post-messages",
            **{f"{name}QueueUrl": url for name, url in self.queues.items()},
            **{f"{name}QueueName": url.rpartition("/")[2] for name, url in self.queues.items()},
        }
        clock = SimpleNamespace(time=world.clock, monotonic=world.clock, sleep=self._sleep)
        for module in (
            backups,
            client,
            context,
            deliveries,
            doctor,
            drafts,
            durations,
            gate,
            login,
            operator_pause,
            outbox,
            outcomes,
            pause,
            posts,
            send,
            setup,
            status,
            waits,
            webhook,
        ):
            if hasattr(module, "time"):
                patch.setattr(module, "time", clock)
        self.paces: list[float] = []
        paced = SimpleNamespace(time=world.clock, monotonic=lambda: sum(self.paces), sleep=self.paces.append)
        patch.setattr(logs, "time", paced)
        patch.setattr("boto3.Session", lambda **_: session())
        patch.setenv("COLUMNS", "200")
        patch.setenv("NO_COLOR", "")  # what --no-color sets does not outlive the test
        patch.chdir("/")
        HARNESSES[:] = [self]
        self.deploy()

    @property
    def queues(self) -> dict[str, str]:
        return {"Outbox": self.world.outbox, "Leftovers": self.world.leftovers, "DeadLetter": self.world.dead}

    def deploy(self) -> None:
        """Make the functions' log groups."""
        for name in self.log_groups:
            session().client("logs").create_log_group(logGroupName=name)
            session().client("logs").create_log_stream(logGroupName=name, logStreamName="stream")

    def _cloudformation(self, operation: str) -> dict[str, Any]:
        """What CloudFormation, which the emulators have only with more than we install, says of the stack."""
        if operation == "ListStackResources":
            named = [{"LogicalResourceId": name, "PhysicalResourceId": name} for name in self.log_groups]
            return {"StackResourceSummaries": named}
        found = {
            "StackName": STACK,
            "StackStatus": self.stack_status,
            "Outputs": [{"OutputKey": name, "OutputValue": value} for name, value in self.outputs.items()],
            "Parameters": [{"ParameterKey": name, "ParameterValue": value} for name, value in self.parameters.items()],
        }
        return {"Stacks": [found]}

    def __call__(self, *words: str, typed: str | bytes = "", at_terminal: bool = False) -> CommandResult:
        """Run `relay` with these words, and pipe this, or type it at a terminal."""
        self.patch.setattr(sys, "argv", ["relay", *words])
        content = typed if isinstance(typed, bytes) else typed.encode()
        stdin = io.TextIOWrapper(io.BytesIO(content))
        stdin.isatty = lambda: at_terminal  # type: ignore[method-assign]
        self.patch.setattr(sys, "stdin", stdin)
        code = DONE
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            try:
                main()
            except SystemExit as ended:
                code = ended.code
        self.everything += out.getvalue() + err.getvalue()
        return CommandResult(code, out.getvalue(), err.getvalue())

    # What happens elsewhere

    def with_backups(self, file_types: str) -> "CliHarness":
        """Deploy the other half of the stack too."""
        self.world.s3.create_bucket(Bucket=ARCHIVE)
        for name in ("BackupRequests", "BackupFailures"):
            url = self.world.sqs.create_queue(QueueName=name)["QueueUrl"]
            self.outputs |= {f"{name}QueueUrl": url, f"{name}QueueName": name}
        self.outputs |= {"BackupBucketName": ARCHIVE, "FetchBackupsFunctionName": "fetch-backups"}
        self.parameters["BackupFileTypes"] = file_types
        return self

    def log(self, run: Run, group: str | None = None) -> Run:
        """Let CloudWatch have what a function wrote; the run again."""
        for line in run.lines:
            session().client("logs").put_log_events(
                logGroupName=group or LOG_GROUPS[line["service"]],
                logStreamName="stream",
                logEvents=[{"timestamp": round(self.world.clock() * 1000), "message": json.dumps(line)}],
            )
        return run

    def add_dead_letter(self, body: str = "Up 3% $AAPL", **attributes: str) -> str:
        """Put a letter into Dead letters; its id."""
        return self.world.send(self.world.dead, body, **attributes)

    def bodies(self, queue: str) -> list[str]:
        """The bodies in a queue as anybody sees them now; they stay."""
        self.world.clock.forward(0.001)  # moto hides a message to the end of the millisecond
        return [each["Body"] for each in self.world.receive(queue, VisibilityTimeout=0)]

    def stored(self, parameter: str) -> dict[str, Any] | None:
        """What a SecureString holds, or None."""
        with suppress(self.world.ssm.exceptions.ParameterNotFound):
            found = self.world.ssm.get_parameter(Name=parameter, WithDecryption=True)["Parameter"]
            assert found["Type"] == "SecureString"
            return json.loads(found["Value"])
        return None

    # Planned answers of AWS

    def plan(self, operation: str, *answers: Answer | str | None) -> None:
        """Answer the next calls of an operation by an error's code, or by what a function makes of its request; None
        leaves one alone."""
        self._planned.setdefault(operation, []).extend(answers)

    def asked(self, model: Any, params: dict[str, Any], **_: object) -> tuple[Any, Any] | None:
        """Note a call to AWS, and answer it if that was planned."""
        body = params["body"]
        sent = json.loads(body) if isinstance(body, bytes) and body.startswith(b"{") else {}
        self.calls.append((model.name, sent))
        answer = self._planned[model.name].pop(0) if self._planned.get(model.name) else None
        if answer is None and (found := self.answers(model.name, params["url_path"], sent)) is not None:
            answer = found if isinstance(found, str) else lambda _: found
        if answer is None and model.name in {"DescribeStacks", "ListStackResources"}:
            return SimpleNamespace(status_code=200), self._cloudformation(model.name)
        if answer is None:
            return None
        return stubbed_answer(answer, sent)

    def _sleep(self, seconds: float) -> None:
        self.world.clock.forward(seconds)
        if self.meanwhile:
            self.meanwhile.pop(0)()


def iso(seconds: float) -> str:
    """A moment as the commands show it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
