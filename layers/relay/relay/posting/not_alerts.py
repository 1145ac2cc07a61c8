"""What is not an alert although it came as one: told by its look, with the cause in words for its publisher. Pure.

Posts cannot be deleted, so what was wrapped, encoded or printed on its way, and what nobody filled in, must not be
posted as it stands. What people write must be: each look here is one that no alert has. The words of a cause complete
a sentence whose subject is the message, or one of its fields.
"""

import binascii
import re
import unicodedata

import msgspec

_SPACE = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028"
    "\u2029\u202f\u205f\u3000"
)
_MARKS = "\ufeff\ufffe"  # a byte order mark, and one whose bytes are swapped
_MISREAD_MARK = re.compile(
    # UTF-8's, read as Windows-1252, -1250, -1251, -1253, -1255, -1256 and -1257, as code page 437, 850 and 866, as
    # KOI8-R, Mac Roman and Thai, and twice as Windows-1252; then UTF-16's, read as Windows-1252.
    r"(?:ï»¿|ď»ż|п»ї|ο»Ώ|ן»¿|ï»؟|ļ»æ|∩╗┐|´╗┐|я╗┐|О╩©|Ôªø|๏ปฟ|Ã¯Â»Â¿|ÿþ|þÿ)"  # noqa: RUF001
    rf"[\s{_MARKS}]*"
)
_BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0\ufffc\ufffd\ufffe\uffff\U0001d159")
"""Letters and symbols, by their category, that show nothing, or nothing of what was written."""

_FENCES = ("```", "~~~")
_LANGUAGE = re.compile(r"[A-Za-z0-9+-]{0,20}")  # as in ```json

_TYPOGRAPHIC = str.maketrans(dict.fromkeys("´“”„‟«»‹›‘’‚‛″′＂＇", "«"))  # noqa: RUF001
"""One quote for all of them, of Latin 1: a set of the others takes long to compile, at every cold start."""

_QUOTE = r"""(?:["'`«\\]|&(?:quot|apos|[lr][sd]quo|#0?3[49]|#x2[27]);)"""
_NAME = r"[A-Za-z_]\w{0,63}"

_LOOKS = {
    rf"[bBuUrRfF]?{_QUOTE}{{1,4}}\s*(?:\{{\s*(?:{_QUOTE}|{_NAME}\s*[:=])|\[\s*(?:{_QUOTE}|\{{))": (
        "is JSON in quotes: send the object itself, without quotes around it"
    ),
    r"\{\s*'": "is a dictionary as Python prints it: use json.dumps",
    r"\{\s*[«`]": 'is JSON with typographic quotes: use "',
    r"\{\s*(?:\\|&|%22)": "is JSON whose quotes were escaped once too often: send the object as it was before",
    rf"\{{\s*{_NAME}\s*[:=]": "is JSON without the quotes around its names, which a shell took away: keep them",
    r"```|~~~[a-z]{0,20}\r?\n": "begins with a code fence: send what is in it, without the fence",
    r"%[57][Bb][%+]|%2[24][A-Za-z%]": "is URL-encoded: send it as it was before",
    r"(?:sentiment|in_reply_to_message_id|chart|key|expires_at)=\S*&body=|body=|Action=SendMessage&|MessageBody=": (
        "is a form: send plain text, or a JSON object"
    ),
    "锘|嚜篦|\u7b00(?:\u2200|\u0d00\u0a00|\u0a00\u2000)": "was decoded with another character set than encoded",
    r"@\{\w|System\.(?:Collections|Object|String)": "is an object as PowerShell prints it: use ConvertTo-Json",
    r"map\[\w|&\{|%![a-z]\(": "is a value as Go prints it: use json.Marshal",
    r"Promise \{|\[(?:Async)?Function|function ?\(": "is a value as JavaScript prints it: use JSON.stringify",
    r"<[\w.]{1,200} object at 0x|<(?:function|bound method|coroutine object|generator object) ": (
        "is a value as Python prints it: use json.dumps"
    ),
    r"\[(?:B|L[\w.]{1,200};)@[0-9a-f]{1,8}(?![\w\W])|[\w.$]{1,200}@[0-9a-f]{6,8}(?![\w\W])": (
        "is an object as Java prints it: send its content"
    ),
    r"data:[a-z]{1,20}/": "is a file as a data URL: send a text, and the file as a chart",
    r"<!doctype|<!DOCTYPE|<html|<\?xml": "is HTML or XML: send plain text, or a JSON object",
}
"""How texts begin that are no alerts, and what to say of them."""

