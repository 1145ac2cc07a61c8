"""`python -m local.stand_ins.stocktwits`: run a stand-in for StockTwits in the foreground."""

import argparse
import signal

from local.stand_ins.stocktwits.server import StandIn


def main(arguments: list[str] | None = None) -> None:
    """Run until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(
        prog="python -m local.stand_ins.stocktwits", description="A stand-in for StockTwits on loopback."
    )
    parser.add_argument("--port", type=int, default=4010, help="0 picks a free one (default: %(default)s)")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="how long each answer takes")
    parser.add_argument("--rate-limit", type=int, help="requests an hour (default: no limit)")
    parser.add_argument("--near-identical", action="store_true", help="texts that differ only in cashtags are refused")
    parser.add_argument("--contrary", type=int, metavar="SEED", help="behave in undocumented ways, drawn by this seed")
    parser.add_argument("--contrary-share", type=float, default=StandIn.contrary_share, help="(default: %(default)s)")
    parser.add_argument("--access-token", default=StandIn.access_token, help="the token (default: %(default)s)")
    parser.add_argument("--username", default=StandIn.username, help="the account (default: %(default)s)")
    parser.add_argument("--user-id", type=int, default=StandIn.user_id, help="its id (default: %(default)s)")
    options = vars(parser.parse_args(arguments))
    options["latency_seconds"] = options.pop("latency_ms") / 1000

    # Blocked before the first thread starts, so that only `sigwait` receives the signals.
    stops = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    with StandIn(**options) as stand_in:
        print(f"StockTwits stand-in: {stand_in.url}", flush=True)
        signal.sigwait(stops)


if __name__ == "__main__":
    main()
