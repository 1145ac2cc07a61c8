"""`relay dashboard`: what the page shows and does; over HTTP, on loopback."""

import fnmatch
import hashlib
import json
import os
import signal
import socket
import threading
import tomllib
from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import urlsplit

import anyio
import pytest
from relay.backups.backup import Backup, Remark
from relay.backups.events import Request
from relay.errors import Pause
from relay_cli.dashboard import cache, model
from relay_cli.deployed import calendar

from local.build import ROOT
from tests.worlds.backups import ARCHIVE
from tests.worlds.cli import DONE, USAGE, CliHarness, iso
from tests.worlds.dashboard import HERE, REASON, Page, dashboard_cli, served
from tests.worlds.functions import Outbox
from tests.worlds.posting import TABLE, PostingWorld


@pytest.fixture
def cli(world: PostingWorld, monkeypatch: pytest.MonkeyPatch) -> CliHarness:
    return dashboard_cli(world, monkeypatch)


@pytest.fixture
def archive(cli: CliHarness) -> CliHarness:
    return cli.with_backups("message")


# What it shows


def test_a_quiet_relay_is_shown_open_and_empty(page: Page) -> None:
    shown = page.ask()
    assert shown.status == 200
    assert "Posting is open allowed now 3 allowed within the hour 15 left today (UTC) 48" in shown.part("gate")
    assert "12 an hour, 3 at once, 48 a day; 0 admitted today" in shown.part("gate")
    assert shown.part("calm") == "✓ Nothing needs you."
    assert shown.part("queues").startswith("✓ Nothing waits.")
    assert "Send one: relay send 'Up 3% on volume $AAPL'" in shown.part("posts")
    assert "deploy it with BackupsEnabled=true" in shown.part("backups")


def test_a_closed_gate_shows_why_and_until_when(page: Page, world: PostingWorld) -> None:
    until = world.clock() + 600
    world.gate().close(Pause("rate_limited", "StockTwits limits the rate", until))
    shown = page.ask()
    assert f"StockTwits limits the rate, until {iso(until)} next post {iso(until)}" in shown.part("gate")
    assert "Pause posting" in shown.part("controls")


def test_while_posting_is_paused_the_page_shows_what_resuming_would_do_and_no_number_of_posts_for_now(
    page: Page, world: PostingWorld
) -> None:
    world.pause(who={"S": "Bob"}, why={"S": "lunch"})
    shown = page.ask().part("gate")
    assert "next post when you resume" in shown
    assert "allowed now" not in shown


def test_a_pause_beyond_what_the_relay_keeps_is_shown_without_a_next_post(page: Page, world: PostingWorld) -> None:
    world.pause(until={"N": str(world.clock() + 14 * 86400)})
    world.send(world.leftovers, "one $A")
    shown = page.ask()
    assert "Posting is paused" in shown.part("gate")
    assert "next post not within 13 days" in shown.part("gate")
    assert "1 message Not posted within 13 days" in shown.part("queues")


def test_what_waits_is_counted_with_the_time_that_posting_it_takes(page: Page, world: PostingWorld) -> None:
    world.gate(per_hour=12, burst=3, per_day=48).admit(3)
    for text in ("one $A", "two $B"):
        world.send(world.leftovers, text)
    last = iso(world.clock() + 600)
    world.clock.forward(30)  # what the page does meanwhile must not end a minute
    assert f"2 messages About 9 min, at 12 an hour and 48 a day, until {last} ." in page.ask().part("queues")


def test_what_waits_for_an_operator_says_so(page: Page, world: PostingWorld) -> None:
    world.pause(who={"S": "Bob"}, why={"S": "lunch"})
    world.send(world.leftovers, "one $A")
    assert "1 message Posted within two minutes once you resume ." in page.ask().part("queues").replace(".", " .")


def test_outside_the_posting_hours_the_page_says_when_they_begin(cli: CliHarness) -> None:
    cli.parameters["PostingHours"] = "MON-FRI 09:30-16:00 America/New_York"
    with served() as page:
        assert "it opens on Monday 2026-11-23 09:30 EST, until 2026-11-23 14:30" in page.ask().part("gate")


