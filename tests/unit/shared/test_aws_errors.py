"""What the errors of AWS's client library are called."""

import pytest
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, ReadTimeoutError
from relay.aws_errors import AWS_ERRORS, error_code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ClientError({"Error": {"Code": "AccessDenied", "Message": "of no use"}}, "GetObject"), "AccessDenied"),
        # A HEAD request has no body, so botocore takes the status for the code.
        (ClientError({"Error": {"Code": "404", "Message": "Not Found"}}, "HeadObject"), "404"),
        (EndpointConnectionError(endpoint_url="https://s3"), "EndpointConnectionError"),
        (ReadTimeoutError(endpoint_url="https://s3"), "ReadTimeoutError"),
    ],
)
def test_an_error_is_called_by_the_code_of_its_answer_or_by_its_type(
    error: ClientError | BotoCoreError, code: str
) -> None:
    assert isinstance(error, AWS_ERRORS)
    assert error_code(error) == code
