"""Watches the requests to an emulator's S3, and makes moto's as strict as AWS: checksums, sizes and IfMatch.

What is compared: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html.
"""

import base64
import threading
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as ET

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from moto.core.botocore_stubber import BotocoreStubber, MockRawResponse
from moto.s3.models import s3_backends

Act = Callable[[AWSPreparedRequest], AWSResponse | None]


class WatchedS3:
    """Watches every request to an emulator's S3, and lets planned ones fail.

    Attributes:
        sent: How often each operation was sent, by the library's own attempts too.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        """Register between botocore and the emulator, which is in the place of moto's handler of requests."""
        self.sent: Counter[str] = Counter()
        self._planned: list[tuple[str, str, Act]] = []
        self._lock = threading.RLock()
        emulator = BotocoreStubber.__call__

        def answer(stubber: BotocoreStubber, event_name: str, request: AWSPreparedRequest, **rest: Any) -> Any:
            service, _, operation = event_name.removeprefix("before-send.").partition(".")
            if service != "s3":
                return emulator(stubber, event_name, request, **rest)
            with self._lock:
                self.sent[operation] += 1
            if given := self._planned_answer("before", operation, request):
                return given
            with self._lock:
                given = self._refusal(operation, request) or emulator(stubber, event_name, request, **rest)
            return self._planned_answer("after", operation, request) or given

        patch.setattr(BotocoreStubber, "__call__", answer)

    def before(self, operation: str, act: Act, times: int = 1) -> None:
        """Let `act` answer the next requests of an operation, raise, or wait and leave them be, before S3 does."""
        self._planned += [("before", operation, act)] * times

    def after(self, operation: str, act: Act, times: int = 1) -> None:
        """The same, after S3 has handled the request, in place of its answer."""
        self._planned += [("after", operation, act)] * times

    def _planned_answer(self, when: str, operation: str, request: AWSPreparedRequest) -> AWSResponse | None:
        with self._lock:
            found = next((each for each in self._planned if each[:2] == (when, operation)), None)
            if found:
                self._planned.remove(found)
        return found[2](request) if found else None

    def _refusal(self, operation: str, request: AWSPreparedRequest) -> AWSResponse | None:
        """Answer what AWS refuses and the emulator would not."""
        return None


class StrictS3(WatchedS3):
    """moto's S3, with the checks that it lacks."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        """Register between botocore and moto."""
        super().__init__(patch)
        self._parts: dict[str, dict[str, bytes]] = {}

    def _refusal(self, operation: str, request: AWSPreparedRequest) -> AWSResponse | None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}
        if operation == "UploadPart":
            content = _body(request)
            if _header(request, "x-amz-checksum-crc32") != _crc32(content):
                return refusal(request, "BadDigest")
            self._parts.setdefault(query["uploadId"], {})[query["partNumber"]] = content
        elif operation == "CompleteMultipartUpload":
            parts = self._parts.get(query["uploadId"], {})
            named = [
                {field.tag.rpartition("}")[2]: field.text for field in part} for part in ET.fromstring(_body(request))
            ]
            if [_crc32(parts[part["PartNumber"]]) for part in named] != [part.get("ChecksumCRC32") for part in named]:
                return refusal(request, "InvalidPart")
            whole = b"".join(parts[part["PartNumber"]] for part in named)
            expected = _header(request, "If-Match")
            if expected and (found := _etag(request)) != expected:
                return refusal(request, "PreconditionFailed", 412) if found else refusal(request, "NoSuchKey", 404)
            if _header(request, "x-amz-mp-object-size") != str(len(whole)):
                return refusal(request, "InvalidRequest")
            headers = [_header(request, f"x-amz-checksum-{name}") for name in ("crc32", "type")]
            if headers != [_crc32(whole), "FULL_OBJECT"]:
                return refusal(request, "BadDigest")
        return None


def refusal(request: AWSPreparedRequest, code: str, status: int = 400) -> AWSResponse:
    """Return S3's answer with an error code."""
    text = f"<Error><Code>{code}</Code><Message>planned</Message></Error>"
    return AWSResponse(request.url, status, {"Content-Type": "application/xml"}, MockRawResponse(text))


def refuse(code: str, status: int = 400) -> Act:
    """Return this answer."""
    return lambda request: refusal(request, code, status)


def _body(request: AWSPreparedRequest) -> bytes:
    if not hasattr(request.body, "read"):
        return bytes(request.body or b"")
    content = bytes(request.body.read())
    request.body.seek(0)
    return content


def _etag(request: AWSPreparedRequest) -> str | None:
    """Return the ETag of the object that is there: moto does not compare it before it completes an upload."""
    url = urlsplit(request.url)
    bucket, key = (url.hostname or "").partition(".")[0], unquote(url.path).removeprefix("/")
    found = s3_backends["123456789012"]["aws"].head_object(bucket, key)
    return str(found.etag) if found else None


def _header(request: AWSPreparedRequest, name: str) -> str:
    value = request.headers.get(name, "")
    return value.decode() if isinstance(value, bytes) else str(value)


def _crc32(content: bytes) -> str:
    return base64.b64encode(zlib.crc32(content).to_bytes(4)).decode()
