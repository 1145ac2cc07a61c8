"""One file into S3, whole or not at all, whatever fails and whenever; and nothing left running, nothing left behind."""

import gc
import gzip
import random
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from hashlib import sha256
from typing import Any, ClassVar

import boto3
import pytest
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from moto import mock_aws
from relay.aws import S3_CONFIG
from relay.backups import upload as transfer
from relay.backups import verifier
from relay.backups.upload import store
from relay.errors import Corrupt, Halt, Pause, RelayError, Retry

from tests.factories import callers
from tests.strict_s3 import StrictS3, refuse

pytestmark = pytest.mark.timeout(20, func_only=True)  # what waits for ever, waits no longer

BUCKET, KEY = "archive", "message/2016/12/05/stocktwits_message_2016_12_05.gz"
PART = 1000
HALT = Halt(Pause("firestream_refused", "the login was refused", None))


class Interrupt(BaseException):
    """What no code expects, as Ctrl-C."""


class Source:
    """A file that raises when it has given so many bytes."""

    def __init__(self, content: bytes, error: BaseException | None = None, at: int | None = None) -> None:
        self.content = content
        self.error = error
        self.stop = len(content) if at is None else at
        self.position = 0
        self.closed = False

    def read(self, size: int, /) -> bytes:
        if self.position == self.stop and self.error:
            raise self.error
        piece = self.content[self.position : min(self.position + min(size, 300), self.stop)]
        self.position += len(piece)
        return piece

    def close(self) -> None:
        self.closed = True


class Silent(Source):
    """A file that falls silent after so many bytes, until it is closed."""

    def __init__(self, content: bytes, at: int) -> None:
        super().__init__(content, Retry("closed in the middle of a read"), at)
        self.silent = threading.Event()
        self.hung_up = threading.Event()

    def read(self, size: int, /) -> bytes:
        if self.position == self.stop:
            self.silent.set()
            self.hung_up.wait(15)
        return super().read(size)

    def close(self) -> None:
        super().close()
        self.hung_up.set()


def a_backup(size: int, lines: int = 2) -> bytes:
    """A backup of exactly so many bytes: its text is not compressed, so that the last line can make up the size."""
    text = b'{"id":1}\n' * (lines - 1) + b'{"body":"%s"}\n'
    room = size - len(gzip.compress(text % b"", 0, mtime=0))
    return gzip.compress(text % random.Random(size).randbytes(room).hex()[:room].encode(), 0, mtime=0)


class World:
    """An S3, and what is in it."""

    def __init__(self, s3: Any, strict: StrictS3) -> None:
        self.s3 = s3
        self.strict = strict

    def store(self, source: Any) -> transfer.Receipt | None:
        return store(source, self.s3, BUCKET, KEY)

    def stored(self) -> bytes | None:
        """The object's bytes; None when there is none."""
        if not self.s3.list_objects_v2(Bucket=BUCKET).get("Contents"):
            return None
        return bytes(self.s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read())

    def uploads(self) -> list[Any]:
        return self.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def s3() -> Any:
    """A client, made once: it takes longer than a test."""
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
    return session.client("s3", config=S3_CONFIG)


