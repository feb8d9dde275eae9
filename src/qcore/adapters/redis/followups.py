"""End a lease and enqueue its follow-up tasks, in one step where one call reaches both queues."""

from collections.abc import Mapping, Sequence

from qcore.adapters.links.redis import Arg
from qcore.adapters.redis.enqueue import encode_tasks, enqueue
from qcore.adapters.redis.script_runner import (
    ScriptRunner,
    group_by_queue,
    raise_outage,
)
from qcore.adapters.redis.scripts import SETTLE_WITH_FOLLOWUPS
from qcore.adapters.redis.snapshot import read_snapshots
from qcore.adapters.redis.transitions import ConditionalWrite, encode_transitions
from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.errors import BrokerRefused
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.record import record
from qcore.domain.task import Lease


@record
class Ending:
    """A write that ends a lease, its answer if the guard holds, and the follow-up tasks."""

    write: ConditionalWrite
    answer: Settled
    lease: Lease
    then: Sequence[NewTask]


async def settle_with_followups(
    runner: ScriptRunner, endings: Sequence[Ending], now: Moment
) -> list[Settled | LeaseLost | BrokerRefused]:
    """End leases, and enqueue their follow-ups.

    A refusal takes the place of the answer where Redis refuses what was to be written.
    """
    answers: list[Settled | LeaseLost | BrokerRefused] = [LeaseLost() for _ in endings]
    asked: list[tuple[list[str], list[Arg]]] = []
    places: list[int] = []
    for n, ending in enumerate(endings):
        home = ending.lease.queue
        followups = group_by_queue((task.queue, task) for task in ending.then)
        if not runner.link.is_multi_slot and followups.keys() - {home}:
            # on a cluster no call reaches both slots: enqueue before the lease ends, as a repeated
            # run enqueues nothing twice (the ids are derived)
            if not await _is_held(runner, ending.lease):
                continue
            away = [task for task in ending.then if task.queue != home]
            try:
                await enqueue(runner, away, now)
            except BrokerRefused as error:
                answers[n] = error
                continue
            followups = {q: tasks for q, tasks in followups.items() if q == home}
        queues = [home, *(queue for queue in followups if queue != home)]
        asked.append((queues, _words(ending.write, queues, followups, now)))
        places.append(n)
    known = {queue for queues, _ in asked for queue in queues[1:]}
    if known:
        # registered first: an unregistered queue is never listed, an unused name does no harm
        await runner.link.command("SADD", runner.keys.registry, *sorted(known))
    replies = await runner.run_once(SETTLE_WITH_FOLLOWUPS, asked, now=now, partial=True)
    raise_outage(replies)
    for n, reply in zip(places, replies, strict=True):
        if not reply:
            answers[n] = endings[n].answer
        elif isinstance(reply, BrokerRefused):
            answers[n] = reply
    return answers


def _words(
    write: ConditionalWrite,
    queues: Sequence[str],
    followups: Mapping[str, Sequence[NewTask]],
    now: Moment,
) -> list[Arg]:
    verdict = encode_transitions([write])
    words: list[Arg] = [len(verdict), *verdict]
    for number, queue in enumerate(queues):
        if queue in followups:
            each = encode_tasks(followups[queue], now)
            words += (number, len(each), *each)
    return words


async def _is_held(runner: ScriptRunner, lease: Lease) -> bool:
    """Return whether the lease is still current."""
    (snapshot,) = await read_snapshots(runner, lease.queue, [lease.id])
    return snapshot is not None and snapshot.is_held(lease.token)
