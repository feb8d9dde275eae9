"""A generator that yields once as a context manager, whose `yield` returns the block's value.

Not `contextlib.contextmanager`: what it yields to knows nothing of the value, and it sets the
traceback of what the block raises, which an exception class that is frozen cannot bear.
"""

from collections.abc import AsyncGenerator, Generator
from types import TracebackType
from typing import Any


class GeneratorManager:
    """The context manager of a plain generator; `name` is what errors call it."""

    def __init__(self, generator: Generator[Any, Any, Any], name: str) -> None:
        self._generator = generator
        self._name = name
        self.value: object = None
        """What its `yield` returns, unless the block raises."""

    def __enter__(self) -> Any:
        """Run it up to its yield; return what it yields."""
        try:
            return next(self._generator)
        except StopIteration:
            raise _never(self._name) from None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Run the rest of it; return whether it has caught the error."""
        try:
            if error is None:
                self._generator.send(self.value)
            else:
                self._generator.throw(error)
        except StopIteration as stop:
            return stop is not error
        except BaseException as raised:
            if _is_same(raised, error):
                return False
            raise
        self._generator.close()
        raise _twice(self._name)


class AsyncGeneratorManager:
    """The asynchronous context manager of an async generator; `name` is what errors call it."""

    def __init__(self, generator: AsyncGenerator[Any, Any], name: str) -> None:
        self._generator = generator
        self._name = name
        self.value: object = None
        """What its `yield` returns, unless the block raises."""

    async def __aenter__(self) -> Any:
        """Run it up to its yield; return what it yields."""
        try:
            return await anext(self._generator)
        except StopAsyncIteration:
            raise _never(self._name) from None

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Run the rest of it; return whether it has caught the error."""
        try:
            if error is None:
                await self._generator.asend(self.value)
            else:
                await self._generator.athrow(error)
        except StopAsyncIteration as stop:
            return stop is not error
        except BaseException as raised:
            if _is_same(raised, error):
                return False
            raise
        await self._generator.aclose()
        raise _twice(self._name)


def _is_same(raised: BaseException, error: BaseException | None) -> bool:
    """Return whether an error came through a generator as it was thrown in.

    A generator cannot raise a stop of iterations: Python wraps it.
    """
    if raised is error:
        return True
    is_stop = isinstance(error, StopIteration | StopAsyncIteration)
    return is_stop and isinstance(raised, RuntimeError) and raised.__cause__ is error


def _never(name: str) -> RuntimeError:
    return RuntimeError(f"the around {name} ended without a yield: expected one, for the handler")


def _twice(name: str) -> RuntimeError:
    return RuntimeError(f"the around {name} yielded twice: expected one yield, for the handler")