@pytest.fixture
def world(s3: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(transfer, "PART_BYTES", PART)
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", PART)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    before = set(threading.enumerate())
    with mock_aws():
        strict = StrictS3(monkeypatch)
        s3.create_bucket(Bucket=BUCKET)
        world = World(s3, strict)
        yield world
        assert world.uploads() == []
    # But for a server of another test's that is still answering somebody.
    assert [each for each in set(threading.enumerate()) - before if "process_request" not in each.name] == []


@pytest.fixture(scope="module")
def backup() -> bytes:
    """Ten parts, the last of which is not full."""
    return a_backup(10 * PART - 200, lines=7)


def nothing_is_stored(world: World, source: Source, error: type[BaseException], words: str | None = None) -> None:
    with pytest.raises(error, match=words):
        world.store(source)
    assert world.stored() is None
    assert world.strict.sent["CompleteMultipartUpload"] == 0
    assert world.uploads() == []
    assert source.closed


# What is stored


def test_parts_are_as_large_as_s3_wants_them_and_a_file_as_large_as_a_year_fits() -> None:
    assert transfer.PART_BYTES >= 5 * 1024 * 1024
    assert transfer.PART_BYTES * 10_000 > 50 * 1024**3


@pytest.mark.parametrize("size", [200, PART - 1, PART, PART + 1, 2 * PART - 1, 2 * PART, 2 * PART + 1, 9 * PART + 7])
def test_what_is_stored_is_the_file_byte_for_byte(world: World, size: int) -> None:
    content = a_backup(size)
    source = Source(content)
    receipt = world.store(source)
    assert receipt == transfer.Receipt(size, 2, sha256(content).hexdigest())
    assert world.stored() == content
    assert len(content) == size
    assert source.closed
    assert world.strict.sent["UploadPart"] == -(-size // PART)


def test_a_file_of_two_members_is_stored_as_it_is(world: World, backup: bytes) -> None:
    receipt = world.store(Source(backup + a_backup(1500)))
    assert world.stored() == backup + a_backup(1500)
    assert receipt is not None
    assert receipt.lines == 9


def test_the_object_says_what_it_is_and_has_one_checksum_for_all_of_it(world: World, backup: bytes) -> None:
    world.store(Source(backup))
    head = world.s3.head_object(Bucket=BUCKET, Key=KEY, ChecksumMode="ENABLED")
    assert (head["ContentType"], head["ChecksumType"], head["ContentLength"]) == (
        "application/gzip",
        "FULL_OBJECT",
        len(backup),
    )
    assert "ContentEncoding" not in head


def test_parts_are_put_together_in_their_order_though_they_arrive_in_another(world: World, backup: bytes) -> None:
    second_is_up = threading.Event()

    def wait(_: Any) -> None:
        assert second_is_up.wait(10)

    world.strict.before("UploadPart", wait)
    world.strict.before("UploadPart", lambda _: None)
    world.strict.after("UploadPart", lambda _: second_is_up.set())
    world.store(Source(backup))
    assert world.stored() == backup


def test_nothing_is_completed_before_the_verifier_has_agreed(world: World, backup: bytes) -> None:
    source = Silent(backup, len(backup) - 4)

    def work() -> None:
        with pytest.raises(RelayError):
            world.store(source)

    thread = threading.Thread(target=work)
    thread.start()
    assert source.silent.wait(10)
    assert world.strict.sent["CompleteMultipartUpload"] == 0
    assert world.stored() is None
    source.close()
    thread.join()
    assert world.stored() is None


# What is not


@pytest.mark.parametrize("at", [0, 1, 9, 10, 11, 299, PART - 1, PART, PART + 1, 5 * PART, 9799])
def test_after_an_error_of_the_source_at_any_byte_nothing_is_left_and_the_error_is_the_sources(
    world: World, backup: bytes, at: int
) -> None:
    nothing_is_stored(world, Source(backup, Retry("the line is dead"), at), Retry, "the line is dead")


def test_an_error_at_the_very_end_is_an_error(world: World, backup: bytes) -> None:
    nothing_is_stored(world, Source(backup, Retry("the line is dead")), Retry, "the line is dead")


@pytest.mark.parametrize("more", [0, 1, 2, 9, 18, 40])
def test_an_error_within_a_second_member_is_the_sources_too(world: World, more: int) -> None:
    content = a_backup(1200) + a_backup(1200)
    nothing_is_stored(world, Source(content, Retry("the line is dead"), 1200 + more), Retry, "the line is dead")


@pytest.mark.parametrize("error", [HALT, Interrupt("stop"), KeyboardInterrupt(), SystemExit(1), MemoryError("no room")])
def test_whatever_the_source_raises_comes_out_as_it_is(world: World, backup: bytes, error: BaseException) -> None:
    nothing_is_stored(world, Source(backup, error, 4321), type(error))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda content: b"", "empty"),
        (lambda content: content[:-1], "ends early"),
        (lambda content: content[:5000], "ends early"),
        (lambda content: content + b"garbage", "ends early"),
        (lambda content: content + b"garbage of some length", "damaged"),
        (lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:], "damaged"),
        (lambda content: content[:-8] + b"\0\0\0\0" + content[-4:], "damaged"),
        (
            lambda content: gzip.compress(b'{"id": 1}\n' * 2000 + b"no object\n" + b'{"id": 1}\n' * 2000, 0),
            "line 2001 ",
        ),
        (lambda content: b"no gzip at all" * 500, "damaged"),
    ],
    ids=["empty", "a byte short", "half", "little garbage", "garbage", "one bit", "checksum", "no object", "no gzip"],
)
def test_what_is_no_whole_backup_is_not_stored(
    world: World, backup: bytes, spoil: Callable[[bytes], bytes], words: str
) -> None:
    nothing_is_stored(world, Source(spoil(backup)), Corrupt, words)


