"""The contrary mode of the stand-in for Firestream: what it draws by a seed, over real HTTP."""

import gzip
import json
from collections import Counter
from collections.abc import Sequence
from datetime import date
from itertools import product
from typing import Any

import pytest
import requests

from local.stand_ins.firestream.contrary import BEHAVIOURS, Contrary, Kind
from local.stand_ins.firestream.contrary_mode import ContraryMode
from local.stand_ins.firestream.faults import Fault, Stage, catalogue
from local.stand_ins.firestream.server import FirestreamStandIn
from tests.stand_ins.firestream.client import DAY, ROOT, Client, follow

DAYS = [date(2023, 12, day) for day in range(1, 21)]
FILES = [*product(("message", "activity"), DAYS)]
PATHS = [f"{file_type}/{day:%Y/%m/%d}" for file_type, day in FILES]
FOLLOWED = [each for each in Contrary if each is not Contrary.REDIRECT_BAD]
"""A bad address breaks the client of these tests."""

DRAWS = [(fault, details) for fault, behaviour in BEHAVIOURS.items() for details in behaviour.draws]


def outcome(answers: Sequence[requests.Response]) -> object:
    """Return what came, but for the addresses, which have a signature of their own each time."""
    named = [answer.headers.get("ETag") for answer in answers]
    return [answer.status_code for answer in answers], named, answers[-1].content


def outcomes(client: Client, seed: int | None, paths: Sequence[str] = PATHS, **changes: Any) -> dict[str, object]:
    """Return what three requests for each file bring, from a stand-in in contrary mode that was not asked before."""
    client.stand_in.reset()
    names = [each for each in FOLLOWED if each not in {Contrary.ETAG, Contrary.LAST_MODIFIED}]
    client.stand_in.configure(**{"contrary": seed, "contrary_behaviours": names, **changes})
    return {path: [outcome(follow(client, path)) for _ in range(3)] for path in paths}


@pytest.mark.parametrize("seed", range(3))
def test_the_same_seed_is_contrary_in_the_same_way_in_any_order(client: Client, seed: int) -> None:
    assert outcomes(client, seed) == outcomes(client, seed, PATHS[::-1]) != outcomes(client, seed + 1)


def test_a_share_of_zero_draws_nothing(client: Client) -> None:
    assert outcomes(client, 1, contrary_share=0.0) == outcomes(client, None)


def test_it_can_start_contrary() -> None:
    with FirestreamStandIn(contrary=1, contrary_share=1.0, contrary_behaviours=["few-lines"]) as stand_in:
        client = Client(stand_in)
        with client.session:
            assert len(gzip.decompress(client.download()).splitlines()) <= 3


def test_the_mode_can_be_limited_to_some_behaviours(client: Client, stand_in: FirestreamStandIn) -> None:
    outcomes(client, 1, contrary_share=1.0, contrary_behaviours=["crlf", "retry-after"])
    assert {each.fault for _, _, each in stand_in.faulted} == {Contrary.RETRY_AFTER}
    assert all(b"\r\n" in gzip.decompress(offered(stand_in, *file)) for file in FILES)


def offered(stand_in: FirestreamStandIn, file_type: str, day: date) -> bytes:
    backup = stand_in.offered(file_type, day)
    return backup.read() if backup else b""


def test_every_behaviour_is_drawn_sooner_or_later() -> None:
    drawn: Counter[str] = Counter()
    for mode in (ContraryMode(seed, 0.5) for seed in range(20)):
        for file in FILES:
            drawn.update(each.fault for each in mode.of_file(*file))
            met = [mode.of_request(stage, *file) for stage in Stage]
            drawn.update(each.fault for each in met if each)
    assert drawn.keys() == set(Contrary)


def test_a_file_stays_as_it_was_drawn(client: Client, stand_in: FirestreamStandIn) -> None:
    names = [each for each in Contrary if BEHAVIOURS[each].kind is Kind.CONTENT and not BEHAVIOURS[each].spoils]
    stand_in.configure(contrary=1, contrary_share=0.7, contrary_behaviours=names)
    odd = 0
    for path, file in zip(PATHS, FILES, strict=True):
        first, second = client.get(client.link(path)), client.get(client.link(path))
        assert first.content == second.content == offered(stand_in, *file)
        assert first.headers["ETag"] == second.headers["ETag"]
        odd += first.content != stand_in.content(*file)
    assert odd > len(FILES) / 2


def test_a_day_that_is_drawn_to_be_late_comes_when_it_was_asked_for_often_enough(
    client: Client, stand_in: FirestreamStandIn
) -> None:
    stand_in.configure(contrary=1, contrary_share=1.0, contrary_behaviours=["late"])
    statuses = [[client.ask(path).status_code for _ in range(4)] for path in PATHS]
    assert {each[-1] for each in statuses} == {302}
    assert {each[0] for each in statuses} == {302, 404}


