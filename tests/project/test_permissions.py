"""The permissions in the template: each is tested, and the emulator's copy means the same."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.stack.iam import Grant, denied, for_the_emulator, granted
from tests.template import TEMPLATE
from verification.reliability import iam
from verification.reliability.iam import NOTHING, SCENARIOS, UNTESTABLE, _without


def statement(action: object, resource: object = None, effect: str = "Allow") -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource or {"Fn::GetAtt": ["Q", "Arn"]}}


def template_of(*statements: dict[str, Any]) -> dict[str, Any]:
    """Return a template with two roles that share a policy of these statements."""
    shared = {
        "PolicyName": "shared",
        "Roles": [{"Ref": "A"}, {"Ref": "B"}],
        "PolicyDocument": {"Statement": [*statements]},
    }
    return {
        "Resources": {
            "A": {"Type": "AWS::IAM::Role", "Properties": {}},
            "B": {"Type": "AWS::IAM::Role", "Properties": {}},
            "Shared": {"Type": "AWS::IAM::Policy", "Properties": shared},
        }
    }


def test_every_granted_action_is_exercised_by_make_iam_or_listed_as_untestable() -> None:
    wanted = {(grant.holder, grant.action, grant.resource) for grant in granted(TEMPLATE)}
    assert wanted == SCENARIOS.keys() | UNTESTABLE.keys()
    assert not SCENARIOS.keys() & UNTESTABLE.keys()


def test_a_new_action_is_noticed_wherever_it_is_granted() -> None:
    resources = json.loads(json.dumps(TEMPLATE["Resources"]))
    documents = [
        resources["FetchBackupsRole"]["Properties"]["Policies"][1]["PolicyDocument"],
        resources["PostingPolicy"]["Properties"]["PolicyDocument"],
        resources["PublishPolicy"]["Properties"]["PolicyDocument"],
    ]
    for document in documents:
        document["Statement"].append(statement("sqs:PurgeQueue"))
    new = {grant for grant in granted({"Resources": resources}) if grant.action == "sqs:PurgeQueue"}
    assert {grant.holder for grant in new} == {
        "FetchBackupsRole",
        "PostMessagesRole",
        "DrainLeftoversRole",
        "PublishPolicy",
    }


def test_each_holder_of_a_policy_has_each_action_of_each_statement() -> None:
    template = template_of(statement("a:One"), statement(["a:Two", "a:Three"]))
    assert granted(template) == [
        Grant(holder, "shared", number, action, "Q")
        for holder in ("A", "B")
        for number, action in ((0, "a:One"), (1, "a:Two"), (1, "a:Three"))
    ]


def test_a_denial_grants_nothing() -> None:
    template = template_of(statement("a:One", effect="Deny"))
    assert granted(template) == []
    assert denied(template) == [Grant(holder, "shared", 0, "a:One", "Q") for holder in ("A", "B")]


def test_each_resource_of_a_statement_is_a_grant_of_its_own_under_the_statements_condition() -> None:
    both = {**statement("a:One", ["Q/1", "Q/2"]), "Condition": {"Bool": {"a:key": "true"}}}
    grants = [(each.part, each.resource, each.condition) for each in granted(template_of(both)) if each.holder == "A"]
    assert grants == [(0, "Q/1", both["Condition"]), (1, "Q/2", both["Condition"])]


@pytest.mark.parametrize(
    ("resource", "name"),
    [
        ({"Fn::GetAtt": ["Q", "Arn"]}, "Q"),
        ({"Fn::Sub": "${Bucket.Arn}/*"}, "Bucket/*"),
        ({"Fn::Sub": "arn:${AWS::Partition}:s3:::${BucketName}/*"}, "BucketName/*"),
        ({"Fn::Sub": "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter${Name}"}, "Name"),
        ("*", "*"),
    ],
    ids=["attribute", "objects", "objects by name", "parameter", "anything"],
)
def test_a_resource_is_called_as_in_the_template(resource: object, name: str) -> None:
    assert {grant.resource for grant in granted(template_of(statement("a:One", resource)))} == {name}


def test_the_emulator_gets_a_batch_calls_own_name_too_and_once() -> None:
    template = template_of(statement("sqs:SendMessage"), statement(["sqs:DeleteMessage", "sqs:ReceiveMessage"]))
    document = for_the_emulator(template)["Resources"]["Shared"]["Properties"]["PolicyDocument"]
    assert [each["Action"] for each in document["Statement"]] == [
        ["sqs:SendMessage", "sqs:SendMessageBatch"],
        ["sqs:DeleteMessage", "sqs:DeleteMessageBatch", "sqs:ReceiveMessage"],
    ]


def test_the_emulator_gets_no_condition_on_a_key_that_it_does_not_know() -> None:
    keys = {"dynamodb:LeadingKeys": ["gate"], "s3:prefix": ["a/*"]}
    bound = {**statement("a:One"), "Condition": {"StringLike": keys, "Null": {"dynamodb:LeadingKeys": "false"}}}
    template = template_of(bound)
    (adapted,) = for_the_emulator(template)["Resources"]["Shared"]["Properties"]["PolicyDocument"]["Statement"]
    assert adapted["Condition"] == {"StringLike": {"s3:prefix": ["a/*"]}}
    assert bound["Condition"]["StringLike"] == keys


def test_what_is_denied_is_denied_on_the_emulator_under_the_same_condition() -> None:
    refused = {**statement("a:One", effect="Deny"), "Condition": {"Null": {"dynamodb:LeadingKeys": "true"}}}
    template = template_of(refused)
    (adapted,) = for_the_emulator(template)["Resources"]["Shared"]["Properties"]["PolicyDocument"]["Statement"]
    assert adapted["Condition"] == refused["Condition"]


def test_only_the_denials_of_plain_http_are_removed_from_the_template() -> None:
    before = json.dumps(TEMPLATE)
    adapted = for_the_emulator(TEMPLATE)["Resources"]
    for name in TEMPLATE["Resources"].keys() - adapted.keys():
        (only,) = TEMPLATE["Resources"][name]["Properties"]["PolicyDocument"]["Statement"]
        assert only["Sid"] == "TlsOnly"
    (left,) = adapted["OutboxTlsOnly"]["Properties"]["PolicyDocument"]["Statement"]
    assert left["Fn::If"][1]["Sid"] == "Publishers"
    assert json.dumps(TEMPLATE) == before


def test_an_action_is_removed_with_its_batch_and_nothing_else() -> None:
    document = {"Statement": [statement("a:One"), statement(["sqs:SendMessage", "sqs:SendMessageBatch", "a:Two"])]}
    less = _without(document, Grant("A", "p", 1, "sqs:SendMessage", "Q"))
    assert [each["Action"] for each in less["Statement"]] == ["a:One", ["a:Two"]]


def test_a_statement_whose_only_action_is_removed_allows_only_what_is_always_allowed() -> None:
    less = _without({"Statement": [statement(["a:One"])]}, Grant("A", "p", 0, "a:One", "Q"))
    assert [each["Action"] for each in less["Statement"]] == [[NOTHING]]


def test_an_action_that_is_removed_on_one_resource_stays_on_the_others_under_the_same_condition() -> None:
    both = {**statement(["a:One", "a:Two"], ["Q/1", "Q/2"]), "Condition": {"Bool": {"a:key": "true"}}}
    less = _without({"Statement": [both]}, Grant("A", "p", 0, "a:One", "Q/2", part=1))
    assert less["Statement"] == [
        {**both, "Action": ["a:Two"]},
        {**both, "Action": ["a:One"], "Resource": ["Q/1"]},
    ]


def test_what_is_not_granted_cannot_be_removed() -> None:
    with pytest.raises(LookupError):
        _without({"Statement": [statement(["a:One"])]}, Grant("A", "p", 0, "a:Two", "Q"))


class FakeSite:
    """An empty site, and policies that record the removed permission."""

    def __init__(self) -> None:
        self.missing: list[str] = []

    def clear(self) -> None:
        pass

    def reason(self) -> str:
        return "AccessDenied"

    @contextmanager
    def without(self, grant: Grant) -> Iterator[None]:
        self.missing.append(grant.action)
        yield
        self.missing.clear()


def findings(monkeypatch: pytest.MonkeyPatch, *actions: str) -> iam.Findings:
    """Examine a template that grants some actions: a needed one, an idle one, one that fails and an untestable one."""
    site: Any = FakeSite()
    scenarios = {
        ("A", "a:Needed", "Q"): lambda site: "a:Needed" not in site.missing,
        ("A", "a:Idle", "Q"): lambda _: True,
        ("A", "a:Broken", "Q"): lambda _: False,
    }
    granting = [Grant("A", "p", 0, action, "Q") for action in actions]
    known = {wanted: scenario for wanted, scenario in scenarios.items() if wanted[1] in actions}
    monkeypatch.setattr(iam, "SCENARIOS", known)
    monkeypatch.setattr(iam, "UNTESTABLE", {("A", "a:Hidden", "Q"): "nobody asks"})
    monkeypatch.setattr(iam, "grants", lambda: granting)
    return iam.examine(site, site, lambda _: None)


def test_a_permission_without_which_something_fails_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = findings(monkeypatch, "a:Needed")
    assert found.rows[0][1:3] == ("a:Needed", "Q")
    assert found.rows[0][3].startswith("fails")
    assert found.rows[0][4] == "AccessDenied"
    assert found.problems == []


def test_a_permission_that_cannot_be_tested_is_listed_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    found = findings(monkeypatch, "a:Hidden")
    assert found.rows == [("A", "a:Hidden", "Q", "not testable: nobody asks", "")]
    assert found.problems == []


@pytest.mark.parametrize(
    ("action", "problem"),
    [("a:Idle", "not needed?"), ("a:New", "no scenario"), ("a:Broken", "although nothing was removed")],
)
def test_a_permission_that_is_idle_or_new_or_never_works_is_a_problem(
    action: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (wrong,) = findings(monkeypatch, action).problems
    assert problem in wrong


# What a role must deny


class FakePolicies:
    """Policies that are not deployed."""

    def session_with(self, _role: str) -> None:
        return None


def denial(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "DoIt")


def attacked(monkeypatch: pytest.MonkeyPatch, answer: str, job: str = "") -> iam.Findings:
    """Try an attack and the role's own task with these answers; empty for success."""

    def answering(code: str) -> iam.Attack:
        def attack(_by: iam.Intruder) -> None:
            if code:
                raise denial(code)

        return attack

    monkeypatch.setattr(iam, "ATTACKS", {"A": {"lift the pause": answering(answer)}})
    monkeypatch.setattr(iam, "JOBS", {"A": answering(job)})
    found = iam.Findings()
    site, policies = FakeSite(), FakePolicies()
    iam.attack(site, policies, found, lambda _: None)  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException"])
def test_an_attack_that_is_denied_is_listed_with_the_answer(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = attacked(monkeypatch, code)
    assert (found.attacks, found.problems) == ([("A", "lift the pause", code)], [])


@pytest.mark.parametrize("code", ["", "NoSuchKey", "InvalidClientTokenId"])
def test_an_attack_that_succeeds_or_fails_for_another_reason_is_a_problem(
    code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (wrong,) = attacked(monkeypatch, code).problems
    assert "lift the pause" in wrong


def test_denials_to_a_role_that_cannot_even_do_its_job_show_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    (wrong,) = attacked(monkeypatch, "AccessDenied", job="AccessDenied").problems
    assert "its own task" in wrong


def test_each_role_of_a_function_is_attacked() -> None:
    functions = {name for name, each in TEMPLATE["Resources"].items() if each["Type"] == "AWS::IAM::Role"}
    assert iam.ATTACKS.keys() == iam.JOBS.keys() == functions
