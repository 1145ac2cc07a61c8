"""`relay.client.Outbox`: a message that cannot be posted is not sent, and what is sent is one post under its key."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest
from relay.client import MAX_MESSAGE_BYTES, AwsError, Outbox, Reject, Sent, StackError, open_session

from local.stand_ins.http_server import Handler, Server
from tests.iam import refused
from tests.worlds.aws import Aws, Call, Emulator
from tests.worlds.functions import Function
from tests.worlds.posting import PostingWorld

TEXT = "Up 3% on twice the usual volume $AAPL"
THIRTEEN_DAYS = 13 * 24 * 3600


@pytest.fixture(scope="module")
def programs_own_aws(emulator: Emulator) -> Aws:
    return Aws(emulator)


@pytest.fixture
def program(
    programs_own_aws: Aws, world: PostingWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Aws]:
    """The AWS of a program in an empty folder, which has no more rights than the stack's policy for publishers."""
    programs_own_aws.reset()
    monkeypatch.setattr("relay.client.time", world.clock.module)
    monkeypatch.chdir(tmp_path)
    yield programs_own_aws
    sqs = [(name, call) for name, call in programs_own_aws.calls if name != "DescribeStacks"]
    assert refused(("PublishPolicy",), sqs) == []


@pytest.fixture
def client(program: Aws, world: PostingWorld) -> Outbox:
    return Outbox(session=program.session, queue_url=world.outbox)


def texts(count: int) -> list[str]:
    return [f"{number} $A" for number in range(count)]


def requests(program: Aws) -> list[list[str]]:
    """The texts of each request to SQS."""
    sent = [call["Entries"] for call in program.calls_of("SendMessageBatch")]
    return [[msgspec.json.decode(each["MessageBody"])["body"] for each in entries] for entries in sent]


# One


def test_what_is_sent_is_posted_under_its_key(client: Outbox, world: PostingWorld, outbox: Function) -> None:
    sent = client.send(TEXT, sentiment="bullish", key="k1")
    assert outbox.run().outcomes == ["posted"]
    assert [(each.body, each.sentiment) for each in world.stand_in.posts] == [(TEXT, "bullish")]
    assert sent == Sent(world.entry("k1")["message_id"], "k1")


def test_a_message_without_a_key_gets_one_with_which_it_can_be_sent_again(
    client: Outbox, world: PostingWorld, outbox: Function
) -> None:
    sent = client.send(TEXT)
    assert outbox.run().outcomes == ["posted"]
    assert world.status(sent.key) == "posted"
    client.send(TEXT, key=sent.key)
    assert outbox.run().outcomes == ["already_posted"]
    assert world.posted == [TEXT]


def test_each_call_without_a_key_is_a_message_of_its_own(client: Outbox) -> None:
    assert client.send(TEXT).key != client.send(TEXT).key


def test_what_the_sdk_sends_again_because_an_answer_was_lost_is_one_post(
    program: Aws, client: Outbox, world: PostingWorld, outbox: Function
) -> None:
    program.lose_answer("SendMessageBatch")
    client.send(TEXT)
    assert world.count(world.outbox) == 2
    assert sorted(outbox.run().outcomes) == ["already_posted", "posted"]
    assert world.posted == [TEXT]


def test_every_argument_becomes_the_field_of_its_name(client: Outbox, world: PostingWorld) -> None:
    client.send(
        TEXT,
        sentiment="bearish",
        in_reply_to_message_id=7,
        chart="https://example.com/c.png",
        key="k1",
        expires_at="2026-11-21T16:00:00Z",
        not_before=datetime(2026, 11, 21, 15, 30, tzinfo=UTC),
        priority="high",
    )
    (message,) = world.receive(world.outbox)
    assert msgspec.json.decode(message["Body"]) == {
        "body": TEXT,
        "sentiment": "bearish",
        "in_reply_to_message_id": 7,
        "chart": "https://example.com/c.png",
        "key": "k1",
        "expires_at": "2026-11-21T16:00:00Z",
        "not_before": "2026-11-21T15:30:00+00:00",
        "priority": "high",
    }


