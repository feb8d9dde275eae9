"""`get_logger`: a logger whose lines go where the application's configuration sends its own.

That is structlog's configuration where there is one, else handlers of the standard library's
`logging`, else structlog as it comes. It is asked for each line, as a program may configure its log
after qcore was imported.

On a console tracebacks have no variables: structlog as it comes prints those of each frame where
rich is installed, which are the arguments of the task, and whatever secrets its handler holds.
"""

import logging
import sys
from typing import TYPE_CHECKING

from qcore.log.stdlib import has_handlers

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


def get_logger(name: str = "qcore") -> "FilteringBoundLogger":
    """Return a logger of a name, which structlog's loggers and those of `logging` have alike."""
    # late: a program that only enqueues logs nothing, and structlog brings rich where it is there
    from qcore.log.processing import make_logger

    return make_logger(name)


def is_enabled(log: "FilteringBoundLogger", level: int) -> bool:
    """Return whether a logger logs a level; True if it cannot say (structlog before 25.1)."""
    # of the class, as some of structlog's loggers have a method of any name, which logs
    return not hasattr(type(log), "is_enabled_for") or log.is_enabled_for(level)


def is_shown(level: int, name: str = "qcore") -> bool:
    """Return whether the application has said that lines of a level are to be shown."""
    # nobody has configured what nobody has imported
    structlog = sys.modules.get("structlog")
    if structlog is not None and structlog.is_configured():
        return is_enabled(get_logger(name).bind(), level)
    return has_handlers(name) and logging.getLogger(name).isEnabledFor(level)
