"""What a machine may ask of a broker, as Hypothesis strategies.

Moments are drawn as offsets in ticks of 1/1024 s and become moments that differ all, by parts of
2⁻²² s: so every sum of them is exact, and no order among equals has to be agreed on.
"""

from typing import Final

from hypothesis import strategies as st

from qcore.domain.lifecycle import (
    Archived,
    Cancelled,
    Crashed,
    Deleted,
    Event,
    Exhausted,
    Failed,
    Order,
    Rejected,
    Released,
    Revoked,
    RunNow,
    Snoozed,
    Succeeded,
)
from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.domain.task import REJECT, REPLACE, NewTask
from qcore.testing.build import NOW

QUEUES: Final = ("red", "blue")
IDS: Final = ("a", "b", "c", "d", "e", "é")
TICK: Final = 2.0**-10
_GRAIN: Final = 2.0**-22


class Moments:
    """Makes moments, no two the same."""

    def __init__(self) -> None:
        self._made = 0

    def at(self, now: Moment, ticks: int) -> Moment:
        """Return a moment so many ticks after `now`, less than a tick away."""
        # after 4,095 of them two may be the same; a run of a machine makes a few hundred
        self._made = (self._made + 1) % 4_096
        whole = (now - NOW) // TICK + ticks
        return NOW + max(0.0, whole) * TICK + self._made * _GRAIN


@record
class TaskWish:
    """A task to enqueue, its moments in ticks from now."""

    id: str
    queue: str
    priority: int
    due: int | None
    expires: int | None
    retention: float
    max_crashes: int
    payload: bytes
    unique_key: str | None
    unique_for: int | None
    replaces: bool

    def made(self, moments: Moments, now: Moment, *, unique: bool) -> NewTask:
        """Return the task, with its unique key or without."""
        due = None if self.due is None else moments.at(now, self.due)
        expires = (
            None if self.expires is None else moments.at(max(now, due or now), self.expires + 1)
        )
        key = self.unique_key if unique else None
        lasts = None if key is None or self.unique_for is None else self.unique_for * TICK
        return NewTask(
            "machine:task",
            self.id,
            self.payload,
            queue=self.queue,
            priority=self.priority,
            due=due,
            expires=expires,
            retention=self.retention,
            max_crashes=self.max_crashes,
            unique_key=key,
            unique_for=lasts,
            on_duplicate=REPLACE if key is not None and self.replaces else REJECT,
        )


@record
class OutcomeWish:
    """A verdict on the n-th lease that a worker may know of, its moment in ticks from now."""

    lease: int
    kind: type
    ticks: int
    flag: bool

    def made(self, moments: Moments, now: Moment) -> Event:
        """Return the outcome."""
        again_at = moments.at(now, self.ticks)
        ready: dict[type, Event] = {
            Succeeded: Succeeded(b"42", "application/json") if self.flag else Succeeded(),
            Failed: Failed(f"failed {self.ticks}", again_at, burns=self.flag),
            Exhausted: Exhausted("exhausted"),
            Rejected: Rejected("rejected"),
            Revoked: Revoked(),
            Snoozed: Snoozed(again_at, unhandled=self.flag),
            Released: Released(),
            Crashed: Crashed(),
            Cancelled: Cancelled(),
        }
        return ready[self.kind]


def _rarely(strategy: st.SearchStrategy[int]) -> st.SearchStrategy[int | None]:
    return st.one_of(st.none(), st.none(), strategy)


TASKS: Final = st.lists(
    st.builds(
        TaskWish,
        id=st.sampled_from(IDS),
        queue=st.sampled_from(QUEUES),
        priority=st.sampled_from((0, 0, 0, 1, -1, 1000, -1000)),
        due=_rarely(st.integers(-2_000, 4_000)),
        expires=_rarely(st.integers(0, 4_000)),
        retention=st.sampled_from((0.0, 0.0, 0.25, 1.5)),
        max_crashes=st.integers(1, 3),
        payload=st.binary(max_size=3),
        unique_key=st.sampled_from((None, None, "k", "l |")),
        unique_for=_rarely(st.integers(1, 4_000)),
        replaces=st.booleans(),
    ),
    min_size=2,
    max_size=8,
)

OUTCOME: Final = st.builds(
    OutcomeWish,
    lease=st.integers(0, 7),
    kind=st.sampled_from(
        (Succeeded, Failed, Exhausted, Rejected, Revoked, Snoozed, Released, Crashed, Cancelled)
    ),
    ticks=st.integers(-1_000, 4_000),
    flag=st.booleans(),
)

TICKS: Final = st.integers(1, 3_000)
"""How long a lease is given for."""

INDEXES: Final = st.lists(st.integers(0, 7), min_size=1, max_size=4)
"""Which leases a worker may know of."""

WAIT: Final = st.one_of(st.just(0), st.integers(0, 5_000))
"""Ticks that pass before something happens: often none."""

QUOTAS: Final = st.dictionaries(st.sampled_from(QUEUES), st.integers(0, 3), min_size=1)

ORDERS: Final[st.SearchStrategy[Order]] = st.sampled_from(
    (RunNow(), Archived(), Cancelled(), Deleted())
)
