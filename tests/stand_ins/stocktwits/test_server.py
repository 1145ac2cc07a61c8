"""How the stand-in for StockTwits serves: what it records, its limits, and how it stops."""

import json
import socket
import threading
import time

import pytest
import requests

from local.stand_ins.stocktwits.server import StandIn
from tests.stand_ins.stocktwits.client import (
    PNG,
    Client,
    Clock,
    bodies,
    error,
    raw,
    raw_request,
)


def test_every_request_to_the_api_is_remembered(client: Client, stand_in: StandIn, clock: Clock) -> None:
    client.send("POST", "/api/2/messages/create.json?a=1", data={"body": ""}, headers={"User-Agent": "relay"})
    client.upload(PNG)
    refused, uploaded = stand_in.requests
    assert (refused.method, refused.path) == ("POST", "/api/2/messages/create.json")
    assert (refused.query, refused.fields, refused.at) == ({"a": "1"}, {"body": ""}, clock.now)
    assert refused.headers.get("user-agent") == refused.headers.get("USER-AGENT") == "relay"
    assert uploaded.files == {"chart": PNG}


def test_a_kept_connection_counts_once(client: Client, stand_in: StandIn) -> None:
    for body in ("one", "two"):
        client.post(body)
    Client(stand_in).post("three")
    assert stand_in.connections == 2


def test_a_reset_forgets_everything_but_the_last_id(client: Client, stand_in: StandIn) -> None:
    before = client.post().json()["message"]["id"]
    stand_in.fail("401", times=None)
    stand_in.reset()
    assert (stand_in.posts, stand_in.requests, stand_in.connections) == ([], [], 0)
    assert client.post().json()["message"]["id"] > before


def test_an_answer_takes_as_long_as_the_latency(client: Client, stand_in: StandIn) -> None:
    stand_in.configure(latency_seconds=0.05)
    began = time.monotonic()
    client.post()
    assert time.monotonic() - began >= 0.05


def test_an_answer_leaves_in_one_piece(stand_in: StandIn) -> None:
    with raw(stand_in) as connection:
        connection.sendall(raw_request())
        head, _, body = connection.recv(1 << 16).partition(b"\r\n\r\n")
    assert json.loads(body)["message"]["body"] == "hello"
    assert f"Content-Length: {len(body)}".encode() in head


def test_a_truncated_request_posts_nothing(stand_in: StandIn) -> None:
    with raw(stand_in) as connection:
        connection.sendall(raw_request("body=hel", length=len("body=hello")))
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert (stand_in.posts, stand_in.requests) == ([], [])


def test_a_form_that_is_not_utf8_is_refused(client: Client) -> None:
    assert error(client.send("POST", "/api/2/messages/create.json", data="body=%ff"))[0] == 400


def test_a_request_without_a_length_is_refused(client: Client) -> None:
    assert error(client.send("POST", "/api/2/messages/create.json", data=iter([b"body=x"])))[0] == 411


def test_a_request_over_eight_megabytes_is_refused(client: Client, stand_in: StandIn) -> None:
    answer = client.send("POST", "/api/2/messages/create.json", data=b"x" * 8_000_001)
    assert error(answer)[0] == 413
    assert stand_in.requests == []


def test_it_listens_on_loopback_only(stand_in: StandIn) -> None:
    with socket.socket() as elsewhere:
        elsewhere.settimeout(1)
        assert elsewhere.connect_ex(("127.0.0.2", stand_in.port)) != 0


def test_it_writes_no_log(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    client.get("/api/2/account/verify.json?access_token=demo-token")
    client.send("DELETE", "/api/2/account/verify.json?access_token=demo-token")
    assert capfd.readouterr() == ("", "")


def test_it_comes_back_on_the_same_port(client: Client, stand_in: StandIn) -> None:
    client.post("before")
    stand_in.stop()
    with pytest.raises(requests.ConnectionError):
        client.post("meanwhile")
    stand_in.start()
    client.post("after")
    assert bodies(stand_in) == ["before", "after"]


def test_stopping_does_not_wait_for_a_delayed_answer(stand_in: StandIn) -> None:
    before = set(threading.enumerate())
    stand_in.fail("timeout-after", seconds=3600)
    with raw(stand_in) as connection:
        connection.sendall(raw_request())
        while not stand_in.posts:
            time.sleep(0.001)
        holding = set(threading.enumerate()) - before
        stand_in.stop()
        assert connection.recv(1) == b""
        for thread in holding:
            thread.join(10)
            assert not thread.is_alive()


def test_stopping_closes_idle_connections(stand_in: StandIn) -> None:
    with raw(stand_in) as connection:
        connection.sendall(raw_request())
        assert connection.recv(1 << 16)
        stand_in.stop()
        assert connection.recv(1) == b""
