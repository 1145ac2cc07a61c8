"""Whether an alert whose answer was lost is on the account's stream, by evidence alone.

`judge` is pure: what is known of the alert, and what the stream shows, to one of three verdicts. A post is this alert's
only when that is certain, and it is not there only when that is certain; everything else is for an operator.
"""

from __future__ import annotations

import math
import re
import threading
import unicodedata
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, groupby
from typing import TYPE_CHECKING

from relay.errors import Reject, Retry
from relay.posting.alert import LINK, MAX_ENTITY_LEVELS, unescaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from relay.errors import Pause

CLOCK_SKEW_SECONDS = 30
"""How far StockTwits' clock may be off ours."""

ADDED_ENTITY_LEVELS = 4
"""How often StockTwits may have encoded a post's HTML entities on top of what was posted; it was seen to do so once."""

MOST_PAGES = 27
"""The most pages that are read: StockTwits shows 800 messages through cursors, 30 a page
(https://api.stocktwits.com/developers/docs/parameters)."""

MOST_SECONDS = 15
"""How long pages are read at most in one delivery, and how old they may be; less than
`relay.posting.batch.RESERVE_SECONDS`."""

PAGE_SIZE = 30
"""The most messages that a page has (same source)."""

MOST_MESSAGES = 800
"""How many messages StockTwits shows at most, however many there are (same source)."""

MOST_PINNED = 3
"""How many posts of a page may be out of order, such as pinned ones. As many of its lowest ids prove nothing about how
far the page reaches."""

MIN_OLDER = 2
"""How many posts must be older than the first attempt before the stream counts as read back to it: one's date may be
wrong."""

_SCHEME = re.compile(r"https?://", re.IGNORECASE)
_DOMAIN = re.compile(r"(?<![\w$@.])(?:[\w-]{1,63}\.){1,8}[a-z]{2,24}(?![\w.-])(?:[:/?#]\S*)?", re.IGNORECASE)
_HOST = re.compile(r"(?:https?://)?([^\s/?#]*)", re.IGNORECASE)
_SHORTCODE = re.compile(r":[a-z0-9_+-]{2,40}:", re.IGNORECASE)
_CUT_OFF = ("…", "...")


@dataclass(frozen=True)
class Text:
    """A text, and the forms in which it is compared with others; each is made once."""

    written: str

    @cached_property
    def plain(self) -> str | None:
        """The text with its HTML entities resolved; None if they go deeper than those of any post of ours."""
        return unescaped(self.written, MAX_ENTITY_LEVELS + ADDED_ENTITY_LEVELS)

    @cached_property
    def normal_form(self) -> str:
        """What survives StockTwits; a text whose entities go too deep stays as it is, and so equals none of ours."""
        if self.plain is None:
            return self.written
        return " ".join(LINK.sub(" ", unicodedata.normalize("NFC", _marks_in_order(self.plain))).split())

    @cached_property
    def links(self) -> list[str]:
        """Its links, in order."""
        return LINK.findall(self.plain or self.written)

    @cached_property
    def skeletons(self) -> set[str]:
        """Its letters and digits, with and without its links and the names of emoji.

        A domain alone may have become a link, and an emoji its name between colons.
        """
        return _skeletons(self.plain or self.written)

    @cached_property
    def words(self) -> list[str]:
        """The letters and digits of its words, without links and the names of emoji."""
        bare = _without_links(_SHORTCODE.sub(" ", self.plain or self.written))
        return [word for word in map(_letters, bare.split()) if word]


@dataclass(frozen=True)
class Shown:
    """A post as the stream shows it.

    Attributes:
        id: Its id; None if it cannot be read.
        body: Its text; None if it cannot be read.
        created_at: When it was made, in seconds since the epoch; None if its date names no moment.
        links: Where its links lead, as far as the stream says so; its text may show them shortened.
    """

    id: int | None
    body: str | None
    created_at: float | None
    links: tuple[str, ...] = ()

    @cached_property
    def text(self) -> Text:
        """Its text, to be compared."""
        return Text(self.body or "")


@dataclass(frozen=True)
class Lost:
    """An alert of which nobody knows whether it was posted.

    Attributes:
        key: Its idempotency key.
        text: The text that was sent.
        since: When the first attempt began that may have posted it, in seconds since the epoch.
    """

    key: str
    text: str
    since: float

    @cached_property
    def sent(self) -> Text:
        """The text, to be compared."""
        return Text(self.text)


