"""The edge on one page: what the application asks of the world, and what the world must keep.

Every bullet below is a promise, and has a case in `qcore.testing.contract`. Batches go in, answers
come back in the order asked. Time arrives as `now`: no broker reads a clock. Expected answers are
values; a store that is unwell raises `BrokerUnavailable` (it may be well later) or
`BrokerUnusable` (somebody has to act), and then nothing of the call may be assumed.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

from qcore.domain.findings import Finding
from qcore.domain.flow import Limits, Rule
from qcore.domain.groups import Group, Stale
from qcore.domain.happenings import Happening
from qcore.domain.lifecycle import Order, State
from qcore.domain.moments import Moment
from qcore.domain.notes import Details, Note, Noted
from qcore.domain.record import record
from qcore.domain.task import (
    Admission,
    Claim,
    Demand,
    Lease,
    LeaseLost,
    Missing,
    Moved,
    NewTask,
    NotAllowed,
    Settled,
    Swept,
    Task,
    TaskId,
    Verdict,
)

T = TypeVar("T")

Lost: TypeAlias = Callable[[str, int], None]
"""To be told of a lease that has ended, by its queue and its token."""


Told: TypeAlias = Callable[[str, Sequence[TaskId]], None]
"""To be told of tasks that have news, by their queue and their ids; with none of them: any may."""


class Capability(StrEnum):
    """What a broker can do beyond the port; asked for, never inferred from its class."""

    SHARED = "shared"
    """Several processes may work on the one store."""
    DURABLE = "durable"
    """What was acknowledged outlives the process."""
    UNIQUE = "unique"
    """Of tasks with one unique key, one at a time is in a queue."""
    GROUPS = "groups"
    """Tasks of one group can be aggregated: the broker is a `Gatherer`."""
    FLOW = "flow"
    """How fast and how widely a queue runs can be limited: the broker is a `Regulator`."""
    TIME = "time"
    """The store has a clock, and all who use it go by it: the broker is a `Timekeeper`."""


class Producer(Protocol):
    """What a client needs."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return what the broker can do beyond the port."""
        ...

    async def enqueue(self, tasks: Sequence[NewTask], *, now: Moment) -> Sequence[Admission]:
        """Store tasks.

        - Each answer is at its task's place: `Enqueued` with its state, `Duplicate` or `Conflict`.
        - A task due after `now` is scheduled; any other is pending, due now, or aggregating if it
          has a group.
        - Everything asked for is stored and comes back unchanged: payload, headers, every option.
        - An id that lives in the same queue is a `Conflict` that names its state, and writes
          nothing; the others of the batch go in.
        - The same id twice in one batch: the first goes in, the second conflicts with it.
        - An id that has ended (completed, archived, dead) is replaced, with nothing left of it.
        - The same id may live in two queues.

        And with `Capability.UNIQUE`:

        - A task has its `unique_key` from now until it has ended (completed, archived, dead or
          gone, whichever way), through retries, snoozes and crashes; for `unique_for` seconds if
          that is shorter. An ended one that is run again does not get it back.
        - A key that a live task has is answered with `Duplicate`, which names that task and its
          state, and writes nothing; the others of the batch go in. An id that lives comes first: it
          is a `Conflict`.
        - With `on_duplicate="replace"`, a task that has the key and is not active is gone, and the
          new one takes its place, even under the same id; one that is active stays.
        - When the time of a key is over and another task has it, that is the other's: how the first
          ends changes nothing.
        - The same key may be had in two queues. Within a batch the first has it.
        - An empty batch is answered with no answers.
        """
        ...