def test_the_verdict_of_a_large_spoilt_file_does_not_wait_for_the_rest_of_it(world: World) -> None:
    content = b"no gzip" + random.Random(1).randbytes(1000 * PART)
    source = Source(content)
    nothing_is_stored(world, source, Corrupt)
    assert source.position < 100 * PART


# What S3 does not do


def test_a_part_that_s3_refuses_spoils_the_whole(world: World, backup: bytes) -> None:
    world.strict.before("UploadPart", lambda _: None)
    world.strict.before("UploadPart", refuse("BadDigest"))
    nothing_is_stored(world, Source(backup), Retry, r"S3 did not take message/2016.* \(BadDigest\)")


def test_a_part_whose_bytes_change_on_their_way_is_refused_by_its_checksum(world: World, backup: bytes) -> None:
    def flip(request: Any) -> None:
        content = bytearray(request.body.read())
        content[7] ^= 1
        request.body = bytes(content)

    world.strict.before("UploadPart", flip)
    nothing_is_stored(world, Source(backup), Retry, "BadDigest")


@pytest.mark.parametrize("part", [1, 4, 10], ids=["first", "middle", "last"])
def test_a_part_that_never_arrives_spoils_the_whole(world: World, backup: bytes, part: int) -> None:
    def lose(request: Any) -> Any:
        raise ConnectTimeoutError(endpoint_url=request.url)

    world.strict.before("UploadPart", lambda _: None, times=part - 1)
    world.strict.before("UploadPart", lose, times=100)
    source = Source(backup)
    with pytest.raises(Retry, match=r"\(ConnectTimeoutError\)"):
        world.store(source)
    assert (world.stored(), world.uploads(), source.closed) == (None, [], True)
    assert world.strict.sent["CompleteMultipartUpload"] == 0


def test_a_part_that_arrives_at_the_second_attempt_is_as_good_as_any(world: World, backup: bytes) -> None:
    def lose(request: Any) -> Any:
        request.body.read(700)
        raise ReadTimeoutError(endpoint_url=request.url)

    world.strict.before("UploadPart", lose)
    world.strict.before("UploadPart", refuse("SlowDown", 503))
    assert world.store(Source(backup)) is not None
    assert world.stored() == backup
    assert world.strict.sent["UploadPart"] == 10 + 2


def test_an_upload_that_cannot_begin_ends_there(world: World, backup: bytes) -> None:
    world.strict.before("CreateMultipartUpload", refuse("AccessDenied", 403))
    with pytest.raises(Retry, match=r"\(AccessDenied\)"):
        world.store(Source(backup))
    assert world.strict.sent["UploadPart"] == 0


@pytest.mark.parametrize("code", ["InternalError", "BadDigest", "EntityTooSmall", "AccessDenied"])
def test_an_upload_that_s3_does_not_complete_is_aborted(world: World, backup: bytes, code: str) -> None:
    world.strict.before("CompleteMultipartUpload", refuse(code))
    with pytest.raises(Retry, match=code):
        world.store(Source(backup))
    assert (world.stored(), world.uploads()) == (None, [])


def test_the_checksum_of_the_whole_is_compared(world: World, backup: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer.isal_zlib, "crc32_combine", lambda *_: 1)
    with pytest.raises(Retry, match="BadDigest"):
        world.store(Source(backup))
    assert world.stored() is None


