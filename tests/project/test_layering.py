"""Who may import whom, in the layer, the command, local and verification; and what an import must not do."""

import ast
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from relay.backups import bootstrap as backups
from relay.posting import bootstrap as posting
from relay.posting.webhook import bootstrap as webhook

from tests.factories import BACKUP_ENVIRONMENT, ENVIRONMENT, WEBHOOK_ENVIRONMENT

ROOT = Path(__file__).parents[2]
LAYER, COMMAND = ROOT / "layers" / "relay", ROOT / "cli"
CLIENT_LIBRARIES = {"boto3", "botocore", "requests", "urllib3", "aws_lambda_powertools"}
PUBLIC = {"relay.archive", "relay.client", "relay.reading"}
"""What users import; their names stay, wherever the code behind them is."""


def modules(root: Path, package: str) -> dict[str, Path]:
    """Find the modules of a package in a folder: their dotted names, and their files."""
    files = sorted((root / package).rglob("*.py"))
    named = {".".join(file.relative_to(root).with_suffix("").parts): file for file in files}
    return {name.removesuffix(".__init__"): file for name, file in named.items()}


RELAY = modules(LAYER, "relay")
CLI = modules(COMMAND, "relay_cli")
OURS = RELAY | CLI | modules(ROOT, "local") | modules(ROOT, "verification") | modules(ROOT, "functions")


def nodes(file: Path, *, types_too: bool) -> Iterator[ast.AST]:
    left: list[ast.AST] = [ast.parse(file.read_text(encoding="utf-8"))]
    while left:
        node = left.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not types_too:
            continue
        yield node
        left += ast.iter_child_nodes(node)


def imports(name: str, *, types_too: bool = False) -> set[str]:
    """List what a module imports, its own functions included; a module of ours by its own name, not its package's."""
    named: set[str] = set()
    for node in nodes(OURS[name], types_too=types_too):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            named |= {each if each in OURS else node.module for each in inner}
    return named


def libraries(name: str) -> set[str]:
    return {each.partition(".")[0] for each in imports(name)}


def within(package: str) -> list[str]:
    """List the modules of a package, those of its packages included."""
    found = [each for each in OURS if each == package or each.startswith(f"{package}.")]
    assert found, package
    return found


def importers(package: str, importing: list[str]) -> dict[str, set[str]]:
    """Find which of some modules import something of a package, and what; imports for types count."""
    found = {each: imports(each, types_too=True) & set(within(package)) for each in importing}
    return {each: what for each, what in found.items() if what}


def python(program: str, *arguments: str) -> str:
    """Run a program in a Python of its own that finds the layer."""
    environment = {**os.environ, "PYTHONPATH": str(LAYER)}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def brought_by(module: str) -> set[str]:
    """List all the modules that are loaded when a module of the layer is imported."""
    program = "import importlib, sys; importlib.import_module(sys.argv[1]); print(*sys.modules)"
    return set(python(program, module).split())


SHARED = [name for name in RELAY if name.count(".") == 1 and name not in {*PUBLIC, "relay.posting", "relay.backups"}]

MAY_NOT = [
    ("relay.posting", "relay.backups"),
    ("relay.backups", "relay.posting"),
    ("relay", "relay_cli"),
    ("relay", "local"),
    ("relay", "verification"),
    ("relay", "functions"),
    ("functions", "relay_cli"),
    ("functions", "local"),
    ("functions", "verification"),
    ("relay_cli", "functions"),
    ("relay_cli", "local"),
    ("relay_cli", "verification"),
    ("relay_cli.deployed", "relay_cli.commands"),
    ("relay_cli.deployed", "relay_cli.dashboard"),
    ("relay_cli.deployed", "relay_cli.doctor"),
    ("relay_cli.dashboard", "relay_cli.commands"),
    ("relay_cli.dashboard", "relay_cli.doctor"),
    ("relay_cli.doctor", "relay_cli.commands"),
    ("relay_cli.doctor", "relay_cli.dashboard"),
    ("local", "functions"),
    ("local", "relay_cli"),
    ("local", "verification"),
    ("local.stand_ins", "relay"),
    ("local.stand_ins", "local.stack"),
    ("local.stand_ins", "local.demo"),
    ("local.stack", "local.demo"),
]


