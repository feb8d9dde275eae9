"""Which workers are started, stopped and killed, and when: decisions, no deeds.

Time is an argument; what is decided is returned by `due` as a list, to be carried out by whoever
asks. Workers are started one at a time and apart. As long as none of those with the same code has
come to serve, there is one attempt at a time: a mistake is met once, not by every worker.
"""

from collections.abc import Iterator, Sequence
from enum import Enum, auto
from math import inf
from typing import Final, TypeAlias

from attrs import Factory, define

from qcore.domain.backoff import Exponential
from qcore.domain.record import record
from qcore.domain.retry import Dice

STAGGER: Final = 0.5
"""Seconds between the starts of two workers."""
BACKOFF: Final = Exponential(base=1.0, cap=60.0, jitter=False)
"""Seconds before a worker that has died is started again; half of them are left to the dice."""
STEADY: Final = 30.0
"""Seconds of service after which earlier failures of a place are forgotten."""
SHORTEST_SERVICE: Final = 5.0
"""Seconds for which a worker serves before a limit may replace it: one that is reached at once must
not have processes come and go without end."""
AT_ONCE_TIMEOUT: Final = 5.0
"""Seconds to leave in at once, after which a worker is killed: longer than it needs."""
DOUBT: Final = 2.0
"""Seconds for which a worker that has been silent for too long may yet show that it turns: where
all processes were frozen, as in a container that was paused, its supervisor may be the first to go
on."""
MISCONFIGURED: Final = 2
"""The exit status of a worker with a wrong argument, or whose module cannot be imported."""


class Phase(Enum):
    """What a worker is doing, as far as its supervisor is concerned."""

    STARTING = auto()
    SERVING = auto()
    LEAVING = auto()


@define(eq=False)
class Member:
    """One worker process. Only its fleet writes to it."""

    place: int
    """The number of the worker, from 0; for a moment two of them may have the same."""
    generation: int
    """How often the code had been renewed when it was started."""
    since: float
    """When its phase began."""
    phase: Phase = Phase.STARTING
    is_at_limit: bool = False
    kill_at: float = inf
    hung_at: float = inf
    """When it is taken for one that hangs, unless it shows before that it turns."""
    is_doubted: bool = False
    has_turned: bool = False
    """Whether it is known to show that it turns: one of an older version of qcore does not."""


@record
class Start:
    """Start a process for a new member."""

    member: Member


@record
class Stop:
    """Ask a member to leave, within its grace or at once."""

    member: Member
    at_once: bool = False


@record
class Kill:
    """End a member that has not left in time, or that hangs."""

    member: Member
    why: str


Action: TypeAlias = Start | Stop | Kill


@define(eq=False)
class _Place:
    """Where one worker is to be."""

    members: list[Member] = Factory(list[Member])
    failures: int = 0
    start_at: float = 0.0
    is_finished: bool = False
    """Whether the work of a burst is done here."""

    def member(self, phase: Phase) -> Member | None:
        return next((each for each in self.members if each.phase is phase), None)


