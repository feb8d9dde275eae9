"""Lanes: who asks remembers by which it asked, so that a lost answer can be asked for again."""

import os
from collections import deque
from collections.abc import Sequence
from itertools import count
from uuid import uuid4


class Session:
    """A line of moves, made one after the other; Redis remembers the last one's answer."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._numbers = count(1)

    def next(self) -> int:
        """Return the number of the next move."""
        return next(self._numbers)


class SessionPool:
    """As many lanes as there are moves on their way at once."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._name = uuid4().hex[:16]
        self._suffixes = count()
        self._free: deque[Session] = deque()

    def acquire(self) -> Session:
        """Return a lane that nobody else uses until it is given back. May be called anywhere.

        One of a move that failed, which may still be carried out, is not to be given back.
        """
        if self._process != os.getpid():
            # the child of a fork: its parent goes on with those it has
            self._begin()
        try:
            return self._free.pop()
        except IndexError:
            return Session(f"{self._name}-{next(self._suffixes)}")

    def release(self, sessions: Sequence[Session]) -> None:
        """Let others use lanes whose moves were answered."""
        self._free.extend(sessions)
