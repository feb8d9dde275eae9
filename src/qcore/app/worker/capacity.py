"""How much to claim from which queue, when some of its tasks need a thread or a process."""

from collections.abc import Mapping, Sequence
from typing import Final

from qcore.app.tasks.handler import Kind
from qcore.app.tasks.router import Router
from qcore.app.worker.pools.slots import Slots
from qcore.domain.new_task import DEFAULT_QUEUE
from qcore.domain.queue_weights import QueueWeights
from qcore.domain.task import Claim, Demand

MOSTLY: Final = 0.5
REMEMBERED: Final = 64
"""Of how many tasks a queue's mix is remembered."""


class Capacity:
    """Divide a worker's room so that a kind with no free slot holds up its own queues alone.

    What a task needs is not known before it is claimed. So each queue's mix is learned from what
    came out of it, beginning with what the handlers that name it say, and a queue is asked for as
    much as the free slots bear. A queue that is mostly of a kind whose slots are taken is not
    asked once the line for them is as long as they are many: what waits in line here could begin
    at another worker.
    """

    def __init__(self, router: Router, slots: Mapping[Kind, Slots]) -> None:
        self.are_tight = False
        """Whether more could be claimed if something in hand ended."""
        self._router = router
        self._slots = slots
        self._mix: dict[str, dict[Kind, float]] = {}
        self.may_be_tight = any(handler.kind in slots for handler in router.handlers())
        """Whether there are handlers that need a slot."""
        named = [
            (handler.options.get("queue", DEFAULT_QUEUE), handler.kind)
            for handler in router.handlers()
        ]
        for queue, kind in named:
            if kind in slots:
                all_of_it = [its for its_queue, its in named if its_queue == queue]
                share = all_of_it.count(kind) / len(all_of_it)
                self._mix.setdefault(queue, {})[kind] = share

    def demands(self, shares: QueueWeights, room: int) -> list[Demand]:
        """Return what to claim, in order: first from the queues that slots limit, if there are.

        Each may have all the room, so that what one does not fill is left to those after it.
        """
        self.are_tight = room <= 0
        if room <= 0:
            return []
        whole = shares.split(room)
        limits = {queue: self._limit(queue, room) for queue in whole.quotas}
        tight = {queue: limit for queue, limit in limits.items() if limit < room}
        if not tight:
            return [whole]
        self.are_tight = True
        demands: list[Demand] = []
        for queue, limit in tight.items():
            # at least one, or a queue whose turn it is not would wait though no other has work
            share = (whole.quotas[queue] or 1) if any(whole.quotas.values()) else limit
            if (most := min(limit, share, room)) > 0:
                demands.append(Demand(most, {queue: most}))
        rest = {queue: quota for queue, quota in whole.quotas.items() if queue not in tight}
        if rest:
            demands.append(Demand(room, rest))
        return demands

    def note(self, claims: Sequence[Claim]) -> None:
        """Learn what came out of the queues."""
        if not self.may_be_tight:
            return
        kinds: dict[str, list[Kind | None]] = {}
        for claim in claims:
            handler = self._router.resolve(claim.task.spec.name)
            kinds.setdefault(claim.task.spec.queue, []).append(handler.kind if handler else None)
        for queue, seen in kinds.items():
            if self._mix.get(queue) or any(kind in self._slots for kind in seen):
                self._learn(self._mix.setdefault(queue, {}), seen)

    def _learn(self, mix: dict[Kind, float], seen: Sequence[Kind | None]) -> None:
        weight = min(1.0, len(seen) / REMEMBERED)
        for kind in self._slots:
            share = seen.count(kind) / len(seen)
            if share or kind in mix:
                mix[kind] = mix.get(kind, share) * (1 - weight) + share * weight

    def _limit(self, queue: str, room: int) -> int:
        mix = self._mix.get(queue, {})
        return min((self._bears(k, p, room) for k, p in mix.items()), default=room)

    def _bears(self, kind: Kind, share: float, room: int) -> int:
        """Return how many tasks may be claimed of which a share is of a kind."""
        slots = self._slots[kind]
        free = slots.size - slots.in_hand
        if free > 0:
            return min(room, int(free / share)) if share * room > free else room
        # one by one, as it may be of another kind
        return 1 if share < MOSTLY or -free < slots.size else 0


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
    """Return what a demand asks of some of its queues."""
    if len(queues) == len(demand.quotas):
        return demand
    quotas = {queue: demand.quotas[queue] for queue in queues}
    return Demand(demand.limit, quotas)