class Consumer(Protocol):
    """What a worker needs."""

    async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
        """Take tasks, each under a lease that ends at `until`.

        - Scheduled and retrying tasks of these queues whose moment is `now` or earlier become
          pending first (at most 1,000 a queue a call), in the order of their moments; none earlier
          than its moment, to the millisecond.
        - At most `demand.limit` in all, and that many if so many are to be had.
        - Each queue's quota first; what room is left from the queues in the order given.
        - Within a queue the higher priority first, within one priority first in, first out.
        - Only the queues named.
        - A task whose `expires` is `now` or earlier is not handed out: it is dead, "expired".
        - Each claim shows the task as active, this attempt counted, and a lease that ends at
          `until` with a token greater than any that its queue has given before, even to a task
          long gone.
        - A task is handed out once, however many claim at the same time.
        - A limit of zero or an unknown queue is answered with no claims.
        """
        ...

    async def settle(
        self, verdicts: Sequence[Verdict], *, now: Moment
    ) -> Sequence[Settled | LeaseLost]:
        """End leases.

        - Each answer is at its verdict's place: `Settled` with the task's new state, or
          `LeaseLost`.
        - A verdict counts only with the current token of a task that is active, and the lease's
          end does not matter so long as nobody has taken the task back; otherwise nothing changes.
        - The new state is `advance(task, outcome)`.
        - `Succeeded`: kept with its result for `retention` seconds from `now`, or gone.
        - `Failed`: one failure more if it `burns`, its error kept, due at `again_at`.
        - `Exhausted`: one failure more; archived with its error. `Rejected`: dead with its error.
        - `Snoozed`: due at `again_at`. `Released`: pending ahead of its whole priority, as it was
          before it was claimed. Neither burns anything.
        - `Snoozed(unhandled=True)` sets `unhandled_since` to `now` if it is not set; every other
          verdict clears it.
        - `Crashed`: one crash more, and pending again at its old place, or dead at `max_crashes`.
        - `Cancelled`: dead with its reason. `Revoked`: gone.
        - `Succeeded(then=…)`: those tasks are enqueued in the same step, in any queue, as `enqueue`
          would; and not if the lease is lost. One that is refused there is left out, and is no
          error. Within a batch they may be enqueued after all its verdicts. Where one step does not
          reach two queues (a Redis cluster), they are enqueued in a step before, once the lease was
          seen to be good.
        - `Failed`, `Exhausted`, `Rejected` and `Crashed` are added to the errors in `details`.
        - The same verdict twice: the second is `LeaseLost`, and changes nothing.
        """
        ...

    async def extend(
        self, leases: Sequence[Lease], *, now: Moment, until: Moment
    ) -> Sequence[Lease | LeaseLost]:
        """Renew leases.

        - Each answer is at its lease's place: the same lease, ending at `until`, or `LeaseLost`.
        - A lease that has run out is renewed all the same while nobody has taken the task back.
        - A lease with another token than the task's, or of a task not active, is lost.
        """
        ...

    async def note(self, notes: Sequence[Note], *, now: Moment) -> Sequence[Noted | LeaseLost]:
        """Keep what runs say of themselves, to be read by `details`.

        - Each answer is at its note's place: `Noted`, or `LeaseLost`.
        - A note counts as a verdict would: with the current token of a task that is active.
        - Progress takes the place of earlier progress, and saved work that of earlier work; what a
          note does not have stays as it is.
        """
        ...

    async def sweep(self, queues: Sequence[str], limit: int, *, now: Moment) -> Swept:
        """Move what time has moved: at most `limit` of a kind (see `Swept`) a queue.

        - An active task whose lease ended at `now` or earlier has `Crashed`; its lease is lost.
        - A pending task whose `expires` is `now` or earlier is dead, "expired".
        - A completed task is gone when its `retention` is over.
        - An archived or a dead task is gone when it is older than the broker's `Keep.age`, or when
          its queue has more than `Keep.count` of them: the oldest first.
        - Only the queues named; the answer counts what was moved, and says whether there is more.
        """
        ...

    async def next_due(self, queues: Sequence[str]) -> Moment | None:
        """Return when the next scheduled or retrying task of these queues is due.

        - None when there is none. The moment may have passed already.
        - Where nothing but its rate keeps a queue's pending tasks, the moment at which the next may
          start counts too (with `Capability.FLOW`).
        """
        ...

    async def listen(
        self, queues: Sequence[str], heard: Callable[[], None], lost: Lost | None = None
    ) -> "Listener":
        """Call `heard` whenever these queues may have something new to claim or to wait for.

        - When an enqueue, a claim, a settle, a sweep or an operator's move gives one of these
          queues something pending where there was nothing, or an earlier moment at which something
          is due, `heard` is called: in the same process at once, from another process within the
          broker's own delay. What a claim gives is what it makes pending and leaves.
        - So it is when something begins to wait in a group that was empty, and when a task that
          was active, or a rule that was set, no longer keeps a queue from handing out what it has.
        - `heard` may be called from any thread, and once too often rather than once too few.
        - When an order ends the lease of an active task of these queues, `lost` is called with the
          queue and the lease's token: in the same process at once, from another process within the
          broker's own delay. It may be called from any thread, of a lease that is somebody else's
          too, and after a disturbance not at all: then `extend` tells.
        - After `close`, neither is called again.
        """
        ...


