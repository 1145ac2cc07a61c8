"""Measure the first invocation, compared with a function built by the usual recipe."""

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from http import HTTPStatus
from statistics import median

from local.stack.lambda_runtime import BARE_PYTHON
from verification.benchmarks.fixtures import (
    ALL_DONE,
    Fixtures,
    Side,
    a_post,
    a_request,
    an_alarm,
    an_event,
    check,
    interleaved,
)
from verification.benchmarks.report import Section, Table, Target, milliseconds

ROUNDS = 13
OF_USUAL = 0.5
OF_USUAL_COMPILED = 0.75
NOTICES_OF_POSTING = 1.0
"""Notices load no more than posting does."""

IMPORT_ROUNDS = 5
IMPORT_ROWS = 8
_DAY = date(2016, 12, 5)

_HOW = f"""\
The time from the start of the runtime's process to the answer to its first event: Python, imports, clients, and one
alert that is checked, claimed, posted (the stand-in answers at once) and settled. Medians of {ROUNDS} rounds, after one
that does not count.

The other side is [the usual recipe](../verification/benchmarks/usual_recipe/posting/app.py): Powertools' Logger,
Metrics, Tracer, BatchProcessor and parameters, three boto3 clients created at import, requests and pydantic, with
the same versions of shared libraries. It does the same work (check, token from SSM, conditional claim, post, settle)
and is built by plain `sam build`, which does not compile Python, and Lambda's file system is read-only. The third row
is the same function, compiled. The tracer gets no trace from the runtime, so it sends no segments, which favours the
usual recipe."""

_IMPORTS = """\
How the time of the relay's imports is distributed (`python -X importtime`, each module's own share):"""


_HOW_BACKUPS = f"""\
The same for `fetch_backups`. The first event is a request for one small backup: the relay lists, reads the login from
SSM, follows the link, verifies, and stores by a multipart upload with tags. [The usual
recipe](../verification/benchmarks/usual_recipe/backups/app.py) has Powertools' Logger, Metrics, Tracer and parameters,
one boto3 client created at import, and requests. It downloads to a file and uploads that, without verification. Medians
of {ROUNDS} rounds."""


_HOW_WEBHOOK = f"""\
The same for `receive_alerts`. The first event is a request of API Gateway with one alert in JSON: the sources are read
from SSM, the secret is compared, the alert is checked and sent to the Outbox. [The usual
recipe](../verification/benchmarks/usual_recipe/receiving/app.py) has Powertools' APIGatewayHttpResolver, Logger,
Metrics, Tracer and parameters, one boto3 client created at import, and pydantic. Medians of {ROUNDS} rounds."""


_HOW_NOTICES = f"""\
The same for `send_notices`, compared with the functions above. The first event is an alarm: its notice is written, the
address is read from SSM, and the notice is sent to a chat service on loopback. That goes over HTTPS alone, so this
function's time has a TLS context with the machine's authorities and a handshake in it, and the others' have not.
Medians of {ROUNDS} rounds."""


def measure(fixtures: Fixtures) -> Section:
    """Measure posting."""
    fixtures.stocktwits.configure(latency_seconds=0.0)

    def first_invocation(side: Side) -> float:
        fixtures.stocktwits.reset()
        seconds = _first_invocation(side, an_event(1))
        posts = len(fixtures.stocktwits.posts)
        check(posts == (side.layer is not None), f"{side.name} made {posts} posts")
        return seconds

    usual = [fixtures.usual_recipe(compiled=compiled) for compiled in (False, True)]
    return _section("Cold start", _HOW, [fixtures.relay(), *usual, fixtures.empty()], first_invocation)


def measure_backups(fixtures: Fixtures) -> Section:
    """Measure fetching backups."""
    event, path = a_request("message", _DAY), f"message/{_DAY:%Y/%m/%d}"
    content = fixtures.firestream.content("message", _DAY)
    key = f"{path}/stocktwits_message_{_DAY:%Y_%m_%d}.gz"

    def first_invocation(side: Side) -> float:
        seconds = _first_invocation(side, event)
        check(not side.bucket or fixtures.stored(side, key) == content, f"{side.name} did not store {key}")
        return seconds

    usual = [fixtures.usual_backups(compiled=compiled) for compiled in (False, True)]
    return _section(
        "Cold start of backups", _HOW_BACKUPS, [fixtures.relay_backups(), *usual, fixtures.empty()], first_invocation
    )


def measure_webhook(fixtures: Fixtures) -> Section:
    """Measure receiving an alert by the webhook."""

    def first_invocation(side: Side) -> float:
        seconds = _first_invocation(side, a_post(), is_taken if side.layer else _is_done)
        received = fixtures.received()
        check(received == (side.layer is not None), f"{side.name} put {received} alerts into the Outbox")
        return seconds

    usual = [fixtures.usual_webhook(compiled=compiled) for compiled in (False, True)]
    return _section(
        "Cold start of the webhook",
        _HOW_WEBHOOK,
        [fixtures.relay_webhook(), *usual, fixtures.empty()],
        first_invocation,
    )


