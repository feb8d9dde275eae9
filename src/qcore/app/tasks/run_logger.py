"""`run_logger`: the logger of `ctx.log`, whose tracebacks on a console have no variables.

structlog without configuration prints the variables of each frame where rich is installed: the
arguments of the task, and whatever secrets its handler holds.
"""

import sys
from typing import Any, TypeAlias

import structlog
from structlog.dev import ConsoleRenderer
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from qcore.domain.text import traceback_of

Rendered: TypeAlias = Any
"""What a chain of processors ends with: a text, or the arguments of the logger's method."""


def run_logger() -> FilteringBoundLogger:
    """Return a logger that goes by what structlog is configured to do when it is used."""
    made: FilteringBoundLogger = structlog.wrap_logger(
        None, processors=[_process], logger_factory_args=("qcore.task",)
    )
    return made


def _process(logger: WrappedLogger, method: str, event: EventDict) -> Rendered:
    """Run the configured processors, on a console with tracebacks as text."""
    processors = structlog.get_config()["processors"]
    if any(isinstance(each, ConsoleRenderer) for each in processors):
        _render_traceback(method, event)
    rendered: Any = event
    for process in processors:
        rendered = process(logger, method, rendered)
    return rendered


def _render_traceback(method: str, event: EventDict) -> None:
    error = _error_of(event.pop("exc_info", method == "exception"))
    if error is not None:
        event["stack"] = traceback_of(error)
    if method == "exception":
        # one of the default processors would ask for it again
        event["exc_info"] = False


def _error_of(given: Any) -> BaseException | None:
    """Return the error meant: itself, in what sys.exc_info returns, or the one being handled."""
    match given:
        case BaseException():
            return given
        case (_, BaseException() as error, _):
            return error
        case _:
            return sys.exception() if given else None
