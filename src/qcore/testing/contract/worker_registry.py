"""`WorkersContract`: the contract of `WorkerRegistry`."""

from collections.abc import Sequence
from functools import partial

from attrs import evolve

from qcore.domain.moments import Moment
from qcore.domain.workers import RunningTask, WorkerInfo
from qcore.ports import Broker, Capability
from qcore.testing.builders import NOW, a_worker
from qcore.testing.contract.base import Cases
from qcore.testing.optional_ports import worker_registry


class WorkersContract(Cases):
    """Inherit it with `Capability.WORKERS`: which workers there are."""

    # - Everything announced comes back unchanged.

    async def test_a_worker_is_listed_as_it_announced_itself(self, broker: Broker) -> None:
        """Each field, queues in their order, and moments to less than a microsecond."""
        runs = (
            RunningTask("mail", "Ä-1", "mail:welcome", NOW + 0.123456),
            RunningTask("größe", "2", "image:scale", NOW + 1),
        )
        whole = a_worker(
            id="worker/ä 'x'",
            name="web-1:7",
            host="wëb-1",
            pid=4_194_304,
            queues={"mail": 6, "größe": 3, "a": 1},
            is_strict=True,
            handlers=("mail:welcome", "image:", ""),
            concurrency=1_000_000,
            started=NOW - 0.000001,
            seen=NOW + 2.345678,
            in_hand=3,
            running=runs,
            loop_lag=0.25,
            last_claim=NOW + 2,
            is_paused=True,
            is_stopping=True,
        )
        await announce(broker, whole)
        assert await listed(broker) == [whole]
        [found] = await listed(broker)
        assert [*found.queues] == ["mail", "größe", "a"]

    async def test_a_worker_that_does_nothing_is_listed_too(self, broker: Broker) -> None:
        """No runs, no claim yet, no handlers."""
        await announce(broker, idle := a_worker(handlers=()))
        assert await listed(broker) == [idle]

    async def test_a_worker_is_neither_a_queue_nor_a_task(self, broker: Broker) -> None:
        """Whoever counts tasks, or looks for due ones, does not come across it."""
        await announce(broker, a_worker())
        assert await broker.count() == {}
        assert await broker.next_due(["default"]) is None

    # - It takes the place of what was announced under the same id; others stay as they are.

    async def test_the_last_announcement_is_what_is_listed(self, broker: Broker) -> None:
        """What it did before, and until when it was to be listed then, is forgotten."""
        first = a_worker(in_hand=1, running=(RunningTask("default", "1", "test:task", NOW),))
        other = a_worker(started=NOW + 1)
        again = evolve(first, seen=NOW + 5, expires=NOW + 20, in_hand=0, running=())
        await announce(broker, first, other, again)
        assert await listed(broker, now=NOW + 5) == [again, other]
        assert await listed(broker, now=NOW + 15) == [again]

    async def test_an_announcement_may_end_sooner_than_the_one_before(self, broker: Broker) -> None:
        """The moment is that of the last one, not the latest of all."""
        await announce(broker, first := a_worker(expires=NOW + 60))
        await announce(broker, evolve(first, expires=NOW + 10))
        assert await listed(broker, now=NOW + 10) == []

    async def test_many_who_announce_themselves_at_once_are_all_listed(
        self, broker: Broker
    ) -> None:
        """None of them overwrites another."""
        infos = [a_worker(started=NOW + n) for n in range(8)]
        registry = worker_registry(broker)
        await self.together([partial(registry.announce, info) for info in infos])
        assert await listed(broker) == infos

    # - Workers whose `expires` is `info.seen` or earlier are removed with it, at least a hundred
    #   of them: a store does not fill up with workers that were killed.

    async def test_an_announcement_removes_those_that_have_expired(self, broker: Broker) -> None:
        """They are gone for whoever asks for an earlier moment, too; those that live are not."""
        killed = [a_worker() for _ in range(100)]
        alive = a_worker(expires=NOW + 16)
        late = a_worker(started=NOW + 1, seen=NOW + 15)
        await announce(broker, *killed, alive)
        assert len(await listed(broker, now=NOW)) == 101
        await announce(broker, late)
        assert await listed(broker, now=NOW) == [alive, late]

    # - It is listed no more; others stay as they are. An id that is not listed is no error.

    async def test_a_worker_that_was_withdrawn_is_gone(self, broker: Broker) -> None:
        """At once, whatever it had announced; and nobody else is."""
        await announce(broker, leaving := a_worker(), staying := a_worker())
        await worker_registry(broker).withdraw(leaving.id)
        assert await listed(broker) == [staying]
        await worker_registry(broker).withdraw(staying.id)
        assert await listed(broker) == []

    async def test_who_is_not_listed_may_be_withdrawn(self, broker: Broker) -> None:
        """Twice is once, and a stranger is nobody."""
        await announce(broker, staying := a_worker())
        for stranger in ("nobody", "nobody", staying.id.upper()):
            await worker_registry(broker).withdraw(stranger)
        assert await listed(broker) == [staying]

    # - It may announce itself again, and is listed then.

    async def test_a_worker_may_come_back(self, broker: Broker) -> None:
        """One that was frozen while it counted as gone goes on."""
        await announce(broker, worker := a_worker())
        await worker_registry(broker).withdraw(worker.id)
        await announce(broker, again := evolve(worker, seen=NOW + 1, expires=NOW + 16))
        assert await listed(broker) == [again]

    async def test_a_worker_that_has_expired_may_come_back(self, broker: Broker) -> None:
        """What its own announcement removes of the last one does not take the new one along."""
        await announce(broker, worker := a_worker())
        await announce(broker, again := evolve(worker, seen=NOW + 60, expires=NOW + 75))
        assert await listed(broker, now=NOW + 60) == [again]

    # - In the order of their starts, those of one moment in the order of their ids.

    async def test_workers_are_listed_in_the_order_of_their_starts(self, broker: Broker) -> None:
        """However they announce themselves."""
        b, a = a_worker(id="b"), a_worker(id="a")
        old, new = a_worker(started=NOW - 9), a_worker(started=NOW + 9)
        await announce(broker, new, b, old, a)
        assert await listed(broker) == [old, a, b, new]

    async def test_more_than_a_hundred_workers_are_listed(self, broker: Broker) -> None:
        """All of them, each once."""
        infos = [a_worker(started=NOW + n, expires=NOW + 900 + n % 7) for n in range(120)]
        await announce(broker, *infos)
        assert await listed(broker) == infos

    # - One whose `expires` is `now` or earlier is not among them.

    async def test_a_worker_is_listed_until_it_expires(self, broker: Broker) -> None:
        """To the moment: it may have been killed since."""
        await announce(broker, worker := a_worker(expires=NOW + 15))
        assert await listed(broker, now=NOW + 14.999) == [worker]
        assert await listed(broker, now=NOW + 15) == []

    async def test_workers_of_one_store_are_listed_by_all_who_share_it(
        self, broker: Broker
    ) -> None:
        """What one process announces another lists, and withdraws."""
        if Capability.SHARED not in broker.capabilities:
            return
        async with self.opened() as other:
            await announce(broker, one := a_worker())
            await announce(other, two := a_worker(started=NOW + 1))
            assert await listed(broker) == await listed(other) == [one, two]
            await worker_registry(other).withdraw(one.id)
            assert await listed(broker) == [two]


async def announce(broker: Broker, *infos: WorkerInfo) -> None:
    """Announce workers, one after the other."""
    for info in infos:
        await worker_registry(broker).announce(info)


async def listed(broker: Broker, now: Moment = NOW) -> Sequence[WorkerInfo]:
    """Return the workers that are listed."""
    return list(await worker_registry(broker).workers(now=now))
