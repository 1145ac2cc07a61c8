"""Conditional requests to the host of the links of the stand-in for Firestream, and what identifies a file there."""

from email.utils import formatdate

import pytest

from local.stand_ins.firestream.server import FirestreamStandIn
from tests.stand_ins.firestream.client import DAY, Client, Clock, raw, raw_request, refusal, up_to

pytestmark = pytest.mark.usefixtures("ten")

CHANGED = (412, "PreconditionFailed")


@pytest.fixture
def etag(client: Client) -> str:
    """The ETag of the ten bytes."""
    return client.get(client.link()).headers["ETag"]


@pytest.fixture
def modified(client: Client) -> str:
    """Their Last-Modified."""
    return client.get(client.link()).headers["Last-Modified"]


def seconds_from(clock: Clock, seconds: float) -> str:
    return formatdate(clock.now + seconds, usegmt=True)


def test_an_unchanged_file_is_not_sent_again(client: Client, etag: str, modified: str) -> None:
    answer = client.get(client.link(), If_None_Match=etag)
    assert (answer.status_code, answer.content) == (304, b"")
    assert (answer.headers["ETag"], answer.headers["Last-Modified"]) == (etag, modified)
    assert not {"Content-Length", "Content-Type"} & set(answer.headers)


def test_a_connection_stays_usable_after_an_answer_without_a_body(client: Client, etag: str) -> None:
    link = client.link()
    asked = raw_request(link).removesuffix(b"\r\n")
    with raw(link) as connection:
        connection.sendall(asked + b"If-None-Match: " + etag.encode() + b"\r\n\r\n")
        assert up_to(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 304 ")
        connection.sendall(raw_request(link))
        assert up_to(connection, b"0123456789").startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("condition", ["{}", "W/{}", '"other", {}', "*", '"other",W/{}'])
def test_any_of_several_etags_may_match(client: Client, etag: str, condition: str) -> None:
    assert client.get(client.link(), If_None_Match=condition.format(etag)).status_code == 304


def test_a_changed_file_is_sent(client: Client, stand_in: FirestreamStandIn, etag: str) -> None:
    stand_in.put("message", DAY, b"9876543210")
    answer = client.get(client.link(), If_None_Match=etag)
    assert (answer.status_code, answer.content) == (200, b"9876543210")


@pytest.mark.parametrize(("seconds", "status"), [(-1, 200), (0, 304), (1, 304)])
def test_a_file_is_sent_if_it_was_modified_since(client: Client, clock: Clock, seconds: int, status: int) -> None:
    answer = client.get(client.link(), If_Modified_Since=seconds_from(clock, seconds))
    assert answer.status_code == status


def test_a_date_that_is_not_one_is_ignored(client: Client) -> None:
    assert client.get(client.link(), If_Modified_Since="yesterday").status_code == 200
    assert client.get(client.link(), If_Unmodified_Since="yesterday").status_code == 200


def test_an_etag_decides_over_a_date(client: Client, clock: Clock, etag: str) -> None:
    long_ago, now = seconds_from(clock, -99), seconds_from(clock, 0)
    assert client.get(client.link(), If_None_Match=etag, If_Modified_Since=long_ago).status_code == 304
    assert client.get(client.link(), If_None_Match='"other"', If_Modified_Since=now).status_code == 200
    assert client.get(client.link(), If_Match=etag, If_Unmodified_Since=long_ago).status_code == 200
    assert client.get(client.link(), If_Match='"other"', If_Unmodified_Since=now).status_code == 412


@pytest.mark.parametrize(("seconds", "status"), [(-1, 412), (0, 206), (1, 206)])
def test_a_range_can_be_had_of_a_file_that_was_not_modified_since(
    client: Client, clock: Clock, seconds: int, status: int
) -> None:
    answer = client.get(client.link(), Range="bytes=4-", If_Unmodified_Since=seconds_from(clock, seconds))
    assert answer.status_code == status
    assert status == 412 or answer.content == b"456789"


def test_a_weak_etag_is_enough_for_a_comparison_but_not_for_a_range(
    client: Client, stand_in: FirestreamStandIn
) -> None:
    stand_in.fail("etag", form="weak")
    weak = client.get(client.link()).headers["ETag"]
    assert weak.startswith('W/"')
    assert client.get(client.link(), If_None_Match=weak).status_code == 304
    assert refusal(client.get(client.link(), Range="bytes=4-", If_Match=weak)) == CHANGED


def test_without_an_etag_date_and_size_are_left(
    client: Client, stand_in: FirestreamStandIn, etag: str, modified: str
) -> None:
    stand_in.fail("etag", form="missing")
    answer = client.get(client.link())
    assert "ETag" not in answer.headers
    assert (answer.headers["Last-Modified"], answer.headers["Content-Length"]) == (modified, "10")
    assert client.get(client.link(), If_None_Match=etag).status_code == 200
    assert client.get(client.link(), If_Modified_Since=modified).status_code == 304
    assert refusal(client.get(client.link(), Range="bytes=4-", If_Match=etag)) == CHANGED
    assert client.get(client.link(), Range="bytes=4-", If_Unmodified_Since=modified).status_code == 206


def test_a_file_can_have_neither(client: Client, stand_in: FirestreamStandIn, modified: str) -> None:
    stand_in.fail("etag", form="missing")
    stand_in.fail("last-modified", form="missing")
    answer = client.get(client.link(), If_Modified_Since=modified, If_Unmodified_Since="Thu, 01 Jan 1970 00:00:00 GMT")
    assert answer.status_code == 200
    assert not {"ETag", "Last-Modified"} & set(answer.headers)


@pytest.mark.parametrize(("form", "start"), [("changing", '"'), ("changing-weak", 'W/"')])
def test_an_etag_can_change_at_every_request_although_the_bytes_do_not(
    client: Client, stand_in: FirestreamStandIn, form: str, start: str
) -> None:
    stand_in.fail("etag", form=form)
    link = client.link()
    answers = [client.get(link) for _ in range(3)]
    tags = [answer.headers["ETag"] for answer in answers]
    assert len(set(tags)) == 3
    assert all(tag.startswith(start) for tag in tags)
    assert {answer.content for answer in answers} == {b"0123456789"}
    assert client.get(link, If_None_Match=tags[-1]).status_code == 200


def test_an_etag_can_stay_although_the_bytes_change(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail("etag", form="stuck")
    first = client.get(client.link()).headers["ETag"]
    stand_in.put("message", DAY, b"9876543210")
    assert client.get(client.link(), If_None_Match=first).status_code == 304


def test_an_etag_can_be_empty_or_without_quotes(client: Client, stand_in: FirestreamStandIn, etag: str) -> None:
    stand_in.fail("etag", form="unquoted", file_type="message")
    answer = client.get(client.link(), If_None_Match=etag.strip('"'))
    assert (answer.status_code, answer.headers["ETag"]) == (304, etag.strip('"'))
    stand_in.fail("etag", form="empty", file_type="activity")
    assert client.get(client.link("activity/2024/01/02")).headers["ETag"] == ""


def test_a_date_can_change_at_every_request_stay_or_not_be_one(client: Client, stand_in: FirestreamStandIn) -> None:
    dates = {}
    for day, form in ((2, "changing"), (3, "stuck"), (4, "nonsense")):
        stand_in.fail("last-modified", form=form, day=f"2024-01-0{day}")
        link = client.link(f"message/2024/01/0{day}")
        first = client.get(link).headers["Last-Modified"]
        again = client.get(link, If_Modified_Since=first)
        dates[form] = (again.status_code, first == again.headers["Last-Modified"])
    assert dates == {"changing": (200, False), "stuck": (304, True), "nonsense": (200, True)}


def test_conditions_can_be_ignored(client: Client, stand_in: FirestreamStandIn, etag: str) -> None:
    stand_in.fail("conditions-ignored")
    assert client.get(client.link(), If_None_Match=etag).status_code == 200
    assert client.get(client.link(), If_Match='"other"', Range="bytes=4-").content == b"456789"


def test_what_identifies_a_file_lasts_and_can_be_planned_for_a_day(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail("etag", times=1, day=DAY)
    there = [
        "ETag" in client.get(client.link(path)).headers for path in ["message/2024/01/02"] * 2 + ["message/2024/01/03"]
    ]
    assert there == [False, False, True]
