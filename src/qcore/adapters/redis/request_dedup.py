"""Deduplicate requests: a request whose reply was lost is sent again, and carried out once.

As in Raft's client sessions (Ongaro's dissertation, section 6.3): a session numbers its requests
serially, one at a time, and the server remembers the serial number and the reply of the session's
last one. Here that is the key `session:NAME` of the request's queue, written by the script that
carries the request out (lua/lib/dedup.lua) and gone after a minute. Concurrent requests use several
sessions.
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from uuid import uuid4


class Session:
    """A session: its requests are sent one after the other, each with the next serial number."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.next: Callable[[], int] = count(1).__next__
        """Return the serial number of the next request."""


class SessionPool:
    """The sessions of a process: as many as it has requests on the way at once."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._name = uuid4().hex[:16]
        self._suffixes = count()
        self._free: deque[Session] = deque()

    def acquire(self) -> Session:
        """Return a session that nobody else uses until it is released. Safe in any thread.

        That of a request without a reply is not to be released: the request may still be carried
        out, after a later one.
        """
        if self._process != os.getpid():
            # the child of a fork: the parent goes on with the sessions it has
            self._begin()
        try:
            return self._free.pop()
        except IndexError:
            return Session(f"{self._name}-{next(self._suffixes)}")

    def idle(self) -> Sequence[str]:
        """Return the names of the sessions that nobody uses just now."""
        return [session.name for session in self._free.copy()]

    def release(self, sessions: Sequence[Session]) -> None:
        """Let others use sessions whose requests were replied to."""
        self._free.extend(sessions)