@pytest.mark.parametrize(("one", "other"), MAY_NOT)
def test_one_package_does_not_import_the_other(one: str, other: str) -> None:
    assert importers(other, within(one)) == {}


@pytest.mark.parametrize("half", ["relay.posting", "relay.backups"])
def test_what_both_halves_share_imports_neither(half: str) -> None:
    assert {"relay.errors", "relay.queues", "relay.telemetry"} <= set(SHARED)
    assert importers(half, SHARED) == {}


def test_commands_share_what_they_share_in_a_module_of_its_own() -> None:
    commands = [each for each in within("relay_cli.commands") if each != "relay_cli.commands.options"]
    shared = {
        each: what - {"relay_cli.commands.options"} for each, what in importers("relay_cli.commands", commands).items()
    }
    assert {each: what for each, what in shared.items() if what} == {}


def test_nothing_but_tests_imports_tests() -> None:
    everything = {each: imports(each, types_too=True) for each in OURS}
    assert {
        each for each, what in everything.items() if any(name.partition(".")[0] == "tests" for name in what)
    } == set()


@pytest.mark.parametrize("package", ["relay", "relay_cli", "local", "verification"])
def test_modules_import_each_other_in_one_direction(package: str) -> None:
    graph = {each: imports(each) & set(within(package)) - {each} for each in within(package)}
    assert set(TopologicalSorter(graph).static_order()) == set(within(package))


@pytest.mark.parametrize(
    "package", ["local.stand_ins.firestream", "local.stand_ins.stocktwits", "relay.posting", "relay.backups"]
)
def test_not_even_for_types_do_they_import_in_a_circle(package: str) -> None:
    graph = {each: imports(each, types_too=True) & set(within(package)) - {each} for each in within(package)}
    assert set(TopologicalSorter(graph).static_order()) == set(within(package))


RANKS = {
    "posting": [
        {"bootstrap", "webhook.bootstrap"},
        {"batch", "delivery", "backoff", "telemetry", "webhook.receiver", "webhook.telemetry"},
        {"ledger", "gate", "spacing", "stocktwits", "charts", "result_events", "settings"}
        | {"webhook.outbox", "webhook.settings", "webhook.source_parameter"},
        {"alert", "reconciliation", "envelopes", "instants", "not_alerts", "outcome", "hours", "exchange"}
        | {"webhook", "webhook.sources", "webhook.body_template", "webhook.message"},
    ],
    "backups": [
        {"bootstrap"},
        {"runs", "fetcher", "telemetry"},
        {"firestream", "bucket", "upload", "settings", "reader", "stored_object"},
        {"backup", "events", "identity", "verifier", "gunzip", "lines"},
    ],
}
"""The modules of each half: what builds it, its work, its clients, and what knows neither."""


@pytest.mark.parametrize("half", list(RANKS))
def test_what_builds_a_half_uses_its_work_and_work_uses_clients_but_never_the_other_way(half: str) -> None:
    ranks = {f"relay.{half}.{name}": rank for rank, names in enumerate(RANKS[half]) for name in names}
    assert {f"relay.{half}", *ranks} == set(within(f"relay.{half}"))
    upwards = {
        (each, other) for each, rank in ranks.items() for other in imports(each) if ranks.get(other, rank) < rank
    }
    assert upwards == set()


@pytest.mark.parametrize("half", ["posting", "posting.webhook", "backups"])
def test_only_handlers_import_where_a_half_is_built(half: str) -> None:
    bootstrap = f"relay.{half}.bootstrap"
    assert importers(bootstrap, list(RELAY)) == {}
    assert importers(bootstrap, within("functions")) != {}


