"""samconfig.toml has only options that the SAM CLI knows, and its profiles deploy without asking questions."""

import tomllib

import click
import pytest
from samcli.commands.build.command import cli as build_cli
from samcli.commands.deploy.command import cli as deploy_cli
from samcli.commands.local.invoke.cli import cli as invoke_cli
from samcli.commands.validate.validate import cli as validate_cli

from tests.template import ROOT

SAMCONFIG = tomllib.loads((ROOT / "samconfig.toml").read_text())
COMMANDS: dict[str, click.Command] = {
    "build": build_cli,
    "deploy": deploy_cli,
    "local_invoke": invoke_cli,
    "validate": validate_cli,
}


@pytest.mark.parametrize("profile", ["default", "local"])
def test_samconfig_sets_only_options_of_its_commands(profile: str) -> None:
    for command, section in SAMCONFIG[profile].items():
        commands = COMMANDS.values() if command == "global" else [COMMANDS[command]]
        known = {each.name for one in commands for each in one.params}
        assert set(section["parameters"]) <= known


def test_sam_local_invoke_takes_its_variables_from_the_events_folder() -> None:
    assert ROOT / SAMCONFIG["default"]["local_invoke"]["parameters"]["env_vars"] == ROOT / "events" / "env.json"


@pytest.mark.parametrize("profile", ["default", "local"])
def test_a_deployment_asks_no_questions_and_may_create_roles(profile: str) -> None:
    deploy = SAMCONFIG[profile]["deploy"]["parameters"]
    assert (deploy["resolve_s3"], deploy["confirm_changeset"]) == (True, False)
    assert "CAPABILITY_IAM" in deploy["capabilities"]
