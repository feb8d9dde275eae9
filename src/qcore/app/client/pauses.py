"""How callers wait until they are woken: they suspend a coroutine, or block a thread."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Pause(Protocol):
    """Lets one caller wait, and others wake it."""

    def wake(self) -> None:
        """End the wait, or the next one; from any thread."""
        ...

    def clear(self) -> None:
        """Forget that it was woken."""
        ...

    async def wait(self, seconds: float) -> None:
        """Wait until it is woken, or so many seconds."""
        ...


class Pauses(Protocol):
    """Makes what the callers of one colour wait with."""

    def scope(self) -> object:
        """Return what callers have in common who may share a subscription and a lock."""
        ...

    def pause(self) -> Pause:
        """Return what one caller waits with."""
        ...

    def lock(self) -> AbstractAsyncContextManager[object]:
        """Return a lock for callers of one scope."""
        ...
