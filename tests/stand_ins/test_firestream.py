"""The rules of the stand-in of Firestream's backups, each over real HTTP on loopback."""

import gzip
import hashlib
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from local.stand_ins.firestream import data
from local.stand_ins.firestream.faults import Fault
from local.stand_ins.firestream.server import FirestreamStandIn

DAY = date(2024, 1, 2)
LOGIN = ("demo-user", "demo-password")
BAD_DATE = "Please verify that the date is correct"
ROOT = Path(__file__).parents[2]


class Clock:
    """A clock that stands, at first at noon (UTC) of 10 January 2024, until it is moved."""

    now = 1_704_888_000.0

    def __call__(self) -> float:
        return self.now


class Client:
    """A client that takes redirects by hand, on kept connections, deaf to proxies."""

    def __init__(self, stand_in: FirestreamStandIn) -> None:
        self.stand_in = stand_in
        self.session = requests.Session()
        self.session.trust_env = False

    def ask(self, path: str = "message/2024/01/02", login: tuple[str, str] | None = LOGIN) -> requests.Response:
        return self.send("GET", f"{self.stand_in.url}/backups/{path}", auth=login)

    def link(self, path: str = "message/2024/01/02") -> str:
        answer = self.ask(path)
        assert answer.status_code == 302, answer.text
        return answer.headers["Location"]

    def get(self, link: str, **headers: str) -> requests.Response:
        told = {"Accept-Encoding": "identity", **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.send("GET", link, headers=told)

    def download(self, path: str = "message/2024/01/02") -> bytes:
        return self.get(self.link(path)).content

    def control(self, what: str, **payload: object) -> requests.Response:
        return self.send("POST", f"{self.stand_in.url}/_standin/{what}", json=payload)

    def shown(self, what: str) -> Any:
        return self.send("GET", f"{self.stand_in.url}/_standin/{what}").json()

    def send(self, method: str, url: str, **options: Any) -> requests.Response:
        return self.session.request(method, url, timeout=10, allow_redirects=False, **options)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stand_in(clock: Clock) -> Iterator[FirestreamStandIn]:
    with FirestreamStandIn(messages_per_day=20, activities_per_day=20, clock=clock) as running:
        yield running


@pytest.fixture
def client(stand_in: FirestreamStandIn) -> Iterator[Client]:
    client = Client(stand_in)
    with client.session:
        yield client


def records(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(content).splitlines()]


def refusal(answer: requests.Response) -> tuple[int, str]:
    """The status and the code of a refusal, which must be in the form of S3."""
    assert answer.headers["Content-Type"] == "application/xml"
    found = re.search(r"<Error><Code>(\w+)</Code><Message>.+</Message></Error>", answer.text)
    assert found
    return answer.status_code, found[1]


def raw(link: str) -> socket.socket:
    target = urlsplit(link)
    assert target.hostname
    return socket.create_connection((target.hostname, target.port or 0), timeout=10)


def raw_request(link: str, method: str = "GET") -> bytes:
    target = urlsplit(link)
    return f"{method} {target.path}?{target.query} HTTP/1.1\r\nHost: {target.netloc}\r\n\r\n".encode()


def to_the_end(link: str) -> tuple[int | None, bytes, str]:
    """What comes down the wire: the length that is declared, the bytes that come, and how the connection ends."""
    got, ending = b"", "closed"
    with raw(link) as connection:
        connection.sendall(raw_request(link))
        try:
            while piece := connection.recv(1 << 16):
                got += piece
        except ConnectionResetError:
            ending = "reset"
    head, _, body = got.partition(b"\r\n\r\n")
    declared = re.search(rb"\r\nContent-Length: ([0-9]+)", head)
    return declared and int(declared[1]), body, ending


def up_to(connection: socket.socket, end: bytes) -> bytes:
    """What comes down the wire until something comes."""
    got = b""
    while not got.endswith(end):
        piece = connection.recv(1)
        assert piece, got
        got += piece
    return got


# Asking for a link


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
def test_what_is_no_day_of_a_file_type_is_refused(client: Client, path: str) -> None:
    answer = client.ask(path)
    assert (answer.status_code, answer.text) == (400, BAD_DATE)
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_the_login_comes_before_the_date(client: Client) -> None:
    assert client.ask("message/2024/13/01", login=None).status_code == 401


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/stream"), ("POST", "/backups/message/2024/01/02")]
)
def test_what_is_no_endpoint_is_not_found(client: Client, method: str, path: str) -> None:
    assert client.send(method, client.stand_in.url + path, auth=LOGIN).status_code == 404


# Which days there are


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


