import asyncio
import threading

import pytest

from qcore.domain.answers import Enqueued, LeaseLost, Settled, Swept
from qcore.domain.events import (
    AggregationFailed,
    BrokerCalled,
    BrokerFailed,
    BrokerRecovered,
    Event,
    LeaseWasLost,
    LoopBlocked,
    NoAggregator,
    NoHandler,
    Operated,
    PeriodicFailed,
    PeriodicMissed,
    PeriodicTicked,
    TaskFinished,
    TasksAggregated,
    TasksClaimed,
    TasksEnqueued,
    TasksSettled,
    TasksSwept,
    TaskStarted,
    WorkerFailed,
    WorkerPaused,
    WorkerStarted,
    WorkerStopped,
    WorkerStopping,
)
from qcore.domain.groups import Group
from qcore.domain.periodic.entry import EntryState, StoredEntry
from qcore.domain.states import State
from qcore.domain.task import Verdict
from qcore.domain.transitions import Succeeded
from qcore.testing.builders import NOW, a_claim, a_task
from qcore.testing.entries import an_entry
from qcore.testing.signals import NoSignal, Settlement, Signals

CLAIM = a_claim(a_task(name="email:welcome", id="7"))
OTHER = a_claim(a_task(name="email:welcome", id="8"))
GROUP = Group("default", "digest:ann", size=2, first=1.0, last=2.0)
DONE = Verdict(CLAIM.lease, Succeeded())
LATE = Verdict(OTHER.lease, Succeeded())

ENTRY = StoredEntry(an_entry(), EntryState(NOW))
WHOLE: list[tuple[str, Event]] = [
    ("worker_started", WorkerStarted(["default"])),
    ("paused", WorkerPaused()),
    ("stopping", WorkerStopping(grace=25.0, running=1)),
    ("stopped", WorkerStopped(released=0)),
    ("worker_failed", WorkerFailed(OSError("gone"))),
    ("started", TaskStarted(CLAIM)),
    ("finished", TaskFinished(CLAIM, Succeeded(), seconds=0.5)),
    ("swept", TasksSwept(Swept(crashed=1))),
    ("aggregated", TasksAggregated("digest:ann", ["7", "8"], a_task(name="digest"))),
    ("aggregation_failed", AggregationFailed(GROUP, ValueError("no"), again_in=1.0)),
    ("no_aggregator", NoAggregator(GROUP)),
    ("ticked", PeriodicTicked(ENTRY, [a_task()], [Enqueued("7", State.PENDING)])),
    ("operated", Operated(NOW, "run", "default", "ann")),
    ("missed", PeriodicMissed(ENTRY, 3)),
    ("periodic_failed", PeriodicFailed("default", "report", ValueError("no"))),
    ("lease_lost", LeaseWasLost(CLAIM)),
    ("no_handler", NoHandler(CLAIM)),
    ("blocked", LoopBlocked(seconds=1.0, stack="in sleep")),
    ("broker_failed", BrokerFailed("claim", OSError("gone"), again_in=1.0)),
    ("recovered", BrokerRecovered("claim", failures=2)),
]


@pytest.mark.parametrize(("name", "event"), WHOLE, ids=[name for name, _ in WHOLE])
async def test_an_event_gives_the_signal_of_its_name(name: str, event: Event) -> None:
    """What happened comes out of its own signal, and is told in the story of all that did."""
    signals = Signals()
    signals(event)
    assert await getattr(signals, name).next(timeout=0) is event
    assert signals.events == [event]
    assert type(event).__name__ in signals.story()


def test_every_kind_of_event_has_a_signal() -> None:
    """A new kind that nobody can wait for would be noticed here."""
    batches = {TasksClaimed, TasksSettled}
    signalled = {type(event) for _, event in WHOLE} | batches
    assert signalled == set(Event.__args__) - {BrokerCalled, TasksEnqueued}
    assert Signals().wants == signalled


async def test_claims_are_signalled_one_by_one() -> None:
    """A batch of two claims is two signals, so that a test need not know the batches."""
    signals = Signals()
    signals(TasksClaimed([CLAIM, OTHER]))
    assert await signals.claimed.wait(2, timeout=0) == [CLAIM, OTHER]


async def test_verdicts_are_signalled_one_by_one_with_their_answers() -> None:
    """Each verdict of a batch comes with the answer at its place."""
    signals = Signals()
    answers = [Settled(State.GONE), LeaseLost()]
    signals(TasksSettled([DONE, LATE], answers, [CLAIM, CLAIM]))
    assert await signals.settled.next(timeout=0) == Settlement(DONE, answers[0])
    assert await signals.settled.next(timeout=0) == Settlement(LATE, answers[1])


