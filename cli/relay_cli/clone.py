"""The clone of this project that the relay is deployed from: its samconfig.toml, and ``make deploy``."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess  # nosec B404  # runs make alone
import tomllib
from typing import TYPE_CHECKING, Any

from relay_cli.failure import FAILED, USAGE, Failure

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILES = ("Makefile", "samconfig.toml", "template.yaml", "local/deploy.py", "local/find_python.sh")
"""What a folder must have to be a clone."""

QUOTED_NOTHING = "''"
"""An empty value: SAM would leave out a parameter with nothing after the equals sign."""

_SECTIONS = {"region": "global", "stack_name": "global", "profile": "global", "parameter_overrides": "deploy"}
"""The section of samconfig.toml that an option belongs to if it is not there yet; of the two that `sam deploy` reads,
`deploy` wins."""


class Clone:
    """A clone of this project.

    Attributes:
        folder: Where it is.
    """

    def __init__(self, folder: Path) -> None:
        """Use a folder.

        Raises:
            Failure: It is not a clone, or its samconfig.toml cannot be read.
        """
        self.folder = folder
        if missing := [each for each in FILES if not (folder / each).is_file()]:
            raise Failure(
                f"The relay is deployed from a clone of its repository, and this folder has no {missing[0]}: "
                "go to the clone with cd, and try again.",
                USAGE,
            )
        self._file = folder / "samconfig.toml"
        try:
            self._text = self._file.read_text(encoding="utf-8")
            self._settings = tomllib.loads(self._text)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise Failure(f"samconfig.toml cannot be read ({why}): correct it, and try again.", USAGE) from None

    @property
    def stack_name(self) -> str | None:
        """The name that the stack gets, if samconfig.toml has it."""
        name = self._option("stack_name")
        return None if name is None else str(name)

    @property
    def profile(self) -> str | None:
        """The AWS profile that `sam deploy` uses whatever the environment says, if samconfig.toml has one."""
        name = self._option("profile")
        return None if name is None else str(name)

    def parameter(self, name: str) -> str | None:
        """Return a parameter of the template as samconfig.toml has it, without quotes; None if it does not."""
        for entry in self._overrides():
            if found := re.search(_assignment(name), entry):
                return found[2].strip("\"'")
        return None

    def write(self, region: str, parameters: Mapping[str, str]) -> bool:
        """Write the region and parameters of the template into samconfig.toml, and keep everything else in it.

        Args:
            region: The AWS region to deploy to.
            parameters: Values without spaces or quotes, by name.

        Returns:
            Whether anything changed.

        Raises:
            Failure: The file is written in a way that is not understood here, or cannot be written.
        """
        overrides = self._overrides()
        for name, value in parameters.items():
            assignment, pattern = f"{name}={value or QUOTED_NOTHING}", re.compile(_assignment(name))
            if any(pattern.search(entry) for entry in overrides):
                overrides = [pattern.sub(rf"\g<1>{assignment}", entry) for entry in overrides]
            else:
                overrides = [*overrides, assignment]
        before = self._text
        for option, new in (("region", region), ("parameter_overrides", overrides)):
            if self._option(option) != new:
                self._set(option, new)
        if self._text == before:
            return False
        part = self._file.with_name("samconfig.toml.part")
        try:
            part.write_text(self._text, encoding="utf-8")
            part.replace(self._file)
        except OSError as error:
            raise Failure(f"samconfig.toml cannot be written: {error.strerror}.") from None
        return True

    def check_deployable(self, profile: str | None) -> None:
        """Check what ``make deploy`` needs, before anything is asked or written.

        Args:
            profile: As for `deploy`.

        Raises:
            Failure: make is missing, or would use other credentials than those of the profile.
        """
        _make()
        if profile and self.profile not in {None, profile}:
            raise Failure(
                f"`make deploy` uses the profile {self.profile}: change profile in samconfig.toml, or leave out "
                "--profile.",
                USAGE,
            )
        if profile and not self.profile and "AWS_ACCESS_KEY_ID" in os.environ:
            raise Failure(
                f"`make deploy` would use AWS_ACCESS_KEY_ID from the environment instead of the profile {profile}: "
                "unset that variable, or leave out --profile.",
                USAGE,
            )

    def find_runtime(self) -> str | None:
        """Return what ``make deploy`` has to be given as RUNTIME, such as ``python3.12``; None if it needs nothing.

        It builds with the Python of the functions' runtime. Without one that RUNTIME or samconfig.toml names, that is
        the template's default, or else the newest of the others that is on this machine.

        Raises:
            Failure: That Python is not installed.
        """
        default, *allowed = self._runtimes()
        others = [each for each in reversed(allowed) if each != default]
        named = os.environ.get("RUNTIME") or self.parameter("PythonRuntime")
        for runtime in [named] if named else [default, *others]:
            if self._has_python(runtime):
                return None if runtime == (os.environ.get("RUNTIME") or default) else runtime
        if named:
            place = "RUNTIME" if os.environ.get("RUNTIME") else "PythonRuntime in samconfig.toml"
            raise Failure(f"{place} is {named}, but no {named} with pip is on this machine: install it, or change it.")
        raise Failure(
            f"`make deploy` needs {default} with pip, or one of {', '.join(others)}: install one (Debian: apt-get "
            "install python3-pip), and try again."
        )

    def _runtimes(self) -> list[str]:
        """Return the template's default runtime, and all that it allows, oldest first."""
        template = (self.folder / "template.yaml").read_text(encoding="utf-8")
        parameter = template.partition("\n  PythonRuntime:")[2].partition("Description")[0]
        return re.findall(r"python3\.\d+", parameter)

    def _has_python(self, runtime: str) -> bool:
        command = ["/bin/sh", "local/find_python.sh", runtime]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, check=False)  # nosec B603  # noqa: S603  no shell reads it
        return not done.returncode

    def deploy(
        self, region: str, profile: str | None, parameters: str, runtime: str | None = None, *, quiet: bool = False
    ) -> None:
        """Run ``make deploy``, which prints its progress.

        Args:
            region: The AWS region.
            profile: The AWS profile; None for the default.
            parameters: What is deployed with besides samconfig.toml, as ``Name=value Name=value``.
            runtime: The runtime; None for the one of RUNTIME, or else the template's default.
            quiet: Whether its progress goes to standard error, because standard output has the result.

        Raises:
            Failure: It failed.
        """
        make = _make()
        environment = {**os.environ, "AWS_REGION": region, "PARAMETERS": parameters}
        if profile:
            environment["AWS_PROFILE"] = profile
        if runtime:
            environment["RUNTIME"] = runtime
        output = 2 if quiet else None
        done = subprocess.run([make, "deploy"], cwd=self.folder, env=environment, stdout=output, check=False)  # nosec B603  # noqa: S603  no argument comes from elsewhere
        if done.returncode:
            raise Failure(
                "The deployment failed; the lines above say why. Correct that, and run `relay setup` again.",
                FAILED,
            )

    def _option(self, option: str) -> Any:  # noqa: ANN401  any TOML value
        return self._in_section(self._section(option), option)

    def _in_section(self, section: str, option: str) -> Any:  # noqa: ANN401  as above
        value: Any = self._settings
        for key in ("default", section, "parameters", option):
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def _section(self, option: str) -> str:
        """Return the section that decides on an option."""
        return "deploy" if self._in_section("deploy", option) is not None else _SECTIONS[option]

    def _overrides(self) -> list[str]:
        value = self._option("parameter_overrides")
        entries = [value] if isinstance(value, str) else value or []
        if not isinstance(entries, list) or any(
            not isinstance(each, str) or each.startswith(("file://", "ParameterKey")) for each in entries
        ):
            raise Failure(
                'parameter_overrides in samconfig.toml must be a list of texts such as "MaxPostsPerHour=6": write it '
                "like that, and try again.",
                USAGE,
            )
        return [each for each in entries if each]

    def _set(self, option: str, value: str | list[str]) -> None:
        """Change an option in the text, whose comments stay."""
        section = self._section(option)
        expected = json.loads(json.dumps(self._settings, default=str))
        expected.setdefault("default", {}).setdefault(section, {}).setdefault("parameters", {})[option] = value
        text = _with(self._text, f"[default.{section}.parameters]", option, _toml(value))
        try:
            settings = tomllib.loads(text)
        except ValueError:
            settings = {}
        if json.loads(json.dumps(settings, default=str)) != expected:  # for example, it has sections in another style
            raise Failure(
                f"samconfig.toml cannot be changed: write {option} = {json.dumps(value)} into its section "
                f"[default.{section}.parameters], and try again.",
                USAGE,
            )
        self._text, self._settings = text, settings


