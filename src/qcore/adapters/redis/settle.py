"""How leases end."""

from collections.abc import Sequence
from typing import Final

from qcore.adapters.redis.entry import Entry
from qcore.adapters.redis.following import Ending, follow
from qcore.adapters.redis.look import seen
from qcore.adapters.redis.moving import Move, carried_out
from qcore.adapters.redis.records import is_usual
from qcore.adapters.redis.store import Claimed, Store, by_queue
from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.lifecycle import ACTIVE, MOVES, IllegalMove, Revoked, State, Succeeded, Transition
from qcore.domain.moments import Moment
from qcore.domain.task import Lease, Verdict

GONE: Final = Settled(State.GONE)
GOING: Final = {Revoked, Succeeded}
"""How a task that has only what is usual goes."""


async def settle(
    store: Store, verdicts: Sequence[Verdict], now: Moment
) -> list[Settled | LeaseLost]:
    """End leases."""
    for verdict in verdicts:
        # before anything is written: a batch is written whole or not at all
        if type(verdict.outcome) not in MOVES[ACTIVE]:
            raise IllegalMove(f"{verdict.outcome!r} is no verdict on an active task")
    answers: list[Settled | LeaseLost] = [LeaseLost()] * len(verdicts)
    moves: list[Move] = []
    planned: list[tuple[int, Settled]] = []
    followed: list[int] = []
    endings: list[Ending] = []
    taken: set[tuple[str, int]] = set()
    leases = [verdict.lease for verdict in verdicts]
    for n, claimed in enumerate(await _claimed(store, leases)):
        lease, outcome = leases[n], verdicts[n].outcome
        key = (lease.queue, lease.token)
        # the same lease twice: the first verdict ends it
        if claimed is None or key in taken:
            continue
        taken.add(key)
        move, answer = _planned(lease, outcome, claimed, now)
        if isinstance(outcome, Succeeded) and outcome.then:
            followed.append(n)
            endings.append(Ending(move, answer, lease, outcome.then))
            continue
        moves.append(move)
        planned.append((n, answer))
    made = await carried_out(store, moves)
    for (n, answer), was_made in zip(planned, made, strict=True):
        if was_made:
            answers[n] = answer
    for n, last in zip(followed, await follow(store, endings, now), strict=True):
        answers[n] = last
    store.forget(leases)
    return answers


def _planned(
    lease: Lease, outcome: Transition, claimed: Claimed, now: Moment
) -> tuple[Move, Settled]:
    """Return a verdict's move, and its answer if that is made."""
    _, name, value, record = claimed
    if type(outcome) in GOING and is_usual(value):
        return (lease.queue, name, lease.token, ()), GONE
    entry = Entry(name, State.ACTIVE, value, record or b"%d" % lease.token)
    guard = entry.lease()
    answer = Settled(entry.move(outcome, now))
    return (lease.queue, name, 0, [*guard, *entry.change()]), answer


async def _claimed(store: Store, leases: Sequence[Lease]) -> list[Claimed | None]:
    """Return what each lease was given for, None where its token is not the current one."""
    found = store.claimed(leases)
    if None not in found:
        return found
    missing = ((leases[n].queue, n) for n, claimed in enumerate(found) if claimed is None)
    for queue, places in by_queue(missing).items():
        # handed out by another process, or long ago
        sightings = await seen(store, queue, [leases[n].id for n in places])
        for n, sighting in zip(places, sightings, strict=True):
            if sighting is not None and sighting.is_held(leases[n].token):
                found[n] = leases[n].id, sighting.name, sighting.value, sighting.progress
    return found
