"""Arounds that close connections of Django which can no longer be used, where they are used.

A connection belongs to a thread. One that the server has dropped, or that is older than
CONN_MAX_AGE, would otherwise stay with the thread of a worker until the process ends.
"""

from collections.abc import AsyncIterator, Iterator

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.db import connections, reset_queries

from qcore.app.tasks.context import Context


def close_connections(_ctx: Context) -> Iterator[None]:
    """Close old connections of this thread before and after a run, as Django does for requests."""
    reset_queries()
    _close_old()
    try:
        yield
    finally:
        _close_old()


def _close_old() -> None:
    for connection in connections.all(initialized_only=True):
        # in a transaction a handler runs inline, as in a `TestCase`: it is not the handler's to end
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()


async def close_connections_of_coroutine(_ctx: Context) -> AsyncIterator[None]:
    """Give a coroutine a thread of its own for the ORM, and close its connections at the end.

    The thread begins with the first use of the ORM, so that coroutines do not wait for each other's
    queries, as they would in the one thread that `sync_to_async` has for all.
    """
    async with ThreadSensitiveContext() as context:
        try:
            yield
        finally:
            if context in SyncToAsync.context_to_thread_executor:
                await sync_to_async(connections.close_all)()
