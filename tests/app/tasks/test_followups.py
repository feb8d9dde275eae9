import asyncio
import threading
from collections.abc import Sequence

import pytest

from qcore import (
    Context,
    InvalidOption,
    InvalidTask,
    NewTask,
    Retry,
    Revoke,
    SkipRetry,
    Snooze,
    State,
    chain,
)
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import ForwardingBroker
from qcore.app.tasks.context import MAX_FOLLOW_UPS
from qcore.app.tasks.router_tree import Next
from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.control import ControlFlow
from qcore.domain.errors import BrokerUnavailable
from qcore.domain.ids import follow_up_id, next_id
from qcore.domain.moments import Moment
from qcore.domain.origin import Origin, OriginKind
from qcore.domain.task import Verdict
from qcore.domain.transitions import Succeeded
from qcore.ports import Capability
from qcore.testing import FaultyBroker, a_context, a_task, assert_enqueued, drain
from qcore.testing.builders import NOW, a_claim
from tests.app import process_handlers
from tests.app.kit import Lab, stored


class Reached(ForwardingBroker):
    """A broker whose one step does not reach two queues: follow-ups are enqueued before."""

    async def settle(
        self, verdicts: Sequence[Verdict], *, now: Moment
    ) -> Sequence[Settled | LeaseLost]:
        for verdict in verdicts:
            if isinstance(verdict.outcome, Succeeded) and verdict.outcome.then:
                await self.inner.enqueue(verdict.outcome.then, now=now)
                raise BrokerUnavailable("between the two")
        return await self.inner.settle(verdicts, now=now)


