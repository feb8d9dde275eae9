"""Who ran a task that went wrong, and where in its handler it did."""

import traceback
from contextlib import suppress
from types import TracebackType
from typing import Final

from attrs import evolve

from qcore.domain.lifecycle import Crashed, Exhausted, Failed, Rejected, Transition
from qcore.domain.retry import escaped
from qcore.domain.run_details import MAX_TRACEBACK

OURS: Final = "qcore.app."
"""Modules between a worker and a handler: of no use to who reads a handler's traceback."""


def with_error_context(
    outcome: Transition, worker: str, error: BaseException | None = None
) -> Transition:
    """Return what happened, with who ran it and how it came to it where it went wrong."""
    if not isinstance(outcome, Failed | Exhausted | Rejected | Crashed):
        return outcome
    return evolve(
        outcome, worker=worker, traceback=None if error is None else traceback_text(error)
    )


def traceback_text(error: BaseException) -> str | None:
    """Return an error's traceback as text of bounded length that any store can hold.

    Without the values of variables: nobody knows what they hold.
    """
    text = ""
    # whatever a class's own text, notes or causes raise must not hide the error
    with suppress(Exception):
        text = "".join(traceback.format_exception(type(error), error, _theirs(error)))
    # cut before, as a class may say a lot; and after, as what is escaped is longer
    return escaped(text[-MAX_TRACEBACK:])[-MAX_TRACEBACK:] or None


def _theirs(error: BaseException) -> TracebackType | None:
    """Return the part of a traceback that begins where our own frames end."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith(OURS):
        trace = trace.tb_next
    return trace
