"""A fetcher of backups as the common guides build one: Powertools throughout, the vendor's download, `upload_file`."""

import json
import os
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal

import boto3
import requests
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, ConfigDict

logger = Logger()
metrics = Metrics()
tracer = Tracer()
processor = BatchProcessor(event_type=EventType.SQS)
s3 = boto3.client("s3")
sqs = boto3.client("sqs")

FIRESTREAM_URL = os.environ["FIRESTREAM_URL"]
BUCKET = os.environ["BUCKET_NAME"]
CREDENTIALS_PARAMETER = os.environ["CREDENTIALS_PARAMETER"]
REQUESTS_QUEUE_URL = os.environ["REQUESTS_QUEUE_URL"]


class Request(BaseModel):
    """A request for one file."""

    model_config = ConfigDict(extra="forbid")

    file_type: Literal["activity", "message"]
    day: date


class Range(BaseModel):
    """A request for a range of days."""

    first_day: date
    last_day: date


@tracer.capture_method
def download(url: str, path: Path) -> int:
    """Save a backup; return its size."""
    login = json.loads(parameters.get_parameter(CREDENTIALS_PARAMETER, decrypt=True))
    with requests.get(url, auth=(login["username"], login["password"]), stream=True, timeout=60) as answer:
        answer.raise_for_status()
        with path.open("wb") as file:
            for chunk in answer.iter_content(1024):
                file.write(chunk)
    return path.stat().st_size


@tracer.capture_method
def fetch(record: SQSRecord) -> None:
    """Copy a day's backup to S3."""
    wanted = Request.model_validate_json(record.body)
    name = f"stocktwits_{wanted.file_type}_{wanted.day:%Y_%m_%d}.gz"
    path = Path("/tmp") / name  # nosec B108  # Lambda lets a function write nowhere else
    size = download(f"{FIRESTREAM_URL}/backups/{wanted.file_type}/{wanted.day:%Y/%m/%d}", path)
    s3.upload_file(str(path), BUCKET, f"{wanted.file_type}/{wanted.day:%Y/%m/%d}/{name}")
    path.unlink()
    logger.info("stored", extra={"file_type": wanted.file_type, "day": str(wanted.day), "bytes": size})
    metrics.add_metric(name="BackupBytes", unit=MetricUnit.Bytes, value=size)


def request(wanted: Range) -> None:
    """Request every file of a range."""
    for number in range((wanted.last_day - wanted.first_day).days + 1):
        for file_type in ("activity", "message"):
            body = Request(file_type=file_type, day=wanted.first_day + timedelta(days=number)).model_dump_json()
            sqs.send_message(QueueUrl=REQUESTS_QUEUE_URL, MessageBody=body)


@logger.inject_lambda_context
@tracer.capture_lambda_handler
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: LambdaContext) -> Any:  # noqa: ANN401
    """Fetch what the records of an SQS event ask for, or request a range of days."""
    if "Records" not in event:
        return request(Range.model_validate(event))
    return process_partial_response(event=event, record_handler=fetch, processor=processor, context=context)
