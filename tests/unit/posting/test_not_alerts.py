"""What is not an alert is refused with its cause, and what people write is posted."""

import base64
import json
from unicodedata import category

import pytest
from relay.errors import Reject
from relay.posting.alert import read
from relay.posting.not_alerts import trimmed

from tests.factories import an_alert

JSON = '{"body": "$AAPL up", "key": "k-1"}'
READ = an_alert("$AAPL up", key="k-1")


def reason(message: str) -> str:
    with pytest.raises(Reject) as refused:
        read(message)
    return refused.value.reason


def in_body(text: str) -> str:
    return json.dumps({"body": text})


# What is certain is read

MARKS = {
    "a byte order mark": "\ufeff",
    "two of them": "\ufeff\ufeff",
    "one of swapped bytes": "\ufffe",
    "a zero-width space": "\u200b",
    "a word joiner, a space and a direction": "\u2060\u00a0\u200e",
    "a soft hyphen": "\u00ad",
    "a variation selector": "\ufe0f",
    "what could not be decoded": "\ufffd\ufffd",
}
CODECS = ["cp1252", "cp1250", "cp1251", "cp1253", "cp1255", "cp1256", "cp1257", "cp437", "cp850", "cp866", "koi8-r"]
CODECS += ["mac_roman", "cp874", "latin-1", "iso8859-15"]
MISREAD = {codec: "\ufeff".encode().decode(codec) for codec in CODECS} | {
    "UTF-16": b"\xff\xfe".decode("cp1252"),
    "UTF-16, swapped": b"\xfe\xff".decode("cp1252"),
    "cp1252, twice": "\ufeff".encode().decode("cp1252").encode().decode("cp1252"),
    "cp1252, and a real one": "\u00ef\u00bb\u00bf \ufeff",
}


@pytest.mark.parametrize("mark", (MARKS | MISREAD).values(), ids=MARKS | MISREAD)
def test_a_mark_that_cannot_be_seen_does_not_turn_json_into_a_text(mark: str) -> None:
    assert read(mark + JSON) == read(JSON + MARKS["a zero-width space"]) == READ


@pytest.mark.parametrize("mark", ["\ufeff", "\ufffe", *MISREAD.values()], ids=ascii)
def test_a_byte_order_mark_is_not_part_of_a_text(mark: str) -> None:
    assert read(f" {mark}\n$AAPL up") == read(in_body(f"{mark}$AAPL up")) == an_alert("$AAPL up")


def test_many_marks_are_removed_together() -> None:
    assert trimmed("\u00ef\u00bb\u00bf \ufeff" * 1000 + "x\ufeff") == "x"


def test_what_counts_as_white_space_around_a_text_is_what_python_does() -> None:
    assert trimmed("".join(filter(str.isspace, map(chr, range(0x11000)))) + "x") == "x"


def test_a_direction_in_front_of_a_text_is_kept() -> None:
    assert read("\u200f\u05d0\u05d1 $AAPL").body == "\u200f\u05d0\u05d1 $AAPL"


@pytest.mark.parametrize(
    "fenced",
    [
        f"```json\n{JSON}\n```",
        f"```\n{JSON}\n```\n",
        f"```JSON\r\n{JSON}\r\n```",
        f"```{JSON}```",
        f"````json\n{JSON}\n````",
        f"~~~json\n{JSON}\n~~~",
        f"\ufeff```json\n\ufeff{JSON}\n```\u200b",
    ],
)
def test_json_in_a_code_fence_is_read(fenced: str) -> None:
    assert read(fenced) == READ


# What was wrapped or encoded on its way

