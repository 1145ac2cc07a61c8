"""Everything that is installed, here and in Lambda, has the pinned version and one of the pinned hashes."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import local.build
from local.build import HOST_ARCHITECTURE, HOST_RUNTIME, REQUIREMENTS, ROOT, BuildError, _wheels, build

FOLDERS = ("requirements", "layers", "functions", "verification")
FILES = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.txt"))]
REQUIREMENT = re.compile(r"[a-z0-9-]+==[\w.]+(?: ; [\w'.<>=! ]+)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+\n")
WHEEL = "relay_example-1.0-py3-none-any.whl"
INSTALLERS = ["pip", *(["uv"] if (ROOT / ".local" / "uv" / "bin" / "uv").exists() else [])]


def name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def test_each_environment_and_layer_has_its_requirements() -> None:
    environments = {"awscli", "bench", "dev", "emulator", "fuzz", "local", "runtime", "scan", "second-emulator", "uv"}
    assert {name(file) for file in FILES} == {
        *(f"requirements/{each}.txt" for each in environments),
        "layers/relay/requirements.txt",
        "verification/benchmarks/usual_recipe/layer/requirements.txt",
    }


@pytest.mark.parametrize("file", FILES, ids=name)
def test_a_requirement_is_one_version_with_hashes_and_names_no_host_or_path(file: Path) -> None:
    options, _, requirements = file.read_text().partition("\n\n")
    assert options == "--only-binary :all:"  # the build dependencies of a source distribution have no hashes
    assert REQUIREMENT.sub("", requirements) == ""
    assert requirements


@pytest.mark.parametrize("environment", ["dev", "bench", "fuzz"])
def test_what_is_tested_is_the_same_files_as_what_is_deployed(environment: str) -> None:
    deployed = REQUIREMENT.findall(REQUIREMENTS.read_text())
    assert set(deployed) <= set(REQUIREMENT.findall((ROOT / "requirements" / f"{environment}.txt").read_text()))


def test_nothing_else_installs() -> None:
    files = [ROOT / "Makefile", *(ROOT / "local").glob("*.sh"), *(ROOT / ".github").rglob("*.yml")]
    lines = [line for file in files for line in file.read_text().replace("\\\n", "").splitlines()]
    installs = [line for line in lines if re.search(r"^[^#]*\bpip\b.* install ", line) and "echo" not in line]
    assert len(installs) == 2
    assert all("--require-hashes" in line for line in installs)


class Index:
    """A package index with a single wheel, in a folder."""

    def __init__(self, folder: Path, metadata: str = "") -> None:
        self.folder = folder
        self.requirements = folder / "requirements.txt"
        self.environment = os.environ | {"PYTHON": sys.executable, "PIP_CONFIG_FILE": os.devnull}
        for installer in ("PIP", "UV"):
            self.environment |= {f"{installer}_NO_INDEX": "1", f"{installer}_FIND_LINKS": folder.as_uri()}
        with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
            info = "relay_example-1.0.dist-info"
            wheel.writestr("relay_example.py", "")
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: relay-example\nVersion: 1.0\n{metadata}")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(
                f"{info}/RECORD", f"relay_example.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
            )
        self.sha256 = hashlib.sha256((folder / WHEEL).read_bytes()).hexdigest()

    def requires(self, sha256: str | None) -> None:
        self.requirements.write_text("relay-example==1.0" + (f" --hash=sha256:{sha256}" if sha256 else "") + "\n")


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path)


def other(sha256: str) -> str:
    """Change one digit."""
    return ("1" if sha256[0] == "0" else "0") + sha256[1:]


def made_environment(index: Index, installer: str) -> tuple[str, bool]:
    """Create an environment; return the error output, and whether the package is there."""
    for each in ("local", "template.yaml"):
        (index.folder / each).symlink_to(ROOT / each)
    if installer == "uv":
        (index.folder / ".local").mkdir()
        (index.folder / ".local" / "uv").symlink_to(ROOT / ".local" / "uv")
    command = ["sh", "local/environment.sh", "environment", "requirements.txt"]
    done = subprocess.run(command, cwd=index.folder, env=index.environment, capture_output=True, text=True, check=False)
    installed = bool(list((index.folder / "environment").rglob("relay_example.py")))
    assert installed == (done.returncode == 0), done.stderr
    return done.stderr, installed


@pytest.mark.parametrize("installer", INSTALLERS)
def test_an_environment_takes_a_file_with_the_hash_that_was_pinned(index: Index, installer: str) -> None:
    index.requires(index.sha256)
    assert made_environment(index, installer) == ("", True)


@pytest.mark.parametrize("installer", INSTALLERS)
def test_an_environment_does_not_take_a_file_whose_hash_differs_in_one_digit(index: Index, installer: str) -> None:
    index.requires(other(index.sha256))
    error, installed = made_environment(index, installer)
    assert not installed
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in error
    assert ("Hash mismatch for `relay-example==1.0`" in error) == (installer == "uv")


@pytest.mark.parametrize("installer", INSTALLERS)
def test_an_environment_does_not_take_a_file_for_which_no_hash_was_pinned(index: Index, installer: str) -> None:
    index.requires(None)
    error, installed = made_environment(index, installer)
    assert not installed
    assert "Hashes are required in --require-hashes mode" in error


@pytest.mark.parametrize("installer", INSTALLERS)
def test_an_environment_has_nothing_that_its_requirements_do_not_name(tmp_path: Path, installer: str) -> None:
    index = Index(tmp_path, "Requires-Dist: relay-other\n")
    index.requires(index.sha256)
    assert made_environment(index, installer) == ("", True)


# --- The layer that `sam build` builds


def wheels(index: Index, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable, value in index.environment.items():
        monkeypatch.setenv(variable, value)
    build_dir = index.folder / "build_dir"
    build_dir.mkdir(exist_ok=True)
    another = "x86_64" if HOST_ARCHITECTURE == "arm64" else "arm64"
    return _wheels(Path(sys.executable), HOST_RUNTIME, another, index.requirements, build_dir)


def test_a_layer_gets_the_wheels_that_were_pinned(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.requires(index.sha256)
    assert [each.name for each in wheels(index, monkeypatch).iterdir()] == [WHEEL]


@pytest.mark.parametrize("hashed", [True, False], ids=["another hash", "no hash"])
def test_a_layer_gets_no_other_wheel_though_its_requirements_were_built_before(
    index: Index, monkeypatch: pytest.MonkeyPatch, *, hashed: bool
) -> None:
    index.requires(index.sha256)
    wheels(index, monkeypatch)
    index.requires(other(index.sha256) if hashed else None)
    with pytest.raises(BuildError) as refused:
        wheels(index, monkeypatch)
    words = "THESE PACKAGES DO NOT MATCH THE HASHES" if hashed else "Hashes are required in --require-hashes mode"
    assert words in str(refused.value)
    assert not list((index.folder / "build_dir").rglob("*.whl"))


def test_sam_can_get_nothing_but_the_wheels_that_were_pinned(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """SAM asks for wheels of another processor by their versions alone; pip prefers one with a build number."""
    index.requires(index.sha256)
    for variable, value in index.environment.items():
        monkeypatch.setenv(variable, value)
    got = index.folder / "got"

    def sam(*_: str, environment: dict[str, str], folder: Path) -> None:
        assert environment["PIP_NO_INDEX"] == "1"
        shutil.copy(index.folder / WHEEL, index.folder / WHEEL.replace("-py3", "-2-py3"))
        pip = [sys.executable, "-m", "pip", "download", "--dest", str(got), "relay-example==1.0"]
        subprocess.run(pip, env=os.environ | environment, check=True)
        (index.folder / "build.toml").touch()

    monkeypatch.setattr(local.build, "sam", sam)
    monkeypatch.setattr(local.build, "ROOT", index.folder)
    build(HOST_RUNTIME, HOST_ARCHITECTURE, index.folder / "build", requirements=index.requirements)
    assert [each.name for each in got.iterdir()] == [WHEEL]
