"""A chart in S3: fetched from the one bucket that the template allows, checked before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

from relay.aws_errors import AWS_ERRORS, error_code
from relay.errors import NotYet, Reject, Retry
from relay.posting.alert import MAX_QUOTED_CHARACTERS
from relay.posting.stocktwits import image_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client

    from relay.posting.alert import Alert

MAX_CHART_BYTES = 2_000_000
"""StockTwits takes charts under 2 MB: https://api.stocktwits.com/developers/docs/api#messages-create-docs."""

MAX_KEY_BYTES = 1024
"""The longest key of an object in S3: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html."""

_NOT_THERE = frozenset({"NoSuchKey", "NoSuchBucket", "404"})


class Charts:
    """Reads charts from the chart bucket."""

    def __init__(self, s3: Callable[[], S3Client], bucket: str) -> None:
        """Read from `bucket`, the empty string for none; `s3` is called when the first chart comes."""
        self._s3 = s3
        self._bucket = bucket

    def fetch(self, alert: Alert) -> bytes | None:
        """Return the bytes of a post's chart, or None when there are none to upload.

        Raises:
            NotYet: It is not there.
            Reject: It is not ours to read, too large, or not an image.
            Retry: S3 did not answer.
        """
        if not alert.chart or not alert.chart.startswith("s3://"):
            return None
        bucket, _, key = alert.chart.removeprefix("s3://").partition("/")
        if bucket != self._bucket:
            allowed = f"only s3://{self._bucket}/ is allowed" if self._bucket else "no chart bucket is set up"
            raise Reject(f"chart: the relay may not read from bucket {bucket[:MAX_QUOTED_CHARACTERS]}: {allowed}")
        # S3's events and consoles give keys URL-encoded: what is not there as it stands may be there decoded.
        readings = dict.fromkeys((key, unquote_plus(key), unquote(key)))
        possible = [each for each in readings if len(each.encode()) <= MAX_KEY_BYTES]
        if not possible:
            raise Reject(f"chart: there is no object {key[:MAX_QUOTED_CHARACTERS]!r}: no key is so long")
        for candidate in possible:
            content = self._read(bucket, candidate)
            if content is not None:
                image_type(content)
                return content
        raise NotYet(f"chart: there is no object {key[:MAX_QUOTED_CHARACTERS]!r} in bucket {bucket}")

    def _read(self, bucket: str, key: str) -> bytes | None:
        """Return an object's bytes; None if it is not there."""
        try:
            answer = self._s3().get_object(Bucket=bucket, Key=key)
            if answer["ContentLength"] >= MAX_CHART_BYTES:
                raise Reject(f"chart: {answer['ContentLength']} bytes, but it must be under {MAX_CHART_BYTES}")
            return answer["Body"].read()
        except AWS_ERRORS as error:
            code = error_code(error)
            if code in _NOT_THERE:
                return None
            if code == "AccessDenied":
                raise Reject(
                    f"chart: S3 denies the relay {key[:MAX_QUOTED_CHARACTERS]!r} in bucket {bucket}: check its policy"
                ) from None
            raise Retry(f"chart: S3 did not answer ({code})") from error
