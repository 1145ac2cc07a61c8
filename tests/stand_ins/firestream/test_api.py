"""The API of the stand-in for Firestream: logins, days and links."""

import re
from datetime import date
from urllib.parse import parse_qs, urlsplit

import pytest

from local.stand_ins.firestream.server import FirestreamStandIn
from tests.stand_ins.firestream.client import BAD_DATE, DAY, LOGIN, Client, Clock, refusal


@pytest.mark.parametrize("file_type", ["message", "activity"])
def test_a_day_is_answered_with_a_link_to_another_host(
    client: Client, stand_in: FirestreamStandIn, file_type: str
) -> None:
    answer = client.ask(f"{file_type}/2024/01/02")
    assert answer.status_code == 302
    link = urlsplit(answer.headers["Location"])
    assert f"{link.scheme}://{link.netloc}" == stand_in.link_url != stand_in.url
    assert link.path == f"/firestream-backups/{file_type}/2024/01/02/stocktwits_{file_type}_2024_01_02.gz"
    query = parse_qs(link.query)
    assert query["X-Amz-Expires"] == ["300"]
    assert query["X-Amz-Date"] == ["20240110T120000Z"]
    assert re.fullmatch(r"[0-9a-f]{64}", query["X-Amz-Signature"][0])


def test_every_link_has_a_signature_of_its_own(client: Client) -> None:
    assert client.link() != client.link()


@pytest.mark.parametrize("login", [None, ("demo-user", "wrong"), ("wrong", "demo-password")])
def test_without_the_right_login_there_is_no_link(client: Client, login: tuple[str, str] | None) -> None:
    answer = client.ask(login=login)
    assert answer.status_code == 401
    assert answer.text
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_the_login_may_be_changed_while_it_runs(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.configure(username="me", password="new")
    assert client.ask().status_code == 401
    assert client.ask(login=("me", "new")).status_code == 302


@pytest.mark.parametrize(
    "path",
    [
        "message/2024/13/01",
        "message/2024/02/30",
        "message/0000/01/01",
        "message/2024/1/2",
        "message/24/01/02",
        "message/2024/01",
        "message/2024/01/02/03",
        "message/2024/01/٠٢",
        "messages/2024/01/02",
        "Message/2024/01/02",
    ],
)
def test_a_path_without_a_day_of_a_file_type_is_refused(client: Client, path: str) -> None:
    answer = client.ask(path)
    assert (answer.status_code, answer.text) == (400, BAD_DATE)
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_the_login_comes_before_the_date(client: Client) -> None:
    assert client.ask("message/2024/13/01", login=None).status_code == 401


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/stream"), ("POST", "/backups/message/2024/01/02")]
)
def test_an_unknown_endpoint_is_not_found(client: Client, method: str, path: str) -> None:
    assert client.send(method, client.stand_in.url + path, auth=LOGIN).status_code == 404


def statuses(client: Client, *days: str, file_type: str = "message") -> list[int]:
    return [client.ask(f"{file_type}/{day}").status_code for day in days]


def test_a_day_that_does_not_exist_is_not_found(client: Client) -> None:
    answer = client.ask("message/2008/12/31")
    assert (answer.status_code, answer.text) == (404, "The file was not found")


def test_the_first_and_the_last_day_are_settings(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.configure(first_day=date(2024, 1, 2), last_day=date(2024, 1, 3))
    assert statuses(client, "2024/01/01", "2024/01/02", "2024/01/03", "2024/01/04") == [404, 302, 302, 404]


def test_without_a_last_day_yesterdays_is_the_newest(client: Client) -> None:
    assert statuses(client, "2024/01/09", "2024/01/10") == [302, 404]


def test_the_lag_is_a_setting(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.configure(lag_days=2)
    assert statuses(client, "2024/01/08", "2024/01/09") == [302, 404]


def test_a_day_appears_when_the_clock_moves_on_in_utc(client: Client, clock: Clock) -> None:
    clock.now += 12 * 3600 - 1
    assert statuses(client, "2024/01/10") == [404]
    clock.now += 1
    assert statuses(client, "2024/01/10") == [302]


def test_today_may_be_set_without_moving_the_clock(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.configure(today=date(2024, 1, 4))
    assert statuses(client, "2024/01/03", "2024/01/04") == [302, 404]


def test_a_day_may_be_missing(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.configure(missing=[date(2024, 1, 2)])
    assert statuses(client, "2024/01/01", "2024/01/02", "2024/01/03") == [302, 404, 302]
    assert statuses(client, "2024/01/02", file_type="activity") == [404]


def test_a_day_may_be_missing_for_one_file_type(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.configure(missing=[("activity", date(2024, 1, 2))])
    assert statuses(client, "2024/01/02") == [302]
    assert statuses(client, "2024/01/02", file_type="activity") == [404]


def test_a_backup_that_was_put_exists_with_any_settings(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.configure(missing=[DAY], first_day=date(2025, 1, 1))
    stand_in.put("message", DAY, b"exactly this")
    assert client.download() == b"exactly this"
    assert statuses(client, "2024/01/02", file_type="activity") == [404]


def test_a_backup_may_be_gone_before_its_link_is_used(client: Client, stand_in: FirestreamStandIn) -> None:
    link = client.link()
    stand_in.configure(missing=[DAY])
    assert refusal(client.get(link)) == (404, "NoSuchKey")