async def test_a_signal_that_came_before_is_not_missed() -> None:
    """Each wait consumes what came before it, in order, and only once."""
    signals = Signals()
    for released in range(3):
        signals(WorkerStopped(released))
    assert (await signals.stopped.next(timeout=0)).released == 0
    assert [stop.released for stop in await signals.stopped.wait(2, timeout=0)] == [1, 2]
    with pytest.raises(NoSignal):
        await signals.stopped.next(timeout=0)
    assert [stop.released for stop in signals.stopped.seen] == [0, 1, 2]


async def test_a_signal_that_comes_later_is_waited_for() -> None:
    """Who waits is woken when it comes."""
    signals = Signals()
    waiting = asyncio.create_task(signals.paused.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    signals(WorkerPaused())
    assert await waiting == WorkerPaused()


async def test_two_who_wait_get_one_each() -> None:
    """No signal is handed out twice, and nobody is forgotten."""
    signals = Signals()
    waiting = [asyncio.create_task(signals.stopped.next()) for _ in range(2)]
    await asyncio.sleep(0)
    signals(WorkerStopped(1))
    signals(WorkerStopped(2))
    assert {stop.released for stop in await asyncio.gather(*waiting)} == {1, 2}


async def test_a_wait_that_is_given_up_takes_nothing() -> None:
    """What came for somebody who wanted more is there for the next."""
    signals = Signals()
    signals(WorkerStopped(1))
    with pytest.raises(NoSignal, match="1 of 2 'stopped'"):
        await signals.stopped.wait(2, timeout=0.001)
    waiting = asyncio.create_task(signals.stopped.wait(2))
    await asyncio.sleep(0)
    waiting.cancel()
    assert (await signals.stopped.next(timeout=0)).released == 1


async def test_a_signal_that_has_come_when_the_time_is_over_is_handed_out() -> None:
    """A busy loop gets to both at once: what came is not said to be missing."""
    signals = Signals()
    waiting = asyncio.create_task(signals.stopped.next(timeout=0))
    await asyncio.sleep(0)
    assert not waiting.done()
    signals(WorkerStopped(1))
    assert (await waiting).released == 1


async def test_a_signal_may_come_from_another_thread() -> None:
    """The heartbeat's thread gives signals too."""
    signals = Signals()
    waiting = asyncio.create_task(signals.lease_lost.next())
    await asyncio.sleep(0)
    # a loop that debugs refuses what was not meant for other threads
    asyncio.get_running_loop().set_debug(True)
    thread = threading.Thread(target=signals, args=(LeaseWasLost(CLAIM),))
    thread.start()
    assert (await waiting).claim == CLAIM
    thread.join()


def test_a_signal_may_be_waited_for_in_one_loop_after_another() -> None:
    """Signals belong to no loop, and a loop that has gone is nobody to wake."""
    signals = Signals()
    abandoned = asyncio.new_event_loop()
    waiting = signals.paused.next()
    task = abandoned.create_task(waiting)
    abandoned.run_until_complete(asyncio.sleep(0))
    abandoned.close()
    signals(WorkerPaused())
    assert asyncio.run(signals.paused.next()) == WorkerPaused()
    # it would complain of having been destroyed while it was pending
    task._log_destroy_pending = False  # noqa: SLF001  (asyncio has no public switch)


async def test_no_signal_says_what_happened_instead() -> None:
    """A wait in vain tells what was wanted, for how long, and the whole story in few words."""
    signals = Signals()
    signals(WorkerStarted(["default"]))
    signals(TasksClaimed([CLAIM]))
    signals(TaskStarted(CLAIM))
    signals(BrokerFailed("settle", OSError("gone"), again_in=1.0))
    signals(BrokerFailed("settle", OSError("gone"), again_in=1.0))
    with pytest.raises(AssertionError) as raised:
        await signals.settled.next(timeout=0.001)
    assert str(raised.value) == (
        "0 of 1 'settled' came within 0.001 s (0 in all); what happened: WorkerStarted(), "
        "TasksClaimed(email:welcome 7), TaskStarted(email:welcome 7), "
        "BrokerFailed(settle: OSError('gone')) ×2"
    )


async def test_no_signal_at_all_is_told_as_nothing() -> None:
    """Where nothing happened, the error says so."""
    with pytest.raises(NoSignal, match=r"what happened: nothing$"):
        await Signals().started.next(timeout=0)


def test_the_story_of_what_was_settled_names_tasks_and_answers() -> None:
    """The outcomes are in the story, as they are most often what went otherwise."""
    signals = Signals()
    signals(TaskFinished(CLAIM, Succeeded(), seconds=0.5))
    signals(TasksSettled([DONE], [LeaseLost()], [CLAIM]))
    assert signals.story() == (
        "TaskFinished(email:welcome 7: Succeeded(content_type=None, then=())), "
        "TasksSettled(7: LeaseLost())"
    )