@dataclass(frozen=True, slots=True)
class Owner:
    """The key to which a StockTwits id belongs.

    Attributes:
        key: The idempotency key.
        certain: Whether StockTwits' answer to its alert named the id, or the post has its very text, links included.
    """

    key: str
    certain: bool = True


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the account's stream.

    Attributes:
        posts: What it shows, in any order.
        more: Whether it says that there are older posts; None if it does not say.
    """

    posts: Sequence[Shown]
    more: bool | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the stream proves: the alert's post, or a doubt for an operator; neither if it was not posted.

    Attributes:
        post_id: The id of the alert's post.
        certain: Whether that post has the alert's very text: StockTwits hides where a shortened link leads.
        doubt: Why it is not certain that it was not posted, for an operator.
    """

    post_id: int | None = None
    certain: bool = True
    doubt: str = ""


NOT_THERE = Verdict()


def judge(lost: Lost, posts: Sequence[Shown], owners: Mapping[int, Owner], *, reached: bool) -> Verdict:
    """Judge whether an alert was posted.

    Args:
        lost: What is known of the alert.
        posts: What the stream shows, in any order.
        owners: To whom the ids of posts belong, as far as the ledger knows.
        reached: Whether everything is among the posts that was made since the alert's first attempt.

    Returns:
        The verdict; its doubt says what an operator should look at.
    """
    doubts = []
    for post in sorted(posts, key=lambda each: each.id or math.inf):
        verdict = _judge_one(lost, post, posts, owners.get(post.id or 0))
        if verdict.post_id is not None:
            return verdict
        doubts += [verdict] if verdict.doubt else []
    if doubts:
        return doubts[0]
    return NOT_THERE if reached else Verdict(doubt="the account's stream could not be read back to the first attempt")


def _judge_one(lost: Lost, post: Shown, posts: Sequence[Shown], owner: Owner | None) -> Verdict:
    """Judge by one post whether it is the alert's, or perhaps."""
    if owner and owner.key == lost.key:
        return Verdict(post.id, owner.certain)
    likeness = _likeness(lost.sent, post)
    if not likeness or (owner and owner.certain):
        return NOT_THERE
    moment = _moment(post, posts, lost.since)
    which = f"post {post.id}" if post.id is not None else "a post without a readable id"
    if moment == "before":
        return NOT_THERE
    if owner:
        doubt = f"{which} has the same words, and was taken for that of key {owner.key!r}: compare their links"
    elif likeness == "alike":
        doubt = f"{which} on the account's stream is much like it"
    elif post.id is None:
        doubt = f"{which} on the account's stream has its text"
    elif moment == "unsure":
        doubt = f"{which} on the account's stream has its text, but may be older than the first attempt"
    else:
        return Verdict(post.id, _is_verbatim(lost.sent, post))
    return Verdict(doubt=doubt)


def candidates(lost: Lost, posts: Iterable[Shown]) -> list[int]:
    """Return the ids of the posts whose owner decides something."""
    return [post.id for post in posts if post.id is not None and _likeness(lost.sent, post)]


def is_as_sent(sent: str, shown: str) -> bool:
    """Return whether StockTwits shows a text as it was sent, links aside: it shortens them."""
    return normal_form(sent) == normal_form(shown)


def normal_form(text: str) -> str:
    """Reduce a text to what survives StockTwits: entities resolved, links taken out, white space collapsed."""
    return Text(text).normal_form


def _moment(post: Shown, posts: Iterable[Shown], since: float) -> str:
    """Return whether a post was made "before" the first attempt, "since" then, or "unsure".

    Dates are whole seconds. Ids grow with time, so a post's neighbours tell as much as its own date, and one that they
    contradict proves nothing.
    """
    first = math.floor(since)

    def by_date(at: float | None) -> str:
        if at is None or first - CLOCK_SKEW_SECONDS <= at < first:
            return "unsure"
        return "before" if at < first else "since"

    own = by_date(post.created_at)
    if post.id is None:
        return own
    older = any(other.id and other.id < post.id and by_date(other.created_at) == "since" for other in posts)
    newer = any(other.id and other.id > post.id and by_date(other.created_at) == "before" for other in posts)
    if older and newer:
        return "unsure"
    by_ids = "since" if older else "before" if newer else own
    if own == "unsure" and post.created_at is not None:
        return own  # within the clocks' skew, ids are as unsure
    return by_ids if own in {"unsure", by_ids} else "unsure"


def _likeness(ours: Text, post: Shown) -> str:
    """Return "equal", "alike", or nothing: what StockTwits may have made of our text is alike."""
    if post.body is None:
        return "alike"  # it may be anything
    theirs = post.text
    same_words = ours.normal_form == theirs.normal_form
    if same_words and _same_links(ours, post):
        return "equal"
    if same_words or ours.skeletons & theirs.skeletons or _continues(ours, theirs):
        return "alike"
    return ""