def _make() -> str:
    make = shutil.which("make")
    if make is None:
        raise Failure("make is not installed (Debian: apt-get install make): install it, and try again.")
    return make


def _assignment(name: str) -> str:
    """Return the pattern of ``Name=value``; the value may be quoted."""
    return rf"""(^|\s){name}=("[^"]*"|'[^']*'|\S*)"""


def _toml(value: str | list[str]) -> str:
    """Write a value as TOML, a list with one entry on each line."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return "[\n" + "".join(f"    {json.dumps(each, ensure_ascii=False)},\n" for each in value) + "]"


def _with(text: str, section: str, option: str, value: str) -> str:
    """Return a TOML text with an option in a section: in place of the old value, or as the section's first line."""
    head, found, rest = text.partition(f"{section}\n")
    if not found:
        return f"{text.rstrip()}\n\n{section}\n{option} = {value}\n"
    body, *others = re.split(r"(?m)^(?=\[)", rest, maxsplit=1)
    if old := re.search(rf"(?m)^{option}\s*=", body):
        body = f"{body[: old.start()]}{option} = {value}{_after(body[old.start() :])}"
    else:
        body = f"{option} = {value}\n{body}"
    return head + found + body + "".join(others)


def _after(text: str) -> str:
    """Return what follows the assignment that a TOML text begins with, which may have several lines."""
    lines = text.splitlines(keepends=True)
    for number in range(1, len(lines) + 1):
        try:
            tomllib.loads("".join(lines[:number]))
        except ValueError:
            continue
        return "\n" + "".join(lines[number:])
    return ""
