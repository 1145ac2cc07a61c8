"""Answers of the stand-in for Firestream in place of a link or a file: errors, pages, and requests to wait."""

from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from local.stand_ins.firestream.content import PAGE
from local.stand_ins.firestream.server import FirestreamStandIn
from tests.stand_ins.firestream.client import DAY, Client, Clock, refusal


def test_one_day_can_be_outside_the_plan(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail("error", times=None, file_type="message", day=DAY)
    answer = client.ask()
    assert (answer.status_code, answer.text) == (403, "This date is not in your plan")
    assert [client.ask(path).status_code for path in ("activity/2024/01/02", "message/2024/01/03")] == [302, 302]


def test_every_day_can_be_outside_the_plan(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail("error", times=None)
    asked = [f"{file_type}/2024/01/0{day}" for file_type in ("message", "activity") for day in range(1, 5)]
    assert {client.ask(path).status_code for path in asked} == {403}


@pytest.mark.parametrize(
    ("details", "status", "text"),
    [
        ({"status": 401}, 401, "The username or the password is wrong"),
        ({"status": 403, "message": "Your login may not read backups"}, 403, "Your login may not read backups"),
        ({"status": 404}, 404, "The file was not found"),
        ({"status": 504}, 504, "Something went wrong"),
    ],
)
def test_the_api_can_answer_with_any_status_and_text(
    client: Client, stand_in: FirestreamStandIn, details: dict[str, Any], status: int, text: str
) -> None:
    stand_in.fail("error", **details)
    answer = client.ask()
    assert (answer.status_code, answer.text, answer.headers["Content-Type"]) == (
        status,
        text,
        "text/plain; charset=utf-8",
    )


@pytest.mark.parametrize(
    ("details", "error"),
    [
        ({"status": 404}, (404, "NoSuchKey")),
        ({"status": 403}, (403, "AccessDenied")),
        ({"status": 403, "code": "SignatureDoesNotMatch"}, (403, "SignatureDoesNotMatch")),
        ({"status": 503}, (503, "SlowDown")),
        ({"status": 500}, (500, "InternalError")),
        ({"status": 418}, (418, "UnknownError")),
    ],
)
def test_the_host_of_the_links_can_answer_a_fresh_link_with_any_error(
    client: Client, stand_in: FirestreamStandIn, details: dict[str, Any], error: tuple[int, str]
) -> None:
    stand_in.fail("error", host="link", **details)
    link = client.link()
    assert refusal(client.get(link)) == error
    assert client.get(link).status_code == 200


def test_an_expired_link_is_refused_in_other_words_than_a_file_that_is_not_there(
    client: Client, stand_in: FirestreamStandIn, clock: Clock
) -> None:
    link = client.link()
    stand_in.configure(missing=[DAY])
    assert refusal(client.get(link)) == (404, "NoSuchKey")
    clock.now += stand_in.link_seconds
    assert refusal(client.get(link)) == (403, "AccessDenied")


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("seconds", "90"),
        ("decimal", "90.0"),
        ("days", "604800"),
        ("zero", "0"),
        ("negative", "-90"),
        ("iso-date", "2024-01-10T12:01:30+00:00"),
        ("empty", ""),
        ("nonsense", "soon"),
        ("missing", None),
    ],
)
def test_either_host_can_ask_to_wait(
    client: Client, stand_in: FirestreamStandIn, status: int, form: str, value: str | None
) -> None:
    for host in ("api", "link"):
        stand_in.fail("retry-after", host=host, status=status, form=form, seconds=90)
    link = client.ask()
    assert (link.status_code, link.headers.get("Retry-After")) == (status, value)
    file = client.get(client.link())
    assert (file.status_code, file.headers.get("Retry-After")) == (status, value)
    assert client.get(client.link()).status_code == 200


@pytest.mark.parametrize(("form", "seconds"), [("http-date", 90), ("past", -90)])
def test_a_time_to_wait_can_be_a_date(
    client: Client, stand_in: FirestreamStandIn, clock: Clock, form: str, seconds: int
) -> None:
    stand_in.fail("retry-after", form=form, seconds=90)
    until = parsedate_to_datetime(client.ask().headers["Retry-After"])
    assert until.timestamp() == clock.now + seconds


@pytest.mark.parametrize("until", [1_704_888_000 + 3600, "2024-01-10T13:00:00Z"])
def test_a_host_can_ask_to_wait_until_a_moment(
    client: Client, stand_in: FirestreamStandIn, clock: Clock, until: str | float
) -> None:
    stand_in.fail("retry-after", times=None, until=until)
    waits = []
    for _ in range(3):
        answer = client.ask()
        waits.append((answer.status_code, answer.headers.get("Retry-After")))
        clock.now += 1800
    assert waits == [(429, "3600"), (429, "1800"), (302, None)]


def test_an_error_can_last_until_a_moment(client: Client, stand_in: FirestreamStandIn, clock: Clock) -> None:
    stand_in.fail("error", status=404, host="link", times=None, until=clock.now + 1)
    link = client.link()
    assert [client.get(link).status_code for _ in range(2)] == [404, 404]
    clock.now += 1
    assert client.get(link).status_code == 200


@pytest.mark.parametrize("status", [200, 403, 503])
@pytest.mark.parametrize("host", ["api", "link"])
def test_a_page_can_come_in_place_of_an_answer(
    client: Client, stand_in: FirestreamStandIn, host: str, status: int
) -> None:
    stand_in.fail("page", host=host, status=status)
    answer = client.ask() if host == "api" else client.get(client.link())
    assert (answer.status_code, answer.content) == (status, PAGE)
    assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    "planned",
    [
        {"fault": "retry-after", "form": "odd"},
        {"fault": "error", "host": "elsewhere"},
        {"fault": "page", "times": 0},
        {"fault": "page", "until": "soon"},
        {"fault": "redirect", "status": 304},
        {"fault": "redirect", "via": "elsewhere"},
        {"fault": "redirect-bad", "hops": 3},
        {"fault": "no-such"},
    ],
)
def test_an_answer_that_makes_no_sense_is_refused_when_it_is_planned(
    client: Client, stand_in: FirestreamStandIn, planned: dict[str, Any]
) -> None:
    answer = client.control("faults", **planned)
    assert (answer.status_code, client.ask().status_code) == (400, 302)
    assert answer.text
