"""Read the logs of the running stack's functions."""

import json
from collections.abc import Iterator
from typing import Any

from local.stack.stack import STACK_NAME, Stack


class Logs:
    """The log lines of some functions, each returned once."""

    def __init__(self, stack: Stack, *log_groups: str) -> None:
        """Follow log groups, given by their logical ids."""
        self._client = stack.client("logs")
        resources = stack.client("cloudformation").describe_stack_resources(StackName=STACK_NAME)["StackResources"]
        self._groups = [each["PhysicalResourceId"] for each in resources if each["LogicalResourceId"] in log_groups]
        self._seen: set[str] = set()

    def new(self) -> Iterator[dict[str, Any]]:
        """Return the lines that were logged since the last call."""
        for group in self._groups:
            for page in self._client.get_paginator("filter_log_events").paginate(logGroupName=group):
                for event in page["events"]:
                    if event["message"] not in self._seen:  # the emulator's events have no id
                        self._seen.add(event["message"])
                        yield from _line(event["message"])


def _line(text: str) -> Iterator[dict[str, Any]]:
    try:
        line = json.loads(text)
    except ValueError:
        return
    if isinstance(line, dict):
        yield line
