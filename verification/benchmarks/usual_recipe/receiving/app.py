"""A webhook as the common guides build one: Powertools' resolver and parameters, pydantic, a client made at import."""

import base64
import hashlib
import hmac
import json
import os
from typing import Any, Literal

import boto3
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import BadRequestError, NotFoundError
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

logger = Logger()
metrics = Metrics()
tracer = Tracer()
api = APIGatewayHttpResolver()
sqs = boto3.client("sqs")

OUTBOX_QUEUE_URL = os.environ["OUTBOX_QUEUE_URL"]
SOURCES_PARAMETER = os.environ["SOURCES_PARAMETER"]


class Alert(BaseModel):
    """An alert to post."""

    model_config = ConfigDict(extra="forbid")

    body: str = Field(min_length=1, max_length=1000)
    sentiment: Literal["bullish", "bearish", "neutral"] | None = None
    key: str | None = Field(default=None, max_length=256)
    expires_at: AwareDatetime | None = None


@tracer.capture_method
def authenticate(source: str, secret: str) -> None:
    """Compare the secret with the stored hash of the source's."""
    sources = json.loads(parameters.get_parameter(SOURCES_PARAMETER, decrypt=True))
    known = sources.get(source)
    given = hashlib.sha256(f"{(known or {}).get('salt', '')}:{secret}".encode()).digest()
    if not known or not hmac.compare_digest(base64.urlsafe_b64encode(given).rstrip(b"=").decode(), known["hash"]):
        raise NotFoundError("Not Found")


@tracer.capture_method
def alert_of(body: str) -> Alert:
    """Read an alert: JSON, or text."""
    try:
        return Alert.model_validate_json(body) if body.startswith("{") else Alert(body=body)
    except ValidationError as error:
        raise BadRequestError("not an alert") from error


@api.post("/alerts/<source>/<secret>")
@tracer.capture_method
def receive(source: str, secret: str) -> Response[str]:
    """Take an alert into the Outbox."""
    authenticate(source, secret)
    alert = alert_of(api.current_event.decoded_body or "")
    sent = sqs.send_message(QueueUrl=OUTBOX_QUEUE_URL, MessageBody=alert.model_dump_json(exclude_none=True))
    logger.info("received", extra={"source": source, "key": alert.key, "message_id": sent["MessageId"]})
    metrics.add_metric(name="Received", unit=MetricUnit.Count, value=1)
    return Response(202, "application/json", json.dumps({"id": sent["MessageId"], "key": alert.key}))


@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_HTTP)
@tracer.capture_lambda_handler
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: LambdaContext) -> Any:  # noqa: ANN401
    """Answer a request of API Gateway."""
    return api.resolve(event, context)
