"""A stored task on its way from one state to another."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from qcore.adapters.links.redis import Arg
from qcore.adapters.redis.details_codec import encode
from qcore.adapters.redis.encoding import (
    StoredId,
    encode_sequence,
    end_of_sequence,
    group_member_prefix,
    has_sequence,
)
from qcore.adapters.redis.keys import KEY_OF, Key
from qcore.adapters.redis.records import Facts, Progress, Unreadable, facts_of
from qcore.domain import effects
from qcore.domain.lifecycle import ENDED, RunNow, State, Transition
from qcore.domain.moments import Moment
from qcore.domain.run_details import AttemptError, attempt_error

WAITING: Final = {State.SCHEDULED, State.RETRY, State.AGGREGATING}
FORGET: Final = b"x"
"""In place of a record: leave nothing of the task."""


class TaskState(Progress):
    """What a move needs to know of a task, and what it changes, in the words of lua/move.lua.

    One that was tampered with moves as if it had what is usual.
    """

    def __init__(
        self,
        name: StoredId,
        state: State,
        value: bytes,
        record: bytes | None,
        score: bytes | None = None,
    ) -> None:
        with suppress(Unreadable):
            super().__init__(record)
        self._name = name if isinstance(name, bytes) else name.encode()
        self.state = state
        self.spec = Facts()
        with suppress(Unreadable):
            self.spec = facts_of(value)
        if state in WAITING and score is not None:
            # its place there, which its record need not say
            self.due = float(score)
        self._line = value[: end_of_sequence(value)]
        self._seen = self._line, record or b""
        self._left = [*self._places()]
        self._head = self._body = b""
        self._fault: AttemptError | None = None
        if not has_sequence(self._line):
            # with another one, or nobody could tell it from the name behind it
            self._begin_anew(0)

    def token_guard(self) -> list[Arg]:
        """Return what guards it while its lease is the caller's."""
        return ["t", self.token]

    def snapshot_guard(self, score: bytes | None) -> list[Arg]:
        """Return what guards it as it was seen: at `score` in its state, or anywhere in it."""
        key, _, member = self._left[0]
        return ["s", *self._seen, int(key), member, score or b""]

    def apply(self, event: Transition, now: Moment, line: int | None = None) -> State:
        """Take note of what happened to it; `line` is its new place among its priority.

        Raises `IllegalMove`, and changes nothing, where the table has no such move.
        """
        state = effects.apply(self, event, now)
        self._fault = attempt_error(event, self.attempts, now)
        if isinstance(event, RunNow) and line is not None:
            self.spec.expires = None
            self._begin_anew(line)
        self.state, self.token = state, 0
        self.finished = now if state in ENDED else None
        return state

    def _begin_anew(self, line: int) -> None:
        self._line = encode_sequence(line).encode()
        self._head = self._line + self.spec.text().encode()

    def replace_spec(self, value: bytes, line: int | None) -> None:
        """Take note that something else was asked for; `line` is its new place, None for its own.

        `value` is as in `tasks`, without the line.
        """
        bar = value.index(b"|") + 1
        if line is not None:
            self._line = encode_sequence(line).encode()
        self.spec = facts_of(self._line + value)
        self._head, self._body = self._line + value[:bar], value[bar:]

    def encode_change(self) -> list[Arg]:
        """Return what is to be written."""
        entered = [] if self.state is State.GONE else [*self._places()]
        left: list[tuple[int, Arg]] = [(int(key), member) for key, _, member in self._left]
        if self.spec.unique is not None and self.state in ENDED:
            left.append((int(Key.UNIQUE), self.spec.unique))
        words: list[Arg] = [len(left)]
        for place in left:
            words += place
        words.append(len(entered))
        for key, score, member in entered:
            words += (int(key), repr(score), member)
        if self.state is State.GONE:
            words += (FORGET, b"", b"", b"")
        else:
            fault = b"" if self._fault is None else encode(self._fault)
            words += (self._record(), self._head, self._body, fault)
        return words

    def _record(self) -> bytes:
        """Return what has happened to it: of a change of mind, what had before."""
        return self._seen[1] if self._body else self.text()

    def _places(self) -> Iterator[tuple[Key, float, bytes]]:
        """Yield the sorted sets that it is in, that of its state first."""
        key, expires = KEY_OF[self.state], self.spec.expires
        match self.state:
            case State.PENDING:
                yield key, self.spec.rank, self._line + self._name
                if expires is not None:
                    yield Key.EXPIRING, expires, self._name
            case State.COMPLETED:
                ended = self.finished or 0.0
                yield key, ended, self._name
                yield Key.RETAINED, ended + self.spec.retention, self._name
            case State.ARCHIVED | State.DEAD:
                yield key, self.finished or 0.0, self._name
            case State.AGGREGATING:
                yield key, self.due, self._name
                yield (
                    Key.GROUPS,
                    0,
                    group_member_prefix(self.spec.group or "", self.due) + self._name,
                )
            case _:
                yield key, self.due, self._name
