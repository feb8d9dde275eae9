import asyncio
import threading
from collections.abc import Sequence

import pytest

from qcore import BrokerUnavailable, Context, Handle, NewTask, State
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import ForwardingBroker
from qcore.answers import Conflict, Enqueued
from qcore.app.calls.call import Refused
from qcore.app.client.coalescing import MAX_BATCH, EnqueueCoalescer
from qcore.app.client.handles import BlockingHandle
from qcore.domain.moments import Moment
from qcore.errors import BrokerRefused, BrokerUnusable
from qcore.testing import FaultyBroker, a_task, some_tasks
from qcore.testing.builders import NOW
from tests.app.kit import Lab, turn


class Gate(ForwardingBroker):
    """A broker whose enqueue takes until the gate is opened."""

    def __init__(self) -> None:
        super().__init__(MemoryBroker())
        self.batches: list[int] = []
        self.moments: list[Moment] = []
        self.open_gate = asyncio.Event()
        self.errors: list[BaseException] = []

    async def enqueue(
        self, tasks: Sequence[NewTask], *, now: Moment
    ) -> Sequence[Enqueued | Conflict]:
        self.batches.append(len(tasks))
        self.moments.append(now)
        await self.open_gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        return await super().enqueue(tasks, now=now)


async def test_concurrent_enqueues_share_their_calls() -> None:
    """What is asked for while one call is on its way goes with the next, all in one."""
    gate = Gate()
    lab = Lab(gate)

    @lab.task("mail")
    async def mail(ctx: Context, number: int) -> None: ...

    asking = [asyncio.create_task(mail.enqueue(number)) for number in range(100)]
    await turn()
    gate.open_gate.set()
    handles = await asyncio.gather(*asking)
    assert gate.batches == [1, 99]
    for number, handle in enumerate(handles):
        task = await handle.task()
        assert task is not None
        assert task.spec.payload == b'{"number":%d}' % number


async def test_a_lone_enqueue_is_not_delayed() -> None:
    """With nothing on its way an enqueue goes at once: over memory it does not even suspend."""
    lab = Lab()
    asking = lab.client.enqueue(a_task())
    with pytest.raises(StopIteration):
        asking.send(None)


async def test_one_after_the_other_is_not_held_up() -> None:
    """Who awaits each enqueue gets a call for each."""
    broker = FaultyBroker(MemoryBroker())
    lab = Lab(broker)
    for _ in range(3):
        await lab.client.enqueue(a_task())
    assert [call.verb for call in broker.calls] == ["open", *["enqueue"] * 3]


async def test_a_batch_has_a_largest_size() -> None:
    """A crowd goes in batches that no store should mind, and a large batch goes whole."""
    gate = Gate()
    line = EnqueueCoalescer(gate)
    sizes = [1, 400, 400, 400, 3 * MAX_BATCH, 5]
    asking = [asyncio.create_task(line.enqueue(some_tasks(n), now=NOW)) for n in sizes]
    await turn()
    gate.open_gate.set()
    answers = await asyncio.gather(*asking)
    assert gate.batches == [1, 800, 400, 3 * MAX_BATCH, 5]
    assert [len(answer) for answer in answers] == sizes


async def test_each_caller_gets_its_own_answers() -> None:
    """A conflict of one is no conflict of another in the same batch."""
    gate = Gate()
    lab = Lab(gate)
    asking = [
        asyncio.create_task(lab.client.enqueue(a_task(id=name))) for name in ("a", "b", "a", "c")
    ]
    await turn()
    gate.open_gate.set()
    handles = await asyncio.gather(*asking)
    assert [(h.id, h.is_new) for h in handles] == [
        ("a", True),
        ("b", True),
        ("a", False),
        ("c", True),
    ]


async def test_every_caller_of_a_failed_batch_is_told() -> None:
    """A broker that is away is everybody's trouble, and the next call goes through."""
    broker = FaultyBroker(MemoryBroker())
    gate = Gate()
    gate.inner = broker
    lab = Lab(gate)
    asking = [asyncio.create_task(lab.client.enqueue(a_task())) for _ in range(4)]
    await turn()
    broker.fail("enqueue", times=2)
    gate.open_gate.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(answer) for answer in answers] == [BrokerUnavailable] * 4
    assert (await lab.client.enqueue(a_task())).is_new


