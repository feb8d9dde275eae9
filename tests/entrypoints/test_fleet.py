"""What a supervisor decides, under a clock that jumps: nothing is started, nobody waits."""

from collections.abc import Callable
from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcore.entrypoints.supervisor.fleet import (
    AT_ONCE_TIMEOUT,
    BACKOFF,
    DOUBT,
    MISCONFIGURED,
    SHORTEST_SERVICE,
    STAGGER,
    STEADY,
    Fleet,
    Kill,
    Member,
    Phase,
    Start,
    Stop,
)

START_TIME = 1.0
"""Seconds that a worker of these tests takes to serve."""
LEAVE_TIMEOUT = 40.0
HANG_TIMEOUT = 60.0
CRASH = -9


class World:
    """A fleet and the time; what it decides is noted, and done by whoever tests."""

    def __init__(self, size: int = 1, roll: float = 0.5, **options: bool) -> None:
        self.fleet = Fleet(
            size,
            lambda: roll,
            leave_timeout=LEAVE_TIMEOUT,
            hang_timeout=HANG_TIMEOUT,
            **options,
        )
        self.now = 100.0
        self.starts: list[tuple[float, Member]] = []
        self.stops: list[Stop] = []
        self.kills: list[Member] = []
        self.leave_in: float | None = None
        """Seconds after which a member has left that is asked to; None for never."""

    def step(self) -> None:
        """Do what is due now."""
        for action in self.fleet.due(self.now):
            match action:
                case Start(member):
                    self.starts.append((self.now, member))
                case Stop(member):
                    self.stops.append(action)
                    if self.leave_in is not None:
                        self.now += self.leave_in
                        self.fleet.ended(member, 0, self.now)
                case Kill(member, _):
                    self.kills.append(member)

    def go(self, seconds: float = inf, on_start: Callable[[Member], object] | None = None) -> None:
        """Let time pass, until nothing more is due or so many seconds are over."""
        until = self.now + seconds
        known = len(self.starts)
        self.step()
        while True:
            for _, member in self.starts[known:]:
                if on_start is not None:
                    on_start(member)
            known = len(self.starts)
            at = self.fleet.next_at()
            if at > until or at == inf:
                self.now = max(self.now, until) if until < inf else self.now
                return
            self.now = max(self.now, at)
            self.step()

    def serve(self, member: Member) -> None:
        """Have a member come to serve, a while later."""
        self.now += START_TIME
        self.fleet.served(member, self.now)

    def serving(self) -> list[Member]:
        return [each for each in self.fleet.members if each.phase is Phase.SERVING]

    def all_serve(self) -> list[Member]:
        """Start everybody, each of whom serves."""
        self.go(on_start=self.serve)
        return self.serving()


# --- start --------------------------------------------------------------------------------------


def test_the_first_is_awaited_and_the_others_start_apart() -> None:
    """An application that cannot be imported is met once; the others do not start in step."""
    world = World(4)
    world.go()
    assert len(world.starts) == 1
    world.serve(world.starts[0][1])
    world.go()
    moments = [moment for moment, _ in world.starts]
    assert len(moments) == 4
    assert all(later - moment > STAGGER * 0.999 for moment, later in pairwise(moments))
    assert sorted(member.place for _, member in world.starts) == [0, 1, 2, 3]


def test_a_mistake_ends_the_fleet_once() -> None:
    """A wrong argument is wrong for every worker: the exit status is the first one's."""
    world = World(4)
    world.go()
    assert world.fleet.ended(world.starts[0][1], MISCONFIGURED, world.now) is None
    world.go()
    assert world.fleet.is_over
    assert world.fleet.status == MISCONFIGURED
    assert len(world.starts) == 1


def test_a_store_that_is_away_at_the_start_is_tried_by_one_worker() -> None:
    """With longer and longer pauses; when it is there, all of them start."""
    world = World(3)
    for _ in range(5):
        world.go()
        world.fleet.ended(world.starts[-1][1], 1, world.now)
    assert {member.place for _, member in world.starts} == {0}
    assert len(world.all_serve()) == 3


