"""The whole stack on this machine: emulator and stand-ins on free ports, the application built and deployed to them."""

import json
import struct
import zlib
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from math import sin
from pathlib import Path
from typing import Any, Self

from samcli.yamlhelper import yaml_dump, yaml_parse  # type: ignore[import-untyped]

from local.build import HOST_ARCHITECTURE, HOST_RUNTIME, ROOT, build, compile_all, sam
from local.stack.emulator import Emulator
from local.stack.iam import for_the_emulator
from local.stand_ins.firestream.server import FirestreamStandIn
from local.stand_ins.stocktwits.server import StandIn

STACK_NAME = "stocktwits-relay"
TOKEN_PARAMETER = "/stocktwits-relay/token"
LOGIN_PARAMETER = "/stocktwits-relay/firestream"
CHART_BUCKET = "stocktwits-relay-charts"
CHART_KEY = "aapl.png"
BUILD = ROOT / ".local" / "build"
PACE = {"MaxPostsPerHour": 3600, "PostBurst": 15, "MaxPostsPerDay": 0}
"""Fast enough to see everything in a minute, slow enough that a burst leaves something over."""


class Stack:
    """The deployed application, its emulator, its StockTwits and its Firestream; all stop with the ``with`` block.

    Attributes:
        emulator: The AWS it is deployed to.
        stocktwits: The StockTwits it posts to.
        firestream: The Firestream it fetches backups from.
        outputs: The outputs of the template, by name.
        build_directory: Where its artifacts are.
    """

    def __init__(
        self,
        parameters: Mapping[str, object] | None = None,
        say: Callable[[str], None] = print,
        *,
        template: Path = ROOT / "template.yaml",
        build_directory: Path = BUILD,
        enforce_iam: bool = False,
    ) -> None:
        """Prepare a stack.

        Args:
            parameters: Of the template, beside those that a local stack needs.
            say: Told of each step as it begins.
            template: What to build and deploy.
            build_directory: Where the artifacts go.
            enforce_iam: Let functions do only what their roles allow; the template is fitted to the emulator for that.
        """
        self.emulator = Emulator(enforce_iam=enforce_iam)
        self.stocktwits = StandIn()
        self.firestream = FirestreamStandIn()
        self.outputs: dict[str, str] = {}
        self._parameters = parameters or {}
        self._template = template
        self._enforce_iam = enforce_iam
        self.build_directory = build_directory
        self._say = say
        self._running = ExitStack()

    def __enter__(self) -> Self:
        """Start, build and deploy everything; on failure, stop what was started."""
        with ExitStack() as starting:
            self._say("Starting the emulator of AWS and the stand-ins of StockTwits and Firestream on 127.0.0.1")
            starting.enter_context(self.emulator)
            starting.enter_context(self.stocktwits)
            starting.enter_context(self.firestream)
            self._say(f"sam build ({HOST_RUNTIME}, {HOST_ARCHITECTURE})")
            build(HOST_RUNTIME, HOST_ARCHITECTURE, self.build_directory, template=self._template)
            compile_all(HOST_RUNTIME, self.build_directory)
            self._say("sam deploy")
            self._deploy(self.build_directory)
            self._say("Storing the account's token, Firestream's login and a chart")
            self._furnish()
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything."""
        self._running.close()

    def client(self, service: str) -> Any:  # noqa: ANN401  its type depends on the name
        """Return a boto3 client of a service of the emulator."""
        return self.emulator.client(service)

    def _deploy(self, directory: Path) -> None:
        parameters = {
            "PythonRuntime": HOST_RUNTIME,
            "Architecture": HOST_ARCHITECTURE,
            "StockTwitsApiUrl": self.stocktwits.api_url,
            "StockTwitsTokenParameter": TOKEN_PARAMETER,
            "ChartBucketName": CHART_BUCKET,
            "FirestreamUrl": self.firestream.url,
            "FirestreamCredentialsParameter": LOGIN_PARAMETER,
            **self._parameters,
        }
        template = directory / "template.yaml"
        if self._enforce_iam:
            built, template = template, directory / "template-for-the-emulator.yaml"
            template.write_text(yaml_dump(for_the_emulator(yaml_parse(built.read_text()))))
        sam(
            "deploy",
            "--config-file",
            str(ROOT / "samconfig.toml"),
            "--config-env",
            "local",
            "--template-file",
            str(template),
            "--stack-name",
            STACK_NAME,
            "--parameter-overrides",
            *(f'{name}="{value}"' for name, value in parameters.items()),  # some hold spaces
            environment=self.emulator.environment,
        )
        (stack,) = self.client("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"]
        self.outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}

    def _furnish(self) -> None:
        account = self.stocktwits
        token = {"access_token": account.access_token, "username": account.username, "user_id": account.user_id}
        login = {"username": self.firestream.username, "password": self.firestream.password}
        ssm = self.client("ssm")
        ssm.put_parameter(Name=TOKEN_PARAMETER, Type="SecureString", Value=json.dumps(token))
        ssm.put_parameter(Name=LOGIN_PARAMETER, Type="SecureString", Value=json.dumps(login))
        s3 = self.client("s3")
        s3.create_bucket(Bucket=CHART_BUCKET)
        s3.put_object(Bucket=CHART_BUCKET, Key=CHART_KEY, Body=a_chart())


def a_chart(width: int = 320, height: int = 160) -> bytes:
    """Draw a small PNG of a rising line."""
    rows = bytearray()
    for y in range(height):
        rows.append(0)  # no filter
        for x in range(width):
            line = height - 30 - x * (height - 70) / width - 9 * sin(x / 14) - 5 * sin(x / 5.3)
            on_line, below = abs(y - line) < 2, y > line  # noqa: PLR2004
            rows += b"\x16\x8a\x5a" if on_line else b"\xd8\xf3\xe6" if below else b"\xff\xff\xff"

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(rows), 9))
        + chunk(b"IEND", b"")
    )
