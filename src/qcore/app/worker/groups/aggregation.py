"""Aggregate one group: ask its aggregator for a task, and put that in the place of the members."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from hashlib import sha256
from typing import Any, Final, TypeVar

from attrs import evolve

from qcore.app.calls.call import Call, TaskRequest
from qcore.app.calls.introspection import refuse_unstarted
from qcore.app.calls.options import Options
from qcore.app.calls.task_template import TaskTemplate
from qcore.app.calls.user_code import as_exception, is_from_outside
from qcore.app.client.client import Client
from qcore.app.client.division import ABOUT_VALUES
from qcore.app.tasks.aggregators import Aggregator
from qcore.app.tasks.kind import Kind
from qcore.app.worker.pools.handler_pools import HandlerPools
from qcore.app.worker.retrying import Retrying
from qcore.domain.answers import Admission, Enqueued
from qcore.domain.errors import InvalidTask
from qcore.domain.events import TasksAggregated
from qcore.domain.groups import Group, Stale, check_aggregate
from qcore.domain.new_task import DEFAULT_QUEUE, NewTask, TaskId
from qcore.domain.origin import Origin, OriginKind, with_origin
from qcore.domain.task import Task
from qcore.domain.text import shown
from qcore.ports import Aggregating, Clock

T = TypeVar("T")

AGGREGATOR_TIMEOUT: Final = 30.0
"""Seconds that an aggregator may take."""
BROKER_TIMEOUT: Final = 60.0
"""Seconds for which calls for one group are repeated before other groups have their turn."""


class AggregatorTimedOut(Exception):
    """Say that an aggregator took too long, which is reported already, and has ended by now."""


class AggregationRunner:
    """Call aggregators, and have the broker replace members by the task that they return."""

    def __init__(
        self,
        broker: Aggregating,
        client: Client,
        pools: HandlerPools,
        *,
        clock: Clock,
        retrying: Retrying,
        stopping: asyncio.Event,
    ) -> None:
        self._broker = broker
        self._client = client
        self._pools = pools
        self._clock = clock
        self._retrying = retrying
        self._stopping = stopping

    async def aggregate(
        self,
        group: Group,
        aggregator: Aggregator,
        max_size: int,
        *,
        timed_out: Callable[[Exception], None],
    ) -> TasksAggregated | None:
        """Make one task of up to `max_size` members; return the event that tells of it.

        None where another worker was faster. `timed_out` is called when the aggregator takes too
        long; then this waits until it has ended, as a thread cannot be cancelled, and raises
        `AggregatorTimedOut`. Raises `GaveUp` where the broker is unavailable for long, and
        whatever else keeps the members from becoming one task.
        """
        queue, name = group.queue, group.name
        members = await self._call_broker(
            "members", lambda: self._broker.members(queue, name, max_size)
        )
        if not members:
            return None
        request = await self._call_aggregator(aggregator, group, members, timed_out)
        task = self._build(request, group, members)
        ids = [member.id for member in members]
        answer = await self._call_broker("aggregate", lambda: self._replace(group, ids, task))
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Stale):
            return None
        if not isinstance(answer, Enqueued):
            why = "has its unique key" if answer.id != task.id else "has its id"
            raise InvalidTask(f"{task.name}: the task {answer.id}, {answer.state}, {why}")
        return TasksAggregated(name, ids, task)

    async def _replace(
        self, group: Group, ids: Sequence[TaskId], task: NewTask
    ) -> Admission | Stale | Exception:
        """Put a task in the place of members; return an error that concerns this task alone."""
        now = self._clock.now()
        try:
            return await self._broker.aggregate(group.queue, group.name, ids, task, now=now)
        except ABOUT_VALUES as error:
            # not an outage: the same call would fail for ever
            return error

    async def _call_broker(self, name: str, call: Callable[[], Awaitable[T]]) -> T:
        latest = self._clock.monotonic() + BROKER_TIMEOUT
        return await self._retrying.call(name, call, give_up_at=lambda: latest, stop=self._stopping)

    async def _call_aggregator(
        self,
        aggregator: Aggregator,
        group: Group,
        members: Sequence[Task],
        timed_out: Callable[[Exception], None],
    ) -> TaskRequest:
        """Call an aggregator, on the loop or in a thread; its time begins once it has a slot."""
        is_async = aggregator.is_async
        async with nullcontext() if is_async else self._pools.slots[Kind.THREAD]:
            work = self._begin(aggregator, group, members)
            try:
                await self._wait_for(work)
                if not work.done():
                    timed_out(
                        TimeoutError(
                            f"the aggregator took longer than {AGGREGATOR_TIMEOUT:g} seconds"
                        )
                    )
                    if is_async:
                        work.cancel()
                    await asyncio.wait([work])
                    # retrieved, or asyncio would log its exception as never retrieved
                    _ = work.cancelled() or work.exception()
                    raise AggregatorTimedOut
            finally:
                work.cancel()
            if work.cancelled():
                raise RuntimeError("the aggregator awaited what was cancelled")
            return work.result()

    async def _wait_for(self, work: "asyncio.Task[TaskRequest]") -> None:
        sleeper = asyncio.create_task(self._clock.sleep(AGGREGATOR_TIMEOUT))
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
        """Return the task that the aggregator asked for; raise `InvalidTask` where it is wrong.

        Its queue is the members' unless it names one, and a call has an id of theirs.
        """
        if isinstance(request, Call):
            own: Options = {"queue": group.queue, "task_id": _id_of(group, members)}
            template = request.template
            request = evolve(
                request, template=TaskTemplate(template.name, {**own, **template.options})
            )
        elif not isinstance(request, NewTask):
            raise InvalidTask(
                f"the aggregator returned {shown(request)}: expected task.call(…) or a NewTask"
            )
        elif request.queue == DEFAULT_QUEUE:
            request = evolve(request, queue=group.queue)
        task = self._client.build(request, self._clock.now())
        check_aggregate(group.queue, (), task)
        origin = Origin(OriginKind.GROUP, group.queue, group.name, len(members))
        return with_origin(task, origin)


async def _called(function: Callable[..., Any], *args: object) -> Any:
    """Return what an aggregator returns; what it raises must not end the event loop."""
    try:
        made = await function(*args)
    except BaseException as error:
        if is_from_outside(error):
            raise
        raise as_exception(error, "the aggregator") from None
    return refuse_unstarted(made, "aggregator")


def _id_of(group: Group, members: Sequence[Task]) -> TaskId:
    """Return an id derived from the members, so that the same members become one task once."""
    identities = sorted((member.id, member.created) for member in members)
    return sha256(json.dumps([group.queue, group.name, identities]).encode()).hexdigest()[:32]
