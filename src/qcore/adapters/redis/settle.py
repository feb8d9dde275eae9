"""How leases end."""

from collections.abc import Sequence
from typing import Final

from qcore.adapters.redis.entry import Entry
from qcore.adapters.redis.look import seen
from qcore.adapters.redis.moving import Move, carried_out
from qcore.adapters.redis.names import name_of
from qcore.adapters.redis.records import is_usual
from qcore.adapters.redis.store import Claimed, Store, by_queue
from qcore.domain.lifecycle import MOVES, IllegalMove, Revoked, State, Succeeded
from qcore.domain.moments import Moment
from qcore.domain.task import LeaseLost, Settled, TaskId, Verdict

GONE: Final = Settled(State.GONE)


async def settle(
    store: Store, verdicts: Sequence[Verdict], now: Moment
) -> list[Settled | LeaseLost]:
    """End leases."""
    for verdict in verdicts:
        # before anything is written: a batch is written whole or not at all
        if type(verdict.outcome) not in MOVES[State.ACTIVE]:
            raise IllegalMove(f"{verdict.outcome!r} is no verdict on an active task")
    answers: list[Settled | LeaseLost] = [LeaseLost()] * len(verdicts)
    moves = await _planned(store, verdicts, now)
    made = await carried_out(store, [move for _, _, move in moves])
    for (n, answer, _), was_made in zip(moves, made, strict=True):
        lease = verdicts[n].lease
        store.forget(lease.queue, lease.token)
        if was_made:
            answers[n] = answer
    return answers


_Planned = tuple[int, Settled, Move]


async def _planned(store: Store, verdicts: Sequence[Verdict], now: Moment) -> list[_Planned]:
    """Return, for each verdict that may count, its number, its answer and its move."""
    plan: list[_Planned] = []
    taken: set[tuple[str, TaskId, int]] = set()
    for n, claimed in enumerate(await _claimed(store, verdicts)):
        verdict = verdicts[n]
        lease, outcome = verdict.lease, verdict.outcome
        key = (lease.queue, lease.id, lease.token)
        # the same lease twice: the first verdict ends it
        if claimed is None or key in taken:
            continue
        taken.add(key)
        name, kind = name_of(lease.id), type(outcome)
        if kind is Revoked or (kind is Succeeded and is_usual(claimed[0])):
            plan.append((n, GONE, (lease.queue, name, lease.token, ())))
            continue
        value, record = claimed
        entry = Entry(name, State.ACTIVE, value, record or b"%d" % lease.token)
        guard = entry.lease()
        answer = Settled(entry.move(outcome, now))
        plan.append((n, answer, (lease.queue, name, 0, [*guard, *entry.change()])))
    return plan


async def _claimed(store: Store, verdicts: Sequence[Verdict]) -> list[Claimed | None]:
    """Return what each lease was given for, None where its token is not the current one."""
    leases = [verdict.lease for verdict in verdicts]
    found = [store.claimed(lease.queue, lease.token) for lease in leases]
    missing = ((leases[n].queue, n) for n, claimed in enumerate(found) if claimed is None)
    for queue, places in by_queue(missing).items():
        # handed out by another process, or long ago
        sightings = await seen(store, queue, [leases[n].id for n in places])
        for n, sighting in zip(places, sightings, strict=True):
            if sighting is not None and sighting.is_held(leases[n].token):
                found[n] = sighting.value, sighting.progress
    return found
