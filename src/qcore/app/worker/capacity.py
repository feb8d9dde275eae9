"""How much to claim from which queue, where some tasks need a thread or a process."""

from collections.abc import Mapping, Sequence
from typing import Final

from qcore.app.tasks.kind import Kind
from qcore.app.tasks.router import Router
from qcore.app.worker.pools.slots import Slots
from qcore.domain.new_task import DEFAULT_QUEUE
from qcore.domain.queue_weights import QueueWeights
from qcore.domain.task import Claim, Demand

MAJORITY: Final = 0.5
"""Share from which a queue counts as one of tasks of a kind."""
REMEMBERED: Final = 64
"""Number of tasks over which a queue's mix of kinds is averaged."""


class Capacity:
    """Divide a worker's room so that a kind without a free slot holds up only its own queues.

    What kind a task is, is not known before it is claimed. So each queue's mix of kinds is learned
    from the tasks that came out of it (an exponential moving average), beginning with what the
    handlers that name the queue suggest, and as much is demanded of a queue as the free slots
    bear. Nothing is demanded of a queue of mostly one kind once as many tasks wait for a slot of
    that kind as there are slots: what waits here could start at another worker.
    """

    def __init__(self, router: Router, slots: Mapping[Kind, Slots]) -> None:
        self.is_tight = False
        """Whether more could be claimed if a run in hand ended; set by `demands`."""
        self._router = router
        self._slots = slots
        handlers = list(router.handlers())
        self.may_be_tight = any(handler.kind in slots for handler in handlers)
        """Whether there are handlers that need a slot."""
        kinds: dict[str, list[Kind]] = {}
        for handler in handlers:
            queue = handler.options.get("queue", DEFAULT_QUEUE)
            kinds.setdefault(queue, []).append(handler.kind)
        self._mix: dict[str, dict[Kind, float]] = {
            queue: {kind: all_of.count(kind) / len(all_of) for kind in all_of if kind in slots}
            for queue, all_of in kinds.items()
        }

    def demands(self, weights: QueueWeights, room: int) -> list[Demand]:
        """Return what to claim, in order: first from the queues that slots limit, if there are.

        Each demand may take all the room, so that what one leaves is left to those after it.
        """
        self.is_tight = room <= 0
        if room <= 0:
            return []
        whole = weights.split(room)
        if not self.may_be_tight:
            return [whole]
        limits = {queue: self._limit(queue, room) for queue in whole.quotas}
        tight = {queue: limit for queue, limit in limits.items() if limit < room}
        if not tight:
            return [whole]
        self.is_tight = True
        demands: list[Demand] = []
        for queue, limit in tight.items():
            # at least one: a queue without a turn this time would wait though no other has work
            quota = (whole.quotas[queue] or 1) if any(whole.quotas.values()) else limit
            if (most := min(limit, quota, room)) > 0:
                demands.append(Demand(most, {queue: most}))
        rest = {queue: quota for queue, quota in whole.quotas.items() if queue not in tight}
        if rest:
            demands.append(Demand(room, rest))
        return demands

    def learn(self, claims: Sequence[Claim]) -> None:
        """Learn the mix of kinds from what came out of the queues."""
        if not self.may_be_tight:
            return
        kinds: dict[str, list[Kind | None]] = {}
        for claim in claims:
            handler = self._router.resolve(claim.task.spec.name)
            kinds.setdefault(claim.task.spec.queue, []).append(handler.kind if handler else None)
        for queue, seen in kinds.items():
            if self._mix.get(queue) or any(kind in self._slots for kind in seen):
                self._average(self._mix.setdefault(queue, {}), seen)

    def _average(self, mix: dict[Kind, float], seen: Sequence[Kind | None]) -> None:
        weight = min(1.0, len(seen) / REMEMBERED)
        for kind in self._slots:
            share = seen.count(kind) / len(seen)
            if share or kind in mix:
                mix[kind] = mix.get(kind, share) * (1 - weight) + share * weight

    def _limit(self, queue: str, room: int) -> int:
        mix = self._mix.get(queue, {})
        return min((self._bears(kind, share, room) for kind, share in mix.items()), default=room)

    def _bears(self, kind: Kind, share: float, room: int) -> int:
        """Return how many tasks may be claimed if a share of them is of a kind."""
        slots = self._slots[kind]
        free = slots.size - slots.in_hand
        if free > 0:
            return min(room, int(free / share)) if share * room > free else room
        # one by one, as the next may be of another kind
        return 1 if share < MAJORITY or -free < slots.size else 0


def within(demand: Demand, room: int) -> Demand:
    """Return as much of a demand as there is room for."""
    if demand.limit <= room:
        return demand
    quotas: dict[str, int] = {}
    left = room
    for queue, quota in demand.quotas.items():
        quotas[queue] = min(quota, left)
        left -= quotas[queue]
    return Demand(room, quotas)


def only(demand: Demand, queues: Sequence[str]) -> Demand:
    """Return the part of a demand that concerns some of its queues."""
    if len(queues) == len(demand.quotas):
        return demand
    quotas = {queue: demand.quotas[queue] for queue in queues}
    return Demand(demand.limit, quotas)
