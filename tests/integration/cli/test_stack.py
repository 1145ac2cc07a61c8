"""`relay` before it has found its stack: what is wrong on this machine, help, and output."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from relay_cli.app import main

from local.build import ROOT
from local.stand_ins.http_server import Handler, Server
from tests.worlds.cli import DONE, FAILED, NO_AWS, NO_STACK, USAGE

Relay = Callable[..., tuple[int, str]]
"""Runs a command; returns its exit code and what it wrote to standard error."""

SSO = "[profile p]\nsso_start_url=https://example.com\nsso_region=us-east-1\nsso_account_id=1\nsso_role_name=r\n"
CODE = os.pathsep.join([str(ROOT / "cli"), str(ROOT / "layers" / "relay")])


class CloudFormation(Handler):
    """Knows no stack, and notes which was asked for, and in which region."""

    def serve(self) -> None:
        region = self.headers["Authorization"].split("/")[2]
        self.server.stand_in.append((self.read_body().decode().partition("StackName=")[2].split("&")[0], region))
        error = b"<ErrorResponse><Error><Code>ValidationError</Code><Message>none</Message></Error></ErrorResponse>"
        self.answer(400, error, {"Content-Type": "text/xml"})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[tuple[str, str]]]:
    """What CloudFormation was asked for; the operator is in an empty folder, with no configuration of AWS's."""
    asked = []
    server = Server(0, CloudFormation, asked)
    server.start()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    yield asked
    server.stop()