async def test_a_first_call_that_fails_is_its_own_callers_trouble() -> None:
    """Those who waited for a call that failed go next, and are not told of it."""
    gate = Gate()
    lab = Lab(gate)
    gate.errors.append(BrokerUnavailable("away"))
    asking = [asyncio.create_task(lab.client.enqueue(a_task())) for _ in range(3)]
    await turn()
    gate.open_gate.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(answer) for answer in answers] == [BrokerUnavailable, Handle, Handle]


async def test_a_batch_is_stored_as_of_its_latest_caller() -> None:
    """What is due by the time that the last of them asked is not put off to the first one's."""
    gate = Gate()
    lab = Lab(gate)
    asking = []
    for _ in range(3):
        asking.append(asyncio.create_task(lab.client.enqueue(a_task())))
        await turn()
        lab.manual.advance(1)
    gate.open_gate.set()
    await asyncio.gather(*asking)
    assert gate.moments == [NOW, NOW + 2]


async def test_a_caller_that_goes_before_its_batch_fails_harms_nobody() -> None:
    """The others of the batch are told of its failure all the same."""
    gate = Gate()
    lab = Lab(gate)
    asking = [asyncio.create_task(lab.client.enqueue(a_task())) for _ in range(4)]
    await turn()
    gate.open_gate.set()
    gate.open_gate.clear()
    await turn()
    assert gate.batches == [1, 3]
    asking[1].cancel()
    await turn()
    gate.errors.append(BrokerUnavailable("away"))
    gate.open_gate.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(answer) for answer in answers[1:]] == [
        asyncio.CancelledError,
        BrokerUnavailable,
        BrokerUnavailable,
    ]


@pytest.mark.parametrize("gone", [0, 1, 2])
async def test_a_cancelled_caller_harms_nobody(gone: int) -> None:
    """Whoever goes away, on its way or in line: all others get their answers."""
    gate = Gate()
    lab = Lab(gate)
    asking = [asyncio.create_task(lab.client.enqueue(a_task())) for _ in range(4)]
    await turn()
    asking[gone].cancel()
    await turn()
    gate.open_gate.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers.pop(gone), asyncio.CancelledError)
    assert all(isinstance(answer, Handle) and answer.is_new for answer in answers)
    # who goes while in line asks for nothing any more
    assert gate.batches[:2] == ([1, 3] if gone == 0 else [1, 2])
    assert (await lab.client.enqueue(a_task())).is_new


async def test_a_caller_that_goes_while_its_batch_is_on_its_way_harms_nobody() -> None:
    """One of a crew may go when the batch has left: the batch goes on for the others."""
    gate = Gate()
    lab = Lab(gate)
    gate.open_gate.set()
    asking = [asyncio.create_task(lab.client.enqueue(a_task())) for _ in range(4)]
    gate.open_gate.clear()
    await turn()
    gate.open_gate.set()
    gate.open_gate.clear()
    await turn()
    assert len(gate.batches) == 2
    asking[2].cancel()
    await turn()
    gate.open_gate.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(answer) for answer in answers] == [
        Handle,
        Handle,
        asyncio.CancelledError,
        Handle,
    ]


