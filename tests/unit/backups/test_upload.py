"""One file into S3, whole or not at all, whatever fails; and no thread, buffer or unfinished upload stays."""

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
from relay.aws import S3_CONFIG
from relay.backups import upload, verifier
from relay.backups.upload import store
from relay.errors import Corrupt, Halt, Pause, RelayError, Retry

from tests.factories import callers
from tests.strict_s3 import WatchedS3, refuse
from tests.worlds.aws import Emulator
from tests.worlds.clock import Clock

pytestmark = [pytest.mark.any_aws, pytest.mark.timeout(20, func_only=True)]  # what waits for ever, waits no longer

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
    missing = size - len(gzip.compress(text % b"", 0, mtime=0))
    return gzip.compress(text % random.Random(size).randbytes(missing).hex()[:missing].encode(), 0, mtime=0)


class FakeS3:
    """An S3, and what is in it."""

    def __init__(self, s3: Any, strict: WatchedS3) -> None:
        self.s3 = s3
        self.strict = strict

    def store(self, source: Any, terms: upload.Terms = upload.NEW) -> upload.Receipt | None:
        return store(source, self.s3, BUCKET, KEY, terms)

    def etag(self) -> str:
        return str(self.s3.head_object(Bucket=BUCKET, Key=KEY)["ETag"])

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
def fake_s3(s3: Any, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeS3]:
    monkeypatch.setattr(upload, "PART_BYTES", PART)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    before = set(threading.enumerate())
    with emulator.serving(Clock(1_795_273_200.0), monkeypatch):
        strict = emulator.watch_s3(monkeypatch)
        s3.create_bucket(Bucket=BUCKET)
        fake_s3 = FakeS3(s3, strict)
        yield fake_s3
        assert fake_s3.uploads() == []
    # But for a server of another test's that is still answering somebody.
    assert [each for each in set(threading.enumerate()) - before if "process_request" not in each.name] == []


@pytest.fixture(scope="module")
def backup() -> bytes:
    """Ten parts, the last of which is not full."""
    return a_backup(10 * PART - 200, lines=7)


def nothing_is_stored(fake_s3: FakeS3, source: Source, error: type[BaseException], words: str | None = None) -> None:
    with pytest.raises(error, match=words):
        fake_s3.store(source)
    assert fake_s3.stored() is None
    assert fake_s3.strict.sent["CompleteMultipartUpload"] == 0
    assert fake_s3.uploads() == []
    assert source.closed


# --- What is stored


def test_parts_are_as_large_as_s3_wants_them_and_a_file_as_large_as_a_year_fits() -> None:
    assert upload.PART_BYTES >= 5 * 1024 * 1024
    assert upload.PART_BYTES * 10_000 > 50 * 1024**3


