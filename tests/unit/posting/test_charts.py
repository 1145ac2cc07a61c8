"""A chart in S3: found under its key as it stands or decoded, and checked before there is a request."""

import io
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from relay.errors import NotYet, Reject, Retry
from relay.posting.charts import MAX_CHART_BYTES, Charts

from tests.factories import an_alert
from tests.unit.posting.stocktwits_helpers import GIF


class FakeS3:
    """A bucket in memory, and the keys that were asked for; an exception in place of an object is raised."""

    def __init__(self, **objects: Any) -> None:
        self.objects = objects
        self.asked: list[str] = []

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        assert Bucket == "charts"
        self.asked.append(Key)
        found = self.objects.get(Key, error("NoSuchKey"))
        if isinstance(found, Exception):
            raise found
        return {"ContentLength": len(found), "Body": io.BytesIO(found)}


def error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "GetObject")


def fetch(s3: FakeS3, key: str, bucket: str = "charts") -> bytes | None:
    return Charts(lambda: s3, bucket).fetch(an_alert(chart=f"s3://charts/{key}"))  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("chart", [None, "https://charts.example/7.png"])
def test_without_a_chart_in_s3_nothing_is_read(chart: str | None) -> None:
    s3 = FakeS3()
    assert Charts(lambda: s3, "charts").fetch(an_alert(chart=chart)) is None  # type: ignore[arg-type,return-value]
    assert s3.asked == []


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("c.gif", "c.gif"),
        ("a/b c.gif", "a/b c.gif"),
        ("rising+channel+%24AAPL.gif", "rising channel $AAPL.gif"),
        ("rising%20channel.gif", "rising channel.gif"),
        ("a%2Fb.gif", "a/b.gif"),
        ("1%2B1.gif", "1+1.gif"),
        ("1+1%24.gif", "1+1$.gif"),
        ("caf%C3%A9.gif", "caf\u00e9.gif"),
    ],
)
def test_a_chart_is_found_under_its_key_as_it_stands_or_decoded(key: str, name: str) -> None:
    s3 = FakeS3(**{name: GIF})
    assert fetch(s3, key) == GIF
    assert s3.asked[0] == key


@pytest.mark.parametrize("key", ["1+1.gif", "50%25.gif", "a%2Fb.gif"])
def test_the_key_as_it_stands_goes_first(key: str) -> None:
    s3 = FakeS3(**{key: GIF, "1 1.gif": b"GIF89a other", "50%.gif": b"GIF89a other", "a/b.gif": b"GIF89a other"})
    assert fetch(s3, key) == GIF
    assert s3.asked == [key]


@pytest.mark.parametrize(
    ("key", "asked"),
    [
        ("c.gif", ["c.gif"]),
        ("50%.gif", ["50%.gif"]),
        ("a+b.gif", ["a+b.gif", "a b.gif"]),
        ("a+b%24.gif", ["a+b%24.gif", "a b$.gif", "a+b$.gif"]),
    ],
)
def test_a_chart_that_is_not_there_is_looked_for_once_in_each_reading_and_may_still_come(
    key: str, asked: list[str]
) -> None:
    s3 = FakeS3()
    with pytest.raises(NotYet) as raised:
        fetch(s3, key)
    assert raised.value.reason == f"chart: there is no object {key!r} in bucket charts"
    assert s3.asked == asked


@pytest.mark.parametrize("code", ["NoSuchKey", "NoSuchBucket", "404"])
def test_what_s3_says_of_an_absent_chart_may_change(code: str) -> None:
    with pytest.raises(NotYet):
        fetch(FakeS3(**{"c.gif": error(code)}), "c.gif")


def test_a_chart_that_the_relay_may_not_read_is_final() -> None:
    with pytest.raises(Reject, match=r"S3 denies the relay 'c\.gif' in bucket charts: check its policy") as raised:
        fetch(FakeS3(**{"c.gif": error("AccessDenied")}), "c.gif")
    assert type(raised.value) is Reject


@pytest.mark.parametrize("bucket", ["other", ""])
def test_a_chart_in_another_bucket_is_final_and_not_read(bucket: str) -> None:
    s3 = FakeS3(**{"c.gif": GIF})
    with pytest.raises(Reject, match="chart: the relay may not read from bucket charts") as raised:
        fetch(s3, "c.gif", bucket)
    assert (type(raised.value), s3.asked) == (Reject, [])


@pytest.mark.parametrize(
    "failure", [error("SlowDown"), error("InternalError"), EndpointConnectionError(endpoint_url="https://s3")]
)
def test_while_s3_does_not_answer_a_chart_is_tried_again_later(failure: Exception) -> None:
    with pytest.raises(Retry, match="chart: S3 did not answer"):
        fetch(FakeS3(**{"c.gif": failure}), "c.gif")


def test_a_decoded_key_is_not_tried_while_s3_does_not_answer() -> None:
    s3 = FakeS3(**{"a+b.gif": error("SlowDown"), "a b.gif": GIF})
    with pytest.raises(Retry):
        fetch(s3, "a+b.gif")
    assert s3.asked == ["a+b.gif"]


@pytest.mark.parametrize("content", [b"", b"<svg/>", b"%PDF-1.7"])
def test_a_chart_that_is_not_an_image_is_final(content: bytes) -> None:
    with pytest.raises(Reject, match="not a JPG, PNG or GIF") as raised:
        fetch(FakeS3(**{"c.gif": content}), "c.gif")
    assert type(raised.value) is Reject


@pytest.mark.parametrize(("size", "allowed"), [(MAX_CHART_BYTES - 1, True), (MAX_CHART_BYTES, False)])
def test_a_chart_of_two_megabytes_is_too_large(size: int, allowed: bool) -> None:
    s3 = FakeS3(**{"c.gif": GIF.ljust(size, b"x")})
    if allowed:
        assert len(fetch(s3, "c.gif") or b"") == size
    else:
        with pytest.raises(Reject, match=f"{size} bytes, but it must be under {MAX_CHART_BYTES}"):
            fetch(s3, "c.gif")


@pytest.mark.parametrize("key", ["k" * 1025, "\u4e16" * 342, "k" * 1999])
def test_a_key_that_is_longer_than_any_in_s3_is_final_and_quoted_in_part(key: str) -> None:
    s3 = FakeS3()
    with pytest.raises(Reject, match="no key is so long") as raised:
        fetch(s3, key)
    assert (type(raised.value), s3.asked) == (Reject, [])
    assert len(raised.value.reason) < 300


def test_a_key_that_is_too_long_only_while_it_is_encoded_is_found_decoded() -> None:
    s3 = FakeS3(**{"\u4e16" * 200: GIF})
    assert fetch(s3, "%E4%B8%96" * 200) == GIF
    assert s3.asked == ["\u4e16" * 200]


def test_a_long_key_is_quoted_in_part() -> None:
    with pytest.raises(NotYet) as raised:
        fetch(FakeS3(), "k" * 1024)
    assert len(raised.value.reason) < 300
