"""What a file at Firestream is known by: whether it is still the one that is stored."""

import pytest
from relay.backups.identity import Identity, tag_value

MONDAY, ISO = "Mon, 05 Dec 2016 03:00:00 GMT", "2016-12-05T03:00:00Z"
OTHER = "Tue, 06 Dec 2016 03:00:00 GMT"


def of_answer(etag: str = "", modified: str = "", length: str = "") -> Identity:
    headers = {"ETag": etag, "Last-Modified": modified, "Content-Length": length}
    return Identity.of_answer({name: value for name, value in headers.items() if value})


def test_an_answer_is_known_by_its_etag_its_date_and_its_size() -> None:
    assert of_answer('"5a-2"', MONDAY, "88") == Identity("5a-2", ISO, 88)
    assert of_answer() == Identity("", "", None)


@pytest.mark.parametrize("date", ["yesterday", "", "Mon, 99 Dec 2016", "9" * 400, "Mon, 05 Dec 99999 03:00:00 GMT"])
def test_a_date_that_is_none_is_not_known(date: str) -> None:
    assert of_answer(modified=date).modified == ""


@pytest.mark.parametrize("length", ["many", "-1", "1.5", "²"])
def test_a_size_that_is_none_is_not_known(length: str) -> None:
    assert of_answer(length=length).size is None


def test_tags_keep_it_and_the_size_is_the_objects_own() -> None:
    identity = of_answer('"5a-2"', MONDAY, "88")
    assert identity.tags == {"source-etag": "5a-2", "source-modified": ISO}
    assert Identity.of_tags(identity.tags, 88) == identity
    assert of_answer().tags == {"source-etag": ""}


@pytest.mark.parametrize(
    ("identity", "conditions"),
    [
        (Identity("5a-2", ISO, 88), {"If-None-Match": '"5a-2"'}),
        (Identity("W/5a", ISO, 88), {"If-None-Match": 'W/"5a"'}),
        (Identity("", ISO, 88), {"If-Modified-Since": MONDAY}),
        (Identity("", "", 88), {}),
    ],
)
def test_another_file_is_asked_for_by_the_best_of_what_is_known(identity: Identity, conditions: dict[str, str]) -> None:
    assert identity.conditions == conditions


@pytest.mark.parametrize(
    ("answer", "same"),
    [
        (of_answer('"a"', OTHER, "88"), True),  # S3's ETag is of the bytes: the file was only written again
        (of_answer('"a"', OTHER), True),
        (of_answer('"a"', MONDAY, "99"), False),
        (of_answer('"b"', MONDAY, "88"), False),
        (of_answer("", MONDAY, "88"), True),
        (of_answer("", OTHER, "88"), False),
        (of_answer("", MONDAY, "89"), False),
        (of_answer("", "", "88"), True),
        (of_answer("", "", "89"), False),
        (of_answer(), None),
    ],
)
def test_an_etag_decides_and_without_one_date_and_size_do(answer: Identity, same: bool | None) -> None:
    assert Identity("a", ISO, 88).is_same(answer) is same


@pytest.mark.parametrize(("length", "same"), [("88", True), ("89", False)])
def test_a_weak_etag_does_not_decide_alone(length: str, same: bool) -> None:
    assert Identity("W/a", ISO, 88).is_same(of_answer('W/"a"', MONDAY, length)) is same


def test_an_etag_that_a_tag_cannot_keep_is_still_recognized() -> None:
    strange = '"5a!ü' + "x" * 300 + '"'
    kept = Identity.of_tags(of_answer(strange).tags, 88)
    assert len(kept.etag) <= 256
    assert kept.is_same(of_answer(strange)) is True


def test_a_tag_has_no_character_that_s3_refuses() -> None:
    assert tag_value('"a"\n{b}, c_d:e+f=g/h@i-j.k') == "ab c_d:e+f=g/h@i-j.k"
    assert tag_value("x" * 300) == "x" * 256
