"""How long the first invocation takes, beside a function built by the usual recipe."""

import re
import subprocess
import sys
import time
from collections import Counter
from statistics import median

from benchmarks.ground import ALL_DONE, Ground, Side, an_event, check, interleaved
from benchmarks.report import Bar, Section, Table, milliseconds
from local.rie import BARE_PYTHON

ROUNDS = 13
OF_USUAL = 0.5
OF_USUAL_COMPILED = 0.75
IMPORT_ROUNDS = 5
IMPORT_ROWS = 8

_HOW = f"""\
The time from starting the container's process to the answer of its first event: Python, imports, clients, and one
alert checked, claimed, posted (the stand-in answers at once) and settled. Medians of {ROUNDS} rounds, after one that
does not count.

The other side is [the usual recipe](../benchmarks/usual_recipe/function/app.py): Powertools' Logger, Metrics, Tracer,
BatchProcessor and parameters, three boto3 clients made at import, requests and pydantic, with the same versions of
whatever both use. It does the same work (check, token from SSM, conditional claim, post, settle) and is built by plain
`sam build`, which leaves Python without its bytecode; Lambda's file system is read-only, so it stays that way. The
third row is the same function with its bytecode. The runtime gives the tracer no trace to add to, so it drops its
segments, which spares the usual recipe the sending."""

_IMPORTS = """\
Where the relay's imports spend their time (`python -X importtime`, each module's own share):"""


def measure(ground: Ground) -> Section:
    """Measure it."""
    ground.stocktwits.configure(latency_seconds=0.0)
    ours, usual, compiled, empty = sides = (
        ground.relay(),
        ground.usual_recipe(compiled=False),
        ground.usual_recipe(compiled=True),
        ground.empty(),
    )
    times: dict[str, list[float]] = {side.name: [] for side in sides}
    for number, side in interleaved(sides, ROUNDS + 1):
        seconds = _first_invocation(ground, side, posts=side is not empty)
        if number:
            times[side.name].append(seconds)
            print(f"  cold start {number:>2}/{ROUNDS}  {side.name:<28}{milliseconds(seconds):>6} ms", flush=True)
    check(not list(ground.builds.usual.rglob("*.pyc")), "bytecode appeared in the usual recipe while it ran")

    medians = {name: median(values) for name, values in times.items()}
    rows = [
        [name, f"{middle / medians[usual.name]:.2f}", milliseconds(middle), milliseconds(min(times[name]))]
        for name, middle in medians.items()
    ]
    imports = [[name, f"{share:.0%}"] for name, share in _imports(ours).most_common(IMPORT_ROWS)]
    return Section(
        "Cold start",
        _HOW,
        [Table(["First invocation of", "of the usual recipe", "median ms", "fastest ms"], rows)],
        [
            Bar("Cold start, of the usual recipe's", OF_USUAL, medians[ours.name] / medians[usual.name]),
            Bar(
                "Cold start, of the usual recipe's with its bytecode",
                OF_USUAL_COMPILED,
                medians[ours.name] / medians[compiled.name],
            ),
        ],
        [_IMPORTS, Table(["Library", "share"], imports).markdown()],
    )


def _first_invocation(ground: Ground, side: Side, *, posts: bool) -> float:
    ground.stocktwits.reset()
    event, container = an_event(1), side.container()
    start = time.perf_counter()
    with container:
        answer = container.invoke(event)
        seconds = time.perf_counter() - start
        check(answer == ALL_DONE, f"{side.name} answered {answer}:\n{container.log}")
    check(len(ground.stocktwits.posts) == posts, f"{side.name} made {len(ground.stocktwits.posts)} posts")
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
