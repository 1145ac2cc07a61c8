"""The content of the backups of the stand-in for Firestream."""

import hashlib
import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from local.stand_ins.firestream import data
from local.stand_ins.firestream.server import FirestreamStandIn
from tests.stand_ins.firestream.client import DAY, ROOT, Client, records, to_the_end


def test_a_download_is_the_backup_of_the_day(client: Client, stand_in: FirestreamStandIn) -> None:
    assert client.download() == stand_in.content("message", DAY) == data.backup("message", DAY, 20)
    assert client.download("activity/2024/01/02") == data.backup("activity", DAY, 20)


def test_a_missing_backup_has_no_content(stand_in: FirestreamStandIn) -> None:
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


def test_a_truncated_file_ends_its_transfer(client: Client, stand_in: FirestreamStandIn, tmp_path: Path) -> None:
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