_BEGINNING = re.compile("|".join(f"(?P<look_{place}>{look})" for place, look in enumerate(_LOOKS)))
_BEGINNING_CHARACTERS = 1000
_CAUSES = dict(zip(_BEGINNING.groupindex, _LOOKS.values(), strict=True))

_PYTHON_QUOTES = (("b'", "'"), ('b"', '"'), ("['", "']"), ("('", "',)"))
_BODY_FIELD = re.compile(rf"[{{,]\s*{_QUOTE}{{1,2}}body{_QUOTE}{{1,2}}\s*(?::|=>|=|%3A)|(?<!\w)body=[\"']")
_OBJECT = re.compile(r'\{\s*["}]')
_FIELD_LINE = re.compile(r"(?<![^\n])(body|sentiment|in_reply_to_message_id|chart|key|expires_at): ")

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}")
_URL_SAFE = str.maketrans("-_", "+/")

_NO_VALUE = frozenset(
    {"null", "none", "nil", "undefined", "nan", "-nan", "nat", "<na>", "n/a", "true", "false", "array", "object"}
    | {"inf", "-inf", "+inf", "infinity", "-infinity", "+infinity"}
    | {"(null)", "<null>", "(nil)", "<nil>", "(none)", "<none>", "(undefined)", "<undefined>"}
    | {"#n/a", "#ref!", "#value!", "#div/0!", "#name?", "#num!", "#null!", "#error!", "loading..."}
)
"""What languages and spreadsheets write for a value that is missing, or has another type; in any case."""

_PLACEHOLDER = re.compile(
    r"\{\{[^{}]{0,64}\}\}|\$\{[^{}]{0,64}\}|\{[A-Za-z_]\w{1,40}\}|\{%[^%]{0,64}%\}|<%[^%]{0,64}%>"
)
"""Placeholders that are looked for in links and keys too. A single letter in braces is not one."""

_PLACEHOLDER_IN_WORDS = re.compile(
    # of Python, .NET and others: {} {0} {price:.2f} {row['close']} {symbol!r}
    r"\{[0-9]?\}|\{(?:[A-Za-z_]\w{0,40}|[0-9]?)(?:![rsa])?:[-+<>=^,_.0-9]{0,6}[%defgsnx,]\}"
    r"|\{[A-Za-z_]\w{1,40}(?:\.\w|\[|![rsa])[^{}\s]{0,40}\}"
    # of EventBridge, e-mail tools and language models: <symbol> <stock_symbol> [ticker] [insert link]
    r"|<(?i:ticker|symbol|company|price|percent|change|volume|exchange|value|date|time|name|text|message|body|id)>"
    r"|<[A-Za-z]{1,40}_\w{1,40}>|\[(?i:ticker|symbol)\]|\[(?i:insert|your) [^\[\]]{1,60}\]"
    # of printf and Windows: %s %.2f %(price)s %1$s %TICKER%
    r"|(?<![\w%])%(?:[1-9]\$)?(?:\(\w{1,40}\))?(?:\.[0-9]{1,2})?[sdf](?![\w%])|(?<![\w%])%[A-Za-z_]\w{1,40}%(?![\w%])"
    # and what was put in place of one without a value, in JavaScript, Python and Go
    r"|\[object [A-Z]\w{1,20}\]|\$(?:undefined|null|NaN|None)(?!\w)|(?<!\w)(?:undefined|null|NaN|nan|None)%|%![a-z]\("
)

