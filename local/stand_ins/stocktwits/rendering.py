"""How StockTwits may render the text of a post: as documented, or altered in the ways other platforms were seen to."""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

CASHTAG = re.compile(r"(?<![\w$])\$([A-Za-z][A-Za-z0-9]*(?:[._][A-Za-z]{1,3})?)(?![\w$])", re.ASCII)
"""`$AAPL`, `$BRK.B`, `$BTC.X`, `$ES_F`; amounts such as `$5k` or `$50USD` and runs such as `$FOO$BAR` do not match."""

LINK = re.compile(r"https?://\S+")
NOTE = " (posted with StockTwits)"
"""What `Rendering.NOTE` appends."""

_BARE_DOMAIN = re.compile(r"""(?<![^\s("'\[])((?:[a-z0-9-]+\.)+[a-z]{2,}(?:/\S*)?)(?![\w@])""", re.IGNORECASE)
_EMOJI = re.compile("[\u2600-\u27bf\U0001f000-\U0001faff][\ufe0f\u200d\U0001f3fb-\U0001f3ff]*")
_TRACKING = re.compile(r"[?&](?:utm_[a-z]+|ref|fbclid|gclid)=[^&\s#]*")
_TYPOGRAPHIC = (
    (r"\.\.\.", "\N{HORIZONTAL ELLIPSIS}"),
    ("--", "\N{EM DASH}"),
    (" - ", " \N{EN DASH} "),
    (r"(?<=\w)'", "\N{RIGHT SINGLE QUOTATION MARK}"),
    ("'", "\N{LEFT SINGLE QUOTATION MARK}"),
    (r'(?<!\S)"', "\N{LEFT DOUBLE QUOTATION MARK}"),
    ('"', "\N{RIGHT DOUBLE QUOTATION MARK}"),
)
_TYPEWRITTEN = str.maketrans(
    {
        "\N{HORIZONTAL ELLIPSIS}": "...",
        "\N{EM DASH}": "--",
        "\N{EN DASH}": "-",
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
        "\N{NO-BREAK SPACE}": " ",
    }
)


class Rendering(StrEnum):
    """An alteration of the text that a post shows."""

    LINKIFIED = "linkified"
    LINKIFIED_SHORTENED = "linkified-shortened"
    LINKS_WHOLE = "links-whole"
    LINKS_BARE = "links-bare"
    LINKS_HTTPS = "links-https"
    TRACKING_ADDED = "tracking-added"
    TRACKING_REMOVED = "tracking-removed"
    INVISIBLE_REMOVED = "invisible-removed"
    CASHTAGS_UPPER = "cashtags-upper"
    TYPOGRAPHIC = "typographic"
    TYPEWRITTEN = "typewritten"
    COMPOSED = "nfc"
    DECOMPOSED = "nfd"
    WIDTH_FOLDED = "width-folded"
    EMOJI_REMOVED = "emoji-removed"
    EMOJI_NAMED = "emoji-named"
    SPACE_COLLAPSED = "space-collapsed"
    TRUNCATED = "truncated"
    NOTE = "note"
    ENTITIES_TWICE = "entities-twice"


WORDS: Mapping[Rendering, str] = {
    Rendering.LINKIFIED: "bare domains become links: `example.com/a` is shown as `http://example.com/a`",
    Rendering.LINKIFIED_SHORTENED: "bare domains become links, which are shortened",
    Rendering.LINKS_WHOLE: "links are not shortened",
    Rendering.LINKS_BARE: "links are shortened and lose their scheme",
    Rendering.LINKS_HTTPS: "links are shortened to `https://` addresses",
    Rendering.TRACKING_ADDED: "links are whole, with a tracking parameter added",
    Rendering.TRACKING_REMOVED: "links are whole, without their tracking parameters",
    Rendering.INVISIBLE_REMOVED: "invisible characters are removed",
    Rendering.CASHTAGS_UPPER: "cashtags are in capitals",
    Rendering.TYPOGRAPHIC: "quotes become curly, hyphens dashes, and three full stops an ellipsis",
    Rendering.TYPEWRITTEN: "curly quotes, dashes and ellipses become plain ones",
    Rendering.COMPOSED: "characters and their marks are composed (NFC)",
    Rendering.DECOMPOSED: "characters and their marks are decomposed (NFD)",
    Rendering.WIDTH_FOLDED: "full-width and half-width characters become ordinary ones (NFKC)",
    Rendering.EMOJI_REMOVED: "emoji are removed",
    Rendering.EMOJI_NAMED: "emoji are replaced by their names",
    Rendering.SPACE_COLLAPSED: "white space is collapsed",
    Rendering.TRUNCATED: "the last third is cut off and replaced by `…`",
    Rendering.NOTE: "a note is appended",
    Rendering.ENTITIES_TWICE: "entities are encoded twice",
}
"""What each rendering does, in plain words."""


