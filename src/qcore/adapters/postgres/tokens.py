"""Fencing tokens: one sequence for all queues, kept above the time in microseconds, and bounded.

A sequence does not wait for transactions. Where it has fallen behind the time it is set a second
ahead, so that a busy queue does this every few seconds, and one that was restored from a copy gives
greater tokens than before as soon as it has been away for that long. Data that were restored into
tables that were there bring a second bound with them: the greater one counts.

No token is given twice, though claims do not wait for the disk (ADR 10). The sequence is unlogged:
when the server has failed, it begins anew. The bound, a row of the table `token_bound`, is logged:
others see it when it is on the disk, and no token above what a claim sees of it is given. So a
sequence that is not just below it has begun anew, and goes on above it: above all that was given.
"""

from typing import Final
from zlib import crc32

from qcore.adapters.links.postgres import Tx
from qcore.adapters.postgres.statements import statements
from qcore.domain.moments import Moment
from qcore.domain.task import token_floor

_SQL: Final = statements("claim")
AHEAD: Final = 1_000_000
"""Tokens, or microseconds, by which the sequence is set ahead, and the bound ahead of that."""
LOCK: Final = crc32(b"qcore tokens")


async def raise_tokens(tx: Tx, now: Moment) -> int | None:
    """See that the next token is greater than the time; return the bound, None where there is none.

    Where tokens come to be above the bound, `raise_bound` is to be called within the transaction.
    """
    floor = token_floor(now)
    bound: int | None
    ((is_enough, bound),) = await tx.fetch(_SQL["tokens"], {"floor": floor, "ahead": AHEAD})
    if not is_enough:
        # one after the other: `setval` must not undo what another one has set
        tx.add(_SQL["lock_tokens"], {"key": LOCK})
        tx.add(_SQL["raise_tokens"], {"floor": floor, "ahead": AHEAD})
        ((bound,),) = await tx.fetch(_SQL["bound"], {})
    return bound


def raise_bound(tx: Tx, token: int, bound: int | None) -> None:
    """Have the bound above a token that is given when this transaction is committed."""
    if bound is not None and token > bound:
        tx.add(_SQL["raise_bound"], {"bound": token + AHEAD})
