"""`relay setup`: from a clone to a deployed dry run; make stands for the deployment, AWS is the world of the others."""

import io
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from relay_cli.answers import LIMITS
from relay_cli.clone import FILES, Clone
from relay_cli.commands.setup import SECRETS
from relay_cli.failure import Failure

from local.build import ROOT, deployed_runtime
from local.deploy import configured
from local.stand_ins.firestream.server import FirestreamStandIn
from tests.template import TEMPLATE
from tests.worlds.backups import LOGIN_PARAMETER, PASSWORD
from tests.worlds.cli import DONE, FAILED, NO_AWS, NO_STACK, REFUSED, USAGE, CliHarness, CommandResult, session
from tests.worlds.doctor import MAIL, DoctorWorld
from tests.worlds.functions import Outbox
from tests.worlds.posting import TOKEN, TOKEN_PARAMETER, PostingWorld

MAKE = """#!/bin/sh
printf '%s|%s|%s%s\\n' "$*" "$AWS_REGION" "$PARAMETERS" "${RUNTIME+|$RUNTIME}" >> made
echo progress
test ! -e fails
"""
PYTHON = """#!/bin/sh
echo "$0"
"""
PACE = {"MaxPostsPerHour": "6", "PostBurst": "2", "MaxPostsPerDay": "40"}
PARAMETERS = {"PostingEnabled": "true", "BackupsEnabled": "true", "WebhookEnabled": "false", **PACE, "AlarmEmail": MAIL}
ANSWERED = [
    *("--posting", "--backups", "--no-webhook", "--posts-per-hour", "6", "--burst", "2", "--posts-per-day", "40"),
    *("--alarm-email", MAIL, "--yes"),
]


@dataclass
class Operator:
    """Somebody in a clone, whose make notes how it was called."""

    cli: CliHarness
    clone: Path
    programs: Path

    def __call__(self, *words: str, typed: str = "") -> CommandResult:
        return self.cli("setup", *words, typed=typed)

    def new(self, *words: str, typed: str = "") -> CommandResult:
        """Run it where nothing is deployed until make has been called."""
        self.cli.plan("DescribeStacks", "ValidationError")
        return self(*words, typed=typed)

    @property
    def made(self) -> list[str]:
        file = self.clone / "made"
        return file.read_text().splitlines() if file.exists() else []


def has(programs: Path, name: str, script: str) -> None:
    """Let a machine have a program."""
    (programs / name).write_text(script)
    (programs / name).chmod(0o755)