def test_a_damaged_file_is_drawn_for_single_links(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.configure(contrary=1, contrary_share=0.5, contrary_behaviours=["damaged"])
    sound = {file for file in FILES if not stand_in.spoils(*file)}
    for path, file in zip(PATHS, FILES, strict=True):
        came = [client.download(path) == stand_in.content(*file) for _ in range(12)]
        assert any(came) == (file in sound)
    assert 0 < len(sound) < len(FILES)


def test_how_files_are_identified_is_drawn_for_the_whole_run(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.configure(contrary_share=0.5, contrary_behaviours=["etag"])
    with_etag = set()
    for seed in range(20):
        stand_in.configure(contrary=seed)
        there = {"ETag" in client.get(client.link(path)).headers for path in PATHS[:3]}
        assert len(there) == 1
        with_etag |= there
    assert with_etag == {True, False}


def test_a_planned_fault_precedes_what_is_drawn(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.configure(contrary=1, contrary_share=1.0, contrary_behaviours=["error"])
    stand_in.fail("400")
    assert [client.ask().status_code for _ in range(2)] == [400, stand_in.faulted[-1][2].details["status"]]


def test_without_a_seed_nothing_is_contrary(client: Client, stand_in: FirestreamStandIn) -> None:
    outcomes(client, 1)
    assert stand_in.faulted
    outcomes(client, None)
    assert (stand_in.contrary, stand_in.faulted, stand_in.spoils("message", DAY)) == (None, [], False)


def test_another_process_can_make_it_contrary(client: Client, stand_in: FirestreamStandIn) -> None:
    changes = {"contrary": 7, "contrary_share": 1.0, "contrary_behaviours": ["crlf"]}
    assert client.control("settings", **changes).status_code == 200
    assert b"\r\n" in gzip.decompress(client.download())
    assert client.control("settings", contrary=None).status_code == 200
    assert b"\r\n" not in gzip.decompress(client.download())


@pytest.mark.parametrize(
    "changes", [{"contrary": 1, "contrary_behaviours": ["no-such"]}, {"contrary": 1, "contrary_share": 2}]
)
def test_a_mode_that_makes_no_sense_is_refused(
    client: Client, stand_in: FirestreamStandIn, changes: dict[str, Any]
) -> None:
    assert client.control("settings", **changes).status_code == 400
    assert (stand_in.contrary, client.ask().status_code) == (None, 302)


@pytest.mark.parametrize(("fault", "details"), DRAWS, ids=[f"{fault} {json.dumps(draw)}" for fault, draw in DRAWS])
def test_whatever_can_be_drawn_can_be_planned_and_is_answered(
    client: Client, fault: Contrary, details: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    assert client.control("faults", fault=fault, **details).status_code == 200
    for _ in range(2):
        if fault is Contrary.REDIRECT_BAD:
            assert client.send("GET", f"{client.stand_in.url}/backups/message/2024/01/02").status_code == 401
        else:
            assert follow(client)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("seed", range(12))
def test_no_seed_breaks_the_server(
    client: Client, stand_in: FirestreamStandIn, seed: int, capfd: pytest.CaptureFixture[str]
) -> None:
    stand_in.configure(contrary=seed, contrary_share=0.8, contrary_behaviours=FOLLOWED)
    for path in PATHS:
        answers = follow(client, path)
        condition = {"If-None-Match": answers[-1].headers.get("ETag") or "*", "Range": "bytes=1-"}
        client.send("GET", answers[-1].url, headers=condition)
    assert len(stand_in.faulted) > len(PATHS)
    assert capfd.readouterr() == ("", "")


def test_faults_and_behaviours_have_different_names() -> None:
    assert not {*Fault} & {*Contrary}
    assert BEHAVIOURS.keys() == set(Contrary)


def test_another_process_is_told_what_can_be_planned(client: Client) -> None:
    told = client.shown("faults")
    assert told == json.loads(json.dumps(catalogue()))
    assert [each["fault"] for each in told] == [*Fault, *Contrary]
    assert all(each["words"] for each in told)
    assert next(each for each in told if each["fault"] == "damaged")["forms"] == [*BEHAVIOURS[Contrary.DAMAGED].forms]


def documented() -> str:
    """Return the part of the documents about this stand-in."""
    text = (ROOT / "docs/local-development.md").read_text()
    return text.partition("#### When Firestream does not answer as documented")[2].partition("\n## ")[0]


@pytest.mark.parametrize("behaviour", Contrary)
def test_the_documents_describe_each_behaviour_and_its_forms(behaviour: Contrary) -> None:
    described = BEHAVIOURS[behaviour]
    forms = ", ".join(f"`{form}`" for form in described.forms)
    told = f"{described.words}; `{described.main}`: {forms}" if forms else described.words
    assert f"\n| `{behaviour}` | {told} |\n" in documented()


def test_the_documents_name_each_fault() -> None:
    text = (ROOT / "docs/local-development.md").read_text()
    assert [each for each in Fault if f"`{each}`" not in text] == []
