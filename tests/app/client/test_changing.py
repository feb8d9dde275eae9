"""What may still be changed of a task that was asked for: when it is due, and what it is."""

from datetime import UTC, datetime
from typing import Any

import pytest

from qcore import Context, InvalidTask, Qcore, State, chain
from qcore.answers import Missing, Moved, NotAllowed
from qcore.backoff import exponential
from qcore.tasks import Details
from qcore.testing import a_task, drain, some_tasks
from qcore.testing.builders import NOW, a_demand
from tests.app.kit import Lab, stored


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


class TestReschedule:
    async def test_it_runs_at_another_moment(self, lab: Lab) -> None:
        """Later or earlier, by a moment or by how long from now."""
        handle = await lab.client.enqueue(a_task())
        assert await handle.reschedule(delay=60) == Moved(State.SCHEDULED)
        assert (await stored(handle)).due == NOW + 60
        assert await handle.reschedule(at=datetime.fromtimestamp(NOW + 5, UTC)) == Moved(
            State.SCHEDULED
        )
        assert (await stored(handle)).due == NOW + 5

    async def test_one_that_runs_or_has_ended_stays(self, lab: Lab) -> None:
        """The answer says where it is."""
        handle = await lab.client.enqueue(a_task())
        await lab.broker.claim(a_demand(), now=NOW, until=NOW + 30)
        assert await handle.reschedule(delay=1) == NotAllowed(State.ACTIVE)
        assert await handle.cancel() == Moved(State.DEAD)
        assert await handle.reschedule(delay=1) == NotAllowed(State.DEAD)
        assert await handle.delete() == Moved(State.GONE)
        assert await handle.reschedule(delay=1) == Missing()

    @pytest.mark.parametrize(
        "when",
        [{}, {"at": NOW, "delay": 1}, {"delay": -1}, {"at": datetime(2027, 1, 1)}],  # noqa: DTZ001
        ids=str,
    )
    async def test_nonsense_is_refused(self, lab: Lab, when: dict[str, Any]) -> None:
        """Neither, both, or what is no moment."""
        handle = await lab.client.enqueue(a_task())
        with pytest.raises(InvalidTask, match=r"at|delay"):
            await handle.reschedule(**when)
        assert await handle.status() is State.PENDING

    async def test_all_of_some_are_moved_once(self, lab: Lab) -> None:
        """Though they stay among those that are looked through; those due then are not counted."""
        await lab.client.enqueue_many(some_tasks(1_200, due=NOW + 10))
        await lab.client.enqueue(a_task(due=NOW + 500))
        await lab.client.enqueue(a_task(name="other", due=NOW + 10))
        moved = await lab.inspector.reschedule_all(
            at=NOW + 500, state=State.SCHEDULED, name="test:task"
        )
        assert moved == 1_200
        page = await lab.inspector.browse("default", State.SCHEDULED, limit=2)
        assert [task.due for task in page.tasks] == [NOW + 10, NOW + 500]

    async def test_pending_ones_are_put_off(self, lab: Lab) -> None:
        """They are scheduled then, whatever their moment was."""
        tasks = some_tasks(3)
        await lab.client.enqueue_many(tasks)
        [answer, other] = await lab.inspector.reschedule("default", [tasks[0].id, "?"], delay=0)
        assert (answer, other) == (Moved(State.SCHEDULED), Missing())
        assert await lab.inspector.reschedule_all(delay=0, state=State.PENDING) == 2
        assert await lab.inspector.totals() == {State.SCHEDULED: 3}


