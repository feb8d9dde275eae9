"""`qcore health`: ask a worker for its health, where there is no curl."""

import click

from qcore.entrypoints.cli.errors import Unwell, Wrong
from qcore.entrypoints.cli.settings import ConfiguredCommand
from qcore.entrypoints.health.ask import ask

DEFAULT_HOST = "127.0.0.1"
LONGEST = 5.0


@click.command(cls=ConfiguredCommand)
@click.option(
    "--health-port", type=click.IntRange(1, 65_535), metavar="PORT", help="Of the worker."
)
@click.option(
    "--health-host",
    default=DEFAULT_HOST,
    show_default=True,
    metavar="ADDRESS",
    help="Of the worker.",
)
@click.option(
    "--live",
    is_flag=True,
    allow_from_autoenv=False,
    help="Ask whether it lives, rather than whether it can claim.",
)
@click.option(
    "--timeout",
    allow_from_autoenv=False,
    type=click.FloatRange(0.001, 3_600),
    default=LONGEST,
    show_default=True,
    metavar="SECONDS",
    help="For it to answer.",
)
def health(health_port: int | None, health_host: str, timeout: float, *, live: bool) -> None:
    """Ask the worker that was started with --health-port whether it can claim tasks.

    Prints its answer, one line. Exits with 1 if it cannot, or does not answer.
    """
    if health_port is None:
        raise Wrong("--health-port is missing: expected the one that the worker was started with")
    answer = ask(health_host, health_port, "/live" if live else "/ready", timeout)
    if not answer.is_well:
        raise Unwell(answer.text)
    click.echo(answer.text)