class Listener(Protocol):
    """An ear at a broker."""

    async def close(self) -> None:
        """Stop listening."""
        ...


@record
class Page:
    """Some tasks of a longer list; `cursor` asks for those after them, None at the end."""

    tasks: Sequence[Task]
    cursor: str | None = None


Counts: TypeAlias = Mapping[str, Mapping[State, int]]
"""Queue to state to the number of tasks, states with none left out."""


class Operator(Protocol):
    """What an inspector needs."""

    async def get(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Task | None]:
        """Return tasks as they are.

        - Each answer is at its id's place, None for one that is not stored in this queue.
        """
        ...

    async def browse(
        self, queue: str, state: State, limit: int, *, cursor: str | None = None
    ) -> Page:
        """Return tasks of one queue and state, page by page.

        - Pending ones in the order of claiming, scheduled and retrying ones by moment due,
          active ones by the end of their lease, ended ones with the latest first.
        - At most `limit`; every task that stays in its state through all pages is in exactly one.
        """
        ...

    async def details(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Details | None]:
        """Return what is kept of the runs of tasks.

        - Each answer is at its id's place, None for a task that is not stored in this queue.
        - The last ten errors, the oldest first: each with its moment, its attempt, and the worker
          and the traceback that the verdict named. A lease that ran out is one of them.
        - The last progress and the last saved work, whatever became of the run.
        - All of it is kept until the task is gone, or another takes its id.
        """
        ...

    async def follow(self, queues: Sequence[str], told: Told) -> "Listener":
        """Call `told` whenever tasks of these queues have news.

        - When a task of these queues is completed, archived or dead, by a verdict, an order or the
          time, or when its progress was noted, `told` is called with the queue and its id: in the
          same process at once, from another process within the broker's own delay.
        - It may be called with no ids, when any may have news, as after a disturbance; once too
          often; from any thread; and of a task that is gone not at all.
        - After `close`, it is not called again.
        """
        ...

    async def count(self) -> Counts:
        """Count the tasks of every queue that has any.

        - Exactly, by state.
        """
        ...

    async def order(
        self, queue: str, ids: Sequence[TaskId], order: Order, *, now: Moment
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """Carry out an operator's order on tasks of one queue.

        - Each answer is at its id's place: `Moved` with the new state; `NotAllowed` with the
          state, where the table has no such move; `Missing` where there is no such task.
        - `RunNow` makes a task pending and due now, behind those pending, with no failures, no
          crashes, no error, no result and no expiry.
        - `Archived` and `Cancelled` keep it as archived or dead, with the reason.
        - `Cancelled` ends the lease of an active task: its worker's verdict is `LeaseLost`.
        - `Deleted` leaves nothing of it.
        - `Rescheduled` makes it due at its moment, later or earlier, in its state: one that was
          pending or aggregating is scheduled.
        - `Updated` changes what was asked for, and leaves the task where it is; a pending one of
          another priority goes behind those of that priority.
        """
        ...


class Broker(Producer, Consumer, Operator, Protocol):
    """Where tasks wait.

    - A call writes everything or nothing of what it has for a queue, up to 100 tasks. A larger
      batch, or one for several queues, may be cut between; then the call raises, and to make it
      again is safe: what was written is a `Conflict`, or its lease is lost.
    - A broker may be used from several threads, and `blocking()` from any.
    """

    async def open(self) -> None:
        """Make the store ready; opening twice is opening once."""
        ...

    async def close(self) -> None:
        """Let go of the store; closing twice is closing once."""
        ...

    def blocking(self) -> "Broker":
        """Return a broker over the same store that never suspends; perhaps itself."""
        ...


class Regulator(Protocol):
    """What a broker with `Capability.FLOW` has besides."""

    async def regulate(self, queue: str, rule: Rule, *, now: Moment) -> Limits:
        """Set one of a queue's limits, for all who claim from it, from now on.

        - The answer is what holds then, the other limits as they were; `limits` tells the same.
        - `SetPaused(True)`: nothing is handed out; what is due becomes pending all the same, and
          what is active goes on. `SetPaused(False)`: it is handed out again.
        - `SetInFlight(n)`: nothing is handed out that would make more than `n` tasks active.
        - `SetRate(rate)`: tasks are handed out as `Rate` says, whoever claims them, from a bucket
          that is full now; the rate that holds already, set again, does not fill it. What is dead,
          "expired", takes nothing from it, and what comes back puts nothing into it.
        - None lifts a limit. Limits last while the queue is empty; without any, nothing is left.
        """
        ...

    async def limits(self, queues: Sequence[str]) -> Sequence[Limits]:
        """Return what holds for queues.

        - Each answer is at its queue's place; `Limits()` for one that is unknown.
        """
        ...


class Gatherer(Protocol):
    """What a broker with `Capability.GROUPS` has besides."""

    async def groups(self, queue: str, limit: int, *, after: str = "") -> Sequence[Group]:
        """Return groups of a queue in which tasks wait, in the order of their names.

        - At most `limit`, those whose names come after `after` (by code points).
        - Each with the number of its members, and when the first and the last of them were due.
        """
        ...

    async def members(self, queue: str, group: str, limit: int) -> Sequence[Task]:
        """Return tasks that wait in a group, those due first before the others.

        - At most `limit`.
        """
        ...

    async def aggregate(
        self, queue: str, group: str, ids: Sequence[TaskId], task: NewTask, *, now: Moment
    ) -> Admission | Stale:
        """Put one task in the place of members of a group, in one step.

        - `Stale` unless all of `ids` wait in that group, and there is one at least; then nothing is
          written. So of two who aggregate the same members one does.
        - The task is admitted as by `enqueue` while its members are there; where that answers
          `Conflict` or `Duplicate`, so does this, and nothing is written.
        - Else the members are gone, and their unique keys free; others of the group stay.
        - `task` is of the same queue and of no group, and there are at most 1,000 ids.
        """
        ...


class Timekeeper(Protocol):
    """What a broker with `Capability.TIME` has besides."""

    def time(self) -> Moment:
        """Return what time it is by the store's clock.

        - All who have opened a broker on the store agree to within a round trip to it, whatever
          the clocks of their machines say.
        - A broker and its `blocking()` tell the same time once either was opened.
        - To ask makes nobody wait, and may be done from any thread.
        - Before the first opening it is this machine's time.
        """
        ...


@runtime_checkable
class Examined(Protocol):
    """What a broker is besides whose store can be looked over; ask with `isinstance`."""

    async def examine(self) -> Sequence[Finding]:
        """Return how the store is, and what to do about it; it need not be open before.

        What it writes to try things out it removes again. Raises `BrokerUnavailable` or
        `BrokerUnusable` where nothing more can be said.
        """
        ...


class Clock(Protocol):
    """What time it is, and waiting for it."""

    def now(self) -> Moment:
        """Return this moment."""
        ...

    async def sleep_until(self, moment: Moment) -> None:
        """Wait until `moment`; return at once if it has passed."""
        ...

    def every(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Call `call` every so many seconds, off the event loop; return what stops it.

        What stops it waits for a call in progress to end.
        """
        ...

    def blocking(self) -> "Clock":
        """Return the same clock with a `sleep_until` that blocks and never suspends."""
        ...


class Serializer(Protocol):
    """Values to bytes and back."""

    @property
    def content_type(self) -> str:
        """Return the name of the format, stored with what was written in it."""
        ...

    def dumps(self, value: object) -> bytes:
        """Return a value as bytes; raise `CannotEncode` where it has no form."""
        ...

    def loads(self, data: bytes, kind: type[T]) -> T:
        """Return the value that `data` is, as a `kind`; raise `CannotDecode` if it is none."""
        ...


class Instrument(Protocol):
    """Something that wants to know: a log, a metric, a trace, a test.

    It may have an attribute `wants`, a set of the kinds of `Happening` that it takes note of, so
    that no others are made for it; without one it is told of all.
    """

    def __call__(self, happening: Happening) -> None:
        """Take note of what happened; called on the worker's loop or its heartbeat thread.

        What it raises is logged, and changes nothing for the task.
        """
        ...
