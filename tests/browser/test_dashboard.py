"""`relay dashboard` as its owner sees it: in a browser, over the deployed stack."""

import re

from playwright.sync_api import Locator, Page, Response, expect

from local.build import ROOT
from local.stack.stack import Stack
from tests.browser.conftest import AT_SECOND_ATTEMPT, PATIENCE_MS, POSTED, REJECTED, send

SCREENSHOT = ROOT / ".local" / "dashboard.png"

expect.set_options(timeout=PATIENCE_MS)


def region(page: Page, name: str) -> Locator:
    """A part of the page, as a screen reader finds it."""
    return page.get_by_role("region", name=name, exact=True)


def post(page: Page, text: str) -> Locator:
    """What is shown of a post."""
    return region(page, "Posts").get_by_role("listitem").filter(has_text=text)


def announced(page: Page) -> Locator:
    """The changes that a screen reader announces."""
    return page.locator("[aria-live=polite]")


def refreshed(page: Page) -> None:
    """Wait until the page has refreshed itself."""

    def is_a_look(answer: Response) -> bool:
        return answer.request.method == "GET" and answer.url.endswith("/")

    for _ in range(2):  # when the second is asked for, the first is shown
        with page.expect_response(is_a_look):
            pass


def test_a_picture_of_it_is_taken(page: Page) -> None:
    """The first, before the other tests' posts are there."""
    for text in (*POSTED, AT_SECOND_ATTEMPT):
        expect(post(page, text)).to_contain_text("posted")
    expect(region(page, "Dead letters")).to_contain_text(REJECTED)
    expect(region(page, "Backups")).to_contain_text("358 of 365 stored")
    page.screenshot(path=SCREENSHOT, full_page=True)
    assert SCREENSHOT.stat().st_size > 10_000


def test_a_post_that_was_just_sent_is_shown(page: Page, stack: Stack) -> None:
    send(stack, {"body": "Straight from the terminal $AMD", "sentiment": "bullish"})
    item = post(page, "Straight from the terminal $AMD")
    expect(item).to_contain_text("posted")
    (posted,) = [each for each in stack.stocktwits.posts if each.body == "Straight from the terminal $AMD"]
    expect(item.get_by_role("link")).to_have_attribute("href", f"{post_page(stack)}/message/{posted.id}")
    expect(region(page, "Posts").get_by_role("img", name="From queued to posted")).to_be_visible()


def post_page(stack: Stack) -> str:
    """The page of the stand-in's account, as in the relay's links."""
    return f"{stack.stocktwits.url}/{stack.stocktwits.username}"


def test_pause_and_resume_work_by_keyboard_alone(page: Page, stack: Stack) -> None:
    gate = region(page, "Gate")
    page.get_by_label("Reason").focus()
    page.keyboard.type("earnings call")
    page.keyboard.press("Enter")
    expect(gate).to_contain_text("earnings call")
    expect(gate).to_contain_text("Closed")
    expect(announced(page)).to_contain_text("The gate is closed.")
    expect(page.get_by_role("status")).to_have_text("Paused until resumed: earnings call.")
    expect(gate.get_by_role("heading")).to_be_focused()  # what had the focus is gone
    item = stack.client("dynamodb").get_item(TableName=stack.outputs["LedgerTableName"], Key={"pk": {"S": "pause"}})
    assert item["Item"]["why"] == {"S": "earnings call"}
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Resume posting")).to_be_focused()
    page.keyboard.press("Enter")
    expect(gate).to_contain_text("Open")
    expect(announced(page)).to_contain_text("The gate is open.")
    expect(page.get_by_role("button", name="Pause posting")).to_be_visible()


def test_a_dead_letter_is_sent_again(page: Page, stack: Stack) -> None:
    reason = {"DataType": "String", "StringValue": "StockTwits refused it (422: nothing that would last)"}
    stack.client("sqs").send_message(
        QueueUrl=stack.outputs["DeadLetterQueueUrl"],
        MessageBody="Second try <b>not bold</b> $INTC",
        MessageAttributes={"RejectReason": reason},
    )
    letters = region(page, "Dead letters")
    item = letters.get_by_role("listitem").filter(has_text="Second try <b>not bold</b> $INTC")
    expect(item).to_contain_text("nothing that would last")
    item.get_by_role("button", name="Retry").click()
    expect(page.get_by_role("status")).to_contain_text("Sent to the Outbox again")
    expect(item).to_have_count(0)
    expect(region(page, "Posts")).to_contain_text("Second try <b>not bold</b> $INTC")


def test_a_refresh_leaves_alone_what_is_being_written(page: Page) -> None:
    why = page.get_by_label("Reason")
    why.press_sequentially("half a rea")
    refreshed(page)
    expect(why).to_be_focused()
    page.keyboard.type("son")
    expect(why).to_have_value("half a reason")


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
    expect(post(page, AT_SECOND_ATTEMPT)).to_be_visible()
    expect(region(page, "Backups")).to_contain_text("stored")
    shown = page.locator("body").aria_snapshot()
    roles = ("button", "checkbox", "combobox", "heading", "img", "link", "region", "textbox")
    found = re.findall(rf"^\s*- '?({'|'.join(roles)})\b( \S)?", shown, re.MULTILINE)
    assert {role for role, _ in found} == set(roles)
    assert [each for each in found if each[1] != ' "'] == []


def test_a_sentiment_is_read_out_as_its_word_alone(page: Page) -> None:
    for text, sentiment in {**POSTED, REJECTED: "bearish"}.items():
        result = post(page, text).aria_snapshot()
        assert set(re.findall("bullish|bearish|neutral", result)) == ({sentiment} if sentiment else set())
        assert not set("▲▼◆✓✗") & set(result)


def test_it_fits_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    expect(region(page, "Backups")).to_contain_text("stored")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 360


def test_it_is_dark_or_light_as_its_reader_likes(page: Page) -> None:
    shades = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        shades.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert shades == ["rgb(243, 245, 248)", "rgb(14, 19, 25)"]
