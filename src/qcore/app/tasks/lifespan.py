"""Lifespans: resources that live as long as a worker, such as a pool of connections."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, TypeAlias, cast

from qcore.domain.errors import InvalidOption

Lifespan: TypeAlias = Callable[[], AsyncIterator[object] | AbstractAsyncContextManager[object]]


async def enter(lifespans: Sequence[Lifespan], stack: AsyncExitStack) -> dict[type, Any]:
    """Enter lifespans in order; return what they yield by type. The stack exits them in reverse."""
    state: dict[type, Any] = {}
    for lifespan in lifespans:
        yielded = await stack.enter_async_context(_managed(lifespan))
        several = cast("tuple[object, ...]", yielded) if isinstance(yielded, tuple) else (yielded,)
        for each in several:
            if each is None:
                continue
            if type(each) in state:
                raise InvalidOption(
                    f"two lifespans yield a {type(each).__name__}: handlers reach them by type, "
                    "so give one a class of its own"
                )
            state[type(each)] = each
    return state


def _managed(lifespan: Lifespan) -> AbstractAsyncContextManager[object]:
    """Call a lifespan function; return its context manager."""
    made = lifespan()
    if isinstance(made, AbstractAsyncContextManager):
        return made
    if not isinstance(made, AsyncGenerator):
        raise no_lifespan(lifespan)
    running = cast("AsyncGenerator[object]", made)
    return asynccontextmanager(lambda: running)()


def no_lifespan(made: object) -> InvalidOption:
    """Return the error for what is not a lifespan."""
    return InvalidOption(
        f"{made!r} is no lifespan: expected an async generator function (async def, with one "
        "yield), plain or made a context manager by contextlib.asynccontextmanager"
    )
