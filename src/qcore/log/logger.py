"""`get_logger`: a logger whose lines go where the application's configuration sends its own.

That is structlog's configuration where there is one, else handlers of the standard library's
`logging`, else structlog as it comes. It is asked for each line, as a program may configure its log
after qcore was imported.

On a console tracebacks have no variables: structlog as it comes prints those of each frame where
rich is installed, which are the arguments of the task, and whatever secrets its handler holds.
"""

import logging
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


def get_logger(name: str = "qcore") -> FilteringBoundLogger:
    """Return a logger of a name, which structlog's loggers and those of `logging` have alike."""
    made: FilteringBoundLogger = structlog.wrap_logger(
        None, processors=[partial(_process, name)], logger_factory_args=(name,)
    )
    return made


def is_enabled(log: FilteringBoundLogger, level: int) -> bool:
    """Return whether a logger logs a level; True if it cannot say (structlog before 25.1)."""
    # of the class, as some of structlog's loggers have a method of any name, which logs
    return not hasattr(type(log), "is_enabled_for") or log.is_enabled_for(level)


def is_shown(level: int, name: str = "qcore") -> bool:
    """Return whether the application has said that lines of a level are to be shown."""
    if structlog.is_configured():
        return is_enabled(get_logger(name).bind(), level)
    return has_handlers(name) and logging.getLogger(name).isEnabledFor(level)


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
