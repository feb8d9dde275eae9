"""A queue with arounds, whose handlers run in coroutines, threads and child processes."""

import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, Any, Final

import attrs

from qcore import Context, Provided
from tests.app.kit import Lab

lab: Final = Lab()
bare: Final = Lab()
"""Another queue, some of whose arounds no import declares."""

diary: Final[list[tuple[str, Any]]] = []
"""What was done where, in this process."""
tenant: Final[ContextVar[str]] = ContextVar("tenant")


@attrs.define
class Session:
    """What a run has of its own."""

    thread: int
    is_open: bool = True


def here() -> tuple[int, int]:
    """Return which thread of which process this is."""
    return os.getpid(), threading.get_ident()


@lab.around
def outer(ctx: Context) -> Iterator[None]:
    """Note where it runs, and what came of the handler."""
    diary.append(("outer begins", here()))
    token = tenant.set(ctx.headers.get("tenant", "nobody"))
    try:
        value = yield
        diary.append(("outer saw", value))
    except BaseException as error:
        diary.append(("outer saw", error))
        raise
    finally:
        tenant.reset(token)
        diary.append(("outer ends", here()))


@lab.around
@contextmanager
def session(ctx: Context) -> Iterator[Session]:
    """Provide a session, and close it."""
    made = Session(threading.get_ident())
    try:
        yield made
    finally:
        made.is_open = False
        diary.append(("session closed", here()))


@lab.around(only="coroutine")
async def awaited(ctx: Context) -> AsyncIterator[None]:
    """Note what came of a coroutine."""
    value = yield
    diary.append(("awaited saw", value))


@lab.task("coroutine", retention=60, max_retry=0)
async def in_coroutine(
    ctx: Context, *, fails: bool = False, session: Annotated[Session, Provided] = Provided
) -> tuple[str, int, int, bool]:
    """Say what it finds."""
    return _found(session, fails=fails)


@lab.task("thread", retention=60, max_retry=0)
def in_thread(
    ctx: Context, *, fails: bool = False, session: Annotated[Session, Provided] = Provided
) -> tuple[str, int, int, bool]:
    """Say what it finds."""
    return _found(session, fails=fails)


@lab.task("process", retention=60, max_retry=0, process=True)
def in_process(
    ctx: Context, *, fails: bool = False, session: Session = Provided
) -> tuple[str, int, int, bool]:
    """Say what it finds."""
    return _found(session, fails=fails)


@lab.task("diary", retention=60, process=True)
def diary_of_process(ctx: Context) -> list[str]:
    """Return what was noted in the child process."""
    return [what for what, _ in diary]


@bare.task("bare", retention=60, max_retry=0, process=True)
def bare_process(ctx: Context) -> None:
    """Do nothing."""


def _found(session: Session, *, fails: bool) -> tuple[str, int, int, bool]:
    if fails:
        raise LookupError("no such row")
    is_own = session.is_open and session.thread == threading.get_ident()
    return tenant.get(), *here(), is_own
