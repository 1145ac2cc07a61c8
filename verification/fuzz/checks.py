"""What several properties have in common."""

from datetime import UTC, datetime

NOW = datetime(2026, 3, 10, 15, tzinfo=UTC).timestamp()

MAX_REASON_CHARACTERS = 400
"""A reason is a sentence; its quotations of the input are shortened."""

_XML_CONTROLS = "\t\n\r"


def is_a_reason(reason: str) -> None:
    """A reason is readable in a log line and in a message attribute."""
    assert 0 < len(reason) <= MAX_REASON_CHARACTERS
    assert reason.isprintable()


def fits_an_sqs_attribute(character: str) -> bool:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html."""
    return (
        character in _XML_CONTROLS
        or " " <= character <= "\ud7ff"
        or "\ue000" <= character <= "\ufffd"
        or character >= "\U00010000"
    )
