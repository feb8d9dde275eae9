"""Add to a failed verdict which worker ran the task, and the handler's traceback."""

import traceback
from contextlib import suppress
from types import TracebackType
from typing import Final

from attrs import evolve

from qcore.domain.retry import described
from qcore.domain.run_details import MAX_TRACEBACK
from qcore.domain.text import escaped, trace_of
from qcore.domain.transitions import Crashed, Exhausted, Failed, Rejected, Transition

OWN_MODULES: Final = ("qcore.app.", "qcore.middleware.")
"""Modules between the worker and a handler, which say nothing to who reads a traceback."""
KEPT: Final = "_qcore_traceback"
"""The attribute of an error from another process that holds its traceback as text."""
_CAUSE: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"


def with_error_context(
    verdict: Transition,
    worker: str,
    error: BaseException | None = None,
    *,
    version: str | None = None,
) -> Transition:
    """Return a verdict on a failure with who ran what version, and the traceback; others as is."""
    if not isinstance(verdict, Failed | Exhausted | Rejected | Crashed):
        return verdict
    if error is None:
        return evolve(verdict, worker=worker, version=version)
    return evolve(
        verdict,
        worker=worker,
        version=version,
        traceback=traceback_text(error),
        error_type=type(error).__name__,
    )


def traceback_text(error: BaseException) -> str | None:
    """Return an error's traceback as text of bounded length that any store can hold.

    Without the values of variables, which may be secrets.
    """
    trace = trace_of(error)
    try:
        trace = _from_handler(error)
        text = _formatted(error, trace)
    except BaseException:  # noqa: BLE001  (its own text, notes or causes must not hide the error)
        text = "".join(traceback.format_tb(trace)) + described(error)
    # cut before, as a class may say a lot; and after, as what is escaped is longer
    return escaped(text[-MAX_TRACEBACK:])[-MAX_TRACEBACK:] or None


def keep_traceback(error: BaseException, text: str) -> None:
    """Let an error that was raised in another process have the traceback that it had there."""
    # past the `__setattr__` of a class whose errors are frozen
    object.__setattr__(error, KEPT, text)


def add_note(error: BaseException, label: str, value: str) -> None:
    """Add a line, `label: value`, to an error, in place of an earlier one of that label.

    It is a note of Python's (PEP 678), which ends the traceback that is stored and logged. An error
    of a class that takes none stays without; one that is raised again and again has it once.
    """
    line, start = f"{label}: {value}", f"{label}: "
    kept = vars(error).get(KEPT)
    if kept is not None:
        others = [each for each in str(kept).splitlines() if not each.startswith(start)]
        keep_traceback(error, "\n".join([*others, line]))
        return
    # its class may refuse to have an attribute set
    with suppress(Exception):
        notes: list[str] = vars(error).get("__notes__", [])
        notes[:] = [each for each in notes if not each.startswith(start)]
        error.add_note(line)


def copy_notes(source: BaseException, target: BaseException) -> None:
    """Add the notes of an error to another, which takes its place."""
    with suppress(Exception):
        for note in vars(source).get("__notes__", ()):
            target.add_note(note)


def _formatted(error: BaseException, trace: TracebackType | None) -> str:
    kept = vars(error).get(KEPT)
    if kept is not None:
        return str(kept)
    link, follows = _link(error)
    if link is None or not _leads_to_kept(link):
        return "".join(traceback.format_exception(type(error), error, trace))
    own = traceback.format_exception(type(error), error, trace, chain=False)
    return "".join([_formatted(link, link.__traceback__), follows, *own])


def _link(error: BaseException) -> tuple[BaseException | None, str]:
    """Return what an error's traceback begins with, and how that leads to the error."""
    if error.__cause__ is not None:
        return error.__cause__, _CAUSE
    return (None if error.__suppress_context__ else error.__context__), _CONTEXT


def _leads_to_kept(error: BaseException | None) -> bool:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if KEPT in vars(error):
            return True
        seen.add(id(error))
        error, _ = _link(error)
    return False


def _from_handler(error: BaseException) -> TracebackType | None:
    """Return the part of a traceback that begins where our own frames end."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith(
        OWN_MODULES
    ):
        trace = trace.tb_next
    return trace