# --- restart ------------------------------------------------------------------------------------


def test_a_worker_that_dies_is_replaced_with_back_off() -> None:
    """The pauses double up to a minute; after steady service they begin anew."""
    world = World(roll=0.999)
    [member] = world.all_serve()
    pauses = []
    for _ in range(10):
        again_at = world.fleet.ended(member, CRASH, world.now)
        assert again_at is not None
        pauses.append(again_at - world.now)
        [member] = world.all_serve()
    assert pauses == pytest.approx([BACKOFF(n, 0) * 1.999 / 2 for n in range(10)])
    assert pauses[-1] <= 60
    world.now += STEADY
    again_at = world.fleet.ended(member, CRASH, world.now)
    assert again_at is not None
    assert again_at - world.now == pytest.approx(pauses[0])


def test_a_worker_that_leaves_by_itself_is_replaced_too() -> None:
    """As one that somebody has sent SIGTERM: it was to be there."""
    world = World(2)
    member, other = world.all_serve()
    world.fleet.ended(member, 0, world.now)
    assert other in world.all_serve()
    assert len(world.serving()) == 2


@given(roll=st.floats(0, 1, exclude_max=True), size=st.integers(1, 5))
def test_a_fleet_whose_workers_die_at_once_does_not_spin(roll: float, size: int) -> None:
    """Whatever the dice say, and though every one dies as soon as it serves."""
    world = World(size, roll)

    def die(member: Member) -> None:
        world.fleet.served(member, world.now)
        world.fleet.ended(member, CRASH, world.now)

    world.go(1800.0, die)
    # seven with pauses below a minute, and then one in half a minute at most
    assert len(world.starts) <= (7 + 1800 / 30) * size
    moments = [moment for moment, _ in world.starts]
    assert all(later - moment > STAGGER * 0.999 for moment, later in pairwise(moments))


@given(st.integers(1, 4))
def test_what_was_done_is_not_due_again(size: int) -> None:
    """Or the supervisor's loop would turn for nothing."""
    world = World(size)
    world.all_serve()
    assert world.fleet.due(world.now) == []
    assert world.fleet.next_at() > world.now


# --- roll over ----------------------------------------------------------------------------------


def test_a_worker_at_its_limit_works_until_its_successor_serves() -> None:
    """So there is no gap: it is asked to leave at the moment when the other one is there."""
    world = World()
    [old] = world.all_serve()
    world.now += SHORTEST_SERVICE
    world.fleet.reached_limit(old)
    world.go()
    new = world.starts[-1][1]
    assert (old.phase, new.phase) == (Phase.SERVING, Phase.STARTING)
    assert not world.stops
    world.serve(new)
    world.step()
    assert world.stops == [Stop(old)]
    assert world.serving() == [new]
    assert world.fleet.ended(old, 0, world.now) is None


def test_one_place_at_a_time_is_replaced() -> None:
    """Workers reach their limits together; there is memory for one more, not for twice as many."""
    world = World(3)
    members = world.all_serve()
    world.now += SHORTEST_SERVICE
    for member in members:
        world.fleet.reached_limit(member)
    for old in members:
        world.go()
        assert len(world.fleet.members) == 4
        world.serve(world.starts[-1][1])
        world.go(LEAVE_TIMEOUT / 2)
        assert world.stops[-1] == Stop(old)
        assert len(world.fleet.members) == 4, "the next one waits until this one has left"
        world.fleet.ended(old, 0, world.now)
    world.go()
    assert len(world.starts) == 6
    assert len(world.serving()) == 3


def test_in_development_a_change_does_not_wait_for_what_still_runs() -> None:
    """Whoever has changed the code wants to see it run."""
    world = World(awaits_change=True)
    for _ in range(3):
        world.all_serve()
        world.fleet.renew(world.now)
    assert len(world.all_serve()) == 1
    assert len(world.stops) == 3


def test_a_limit_that_is_reached_at_once_has_to_wait() -> None:
    """Processes that only come and go would do nothing else."""
    world = World()
    [old] = world.all_serve()
    served_since = world.now
    world.fleet.reached_limit(old)
    world.go()
    assert world.starts[-1][0] == served_since + SHORTEST_SERVICE