WRAPPED = {
    "single quotes, of cmd.exe": (f"'{JSON}'", "is JSON in quotes"),
    "double quotes": (f'"{JSON}"', "is JSON in quotes"),
    "typographic quotes": (f"\u201c{JSON}\u201d", "is JSON in quotes"),
    "single typographic quotes": (f"\u2018{JSON}\u2019", "is JSON in quotes"),
    "guillemets": (f"\u00ab {JSON} \u00bb", "is JSON in quotes"),
    "backticks": (f"`{JSON}`", "is JSON in quotes"),
    "escaped quotes": (f'\\"{JSON}\\"', "is JSON in quotes"),
    "HTML's quotes": (f"&quot;{JSON}&quot;", "is JSON in quotes"),
    "a quote in front": (f"'{JSON}", "is JSON in quotes"),
    "a quote behind": (f"{JSON}'", "begins like a JSON object but cannot be read"),
    "quotes after a mark": (f"\ufeff'{JSON}'", "is JSON in quotes"),
    "quotes without those inside": ("'{body: $AAPL up, key: k-1}'", "is JSON in quotes"),
    "other JSON in quotes": ("'{\"text\": 1}'", "is JSON in quotes"),
    "a list in quotes": (f"'[{JSON}]'", "is JSON in quotes"),
    "encoded twice": (json.dumps(JSON), "a string with JSON in it, so it was encoded twice"),
    "encoded three times": (json.dumps(json.dumps(JSON)), "a string with JSON in it, so it was encoded twice"),
    "Python's bytes": (f"b'{JSON}'", "is JSON in quotes"),
    "Python's bytes of a text": ("b'$AAPL up'", "is a value as Python prints it"),
    "Python's dictionary": ("{'body': '$AAPL up'}", "it is a dictionary as Python prints it: use json.dumps"),
    "Python's list": ("['$AAPL up']", "is a value as Python prints it"),
    "Python's tuple": ("('$AAPL up',)", "is a value as Python prints it"),
    "Python's dataclass": ("Alert(body='$AAPL up', key=None)", "has an object with a body in it"),
    "Python's object": ("<__main__.Alert object at 0x7f1d2c>", "is a value as Python prints it"),
    "PowerShell's object": ("@{body=$AAPL up; key=k-1}", "is an object as PowerShell prints it"),
    "PowerShell's dictionary": ("System.Collections.Hashtable", "is an object as PowerShell prints it"),
    "Go's map": ("map[body:$AAPL up]", "is a value as Go prints it"),
    "Java's object": ("com.example.Alert@1b6d3586", "is an object as Java prints it"),
    "Java's bytes": ("[B@1b6d3586", "is an object as Java prints it"),
    "JavaScript's promise": ("Promise { <pending> }", "is a value as JavaScript prints it"),
    "JavaScript's function": ("[Function: body]", "is a value as JavaScript prints it"),
    "names without quotes": ("{body: $AAPL up}", "it is JSON without the quotes around its names"),
    "typographic quotes inside": ("{\u201cbody\u201d: 1}", "it is JSON with typographic quotes"),
    "backslashes": (JSON.replace('"', '\\"'), "it is JSON whose quotes were escaped once too often"),
    "HTML": (JSON.replace('"', "&quot;"), "it is JSON whose quotes were escaped once too often"),
    "HTML, braces too": ("&#123;&quot;body&quot;: 1&#125;", "with its HTML entities resolved, it is a JSON object"),
    "HTML, twice": ("'{&amp;quot;body&amp;quot;: 1}'", "with its HTML entities resolved, it is JSON in quotes"),
    "HTML around nothing": ("&quot;NaN&quot;", "with its HTML entities resolved, it is"),
    "HTML, by numbers": (JSON.replace('"', "&#34;"), "it is JSON whose quotes were escaped once too often"),
    "spaces that do not break": ('{\u00a0"body": "x"}', "cannot be seen: begin it with {"),
    "URL encoding": ("%7B%22body%22%3A%20%22%24AAPL%22%7D", "is URL-encoded"),
    "URL encoding of a text": ("%24AAPL%20up", "is URL-encoded"),
    "a form": ("body=%24AAPL+up&sentiment=bullish", "is a form"),
    "a form, body last": ("sentiment=bullish&body=%24AAPL+up", "is a form"),
    "a request to SQS": ("Action=SendMessage&MessageBody=x", "is a form"),
    "Base64": (base64.b64encode(JSON.encode()).decode(), "is Base64"),
    "Base64 for URLs": (base64.urlsafe_b64encode(in_body("\u00ff~~?>").encode()).decode().rstrip("="), "is Base64"),
    "Base64 in lines": (base64.encodebytes(JSON.encode() * 3).decode(), "is Base64"),
    "Base64 after a mark": (base64.b64encode(f"\ufeff{JSON}".encode()).decode(), "is Base64"),
    "Base64 of UTF-16": (base64.b64encode(JSON.encode("utf-16")).decode(), "is Base64"),
    "Base64 of a text": (base64.b64encode(b"$AAPL crosses 300").decode(), "is Base64"),
    "Base64 of an image": ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ", "is Base64"),
    "data URL": ("data:image/png;base64,iVBORw0KGgoAAAANSUhE", "is a file as a data URL"),
    "Base64 of gzip": ("H4sIAAAAAAAA/6tWSspPqVSyUlBKLC1KV9JR", "is Base64"),
    "UTF-16 of swapped bytes": (JSON.encode("utf-16-be").decode("utf-16-le"), "another character set"),
    "UTF-8 as GBK": (f"\ufeff{JSON}".encode().decode("gbk"), "another character set"),
    "a code fence around a text": ("```\n$AAPL up\n```", "begins with a code fence"),
    "a code fence without an end": (f"```json\n{JSON}", "begins with a code fence"),
    "a code fence around broken JSON": (f"```json\n{JSON[:-1]}\n```", "begins like a JSON object but cannot be read"),
    "a code fence after words": (f"Here it is:\n```json\n{JSON}\n```", "has an object with a body in it"),
    "words in front of JSON": (f"data: {JSON}", "has an object with a body in it"),
    "a question mark in front, once a mark": (f"?{JSON}", "has an object with a body in it"),
    "two objects": (f"{JSON}\n{JSON}", "begins like a JSON object but cannot be read"),
    "a list of alerts": (f"[{JSON}]", "a list: send each of its alerts as a message of its own"),
    "YAML": ("body: $AAPL up\nkey: k-1", "is YAML"),
    "HTML page": ("<html><body>502 Bad Gateway", "is HTML or XML"),
    "XML": ('<?xml version="1.0"?><alert/>', "is HTML or XML"),
}


