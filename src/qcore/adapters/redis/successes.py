"""Settle the verdicts that nearly all are: successes of one queue whose tasks are just deleted."""

from collections.abc import Sequence
from typing import Final, cast

from qcore.adapters.links.redis import Arg
from qcore.adapters.redis.script_runner import (
    MAX_TASKS_PER_CALL,
    RememberedClaim,
    ScriptRunner,
    raise_outage,
)
from qcore.adapters.redis.scripts import TRANSITION
from qcore.adapters.redis.transitions import encode_statistics
from qcore.domain.moments import Moment
from qcore.domain.statistics import tallied_successes
from qcore.domain.task import Lease, Verdict
from qcore.domain.transitions import Succeeded

WRITTEN: Final = b""
"""The reply of a call that has deleted all."""


async def settle_successes(runner: ScriptRunner, verdicts: Sequence[Verdict], now: Moment) -> bool:
    """Settle verdicts in one call, if they are such; return whether that was done.

    Else nothing was written. Here no statement is executed for each task but comprehensions: what
    `settle` does for each verdict of any kind takes a twentieth of a drain.
    """
    number = len(verdicts)
    if not 0 < number <= MAX_TASKS_PER_CALL:
        return False
    outcomes = [verdict.outcome for verdict in verdicts]
    first = outcomes[0]
    if type(first) is not Succeeded or first.then or outcomes.count(first) < number:
        return False
    leases = [verdict.lease for verdict in verdicts]
    queue, tokens = leases[0].queue, [lease.token for lease in leases]
    if [lease.queue for lease in leases].count(queue) < number or len({*tokens}) < number:
        return False
    words = _words(runner.remembered_claims(queue, tokens), tokens, leases, verdicts)
    if words is None:
        return False
    replies = await runner.run_once(TRANSITION, [([queue], words)], now=now, partial=True)
    raise_outage(replies)
    # a refusal comes again, and is told of the verdicts that it is for
    if replies != [WRITTEN]:
        return False
    runner.forget_claims(queue, tokens)
    return True


def _words(
    claims: Sequence[RememberedClaim | None],
    tokens: Sequence[int],
    leases: Sequence[Lease],
    verdicts: Sequence[Verdict],
) -> list[Arg] | None:
    """Return the arguments of lua/transition.lua; None where not all tasks can just be deleted."""
    if not all(claims):
        return None
    known = cast("Sequence[RememberedClaim]", claims)
    ids, names, _, _, called, are_deleted = zip(*known, strict=True)
    if not all(are_deleted) or [lease.id for lease in leases] != [*ids]:
        return None
    ended = tallied_successes(called, verdicts)
    held = " ".join(map(str, tokens))
    return [len(tokens), 0, held, *names, *encode_statistics(ended)]
