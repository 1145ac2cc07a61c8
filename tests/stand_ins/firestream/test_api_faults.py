"""The faults of the API of the stand-in for Firestream."""

from datetime import date
from typing import Any

import pytest

from local.stand_ins.firestream.faults import Fault
from local.stand_ins.firestream.server import FirestreamStandIn
from tests.stand_ins.firestream.client import Client


@pytest.mark.parametrize("status", [400, 401, 404, 500, 503])
def test_the_api_can_fail_with_a_text(client: Client, stand_in: FirestreamStandIn, status: int) -> None:
    stand_in.fail(str(status))
    answer = client.ask()
    assert (answer.status_code, "Location" in answer.headers) == (status, False)
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.text
    assert client.ask().status_code == 302


def test_a_fault_affects_as_many_requests_as_planned(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.ERROR, times=2)
    assert [client.ask().status_code for _ in range(3)] == [500, 500, 302]


def test_a_fault_without_a_count_affects_all_requests(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.ERROR, times=None)
    assert {client.ask().status_code for _ in range(9)} == {500}


def test_a_fault_can_be_planned_for_a_file_type_or_a_day(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail("500", file_type="activity")
    stand_in.fail("503", day=date(2024, 1, 3))
    asked = ["message/2024/01/02", "activity/2024/01/02", "activity/2024/01/02", "message/2024/01/03"]
    assert [client.ask(path).status_code for path in asked] == [302, 500, 302, 503]


def test_the_first_fault_that_matches_wins(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail("404", day=date(2024, 1, 3))
    stand_in.fail("503")
    stand_in.fail("500")
    assert [client.ask().status_code for _ in range(3)] == [503, 500, 302]


@pytest.mark.parametrize(
    "planned",
    [
        {"fault": "flood"},
        {"fault": "500", "times": 0},
        {"fault": "500", "after": 9},
        {"fault": "reset", "seconds": 9},
        {"fault": "500", "file_type": "symbol"},
        {"fault": "500", "day": "2024-13-01"},
    ],
)
def test_an_invalid_fault_is_refused_when_it_is_planned(stand_in: FirestreamStandIn, planned: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"flood|takes times|symbol|month"):
        stand_in.fail(**planned)
