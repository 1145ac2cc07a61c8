"""How long the webhook's sources are used, and what it does when they cannot be read."""

from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from relay.errors import Retry
from relay.posting.webhook.source_parameter import KEPT_SECONDS, OUTAGE_SECONDS, REREAD_SECONDS, SourceParameter
from relay.posting.webhook.sources import Source, encode

from tests.factories import Clock

NAME = "/relay/webhook-sources"
OLD, NEW = ({name: Source(salt="s", hash="h", added="2026-11-27")} for name in ("old", "new"))
SECRET = "a-secret-in-broken-json"


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": f"about {SECRET}"}}, "GetParameter")


SILENCE = ReadTimeoutError(endpoint_url="https://ssm")
OF_SSM = [SILENCE, refusal("ThrottlingException"), refusal("InternalServerError"), refusal("ServiceUnavailable")]
OF_THE_PARAMETER = [refusal("AccessDeniedException"), "not JSON", f'{{"{SECRET}": 1}}', "", '{"old": {}}']


class Ssm:
    """SSM with one parameter; counts its reads."""

    def __init__(self) -> None:
        self.content: str | Exception = encode(OLD)
        self.reads = 0

    def get_parameter(self, **call: Any) -> Any:
        assert call == {"Name": NAME, "WithDecryption": True}
        self.reads += 1
        if isinstance(self.content, Exception):
            raise self.content
        return {"Parameter": {"Value": self.content}}


class Reading:
    """The parameter, on a clock of its own."""

    def __init__(self) -> None:
        self.clock, self.ssm = Clock(), Ssm()
        self.failures: list[str] = []
        self.parameter = SourceParameter(lambda: self.ssm, NAME, self.clock, self.failures.append)

    def names(self, *, after: float = 0, fresh: bool = False) -> list[str]:
        self.clock.now += after
        return list(self.parameter.sources(fresh=fresh))


@pytest.fixture
def reading() -> Reading:
    return Reading()


def test_sources_are_kept_for_a_minute_and_a_revoked_one_ends_then(reading: Reading) -> None:
    assert reading.names() == ["old"]
    reading.ssm.content = encode(NEW)
    assert reading.names(after=KEPT_SECONDS - 1) == ["old"]
    assert reading.names(after=1) == ["new"]
    assert (reading.ssm.reads, KEPT_SECONDS) == (2, 60)


def test_a_source_that_was_just_added_is_found_after_five_seconds(reading: Reading) -> None:
    reading.names()
    reading.ssm.content = encode(NEW)
    assert reading.names(after=REREAD_SECONDS - 1, fresh=True) == ["old"]
    assert reading.names(after=1, fresh=True) == ["new"]
    assert REREAD_SECONDS == 5


def test_a_storm_of_wrong_secrets_reads_them_no_more_than_every_five_seconds(reading: Reading) -> None:
    for _ in range(600):
        reading.names(after=0.1, fresh=True)
    assert reading.ssm.reads <= 60 / REREAD_SECONDS


def test_without_the_parameter_there_are_no_sources(reading: Reading) -> None:
    reading.ssm.content = refusal("ParameterNotFound")
    assert reading.names() == []
    assert reading.failures == []


def test_sources_end_when_the_parameter_is_deleted(reading: Reading) -> None:
    reading.names()
    reading.ssm.content = refusal("ParameterNotFound")
    assert reading.names(after=KEPT_SECONDS) == []


@pytest.mark.parametrize("failure", [*OF_SSM, *OF_THE_PARAMETER], ids=repr)
def test_what_was_never_read_is_a_failure_that_does_not_quote_it(reading: Reading, failure: str | Exception) -> None:
    reading.ssm.content = failure
    with pytest.raises(Retry, match=NAME) as raised:
        reading.names()
    assert reading.failures == [raised.value.reason]
    assert SECRET not in raised.value.reason
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("failure", [*OF_SSM, *OF_THE_PARAMETER], ids=repr)
def test_after_a_failure_the_parameter_is_left_alone_for_five_seconds(
    reading: Reading, failure: str | Exception
) -> None:
    reading.ssm.content = failure
    for fresh in (False, True):
        with pytest.raises(Retry):
            reading.names(fresh=fresh)
    assert reading.ssm.reads == 1
    reading.ssm.content = encode(NEW)
    assert reading.names(after=REREAD_SECONDS) == ["new"]


@pytest.mark.parametrize("failure", OF_SSM, ids=repr)
def test_an_outage_of_ssm_is_bridged_for_ten_minutes(reading: Reading, failure: Exception) -> None:
    reading.names()
    reading.ssm.content = failure
    assert reading.names(after=KEPT_SECONDS) == ["old"]
    assert reading.names(after=OUTAGE_SECONDS - KEPT_SECONDS - 1) == ["old"]
    with pytest.raises(Retry):
        reading.names(after=1)
    assert OUTAGE_SECONDS == 600


@pytest.mark.parametrize("failure", OF_SSM, ids=repr)
def test_during_an_outage_nobody_is_told_that_a_secret_is_wrong_which_may_be_new(
    reading: Reading, failure: Exception
) -> None:
    reading.names()
    reading.ssm.content = failure
    assert reading.names(after=KEPT_SECONDS) == ["old"]
    with pytest.raises(Retry):
        reading.names(fresh=True)


def test_during_an_outage_every_failure_is_reported_and_the_sources_are_read_as_soon_as_it_ends(
    reading: Reading,
) -> None:
    reading.names()
    reading.ssm.content = SILENCE
    for after in (KEPT_SECONDS, REREAD_SECONDS):
        assert reading.names(after=after) == ["old"]
    assert len(reading.failures) == 2
    reading.ssm.content = encode(NEW)
    assert reading.names(after=REREAD_SECONDS) == ["new"]


@pytest.mark.parametrize("failure", OF_THE_PARAMETER, ids=repr)
def test_a_parameter_that_became_unreadable_lets_nobody_in(reading: Reading, failure: str | Exception) -> None:
    reading.names()
    reading.ssm.content = failure
    with pytest.raises(Retry):
        reading.names(after=KEPT_SECONDS)
