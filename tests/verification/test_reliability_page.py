"""The page of a run, and the alerts that a run publishes."""

import random
import re
from pathlib import Path

import pytest
from relay.errors import Reject
from relay.posting import alert

from verification.reliability import alerts
from verification.reliability.page import Section, filled, table, write


def test_the_first_section_gets_an_introduction_and_a_later_one_is_appended(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    write("one", "## One\n", page)
    write("two", "## Two", page)
    content = page.read_text()
    assert content.startswith("# Reliability\n")
    assert content.endswith("\n\n<!-- one -->\n## One\n<!-- /one -->\n\n<!-- two -->\n## Two\n<!-- /two -->\n")


def test_a_section_is_replaced_where_it_stands_and_nothing_else_changes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- one -->\nold\n<!-- /one -->\nbetween\n<!-- two -->\n2\n<!-- /two -->\nafter\n")
    write("one", r"new \1", page)
    assert page.read_text() == (
        "before\n<!-- one -->\nnew \\1\n<!-- /one -->\nbetween\n<!-- two -->\n2\n<!-- /two -->\nafter\n"
    )


def test_a_table_has_its_numbers_on_the_right() -> None:
    assert table(["what", "how many"], [["posts", 1234]]) == "| what | how many |\n| --- | ---: |\n| posts | 1,234 |"


def test_paragraphs_and_items_are_wrapped_and_tables_are_not_changed() -> None:
    long = "word " * 40
    row = "| " + "x" * 200 + " |"
    text = filled(f"{long}\n\n{row}\n\n- {long}\n- short")
    paragraph, kept, items = text.split("\n\n")
    assert kept == row
    assert max(map(len, paragraph.splitlines())) <= 120
    assert items.splitlines()[1].startswith("  word")
    assert items.splitlines()[-1] == "- short"


def test_the_section_lists_the_violations() -> None:
    assert Section.of("All was tried.", ["lost: $AAPL"]).text == "All was tried.\n\n**Violated:**\n\n- lost: $AAPL"
    assert Section.of("All was tried.", []) == Section("All was tried.", [])


def test_the_seed_decides_what_is_published() -> None:
    first, again, other = (alerts.make(200, random.Random(seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_texts_look_as_the_run_wants_them_in_turn() -> None:
    made = alerts.make(40, random.Random(1), ("{}", "{} <now>"))
    texts = {each.text for each in made}
    assert {" <now>" in each for each in texts} == {True, False}
    good = [each for each in made if not each.refusal]
    assert [alert.read(each.body).body for each in good] == [each.text for each in good]


def test_a_twentieth_of_the_messages_repeats_an_earlier_one_and_a_twentieth_is_invalid() -> None:
    made = alerts.make(2000, random.Random(1))
    different = dict.fromkeys(made)
    assert (len(made), len(different), sum(bool(each.refusal) for each in different)) == (2000, 1900, 100)
    assert len({each.text for each in different}) == len({each.body for each in different}) == 1900


def test_the_relay_reads_a_valid_alert_as_intended() -> None:
    good = [each for each in alerts.make(400, random.Random(3)) if not each.refusal]
    posts = [alert.read(each.body) for each in good]
    assert [(post.body, post.key or "") for post in posts] == [(each.text, each.key) for each in good]


def test_the_relay_refuses_an_invalid_alert_for_the_expected_reason() -> None:
    bad = {each.refusal: each.body for each in alerts.make(2000, random.Random(4)) if each.refusal}
    later = ("it expired at", "may not read from bucket", "there is no object")  # by the clock, and by S3
    assert len(bad) == len(alerts.BAD) + 1
    for refusal, body in bad.items():
        if not refusal.startswith(later):
            with pytest.raises(Reject, match=re.escape(refusal)):
                alert.read(body)


def test_the_violations_follow_a_text_with_any_end() -> None:
    for end in ("", "\n", "\n\n"):
        section = Section.of(f"## Title\n\nText.{end}", ["one was lost"])
        assert section.text == "## Title\n\nText.\n\n**Violated:**\n\n- one was lost"
