"""The documents agree with the code where they repeat it, and their links lead somewhere."""

import json
import re
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from relay.posting.gate import Pace, State

from tests.template import TEMPLATE, of_type

ROOT = Path(__file__).parents[2]
PARAMETERS: dict[str, dict[str, Any]] = TEMPLATE["Parameters"]
GROUPS: list[dict[str, Any]] = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
HINTS = [
    *DOCUMENTS,
    *(
        file
        for folder in ("local", "cli", "layers", ".github")
        for file in (ROOT / folder).rglob("*.*")
        if file.suffix != ".pyc"
    ),
]
LINK = re.compile(r"\[[^\]]*\]\((?!https?://)([^)#\s]*)(?:#([^)\s]*))?\)")


def section(document: str, heading: str) -> str:
    """Return the text under a heading, up to the next one of the same or a higher level."""
    level = heading.partition(" ")[0]
    text = (ROOT / document).read_text()
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, heading
    return found[1]


def rows(text: str) -> list[list[str]]:
    """Return the cells of each table row in a text that begins with a name in backticks."""
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| `")]


def without_code(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub derives from a document's headings."""
    headings = re.findall(r"^#+ (.*)$", without_code(path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "text",
    [
        section("docs/operating.md", "## Dead letters"),
        section("docs/troubleshooting.md", "#### Refused by StockTwits, or given up"),
        section("docs/publish.md", "### The key"),
        TEMPLATE["Resources"]["DeadLettersAlarm"]["Properties"]["AlarmDescription"],
    ],
)
def test_where_people_look_at_dead_letters_they_are_warned_of_sqs_own_redrive(text: str) -> None:
    assert "redrive" in text


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group["Label"]["default"])
def test_deploy_lists_the_parameters_in_the_groups_of_the_template(group: dict[str, Any]) -> None:
    listed = rows(section("docs/deploy.md", f"### {group['Label']['default']}"))
    assert [name for name, *_ in listed] == [f"`{name}`" for name in group["Parameters"]]


def test_every_parameter_belongs_to_a_group() -> None:
    assert sorted(name for group in GROUPS for name in group["Parameters"]) == sorted(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_deploy_gives_a_parameters_default_and_bounds(name: str) -> None:
    (row,) = [row for row in rows(section("docs/deploy.md", "## Parameters")) if row[0] == f"`{name}`"]
    parameter = PARAMETERS[name]
    assert row[1] == (f"`{parameter['Default']}`" if parameter["Default"] != "" else "empty")
    if "AllowedValues" in parameter:
        assert row[2] == ", ".join(f"`{value}`" for value in parameter["AllowedValues"])
    elif "MinValue" in parameter:
        assert row[2] == f"{parameter['MinValue']} to {parameter['MaxValue']}"
    assert all(row)


def test_publish_has_every_field_of_a_message() -> None:
    schema = json.loads((ROOT / "docs" / "message.schema.json").read_text())
    listed = rows(section("docs/publish.md", "## The message").partition("\n### ")[0])
    assert [row[0] for row in listed] == [f"`{name}`" for name in schema["properties"]]
    assert [row[0].strip("`") for row in listed if "required" in row[1]] == schema["required"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_a_link_to_a_file_or_a_heading_leads_there(path: Path) -> None:
    for target, anchor in LINK.findall(without_code(path.read_text())):
        there = (path.parent / target).resolve() if target else path
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), f"{target}#{anchor}"


def test_architecture_gives_limits_as_the_code_has_them() -> None:
    limits = re.findall(
        r"\| ([\d.]+) \| `([\w.]+)\.([A-Z_]+)` \|", section("docs/architecture.md", "## Limits, and where they are")
    )
    assert limits
    for value, module, name in limits:
        assert float(value) == getattr(import_module(f"relay.{module}"), name), name


def test_architecture_names_every_module_of_the_layer() -> None:
    layer = ROOT / "layers" / "relay" / "relay"
    named = {
        name
        for row in rows(section("docs/architecture.md", "## The modules"))
        for name in re.findall(r"`([\w/]+\.py)`", row[0])
    }
    assert named == {str(path.relative_to(layer)) for path in layer.rglob("*.py") if path.name != "__init__.py"}


def test_no_command_that_is_shown_can_start_a_run_twice() -> None:
    """Without an answer for a minute, the SDK invokes the function again: each command must not wait for one."""
    texts = [file.read_text() for file in HINTS if file.suffix in {".md", ".py", ".sh", ".yml"}]
    commands = [
        line
        for text in texts
        for line in text.replace("\\\n", " ").splitlines()
        if re.search(r"\b(sam remote|aws lambda) invoke\b [A-Z\"$-]", line)
    ]
    assert commands
    assert [each for each in commands if not re.search(r"InvocationType=Event|--invocation-type Event", each)] == []


