"""The parameters, conditions, outputs and application metadata of the template."""

import re
import tomllib
from itertools import permutations
from typing import Any

import pytest
from relay import __version__
from relay.backups.backup import FILE_TYPES
from relay.credentials import AUTH_STYLES
from relay.posting.hours import posting_hours

from tests.template import FUNCTIONS, NOTICES, QUEUES, RESOURCES, ROOT, TEMPLATE, WEBHOOK, switched_by


def test_the_parameters_are_these_and_each_is_shown_in_one_group() -> None:
    groups = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    shown = [name for group in groups for name in group["Parameters"]]
    assert sorted(shown) == sorted(TEMPLATE["Parameters"])
    assert {name for name in shown if re.match("Firestream|Backup|Athena", name)} == {
        "FirestreamUrl",
        "FirestreamCredentialsParameter",
        "BackupsEnabled",
        "BackupFileTypes",
        "BackupSchedule",
        "BackupTimeZone",
        "BackupLagDays",
        "BackupLookbackDays",
        "BackupColderAfterDays",
        "BackupStorageClass",
        "AthenaScanLimitGB",
    }


@pytest.mark.parametrize("name", TEMPLATE["Parameters"])
def test_every_parameter_is_described_bounded_and_has_a_default_within_its_bounds(name: str) -> None:
    parameter = TEMPLATE["Parameters"][name]
    assert len(parameter["Description"]) > 20
    default = parameter["Default"]
    if "AllowedValues" in parameter:
        assert default in parameter["AllowedValues"]
    elif parameter["Type"] == "Number":
        assert parameter["MinValue"] <= default <= parameter["MaxValue"]
    else:
        assert re.fullmatch(parameter["AllowedPattern"], default)


def test_the_defaults() -> None:
    defaults = {name: each["Default"] for name, each in TEMPLATE["Parameters"].items()}
    assert defaults["PythonRuntime"] == "python3.13"
    assert defaults["Architecture"] == "arm64"
    assert defaults["PostConcurrency"] == 4
    assert defaults["DryRun"] == "false"
    assert (defaults["BackupLagDays"], defaults["BackupLookbackDays"]) == (2, 7)
    assert defaults["BackupColderAfterDays"] == 90
    assert set(defaults["BackupFileTypes"].split(",")) == set(FILE_TYPES)


def test_the_auth_styles_of_template_and_code_are_the_same() -> None:
    assert tuple(TEMPLATE["Parameters"]["StockTwitsAuthStyle"]["AllowedValues"]) == AUTH_STYLES


def test_the_file_types_that_the_template_takes_are_those_of_the_code() -> None:
    pattern = TEMPLATE["Parameters"]["BackupFileTypes"]["AllowedPattern"]
    for number in range(1, len(FILE_TYPES) + 1):
        for types in permutations(FILE_TYPES, number):
            assert re.fullmatch(pattern, ",".join(types))
    for wrong in ("", "symbol", "message,", "message, activity", "message,symbol"):
        assert not re.fullmatch(pattern, wrong)


HOURS = [
    ("", True),
    ("MON-FRI 09:30-16:00 America/New_York", True),
    ("MON-FRI 09:30-12:00,13:00-16:00 America/New_York", True),
    ("MON-THU 09:30-16:00 FRI,SUN 00:00-24:00 Etc/GMT+5", True),
    ("MON-FRI 09:30-16:00", False),
    ("MON-FRI America/New_York", False),
    ("09:30-16:00 America/New_York", False),
    ("Mon-Fri 09:30-16:00 America/New_York", False),
    ("MONDAY 09:30-16:00 America/New_York", False),
    ("MON-FRI 9:30-16:00 America/New_York", False),
    ("MON-FRI 09:30-16:00, 17:00-18:00 America/New_York", False),
    ("MON-FRI  09:30-16:00 America/New_York", False),
    ("MON-FRI 09:30-16:00 America/New_York ", False),
    ("MON-FRI", False),
]


@pytest.mark.parametrize(("hours", "taken"), HOURS)
def test_posting_hours_that_are_written_wrong_are_refused_before_anything_is_deployed(hours: str, taken: bool) -> None:
    assert bool(re.fullmatch(TEMPLATE["Parameters"]["PostingHours"]["AllowedPattern"], hours)) is taken


@pytest.mark.parametrize(
    ("exchange", "taken"),
    [("none", True), ("NYSE", True), ("XNYS", True), ("nyse", False), ("None", False), ("", False), ("none\n", False)],
)
def test_the_template_refuses_exchanges_that_the_functions_could_not_read(exchange: str, *, taken: bool) -> None:
    assert bool(re.fullmatch(TEMPLATE["Parameters"]["PostingHolidays"]["AllowedPattern"], exchange)) is taken


@pytest.mark.parametrize("hours", [each for each, taken in HOURS if taken and each])
def test_the_functions_can_read_the_posting_hours_that_the_template_takes(hours: str) -> None:
    assert posting_hours(hours).text == hours


def test_the_outputs_that_other_tools_rely_on_are_there() -> None:
    expected = {f"{queue}{what}" for queue in QUEUES for what in ("Url", "Arn", "Name")}
    expected |= {f"{name}{what}" for name in (*FUNCTIONS, "LedgerTable", "BackupBucket") for what in ("Name", "Arn")}
    expected |= {"WebhookUrl", *(f"{name}{what}" for name in (WEBHOOK, NOTICES) for what in ("Name", "Arn"))}
    expected |= {"PublishPolicyArn", "ArchiveDatabaseName", "ArchiveWorkGroupName", "AlarmTopicArn"}
    assert set(TEMPLATE["Outputs"]) == expected


# Posting and backups can each be switched off


