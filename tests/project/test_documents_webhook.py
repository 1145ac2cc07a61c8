"""docs/webhook.md agrees with the code that answers the webhook's requests."""

import re
from http import HTTPStatus
from pathlib import Path

from relay.posting.webhook import receiver

from tests.project.test_documents import ROOT, rows, section

THROTTLED = HTTPStatus.TOO_MANY_REQUESTS
"""API Gateway's own answer."""


def test_the_table_of_answers_has_each_status_of_the_webhook() -> None:
    code = Path(receiver.__file__).read_text()
    used = {HTTPStatus[name] for name in re.findall(r"HTTPStatus\.([A-Z_]+)", code)}
    listed = [int(row[0].strip("`")) for row in rows(section("docs/webhook.md", "## Answers"))]
    assert listed == sorted(used | {THROTTLED})


def test_the_table_of_options_has_each_option_of_the_command() -> None:
    command = (ROOT / "cli" / "relay_cli" / "commands" / "webhook.py").read_text()
    add = command.partition("def add(")[2].partition('"""')[0]
    names = set(re.findall(r'"(--[a-z-]+)"', add)) | {
        f"--{name.replace('_', '-')}" for name in re.findall(r"^    (\w+): Annotated\[", add, re.MULTILINE)
    }
    table = rows(section("docs/webhook.md", "## Switch it on, and add a source"))
    listed = {name for row in table for name in re.findall(r"--[a-z-]+", row[0])}
    assert listed == names - {"--maps"}