@pytest.mark.parametrize(
    ("text", "fields", "reason"),
    [
        ("", {}, "body: is empty"),
        ("x" * 1001, {}, "the body has 1001 characters"),
        ('{"body": "Up 3% $AAPL"}', {}, "body: "),
        (TEXT, {"sentiment": "hopeful"}, "sentiment: Invalid enum value"),
        (TEXT, {"key": "k" * 257}, "key: Expected"),
        (TEXT, {"expires_at": datetime(2026, 11, 21, 16)}, "it has no zone"),  # noqa: DTZ001
        (TEXT, {"not_before": datetime.fromtimestamp(1_795_273_201 + THIRTEEN_DAYS, UTC)}, "at most 13 days after"),
        (TEXT, {"chart": Path("c.png")}, "cannot be written as JSON: JSON has no PosixPath"),
        ("x" * MAX_MESSAGE_BYTES, {}, "it has 261,132 bytes, more than the Outbox's limit of 261,120"),
    ],
)
def test_what_could_not_be_posted_is_refused_before_anything_is_sent(
    program: Aws, client: Outbox, text: str, fields: Any, reason: str
) -> None:
    with pytest.raises(Reject) as error:
        client.send(text, **fields)
    assert reason in error.value.reason
    assert program.calls == []


# Many


def test_many_are_sent_ten_at_a_time_and_their_ids_are_in_their_order(
    program: Aws, client: Outbox, world: PostingWorld
) -> None:
    sent = client.send_many([{"body": text, "key": f"key of {text}"} for text in texts(23)])
    assert requests(program) == [texts(23)[:10], texts(23)[10:20], texts(23)[20:]]
    assert [each.key for each in sent] == [f"key of {text}" for text in texts(23)]
    queued = [each for _ in range(3) for each in world.receive(world.outbox)]
    keys = {each["MessageId"]: msgspec.json.decode(each["Body"])["key"] for each in queued}
    assert {each.id: each.key for each in sent} == keys


