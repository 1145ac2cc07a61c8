"""Who may know whom in the layer, and what importing it must not do."""

import ast
import json
import os
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from relay import backup_wiring, wiring

from tests.unit.factories import BACKUP_ENVIRONMENT, ENVIRONMENT

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "layers" / "relay"
MODULES = sorted(path.stem for path in (LAYER / "relay").glob("*.py") if path.stem != "__init__")
CLIENT_LIBRARIES = {"boto3", "botocore", "requests", "urllib3", "aws_lambda_powertools"}
WIRINGS = {"wiring", "backup_wiring"}


def python(program: str, *arguments: str) -> str:
    """Run a program in a Python of its own that finds the layer."""
    environment = {**os.environ, "PYTHONPATH": str(LAYER)}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def imports(file: Path) -> set[str]:
    """List the modules a file imports when it runs."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in list(ast.walk(tree)):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    named: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "relay":
            named |= {f"relay.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            named.add(node.module or "")
    return named


def known(module: str) -> set[str]:
    """List the modules that a module of the layer imports when it runs."""
    return imports(LAYER / "relay" / f"{module}.py")


def neighbours(module: str) -> set[str]:
    named = {each.removeprefix("relay.") for each in known(module)}
    return named & set(MODULES)


def brought_by(module: str) -> set[str]:
    """List all the modules that come along when a module of the layer is imported."""
    program = "import importlib, sys; importlib.import_module(sys.argv[1]); print(*sys.modules)"
    return set(python(program, f"relay.{module}").split())


@pytest.mark.parametrize(
    "module", ["errors", "received", "message", "delivery", "orders", "gunzip", "verifier", "reading"]
)
def test_what_is_pure_brings_no_client_library_along(module: str) -> None:
    brought = {name.partition(".")[0] for name in brought_by(module)}
    assert "relay" in brought
    assert brought & CLIENT_LIBRARIES == set()


@pytest.mark.parametrize(
    "module",
    [
        "errors",
        "message",
        "delivery",
        "posting",
        "stocktwits",
        "orders",
        "gunzip",
        "verifier",
        "firestream",
        "report",
        "posting_report",
        "backup_report",
        *sorted(WIRINGS),
    ],
)
def test_whoever_does_not_talk_to_aws_does_not_import_its_library(module: str) -> None:
    assert {"boto3", "botocore"} & {name.partition(".")[0] for name in known(module)} == set()


def test_only_the_clients_of_websites_know_the_http_library() -> None:
    knowing = {each for each in MODULES if {"requests", "urllib3"} & {name.partition(".")[0] for name in known(each)}}
    assert knowing == {"stocktwits", "firestream"}


def test_only_those_who_count_and_decode_bytes_know_the_library_for_it() -> None:
    knowing = {each for each in MODULES if "isal" in {name.partition(".")[0] for name in known(each)}}
    assert knowing == {"gunzip", "transfer"}


def test_arrows_between_modules_point_one_way() -> None:
    order = list(TopologicalSorter({each: neighbours(each) for each in MODULES}).static_order())
    assert set(order) == set(MODULES)


@pytest.mark.parametrize(
    ("module", "may_know"),
    [
        ("errors", set()),
        ("message", {"errors"}),
        ("received", {"message"}),
        ("delivery", {"errors", "message", "received"}),
        ("tls", set()),
        ("stocktwits", {"errors", "message", "delivery", "tls"}),
        ("ledger", {"errors", "message", "delivery"}),
        ("queues", {"received", "delivery"}),
        ("credentials", {"errors"}),
        ("orders", {"errors"}),
        ("gunzip", {"errors"}),
        ("verifier", {"errors", "gunzip"}),
        ("reading", {"errors", "gunzip"}),
        ("firestream", {"errors", "tls"}),
        ("transfer", {"errors", "verifier"}),
        ("archive", {"errors", "orders", "reading", "transfer"}),
        ("backups", {"errors", "orders"}),
        ("settings", {"errors", "credentials", "orders"}),
        ("report", set()),
        ("posting_report", {"delivery", "report"}),
        ("result_events", {"delivery"}),
        ("backup_report", {"backups", "report"}),
    ],
)
def test_a_module_knows_only_what_is_beneath_it(module: str, may_know: set[str]) -> None:
    assert neighbours(module) <= may_know


def test_nothing_in_the_layer_knows_where_it_is_put_together() -> None:
    assert [each for each in MODULES if neighbours(each) & WIRINGS] == []


@pytest.mark.parametrize(
    ("half", "others"),
    [
        ("wiring", {"backups", "backup_report", "firestream", "transfer", "verifier", "gunzip", "archive", "reading"}),
        (
            "backup_wiring",
            {"message", "reading", "delivery", "posting", "posting_report", "stocktwits", "charts", "ledger", "gate"},
        ),
    ],
)
def test_one_half_does_not_load_the_other(half: str, others: set[str]) -> None:
    brought = brought_by(half)
    assert others <= set(MODULES)
    assert {f"relay.{each}" for each in others} & brought == set()
    assert "requests" not in brought or half == "wiring"
    assert "isal" not in brought or half == "backup_wiring"


@pytest.mark.parametrize("edge", sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py")))
def test_an_edge_knows_the_layer_and_no_client_library(edge: str) -> None:
    named = {each.partition(".")[0] for each in imports(ROOT / "functions" / edge / "app.py")}
    assert "relay" in named
    assert named & CLIENT_LIBRARIES == set()


@pytest.mark.parametrize(("bus", "loaded"), [("", []), ("default", ["relay.result_events"])])
def test_result_events_are_loaded_and_their_client_described_only_when_there_is_a_bus(
    bus: str, loaded: list[str]
) -> None:
    program = """
