"""``relay``: its commands and the options in front of them."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError

from relay_cli.context import Context
from relay_cli.failure import Failure, of_aws

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Set up, see and steer StockTwits Relay.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    context: typer.Context,
    stack_name: Annotated[
        str | None, typer.Option(envvar="RELAY_STACK", help="The stack; else samconfig.toml's, or stocktwits-relay.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="The AWS region; else your profile's.")] = None,
    profile: Annotated[str | None, typer.Option(help="The AWS profile.")] = None,
) -> None:
    """Set up, see and steer StockTwits Relay."""
    context.obj = Context(stack_name, region, profile)


def main() -> None:
    """Run a command; an expected failure is two lines at most, and an exit code that means something."""
    try:
        app()
    except Failure as failure:
        _stop(failure)
    except (ClientError, BotoCoreError) as error:
        _stop(of_aws(error))
    except BrokenPipeError:  # whoever read has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)


def _stop(failure: Failure) -> None:
    print(f"relay: {failure.reason}", file=sys.stderr)
    sys.exit(failure.code)
