"""`relay dashboard`: the requests it refuses, and what other people wrote where the page shows it."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from relay_cli.dashboard import model, server

from tests.worlds.cli import OVERRIDE, SHOWN, CliHarness, control_characters
from tests.worlds.dashboard import HERE, MARKUP, REASON, TOKEN, Page, dashboard_cli, served
from tests.worlds.functions import Outbox
from tests.worlds.posting import PostingWorld


@pytest.fixture
def cli(world: PostingWorld, monkeypatch: pytest.MonkeyPatch) -> CliHarness:
    return dashboard_cli(world, monkeypatch)


@pytest.fixture
def archive(cli: CliHarness) -> CliHarness:
    return cli.with_backups("message")


# Refused requests


@pytest.mark.parametrize("root", ["/", "/another-secret/", f"/{TOKEN}x/", f"/{TOKEN[:-1]}/", f"//{TOKEN}/", "/%C3%A4/"])
@pytest.mark.parametrize("request_line", ["GET ", "GET static/page.js", "POST resume"])
def test_nothing_is_shown_or_done_without_the_secret(
    page: Page, cli: CliHarness, world: PostingWorld, root: str, request_line: str
) -> None:
    method, path = request_line.split(" ")
    world.pause(why={"S": "lunch"})
    calls_before = len(cli.calls)
    result = page.ask(path, method, headers={"Origin": f"http://{page.host}"}, root=root)
    assert (result.status, result.html) == (403, "Open the whole address that `relay dashboard` printed.\n")
    assert len(cli.calls) == calls_before
    assert world.item("pause")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1:{port}.evil.example", ""]
)
def test_a_name_that_only_leads_here_is_refused(page: Page, cli: CliHarness, host: str) -> None:
    calls_before = len(cli.calls)
    result = page.ask(headers={"Host": host.format(port=page.port)})
    assert (result.status, result.html) == (421, "This server does not serve that host name.\n")
    assert len(cli.calls) == calls_before


def test_a_request_of_no_host_or_of_two_is_refused(page: Page) -> None:
    assert [page.ask(headers={"Host": hosts}).status for hosts in ([], [page.host, page.host])] == [400, 400]


def test_this_machines_other_name_is_its_own(page: Page) -> None:
    assert page.ask(headers={"Host": f"localhost:{page.port}"}).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost:{port}"},  # another origin than the page's
        {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
    ],
)
def test_another_sites_post_is_refused_even_with_the_secret(
    page: Page, world: PostingWorld, headers: dict[str, str]
) -> None:
    world.pause(why={"S": "lunch"})
    result = page.ask("resume", "POST", headers={name: value.format(port=page.port) for name, value in headers.items()})
    assert (result.status, result.html) == (403, "Only the dashboard's own page may do this.\n")
    assert world.item("pause")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "null", "Sec-Fetch-Site": "same-origin"},  # a form, whose page hides its address
        {"Sec-Fetch-Site": "same-origin"},
    ],
)
def test_the_pages_own_post_is_taken(page: Page, world: PostingWorld, headers: dict[str, str]) -> None:
    world.pause(why={"S": "lunch"})
    result = page.ask("resume", "POST", headers={name: value.format(port=page.port) for name, value in headers.items()})
    assert result.status == 200
    assert world.item("pause") is None


def test_a_form_larger_than_any_of_the_page_is_refused(page: Page, world: PostingWorld) -> None:
    assert page.do("pause", why="x" * server.MAX_FORM_BYTES, lasting="").status == 413
    assert world.item("pause") is None


# Headers and escaping


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [("", {}, 200), ("static/page.js", {}, 200), ("nowhere", {}, 404), ("", {"Host": "evil.example"}, 421)],
)
def test_every_answer_tells_the_browser_to_keep_it_and_run_nothing_else(
    page: Page, path: str, headers: dict[str, str], status: int
) -> None:
    result = page.ask(path, headers=headers)
    policy = dict(each.strip().split(" ", 1) for each in result.headers["Content-Security-Policy"].split(";"))
    assert result.status == status
    assert (policy["default-src"], policy["script-src"], policy["style-src"]) == ("'none'", "'self'", "'self'")
    assert (policy["form-action"], policy["base-uri"], policy["frame-ancestors"]) == ("'self'", "'none'", "'none'")
    assert result.headers["Referrer-Policy"] == "no-referrer"
    assert result.headers["X-Content-Type-Options"] == "nosniff"
    assert result.headers["Cache-Control"] == "no-store"
    assert result.headers["Server"] is None


def test_the_page_holds_no_script_or_style_of_its_own_and_loads_nothing_from_elsewhere(
    page: Page, cli: CliHarness
) -> None:
    cli.add_dead_letter("Up 3% $AAPL", RejectReason=REASON)
    shown = page.ask().html
    assert re.findall("<script[^>]*>[^<]*", shown) == ['<script src="static/page.js" defer>']
    assert re.search(r"<style|\sstyle=|\son\w+=", shown) is None
    assert re.findall(r'(?:src|<link[^>]* href)="([^"]*)"', shown) == ["data:,", "static/page.css", "static/page.js"]


def test_every_value_is_escaped(page: Page, cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    cli.add_dead_letter(MARKUP, RejectReason=MARKUP, RelayKey=MARKUP)
    world.pause(who={"S": MARKUP}, why={"S": MARKUP})
    outbox.send(f"{MARKUP} $AAPL")
    run = outbox.run()
    for line in run.deliveries:
        line |= {"url": f'javascript:"{MARKUP}', "text": MARKUP, "outcome": MARKUP, "reason": MARKUP}
        line["sentiment"] = MARKUP
    cli.log(run)
    shown = page.ask()
    assert "<script>" not in shown.html
    assert shown.part("letters").count(MARKUP) == 3
    assert shown.part("gate").count(MARKUP) == 2
    assert shown.part("posts").count(MARKUP) == 6
    assert 'href="javascript:' not in shown.html
    assert page.do("pause", why=MARKUP, lasting="").notice == f"Paused until resumed: {MARKUP}."


def test_what_a_message_waits_for_is_escaped(page: Page, cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    world.pause(who={"S": MARKUP}, why={"S": MARKUP})
    outbox.send("Up 3% $AAPL")
    run = outbox.run()
    for line in run.deliveries:
        line["holds"] = [{"cause": MARKUP, "reason": f"{MARKUP}{OVERRIDE}", "until": world.clock() + 60}]
    cli.log(run)
    shown = page.ask()
    assert "<script>" not in shown.html
    assert not control_characters(shown.html)
    assert (shown.part("waits").count(MARKUP), shown.part("waits").count(SHOWN)) == (3, 1)


# Hostile content


def letters(cli: CliHarness, **attributes: str) -> None:
    """Let SQS hand over a letter with such attributes, and another one."""
    system = {"ApproximateReceiveCount": "2", "SentTimestamp": "1795273200000"}
    found = [
        {
            "MessageId": name,
            "ReceiptHandle": name,
            "Body": f"{name} $AAPL",
            "Attributes": system,
            "MessageAttributes": {
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        }
        for name in ("poisoned", "other")
    ]
    cli.plan("ReceiveMessage", lambda _: {"Messages": found}, lambda _: {})


@pytest.mark.parametrize(
    "attributes",
    [
        {"StatusCode": "9" * 5000},
        {"Attempts": "9" * 5000},
        {"FirstSeen": "0001-01-01T00:00:00+23:59"},
        {"RejectReason": "\x1b" * 5000},
    ],
    ids=lambda each: next(iter(each)),
)
def test_a_poisoned_letter_takes_no_part_of_the_page_away(
    page: Page, cli: CliHarness, attributes: dict[str, object]
) -> None:
    letters(cli, **attributes)
    shown = page.ask()
    assert shown.status == 200
    assert "poisoned $AAPL" in shown.part("letters")
    assert "other $AAPL" in shown.part("letters")
    assert "Pause posting" in shown.part("controls")
    assert page.do("pause", why="lunch", lasting="").notice == "Paused until resumed: lunch."


@pytest.mark.parametrize("part", ["gate", "queues", "posts", "letters", "backups"])
def test_a_part_that_fails_in_a_way_nobody_foresaw_leaves_the_others_and_the_pause(
    archive: CliHarness, monkeypatch: pytest.MonkeyPatch, world: PostingWorld, part: str
) -> None:
    def defective(_: object) -> None:
        raise OverflowError("\x1b[2J")

    monkeypatch.setattr(model.DashboardModel, f"_{part}", defective)
    with served() as page:
        shown = page.ask()
        assert shown.part(part) == "Not available. Unexpected error (OverflowError)."
        assert shown.html.count("Not available") == 1
        assert "Pause posting" in shown.part("controls")
        assert page.do("pause", why="lunch", lasting="").notice == "Paused until resumed: lunch."
        assert world.gate().look(1).pause.cause == "operator"
        assert page.do("resume").notice.startswith("Lifted the pause of Ann: lunch.")


@pytest.mark.parametrize("part", ["gate", "queues", "posts", "letters", "backups"])
def test_a_part_that_cannot_be_drawn_leaves_the_others_and_the_pause(
    archive: CliHarness, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setattr(model.DashboardModel, f"_{part}", lambda _: object())
    with served() as page:
        shown = page.ask()
        assert shown.part(part).startswith("Not available. It could not be rendered (")
        assert shown.html.count("Not available") == 1
        assert "Pause posting" in shown.part("controls")
        assert page.do("pause", why="lunch", lasting="").notice == "Paused until resumed: lunch."


def test_while_the_gate_cannot_be_read_both_pause_and_resume_are_offered(page: Page, cli: CliHarness) -> None:
    cli.plan("BatchGetItem", "AccessDeniedException")
    controls = page.ask().part("controls")
    assert ("Pause posting" in controls, "Resume posting" in controls) == (True, True)


def test_an_unexpected_error_is_reported(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def defective(*_: object) -> None:
        raise OverflowError("\x1b[2J")

    monkeypatch.setattr(model.operator_pause, "impose", defective)
    assert page.do("pause", why="lunch", lasting="").notice == "Not done. Unexpected error (OverflowError)."


def test_what_turns_the_order_of_a_text_around_is_shown_as_what_it_is(
    page: Page, cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    cli.add_dead_letter(f"{OVERRIDE}1 $AAPL", RejectReason=f"{OVERRIDE}2")
    world.pause(who={"S": f"{OVERRIDE}3"}, why={"S": "\x9b4"})
    line = {"service": "post_messages", "message": "delivery", "outcome": f"{OVERRIDE}5", "message_id": "m"}
    cli.log(SimpleNamespace(lines=[line | {"text": f"{OVERRIDE}6", "url": f"https://example.com/{OVERRIDE}7"}]))
    shown = page.ask()
    assert control_characters(shown.html) == set()
    for number in "123567":
        assert f"{SHOWN}{number}" in shown.html
    assert r"\x9b4" in shown.part("gate")
    assert control_characters(page.do("pause", why="\x9b31m", lasting="").html) == set()


@pytest.mark.parametrize("template", sorted((HERE / "templates").glob("*.html")), ids=lambda each: each.stem)
def test_no_template_takes_a_value_for_markup(template: Path) -> None:
    assert not re.search(r"\|\s*safe|autoescape", template.read_text())
