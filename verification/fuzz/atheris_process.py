"""Fuzz one target: ``python -m verification.fuzz.atheris_process TARGET OPTION...``, started by ``make fuzz``."""

import sys

import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]  # only in its own environment

with atheris.instrument_imports(include=["relay", "functions"]):
    from verification.fuzz.targets import TARGETS

_name, *_options = sys.argv[1:]
atheris.Setup([sys.argv[0], *_options], TARGETS[_name].run)
atheris.Fuzz()