@pytest.mark.parametrize(("more", "batches"), [(0, [7]), (1, [6, 1])])
def test_a_batch_has_no_more_bytes_than_sqs_takes(program: Aws, client: Outbox, more: int, batches: list[int]) -> None:
    beside_the_text = len('{"body": ""}' + "RelayKey" + "String") + 32  # the key that is made for it
    link = "$A https://example.com/"
    long = link + "\U0001f402" * 9_400  # 4 bytes each
    left = 262_144 - 6 * len(long.encode()) - 7 * beside_the_text - len(link)
    last = link + "\U0001f402" * (left // 4) + "x" * (left % 4)
    client.send_many([*[long] * 6, last + "x" * more])
    assert [len(each) for each in requests(program)] == batches


def test_a_text_and_fields_are_both_messages(program: Aws, client: Outbox) -> None:
    client.send_many(iter(["one $A", {"body": "two $B", "sentiment": None}]))
    assert requests(program) == [["one $A", "two $B"]]


def test_if_one_cannot_be_posted_it_is_named_and_none_is_sent(program: Aws, client: Outbox) -> None:
    with pytest.raises(Reject, match=r"^message 2: .*`symbol`"):
        client.send_many([*texts(1), {"body": "two $B", "symbol": "B"}])
    assert program.calls == []


@pytest.mark.parametrize("one", [TEXT, {"body": TEXT}])
def test_a_single_message_is_not_taken_for_many(program: Aws, client: Outbox, one: Any) -> None:
    with pytest.raises(TypeError, match="use send for a single one"):
        client.send_many(one)
    assert program.calls == []


def test_of_no_messages_none_is_sent(program: Aws, client: Outbox) -> None:
    assert client.send_many([]) == []
    assert program.calls == []


# What SQS does not accept


def failing(*numbers: int, at_fault: bool = False) -> Callable[[Call], Call]:
    """SQS takes all entries but these; what it takes is noted nowhere."""

    def answer(call: Call) -> Call:
        ids = [each["Id"] for each in call["Entries"]]
        taken = [each for each in reversed(ids) if int(each) not in numbers]
        return {
            "Successful": [{"Id": each, "MessageId": f"id {each}", "MD5OfMessageBody": ""} for each in taken],
            "Failed": [
                {"Id": each, "SenderFault": at_fault, "Code": "Planned"} for each in ids if int(each) in numbers
            ],
        }

    return answer


def test_entries_that_sqs_did_not_accept_are_sent_again_after_a_while_and_no_others(
    program: Aws, client: Outbox, world: PostingWorld
) -> None:
    program.answer("SendMessageBatch", failing(0, 1))
    program.answer("SendMessageBatch", failing(1))
    program.answer("SendMessageBatch", failing())
    began = world.clock()
    sent = client.send_many(texts(3))
    assert [each.id for each in sent] == ["id 0", "id 1", "id 2"]
    assert requests(program) == [texts(3), texts(2), ["1 $A"]]
    assert world.clock() - began == 0.5 + 1


def test_an_entry_is_sent_again_under_the_same_key(program: Aws, client: Outbox) -> None:
    program.answer("SendMessageBatch", failing(0))
    key = client.send(TEXT).key
    sent = [call["Entries"][0]["MessageAttributes"]["RelayKey"] for call in program.calls_of("SendMessageBatch")]
    assert sent == [{"DataType": "String", "StringValue": key}] * 2


@pytest.mark.parametrize(("at_fault", "attempts"), [(True, 1), (False, 5)])
def test_an_entry_that_sqs_never_accepts_is_an_error_beside_what_was_sent(
    program: Aws, client: Outbox, at_fault: bool, attempts: int
) -> None:
    program.answer("SendMessageBatch", failing(1, at_fault=at_fault), attempts)
    with pytest.raises(AwsError, match=r"^1 of 3 messages not sent.*: Planned$") as error:
        client.send_many(texts(3))
    assert len(requests(program)) == attempts
    assert [each.id for each in error.value.sent] == ["id 0", "id 2"]
    (left,) = error.value.not_sent
    assert (left.message, left.reason) == ({"body": "1 $A", "key": left.key}, "Planned")
    assert error.value.may_be_queued is not at_fault


def test_when_a_call_is_refused_the_rest_is_not_tried_and_certainly_not_queued(program: Aws, client: Outbox) -> None:
    program.answer("SendMessageBatch", None)
    program.answer("SendMessageBatch", "AccessDenied")
    with pytest.raises(AwsError, match=r"^13 of 23 messages not sent: .*\(AccessDenied\)") as error:
        client.send_many(texts(23))
    assert len(requests(program)) == 2
    assert len(error.value.sent) == 10
    assert [each.message["body"] for each in error.value.not_sent] == texts(23)[10:]
    assert error.value.may_be_queued is False


def test_when_no_answer_comes_back_only_the_messages_of_that_call_may_be_queued(program: Aws, client: Outbox) -> None:
    for _ in range(3):  # as often as boto3 tries
        program.lose_answer("SendMessageBatch")
    with pytest.raises(AwsError, match="not sent, as far as is known: Read timeout") as error:
        client.send_many(texts(12))
    assert [each.may_be_queued for each in error.value.not_sent] == [True] * 10 + [False] * 2
    assert error.value.may_be_queued


def test_what_may_be_queued_can_be_sent_again_and_is_one_post(
    program: Aws, client: Outbox, world: PostingWorld, outbox: Function
) -> None:
    for _ in range(3):
        program.lose_answer("SendMessageBatch")
    with pytest.raises(AwsError) as error:
        client.send(TEXT, sentiment="bullish", expires_at="2100-01-01T00:00:00Z")
    client.send_many(each.message for each in error.value.not_sent)
    assert sorted(outbox.run().outcomes) == ["already_posted"] * 3 + ["posted"]
    assert world.posted == [TEXT]


class FailingQueue(Handler):
    """An SQS that fails as planned before it takes a request; it keeps the keys of all."""

    def serve(self) -> None:
        planned, keys = self.server.stand_in
        (entry,) = msgspec.json.decode(self.read_body())["Entries"]
        keys.append(entry["MessageAttributes"]["RelayKey"]["StringValue"])
        answer: Any = {"Successful": [{"Id": "0", "MessageId": "id", "MD5OfMessageBody": ""}]}
        code = planned.pop(0) if planned else 200
        if code != 200:
            answer = {"__type": "com.amazonaws.sqs#RequestThrottled", "message": "slower"}
        self.answer(code, msgspec.json.encode(answer), {"Content-Type": "application/x-amz-json-1.0"})


@pytest.fixture
def send_to_queue_that_fails(world: PostingWorld, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    planned: list[int] = []
    keys: list[str] = []
    server = Server(0, FailingQueue, (planned, keys))
    server.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")

    def send(*codes: int) -> tuple[Sent, list[str]]:
        planned[:] = codes
        return Outbox(queue_url=world.outbox).send(TEXT), keys

    yield send
    server.stop()


def test_a_call_that_is_throttled_is_made_again(send_to_queue_that_fails: Any) -> None:
    sent, keys = send_to_queue_that_fails(400, 400)
    assert (sent.id, keys) == ("id", [sent.key] * 3)


@pytest.mark.parametrize("codes", [(400, 400, 400), (500, 500, 500)])
def test_after_several_attempts_in_vain_a_message_may_be_queued_by_an_earlier_one(
    send_to_queue_that_fails: Any, codes: tuple[int, ...]
) -> None:
    with pytest.raises(AwsError, match=r"not sent, as far as is known: .*RequestThrottled") as error:
        send_to_queue_that_fails(*codes)
    assert error.value.may_be_queued


# Which Outbox


def deployed(world: PostingWorld, **changes: Any) -> Callable[[Call], Call]:
    outputs = [{"OutputKey": "OutboxQueueUrl", "OutputValue": world.outbox}]
    found = {"StackStatus": "UPDATE_COMPLETE", "Outputs": outputs, **changes}
    return lambda call: {"Stacks": [{"StackName": call["StackName"], **found}]}


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ([], "stocktwits-relay"),
        (["samconfig"], "in-samconfig"),
        (["samconfig", "environment"], "in-the-environment"),
        (["samconfig", "environment", "argument"], "mine"),
    ],
)
def test_the_stack_is_the_one_that_the_command_uses(
    program: Aws, world: PostingWorld, monkeypatch: pytest.MonkeyPatch, given: list[str], name: str
) -> None:
    if "samconfig" in given:
        Path("samconfig.toml").write_text('[default.global.parameters]\nstack_name = "in-samconfig"\n')
    if "environment" in given:
        monkeypatch.setenv("RELAY_STACK", "in-the-environment")
    monkeypatch.setattr("boto3.Session", lambda **_: program.session)
    program.answer("DescribeStacks", deployed(world))
    Outbox("mine" if "argument" in given else None).send(TEXT)
    assert program.calls_of("DescribeStacks") == [{"StackName": name}]
    assert world.count(world.outbox) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"StackStatus": "ROLLBACK_COMPLETE"}, r"is not completely deployed \(ROLLBACK_COMPLETE\)"),
        ({"Outputs": []}, "is not a StockTwits Relay"),
    ],
)
def test_a_stack_without_an_outbox_is_an_error(
    program: Aws, world: PostingWorld, changes: dict[str, Any], reason: str
) -> None:
    program.answer("DescribeStacks", deployed(world, **changes))
    with pytest.raises(StackError, match=f"^The stack mine {reason}$"):
        Outbox("mine", session=program.session)


