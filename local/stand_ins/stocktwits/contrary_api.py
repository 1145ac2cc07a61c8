"""The API of StockTwits with the behaviours that its documentation does not mention; without sockets."""

from __future__ import annotations

import hashlib
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from local.stand_ins.stocktwits.alterations import altered_message, altered_page
from local.stand_ins.stocktwits.api import Api, PostRecord, RefusedError, SeenRequest
from local.stand_ins.stocktwits.contrary import CREATE, Contrary, Kind
from local.stand_ins.stocktwits.contrary_mode import ContraryMode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.stand_ins.stocktwits.api import Reply, Rules, Settings
    from local.stand_ins.stocktwits.faults import PlannedFault


@dataclass(frozen=True)
class _TreatedRequest(SeenRequest):
    """A request with the behaviours that it meets."""

    behaviours: tuple[PlannedFault, ...] = ()


class ContraryApi(Api):
    """The endpoints, which behave as `Api` does but for what was planned, and for what the contrary mode draws."""

    def __init__(self, settings: Settings) -> None:
        """Define the endpoints."""
        super().__init__(settings)
        self._mode: ContraryMode | None = None
        self._mode_settings: object = None
        self._mode_lock = threading.Lock()

    def forget(self) -> None:
        """Forget all posts, and how often each request was made."""
        super().forget()
        self._mode = self._mode_settings = None

    def draw(self, seen: SeenRequest) -> list[PlannedFault]:
        """Return what the contrary mode does to this request; call it once for each."""
        mode = self._contrary()
        return mode.of_request(seen) if mode else []

    def answer(self, seen: SeenRequest, *behaviours: PlannedFault) -> Reply:
        """Answer a request under these behaviours; raise RefusedError if it is refused.

        Of several that replace the answer, the first does. `Contrary.LATE` is the caller's: it answers later.
        """
        treated = _TreatedRequest(**vars(seen), behaviours=behaviours)
        replaced = next((each for each in behaviours if each.kind is Kind.ANSWER), None)
        if replaced is None:
            return super().answer(treated)
        if replaced.accepts:
            with suppress(RefusedError):
                super().answer(treated)
        return replaced.reply(self._settings.clock())

    def post_by_hand(self, text: str, source: str = "StockTwits Web") -> PostRecord:
        """Post a text as the account's owner, or another tool, does: without a request to this API."""
        post = PostRecord(0, text, "neutral", None, None, self._now(), source=source)
        return self.timeline.add(post, duplicate_seconds=0.0)

    def _contrary(self) -> ContraryMode | None:
        own = self._settings
        forgetful = own.duplicate_seconds <= 0
        wanted = own.contrary, own.contrary_share, tuple(own.contrary_behaviours), forgetful
        with self._mode_lock:  # or of two first requests, one would count in a mode that is thrown away
            if wanted != self._mode_settings:
                seed, share, names, _ = wanted
                self._mode = None if seed is None else ContraryMode(seed, share, names, forgetful=forgetful)
                self._mode_settings = wanted
            return self._mode

    def _rules(self) -> Rules:
        rules, mode = super()._rules(), self._contrary()
        return replace(rules, **mode.rules) if mode else rules

    def _accept(self, seen: SeenRequest, draft: PostRecord) -> PostRecord:
        mode = self._contrary()
        behaviours = [*_behaviours(seen), *(mode.of_post(draft.body) if mode else [])]
        lasting = [each for each in behaviours if each.details.get("everywhere") or each.kind is Kind.POSTING]
        treated = self._treated(draft, lasting)
        foreign = [each.details for each in lasting if each.fault is Contrary.FOREIGN_POST]
        self._post_foreign(draft, [each for each in foreign if each["when"] == "before"])
        if any(each.fault is Contrary.DUPLICATE_ACCEPTED for each in lasting):
            post = self.timeline.add(treated, duplicate_seconds=0.0)
        else:
            post = super()._accept(seen, treated)
        self._post_foreign(draft, [each for each in foreign if each["when"] == "after"])
        return post

    def _post_foreign(self, draft: PostRecord, foreign: Iterable[dict[str, Any]]) -> None:
        for details in foreign:
            mark = hashlib.sha256(draft.body.encode()).hexdigest()[:6]
            self.post_by_hand(details["body"] or f"Watching the close, note {mark}", details["source"])

    def _shown(self, seen: SeenRequest, post: PostRecord) -> dict[str, Any]:
        behaviours = [
            each
            for each in _behaviours(seen)
            if each.kind is Kind.MESSAGE and (each.text is None or each.text in post.body)
        ]
        if seen.resource == CREATE:  # those for every answer are on the post already
            behaviours = [each for each in behaviours if not each.details["everywhere"]]
        return super()._shown(seen, self._treated(post, behaviours))

    def _stream(self, seen: SeenRequest, account: str) -> dict[str, Any]:
        behaviours = [each for each in _behaviours(seen) if each.kind is Kind.PAGE]
        asked = seen
        if any(each.fault is Contrary.MAX_IGNORED for each in behaviours):
            asked = replace(seen, query={name: value for name, value in seen.query.items() if name != "max"})
        page = super()._stream(asked, account)
        # What takes cursor or messages away comes last.
        for each in sorted(behaviours, key=lambda each: each.fault in {Contrary.CURSOR, Contrary.MESSAGES}):
            pinned = []
            if each.fault is Contrary.PINNED and (each.details["every"] or "max" not in seen.query):
                oldest = self._visible()[::-1][: each.details["count"]]
                pinned = [self._shown(seen, post) for post in oldest]
            page = altered_page(Contrary(each.fault), each.details, page, pinned)
        return page

    def _treated(self, post: PostRecord, behaviours: Iterable[PlannedFault]) -> PostRecord:
        """Return a post that is shown as the behaviours want it."""
        for each in behaviours:
            match each.fault:
                case Contrary.LAG:
                    post = replace(post, lag_seconds=each.details["seconds"])
                case Contrary.RENDERED:
                    post = replace(post, renderings=(*post.renderings, each.details["rendering"]))
                case Contrary() as fault if each.kind is Kind.MESSAGE:
                    alter = partial(self._altered, fault, each.details)
                    post = replace(post, alterations=(*post.alterations, alter))
        return post

    def _altered(self, kind: Contrary, details: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
        others = (each.id for each in reversed(self.timeline.posts) if each.id != message.get("id"))
        return altered_message(kind, details, message, next(others, 1))


def _behaviours(seen: SeenRequest) -> tuple[PlannedFault, ...]:
    return seen.behaviours if isinstance(seen, _TreatedRequest) else ()
