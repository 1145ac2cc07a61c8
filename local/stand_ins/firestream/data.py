"""The content of backups: synthetic messages and activities in StockTwits' formats, always the same for a day."""

from __future__ import annotations

import gzip
import json
import random
import string
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MESSAGE, ACTIVITY = FILE_TYPES = ("message", "activity")
FIRST_DAY = date(2009, 1, 1)
IDS_PER_DAY = 10_000_000
_DAY_SECONDS = 86_400
_USERS = 400_000

# Symbol, title, and how many of a thousand messages mention it first.
_LISTED = [
    ("SPY", "SPDR S&P 500 ETF Trust", 170),
    ("TSLA", "Tesla Inc.", 150),
    ("AAPL", "Apple Inc.", 120),
    ("NVDA", "NVIDIA Corp.", 100),
    ("BTC.X", "Bitcoin", 90),
    ("AMD", "Advanced Micro Devices Inc.", 70),
    ("AMC", "AMC Entertainment Holdings Inc.", 60),
    ("QQQ", "Invesco QQQ Trust", 50),
    ("AMZN", "Amazon.com Inc.", 45),
    ("GME", "GameStop Corp.", 40),
    ("MSFT", "Microsoft Corp.", 30),
    ("ETH.X", "Ethereum", 25),
    ("F", "Ford Motor Co.", 20),
    ("BRK.B", "Berkshire Hathaway Inc.", 15),
    ("ES_F", "E-Mini S&P 500 Futures", 10),
    ("KO", "Coca-Cola Co.", 5),
]
_SYMBOLS = [
    {
        "id": 600 + 7 * rank,
        "symbol": symbol,
        "title": title,
        "aliases": [],
        "is_following": False,
        "watchlist_count": 3_000 * weight,
    }
    for rank, (symbol, title, weight) in enumerate(_LISTED)
]
_SYMBOL_WEIGHTS = list(accumulate(weight for _, _, weight in _LISTED))
_SYMBOL_COUNTS = list(accumulate((80, 13, 5, 2)))
_SENTIMENTS = ({"basic": "Bullish"}, {"basic": "Bearish"}, None)
_SENTIMENT_WEIGHTS = list(accumulate((34, 11, 55)))
_SOURCES = (
    {"id": 2269, "title": "StockTwits Web", "url": "https://stocktwits.com"},
    {"id": 1149, "title": "StockTwits for iOS", "url": "http://www.stocktwits.com/mobile"},
    {"id": 1150, "title": "StockTwits for Android", "url": "http://www.stocktwits.com/mobile"},
)
_SOURCE_WEIGHTS = list(accumulate((30, 45, 25)))
_VOCABULARY = (
    "above accumulation added adding after again alert all almost always an analyst analysts another any anyone "
    "anything are around as ask at average away back backtest bag bags balance bank base based be bears beat "
    "because been before below beta better bid big bigger bottom bought bounce breakdown breakout broke bulls buy "
    "buyback buyers buying calls came can candle cannot cap careful cash catalyst cautious channel chart cheap "
    "clear close closed closing coming comes consolidation conviction correction cost could cover covered covering "
    "crash crazy cross cup daily dark data day days debt decent deep delta did dilution dip distribution dividend "
    "dollar don't double doubt down downgrade downside drop dropped dump during early earnings easy either end "
    "ended enough entry estimates even ever every exactly exit expect expected expiry fade fair fake far fast fear "
    "feels fell few fib fill filled final finally first flag flat float flow following for forecast forget forming "
    "fresh from fund funny futures gains gamma gap get getting give going gonna gone good got great green gross "
    "group growth guess guidance guys had half halted handle happens hard has head heavy hedge held here hidden "
    "high higher highs hit hold holders holding hope hot hour hourly huge I idea if imagine in index inflation "
    "inside insiders institutions interest is it it's just keep key kind know last late later launch lead least leg "
    "less let level levels leverage light like limit line liquidity listen little load loaded loading long longs "
    "look looking looks lose loss lost lots love low lower lows macd made major make making manipulation many "
    "margin market massive maybe mean means meeting mentioned merger might million minutes miss missed momentum "
    "money month monthly more morning most move moving much must naïve near need negative neutral never new news "
    "next nice night no nobody not nothing now of off offer offering oh ok on once one only open opening options or "
    "order other our out over overbought oversold own paid pain paper past patience pattern pay people phase pivot "
    "play please point pop position positive possible post power premarket premium pressure pretty price profit "
    "pump push put puts quarter quick quiet quite raise rally range rate rates read ready real really rebound "
    "record red report resistance rest retail revenue reversal right ripping risk rocket rsi run runner safe said "
    "same saw say scared seems seen sell sellers selling sentiment set setup share shares short shorts should "
    "shoulders show side since sitting small so sold solid some someone something soon spike spread squeeze stand "
    "start started stay still stock stop stopped strength strong stuck support sure swing take taking talking "
    "target technicals tell term test tested than thanks that the their then there these they thing think this "
    "those thought through tight time to today told tomorrow tonight too took top touched trade traders trading "
    "trap trend trendline triangle tried trust try turn under unless until up update upgrade upside upward value "
    "very volatility volume wait waiting wall want warned was watch watching way weak wedge week weekly weeks well "
    "were what when where which while who whole why will wish with without won't word work worth would wow wrong "
    'yeah year years yes yesterday yet you your zone 🚀 📈 📉 💎 🐻 🐂 🔥 😂 & < > "sure" ...'
)
_WORDS = _VOCABULARY.split()
_LETTERS = string.ascii_letters + string.digits
_SYLLABLES = [
    first + vowel + last
    for first in "bcdfghjklmnprstvwz"
    for vowel in "aeiou"
    for last in ("", "d", "l", "n", "r", "s")
]
_TITLES = ("Swing", "Day", "Value", "Chart", "Night", "Gamma", "Penny", "Macro", "Trader", "Bull", "Bear", "Owl", "Fox")
_ACTIVITIES = ("LikeMessage", "Friendship", "Block")
_ACTIVITY_WEIGHTS = list(accumulate((80, 18, 2)))