def test_a_stack_that_does_not_exist_is_an_error_that_names_the_region(program: Aws) -> None:
    program.answer("DescribeStacks", "ValidationError")
    with pytest.raises(StackError, match=r"^There is no stack mine in us-east-1$"):
        Outbox("mine", session=program.session)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "create", [lambda file: file.write_text("[default"), os.mkfifo], ids=["not TOML", "a pipe without a writer"]
)
def test_a_samconfig_that_cannot_be_read_does_not_lead_to_another_stack(
    program: Aws, create: Callable[[Path], object]
) -> None:
    create(Path("samconfig.toml"))
    with pytest.raises(StackError, match=r"^samconfig\.toml "):
        Outbox(session=program.session)
    assert program.calls == []


def test_with_the_queues_url_cloudformation_is_not_asked(program: Aws, client: Outbox) -> None:
    client.send(TEXT)
    assert {name for name, _ in program.calls} == {"SendMessageBatch"}


def test_a_program_that_may_not_describe_the_stack_is_told_so(program: Aws) -> None:
    program.answer("DescribeStacks", "AccessDenied")
    with pytest.raises(AwsError, match=r"\(AccessDenied\) when calling the DescribeStacks operation"):
        Outbox(session=program.session)


# What is wrong with this machine's settings


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"AWS_ENDPOINT_URL": "nonsense"}, "AWS cannot be reached: Invalid endpoint: nonsense"),
        ({"AWS_DEFAULT_REGION": None}, "You must specify a region"),
        ({"AWS_PROFILE": "nowhere"}, "nowhere"),
    ],
)
def test_settings_of_aws_that_cannot_be_used_are_named(
    world: PostingWorld, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str | None], reason: str
) -> None:
    for name, value in environment.items():
        monkeypatch.delenv(name, raising=False)
        if value:
            monkeypatch.setenv(name, value)
    with pytest.raises(AwsError, match=reason):
        Outbox(queue_url=world.outbox)


