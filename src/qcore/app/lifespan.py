"""What lives as long as a worker, and how its handlers reach it."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

from qcore.app.router import Lifespan
from qcore.domain.errors import InvalidOption


async def enter(lifespans: Sequence[Lifespan], stack: AsyncExitStack) -> dict[type, Any]:
    """Start lifespans in order; return what they yield by type. The stack ends them in reverse."""
    state: dict[type, Any] = {}
    for lifespan in lifespans:
        manager = asynccontextmanager(cast("Callable[[], AsyncGenerator[object]]", lifespan))
        yielded = await stack.enter_async_context(manager())
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