def _is_verbatim(ours: Text, post: Shown) -> bool:
    """Return whether a post with the words of a text shows its links as they were sent, too."""
    mine, other = ours.plain, post.text.plain
    return (mine is not None and other is not None and mine.split() == other.split()) or _leads_there(ours, post)


def _same_links(ours: Text, post: Shown) -> bool:
    """Return whether a post with the words of a text may have its links; without words, whether it shows them.

    StockTwits shortens links: one of another host proves nothing, one of the same host is another link.
    """
    if _leads_there(ours, post):
        return True
    if _leads_elsewhere(ours, post):
        return False
    mine, other = ours.links, post.text.links
    if mine == other:
        return bool(mine) or bool(ours.normal_form)
    if not ours.normal_form or len(mine) != len(other):
        return False
    return all(a == b or _host(a) != _host(b) for a, b in zip(mine, other, strict=True))


def _leads_there(ours: Text, post: Shown) -> bool:
    """Return whether the stream says that a post's links are those of a text."""
    return bool(ours.links) and _addresses(ours.links) == _addresses(post.links)


def _leads_elsewhere(ours: Text, post: Shown) -> bool:
    """Return whether the stream says that a post has another link of the same host where a text has one.

    One of another host may be where a redirect ends, and if there are fewer, it may list only some of them.
    """
    mine, theirs = _addresses(ours.links), _addresses(post.links)
    return len(mine) == len(theirs) and any(a != b and a[0] == b[0] for a, b in zip(mine, theirs, strict=True))


def _addresses(links: Iterable[str]) -> list[tuple[str, str]]:
    """Return links as they are compared, each once, in order: the host, and the rest without a slash at its end."""
    return list(dict.fromkeys((_host(link), _HOST.sub("", link, count=1).rstrip("/")) for link in links))


def _host(link: str) -> str:
    found = _HOST.match(link)
    return found[1].lower() if found else ""


def _skeletons(plain: str) -> set[str]:
    named = _SHORTCODE.sub(" ", plain)
    return {_letters(each) for text in (plain, named) for each in (_SCHEME.sub("", text), _without_links(text))}


def _without_links(text: str) -> str:
    return _DOMAIN.sub(" ", LINK.sub(" ", text))


def _letters(text: str) -> str:
    """Return the letters and digits of a text, case folded, without marks."""
    if text.isascii():
        return "".join(filter(str.isalnum, text.lower()))
    folded = chain.from_iterable(unicodedata.normalize("NFKD", each) for each in text.casefold())
    return "".join(filter(str.isalnum, folded)).casefold()


def _continues(ours: Text, theirs: Text) -> bool:
    """Return whether their text is ours with something added around it, or ours cut off."""
    mine, other = ours.words, theirs.words
    if not mine or other[: len(mine)] == mine or other[-len(mine) :] == mine:  # without words, anything may be it
        return True
    # It may be cut within a word, or within a link, and something added behind that.
    before_cut = Text(_before_cut(theirs.written).rpartition(" ")[0])
    parts = {part for part in before_cut.skeletons if part or _is_cut_off(theirs.written)}
    return any(whole.startswith(part) for whole in ours.skeletons for part in parts)


def _is_cut_off(text: str) -> bool:
    return text.rstrip().endswith(_CUT_OFF)


def _before_cut(text: str) -> str:
    """Return a text up to where it seems to be cut off; nothing if it is whole."""
    return text[: max(text.rfind(each) for each in _CUT_OFF) + 1]


def _marks_in_order(text: str) -> str:
    """Decompose characters, and put combining marks into their canonical order, which is how normalizing begins.

    The standard library does it by insertion, which takes minutes for a megabyte of marks.
    """
    if text.isascii():
        return text
    decomposed = chain.from_iterable(unicodedata.normalize("NFD", character) for character in text)
    runs = groupby(decomposed, key=lambda character: unicodedata.combining(character) > 0)
    return "".join("".join(sorted(run, key=unicodedata.combining)) if marks else "".join(run) for marks, run in runs)


