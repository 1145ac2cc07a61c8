"""samconfig.toml has only options that the SAM CLI knows, and its profiles deploy without asking questions."""

import tomllib
from pathlib import Path

import click
import pytest
from samcli.commands.build.command import cli as build_cli
from samcli.commands.deploy.command import cli as deploy_cli
from samcli.commands.local.invoke.cli import cli as invoke_cli
from samcli.commands.validate.validate import cli as validate_cli

from local.build import BuildError
from local.deploy import MAX_STACK_NAME, check_stack_name
from tests.template import ROOT, of_type

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


def with_stack_name(folder: Path, name: str) -> Path:
    (folder / "samconfig.toml").write_text(f'version = 0.1\n[default.global.parameters]\nstack_name = "{name}"\n')
    return folder


def test_a_stack_name_that_schedules_cannot_have_is_refused_before_deploying(tmp_path: Path) -> None:
    check_stack_name(with_stack_name(tmp_path, "x" * MAX_STACK_NAME))
    with pytest.raises(BuildError, match=f"has {MAX_STACK_NAME + 1} characters"):
        check_stack_name(with_stack_name(tmp_path, "x" * (MAX_STACK_NAME + 1)))


def test_a_configuration_without_a_stack_name_is_left_to_sam(tmp_path: Path) -> None:
    check_stack_name(tmp_path)


def test_what_schedules_add_to_the_longest_stack_name_fits() -> None:
    events = [each for one in of_type("AWS::Serverless::Function").values() for each in one.get("Events", {}).values()]
    names = [each["Properties"]["Name"]["Fn::Sub"] for each in events if each["Type"] == "ScheduleV2"]
    assert max(len(name.replace("${AWS::StackName}", "x" * MAX_STACK_NAME)) for name in names) == 64
