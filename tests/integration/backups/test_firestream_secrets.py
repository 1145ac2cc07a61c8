"""Neither the password nor a link is in an error or a log."""

import logging
import socket
import traceback
from typing import Any

import pytest
from relay.backups.firestream import Firestream
from relay.errors import RelayError, Retry

from local.stand_ins.firestream.faults import Fault
from local.stand_ins.firestream.server import FirestreamStandIn
from tests.servers import request_of, tcp_server
from tests.worlds.firestream import (
    FOUND,
    MESSAGES,
    PASSWORD,
    USER,
    MakeClient,
    always,
    both_hosts,
    failure,
    plenty,
    read_all,
    requests_to,
    response,
)

FAILING = [
    *({"fault": fault, "times": None} for fault in ("400", "401", "404", "500", "503", "link-503", "expired")),
    *({"fault": fault, "times": None, "after": 0} for fault in ("reset", "truncated", "truncated-undeclared", "stall")),
    {"fault": "changed"},
]


def secrets_of(stand_in: FirestreamStandIn) -> set[str]:
    """The password, as it is and as it is sent, and what makes each link work."""
    seen = {each.query["X-Amz-Signature"] for each in requests_to(stand_in, "link")}
    return {PASSWORD, "ZGVtby11c2VyOmRlbW8tcGFzc3dvcmQ", "X-Amz-", *seen}


@pytest.mark.parametrize("plan", FAILING, ids=lambda plan: plan["fault"])
@pytest.mark.parametrize("middle", [False, True])
def test_neither_the_password_nor_a_link_is_in_an_error_or_a_log(
    stand_in: FirestreamStandIn,
    impatient_client: Firestream,
    caplog: pytest.LogCaptureFixture,
    plan: Any,
    *,
    middle: bool,
) -> None:
    caplog.set_level(logging.DEBUG)
    if middle:
        stand_in.fail(Fault.RESET, after=100)
        with impatient_client.open(MESSAGES, plenty) as download:
            stand_in.fail(**plan)
            with pytest.raises(RelayError) as failed:
                read_all(download)
        error = failed.value
    else:
        stand_in.fail(**plan)
        error = failure(impatient_client)
    shown = "".join(traceback.format_exception(error)) + repr(error) + caplog.text
    assert {each for each in secrets_of(stand_in) if each in shown} == set()


def test_an_answer_that_repeats_the_password_is_not_quoted_with_it(make_client: MakeClient) -> None:
    text = f"no such login: {USER}:{PASSWORD} (ZGVtby11c2VyOmRlbW8tcGFzc3dvcmQ=)"
    with tcp_server(always(401, text.encode())) as server:
        error = failure(make_client(f"http://127.0.0.1:{server.port}"))
    assert "no such login: demo-user:… (…)" in error.reason


def test_only_the_error_code_of_the_links_host_is_quoted(make_client: MakeClient) -> None:
    body = b"<Error><Code>SignatureDoesNotMatch</Code><StringToSign>s3cret</StringToSign></Error>"
    with tcp_server(both_hosts(response("403 Forbidden", body=body))) as server:
        error = failure(make_client(f"http://127.0.0.1:{server.port}"))
    assert error.reason.endswith("the link's host answered 403 SignatureDoesNotMatch")


def test_no_link_is_shown_whatever_it_contains(make_client: MakeClient) -> None:
    for location in (b"http://127.0.0.1:9/s3cret\tx", b"http://127.0.0.1:99999/s3cret", b"http://a\xff b/s3cret"):

        def serve(connection: socket.socket, location: bytes = location) -> None:
            request_of(connection)
            connection.sendall(FOUND % location)

        with tcp_server(serve) as server:
            error = failure(make_client(f"http://127.0.0.1:{server.port}"))
        assert type(error) is Retry
        assert "s3cret" not in "".join(traceback.format_exception(error))
