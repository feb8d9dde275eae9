"""What happens to connections when the process forks.

SQLite keeps its locks in the process's memory as well as in the kernel, so a connection must not
be carried across a fork, not even to be closed in the child (sqlite.org/howtocorrupt.html, 2.6).
So all are closed before the fork, and both processes connect again at their next call.
"""

import os
from contextlib import AbstractContextManager, ExitStack
from threading import Lock
from typing import Final, Protocol
from weakref import WeakSet


class Forked(Protocol):
    """What has to be let go of before a fork."""

    @property
    def lock(self) -> AbstractContextManager[bool]:
        """Return what is held while it is in use."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...

    def forget(self) -> None:
        """Forget, in the child, what is the parent's alone."""
        ...


class _Fork:
    """A fork in progress, one at a time."""

    def __init__(self) -> None:
        self._guarded: WeakSet[Forked] = WeakSet()
        self._one = Lock()
        self._held = ExitStack()

    def guard(self, forked: Forked) -> None:
        """Look after `forked` at every fork of this process."""
        self._guarded.add(forked)

    def before(self) -> None:
        """Wait until nothing is in use, and let go of everything."""
        self._one.acquire()
        for forked in list(self._guarded):
            self._held.enter_context(forked.lock)
            forked.close()

    def in_parent(self) -> None:
        """Go on."""
        self._held.close()
        self._one.release()

    def in_child(self) -> None:
        """Go on, without what the parent alone has."""
        for forked in list(self._guarded):
            forked.forget()
        self.in_parent()


_fork: Final = _Fork()
guard: Final = _fork.guard

if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(
        before=_fork.before,
        after_in_parent=_fork.in_parent,
        after_in_child=_fork.in_child,
    )
