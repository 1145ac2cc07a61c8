"""The redirects from the API of the stand-in for Firestream to its links: several, relative, endless, and bad ones."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
import urllib3

from local.stand_ins.firestream.server import FirestreamStandIn
from tests.servers import self_signed
from tests.stand_ins.firestream.client import DAY, LOGIN, Client, follow, refusal

STATUSES = [301, 302, 303, 307, 308]


def hosts(client: Client, answers: Sequence[requests.Response]) -> list[str]:
    """Return which host gave each answer."""
    names = {urlsplit(client.stand_in.url).netloc: "api", urlsplit(client.stand_in.link_url).netloc: "link"}
    return [names[urlsplit(answer.url).netloc] for answer in answers]


@pytest.mark.usefixtures("ten")
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("hops", [0, 1, 5])
def test_several_redirects_with_any_status_can_lead_to_a_link(
    client: Client, stand_in: FirestreamStandIn, status: int, hops: int
) -> None:
    stand_in.fail("redirect", status=status, hops=hops)
    *redirects, last = follow(client)
    assert [answer.status_code for answer in redirects] == [status] * (hops + 1)
    assert last.content == b"0123456789"
    assert client.ask().status_code == 302


@pytest.mark.usefixtures("ten")
@pytest.mark.parametrize(
    ("via", "there"),
    [
        ("api", ["api", "api", "api", "api", "link"]),
        ("link", ["api", "link", "link", "link", "link"]),
        ("both", ["api", "api", "link", "api", "link"]),
    ],
)
def test_redirects_can_lead_over_either_host(
    client: Client, stand_in: FirestreamStandIn, via: str, there: list[str]
) -> None:
    stand_in.fail("redirect", via=via, hops=3)
    answers = follow(client)
    assert hosts(client, answers) == there
    assert answers[-1].content == b"0123456789"
    assert stand_in.leaked_logins == []


@pytest.mark.usefixtures("ten")
@pytest.mark.parametrize(
    ("form", "starts"),
    [("root", ["/hops/1?", "/hops/2?"]), ("relative", ["../../../../hops/1?", "2?"]), ("scheme", ["//127.0.0.1:"] * 2)],
)
def test_addresses_can_be_relative_to_the_request(
    client: Client, stand_in: FirestreamStandIn, form: str, starts: list[str]
) -> None:
    stand_in.fail("redirect", form=form, hops=2)
    answers = follow(client)
    given = [answer.headers["Location"] for answer in answers[:2]]
    assert all(address.startswith(start) for address, start in zip(given, starts, strict=True)), given
    assert answers[-1].content == b"0123456789"


def test_the_addresses_in_between_want_the_login_on_the_host_of_the_api_alone(
    client: Client, stand_in: FirestreamStandIn
) -> None:
    stand_in.fail("redirect", via="both", hops=2)
    first = client.link()
    assert client.get(first).status_code == 401
    second = client.send("GET", first, auth=LOGIN).headers["Location"]
    assert refusal(client.send("GET", second, auth=LOGIN)) == (400, "InvalidArgument")
    assert [seen.path for seen in stand_in.leaked_logins] == ["/hops/2"]


def test_a_way_back_to_the_api_needs_no_login(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail("redirect", via="both", hops=3)
    second = client.send("GET", client.link(), auth=LOGIN).headers["Location"]
    third = client.get(second).headers["Location"]
    assert third.startswith(f"{stand_in.url}/hops/3?")
    assert [client.send("GET", third, auth=login).status_code for login in (None, LOGIN)] == [302, 302]


@pytest.mark.usefixtures("ten")
@pytest.mark.parametrize("form", ["absolute", "root", "relative", "scheme"])
@pytest.mark.parametrize("via", ["api", "link", "both"])
def test_a_client_that_follows_as_curl_does_gets_the_file_over_any_redirects(
    client: Client, stand_in: FirestreamStandIn, form: str, via: str
) -> None:
    stand_in.fail("redirect", form=form, via=via, hops=5, status=307)
    assert follow(client)[-1].content == b"0123456789"
    assert stand_in.leaked_logins == []


@pytest.mark.parametrize("via", ["api", "link", "both"])
@pytest.mark.parametrize(("form", "different"), [("self", 2), ("pair", 3), ("endless", 10)])
def test_redirects_can_have_no_end(
    client: Client, stand_in: FirestreamStandIn, form: str, different: int, via: str
) -> None:
    stand_in.fail("redirect-loop", form=form, via=via)
    answers = follow(client)
    assert {answer.status_code for answer in answers} == {302}
    assert len({answer.url for answer in answers}) == different


def test_a_redirect_can_lead_back_to_the_request(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail("redirect-loop", form="origin", times=None)
    assert len({answer.url for answer in follow(client)}) == 1


@pytest.mark.parametrize(
    ("form", "location"),
    [
        ("missing", None),
        ("empty", ""),
        ("nonsense", "http://[not-an-address"),
        ("ftp", "ftp://127.0.0.1/day.gz"),
        ("file", "file:///etc/hostname"),
        ("unreachable", "http://127.0.0.1:1/day.gz"),
    ],
)
@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_can_lead_nowhere(stand_in: FirestreamStandIn, form: str, location: str | None, status: int) -> None:
    stand_in.fail("redirect-bad", form=form, status=status)
    login = urllib3.make_headers(basic_auth=":".join(LOGIN))
    with urllib3.PoolManager() as http:  # requests looks at an address even where it does not follow it
        answer = http.request("GET", f"{stand_in.url}/backups/message/2024/01/02", headers=login, redirect=False)
    assert (answer.status, answer.headers.get("Location")) == (status, location)


def test_an_api_with_tls_redirects_to_plain_http(tmp_path: Path) -> None:
    tls, _ = self_signed(tmp_path)
    with FirestreamStandIn(messages_per_day=20, tls=tls) as stand_in:
        stand_in.put("message", DAY, b"0123456789")
        client = Client(stand_in)
        with client.session, pytest.warns(Warning, match="Unverified HTTPS"):
            first, last = follow(client)
    assert first.url.startswith("https://")
    assert last.url.startswith("http://")
    assert last.content == b"0123456789"


@pytest.mark.parametrize("path", ["/hops/1", "/hops/1?X-Amz-Signature=0", "/hops/x"])
def test_an_address_in_between_that_was_not_given_is_not_there(
    client: Client, stand_in: FirestreamStandIn, path: str
) -> None:
    assert client.send("GET", stand_in.url + path, auth=LOGIN).status_code == 404
    assert client.get(stand_in.link_url + path).status_code == 403
