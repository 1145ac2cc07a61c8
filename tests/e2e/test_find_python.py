"""`local/find_python.sh` and `local/environment.sh`: which Python the project works with, and what installs for it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.build import ROOT, deployed_runtime, runtimes

NEWEST_FIRST = [deployed_runtime(), *(each for each in reversed(runtimes()) if each != deployed_runtime())]


class Machine:
    """A machine with these programs on PATH and in pyenv's folders, and no others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"PATH": f"{folder / 'first'}:{folder / 'second'}:{folder / 'tools'}", "HOME": str(folder)}
        for name in ("first", "second", "tools"):
            (folder / name).mkdir()
        for name in ("sh", "sed", "tr", "ls", "sort", "grep", "rm", "env", "head"):
            (folder / "tools" / name).symlink_to(shutil.which(name) or "")

    def has(self, name: str, script: str) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    def has_python(self, name: str, version: str) -> str:
        """A Python that is of a version, has pip and venv, and prints its own name."""
        script = f'for each in "$@"; do [ "$each" = python{version} ] && echo "$0" && exit 0; done; exit 1'
        return self.has(name, script)

    def asked(self, *runtimes: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["sh", "local/find_python.sh", *runtimes],
            cwd=ROOT,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_template_deploys_one_of_the_runtimes_that_it_allows() -> None:
    assert runtimes() == ("python3.11", "python3.12", "python3.13", "python3.14")
    assert deployed_runtime() == "python3.13"


@pytest.mark.parametrize("missing", range(4))
def test_the_runtime_that_is_deployed_comes_first_and_then_the_newest(machine: Machine, missing: int) -> None:
    there = NEWEST_FIRST[missing:]
    paths = {each: machine.has_python(f"first/{each}", each.removeprefix("python")) for each in there}
    assert machine.asked().stdout == f"{paths[there[0]]}\n"


def test_pyenvs_folders_are_looked_in_after_path_and_the_newest_patch_comes_first(machine: Machine) -> None:
    machine.has_python(".pyenv/versions/3.13.9/bin/python3.13", "3.13")
    newest = machine.has_python(".pyenv/versions/3.13.10/bin/python3.13", "3.13")
    machine.has_python("first/python3.12", "3.12")
    assert machine.asked().stdout == f"{newest}\n"
    on_path = machine.has_python("second/python3.13", "3.13")
    assert machine.asked().stdout == f"{on_path}\n"


def test_pyenv_may_be_elsewhere(machine: Machine) -> None:
    path = machine.has_python("opt/versions/3.12.1/bin/python3.12", "3.12")
    assert machine.asked(PYENV_ROOT=str(machine.folder / "opt")).stdout == f"{path}\n"


@pytest.mark.parametrize("script", ["echo 'python3.13: command not found' >&2; exit 127", "exit 0"])
def test_a_shim_that_only_fails_is_skipped_for_the_same_name_elsewhere(machine: Machine, script: str) -> None:
    machine.has("first/python3.13", script)
    machine.has_python("first/python3.14", "3.14")
    real = machine.has_python("second/python3.13", "3.13")
    assert machine.asked().stdout == f"{real}\n"


def test_a_python_with_another_version_than_its_name_is_skipped(machine: Machine) -> None:
    machine.has_python("first/python3.13", "3.10")
    honest = machine.has_python("first/python3.11", "3.11")
    assert machine.asked().stdout == f"{honest}\n"


def test_a_python_without_a_version_in_its_name_is_the_last_resort(machine: Machine) -> None:
    path = machine.has_python("first/python3", "3.12")
    assert machine.asked().stdout == f"{path}\n"


def test_the_variable_python_has_precedence(machine: Machine) -> None:
    machine.has_python("first/python3.13", "3.13")
    chosen = machine.has_python("elsewhere/mine", "3.12")
    found = machine.asked(PYTHON=chosen)
    assert (found.stdout, found.stderr) == (f"{chosen}\n", "")


def test_an_unsuitable_python_in_the_variable_is_reported(machine: Machine) -> None:
    path = machine.has_python("first/python3.13", "3.13")
    old = machine.has_python("elsewhere/mine", "3.10")
    found = machine.asked(PYTHON=old)
    assert (found.stdout, found.stderr.startswith(f"Not PYTHON={old}: ")) == (f"{path}\n", True)


def test_a_given_runtime_ignores_the_variable_python(machine: Machine) -> None:
    chosen = machine.has_python("first/python3.13", "3.13")
    other = machine.has_python("first/python3.11", "3.11")
    assert machine.asked("python3.11", PYTHON=chosen).stdout == f"{other}\n"
    found = machine.asked("python3.12", PYTHON=chosen)
    assert (found.returncode, found.stdout) == (1, "")
    assert "No python3.12 with pip was found" in found.stderr


def test_without_a_suitable_python_the_script_names_what_to_install(machine: Machine) -> None:
    machine.has_python("first/python3", "3.10")
    found = machine.asked()
    assert (found.returncode, found.stdout) == (1, "")
    assert "apt-get install python3-pip" in found.stderr


# --- An environment


class Project:
    """A folder with the project's scripts, where environments are made by the Python that runs this."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("local", "template.yaml"):
            (folder / name).symlink_to(ROOT / name)
        (folder / "none.txt").write_text("# nothing\n")
        self.python = folder / "environment" / "bin" / "python"

    def makes_environment(self, **environment: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            ["sh", "local/environment.sh", "environment", "none.txt"],
            cwd=self.folder,
            env={**os.environ, "PYTHON": sys.executable, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    def has_uv(self, script: str) -> None:
        path = self.folder / ".local" / "uv" / "bin" / "uv"
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_an_environment_stays_as_long_as_its_python_does(project: Project) -> None:
    project.makes_environment()
    mark = project.folder / "environment" / "mark"
    mark.touch()
    project.makes_environment()
    assert mark.exists()


@pytest.mark.parametrize("script", ["echo '3.9.1 /usr'", "exit 1"], ids=["another", "broken"])
def test_an_environment_of_another_python_is_recreated(project: Project, script: str) -> None:
    project.makes_environment()
    mark = project.folder / "environment" / "mark"
    mark.touch()
    project.python.unlink()
    project.python.write_text(f"#!/bin/sh\n{script}\n")
    project.python.chmod(0o755)
    project.makes_environment()
    assert not mark.exists()
    version = subprocess.check_output([project.python, "-c", "import sys; print(sys.version)"], text=True)
    assert version.strip() == sys.version


def test_uv_installs_from_where_pip_would(project: Project) -> None:
    project.has_uv('echo "$@" > asked; echo "$UV_DEFAULT_INDEX $SSL_CERT_FILE" >> asked')
    project.makes_environment(PIP_INDEX_URL="https://index.example/simple", PIP_CERT="/authorities.pem")
    assert (project.folder / "asked").read_text().splitlines() == [
        "pip install --quiet --no-deps --require-hashes --python environment/bin/python -r none.txt",
        "https://index.example/simple /authorities.pem",
    ]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["global.index-url='a'", ":env:.index-url='b'"], "b\n"),
        ([":env:.index-url='b'", "global.index-url='a'"], "b\n"),
        (["global.index-url='a'", "install.index-url='c'", "global.extra-index-url='d'"], "c\n"),
        (["global.extra-index-url='d'", "freeze.index-url='e'"], ""),
        ([], ""),
    ],
)
def test_a_setting_of_pips_is_what_pip_install_takes_however_pip_lists_them(
    tmp_path: Path, settings: list[str], expected: str
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\ncat <<'END'\n" + "".join(f"{each}\n" for each in settings) + "END\n")
    python.chmod(0o755)
    command = ["sh", "local/pip_setting.sh", str(python), "index-url"]
    assert subprocess.check_output(command, cwd=ROOT, text=True) == expected


def test_pip_installs_what_uv_cannot(project: Project) -> None:
    project.has_uv("echo 'no such index' >&2; exit 2")
    assert "no such index" in project.makes_environment().stderr
    assert project.python.exists()