def test_a_reason_tells_nothing_but_the_key_and_a_code(world: World, backup: bytes) -> None:
    world.strict.before("CompleteMultipartUpload", refuse("InternalError"))
    with pytest.raises(Retry) as caught:
        world.store(Source(backup))
    assert str(caught.value) == f"S3 did not take {KEY} (InternalError)"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("code", ["NoSuchUpload", "InternalError"])
def test_an_abort_that_fails_hides_no_reason(world: World, backup: bytes, code: str) -> None:
    world.strict.after("AbortMultipartUpload", refuse(code, 404))
    nothing_is_stored(world, Source(backup[:500]), Corrupt, "ends early")


# Two of them


def test_a_second_one_leaves_the_firsts_bytes_alone(world: World, backup: bytes) -> None:
    first = a_backup(2500)
    world.store(Source(first))
    source = Source(backup)
    assert world.store(source) is None
    assert (world.stored(), world.uploads(), source.closed) == (first, [], True)


@pytest.mark.parametrize("code", ["NoSuchUpload", "PreconditionFailed", "ConditionalRequestConflict"])
def test_an_answer_that_was_lost_after_s3_had_put_the_parts_together_counts_as_there(
    world: World, backup: bytes, code: str
) -> None:
    def lose(request: Any) -> Any:
        world.strict.before("CompleteMultipartUpload", refuse(code, 412))
        raise ReadTimeoutError(endpoint_url=request.url)

    world.strict.after("CompleteMultipartUpload", lose)
    assert world.store(Source(backup)) is None
    assert world.stored() == backup


@pytest.mark.parametrize("code", ["NoSuchUpload", "PreconditionFailed", "ConditionalRequestConflict"])
def test_what_s3_says_of_another_object_counts_only_if_there_is_one(world: World, backup: bytes, code: str) -> None:
    world.strict.before("CompleteMultipartUpload", refuse(code, 412))
    with pytest.raises(Retry, match=code):
        world.store(Source(backup))
    assert world.stored() is None