@pytest.fixture
def operator(
    cli: CliHarness, firestream: FirestreamStandIn, outbox: Outbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Operator]:
    """An operator whose stack, once it is deployed, is a dry run with both logins."""
    DoctorWorld(cli, firestream)
    cli.world.settings(DRY_RUN="true")
    cli.parameters |= {"DryRun": "true", **PARAMETERS}

    def deliver() -> None:
        with redirect_stdout(io.StringIO()):  # what the function logs
            outbox.run()

    cli.meanwhile = [deliver]
    clone, programs = tmp_path / "clone", tmp_path / "programs"
    for name in FILES:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    programs.mkdir()
    has(programs, "make", MAKE)
    has(programs, deployed_runtime(), PYTHON)
    for tool in ("sh", "sed", "tr", "ls", "sort", "grep", "env"):
        (programs / tool).symlink_to(shutil.which(tool) or "")
    for name, value in {"PATH": str(programs), "PYENV_ROOT": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("RUNTIME", raising=False)
    monkeypatch.chdir(clone)
    yield Operator(cli, clone, programs)
    for secret in (TOKEN, PASSWORD):
        assert secret not in cli.everything
        assert secret not in (clone / "samconfig.toml").read_text()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let questions be asked."""
    monkeypatch.setattr("relay_cli.prompts.at_a_terminal", lambda: True)


def test_a_new_relay_is_deployed_as_a_dry_run_with_what_was_answered(operator: Operator) -> None:
    result = operator.new(*ANSWERED)
    assert (result.code, operator.made) == (DONE, ["deploy|us-east-1|DryRun=true"])
    assert configured(operator.clone) == PARAMETERS
    assert "dry_run dry run: nothing was sent" in result.out
    assert 'make deploy PARAMETERS="DryRun=false"' in result.out


def test_the_test_message_is_never_posted_even_if_a_pause_keeps_it_until_the_relay_is_live(
    operator: Operator, world: PostingWorld, outbox: Outbox
) -> None:
    operator.cli("pause")
    result = operator.new(*ANSWERED)
    assert (result.code, "What to do next:" in result.out) == (FAILED, True)
    operator.cli("resume")
    world.settings(DRY_RUN="false")
    for _ in range(10):
        outbox.poll()
        world.clock.forward(60)
    assert (world.stand_in.posts, world.count(world.outbox)) == ([], 0)


@pytest.mark.parametrize(
    ("operation", "before"), [("SendMessageBatch", 0), ("PutParameter", 0), ("GetCallerIdentity", 1)]
)
def test_what_to_do_next_is_shown_although_a_command_failed(
    operator: Operator, tmp_path: Path, operation: str, before: int
) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    operator.cli.plan(operation, *[None] * before, "AccessDenied")
    result = operator.new(*ANSWERED, "--token-file", str(tmp_path / "token"), "--expect-username", "relay_demo")
    assert (result.code, "What to do next:" in result.out) == (NO_AWS, True)
    assert "Correct what failed above" in result.out
    assert "see above what failed" in result.err.splitlines()[-1]


@pytest.mark.usefixtures("terminal")
def test_enter_answers_with_a_cautious_pace_and_no_backups(operator: Operator) -> None:
    operator.new(typed="\n\n\n\n\n\n\ny\n")
    assert configured(operator.clone) == {**PARAMETERS, "BackupsEnabled": "false", "AlarmEmail": ""}


@pytest.mark.usefixtures("terminal")
def test_an_answer_that_cannot_be_is_asked_for_again(operator: Operator) -> None:
    result = operator.new(typed="\n\n\n0\n3601\nmany\n60\n\n\nnobody\na b@example.com\nme@example.com\ny\n")
    assert result.err.count("It must be a number from 1 to 3600.") == 3
    assert configured(operator.clone) == {
        **PARAMETERS,
        "BackupsEnabled": "false",
        "MaxPostsPerHour": "60",
        "AlarmEmail": "me@example.com",
    }


@pytest.mark.usefixtures("terminal")
def test_nothing_is_written_or_deployed_until_the_operator_agrees(operator: Operator) -> None:
    result = operator.new(typed="\n\n\n\n\n\n\nn\n")
    assert (result.code, operator.made, configured(operator.clone)) == (FAILED, [], {})
    assert "Posts:    6 an hour, 2 at once, 40 a day; a dry run, which posts nothing" in result.err


@pytest.mark.parametrize("option", ["--posting", "--posts-per-hour", "--alarm-email"])
def test_without_a_terminal_a_question_names_its_option_and_no_input_is_read(operator: Operator, option: str) -> None:
    start = ANSWERED.index(option)
    end = start + (1 if option == "--posting" else 2)
    result = operator.new(*ANSWERED[:start], *ANSWERED[end:], typed=f"{TOKEN}\n")
    assert (result.code, option in result.err, operator.made) == (USAGE, True, [])


def test_without_a_terminal_it_deploys_only_with_yes(operator: Operator) -> None:
    result = operator.new(*ANSWERED[:-1])
    assert (result.code, "--yes" in result.err, operator.made) == (FAILED, True, [])


@pytest.mark.parametrize(("option", "value"), [("--burst", "101"), ("--posts-per-day", "-1"), ("--alarm-email", "me")])
def test_an_option_that_the_template_would_refuse_is_refused_first(operator: Operator, option: str, value: str) -> None:
    result = operator.new(*ANSWERED, option, value)
    assert (result.code, value in result.err, operator.made) == (USAGE, True, [])


def test_the_limits_are_those_of_the_template() -> None:
    parameters = TEMPLATE["Parameters"]
    assert {name: (parameters[name]["MinValue"], parameters[name]["MaxValue"]) for name in LIMITS} == LIMITS


def test_without_posting_there_are_backups_and_no_pace_or_token_is_asked_for(operator: Operator) -> None:
    operator.cli.world.ssm.delete_parameter(Name=TOKEN_PARAMETER)
    operator.new("--no-posting", "--alarm-email", "", "--yes")
    assert configured(operator.clone) == {
        "PostingEnabled": "false",
        "BackupsEnabled": "true",
        "WebhookEnabled": "false",
        "AlarmEmail": "",
    }


def test_credentials_are_checked_before_anything_is_asked(operator: Operator) -> None:
    operator.cli.plan("GetCallerIdentity", "InvalidClientTokenId")
    result = operator()
    assert (result.code, "AWS does not recognize your credentials" in result.err) == (NO_AWS, True)


def test_without_the_python_of_the_default_runtime_the_newest_other_one_is_deployed_and_said(
    operator: Operator,
) -> None:
    (operator.programs / deployed_runtime()).unlink()
    for name in ("python3.11", "python3.12"):
        has(operator.programs, name, PYTHON)
    result = operator.new(*ANSWERED)
    assert (result.code, operator.made) == (DONE, ["deploy|us-east-1|DryRun=true|python3.12"])
    assert "The functions will run on python3.12" in result.err
    make = 'RUNTIME=python3.12 make deploy PARAMETERS="DryRun='
    assert (f"\n$ {make}true" in result.err, f"     {make}false" in result.out) == (True, True)


@pytest.mark.usefixtures("terminal")
def test_a_machine_with_no_python_to_build_for_is_told_so_before_anything_is_asked(operator: Operator) -> None:
    (operator.programs / deployed_runtime()).unlink()
    result = operator.new()
    assert (result.code, operator.made) == (FAILED, [])
    assert result.err.startswith("relay: `make deploy` needs python3.13 with pip, or one of python3.14, ")


@pytest.mark.parametrize(("named", "code"), [("python3.12", DONE), ("python3.11", FAILED)])
def test_the_runtime_that_is_named_needs_its_python_whatever_else_is_there(
    operator: Operator, named: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    has(operator.programs, "python3.12", PYTHON)
    monkeypatch.setenv("RUNTIME", named)
    result = operator.new(*ANSWERED)
    assert (result.code, named in result.err) == (code, code == FAILED)
    assert operator.made == ([f"deploy|us-east-1|DryRun=true|{named}"] if code == DONE else [])


def test_the_runtime_of_samconfig_is_built_for(operator: Operator) -> None:
    has(operator.programs, "python3.12", PYTHON)
    Clone(operator.clone).write("us-east-1", {"PythonRuntime": "python3.12"})
    operator.new(*ANSWERED)
    assert operator.made == ["deploy|us-east-1|DryRun=true|python3.12"]


@pytest.mark.usefixtures("terminal")
def test_a_region_that_nothing_names_is_asked_for_and_written_down(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = SimpleNamespace(region_name=None)
    monkeypatch.setattr("relay_cli.deployed.stack.open_session", lambda region, _: session() if region else nowhere)
    result = operator.new(*ANSWERED, typed="us-east-1\n")
    assert result.code == DONE
    settings = tomllib.loads((operator.clone / "samconfig.toml").read_text())
    assert settings["default"]["global"]["parameters"]["region"] == "us-east-1"
    assert "\n$ relay --region us-east-1 doctor\n" in result.err  # with a profile, samconfig.toml does not count


def test_it_runs_in_a_clone_alone(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("local")
    result = operator(*ANSWERED)
    assert (result.code, "go to the clone with cd" in result.err) == (USAGE, True)


def test_it_deploys_no_other_stack_than_make_does(operator: Operator) -> None:
    result = operator.cli("--stack-name", "another", "setup", *ANSWERED)
    assert (result.code, "change stack_name in samconfig.toml" in result.err, operator.made) == (USAGE, True, [])


def test_a_stack_named_by_the_environment_says_what_to_unset(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_STACK", "another")
    result = operator(*ANSWERED)
    assert (result.code, "or unset RELAY_STACK" in result.err, operator.made) == (USAGE, True, [])


def test_the_name_in_the_section_of_deploy_wins_as_it_does_for_sam(operator: Operator) -> None:
    samconfig = operator.clone / "samconfig.toml"
    section = "[default.deploy.parameters]\n"
    samconfig.write_text(
        samconfig.read_text().replace(section, f'{section}stack_name = "mine"\nregion = "eu-west-1"\n')
    )
    result = operator.cli("--stack-name", "stocktwits-relay", "setup", *ANSWERED)
    assert "`make deploy` deploys the stack mine, not stocktwits-relay" in result.err
    Clone(operator.clone).write("us-east-1", {})
    deploy = tomllib.loads(samconfig.read_text())["default"]["deploy"]["parameters"]
    assert deploy["region"] == "us-east-1"


def test_the_commands_that_it_shows_repeat_the_region_and_the_profile(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    result = operator.new(*ANSWERED, "--region", "us-east-1", "--profile", "work")
    assert "\n$ relay --region us-east-1 --profile work doctor\n" in result.err
    assert "     relay --region us-east-1 --profile work backfill 2016-12-05 2016-12-05\n" in result.out
    make = 'AWS_REGION=us-east-1 AWS_PROFILE=work make deploy PARAMETERS="DryRun='
    assert (f"\n$ {make}true" in result.err, f"     {make}false" in result.out) == (True, True)


@pytest.mark.parametrize("chosen", [[], ["--region", "us-east-1", "--profile", "work"]])
def test_the_doctor_advises_the_same_command_as_the_next_steps(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, chosen: list[str]
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    result = operator.new(*ANSWERED, *chosen, "--json").json
    (posting,) = [each["what_to_do"] for each in result["doctor"] if each["check"] == "posting"]
    assert posting == f"to post, deploy with DryRun=false: {result['next_steps'][-1]['command']}"


def test_the_profile_that_make_deploy_uses_is_used_throughout(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    samconfig = operator.clone / "samconfig.toml"
    samconfig.write_text(samconfig.read_text().replace("stack_name", 'profile = "work"\nstack_name', 1))
    opened = []
    monkeypatch.setattr("relay_cli.deployed.stack.open_session", lambda _, profile: opened.append(profile) or session())
    operator.new(*ANSWERED)
    assert set(opened) == {"work"}
    result = operator.new(*ANSWERED, "--profile", "home")
    assert (result.code, "`make deploy` uses the profile work" in result.err) == (USAGE, True)


def test_the_region_beside_the_profile_that_make_deploy_uses_counts_too(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name)
    samconfig = operator.clone / "samconfig.toml"
    both = 'profile = "work"\nregion = "eu-south-1"\nstack_name'
    samconfig.write_text(samconfig.read_text().replace("stack_name", both, 1))
    opened = []
    monkeypatch.setattr("relay_cli.deployed.stack.open_session", lambda *given: opened.append(given) or session())
    operator.new(*ANSWERED)
    assert opened[0] == ("eu-south-1", "work")


def test_a_key_in_the_environment_that_would_win_over_the_profile_is_refused(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    result = operator.new(*ANSWERED, "--profile", "work")
    assert (result.code, "unset that variable" in result.err, operator.made) == (USAGE, True, [])


def test_json_has_what_was_deployed_its_state_the_findings_and_the_test_message(operator: Operator) -> None:
    result = operator.new(*ANSWERED, "--json").json
    assert (result["stack"], result["region"], result["deployed"]) == ("stocktwits-relay", "us-east-1", True)
    assert (result["state"], result["parameters"]) == ("dry_run", PARAMETERS)
    assert "trigger-outbox" in {each["check"] for each in result["doctor"]}
    assert result["trial"]["outcome"] == "dry_run"
    assert result["next_steps"][-1]["command"] == 'make deploy PARAMETERS="DryRun=false"'


@pytest.mark.parametrize("quiet", [True, False])
def test_with_json_the_progress_of_make_goes_to_standard_error(operator: Operator, quiet: bool) -> None:
    deploy = f"from relay_cli.clone import *; Clone(Path()).deploy('us-east-1', None, '', quiet={quiet})"
    code = f"from pathlib import Path; {deploy}"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'cli'}{os.pathsep}{ROOT / 'layers' / 'relay'}"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=operator.clone, env=environment, check=True, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == (("", "progress\n") if quiet else ("progress\n", ""))


def test_json_of_a_setup_that_failed_in_part_is_whole_and_the_exit_code_says_so(operator: Operator) -> None:
    operator.cli.plan("SendMessageBatch", "AccessDenied")
    result = operator.new(*ANSWERED, "--json")
    assert (result.code, result.json["trial"], result.json["deployed"]) == (NO_AWS, None, True)


def test_after_a_deployment_that_failed_it_continues_without_asking_again(operator: Operator) -> None:
    fails = operator.clone / "fails"
    fails.touch()
    result = operator.new(*ANSWERED)
    assert (result.code, "run `relay setup` again" in result.err) == (FAILED, True)
    fails.unlink()
    assert operator.new("--yes").code == DONE
    assert operator.made == ["deploy|us-east-1|DryRun=true"] * 2


def test_a_stack_that_has_these_settings_is_not_deployed_again(operator: Operator) -> None:
    assert (operator().code, operator.made) == (DONE, [])


def test_another_answer_is_deployed_and_what_is_live_stays_live(operator: Operator) -> None:
    operator.cli.parameters["DryRun"] = "false"
    result = operator("--burst", "3", "--yes")
    assert operator.made == ["deploy|us-east-1|DryRun=false"]
    assert configured(operator.clone)["PostBurst"] == "3"
    assert "relay send" not in result.err


@pytest.mark.parametrize(
    ("deployed", "configured", "given"),
    [
        ({"DryRun": "true"}, "false", "true"),
        ({"DryRun": "false"}, "true", "false"),
        ({"DryRun": "false", "PostingEnabled": "false"}, "false", "true"),
        ({}, "false", "true"),
    ],
    ids=["a dry run", "live", "without posting", "nothing"],
)
def test_the_state_of_the_stack_is_given_to_the_deployment_whatever_samconfig_says(
    operator: Operator, deployed: dict[str, str], configured: str, given: str
) -> None:
    samconfig = operator.clone / "samconfig.toml"
    section = "[default.deploy.parameters]\n"
    overrides = f'{section}parameter_overrides = ["DryRun={configured}"]\n'
    samconfig.write_text(samconfig.read_text().replace(section, overrides))
    operator.cli.parameters |= deployed
    result = (operator if deployed else operator.new)(*ANSWERED, "--burst", "3")
    assert operator.made == [f"deploy|us-east-1|DryRun={given}"]
    assert ("live: it posts to StockTwits, as before" in result.err) == (given == "false")
    assert f"samconfig.toml has DryRun={configured}" in result.err


def test_a_stack_that_is_not_a_relay_is_not_deployed_over(operator: Operator) -> None:
    operator.cli.outputs.clear()
    result = operator(*ANSWERED)
    assert (result.code, "change stack_name in samconfig.toml" in result.err, operator.made) == (NO_STACK, True, [])


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"])
@pytest.mark.parametrize(
    ("options", "given"), [([], ""), (["--profile", "work", "--region", "us-east-1"], " --profile work")]
)
def test_a_stack_whose_first_deployment_failed_is_to_be_deleted_where_it_is(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, status: str, options: list[str], given: str
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    operator.cli.stack_status = status
    result = operator(*ANSWERED, *options)
    delete = f"`aws cloudformation delete-stack --stack-name stocktwits-relay --region us-east-1{given}`"
    assert (result.code, delete in result.err, operator.made) == (NO_STACK, True, [])


@pytest.mark.parametrize(
    ("status", "what_to_do"),
    [
        ("CREATE_IN_PROGRESS", "wait until that has ended"),
        ("ROLLBACK_IN_PROGRESS", "wait until that has ended"),
        ("DELETE_IN_PROGRESS", "wait until that has ended"),
        ("REVIEW_IN_PROGRESS", "describe-stack-events --stack-name stocktwits-relay --region us-east-1`"),
        ("DELETE_FAILED", "describe-stack-events --stack-name stocktwits-relay --region us-east-1`"),
    ],
)
def test_any_other_stack_that_is_not_deployed_is_left_alone_and_never_to_be_deleted(
    operator: Operator, status: str, what_to_do: str
) -> None:
    operator.cli.stack_status = status
    result = operator(*ANSWERED)
    assert (result.code, what_to_do in result.err, operator.made) == (NO_STACK, True, [])
    assert "delete-stack" not in result.err


def test_a_stack_into_which_an_import_failed_is_complete(operator: Operator) -> None:
    operator.cli.stack_status = "IMPORT_ROLLBACK_COMPLETE"
    assert (operator().code, operator.made) == (DONE, [])


def live_until_now(operator: Operator) -> None:
    """Have a relay that is live, and a samconfig.toml that switches posting off."""
    operator.cli.parameters["DryRun"] = "false"
    Clone(operator.clone).write("us-east-1", {"PostingEnabled": "false"})


STOPS = "Posts:    none: this stops a relay that is live"


def test_a_live_relay_is_not_stopped_by_samconfig_with_yes_alone(operator: Operator) -> None:
    live_until_now(operator)
    result = operator("--yes", typed="y\n")
    assert (result.code, STOPS in result.err, operator.made) == (FAILED, True, [])
    assert "Use --no-posting" in result.err


def test_a_live_relay_is_stopped_by_an_option_that_says_so(operator: Operator) -> None:
    live_until_now(operator)
    result = operator("--no-posting", "--yes")
    assert (STOPS in result.err, operator.made) == (True, ["deploy|us-east-1|DryRun=false"])


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(("typed", "deployments"), [("y\n", 1), ("n\n", 0)])
def test_on_a_terminal_a_live_relay_is_stopped_only_after_a_question_even_with_yes(
    operator: Operator, typed: str, deployments: int
) -> None:
    live_until_now(operator)
    result = operator("--yes", typed=typed)
    assert (STOPS in result.err, len(operator.made)) == (True, deployments)


def test_a_dry_run_whose_posting_is_switched_off_is_not_asked_about(operator: Operator) -> None:
    live_until_now(operator)
    operator.cli.parameters["DryRun"] = "true"
    result = operator("--yes")
    assert ("Posts:    none\n" in result.err, len(operator.made)) == (True, 1)


def test_the_token_and_the_login_are_stored_from_files(operator: Operator, world: PostingWorld, tmp_path: Path) -> None:
    for name in (TOKEN_PARAMETER, LOGIN_PARAMETER):
        world.ssm.delete_parameter(Name=name)
    token, password = tmp_path / "token", tmp_path / "password"
    token.write_text(f"{TOKEN}\n")
    password.write_text(f"{PASSWORD}\n")
    account = ("--token-file", str(token), "--expect-username", "relay_demo")
    archive = ("--firestream-username", "demo-user", "--password-file", str(password))
    assert operator.new(*ANSWERED, *account, *archive).code == DONE
    assert operator.cli.stored(TOKEN_PARAMETER)["access_token"] == TOKEN
    assert operator.cli.stored(LOGIN_PARAMETER)["password"] == PASSWORD


def test_the_token_of_another_account_ends_it(operator: Operator, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    result = operator("--token-file", str(tmp_path / "token"), "--expect-username", "somebody_else")
    assert (result.code, "not to @somebody_else" in result.err) == (REFUSED, True)


def test_a_login_can_come_later(operator: Operator, world: PostingWorld) -> None:
    world.ssm.delete_parameter(Name=TOKEN_PARAMETER)
    result = operator("--login", "later")
    assert "1. Log in:\n     relay login --token\n" in result.out
    assert (result.code, "dry_run dry run: nothing was sent" in result.out) == (FAILED, True)


WOULD_FAIL = {
    "--token-file token": "needs --expect-username",
    "--token-file missing --expect-username a": "missing cannot be read",
    "--token-file local --expect-username a": "local cannot be read",
    "--token-file empty --expect-username a": "The first line of empty is empty",
    "--token-file binary --expect-username a": "binary is not UTF-8 text",
    "--token-file words --expect-username a": "not an access token",
    "--token-file token --expect-username a --login later": "Leave out --token-file",
    "--login token": "use --token-file",
    "--login application": "use --token-file",
    "--password-file token": "needs --firestream-username",
    "--firestream-username me": "use --password-file",
    "--firestream-username me --password-file missing": "missing cannot be read",
    "--firestream-username a:b --password-file token": "must not contain a colon",
    "--no-posting --expect-username a": "does not post",
    "--no-backups --firestream-username a": "fetches no backups",
    "--no-posting --no-backups": "nothing to set up",
}
"""Options that could not work, and how the error says so."""


@pytest.mark.parametrize("words", WOULD_FAIL)
def test_what_would_fail_later_fails_before_anything_is_deployed(operator: Operator, words: str) -> None:
    for name, content in {"token": b"a", "empty": b"\n", "binary": b"\xff", "words": b"a b"}.items():
        (operator.clone / name).write_bytes(content)
    result = operator.new(*ANSWERED, *words.split())
    seen = (result.code, WOULD_FAIL[words] in result.err, operator.made, configured(operator.clone))
    assert seen == (USAGE, True, [], {})


@pytest.mark.parametrize(
    ("parameter", "option"), [(TOKEN_PARAMETER, "--login"), (LOGIN_PARAMETER, "--firestream-username")]
)
def test_a_login_that_nobody_can_be_asked_for_is_missed_before_anything_is_deployed(
    operator: Operator, world: PostingWorld, parameter: str, option: str
) -> None:
    world.ssm.delete_parameter(Name=parameter)
    result = operator.new(*ANSWERED)
    assert (result.code, f"Use {option}" in result.err, operator.made) == (USAGE, True, [])


def test_without_make_nothing_is_asked(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(operator.clone))
    assert "make is not installed" in operator.new().err


def test_secrets_are_where_the_template_has_them() -> None:
    assert {name: TEMPLATE["Parameters"][name]["Default"] for name in SECRETS} == SECRETS


@pytest.mark.usefixtures("terminal")
def test_a_login_that_is_missing_is_asked_for(operator: Operator, world: PostingWorld) -> None:
    world.ssm.delete_parameter(Name=TOKEN_PARAMETER)
    operator(typed=f"token\n{TOKEN}\ny\n")
    assert operator.cli.stored(TOKEN_PARAMETER)["username"] == "relay_demo"


# samconfig.toml


def clone(folder: Path, text: str) -> Clone:
    for name in FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    (folder / "samconfig.toml").write_text(text)
    return Clone(folder)


VERSION = "version = 0.1\n"
DEPLOY = "[default.deploy.parameters]\n"
LOCAL = "[local.deploy.parameters]\nresolve_s3 = false\n"


@pytest.mark.parametrize(
    "text",
    [
        f"{VERSION}# ours\n{DEPLOY}# theirs\nresolve_s3 = true\n\n# next\n{LOCAL}",
        f'{VERSION}{DEPLOY}parameter_overrides = "PostBurst=1 MaxPostsPerHour=3"\nresolve_s3 = true # last\n',
        f"{VERSION}{DEPLOY}parameter_overrides = [\n  'PostBurst=1', # why\n  'DryRun=\"true\"',\n]\n{LOCAL}",
        VERSION,
    ],
    ids=["no parameters", "a text", "a list of several lines", "no section"],
)
def test_samconfig_keeps_everything_else(tmp_path: Path, text: str) -> None:
    before = configured(clone(tmp_path, text).folder)
    others = {name: value for name, value in tomllib.loads(text).items() if name != "default"}
    assert clone(tmp_path, text).write("eu-west-1", {"PostBurst": "2", "AlarmEmail": ""})
    assert configured(tmp_path) == {**before, "PostBurst": "2", "AlarmEmail": ""}
    written = (tmp_path / "samconfig.toml").read_text()
    assert tomllib.loads(written).items() >= others.items()
    assert tomllib.loads(written)["default"]["global"]["parameters"]["region"] == "eu-west-1"
    assert [line for line in text.splitlines() if line.startswith("#") and line not in written] == []


@pytest.mark.parametrize("value", ["'file://parameters.yaml'", "3", "['ParameterKey=PostBurst,ParameterValue=1']"])
def test_a_samconfig_with_parameters_of_another_form_is_left_alone(tmp_path: Path, value: str) -> None:
    text = f"{VERSION}{DEPLOY}parameter_overrides = {value}\n"
    with pytest.raises(Failure, match="must be a list of texts"):
        clone(tmp_path, text).write("eu-west-1", {"PostBurst": "2"})
    assert (tmp_path / "samconfig.toml").read_text() == text


def test_a_samconfig_in_a_style_that_is_not_understood_is_left_alone_and_says_what_to_write(tmp_path: Path) -> None:
    text = f"{VERSION}default.deploy.parameters.resolve_s3 = true\n"
    with pytest.raises(Failure, match=r"write parameter_overrides = \[.*\] into its section"):
        clone(tmp_path, text).write("eu-west-1", {"PostBurst": "2"})
    assert (tmp_path / "samconfig.toml").read_text() == text
