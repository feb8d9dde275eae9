"""Options of `qcore worker` for the processes that it is made of."""

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import attrs
import click

from qcore.entrypoints.health.vital_signs import HUNG
from qcore.entrypoints.process_options import ProcessOptions

C = TypeVar("C", bound=Callable[..., Any] | click.Command)

OPTIONS: Final = (
    click.option(
        "--workers",
        type=int,
        metavar="N",
        help="Worker processes, below a supervisor. [default: this process alone, without one]",
    ),
    click.option(
        "--reload",
        is_flag=True,
        help="Replace workers when a Python file in the working folder changes.",
    ),
    click.option(
        "--max-memory",
        type=int,
        metavar="MB",
        help="Leave when so much memory is used; below a supervisor, be replaced.",
    ),
    click.option(
        "--hang-timeout",
        type=float,
        default=HUNG,
        show_default=True,
        metavar="SECONDS",
        help="Below a supervisor, be killed and replaced when the event loop hangs; 0: never.",
    ),
    click.option(
        "--health-port",
        type=click.IntRange(0, 65_535),
        metavar="PORT",
        help="Answer /live and /ready over HTTP; 0 for any port that is free.",
    ),
    click.option(
        "--health-host",
        default="127.0.0.1",
        show_default=True,
        metavar="ADDRESS",
        help="Where to answer them: 0.0.0.0 for everybody.",
    ),
    click.option(
        "--metrics-port",
        type=click.IntRange(0, 65_535),
        metavar="PORT",
        help="Serve metrics for Prometheus; 0 for any port that is free.",
    ),
    click.option(
        "--metrics-host",
        default="127.0.0.1",
        show_default=True,
        metavar="ADDRESS",
        help="Where to serve them: 0.0.0.0 for everybody.",
    ),
    click.option(
        "--metrics-push",
        metavar="URL",
        help="Push metrics to a Pushgateway every 15 s, and at the end.",
    ),
)
LAST_VERDICTS: Final = 10.0
"""Seconds, beyond its grace and the lease for which it repeats its last verdicts, that a worker has
to leave before it is killed."""


def process_options(command: C) -> C:
    """Add the options to a command."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def taken_from(settings: dict[str, Any]) -> ProcessOptions:
    """Return what a command was given of these options, taken out of all that it was given.

    `max_tasks` and `burst`, which concern the worker too, stay. Raises `InvalidOption`.
    """
    shared = {"max_tasks", "burst"}
    own = attrs.fields_dict(cast("type[attrs.AttrsInstance]", ProcessOptions)).keys() & settings
    given = {name: settings[name] if name in shared else settings.pop(name) for name in own}
    leave_timeout = settings["grace"] + settings["lease"] + LAST_VERDICTS
    return ProcessOptions(**given, leave_timeout=leave_timeout)
