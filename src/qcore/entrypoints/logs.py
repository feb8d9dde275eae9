"""How a command logs: for people on a terminal, for machines elsewhere."""

import sys
from typing import Any, Final, TextIO, cast

import structlog

from qcore.entrypoints.streams import LossyStream

LEVELS: Final = ("debug", "info", "warning", "error")


def configure(level: str) -> bool:
    """Send the log to standard error, unless structlog is configured already; return whether so."""
    if structlog.is_configured():
        return False
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            *(_for_people() if is_terminal() else _for_machines()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", LossyStream(sys.stderr))),
    )
    return True


def is_terminal() -> bool:
    """Return whether somebody reads along."""
    return sys.stderr.isatty()


def _for_people() -> list[Any]:
    return [
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        # the prettier ones show the variables of each frame, and so what tasks carry
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]


def _for_machines() -> list[Any]:
    return [
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