import json, os, sys
os.environ.update(json.loads(sys.argv[1]), AWS_DEFAULT_REGION="us-east-1")
from relay.wiring import relay
relay().announce([], lambda: 60.0)
print(*(name for name in sys.modules if "event" in name and name.startswith("relay.")))
"""
    environment = json.dumps(ENVIRONMENT | {"RESULT_EVENT_BUS_NAME": bus})
    assert python(program, environment).split() == loaded


def test_importing_everything_reads_none_of_our_settings_and_makes_no_client() -> None:
    program = """
import os
from dataclasses import fields

read = set()

class Recording(dict):
    def __getitem__(self, name):
        read.add(name)
        return super().__getitem__(name)
    def __contains__(self, name):
        read.add(name)
        return super().__contains__(name)
    def get(self, name, default=None):
        read.add(name)
        return super().get(name, default)

os.environ = Recording(os.environ)
os.getenv = os.environ.get

import botocore.session, requests, ssl, urllib3
from unittest.mock import patch

def made(*_, **__):
    raise AssertionError("something was made at import")

with (
    patch.object(botocore.session.Session, "__init__", made),
    patch.object(requests.Session, "__init__", made),
    patch.object(urllib3.PoolManager, "__init__", made),
    patch.object(ssl, "create_default_context", made),
):
    import relay.wiring, relay.backup_wiring

from relay.settings import BackupSettings, PostingSettings
ours = {each.name.upper() for kind in (PostingSettings, BackupSettings) for each in fields(kind)}
print(len(ours), *(ours & read))
"""
    number, *settings_read = python(program).split()
    assert int(number) >= 20
    assert settings_read == []


def test_what_is_put_together_is_put_together_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (ENVIRONMENT | BACKUP_ENVIRONMENT).items():
        monkeypatch.setenv(name, value)
    assert wiring.relay() is wiring.relay()
    assert wiring.report("post_messages") is wiring.report("post_messages")
    assert backup_wiring.fetching() is backup_wiring.fetching()
    assert backup_wiring.report() is backup_wiring.report()
