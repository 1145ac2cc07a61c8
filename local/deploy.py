"""Check the result of ``make build``, then run ``sam deploy``.

The build may be old, for another runtime, or from elsewhere, by a job that ran other people's code. What is created in
AWS must be what this folder's template describes.
"""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from samcli.lib.config.exceptions import SamConfigFileReadException  # type: ignore[import-untyped]
from samcli.lib.config.samconfig import SamConfig  # type: ignore[import-untyped]
from samcli.yamlhelper import yaml_parse  # type: ignore[import-untyped]

from local.build import BUILD, ROOT, BuildError, runtimes

CODE = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}

MAX_STACK_NAME = 48
"""How long a stack's name can be: the longest thing that is added to it is ``-drain-leftovers``, and a schedule's name
has 64 characters: https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html."""


def check(runtime: str, architecture: str, directory: Path = BUILD, *, template: Path = ROOT / "template.yaml") -> None:
    """Check that a build is for a runtime and an architecture, and of a template.

    Args:
        runtime: Such as ``python3.13``.
        architecture: ``arm64`` or ``x86_64``.
        directory: Where the build is.
        template: The template that it must have been built from.

    Raises:
        BuildError: It is not. The text says what to do.
    """
    file = directory / "template.yaml"
    if not file.exists():
        raise BuildError("There is no build yet: run make build first.")
    built, expected = yaml_parse(file.read_text()), _expected(template, runtime, architecture, directory)
    made_for, wanted = (_made_for(each["Resources"]["RelayLayer"]) for each in (built, expected))
    if made_for != wanted:
        raise BuildError(f"The build is for {made_for}, not for {wanted}: run make build for that first.")
    if _text(built) != _text(expected):
        raise BuildError(f"The build was made from another template than {template.name}: run make build again.")


def parameters(text: str) -> list[str]:
    """Split ``Name=value Name=value`` into assignments; quotes keep a value with spaces together, as in a shell.

    Raises:
        BuildError: The text contains anything else, such as an option of SAM.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BuildError(f"PARAMETERS cannot be read ({error}): {text}") from None
    for word in words:
        if not re.match(r"[A-Za-z0-9]+=", word):
            raise BuildError(
                f"PARAMETERS must be Name=value Name=value, with quotes around a value with spaces, not: {word}"
            )
    return words


def deploy(runtime: str, architecture: str, overrides: Sequence[str]) -> int:
    """Run ``sam deploy`` and return its exit code.

    Raises:
        BuildError: The build is for others, or a parameter names others.
    """
    for name, variable in (("PythonRuntime", "RUNTIME"), ("Architecture", "ARCH")):
        if any(re.search(rf"\b{name}\b[=,]", word) for word in overrides):
            raise BuildError(f"{name} must match the build. Set it for the build, too: make deploy {variable}=...")
    check(runtime, architecture)
    sam = str(Path(sys.executable).parent / "sam")
    built_for = [f"PythonRuntime={runtime}", f"Architecture={architecture}"]
    command = [sam, "deploy", "--parameter-overrides", *built_for, *overrides]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def check_stack_name(folder: Path = ROOT) -> None:
    """Check that the stack's name in samconfig.toml leaves space for what is added to it.

    Raises:
        BuildError: It is too long. CloudFormation would find out only after creating most of the stack.
    """
    try:
        name = str(SamConfig(folder).get_all(["deploy"], "parameters").get("stack_name", ""))
    except SamConfigFileReadException:
        return  # sam deploy says what is wrong
    if len(name) > MAX_STACK_NAME:
        raise BuildError(
            f"The stack's name has {len(name)} characters, at most {MAX_STACK_NAME} are possible, since schedules are "
            f"named after it: change stack_name in samconfig.toml ({name})."
        )


def _expected(template: Path, runtime: str, architecture: str, directory: Path) -> dict[str, Any]:
    """Read a template as ``sam build`` writes it: each resource's code is in a folder named after its logical id."""
    expected: dict[str, Any] = yaml_parse(template.read_text())
    for name, resource in expected["Resources"].items():
        if resource["Type"] in CODE:
            resource["Properties"][CODE[resource["Type"]]] = name
            resource.setdefault("Metadata", {})["SamResourceId"] = name
    expected["Resources"]["RelayLayer"]["Metadata"] |= {"BuildMethod": runtime, "BuildArchitecture": architecture}
    application = expected["Metadata"]["AWS::ServerlessRepo::Application"]
    for name in ("LicenseUrl", "ReadmeUrl"):
        application[name] = os.path.relpath(template.parent / application[name], directory)
    return expected


def _text(template: dict[str, Any]) -> str:
    """Serialise a template with sorted keys: SAM changes their order, and its parser's dictionaries compare it."""
    return json.dumps(template, sort_keys=True)


def _made_for(layer: dict[str, Any]) -> str:
    return f"{layer['Metadata']['BuildMethod']} on {layer['Metadata']['BuildArchitecture']}"


def main() -> int:
    """Deploy for ``make deploy``, with the parameters in the environment variable PARAMETERS.

    The variable never passes through a shell: in a workflow it is a setting of the repository, and the job has the
    account's credentials.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runtime", choices=runtimes(), required=True)
    parser.add_argument("--architecture", choices=("arm64", "x86_64"), required=True)
    wanted = parser.parse_args()
    try:
        check_stack_name()
        return deploy(wanted.runtime, wanted.architecture, parameters(os.environ.get("PARAMETERS", "")))
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