class Fleet:
    """So many workers, whatever becomes of each.

    `leave_timeout` is how long one may take to leave, and `hang_timeout` how long one that serves
    may show no sign that its event loop turns (infinity for any time). `is_burst` says that workers
    end by themselves, and `awaits_change` that code which cannot be imported will be mended:
    instead of giving up, the fleet waits for `renew`.
    """

    def __init__(
        self,
        size: int,
        dice: Dice,
        *,
        leave_timeout: float,
        hang_timeout: float = inf,
        is_burst: bool = False,
        awaits_change: bool = False,
    ) -> None:
        self._places = [_Place() for _ in range(size)]
        self._dice = dice
        self._leave_timeout = leave_timeout
        self._hang_timeout = hang_timeout
        self._is_burst = is_burst
        self._awaits_change = awaits_change
        self._generation = 0
        self._proven = -1
        """The newest generation of which a member has come to serve."""
        self._next_start = 0.0
        self._pending: list[Action] = []
        self._is_stopping = False
        self.is_broken = False
        """Whether the code cannot be imported, and a change of it is waited for."""
        self.status = 0
        """The exit status, once it is over."""

    # --- what there is -------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """How many workers there should be."""
        return len(self._places)

    @property
    def members(self) -> Sequence[Member]:
        """All workers that have not ended."""
        return [member for place in self._places for member in place.members]

    @property
    def is_over(self) -> bool:
        """Whether all have ended, and none is to come."""
        is_done = self._is_stopping or all(place.is_finished for place in self._places)
        return is_done and not self.members

    @property
    def is_renewed(self) -> bool:
        """Whether every place that is served is served by the newest code."""
        return self.is_broken or all(
            member.generation == self._generation and member.phase is Phase.SERVING
            for member in self.members
            if member.phase is not Phase.LEAVING
        )

    # --- what has happened ---------------------------------------------------------------------

    def served(self, member: Member, now: float) -> None:
        """Take a member for a worker that serves, and let the one before it leave."""
        if member.phase is not Phase.STARTING:
            return
        place = self._places[member.place]
        predecessor = place.member(Phase.SERVING)
        member.phase, member.since = Phase.SERVING, now
        if member.has_turned:
            self.turned(member, now)
        self._proven = max(self._proven, member.generation)
        if predecessor is not None:
            self._dismiss(predecessor, now)

    def turned(self, member: Member, now: float) -> None:
        """Note that the event loop of a member is not blocked.

        Until it serves it may be: a lifespan that loads a model takes as long as it takes.
        """
        member.has_turned, member.is_doubted = True, False
        if member.phase is Phase.SERVING:
            member.hung_at = now + self._hang_timeout

    def reached_limit(self, member: Member) -> None:
        """Have a member replaced by a new one."""
        member.is_at_limit = True

    def renew(self, now: float) -> None:
        """Replace all members by others, which load the code anew."""
        self._generation += 1
        self.is_broken = False
        for place in self._places:
            # what has failed may have been mended
            place.failures, place.start_at = 0, 0.0
            if (member := place.member(Phase.STARTING)) is not None:
                self._dismiss(member, now)

    def stop(self, now: float, *, at_once: bool = False) -> None:
        """Have all leave, and start none."""
        self._is_stopping = True
        for member in self.members:
            if at_once or member.phase is not Phase.LEAVING:
                self._dismiss(member, now, at_once=at_once)

    def ended(self, member: Member, status: int, now: float) -> float | None:
        """Note the end of a member; return when its place is filled again, None for never.

        `status` is negative for a signal.
        """
        place = self._places[member.place]
        place.members.remove(member)
        if self._is_stopping:
            self.status = self.status or int(status != 0)
            return None
        if member.phase is Phase.LEAVING:
            return None
        if self._is_burst:
            self._end_of_burst(place, status, now)
            return None
        if status == MISCONFIGURED and not self._is_proven and self._give_up(member, now):
            return None
        return self._retry(place, member, now)

    # --- what is to be done --------------------------------------------------------------------

    def due(self, now: float) -> Sequence[Action]:
        """Return what is to be done now, each thing once."""
        actions = [*self._pending, *self._overdue(now), *self._hanging(now)]
        self._pending.clear()
        # one at a time, as the next one's moment follows from the last one's
        if (start := self._start_at()) is not None and start[0] <= now:
            member = Member(start[1], self._generation, now)
            self._places[member.place].members.append(member)
            self._next_start = now + STAGGER
            actions.append(Start(member))
        return actions

    def next_at(self) -> float:
        """Return when something is due; infinity where only an event can change that."""
        if self._pending:
            return -inf
        start = self._start_at()
        kills = [min(member.kill_at, member.hung_at) for member in self.members]
        return min([*kills, inf if start is None else start[0]])

    # --- how -----------------------------------------------------------------------------------

    @property
    def _is_proven(self) -> bool:
        return self._proven == self._generation

    def _start_at(self) -> tuple[float, int] | None:
        """Return when the next member is to be started and at which place; None for never."""
        if self._is_stopping or self.is_broken:
            return None
        wanted = list(self._wanted())
        if not self._is_proven:
            wanted = [] if self._is_any_starting(self._generation) else wanted[:1]
        return min(wanted, default=None)

    def _wanted(self) -> Iterator[tuple[float, int]]:
        """Yield places that want a member, and when they may have it: empty ones first."""
        replaced: list[tuple[float, int]] = []
        for number, place in enumerate(self._places):
            if place.is_finished or place.member(Phase.STARTING) is not None:
                continue
            at = max(place.start_at, self._next_start)
            member = place.member(Phase.SERVING)
            if member is None:
                yield at, number
            elif member.generation < self._generation:
                replaced.append((at, number))
            elif member.is_at_limit:
                replaced.append((max(at, member.since + SHORTEST_SERVICE), number))
        if self._has_room_for_one_more:
            yield from replaced

    @property
    def _has_room_for_one_more(self) -> bool:
        """Whether a member may be started while the one that it is to replace still serves.

        There is memory for one more than there are places. In development a change does not wait
        for what the code of before still runs.
        """
        is_replacing = any(len(_present(place)) > 1 for place in self._places)
        return not is_replacing and (self._awaits_change or len(self.members) <= self.size)

    def _is_any_starting(self, generation: int) -> bool:
        return any(
            member.phase is Phase.STARTING and member.generation == generation
            for member in self.members
        )

    def _overdue(self, now: float) -> Iterator[Kill]:
        for member in self.members:
            if member.kill_at <= now:
                member.kill_at = inf
                yield Kill(member, "it has not left in time")

    def _hanging(self, now: float) -> Iterator[Kill]:
        for member in self.members:
            if member.hung_at > now:
                continue
            if member.is_doubted:
                member.hung_at = inf
                yield Kill(member, f"its event loop is blocked for {self._hang_timeout:g} s")
            else:
                member.hung_at, member.is_doubted = now + DOUBT, True

    def _dismiss(self, member: Member, now: float, *, at_once: bool = False) -> None:
        """Have a member leave, and be killed where it does not."""
        timeout = AT_ONCE_TIMEOUT if at_once else self._leave_timeout
        member.kill_at, member.hung_at = min(member.kill_at, now + timeout), inf
        member.phase, member.since = Phase.LEAVING, now
        self._pending.append(Stop(member, at_once))

    def _end_of_burst(self, place: _Place, status: int, now: float) -> None:
        place.is_finished = True
        # the exit status of a signal is that of no command
        self.status = self.status or (status if status >= 0 else 1)
        if status != 0 and not self._is_proven:
            # so would all
            self.stop(now)

    def _give_up(self, member: Member, now: float) -> bool:
        """Give up code that cannot be imported, or a wrong argument; return whether so."""
        if self._awaits_change:
            # what an older code's end says nothing about the newest
            self.is_broken = member.generation == self._generation
            return self.is_broken
        if self._proven < 0:
            self.status = MISCONFIGURED
            self.stop(now)
            return True
        # members with the code of before serve on: this one is tried again now and then
        return False

    def _retry(self, place: _Place, member: Member, now: float) -> float:
        if member.phase is Phase.SERVING and now - member.since >= STEADY:
            place.failures = 0
        roll = self._dice()
        pause = BACKOFF(place.failures, roll) * (1 + roll) / 2
        place.failures += 1
        place.start_at = now + pause
        return place.start_at


def _present(place: _Place) -> list[Member]:
    return [member for member in place.members if member.phase is not Phase.LEAVING]