def test_what_only_a_real_account_can_prove_names_steps_that_there_are() -> None:
    steps = set(re.findall(r"^## (\d+)\. ", (ROOT / "docs" / "first-deploy.md").read_text(), re.MULTILINE))
    listed = section("docs/first-deploy.md", "## What only a real account can prove")
    cells = [line.strip("| ").split("|")[-1] for line in listed.splitlines() if line.startswith("|")]
    assert {number for cell in cells for number in re.findall(r"\b\d+\b", cell)} == steps


def test_the_messages_of_the_dry_run_leave_the_first_real_post_its_place_in_the_pace() -> None:
    text = (ROOT / "docs" / "first-deploy.md").read_text()
    defaults = {name: str(each["Default"]) for name, each in PARAMETERS.items()}
    dry, live = (
        defaults | dict(word.split("=") for word in found.split())
        for found in re.findall(r'^make deploy PARAMETERS="(.*)"$', text, re.MULTILINE)
    )
    (numbers,) = re.findall(r"^for number in ([\d ]+); do$", text, re.MULTILINE)
    state = State()
    for settings in [*[dry] * len(numbers.split()), live]:
        pace = Pace(*(int(settings[name]) for name in ("MaxPostsPerHour", "PostBurst", "MaxPostsPerDay")))
        admission = state.admit(1, time.time(), pace)
        assert admission.granted, admission.pause
        state = admission.state


def test_the_alarm_that_is_forced_is_one_of_the_template() -> None:
    (name,) = re.findall(r"--alarm-name stocktwits-relay(\S+)", (ROOT / "docs" / "first-deploy.md").read_text())
    assert {"Fn::Sub": f"${{AWS::StackName}}{name}"} in [
        each["AlarmName"] for each in of_type("AWS::CloudWatch::Alarm").values()
    ]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_an_output_that_a_command_reads_is_one_of_the_template(path: Path) -> None:
    read = re.findall(r"OutputKey=='(\w+)'|\$\((?:queue_arn|kept|output) (\w+)\)", path.read_text())
    assert {name for pair in read for name in pair if name} <= TEMPLATE["Outputs"].keys()


SINGLE_QUOTED = re.compile(r"'[^']*'")
EATEN = re.compile(r'"[^"\n]* [^"\n]*(?<!\\)\$[A-Z]{1,5}(?:\.[A-Z])?\b[^"\n]*"|"(?<!\\)\$[A-Z]{1,5}\b [^"\n]*"')


def eaten(commands: str) -> list[str]:
    """Return the texts in double quotes whose cashtag a shell would replace by nothing."""
    joined = re.sub(r"<<'?(\w+)'?\n.*?\n *\1$|^ *#[^\n]*$|\\\n", " ", commands, flags=re.DOTALL | re.MULTILINE)
    return EATEN.findall(SINGLE_QUOTED.sub("", joined))


def test_no_command_that_is_shown_has_a_cashtag_within_double_quotes() -> None:
    for path in HINTS:
        text = path.read_text(errors="replace")
        blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if path.suffix == ".md" else []
        hints = [line for line in text.splitlines() if re.search(r"\brelay [a-z]+ ", line)]
        assert [each for part in (*blocks, *hints) for each in eaten(part)] == [], path


@pytest.mark.parametrize(
    "text", ['relay send "Up 3% $AAPL"', 'relay send "$AAPL is up"', 'curl \\\n  --data "Up $BRK.B"']
)
def test_a_cashtag_within_double_quotes_is_found(text: str) -> None:
    assert eaten(text)


@pytest.mark.parametrize("text", ["relay send 'Up 3% $AAPL'", 'relay get "$DAY"', 'relay send "Up \\$AAPL"'])
def test_a_variable_and_a_cashtag_that_a_shell_keeps_are_none(text: str) -> None:
    assert not eaten(text)


RETIRED = (
    "exactly once",
    "none is lost",
    "any system drops an alert on",
    "what cannot be posted waits where you can see it",
    "shows what became of each",
    "takes some minutes to install what it needs into this folder",
    "pip install . the command relay",
    "for backups; without them, deploy with",
    "of all messages with the same key, one is posted",
    "once the stack knows them",
    "stands for anything",
    "before and after what is free for every account",
    "the gate open ",
    "an alarm tells two days before",
    "no longer reach back to the attempt",
    "they come at least once",
    "knows no dry run",
)
"""Sentences that promised too much or were not English; each is said in another way now."""


def test_no_retired_sentence_is_left_in_documents_help_texts_or_docstrings() -> None:
    written = [*HINTS, ROOT / "template.yaml", ROOT / "samconfig.toml", *(ROOT / "functions").rglob("*.py")]
    written += (ROOT / "verification").rglob("*.py")
    texts = {
        file: re.sub(r"""[\s`*"'#/|]+""", " ", file.read_text()).lower()
        for file in written
        if file.suffix in {".md", ".py", ".html", ".yaml", ".yml", ".toml", ".sh", ".js"}
    }
    assert [(file.name, each) for file, text in texts.items() for each in RETIRED if each in text] == []
