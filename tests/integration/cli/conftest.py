"""The fixtures of the command's tests."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from local.stand_ins.http_server import Server
from tests.worlds.archive_cli import ArchiveCli, Services
from tests.worlds.backups import BackupsWorld
from tests.worlds.cli import CliHarness
from tests.worlds.dashboard import Page, served
from tests.worlds.posting import PostingWorld


@pytest.fixture
def cli(world: PostingWorld, monkeypatch: pytest.MonkeyPatch) -> CliHarness:
    return CliHarness(world, monkeypatch)


@pytest.fixture
def page(cli: CliHarness) -> Iterator[Page]:
    with served() as page:
        yield page


@pytest.fixture(scope="module")
def session() -> boto3.Session:
    """Made once: reading botocore's models takes longer than a test."""
    return boto3.Session("test", "test", region_name="us-east-1")


@pytest.fixture
def relay(
    backups: BackupsWorld,
    session: boto3.Session,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Iterator[ArchiveCli]:
    operator = ArchiveCli(backups, session, monkeypatch, capsys, tmp_path)
    server = Server(0, Services, operator)
    server.start()
    monkeypatch.setattr("boto3.Session", lambda **_: session)
    for service in ("LAMBDA", "CLOUDFORMATION"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", f"http://127.0.0.1:{server.server_port}")
    yield operator
    server.stop()
