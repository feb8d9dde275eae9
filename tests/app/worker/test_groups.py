"""Groups, as users see them: who becomes one with whom, when, and what cannot come between."""

import asyncio
import threading
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest
import structlog
from structlog.testing import capture_logs

from qcore import Context, InvalidOption, InvalidTask, NewTask, Router, State, Task
from qcore.adapters.instruments.logging import LoggingInstrument
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.sealing import EncryptedSerializer
from qcore.adapters.wrappers import ForwardingBroker
from qcore.app.calls.call import Call, TaskRequest
from qcore.app.tasks.aggregators import AggregationOptions
from qcore.app.tasks.handler import Handler
from qcore.app.worker.failure_backoff import REMEMBERED, FailureBackoff
from qcore.app.worker.groups import scanner
from qcore.app.worker.groups.aggregation import AGGREGATOR_TIMEOUT
from qcore.app.worker.groups.scheduler import CONCURRENCY
from qcore.domain.answers import Admission
from qcore.domain.errors import BrokerUnavailable
from qcore.domain.groups import Stale
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.origin import Origin, OriginKind
from qcore.errors import CannotDecode
from qcore.ports import Capability
from qcore.tasks import Group
from qcore.testing import ManualClock, a_task, drain
from qcore.testing.builders import NOW
from tests.app.kit import Lab, turn


class Notes(Lab):
    """A queue with a task that is grouped, one that takes its place, and a diary of the latter."""

    def __init__(self, broker: MemoryBroker | ForwardingBroker | None = None, **more: bool) -> None:
        super().__init__(broker, **more)
        self.sent: list[tuple[float, str, list[str]]] = []
        self.note: Handler[[str], object, None] = self.task("note")(self._note)
        self.digest: Handler[[str, list[str]], object, None] = self.task("digest")(self._digest)

    async def _note(self, ctx: Context, text: str) -> None:
        self.sent.append((self.clock.now() - NOW, "alone", [text]))

    async def _digest(self, ctx: Context, to: str, texts: list[str]) -> None:
        self.sent.append((round(self.clock.now() - NOW, 6), to, texts))

    def one_of(self, group: Group, tasks: Sequence[Task]) -> Call[None]:
        """Return the digest of notes."""
        return self.digest.call(
            group.name, [self.note.arguments_of(each)["text"] for each in tasks]
        )

    async def ask(self, *texts: str, group: str = "ann", delay: float = 0.0) -> None:
        """Ask for notes."""
        for text in texts:
            await self.note.using(group=group, delay=delay).enqueue(text)

    async def states(self) -> dict[State, int]:
        """Return how many tasks there are."""
        return dict(await self.inspector.totals())


@pytest.fixture
def lab() -> Notes:
    """Return a queue whose time is moved by hand, or by `drain`."""
    return Notes()


@pytest.fixture
def jumping() -> Notes:
    """Return a queue whose time jumps when nothing is left to do."""
    return Notes(autojump=True)


class TestReadiness:
    async def test_a_group_is_one_task_when_nobody_has_joined_for_the_grace(
        self, lab: Notes
    ) -> None:
        """Each member that joins begins the grace anew; then they are one, in order."""
        lab.aggregator(grace=60)(lab.one_of)
        await lab.ask("one")
        lab.manual.advance(50)
        await lab.ask("two")
        assert await drain(lab, until=NOW + 109.9) == 0
        assert await lab.states() == {State.AGGREGATING: 2}
        assert await drain(lab) == 1
        assert lab.sent == [(110, "ann", ["one", "two"])]
        assert await lab.states() == {}

    async def test_it_waits_no_longer_than_the_maximum_delay(self, lab: Notes) -> None:
        """However often somebody joins, the first has waited long enough."""
        lab.aggregator(grace=60, max_delay=100)(lab.one_of)
        for number in range(5):
            await lab.ask(str(number))
            await drain(lab, until=lab.clock.now() + 40)
            lab.manual.advance_to(NOW + 40 * (number + 1))
        await drain(lab)
        assert lab.sent == [(100, "ann", ["0", "1", "2"]), (220, "ann", ["3", "4"])]

    async def test_a_full_group_is_one_task_at_once(self, lab: Notes) -> None:
        """`max_size` is also the most that become one; the rest waits for its own time."""
        lab.aggregator(grace=60, max_size=3)(lab.one_of)
        await lab.ask(*"abcdefgh")
        assert await drain(lab, jump=False) == 2
        assert lab.sent == [(0, "ann", ["a", "b", "c"]), (0, "ann", ["d", "e", "f"])]
        assert await drain(lab) == 1
        assert lab.sent[2] == (60, "ann", ["g", "h"])

    async def test_a_thousand_are_full_where_nothing_is_said(self, lab: Notes) -> None:
        """No more than that can become one."""
        lab.aggregator(lab.one_of)
        await lab.client.enqueue_many(lab.note.using(group="ann").call(str(n)) for n in range(1001))
        assert await drain(lab, jump=False) == 1
        assert await drain(lab) == 1
        assert [(when, len(texts)) for when, _, texts in lab.sent] == [(0, 1000), (60, 1)]

    async def test_what_an_aggregator_leaves_open_is_the_workers_to_say(self) -> None:
        """Its own limits win, those of the worker hold for the others."""
        lab = Notes(autojump=True)
        lab.aggregator("quick", grace=5, max_size=None)(lab.one_of)
        lab.aggregator("full", max_size=None)(lab.one_of)
        lab.aggregator(lab.one_of)
        for group in ("quick", "full", "other"):
            await lab.ask("a", "b", group=group)
        async with lab.working(group_grace=10, group_max_delay=8, group_max_size=2):
            await lab.signals.settled.wait(3)
        both = ["a", "b"]
        assert sorted(lab.sent) == [(0, "other", both), (5, "quick", both), (8, "full", both)]

    async def test_a_worker_wakes_at_the_very_moment(self, jumping: Notes) -> None:
        """It sleeps until a group is ready, to the moment, and is woken when one begins."""
        jumping.aggregator(grace=7.25)(jumping.one_of)
        async with jumping.working():
            began = jumping.clock.now() - NOW
            await jumping.ask("one")
            await jumping.signals.settled.next()
        [(when, _, _)] = jumping.sent
        assert when == pytest.approx(began + 7.25, abs=1e-5)

    async def test_a_group_that_gets_full_is_noticed_within_a_second(self, jumping: Notes) -> None:
        """Whoever joins a group that is not empty wakes nobody for sure."""
        jumping.aggregator(max_size=2)(jumping.one_of)
        async with jumping.working():
            await jumping.ask("one")
            await jumping.clock.sleep_until(jumping.clock.now() + 10.05)
            joined = jumping.clock.now() - NOW
            await jumping.ask("two")
            await jumping.signals.settled.next()
        [(when, _, texts)] = jumping.sent
        assert joined <= when <= joined + 1
        assert texts == ["one", "two"]


