"""The stand-in's pages: what followers of the account would see, as HTML without scripts or external resources."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Any

from local.stand_ins.stocktwits.rendering import CASHTAG

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from local.stand_ins.stocktwits.api import PostRecord

# A full stop or a bracket at the end of a sentence is not part of the link.
_LINK = r"https?://[^\s<>\"]*[^\s<>\".,;:!?)\]']"
_LINK_OR_CASHTAG = re.compile(f"(?P<link>{_LINK})|{CASHTAG.pattern}", re.ASCII)

HEADERS = {
    # Even if markup in a post were not escaped, it could load and run nothing.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:",
    "Referrer-Policy": "no-referrer",
}

_STYLE = """
:root { color-scheme: light dark; --page: #f3f5f8; --card: #fff; --line: #e1e6ec; --text: #17202b; --dim: #667487;
  --link: #1263c9; --bullish: #0a7f4c; --bearish: #c42b3b; --neutral: #667487; }
@media (prefers-color-scheme: dark) { :root { --page: #0e1319; --card: #171e27; --line: #28323f; --text: #e7ecf2;
  --dim: #93a1b3; --link: #6db1ff; --bullish: #3fcf8e; --bearish: #ff7b86; --neutral: #93a1b3; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); line-height: 1.5;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
header, main { max-width: 40rem; margin: 0 auto; padding: 0 1rem; }
header { display: flex; align-items: center; gap: .9rem; padding-top: 2rem; padding-bottom: 1.25rem; }
h1 { margin: 0; font-size: 1.3rem; line-height: 1.3; }
h1 a { color: inherit; }
header p { margin: 0; color: var(--dim); font-size: .88rem; }
.avatar { flex: none; display: grid; place-items: center; width: 2.6rem; height: 2.6rem; border-radius: 50%;
  background: linear-gradient(135deg, #2f7df6, #17b890); color: #fff; font-weight: 700; font-size: 1.1rem; }
header .avatar { width: 3.4rem; height: 3.4rem; font-size: 1.5rem; }
article { display: flex; gap: .9rem; background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  padding: 1rem 1.1rem; margin-bottom: .8rem; box-shadow: 0 1px 2px rgb(0 0 0 / .05); }
.post { flex: 1; min-width: 0; }
.by { display: flex; flex-wrap: wrap; align-items: center; gap: .2rem .6rem; }
.by time, .reply { color: var(--dim); font-size: .85rem; }
.badge { margin-left: auto; padding: .05rem .6rem; border: 1px solid currentColor; border-radius: 99px;
  font-size: .75rem; font-weight: 600; }
.bullish { color: var(--bullish); } .bearish { color: var(--bearish); } .neutral { color: var(--neutral); }
.reply, .text, .chart { margin: .3rem 0 0; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; }
.cashtag { font-weight: 600; }
.chart { overflow-wrap: anywhere; }
.chart img { display: block; max-width: 100%; max-height: 24rem; margin-top: .5rem; border: 1px solid var(--line);
  border-radius: 10px; }
dl { margin: 0; } dt { font-weight: 600; } dd { margin: 0 0 .6rem; color: var(--dim); }
.empty { padding: 3.5rem 1rem; text-align: center; color: var(--dim); border: 2px dashed var(--line);
  border-radius: 14px; }
.empty strong { display: block; color: var(--text); font-size: 1.05rem; }
"""

_ARROWS = {"bullish": "▲ Bullish", "bearish": "▼ Bearish", "neutral": "Neutral"}


def timeline(username: str, posts: Iterable[PostRecord], contrary: int | None = None) -> str:
    """Return the account's page: its posts as they were sent, newest first, and the seed of the contrary mode."""
    articles = [_article(username, post) for post in sorted(posts, key=lambda post: post.id, reverse=True)]
    empty = '<div class="empty"><strong>No posts yet</strong>The posts of the relay appear here.</div>'
    count = f"{len(articles)} post{'' if len(articles) == 1 else 's'}"
    mode = "" if contrary is None else f" · contrary, seed {contrary}"
    return _page(username, count + mode, "\n".join(articles) or empty)


def single(username: str, post: PostRecord) -> str:
    """Return the page of one post."""
    return _page(username, f"Post {post.id}", _article(username, post))


def faults(username: str, catalogue: Iterable[Mapping[str, Any]]) -> str:
    """Return the page with everything that can be planned, in plain words."""
    rows = "\n".join(
        f"<dt>{escape(each['fault'])}</dt><dd>{_words(each['words'])}{_forms(each)}</dd>" for each in catalogue
    )
    return _page(username, "What can be planned, with POST /_standin/faults", f"<article><dl>{rows}</dl></article>")


def missing(username: str) -> str:
    """Return the page for an unknown address."""
    nothing = '<div class="empty"><strong>Page not found</strong><a href="/">See all posts</a></div>'
    return _page(username, "Not found", nothing)


def _page(username: str, subtitle: str, content: str) -> str:
    name = escape(username)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="5">
<title>{name} · StockTwits stand-in</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
</head>
<body>
<header>{_avatar(username)}<div><h1><a href="/">{name}</a></h1>
<p>{escape(subtitle)} · a <a href="/faults">stand-in</a> for StockTwits, only on this machine</p></div></header>
<main>
{content}
</main>
</body>
</html>
"""


def _words(text: str) -> str:
    return re.sub("`([^`]*)`", r"<code>\1</code>", escape(text, quote=False))


def _forms(described: Mapping[str, Any]) -> str:
    forms = ", ".join(f"<code>{escape(str(form))}</code>" for form in described.get("forms", []))
    return f"; {_words(described['main'])}: {forms}" if forms else ""


def _article(username: str, post: PostRecord) -> str:
    reply = f'<p class="reply">↩ in reply to {post.in_reply_to}</p>' if post.in_reply_to else ""
    return f"""<article id="{post.id}">{_avatar(username)}<div class="post">
<div class="by"><strong>{escape(username)}</strong><a href="/{escape(username)}/message/{post.id}">\
{_time(post.created_at)}</a>
<span class="badge {escape(post.sentiment)}">{_ARROWS[post.sentiment]}</span></div>
{reply}<p class="text">{_rich(post.body)}</p>{_chart(post)}
</div></article>"""


def _avatar(username: str) -> str:
    return f'<span class="avatar" aria-hidden="true">{escape(username[:1].upper())}</span>'


def _time(moment: datetime) -> str:
    return f'<time datetime="{moment.isoformat()}">{moment:%d %b %Y, %H:%M:%S} UTC</time>'


def _chart(post: PostRecord) -> str:
    if post.chart is None:
        return ""
    if post.chart.content:
        return f'<p class="chart"><img src="/charts/{post.id}" alt="The chart of post {post.id}"></p>'
    return f'<p class="chart">Chart: {_anchor(post.chart.url, post.chart.url)}</p>'


def _rich(text: str) -> str:
    """Return a post's text, escaped, with its links and cashtags as HTML links."""
    pieces, end = [], 0
    for found in _LINK_OR_CASHTAG.finditer(text):
        link, symbol = found.groups()
        target = link or f"https://stocktwits.com/symbol/{symbol.upper()}"
        pieces += [escape(text[end : found.start()]), _anchor(target, found[0], "" if link else "cashtag")]
        end = found.end()
    return "".join([*pieces, escape(text[end:])])


def _anchor(target: str, label: str, style: str = "") -> str:
    kind = f' class="{style}"' if style else ""
    return f'<a{kind} href="{escape(target)}" rel="noopener noreferrer">{escape(label)}</a>'