@pytest.mark.parametrize(("message", "cause"), WRAPPED.values(), ids=WRAPPED)
def test_what_was_wrapped_on_its_way_is_refused_with_the_cause(message: str, cause: str) -> None:
    assert cause in reason(message)


@pytest.mark.parametrize(
    "text",
    [
        JSON,
        f"'{JSON}'",
        f"```\n{JSON}\n```",
        "{'body': 'x'}",
        "b'$AAPL up'",
        '{"text": "x"',
        "body=x&key=y",
        "\ufeff" + JSON,
    ],
)
def test_what_was_wrapped_is_refused_as_the_body_of_an_alert_too(text: str) -> None:
    assert reason(in_body(text)).startswith("body: ")


# EventBridge's templates, and quotations


@pytest.mark.parametrize(
    "template",
    ['"$AAPL up"\n"to 300"', '"$AAPL up"\r\n\r\n"to 300"\n', '"$AAPL up\nto 300"', '"$AAPL \\"up\\""\n"to 300"'],
)
def test_lines_in_quotes_as_eventbridge_writes_them_are_refused(template: str) -> None:
    assert "is in quotes, as EventBridge's input transformer writes text" in reason(template)


@pytest.mark.parametrize(
    "text",
    [
        '"To the moon" says $TSLA\'s CEO',
        '$TSLA\'s CEO: "To the moon"',
        '"Buy" becomes "hold" $TSLA',
        '"Buy"\nsays $TSLA\'s CEO',
        '"Buy", "hold"',
        "'To the moon'",
        "\u201cTo the moon\u201d",
        "\u00abTo the moon\u00bb",
        '"Update: $TSLA" they say',
        '"[Update: $TSLA]" they say',
    ],
)
def test_a_quotation_is_posted_as_it_stands(text: str) -> None:
    assert read(text).body == text


# What nobody filled in

NO_VALUES = ["NaN", "nan", "None", "undefined", "nil", "NULL", "True", "Infinity", "-Infinity", "NaT", "<NA>", "<nil>"]
NO_VALUES += ["(null)", "N/A", "#N/A", "#REF!", "[object Object]", "'undefined'", "\u200bNaN", "NaN\ufe0f"]


@pytest.mark.parametrize("wrap", [str, in_body], ids=["text", "body"])
@pytest.mark.parametrize("text", NO_VALUES)
def test_a_value_that_was_missing_is_refused(text: str, wrap: type[str]) -> None:
    assert any(words in reason(wrap(text)) for words in ("the value was missing", "the placeholder [object Object]"))


@pytest.mark.parametrize("text", ["null", "true", "false"])
def test_a_value_of_json_that_stands_for_nothing_is_no_body_either(text: str) -> None:
    assert "is JSON, but a" in reason(text)
    assert "the value was missing" in reason(in_body(text))


