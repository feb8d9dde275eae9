"""Add to a failed verdict which worker ran the task, and the handler's traceback."""

import traceback
from types import TracebackType
from typing import Final

from attrs import evolve

from qcore.domain.lifecycle import Crashed, Exhausted, Failed, Rejected, Transition
from qcore.domain.retry import described
from qcore.domain.run_details import MAX_TRACEBACK
from qcore.domain.text import escaped

OWN_MODULES: Final = "qcore.app."
"""Modules between the worker and a handler, which say nothing to who reads a traceback."""


def with_error_context(
    verdict: Transition, worker: str, error: BaseException | None = None
) -> Transition:
    """Return a verdict with the worker and the traceback, if it is one on a failure."""
    if not isinstance(verdict, Failed | Exhausted | Rejected | Crashed):
        return verdict
    trace = None if error is None else traceback_text(error)
    return evolve(verdict, worker=worker, traceback=trace)


def traceback_text(error: BaseException) -> str | None:
    """Return an error's traceback as text of bounded length that any store can hold.

    Without the values of variables, which may be secrets.
    """
    trace = error.__traceback__
    try:
        trace = _from_handler(error)
        text = "".join(traceback.format_exception(type(error), error, trace))
    except BaseException:  # noqa: BLE001  (its own text, notes or causes must not hide the error)
        text = "".join(traceback.format_tb(trace)) + described(error)
    # cut before, as a class may say a lot; and after, as what is escaped is longer
    return escaped(text[-MAX_TRACEBACK:])[-MAX_TRACEBACK:] or None


def _from_handler(error: BaseException) -> TracebackType | None:
    """Return the part of a traceback that begins where our own frames end."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith(
        OWN_MODULES
    ):
        trace = trace.tb_next
    return trace
