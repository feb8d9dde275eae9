"""Aggregate a group now, ready or not, without a worker."""

import asyncio
from collections.abc import Sequence
from contextlib import closing

from qcore.app.client.client import Client
from qcore.app.client.group_listing import aggregating
from qcore.app.tasks.aggregators import AggregationTiming
from qcore.app.tasks.router import Router
from qcore.app.worker.groups.aggregation import AggregationRunner, AggregatorTimedOut
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.pools.handler_pools import HandlerPools
from qcore.app.worker.retrying import GaveUp, Retrying
from qcore.domain.errors import AggregationFailure, BrokerUnavailable, InvalidOption, QcoreError
from qcore.domain.events import TasksAggregated
from qcore.domain.groups import MAX_MEMBERS, Group
from qcore.domain.retry import Dice, described
from qcore.ports import Broker, Clock


async def aggregate_now(
    broker: Broker,
    router: Router,
    queue: str,
    name: str,
    *,
    client: Client,
    clock: Clock,
    dice: Dice,
    emit: Instruments,
) -> Sequence[TasksAggregated]:
    """Have the aggregator of a group make tasks of its members; return what became of them.

    One task for each `max_size` members, and none where no task waits in the group. Raises
    `InvalidOption` where the group has no aggregator, and `AggregationFailure`.
    """
    aggregator = router.aggregators.resolve(queue, name)
    if aggregator is None:
        raise InvalidOption(f"the group {name!r} of the queue {queue!r} has no aggregator here")
    await client.open()
    found, stopping = aggregating(broker), asyncio.Event()
    limit = aggregator.timing(AggregationTiming()).limit
    made: list[TasksAggregated] = []
    with closing(HandlerPools(1, 1)) as pools:
        retrying = Retrying(clock, dice, emit)
        runner = AggregationRunner(
            found, client, pools, clock=clock, retrying=retrying, stopping=stopping
        )
        while members := await found.members(queue, name, MAX_MEMBERS):
            group = Group(queue, name, len(members), members[0].due, members[-1].due)
            try:
                event = await runner.aggregate(group, aggregator, limit, timed_out=_ignored)
            except GaveUp:
                raise BrokerUnavailable(f"the group {name!r} was not aggregated") from None
            except AggregatorTimedOut:
                raise AggregationFailure(f"the aggregator of {name!r} takes too long") from None
            except QcoreError:
                raise
            except Exception as error:
                raise AggregationFailure(
                    f"the aggregator of {name!r} raised {described(error)}"
                ) from error
            if event is None:
                # a worker was faster
                break
            made.append(event)
    return made


def _ignored(_: Exception) -> None:
    """Leave it to `AggregatorTimedOut`, which follows."""