def test_of_two_at_once_exactly_one_stores(world: World, backup: bytes) -> None:
    both = threading.Barrier(2, timeout=10)
    world.strict.before("CompleteMultipartUpload", lambda _: both.wait() and None, times=2)
    other = a_backup(3210)
    receipts: dict[bytes, Any] = {}

    def work(content: bytes) -> None:
        receipts[content] = world.store(Source(content))

    threads = [threading.Thread(target=work, args=(content,)) for content in (backup, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [content for content, receipt in receipts.items() if receipt]
    assert len(receipts) == 2
    assert world.stored() == winner
    assert world.uploads() == []


# Nothing waits for what will not come, and nothing stays


@pytest.mark.parametrize("broken", [True, False])
def test_nothing_of_a_transfer_outlives_it(world: World, backup: bytes, broken: bool) -> None:
    """A warm container does not fill up with the buffers of transfers that broke."""
    source = Source(backup, Retry("the line is dead") if broken else None)
    gone = weakref.ref(source)
    with suppress(Retry):
        world.store(source)
    del source
    gc.collect()
    assert gone() is None


def test_a_verdict_ends_a_read_that_would_wait_for_ever(world: World) -> None:
    source = Silent(b"no gzip at all" * 500, 2 * PART + 500)
    nothing_is_stored(world, source, Corrupt, "damaged")


def test_a_verdict_ends_a_reader_that_waits_for_a_buffer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The uploads hold two buffers, and two wait their turn: the reader has none when the third part is found bad."""
    monkeypatch.setattr(verifier, "BLOCK_BYTES", 100)  # the decoder gives no less than a block
    closed = threading.Event()

    class Spoilt(Source):
        def close(self) -> None:
            super().close()
            closed.set()

    world.strict.before("UploadPart", lambda _: closed.wait(15) and None, times=2)
    lines = b'{"id": 1}\n' * 230 + b"no object\n" + b'{"id": 1}\n' * 700
    nothing_is_stored(world, Spoilt(gzip.compress(lines, 0)), Corrupt, "line 231 ")


def test_a_part_that_fails_ends_a_file_without_an_end(world: World) -> None:
    class Endless(Source):
        """One member after the other."""

        def read(self, size: int, /) -> bytes:
            self.position %= len(self.content)
            return super().read(size)

    world.strict.before("UploadPart", refuse("AccessDenied", 403))
    nothing_is_stored(world, Endless(gzip.compress(b'{"id": 1}\n')), Retry, "AccessDenied")


def test_the_source_is_read_only_as_far_as_buffers_go_while_parts_are_on_their_way(world: World, backup: bytes) -> None:
    """Flat memory: with every upload held up, no more than the buffers' worth is taken off the source."""
    on_their_way, go_on = threading.Barrier(transfer.UPLOADERS + 1, timeout=10), threading.Event()

    def hold(_: Any) -> None:
        on_their_way.wait()
        assert go_on.wait(10)

    world.strict.before("UploadPart", hold, times=transfer.UPLOADERS)
    source = Source(backup)
    thread = threading.Thread(target=world.store, args=(source,))
    thread.start()
    on_their_way.wait()
    thread.join(0.2)  # time enough to go wrong
    assert source.position <= transfer.BUFFERS * PART < len(backup)
    go_on.set()
    thread.join()
    assert world.stored() == backup


class Counted(bytearray):
    """A buffer that is counted when it is made."""

    made: ClassVar[list[int]] = []
    there: ClassVar[weakref.WeakSet["Counted"]] = weakref.WeakSet()

    __hash__ = object.__hash__

    def __init__(self, size: int = 0) -> None:
        if size:
            self.made.append(size)
            self.there.add(self)
        super().__init__(size)


@pytest.fixture
def buffers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the buffers that are made."""
    Counted.made.clear()
    monkeypatch.setattr(transfer, "bytearray", Counted, raising=False)
    return Counted.made


@pytest.fixture
def no_collector() -> Iterator[None]:
    """A process in which the garbage collector has not come by yet."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Keeping(Source):
    """A file that keeps every frame that it is read from, as an error does that is caught while it is read."""

    def __init__(self, content: bytes, error: BaseException | None = None, at: int | None = None) -> None:
        super().__init__(content, error, at)
        self.kept: list[Any] = []

    def read(self, size: int, /) -> bytes:
        self.kept += callers()
        return super().read(size)


ENDINGS: dict[str, tuple[Source, str]] = {
    "stored": (Keeping(a_backup(2500)), ""),
    "broken": (Keeping(a_backup(2500), Retry("the line is dead")), ""),
    "not whole": (Keeping(a_backup(2500)[:-20]), ""),
    "a part refused": (Keeping(a_backup(2500)), "UploadPart"),
    "not completed": (Keeping(a_backup(2500)), "CompleteMultipartUpload"),
}
"""How a transfer may end: its source, and what S3 refuses."""


@pytest.mark.usefixtures("buffers", "no_collector")
@pytest.mark.parametrize("ending", ENDINGS)
def test_no_buffer_outlives_a_transfer_whoever_keeps_its_frames(world: World, ending: str) -> None:
    source, refused = ENDINGS[ending]
    if refused:
        world.strict.before(refused, refuse("AccessDenied", 403))
    with nullcontext() if ending == "stored" else pytest.raises(RelayError):
        world.store(source)
    assert Counted.made
    assert list(Counted.there) == []


def test_a_source_that_keeps_its_frames_is_stored_byte_for_byte(world: World, backup: bytes) -> None:
    assert world.store(Keeping(backup)) is not None
    assert world.stored() == backup


def test_a_source_that_gives_more_than_was_asked_for_spoils_no_part(world: World) -> None:
    class Generous(Source):
        def read(self, size: int, /) -> bytes:
            return bytes(size + 1)

    with pytest.raises(ValueError, match="different structures"):
        world.store(Generous(b""))
    assert (world.stored(), world.uploads()) == (None, [])


def test_a_file_of_ten_parts_takes_no_more_than_its_few_buffers(
    world: World, backup: bytes, buffers: list[int]
) -> None:
    world.store(Source(backup))
    assert world.stored() == backup
    assert 2 <= len(buffers) <= transfer.BUFFERS
    assert set(buffers) == {PART}


def test_a_file_of_one_part_takes_one_buffer(world: World, buffers: list[int]) -> None:
    world.store(Source(a_backup(500)))
    assert buffers == [PART]