_POINTER = (
    "a pointer to a message in S3, as the SQS extended client writes it, which the relay does not fetch: "
    "send the alert itself"
)
_KNOWN_OBJECTS = (
    ({"Service", "Event", "Bucket"}, "the test event of S3: remove this queue from the bucket's notifications"),
    ({"bucket", "object"}, "S3's event about an object: send an alert made from it"),
    ({"s3BucketName", "s3Key"}, _POINTER),
    ({"S3BucketName", "S3Key"}, _POINTER),
    ({"AlarmName", "NewStateValue"}, "a CloudWatch alarm: send an alert made from it"),
    ({"alarmName", "state"}, "a CloudWatch alarm: send an alert made from it"),
    ({"awslogs"}, "a subscription of CloudWatch Logs: send an alert made from it"),
    ({"MessageId", "Body"}, "a message as SQS returns it: send its Body"),
    ({"messageId", "receiptHandle"}, "a record of a Lambda event: send its body"),
    ({"Messages"}, "an answer of SQS: send the Body of each message"),
    ({"MessageBody"}, "a request to SQS: send its MessageBody"),
    ({"Source", "DetailType", "Detail"}, "an entry for EventBridge: send its Detail"),
    ({"requestContext", "headers"}, "an HTTP request as Lambda gets it: send its body"),
    ({"statusCode", "body"}, "an HTTP answer: send its body"),
    ({"default"}, "a message for SNS with MessageStructure=json, which was not set"),
)
"""By the fields that tell it: what a JSON object is that is no alert."""


def trimmed(text: str) -> str:
    """Return a text without the white space and the byte order marks around it, those that were misread included."""
    text, start = text.strip(_SPACE + _MARKS), 0
    while mark := _MISREAD_MARK.match(text, start):
        start = mark.end()
    return text[start:]


def bare(text: str) -> str:
    """Return a text without what cannot be seen at either end, and without the code fence around JSON."""
    text = _between_visible(text)
    for fence in _FENCES:
        if text.startswith(fence) and text.endswith(fence):
            before, brace, after = text.strip(fence[0]).partition("{")
            if brace and _LANGUAGE.fullmatch(before.strip(_SPACE + _MARKS)):
                return _between_visible(brace + after)
    return text


def shows_nothing(text: str) -> bool:
    """Return whether a text has no visible character: nothing but spaces, marks, fillers and what controls others."""
    return not any(map(_is_visible, text))


def stands_for_nothing(text: str) -> bool:
    """Return whether a text is what languages write for a value that is missing, such as ``NaN`` or ``undefined``."""
    return len(text) <= max(map(len, _NO_VALUE)) + 2 and text.strip("'\"`“”‘’ ").casefold() in _NO_VALUE  # noqa: RUF001


def look(text: str) -> str | None:
    """Say what a text is by how it begins, if that tells; None for what begins like a good JSON object."""
    first = text[1:].lstrip(" \t\r\n")[:1]
    if text.startswith("{") and first and not _is_visible(first):
        return 'is JSON with a character before its first name that cannot be seen: begin it with {"'
    beginning = _BEGINNING.match(text[:_BEGINNING_CHARACTERS].translate(_TYPOGRAPHIC))
    return _CAUSES[str(beginning.lastgroup)] if beginning else None


def cause(text: str) -> str | None:
    """Say why a text is not an alert; None if it is one as far as its look tells."""
    text = _between_visible(text)
    return next(filter(None, (kind(text) for kind in (_missing, look, _printed, _with_json, _yaml, _base64))), None)


def cause_of_quotes(text: str) -> str | None:
    """Say why a plain text is not an alert: it is in quotes as a whole, or each of its lines is."""
    lines = [each for line in text.split("\n") if (each := line.strip())]
    if (lines and all(map(_is_json_string, lines))) or _is_json_string(" ".join(text.split())):
        return (
            "is in quotes, as EventBridge's input transformer writes text: "
            "send it without quotes, or a JSON object with a body"
        )
    return None


