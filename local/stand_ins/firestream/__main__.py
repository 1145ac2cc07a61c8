"""`python -m local.stand_ins.firestream`: run a stand-in for Firestream's backups in the foreground."""

import argparse
import signal
from datetime import date

from local.stand_ins.firestream.server import FirestreamStandIn


def main(arguments: list[str] | None = None) -> None:
    """Run until SIGTERM or SIGINT."""
    own = FirestreamStandIn
    parser = argparse.ArgumentParser(
        prog="python -m local.stand_ins.firestream", description="A stand-in for Firestream's backups on loopback."
    )
    parser.add_argument("--port", type=int, default=4020, help="of the API; 0 picks a free one (default: %(default)s)")
    parser.add_argument("--link-port", type=int, default=4021, help="of the links (default: %(default)s)")
    parser.add_argument("--username", default=own.username, help="the login (default: %(default)s)")
    parser.add_argument("--password", default=own.password, help="its password (default: %(default)s)")
    parser.add_argument("--link-seconds", type=float, default=own.link_seconds, help="how long a link is valid")
    parser.add_argument("--first-day", type=date.fromisoformat, default=own.first_day, help="(default: %(default)s)")
    parser.add_argument("--last-day", type=date.fromisoformat, help="(default: --lag-days before today)")
    parser.add_argument(
        "--lag-days", type=int, default=own.lag_days, help="the age of the newest backup (default: %(default)s)"
    )
    parser.add_argument("--missing", type=date.fromisoformat, nargs="*", default=[], help="days without backups")
    parser.add_argument("--messages-per-day", type=int, default=own.messages_per_day, help="(default: %(default)s)")
    parser.add_argument("--activities-per-day", type=int, default=own.activities_per_day, help="(default: %(default)s)")
    parser.add_argument("--contrary", type=int, metavar="SEED", help="behave in undocumented ways, drawn by this seed")
    parser.add_argument("--contrary-share", type=float, default=own.contrary_share, help="(default: %(default)s)")
    options = vars(parser.parse_args(arguments))

    # Blocked before the first thread starts, so that only `sigwait` receives the signals.
    stops = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    with FirestreamStandIn(**options) as stand_in:
        print(f"Firestream stand-in: {stand_in.url}, its links: {stand_in.link_url}", flush=True)
        signal.sigwait(stops)


if __name__ == "__main__":
    main()