@pytest.fixture
def relay(asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Relay:
    def relay(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["relay", *words])
        code = DONE
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        result = capsys.readouterr()
        assert "Traceback" not in result.err
        return code, result.err

    return relay


def samconfig(section: str, name: str = "theirs") -> None:
    Path("samconfig.toml").write_text(f'[default.{section}.parameters]\nstack_name = "{name}"\n')


# Which stack, and where


@pytest.mark.parametrize("section", ["global", "deploy"])
def test_the_stack_is_the_one_that_sam_deploys(relay: Relay, asked: list[tuple[str, str]], section: str) -> None:
    samconfig(section)
    code, result = relay("status")
    assert (code, "There is no stack theirs in us-east-1" in result) == (NO_STACK, True)
    assert asked == [("theirs", "us-east-1")]


def test_without_a_name_it_is_the_usual_one(relay: Relay, asked: list[tuple[str, str]]) -> None:
    relay("status")
    assert asked == [("stocktwits-relay", "us-east-1")]


def test_a_name_in_the_environment_wins_over_samconfig_and_an_option_over_both(
    relay: Relay, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    samconfig("global")
    monkeypatch.setenv("RELAY_STACK", "ours")
    relay("status")
    relay("--stack-name", "mine", "status")
    assert [name for name, _ in asked] == ["ours", "mine"]


def test_a_samconfig_that_cannot_be_read_does_not_lead_to_another_stack(
    relay: Relay, asked: list[tuple[str, str]]
) -> None:
    Path("samconfig.toml").write_text("[default")
    code, result = relay("status")
    assert (code, result.startswith("relay: samconfig.toml cannot be read (")) == (USAGE, True)
    assert asked == []
    assert relay("--stack-name", "mine", "status")[0] == NO_STACK


def places_of_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name a region in samconfig.toml and one in each profile, and in no variable."""
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    Path("samconfig.toml").write_text('[default.global.parameters]\nregion = "eu-south-1"\n')
    Path(os.environ["AWS_CONFIG_FILE"]).write_text(
        "[default]\nregion = eu-central-1\n[profile p]\nregion = eu-central-2\n"
    )


def test_the_region_is_the_one_of_the_option_else_of_the_environment_else_of_samconfig_else_of_the_profile(
    relay: Relay, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    places_of_the_region(monkeypatch)
    Path("samconfig.toml").rename("elsewhere")
    relay("status")
    Path("elsewhere").rename("samconfig.toml")
    relay("status")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    relay("status")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")  # as the AWS CLI reads it, and boto3 does not
    relay("status")
    relay("--region", "eu-north-1", "status")
    assert [region for _, region in asked] == ["eu-central-1", "eu-south-1", "eu-west-2", "eu-west-1", "eu-north-1"]


@pytest.mark.parametrize("name", ["AWS_PROFILE", "AWS_DEFAULT_PROFILE", "--profile"])
def test_a_profile_that_was_chosen_has_its_own_region(
    relay: Relay, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    places_of_the_region(monkeypatch)
    if name.startswith("AWS"):
        monkeypatch.setenv(name, "p")
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable, raising=False)
    Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"]).write_text("[p]\naws_access_key_id=a\naws_secret_access_key=b\n")
    relay(*([name, "p"] if name.startswith("-") else []), "status")
    assert asked == [("stocktwits-relay", "eu-central-2")]


# What keeps it from asking


@pytest.mark.parametrize(
    ("environment", "config", "message"),
    [
        ({"AWS_ENDPOINT_URL": "nonsense"}, "", "Check AWS_ENDPOINT_URL"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "", "Check the network and the region"),
        ({"AWS_ENDPOINT_URL": "https://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}, "", "Check the proxy"),
        ({"AWS_REGION": "us east"}, "", "Choose a region such as us-east-1"),
        ({"AWS_PROFILE": "nowhere"}, "", "aws configure list-profiles"),
        ({}, "[default", "Fix your AWS configuration"),
        ({"AWS_PROFILE": "p"}, SSO, "log in with `aws sso login`"),
        ({"AWS_PROFILE": "p"}, "[profile p]\ncredential_process = /bin/false\n", "credential provider failed"),
        ({"AWS_PROFILE": "p"}, "[profile p]\nrole_arn = arn:x\nsource_profile = q\n", "Fix your AWS configuration"),
        ({"AWS_PROFILE": "p"}, "[profile p]\nregion = us-east-1\n", "There are no AWS credentials"),
    ],
)
def test_what_is_wrong_on_this_machine_is_reported_with_what_to_do(
    relay: Relay, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], config: object, message: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        if "AWS_PROFILE" in environment:
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if config:
        Path(os.environ["AWS_CONFIG_FILE"]).write_text(config)
    code, result = relay("status")
    assert (code, message in result, result.count("\n")) == (NO_AWS, True, 1)


def test_a_missing_region_is_reported(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    code, result = relay("status")
    assert (code, "No AWS region is set" in result) == (NO_AWS, True)


# Help and output


def process(
    *words: str, code: str = "from relay_cli.app import main; main()", **options: Any
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        env=os.environ | {"PYTHONPATH": CODE, "COLUMNS": "80"},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        **options,
    )


def test_a_full_disk_is_reported() -> None:
    with Path("/dev/full").open("w") as full:
        result = process("--help", stdout=full)
    assert (result.returncode, result.stderr) == (
        FAILED,
        "relay: The output cannot be used: No space left on device.\n",
    )


def test_a_closed_output_is_not_a_failure() -> None:
    code = "import sys; sys.stdout = None; from relay_cli.app import main; main()"
    result = process("--help", code=code, stdout=subprocess.DEVNULL)
    assert (result.returncode, result.stderr) == (DONE, "")


def test_help_waits_for_nothing_that_only_commands_need() -> None:
    """Completion asks for the same at every press of the key."""
    code = (
        "import sys, relay_cli.app\n"
        "print({'boto3', 'botocore.session', 'requests', 'urllib3', 'starlette', 'uvicorn'} & sys.modules.keys())"
    )
    assert process(code=code, stdout=subprocess.PIPE).stdout == "set()\n"


def test_help_flows_and_names_the_exit_codes() -> None:
    assert "Exit codes: 0 done; 1 failed" in process("--help", stdout=subprocess.PIPE).stdout
    assert "The account is shown before" in process("login", "--help", stdout=subprocess.PIPE).stdout


def test_completion_offers_the_commands() -> None:
    code = "import sys; sys.argv = ['relay']; from relay_cli.app import app; app(prog_name='relay')"
    answers = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ
        | {"PYTHONPATH": CODE, "_RELAY_COMPLETE": "complete_bash", "COMP_WORDS": "relay ba", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answers.stdout.split() == ["backups", "backfill"]


@pytest.mark.timeout(30)
def test_a_samconfig_that_is_a_pipe_is_not_waited_for(relay: Relay, asked: list[tuple[str, str]]) -> None:
    os.mkfifo("samconfig.toml")
    code, text = relay("status")
    assert (code, text.startswith("relay: samconfig.toml is not a file")) == (USAGE, True)
    assert asked == []


def test_what_the_output_cannot_encode_is_escaped() -> None:
    code = "from relay_cli.output import SafeConsole, escape_unencodable; escape_unencodable()"
    result = subprocess.run(
        [sys.executable, "-c", f"{code}; SafeConsole().print('\U0001f680 caf\xe9')"],
        env=os.environ | {"PYTHONPATH": CODE, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=True,
    )
    assert result.stdout == b"\\U0001f680 caf\xe9\n"
