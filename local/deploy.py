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
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from samcli.cli.types import CfnParameterOverridesType  # type: ignore[import-untyped]
from samcli.lib.config.exceptions import SamConfigFileReadException, SamConfigVersionException  # type: ignore[import-untyped]
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


def parameters(text: str) -> dict[str, str]:
    """Read ``Name=value Name=value``; quotes keep a value with spaces together, as in a shell.

    A second pair of quotes around a value, which SAM needs on its command line, is removed.

    Raises:
        BuildError: The text contains anything else, such as an option of SAM.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BuildError(f"PARAMETERS cannot be read ({error}): {text}") from None
    found = {}
    for word in words:
        assignment = re.fullmatch(r"(?!ParameterKey)([A-Za-z0-9]+)=(.*)", word, re.DOTALL)
        if not assignment:
            raise BuildError(
                f"PARAMETERS must be Name=value Name=value, with quotes around a value with spaces, not: {word}"
            )
        name, value = assignment.groups()
        found[name] = re.sub(r"""^(["'])(.*)\1$""", r"\2", value, flags=re.DOTALL)
    return found


def check_stack_name(folder: Path = ROOT) -> None:
    """Check that the stack's name in samconfig.toml leaves space for what is added to it.

    Raises:
        BuildError: It is too long. CloudFormation would find out only after creating most of the stack.
    """
    name = str(_options(folder).get("stack_name", ""))
    if len(name) > MAX_STACK_NAME:
        raise BuildError(
            f"The stack's name has {len(name)} characters, at most {MAX_STACK_NAME} are possible, since schedules are "
            f"named after it: change stack_name in samconfig.toml ({name})."
        )


def configured(folder: Path = ROOT) -> dict[str, str]:
    """Return ``parameter_overrides`` of ``sam deploy`` in the folder's samconfig.toml, read as SAM reads them.

    Raises:
        BuildError: SAM cannot read the file or the parameters, or would leave out a part of them.
    """
    value = _options(folder).get("parameter_overrides")
    try:
        found: dict[str, str] = _Parameters().convert(value, None, None)
    except click.BadParameter as error:
        raise BuildError(f"parameter_overrides in samconfig.toml: {error.message}") from None
    return found


def overrides(
    given: Mapping[str, str], from_file: Mapping[str, str], runtime: str, architecture: str
) -> dict[str, str]:
    """Combine the parameters of a deployment: those given win over those of samconfig.toml.

    On SAM's command line, parameters replace the whole list of samconfig.toml: a dry run set there would end.

    Args:
        given: Those of PARAMETERS.
        from_file: Those of samconfig.toml.
        runtime: What the build is for, such as ``python3.13``.
        architecture: Likewise, ``arm64`` or ``x86_64``.

    Raises:
        BuildError: A parameter names another runtime or processor, or the template does not have it. SAM ignores one
            that the template does not have, so that a misspelt ``DryRun`` would go live.
    """
    built_for = {"PythonRuntime": runtime, "Architecture": architecture}
    known = yaml_parse((ROOT / "template.yaml").read_text())["Parameters"]
    for place, values in (("PARAMETERS", given), ("samconfig.toml", from_file)):
        for name, variable in (("PythonRuntime", "RUNTIME"), ("Architecture", "ARCH")):
            if values.get(name, built_for[name]) != built_for[name]:
                raise BuildError(
                    f"{name} in {place} must match the build. Set it for the build, too: make deploy {variable}=..."
                )
        if unknown := sorted(values.keys() - known):
            raise BuildError(f"The template has no parameter {', '.join(unknown)}: correct {place}.")
    return {**from_file, **given, **built_for}


def deploy(runtime: str, architecture: str, given: Mapping[str, str]) -> int:
    """Run ``sam deploy`` and return its exit code.

    Raises:
        BuildError: The build is for others, or a parameter is wrong.
    """
    check_stack_name()
    from_file = configured()
    values = overrides(given, from_file, runtime, architecture)
    check(runtime, architecture)
    if kept := from_file.keys() - given - {"PythonRuntime", "Architecture"}:
        print("From samconfig.toml:", *(f"{name}={from_file[name]}" for name in sorted(kept)), flush=True)
    sam = str(Path(sys.executable).parent / "sam")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:  # on the command line, SAM splits at spaces
        json.dump(values, file)  # JSON is YAML, too
        file.flush()
        command = [sam, "deploy", "--parameter-overrides", f"file://{file.name}"]
        if region := os.environ.get("AWS_REGION"):  # SAM itself reads AWS_DEFAULT_REGION alone
            command += ["--region", region]
        return subprocess.run(command, cwd=ROOT, check=False).returncode


class _Parameters(CfnParameterOverridesType):  # type: ignore[misc]
    """SAM's reader of parameters, which leaves out what does not look like one: here, that is an error.

    In ``"MaxPostsPerHour=6 DryRun = true"``, SAM would find one parameter, and the dry run would be live.
    """

    def convert(self, values: Any, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401  what TOML may hold
        """Read parameters; SAM's reader calls this for each file that they name, too."""
        for text in values if isinstance(values, list) else [values]:
            if isinstance(text, str) and not text.startswith("file://") and (left := self._left_out(text)):
                self.fail(
                    f"SAM would leave out {left!r} of {text!r}. Write Name=value, and quotes around other values."
                )
        return super().convert(values, *arguments, **options)

    def _left_out(self, text: str) -> str:
        """Return what SAM does not read: it takes all that match the first of its patterns that matches at all."""
        spaced = f" {text.strip()}"
        rests = (re.sub(pattern, "", spaced) for pattern in self.ordered_pattern_match)
        return next((rest for rest in rests if rest != spaced), spaced).strip()


def _options(folder: Path) -> dict[str, Any]:
    """Return the options of ``sam deploy`` in the folder's samconfig.toml.

    Raises:
        BuildError: SAM cannot read the file.
    """
    try:
        options: dict[str, Any] = SamConfig(folder).get_all(["deploy"], "parameters")
    except (SamConfigFileReadException, SamConfigVersionException, UnicodeDecodeError) as error:
        why = error.__cause__ or error  # of a file that cannot be read, its own text is an error
        raise BuildError(f"samconfig.toml cannot be read: {why}") from None
    return options


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