@pytest.mark.parametrize("size", [200, PART - 1, PART, PART + 1, 2 * PART - 1, 2 * PART, 2 * PART + 1, 9 * PART + 7])
def test_what_is_stored_is_the_file_byte_for_byte(fake_s3: FakeS3, size: int) -> None:
    content = a_backup(size)
    source = Source(content)
    receipt = fake_s3.store(source)
    assert receipt is not None
    assert (receipt.bytes, receipt.content.lines, receipt.sha256) == (size, 2, sha256(content).hexdigest())
    assert receipt.etag == fake_s3.etag()
    assert fake_s3.stored() == content
    assert len(content) == size
    assert source.closed
    assert fake_s3.strict.sent["UploadPart"] == -(-size // PART)


def test_a_file_of_two_members_is_stored_as_it_is(fake_s3: FakeS3, backup: bytes) -> None:
    receipt = fake_s3.store(Source(backup + a_backup(1500)))
    assert fake_s3.stored() == backup + a_backup(1500)
    assert receipt is not None
    assert receipt.content.lines == 9


def test_the_object_has_its_media_type_and_one_checksum_for_all_of_it(fake_s3: FakeS3, backup: bytes) -> None:
    fake_s3.store(Source(backup))
    head = fake_s3.s3.head_object(Bucket=BUCKET, Key=KEY, ChecksumMode="ENABLED")
    assert (head["ContentType"], head["ChecksumType"], head["ContentLength"]) == (
        "application/gzip",
        "FULL_OBJECT",
        len(backup),
    )
    assert "ContentEncoding" not in head


def test_parts_are_put_together_in_their_order_though_they_arrive_in_another(fake_s3: FakeS3, backup: bytes) -> None:
    second_is_up = threading.Event()

    def wait(_: Any) -> None:
        assert second_is_up.wait(10)

    fake_s3.strict.before("UploadPart", wait)
    fake_s3.strict.before("UploadPart", lambda _: None)
    fake_s3.strict.after("UploadPart", lambda _: second_is_up.set())
    fake_s3.store(Source(backup))
    assert fake_s3.stored() == backup


def test_nothing_is_completed_before_the_verifier_has_agreed(fake_s3: FakeS3, backup: bytes) -> None:
    source = Silent(backup, len(backup) - 4)

    def work() -> None:
        with pytest.raises(RelayError):
            fake_s3.store(source)

    thread = threading.Thread(target=work)
    thread.start()
    assert source.silent.wait(10)
    assert fake_s3.strict.sent["CompleteMultipartUpload"] == 0
    assert fake_s3.stored() is None
    source.close()
    thread.join()
    assert fake_s3.stored() is None


# --- What is not stored


@pytest.mark.parametrize("at", [0, 1, 9, 10, 11, 299, PART - 1, PART, PART + 1, 5 * PART, 9799])
def test_after_an_error_of_the_source_at_any_byte_nothing_is_left_and_the_error_is_the_sources(
    fake_s3: FakeS3, backup: bytes, at: int
) -> None:
    nothing_is_stored(fake_s3, Source(backup, Retry("the line is dead"), at), Retry, "the line is dead")


def test_an_error_at_the_very_end_is_an_error(fake_s3: FakeS3, backup: bytes) -> None:
    nothing_is_stored(fake_s3, Source(backup, Retry("the line is dead")), Retry, "the line is dead")


@pytest.mark.parametrize("more", [0, 1, 2, 9, 18, 40])
def test_an_error_within_a_second_member_is_the_sources_too(fake_s3: FakeS3, more: int) -> None:
    content = a_backup(1200) + a_backup(1200)
    nothing_is_stored(fake_s3, Source(content, Retry("the line is dead"), 1200 + more), Retry, "the line is dead")


@pytest.mark.parametrize(
    "error", [HALT, Interrupt("stop"), KeyboardInterrupt(), SystemExit(1), MemoryError("too little memory")]
)
def test_whatever_the_source_raises_comes_out_as_it_is(fake_s3: FakeS3, backup: bytes, error: BaseException) -> None:
    nothing_is_stored(fake_s3, Source(backup, error, 4321), type(error))


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
            lambda content: gzip.compress(b"<html>\n" + b"no object\n" * 4000, 0),
            "the file holds a web page",
        ),
        (lambda content: b"no gzip at all" * 500, "damaged"),
    ],
    ids=["empty", "a byte short", "half", "little garbage", "garbage", "one bit", "checksum", "no object", "no gzip"],
)
def test_a_file_that_is_not_a_whole_backup_is_not_stored(
    fake_s3: FakeS3, backup: bytes, spoil: Callable[[bytes], bytes], words: str
) -> None:
    nothing_is_stored(fake_s3, Source(spoil(backup)), Corrupt, words)


def test_a_large_damaged_file_is_refused_before_it_is_read_to_its_end(fake_s3: FakeS3) -> None:
    content = b"no gzip" + random.Random(1).randbytes(1000 * PART)
    source = Source(content)
    nothing_is_stored(fake_s3, source, Corrupt)
    assert source.position < 100 * PART


# --- Requests that S3 refuses or that are lost


def test_a_part_that_s3_refuses_spoils_the_whole(fake_s3: FakeS3, backup: bytes) -> None:
    fake_s3.strict.before("UploadPart", lambda _: None)
    fake_s3.strict.before("UploadPart", refuse("BadDigest"))
    nothing_is_stored(fake_s3, Source(backup), Retry, r"S3 did not take message/2016.* \(BadDigest\)")


def test_a_part_whose_bytes_change_on_their_way_is_refused_by_its_checksum(fake_s3: FakeS3, backup: bytes) -> None:
    def flip(request: Any) -> None:
        content = bytearray(request.body.read())
        content[7] ^= 1
        request.body = bytes(content)

    fake_s3.strict.before("UploadPart", flip)
    nothing_is_stored(fake_s3, Source(backup), Retry, "BadDigest")


