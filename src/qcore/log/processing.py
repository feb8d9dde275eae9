"""Process a line as structlog is configured to, or pass it to the handlers of `logging`."""

import sys
from functools import partial
from typing import Any, TypeAlias

import structlog
from structlog.dev import ConsoleRenderer
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from qcore.domain.text import traceback_of
from qcore.log.stdlib import has_handlers, write

Rendered: TypeAlias = Any
"""What a chain of processors ends with: a text, or the arguments of the logger's method."""


def make_logger(name: str) -> FilteringBoundLogger:
    """Return a logger that looks for the configuration at each line."""
    made: FilteringBoundLogger = structlog.wrap_logger(
        None, processors=[partial(_process, name)], logger_factory_args=(name,)
    )
    return made


def _process(name: str, logger: WrappedLogger, method: str, event: EventDict) -> Rendered:
    """Run the configured processors, on a console with tracebacks as text."""
    if not structlog.is_configured() and has_handlers(name):
        write(name, method, structlog.contextvars.merge_contextvars(logger, method, event))
        raise structlog.DropEvent
    processors = structlog.get_config()["processors"]
    if any(isinstance(each, ConsoleRenderer) for each in processors):
        _render_traceback(method, event)
    rendered: Any = event
    for process in processors:
        rendered = process(logger, method, rendered)
    return rendered


def _render_traceback(method: str, event: EventDict) -> None:
    error = error_of(event.pop("exc_info", method == "exception"))
    if error is not None:
        event["stack"] = traceback_of(error)
    if method == "exception":
        # one of the default processors would ask for it again
        event["exc_info"] = False


def error_of(given: Any) -> BaseException | None:
    """Return the error meant: itself, in what sys.exc_info returns, or the one being handled."""
    match given:
        case BaseException():
            return given
        case (_, BaseException() as error, _):
            return error
        case _:
            return sys.exception() if given else None
