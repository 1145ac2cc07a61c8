"""`relay cat`: the lines of a backup, or some of their fields."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from relay_cli.commands import cat

from local.build import ROOT
from local.stand_ins.http_server import Handler, Server
from tests.worlds.archive_cli import (
    BACKUP,
    CLI,
    DONE,
    FAILED,
    USAGE,
    ArchiveCli,
    described,
    lines_of,
    put,
    values,
)
from tests.worlds.backups import ARCHIVE
from tests.worlds.cli import control_characters


@pytest.fixture
def terminal(relay: ArchiveCli) -> ArchiveCli:
    """An operator whose standard output is a terminal."""
    relay.patch.setattr(cat, "goes_to_a_terminal", lambda: True)
    return relay


def test_a_file_or_a_pipe_gets_the_lines_as_they_are_stored(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    result = relay("cat", "message", "2016-12-05")
    content = gzip.decompress(relay.backups.content(BACKUP))
    assert (result.code, result.err) == (DONE, "")
    assert (result.out.encode(), content.isascii()) == (content, False)


def test_on_a_terminal_the_lines_have_the_same_values_in_ascii(terminal: ArchiveCli) -> None:
    terminal.store(BACKUP)
    result = terminal("cat", "message", "2016-12-05")
    assert (result.code, result.err, result.out.isascii()) == (DONE, "", True)
    assert values(result.out) == values(gzip.decompress(terminal.backups.content(BACKUP)))


def test_a_line_of_printable_ascii_comes_as_it_is_stored(terminal: ArchiveCli) -> None:
    line = b'{ "id":1.50, "body" : "caf\\u00E9 \\/ \\n" }'
    put(terminal, BACKUP, gzip.compress(line + b"\n"))
    assert terminal("cat", "message", "2016-12-05").out.encode() == line + b"\n"


@pytest.mark.parametrize(
    "text", ["\x7f", "\x9b31m", "\x85", "\u202egpj.exe", "\u2066", "\u200f", "\u061c", "\U000e0041", "\U0001f680"]
)
def test_a_line_that_steers_a_terminal_comes_escaped_with_its_value(terminal: ArchiveCli, text: str) -> None:
    put(terminal, BACKUP, gzip.compress(json.dumps({"body": text}, ensure_ascii=False).encode() + b"\n"))
    result = terminal("cat", "message", "2016-12-05")
    assert control_characters(result.out) == set()
    assert result.out.isascii()
    assert values(result.out) == [{"body": text}]


def test_white_space_between_values_that_overwrites_what_was_shown_comes_as_spaces(terminal: ArchiveCli) -> None:
    put(terminal, BACKUP, gzip.compress(b'{"body": "hidden",\r"id":\t1}\r\n'))
    assert terminal("cat", "message", "2016-12-05").out == '{"body": "hidden", "id": 1}\n'


def test_bytes_that_are_not_utf_8_come_as_replacement_characters(terminal: ArchiveCli) -> None:
    put(terminal, BACKUP, gzip.compress(b'{"body": "\xff\xed\xa0\x80"}\n'))
    assert terminal("cat", "message", "2016-12-05").out == '{"body": "' + r"\ufffd" * 4 + '"}\n'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]52;c;cm0gLXJm\x07", r"\x1b]52;c;cm0gLXJm\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("\x7f\x00\x08", r"\x7f\x00\x08"),
        ("\u202egpj.exe\u2069", r"\u202egpj.exe\u2069"),
        ("\u200e\u061c\u2028", r"\u200e\u061c\u2028"),
        ("\U000e0041", r"\U000e0041"),
        (r"\x1b", r"\\x1b"),
        ("[red]\u00a0caf\u00e9\u3000\U0001f680", "[red]\u00a0caf\u00e9\u3000\U0001f680"),
    ],
)
@pytest.mark.parametrize("fields", ["body", "user.name"])
def test_a_field_that_steers_a_terminal_comes_escaped(relay: ArchiveCli, text: str, shown: str, fields: str) -> None:
    put(relay, BACKUP, lines_of({"body": text, "user": {"name": text}}))
    assert relay("cat", "message", "2016-12-05", "--fields", fields).out == f"{shown}\n"


def test_an_object_in_a_field_comes_escaped_too(relay: ArchiveCli) -> None:
    put(relay, BACKUP, lines_of({"user": {"\u202e": "\x7f"}}))
    assert relay("cat", "message", "2016-12-05", "--fields", "user").out == r'{"\u202e":"\x7f"}' + "\n"


def test_no_more_lines_than_the_limit_are_printed(relay: ArchiveCli) -> None:
    relay.store(BACKUP)
    first = gzip.decompress(relay.backups.content(BACKUP)).decode().splitlines()[:3]
    assert relay("cat", "message", "2016-12-05", "--limit", "3").lines == first


@pytest.mark.parametrize(
    ("fields", "row"),
    [
        ("id,body", "7\tUp 3% $AAPL"),
        ("body,id", "Up 3% $AAPL\t7"),
        ("symbols.symbol", "AAPL,BRK.B"),
        ("user.name", "Zoë"),
        ("user.name.first", ""),
        ("odd", "a\\tb\\nc\\rd\\\\e"),
        ("sure,none,none.of.it", "true\t\t"),
        ("user", '{"name":"Zoë"}'),
        (" id , sure ", "7\ttrue"),
    ],
)
def test_fields_are_columns(relay: ArchiveCli, fields: str, row: str) -> None:
    line = {
        "id": 7,
        "body": "Up 3% $AAPL",
        "symbols": [{"symbol": "AAPL"}, {"symbol": "BRK.B"}, {"title": "nameless"}],
        "user": {"name": "Zoë"},
        "odd": "a\tb\nc\rd\\e",
        "sure": True,
        "none": None,
    }
    put(relay, BACKUP, lines_of(line))
    assert relay("cat", "message", "2016-12-05", "--fields", fields).out == f"{row}\n"


def test_a_field_that_no_line_has_is_reported_beside_the_rows(relay: ArchiveCli) -> None:
    put(relay, BACKUP, lines_of({"id": 1, "user": {}}, {"id": 2, "user": {"name": "x"}}))
    result = relay("cat", "message", "2016-12-05", "--fields", "id,bdoy,user.name,user.nam")
    assert (result.code, result.out) == (DONE, "1\t\t\t\n2\t\tx\t\n")
    assert result.err == "No line has bdoy, user.nam.\n"


@pytest.mark.parametrize("fields", ["", "id,", "symbols..symbol"])
def test_a_field_without_a_name_is_refused(relay: ArchiveCli, fields: str) -> None:
    result = relay("cat", "message", "2016-12-05", "--fields", fields)
    assert (result.code, result.out) == (USAGE, "")
    assert "has an empty name" in result.err


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lines_of({"id": 1})[:-9], " is damaged, and so may be the lines above: the gzip data ends early"),
        (gzip.compress(b'{"id": 1}\nno JSON\n', mtime=0), ", line 2: it is not JSON: "),
    ],
)
def test_a_damaged_backup_is_reported(relay: ArchiveCli, content: bytes, reason: str) -> None:
    put(relay, BACKUP, content)
    result = relay("cat", "message", "2016-12-05")
    assert result.code == FAILED
    assert result.err.startswith(f"relay: message 2016-12-05{reason}")


# Bad lines

GOOD = b'{"id":1,"body":"up"}\n'


def test_the_lines_before_a_bad_one_are_printed_and_the_rest_too_if_it_is_skipped(relay: ArchiveCli) -> None:
    put(relay, BACKUP, gzip.compress(900 * GOOD + b'{"id":1,"body":"u}\n' + 2000 * GOOD))
    stopped = relay("cat", "message", "2016-12-05")
    assert (stopped.code, stopped.out) == (FAILED, 900 * GOOD.decode())
    assert stopped.err.startswith("relay: message 2016-12-05, line 901: it is not JSON: ")
    assert stopped.err.endswith(" To read the other lines, add --errors skip.\n")
    skipped = relay("cat", "message", "2016-12-05", "--errors", "skip")
    assert (skipped.code, skipped.out) == (DONE, 2900 * GOOD.decode())
    first, last = skipped.err.splitlines()
    assert first.startswith("line 901: it is not JSON: ")
    assert last == "Skipped 1 line that cannot be read."


def test_a_bad_line_after_the_limit_is_not_reported(relay: ArchiveCli) -> None:
    put(relay, BACKUP, gzip.compress(10 * GOOD + b"late\n"))
    result = relay("cat", "message", "2016-12-05", "--limit", "10")
    assert (result.code, result.out, result.err) == (DONE, 10 * GOOD.decode(), "")


def test_all_skipped_lines_are_counted_and_the_first_five_reported(relay: ArchiveCli) -> None:
    put(relay, BACKUP, gzip.compress((GOOD + b"no\n\n[]\n") * 1000))
    result = relay("cat", "message", "2016-12-05", "--errors", "skip", "--fields", "id")
    assert (result.code, result.out) == (DONE, "1\n" * 1000)
    assert [line.partition(":")[0] for line in result.err.splitlines()] == [
        "line 2", "line 4", "line 6", "line 8", "line 10", "Skipped 2,000 lines that cannot be read."
    ]  # fmt: skip


def test_skipped_lines_are_counted_also_if_the_backup_is_damaged_further_on(relay: ArchiveCli) -> None:
    put(relay, BACKUP, gzip.compress(GOOD + b"no\n" + os.urandom(500_000).hex().encode())[:-9])
    result = relay("cat", "message", "2016-12-05", "--errors", "skip")
    assert (result.code, result.out) == (FAILED, GOOD.decode())
    assert "Skipped 1 line that cannot be read.\nrelay: message 2016-12-05 is damaged" in result.err


def test_what_to_do_about_a_bad_line_is_one_of_two_words(relay: ArchiveCli) -> None:
    result = relay("cat", "message", "2016-12-05", "--errors", "ignore")
    assert (result.code, result.out) == (USAGE, "")


@pytest.mark.parametrize("end", [b"\r\n", b" \n", b"\t\r\n"])
def test_white_space_and_a_byte_order_mark_around_a_line_are_not_printed(relay: ArchiveCli, end: bytes) -> None:
    put(relay, BACKUP, gzip.compress(b"\xef\xbb\xbf" + GOOD.replace(b"\n", end) * 2 + end))
    assert relay("cat", "message", "2016-12-05").out == 2 * GOOD.decode()
    assert relay("cat", "message", "2016-12-05", "--fields", "id,body").out == "1\tup\n" * 2


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (rb'"\ud83d up"', r"\ud83d up"),
        (b"NaN", "NaN"),
        (b"[-Infinity,1]", "-Infinity,1"),
        (b'{"a":NaN}', '{"a":NaN}'),
        (rb'{"\udc00":"\ud800"}', r'{"\udc00":"\ud800"}'),
        (b"1e999", "Infinity"),
        (b"123456789012345678901234567890", "123456789012345678901234567890"),
        (b"1.50", "1.5"),
        (b"null", ""),
    ],
)
def test_what_only_the_standard_library_reads_is_printed_too(relay: ArchiveCli, value: bytes, shown: str) -> None:
    line = b'{"a":' + value + b"}"
    put(relay, BACKUP, gzip.compress(line + b"\n"))
    assert relay("cat", "message", "2016-12-05", "--fields", "a").out == f"{shown}\n"
    assert relay("cat", "message", "2016-12-05").out == line.decode() + "\n"


def test_a_post_that_rewrites_the_title_and_clears_the_screen_is_shown_escaped(relay: ArchiveCli) -> None:
    put(relay, BACKUP, gzip.compress(rb'{"id":1,"body":"\u001b]0;owned\u0007\u001b[2J"}'))
    result = relay("cat", "message", "2016-12-05", "--fields", "id,body")
    assert result.out == r"1	\x1b]0;owned\x07\x1b[2J" + "\n"


# A broken pipe


class Shop(Handler):
    """A stack, and an archive with one large backup."""

    content = lines_of(*({"id": number, "body": str(number) * 60} for number in range(60_000)))

    def serve(self) -> None:
        self.read_body()
        if self.command == "POST":
            outputs = {"OutboxQueueUrl": "the Outbox", "BackupBucketName": ARCHIVE}
            self.answer(200, described(outputs, {}), {"Content-Type": "text/xml"})
        elif "tagging" in self.path:
            self.answer(200, b"<Tagging><TagSet/></Tagging>", {"Content-Type": "application/xml"})
        else:
            self.answer(200, self.content, {"ETag": '"1"'})


@pytest.fixture
def shop() -> Iterator[str]:
    server = Server(0, Shop, None)
    server.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.stop()


@pytest.mark.parametrize("fields", [[], ["--fields", "id,body"]], ids=["lines", "fields"])
def test_who_has_read_enough_is_left_in_peace(shop: str, tmp_path: Path, fields: list[str]) -> None:
    command = [sys.executable, "-c", "from relay_cli.app import main; main()"]
    environment = os.environ | {
        "AWS_ENDPOINT_URL": shop,
        "PYTHONPATH": os.pathsep.join([str(CLI), str(ROOT / "layers" / "relay")]),
    }
    with subprocess.Popen(
        [*command, "cat", "message", "2016-12-05", *fields],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        first = process.stdout.readline()
        process.stdout.close()
        assert (process.wait(60), process.stderr.read()) == (0, b"")
    assert b"0" * 60 in first


@pytest.mark.parametrize("fields", [[], ["--fields", "body"]], ids=["lines", "fields"])
def test_a_terminal_is_not_steered(
    shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: list[str]
) -> None:
    stored = json.dumps({"body": "\x9b31m\u202e"}, ensure_ascii=False).encode() + b"\n"
    monkeypatch.setattr(Shop, "content", gzip.compress(stored))
    # A pipe that says it is a terminal: not every machine that tests has one to give.
    program = "import sys; sys.stdout.isatty = lambda: True; from relay_cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "cat", "message", "2016-12-05", *fields],
        env=os.environ
        | {
            "AWS_ENDPOINT_URL": shop,
            "PYTHONPATH": os.pathsep.join([str(CLI), str(ROOT / "layers" / "relay")]),
            "FORCE_COLOR": "",  # which is no reason to believe that it is not a terminal
        },
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        check=True,
    )
    assert done.stdout.decode().splitlines() == [r"\x9b31m\u202e" if fields else r'{"body": "\u009b31m\u202e"}']


def test_a_backup_is_printed_in_little_memory(shop: str, tmp_path: Path) -> None:
    program = (
        "import sys; from relay_cli.app import main\n"
        "try: main()\n"
        "finally: print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0], file=sys.stderr)"
    )
    environment = os.environ | {
        "AWS_ENDPOINT_URL": shop,
        "PYTHONPATH": os.pathsep.join([str(CLI), str(ROOT / "layers" / "relay")]),
    }

    def peak(*words: str) -> tuple[int, int]:
        result = subprocess.run(
            [sys.executable, "-c", program, "cat", "message", "2016-12-05", *words],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            check=True,
        )
        return len(result.stdout), int(result.stderr)

    size, all_of_it = peak()
    _, one_line = peak("--limit", "1")
    assert size > 15_000_000
    assert (all_of_it - one_line) * 1024 < 3_000_000


@pytest.mark.parametrize("depth", [2_000, 100_000])
def test_a_line_that_is_nested_very_deeply_ends_in_a_text(relay: ArchiveCli, depth: int) -> None:
    put(relay, BACKUP, gzip.compress(b'{"a": ' + b"[" * depth + b"]" * depth + b"}\n"))
    result = relay("cat", "message", "2016-12-05", "--fields", "a")
    assert (result.code, result.err.count("\n")) == (FAILED, 1)
    assert result.err.startswith("relay: message 2016-12-05")
    assert "nested too deeply" in result.err
