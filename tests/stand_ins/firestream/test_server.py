"""How the stand-in for Firestream serves: what it records and counts, and how it stops."""

import socket
import threading
from urllib.parse import urlsplit

import pytest
import requests

from local.stand_ins.firestream import data
from local.stand_ins.firestream.faults import Fault
from local.stand_ins.firestream.server import FirestreamStandIn
from tests.stand_ins.firestream.client import DAY, Client, Clock, raw, raw_request, refusal, to_the_end, up_to


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


def test_what_a_disconnected_client_did_not_receive_is_not_counted(client: Client, stand_in: FirestreamStandIn) -> None:
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
def test_concurrent_transfers_are_counted(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.STALL, times=2)
    links = [client.link() for _ in range(3)]
    with raw(links[0]) as first, raw(links[1]) as second:
        for connection, link in ((first, links[0]), (second, links[1])):
            connection.sendall(raw_request(link))
            up_to(connection, b"\r\n\r\n01234")
    assert stand_in.most_at_once == 2


def test_consecutive_transfers_are_not_concurrent(client: Client, stand_in: FirestreamStandIn) -> None:
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
def test_stopping_ends_stalled_transfers_and_idle_connections(client: Client, stand_in: FirestreamStandIn) -> None:
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
