"""What a batch's outcomes become in metrics and warnings: altered texts, and pauses that need an operator."""

import json
from dataclasses import replace
from typing import Any

import pytest
from relay.errors import Pause
from relay.posting.outcome import Hold, Outcome, Result
from relay.posting.telemetry import EXPIRING_SECONDS, PostingTelemetry

from tests.factories import NOW, a_message, a_pause, published


@pytest.fixture
def telemetry(monkeypatch: pytest.MonkeyPatch) -> PostingTelemetry:
    monkeypatch.setattr("relay.posting.telemetry.time.time", lambda: NOW)
    return PostingTelemetry("a_function", "a-stack")


def counted(telemetry: PostingTelemetry, capsys: pytest.CaptureFixture[str], name: str) -> float:
    """The sum of a metric's values."""
    if telemetry.metrics.provider.metric_set:
        telemetry.metrics.flush_metrics()
    written = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return sum(sum(each[name]) if isinstance(each[name], list) else each[name] for each in written if name in each)


def posted(**but: Any) -> Outcome:
    return Outcome(Result.POSTED, "m-1", published=replace(published(7), **but), sent=True)


@pytest.mark.parametrize(("altered", "count"), [([], 0), ([False], 0), ([True, False, True], 2)])
def test_texts_that_stocktwits_altered_are_counted(
    telemetry: PostingTelemetry, capsys: pytest.CaptureFixture[str], altered: list[bool], count: int
) -> None:
    telemetry.batch([(a_message(), posted(text_altered=each)) for each in altered])
    assert counted(telemetry, capsys, "TextAltered") == count


def test_a_post_without_its_chart_is_not_an_altered_text(
    telemetry: PostingTelemetry, capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry.batch([(a_message(), posted(remark="StockTwits shows it without its chart"))])
    assert counted(telemetry, capsys, "TextAltered") == 0


def test_what_was_not_posted_has_no_altered_text(
    telemetry: PostingTelemetry, capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry.batch([(a_message(), Outcome(Result.REJECTED, "m-1", "blank"))])
    assert counted(telemetry, capsys, "TextAltered") == 0


@pytest.mark.parametrize(
    ("pause", "told"),
    [
        (a_pause("rate_limited", 60), False),
        (a_pause("rate_limited", 3600), False),
        (a_pause("rate_limited", 3601), True),
        (a_pause("rate_limited", 24 * 3600), True),
        (a_pause("rate_limited", -3601), False),
        (a_pause("unavailable", 24 * 3600), False),
        (a_pause("pace", 24 * 3600), False),
        (a_pause("daily_cap", 24 * 3600), False),
        (a_pause("operator", 24 * 3600), False),
        (a_pause("operator", None), False),
        (a_pause("hours", 65.5 * 3600), False),
        (a_pause("hours", EXPIRING_SECONDS), False),
        (a_pause("hours", EXPIRING_SECONDS + 1), True),
        *(
            (a_pause(cause, 60), True)
            for cause in ("token_refused", "blocked", "stream", "unexpected_answer", "ledger")
        ),
    ],
    ids=lambda value: f"{value.cause} {value.until}" if isinstance(value, Pause) else "",
)
def test_a_pause_that_does_not_end_by_itself_or_soon_is_told_to_an_operator(
    telemetry: PostingTelemetry, capsys: pytest.CaptureFixture[str], pause: Pause, told: bool
) -> None:
    deferred = Outcome(Result.DEFERRED, "m-1", pause.reason, pause=pause)
    telemetry.batch([(a_message(), deferred), (a_message(), deferred)])
    assert counted(telemetry, capsys, "NeedsAPerson") == told


def test_a_drain_that_finds_a_long_rate_limit_tells_an_operator_too(
    telemetry: PostingTelemetry, capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry.gate_closed(a_pause("rate_limited", 7200))
    assert counted(telemetry, capsys, "NeedsAPerson") == 1


@pytest.mark.parametrize("pause", [None, a_pause("time", 0)])
def test_a_gate_that_is_open_is_not_reported(
    telemetry: PostingTelemetry, capsys: pytest.CaptureFixture[str], pause: Pause | None
) -> None:
    telemetry.gate_closed(pause)
    assert capsys.readouterr().out == ""


def test_the_remark_on_a_post_is_logged(telemetry: PostingTelemetry, caplog: pytest.LogCaptureFixture) -> None:
    remark = "StockTwits shows it without its chart"
    telemetry.delivery(a_message(), replace(posted(), reason=remark))
    (line,) = caplog.records
    assert (line.levelname, vars(line)["outcome"], vars(line)["reason"]) == ("INFO", "posted", remark)


def test_a_failed_attempt_logs_when_it_is_tried_again(
    telemetry: PostingTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    for receives in (3, 5):
        telemetry.delivery(a_message(receive_count=receives), Outcome(Result.DEFERRED, "m-1", "no answer"))
    assert [vars(line)["retry_at"] for line in caplog.records] == [NOW + 160, NOW + 120]


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome(Result.DEFERRED, "m-1", tried=False, expires_at=NOW), {"expires_at": NOW}),
        (
            Outcome(Result.DEFERRED, "m-1", tried=False, holds=(Hold("symbol", "a post about $A", NOW),)),
            {"holds": [{"cause": "symbol", "reason": "a post about $A", "until": NOW}]},
        ),
        (Outcome(Result.REJECTED, "m-1", expires_at=NOW), {}),
    ],
    ids=["the gate", "a rule", "it is done"],
)
def test_a_message_that_was_not_tried_logs_what_else_it_waits_for(
    telemetry: PostingTelemetry, caplog: pytest.LogCaptureFixture, outcome: Outcome, expected: dict[str, object]
) -> None:
    telemetry.delivery(a_message(), outcome)
    (line,) = caplog.records
    assert {name: vars(line)[name] for name in ("expires_at", "holds", "retry_at") if name in vars(line)} == expected


@pytest.mark.parametrize(
    ("not_before", "waited"),
    [(0, EXPIRING_SECONDS + 1), (NOW - 600, 600), (NOW + 600, 0)],
    ids=["none", "past", "to come"],
)
@pytest.mark.parametrize("result", [Result.POSTED, Result.DEFERRED])
def test_a_message_with_a_not_before_has_waited_since_then(
    telemetry: PostingTelemetry,
    capsys: pytest.CaptureFixture[str],
    not_before: float,
    waited: float,
    result: Result,
) -> None:
    metric = "SecondsFromQueuedToPosted" if result is Result.POSTED else "OldestSecondsWhileOpen"
    message = a_message(sent_at=NOW - EXPIRING_SECONDS - 1)
    telemetry.batch([(message, Outcome(result, "k", not_before=not_before))])
    telemetry.metrics.flush_metrics()
    written = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each[metric] for each in written if metric in each] == [[waited]]
    assert any("NeedsAPerson" in each for each in written) is (not_before == 0)