def test_a_successor_that_dies_costs_nothing() -> None:
    """The old one works on, and another successor is tried after a pause."""
    world = World()
    [old] = world.all_serve()
    world.now += SHORTEST_SERVICE
    world.fleet.reached_limit(old)
    world.go()
    died_at = world.now
    world.fleet.ended(world.starts[-1][1], 1, died_at)
    world.go()
    assert world.starts[-1][0] > died_at
    assert world.serving() == [old]
    assert not world.stops


def test_a_worker_that_does_not_leave_is_killed() -> None:
    """After its grace and its last verdicts; once."""
    world = World()
    [old] = world.all_serve()
    world.fleet.reached_limit(old)
    world.go()
    world.serve(world.starts[-1][1])
    world.go(LEAVE_TIMEOUT - 1)
    assert not world.kills
    world.go()
    assert world.kills == [old]


# --- hang ---------------------------------------------------------------------------------------


def test_a_worker_that_hangs_is_killed_and_replaced() -> None:
    """Once it has shown for so long no more that it turns; the other one shows it all the while."""
    world = World(2)
    hung, well = world.all_serve()
    world.fleet.turned(hung, world.now)
    for _ in range(int(HANG_TIMEOUT)):
        world.fleet.turned(well, world.now)
        world.go(1.0)
    assert not world.kills
    world.go(DOUBT)
    assert world.kills == [hung]
    world.fleet.turned(well, world.now)
    assert world.fleet.ended(hung, CRASH, world.now) is not None
    world.go(HANG_TIMEOUT / 2)
    assert len(world.starts) == 3
    assert world.kills == [hung]


def test_a_machine_that_was_frozen_kills_nobody() -> None:
    """Supervisor and workers go on together; he may be the first to look at the clock."""
    world = World()
    [member] = world.all_serve()
    world.fleet.turned(member, world.now)
    world.now += 10 * HANG_TIMEOUT
    world.step()
    world.now += DOUBT / 2
    world.fleet.turned(member, world.now)
    world.go(HANG_TIMEOUT - 1)
    assert not world.kills


def test_a_worker_may_take_its_time_until_it_serves() -> None:
    """As one does whose lifespan loads a model; its first task may block it at once."""
    world = World()
    world.go()
    [(_, member)] = world.starts
    world.fleet.turned(member, world.now)
    world.go(10 * HANG_TIMEOUT)
    world.serve(member)
    assert not world.kills
    world.go(HANG_TIMEOUT + DOUBT)
    assert world.kills == [member]


def test_who_has_never_shown_that_it_turns_does_not_hang() -> None:
    """A version of qcore that does not show it may be that of the code before."""
    world = World()
    world.all_serve()
    world.go(10 * HANG_TIMEOUT)
    assert not world.kills


def test_a_worker_that_leaves_has_its_grace_though_it_hangs() -> None:
    """What is killed then is what has not left in time."""
    world = World()
    [member] = world.all_serve()
    world.fleet.turned(member, world.now)
    world.go(HANG_TIMEOUT - 1)
    world.fleet.stop(world.now)
    world.go(LEAVE_TIMEOUT - 1)
    assert not world.kills
    world.go()
    assert world.kills == [member]


# --- renew --------------------------------------------------------------------------------------


def test_renewed_code_is_tried_by_one_worker_first() -> None:
    """Then the others follow, one after the other, and nobody leaves before a successor serves."""
    world = World(3)
    world.leave_in = 10.0
    before = world.all_serve()
    world.fleet.renew(world.now)
    assert not world.fleet.is_renewed
    world.go()
    assert len(world.starts) == 4
    assert world.serving() == before
    world.serve(world.starts[-1][1])
    after = world.all_serve()
    assert world.fleet.is_renewed
    assert [stop.member for stop in world.stops] == before
    assert {member.place for member in after} == {0, 1, 2}
    assert not set(after) & set(before)