class Picky(Gate):
    """A gate whose broker refuses a batch in which a payload is too large for it."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def enqueue(
        self, tasks: Sequence[NewTask], *, now: Moment
    ) -> Sequence[Enqueued | Conflict]:
        await self.open_gate.wait()
        fine = [task for task in tasks if task.payload != LARGE]
        if len(fine) == len(tasks):
            return await super().enqueue(tasks, now=now)
        if isinstance(self.error, BrokerRefused) and fine:
            # as by a store that takes a batch in several calls
            given = iter(await super().enqueue(fine, now=now))
            answers = [None if task.payload == LARGE else next(given) for task in tasks]
            raise BrokerRefused(str(self.error), answers)
        raise self.error


LARGE = b"large"
REFUSALS = [BrokerRefused("too large"), ValueError("too large"), RuntimeError("too large")]
refusals = pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)


@refusals
async def test_what_went_with_a_refused_task_is_stored(error: Exception) -> None:
    """Who asked for the one that the broker refuses is told; the others know nothing of it."""
    gate = Picky(error)
    lab = Lab(gate)
    tasks = [a_task(payload=LARGE if n == 5 else b"small") for n in range(9)]
    asking = [asyncio.create_task(lab.client.enqueue(task)) for task in tasks]
    await turn()
    gate.open_gate.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    refused = answers.pop(5)
    assert isinstance(refused, BrokerRefused)
    assert "too large" in str(refused)
    assert all(isinstance(answer, Handle) and answer.is_new for answer in answers)
    assert (await lab.inspector.counts())["default"] == {State.PENDING: 8}


@refusals
@pytest.mark.parametrize("in_line", [True, False], ids=["coalesced", "alone"])
async def test_a_refused_task_of_a_batch_has_its_error_at_its_place(
    error: Exception, *, in_line: bool
) -> None:
    """The others of the batch go in, whether or not it waited in line."""
    gate = Picky(error)
    lab = Lab(gate)
    asking = [asyncio.create_task(lab.client.enqueue(a_task()))] if in_line else []
    await turn()
    tasks = [a_task(payload=LARGE if n in {0, 2} else b"small") for n in range(5)]
    batch = asyncio.create_task(lab.client.enqueue_many(tasks))
    await turn()
    gate.open_gate.set()
    answers = await batch
    assert [type(answer) for answer in answers] == [Refused, Handle, Refused, Handle, Handle]
    await asyncio.gather(*asking)


def test_a_blocking_client_stores_what_is_not_refused() -> None:
    """It divides a batch as the other one does, without suspending."""
    gate = Picky(ValueError("too large"))
    gate.open_gate.set()
    lab = Lab(gate)
    tasks = [a_task(payload=LARGE if n == 1 else b"small") for n in range(3)]
    answers = lab.blocking.enqueue_many(tasks)
    assert [type(answer) for answer in answers] == [BlockingHandle, Refused, BlockingHandle]


async def test_a_lone_error_about_no_value_is_raised_as_it_is() -> None:
    """Of one task alone nobody can tell whether it or the broker is at fault."""
    gate = Gate()
    gate.open_gate.set()
    gate.errors.append(KeyError("odd"))
    with pytest.raises(KeyError):
        await Lab(gate).client.enqueue(a_task())


def test_a_client_outlives_an_event_loop() -> None:
    """A loop that ends while a batch is on its way leaves nothing that the next would wait for."""
    gate = Gate()
    line = EnqueueCoalescer(gate)

    async def crowd() -> None:
        first_gate = gate.open_gate = asyncio.Event()
        first = asyncio.create_task(line.enqueue([a_task()], now=NOW))
        second = asyncio.create_task(line.enqueue([a_task()], now=NOW))
        await turn()
        gate.open_gate = asyncio.Event()
        first_gate.set()
        await first
        assert not second.done()

    async def again() -> None:
        gate.open_gate = asyncio.Event()
        gate.open_gate.set()
        async with asyncio.timeout(30):
            await line.enqueue([a_task()], now=NOW)

    asyncio.run(crowd())
    asyncio.run(again())
    assert gate.batches == [1, 1, 1]


def test_loops_in_several_threads_may_share_a_client() -> None:
    """Each loop gets its own answers, as where a web server runs a loop for each thread."""
    gate = Gate()
    line = EnqueueCoalescer(gate)
    answered: list[int] = []

    async def in_a_second_loop() -> None:
        answered.append(len(await line.enqueue([a_task()], now=NOW)))

    async def in_a_first_loop() -> None:
        gate.open_gate = asyncio.Event()
        first = asyncio.create_task(line.enqueue([a_task()], now=NOW))
        await turn()
        gate.open_gate, first_gate = asyncio.Event(), gate.open_gate
        gate.open_gate.set()
        thread = threading.Thread(target=asyncio.run, args=(in_a_second_loop(),), daemon=True)
        thread.start()
        # it need not wait for what is on its way in the first loop
        await asyncio.to_thread(thread.join, 30)
        assert not thread.is_alive()
        first_gate.set()
        answered.append(len(await first))

    asyncio.run(in_a_first_loop())
    assert answered == [1, 1]


async def test_a_queue_that_cannot_be_served_fails_its_own_callers_alone() -> None:
    """As one that a newer qcore has written: what is for other queues in the batch is stored."""

    class Spoilt(Gate):
        async def enqueue(
            self, tasks: Sequence[NewTask], *, now: Moment
        ) -> Sequence[Enqueued | Conflict]:
            await self.open_gate.wait()
            if any(task.queue == "bad" for task in tasks):
                raise BrokerUnusable("a newer qcore has written it")
            return await super().enqueue(tasks, now=now)

    gate = Spoilt()
    lab = Lab(gate)
    tasks = [a_task(queue=queue) for queue in ("a", "b", "bad", "a", "bad")]
    asking = [asyncio.create_task(lab.client.enqueue(task)) for task in tasks]
    await turn()
    gate.open_gate.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(answer) for answer in answers] == [
        Handle,
        Handle,
        BrokerUnusable,
        Handle,
        BrokerUnusable,
    ]