def cause_of_json(content: object) -> str | None:
    """Say what JSON is, if that is certain, that is not an object with the fields of an alert."""
    cause = None
    match content:
        case [str(name), {}] if name.endswith(("PayloadS3Pointer", "MessageS3Pointer")):
            cause = f"is {_POINTER}"
        case [{"body": _}, *_]:
            cause = "is JSON, but a list: send each of its alerts as a message of its own"
        case str() if content.lstrip('"\\ ').startswith(("{", "[")):
            cause = "is JSON, but a string with JSON in it, so it was encoded twice: send the object itself"
        case {"Records": [{"eventSource": str(source)} | {"EventSource": str(source)}, *_]}:
            cause = _event(source)
        case {"Records": [{"messageId": _}, *_]}:
            cause = _event("aws:sqs")
        case dict():
            cause = next((f"is {words}" for fields, words in _KNOWN_OBJECTS if fields <= content.keys()), None)
    return cause


def placeholder(text: str, words: str = "") -> str | None:
    """Return the first placeholder that nobody replaced.

    Args:
        text: A text in which only the certain ones are looked for, as it may be a link or a key.
        words: What of it people read: the same without its links.
    """
    found = _PLACEHOLDER.search(text) or _PLACEHOLDER_IN_WORDS.search(words)
    return found[0] if found else None


def _between_visible(text: str) -> str:
    start = next((place for place, each in enumerate(text) if _is_visible(each)), len(text))
    end = next((place for place in range(len(text), start, -1) if _is_visible(text[place - 1])), start)
    return text[start:end]


def _is_visible(character: str) -> bool:
    category = unicodedata.category(character)
    return not (category[0] in "ZM" or category in {"Cc", "Cf", "Cs"} or character in _BLANKS)


def _is_json_string(text: str) -> bool:
    if not text.startswith('"'):
        return False
    try:
        return isinstance(msgspec.json.decode(text), str)
    except (msgspec.DecodeError, UnicodeError):
        return False


def _event(source: str) -> str:
    match source:
        case "aws:s3":
            return "is an event of S3 about objects: remove this queue from the bucket's notifications"
        case "aws:sqs" | "aws:sns":
            return f"is an event of {source}, passed on whole: send what is in each of its records"
    return f"is an event of {source[:64]}: send alerts made from it"


def _missing(text: str) -> str | None:
    return f"is {text}: the value was missing when the message was made" if stands_for_nothing(text) else None


def _printed(text: str) -> str | None:
    if any(text.startswith(opening) and text.endswith(closing) for opening, closing in _PYTHON_QUOTES):
        return "is a value as Python prints it: send the text itself, or use json.dumps"
    return None


def _with_json(text: str) -> str | None:
    if _OBJECT.match(text):
        return "is a JSON object itself: send that object as the message"
    plain = text.translate(_TYPOGRAPHIC)
    return "has an object with a body in it: send that object alone, as JSON" if _BODY_FIELD.search(plain) else None


def _yaml(text: str) -> str | None:
    fields = set(_FIELD_LINE.findall(text))
    return "is YAML: send a JSON object" if len(fields) > 1 and "body" in fields else None


def _base64(text: str) -> str | None:
    """Recognise JSON, and what else is certain not to be a word of someone's."""
    joined = "".join(text.split("\n")).replace("\r", "")  # Base64 is often broken into lines
    if not _BASE64.fullmatch(joined):
        return None
    joined = joined.rstrip("=").translate(_URL_SAFE)
    try:
        content = binascii.a2b_base64(joined + "=" * (-len(joined) % 4))
    except binascii.Error:
        return None
    content = content.strip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")
    json = content.startswith(b"{") and content.endswith(b"}")
    file = content.startswith((b"\x1f\x8b", b"\x89PNG"))
    words = b" " in content and all(ord(" ") <= each <= ord("~") for each in content)
    return "is Base64: send what was encoded" if json or file or words else None
