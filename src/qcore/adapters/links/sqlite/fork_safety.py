"""Closing connections before the process forks.

SQLite keeps its locks in the process's memory as well as in the kernel, so a connection must not
be carried across a fork, not even to be closed in the child (sqlite.org/howtocorrupt.html, 2.6).
So all are closed before the fork, and both processes connect again at their next call.
"""

import os
from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager, ExitStack, contextmanager
from threading import Lock
from typing import Final, Protocol
from weakref import WeakSet


class ForkSensitive(Protocol):
    """What must be closed before a fork."""

    @property
    def lock(self) -> AbstractContextManager[bool]:
        """Return the lock that is held while it is in use."""
        ...

    def disconnect(self) -> None:
        """Close it; called with the lock held."""
        ...

    def reset_in_child(self) -> None:
        """Drop, in the child, what only the parent has, such as its threads."""
        ...


class _ForkGuard:
    """The handlers of `os.register_at_fork`; one fork at a time."""

    def __init__(self) -> None:
        self._guarded: WeakSet[ForkSensitive] = WeakSet()
        self._registering = Lock()
        self._forking = Lock()
        self._held = ExitStack()

    def guard(self, resource: ForkSensitive) -> None:
        """Close `resource` before every fork of this process."""
        with self._registering:
            self._guarded.add(resource)

    def guarded(self) -> list[ForkSensitive]:
        """Return all that are guarded."""
        with self._registering:
            return list(self._guarded)

    def before(self) -> None:
        """Take every lock, so that nothing is in use, and close everything."""
        self._forking.acquire()
        for resource in self.guarded():
            self._held.enter_context(resource.lock)
            resource.disconnect()

    @contextmanager
    def hold(self, resources: Iterable[ForkSensitive]) -> Generator[None]:
        """Hold the locks of several, so that none of them is in use; nobody may hold one before."""
        with self._forking, ExitStack() as held:
            for resource in resources:
                held.enter_context(resource.lock)
            yield

    def in_parent(self) -> None:
        """Release the locks."""
        self._held.close()
        self._forking.release()

    def in_child(self) -> None:
        """Drop what only the parent has, and release the locks."""
        for resource in self.guarded():
            resource.reset_in_child()
        self.in_parent()


_fork_guard: Final = _ForkGuard()
guard: Final = _fork_guard.guard
guarded: Final = _fork_guard.guarded
hold: Final = _fork_guard.hold

if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(
        before=_fork_guard.before,
        after_in_parent=_fork_guard.in_parent,
        after_in_child=_fork_guard.in_child,
    )
