"""The notices' handler: tell people of an alarm, or of rejected posts, by an incoming webhook."""

import os
from typing import Any

from relay.environment import stack_name
from relay.notices.bootstrap import container, telemetry
from relay.notices.notice import read_event


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:  # noqa: ANN401
    """Send a notice. An error makes Lambda try again: SNS and CloudWatch Logs invoke it asynchronously.

    Args:
        event: A notification of the alarms' topic, or log lines about rejected posts.
        context: Lambda's context.

    Returns:
        ``{"sent": how many notices were sent}``, 0 or 1.
    """
    log = telemetry()
    with log.invocation(context):
        notice = read_event(event, stack_name(os.environ))
        if notice is None:
            return {"sent": 0}
        container().send(notice)
        log.logger.info("notice", extra={"kind": str(notice.kind)})
        return {"sent": 1}
