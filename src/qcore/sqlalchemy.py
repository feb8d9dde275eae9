"""SQLAlchemy: a session of its own for each run of a handler.

Needs the extra `sqlalchemy`: pip install 'qcore-queue[sqlalchemy]'. To enqueue in a transaction of
SQLAlchemy's, see `Qcore.within`.
"""

import sys
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from sqlalchemy.orm import Session, scoped_session, sessionmaker

from qcore.app.tasks.context import Context
from qcore.app.tasks.router import Router
from qcore.domain.errors import InvalidOption
from qcore.domain.text import shown

if TYPE_CHECKING:
    # it needs greenlet, which an application that awaits no session need not have
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker

__all__ = ["AsyncSessions", "Sessions", "provide_sessions"]

Sessions: TypeAlias = sessionmaker[Any] | scoped_session[Any]
AsyncSessions: TypeAlias = "async_sessionmaker[Any] | async_scoped_session[Any]"


def provide_sessions(router: Router, sessions: "Sessions | AsyncSessions") -> None:
    """Give each run of the handlers of a queue, or of a router, a session of its own.

    A `sessionmaker` or a `scoped_session` is for plain handlers, in threads and processes, and one
    that is awaited, such as an `async_sessionmaker`, is for coroutines: a queue that has both kinds
    has one of each. A handler reaches its session by its class, `Annotated[Session, Provided]`. It
    is committed when the handler returns, rolled back when it raises, and closed in either case,
    where it was made: in the very thread or coroutine. It connects when it is first used. A commit
    that fails is the error of the run. Raises `InvalidOption` for what makes no sessions.
    """
    if _is_awaited(sessions):
        router.around(only="coroutine")(_async_around(sessions))
    elif isinstance(sessions, sessionmaker | scoped_session):
        router.around(only=("thread", "process"))(_around(sessions))
    else:
        raise InvalidOption(
            f"sessions is {shown(sessions)}: expected a sessionmaker, a scoped_session, or one of "
            "those that are awaited, async_sessionmaker and async_scoped_session"
        )


def _is_awaited(sessions: "Sessions | AsyncSessions") -> "TypeGuard[AsyncSessions]":
    # who has made one has imported it
    made = sys.modules.get("sqlalchemy.ext.asyncio")
    return made is not None and isinstance(
        sessions, made.async_sessionmaker | made.async_scoped_session
    )


def _around(sessions: Sessions) -> Any:
    def session(_: Context) -> Iterator[Session]:
        try:
            with sessions() as made:
                yield made
                made.commit()
        finally:
            if isinstance(sessions, scoped_session):
                # the thread serves other runs after this one
                sessions.remove()

    return session


def _async_around(sessions: "AsyncSessions") -> Any:
    from sqlalchemy.ext.asyncio import async_scoped_session

    async def session(_: Context) -> "AsyncIterator[AsyncSession]":
        try:
            # closed in a task of its own, which a cancellation of this run does not reach
            async with sessions() as made:
                yield made
                await made.commit()
        finally:
            if isinstance(sessions, async_scoped_session):
                await sessions.remove()

    return session
