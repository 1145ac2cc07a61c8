"""Small input that expands to large data: its memory is measured in a separate process, and is limited."""

import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from relay.errors import Reject
from relay.posting.alert import read

ROOT = Path(__file__).parents[2]
MEBIBYTE = 1024 * 1024

VERIFY = """
import gzip, json, resource, sys
from pathlib import Path
from relay.errors import Corrupt
from relay.backups.verifier import verify

MEBIBYTE = 1024 * 1024

def peak():
    status = Path("/proc/self/status")
    if status.exists():  # getrusage starts with the parent's peak
        return next(int(line.split()[1]) * 1024 for line in status.open() if line.startswith("VmHWM:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

def member(text):
    return gzip.compress(text * (16 * MEBIBYTE // len(text)), mtime=0)

def times(content, number):
    return (content for _ in range(number))

class Stream:
    '''A file that is generated as it is read.'''

    def __init__(self, *parts):
        self.parts = (each for part in parts for each in part)
        self.left = memoryview(b"")
        self.read = 0

    def readinto(self, buffer):
        if not self.left:
            self.left = memoryview(next(self.parts, b""))
        size = min(len(buffer), len(self.left))
        buffer[:size] = self.left[:size]
        self.left = self.left[size:]
        self.read += size
        return size

stream = Stream(*eval(sys.argv[1]))
before = peak()
try:
    result = repr(verify(stream))
except Corrupt as refused:
    result = refused.reason
print(json.dumps({"result": result, "read": stream.read, "took": peak() - before}))
"""

LINE = b'{"body":"' + b"x" * (1024 - 12) + b'"}\n'
BOMB = "[times(member(%r), 125)]" % LINE  # noqa: UP031  braces in it
"""About 2 GB in about 2 MB; each gigabyte takes a second, and ten would take no more memory."""

ENDLESS_LINE = """[[gzip.compress(b'{"body":"')], times(member(b"x"), 64), [gzip.compress(b'"}')]]"""
"""A gigabyte without a newline."""

ENDLESS_HEADER = """[[bytes([31, 139, 8, 8]) + bytes(6)], times(b"x" * MEBIBYTE, 1024)]"""
"""A name of a gigabyte."""

ENDLESS_PADDING = """[[gzip.compress(b"{}")], times(bytes(MEBIBYTE), 1024)]"""
"""A gigabyte of the padding that gzip allows after its end."""

NOTHING_BUT_MEMBERS = """[times(gzip.compress(b"") * 50_000, 20)]"""
"""A million empty members."""

NOTHING_BUT_BLOCKS = """[[bytes([31, 139, 8, 0]) + bytes(6)], times(bytes([0, 0, 0, 255, 255]) * 200_000, 100)]"""
"""Twenty million empty blocks in one member."""


@pytest.mark.parametrize(
    ("stream", "result"),
    [
        (BOMB, f"Content(lines={125 * 16 * 1024}, text_bytes={125 * 16 * MEBIBYTE}, empty=0, odd=0, first_odd=None)"),
        (
            ENDLESS_LINE,
            "the file holds JSON objects that are cut, too long, or on several lines each: its only line is not",
        ),
        (ENDLESS_HEADER, "the gzip data is damaged within the first "),
        (ENDLESS_PADDING, "Content(lines=1, text_bytes=2, "),
        (NOTHING_BUT_MEMBERS, "Content(lines=0, text_bytes=0, "),
        (NOTHING_BUT_BLOCKS, "the gzip data ends early"),
    ],
    ids=["bomb", "endless line", "endless header", "endless padding", "members", "blocks"],
)
def test_a_file_takes_the_same_few_megabytes_whatever_its_content(stream: str, result: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", VERIFY, stream],
        env={**os.environ, "PYTHONPATH": str(ROOT / "layers" / "relay")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["result"].startswith(result)
    assert found["took"] < 16 * MEBIBYTE
    if "damaged" in result:
        assert found["read"] <= MEBIBYTE  # refused as soon as it is found, not at the end


def filled(before: str, unit: str, after: str = "") -> str:
    """Return a message of the largest size that SQS accepts."""
    return before + unit * ((MEBIBYTE - len(before) - len(after)) // len(unit)) + after


@pytest.mark.parametrize(
    "body",
    [
        filled("", "["),
        filled("", '{"a":'),
        filled("", "[", "]" * 400_000),
        filled("[", "[],", "[]]"),
        filled('{"body":[', "{},", "{}]}"),
        filled('{"body":"x","x":[', "{},", "{}]}"),
        filled('{"detail-type":"a","source":"b","detail":{"body":[', "{},", "{}]}}"),
        filled('{"detail-type":"a","source":"b","detail":' * 3 + '{"body":[', "{},", "{}]}" + "}" * 3),
        filled('{"detail-type":"a","source":"b","detail":{"body":"', r"\u0001", '"}}'),
        filled('{"TopicArn":"a","Type":"Notification","Message":"', "[", '"}'),
        filled('{"TopicArn":"a","Type":[', "{},", "{}]}"),
        filled('{"in_reply_to_message_id":', "9", "}"),
        filled('{"body":"', r"\ud83d\ude80", '"}'),
    ],
    ids=[
        "lists", "objects", "lists with their ends", "a list", "a body of objects", "a field of objects",
        "eventbridge", "eventbridge thrice", "eventbridge escapes", "sns", "sns type", "digits", "escapes",
    ],
)  # fmt: skip
def test_a_message_of_the_largest_size_is_refused_with_at_most_a_hundred_times_its_memory(body: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Reject):
            read(body)
        (_, peak) = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100 * MEBIBYTE
