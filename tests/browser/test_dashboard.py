"""`relay dashboard` as its owner sees it: in a browser, over the deployed stack."""

import os
import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, Response, expect

from local.build import ROOT
from local.stack.stack import Stack
from tests.browser.conftest import AT_SECOND_ATTEMPT, EARLIER, PATIENCE_MS, POSTED, REJECTED, TIME_ZONE, send

SCREENSHOTS = ROOT / os.environ.get("SCREENSHOTS", ".local/screenshots")
"""Where the pictures go; `make test-browser SCREENSHOTS=docs/images` writes those of the documentation."""

PERHAPS_POSTED = (
    "StockTwits refused it (422: it is a duplicate of a message that was posted within the last thirty minutes) - an "
    "earlier attempt may have posted it: look on StockTwits; if it is not there, send it as a new message"
)

PHONE = {"width": 390, "height": 844}
"""The screen of a usual phone, in CSS pixels."""

expect.set_options(timeout=PATIENCE_MS)


def region(page: Page, name: str) -> Locator:
    """A part of the page, as a screen reader finds it."""
    return page.get_by_role("region", name=name, exact=True)


def post(page: Page, text: str) -> Locator:
    """The line of a post, folded or not."""
    return region(page, "Posts").locator("li[data-outcome]").filter(has_text=text)


def search(page: Page, words: str) -> None:
    page.get_by_label("Search").fill(words)


def unfold_everything(page: Page) -> None:
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")


def announced(page: Page) -> Locator:
    """The changes that a screen reader announces."""
    return page.locator("[aria-live=polite]")


def everything_is_there(page: Page) -> None:
    """Wait until what was sent before the tests is shown."""
    for text in (*(text for text, _ in POSTED.values()), AT_SECOND_ATTEMPT):
        expect(post(page, text)).to_contain_text("posted")
    expect(region(page, "Needs you")).to_contain_text(REJECTED)
    expect(region(page, "Backups")).to_contain_text("358 of the last 365 days stored")


NONE = "Found 0 accessibility violations:\n"


def complaints(page: Page) -> str:
    """What axe complains of in the page as it is."""
    return Axe().run(page).generate_report()


def refreshed(page: Page) -> None:
    """Wait until the page has refreshed itself."""

    def is_a_look(answer: Response) -> bool:
        return answer.request.method == "GET" and answer.url.endswith("/")

    for _ in range(2):  # when the second is asked for, the first is shown
        with page.expect_response(is_a_look):
            pass


def test_pictures_of_it_are_taken(page: Page) -> None:
    """The first, before the other tests' posts are there."""
    everything_is_there(page)
    expect(region(page, "Waiting")).to_contain_text("Nothing waits.")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)

    def take(name: str, *, whole: bool = True) -> Path:
        page.screenshot(path=SCREENSHOTS / name, full_page=whole)
        return SCREENSHOTS / name

    page.set_viewport_size({"width": 1080, "height": 900})
    taken = [take("dashboard.png")]
    page.emulate_media(color_scheme="dark")
    taken.append(take("dashboard-dark.png"))
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme="light")
    taken.append(take("dashboard-phone.png", whole=False))
    assert all(each.stat().st_size > 10_000 for each in taken)