def test_code_that_cannot_be_imported_waits_for_its_change() -> None:
    """In development: the workers with the code of before work on, and nothing is tried again."""
    world = World(2, awaits_change=True)
    before = world.all_serve()
    world.fleet.renew(world.now)
    world.go()
    assert world.fleet.ended(world.starts[-1][1], MISCONFIGURED, world.now) is None
    world.go()
    assert world.fleet.is_broken
    assert not world.fleet.is_over
    assert len(world.starts) == 3
    assert world.serving() == before
    world.fleet.renew(world.now)
    assert not set(world.all_serve()) & set(before)


def test_code_that_is_broken_from_the_start_is_waited_for_too() -> None:
    """There is nobody to work on; the next change is tried."""
    world = World(2, awaits_change=True)
    world.go()
    world.fleet.ended(world.starts[-1][1], MISCONFIGURED, world.now)
    world.go()
    assert (len(world.starts), world.fleet.is_over) == (1, False)
    world.fleet.renew(world.now)
    assert len(world.all_serve()) == 2


def test_in_production_broken_code_is_tried_again_while_the_old_one_serves() -> None:
    """A deployment that is half done is no reason to stop what works."""
    world = World(2)
    before = world.all_serve()
    world.fleet.renew(world.now)
    for _ in range(3):
        world.go()
        assert world.fleet.ended(world.starts[-1][1], MISCONFIGURED, world.now) is not None
    assert world.serving() == before
    assert not world.stops


def test_a_start_that_a_change_overtakes_is_ended() -> None:
    """It would serve with code that is old already."""
    world = World()
    world.go()
    first = world.starts[0][1]
    world.fleet.renew(world.now)
    world.step()
    assert world.stops == [Stop(first)]
    world.fleet.served(first, world.now)
    assert first.phase is Phase.LEAVING
    assert world.all_serve() != [first]


# --- stop ---------------------------------------------------------------------------------------


def test_all_leave_when_it_is_stopped_and_nobody_is_started() -> None:
    """It is over when the last one has ended."""
    world = World(3)
    members = world.all_serve()
    world.fleet.stop(world.now)
    world.fleet.stop(world.now)
    world.step()
    assert world.stops == [Stop(member) for member in members]
    for member in members:
        assert not world.fleet.is_over
        world.fleet.ended(member, 0, world.now)
    world.go()
    assert world.fleet.is_over
    assert world.fleet.status == 0
    assert len(world.starts) == 3


def test_a_second_stop_is_at_once_and_soon_a_kill() -> None:
    """For those too that were leaving already."""
    world = World(2)
    members = world.all_serve()
    world.fleet.stop(world.now)
    world.fleet.stop(world.now, at_once=True)
    world.step()
    assert world.stops[2:] == [Stop(member, at_once=True) for member in members]
    world.go(AT_ONCE_TIMEOUT)
    assert world.kills == members
    for member in members:
        world.fleet.ended(member, CRASH, world.now)
    assert (world.fleet.is_over, world.fleet.status) == (True, 1)


def test_it_may_be_stopped_before_anybody_was_started() -> None:
    """Nothing is started then."""
    world = World()
    world.fleet.stop(world.now)
    world.go()
    assert world.fleet.is_over
    assert not world.starts


# --- burst --------------------------------------------------------------------------------------


def test_a_burst_is_over_when_every_worker_has_ended() -> None:
    """The exit status is 0 where all have found nothing left to do."""
    world = World(2, is_burst=True)
    for member in world.all_serve():
        assert world.fleet.ended(member, 0, world.now) is None
    world.go()
    assert (world.fleet.is_over, world.fleet.status, len(world.starts)) == (True, 0, 2)


@pytest.mark.parametrize(("status", "said"), [(1, 1), (2, 2), (CRASH, 1)])
def test_a_burst_that_cannot_begin_ends_at_once(status: int, said: int) -> None:
    """As that of a single worker, with its exit status."""
    world = World(3, is_burst=True)
    world.go()
    world.fleet.ended(world.starts[0][1], status, world.now)
    world.go()
    assert (world.fleet.is_over, world.fleet.status, len(world.starts)) == (True, said, 1)
