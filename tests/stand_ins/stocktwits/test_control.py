"""Controlling the stand-in for StockTwits from another process, and its command."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from local.stand_ins.stocktwits.server import StandIn
from tests.stand_ins.stocktwits.client import GIF, Client, error


def test_another_process_can_plan_faults(client: Client) -> None:
    planned = {"fault": "5xx-before", "times": None, "text": "$AAPL", "path": "messages/create", "status": 504}
    assert client.control("faults", **planned).status_code == 200
    assert [client.post(body).status_code for body in ("$AAPL", "$AAPL", "$MSFT")] == [504, 504, 200]


@pytest.mark.parametrize("planned", [{}, {"fault": "flood"}, {"fault": "401", "colour": "red"}])
def test_another_process_gets_the_reason_why_a_fault_is_invalid(client: Client, planned: dict[str, str]) -> None:
    assert error(client.control("faults", **planned))[0] == 400


def test_another_process_can_change_settings(client: Client, stand_in: StandIn) -> None:
    changes = {"latency_seconds": 0.01, "rate_limit": 9, "near_identical": True, "access_token": "new"}
    assert client.control("settings", **changes).status_code == 200
    assert error(client.post())[0] == 401
    assert (stand_in.latency_seconds, stand_in.rate_limit, stand_in.near_identical) == (0.01, 9, True)


def test_another_process_cannot_change_an_unknown_setting(client: Client, stand_in: StandIn) -> None:
    assert error(client.control("settings", port=1))[0] == 400
    assert stand_in.port != 1


def test_another_process_can_see_the_posts(client: Client, stand_in: StandIn) -> None:
    client.post("a < b", sentiment="bearish", in_reply_to_message_id=7, chart="https://example.com/c.png")
    client.upload(GIF, "image")
    told, uploaded = client.get("/_standin/posts").json()
    assert told == {
        "id": stand_in.posts[0].id,
        "body": "a < b",
        "sentiment": "bearish",
        "in_reply_to": 7,
        "chart": {"url": "https://example.com/c.png", "type": "", "size": 0},
        "created_at": "2027-01-15T08:00:00Z",
    }
    assert uploaded["chart"] == {"url": "", "type": "image/gif", "size": len(GIF)}


def test_another_process_can_see_the_requests(client: Client) -> None:
    client.upload(GIF, "image")
    seen = client.get("/_standin/requests").json()[0]
    assert (seen["method"], seen["path"]) == ("POST", "/api/2/messages/create.json")
    assert (seen["fields"], seen["files"]) == ({"body": "image"}, {"chart": len(GIF)})
    assert seen["headers"]["Authorization"] == "Bearer demo-token"


def test_another_process_can_see_the_counts(client: Client) -> None:
    client.post()
    client.post()
    assert client.get("/_standin/stats").json() == {"connections": 1, "requests": 2, "posts": 1}


def test_another_process_can_reset(client: Client, stand_in: StandIn) -> None:
    client.post()
    client.control("reset")
    assert stand_in.posts == []


def test_the_control_plane_has_nothing_else(client: Client) -> None:
    assert client.get("/_standin/reset").status_code == 404


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_a_signal(stop: signal.Signals) -> None:
    command = [
        sys.executable,
        "-m",
        "local.stand_ins.stocktwits",
        "--port",
        "0",
        "--username",
        "me",
        "--latency-ms",
        "1",
        "--contrary",
        "7",
        "--contrary-share",
        "0",
    ]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        try:
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert found
            with requests.Session() as session:
                session.trust_env = False
                answer = session.get(f"{found[0]}/api/2/streams/user/me.json", timeout=10)
            assert answer.json()["messages"] == []
        finally:
            process.send_signal(stop)
        assert process.wait(10) == 0
        assert process.stderr.read() == ""
