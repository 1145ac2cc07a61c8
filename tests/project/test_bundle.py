"""`make bundle` and `make unbundle`: what is deployed is what was built, and unpacking it changes nothing else."""

import hashlib
import io
import json
import stat
import subprocess
import sys
import tarfile
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from samcli.commands.deploy.command import cli as deploy_cli

from local import bundle
from local.build import ROOT, BuildError
from local.bundle import pack, unpack
from local.deploy import configured, deploy, overrides, parameters
from local.stack.stack import Stack

HOURS = "MON-FRI 09:30-12:00,13:00-16:00 America/New_York"


@pytest.fixture
def build(tmp_path: Path) -> Path:
    folder = tmp_path / "build"
    (folder / "RelayLayer").mkdir(parents=True)
    (folder / "RelayLayer" / ".hidden").write_text("hidden")
    (folder / "RelayLayer" / "program").write_text("program")
    (folder / "RelayLayer" / "program").chmod(0o755)
    return folder


def sealed(file: Path, member: tarfile.TarInfo, content: bytes = b"") -> str:
    """Make a bundle of one member, and return its digest."""
    member.size = len(content)
    with tarfile.open(file, "w") as tar:
        tar.addfile(member, io.BytesIO(content))
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_build_is_unpacked_as_it_was_packed(build: Path, tmp_path: Path) -> None:
    sha256 = pack(tmp_path / "build.tar", build)
    other = tmp_path / "elsewhere" / "build"
    unpack(sha256, tmp_path / "build.tar", other)
    files = {each.relative_to(other): each for each in other.rglob("*") if each.is_file()}
    assert {str(name): each.read_text() for name, each in files.items()} == {
        "RelayLayer/.hidden": "hidden",
        "RelayLayer/program": "program",
    }
    assert stat.S_IMODE(files[Path("RelayLayer/program")].stat().st_mode) == 0o755


def test_an_earlier_build_is_removed(build: Path, tmp_path: Path) -> None:
    sha256 = pack(tmp_path / "build.tar", build)
    (build / "old").touch()
    unpack(sha256, tmp_path / "build.tar", build)
    assert not (build / "old").exists()


@pytest.mark.parametrize("sha256", ["", "0" * 64], ids=["none", "another"])
def test_a_bundle_with_another_digest_is_not_unpacked(build: Path, tmp_path: Path, sha256: str) -> None:
    pack(tmp_path / "build.tar", build)
    with pytest.raises(BuildError, match="is not what was built"):
        unpack(sha256, tmp_path / "build.tar", tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("name", ["../Makefile", "RelayLayer/../../Makefile", "{folder}/Makefile"])
def test_a_bundle_cannot_write_outside_its_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "Makefile").write_text("ours")
    sha256 = sealed(tmp_path / "build.tar", tarfile.TarInfo(name.format(folder=tmp_path)), b"theirs")
    with suppress(BuildError):
        unpack(sha256, tmp_path / "build.tar", tmp_path / "build")
    assert (tmp_path / "Makefile").read_text() == "ours"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["../../secret", "/etc/passwd", "program", "a/" * 3000])
def test_a_bundle_cannot_link_to_what_is_outside_its_folder(tmp_path: Path, kind: bytes, target: str) -> None:
    (tmp_path / "secret").write_text("secret")
    member = tarfile.TarInfo("RelayLayer/link")
    member.type, member.linkname = kind, target
    sha256 = sealed(tmp_path / "build.tar", member)
    with pytest.raises(BuildError, match="is not a build: "):
        unpack(sha256, tmp_path / "build.tar", tmp_path / "build")


def test_a_file_that_is_not_a_tar_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "build.tar").write_text("<html>")
    sha256 = hashlib.sha256(b"<html>").hexdigest()
    with pytest.raises(BuildError, match="is not a build: "):
        unpack(sha256, tmp_path / "build.tar", tmp_path / "build")


