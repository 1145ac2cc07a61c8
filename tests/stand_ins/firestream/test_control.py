"""Controlling the stand-in for Firestream from another process, and its command."""

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from local.stand_ins.firestream.server import FirestreamStandIn
from tests.stand_ins.firestream.client import ROOT, Client, Clock, records


@pytest.mark.usefixtures("ten")
def test_another_process_can_plan_faults(client: Client) -> None:
    planned = {"fault": "truncated-undeclared", "times": None, "file_type": "message", "day": "2024-01-02", "after": 3}
    assert client.control("faults", **planned).status_code == 200
    assert [client.download() for _ in range(2)] == [b"012"] * 2


@pytest.mark.parametrize("planned", [{}, {"fault": "flood"}, {"fault": "500", "day": "soon"}])
def test_another_process_gets_the_reason_why_a_fault_is_invalid(client: Client, planned: dict[str, str]) -> None:
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
def test_another_process_cannot_change_an_unknown_setting(client: Client, changes: dict[str, Any]) -> None:
    assert client.control("settings", **changes).status_code == 400
    assert client.ask().status_code == 302


def test_another_process_can_put_a_file(client: Client, tmp_path: Path) -> None:
    (tmp_path / "day.gz").write_bytes(b"exactly this")
    put = {"file_type": "message", "day": "2024-01-02", "file": str(tmp_path / "day.gz")}
    assert client.control("put", **put).status_code == 200
    assert client.download() == b"exactly this"
    assert client.control("put", **put | {"file": str(tmp_path / "nothing.gz")}).status_code == 400


def test_another_process_can_put_a_file_or_none_from_a_moment_on(client: Client, clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "day.gz").write_bytes(b"exactly this")
    put = {"file_type": "message", "day": "2024-01-02"}
    client.control("put", **put, file=str(tmp_path / "day.gz"), at="2024-01-10T12:00:10Z")
    client.control("put", **put, file=None, at=clock.now + 20)
    assert client.download() != b"exactly this"
    clock.now += 10
    assert client.download() == b"exactly this"
    clock.now += 10
    assert client.ask().status_code == 404


@pytest.mark.usefixtures("ten")
def test_another_process_can_see_the_counts(client: Client) -> None:
    client.download()
    client.link()
    assert client.shown("stats") == {
        "requests": 3,
        "redirects": 2,
        "most_at_once": 1,
        "served": {"message/2024-01-02": 10},
        "counts": {"message/2024-01-02": {"api": {"small": 2}, "link": {"body": 1}}},
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


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_a_signal(stop: signal.Signals) -> None:
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
