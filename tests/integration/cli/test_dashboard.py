"""`relay dashboard`: what the page shows and does, and whom it refuses; over HTTP, on loopback."""

import fnmatch
import html
import os
import re
import signal
import socket
import threading
import tomllib
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from types import SimpleNamespace
from urllib.parse import urlencode, urlsplit

import anyio
import pytest
from relay.backups.backup import Backup
from relay.errors import Pause
from relay_cli.context import Context
from relay_cli.dashboard import cache as kept
from relay_cli.dashboard import model as desk_room
from relay_cli.dashboard import server
from relay_cli.dashboard import svg as drawing
from relay_cli.deployed import calendar
from relay_cli.deployed.deliveries import Delivered

from local.build import ROOT
from tests.integration.conftest import ARCHIVE, Clock
from tests.worlds.cli import DONE, OVERRIDE, SHOWN, USAGE, Desk, iso, steering

TOKEN = "the-secret-of-the-page"
REASON = "StockTwits refused it (422: Body can't be blank)"
MARKUP = "<script>alert('$AAPL')</script>"
HERE = ROOT / "cli/relay_cli/dashboard"


class Answer:
    """What the page's server said."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.html = response.read().decode()

    @property
    def text(self):
        """The words of it, without markup."""
        return " ".join(html.unescape(re.sub("<[^>]*>", " ", self.html)).split())

    def part(self, name):
        """The words of one part."""
        (found,) = re.findall(f'<div data-part="{name}".*?(?=<div data-part|</section>)', self.html, re.DOTALL)
        return " ".join(html.unescape(re.sub("<[^>]*>", " ", found)).split())

    @property
    def notice(self):
        (found,) = re.findall(r'<p id="notice"[^>]*>([^<]*)</p>', self.html)
        return html.unescape(found)


class Page:
    """A dashboard that is served."""

    def __init__(self, port):
        self.port = port
        self.host = f"127.0.0.1:{port}"

    def ask(self, path="", method="GET", fields=None, headers=(), root=f"/{TOKEN}/"):
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.putrequest(method, root + path, skip_host=True)
        body = urlencode(fields or {}).encode()
        for name, value in [*({"Host": self.host} | dict(headers)).items(), ("Content-Length", str(len(body)))]:
            for each in value if isinstance(value, list) else [value]:
                connection.putheader(name, each)
        connection.endheaders(body)
        try:
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def do(self, action, **fields):
        """Press a button of the page."""
        return self.ask(action, "POST", fields, {"Origin": f"http://{self.host}", "Sec-Fetch-Site": "same-origin"})


@contextmanager
def served(who="Ann"):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = server.create_server(model_room.Desk(Context().stack, who), listener, TOKEN)
        thread = threading.Thread(target=made.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Page(listener.getsockname()[1])
        finally:
            made.should_exit = True
            thread.join(30)


@pytest.fixture
def desk(world, monkeypatch):
    desk = Desk(world, monkeypatch)
    desk.patience = Clock(0)  # for the page alone: a long poll moves the world's
    monkeypatch.setattr(kept, "time", SimpleNamespace(monotonic=desk.patience))
    for room in (desk_room, server):
        monkeypatch.setattr(room, "time", SimpleNamespace(time=world.clock))
    monkeypatch.setattr(server, "PATIENCE_SECONDS", 60)
    monkeypatch.setattr(server, "PATIENCE_AFTER_A_CHANGE_SECONDS", 60)
    return desk


@pytest.fixture
def archive(desk):
    return desk.with_backups("message")


@pytest.fixture
def page(desk):
    with served() as page:
        yield page


# What it shows


def test_a_quiet_relay_is_shown_open_and_empty(page):
    shown = page.ask()
    assert shown.status == 200
    assert "Open now 3 within the hour 15 left today (UTC) 48" in shown.part("gate")
    assert "12 an hour, 3 at once, 48 a day; 0 let through today" in shown.part("gate")
    assert shown.part("queues").count("empty") == 3
    assert shown.part("letters") == "There are none."
    assert "The log shows none" in shown.part("posts")
    assert shown.part("backups") == "Cannot be shown. Backups are switched off in this stack (BackupsEnabled)."


def test_a_shut_gate_says_why_and_until_when(page, world):
    until = world.clock() + 600
    world.gate().close(Pause("rate_limited", "StockTwits limits the rate", until))
    shown = page.ask()
    assert f"Shut StockTwits limits the rate until {iso(until)}" in shown.part("gate")
    assert "Pause posting" in shown.part("steer")


def test_the_queues_show_how_much_they_hold(page, world):
    for text in ("one $A", "two $B"):
        world.send(world.leftovers, text)
    world.receive(world.leftovers, VisibilityTimeout=3600)
    world.send(world.leftovers, "three $C")
    shown = page.ask().part("queues")
    assert "Leftovers 3 messages 2 under way, or waiting for another attempt age of the oldest: unknown" in shown


def test_letters_that_the_page_itself_looks_at_are_not_told_to_be_under_way(page, desk, world):
    desk.bury("one $A")
    world.receive(world.dead, VisibilityTimeout=3600)
    assert page.ask().part("queues").endswith("Dead letters 1 message age of the oldest: unknown")


def test_a_post_is_shown_with_its_link_and_how_long_it_took(page, desk, world, outbox):
    outbox.send("Up 3% on volume $AAPL")
    world.clock.forward(2.5)
    desk.log(outbox.run())
    (post,), posted_at = world.stand_in.posts, world.clock()
    shown = page.ask()
    assert f"{iso(posted_at)} ✓ posted 2.5 s after it was queued Up 3% on volume $AAPL" in shown.part("posts")
    assert f'<a href="https://stocktwits.com/relay_demo/message/{post.id}" rel="noopener noreferrer"' in shown.html
    assert "From queued to posted, 1 post: median 2.5 s, longest 2.5 s." in shown.part("posts")


@pytest.mark.parametrize(
    ("sentiment", "shown"),
    [
        ("bullish", "▲ bullish"),
        ("bearish", "▼ bearish"),
        ("neutral", "◆ neutral"),
        ("something new", "something new"),
        (None, ""),
    ],
)
def test_a_posts_sentiment_is_shown_as_sign_and_word(page, desk, outbox, sentiment, shown):
    outbox.send("Up 3% on volume $AAPL")
    run = outbox.run()
    for line in run.deliveries:
        line["sentiment"] = sentiment
    desk.log(run)
    expected = " ".join(f"✓ posted {shown} 0.0 s after it was queued Up 3%".split())
    assert expected in page.ask().part("posts")


def test_a_dead_letter_is_shown_with_its_reason_and_stays(page, desk, world):
    desk.bury("Up 3% $AAPL", RejectReason=REASON, RelayKey="k1", FirstSeen="2026-11-20T09:30:00Z", Attempts="2")
    shown = page.ask().part("letters")
    assert f"Up 3% $AAPL {REASON} first seen 2026-11-20 09:30:00 UTC , 2 attempts, key k1 Retry" in shown
    assert desk.bodies(world.dead) == ["Up 3% $AAPL"]


def test_the_calendar_shows_what_became_of_each_day(archive, world):
    yesterday = calendar.today() - timedelta(days=1)
    stored, failed, absent = (yesterday - timedelta(days=each) for each in (10, 11, 12))
    world.s3.put_object(Bucket=ARCHIVE, Key=Backup(stored, "message").key, Body=b"x" * 2000)
    world.s3.put_object(Bucket=ARCHIVE, Key=Backup(absent, "message").absent_key, Body=b"")
    world.send(archive.outputs["BackupFailuresQueueUrl"], Backup(failed, "message").request, RejectReason="not whole")
    with served() as page:
        shown = page.ask()
    for day, says in ((stored, "stored, 2.0 kB"), (failed, "failed, not whole"), (absent, "absent")):
        assert f"<title>{day}: {says}</title>" in shown.html
    assert "1 of 365 stored" in shown.part("backups")
    assert f"{failed}: failed, not whole" in shown.part("backups")
    assert "361 days missing or failed" in shown.part("backups")


def test_a_dry_run_is_told(desk):
    desk.parameters["DryRun"] = "true"
    with served() as page:
        assert "dry run: nothing is sent" in page.ask().part("gate")


def test_what_is_switched_off_is_told_and_the_rest_is_shown(desk):
    del desk.outputs["PostMessagesFunctionName"]
    with served() as page:
        shown = page.ask()
    assert shown.part("gate") == "Cannot be shown. Posting is switched off in this stack (PostingEnabled)."
    assert shown.part("steer") == ""
    assert shown.part("queues").count("empty") == 3


@pytest.mark.parametrize(
    ("operation", "part", "says"),
    [
        ("BatchGetItem", "gate", "The gate cannot be read"),
        ("GetQueueAttributes", "queues", "AWS does not allow you GetQueueAttributes"),
        ("FilterLogEvents", "posts", "AWS does not allow you FilterLogEvents"),
        ("ReceiveMessage", "letters", "AWS does not allow you ReceiveMessage"),
    ],
)
def test_a_part_that_cannot_be_shown_says_why_and_the_rest_is_shown(page, desk, operation, part, says):
    desk.plan(operation, "AccessDeniedException")
    shown = page.ask()
    assert shown.part(part).startswith(f"Cannot be shown. {says}")
    assert shown.html.count("Cannot be shown") == 2  # and the backups, which are switched off


def test_an_archive_that_may_not_be_listed_says_so(archive):
    archive.plan("ListObjectsV2", "AccessDenied")
    with served() as page:
        shown = page.ask()
    assert shown.part("backups").startswith("Cannot be shown. AWS does not allow you ListObjectsV2")
    assert "Open" in shown.part("gate")


def test_several_tabs_do_not_look_several_times(page, desk):
    page.ask()
    looked = len(desk.calls)
    page.ask()
    assert len(desk.calls) == looked
    desk.patience.forward(desk_room.GATE_SECONDS)
    page.ask()
    assert [name for name, _ in desk.calls[looked:]] == ["BatchGetItem"]


def test_a_look_that_takes_long_keeps_nobody_waiting_and_is_shown_when_it_is_done():
    begun, released, ended = threading.Event(), threading.Event(), threading.Event()

    def look():
        begun.set()
        assert released.wait(30)
        ended.set()
        return "seen"

    slow = kept.Cached(look, 1000)

    async def use():
        first = await slow.seen(0.05)
        assert (begun.is_set(), first.value, first.problem) == (True, None, None)
        assert (await slow.seen(0.01)).value is None  # a second one does not begin
        released.set()
        assert (await slow.seen(30)).value == "seen"

    anyio.run(use)
    assert ended.is_set()


# What it does


def test_a_pause_stops_posting_and_the_page_offers_to_resume(page, world):
    done = page.do("pause", why=" earnings call ", lasting="")
    assert done.notice == "Paused until somebody resumes: earnings call."
    assert "Shut paused by Ann: earnings call until somebody resumes" in done.part("gate")
    assert done.part("steer") == "Resume posting"
    assert world.gate().look(1).pause.until is None


def test_a_pause_may_have_an_end(page, world):
    until = world.clock() + 1800
    assert page.do("pause", why="lunch", lasting="30m").notice == "Paused for 30 minutes: lunch."
    assert world.gate().look(1).pause.until == until


@pytest.mark.parametrize("fields", [{"why": " ", "lasting": ""}, {"lasting": ""}, {"why": "why", "lasting": "9d"}])
def test_a_pause_that_says_nothing_or_lasts_anyhow_is_refused(page, world, fields):
    assert page.do("pause", **fields).notice.startswith("Not done. ")
    assert world.item("pause") is None


def test_resume_lifts_the_pause(page, world):
    world.pause(who={"S": "Bob"}, why={"S": "lunch"})
    done = page.do("resume")
    assert done.notice == "Lifted the pause of Bob: lunch."
    assert "Open" in done.part("gate")
    assert world.item("pause") is None
    assert page.do("resume").notice == "There was no pause."


def test_retry_sends_a_letter_to_the_outbox_with_its_key(page, desk, world):
    kept_one, letter = desk.bury("one $A"), desk.bury("two $B", RejectReason=REASON, RelayKey="k1")
    assert f'name="letter" value="{letter}"' in page.ask().html
    done = page.do("retry", letter=letter)
    assert done.notice == "Sent to the Outbox again, with its key k1."
    assert (letter in done.html, kept_one in done.html) == (False, True)
    assert "Outbox 1 message" in done.part("queues")
    (found,) = world.receive(world.outbox)
    assert (found["Body"], found["MessageAttributes"]["RelayKey"]["StringValue"]) == ("two $B", "k1")
    assert desk.bodies(world.dead) == ["one $A"]


@pytest.mark.parametrize("letter", ["nowhere", ""])
def test_a_letter_that_is_not_there_is_told_and_none_is_sent(page, desk, world, letter):
    desk.bury("one $A")
    assert page.do("retry", letter=letter).notice.startswith("Not done. There is no dead letter")
    assert (world.count(world.dead), world.count(world.outbox)) == (1, 0)


def test_what_aws_does_not_allow_is_told(page, desk, world):
    desk.plan("PutItem", "AccessDeniedException")
    done = page.do("pause", why="lunch", lasting="")
    assert done.notice.startswith("Not done. AWS does not allow you PutItem")
    assert "Open" in done.part("gate")


def test_looking_does_nothing(page, world):
    for action in ("pause?why=lunch", "resume", "retry"):
        assert page.ask(action).status == 405
    assert world.item("pause") is None


# Whom it refuses


@pytest.mark.parametrize("root", ["/", "/another-secret/", f"/{TOKEN}x/", f"/{TOKEN[:-1]}/", f"//{TOKEN}/", "/%C3%A4/"])
@pytest.mark.parametrize("request_line", ["GET ", "GET static/page.js", "POST resume"])
def test_nothing_is_shown_or_done_without_the_secret(page, desk, world, root, request_line):
    method, path = request_line.split(" ")
    world.pause(why={"S": "lunch"})
    looked = len(desk.calls)
    said = page.ask(path, method, headers={"Origin": f"http://{page.host}"}, root=root)
    assert (said.status, said.html) == (403, "Open the whole address that `relay dashboard` printed.\n")
    assert len(desk.calls) == looked
    assert world.item("pause")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1:{port}.evil.example", ""]
)
def test_a_name_that_only_leads_here_is_refused(page, desk, host):
    looked = len(desk.calls)
    said = page.ask(headers={"Host": host.format(port=page.port)})
    assert (said.status, said.html) == (421, "This is another server than you asked for.\n")
    assert len(desk.calls) == looked


def test_a_request_of_no_host_or_of_two_is_refused(page):
    assert [page.ask(headers={"Host": hosts}).status for hosts in ([], [page.host, page.host])] == [400, 400]


def test_this_machines_other_name_is_its_own(page):
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
def test_another_sites_post_is_refused_even_with_the_secret(page, world, headers):
    world.pause(why={"S": "lunch"})
    said = page.ask("resume", "POST", headers={name: value.format(port=page.port) for name, value in headers.items()})
    assert (said.status, said.html) == (403, "Only the page itself may do this.\n")
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
def test_the_pages_own_post_is_taken(page, world, headers):
    world.pause(why={"S": "lunch"})
    said = page.ask("resume", "POST", headers={name: value.format(port=page.port) for name, value in headers.items()})
    assert said.status == 200
    assert world.item("pause") is None


def test_a_form_larger_than_any_of_the_page_is_refused(page, world):
    assert page.do("pause", why="x" * server.MAX_FORM_BYTES, lasting="").status == 413
    assert world.item("pause") is None


# What keeps others' words from acting


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [("", {}, 200), ("static/page.js", {}, 200), ("nowhere", {}, 404), ("", {"Host": "evil.example"}, 421)],
)
def test_every_answer_tells_the_browser_to_keep_it_and_run_nothing_else(page, path, headers, status):
    said = page.ask(path, headers=headers)
    policy = dict(each.strip().split(" ", 1) for each in said.headers["Content-Security-Policy"].split(";"))
    assert said.status == status
    assert (policy["default-src"], policy["script-src"], policy["style-src"]) == ("'none'", "'self'", "'self'")
    assert (policy["form-action"], policy["base-uri"], policy["frame-ancestors"]) == ("'self'", "'none'", "'none'")
    assert said.headers["Referrer-Policy"] == "no-referrer"
    assert said.headers["X-Content-Type-Options"] == "nosniff"
    assert said.headers["Cache-Control"] == "no-store"
    assert said.headers["Server"] is None


def test_the_page_holds_no_script_or_style_of_its_own_and_loads_nothing_from_elsewhere(page, desk):
    desk.bury("Up 3% $AAPL", RejectReason=REASON)
    shown = page.ask().html
    assert re.findall("<script[^>]*>[^<]*", shown) == ['<script src="static/page.js" defer>']
    assert re.search(r"<style|\sstyle=|\son\w+=", shown) is None
    assert re.findall(r'(?:src|<link[^>]* href)="([^"]*)"', shown) == ["data:,", "static/page.css", "static/page.js"]


def test_every_value_is_escaped(page, desk, world, outbox):
    desk.bury(MARKUP, RejectReason=MARKUP, RelayKey=MARKUP)
    world.pause(who={"S": MARKUP}, why={"S": MARKUP})
    outbox.send(f"{MARKUP} $AAPL")
    run = outbox.run()
    for line in run.deliveries:
        line |= {"url": f'javascript:"{MARKUP}', "text": MARKUP, "outcome": MARKUP, "reason": MARKUP}
        line["sentiment"] = MARKUP
    desk.log(run)
    shown = page.ask()
    assert "<script>" not in shown.html
    assert shown.part("letters").count(MARKUP) == 3
    assert shown.part("gate").count(MARKUP) == 2
    assert shown.part("posts").count(MARKUP) == 5
    assert 'href="javascript:' not in shown.html
    assert page.do("pause", why=MARKUP, lasting="").notice == f"Paused until somebody resumes: {MARKUP}."


# The drawings


def post(delay, number=0):
    at = datetime(2026, 11, 21, 15, number, tzinfo=UTC)
    return Delivered(at, "posted", "text", None, None, None, "", "key", "id", 1, None, delay, None)


def test_delays_are_drawn_oldest_first_on_a_scale_of_powers():
    drawn = drawing.chart([post(100, 3), post(10, 2), post(None), post(1, 1), post(0)])
    assert [bar.says.partition("UTC: ")[2] for bar in drawn.bars] == ["0.0 s", "1.0 s", "10 s", "100 s"]
    lowest, one, ten, hundred = (bar.height for bar in drawn.bars)
    assert (hundred - ten, ten - one) == (pytest.approx(one), pytest.approx(one))
    assert 0 < lowest < one
    assert hundred < drawing.HEIGHT
    assert [name for _, name in drawn.lines] == ["1 s", "10 s", "60 s", "10 min"]
    assert all(bar.y + bar.height == drawing.HEIGHT for bar in drawn.bars)
    assert drawn.says == "From queued to posted, 4 posts: median 5.5 s, longest 100 s."


def test_without_a_known_delay_nothing_is_drawn():
    assert drawing.chart([post(None)]) is None


def test_weeks_are_columns_that_begin_on_monday():
    first = datetime(2016, 12, 4, tzinfo=UTC).date()  # a Sunday
    days = tuple(
        calendar.Day(first + timedelta(days=number), calendar.Status.STORED, size)
        for number, size in enumerate([400, 0, 100, 101])
    )
    drawn = drawing.weeks(calendar.Calendar("message", days))
    step = drawing.STEP
    assert [(each.x, each.y) for each in drawn.squares] == [(0, 6 * step), (step, 0), (step, step), (step, 2 * step)]
    assert [each.shade for each in drawn.squares] == [4, 1, 1, 2]


# The command


@pytest.mark.timeout(60, func_only=True)
def test_the_command_opens_a_page_that_works_and_ctrl_c_ends_it(desk, monkeypatch):
    opened, answers = [], []

    def browse(address):
        opened.append(address)

        def look():
            there = urlsplit(address)
            answers.append(Page(there.port).ask(root=there.path))
            os.kill(os.getpid(), signal.SIGINT)  # the server answers, so it minds the signal

        threading.Thread(target=look).start()
        return True

    monkeypatch.setattr("webbrowser.open", browse)
    said = desk("dashboard")
    assert said.code == DONE
    (address,), (answer,) = opened, answers
    assert address in said.out
    assert (answer.status, "Open" in answer.part("gate")) == (200, True)
    assert urlsplit(address).hostname == "127.0.0.1"
    assert len(urlsplit(address).path.strip("/")) >= 43


def test_a_port_that_is_taken_is_told(desk):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = desk("dashboard", "--no-browser", "--port", str(port))
    assert (said.code, said.out) == (USAGE, "")
    assert said.err.startswith(f"relay: Port {port} cannot be used (Address already in use)")


def test_what_the_page_is_made_of_is_installed_with_it():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "relay_cli.dashboard" in setuptools["packages"]
    patterns = setuptools["package-data"]["relay_cli.dashboard"]
    files = [
        str(file.relative_to(HERE)) for file in HERE.rglob("*") if file.is_file() and file.suffix not in {".py", ".pyc"}
    ]
    assert files
    assert all(any(fnmatch.fnmatch(file, pattern) for pattern in patterns) for file in files)


# What strangers write


def letters(desk, **attributes):
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
    desk.plan("ReceiveMessage", lambda _: {"Messages": found}, lambda _: {})


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
def test_a_poisoned_letter_takes_no_part_of_the_page_away(page, desk, attributes):
    letters(desk, **attributes)
    shown = page.ask()
    assert shown.status == 200
    assert "poisoned $AAPL" in shown.part("letters")
    assert "other $AAPL" in shown.part("letters")
    assert "Pause posting" in shown.part("steer")
    assert page.do("pause", why="lunch", lasting="").notice == "Paused until somebody resumes: lunch."


@pytest.mark.parametrize("part", ["gate", "queues", "posts", "letters", "backups"])
def test_a_part_that_fails_in_a_way_nobody_foresaw_leaves_the_others_and_the_pause(archive, monkeypatch, world, part):
    def defective(_):
        raise OverflowError("\x1b[2J")

    monkeypatch.setattr(desk_room.Desk, f"_{part}", defective)
    with served() as page:
        shown = page.ask()
        assert shown.part(part) == "Cannot be shown. Something went wrong here that should not (OverflowError)."
        assert shown.html.count("Cannot be shown") == 1
        assert "Pause posting" in shown.part("steer")
        assert page.do("pause", why="lunch", lasting="").notice == "Paused until somebody resumes: lunch."
        assert world.gate().look(1).pause.cause == "operator"
        assert page.do("resume").notice == "Lifted the pause of Ann: lunch."


@pytest.mark.parametrize("part", ["gate", "queues", "posts", "letters", "backups"])
def test_a_part_that_cannot_be_drawn_leaves_the_others_and_the_pause(archive, monkeypatch, part):
    monkeypatch.setattr(desk_room.Desk, f"_{part}", lambda _: object())
    with served() as page:
        shown = page.ask()
        assert shown.part(part).startswith("Cannot be shown. It could not be drawn (")
        assert shown.html.count("Cannot be shown") == 1
        assert "Pause posting" in shown.part("steer")
        assert page.do("pause", why="lunch", lasting="").notice == "Paused until somebody resumes: lunch."


def test_while_the_gate_cannot_be_read_both_pause_and_resume_are_offered(page, desk):
    desk.plan("BatchGetItem", "AccessDeniedException")
    steer = page.ask().part("steer")
    assert ("Pause posting" in steer, "Resume posting" in steer) == (True, True)


def test_what_is_done_in_a_way_nobody_foresaw_is_told(page, monkeypatch):
    def defective(*_):
        raise OverflowError("\x1b[2J")

    monkeypatch.setattr(desk_room.operator_pause, "impose", defective)
    assert (
        page.do("pause", why="lunch", lasting="").notice
        == "Not done. Something went wrong here that should not (OverflowError)."
    )


def test_what_turns_the_order_of_a_text_around_is_shown_as_what_it_is(page, desk, world, outbox):
    desk.bury(f"{OVERRIDE}1 $AAPL", RejectReason=f"{OVERRIDE}2")
    world.pause(who={"S": f"{OVERRIDE}3"}, why={"S": "\x9b4"})
    line = {"service": "post_messages", "message": "delivery", "outcome": f"{OVERRIDE}5", "message_id": "m"}
    desk.log(SimpleNamespace(lines=[line | {"text": f"{OVERRIDE}6", "url": f"https://example.com/{OVERRIDE}7"}]))
    shown = page.ask()
    assert steering(shown.html) == set()
    for number in "123567":
        assert f"{SHOWN}{number}" in shown.html
    assert r"\x9b4" in shown.part("gate")
    assert steering(page.do("pause", why="\x9b31m", lasting="").html) == set()


@pytest.mark.parametrize("template", sorted((HERE / "templates").glob("*.html")), ids=lambda each: each.stem)
def test_no_template_takes_a_value_for_markup(template):
    assert not re.search(r"\|\s*safe|autoescape", template.read_text())