class TestMembers:
    async def test_a_delayed_member_joins_when_it_is_due(self, lab: Notes) -> None:
        """The grace counts from then."""
        lab.aggregator(grace=60)(lab.one_of)
        await lab.ask("now")
        await lab.ask("later", delay=30)
        await drain(lab)
        assert lab.sent == [(90, "ann", ["now", "later"])]

    async def test_a_delayed_member_is_found_by_a_worker(self, jumping: Notes) -> None:
        """Nobody enqueues anything when it joins; it is found within a few seconds."""
        jumping.aggregator(grace=60)(jumping.one_of)
        async with jumping.working():
            await jumping.ask("later", delay=30)
            await jumping.signals.settled.next()
        assert jumping.sent == [(pytest.approx(90, abs=1e-3), "ann", ["later"])]

    async def test_a_member_that_is_retried_joins_again(self, lab: Notes) -> None:
        """One that an operator ran alone, and that failed, is one of its group at its next time."""
        failing = lab.task("failing", group="ann", retry=lambda _failures, _roll: 10.0)

        @failing
        async def fail(ctx: Context, text: str) -> None:
            raise ValueError

        @lab.aggregator
        async def all_of(group: Group, tasks: Sequence[Task]) -> Call[None]:
            assert [task.failures for task in tasks] == [0, 1]
            return lab.digest.call(group.name, [task.name for task in tasks])

        handle = await fail.enqueue("one")
        await lab.inspector.run_now("default", [handle.id])
        assert await drain(lab, jump=False) == 1
        assert await handle.status() is State.RETRY
        lab.manual.advance(5)
        await lab.ask("two")
        await drain(lab)
        assert lab.sent == [(70, "ann", ["note", "failing"])]
        assert await handle.status() is State.GONE

    async def test_members_may_be_unique(self, lab: Notes) -> None:
        """While one waits no other is taken in; once they are one, its key is free."""
        lab.aggregator(lab.one_of)
        unique = lab.note.using(group="ann", unique_for=None)
        assert (await unique.enqueue("a")).is_new
        assert not (await unique.enqueue("a")).is_new
        assert (await unique.enqueue("b")).is_new
        await drain(lab)
        assert lab.sent == [(60, "ann", ["a", "b"])]
        assert (await unique.enqueue("a")).is_new

    async def test_groups_and_queues_do_not_mix(self, lab: Notes) -> None:
        """Each group of each queue is one task, in its queue."""
        queues: list[str] = []

        @lab.task("where")
        async def where(ctx: Context, size: int) -> None:
            queues.append(f"{ctx.queue} {size}")

        @lab.aggregator
        async def count(group: Group, tasks: Sequence[Task]) -> Call[None]:
            assert {task.spec.group for task in tasks} == {group.name}
            return where.call(len(tasks))

        for queue in ("mail", "default"):
            await lab.note.using(queue=queue, group="ann").enqueue("a")
        await lab.note.using(queue="mail", group="bob").enqueue("b")
        await lab.note.using(queue="mail", group="ann").enqueue("c")
        assert await drain(lab) == 3
        assert sorted(queues) == ["default 1", "mail 1", "mail 2"]

    async def test_more_groups_than_one_page_are_found(
        self, lab: Notes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They are read page by page, and more of them than are in hand at a time."""
        monkeypatch.setattr(scanner, "PAGE", 7)
        lab.aggregator(lab.one_of)
        for number in range(30):
            await lab.ask("a", group=f"group {number}")
        assert await drain(lab) == 30


class TestArguments:
    async def test_arguments_come_as_the_handler_says(self) -> None:
        """They are decoded by its annotations; what was not given is not there; sealed or not."""
        lab = Lab(serializer=EncryptedSerializer(keys={"1": bytes(32)}))
        seen: list[object] = []

        @lab.task("paint", group="all")
        async def paint(ctx: Context, colour: tuple[int, int], size: int = 7) -> None: ...

        @lab.task("all")
        async def finish(ctx: Context, number: int) -> None:
            seen.append(number)

        @lab.aggregator
        async def paint_all(group: Group, tasks: Sequence[Task]) -> Call[None]:
            seen.extend(paint.arguments_of(task) for task in tasks)
            assert b"colour" not in tasks[0].spec.payload
            return finish.call(len(tasks))

        await paint.enqueue((1, 2))
        await paint.enqueue(size=8, colour=(3, 4))
        await drain(lab)
        assert seen == [{"colour": (1, 2)}, {"colour": (3, 4), "size": 8}, 2]

    async def test_a_task_of_another_name_is_refused(self, lab: Notes) -> None:
        """One that would fit by chance, too."""
        handle = await lab.task("other")(lab._note).using(retention=60).enqueue("a")  # noqa: SLF001
        task = await handle.task()
        assert task is not None
        with pytest.raises(CannotDecode, match="'other' is no task of <Handler 'note'"):
            lab.note.arguments_of(task)
        anything = lab.route("", lambda ctx, **arguments: None)
        assert anything.arguments_of(task) == {"text": "a"}

    async def test_a_member_that_does_not_fit_leaves_all_in_place(self, lab: Notes) -> None:
        """Whoever wrote it, an operator can look at it and delete it; then the others are one."""
        lab.aggregator(lab.one_of)
        await lab.ask("a")
        await lab.client.enqueue(a_task(name="note", id="bad", payload=b"[]", group="ann"))
        assert await drain(lab) == 0
        failed = await lab.signals.aggregation_failed.next()
        assert isinstance(failed.error, CannotDecode)
        await lab.inspector.delete("default", ["bad"])
        assert await drain(lab) == 1


class TestTheTaskThatIsMade:
    async def test_its_options_are_honoured(self, lab: Notes) -> None:
        """What the handler's author and the aggregator say holds, as for any task."""

        @lab.aggregator
        async def later(group: Group, tasks: Sequence[Task]) -> Call[None]:
            options = lab.digest.using(delay=100, priority=7, retention=50, headers={"a": "b"})
            return options.using(task_id="mine", max_retry=3, timeout=9).call(group.name, [])

        await lab.ask("a", "b")
        assert await drain(lab, until=NOW + 60) == 0
        [made] = (await lab.inspector.browse("default", State.SCHEDULED)).tasks
        spec = made.spec
        assert (spec.id, spec.due, spec.priority, spec.retention) == ("mine", NOW + 160, 7, 50)
        assert (spec.headers["a"], spec.max_retry, spec.timeout) == ("b", 3, 9)
        assert made.origin == Origin(OriginKind.GROUP, "default", "ann", 2)
        assert spec.group is None
        assert await drain(lab) == 1

    async def test_it_may_be_a_plain_new_task(self, lab: Notes) -> None:
        """Its queue is that of the members unless it names one."""

        @lab.aggregator
        def plain(group: Group, tasks: Sequence[Task]) -> NewTask:
            return NewTask("digest", id="d", payload=b'{"to":"x","texts":[]}', retention=9)

        await lab.note.using(queue="mail", group="ann").enqueue("a")
        await drain(lab)
        assert await lab.client.handle("mail", "d").status() is State.COMPLETED

    async def test_its_id_is_the_same_for_the_same_members(self, lab: Notes) -> None:
        """So it cannot be made twice of them; others that have their ids later are others."""
        ids: list[TaskId] = []

        @lab.task("made")
        async def made(ctx: Context) -> None:
            ids.append(ctx.id)

        lab.aggregator(lambda group, tasks: made.call())
        for _ in range(2):
            await lab.note.using(group="ann", task_id="member").enqueue("a")
            await drain(lab)
        assert len(set(ids)) == 2
        again = Lab()
        again.task("made")(made.function)
        again.task("note")(lab.note.function)
        again.aggregator(lambda group, tasks: again.handlers()[0].call())
        await again.client.enqueue(
            NewTask("note", id="member", payload=b'{"text":"a"}', group="ann")
        )
        await drain(again)
        assert ids[2] == ids[0]

    @pytest.mark.parametrize(
        ("made", "why"),
        [
            (lambda lab: lab.digest.using(queue="mail").call("x", []), "is for the queue 'mail'"),
            (lambda lab: a_task(queue="mail"), "is for the queue 'mail'"),
            (lambda lab: lab.note.using(group="ann").call("x"), "has the group 'ann'"),
            (lambda lab: lab.note.using(priority=5000).call("x"), "priority is 5000"),
            (lambda lab: lab.digest.call("x", 7), "texts is 7"),
            (lambda lab: None, "returned None: expected task.call"),
            (lambda lab: lab.one_of, "expected task.call"),
        ],
    )
    async def test_what_cannot_take_their_place_is_told(
        self, lab: Notes, made: object, why: str
    ) -> None:
        """The members stay as they are, and the error says what is wrong."""
        assert callable(made)
        lab.aggregator(lambda group, tasks: made(lab))
        await lab.ask("a", "b")
        assert await drain(lab) == 0
        failed = await lab.signals.aggregation_failed.next()
        assert isinstance(failed.error, InvalidTask)
        assert why in str(failed.error)
        assert await lab.states() == {State.AGGREGATING: 2}

    async def test_one_that_is_too_large_is_told(self) -> None:
        """What the client refuses to enqueue is refused here too."""
        lab = Lab(max_payload=100)
        lab.task("note")(lambda ctx, text: None)
        digest = lab.task("digest")(lambda ctx, text: None)
        lab.aggregator(lambda group, tasks: digest.call("x" * 101))
        await lab.client.enqueue(a_task(name="note", payload=b'{"text":""}', group="ann"))
        await drain(lab)
        failed = await lab.signals.aggregation_failed.next()
        assert "expected at most 100" in str(failed.error)


class TestTrouble:
    async def test_an_aggregator_that_raises_leaves_its_members_and_backs_off(self) -> None:
        """It is asked again after pauses that double, up to five minutes."""
        lab = Notes(autojump=True)
        asked: list[float] = []

        @lab.aggregator(grace=0)
        async def fail(group: Group, tasks: Sequence[Task]) -> Call[None]:
            asked.append(lab.clock.now() - NOW)
            if len(asked) < 12:
                raise ValueError("no")
            return lab.one_of(group, tasks)

        await lab.ask("a", "b")
        async with lab.working():
            await lab.signals.settled.next(timeout=30)
        pauses = [later - earlier for earlier, later in pairwise(asked)]
        assert pauses == pytest.approx([1, 2, 4, 8, 16, 32, 64, 128, 150, 150, 150], abs=1e-4)
        assert [texts for _, _, texts in lab.sent] == [["a", "b"]]
        failed = lab.signals.aggregation_failed.seen
        assert [each.again_in for each in failed] == pytest.approx(pauses, abs=1e-4)

    async def test_one_group_that_fails_does_not_hold_up_the_others(self, lab: Notes) -> None:
        """Each group has a back-off of its own."""

        @lab.aggregator
        async def fussy(group: Group, tasks: Sequence[Task]) -> Call[None]:
            if group.name == "bad":
                raise ValueError
            return lab.one_of(group, tasks)

        for group in ("bad", "good"):
            await lab.ask("a", group=group)
        assert await drain(lab) == 1
        assert await lab.states() == {State.AGGREGATING: 1}

    async def test_one_that_hangs_is_cancelled(self, jumping: Notes) -> None:
        """After half a minute it counts as failed; the worker serves others meanwhile."""
        ended: list[bool] = []

        @jumping.aggregator("hangs", grace=0)
        async def hang(group: Group, tasks: Sequence[Task]) -> Call[None]:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)
            raise AssertionError

        jumping.aggregator(grace=0)(jumping.one_of)
        async with jumping.working():
            await jumping.ask("a", group="hangs")
            await jumping.ask("b")
            failed = await jumping.signals.aggregation_failed.next()
        assert ended
        assert isinstance(failed.error, TimeoutError)
        assert jumping.sent[0][0] < AGGREGATOR_TIMEOUT

    async def test_a_thread_that_hangs_keeps_its_place_and_is_not_asked_again(
        self, lab: Notes
    ) -> None:
        """It cannot be ended; it is told of once, and what it returns too late is of no use."""
        go, began = threading.Event(), threading.Event()
        asked: Counter[str] = Counter()

        @lab.aggregator(grace=0)
        def hang(group: Group, tasks: Sequence[Task]) -> Call[None]:
            asked["hang"] += 1
            began.set()
            if asked["hang"] == 1:
                go.wait()
            return lab.one_of(group, tasks)

        await lab.ask("a")
        async with lab.working():
            await asyncio.to_thread(began.wait)
            lab.manual.advance(AGGREGATOR_TIMEOUT)
            failed = await lab.signals.aggregation_failed.next()
            assert isinstance(failed.error, TimeoutError)
            for _ in range(100):
                lab.manual.advance(1)
                await turn()
            assert asked["hang"] == 1
            assert await lab.states() == {State.AGGREGATING: 1}
            go.set()
            with lab.manual.autojump():
                await lab.signals.settled.next()
        assert asked["hang"] == 2

    @pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), StopIteration()])
    async def test_nothing_that_it_raises_ends_the_worker(
        self, lab: Notes, error: BaseException
    ) -> None:
        """Neither in a thread nor in a coroutine."""

        @lab.aggregator("thread")
        def raise_there(group: Group, tasks: Sequence[Task]) -> Call[None]:
            raise error

        @lab.aggregator
        async def raise_here(group: Group, tasks: Sequence[Task]) -> Call[None]:
            raise error

        await lab.ask("a", group="thread")
        await lab.ask("b")
        assert await drain(lab) == 0
        assert len(lab.signals.aggregation_failed.seen) == 2
        assert await lab.states() == {State.AGGREGATING: 2}

    async def test_a_coroutine_that_a_plain_function_hides_is_told(self, lab: Notes) -> None:
        """A thread cannot await it."""

        async def inner(name: str) -> Call[None]:
            raise AssertionError

        lab.aggregator(lambda group, tasks: inner(group.name))
        await lab.ask("a")
        await drain(lab)
        failed = await lab.signals.aggregation_failed.next()
        assert "declare it with async def" in str(failed.error)

    async def test_a_task_of_that_id_that_lives_is_waited_for(self, lab: Notes) -> None:
        """The members stay until it is gone; nothing is lost, nothing is there twice."""
        lab.aggregator(grace=0)(
            lambda group, tasks: lab.digest.using(task_id="one").call(
                group.name, [lab.note.arguments_of(task)["text"] for task in tasks]
            )
        )
        await lab.digest.using(task_id="one", delay=10).enqueue("first", [])
        await lab.ask("a")
        assert await drain(lab, jump=False) == 0
        failed = await lab.signals.aggregation_failed.next()
        assert str(failed.error) == "digest: the task one, scheduled, has its id"
        assert await lab.states() == {State.SCHEDULED: 1, State.AGGREGATING: 1}
        assert await drain(lab) == 2
        assert lab.sent == [(10, "first", []), (10, "ann", ["a"])]

    async def test_a_task_that_has_its_unique_key_is_waited_for(self, lab: Notes) -> None:
        """As with an id."""
        lab.aggregator(grace=0)(
            lambda group, tasks: lab.digest.using(unique_for=None, unique_key="k").call("x", [])
        )
        await lab.digest.using(unique_key="k", task_id="other", delay=10).enqueue("first", [])
        await lab.ask("a")
        assert await drain(lab, jump=False) == 0
        failed = await lab.signals.aggregation_failed.next()
        assert str(failed.error) == "digest: the task other, scheduled, has its unique key"

    async def test_a_broker_that_is_away_is_asked_again(self) -> None:
        """Whatever call fails, and when the reply was lost, the group is one task once."""
        flaky = Flaky(MemoryBroker())
        lab = Notes(flaky, autojump=True)
        lab.aggregator(grace=1)(lab.one_of)
        flaky.ails.update({"groups": 2, "members": 2, "aggregate": 2, "reply": 1})
        async with lab.working():
            await lab.ask("a", "b")
            await lab.signals.settled.next()
        assert [texts for _, _, texts in lab.sent] == [["a", "b"]]
        assert not +flaky.ails
        calls = {each.call for each in lab.signals.broker_failed.seen}
        assert calls == {"groups", "members", "aggregate"}

    async def test_a_broker_that_is_away_for_long_does_not_keep_a_place(self) -> None:
        """After a minute the group waits as one that failed does."""
        flaky = Flaky(MemoryBroker())
        lab = Notes(flaky, autojump=True)
        lab.aggregator(grace=0)(lab.one_of)
        flaky.ails["members"] = 40
        async with lab.working():
            await lab.ask("a")
            await lab.signals.settled.next(timeout=20)
        assert lab.sent[0][0] > 60

    async def test_only_so_many_failures_are_remembered(self) -> None:
        """Groups come from outside, and there is no end to them."""
        setbacks: FailureBackoff[int] = FailureBackoff(ManualClock(), lambda: 0.5, longest=300)
        for number in range(REMEMBERED + 5):
            setbacks.add(number)
        assert [each for each in range(REMEMBERED + 5) if each not in setbacks] == [0, 1, 2, 3, 4]