def test_when_the_daily_cap_ends_outside_the_posting_hours_the_next_post_is_within_them(
    cli: CliHarness, world: PostingWorld
) -> None:
    cli.parameters["PostingHours"] = "MON-SUN 09:30-16:00 America/New_York"
    world.gate(per_hour=3600, burst=48, per_day=48).admit(48)
    with served() as page:
        shown = page.ask().part("gate")
    assert "until 2026-11-22 00:00:00 UTC" in shown
    assert "next post 2026-11-22 14:30:00 UTC" in shown


def test_a_pause_that_needs_an_operator_says_what_to_do(page: Page, world: PostingWorld, outbox: Outbox) -> None:
    world.stand_in.fail("page", status=404)
    outbox.send("Up 3% $AAPL")
    outbox.run()
    assert "check StockTwitsApiUrl; nothing is lost, and at the end of this pause a single post is tried" in (
        page.ask().part("gate")
    )


def test_a_post_that_is_shown_without_its_sentiment_has_that_remark(
    page: Page, cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    outbox.send('{"body": "Up 3% $AAPL", "sentiment": "bullish"}')
    world.stand_in.fail("sentiment")
    cli.log(outbox.run())
    assert "StockTwits shows it without its sentiment" in page.ask().part("posts")


def test_the_queues_show_how_much_they_hold(page: Page, world: PostingWorld) -> None:
    for text in ("one $A", "two $B"):
        world.send(world.leftovers, text)
    world.receive(world.leftovers, VisibilityTimeout=3600)
    world.send(world.leftovers, "three $C")
    shown = page.ask().part("queues")
    assert "Leftovers 3 messages 2 in flight Dead" in shown


def test_letters_that_the_page_itself_reads_are_not_shown_as_in_flight(
    page: Page, cli: CliHarness, world: PostingWorld
) -> None:
    cli.add_dead_letter("one $A")
    world.receive(world.dead, VisibilityTimeout=3600)
    assert page.ask().part("queues").endswith("Dead letters 1 message")


def test_a_post_is_shown_with_its_link_and_how_long_it_took(
    page: Page, cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    outbox.send("Up 3% on volume $AAPL")
    world.clock.forward(2.5)
    cli.log(outbox.run())
    (post,), posted_at = world.stand_in.posts, world.clock()
    shown = page.ask()
    assert f"{iso(posted_at)} ✓ posted Up 3% on volume $AAPL" in shown.part("posts")
    assert "2.5 s after it was queued" in shown.part("posts")
    assert f' href="{world.stand_in.url}/relay_demo/message/{post.id}" rel="noopener noreferrer"' in shown.html
    assert "From queued to posted, 1 post: median 2.5 s, longest 2.5 s." in shown.part("posts")


def test_a_message_that_waits_shows_its_waits_in_the_words_of_the_command(
    page: Page, cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    until, later = world.clock() + 600, world.clock() + 7200
    world.gate().close(Pause("rate_limited", "StockTwits limits the rate", until))
    outbox.send(json.dumps({"body": "Up 3% $AAPL", "key": "k1", "not_before": iso(later).replace(" UTC", "Z")}))
    cli.log(outbox.run())
    shown = page.ask().part("waits")
    waits = [f"until {iso(until)} : StockTwits limits the rate", f"until {iso(later)} : it says that it may not be"]
    assert [waits[0] in shown, waits[1] in shown, shown.index(waits[0]) < shown.index(waits[1])] == [True] * 3
    assert "it is tried within two minutes after the last of these" in shown
    assert waits[0].replace(" :", ":") in " ".join(cli("status", "--why", "k1").out.split())


def test_however_many_messages_wait_the_ledger_is_asked_a_few_times(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    world.settings(SYMBOL_COOLDOWN_MINUTES=60)
    cli.parameters["SymbolCooldownMinutes"] = "60"
    outbox.send("first $A $B")
    cli.log(outbox.run())
    world.clock.forward(60)
    outbox.send(*(f"{number} $A $B $C{number}" for number in range(9)))
    cli.log(outbox.run())
    with served() as page:
        cli.calls.clear()
        shown = page.ask().part("waits")
    assert [shown.count(f"a post about ${each} was made less than") for each in "AB"] == [9, 9]
    # For the gate's part; and for all messages: their entries, the gate, their symbols, and who posted about those.
    assert [name for name, _ in cli.calls].count("BatchGetItem") == 5


def test_messages_are_shown_with_their_reasons_where_the_ledger_cannot_be_read(
    page: Page, cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    world.stand_in.fail("5xx-before")
    outbox.send("Up 3% $AAPL")
    cli.log(outbox.run())
    cli.answers = lambda name, *_: "AccessDeniedException" if name == "BatchGetItem" else None
    shown = page.ask().part("waits")
    assert ("… Up 3% $AAPL Up 3% $AAPL StockTwits" in shown, "What it waits for" in shown) == (True, False)


def test_what_is_settled_since_the_log_was_read_does_not_wait(
    page: Page, cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    world.stand_in.fail("5xx-before")
    outbox.send("Up 3% $AAPL")
    cli.log(outbox.run())
    world.clock.forward(20)
    outbox.run()
    shown = page.ask()
    assert "✓ posted Up 3% $AAPL" in shown.part("posts")
    assert "Up 3%" not in shown.part("waits")


def test_what_expired_to_the_log_is_shown_with_a_sign_and_the_reason(
    page: Page, cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    world.settings(EXPIRED_TO="log")
    outbox.send('{"body": "Up 3% on volume $AAPL", "expires_at": "2026-11-21T15:00:00Z"}')
    cli.log(outbox.run())
    shown = page.ask().part("posts")
    assert "– expired Up 3% on volume $AAPL it expired at 2026-11-21T15:00:00+00:00" in shown  # noqa: RUF001


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
def test_a_posts_sentiment_is_shown_after_its_text_as_sign_and_word(
    page: Page, cli: CliHarness, outbox: Outbox, sentiment: str | None, shown: str
) -> None:
    outbox.send("Up 3% on volume $AAPL")
    run = outbox.run()
    for line in run.deliveries:
        line["sentiment"] = sentiment
    cli.log(run)
    expected = " ".join(f"✓ posted Up 3% on volume $AAPL {shown} Up 3%".split())
    assert expected in page.ask().part("posts")


def test_a_dead_letter_is_shown_with_its_reason_and_stays(page: Page, cli: CliHarness, world: PostingWorld) -> None:
    cli.add_dead_letter(
        "Up 3% $AAPL", RejectReason=REASON, RelayKey="k1", FirstSeen="2026-11-20T09:30:00Z", Attempts="2"
    )
    shown = page.ask().part("letters")
    assert f"Up 3% $AAPL {REASON} first seen 2026-11-20 09:30:00 UTC , 2 attempts, key k1 Retry Drop" in shown
    assert cli.bodies(world.dead) == ["Up 3% $AAPL"]


def test_of_many_letters_the_first_two_are_shown_and_the_others_folded(page: Page, cli: CliHarness) -> None:
    for number in range(4):
        cli.add_dead_letter(f"number {number} $A")
    first, folded = page.ask().part("letters").split("2 more letters")
    assert (first.count("number"), folded.count("number"), first.startswith("4 dead letters")) == (2, 2, True)


def test_while_posting_has_stopped_the_page_does_not_say_that_nothing_needs_you(
    page: Page, world: PostingWorld
) -> None:
    world.gate().close(Pause("token_refused", "StockTwits refused the token", world.clock() + 300, probe=True))
    shown = page.ask()
    assert "Posting has stopped" in shown.part("gate")
    assert shown.part("calm") == "See above why posting has stopped. There is nothing else."


def test_posts_within_a_short_time_are_folded_into_a_line_with_their_cashtags(
    page: Page, cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    for number, seconds in enumerate([60, 30, 30, 31]):
        outbox.send(f"number {number} $T{number}")
        world.clock.forward(seconds)
        cli.log(outbox.run())
    shown = page.ask().part("posts")
    assert "posted 3 messages within 60 s $T2 $T1 $T0" in shown
    assert shown.index("number 3") < shown.index("3 messages")


def test_what_has_another_outcome_ends_a_burst(page: Page, cli: CliHarness, outbox: Outbox) -> None:
    outbox.send("one $A", "two $B", '{"body": "late $C", "expires_at": "2026-11-20T15:00:00Z"}', "four $D")
    cli.log(outbox.run())
    assert "messages within" not in page.ask().part("posts")


def test_a_retried_letter_is_shown_with_its_latest_outcome_alone(
    page: Page, cli: CliHarness, world: PostingWorld
) -> None:
    for outcome in ("rejected", "posted"):
        line = {"service": "post_messages", "message": "delivery", "outcome": outcome, "message_id": outcome}
        cli.log(SimpleNamespace(lines=[line | {"key": "k1", "text": "Up 3% $AAPL"}]))
        world.clock.forward(60)
    shown = page.ask().part("posts")
    assert ("posted" in shown, "rejected" in shown) == (True, False)


def test_what_waits_is_not_among_the_posts(page: Page, cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    world.stand_in.fail("5xx-before")
    outbox.send("Up 3% $AAPL")
    cli.log(outbox.run())
    shown = page.ask()
    assert ("Up 3%" in shown.part("waits"), "Up 3%" in shown.part("posts")) == (True, False)


def test_however_many_messages_wait_the_posts_before_them_are_shown(
    page: Page, cli: CliHarness, world: PostingWorld, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "POSTS", 2)
    outbox.send("Up 3% $AAPL")
    cli.log(outbox.run())
    world.clock.forward(2 * 3600)  # so that it is not in what is read first
    world.gate().close(Pause("rate_limited", "StockTwits limits the rate", world.clock() + 600))
    outbox.send(*(f"{number} waits $A" for number in range(3)))
    cli.log(outbox.run())
    shown = page.ask()
    assert "✓ posted Up 3% $AAPL" in shown.part("posts")
    assert shown.part("waits").count("… ") == 2


def test_the_calendar_shows_what_became_of_each_day(archive: CliHarness, world: PostingWorld) -> None:
    yesterday = calendar.today() - timedelta(days=1)
    stored, failed, absent = (yesterday - timedelta(days=each) for each in (10, 11, 12))
    world.s3.put_object(Bucket=ARCHIVE, Key=Backup(stored, "message").key, Body=b"x" * 2000)
    world.s3.put_object(Bucket=ARCHIVE, Key=Backup(absent, "message").absent_key, Body=b"")
    world.send(
        archive.outputs["BackupFailuresQueueUrl"], Request(Backup(failed, "message")).body, RejectReason="not whole"
    )
    with served() as page:
        shown = page.ask()
    for day, state in ((stored, "stored, 2.0 kB"), (failed, "failed, not whole"), (absent, "absent")):
        assert f"<title>{day}: {state}</title>" in shown.html
    assert "1 of the last 13 days stored (2.0 kB), 1 failed, 1 absent" in shown.part("backups")
    assert f"{failed}: failed, not whole" in shown.part("backups")
    assert f"1 failed backup message of {failed}: not whole" in shown.part("failures")
    assert f"run relay backfill {failed} {failed} ." in shown.part("failures")


def test_a_day_before_all_that_is_known_was_not_requested_and_after_it_is_missing(
    archive: CliHarness, world: PostingWorld
) -> None:
    first, gap, before = (calendar.today() - timedelta(days=each) for each in (20, 19, 21))
    world.s3.put_object(Bucket=ARCHIVE, Key=Backup(first, "message").key, Body=b"x" * 2000)
    with served() as page:
        shown = page.ask()
    assert f"<title>{before}: not requested</title>" in shown.html
    assert f"<title>{gap}: missing</title>" in shown.html
    assert f"run relay backfill {calendar.today() - timedelta(days=365)} {before}" in shown.part("backups")


def test_of_a_fresh_archive_only_the_days_of_the_look_back_are_missing(archive: CliHarness) -> None:
    archive.parameters["BackupLookbackDays"] = "5"
    with served() as page:
        shown = page.ask()
    assert "0 of the last 5 days stored, 3 missing, 2 not yet." in shown.part("backups")
    assert shown.html.count(": not requested</title>") == 360
    assert "The nightly run fetches the last 5 days" in shown.part("backups")
    assert shown.part("calm") == "✓ Nothing needs you."


def test_a_remark_has_a_sign_of_its_own_and_words_for_everybody(archive: CliHarness, world: PostingWorld) -> None:
    yesterday = calendar.today() - timedelta(days=1)
    marked, damaged = (Backup(yesterday - timedelta(days=each), "message") for each in (10, 11))
    etag = world.s3.put_object(Bucket=ARCHIVE, Key=marked.key, Body=b"x" * 2000)["ETag"]
    world.s3.put_object(Bucket=ARCHIVE, Key=marked.remark_key(etag, Remark.ODD), Body=b"{}")
    world.s3.put_object(Bucket=ARCHIVE, Key=damaged.damaged_key, Body=b"cut")
    with served() as page:
        shown = page.ask()
    words = f"{marked.day}: stored, 2.0 kB; has lines that are not JSON objects"
    assert f"<title>{words}</title>" in shown.html
    assert shown.html.count('<use href="#day-marked"') == 2  # the day, and the legend
    assert "1 of them with a remark" in shown.part("backups")
    assert f"2 days with a remark or damaged {words}" in shown.part("backups")
    assert f"{damaged.day}: damaged; a file of Firestream's that is not whole is kept apart" in shown.part("backups")


def test_a_dry_run_is_shown(cli: CliHarness) -> None:
    cli.parameters["DryRun"] = "true"
    with served() as page:
        assert "dry run: nothing is sent" in page.ask().part("gate")


def test_what_is_switched_off_is_named_and_the_rest_is_shown(cli: CliHarness) -> None:
    del cli.outputs["PostMessagesFunctionName"]
    with served() as page:
        shown = page.ask()
    assert "switched off in this stack. To post alerts, deploy it with PostingEnabled=true" in shown.part("gate")
    assert shown.part("controls") == ""
    assert shown.part("posts") == "Posting is switched off."
    assert shown.part("calm") == "✓ Nothing needs you."


@pytest.mark.parametrize(
    ("operation", "part", "message"),
    [
        ("BatchGetItem", "gate", "The gate cannot be read"),
        ("GetQueueAttributes", "queues", "AWS does not allow you to call GetQueueAttributes"),
        ("FilterLogEvents", "posts", "AWS does not allow you to call FilterLogEvents"),
        ("ReceiveMessage", "letters", "AWS does not allow you to call ReceiveMessage"),
    ],
)
def test_a_part_that_cannot_be_shown_explains_why_and_the_rest_is_shown(
    page: Page, cli: CliHarness, operation: str, part: str, message: str
) -> None:
    cli.plan(operation, "AccessDeniedException")
    shown = page.ask()
    assert shown.part(part).startswith(f"Not available. {message}")
    assert shown.html.count("Not available") == 1


def test_an_archive_that_may_not_be_listed_names_the_permission(archive: CliHarness) -> None:
    archive.plan("ListObjectsV2", "AccessDenied")
    with served() as page:
        shown = page.ask()
    assert shown.part("backups").startswith("Not available. AWS does not allow you to call ListObjectsV2")
    assert "Posting is open" in shown.part("gate")


def test_several_tabs_do_not_look_several_times(page: Page, cli: CliHarness) -> None:
    page.ask()
    calls_before = len(cli.calls)
    page.ask()
    assert len(cli.calls) == calls_before
    cli.patience.forward(model.GATE_SECONDS)
    page.ask()
    assert [name for name, _ in cli.calls[calls_before:]] == ["BatchGetItem"]


def test_a_look_that_takes_long_keeps_nobody_waiting_and_is_shown_when_it_is_done() -> None:
    begun, released, ended = threading.Event(), threading.Event(), threading.Event()

    def look() -> str:
        begun.set()
        assert released.wait(30)
        ended.set()
        return "seen"

    slow = cache.Cached(look, 1000)

    async def use() -> None:
        first = await slow.get(0.05)
        assert (begun.is_set(), first.value, first.problem) == (True, None, None)
        assert (await slow.get(0.01)).value is None  # a second one does not begin
        released.set()
        assert (await slow.get(30)).value == "seen"

    anyio.run(use)
    assert ended.is_set()


# What it does


def test_a_pause_stops_posting_and_the_page_offers_to_resume(page: Page, world: PostingWorld) -> None:
    done = page.do("pause", why=" earnings call ", lasting="")
    assert done.notice == "Paused until resumed: earnings call."
    assert "paused by Ann: earnings call, until you resume" in done.part("gate")
    assert done.part("controls") == "Resume posting"
    assert world.gate().look(1).pause.until is None


def test_a_pause_may_have_an_end(page: Page, world: PostingWorld) -> None:
    until = world.clock() + 1800
    assert page.do("pause", why="lunch", lasting="30m").notice == "Paused for 30 minutes: lunch."
    assert world.gate().look(1).pause.until == until


@pytest.mark.parametrize("fields", [{"why": " ", "lasting": ""}, {}])
def test_a_pause_needs_no_reason(page: Page, fields: dict[str, str]) -> None:
    done = page.do("pause", **fields)
    assert done.notice == "Paused until resumed."
    assert "paused by Ann: no reason given" in done.part("gate")


def test_a_pause_of_an_invalid_duration_is_refused(page: Page, world: PostingWorld) -> None:
    assert page.do("pause", why="why", lasting="9d").notice.startswith("Not done. ")
    assert world.item("pause") is None


def test_resume_says_how_many_messages_wait_and_when_they_are_posted(page: Page, world: PostingWorld) -> None:
    world.pause(who={"S": "Bob"}, why={"S": "lunch"})
    world.send(world.leftovers, "one $A")
    assert page.do("resume").notice == "Lifted the pause of Bob: lunch. 1 message waiting: within two minutes."


def test_resume_lifts_the_pause_even_if_what_waits_cannot_be_read(
    page: Page, cli: CliHarness, world: PostingWorld
) -> None:
    world.pause(who={"S": "Bob"}, why={"S": "lunch"})
    cli.plan("GetQueueAttributes", "AccessDeniedException")
    assert page.do("resume").notice == "Lifted the pause of Bob: lunch."
    assert world.item("pause") is None


def test_resume_lifts_the_pause(page: Page, world: PostingWorld) -> None:
    world.pause(who={"S": "Bob"}, why={"S": "lunch"})
    done = page.do("resume")
    assert done.notice == "Lifted the pause of Bob: lunch. Nothing waits."
    assert "Posting is open" in done.part("gate")
    assert world.item("pause") is None
    assert page.do("resume").notice == "There was no pause. Nothing waits."


def test_retry_sends_a_letter_to_the_outbox_with_its_key(page: Page, cli: CliHarness, world: PostingWorld) -> None:
    kept_one, letter = cli.add_dead_letter("one $A"), cli.add_dead_letter("two $B", RejectReason=REASON, RelayKey="k1")
    assert f'name="letter" value="{letter}"' in page.ask().html
    done = page.do("retry", letter=letter)
    assert done.notice == "Sent to the Outbox again, with its key k1."
    assert (letter in done.html, kept_one in done.html) == (False, True)
    assert "Outbox 1 message" in done.part("queues")
    (found,) = world.receive(world.outbox)
    assert (found["Body"], found["MessageAttributes"]["RelayKey"]["StringValue"]) == ("two $B", "k1")
    assert cli.bodies(world.dead) == ["one $A"]


def test_retry_does_not_send_a_letter_whose_edit_was_sent(page: Page, cli: CliHarness, world: PostingWorld) -> None:
    letter = cli.add_dead_letter("Up 3% $APPL")
    key = hashlib.sha256(f"edited {letter}".encode()).hexdigest()[:32]
    world.dynamodb.put_item(TableName=TABLE, Item={"pk": {"S": f"post#{key}"}, "status": {"S": "posted"}})
    notice = page.do("retry", letter=letter).notice
    assert notice.startswith(f"Not done. {letter[:8]} was not sent: an edit of it was sent before")
    assert world.count(world.outbox) == 0


def test_drop_deletes_a_letter_and_no_other(page: Page, cli: CliHarness, world: PostingWorld) -> None:
    cli.add_dead_letter("one $A")
    done = page.do("drop", letter=cli.add_dead_letter("two $B"))
    assert done.notice == "Dropped: two $B"
    assert ("one $A" in done.part("letters"), "two $B" in done.part("letters")) == (True, False)
    assert cli.bodies(world.dead) == ["one $A"]
    assert world.count(world.outbox) == 0


@pytest.mark.parametrize("action", ["retry", "drop"])
@pytest.mark.parametrize("letter", ["nowhere", ""])
def test_a_letter_that_is_not_there_is_reported_and_nothing_is_done(
    page: Page, cli: CliHarness, world: PostingWorld, letter: str, action: str
) -> None:
    cli.add_dead_letter("one $A")
    assert page.do(action, letter=letter).notice.startswith("Not done. There is no dead letter")
    assert (world.count(world.dead), world.count(world.outbox)) == (1, 0)


def test_what_aws_does_not_allow_is_reported(page: Page, cli: CliHarness, world: PostingWorld) -> None:
    cli.plan("PutItem", "AccessDeniedException")
    done = page.do("pause", why="lunch", lasting="")
    assert done.notice.startswith("Not done. AWS does not allow you to call PutItem")
    assert "Posting is open" in done.part("gate")


def test_looking_does_nothing(page: Page, world: PostingWorld) -> None:
    for action in ("pause?why=lunch", "resume", "retry", "drop"):
        assert page.ask(action).status == 405
    assert world.item("pause") is None


# The command


@pytest.mark.timeout(60, func_only=True)
def test_the_command_opens_a_page_that_works_and_ctrl_c_ends_it(
    cli: CliHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, answers = [], []

    def browse(address: str) -> bool:
        opened.append(address)

        def look() -> None:
            there = urlsplit(address)
            answers.append(Page(there.port).ask(root=there.path))
            os.kill(os.getpid(), signal.SIGINT)  # the server answers, so it minds the signal

        threading.Thread(target=look).start()
        return True

    monkeypatch.setattr("webbrowser.open", browse)
    result = cli("dashboard")
    assert result.code == DONE
    (address,), (answer,) = opened, answers
    assert address in result.out
    assert (answer.status, "Posting is open" in answer.part("gate")) == (200, True)
    assert urlsplit(address).hostname == "127.0.0.1"
    assert len(urlsplit(address).path.strip("/")) >= 43


def test_a_port_that_is_taken_is_reported(cli: CliHarness) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = cli("dashboard", "--no-browser", "--port", str(port))
    assert (result.code, result.out) == (USAGE, "")
    assert result.err.startswith(f"relay: Port {port} cannot be used (Address already in use)")


def test_what_the_page_is_made_of_is_installed_with_it() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "relay_cli.dashboard" in setuptools["packages"]
    patterns = setuptools["package-data"]["relay_cli.dashboard"]
    files = [
        str(file.relative_to(HERE)) for file in HERE.rglob("*") if file.is_file() and file.suffix not in {".py", ".pyc"}
    ]
    assert files
    assert all(any(fnmatch.fnmatch(file, pattern) for pattern in patterns) for file in files)
