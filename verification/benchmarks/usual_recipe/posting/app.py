"""A poster of alerts as the common guides build one: Powertools throughout, pydantic, clients made at import."""

import json
import os
import time
from typing import Any, Literal

import boto3
import requests
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

logger = Logger()
metrics = Metrics()
tracer = Tracer()
processor = BatchProcessor(event_type=EventType.SQS)
dynamodb = boto3.client("dynamodb")
sqs = boto3.client("sqs")
s3 = boto3.client("s3")

API_URL = os.environ["STOCKTWITS_API_URL"]
TABLE = os.environ["TABLE_NAME"]
DEAD_LETTER_QUEUE_URL = os.environ["DEAD_LETTER_QUEUE_URL"]
TOKEN_PARAMETER = os.environ["TOKEN_PARAMETER"]


class Alert(BaseModel):
    """An alert to post."""

    model_config = ConfigDict(extra="forbid")

    body: str = Field(min_length=1, max_length=1000)
    sentiment: Literal["bullish", "bearish", "neutral"] | None = None
    in_reply_to_message_id: int | None = Field(default=None, ge=1)
    chart: str | None = None
    key: str | None = Field(default=None, max_length=256)
    expires_at: AwareDatetime | None = None


def claim(key: str) -> bool:
    """Claim a key; return False if it was claimed before."""
    try:
        dynamodb.put_item(
            TableName=TABLE,
            Item={"pk": {"S": f"post#{key}"}, "status": {"S": "claimed"}, "claimed_at": {"N": str(time.time())}},
            ConditionExpression="attribute_not_exists(pk)",
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return False
    return True


def settle(key: str, stocktwits_id: int) -> None:
    """Record that a key is posted."""
    dynamodb.update_item(
        TableName=TABLE,
        Key={"pk": {"S": f"post#{key}"}},
        UpdateExpression="SET #status = :posted, stocktwits_id = :id, settled_at = :now",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={
            ":posted": {"S": "posted"},
            ":id": {"N": str(stocktwits_id)},
            ":now": {"N": str(time.time())},
        },
    )


def chart_of(alert: Alert) -> dict[str, bytes] | None:
    """Fetch a chart from S3, if the alert names one."""
    if not alert.chart or not alert.chart.startswith("s3://"):
        return None
    bucket, _, key = alert.chart.removeprefix("s3://").partition("/")
    return {"chart": s3.get_object(Bucket=bucket, Key=key)["Body"].read()}


@tracer.capture_method
def post(alert: Alert) -> int:
    """Publish an alert; return its id."""
    token = json.loads(parameters.get_parameter(TOKEN_PARAMETER, decrypt=True))["access_token"]
    fields = alert.model_dump(include={"body", "sentiment", "in_reply_to_message_id"}, exclude_none=True)
    answer = requests.post(
        f"{API_URL}/messages/create.json",
        data=fields,
        files=chart_of(alert),
        headers={"Authorization": f"Bearer {token}"},
        timeout=10,
    )
    answer.raise_for_status()
    return int(answer.json()["message"]["id"])


@tracer.capture_method
def record_handler(record: SQSRecord) -> None:
    """Handle one record."""
    try:
        alert = Alert.model_validate_json(record.body)
    except ValidationError:
        logger.exception("not an alert")
        sqs.send_message(QueueUrl=DEAD_LETTER_QUEUE_URL, MessageBody=record.body)
        return
    key = alert.key or record.message_id
    if not claim(key):
        logger.info("posted before", extra={"key": key})
        return
    stocktwits_id = post(alert)
    settle(key, stocktwits_id)
    logger.info("posted", extra={"key": key, "stocktwits_id": stocktwits_id})
    metrics.add_metric(name="Posted", unit=MetricUnit.Count, value=1)


@logger.inject_lambda_context
@tracer.capture_lambda_handler
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: LambdaContext) -> Any:  # noqa: ANN401  what Powertools gives
    """Handle the records of an SQS event."""
    return process_partial_response(event=event, record_handler=record_handler, processor=processor, context=context)
