"""An entry: the task to make, the schedule it is made by, and how far it has come."""

from typing import Final, Literal, Protocol, TypeAlias

from attrs import field

from qcore.domain.errors import InvalidTask
from qcore.domain.moments import Moment
from qcore.domain.new_task import MAX_BUDGET, MAX_NAME, NewTask, TaskId
from qcore.domain.record import record
from qcore.domain.task_fields import moment as check_moment
from qcore.domain.task_fields import one_of, seconds, some_seconds, text, whole

EntryId: TypeAlias = str
"""The name of an entry: unique in its queue."""
Missed: TypeAlias = Literal["skip", "one", "all"]
Overlap: TypeAlias = Literal["allow", "skip", "queue"]

MAX_ENTRY_ID: Final = 200
"""Characters: with an instant behind it, it is the id of a task."""
MAX_CATCH_UP: Final = 100
"""Tasks that one tick enqueues: what a broker stores in one step."""
MAX_SCHEDULE: Final = 1_000
GRACE: Final = 60.0
KEPT_HISTORY: Final = 20
"""Ticks that are kept of each entry."""
MISSED: Final = "missed"
"""How the note of a tick begins up to which others were left out, as nobody was there in time."""

check_name: Final = text(MAX_ENTRY_ID, without=" ")
"""Refuses what is no name of an entry."""
_check_schedule: Final = text(MAX_SCHEDULE)
_check_missed: Final = one_of("skip", "one", "all")
_check_overlap: Final = one_of("allow", "skip", "queue")
_check_catch_up: Final = whole(1, MAX_CATCH_UP)
_check_runs: Final = whole(1, MAX_BUDGET * 1_000)
_check_declarer: Final = text(2 * MAX_NAME)


class Ticks(Protocol):
    """When a schedule ticks."""

    def after(self, moment: Moment) -> Moment | None:
        """Return the first tick that is later than `moment`, None where none is to come."""
        ...


@record
class Entry:
    """Ask for a task at each tick of a schedule.

    Durations are in seconds and moments in epoch seconds. Raises `InvalidTask`, which names the
    value, when one is out of its range.
    """

    task: NewTask
    """The task to make. Its id is the entry's; that of each task made has the instant behind it."""
    schedule: str
    """When it is made, as `Schedule.spelled()`."""
    missed: Missed = "one"
    """What is made of ticks that have passed unseen, as while no scheduler ran: "one" task for the
    last of them; "all", a task for each, at most the last `catch_up`; "skip", one for the last if
    it is not late by more than `grace`."""
    catch_up: int = MAX_CATCH_UP
    """The most tasks that are made up for at once: 1 to 100."""
    grace: float = GRACE
    """Seconds by which a tick may be late and is still on time."""
    overlap: Overlap = "allow"
    """What a tick does while the task of the last one lives: "allow" both; "skip" this one; "queue"
    it until the other has ended."""
    jitter: float = 0.0
    """The task is made up to so many seconds after the tick: always as many for one entry and
    instant, so that all schedulers agree."""
    start: Moment | None = None
    """No tick is earlier than this."""
    end: Moment | None = None
    """Every tick is earlier than this."""
    max_runs: int | None = None
    """Tasks that are made in all; None for any number."""
    expires_after: float | None = None
    """Seconds after a tick at which its task is not to start any more."""
    declared_by: str | None = None
    """The code that declares it, such as "app.mail:send_report"; None for one that was added at run
    time, and lasts until it is removed."""

    def __attrs_post_init__(self) -> None:
        """Refuse what no scheduler could carry out."""
        check_name("the name of an entry", self.task.id)
        _check_schedule("schedule", self.schedule)
        _check_missed("missed", self.missed)
        _check_overlap("overlap", self.overlap)
        _check_catch_up("catch_up", self.catch_up)
        seconds("grace", self.grace)
        seconds("jitter", self.jitter)
        check_moment("start", self.start)
        check_moment("end", self.end)
        some_seconds("expires_after", self.expires_after)
        if self.max_runs is not None:
            _check_runs("max_runs", self.max_runs)
        if self.declared_by is not None:
            _check_declarer("declared_by", self.declared_by)
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise InvalidTask(f"end ({self.end!r}) is not after start ({self.start!r})")
        self._check_template()

    def _check_template(self) -> None:
        for name in ("due", "deadline", "expires"):
            if getattr(self.task, name) is not None:
                raise InvalidTask(
                    f"{name} of the periodic task {self.id!r} is {getattr(self.task, name)!r}: "
                    "expected none, as each tick has its own; a task that is not to start late has "
                    "expires_after"
                )

    @property
    def id(self) -> EntryId:
        """Return its name."""
        return self.task.id

    @property
    def queue(self) -> str:
        """Return the queue in which it lies, and its tasks."""
        return self.task.queue


@record
class TickRecord:
    """What became of a tick."""

    at: Moment
    """The instant that it is for."""
    late_by: float
    """Seconds from then, or from when the jitter was over, until it was seen to."""
    task: TaskId | None = None
    """The task that was made."""
    note: str | None = None
    """Why none was, or why one was beside the schedule."""

    @property
    def has_missed(self) -> bool:
        """Return whether ticks up to this one were left out as missed."""
        return self.note is not None and self.note.startswith(MISSED)


@record
class EntryState:
    """How far an entry has come."""

    after: Moment
    """The last instant that was seen to, or since when it counts: ticks later than this are still
    to come, whatever the clock says."""
    next: Moment | None = None
    """The next tick; None where none is to come."""
    wake: Moment | None = None
    """When a scheduler has to look at it; None for never."""
    runs: int = 0
    """Tasks made by ticks."""
    last_task: TaskId | None = None
    is_waiting: bool = False
    """Whether the next tick waits for the end of the last task."""
    is_paused: bool = False
    declared_until: Moment | None = None
    """Until when the declaration counts, of an entry that code declares."""
    history: tuple[TickRecord, ...] = field(default=())
    """The last ticks, the oldest first."""


@record
class StoredEntry:
    """An entry as a broker has it."""

    entry: Entry
    state: EntryState
    revision: str = ""
    """Changes whenever it does; only the broker that gave it knows what it means."""

    @property
    def id(self) -> EntryId:
        """Return its name."""
        return self.entry.id

    @property
    def queue(self) -> str:
        """Return its queue."""
        return self.entry.queue

    def is_stale(self, now: Moment) -> bool:
        """Return whether no code declares it any more, of those that did."""
        until = self.state.declared_until
        return until is not None and until <= now


@record
class UnreadableEntry:
    """An entry that a newer qcore has stored, or somebody by hand: shown, and never fired."""

    queue: str
    id: EntryId
    why: str
    revision: str = ""


FoundEntry: TypeAlias = StoredEntry | UnreadableEntry
"""What lies in a store under the id of an entry."""
