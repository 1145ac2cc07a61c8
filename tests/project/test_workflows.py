"""The workflows on GitHub: they test every supported Python, and no foreign code or text reaches their credentials."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.bundle import BUNDLE
from tests.template import TEMPLATE

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*"))

BUILDS = {"build", "test", "test-browser"}
"""Targets that run third-party code: the packages of the layer, or the tests."""

PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
NAMED = re.compile(r"uses: \S+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")


def workflow(name: str) -> dict[Any, Any]:
    """Return a workflow; YAML 1.1 reads its `on` as True."""
    content: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())
    return content


def jobs() -> list[tuple[str, dict[str, Any]]]:
    return [(f"{file.name} {name}", job) for file in FILES for name, job in workflow(file.name)["jobs"].items()]


def steps() -> list[tuple[str, dict[str, Any]]]:
    return [(job, step) for job, content in jobs() for step in content["steps"]]


def deploy_job(name: str) -> dict[str, Any]:
    job: dict[str, Any] = workflow("deploy.yml")["jobs"][name]
    return job


def reached(command: str) -> set[str]:
    """Return the targets that a make command builds, the files of environments among them."""
    targets = dict(re.findall(r"^([a-z-]+):(?: ([^#\n]*))?", (ROOT / "Makefile").read_text(), re.MULTILINE))
    found: set[str] = set()
    ahead = [command.removeprefix("make ")]
    while ahead:
        target = ahead.pop()
        found.add(target)
        ahead += targets.get(target, "").split()
    return found


def commands(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def test_there_are_two_workflows() -> None:
    assert [file.name for file in FILES] == ["deploy.yml", "test.yml"]


def test_each_python_that_the_template_allows_is_tested_with_itself() -> None:
    job = workflow("test.yml")["jobs"]["test"]
    assert [f"python{each}" for each in job["strategy"]["matrix"]["python"]] == TEMPLATE["Parameters"]["PythonRuntime"][
        "AllowedValues"
    ]
    (chosen,) = (step["with"]["python-version"] for step in job["steps"] if "setup-python" in step.get("uses", ""))
    (run,) = (step for step in job["steps"] if "run" in step)
    assert (chosen, run["run"], run["env"]["PYTHON"]) == (
        "${{ matrix.python }}",
        "make test",
        "python${{ matrix.python }}",
    )


def test_what_is_deployed_is_built_with_the_python_that_the_template_runs_it_with() -> None:
    runtime = TEMPLATE["Parameters"]["PythonRuntime"]["Default"]
    for job in workflow("deploy.yml")["jobs"].values():
        (version,) = (step["with"]["python-version"] for step in job["steps"] if "setup-python" in step.get("uses", ""))
        assert f"python{version}" == runtime
        assert {step["env"]["PYTHON"] for step in job["steps"] if "run" in step} == {runtime}


@pytest.mark.parametrize(("job", "step"), [each for each in steps() if "uses" in each[1]])
def test_an_action_is_pinned_to_a_commit(job: str, step: dict[str, Any]) -> None:
    assert PINNED.fullmatch(step["uses"])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_pinned_action_names_its_version(file: Path) -> None:
    used = [line.strip() for line in file.read_text().splitlines() if "uses:" in line]
    assert [line for line in used if not NAMED.search(line)] == []


def test_an_action_is_the_same_commit_everywhere() -> None:
    used = {step["uses"] for _, step in steps() if "uses" in step}
    assert len({each.partition("@")[0] for each in used}) == len(used)


def test_a_workflow_may_read_the_repository_and_nothing_else() -> None:
    assert [workflow(file.name)["permissions"] for file in FILES] == [{"contents": "read"}] * len(FILES)


def test_only_the_deployment_may_request_a_token_from_github() -> None:
    permissions = {name: job["permissions"] for name, job in jobs() if "permissions" in job}
    assert permissions == {"deploy.yml deploy": {"contents": "read", "id-token": "write"}}


def test_a_checkout_leaves_no_token_behind() -> None:
    checkouts = [step for _, step in steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) == len(jobs())
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_no_stored_key_is_used() -> None:
    for file in FILES:
        text = file.read_text()
        assert "secrets." not in text
        assert "access-key" not in text


def test_no_job_that_builds_can_request_a_token_so_a_hostile_package_cannot_get_credentials() -> None:
    able = {name for name, job in jobs() if "id-token" in job.get("permissions", {})}
    builds = {name for name, job in jobs() for command in commands(job) if BUILDS & reached(command)}
    assert builds == {"deploy.yml build", "test.yml test", "test.yml browser"}
    assert not able & builds


def test_the_job_with_credentials_installs_only_the_tools_and_before_it_has_them() -> None:
    done = [each.get("run") or each["uses"].partition("@")[0] for each in deploy_job("deploy")["steps"]]
    assert done == [
        "actions/checkout",
        "actions/setup-python",
        "actions/download-artifact",
        "make unbundle",
        "aws-actions/configure-aws-credentials",
        "make deploy-built",
    ]
    environments = {"$(LOCAL)"}
    assert {each for command in done[3::2] for each in reached(command) if each.startswith("$(")} == environments


def test_a_file_that_replaces_the_build_is_not_deployed() -> None:
    build, deploy = deploy_job("build"), deploy_job("deploy")
    bundle, upload = build["steps"][-2:]
    assert upload["with"] == {"name": "build", "path": BUNDLE.name, "if-no-files-found": "error"}
    assert build["outputs"] == {"sha256": f"${{{{ steps.{bundle['id']}.outputs.sha256 }}}}"}
    assert deploy["needs"] == "build"
    download, unbundle = deploy["steps"][2:4]
    assert download["with"] == {"name": "build", "path": "${{ runner.temp }}/build"}  # outside the checkout
    assert unbundle["env"]["BUNDLE"] == "${{ runner.temp }}/build/build.tar"
    assert unbundle["env"]["SHA256"] == "${{ needs.build.outputs.sha256 }}"


@pytest.mark.parametrize(("job", "step"), [each for each in steps() if "run" in each[1]])
def test_no_text_written_on_github_becomes_part_of_a_command(job: str, step: dict[str, Any]) -> None:
    assert "${{" not in step["run"]


@pytest.mark.parametrize(("name", "job"), jobs())
def test_a_job_ends_by_itself(name: str, job: dict[str, Any]) -> None:
    assert job["timeout-minutes"] <= 30


def test_every_push_and_pull_request_is_tested_unless_a_newer_one_replaces_it() -> None:
    test = workflow("test.yml")
    assert set(test[True]) == {"push", "pull_request"}
    assert test["concurrency"]["cancel-in-progress"] is True


def test_a_deployment_is_started_by_hand_or_by_a_release_and_never_cancelled() -> None:
    deploy = workflow("deploy.yml")
    assert deploy[True] == {"workflow_dispatch": None, "release": {"types": ["published"]}}
    assert deploy["jobs"]["deploy"]["environment"] == "production"
    assert deploy["concurrency"]["cancel-in-progress"] is False


def test_every_command_is_a_target_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for _, job in jobs():
        for command in commands(job):
            program, target = command.split()
            assert program == "make"
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), command