def test_a_half_that_is_switched_off_leaves_its_queues_its_data_and_its_logs() -> None:
    posting = {f"{name}{what}" for name in ("PostMessages", "DrainLeftovers") for what in ("Function", "Role")}
    assert {name for name in switched_by("PostingIsOn") if not name.endswith("Alarm")} == posting | {"PostingPolicy"}
    fetching = {f"FetchBackups{what}" for what in ("Function", "Role")}
    assert {name for name in switched_by("BackupsAreOn") if not name.endswith("Alarm")} == fetching
    unconditional = {each["Type"] for each in RESOURCES.values() if "Condition" not in each}
    assert {"AWS::SQS::Queue", "AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::Logs::LogGroup"} <= unconditional


def test_each_half_is_on_unless_its_parameter_is_false() -> None:
    for condition, parameter in (("PostingIsOn", "PostingEnabled"), ("BackupsAreOn", "BackupsEnabled")):
        assert TEMPLATE["Conditions"][condition] == {"Fn::Equals": [{"Ref": parameter}, "true"]}
        assert TEMPLATE["Parameters"][parameter]["Default"] == "true"


def test_of_a_webhook_that_is_not_switched_on_nothing_is_there() -> None:
    assert TEMPLATE["Conditions"]["WebhookIsOn"] == {"Fn::Equals": [{"Ref": "WebhookEnabled"}, "true"]}
    assert TEMPLATE["Parameters"]["WebhookEnabled"]["Default"] == "false"
    everything = {**RESOURCES, **TEMPLATE["Outputs"]}
    conditional = {name for name, each in everything.items() if each.get("Condition") == "WebhookIsOn"}
    assert {name for name in everything if re.search("Webhook|ReceiveAlerts|^Alerts", name)} == conditional
    assert {name for name, each in RESOURCES.items() if "ApiGateway" in each["Type"]} <= conditional


def test_of_notices_that_are_not_switched_on_nothing_is_there() -> None:
    conditions = {"NoticesAreSent", "RejectionsAreNoticed"}
    everything = {**RESOURCES, **TEMPLATE["Outputs"]}
    conditional = {name for name, each in everything.items() if each.get("Condition") in conditions}
    assert {name for name in everything if re.search("Notices|Rejections", name)} == conditional


@pytest.mark.parametrize(
    "condition", ["ChartsAreRead", "ResultsAreAnnounced", "SilenceIsAlarming", "RejectionsAreNoticed"]
)
def test_what_a_parameter_adds_to_posting_goes_with_posting(condition: str) -> None:
    assert {"Condition": "PostingIsOn"} in TEMPLATE["Conditions"][condition]["Fn::And"]


@pytest.mark.parametrize(
    ("condition", "parameter", "off"),
    [
        ("ChartsAreRead", "ChartBucketName", ""),
        ("ResultsAreAnnounced", "ResultEventBusName", ""),
        ("SilenceIsAlarming", "AlarmNothingPostedHours", "0"),
        ("AlarmsAreMailed", "AlarmEmail", ""),
        ("NoticesAreSent", "NotifyUrlParameter", ""),
        ("AlarmTopicHasKey", "AlarmTopicKeyArn", ""),
    ],
)
def test_an_option_is_off_unless_its_parameter_is_set(condition: str, parameter: str, off: str) -> None:
    rule = TEMPLATE["Conditions"][condition]
    assert {"Fn::Not": [{"Fn::Equals": [{"Ref": parameter}, off]}]} in rule.get("Fn::And", [rule])
    assert str(TEMPLATE["Parameters"][parameter]["Default"]) == off


def references(value: Any) -> set[str]:
    """The resources that a value refers to, except within `Fn::If`, whose branches have a condition of their own."""
    match value:
        case {"Fn::If": _}:
            return set()
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), *_]}:
            return {name} & RESOURCES.keys()
        case {"Fn::Sub": text}:
            texts = text if isinstance(text, list) else [text, {}]
            return {name for name in re.findall(r"\$\{(\w+)", texts[0]) if name in RESOURCES} | references(texts[1])
        case dict():
            return {name for each in value.values() for name in references(each)}
        case list():
            return {name for each in value for name in references(each)}
    return set()


def test_nothing_refers_to_a_resource_that_another_condition_removes() -> None:
    everything = {**RESOURCES, **{f"output {name}": each for name, each in TEMPLATE["Outputs"].items()}}
    for name, each in everything.items():
        own = each.get("Condition")
        parts = TEMPLATE["Conditions"].get(own, {}).get("Fn::And", [])
        implied = {own} | {part["Condition"] for part in parts if "Condition" in part}
        for other in references({key: part for key, part in each.items() if key != "Condition"}):
            assert RESOURCES[other].get("Condition") in implied | {None}, (name, other)


# Publishing


def test_the_application_can_be_published_under_the_projects_version_and_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    application = TEMPLATE["Metadata"]["AWS::ServerlessRepo::Application"]
    assert application["SemanticVersion"] == project["version"] == __version__
    assert application["Name"] == project["name"]
    assert application["SpdxLicenseId"] == project["license"]
    for file in ("LicenseUrl", "ReadmeUrl"):
        assert (ROOT / application[file]).is_file()


def test_the_metadata_meets_the_limits_of_the_serverless_application_repository() -> None:
    # https://docs.aws.amazon.com/serverlessrepo/latest/devguide/applications.html
    application = TEMPLATE["Metadata"]["AWS::ServerlessRepo::Application"]
    assert len(application["Description"]) <= 256
    assert re.fullmatch("[a-z0-9](([a-z0-9]|-(?!-))*[a-z0-9])?", application["Author"])
    assert 1 <= len(application["Labels"]) <= 10
    assert all(re.fullmatch(r"[a-zA-Z0-9+\-_:/@]{1,127}", label) for label in application["Labels"])