def render(text: str, renderings: Collection[str] = ()) -> str:
    """Return a text as a post shows it; without renderings, links are shortened, then `&`, `<` and `>` are encoded.

    Args:
        text: The text exactly as it was sent.
        renderings: Values of `Rendering`; they take effect in the order of that class, and of those that are about
            links the last one does.
    """
    link: Callable[[str], str] = shortened
    for rendering in Rendering:
        if rendering in renderings:
            link = _LINKS.get(rendering, link)
            text = _TEXTS.get(rendering, str)(text)
    text = LINK.sub(lambda found: link(found[0]), text)
    if Rendering.TRUNCATED in renderings:
        text = f"{text[: len(text) * 2 // 3]}\N{HORIZONTAL ELLIPSIS}"
    if Rendering.NOTE in renderings:
        text += NOTE
    for _ in range(2 if Rendering.ENTITIES_TWICE in renderings else 1):
        text = html.escape(text, quote=False)
    return text


def shortened(link: str) -> str:
    """Return a link as StockTwits shortens it."""
    return f"http://stks.co/{hashlib.sha256(link.encode()).hexdigest()[:5]}"


def _tracked(link: str) -> str:
    return f"{link}{'&' if '?' in link else '?'}utm_source=stocktwits"


def _untracked(link: str) -> str:
    address, _, query = link.partition("?")
    kept = _TRACKING.sub("", f"?{query}").lstrip("?&")
    return f"{address}?{kept}" if kept else address


def _linkified(text: str) -> str:
    return _BARE_DOMAIN.sub(r"http://\1", text)


def _without_invisible(text: str) -> str:
    return "".join(each for each in text if unicodedata.category(each) != "Cf" and each != "\ufe0f")


def _typographic(text: str) -> str:
    for pattern, replacement in _TYPOGRAPHIC:
        text = re.sub(pattern, replacement, text)
    return text


def _emoji_name(found: re.Match[str]) -> str:
    return f":{unicodedata.name(found[0][0], 'emoji').lower().replace(' ', '_')}:"


_LINKS: Mapping[str, Callable[[str], str]] = {
    Rendering.LINKIFIED: str,
    Rendering.LINKIFIED_SHORTENED: shortened,
    Rendering.LINKS_WHOLE: str,
    Rendering.LINKS_BARE: lambda link: shortened(link).removeprefix("http://"),
    Rendering.LINKS_HTTPS: lambda link: shortened(link).replace("http://", "https://"),
    Rendering.TRACKING_ADDED: _tracked,
    Rendering.TRACKING_REMOVED: _untracked,
}
_TEXTS: Mapping[str, Callable[[str], str]] = {
    Rendering.LINKIFIED: _linkified,
    Rendering.LINKIFIED_SHORTENED: _linkified,
    Rendering.INVISIBLE_REMOVED: _without_invisible,
    Rendering.CASHTAGS_UPPER: lambda text: CASHTAG.sub(lambda found: found[0].upper(), text),
    Rendering.TYPOGRAPHIC: _typographic,
    Rendering.TYPEWRITTEN: lambda text: text.translate(_TYPEWRITTEN),
    Rendering.COMPOSED: lambda text: unicodedata.normalize("NFC", text),
    Rendering.DECOMPOSED: lambda text: unicodedata.normalize("NFD", text),
    Rendering.WIDTH_FOLDED: lambda text: unicodedata.normalize("NFKC", text),
    Rendering.EMOJI_REMOVED: lambda text: _EMOJI.sub("", text),
    Rendering.EMOJI_NAMED: lambda text: _EMOJI.sub(_emoji_name, text),
    Rendering.SPACE_COLLAPSED: lambda text: " ".join(text.split()),
}