def test_a_day_that_was_put_exists_whatever_the_settings_say(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.configure(missing=[DAY], first_day=date(2025, 1, 1))
    stand_in.put("message", DAY, b"exactly this")
    assert client.download() == b"exactly this"
    assert statuses(client, "2024/01/02", file_type="activity") == [404]


def test_a_backup_may_be_gone_before_its_link_is_used(client: Client, stand_in: FirestreamStandIn) -> None:
    link = client.link()
    stand_in.configure(missing=[DAY])
    assert refusal(client.get(link)) == (404, "NoSuchKey")


# What a backup holds


def test_a_backup_is_what_it_should_leave_behind(client: Client, stand_in: FirestreamStandIn) -> None:
    assert client.download() == stand_in.content("message", DAY) == data.backup("message", DAY, 20)
    assert client.download("activity/2024/01/02") == data.backup("activity", DAY, 20)


def test_what_does_not_exist_has_no_content(stand_in: FirestreamStandIn) -> None:
    with pytest.raises(KeyError):
        stand_in.content("message", date(2008, 12, 31))


@pytest.mark.parametrize(
    ("setting", "file_type"), [("messages_per_day", "message"), ("activities_per_day", "activity")]
)
def test_how_much_happens_in_a_day_is_a_setting(
    client: Client, stand_in: FirestreamStandIn, setting: str, file_type: str
) -> None:
    stand_in.configure(**{setting: 3})
    assert len(records(client.download(f"{file_type}/2024/01/02"))) == 3


def test_a_message_has_the_shape_of_the_api(client: Client) -> None:
    message = records(client.download())[0]
    assert {"id", "body", "created_at", "user", "source", "symbols", "entities"} <= message.keys()
    assert {"id", "username", "name", "avatar_url", "followers"} <= message["user"].keys()
    assert {"id", "symbol", "title"} <= message["symbols"][0].keys()
    assert message["body"].startswith(f"${message['symbols'][0]['symbol']} ")


def test_a_message_is_about_a_kilobyte() -> None:
    sizes = [len(line) for line in data.lines("message", DAY, 1000)]
    assert 800 < sum(sizes) / len(sizes) < 1200


def test_some_symbols_and_sentiments_are_far_more_common_than_others() -> None:
    messages = [json.loads(line) for line in data.lines("message", DAY, 1000)]
    named = [message["symbols"][0]["symbol"] for message in messages]
    assert 100 < named.count("SPY") < 300
    assert 0 < named.count("KO") < 20
    felt = [(message["entities"]["sentiment"] or {}).get("basic") for message in messages]
    assert felt.count(None) > felt.count("Bullish") > felt.count("Bearish") > 50


def test_activities_come_in_both_shapes(client: Client) -> None:
    activities = [json.loads(line) for line in data.lines("activity", DAY, 1000)]
    envelopes = [activity for activity in activities if activity.keys() == {"object", "action", "data", "time"}]
    flat = [activity for activity in activities if {"object", "action", "user_id", "created_at"} <= activity.keys()]
    assert len(envelopes) + len(flat) == 1000
    assert 300 < len(flat) < 700
    assert {activity["object"] for activity in activities} == {"Friendship", "Block", "LikeMessage"}


def test_messages_are_of_their_day_in_order() -> None:
    messages = [json.loads(line) for line in data.lines("message", DAY, 100)]
    moments = [message["created_at"] for message in messages]
    assert moments == sorted(moments)
    assert (moments[0], moments[-1][:13]) == ("2024-01-02T00:00:00Z", "2024-01-02T23")
    ids = [message["id"] for message in messages]
    assert ids == sorted(set(ids))
    assert ids[-1] < json.loads(next(data.lines("message", date(2024, 1, 3), 1)))["id"]


def test_every_day_and_file_type_has_its_own_lines() -> None:
    bodies = {json.loads(next(data.lines("message", date(2024, 1, day), 1)))["body"] for day in range(1, 11)}
    assert len(bodies) == 10


def test_a_day_is_the_same_in_every_process() -> None:
    script = (
        "import hashlib, sys; from datetime import date; from local.stand_ins.firestream import data;"
        "print(hashlib.sha256(data.backup('message', date(2024, 1, 2), 50)).hexdigest())"
    )
    told = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told.strip() == hashlib.sha256(data.backup("message", DAY, 50)).hexdigest()


def test_a_file_is_served_byte_for_byte(client: Client, stand_in: FirestreamStandIn, tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000 + b"the end"
    (tmp_path / "large.gz").write_bytes(content)
    stand_in.put("message", DAY, tmp_path / "large.gz")
    link = client.link()
    assert client.get(link).content == content == stand_in.content("message", DAY)
    assert client.get(link, Range="bytes=2500000-").content == content[2_500_000:]


def test_a_file_that_becomes_shorter_breaks_its_transfer_off(
    client: Client, stand_in: FirestreamStandIn, tmp_path: Path
) -> None:
    file = tmp_path / "day.gz"
    file.write_bytes(b"0123456789")
    stand_in.put("message", DAY, file)
    client.download()
    file.write_bytes(b"0123")
    assert to_the_end(client.link()) == (10, b"0123", "closed")
    assert stand_in.served["message", DAY] == 14


def test_bytes_of_more_than_one_piece_are_served_byte_for_byte(client: Client, stand_in: FirestreamStandIn) -> None:
    content = bytes(range(256)) * 10_000 + b"the end"
    stand_in.put("message", DAY, content)
    assert client.download() == content


def test_what_is_put_must_be_of_a_file_type_and_there(stand_in: FirestreamStandIn, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="symbol"):
        stand_in.put("symbol", DAY, b"")
    with pytest.raises(FileNotFoundError):
        stand_in.put("message", DAY, tmp_path / "nothing.gz")


# Following a link


def test_an_object_tells_what_s3_tells(client: Client, stand_in: FirestreamStandIn, clock: Clock) -> None:
    stand_in.put("message", DAY, b"0123456789")
    answer = client.get(client.link())
    assert (answer.status_code, answer.content) == (200, b"0123456789")
    told = answer.headers
    assert (told["Content-Type"], told["Content-Length"]) == ("binary/octet-stream", "10")
    assert told["Accept-Ranges"] == "bytes"
    assert parsedate_to_datetime(told["Last-Modified"]).timestamp() == clock.now
    assert not {"Content-Encoding", "Transfer-Encoding", "Content-Range"} & set(told)


def test_an_etag_is_that_of_an_upload_in_parts_and_changes_with_the_bytes(
    client: Client, stand_in: FirestreamStandIn, tmp_path: Path
) -> None:
    file = tmp_path / "day.gz"
    tags = []
    for content in (b"one", b"two", b"two", b"three"):
        stand_in.put("message", DAY, content)
        tags.append(client.get(client.link()).headers["ETag"])
    for content in (b"one", b"three"):
        file.write_bytes(content)
        stand_in.put("message", DAY, file)
        tags.append(client.get(client.link()).headers["ETag"])
    assert all(re.fullmatch(r'"[0-9a-f]{32}-3"', tag) for tag in tags)
    assert tags[1] == tags[2]
    assert len(set(tags)) == 5


def test_a_link_refuses_a_login(client: Client, stand_in: FirestreamStandIn) -> None:
    answer = client.send("GET", client.link(), auth=LOGIN)
    assert refusal(answer) == (400, "InvalidArgument")
    assert "Only one auth mechanism allowed" in answer.text
    assert not stand_in.served


def test_a_link_is_for_get_only(client: Client) -> None:
    link = client.link()
    answer = client.send("HEAD", link)
    assert (answer.status_code, answer.content) == (403, b"")
    assert refusal(client.send("POST", link)) == (403, "SignatureDoesNotMatch")


def test_a_refused_head_leaves_its_connection_usable(client: Client) -> None:
    link = client.link()
    with raw(link) as connection:
        connection.sendall(raw_request(link, "HEAD"))
        up_to(connection, b"\r\n\r\n")
        connection.sendall(raw_request(link))
        assert up_to(connection, b"\r\n") == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [(r"Signature=\w", "Signature="), (r"&X-Amz-Signature=\w+", ""), ("/message/", "/activity/"), ("_02.gz", "_03.gz")],
)
def test_a_link_that_was_tampered_with_is_refused(client: Client, wrong: str, right: str) -> None:
    assert refusal(client.get(re.sub(wrong, right, client.link()))) == (403, "SignatureDoesNotMatch")


def test_a_link_is_good_for_as_long_as_the_setting_says(
    client: Client, stand_in: FirestreamStandIn, clock: Clock
) -> None:
    stand_in.configure(link_seconds=60)
    link = client.link()
    assert parse_qs(link)["X-Amz-Expires"] == ["60"]
    clock.now += 59.9
    assert client.get(link).status_code == 200
    clock.now += 0.1
    answer = client.get(link)
    assert refusal(answer) == (403, "AccessDenied")
    assert "Request has expired" in answer.text


def test_a_link_may_be_used_again(client: Client) -> None:
    link = client.link()
    assert client.get(link).content == client.get(link).content


@pytest.mark.parametrize(
    ("asked", "told", "content"),
    [
        ("bytes=0-", "bytes 0-9/10", b"0123456789"),
        ("bytes=4-", "bytes 4-9/10", b"456789"),
        ("bytes=2-4", "bytes 2-4/10", b"234"),
        ("bytes=9-9", "bytes 9-9/10", b"9"),
        ("bytes=8-99", "bytes 8-9/10", b"89"),
    ],
)
def test_a_part_may_be_asked_for(
    client: Client, stand_in: FirestreamStandIn, asked: str, told: str, content: bytes
) -> None:
    stand_in.put("message", DAY, b"0123456789")
    answer = client.get(client.link(), Range=asked)
    assert (answer.status_code, answer.headers["Content-Range"], answer.content) == (206, told, content)
    assert answer.headers["Content-Length"] == str(len(content))


@pytest.mark.parametrize("asked", ["bytes=4-2", "bytes=-5", "bytes=0-1,3-4", "lines=0-1", "bytes=x-"])
def test_a_part_that_cannot_be_read_is_the_whole(client: Client, stand_in: FirestreamStandIn, asked: str) -> None:
    stand_in.put("message", DAY, b"0123456789")
    answer = client.get(client.link(), Range=asked)
    assert (answer.status_code, answer.content) == (200, b"0123456789")


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=99-100"])
def test_a_part_beyond_the_end_is_refused_with_the_size(
    client: Client, stand_in: FirestreamStandIn, asked: str
) -> None:
    stand_in.put("message", DAY, b"0123456789")
    answer = client.get(client.link(), Range=asked)
    assert refusal(answer) == (416, "InvalidRange")
    assert answer.headers["Content-Range"] == "bytes */10"


def test_a_part_is_given_only_of_the_object_that_is_meant(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.put("message", DAY, b"0123456789")
    link = client.link()
    tag = client.get(link).headers["ETag"]
    assert client.get(link, Range="bytes=4-", If_Match=tag).content == b"456789"
    assert client.get(link, Range="bytes=4-", If_Match="*").content == b"456789"
    stand_in.put("message", DAY, b"9876543210")
    assert refusal(client.get(link, Range="bytes=4-", If_Match=tag)) == (412, "PreconditionFailed")
    assert refusal(client.get(link, Range="bytes=99-", If_Match=tag)) == (412, "PreconditionFailed")


def test_an_empty_object_is_served(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.put("message", DAY, b"")
    answer = client.get(client.link())
    assert (answer.status_code, answer.headers["Content-Length"], answer.content) == (200, "0", b"")


def test_connections_are_kept_open(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.put("message", DAY, b"0123456789")
    link = client.link()
    with raw(link) as connection:
        for _ in range(2):
            connection.sendall(raw_request(link))
            assert up_to(connection, b"\r\n\r\n0123456789").startswith(b"HTTP/1.1 200 OK\r\n")


# Faults of the API


@pytest.mark.parametrize("status", [400, 401, 404, 500, 503])
def test_the_api_can_fail_with_a_text(client: Client, stand_in: FirestreamStandIn, status: int) -> None:
    stand_in.fail(str(status))
    answer = client.ask()
    assert (answer.status_code, "Location" in answer.headers) == (status, False)
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.text
    assert client.ask().status_code == 302


def test_a_fault_strikes_as_often_as_told(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.ERROR, times=2)
    assert [client.ask().status_code for _ in range(3)] == [500, 500, 302]


def test_a_fault_without_a_count_strikes_for_ever(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.ERROR, times=None)
    assert {client.ask().status_code for _ in range(9)} == {500}


def test_a_fault_can_be_meant_for_a_file_type_or_a_day(client: Client, stand_in: FirestreamStandIn) -> None:
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
def test_a_fault_that_makes_no_sense_is_refused_when_it_is_planned(
    stand_in: FirestreamStandIn, planned: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"flood|takes times|symbol|month"):
        stand_in.fail(**planned)


# Faults of a transfer


@pytest.fixture
def ten(stand_in: FirestreamStandIn) -> None:
    """A backup of ten bytes."""
    stand_in.put("message", DAY, b"0123456789")


@pytest.mark.parametrize(
    ("after", "got"), [({}, b"01234"), ({"after": 3}, b"012"), ({"after": 0.25}, b"01"), ({"after": 0}, b"")]
)
@pytest.mark.usefixtures("ten")
def test_a_transfer_can_break_off_short_of_the_length_it_declared(
    client: Client, stand_in: FirestreamStandIn, after: dict[str, float], got: bytes
) -> None:
    stand_in.fail(Fault.TRUNCATED, **after)
    assert to_the_end(client.link()) == (10, got, "closed")
    assert client.download() == b"0123456789"


@pytest.mark.usefixtures("ten")
def test_a_fraction_is_one_of_what_the_answer_would_hold(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.TRUNCATED)
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="3 bytes read, 3 more expected"):
        client.get(client.link(), Range="bytes=4-")


@pytest.mark.usefixtures("ten")
def test_a_transfer_can_end_early_without_a_sign(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.TRUNCATED_UNDECLARED)
    answer = client.get(client.link())
    assert (answer.status_code, answer.content) == (200, b"01234")
    assert answer.headers["Connection"] == "close"
    assert not {"Content-Length", "Transfer-Encoding"} & set(answer.headers)


@pytest.mark.parametrize(("after", "chunks"), [(0.5, b"5\r\n01234\r\n0\r\n\r\n"), (0, b"0\r\n\r\n")])
@pytest.mark.usefixtures("ten")
def test_a_transfer_can_end_early_in_properly_ended_chunks(
    client: Client, stand_in: FirestreamStandIn, after: float, chunks: bytes
) -> None:
    stand_in.fail(Fault.TRUNCATED_UNDECLARED, chunked=True, after=after)
    link = client.link()
    with raw(link) as connection:
        connection.sendall(raw_request(link))
        head = up_to(connection, b"\r\n\r\n")
        assert (b"Transfer-Encoding: chunked\r\n" in head, b"Content-Length" in head) == (True, False)
        assert up_to(connection, b"0\r\n\r\n") == chunks
        connection.sendall(raw_request(link))
        assert up_to(connection, b"\r\n") == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.usefixtures("ten")
def test_a_transfer_can_be_reset(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.RESET)
    assert to_the_end(client.link()) == (10, b"01234", "reset")


def test_a_reset_comes_after_every_byte_before_it(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.put("message", DAY, bytes(4_000_000))
    stand_in.fail(Fault.RESET, after=3_000_000)
    _, body, ending = to_the_end(client.link())
    assert (len(body), ending) == (3_000_000, "reset")


@pytest.mark.usefixtures("ten")
def test_a_transfer_can_fall_silent(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.STALL)
    link = client.link()
    with raw(link) as connection:
        connection.sendall(raw_request(link))
        up_to(connection, b"\r\n\r\n01234")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)


@pytest.mark.usefixtures("ten")
def test_a_silent_transfer_goes_on_when_its_time_has_passed(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.STALL, seconds=0.01)
    assert client.download() == b"0123456789"


@pytest.mark.usefixtures("ten")
def test_a_silent_transfer_ends_with_its_client(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.STALL, seconds=3600)
    link, before = client.link(), set(threading.enumerate())
    with raw(link) as connection:
        connection.sendall(raw_request(link))
        up_to(connection, b"HTTP")
        silent = set(threading.enumerate()) - before
    for thread in silent:
        thread.join(10)
        assert not thread.is_alive()
    assert client.download() == b"0123456789"
    assert stand_in.most_at_once == 1


@pytest.mark.usefixtures("ten")
def test_a_link_can_expire_at_once(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.EXPIRED)
    link = client.link()
    assert refusal(client.get(link)) == (403, "AccessDenied")
    assert refusal(client.get(link)) == (403, "AccessDenied")
    assert client.download() == b"0123456789"


@pytest.mark.usefixtures("ten")
def test_a_link_can_expire_half_way(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.EXPIRED, after=4)
    link = client.link()
    assert to_the_end(link) == (10, b"0123", "closed")
    assert refusal(client.get(link, Range="bytes=4-")) == (403, "AccessDenied")
    assert client.get(client.link(), Range="bytes=4-").content == b"456789"


def test_a_backup_can_change_half_way(client: Client, stand_in: FirestreamStandIn) -> None:
    link = client.link()
    before = client.get(link)
    stand_in.fail(Fault.CHANGED, after=100)
    _, body, ending = to_the_end(link)
    assert (body, ending) == (before.content[:100], "closed")
    assert refusal(client.get(link, Range="bytes=100-", If_Match=before.headers["ETag"])) == (412, "PreconditionFailed")
    after = client.get(client.link())
    assert after.headers["ETag"] != before.headers["ETag"]
    assert len(records(after.content)) == 21
    assert before.content[:100] + after.content[100:] not in (before.content, after.content)
    assert after.content == stand_in.content("message", DAY)


@pytest.mark.usefixtures("ten")
def test_the_host_of_the_links_can_ask_to_slow_down(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.SERVER_ERROR)
    link = client.link()
    assert refusal(client.get(link)) == (503, "SlowDown")
    assert client.get(link).content == b"0123456789"


@pytest.mark.usefixtures("ten")
def test_the_host_of_the_links_can_overlook_a_range(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.NO_RANGE)
    answer = client.get(client.link(), Range="bytes=4-")
    assert (answer.status_code, answer.content) == (200, b"0123456789")
    assert "Content-Range" not in answer.headers


@pytest.mark.usefixtures("ten")
def test_a_request_without_a_valid_link_uses_no_fault_up(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.SERVER_ERROR)
    link = client.link()
    client.send("HEAD", link)
    client.send("GET", link, auth=LOGIN)
    client.get(link + "0")
    assert client.get(link).status_code == 503


def test_a_fault_of_a_transfer_can_be_meant_for_a_day(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.SERVER_ERROR, file_type="message", day=date(2024, 1, 3))
    asked = ["message/2024/01/02", "activity/2024/01/03", "message/2024/01/03"]
    assert [client.get(client.link(path)).status_code for path in asked] == [200, 200, 503]


# Faults of the content


def spoilt(client: Client) -> requests.Response:
    """A download, whose length must be declared and right."""
    answer = client.get(client.link())
    assert answer.status_code == 200
    assert answer.headers["Content-Length"] == str(len(answer.content))
    return answer


@pytest.mark.parametrize(("after", "position"), [({}, 0.5), ({"after": 7}, 7), ({"after": 1.0}, -1)])
def test_a_byte_can_be_flipped(
    client: Client, stand_in: FirestreamStandIn, after: dict[str, float], position: float
) -> None:
    stand_in.fail(Fault.FLIPPED_BYTE, **after)
    right, wrong = stand_in.content("message", DAY), spoilt(client).content
    differing = [index for index, (one, other) in enumerate(zip(right, wrong, strict=True)) if one != other]
    assert differing == [range(len(right))[int(position * len(right)) if position == 0.5 else int(position)]]


def test_garbage_can_trail(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.TRAILING_GARBAGE)
    right, wrong = stand_in.content("message", DAY), spoilt(client).content
    assert wrong.startswith(right)
    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(wrong)


def test_a_backup_can_have_two_members_and_the_same_lines(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.TWO_MEMBERS)
    right, other = stand_in.content("message", DAY), spoilt(client).content
    assert other.count(b"\x1f\x8b\x08") == right.count(b"\x1f\x8b\x08") + 1
    assert gzip.decompress(other) == gzip.decompress(right)


@pytest.mark.parametrize(
    ("details", "position", "line"),
    [({}, 10, b"This is not a JSON object"), ({"line": "[1]", "after": 0}, 0, b"[1]"), ({"after": 1.0}, 20, b"This")],
)
def test_one_line_can_be_no_json_object(
    client: Client, stand_in: FirestreamStandIn, details: dict[str, Any], position: int, line: bytes
) -> None:
    stand_in.fail(Fault.NOT_JSON, **details)
    right = gzip.decompress(stand_in.content("message", DAY)).splitlines()
    wrong = gzip.decompress(spoilt(client).content).splitlines()
    assert wrong.pop(position).startswith(line)
    assert wrong == right


def test_a_backup_can_be_empty(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.EMPTY)
    assert spoilt(client).content == b""


def test_a_backup_can_be_said_to_be_encoded(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.CONTENT_ENCODING)
    link = client.link()
    with client.session.get(link, stream=True, timeout=10) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.raw.read(decode_content=False) == stand_in.content("message", DAY)


def test_a_backup_can_be_cut_short_in_itself(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.CUT, after=100)
    assert spoilt(client).content == stand_in.content("message", DAY)[:100]


def test_a_whole_backup_can_come_without_a_length(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.NO_LENGTH)
    answer = client.get(client.link())
    assert answer.content == stand_in.content("message", DAY)
    assert answer.headers["Connection"] == "close"
    assert not {"Content-Length", "Transfer-Encoding"} & set(answer.headers)


def test_a_spoilt_content_has_a_tag_of_its_own(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.CUT)
    assert spoilt(client).headers["ETag"] != spoilt(client).headers["ETag"]


def test_a_link_stays_as_spoilt_as_it_was_and_the_next_one_is_good(client: Client, stand_in: FirestreamStandIn) -> None:
    right = stand_in.content("message", DAY)
    stand_in.fail(Fault.CUT, after=100)
    first, second = client.link(), client.link()
    assert client.get(second).content == right
    assert [client.get(first).content for _ in range(2)] == [right[:100]] * 2


def test_a_fault_of_the_content_can_persist(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.EMPTY, times=None, day=DAY)
    assert [client.download() for _ in range(3)] == [b""] * 3
    assert client.download("message/2024/01/03")


def test_a_spoilt_content_can_be_transferred_badly_too(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.CUT, after=100)
    stand_in.fail(Fault.TRUNCATED, after=10)
    declared, body, _ = to_the_end(client.link())
    assert (declared, len(body)) == (100, 10)


# What was seen, and how it runs


def test_every_request_to_either_host_is_remembered(client: Client, stand_in: FirestreamStandIn, clock: Clock) -> None:
    link = client.link()
    client.get(link, Range="bytes=0-1")
    client.ask("nonsense", login=None)
    client.send("HEAD", link)
    asked, followed, refused, headed = stand_in.requests
    assert (asked.host, asked.method, asked.path) == ("api", "GET", "/backups/message/2024/01/02")
    assert asked.headers["authorization"] == "Basic ZGVtby11c2VyOmRlbW8tcGFzc3dvcmQ="
    assert (asked.query, asked.at) == ({}, clock.now)
    assert (followed.host, followed.path, followed.headers["range"]) == ("link", urlsplit(link).path, "bytes=0-1")
    assert followed.query["X-Amz-Signature"] in link
    assert (refused.host, refused.path) == ("api", "/backups/nonsense")
    assert (headed.host, headed.method) == ("link", "HEAD")


@pytest.mark.usefixtures("ten")
def test_what_was_served_is_counted_by_day(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.TRUNCATED, after=4)
    to_the_end(client.link())
    assert stand_in.served["message", DAY] == 4
    client.get(client.link(), Range="bytes=4-")
    client.get(client.link(), Range="bytes=10-")
    client.ask("message/2008/01/01")
    other = client.download("activity/2024/01/02")
    assert stand_in.served == {("message", DAY): 10, ("activity", DAY): len(other)}
    assert stand_in.redirects == 4


def test_what_a_client_that_went_away_did_not_take_is_not_counted(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.put("message", DAY, bytes(100_000_000))
    link, before = client.link(), set(threading.enumerate())
    with raw(link) as connection:
        connection.sendall(raw_request(link))
        up_to(connection, b"\r\n\r\n\0")
        serving = set(threading.enumerate()) - before
    for thread in serving:
        thread.join(10)
        assert not thread.is_alive()
    assert 0 < stand_in.served["message", DAY] < 50_000_000


@pytest.mark.usefixtures("ten")
def test_transfers_at_once_are_counted(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.STALL, times=2)
    links = [client.link() for _ in range(3)]
    with raw(links[0]) as first, raw(links[1]) as second:
        for connection, link in ((first, links[0]), (second, links[1])):
            connection.sendall(raw_request(link))
            up_to(connection, b"\r\n\r\n01234")
    assert stand_in.most_at_once == 2


def test_transfers_one_after_another_are_not_at_once(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.put("message", DAY, b"x")
    link = client.link()
    for _ in range(50):
        with requests.Session() as session:
            session.trust_env = False
            assert session.get(link, timeout=10).content == b"x"
    assert stand_in.most_at_once == 1


def test_a_reset_forgets_everything_but_the_settings(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.put("message", DAY, b"put")
    stand_in.configure(password="new")
    link = client.send("GET", f"{stand_in.url}/backups/message/2024/01/02", auth=("demo-user", "new")).headers[
        "Location"
    ]
    client.get(link)
    stand_in.fail("500", times=None)
    stand_in.reset()
    assert (stand_in.requests, stand_in.redirects, stand_in.most_at_once, stand_in.served) == ([], 0, 0, {})
    assert refusal(client.get(link)) == (403, "SignatureDoesNotMatch")
    assert client.ask(login=("demo-user", "new")).status_code == 302
    assert stand_in.content("message", DAY) == data.backup("message", DAY, 20)


@pytest.mark.usefixtures("ten")
def test_a_reset_ends_no_transfer(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.STALL, seconds=3600)
    link, before = client.link(), set(threading.enumerate())
    with raw(link) as connection:
        connection.sendall(raw_request(link))
        up_to(connection, b"01234")
        silent = set(threading.enumerate()) - before
        stand_in.reset()
    for thread in silent:
        thread.join(10)
    client.download()
    assert stand_in.most_at_once == 1


@pytest.mark.parametrize("port", ["port", "link_port"])
def test_it_listens_on_loopback_only(stand_in: FirestreamStandIn, port: str) -> None:
    with socket.socket() as elsewhere:
        elsewhere.settimeout(1)
        assert elsewhere.connect_ex(("127.0.0.2", getattr(stand_in, port))) != 0


def test_it_writes_no_log(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    client.download()
    client.send("DELETE", client.link())
    client.ask("nonsense")
    assert capfd.readouterr() == ("", "")


def test_it_comes_back_on_the_same_ports(client: Client, stand_in: FirestreamStandIn) -> None:
    link = client.link()
    stand_in.stop()
    for address in (link, stand_in.url):
        with pytest.raises(requests.ConnectionError):
            client.get(address)
    stand_in.start()
    assert client.get(link).content == client.download()


@pytest.mark.usefixtures("ten")
def test_stopping_ends_silent_transfers_and_idle_connections(client: Client, stand_in: FirestreamStandIn) -> None:
    link, before = client.link(), set(threading.enumerate())
    stand_in.fail(Fault.STALL, seconds=3600)
    with raw(link) as silent, raw(link) as idle:
        silent.sendall(raw_request(link))
        up_to(silent, b"01234")
        idle.sendall(raw_request(link))
        up_to(idle, b"0123456789")
        serving = set(threading.enumerate()) - before
        stand_in.stop()
        for connection in (silent, idle):
            while connection.recv(1 << 16):
                pass
        for thread in serving:
            thread.join(10)
            assert not thread.is_alive()


# The control plane


@pytest.mark.usefixtures("ten")
def test_another_process_can_plan_faults(client: Client) -> None:
    planned = {"fault": "truncated-undeclared", "times": None, "file_type": "message", "day": "2024-01-02", "after": 3}
    assert client.control("faults", **planned).status_code == 200
    assert [client.download() for _ in range(2)] == [b"012"] * 2


@pytest.mark.parametrize("planned", [{}, {"fault": "flood"}, {"fault": "500", "day": "soon"}])
def test_another_process_hears_what_is_wrong_with_its_fault(client: Client, planned: dict[str, str]) -> None:
    answer = client.control("faults", **planned)
    assert answer.status_code == 400
    assert answer.text


def test_another_process_can_change_settings(client: Client, stand_in: FirestreamStandIn) -> None:
    changes = {
        "username": "me",
        "password": "new",
        "link_seconds": 9,
        "first_day": "2024-01-01",
        "last_day": None,
        "today": "2024-01-06",
        "lag_days": 2,
        "missing": ["2024-01-03", ["message", "2024-01-02"]],
        "messages_per_day": 5,
        "activities_per_day": 6,
    }
    assert client.control("settings", **changes).status_code == 200
    days = [f"2024/01/{day:02}" for day in range(1, 6)]
    asked = [f"{file_type}/{day}" for file_type in ("message", "activity") for day in days]
    found = [client.ask(path, login=("me", "new")).status_code for path in asked]
    assert (found[:5], found[5:]) == ([302, 404, 404, 302, 404], [302, 302, 404, 302, 404])
    assert (stand_in.link_seconds, stand_in.messages_per_day, stand_in.activities_per_day) == (9, 5, 6)


@pytest.mark.parametrize("changes", [{"port": 1}, {"first_day": "soon"}, {"missing": ["soon"]}])
def test_another_process_cannot_change_what_is_no_setting(client: Client, changes: dict[str, Any]) -> None:
    assert client.control("settings", **changes).status_code == 400
    assert client.ask().status_code == 302


def test_another_process_can_put_a_file(client: Client, tmp_path: Path) -> None:
    (tmp_path / "day.gz").write_bytes(b"exactly this")
    put = {"file_type": "message", "day": "2024-01-02", "file": str(tmp_path / "day.gz")}
    assert client.control("put", **put).status_code == 200
    assert client.download() == b"exactly this"
    assert client.control("put", **put | {"file": str(tmp_path / "nothing.gz")}).status_code == 400


@pytest.mark.usefixtures("ten")
def test_another_process_can_see_the_counts(client: Client) -> None:
    client.download()
    client.link()
    assert client.shown("stats") == {
        "requests": 3,
        "redirects": 2,
        "most_at_once": 1,
        "served": {"message/2024-01-02": 10},
    }


def test_another_process_can_see_the_requests(client: Client) -> None:
    client.download()
    asked, followed = client.shown("requests")
    assert (asked["host"], asked["path"]) == ("api", "/backups/message/2024/01/02")
    assert asked["headers"]["Authorization"].startswith("Basic ")
    assert (followed["host"], followed["method"]) == ("link", "GET")


def test_another_process_can_reset(client: Client, stand_in: FirestreamStandIn) -> None:
    client.link()
    assert client.control("reset").status_code == 200
    assert stand_in.redirects == 0


def test_the_control_plane_has_nothing_else(client: Client, stand_in: FirestreamStandIn) -> None:
    assert client.send("GET", f"{stand_in.url}/_standin/reset").status_code == 404


# The command


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_it_is_told_to_stop(stop: signal.Signals) -> None:
    options = [
        "--port",
        "0",
        "--link-port",
        "0",
        "--username",
        "me",
        "--last-day",
        "2024-01-02",
        "--missing",
        "2024-01-01",
    ]
    command = [sys.executable, "-m", "local.stand_ins.firestream", *options, "--messages-per-day", "3"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        try:
            found = re.findall(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert len(set(found)) == 2
            with requests.Session() as session:
                session.trust_env = False
                login = ("me", "demo-password")
                statuses = {
                    day: session.get(f"{found[0]}/backups/message/{day}", auth=login, timeout=10, allow_redirects=False)
                    for day in ("2024/01/01", "2024/01/02", "2024/01/03")
                }
                assert [answer.status_code for answer in statuses.values()] == [404, 302, 404]
                link = statuses["2024/01/02"].headers["Location"]
                assert link.startswith(found[1])
                assert len(records(session.get(link, timeout=10).content)) == 3
        finally:
            process.send_signal(stop)
        assert process.wait(10) == 0
        assert process.stderr.read() == ""
