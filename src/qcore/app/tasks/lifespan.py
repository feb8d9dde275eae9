"""Lifespans: resources that live as long as a worker, such as a pool of connections."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, NoReturn, TypeAlias, cast

from qcore.app.calls.user_code import MAX_NAME, is_from_outside, name_of
from qcore.app.client.wakeup import CutShort, cancelled_after
from qcore.domain.errors import InvalidOption, QcoreError
from qcore.domain.retry import described
from qcore.domain.text import shown
from qcore.log.logger import get_logger

Lifespan: TypeAlias = Callable[[], AsyncIterator[object] | AbstractAsyncContextManager[object]]

EndLimit: TypeAlias = Callable[[], Coroutine[Any, Any, object]]
"""Waits until the end of a lifespan, which begins when it is called, has taken too long."""


async def enter(
    lifespans: Sequence[Lifespan], stack: AsyncExitStack, *, end_limit: EndLimit
) -> dict[type, Any]:
    """Enter lifespans in order; return what they yield by type. The stack exits them in reverse.

    One whose end takes too long is cancelled there, and the others end as ever. What is no
    `Exception` is raised as `LifespanFailed`, unless it comes from outside of the lifespan.
    """
    state: dict[type, Any] = {}
    for lifespan in lifespans:
        yielded = await stack.enter_async_context(_Contained(lifespan, end_limit))
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


class LifespanFailed(QcoreError):
    """Say which lifespan has raised what is no `Exception`, such as `SystemExit`."""


class _Contained:
    """A lifespan that can neither hang at its end, nor end a worker as if that were cancelled."""

    def __init__(self, lifespan: Lifespan, end_limit: EndLimit) -> None:
        self._name = name_of(lifespan)
        self._end_limit = end_limit
        self._lifespan = lifespan

    async def __aenter__(self) -> object:
        try:
            self._manager = _managed(self._lifespan)
            return await self._manager.__aenter__()
        except BaseException as error:  # noqa: BLE001  (it is raised again)
            self._raise(error, "start")

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        try:
            async with cancelled_after(self._end_limit()):
                return await self._manager.__aexit__(kind, error, trace)
        except CutShort:
            get_logger().error("lifespan cut short", code=self._name)
            return False
        except BaseException as raised:  # noqa: BLE001  (it is raised again)
            self._raise(raised, "end")

    def _raise(self, error: BaseException, where: str) -> NoReturn:
        """Raise an error of the lifespan, as one that is an `Exception`."""
        if isinstance(error, Exception) or is_from_outside(error):
            raise error
        raise LifespanFailed(
            f"the lifespan {self._name} raised {described(error)} at its {where}"
        ) from error


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
        f"{shown(made, MAX_NAME)} is no lifespan: expected an async generator function (async def, "
        "with one yield), plain or made a context manager by contextlib.asynccontextmanager"
    )