def test_a_bundle_may_be_in_another_folder(build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sha256 = pack(tmp_path / "elsewhere.tar", build)
    monkeypatch.setenv("SHA256", sha256)
    monkeypatch.setenv("BUNDLE", str(tmp_path / "elsewhere.tar"))
    monkeypatch.setattr(sys, "argv", ["bundle", "unpack"])
    unpacked: list[tuple[str, Path]] = []
    monkeypatch.setattr(bundle, "unpack", lambda *given: unpacked.append(given))
    assert bundle.main() == 0
    assert unpacked == [(sha256, tmp_path / "elsewhere.tar")]


def test_the_digest_is_an_output_on_github(build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    monkeypatch.setattr(sys, "argv", ["bundle", "pack"])
    monkeypatch.setattr(bundle, "pack", lambda: pack(tmp_path / "build.tar", build))
    assert bundle.main() == 0
    sha256 = hashlib.sha256((tmp_path / "build.tar").read_bytes()).hexdigest()
    assert (tmp_path / "output").read_text() == f"sha256={sha256}\n"


# --- Deploying it


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", {}),
        ("DryRun=true MaxPostsPerHour=6", {"DryRun": "true", "MaxPostsPerHour": "6"}),
        ("'BackupSchedule=cron(0 6 * * ? *)' AlarmEmail=", {"BackupSchedule": "cron(0 6 * * ? *)", "AlarmEmail": ""}),
        ("""'BackupSchedule="cron(0 6 * * ? *)"'""", {"BackupSchedule": "cron(0 6 * * ? *)"}),
        ("AlarmEmail=$(id);id", {"AlarmEmail": "$(id);id"}),
        (f"PostingHours='{HOURS}' DryRun=true", {"PostingHours": HOURS, "DryRun": "true"}),
        (f"'PostingHours={HOURS}'", {"PostingHours": HOURS}),
    ],
)
def test_parameters_are_split_as_in_a_shell_and_never_run(text: str, words: dict[str, str]) -> None:
    assert parameters(text) == words


@pytest.mark.parametrize(
    "text",
    [
        "--s3-bucket=mine",
        "DryRun=true --role-arn arn",
        "DryRun",
        "'DryRun=true",
        "; id",
        "ParameterKey=DryRun,ParameterValue=true",
    ],
)
def test_an_invalid_parameter_is_refused(text: str) -> None:
    with pytest.raises(BuildError, match="PARAMETERS"):
        parameters(text)


@pytest.mark.parametrize("place", ["PARAMETERS", "samconfig.toml"])
@pytest.mark.parametrize("parameter", [{"PythonRuntime": "python3.11"}, {"Architecture": "x86_64"}])
def test_a_parameter_cannot_deploy_a_layer_of_one_runtime_or_processor_to_another(
    parameter: dict[str, str], place: str
) -> None:
    given, from_file = (parameter if place == each else {} for each in ("PARAMETERS", "samconfig.toml"))
    with pytest.raises(BuildError, match=rf"in {place} must match the build.*make deploy (RUNTIME|ARCH)="):
        overrides(given, from_file, "python3.13", "arm64")


@pytest.mark.parametrize("place", ["PARAMETERS", "samconfig.toml"])
def test_a_parameter_that_the_template_does_not_have_is_refused(place: str) -> None:
    given, from_file = ({"Dryrun": "true"} if place == each else {} for each in ("PARAMETERS", "samconfig.toml"))
    with pytest.raises(BuildError, match=f"no parameter Dryrun: correct {place}"):
        overrides(given, from_file, "python3.13", "arm64")


@pytest.fixture
def samconfig(tmp_path: Path) -> Path:
    """A folder with a samconfig.toml that asks for a dry run."""
    (tmp_path / "samconfig.toml").write_text(
        "version = 0.1\n[default.deploy.parameters]\n"
        """parameter_overrides = ["DryRun=true", 'BackupSchedule="cron(0 6 * * ? *)"', "MaxPostsPerHour=6"]"""
    )
    return tmp_path


def parameters_of_deploy(monkeypatch: pytest.MonkeyPatch, folder: Path) -> dict[str, str]:
    """Let SAM read the parameters that it is given with the samconfig.toml of a folder, instead of deploying."""
    passed: dict[str, str] = {}

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        deployment = deploy_cli.make_context("deploy", [*command[2:], "--stack-name", "relay", "--region", "us-east-1"])
        passed.update(deployment.params["parameter_overrides"])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr("local.deploy.configured", lambda: configured(folder))
    monkeypatch.setattr("local.deploy.check", lambda *_: None)
    monkeypatch.setattr("subprocess.run", run)
    return passed


@pytest.mark.parametrize(
    ("given", "from_file"),
    [({"PostingHours": HOURS, "PostingHolidays": "NYSE"}, ""), ({}, f"PostingHours='{HOURS}'")],
    ids=["PARAMETERS", "samconfig.toml"],
)
def test_posting_hours_come_to_sam_with_their_spaces_and_commas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], from_file: str
) -> None:
    section = f'version = 0.1\n[default.deploy.parameters]\nparameter_overrides = "{from_file} DryRun=true"\n'
    (tmp_path / "samconfig.toml").write_text(section)
    passed = parameters_of_deploy(monkeypatch, tmp_path)
    assert deploy("python3.13", "arm64", given) == 0
    assert passed["PostingHours"] == HOURS
    assert passed.items() >= given.items()