@pytest.mark.parametrize("width", [1280, 768, 390])
def test_axe_finds_nothing_to_complain_of(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    everything_is_there(page)
    page.get_by_label("Refresh automatically").uncheck()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert complaints(page) == NONE
    unfold_everything(page)
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        assert complaints(page) == NONE


@pytest.mark.parametrize("width", [1280, 768, 390, 320])
def test_nothing_is_wider_than_the_screen(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    everything_is_there(page)
    unfold_everything(page)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width


def test_on_a_phone_it_is_shorter_than_three_screens(page: Page) -> None:
    page.set_viewport_size(PHONE)
    everything_is_there(page)
    assert page.evaluate("document.scrollingElement.scrollHeight") < 3 * PHONE["height"]


def test_a_post_that_was_just_sent_is_shown(page: Page, stack: Stack) -> None:
    send(stack, {"body": "Straight from the terminal $AMD", "sentiment": "bullish"})
    item = post(page, "Straight from the terminal $AMD")
    expect(item).to_contain_text("posted")
    search(page, "straight from")
    (posted,) = [each for each in stack.stocktwits.posts if each.body == "Straight from the terminal $AMD"]
    expect(item.get_by_role("link")).to_have_attribute("href", f"{post_page(stack)}/message/{posted.id}")
    page.get_by_text("From queued to posted").click()
    expect(region(page, "Posts").get_by_role("img", name="From queued to posted")).to_be_visible()


def post_page(stack: Stack) -> str:
    """The page of the stand-in's account, as in the relay's links."""
    return f"{stack.stocktwits.url}/{stack.stocktwits.username}"


def test_pause_and_resume_work_by_keyboard_alone(page: Page, stack: Stack) -> None:
    posting = region(page, "Posting")
    page.get_by_role("button", name="Pause posting").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # unfolds reason and duration
    page.keyboard.press("Tab")
    page.keyboard.type("earnings call")
    page.keyboard.press("Enter")
    expect(posting).to_contain_text("paused by")
    expect(posting).to_contain_text("earnings call")
    expect(announced(page)).to_contain_text("Posting is paused.")
    expect(page.get_by_role("status")).to_have_text("Paused until resumed: earnings call.")
    expect(posting.get_by_role("heading")).to_be_focused()  # what had the focus is gone
    item = stack.client("dynamodb").get_item(TableName=stack.outputs["LedgerTableName"], Key={"pk": {"S": "pause"}})
    assert item["Item"]["why"] == {"S": "earnings call"}
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Resume posting")).to_be_focused()
    page.keyboard.press("Enter")
    expect(posting).to_contain_text("Posting is open")
    expect(announced(page)).to_contain_text("Posting is open.")
    expect(page.get_by_role("button", name="Pause posting")).to_be_visible()


def test_one_press_pauses_and_what_waits_says_why(page: Page, stack: Stack) -> None:
    page.get_by_role("button", name="Pause posting").click()
    expect(page.get_by_role("status")).to_have_text("Paused until resumed.")
    send(stack, {"body": "Held back by the pause $GE"})
    waiting = region(page, "Waiting").get_by_role("listitem").filter(has_text="Held back by the pause $GE")
    expect(waiting).to_contain_text("until resumed")
    waiting.locator("summary").press("Enter")
    expect(waiting.get_by_role("list", name="What it waits for")).to_contain_text("no reason given")
    expect(region(page, "Waiting")).to_contain_text("once you resume")
    assert complaints(page) == NONE
    page.get_by_role("button", name="Resume posting").click()
    expect(page.get_by_role("status")).to_contain_text("1 message waiting: within two minutes")


def dead_letter(
    page: Page, stack: Stack, text: str, why: str = "StockTwits refused it (422: nothing that would last)"
) -> Locator:
    """Put a message into Dead letters, and find it on the page."""
    reason = {"DataType": "String", "StringValue": why}
    stack.client("sqs").send_message(
        QueueUrl=stack.outputs["DeadLetterQueueUrl"], MessageBody=text, MessageAttributes={"RejectReason": reason}
    )
    item = region(page, "Needs you").get_by_role("listitem").filter(has_text=text)
    expect(item).to_contain_text(why)
    return item


def test_a_dead_letter_is_sent_again(page: Page, stack: Stack) -> None:
    item = dead_letter(page, stack, "Second try <b>not bold</b> $INTC")
    item.get_by_role("button", name="Retry").click()
    expect(page.get_by_role("status")).to_contain_text("Sent to the Outbox again")
    expect(item).to_have_count(0)
    expect(region(page, "Posts")).to_contain_text("Second try <b>not bold</b> $INTC")


def test_on_a_phone_the_whole_reason_of_a_dead_letter_is_seen_beside_its_retry(page: Page, stack: Stack) -> None:
    page.set_viewport_size(PHONE)
    item = dead_letter(page, stack, f"{'Long ' * 80}$T", PERHAPS_POSTED)
    reason, text = item.locator(".reason"), item.locator(".text")
    assert (is_whole(reason), is_whole(text)) == (True, False)
    assert page.evaluate("document.scrollingElement.scrollHeight") < 3 * PHONE["height"]
    item.get_by_text("Drop or edit").click()
    assert is_whole(text)
    item.get_by_role("button", name="Delete it for good").click()
    expect(item).to_have_count(0)


def is_whole(text: Locator) -> bool:
    """Whether nothing of a text is cut off."""
    return bool(text.evaluate("each => each.scrollHeight <= each.clientHeight"))


def test_a_dead_letter_is_dropped_by_keyboard_and_only_at_the_second_press(page: Page, stack: Stack) -> None:
    item = dead_letter(page, stack, "Not worth a retry $F")
    item.get_by_role("button", name="Retry").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(item.get_by_role("button", name="Delete it for good")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Dropped: Not worth a retry $F")
    expect(item).to_have_count(0)


def test_a_burst_is_one_line_until_it_is_unfolded(page: Page, stack: Stack) -> None:
    texts = [f"{number} of a burst ${name}" for number, name in enumerate(["ADBE", "CSCO", "QCOM"], 1)]
    for text in texts:
        send(stack, {"body": text})
    for text in texts:
        expect(post(page, text)).to_have_count(1)
        expect(post(page, text)).to_be_hidden()
    burst = region(page, "Posts").locator("li.burst").filter(has_text="$QCOM").first
    burst.locator("summary").first.press("Enter")
    expect(post(page, texts[0])).to_be_visible()
    refreshed(page)
    expect(post(page, texts[0])).to_be_visible()


def test_posts_are_found_by_their_words_and_their_outcome(page: Page) -> None:
    everything_is_there(page)
    search(page, "$crm")
    shown = region(page, "Posts").locator("li[data-outcome]:visible")
    expect(shown).to_have_count(1)
    expect(shown).to_contain_text("Earnings gap closed $CRM")
    expect(announced(page)).to_contain_text("1 of the")
    refreshed(page)
    expect(shown).to_have_count(1)
    search(page, "")
    page.get_by_label("Outcome").select_option("rejected")
    expect(shown.filter(has_text=REJECTED)).to_have_count(1)
    expect(shown.filter(has_text="posted")).to_have_count(0)


def test_times_are_local_and_in_utc_when_that_is_asked_for(page: Page) -> None:
    oldest = EARLIER[max(EARLIER)][0]
    search(page, oldest)
    shown = post(page, oldest).locator("summary time")
    moment = page.evaluate("text => Date.parse(text) / 1000", shown.get_attribute("datetime"))
    local = page.evaluate("seconds => new Date(seconds * 1000).toLocaleTimeString('en-GB').slice(0, 5)", moment)
    expect(shown).to_contain_text(local)
    assert page.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone") == str(ZoneInfo(TIME_ZONE))
    bar = region(page, "Posts").locator("rect title").first
    expect(bar).to_have_text(re.compile(r"^\d+ \w+(?: \d{4})?, \d\d:\d\d: 2\.0 s$"))
    page.get_by_label("Times in UTC").check()
    expect(bar).to_have_text(re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: 2\.0 s$"))
    expect(shown).to_have_text(re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$"))
    refreshed(page)
    expect(shown).to_have_text(re.compile("UTC$"))


def test_a_refresh_leaves_alone_what_is_being_written(page: Page) -> None:
    page.get_by_text("Reason and duration").click()
    why = page.get_by_label("Reason (optional)")
    why.press_sequentially("half a rea")
    refreshed(page)
    expect(why).to_be_focused()
    page.keyboard.type("son")
    expect(why).to_have_value("half a reason")


def test_a_refresh_leaves_the_focus_on_what_was_unfolded(page: Page, stack: Stack) -> None:
    everything_is_there(page)
    search(page, REJECTED)  # by now, it may be among the older ones, which are folded
    summary = post(page, REJECTED).locator("summary")
    summary.press("Enter")
    send(stack, {"body": "Something new above it $NKE"})
    expect(post(page, "Something new above it $NKE")).to_have_count(1)
    expect(summary).to_be_focused()
    expect(post(page, REJECTED).locator(".more")).to_be_visible()


def test_it_does_not_refresh_while_updates_are_off(page: Page) -> None:
    refreshed(page)
    page.get_by_label("Refresh automatically").uncheck()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(5_000)  # longer than from one look to the next
    assert asked == []
    with page.expect_request(page.url):
        page.get_by_label("Refresh automatically").check()


def test_a_screen_reader_finds_a_name_for_all_that_can_be_used_or_is_drawn(page: Page) -> None:
    everything_is_there(page)
    page.get_by_label("Refresh automatically").uncheck()
    unfold_everything(page)
    shown = page.locator("body").aria_snapshot()
    roles = ("button", "checkbox", "combobox", "heading", "img", "link", "region", "searchbox", "textbox")
    found = re.findall(rf"^\s*- '?({'|'.join(roles)})\b( \S)?", shown, re.MULTILINE)
    assert {role for role, _ in found} == set(roles)
    assert [each for each in found if each[1] != ' "'] == []


def test_a_sentiment_is_read_out_as_its_word_alone(page: Page) -> None:
    everything_is_there(page)
    page.get_by_label("Refresh automatically").uncheck()
    unfold_everything(page)
    for text, sentiment in [*POSTED.values(), (REJECTED, "bearish")]:
        result = post(page, text).aria_snapshot()
        assert set(re.findall("bullish|bearish|neutral", result)) == ({sentiment} if sentiment else set())
        assert not set("▲▼◆✓✗") & set(result)


def test_it_is_dark_or_light_as_its_reader_likes(page: Page) -> None:
    shades = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        shades.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert shades == ["rgb(244, 245, 247)", "rgb(14, 19, 25)"]
