"""Workers: whether somebody listens for each queue that has pending tasks."""

from collections.abc import Iterator, Mapping, Sequence

from qcore.adapters.links.redis import Topology
from qcore.adapters.redis.keys import Keys
from qcore.doctor.redis.queues import QueueReport
from qcore.doctor.redis.server_queries import ServerQueries
from qcore.domain.diagnostics import Finding, ok, warning


async def listeners(
    topology: Topology, keys: Keys, queues: Sequence[str], queries: ServerQueries
) -> Mapping[str, int] | None:
    """Return how many listen for each queue, None where that is not to be learned.

    Each server of a cluster knows of those alone who are connected to it.
    """
    channels = [keys.channel(queue) for queue in queues]
    heard = dict.fromkeys(queues, 0)
    for node in (*topology.masters, *topology.replicas):
        [reply] = await queries.ask(node, ("PUBSUB", "NUMSUB", *channels))
        if reply is None:
            return None
        for queue, number in zip(queues, reply[1::2], strict=True):
            heard[queue] += number
    return heard


async def workers(
    topology: Topology, keys: Keys, found: Sequence[QueueReport], queries: ServerQueries
) -> list[Finding]:
    """Tell which queues have something to claim, and nobody who would be told of it."""
    waiting = {look.queue: look.pending for look in found if look.pending}
    if not waiting:
        return [ok("workers", "nothing is waiting")]
    heard = await listeners(topology, keys, [*waiting], queries)
    return [] if heard is None else [*findings_of(waiting, heard)]


def findings_of(waiting: Mapping[str, int], heard: Mapping[str, int]) -> Iterator[Finding]:
    """Tell, of how many wait in each queue and how many listen for it, who is not served."""
    for queue, many in waiting.items():
        if not heard[queue]:
            wait = "task waits" if many == 1 else "tasks wait"
            yield warning(
                "workers",
                f"{queue}: {many:,} {wait}, and no worker listens",
                f"start one that serves it: qcore worker … --queues {queue}",
            )
    served = [queue for queue in waiting if heard[queue]]
    if len(served) == len(waiting):
        yield ok("workers", f"somebody listens wherever tasks wait ({', '.join(served)})")
