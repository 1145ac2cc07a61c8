"""Plain HTTP is refused: the emulator has nothing else, and enforces the template's own statements."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local.stack.emulator import REGION, Emulator
from tests.template import RESOURCES

pytestmark = pytest.mark.e2e


def named(kind: str) -> list[str]:
    return [name for name, each in RESOURCES.items() if each["Type"] == kind]


def policy_of(kind: str, resource: str, arn: str) -> str:
    """Return the policies of a resource, with every parameter's default and its ARN."""
    policies = [each["Properties"] for each in RESOURCES.values() if each["Type"] == kind]
    own = [each for each in policies if {"Ref": resource} in each.get("Queues", [each.get("Bucket")])]
    statements = [each for policy in own for each in policy["PolicyDocument"]["Statement"] if "Fn::If" not in each]
    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
    text = text.replace(json.dumps({"Fn::GetAtt": [resource, "Arn"]}), json.dumps(arn))
    text = text.replace(json.dumps({"Fn::Sub": f"${{{resource}.Arn}}/*"}), json.dumps(f"{arn}/*"))
    assert "Fn::" not in text
    return text


def refusals(*calls: Callable[[], object]) -> list[str | None]:
    """Return the error code of each call; None if it succeeded."""

    def refusal(call: Callable[[], object]) -> str | None:
        try:
            call()
        except ClientError as error:
            return error.response["Error"]["Code"]
        return None

    return [refusal(call) for call in calls]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator(enforce_iam=True) as running:
        yield running


@pytest.fixture(scope="module")
def client_of(emulator: Emulator) -> Callable[[str], Any]:
    """Create clients of a user with all permissions; for the owner, the emulator ignores a bucket's policy."""
    iam = emulator.client("iam")
    iam.create_user(UserName="anyone")
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam.put_user_policy(UserName="anyone", PolicyName="everything", PolicyDocument=json.dumps(everything))
    key = iam.create_access_key(UserName="anyone")["AccessKey"]
    session = boto3.session.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=REGION)
    return partial(session.client, endpoint_url=emulator.url)


@pytest.mark.parametrize("name", named("AWS::SQS::Queue"))
def test_a_queue_refuses_plain_http(client_of: Callable[[str], Any], name: str) -> None:
    sqs = client_of("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    calls = (
        lambda: sqs.send_message(QueueUrl=url, MessageBody="$AAPL up"),
        lambda: sqs.receive_message(QueueUrl=url),
        lambda: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]),
        lambda: sqs.purge_queue(QueueUrl=url),
    )
    assert refusals(*calls) == [None] * 4
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy_of("AWS::SQS::QueuePolicy", name, arn)})
    assert refusals(*calls) == ["AccessDenied"] * 4


@pytest.mark.parametrize("name", named("AWS::S3::Bucket"))
def test_a_bucket_refuses_plain_http(client_of: Callable[[str], Any], name: str) -> None:
    s3, bucket = client_of("s3"), name.lower()
    s3.create_bucket(Bucket=bucket)
    calls = (
        lambda: s3.put_object(Bucket=bucket, Key="message/a.gz", Body=b"whole"),
        lambda: s3.get_object(Bucket=bucket, Key="message/a.gz"),
        lambda: s3.list_objects_v2(Bucket=bucket),
        lambda: s3.create_multipart_upload(Bucket=bucket, Key="message/b.gz"),
    )
    assert refusals(*calls) == [None] * 4
    s3.put_bucket_policy(Bucket=bucket, Policy=policy_of("AWS::S3::BucketPolicy", name, f"arn:aws:s3:::{bucket}"))
    assert refusals(*calls) == ["AccessDenied"] * 4