class Flaky(ForwardingBroker):
    """A broker some of whose next calls of a verb fail; "reply" is of aggregate."""

    def __init__(self, inner: MemoryBroker) -> None:
        super().__init__(inner)
        self.ails: Counter[str] = Counter()

    def _ail(self, verb: str) -> None:
        if self.ails[verb] > 0:
            self.ails[verb] -= 1
            raise BrokerUnavailable(verb)

    async def groups(self, queue: str, limit: int, *, after: str = "") -> Sequence[Group]:
        self._ail("groups")
        return await super().groups(queue, limit, after=after)

    async def members(self, queue: str, group: str, limit: int) -> Sequence[Task]:
        self._ail("members")
        return await super().members(queue, group, limit)

    async def aggregate(
        self, queue: str, group: str, ids: Sequence[TaskId], task: NewTask, *, now: Moment
    ) -> Admission | Stale:
        self._ail("aggregate")
        answer = await super().aggregate(queue, group, ids, task, now=now)
        self._ail("reply")
        return answer


class TestWorkers:
    async def test_two_workers_make_one_task_of_the_same_members(self) -> None:
        """Both ask their aggregators; one of them is too late, and that is no trouble."""
        lab = Notes()
        both = asyncio.Event()
        asked = 0

        @lab.aggregator(grace=0)
        async def wait_for_the_other(group: Group, tasks: Sequence[Task]) -> Call[None]:
            nonlocal asked
            asked += 1
            if asked == 2:
                both.set()
            await both.wait()
            return lab.one_of(group, tasks)

        await lab.ask("a", "b")
        async with lab.working(), lab.working():
            await lab.signals.settled.next()
            await turn(50)
        assert asked == 2
        assert [texts for _, _, texts in lab.sent] == [["a", "b"]]
        assert len(lab.signals.aggregated.seen) == 1
        assert not lab.signals.aggregation_failed.seen

    async def test_members_that_are_gone_meanwhile_make_nothing(self) -> None:
        """An operator deleted them while the aggregator ran: it was for nothing."""
        lab = Notes()

        @lab.aggregator(grace=0)
        async def slow(group: Group, tasks: Sequence[Task]) -> Call[None]:
            await lab.inspector.delete("default", [task.id for task in tasks])
            return lab.one_of(group, tasks)

        await lab.ask("a", "b")
        assert await drain(lab) == 0
        assert await lab.states() == {}
        assert not lab.signals.aggregation_failed.seen

    async def test_a_group_that_is_gone_when_its_turn_comes_makes_nothing(self) -> None:
        """Somebody else was faster, before the members were read."""

        class Late(ForwardingBroker):
            async def groups(self, queue: str, limit: int, *, after: str = "") -> Sequence[Group]:
                return [Group(queue, "gone", 3, NOW - 99, NOW - 99)]

        lab = Notes(Late(MemoryBroker()))
        lab.aggregator(lab.one_of)
        await lab.note.using(retention=60).enqueue("a")
        assert await drain(lab) == 1
        assert not lab.signals.aggregated.seen
        assert not lab.signals.aggregation_failed.seen

    async def test_a_crash_between_aggregator_and_aggregate_loses_nothing(self) -> None:
        """The next worker makes the very same task of the same members."""
        broker = Crashing(MemoryBroker())
        lab = Notes(broker)
        lab.aggregator(grace=0)(lab.one_of)
        await lab.ask("a", "b")
        worker = lab.worker()
        running = asyncio.create_task(worker.run())
        await broker.reached.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await lab.states() == {State.AGGREGATING: 2}
        broker.is_well = True
        assert await drain(lab) == 1
        assert [texts for _, _, texts in lab.sent] == [["a", "b"]]
        assert broker.ids[0] == broker.ids[1]

    async def test_a_worker_that_stops_leaves_what_it_has_begun(self) -> None:
        """An aggregator is cancelled, in whatever mode, and its members stay."""
        for burst in (False, True):
            lab = Notes()
            began, cancelled = asyncio.Event(), asyncio.Event()

            @lab.aggregator(grace=0)
            async def slow(
                group: Group,
                tasks: Sequence[Task],
                began: asyncio.Event = began,
                cancelled: asyncio.Event = cancelled,
            ) -> Call[None]:
                began.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    cancelled.set()
                raise AssertionError

            await lab.ask("a")
            worker = lab.worker(burst=burst)
            running = asyncio.create_task(worker.run())
            await began.wait()
            worker.stop()
            await running
            assert cancelled.is_set()
            assert await lab.states() == {State.AGGREGATING: 1}
            assert not lab.signals.aggregation_failed.seen

    async def test_a_worker_that_stops_does_not_wait_for_a_place(self) -> None:
        """Though ten aggregators hang, and more groups are ready."""
        lab = Notes()
        began = 0
        full = asyncio.Event()

        @lab.aggregator(grace=0)
        async def hang(group: Group, tasks: Sequence[Task]) -> Call[None]:
            nonlocal began
            began += 1
            if began == CONCURRENCY:
                full.set()
            await asyncio.Event().wait()
            raise AssertionError

        for number in range(15):
            await lab.ask("a", group=str(number))
        worker = lab.worker()
        running = asyncio.create_task(worker.run())
        await full.wait()
        await turn()
        worker.stop()
        await running
        assert began == CONCURRENCY
        assert await lab.states() == {State.AGGREGATING: 15}

    async def test_a_paused_worker_aggregates_nothing(self, lab: Notes) -> None:
        """It does once it is resumed."""
        lab.aggregator(grace=0)(lab.one_of)
        async with lab.working() as worker:
            worker.pause()
            await lab.ask("a")
            for _ in range(20):
                lab.manual.advance(1)
                await turn()
            assert await lab.states() == {State.AGGREGATING: 1}
            worker.resume()
            await lab.signals.settled.next()
        assert [texts for _, _, texts in lab.sent] == [["a"]]

    async def test_a_burst_aggregates_what_is_ready_and_runs_it(self, lab: Notes) -> None:
        """What is not ready it leaves; a burst that is paused aggregates nothing."""
        lab.aggregator(grace=10)(lab.one_of)
        await lab.ask("a")
        lab.manual.advance(10)
        await lab.ask("b", group="bob")
        worker = lab.worker(burst=True)
        await worker.run()
        assert worker.executed == 1
        assert lab.sent == [(10, "ann", ["a"])]
        assert worker.next_ready == NOW + 20

    async def test_a_worker_without_aggregators_does_not_look(self) -> None:
        """Nothing is asked of the broker that nobody could use."""
        broker = Flaky(MemoryBroker())
        lab = Notes(broker)
        broker.ails["groups"] = 1
        await lab.ask("a")
        async with lab.working():
            lab.manual.advance(100)
            await turn()
        assert broker.ails["groups"] == 1
        assert lab.worker().next_ready is None

    async def test_a_worker_whose_broker_has_no_groups_does_not_look(self) -> None:
        """Its tasks are run as ever; a task with a group is refused."""

        class Plain(MemoryBroker):
            capabilities = frozenset[Capability]()

        lab = Notes(Plain())
        lab.aggregator(lab.one_of)
        await lab.note.enqueue("a")
        assert await drain(lab) == 1
        with pytest.raises(InvalidTask, match="no groups"):
            await lab.ask("b")

    async def test_looks_are_few(self) -> None:
        """Five seconds apart when nothing waits, one second while something does."""
        broker = Counting(MemoryBroker())
        lab = Notes(broker, autojump=True)
        lab.aggregator(grace=1000)(lab.one_of)
        async with lab.working():
            await lab.clock.sleep_until(NOW + 100)
            assert broker.looks <= 23
            await lab.ask("a")
            before = broker.looks
            await lab.clock.sleep_until(NOW + 200)
            assert broker.looks - before <= 103
            before = broker.looks
            for number in range(100):
                await lab.ask("a", group=str(number))
                await lab.clock.sleep_until(lab.clock.now() + 0.01)
            assert broker.looks - before <= 8

    async def test_who_takes_long_to_look_rests_longer(self) -> None:
        """With very many groups, a worker does not spend its time looking at them."""
        broker = Counting(MemoryBroker())
        lab = Notes(broker, autojump=True)
        broker.takes = 1.0, lab
        lab.aggregator(grace=1000)(lab.one_of)
        await lab.ask("a")
        async with lab.working():
            await lab.clock.sleep_until(NOW + 100)
        assert 20 <= broker.looks <= 27

    async def test_members_that_nobody_here_can_aggregate_are_told_of_once(self) -> None:
        """Once for all groups of a kind; they stay, and nobody looks more often for them."""
        lab = Notes(autojump=True)
        lab.aggregator("ann")(lab.one_of)
        async with lab.working():
            for number in range(3):
                await lab.ask("a", group=f"digest:{number}")
            first = await lab.signals.no_aggregator.next()
            await lab.ask("a", group="bob")
            second = await lab.signals.no_aggregator.next()
            await lab.clock.sleep_until(NOW + 60)
        assert (first.group.queue, first.group.name) == ("default", "digest:0")
        assert second.group.name == "bob"
        assert len(lab.signals.no_aggregator.seen) == 2
        assert await lab.states() == {State.AGGREGATING: 4}

    async def test_what_happens_is_logged(
        self, lab: Notes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """That tasks became one as debug, that they could not, or that nobody can, as a warning."""
        fails = True

        @lab.aggregator("ann", grace=0)
        async def sometimes(group: Group, tasks: Sequence[Task]) -> Call[None]:
            if fails:
                raise ValueError("no")
            return lab.digest.using(task_id="d").call("x", [])

        await lab.ask("a")
        await lab.ask("b", group="bob")
        with capture_logs() as lines:
            lab.instruments = (LoggingInstrument(structlog.get_logger()),)
            await drain(lab, jump=False)
            fails = False
            await drain(lab, jump=False)
            monkeypatch.setattr(structlog, "is_configured", lambda: False)
            lab.instruments = (LoggingInstrument(),)
            await lab.ask("c")
            await drain(lab, jump=False)
        told = {line["event"]: line for line in lines if "group" in line}
        assert len(told["tasks aggregated"].pop("task_ids")) == 1
        facts = {"queue": "default", "members": 1, "log_level": "warning"}
        failed = {"event": "aggregation failed", "error": "ValueError: no", "again_in": 1.0}
        nobody = {"event": "no aggregator for this group", "group": "bob"}
        made = {"event": "tasks aggregated", "group": "ann", "task": "digest", "task_id": "d"}
        assert told == {
            failed["event"]: {"group": "ann", **failed, **facts},
            nobody["event"]: {**nobody, **facts},
            made["event"]: {**made, **facts, "log_level": "debug"},
        }
        # as with tasks that succeed: where nobody has set up a log, none is written as debug
        assert [line["event"] for line in lines].count("tasks aggregated") == 1


class Crashing(ForwardingBroker):
    """A broker that is reached for `aggregate`, and never gets to it until it is well."""

    def __init__(self, inner: MemoryBroker) -> None:
        super().__init__(inner)
        self.reached = asyncio.Event()
        self.is_well = False
        self.ids: list[TaskId] = []

    async def aggregate(
        self, queue: str, group: str, ids: Sequence[TaskId], task: NewTask, *, now: Moment
    ) -> Admission | Stale:
        self.ids.append(task.id)
        if not self.is_well:
            self.reached.set()
            await asyncio.Event().wait()
        return await super().aggregate(queue, group, ids, task, now=now)


class Counting(ForwardingBroker):
    """A broker that counts looks at groups, each of which may take its time."""

    def __init__(self, inner: MemoryBroker) -> None:
        super().__init__(inner)
        self.looks = 0
        self.takes: tuple[float, Lab] | None = None

    async def groups(self, queue: str, limit: int, *, after: str = "") -> Sequence[Group]:
        self.looks += 1
        if self.takes is not None:
            seconds, lab = self.takes
            await lab.clock.sleep_until(lab.clock.now() + seconds)
        return await super().groups(queue, limit, after=after)


class TestRegistration:
    async def test_the_best_pattern_serves_and_a_queue_of_its_own_comes_first(self) -> None:
        """The exact name before the longest prefix; one for the queue before one for all."""
        router = Router()

        def named(name: str) -> None:
            pass

        functions = {
            key: router.aggregator(key[0], queue=key[1])(lambda group, tasks, _key=key: a_task())
            for key in [("", None), ("a:", None), ("a:b:", None), ("a:b", None), ("", "mail")]
        }

        def served(queue: str, group: str) -> tuple[str, str | None]:
            found = router.aggregators.resolve(queue, group)
            assert found is not None
            assert found.function is functions[found.pattern, found.queue]
            return found.pattern, found.queue

        assert served("default", "z") == ("", None)
        assert served("default", "a:z") == ("a:", None)
        assert served("default", "a:b") == ("a:b", None)
        assert served("default", "a:b:c") == ("a:b:", None)
        assert served("mail", "a:b") == ("", "mail")

    async def test_the_queue_of_an_aggregator_is_served(self) -> None:
        """A worker that is not told its queues serves those that aggregators name too."""
        router = Router()
        router.aggregator(queue="mail")(lambda group, tasks: a_task())
        assert router.queues() == ["mail"]
        assert router.aggregators.resolve("default", "a") is None

    @pytest.mark.parametrize(
        ("options", "why"),
        [
            ({"grace": -1}, "grace is -1"),
            ({"grace": None}, "grace is None"),
            ({"max_delay": "long"}, "max_delay is 'long'"),
            ({"max_size": 0}, "max_size is 0: expected None or 1 to 1,000"),
            ({"max_size": 1001}, "max_size is 1001"),
            ({"max_size": True}, "max_size is True"),
            ({"pattern": "\n"}, "an aggregator's group"),
            ({"pattern": 7}, "an aggregator's group"),
            ({"queue": "two words"}, "an aggregator's queue"),
            ({"size": 7}, "has no option 'size': expected one of grace, max_delay, max_size"),
        ],
    )
    def test_what_makes_no_sense_is_refused_at_once(
        self, options: AggregationOptions, why: str
    ) -> None:
        """The error names what was given."""
        with pytest.raises(InvalidOption, match=why):
            Router().aggregator(**options)(lambda group, tasks: a_task())

    def test_a_pattern_has_one_aggregator_in_a_queue(self) -> None:
        """A second one would never be asked."""
        router = Router()
        router.aggregator("a")(lambda group, tasks: a_task())
        router.aggregator("a", queue="mail")(lambda group, tasks: a_task())
        with pytest.raises(InvalidOption, match="'a' have an aggregator already"):
            router.aggregator("a")(lambda group, tasks: a_task())

    def test_what_cannot_be_asked_is_refused(self) -> None:
        """A function that takes something else, or gives nothing at all."""

        def one(group: Group) -> TaskRequest:
            raise AssertionError

        def generator(group: Group, tasks: Sequence[Task]) -> object:
            yield a_task()

        for function, why in [(one, "two arguments"), (generator, "generator"), (7, "a function")]:
            with pytest.raises(InvalidOption, match=why):
                Router().aggregator()(function)  # type: ignore[type-var]

    @pytest.mark.parametrize(
        ("setting", "why"),
        [
            ({"group_grace": -1}, "group_grace is -1"),
            ({"group_max_delay": -1}, "group_max_delay is -1"),
            ({"group_max_size": 2000}, "group_max_size is 2000"),
        ],
    )
    def test_a_worker_refuses_defaults_that_make_no_sense(
        self, lab: Notes, setting: dict[str, float], why: str
    ) -> None:
        """When it is made."""
        with pytest.raises(InvalidOption, match=why):
            lab.worker(**setting)  # type: ignore[arg-type]

    async def test_a_group_is_an_option_of_a_task(self, lab: Notes) -> None:
        """Of all tasks of a handler, or of one; None takes it away."""

        @lab.task("grouped", group="ann")
        async def grouped(ctx: Context) -> None: ...

        assert await (await grouped.enqueue()).status() is State.AGGREGATING
        assert await (await grouped.using(group=None).enqueue()).status() is State.PENDING
        with pytest.raises(InvalidTask, match="group is ''"):
            await grouped.using(group="").enqueue()
