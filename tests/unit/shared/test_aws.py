"""Which clients are made of AWS's services, when, and how long they wait for an answer."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.session import Session
from relay.aws import AWS_CONFIG, EVENTS_CONFIG, S3_CONFIG, Clients


def test_a_client_is_made_once_however_many_threads_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    together = threading.Barrier(8)
    second = threading.Event()

    def client(_: Session, service: str, **__: object) -> object:
        made.append(service)
        second.wait(0.05)  # another thread would come in here
        return object()

    def ask(_: int) -> object:
        together.wait()
        return clients.get("sqs")

    monkeypatch.setattr(Session, "create_client", client)
    clients = Clients()
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
    assert made == ["sqs"]


def test_each_service_has_its_own_client_made_when_it_is_first_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(Session, "create_client", lambda _, service, **__: made.append(service) or object())
    clients = Clients()
    assert made == []
    assert clients.get("sqs") is not clients.get("ssm")
    assert made == ["sqs", "ssm"]


def test_only_the_client_of_s3_waits_long_for_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    configs: dict[str, Any] = {}
    monkeypatch.setattr(Session, "create_client", lambda _, service, config: configs.update({service: config}))
    clients = Clients()
    for service in ("sqs", "s3", "ssm", "events"):
        clients.get(service)
    assert configs == {"sqs": AWS_CONFIG, "s3": S3_CONFIG, "ssm": AWS_CONFIG, "events": EVENTS_CONFIG}
    assert S3_CONFIG.read_timeout == 60
    assert AWS_CONFIG.read_timeout == 5
    assert (S3_CONFIG.retries, S3_CONFIG.connect_timeout) == (AWS_CONFIG.retries, AWS_CONFIG.connect_timeout)


def test_a_service_may_have_a_configuration_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    configs: dict[str, Any] = {}
    monkeypatch.setattr(Session, "create_client", lambda _, service, config: configs.update({service: config}))
    clients = Clients(s3=AWS_CONFIG)
    for service in ("s3", "events"):
        clients.get(service)
    assert configs == {"s3": AWS_CONFIG, "events": EVENTS_CONFIG}