def lines(file_type: str, day: date, count: int) -> Iterator[bytes]:
    """Yield the `count` lines of a day's backup, each a JSON object with a line feed, from midnight UTC on.

    Ids increase with time, also from day to day as long as `count` is below `IDS_PER_DAY`.
    """
    chance = random.Random(f"{file_type} {day}")
    first_id = (day - FIRST_DAY).days * IDS_PER_DAY + 1
    midnight = datetime.combine(day, time(), UTC)
    make = {MESSAGE: _message, ACTIVITY: _activity}[file_type]
    for number in range(count):
        moment = midnight + timedelta(seconds=number * _DAY_SECONDS // count)
        record = make(chance, first_id + number, f"{moment:%Y-%m-%dT%H:%M:%SZ}")
        yield json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


@lru_cache(maxsize=64)
def backup(file_type: str, day: date, count: int) -> bytes:
    """Return a day's backup, gzipped: always the same bytes."""
    return gzip.compress(b"".join(lines(file_type, day, count)), compresslevel=6, mtime=0)


def _message(chance: random.Random, number: int, created_at: str) -> dict[str, Any]:
    how_many = chance.choices((1, 2, 3, 4), cum_weights=_SYMBOL_COUNTS)[0]
    picked = chance.choices(_SYMBOLS, cum_weights=_SYMBOL_WEIGHTS, k=how_many)
    symbols = list({symbol["symbol"]: symbol for symbol in picked}.values())
    words = [_word(chance) for _ in range(chance.randint(5, 55))]
    body = " ".join([*(f"${symbol['symbol']}" for symbol in symbols), *words])
    sentiment = chance.choices(_SENTIMENTS, cum_weights=_SENTIMENT_WEIGHTS)[0]
    return {
        "id": number,
        "body": body,
        "created_at": created_at,
        "user": _user(_somebody(chance)),
        "source": chance.choices(_SOURCES, cum_weights=_SOURCE_WEIGHTS)[0],
        "symbols": symbols,
        "mentioned_users": [],
        "entities": {"sentiment": sentiment},
    }


def _word(chance: random.Random) -> str:
    """Return a word, a price, a change, a mention or a link: words alone would compress too well."""
    kind = chance.random()
    if kind < 0.66:  # noqa: PLR2004 - the rest are prices, changes, mentions and links
        return chance.choice(_WORDS)
    if kind < 0.82:  # noqa: PLR2004
        return f"{chance.uniform(1, 999):.2f}"
    if kind < 0.90:  # noqa: PLR2004
        return f"{chance.uniform(-20, 20):+.1f}%"
    if kind < 0.96:  # noqa: PLR2004
        return f"@{_name(chance)}"
    return f"https://stks.co/{''.join(chance.choices(_LETTERS, k=6))}"


def _name(chance: random.Random) -> str:
    return "".join(chance.choices(_SYLLABLES, k=chance.randint(2, 4))).capitalize() + chance.choice(_TITLES)


def _activity(chance: random.Random, number: int, created_at: str) -> dict[str, Any]:
    """Return an activity, in either of the two formats that are documented publicly."""
    kind = chance.choices(_ACTIVITIES, cum_weights=_ACTIVITY_WEIGHTS)[0]
    action = "create" if chance.random() < 0.9 else "destroy"  # noqa: PLR2004 - most are not undone
    likes = kind == "LikeMessage"
    about = {"message_id": number - chance.randint(1, 1_000)} if likes else {"target_id": _somebody(chance)}
    data = {"id": number, "user_id": _somebody(chance), **about}
    if chance.random() < 0.5:  # noqa: PLR2004 - both equally often
        return {"object": kind, "action": action, "data": data, "time": created_at}
    return {**data, "object": kind, "action": action, "created_at": created_at}


def _somebody(chance: random.Random) -> int:
    """Return the id of a user: a few users write most messages."""
    return 1 + int(_USERS * chance.random() ** 3)


@lru_cache(maxsize=20_000)
def _user(number: int) -> dict[str, Any]:
    chance = random.Random(number)
    portrait = f"avatars.stocktwits.com/production/{number}/thumb-{chance.randint(1_300_000_000, 1_700_000_000)}.png"
    joined = FIRST_DAY + timedelta(days=chance.randrange(5_000))
    return {
        "id": number,
        "username": f"{_name(chance)}{number}",
        "name": f"{_name(chance)} {_name(chance)}",
        "avatar_url": f"http://{portrait}",
        "avatar_url_ssl": f"https://{portrait}",
        "join_date": joined.isoformat(),
        "official": False,
        "identity": "User",
        "classification": [],
        "followers": int(10 / (1 - chance.random())),
        "following": chance.randrange(300),
        "ideas": int(100 / (1 - chance.random())),
        "watchlist_stocks_count": chance.randrange(60),
        "like_count": int(50 / (1 - chance.random())),
        "plus_tier": "",
        "premium_room": "",
        "trade_app": False,
    }