class Plain(MemoryBroker):
    """A broker that knows no unique tasks and no groups."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        return super().capabilities - {Capability.UNIQUE, Capability.GROUPS}


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


class TestThen:
    async def test_it_is_enqueued_when_the_task_succeeds(self, lab: Lab) -> None:
        """Not before, and as it was asked for: with its queue, its options, its arguments."""

        @lab.task("mail")
        async def mail(ctx: Context, to: str) -> None: ...

        @lab.task("order")
        async def order(ctx: Context) -> None:
            task = ctx.then(mail.using(queue="slow", priority=3, delay=60).call("Ann"))
            assert (task.name, task.queue) == ("mail", "slow")
            assert (await lab.inspector.counts()).keys() == {"default"}

        await order.enqueue()
        await lab.run_due()
        task = assert_enqueued(mail, to="Ann")
        assert (task.queue, task.spec.priority, task.state) == ("slow", 3, State.SCHEDULED)
        assert task.due == lab.clock.now() + 60
        assert await drain(lab) == 1

    async def test_it_tells_the_task_that_it_follows(self, lab: Lab) -> None:
        """Also once it was updated; its handler passes that on to nobody."""
        seen: list[object] = []

        @lab.task("mail")
        async def mail(ctx: Context) -> None:
            seen.append((dict(ctx.headers), ctx.task.origin))

        @lab.task("order", queue="orders")
        async def order(ctx: Context) -> None:
            ctx.then(mail.using(delay=60).call())

        handle = await order.enqueue()
        await lab.run_due()
        task = assert_enqueued(mail)
        await lab.inspector.update(task.queue, [task.id], headers={"a": "b"})
        await drain(lab)
        origin = Origin(OriginKind.AFTER, "orders", handle.id)
        assert seen == [({"a": "b"}, origin)]
        assert task.origin == origin

    async def test_a_new_task_keeps_its_id(self, lab: Lab) -> None:
        """A `NewTask`, and a call with a `task_id`, are stored under the id they were given."""

        @lab.task("mail")
        async def mail(ctx: Context) -> None: ...

        @lab.task("order")
        async def order(ctx: Context) -> None:
            ctx.then(NewTask("mail", id="mine"))
            ctx.then(mail.using(task_id="mine-too").call())

        await order.enqueue()
        await lab.worker(burst=True, max_tasks=1).run()
        page = await lab.inspector.browse("default", State.PENDING)
        assert [task.id for task in page.tasks] == ["mine", "mine-too"]

    async def test_ids_follow_from_the_task_and_the_place(self, lab: Lab) -> None:
        """Each has an id of its own, that whoever knows the task can tell."""
        ids: list[str] = []

        @lab.task("mail")
        async def mail(ctx: Context) -> None:
            ids.append(ctx.id)

        @lab.task("order", queue="orders")
        async def order(ctx: Context) -> None:
            for _ in range(3):
                ctx.then(mail.call())

        handle = await order.enqueue()
        created = (await stored(handle)).created
        await lab.run_due()
        assert ids == [follow_up_id("orders", handle.id, created, place) for place in range(3)]

    async def test_another_task_of_the_same_id_has_other_follow_ups(self, lab: Lab) -> None:
        """What an earlier task of that id asked for may live still: it is not in the way."""

        @lab.task("mail", delay=1000)
        async def mail(ctx: Context) -> None: ...

        @lab.task("order")
        async def order(ctx: Context) -> None:
            ctx.then(mail.call())

        for _ in range(2):
            await order.using(task_id="7").enqueue()
            await lab.run_due()
            lab.manual.advance(1)
        assert (await lab.inspector.counts())["default"] == {State.SCHEDULED: 2}

    async def test_a_thread_may_ask(self, lab: Lab) -> None:
        """So may several threads of one handler: none is lost, and each has an id of its own."""
        asked: list[str] = []

        @lab.task("mail")
        async def mail(ctx: Context) -> None: ...

        @lab.task("order")
        def order(ctx: Context) -> None:
            def ask() -> None:
                asked.append(ctx.then(mail.call()).id)

            threads = [threading.Thread(target=ask) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        await order.enqueue()
        assert await lab.run_due() == 9
        assert len(set(asked)) == 8

    async def test_a_chain_may_follow(self, lab: Lab) -> None:
        """It begins with an id that follows from the task, and goes on as any chain."""
        got: list[int] = []

        @lab.task("one")
        async def one(ctx: Context) -> int:
            return 1

        @lab.task("two")
        async def two(ctx: Context, number: int) -> None:
            got.append(number)

        @lab.task("order")
        async def order(ctx: Context) -> None:
            ctx.then(chain(one.call(), two))

        await order.enqueue()
        assert await lab.run_due() == 3
        assert got == [1]

    async def test_a_task_that_is_refused_there_is_left_out(self, lab: Lab) -> None:
        """A live task of the same id or key is no error: the others are enqueued."""

        @lab.task("mail")
        async def mail(ctx: Context) -> None: ...

        @lab.task("order")
        async def order(ctx: Context) -> None:
            for place in range(3):
                ctx.then(mail.using(task_id=str(place)).call())

        await mail.using(task_id="1", delay=1000).enqueue()
        await order.enqueue()
        assert await lab.run_due() == 3


class TestOrNotAtAll:
    @pytest.mark.parametrize(
        "raised",
        [SkipRetry("no"), Revoke(), Snooze(delay=10), Retry("soon", delay=10), ValueError("no")],
        ids=lambda raised: type(raised).__name__,
    )
    async def test_nothing_follows_a_run_that_did_not_succeed(
        self, lab: Lab, raised: ControlFlow | ValueError
    ) -> None:
        """Failed, snoozed, revoked: what it asked for is forgotten."""

        @lab.task("mail", queue="mails")
        async def mail(ctx: Context) -> None: ...

        @lab.task("order")
        async def order(ctx: Context) -> None:
            ctx.then(mail.call())
            raise raised

        await order.enqueue()
        assert await lab.run_due() == 1
        assert "mails" not in await lab.inspector.counts()

    async def test_nothing_follows_a_run_that_took_too_long(self) -> None:
        """A timeout is a failure."""
        lab = Lab(autojump=True)

        @lab.task("mail", queue="mails")
        async def mail(ctx: Context) -> None: ...

        @lab.task("order", timeout=5, max_retry=0)
        async def order(ctx: Context) -> None:
            ctx.then(mail.call())
            await asyncio.Event().wait()

        handle = await order.enqueue()
        async with lab.working():
            await lab.signals.settled.next()
        assert await handle.status() is State.ARCHIVED
        assert "mails" not in await lab.inspector.counts()

    async def test_nothing_follows_a_lost_lease(self, lab: Lab) -> None:
        """The task is somebody else's: the verdict does not count, nor what goes with it."""

        @lab.task("mail", queue="mails")
        async def mail(ctx: Context) -> None: ...

        @lab.task("order")
        def order(ctx: Context) -> None:
            ctx.then(mail.call())
            cancel(lab, ctx.id)

        await order.enqueue()
        await lab.run_due()
        assert "mails" not in await lab.inspector.counts()

    async def test_a_retry_that_succeeds_asks_once(self, lab: Lab) -> None:
        """What the first run asked for is not added to what the second asks for."""
        runs: list[str] = []

        @lab.task("mail")
        async def mail(ctx: Context) -> None:
            runs.append("mail")

        @lab.task("order")
        async def order(ctx: Context) -> None:
            ctx.then(mail.call())
            if ctx.attempt == 1:
                raise ValueError

        await order.enqueue()
        assert await drain(lab) == 3
        assert runs == ["mail"]


