"""`without_own_frames`: errors of a client without the frames in which arguments are variables.

An application may print the variables of each frame of a traceback, as structlog does without
configuration where rich is installed. Its own frames are its own matter; ours would add arguments,
payloads and commands that it does not show itself.
"""

from types import TracebackType
from typing import Final, TypeVar

E = TypeVar("E", bound=BaseException)

OWN: Final = ("qcore.", "redis.", "hiredis.", "asyncio.")
"""Modules of ours and of the drivers; what is called from them may be code of the application."""


def without_own_frames(error: E) -> E:
    """Return an error that begins in the application's code, and so do those that led to it."""
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen and (link is error or _began_here(link)):
        seen.add(id(link))
        link.__traceback__ = _after_own(link.__traceback__)
        link = link.__cause__ or link.__context__
    return error


def _began_here(error: BaseException) -> bool:
    """Return whether an error was caught by us: others were there before, and are not ours."""
    return error.__traceback__ is not None and _is_own(error.__traceback__)


def _after_own(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and _is_own(trace):
        trace = trace.tb_next
    return trace


def _is_own(trace: TracebackType) -> bool:
    name = trace.tb_frame.f_globals.get("__name__")
    return isinstance(name, str) and name.startswith(OWN)