PLACEHOLDERS = [
    ("{{ticker}}", "$AAPL, or {{ticker}}"),
    ("{{ strategy.order.action }}", "{{ strategy.order.action }} $AAPL"),
    ("{{ticker}}", "https://example.com/{{ticker}} $AAPL"),
    ("${price}", "$AAPL crosses ${price}"),
    ("${price}", "$AAPL crosses $${price}"),
    ("{symbol}", "$AAPL, or {symbol}"),
    ("{symbol}", "https://example.com/{symbol} $AAPL"),
    ("{symbol}", "{symbol} crosses 300"),
    ("{ticker}", "#{ticker} crosses 300"),
    ("{0}", "$AAPL crosses {0}"),
    ("{}", "$AAPL crosses {}"),
    ("{price:.2f}", "$AAPL crosses {price:.2f}"),
    ("{:,}", "$AAPL trades {:,}"),
    ("{row['close']}", "$AAPL crosses {row['close']}"),
    ("{alert.symbol}", "up: {alert.symbol}"),
    ("{% if up %}", "$AAPL {% if up %}up"),
    ("<%= ticker %>", "<%= ticker %> crosses 300"),
    ("%s", "$%s crosses 300"),
    ("%.2f", "$AAPL crosses %.2f"),
    ("%(price)s", "$AAPL crosses %(price)s"),
    ("%1$s", "%1$s crosses 300"),
    ("%TICKER%", "%TICKER% crosses 300"),
    ("<ticker>", "$<ticker> crosses 300"),
    ("<stock_symbol>", "<stock_symbol> crosses 300"),
    ("[TICKER]", "$[TICKER] crosses 300"),
    ("[insert link]", "$AAPL [insert link]"),
    ("[object Object]", "$AAPL crosses [object Object]"),
    ("$undefined", "$undefined crosses 300"),
    ("$NaN", "$AAPL crosses $NaN."),
    ("NaN%", "$AAPL up NaN%"),
    ("nan%", "$AAPL up nan%"),
    ("<ticker>", "&lt;ticker&gt; crosses 300"),
    ("%!d(", "$AAPL crosses %!d(string=300)"),
]


@pytest.mark.parametrize(("placeholder", "text"), PLACEHOLDERS)
def test_a_placeholder_that_nobody_replaced_is_refused(placeholder: str, text: str) -> None:
    assert f"has the placeholder {placeholder}, which nobody replaced" in reason(text)
    assert f"has the placeholder {placeholder}, which nobody replaced" in reason(in_body(f"- {text}"))


def test_a_placeholder_in_the_place_of_a_value_is_named() -> None:
    assert "it has the placeholder {{id}}" in reason('{"body": "x", "in_reply_to_message_id": {{id}}}')


@pytest.mark.parametrize(
    "key", ["undefined", "None", "NaN", "breakout-{{ticker}}", "breakout-${ticker}", "high-{symbol}"]
)
def test_a_key_that_all_alerts_would_share_by_mistake_is_refused(key: str) -> None:
    assert reason(json.dumps({"body": "x", "key": key})).startswith("key: ")


def test_a_placeholder_in_the_address_of_a_chart_is_refused() -> None:
    assert "chart: has the placeholder {{ticker}}" in reason(
        json.dumps({"body": "x", "chart": "https://example.com/{{ticker}}.png"})
    )


@pytest.mark.parametrize(
    "text",
    [
        "None of them expected this $AAPL",
        "null and void: the $AAPL merger",
        "True story $AAPL",
        "$TRUE and $NULL",
        "$nan up",  # Nuveen's fund NAN, in lower case
        "$AAPL {x}",
        "$AAPL {support: 140}",
        "[BREAKING] $AAPL",
        "P/E {25} $AAPL",
        "&quot;To the moon&quot; says $TSLA's CEO",
        "&lt;b&gt; $AAPL",
        "[PRICE ALERT] $AAPL",
        "$AAPL up 5%drop later, 100%25, 5%s",
        "%24 up, %22 of $AAPL",
        "$AAPL <3",
        "$AAPL < 300 > 200",
        "a <b> c",
        "see <https://example.com/a_b>",
        "__$AAPL__ and *$MSFT*",
        "~~~ $AAPL ~~~",
        "https://example.com/%E2%82%AC%20s?a=%s $AAPL",
        "https://quickchart.io/chart?c={type:'bar',data:{labels:['a'],datasets:[{data:[1]}]},options:{}} $AAPL",
        "EPS $(0.05) $AAPL",
        "Breakouts",
        "antidisestablishmentarianism",
        "body count: 5 $AAPL",
        "key: 300\nchart: up $AAPL",
        "map of the day $AAPL",
        "System failure $AAPL",
        "me@example.com $AAPL",
        "b'day $AAPL",
    ],
)
def test_what_people_write_is_posted(text: str) -> None:
    assert read(text).body == text


# What shows nothing

INVISIBLE = {
    "zero-width": "\u200b\u200c\u200d\u2060\ufeff\u2060",
    "directions": "\u200e\u202e\u2066",
    "variation selectors": "\u200b\ufe0f\U000e0100",
    "combining marks": "\u200b\u0301\u034f",
    "soft hyphen": "\u00ad",
    "Braille blank": "\u2800",
    "Hangul fillers": "\u3164\u115f\u1160\uffa0",
    "tags": "\U000e0041",
    "replacement characters": "\ufffd\ufffc",
    "entities": "&nbsp;&#8203; &zwj;",
    "entities of entities": "&amp;nbsp;",
}


