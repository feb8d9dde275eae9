"""How a command logs: for people on a terminal, for machines elsewhere.

There are two logs to be shown: structlog's, in which qcore's own lines and those of `ctx.log` are,
and that of the standard library's `logging`, to which most libraries write. An application may have
configured either, both or none. What it has configured is left alone. Where it has configured
`logging` alone, qcore's lines go there too: see `qcore.log.logger`.
"""

import logging
import os
import sys
from typing import Final, TextIO, cast

import structlog
from structlog.stdlib import ExtraAdder, ProcessorFormatter
from structlog.typing import Processor

from qcore.domain.record import record
from qcore.entrypoints.streams import LossyStream
from qcore.log.stdlib import has_handlers

LEVELS: Final = ("debug", "info", "warning", "error")


@record
class Logs:
    """The logs that a command has configured, as nobody had before; picklable, for its children."""

    level: str
    structlog: bool
    stdlib: bool

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return self.structlog or self.stdlib

    def configure(self) -> None:
        """Send them to standard error."""
        if self.structlog:
            _configure_structlog(self.level)
        if self.stdlib:
            _configure_stdlib(self.level)


def configure(level: str) -> Logs:
    """Send both logs to standard error, but what is configured already; return which."""
    structlog_is_ours = not structlog.is_configured()
    stdlib_is_ours = not has_handlers("qcore")
    # with handlers of `logging` alone, lines of structlog go to those
    logs = Logs(level, structlog_is_ours and stdlib_is_ours, stdlib_is_ours)
    logs.configure()
    return logs


def is_terminal() -> bool:
    """Return whether somebody reads along."""
    return sys.stderr.isatty()


def _configure_structlog(level: str) -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            *(_for_people() if is_terminal() else _for_machines()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # one write for each line: other workers write to the same stream, perhaps unbuffered
        logger_factory=structlog.WriteLoggerFactory(_stream()),
    )


def _configure_stdlib(level: str) -> None:
    handler = logging.StreamHandler(_stream())
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                ExtraAdder(),
            ],
            processors=[
                ProcessorFormatter.remove_processors_meta,
                *(_for_people() if is_terminal() else _for_machines()),
            ],
        )
    )
    handler.addFilter(_is_shown_by_nobody)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level.upper())


def _is_shown_by_nobody(log: logging.LogRecord) -> bool:
    """Return whether no handler beneath the root has shown it, which one logger may have."""
    logger = logging.getLogger(log.name)
    while logger.parent is not None:
        if any(not isinstance(each, logging.NullHandler) for each in logger.handlers):
            return False
        logger = logger.parent
    return True


def _stream() -> TextIO:
    return cast("TextIO", LossyStream(sys.stderr))


def _for_people() -> list[Processor]:
    return [
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        # the prettier ones show the variables of each frame, and so what tasks carry
        structlog.dev.ConsoleRenderer(
            colors=not os.environ.get("NO_COLOR"),
            exception_formatter=structlog.dev.plain_traceback,
            sort_keys=False,
        ),
    ]


def _for_machines() -> list[Processor]:
    return [
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
