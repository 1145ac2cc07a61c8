"""The usual loop, for comparison: one request after the other, without a ledger."""

import json
import os
from typing import Any

import requests

URL = f"{os.environ['STOCKTWITS_API_URL']}/messages/create.json"
TOKEN = os.environ["STOCKTWITS_TOKEN"]


def handler(event: dict[str, Any], context: object) -> dict[str, list[dict[str, str]]]:  # noqa: ARG001
    """Post the records of an SQS event."""
    left = []
    for record in event["Records"]:
        answer = requests.post(
            URL,
            data={"body": json.loads(record["body"])["body"]},
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=10,
        )
        if not answer.ok:
            left.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": left}