@pytest.mark.parametrize("wrap", [str, in_body], ids=["text", "body"])
@pytest.mark.parametrize("text", INVISIBLE.values(), ids=INVISIBLE)
def test_a_text_without_a_visible_character_is_refused(text: str, wrap: type[str]) -> None:
    assert reason(wrap(text)) == "body: has no character that can be seen"


@pytest.mark.parametrize("text", ["\U0001f680", "e\u0301", "\u2800x", ".", "\u20bf", "\u05d0", "\ue000", "\U0001fae9"])
def test_one_visible_character_is_enough(text: str) -> None:
    assert read(text).body == text


def test_every_space_of_unicode_is_empty_or_invisible() -> None:
    spaces = [character for character in map(chr, range(0x20, 0x11000)) if category(character)[0] == "Z"]
    assert len(spaces) > 15
    assert {reason(space) for space in spaces} == {"the message is empty"}


# What other programs send

OBJECTS = {
    "the SQS extended client's pointer": (
        ["software.amazon.payloadoffloading.PayloadS3Pointer", {"s3BucketName": "b", "s3Key": "k"}],
        "a pointer to a message in S3",
    ),
    "the older one": (
        ["com.amazon.sqs.javamessaging.MessageS3Pointer", {"s3BucketName": "b", "s3Key": "k"}],
        "a pointer to a message in S3",
    ),
    "the one of .NET": ({"S3BucketName": "b", "S3Key": "k"}, "a pointer to a message in S3"),
    "S3's test event": (
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "t", "Bucket": "b", "RequestId": "r", "HostId": "h"},
        "the test event of S3",
    ),
    "S3's event": ({"Records": [{"eventVersion": "2.1", "eventSource": "aws:s3"}]}, "an event of S3 about objects"),
    "S3's event by EventBridge": (
        {"detail-type": "Object Created", "source": "aws.s3", "detail": {"bucket": {"name": "b"}, "object": {}}},
        "S3's event about an object",
    ),
    "Lambda's event of SQS": ({"Records": [{"messageId": "m", "body": "x"}]}, "an event of aws:sqs, passed on whole"),
    "Lambda's event of SNS": ({"Records": [{"EventSource": "aws:sns", "Sns": {}}]}, "an event of aws:sns"),
    "Lambda's event of a table": ({"Records": [{"eventSource": "aws:dynamodb"}]}, "an event of aws:dynamodb"),
    "one record": ({"messageId": "m", "receiptHandle": "r", "body": "x"}, "a record of a Lambda event"),
    "what SQS returns": ({"MessageId": "m", "ReceiptHandle": "r", "Body": "x"}, "a message as SQS returns it"),
    "all that SQS returns": ({"Messages": [{"Body": "x"}]}, "an answer of SQS"),
    "a request to SQS": ({"QueueUrl": "q", "MessageBody": "x"}, "a request to SQS"),
    "an entry for EventBridge": ({"Source": "s", "DetailType": "t", "Detail": "{}"}, "an entry for EventBridge"),
    "a CloudWatch alarm": ({"AlarmName": "a", "NewStateValue": "ALARM"}, "a CloudWatch alarm"),
    "a CloudWatch alarm by EventBridge": (
        {"detail-type": "t", "source": "aws.cloudwatch", "detail": {"alarmName": "a", "state": {}}},
        "a CloudWatch alarm",
    ),
    "CloudWatch Logs": ({"awslogs": {"data": "H4sI"}}, "a subscription of CloudWatch Logs"),
    "an HTTP request": ({"requestContext": {}, "headers": {}, "body": "x"}, "an HTTP request"),
    "an HTTP answer": ({"statusCode": 200, "body": "x"}, "an HTTP answer"),
    "SNS's message structure": ({"default": "x", "sqs": "y"}, "MessageStructure=json"),
    "another program's": ({"text": "x"}, "unknown field `text`"),
    "none that is known": ({"Records": []}, "unknown field `Records`"),
}


@pytest.mark.parametrize(("content", "cause"), OBJECTS.values(), ids=OBJECTS)
def test_json_of_another_program_is_refused_by_what_it_is(content: object, cause: str) -> None:
    assert cause in reason(json.dumps(content))


def test_what_a_reason_takes_from_another_program_is_cut_short_and_printable() -> None:
    quoting = reason(json.dumps({"Records": [{"eventSource": "\0\n" * 1000}]}))
    assert len(quoting) < 300
    assert quoting.isprintable()