@pytest.mark.parametrize("part", [1, 4, 10], ids=["first", "middle", "last"])
def test_a_part_that_never_arrives_spoils_the_whole(fake_s3: FakeS3, backup: bytes, part: int) -> None:
    def lose(request: Any) -> Any:
        raise ConnectTimeoutError(endpoint_url=request.url)

    fake_s3.strict.before("UploadPart", lambda _: None, times=part - 1)
    fake_s3.strict.before("UploadPart", lose, times=100)
    source = Source(backup)
    with pytest.raises(Retry, match=r"\(ConnectTimeoutError\)"):
        fake_s3.store(source)
    assert (fake_s3.stored(), fake_s3.uploads(), source.closed) == (None, [], True)
    assert fake_s3.strict.sent["CompleteMultipartUpload"] == 0


def test_a_part_that_arrives_at_the_second_attempt_is_as_good_as_any(fake_s3: FakeS3, backup: bytes) -> None:
    def lose(request: Any) -> Any:
        request.body.read(700)
        raise ReadTimeoutError(endpoint_url=request.url)

    fake_s3.strict.before("UploadPart", lose)
    fake_s3.strict.before("UploadPart", refuse("SlowDown", 503))
    assert fake_s3.store(Source(backup)) is not None
    assert fake_s3.stored() == backup
    assert fake_s3.strict.sent["UploadPart"] == 10 + 2


def test_an_upload_that_cannot_begin_ends_there(fake_s3: FakeS3, backup: bytes) -> None:
    fake_s3.strict.before("CreateMultipartUpload", refuse("AccessDenied", 403))
    with pytest.raises(Retry, match=r"\(AccessDenied\)"):
        fake_s3.store(Source(backup))
    assert fake_s3.strict.sent["UploadPart"] == 0


@pytest.mark.parametrize("code", ["InternalError", "BadDigest", "EntityTooSmall", "AccessDenied"])
def test_an_upload_that_s3_does_not_complete_is_aborted(fake_s3: FakeS3, backup: bytes, code: str) -> None:
    fake_s3.strict.before("CompleteMultipartUpload", refuse(code))
    with pytest.raises(Retry, match=code):
        fake_s3.store(Source(backup))
    assert (fake_s3.stored(), fake_s3.uploads()) == (None, [])


def test_the_checksum_of_the_whole_is_compared(fake_s3: FakeS3, backup: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload.isal_zlib, "crc32_combine", lambda *_: 1)
    with pytest.raises(Retry, match="BadDigest"):
        fake_s3.store(Source(backup))
    assert fake_s3.stored() is None


def test_a_reason_contains_only_the_key_and_a_code(fake_s3: FakeS3, backup: bytes) -> None:
    fake_s3.strict.before("CompleteMultipartUpload", refuse("InternalError"))
    with pytest.raises(Retry) as caught:
        fake_s3.store(Source(backup))
    assert str(caught.value) == f"S3 did not take {KEY} (InternalError)"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("code", ["NoSuchUpload", "InternalError"])
def test_an_abort_that_fails_does_not_hide_the_reason(fake_s3: FakeS3, backup: bytes, code: str) -> None:
    fake_s3.strict.after("AbortMultipartUpload", refuse(code, 404))
    nothing_is_stored(fake_s3, Source(backup[:500]), Corrupt, "ends early")


# --- Two uploads of one backup


def test_a_second_upload_leaves_the_bytes_of_the_first_alone(fake_s3: FakeS3, backup: bytes) -> None:
    first = a_backup(2500)
    fake_s3.store(Source(first))
    source = Source(backup)
    assert fake_s3.store(source) is None
    assert (fake_s3.stored(), fake_s3.uploads(), source.closed) == (first, [], True)


@pytest.mark.parametrize("code", ["NoSuchUpload", "PreconditionFailed", "ConditionalRequestConflict"])
def test_an_answer_that_was_lost_after_s3_had_put_the_parts_together_counts_as_there(
    fake_s3: FakeS3, backup: bytes, code: str
) -> None:
    def lose(request: Any) -> Any:
        fake_s3.strict.before("CompleteMultipartUpload", refuse(code, 412))
        raise ReadTimeoutError(endpoint_url=request.url)

    fake_s3.strict.after("CompleteMultipartUpload", lose)
    receipt = fake_s3.store(Source(backup))
    assert receipt is not None
    assert (receipt.etag, receipt.made) == (fake_s3.etag(), False)
    assert fake_s3.stored() == backup


