"""Cases of `Consumer.settle` for follow-ups: stored in the same step, and notified of."""

from threading import Event as Notified
from typing import Final

from attrs import evolve

from qcore.domain.answers import LeaseLost, Moved, Settled
from qcore.domain.new_task import KEEP, REPLACE, NewTask
from qcore.domain.origin import Origin, OriginKind, following
from qcore.domain.states import State
from qcore.domain.task import Lease, Task, Verdict
from qcore.domain.transitions import Cancelled, Exhausted, Failed, Rejected, Succeeded
from qcore.ports import Broker
from qcore.testing.builders import LEASE, NOW, a_task, some_tasks
from qcore.testing.contract.base import Cases, in_threads, step
from qcore.testing.contract.steps import (
    a_claimed,
    end,
    execute_on,
    find_task,
    ids,
    ids_of,
    nothing_is_left,
    on_work,
    put,
    stored_task,
    sweep_all,
    take,
    take_one,
)
from qcore.testing.contract.threads import twin_of


class FollowUpCases(Cases):
    """Tasks that begin where others end."""

    # - `Succeeded(then=…)`, `Exhausted(then=…)`, `Rejected(then=…)`: those tasks are enqueued in
    #   the same step, in any queue, as `enqueue` would; and not if the lease is lost. One that is
    #   refused there is left out, and is no error. Within a batch they may be enqueued after all
    #   its verdicts. Where one step does not reach two queues (a Redis cluster), they are
    #   enqueued in a step before, once the lease was seen to be good.

    async def test_what_follows_is_enqueued(self, broker: Broker) -> None:
        """In the queue of the task that has ended, and in others; now or later."""
        claim = await a_claimed(broker)
        follow = (
            following(a_task(payload=b"1", headers={"a": "b"}, retention=9), claim.task.spec),
            a_task(queue="b", priority=7),
            a_task(queue="b", due=NOW + 9, unique_key="k"),
        )
        assert await end(broker, claim, Succeeded(then=follow)) == Settled(State.GONE)
        states = [State.PENDING, State.PENDING, State.SCHEDULED]
        found = [await stored_task(broker, task) for task in follow]
        assert [task.state for task in found] == states
        assert [task.spec for task in found] == list(follow)
        came_from = Origin(OriginKind.AFTER, claim.task.queue, claim.task.id)
        assert [task.origin for task in found] == [came_from, None, None]
        assert ids(await take(broker, 9, "default", "b")) == ids_of(follow[:2])

    async def test_what_follows_a_failure_is_enqueued(self, broker: Broker) -> None:
        """As after a success, also in another queue; the task is kept with its error."""
        for queue, state in (("one", State.ARCHIVED), ("two", State.DEAD)):
            claim = await a_claimed(broker, a_task(queue=queue))
            follow = (a_task(queue=queue, payload=b"1"), a_task(queue="b", due=NOW + 9))
            if state is State.DEAD:
                answer = await end(broker, claim, Rejected("no", then=follow))
            else:
                answer = await end(broker, claim, Exhausted("no", then=follow))
            assert answer == Settled(state)
            ended = await stored_task(broker, claim.task.spec)
            assert (ended.state, ended.error) == (state, "no")
            found = [await stored_task(broker, task) for task in follow]
            assert [task.state for task in found] == [State.PENDING, State.SCHEDULED]
            assert [task.spec for task in found] == list(follow)

    async def test_nothing_follows_a_failure_that_does_not_count(self, broker: Broker) -> None:
        """A stale worker adds nothing."""
        claim = await a_claimed(broker)
        await sweep_all(broker, now=NOW + LEASE)
        then = (a_task(), a_task(queue="b"))
        assert await end(broker, claim, Rejected("no", then=then)) == LeaseLost()
        assert await end(broker, claim, Exhausted("no", then=then)) == LeaseLost()
        assert [await find_task(broker, task) for task in then] == [None] * 2

    async def test_nothing_follows_a_verdict_that_does_not_count(self, broker: Broker) -> None:
        """A stale worker adds nothing, in its own queue or another."""
        claim = await a_claimed(broker)
        await sweep_all(broker, now=NOW + LEASE)
        then = (a_task(), a_task(queue="b"))
        assert await end(broker, claim, Succeeded(then=then)) == LeaseLost()
        again = await take_one(broker, now=NOW + LEASE)
        assert await end(broker, claim, Succeeded(then=then)) == LeaseLost()
        assert await broker.count() == {"default": {State.ACTIVE: 1}}
        assert await end(broker, again, Succeeded()) == Settled(State.GONE)
        assert await end(broker, again, Succeeded(then=then)) == LeaseLost()
        await nothing_is_left(broker, claim.task.spec, *then)

    async def test_nothing_follows_a_task_that_was_cancelled(self, broker: Broker) -> None:
        """Its worker succeeds too late: the verdict does not count, whatever it brings along."""
        claim = await a_claimed(broker)
        assert await execute_on(broker, claim.task.spec, Cancelled()) == Moved(State.DEAD)
        then = (a_task(), a_task(queue="b"), a_task(due=NOW + 9, unique_key="k"))
        assert await end(broker, claim, Succeeded(then=then)) == LeaseLost()
        assert [await find_task(broker, task) for task in then] == [None] * 3
        assert await broker.count() == {"default": {State.DEAD: 1}}

    async def test_what_is_there_already_is_left_as_it_is(self, broker: Broker) -> None:
        """An id that lives and a key that is had are no error; the others go in."""
        claim = await a_claimed(broker)
        await put(broker, old := a_task(id="same"), holder := a_task(unique_key="k", queue="b"))
        then = (
            a_task(id="same", payload=b"new"),
            a_task(unique_key="k", queue="b"),
            fresh := a_task(queue="b"),
        )
        assert await end(broker, claim, Succeeded(then=then)) == Settled(State.GONE)
        assert (await stored_task(broker, old)).spec == old
        assert ids(await take(broker, 9, "b")) == [holder.id, fresh.id]

    async def test_what_follows_is_admitted_as_by_enqueue(self, broker: Broker) -> None:
        """With what it replaces, what keeps it out, and all that was asked for."""
        shown: list[list[Task | None]] = []
        for queue, retention in (("a", 0.0), ("b", 60.0), ("c", None)):
            for n in range(3):
                await end(broker, await a_claimed(broker, a_task(id=f"{n}", queue=queue)), _NO)
            held = a_task(id="held", queue=queue, unique_key="k", due=NOW + 9)
            await put(broker, held)
            then = (
                a_task(id="0", queue=queue, payload=b"new", expires=NOW + 99, priority=3),
                a_task(id="1", queue=queue, payload=b"new", on_conflict=KEEP),
                a_task(id="late", queue=queue, due=NOW + 7.125, expires=NOW + 99, retention=1),
                a_task(id="again", queue=queue, unique_key="k", on_duplicate=REPLACE),
                a_task(id="out", queue=queue, unique_key="k"),
            )
            if retention is None:
                await broker.enqueue(then, now=NOW + 1)
            else:
                claim = await a_claimed(broker, a_task(queue="other", retention=retention))
                await end(broker, claim, Succeeded(then=then), now=NOW + 1)
            found = await broker.get(queue, ["0", "1", "2", "held", *ids_of(then[2:])])
            shown.append(
                [each and evolve(each, spec=evolve(each.spec, queue="any")) for each in found]
            )
        assert shown[0] == shown[2]
        assert shown[1] == shown[2]

    async def test_a_task_may_be_followed_by_itself(self, broker: Broker) -> None:
        """Its id and its key are free by then."""
        task = a_task(id="same", unique_key="k", payload=b"1")
        claim = await a_claimed(broker, task)
        again = a_task(id="same", unique_key="k", payload=b"2")
        assert await end(broker, claim, Succeeded(then=(again,))) == Settled(State.GONE)
        assert (await stored_task(broker, again)).spec == again

    async def test_a_batch_has_its_followers(self, broker: Broker) -> None:
        """Of many verdicts each brings its own, those that are lost bring none."""
        await put(broker, *some_tasks(30))
        claims = await take(broker)
        verdicts = [
            Verdict(
                Lease("default", claim.task.id, claim.lease.token + (n % 3 == 1), NOW),
                Succeeded(then=(_follower(n),)) if n % 3 < 2 else Succeeded(),
            )
            for n, claim in enumerate(claims)
        ]
        await broker.settle(verdicts, now=NOW)
        expected = [_follower(n).id for n in range(0, 30, 3)]
        found = ids(await take(broker, 99, "default", "b"))
        assert sorted(found) == sorted(expected)

    async def test_no_reader_sees_an_end_without_its_followers(self, broker: Broker) -> None:
        """While tasks end and each is followed by one, whoever counts finds as many as before."""
        # with a transaction for each of the two, a crash between them would lose what follows
        with twin_of(broker) as twin:
            await put(broker, *some_tasks(10))
            over = Notified()

            def pass_on() -> None:
                try:
                    for _ in range(10):
                        claims = step(take(twin))
                        then = [Succeeded(then=(a_task(),)) for _ in claims]
                        verdicts = map(Verdict, (claim.lease for claim in claims), then)
                        step(twin.settle([*verdicts], now=NOW))
                finally:
                    over.set()

            def count() -> set[int]:
                seen = {10}
                while not over.is_set():
                    seen.add(sum(step(twin.count()).get("default", {}).values()))
                return seen

            _, seen = in_threads([pass_on, count])
            assert seen == {10}
            assert await broker.count() == {"default": {State.PENDING: 10}}

    async def test_what_follows_is_heard(self, broker: Broker) -> None:
        """A worker of its queue need not wait for a poll."""
        claim = await a_claimed(broker)
        notified = Notified()
        subscription = await on_work(broker, ["b"], notified.set)
        notified.clear()
        await end(broker, claim, Succeeded(then=(a_task(queue="b"),)))
        assert await self.comes(notified)
        await subscription.close()

    # - `Failed`, `Exhausted`, `Rejected` and `Crashed` are added to the errors in `details`.

    async def test_an_error_is_in_the_details(self, broker: Broker) -> None:
        """What the verdict says of it is kept; see the cases of `details`."""
        claim = await a_claimed(broker)
        await end(broker, claim, Failed("no", again_at=NOW, worker="w", traceback="there"))
        (details,) = await broker.details("default", [claim.task.id])
        assert details is not None
        (fault,) = details.errors
        assert (fault.error, fault.worker, fault.traceback) == ("no", "w", "there")


_NO: Final = Rejected("no")


def _follower(n: int) -> NewTask:
    return a_task(id=f"follower {n}".replace(" ", "-"), queue="b" if n % 2 else "default")
