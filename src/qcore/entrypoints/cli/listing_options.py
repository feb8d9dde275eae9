"""Options of commands that list: how much, after what, and of which queue."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from qcore.domain.new_task import DEFAULT_QUEUE
from qcore.entrypoints.cli.asking import AT_LEAST_ONE
from qcore.entrypoints.cli.completion_values import queue_name

C = TypeVar("C", bound=Callable[..., Any] | click.Command)


def limit_option(default: int, text: str = "List so many, at most.") -> Callable[[C], C]:
    """Return what adds the option --limit."""
    return _bound("--limit", default, text)


def look_option(default: int, text: str) -> Callable[[C], C]:
    """Return what adds the option --look."""
    return _bound("--look", default, text)


def cursor_option(command: C) -> C:
    """Add the option --cursor."""
    return click.option("--cursor", help="Go on where a page has ended.")(command)


def queue_option(text: str) -> Callable[[C], C]:
    """Return what adds the option --queue of commands that need one."""
    return click.option(
        "--queue",
        default=DEFAULT_QUEUE,
        show_default=True,
        metavar="NAME",
        help=text,
        shell_complete=queue_name,
    )


def _bound(flag: str, default: int, text: str) -> Callable[[C], C]:
    return click.option(
        flag, type=AT_LEAST_ONE, default=default, show_default=True, metavar="N", help=text
    )