def test_without_credentials_a_message_is_certainly_not_queued(
    world: PostingWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(AwsError, match="Unable to locate credentials") as error:
        without_credentials(monkeypatch, tmp_path, "region = us-east-1").send(TEXT)
    assert error.value.may_be_queued is False


def test_what_a_program_for_credentials_wrote_is_not_shown(
    world: PostingWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    process = f"credential_process = /bin/cat {tmp_path}/s3cret"
    with pytest.raises(AwsError) as error:
        without_credentials(monkeypatch, tmp_path, process).send(TEXT)
    assert error.value.reason == "the profile's credential provider failed"
    assert error.value.__suppress_context__


def without_credentials(monkeypatch: pytest.MonkeyPatch, folder: Path, profile: str) -> Outbox:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    (folder / "config").write_text(f"[profile p]\n{profile}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "none"))
    return Outbox(profile="p", region="us-east-1", queue_url="https://sqs.us-east-1.amazonaws.com/123456789012/o")


def test_the_region_is_the_one_that_is_given_else_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")  # as the AWS CLI reads it, and boto3 does not
    assert [open_session(region).region_name for region in (None, "eu-north-1")] == ["eu-west-1", "eu-north-1"]


def test_the_region_of_a_program_is_boto3s_whatever_a_samconfig_in_its_folder_says(
    program: Aws, world: PostingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("samconfig.toml").write_text('[default.global.parameters]\nregion = "eu-south-1"\n')
    assert Outbox(queue_url=world.outbox)._sqs.meta.region_name == "us-east-1"
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    Path("config").write_text("[profile p]\nregion = eu-central-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", "config")
    assert Outbox(profile="p", queue_url=world.outbox)._sqs.meta.region_name == "eu-central-1"


def test_the_programs_own_session_is_used(world: PostingWorld) -> None:
    session = boto3.Session("test", "test", region_name="eu-west-1")
    assert Outbox(session=session, queue_url=world.outbox)._sqs.meta.region_name == "eu-west-1"