@dataclass
class Reader:
    """Reads the account's stream back page by page, and remembers what it showed.

    Attributes:
        read: Given the highest id wanted, or None for the newest, returns a page.
        at: When the first page was read, in seconds since the epoch.
        posts: Everything that was shown.
        floor: The id down to which nothing is missing; None before the first page.
        ended: Whether the stream has nothing older.
        stuck: Whether StockTwits shows nothing older although there may be more.
    """

    read: Callable[[int | None], Page]
    at: float
    posts: list[Shown] = field(default_factory=list)
    floor: int | None = None
    ended: bool = False
    stuck: bool = False
    pages: int = 0
    _next: int | None = None

    def reaches(self, since: float) -> bool:
        """Return whether everything was read that was made since then."""
        older = [
            post
            for post in self.posts
            if post.id is not None and self.floor is not None and post.id >= self.floor
            if post.created_at is not None and post.created_at < since
            if _moment(post, self.posts, since) == "before"
        ]
        return self.ended or len(older) >= MIN_OLDER

    def read_on(self) -> None:
        """Read the next page."""
        highest = self._next
        page = self.read(highest)
        self.pages += 1
        seen = {post.id for post in self.posts}
        new = [post for post in page.posts if post.id is None or post.id not in seen]
        self.posts += new
        ids = sorted({post.id for post in page.posts if post.id is not None}, reverse=True)
        above = [each for each in ids if highest is not None and each > highest]
        found_more = any(post.id is not None for post in new)
        if len(above) > MOST_PINNED or (above and not found_more):
            # It shows its newest posts again: it does not go back. Unless these are all, by whatever else it shows.
            self.ended = page.more is not True and len(page.posts) < PAGE_SIZE
            self.stuck = not self.ended
        elif not found_more:
            unreadable = any(post.id is None for post in page.posts)  # there may be older ones
            self.ended = not unreadable and len(self.posts) < MOST_MESSAGES - MOST_PINNED
            self.stuck = not self.ended
        else:
            ids = ids[len(above) :]
            reached = ids[max(0, len(ids) - 1 - MOST_PINNED)]
            self.floor = reached if self.floor is None else min(self.floor, reached)
            # Up to and including: of a page with few posts, nothing but the newest is certain.
            self._next = self.floor if len(ids) > MOST_PINNED + 1 else ids[0] - 1
            self.ended = self._next < 1
        self.stuck |= not self.ended and self.pages >= MOST_PAGES


class Interrupted(Exception):
    """The stream may not be read further now.

    Attributes:
        pause: Why.
    """

    def __init__(self, pause: Pause) -> None:
        """Keep why."""
        super().__init__(pause.reason)
        self.pause = pause


class Reconciler:
    """Finds out what became of alerts whose answers were lost; threads may share it, and the pages it reads."""

    def __init__(
        self,
        read: Callable[[int | None], Page],
        owners: Callable[[Sequence[int]], Mapping[int, Owner]],
        now: Callable[[], float],
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            read: Given the highest id wanted, or None for the newest, returns a page of the account's stream.
            owners: Given ids of posts, returns to whom they belong, as far as the ledger knows.
            now: The clock, in seconds since the epoch.
        """
        self._read = read
        self._owners = owners
        self._now = now
        self._lock = threading.Lock()
        self._reader: Reader | None = None

    def find(self, lost: Lost, after: float, pause: Callable[[], Pause | None]) -> Verdict:
        """Return the alert's post, or `NOT_THERE` when it is certain that it was not posted.

        Args:
            lost: What is known of the alert.
            after: The stream must have been read after this moment: when the last attempt had ended.
            pause: Asked before each request; a pause ends the search.

        Raises:
            Interrupted: There was a pause.
            Reject: Only an operator can find out.
            RelayError: The stream cannot be read now.
        """
        with self._lock:  # what several messages need is read once
            began = self._now()
            if self._reader is None or self._reader.at <= after or began - self._reader.at > MOST_SECONDS:
                self._reader = Reader(self._read, began)
            reader, likely, looked_at = self._reader, list[int](), 0
            while True:
                if not reader.pages:
                    _read_on(reader, pause)
                # Each post is compared once, and all are judged when that may decide something.
                found = candidates(lost, reader.posts[looked_at:])
                looked_at = len(reader.posts)
                likely += found
                reached = reader.reaches(lost.since)
                at_end = reached or reader.stuck
                if found or at_end:
                    verdict = judge(lost, reader.posts, self._owners(likely), reached=reached)
                    if at_end or verdict.post_id is not None:
                        break
                if self._now() - began > MOST_SECONDS:
                    raise Retry("the account's stream takes too long to be read back to the first attempt")
                _read_on(reader, pause)
        if verdict.doubt:
            raise Reject(verdict.doubt)
        return verdict


def _read_on(reader: Reader, pause: Callable[[], Pause | None]) -> None:
    """Read the next page unless there is a pause."""
    found = pause()
    if found:
        raise Interrupted(found)
    reader.read_on()
