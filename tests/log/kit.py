"""A log that nobody has configured."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def without_handlers() -> Iterator[None]:
    """Have `logging` configured by nobody, as in a process that begins.

    Within a test: pytest has handlers of its own in each of its phases.
    """
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@contextmanager
def unconfigured_logs() -> Iterator[None]:
    """Have neither structlog nor `logging` configured."""
    structlog.reset_defaults()
    try:
        with without_handlers():
            yield
    finally:
        structlog.reset_defaults()