@pytest.mark.parametrize("code", ["NoSuchUpload", "PreconditionFailed", "ConditionalRequestConflict"])
def test_an_error_about_another_object_counts_only_if_there_is_one(fake_s3: FakeS3, backup: bytes, code: str) -> None:
    fake_s3.strict.before("CompleteMultipartUpload", refuse(code, 412))
    with pytest.raises(Retry, match=code):
        fake_s3.store(Source(backup))
    assert fake_s3.stored() is None


# --- Another version


def test_a_version_takes_the_place_of_the_one_that_was_looked_at_and_s3_keeps_that(
    fake_s3: FakeS3, backup: bytes
) -> None:
    fake_s3.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    first = a_backup(2500)
    fake_s3.store(Source(first))
    receipt = fake_s3.store(Source(backup), upload.Terms({"IfMatch": fake_s3.etag()}))
    assert receipt is not None
    assert receipt.etag == fake_s3.etag()
    assert fake_s3.stored() == backup
    versions = fake_s3.s3.list_object_versions(Bucket=BUCKET, Prefix=KEY)["Versions"]
    kept = [fake_s3.s3.get_object(Bucket=BUCKET, Key=KEY, VersionId=each["VersionId"]) for each in versions]
    assert [each["Body"].read() for each in kept] == [backup, first]


def test_a_version_that_somebody_else_replaced_meanwhile_stays(fake_s3: FakeS3, backup: bytes) -> None:
    first = a_backup(2500)
    fake_s3.store(Source(first))
    source = Source(backup)
    assert fake_s3.store(source, upload.Terms({"IfMatch": '"another"'})) is None
    assert (fake_s3.stored(), fake_s3.uploads(), source.closed) == (first, [], True)


def test_a_version_that_is_not_whole_leaves_the_stored_one(fake_s3: FakeS3, backup: bytes) -> None:
    fake_s3.store(Source(backup))
    with pytest.raises(Corrupt):
        fake_s3.store(Source(a_backup(2500)[:-9]), upload.Terms({"IfMatch": fake_s3.etag()}))
    assert fake_s3.stored() == backup


@pytest.mark.parametrize("code", ["NoSuchKey", "NoSuchUpload", "PreconditionFailed"])
def test_an_error_about_another_version_counts_only_if_there_is_one(fake_s3: FakeS3, backup: bytes, code: str) -> None:
    fake_s3.store(Source(backup))
    fake_s3.strict.before("CompleteMultipartUpload", refuse(code, 412))
    with pytest.raises(Retry, match=code):
        fake_s3.store(Source(a_backup(2500)), upload.Terms({"IfMatch": fake_s3.etag()}))
    assert fake_s3.stored() == backup


def test_the_same_bytes_become_no_version(fake_s3: FakeS3, backup: bytes) -> None:
    fake_s3.store(Source(backup))
    fake_s3.strict.sent.clear()
    terms = upload.Terms({"IfMatch": fake_s3.etag()}, unless_sha256=sha256(backup).hexdigest())
    receipt = fake_s3.store(Source(backup), terms)
    assert receipt is not None
    assert receipt.etag is None
    assert fake_s3.strict.sent["CompleteMultipartUpload"] == 0
    assert fake_s3.uploads() == []


# --- Two uploads at once


