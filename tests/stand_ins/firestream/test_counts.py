"""What the stand-in for Firestream counts: requests by host, day, and whether they were answered with a body."""

from datetime import date

import pytest

from local.stand_ins.firestream.server import FirestreamStandIn
from tests.stand_ins.firestream.client import DAY, LOGIN, Client

pytestmark = pytest.mark.usefixtures("ten")


def test_an_unchanged_file_costs_two_small_requests(client: Client, stand_in: FirestreamStandIn) -> None:
    etag = client.get(client.link()).headers["ETag"]
    before = stand_in.counted("message", DAY)
    client.get(client.link(), If_None_Match=etag)
    assert stand_in.counted("message", DAY) - before == 2
    assert stand_in.counted("message", DAY, kind="small") == 3
    assert stand_in.counted("message", DAY, kind="body") == 1


def test_requests_are_counted_by_host_and_file(client: Client, stand_in: FirestreamStandIn) -> None:
    client.download()
    client.link("activity/2024/01/02")
    client.ask("message/2024/01/03", login=None)
    assert [stand_in.counted(host=host) for host in ("api", "link", None)] == [3, 1, 4]
    assert [stand_in.counted(file_type) for file_type in ("message", "activity")] == [3, 1]
    assert [stand_in.counted(day=each) for each in (DAY, date(2024, 1, 3), date(2024, 1, 4))] == [3, 1, 0]


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=4-"}])
def test_a_part_of_a_file_is_a_body(client: Client, stand_in: FirestreamStandIn, headers: dict[str, str]) -> None:
    client.get(client.link(), **headers)
    assert stand_in.counted(host="link", kind="body") == 1
    assert stand_in.counted(host="link", kind="small") == 0


def test_a_refusal_is_small(client: Client, stand_in: FirestreamStandIn) -> None:
    link = client.link()
    client.send("GET", link, auth=LOGIN)
    client.get(link, Range="bytes=99-")
    client.get(link, If_Match='"other"')
    for planned in ({"fault": "link-503"}, {"fault": "retry-after", "host": "link"}, {"fault": "expired"}):
        stand_in.fail(**planned)
        client.get(link)
    assert stand_in.counted("message", DAY, host="link", kind="small") == 6
    assert stand_in.counted("message", DAY, host="link", kind="body") == 0


def test_each_redirect_counts_at_its_host(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail("redirect", via="both", hops=2)
    further = client.send("GET", client.link(), auth=LOGIN).headers["Location"]
    client.get(client.get(further).headers["Location"])
    counts = {
        (host, kind): stand_in.counted(host=host, kind=kind) for host in ("api", "link") for kind in ("small", "body")
    }
    assert counts == {("api", "small"): 2, ("api", "body"): 0, ("link", "small"): 1, ("link", "body"): 1}


def test_what_names_no_file_is_not_counted(client: Client, stand_in: FirestreamStandIn) -> None:
    client.ask("message/2024/13/01")
    client.get(f"{stand_in.link_url}/nothing")
    assert stand_in.counted() == 0
    assert len(stand_in.requests) == 2


def test_counts_are_forgotten_with_the_rest(client: Client, stand_in: FirestreamStandIn) -> None:
    client.link()
    stand_in.reset()
    assert stand_in.counted() == 0


def test_what_a_request_met_is_remembered(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail("crlf")
    stand_in.fail("link-503")
    client.get(client.link())
    assert [(file_type, day, str(each.fault)) for file_type, day, each in stand_in.faulted] == [
        ("message", DAY, "crlf"),
        ("message", DAY, "link-503"),
    ]