class TestRepeated:
    async def test_a_crash_after_the_handler_adds_nothing_twice(self) -> None:
        """The run is repeated with the same ids, and one of them is stored."""
        broker = FaultyBroker(MemoryBroker())
        lab = Lab(broker, autojump=True)
        asked: list[str] = []

        @lab.task("mail", delay=1000)
        async def mail(ctx: Context) -> None: ...

        @lab.task("order")
        async def order(ctx: Context) -> None:
            asked.append(ctx.then(mail.call()).id)

        handle = await order.enqueue()
        broker.fail("settle", times=10**6)
        worker = lab.worker(lease=10)
        running = asyncio.create_task(worker.run())
        await lab.signals.finished.next()
        running.cancel()
        await asyncio.wait([running])
        assert (await stored(handle)).state is State.ACTIVE
        assert "mail" not in str(await lab.inspector.browse("default", State.SCHEDULED))
        lab.manual.advance(60)
        await broker.inner.sweep(["default"], 10, now=lab.clock.now())
        with lab.swapped(broker=broker.inner):
            await lab.worker(burst=True, max_tasks=1).run()
            assert await lab.inspector.counts() == {"default": {State.SCHEDULED: 1}}
        assert len(asked) == 2
        assert len(set(asked)) == 1

    async def test_a_reply_that_was_lost_adds_nothing_twice(self) -> None:
        """The verdict was written: when it is written again, it does not count."""
        broker = FaultyBroker(MemoryBroker())
        lab = Lab(broker, autojump=True)

        @lab.task("mail", delay=10_000)
        async def mail(ctx: Context) -> None: ...

        @lab.task("order")
        async def order(ctx: Context) -> None:
            ctx.then(mail.call())

        broker.drop_reply("settle")
        async with lab.working():
            await order.enqueue()
            assert (await lab.signals.settled.next()).answer == LeaseLost()
        assert await lab.inspector.counts() == {"default": {State.SCHEDULED: 1}}

    async def test_where_one_step_does_not_reach_it_is_stored_once(self) -> None:
        """Enqueued before a verdict that was not written, it is there when the run is repeated."""
        inner = MemoryBroker()
        lab = Lab(Reached(inner), autojump=True)
        asked: list[str] = []

        @lab.task("mail", queue="mails", delay=10_000)
        async def mail(ctx: Context) -> None: ...

        @lab.task("order")
        async def order(ctx: Context) -> None:
            asked.append(ctx.then(mail.call()).id)

        await order.enqueue()
        running = asyncio.create_task(lab.worker(lease=10).run())
        await lab.signals.finished.next()
        running.cancel()
        await asyncio.wait([running])
        assert (await inner.count())["mails"] == {State.SCHEDULED: 1}
        lab.manual.advance(60)
        await inner.sweep(["default"], 10, now=lab.clock.now())
        with lab.swapped(broker=inner):
            await lab.worker(burst=True).run()
        assert len(asked) == 2
        assert await inner.count() == {"mails": {State.SCHEDULED: 1}}