def test_of_two_uploads_at_once_exactly_one_stores(fake_s3: FakeS3, backup: bytes) -> None:
    both = threading.Barrier(2, timeout=10)
    fake_s3.strict.before("CompleteMultipartUpload", lambda _: both.wait() and None, times=2)
    other = a_backup(3210)
    receipts: dict[bytes, Any] = {}

    def work(content: bytes) -> None:
        receipts[content] = fake_s3.store(Source(content))

    threads = [threading.Thread(target=work, args=(content,)) for content in (backup, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [content for content, receipt in receipts.items() if receipt]
    assert len(receipts) == 2
    assert fake_s3.stored() == winner
    assert fake_s3.uploads() == []


# --- Nothing waits for ever, and nothing stays in memory


@pytest.mark.parametrize("broken", [True, False])
def test_an_upload_leaves_nothing_in_memory(fake_s3: FakeS3, backup: bytes, broken: bool) -> None:
    """A warm container does not fill up with the buffers of uploads that broke."""
    source = Source(backup, Retry("the line is dead") if broken else None)
    gone = weakref.ref(source)
    with suppress(Retry):
        fake_s3.store(source)
    del source
    gc.collect()
    assert gone() is None


def test_the_verifiers_verdict_ends_a_read_that_would_wait_for_ever(fake_s3: FakeS3) -> None:
    source = Silent(b"no gzip at all" * 500, 2 * PART + 500)
    nothing_is_stored(fake_s3, source, Corrupt, "damaged")


def test_the_verifiers_verdict_ends_a_reader_that_waits_for_a_buffer(
    fake_s3: FakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two buffers are being uploaded, and two wait their turn: the reader has none when the third part is found bad."""
    monkeypatch.setattr(verifier, "BLOCK_BYTES", 100)  # the decoder gives no less than a block
    closed = threading.Event()

    class Spoilt(Source):
        def close(self) -> None:
            super().close()
            closed.set()

    fake_s3.strict.before("UploadPart", lambda _: closed.wait(15) and None, times=2)
    content = bytearray(gzip.compress(b'{"id": 1}\n' * 230, 0) + gzip.compress(b'{"id": 1}\n' * 700, 0))
    content[content.rindex(b"\x1f\x8b")] = 0
    nothing_is_stored(fake_s3, Spoilt(bytes(content)), Corrupt, "damaged")


def test_a_part_that_fails_ends_a_file_without_an_end(fake_s3: FakeS3) -> None:
    class Endless(Source):
        """One member after the other."""

        def read(self, size: int, /) -> bytes:
            self.position %= len(self.content)
            return super().read(size)

    fake_s3.strict.before("UploadPart", refuse("AccessDenied", 403))
    nothing_is_stored(fake_s3, Endless(gzip.compress(b'{"id": 1}\n')), Retry, "AccessDenied")


def test_the_source_is_read_only_as_far_as_buffers_go_while_parts_are_on_their_way(
    fake_s3: FakeS3, backup: bytes
) -> None:
    """Flat memory: with every upload held up, no more than the buffers' worth is taken off the source."""
    on_their_way, go_on = threading.Barrier(upload.UPLOADERS + 1, timeout=10), threading.Event()

    def wait(_: Any) -> None:
        on_their_way.wait()
        assert go_on.wait(10)

    fake_s3.strict.before("UploadPart", wait, times=upload.UPLOADERS)
    source = Source(backup)
    thread = threading.Thread(target=fake_s3.store, args=(source,))
    thread.start()
    on_their_way.wait()
    thread.join(0.2)  # time enough to go wrong
    assert source.position <= upload.BUFFERS * PART < len(backup)
    go_on.set()
    thread.join()
    assert fake_s3.stored() == backup


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
    monkeypatch.setattr(upload, "bytearray", Counted, raising=False)
    return Counted.made


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
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
"""How an upload may end: its source, and what S3 refuses."""


@pytest.mark.usefixtures("buffers", "no_garbage_collection")
@pytest.mark.parametrize("ending", ENDINGS)
def test_buffers_are_freed_after_an_upload_whoever_keeps_its_frames(fake_s3: FakeS3, ending: str) -> None:
    source, refused = ENDINGS[ending]
    if refused:
        fake_s3.strict.before(refused, refuse("AccessDenied", 403))
    with nullcontext() if ending == "stored" else pytest.raises(RelayError):
        fake_s3.store(source)
    assert Counted.made
    assert list(Counted.there) == []


def test_a_source_that_keeps_its_frames_is_stored_byte_for_byte(fake_s3: FakeS3, backup: bytes) -> None:
    assert fake_s3.store(Keeping(backup)) is not None
    assert fake_s3.stored() == backup


def test_a_source_that_returns_more_than_was_asked_for_is_refused(fake_s3: FakeS3) -> None:
    class Generous(Source):
        def read(self, size: int, /) -> bytes:
            return bytes(size + 1)

    with pytest.raises(ValueError, match="different structures"):
        fake_s3.store(Generous(b""))
    assert (fake_s3.stored(), fake_s3.uploads()) == (None, [])


def test_a_file_of_ten_parts_takes_only_a_few_buffers(fake_s3: FakeS3, backup: bytes, buffers: list[int]) -> None:
    fake_s3.store(Source(backup))
    assert fake_s3.stored() == backup
    assert 2 <= len(buffers) <= upload.BUFFERS
    assert set(buffers) == {PART}


def test_a_file_of_one_part_takes_one_buffer(fake_s3: FakeS3, buffers: list[int]) -> None:
    fake_s3.store(Source(a_backup(500)))
    assert buffers == [PART]
