"""Hypothesis strategies for the arguments of `BrokerMachine`'s rules.

Moments are drawn as offsets in ticks of 1/1024 s and become moments that differ all, by parts of
2⁻²² s: so every sum of them is exact, and no order among equals has to be agreed on.
"""

from collections.abc import Iterable
from typing import Any, Final

from attrs import evolve
from hypothesis import strategies as st

from qcore.domain.moments import Moment
from qcore.domain.new_task import CHANGEABLE, FIELDS, REJECT, REPLACE, RERUN, NewTask
from qcore.domain.queue_limits import LimitChange, Rate, SetInFlight, SetPaused, SetRate
from qcore.domain.record import record
from qcore.domain.run_details import DetailsUpdate, Progress
from qcore.domain.task import Lease, updated
from qcore.domain.transitions import (
    Archived,
    BroughtBack,
    Cancelled,
    Command,
    Crashed,
    Deleted,
    Discarded,
    Exhausted,
    Failed,
    Rejected,
    Released,
    Rescheduled,
    Revoked,
    RunNow,
    Snoozed,
    Succeeded,
    Transition,
    Updated,
)
from qcore.ports import Capability
from qcore.testing.builders import NOW

QUEUES: Final = ("red", "blue")
IDS: Final = ("a", "b", "c", "d", "e", "é")
MAX_TASKS: Final = 8
"""Stored tasks beyond which none are enqueued."""
TICK: Final = 2.0**-10
_GRAIN: Final = 2.0**-22


class Moments:
    """Makes moments that all differ."""

    def __init__(self) -> None:
        self._made = 0

    def at(self, now: Moment, ticks: int) -> Moment:
        """Return a moment so many ticks after `now`, less than a tick away."""
        # after 4,095 of them two may be the same; a run of a machine makes a few hundred
        self._made = (self._made + 1) % 4_096
        whole = (now - NOW) // TICK + ticks
        return NOW + max(0.0, whole) * TICK + self._made * _GRAIN


@record
class TaskDraft:
    """A task to enqueue, its moments in ticks from now."""

    name: str
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
    on_duplicate: str
    group: str | None
    others: dict[str, Any]
    """Any other field."""

    def build(
        self, moments: Moments, now: Moment, *, capabilities: frozenset[Capability]
    ) -> NewTask:
        """Return the task; unique key and group only where the broker has the capability."""
        due = None if self.due is None else moments.at(now, self.due)
        expires = (
            None if self.expires is None else moments.at(max(now, due or now), self.expires + 1)
        )
        key = self.unique_key if Capability.UNIQUE in capabilities else None
        lasts = None if key is None or self.unique_for is None else self.unique_for * TICK
        return NewTask(
            self.name,
            self.id,
            self.payload,
            queue=self.queue,
            priority=self.priority,
            due=due,
            expires=expires,
            retention=self.retention,
            max_crashes=self.max_crashes,
            group=self.group if Capability.GROUPS in capabilities else None,
            unique_key=key,
            unique_for=lasts,
            on_duplicate=REJECT if key is None else self.on_duplicate,
            **self.others,
        )


@record
class OutcomeDraft:
    """A verdict on the n-th lease that a worker may know of, its moment in ticks from now."""

    lease: int
    kind: type
    ticks: int
    flag: bool
    then: list[TaskDraft]

    def build(
        self, moments: Moments, now: Moment, *, capabilities: frozenset[Capability]
    ) -> Transition:
        """Return the outcome; for its follow-ups, as in `TaskDraft.build`."""
        again_at = moments.at(now, self.ticks)
        then = tuple(draft.build(moments, now, capabilities=capabilities) for draft in self.then)
        worker, traceback = ("é 1", f"at {self.ticks}") if self.flag else (None, None)
        result, kind = (b"42", "a/b") if self.flag else (None, None)
        ready: dict[type, Transition] = {
            Succeeded: Succeeded(result, kind, then),
            Failed: Failed(f"failed {self.ticks}", again_at, self.flag, worker, traceback),
            Exhausted: Exhausted("exhausted", worker, traceback, then=then),
            Rejected: Rejected("rejected", worker, traceback, then=then),
            Revoked: Revoked(),
            Snoozed: Snoozed(again_at, unhandled=self.flag),
            Released: Released(),
            Crashed: Crashed("crashed", worker, traceback),
            Cancelled: Cancelled(),
        }
        return ready[self.kind]


@record
class DetailsDraft:
    """A `DetailsUpdate` under the n-th lease that a worker may know of."""

    lease: int
    fraction: float | None
    saved: bytes | None

    def build(self, lease: Lease, now: Moment) -> DetailsUpdate:
        """Return the update."""
        fraction = self.fraction
        said = None if fraction is None else Progress(now, fraction, f"é {fraction}")
        return DetailsUpdate(lease, said, self.saved)


@record
class CommandDraft:
    """A command, its moments in ticks from now."""

    kind: type
    ticks: int
    changes: dict[str, Any]
    expires: bool
    """Whether `expires` is changed too."""
    by: str | None

    def build(self, moments: Moments, now: Moment) -> Command:
        """Return the command."""
        moment = moments.at(now, self.ticks)
        changes = {**self.changes, "expires": moment} if self.expires else self.changes
        ready: dict[type, Command] = {
            RunNow: RunNow(),
            Archived: Archived(),
            Discarded: Discarded(),
            BroughtBack: BroughtBack(),
            Cancelled: Cancelled(),
            Deleted: Deleted(),
            Rescheduled: Rescheduled(moment),
            Updated: updated(**changes),
        }
        command = ready[self.kind]
        return command if self.by is None else evolve(command, by=self.by, reason=str(self.ticks))