class TestUpdate:
    async def test_options_are_changed_where_the_task_is(self, lab: Lab) -> None:
        """As they would have been given to `using`; the others stay as they were."""
        handle = await lab.client.enqueue(a_task(due=NOW + 9, headers={"a": "b"}, max_crashes=2))
        answer = await handle.update(
            priority=5,
            max_retry=1,
            timeout=None,
            deadline=NOW + 100,
            expires=50,
            retention=60,
            backoff=exponential(1),
        )
        assert answer == Moved(State.SCHEDULED)
        spec = (await stored(handle)).spec
        assert (spec.priority, spec.max_retry, spec.timeout, spec.deadline) == (
            5, 1, None, NOW + 100,
        )  # fmt: skip
        assert (spec.expires, spec.retention, spec.backoff) == (
            NOW + 50, 60, exponential(1).spelled(),
        )  # fmt: skip
        assert (spec.headers, spec.max_crashes) == ({"a": "b"}, 2)
        await handle.update(deadline=None, expires=None, backoff=None, headers={})
        spec = (await stored(handle)).spec
        assert (spec.deadline, spec.expires, spec.backoff, spec.headers) == (None, None, None, {})

    async def test_it_is_run_with_new_arguments(self, lab: Lab) -> None:
        """All of them anew; the defaults are the handler's."""
        seen: list[tuple[int, str]] = []

        @lab.task
        async def resize(ctx: Context, width: int, kind: str = "png") -> None:
            seen.append((width, kind))

        handle = await resize.enqueue(1, "gif")
        assert await handle.update(arguments={"width": 2}) == Moved(State.PENDING)
        await drain(lab)
        assert seen == [(2, "png")]

    async def test_new_arguments_are_checked(self) -> None:
        """As those of `enqueue`: by the handler's annotations, and by their size."""
        lab = Lab(max_payload=30)

        @lab.task
        async def resize(ctx: Context, path: str) -> None: ...

        handle = await resize.enqueue("a")
        for wrong in ({"path": 1}, {"width": 1}, {}, {"path": "x" * 30}):
            with pytest.raises(InvalidTask, match="resize"):
                await handle.update(arguments=wrong)
        assert (await stored(handle)).spec.payload == b'{"path":"a"}'

    async def test_by_id_they_are_taken_as_they_are(self, lab: Lab) -> None:
        """Nobody knows what the handler takes."""
        first = await lab.client.enqueue(a_task())
        handle = lab.client.handle("default", first.id)
        await handle.update(arguments={"any": 1})
        assert (await stored(first)).spec.payload == b'{"any":1}'

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({}, "nothing"),
            ({"priority": 5_000}, "priority is 5000"),
            ({"queue": "other"}, "queue cannot be changed"),
            ({"delay": 5}, "reschedule"),
            ({"colour": "red"}, "no option 'colour'"),
        ],
        ids=str,
    )
    async def test_nonsense_is_refused(self, lab: Lab, changes: dict[str, Any], why: str) -> None:
        """The error names the value, and nothing is written."""
        handle = await lab.client.enqueue(a_task())
        before = await handle.task()
        with pytest.raises(InvalidTask, match=why):
            await handle.update(**changes)
        with pytest.raises(InvalidTask, match=why):
            await lab.inspector.update_all(changes, state=State.PENDING)  # type: ignore[arg-type]
        assert await handle.task() == before

    async def test_the_rest_of_a_chain_is_not_a_header_to_lose(self, lab: Lab) -> None:
        """What travels with a task stays with it, whoever changes its headers."""
        seen: list[int] = []

        @lab.task
        async def first(ctx: Context) -> int:
            return 1

        @lab.task
        async def second(ctx: Context, number: int) -> None:
            seen.append(number)

        for change in range(3):
            handle = (await chain(first.call(), second).enqueue()).handles[0]
            plain = await lab.client.enqueue(a_task(due=NOW + 9_999))
            if change == 0:
                assert await handle.update(headers={"a": "b"}) == Moved(State.PENDING)
            elif change == 1:
                await lab.inspector.update(
                    "default", [handle.id, plain.id, "?"], headers={"a": "b"}
                )
            else:
                which = {"a": "b"}
                number = await lab.inspector.update_all({"headers": which}, state=State.PENDING)
                assert number == 1
                assert await lab.inspector.update_all({"headers": which}, state=State.PENDING) == 0
            assert (await stored(handle)).spec.headers["a"] == "b"
            await lab.run_due()
        assert seen == [1, 1, 1]

    async def test_all_of_some_are_changed_once(self, lab: Lab) -> None:
        """A pending one goes behind those of its new priority, and is not met for ever."""
        await lab.client.enqueue_many(some_tasks(1_100, priority=5))
        await lab.client.enqueue_many(some_tasks(3, priority=1))
        assert await lab.inspector.update_all({"priority": 1}, state=State.PENDING) == 1_100
        assert await lab.inspector.update_all({"priority": 1}, state=State.PENDING) == 0
        assert await lab.inspector.totals() == {State.PENDING: 1_103}

    async def test_the_inspector_changes_tasks_by_id(self, lab: Lab) -> None:
        """Each answer is at its task's place."""
        task = a_task()
        await lab.client.enqueue(task)
        answers = await lab.inspector.update("default", [task.id, "?"], max_retry=7)
        assert answers == [Moved(State.PENDING), Missing()]


async def test_the_inspector_tells_what_is_kept_of_the_runs(lab: Lab) -> None:
    """Errors, progress, saved work; None for a task that is not there."""

    @lab.task
    async def work(ctx: Context) -> None:
        await ctx.save(b"1")
        raise ValueError

    handle = await work.enqueue()
    await lab.run_due()
    details = await lab.inspector.details("default", handle.id)
    assert details == Details(tuple(await handle.errors()), None, b"1")
    assert await lab.inspector.details("default", "?") is None


def test_code_that_blocks_changes_tasks_too() -> None:
    """The same words, without await."""
    lab: Qcore = Lab()
    handle = lab.blocking.enqueue(a_task())
    assert handle.reschedule(delay=5) == Moved(State.SCHEDULED)
    assert handle.update(priority=3, arguments={"a": 1}) == Moved(State.SCHEDULED)
    assert handle.errors() == ()
    assert handle.cancel() == Moved(State.DEAD)
    assert handle.delete() == Moved(State.GONE)
    assert handle.status() is State.GONE
