"""Tasks that end and are followed by others, in one step where one call reaches both queues."""

from collections.abc import Mapping, Sequence

from qcore.adapters.links.redis import Arg
from qcore.adapters.redis.enqueue import encode_tasks, enqueue
from qcore.adapters.redis.script_runner import ScriptRunner, group_by_queue
from qcore.adapters.redis.scripts import SETTLE_WITH_FOLLOWUPS
from qcore.adapters.redis.snapshot import read_snapshots
from qcore.adapters.redis.transitions import ConditionalWrite, encode_transitions
from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.record import record
from qcore.domain.task import Lease


@record
class Ending:
    """A move that ends a lease, its answer if it is made, and what follows then."""

    move: ConditionalWrite
    answer: Settled
    lease: Lease
    then: Sequence[NewTask]


async def follow(
    runner: ScriptRunner, endings: Sequence[Ending], now: Moment
) -> list[Settled | LeaseLost]:
    """End leases, and store what follows."""
    answers: list[Settled | LeaseLost] = [LeaseLost() for _ in endings]
    asked: list[tuple[list[str], list[Arg]]] = []
    places: list[int] = []
    for n, ending in enumerate(endings):
        home = ending.lease.queue
        followers = group_by_queue((task.queue, task) for task in ending.then)
        if not runner.link.is_multi_slot and followers.keys() - {home}:
            # no call reaches both slots: rather twice than not at all, as their ids are the same
            if not await _is_good(runner, ending.lease):
                continue
            away = [task for task in ending.then if task.queue != home]
            await enqueue(runner, away, now)
            followers = {q: tasks for q, tasks in followers.items() if q == home}
        queues = [home, *(queue for queue in followers if queue != home)]
        asked.append((queues, _words(ending.move, queues, followers, now)))
        places.append(n)
    known = {queue for queues, _ in asked for queue in queues[1:]}
    if known:
        # first of all: a queue that nobody knows of would be worse than a name without a queue
        await runner.link.command("SADD", runner.keys.registry, *sorted(known))
    for n, reply in zip(places, await runner.run_once(SETTLE_WITH_FOLLOWUPS, asked), strict=True):
        if not reply:
            answers[n] = endings[n].answer
    return answers


def _words(
    move: ConditionalWrite,
    queues: Sequence[str],
    followers: Mapping[str, Sequence[NewTask]],
    now: Moment,
) -> list[Arg]:
    verdict = encode_transitions([move])
    words: list[Arg] = [len(verdict), *verdict]
    for number, queue in enumerate(queues):
        if queue in followers:
            each = encode_tasks(followers[queue], now)
            words += (number, len(each), *each)
    return words


async def _is_good(runner: ScriptRunner, lease: Lease) -> bool:
    """Return whether nobody has taken the task back."""
    (snapshot,) = await read_snapshots(runner, lease.queue, [lease.id])
    return snapshot is not None and snapshot.is_held(lease.token)
