"""The way from the API to a link: one redirect or several, relative addresses, loops, and bad addresses."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from local.stand_ins.firestream.contrary import Contrary

if TYPE_CHECKING:
    from local.stand_ins.firestream.faults import PlannedFault

HOPS = "/hops/"
"""Below this path, either host redirects further."""

_FOUND = 302
_BAD: dict[str, str | None] = {
    "missing": None,
    "empty": "",
    "nonsense": "http://[not-an-address",
    "ftp": "ftp://127.0.0.1/day.gz",
    "file": "file:///etc/hostname",
    "unreachable": "http://127.0.0.1:1/day.gz",
}


@dataclass(frozen=True)
class Way:
    """The redirects that lead from a request for a link to the link.

    Attributes:
        api: The root URL of the API.
        path: The path of the request there.
        link: The link.
        planned: The behaviour that decides, if it is not the usual single redirect.
    """

    api: str
    path: str
    link: str
    planned: PlannedFault | None = None

    @property
    def status(self) -> int:
        """The status of each redirect."""
        return int(self.planned.details["status"]) if self.planned else _FOUND

    def wants_login(self, hop: int) -> bool:
        """Return whether a hop on the API's host requires the login.

        Not after the host of the links was asked: curl drops a login when it is sent to another host, for good.
        """
        if self.planned is None or self.planned.details.get("via") == "api":
            return True
        return hop == 1 and self.planned.fault is Contrary.REDIRECT

    def location(self, hop: int) -> str | None:
        """Return the `Location` that is given after so many hops; None if it is left out."""
        if self.planned is None:
            return self.link
        if self.planned.fault is Contrary.REDIRECT_BAD:
            return _BAD[self.planned.details["form"]]
        form = self.planned.details["form"] if self.planned.fault is Contrary.REDIRECT else "absolute"
        return _written(self._target(hop), self._address(hop), form)

    def _target(self, hop: int) -> str:
        assert self.planned
        if self.planned.fault is Contrary.REDIRECT:
            return self._address(hop + 1) if hop < self.planned.details["hops"] else self.link
        match self.planned.details["form"]:
            case "self":
                return self._address(1)
            case "pair":
                return self._address(1 if hop == 2 else hop + 1)  # noqa: PLR2004 - the second of the pair
            case "origin":
                return self._address(0)
            case _:  # endless
                return self._address(hop + 1)

    def _address(self, hop: int) -> str:
        """Return the address of a hop; the first one is that of the request for a link."""
        if not hop:
            return f"{self.api}{self.path}"
        assert self.planned
        link, via = urlsplit(self.link), self.planned.details["via"]
        root = self.api if via == "api" or (via == "both" and hop % 2) else f"{link.scheme}://{link.netloc}"
        return f"{root}{HOPS}{hop}?{link.query}"


def _written(target: str, base: str, form: str) -> str:
    """Write an address as it is given at another one: in the form, if both are on the same host."""
    there, here = urlsplit(target), urlsplit(base)
    if form == "scheme" and there.scheme == here.scheme:
        return target.removeprefix(f"{there.scheme}:")
    if form not in {"root", "relative"} or there[:2] != here[:2]:
        return target
    path = there.path if form == "root" else posixpath.relpath(there.path, posixpath.dirname(here.path))
    return f"{path}?{there.query}" if there.query else path
