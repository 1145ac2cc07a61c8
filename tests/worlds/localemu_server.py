"""LocalEmu on a test's clock, behind a check of this run's token; started by LocalEmu's own interpreter.

Each request says in a header what time it is. What SQS hides or delays until then, it has back when it answers. Without
the header, the time is this machine's.

LocalEmu answers anybody who reaches its port: like the other emulator, it serves only those who know the token.
"""

import asyncio
import json
import os
import sys
import threading
import time
import warnings
from datetime import UTC, datetime
from hmac import compare_digest
from itertools import count
from types import ModuleType, SimpleNamespace
from typing import Any

SERVICES = ("cloudwatch", "dynamodb", "events", "kms", "logs", "s3", "scheduler", "sns", "sqs", "ssm")
TIME_HEADER, TOKEN_HEADER = "x-relay-time", "x-amz-security-token"
RESET, AGE, DELAYED = "/_relay/reset", "/_relay/age", "/_relay/delayed"


class Clock:
    """The time of the latest request, in seconds since the epoch.

    It moves by a microsecond whenever it is read: queues order their messages by the time.
    """

    def __init__(self) -> None:
        self.now: float | None = None
        self.ticks = count(1)

    def __call__(self) -> float:
        return time.time() if self.now is None else self.now + next(self.ticks) / 1_000_000

    def whole(self, *, millis: bool = False, **_: object) -> int:
        """Stand in for LocalEmu's own function `now`."""
        return round((time.time() if self.now is None else self.now) * 1000) if millis else int(self())


class Front:
    """The first of LocalEmu's request handlers."""

    def __init__(self, token: str) -> None:
        from localemu.services.s3 import models as s3
        from localemu.services.sqs import models, provider, queue, utils
        from moto.core.config import default_user_config

        default_user_config["iam"]["load_aws_managed_policies"] = False  # they take a second at each reset
        s3.S3_UPLOAD_PART_MIN_SIZE = int(os.environ["RELAY_SMALLEST_PART"])
        self._token = token
        self._clock = Clock()
        self._update = provider.QueueUpdateWorker()
        for module in (models, provider, queue, utils):
            module.time = SimpleNamespace(time=self._clock, sleep=time.sleep)
            if hasattr(module, "now"):
                module.now = self._clock.whole

    def __call__(self, chain: Any, context: Any, _response: Any) -> None:
        """Refuse a stranger; set the clock for anybody else."""
        from localemu.aws.connect import INTERNAL_REQUEST_AUTH_HEADER, INTERNAL_REQUEST_AUTH_TOKEN

        request = context.request
        if _has(request, INTERNAL_REQUEST_AUTH_HEADER, INTERNAL_REQUEST_AUTH_TOKEN):
            return  # a service asks another one
        if not _has(request, TOKEN_HEADER, self._token):
            chain.respond(403)
        elif request.path in OWN:
            chain.respond(200, json.dumps(OWN[request.path](**request.args)))
            self._clock.ticks = count(1) if request.path == RESET else self._clock.ticks
        else:
            self._set_clock(request.headers.get(TIME_HEADER))

    def _set_clock(self, now: str | None) -> None:
        before, self._clock.now = self._clock.now, float(now) if now else None
        if self._clock.now != before:
            self._update.do_update_all_queues()


def _has(request: Any, header: str, secret: str) -> bool:
    return compare_digest(request.headers.get(header, "").encode(), secret.encode())


def reset() -> None:
    """Delete everything that the services have."""
    from localemu.services.plugins import SERVICE_PLUGINS
    from localemu.state import StateVisitor

    class Reset(StateVisitor):  # type: ignore[misc]
        def visit(self, container: Any) -> None:
            if hasattr(container, "reset"):
                container.reset()
            elif isinstance(container, dict):  # moto's: a dictionary of accounts
                for account in container.values():
                    account.reset()

    for name in SERVICES:
        SERVICE_PLUGINS.require(name).accept_state_visitor(Reset())
    SERVICE_PLUGINS.require("cloudwatch")._provider.cloudwatch_database.clear_tables()  # has them in a file


def age(bucket: str, key: str, seconds: str) -> None:
    """Let an object have been stored so many seconds earlier."""
    from localemu.services.s3.models import s3_stores

    for _account, _region, store in s3_stores.iter_stores():
        if found := store.buckets.get(bucket):
            stored = found.objects.get(key)
            stored.last_modified = datetime.fromtimestamp(stored.last_modified.timestamp() - float(seconds), UTC)


def delayed(queue: str) -> list[str]:
    """Return the bodies of the messages that a queue delays."""
    from localemu.services.sqs.models import sqs_stores

    found = [store.queues[queue] for _account, _region, store in sqs_stores.iter_stores() if queue in store.queues]
    return [message.message["Body"] for each in found for message in each.delayed]


OWN = {RESET: reset, AGE: age, DELAYED: delayed}
"""What is asked beside AWS's operations."""


def end_with_parent() -> None:
    """End when the process that started this one has ended, however it did."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Serve until the process is stopped; LocalEmu reads its settings from the environment."""
    import typing_extensions

    end_with_parent()
    if not hasattr(warnings, "deprecated"):  # Python 3.12
        warnings.deprecated = typing_extensions.deprecated
    asyncio.set_event_loop(asyncio.new_event_loop())  # Python 3.14 makes none
    sys.modules["crontab"] = crontab = ModuleType("crontab")  # has no wheel; only schedules of EventBridge need it
    crontab.CronTab = None  # type: ignore[attr-defined]
    from localemu.aws.app import LocalemuAwsGateway
    from localemu.runtime.main import main as serve

    create = LocalemuAwsGateway.__init__

    def create_guarded(self: Any, *arguments: Any) -> None:
        create(self, *arguments)
        self.request_handlers.insert(0, Front(os.environ["RELAY_TOKEN"]))

    LocalemuAwsGateway.__init__ = create_guarded
    serve()


if __name__ == "__main__":
    main()
