"""Logs that come while the view is shown: kept, and told when it is left."""

import logging
import sys
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import structlog

MOST: Final = 100
"""Lines that are kept: the last ones."""


class _Kept(logging.Handler):
    def __init__(self, lines: deque[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self._lines.append(self.format(record))


@contextmanager
def held_logs() -> Generator[None]:
    """Keep what is logged while the block lasts, and write it to standard error afterwards."""
    lines: deque[str] = deque(maxlen=MOST)

    def keep(*args: Any) -> "_Lines":  # noqa: ARG001
        return _Lines(lines)

    before, root = structlog.get_config(), logging.getLogger()
    was_configured = structlog.is_configured()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("warning"),
        logger_factory=keep,
        cache_logger_on_first_use=False,
    )
    handler = _Kept(lines)
    others = [*root.handlers]
    root.handlers = [handler]
    try:
        yield
    finally:
        root.handlers = others
        structlog.configure(**before) if was_configured else structlog.reset_defaults()
        for line in lines:
            sys.stderr.write(f"{line}\n")


class _Lines:
    """A logger that keeps lines."""

    def __init__(self, lines: deque[str]) -> None:
        self._lines = lines

    def msg(self, message: str) -> None:
        """Keep a line."""
        self._lines.append(message)

    log = debug = info = warn = warning = error = critical = failure = fatal = exception = msg