class TestRefused:
    async def test_a_wrong_value_raises_in_the_handler(self, lab: Lab) -> None:
        """As `enqueue` would, and the handler may go on without it."""
        errors: list[str] = []

        @lab.task("mail")
        async def mail(ctx: Context, to: int) -> None: ...

        @lab.task("order")
        async def order(ctx: Context) -> None:
            for wrong in (mail.call("Ann"), mail.using(priority=9999).call(7), "mail"):  # type: ignore[arg-type]
                try:
                    ctx.then(wrong)  # type: ignore[arg-type]
                except InvalidTask as error:
                    errors.append(str(error))
            assert ctx.follow_ups == ()

        await order.enqueue()
        assert await lab.run_due() == 1
        assert [error.split(":")[0] for error in errors] == [
            "mail",
            "priority is 9999",
            "'mail' is no task",
        ]

    async def test_what_the_broker_cannot_is_refused(self) -> None:
        """A unique task, a group: the handler is told, not the settling."""
        lab = Lab(Plain())
        errors: list[str] = []

        @lab.task("order")
        async def order(ctx: Context) -> None:
            for wrong in (a_task(unique_key="u"), a_task(group="g")):
                with pytest.raises(InvalidTask) as caught:
                    ctx.then(wrong)
                errors.append(str(caught.value))

        await order.enqueue()
        await lab.run_due()
        assert "no groups" in errors[1]
        assert "knows no unique" in errors[0]

    async def test_a_payload_has_its_limit_here_too(self) -> None:
        """`max_payload` of the queue is the worker's as well."""
        lab = Lab(max_payload=100)
        with_error: list[str] = []

        @lab.task("order")
        async def order(ctx: Context) -> None:
            with pytest.raises(InvalidTask, match="at most 100") as caught:
                ctx.then(a_task(payload=b"x" * 101))
            with_error.append(str(caught.value))

        await order.enqueue()
        await lab.run_due()
        assert with_error

    def test_a_run_may_not_ask_for_ever(self) -> None:
        """Beyond the limit it is told what to do instead."""
        ctx = a_context()
        for _ in range(MAX_FOLLOW_UPS):
            ctx.then(a_task())
        with pytest.raises(InvalidTask, match="100 follow-ups at most"):
            ctx.then(a_task())
        assert len(ctx.follow_ups) == MAX_FOLLOW_UPS

    def test_a_run_that_is_over_cannot_ask(self) -> None:
        """Something that a handler left behind is told that it comes too late."""
        ctx = a_context()
        ctx.then(a_task(id="in-time"))
        assert [task.id for task in ctx.end()] == ["in-time"]
        with pytest.raises(InvalidTask, match="is over"):
            ctx.then(a_task())

    def test_a_context_without_a_worker_says_what_to_do(self) -> None:
        """Made by hand, it has nobody to ask."""
        with pytest.raises(InvalidOption, match="a_context"):
            Context(a_claim()).then(a_task())


