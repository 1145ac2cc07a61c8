"""The deployed stack, once for each folder of tests, with IAM enforced; after each file it is searched for secrets."""

import time
from collections.abc import Iterator

import pytest

from local.stack.stack import PACE, Stack
from tests.e2e.denials import denials
from tests.e2e.leaks import leaks

QUEUES = ("OutboxQueue", "LeftoversQueue", "DeadLetterQueue", "BackupRequestsQueue", "BackupFailuresQueue")

PUBLISHERS = ("sns:*:000000000000:alerts", "sns:*:000000000000:raw-alerts", "events:*:000000000000:rule/*")
"""The topics and rules of the documents, in the emulator's account."""


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    build = tmp_path_factory.mktemp("stack") / "build"  # other tests build at the same time
    parameters = {
        **PACE,
        "ResultEventBusName": "default",
        "AlarmEmail": "owner@example.com",
        "WebhookEnabled": "true",
        "PublisherArns": ",".join(f"arn:aws:{each}" for each in PUBLISHERS),
    }
    with Stack(parameters, on_step=lambda _: None, build_directory=build, enforce_iam=True) as running:
        yield running


@pytest.fixture(scope="session")
def last_search() -> list[float]:
    """When the logs were last searched, in seconds since the epoch."""
    return [0.0]


@pytest.fixture(scope="module")
def stack(deployed: Stack, last_search: list[float]) -> Iterator[Stack]:
    """The stack as if it were new, whatever the tests of other files did to it.

    At the end, nothing may have been denied to a function, and no secret may show.
    """
    reset_stack(deployed)
    yield deployed
    since, now = last_search[-1], time.time()
    assert denials(deployed, since) == []
    assert leaks(deployed, since=since) == []
    last_search.append(now)


def reset_stack(stack: Stack) -> None:
    """Empty the queues, the ledger, the archive and the stand-ins, and end the functions' workers. Logs stay."""
    sqs, dynamodb, s3, functions = (stack.client(name) for name in ("sqs", "dynamodb", "s3", "lambda"))
    for queue in QUEUES:
        sqs.purge_queue(QueueUrl=stack.outputs[f"{queue}Url"])
    table, bucket = stack.outputs["LedgerTableName"], stack.outputs["BackupBucketName"]
    for item in dynamodb.scan(TableName=table)["Items"]:
        dynamodb.delete_item(TableName=table, Key={"pk": item["pk"]})
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for version in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
            s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
    stack.stocktwits.reset()
    stack.firestream.reset()
    stack.firestream.configure(missing=[])
    for function in [each["FunctionName"] for each in functions.list_functions()["Functions"]]:
        timeout = functions.get_function_configuration(FunctionName=function)["Timeout"]
        functions.update_function_configuration(FunctionName=function, Timeout=timeout)  # its workers end