@pytest.mark.parametrize("package", [name for name, file in OURS.items() if file.name == "__init__.py"])
def test_a_package_has_a_docstring_and_nothing_else_but_the_layers_version(package: str) -> None:
    docstring, *rest = ast.parse(OURS[package].read_text(encoding="utf-8")).body
    assert isinstance(docstring, ast.Expr)
    assert [ast.unparse(each).partition(" ")[0] for each in rest] == (["__version__"] if package == "relay" else [])


PURE = [
    "relay.errors",
    "relay.queue_message",
    "relay.reading",
    "relay.notices.notice",
    "relay.posting.alert",
    "relay.posting.delivery",
    "relay.posting.envelopes",
    "relay.posting.hours",
    "relay.posting.instants",
    "relay.posting.not_alerts",
    "relay.posting.outcome",
    "relay.posting.reconciliation",
    "relay.posting.webhook.body_template",
    "relay.posting.webhook.message",
    "relay.posting.webhook.receiver",
    "relay.posting.webhook.sources",
    "relay.backups.backup",
    "relay.backups.events",
    "relay.backups.gunzip",
    "relay.backups.lines",
    "relay.backups.reader",
    "relay.backups.verifier",
]


@pytest.mark.parametrize("module", PURE)
def test_what_is_pure_loads_no_client_library(module: str) -> None:
    brought = {name.partition(".")[0] for name in brought_by(module)}
    assert "relay" in brought
    assert brought & CLIENT_LIBRARIES == set()


def test_a_program_that_imports_the_client_does_not_load_boto3_yet() -> None:
    assert {"boto3", "botocore.session", "botocore.config", "requests", "urllib3"} & brought_by("relay.client") == set()


TALKS_TO_AWS = {
    "relay.aws",
    "relay.aws_errors",
    "relay.client",
    "relay.credentials",
    "relay.queues",
    "relay.backups.reader",
    "relay.backups.stored_object",
    "relay.backups.upload",
}


def test_only_what_talks_to_aws_imports_its_library() -> None:
    assert {each for each in RELAY if libraries(each) & {"boto3", "botocore"}} == TALKS_TO_AWS


def test_only_the_clients_of_websites_import_the_http_library() -> None:
    importing = {each for each in RELAY if libraries(each) & {"requests", "urllib3"}}
    assert importing == {"relay.posting.stocktwits", "relay.backups.firestream"}


def test_only_what_counts_and_decodes_bytes_imports_the_library_for_it() -> None:
    assert {each for each in RELAY if "isal" in libraries(each)} == {"relay.backups.gunzip", "relay.backups.upload"}


@pytest.mark.parametrize(("half", "other"), [("posting", "backups"), ("backups", "posting")])
def test_one_half_does_not_load_the_other(half: str, other: str) -> None:
    brought = brought_by(f"relay.{half}.bootstrap")
    assert set(within(f"relay.{other}")) & brought == set()
    assert {*PUBLIC, "relay.backups.reader"} & brought == set()
    assert "requests" not in brought or half == "posting"
    assert "isal" not in brought or half == "backups"


def test_the_webhook_loads_nothing_of_what_posts_and_what_posts_nothing_of_the_webhook() -> None:
    webhook = brought_by("relay.posting.webhook.bootstrap")
    pure = {"alert", "envelopes", "instants", "not_alerts"}
    ours = {each for each in webhook if each.startswith("relay.posting.") and "webhook" not in each}
    assert ours == {f"relay.posting.{name}" for name in pure}
    assert {"requests", "boto3", "relay.queues", "relay.credentials", "zoneinfo"} & webhook == set()
    assert not [each for each in brought_by("relay.posting.bootstrap") if each.startswith("relay.posting.webhook")]


def test_notices_load_nothing_of_either_half_and_neither_half_notices() -> None:
    notices = brought_by("relay.notices.bootstrap")
    assert {each for each in notices if each.startswith(("relay.posting", "relay.backups"))} == set()
    assert {"requests", "boto3", "relay.queues", "relay.credentials"} & notices == set()
    for half in ("posting", "posting.webhook", "backups"):
        assert not [each for each in brought_by(f"relay.{half}.bootstrap") if each.startswith("relay.notices")]