def measure_notices(fixtures: Fixtures) -> Section:
    """Measure sending a notice, beside the other functions of the relay."""
    fixtures.stocktwits.configure(latency_seconds=0.0)
    title = "Cold start of notices"
    firsts = {
        "notices": (fixtures.relay_notices(), an_alarm, _is_sent),
        "posting": (fixtures.relay(), lambda: an_event(1), _is_done),
        "the webhook": (fixtures.relay_webhook(), a_post, is_taken),
        "backups": (fixtures.relay_backups(), lambda: a_request("message", _DAY), _is_done),
        "an empty function": (fixtures.empty(), lambda: an_event(1), _is_done),
    }

    def first_invocation(name: str) -> float:
        side, event, is_expected = firsts[name]
        sent = fixtures.chat.notices
        seconds = _first_invocation(side, event(), is_expected)
        check(
            fixtures.chat.notices - sent == (name == "notices"), f"{name} sent {fixtures.chat.notices - sent} notices"
        )
        return seconds

    times = _times(title, list(firsts), first_invocation)
    ratio = median(times["notices"]) / median(times["posting"])
    table = Table(["First invocation of", "of posting's", "median ms", "fastest ms"], _rows(times, "posting"))
    return Section(title, _HOW_NOTICES, [table], [Target(f"{title}, of posting's", NOTICES_OF_POSTING, ratio)])


def is_taken(answer: object) -> bool:
    """Return whether a webhook's answer says that the alert is in the Outbox."""
    return isinstance(answer, dict) and answer.get("statusCode") == HTTPStatus.ACCEPTED


def _is_done(answer: object) -> bool:
    return answer == ALL_DONE


def _is_sent(answer: object) -> bool:
    return answer == {"sent": 1}


def _times(title: str, names: Sequence[str], first_invocation: Callable[[str], float]) -> dict[str, list[float]]:
    """Measure each of them in turn; return the seconds of each."""
    times: dict[str, list[float]] = {name: [] for name in names}
    for number, name in interleaved(names, ROUNDS + 1):
        seconds = first_invocation(name)
        if number:
            times[name].append(seconds)
            print(f"  {title.lower()} {number:>2}/{ROUNDS}  {name:<28}{milliseconds(seconds):>6} ms", flush=True)
    return times


def _section(title: str, how: str, sides: Sequence[Side], first_invocation: Callable[[Side], float]) -> Section:
    """Measure the relay, the usual recipe, the same compiled, and an empty function, in this order."""
    by_name = {side.name: side for side in sides}
    times = _times(title, list(by_name), lambda name: first_invocation(by_name[name]))
    ours, usual, compiled, _ = sides
    check(not list(usual.function.parent.rglob("*.pyc")), "the usual recipe was compiled while it ran")

    medians = {name: median(values) for name, values in times.items()}
    imports = [[name, f"{share:.0%}"] for name, share in _imports(ours).most_common(IMPORT_ROWS)]
    return Section(
        title,
        how,
        [Table(["First invocation of", "of the usual recipe", "median ms", "fastest ms"], _rows(times, usual.name))],
        [
            Target(f"{title}, of the usual recipe's", OF_USUAL, medians[ours.name] / medians[usual.name]),
            Target(
                f"{title}, of the usual recipe's with its bytecode",
                OF_USUAL_COMPILED,
                medians[ours.name] / medians[compiled.name],
            ),
        ],
        [_IMPORTS, Table(["Library", "share"], imports).markdown()],
    )


def _rows(times: Mapping[str, Sequence[float]], base: str) -> list[list[str]]:
    whole = median(times[base])
    return [
        [name, f"{median(each) / whole:.2f}", milliseconds(median(each)), milliseconds(min(each))]
        for name, each in times.items()
    ]


def _first_invocation(side: Side, event: object, is_expected: Callable[[object], bool] = _is_done) -> float:
    container = side.container()
    start = time.perf_counter()
    with container:
        answer = container.invoke(event)
        seconds = time.perf_counter() - start
        check(is_expected(answer), f"{side.name} answered {answer}:\n{container.log}")
    return seconds


def _imports(side: Side) -> "Counter[str]":
    """Return each library's share of the time that importing the function takes, as a fraction."""
    layer = f"{side.layer}/python"
    command = [str(BARE_PYTHON), "-X", "importtime", "-c", "import app"]
    environment = {"PYTHONPATH": f"{side.function}:{layer}", "PYTHONDONTWRITEBYTECODE": "1"}
    spent: Counter[str] = Counter()
    for _ in range(IMPORT_ROUNDS):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        for own, name in re.findall(r"^import time: +(\d+) \| +\d+ \| +([\w.]+)", done.stderr, re.MULTILINE):
            spent[_library(name)] += int(own)
    whole = spent.total()
    return Counter({name: own / whole for name, own in spent.items()})


def _library(module: str) -> str:
    root = module.partition(".")[0]
    return "Python's own" if root in sys.stdlib_module_names else root
