"""Make one task of the members of a group."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from hashlib import sha256
from typing import Any, Final, TypeVar

from attrs import evolve

from qcore.app.calls.call import Call, TaskRequest
from qcore.app.calls.introspection import refuse_coroutine
from qcore.app.calls.options import Options
from qcore.app.calls.task_template import TaskTemplate
from qcore.app.client.client import Client
from qcore.app.tasks.aggregators import Aggregator
from qcore.app.tasks.handler import Kind
from qcore.app.worker.pools.handler_pools import HandlerPools
from qcore.app.worker.retrying import Retrying
from qcore.domain.answers import Enqueued
from qcore.domain.errors import InvalidTask
from qcore.domain.events import TasksAggregated
from qcore.domain.groups import Group, Stale, check_aggregate
from qcore.domain.new_task import DEFAULT_QUEUE, NewTask, TaskId
from qcore.domain.task import Task
from qcore.ports import Aggregating, Clock

T = TypeVar("T")

LONGEST_CALL: Final = 30.0
"""Seconds that an aggregator may take."""
LONGEST_TROUBLE: Final = 60.0
"""Seconds for which a group waits for a broker that is away before others have their turn."""


class AggregatorTimedOut(Exception):
    """Say that an aggregator took too long: it was told of when it did, and has ended now."""


class AggregationRunner:
    """Ask an aggregator, and have the broker put what it returns in the place of the members."""

    def __init__(
        self,
        broker: Aggregating,
        client: Client,
        pools: HandlerPools,
        *,
        clock: Clock,
        retrying: Retrying,
        leaving: asyncio.Event,
    ) -> None:
        self._broker = broker
        self._client = client
        self._pools = pools
        self._clock = clock
        self._retrying = retrying
        self._leaving = leaving

    async def aggregate(
        self,
        group: Group,
        aggregator: Aggregator,
        most: int,
        *,
        late: Callable[[Exception], None],
    ) -> TasksAggregated | None:
        """Return what was made; None where somebody else was faster.

        `late` is called when the aggregator takes too long; then this goes on until it has ended,
        as a thread may be at it still, and raises `AggregatorTimedOut`. Raises `GaveUp` where the
        broker is away for long, and whatever else keeps the members from becoming one.
        """
        queue, name = group.queue, group.name
        members = await self._insist("members", lambda: self._broker.members(queue, name, most))
        if not members:
            return None
        request = await self._ask(aggregator, group, members, late)
        task = self._build(request, group, members)
        ids = [member.id for member in members]
        answer = await self._insist(
            "aggregate",
            lambda: self._broker.aggregate(queue, name, ids, task, now=self._clock.now()),
        )
        if isinstance(answer, Stale):
            return None
        if not isinstance(answer, Enqueued):
            why = "has its unique key" if answer.id != task.id else "has its id"
            raise InvalidTask(f"{task.name}: the task {answer.id}, {answer.state}, {why}")
        return TasksAggregated(name, ids, task)

    async def _insist(self, name: str, call: Callable[[], Awaitable[T]]) -> T:
        until = self._clock.now() + LONGEST_TROUBLE
        return await self._retrying.call(name, call, until=lambda: until, unless=self._leaving)

    async def _ask(
        self,
        aggregator: Aggregator,
        group: Group,
        members: Sequence[Task],
        late: Callable[[Exception], None],
    ) -> TaskRequest:
        """Call the aggregator where it belongs; its time begins when there is room for it."""
        is_async = aggregator.is_async
        async with nullcontext() if is_async else self._pools.slots[Kind.THREAD]:
            work = self._begin(aggregator, group, members)
            try:
                await self._wait_for(work)
                if not work.done():
                    late(TimeoutError(f"the aggregator took longer than {LONGEST_CALL:g} seconds"))
                    if is_async:
                        work.cancel()
                    await asyncio.wait([work])
                    # what it ended with is of no interest, and need not be reported as unread
                    _ = work.cancelled() or work.exception()
                    raise AggregatorTimedOut
            finally:
                work.cancel()
            if work.cancelled():
                raise RuntimeError("the aggregator awaited what was cancelled")
            return work.result()

    async def _wait_for(self, work: "asyncio.Task[TaskRequest]") -> None:
        sleeper = asyncio.create_task(self._clock.sleep_until(self._clock.now() + LONGEST_CALL))
        try:
            await asyncio.wait([work, sleeper], return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeper.cancel()

    def _begin(
        self, aggregator: Aggregator, group: Group, members: Sequence[Task]
    ) -> "asyncio.Task[TaskRequest]":
        call = _called if aggregator.is_async else self._in_thread
        return asyncio.create_task(call(aggregator.function, group, members))

    async def _in_thread(
        self, function: Callable[..., Any], group: Group, members: Sequence[Task]
    ) -> TaskRequest:
        request: TaskRequest = await _called(self._pools.threads.submit, function, group, members)
        return request

    def _build(self, request: TaskRequest, group: Group, members: Sequence[Task]) -> NewTask:
        """Return the task for the members' queue; raise `InvalidTask` where it is wrong."""
        if isinstance(request, Call):
            own: Options = {"queue": group.queue, "task_id": _id_of(group, members)}
            template = request.template
            request = evolve(
                request, template=TaskTemplate(template.name, {**own, **template.options})
            )
        elif not isinstance(request, NewTask):
            raise InvalidTask(
                f"the aggregator returned {request!r}: expected task.call(…) or a NewTask"
            )
        elif request.queue == DEFAULT_QUEUE:
            request = evolve(request, queue=group.queue)
        task = self._client.build(request, self._clock.now())
        check_aggregate(group.queue, (), task)
        return task


async def _called(function: Callable[..., Any], *args: object) -> Any:
    """Return what an aggregator returns; whatever it raises must not end the worker."""
    try:
        made = await function(*args)
    except SystemExit as error:
        raise RuntimeError(f"the aggregator raised {error!r}") from None
    return refuse_coroutine(made, "aggregator")


def _id_of(group: Group, members: Sequence[Task]) -> TaskId:
    """Return an id that is the same for the same members, so that they become one task once."""
    these = sorted((member.id, member.created) for member in members)
    return sha256(json.dumps([group.queue, group.name, these]).encode()).hexdigest()[:32]
