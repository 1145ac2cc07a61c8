"""The sources of the webhook, read from their SSM SecureString and kept for a while."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from relay.aws_errors import AWS_ERRORS, error_code
from relay.errors import Reject, Retry
from relay.posting.webhook.sources import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_ssm import SSMClient

    from relay.posting.webhook.sources import Source

KEPT_SECONDS = 60
"""How long sources are used without reading them again: a revoked one ends within that time."""

REREAD_SECONDS = 5
"""How long to wait before reading again for a secret that is not known, or after a failure. A source that was just
added works within that time, and a storm of wrong secrets reads the parameter no more than 12 times a minute."""

OUTAGE_SECONDS = 600
"""How long sources are used while SSM does not answer. An outage of SSM then loses no alert, and a source that is
revoked during it still ends soon."""

_REFUSED = frozenset({"AccessDeniedException", "InvalidKeyId"})
"""Errors of the parameter, or of the key that encrypts it; any other is an outage of SSM:
https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html."""


class SourceParameter:
    """The sources in the parameter; not for several threads."""

    def __init__(
        self, ssm: Callable[[], SSMClient], name: str, now: Callable[[], float], on_failure: Callable[[str], None]
    ) -> None:
        """Read the parameter `name` with the client that `ssm` gives, when first asked.

        `on_failure` is told the reason whenever the parameter could not be read.
        """
        self._ssm = ssm
        self._name = name
        self._now = now
        self._on_failure = on_failure
        self._sources: Mapping[str, Source] | None = None
        self._failure = ""
        self._tried_at = self._read_at = -inf

    def sources(self, *, fresh: bool = False) -> Mapping[str, Source]:
        """Return the sources by name; none if there is no such parameter.

        Args:
            fresh: Read them again if that was not just done, because a secret is not among them.

        Raises:
            Retry: They cannot be read, and none are known that may still be used; or a newer secret may be among them.
        """
        if self._now() - self._tried_at >= (REREAD_SECONDS if fresh or self._failure else KEPT_SECONDS):
            self._read()
        outdated = fresh or self._now() - self._read_at >= OUTAGE_SECONDS
        if self._sources is None or (self._failure and outdated):
            raise Retry(self._failure)
        return self._sources

    def _read(self) -> None:
        self._tried_at = self._now()
        self._failure = ""
        try:
            answer = self._ssm().get_parameter(Name=self._name, WithDecryption=True)
            self._sources = decode(answer["Parameter"]["Value"])
        except AWS_ERRORS as error:
            code = error_code(error)
            if code == "ParameterNotFound":
                self._sources = {}
            else:
                self._failed(f"cannot be read ({code})", lasting=code in _REFUSED)
        except Reject as error:
            self._failed(f"cannot be used: {error.reason}", lasting=True)
        if not self._failure:
            self._read_at = self._tried_at

    def _failed(self, problem: str, *, lasting: bool) -> None:
        """Remember a failure; one that is the parameter's own ends the use of what was read before."""
        self._failure = f"the parameter with the webhook's sources, {self._name}, {problem}"
        if lasting:
            self._sources = None
        self._on_failure(self._failure)