def _rarely(strategy: st.SearchStrategy[int]) -> st.SearchStrategy[int | None]:
    return st.one_of(st.none(), st.none(), strategy)


_PRIORITY: Final = st.sampled_from((0, 0, 0, 1, -1, 1000, -1000))
_RETENTION: Final = st.sampled_from((0.0, 0.0, 0.25, 1.5))

_TUNED: Final = frozenset(
    {
        "name", "id", "payload", "queue", "priority", "due", "max_crashes", "expires", "retention",
        "group", "unique_key", "unique_for", "on_duplicate",
    }
)  # fmt: skip
"""Fields with a strategy of their own, as their values are to collide or to come in order."""


def _one_other(names: Iterable[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for an example of one other field, often of none."""
    found = [
        {name: value} for name in names if name not in _TUNED for value in FIELDS[name].examples
    ]
    return st.just(dict[str, Any]()) | st.sampled_from(found)


TASK: Final = st.builds(
    TaskDraft,
    name=st.sampled_from(("machine:task", "machine:task", "é: other")),
    id=st.sampled_from(IDS),
    queue=st.sampled_from(QUEUES),
    priority=_PRIORITY,
    due=_rarely(st.integers(-2_000, 4_000)),
    expires=_rarely(st.integers(0, 4_000)),
    retention=_RETENTION,
    max_crashes=st.integers(1, 3),
    payload=st.binary(max_size=3),
    unique_key=st.sampled_from((None, None, "k", "l |")),
    unique_for=_rarely(st.integers(1, 4_000)),
    on_duplicate=st.sampled_from((REJECT, REPLACE, RERUN)),
    group=st.sampled_from((None, None, "g", "é |")),
    others=_one_other(FIELDS),
)

TASKS: Final = st.lists(TASK, min_size=2, max_size=8)

_GROUPS: Final = frozenset({Capability.GROUPS})
_LIMITS: Final = frozenset({Capability.LIMITS})
_ENTRIES: Final = frozenset({Capability.PERIODIC})
_COUNTED: Final = frozenset({Capability.STATISTICS})

UNUSED_CAPABILITIES: Final = st.sampled_from(
    (
        _ENTRIES | _COUNTED,
        _ENTRIES | _COUNTED | _GROUPS,
        _ENTRIES | _COUNTED | _LIMITS,
        _ENTRIES | _COUNTED | _GROUPS | _LIMITS,
        _ENTRIES | _GROUPS | _LIMITS,
        _COUNTED | _GROUPS | _LIMITS,
        _GROUPS,
        _LIMITS,
    )
)
"""Capabilities that a run of the machine does without: half of the runs have rules for neither
entries nor statistics, so that the others are drawn as often as ever."""

OUTCOME: Final = st.builds(
    OutcomeDraft,
    lease=st.integers(0, 7),
    kind=st.sampled_from(
        (Succeeded, Failed, Exhausted, Rejected, Revoked, Snoozed, Released, Crashed, Cancelled)
    ),
    ticks=st.integers(-1_000, 4_000),
    flag=st.booleans(),
    then=st.one_of(st.just([]), st.lists(TASK, max_size=2)),
)

DETAILS_UPDATES: Final = st.lists(
    st.builds(
        DetailsDraft,
        lease=st.integers(0, 7),
        fraction=st.sampled_from((None, 0.0, 1 / 3, 1.0)),
        saved=st.none() | st.binary(max_size=3),
    ),
    min_size=1,
    max_size=4,
)

TICKS: Final = st.integers(1, 3_000)
"""How long a lease is given for."""

INDEXES: Final = st.lists(st.integers(0, 7), min_size=1, max_size=4)
"""Which leases a worker may know of."""

WAIT: Final = st.one_of(st.just(0), st.integers(0, 5_000))
"""Ticks that pass before something happens: often none."""

QUOTAS: Final = st.dictionaries(st.sampled_from(QUEUES), st.integers(0, 3), min_size=1)


def _both(some: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return some | other


_CHANGES: Final = st.builds(
    _both,
    st.fixed_dictionaries(
        {},
        optional={
            "payload": st.binary(max_size=3),
            "priority": _PRIORITY,
            "max_crashes": st.integers(1, 3),
            "expires": st.none(),
            "retention": _RETENTION,
            "headers": st.just({}),
        },
    ),
    _one_other(sorted(CHANGEABLE)),
)

COMMANDS: Final = st.builds(
    CommandDraft,
    kind=st.sampled_from(
        (
            *(RunNow, Archived, Cancelled, Deleted, Rescheduled, Rescheduled, Updated, Updated),
            *(Discarded, BroughtBack),
        )
    ),
    ticks=st.integers(-1_000, 4_000),
    changes=_CHANGES,
    expires=st.booleans(),
    by=st.sampled_from((None, "é", "ann@laptop")),
)

LIMIT_CHANGES: Final[st.SearchStrategy[LimitChange]] = st.sampled_from(
    (
        *(SetRate(None), SetRate(None), SetRate(Rate(2, 0.5)), SetRate(Rate(1, 1.0))),
        *(SetInFlight(None), SetInFlight(None), SetInFlight(1), SetInFlight(2)),
        *(SetPaused(is_paused=True), SetPaused(is_paused=False), SetPaused(is_paused=False)),
    )
)
"""Their paces are sums of powers of two, as all moments are, so that sums are exact."""
