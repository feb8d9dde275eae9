"""Settle: end leases with verdicts."""

from collections.abc import Sequence
from typing import Final

from qcore.adapters.redis.followups import Ending, settle_with_followups
from qcore.adapters.redis.script_runner import (
    RememberedClaim,
    ScriptRunner,
    group_by_queue,
    refuse_in_part,
)
from qcore.adapters.redis.snapshot import read_snapshots
from qcore.adapters.redis.successes import settle_successes
from qcore.adapters.redis.task_state import TaskState
from qcore.adapters.redis.transitions import ConditionalWrite, apply_transitions
from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.errors import BrokerRefused
from qcore.domain.lifecycle import MOVES, IllegalMove
from qcore.domain.moments import Moment
from qcore.domain.states import ACTIVE, State
from qcore.domain.task import Lease, Verdict
from qcore.domain.transitions import FOLLOWED, Revoked, Succeeded

GONE: Final = Settled(State.GONE)
DELETING: Final = {Revoked, Succeeded}
"""Verdicts that delete a task without retention."""


async def settle(
    runner: ScriptRunner, verdicts: Sequence[Verdict], now: Moment
) -> list[Settled | LeaseLost]:
    """End leases."""
    if await settle_successes(runner, verdicts, now):
        return [GONE] * len(verdicts)
    leases = [verdict.lease for verdict in verdicts]
    for verdict in verdicts:
        # checked before the first write: an illegal verdict must leave the whole batch unwritten
        if type(verdict.outcome) not in MOVES[ACTIVE]:
            raise IllegalMove(f"{verdict.outcome!r} is no verdict on an active task")
    answers: list[Settled | LeaseLost | BrokerRefused] = [LeaseLost()] * len(verdicts)
    moves: list[ConditionalWrite] = []
    planned: list[tuple[int, Settled]] = []
    followed: list[int] = []
    endings: list[Ending] = []
    taken: set[tuple[str, int]] = set()
    for n, claimed in enumerate(await _claimed(runner, leases)):
        lease, outcome = leases[n], verdicts[n].outcome
        key = (lease.queue, lease.token)
        # of two verdicts on one lease the first ends it, and the second finds it lost
        if claimed is None or key in taken:
            continue
        taken.add(key)
        move, answer = _plan(verdicts[n], claimed, now)
        if isinstance(outcome, FOLLOWED) and outcome.then:
            followed.append(n)
            endings.append(Ending(move, answer, lease, outcome.then))
            continue
        moves.append(move)
        planned.append((n, answer))
    made = await apply_transitions(runner, moves, now)
    for (n, answer), was_made in zip(planned, made, strict=True):
        if was_made:
            answers[n] = answer if was_made is True else was_made
    for n, last in zip(followed, await settle_with_followups(runner, endings, now), strict=True):
        answers[n] = last
    # before the claims are forgotten: those that were refused are settled once more
    settled: list[Settled | LeaseLost] = refuse_in_part(answers)
    _forget(runner, leases)
    return settled


def _plan(
    verdict: Verdict, claimed: RememberedClaim, now: Moment
) -> tuple[ConditionalWrite, Settled]:
    """Return the conditional write of a verdict, and its answer if the guard holds."""
    lease, outcome = verdict.lease, verdict.outcome
    _, name, value, record, called, is_just_deleted = claimed
    if type(outcome) in DELETING and is_just_deleted:
        ending = called, outcome, State.GONE, verdict
        return (lease.queue, name, lease.token, (), ending), GONE
    task_state = TaskState(name, State.ACTIVE, value, record or b"%d" % lease.token)
    guard = task_state.token_guard()
    answer = Settled(task_state.apply(outcome, now))
    ending = called, outcome, answer.state, verdict
    return (lease.queue, name, 0, [*guard, *task_state.encode_change()], ending), answer


async def _claimed(runner: ScriptRunner, leases: Sequence[Lease]) -> list[RememberedClaim | None]:
    """Return the task of each lease as it was claimed, None where the token is not current."""
    found: list[RememberedClaim | None] = [None] * len(leases)
    for queue, places in group_by_queue((lease.queue, n) for n, lease in enumerate(leases)).items():
        known = runner.remembered_claims(queue, (leases[n].token for n in places))
        for n, claimed in zip(places, known, strict=True):
            if claimed is not None and claimed[0] == leases[n].id:
                found[n] = claimed
    missing = ((leases[n].queue, n) for n, claimed in enumerate(found) if claimed is None)
    for queue, places in group_by_queue(missing).items():
        # claimed by another process, or forgotten since
        snapshots = await read_snapshots(runner, queue, [leases[n].id for n in places])
        for n, snapshot in zip(places, snapshots, strict=True):
            if snapshot is not None and snapshot.is_held(leases[n].token):
                found[n] = (
                    leases[n].id,
                    snapshot.name,
                    snapshot.value,
                    snapshot.progress,
                    snapshot.task_name,
                    False,
                )
    return found


def _forget(runner: ScriptRunner, leases: Sequence[Lease]) -> None:
    by_queue = group_by_queue((lease.queue, lease.token) for lease in leases)
    for queue, tokens in by_queue.items():
        runner.forget_claims(queue, tokens)