def test_posting_hours_come_to_the_emulator_with_their_spaces_and_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    passed: dict[str, str] = {}

    def sam(_command: str, *words: str, **_: object) -> None:
        options = words[words.index("--template-file") :]
        deployment = deploy_cli.make_context("deploy", [*options, "--region", "us-east-1"])
        passed.update(deployment.params["parameter_overrides"])

    cloudformation = SimpleNamespace(describe_stacks=lambda **_: {"Stacks": [{"Outputs": []}]})
    monkeypatch.setattr("local.stack.stack.sam", sam)
    monkeypatch.setattr(Stack, "client", lambda *_: cloudformation)
    stack = Stack({"PostingHours": HOURS, "DryRun": "true"})
    with stack.stocktwits, stack.firestream:
        stack._deploy(ROOT)  # the rest of a start needs minutes
    assert (passed["PostingHours"], passed["DryRun"]) == (HOURS, "true")


def test_make_deploy_passes_on_what_samconfig_holds(samconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = parameters_of_deploy(monkeypatch, samconfig)
    assert deploy("python3.13", "arm64", {"MaxPostsPerHour": "12", "BackupTimeZone": "America/New_York"}) == 0
    assert passed == {
        "DryRun": "true",
        "BackupSchedule": "cron(0 6 * * ? *)",
        "MaxPostsPerHour": "12",
        "BackupTimeZone": "America/New_York",
        "PythonRuntime": "python3.13",
        "Architecture": "arm64",
    }


@pytest.mark.parametrize(("environment", "region"), [({"AWS_REGION": "eu-west-1"}, "eu-west-1"), ({}, None)])
def test_sam_deploys_to_the_region_that_the_aws_cli_would_use(
    samconfig: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], region: str | None
) -> None:
    parameters_of_deploy(monkeypatch, samconfig)
    commands: list[list[str]] = []
    done = SimpleNamespace(returncode=0)
    monkeypatch.setattr("subprocess.run", lambda command, **_: commands.append(command) or done)
    monkeypatch.setattr("os.environ", environment)
    deploy("python3.13", "arm64", {})
    (command,) = commands
    assert dict(pairwise(command)).get("--region") == region


@pytest.mark.parametrize(
    "content",
    [
        b"version = 0.1\n[default.deploy.parameters]\nparameter_overrides = = 3",
        b'version = 0.1\n[default.deploy.parameters]\nparameter_overrides = "nonsense"',
        b'[default.deploy.parameters]\nparameter_overrides = "DryRun=true"',
        b'version = 0.1\n# \xff\n[default.deploy.parameters]\nparameter_overrides = "DryRun=true"',
    ],
    ids=["no TOML", "no parameter", "no version", "no UTF-8"],
)
def test_a_samconfig_that_sam_cannot_read_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "samconfig.toml").write_bytes(content)
    with pytest.raises(BuildError, match=r"samconfig\.toml"):
        configured(tmp_path)


@pytest.mark.parametrize(
    "value",
    [
        "ParameterKey=MaxPostsPerHour,ParameterValue=6 DryRun=true",
        "MaxPostsPerHour=6 DryRun = true",
        "MaxPostsPerHour=6 Dry-Run=true",
        "MaxPostsPerHour= DryRun=true",
        "BackupSchedule=cron(0 6 * * ? *) DryRun=true",
        f"PostingHours={HOURS}",
    ],
)
@pytest.mark.parametrize("place", ["text", "list", "file"])
def test_a_samconfig_of_which_sam_would_leave_out_a_part_is_refused(tmp_path: Path, value: str, place: str) -> None:
    (tmp_path / "more.yaml").write_text(json.dumps([value]))
    written = {"text": value, "list": ["PostBurst=3", value], "file": f"file://{tmp_path}/more.yaml"}[place]
    section = f"version = 0.1\n[default.deploy.parameters]\nparameter_overrides = {json.dumps(written)}"
    (tmp_path / "samconfig.toml").write_text(section)
    with pytest.raises(BuildError, match=r"samconfig\.toml: SAM would leave out"):
        configured(tmp_path)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("PublisherArns=a,b DryRun=true", {"PublisherArns": "a,b", "DryRun": "true"}),
        ("AlarmEmail=\"\" BackupSchedule='rate(1 day)'", {"AlarmEmail": "", "BackupSchedule": "rate(1 day)"}),
        ("ParameterKey=PostBurst,ParameterValue=3", {"PostBurst": "3"}),
        (f"PostingHours='{HOURS}' PostingHolidays=NYSE", {"PostingHours": HOURS, "PostingHolidays": "NYSE"}),
        ([f"PostingHours='{HOURS}'", "DryRun=true"], {"PostingHours": HOURS, "DryRun": "true"}),
        (
            {"MaxPostsPerHour": 6, "BackupFileTypes": ["activity", "message"]},
            {"MaxPostsPerHour": "6", "BackupFileTypes": "activity,message"},
        ),
        ("", {}),
    ],
)
def test_a_samconfig_is_read_as_sam_reads_it(tmp_path: Path, value: object, read: dict[str, str]) -> None:
    (tmp_path / "samconfig.yaml").write_text(
        json.dumps({"version": 0.1, "default": {"deploy": {"parameters": {"parameter_overrides": value}}}})
    )
    assert configured(tmp_path) == read