@pytest.mark.parametrize("handler", sorted(each for each in OURS if each.startswith("functions.")))
def test_a_handler_imports_the_layer_and_no_client_library(handler: str) -> None:
    assert "relay" in libraries(handler)
    assert libraries(handler) & CLIENT_LIBRARIES == set()


@pytest.mark.parametrize(("bus", "loaded"), [("", []), ("default", ["relay.posting.result_events"])])
def test_result_events_are_loaded_and_their_client_described_only_when_there_is_a_bus(
    bus: str, loaded: list[str]
) -> None:
    program = """
import json, os, sys
os.environ.update(json.loads(sys.argv[1]), AWS_DEFAULT_REGION="us-east-1")
from relay.posting.bootstrap import container
container().announce([], lambda: 60.0)
print(*(name for name in sys.modules if "event" in name and name.startswith("relay.")))
"""
    environment = json.dumps(ENVIRONMENT | {"RESULT_EVENT_BUS_NAME": bus})
    assert python(program, environment).split() == loaded


@pytest.mark.parametrize(
    ("rule", "loaded"),
    [
        ({}, set()),
        ({"POSTING_HOURS": "MON-FRI 09:30-16:00 America/New_York"}, {"relay.posting.hours", "zoneinfo"}),
        (
            {"POSTING_HOURS": "MON-FRI 09:30-16:00 America/New_York", "POSTING_HOLIDAYS": "NYSE"},
            {"relay.posting.hours", "zoneinfo", "relay.posting.exchange", "holidays"},
        ),
    ],
    ids=["none", "hours", "holidays"],
)
def test_zones_and_holidays_are_loaded_only_for_the_rule_that_needs_them(
    rule: dict[str, str], loaded: set[str]
) -> None:
    program = """
import json, os, sys
os.environ.update(json.loads(sys.argv[1]), AWS_DEFAULT_REGION="us-east-1")
from relay.posting.bootstrap import container
container()
print(*sys.modules.keys() & {"relay.posting.hours", "relay.posting.exchange", "zoneinfo", "tzdata", "holidays"})
"""
    assert set(python(program, json.dumps(ENVIRONMENT | rule)).split()) - {"tzdata"} == loaded


def test_zones_are_found_where_the_system_has_no_database_of_them() -> None:
    program = """
import zoneinfo
zoneinfo.reset_tzpath(())
from relay.posting.hours import posting_hours
print(posting_hours("MON-FRI 09:30-16:00 Australia/Lord_Howe").zone)
"""
    assert python(program) == "Australia/Lord_Howe"


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
    import relay.posting.bootstrap, relay.posting.webhook.bootstrap, relay.backups.bootstrap, relay.client

from relay.backups.settings import BackupSettings
from relay.posting.settings import PostingSettings
from relay.posting.webhook.settings import WebhookSettings
ours = {each.name.upper() for kind in (PostingSettings, WebhookSettings, BackupSettings) for each in fields(kind)}
ours |= {relay.client.STACK_VARIABLE, "AWS_REGION"}
print(len(ours), *(ours & read))
"""
    number, *settings_read = python(program).split()
    assert int(number) >= 20
    assert settings_read == []


def test_a_container_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (ENVIRONMENT | WEBHOOK_ENVIRONMENT | BACKUP_ENVIRONMENT).items():
        monkeypatch.setenv(name, value)
    assert posting.container() is posting.container()
    assert posting.telemetry("post_messages") is posting.telemetry("post_messages")
    assert webhook.container() is webhook.container()
    assert webhook.telemetry() is webhook.telemetry()
    assert backups.container() is backups.container()
    assert backups.telemetry() is backups.telemetry()


def test_the_installed_command_has_every_package() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packages = {name for name, file in (RELAY | CLI).items() if file.name == "__init__.py"}
    assert set(setuptools["packages"]) == packages
