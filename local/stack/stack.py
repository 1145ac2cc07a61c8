"""The whole stack on this machine: the emulator and the stand-ins on free ports, and the application deployed there."""

import json
import struct
import zlib
from collections.abc import Callable, Mapping
from math import sin
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from samcli.yamlhelper import yaml_dump, yaml_parse  # type: ignore[import-untyped]

from local.build import HOST_ARCHITECTURE, HOST_RUNTIME, ROOT, build, compile_all, sam
from local.processes import Running
from local.stack.emulator import Emulator
from local.stack.iam import for_the_emulator
from local.stand_ins.firestream.server import FirestreamStandIn
from local.stand_ins.stocktwits.server import StandIn

STACK_NAME = "stocktwits-relay"
TOKEN_PARAMETER = "/stocktwits-relay/token"
LOGIN_PARAMETER = "/stocktwits-relay/firestream"
SOURCES_PARAMETER = "/stocktwits-relay/webhook-sources"
CHART_BUCKET = "stocktwits-relay-charts"
CHART_KEY = "aapl.png"
BUILD = ROOT / ".local" / "build"
PACE = {"MaxPostsPerHour": 3600, "PostBurst": 15, "MaxPostsPerDay": 0}
"""Fast enough to see everything within a minute, and slow enough that a burst exceeds it."""


class Stack(Running):
    """The deployed application with its emulator and stand-ins; they stop at the end of the ``with`` block.

    Attributes:
        emulator: The emulator of AWS that it is deployed to.
        stocktwits: The stand-in of StockTwits that it posts to.
        firestream: The stand-in of Firestream that it fetches backups from.
        outputs: The outputs of the template, by name.
        build_directory: The folder of the build.
    """

    def __init__(
        self,
        parameters: Mapping[str, object] | None = None,
        on_step: Callable[[str], None] = print,
        *,
        template: Path = ROOT / "template.yaml",
        build_directory: Path = BUILD,
        enforce_iam: bool = False,
    ) -> None:
        """Configure a stack without starting it.

        Args:
            parameters: Parameters of the template, in addition to those that a local stack needs.
            on_step: Called with a description of each step as it begins.
            template: What to build and deploy.
            build_directory: The folder to build in.
            enforce_iam: Let functions do only what their roles allow; adapts the template to the emulator.
        """
        super().__init__()
        self.emulator = Emulator(enforce_iam=enforce_iam)
        self.stocktwits = StandIn()
        self.firestream = FirestreamStandIn()
        self.outputs: dict[str, str] = {}
        self._parameters = parameters or {}
        self._template = template
        self._enforce_iam = enforce_iam
        self.build_directory = build_directory
        self._on_step = on_step

    def _start(self) -> None:
        self._on_step("Starting an emulator of AWS, and stand-ins for StockTwits and Firestream")
        for server in (self.emulator, self.stocktwits, self.firestream):
            self._running.enter_context(server)

    def _prepare(self) -> None:
        """Build and deploy everything."""
        self._on_step(f"Building with sam build ({HOST_RUNTIME}, {HOST_ARCHITECTURE}): up to a minute")
        build(HOST_RUNTIME, HOST_ARCHITECTURE, self.build_directory, template=self._template)
        compile_all(HOST_RUNTIME, self.build_directory)
        self._on_step("Deploying with sam deploy: about half a minute")
        self._deploy(self.build_directory)
        self._on_step("Storing the account's token, Firestream's login and a chart")
        self._seed()

    def client(self, service: str) -> Any:  # noqa: ANN401  its type depends on the name
        """Return a boto3 client for a service of the emulator."""
        return self.emulator.client(service)

    def webhook_url(self, path: str) -> str:
        """Return an address of the webhook that any program of this machine can POST to.

        Args:
            path: The path, such as ``/alerts/tradingview/SECRET``.
        """
        api = urlsplit(self.outputs["WebhookUrl"]).hostname or ""
        return self.emulator.api_url(api.partition(".")[0], path)

    def _deploy(self, directory: Path) -> None:
        parameters = {
            "PythonRuntime": HOST_RUNTIME,
            "Architecture": HOST_ARCHITECTURE,
            "StockTwitsApiUrl": self.stocktwits.api_url,
            "StockTwitsTokenParameter": TOKEN_PARAMETER,
            "ChartBucketName": CHART_BUCKET,
            "FirestreamUrl": self.firestream.url,
            "FirestreamCredentialsParameter": LOGIN_PARAMETER,
            "WebhookSourcesParameter": SOURCES_PARAMETER,
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
            *(f'{name}="{value}"' for name, value in parameters.items()),  # some contain spaces
            environment=self.emulator.environment,
        )
        (stack,) = self.client("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"]
        self.outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}

    def _seed(self) -> None:
        """Store what the application expects to find: the account's token, Firestream's login and a chart."""
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