class TestProcesses:
    async def test_a_process_may_ask(self) -> None:
        """What it asks for comes back with its result, with the delay counted by the worker."""
        lab = Lab()
        lab.route("follow", process_handlers.follow, process=True)
        handle = await lab.client.enqueue(NewTask("follow", id="1", payload=b'{"number": 2}'))
        created = (await stored(handle)).created
        await lab.worker(burst=True, process_pool=1).run()
        page = await lab.inspector.browse("children", State.SCHEDULED)
        assert [task.id for task in page.tasks] == [
            follow_up_id("default", "1", created, place) for place in range(2)
        ]
        assert all(NOW + 1000 <= task.due < NOW + 1000 + 60 for task in page.tasks)
        assert page.tasks[0].spec.payload == b'{"number":0}'

    async def test_a_middleware_beside_a_process_may_ask_too(self) -> None:
        """Before and after: every one has an id of its own."""
        lab = Lab()
        lab.route("follow", process_handlers.follow, process=True)

        @lab.task("log", queue="logs", delay=1000)
        async def log(ctx: Context, when: str) -> None: ...

        @lab.middleware
        async def logging(ctx: Context, run: Next) -> object:
            ctx.then(log.call("before"))
            value = await run(ctx)
            ctx.then(log.call("after"))
            return value

        await lab.client.enqueue(NewTask("follow", id="1", payload=b'{"number": 2}'))
        await lab.worker(burst=True, process_pool=1, queues=["default"]).run()
        counts = await lab.inspector.counts()
        assert counts == {"children": {State.SCHEDULED: 2}, "logs": {State.SCHEDULED: 2}}

    async def test_a_wrong_value_raises_in_the_process(self) -> None:
        """The error is the handler's, and travels as such."""
        lab = Lab()
        lab.route("wrong", process_handlers.follow_wrongly, process=True)
        handle = await lab.client.enqueue(NewTask("wrong", id="1", max_retry=0))
        await lab.worker(burst=True, process_pool=1).run()
        task = await stored(handle)
        assert task.state is State.ARCHIVED
        assert "number is 'no number'" in str(task.error)

    async def test_a_function_of_no_queue_says_what_to_do(self) -> None:
        """In the process nobody knows which queue it belongs to."""
        lab = Lab()
        lab.route("lost", process_handlers.follow_nobody, process=True)
        handle = await lab.client.enqueue(NewTask("lost", id="1", max_retry=0))
        await lab.worker(burst=True, process_pool=1).run()
        assert "declared with @q.task" in str((await stored(handle)).error)


class TestIds:
    def test_nothing_but_the_same_task_and_place_has_the_same_id(self) -> None:
        """Queue, id, moment and position all count, and a chain's next step is none of them."""
        ids = {
            follow_up_id("a", "b", 1.0, 0),
            follow_up_id("ab", "", 1.0, 0),
            follow_up_id("a", "c", 1.0, 0),
            follow_up_id("a", "b", 1.001, 0),
            follow_up_id("a", "b", 1.0, 1),
            follow_up_id("a", "b", 1.0, 10),
            next_id("a", "b"),
            next_id("b", "a"),
        }
        assert len(ids) == 8
        assert all(len(each) == 32 and int(each, 16) >= 0 for each in ids)

    def test_a_whole_moment_is_the_same_however_it_is_written(self) -> None:
        """A broker may give back 7 for 7.0."""
        assert follow_up_id("a", "b", 7, 0) == follow_up_id("a", "b", 7.0, 0)


class TestDirectly:
    async def test_a_direct_test_sees_what_was_asked_for(self, lab: Lab) -> None:
        """`a_context` keeps what a handler asks for, for the test to look at."""

        @lab.task("mail", queue="mails")
        async def mail(ctx: Context, to: str) -> None: ...

        @lab.task("order")
        async def order(ctx: Context) -> None:
            ctx.then(mail.call(to="Ann"))

        ctx = a_context()
        await order(ctx)
        (task,) = ctx.follow_ups
        assert (task.name, task.queue, task.payload) == ("mail", "mails", b'{"to":"Ann"}')


def cancel(lab: Lab, task: str) -> None:
    """Cancel a task from a thread."""
    asyncio.run(lab.inspector.cancel("default", [task]))
