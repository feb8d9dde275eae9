"""The stored state of a task, on which an event is applied before the change is written."""

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
from qcore.adapters.redis.records import RunRecord, TaskMeta, Unreadable, decode_meta
from qcore.domain import effects
from qcore.domain.moments import Moment
from qcore.domain.run_details import AttemptError, attempt_error
from qcore.domain.states import ENDED, State
from qcore.domain.transitions import RunNow, Transition

WAITING: Final = {State.SCHEDULED, State.RETRY, State.AGGREGATING}
FORGET: Final = b"x"
"""In the place of a run record: delete the task."""


class TaskState(RunRecord):
    """What `effects.apply` reads and changes of a task, encoded for lua/transition.lua.

    A record or metadata that cannot be read, as somebody has edited them, count as defaults.
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
        self.spec = TaskMeta()
        with suppress(Unreadable):
            self.spec = decode_meta(value)
        if state in WAITING and score is not None:
            # the score is the due moment; the run record need not hold it
            self.due = float(score)
        self._sequence = value[: end_of_sequence(value)]
        self._seen = self._sequence, record or b""
        self._left = [*self._places()]
        self._head = self._body = b""
        self._error_entry: AttemptError | None = None
        if not has_sequence(self._sequence):
            # give it a valid sequence: behind this one nobody could tell where the id begins
            self._begin_anew(0)

    def token_guard(self) -> list[Arg]:
        """Return the guard: the task is active with the caller's token."""
        return ["t", self.token]

    def snapshot_guard(self, score: bytes | None) -> list[Arg]:
        """Return the guard: the task is unchanged, at `score` in its state, or at any if None."""
        key, _, member = self._left[0]
        return ["s", *self._seen, int(key), member, score or b""]

    def apply(self, event: Transition, now: Moment, sequence: int | None = None) -> State:
        """Apply an event; `sequence` is the new one of a task that becomes pending.

        Raises `IllegalMove`, and changes nothing, where the table has no such move.
        """
        state = effects.apply(self, event, now)
        self._error_entry = attempt_error(event, self.attempts, now)
        if isinstance(event, RunNow) and sequence is not None:
            self.spec.expires = None
            self._begin_anew(sequence)
        self.state, self.token = state, 0
        self.finished = now if state in ENDED else None
        return state

    def _begin_anew(self, sequence: int) -> None:
        self._sequence = encode_sequence(sequence).encode()
        self._head = self._sequence + self.spec.text().encode()

    def replace_spec(self, value: bytes, sequence: int | None) -> None:
        """Replace metadata and options by those of `value`, which has no sequence.

        `sequence` is its new one, None to keep its own.
        """
        bar = value.index(b"|") + 1
        if sequence is not None:
            self._sequence = encode_sequence(sequence).encode()
        self.spec = decode_meta(self._sequence + value)
        self._head, self._body = self._sequence + value[:bar], value[bar:]

    def encode_change(self) -> list[Arg]:
        """Return the change as lua/transition.lua takes it."""
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
            error_entry = b"" if self._error_entry is None else encode(self._error_entry)
            words += (self._record(), self._head, self._body, error_entry)
        return words

    def _record(self) -> bytes:
        """Return its run record; that of a task whose options alone were changed stays as it is."""
        return self._seen[1] if self._body else self.text()

    def _places(self) -> Iterator[tuple[Key, float, bytes]]:
        return places_of(self.state, self.spec, self._sequence, self._name, self.due, self.finished)


def places_of(  # noqa: PLR0917  (what a place depends on)
    state: State,
    meta: TaskMeta,
    sequence: bytes,
    name: bytes,
    due: Moment,
    finished: Moment | None,
) -> Iterator[tuple[Key, float, bytes]]:
    """Yield key, score and member of each sorted set that a task is in, that of its state first."""
    key, ended = KEY_OF[state], finished or 0.0
    match state:
        case State.PENDING:
            yield key, meta.neg_priority, sequence + name
            if meta.expires is not None:
                yield Key.EXPIRING, meta.expires, name
        case State.COMPLETED:
            yield key, ended, name
            yield Key.RETAINED, ended + meta.retention, name
        case State.ARCHIVED | State.DEAD:
            yield key, ended, name
        case State.AGGREGATING:
            yield key, due, name
            yield Key.GROUPS, 0, group_member_prefix(meta.group or "", due) + name
        case _:
            yield key, due, name
