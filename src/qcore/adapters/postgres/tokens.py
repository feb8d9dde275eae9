"""Fencing tokens: one sequence for all queues, which is kept above the time in microseconds.

A sequence does not wait for transactions. Where it has fallen behind the time it is set a second
ahead, so that a busy queue does this once a second, and one that was restored from a copy gives
greater tokens than before as soon as it has been away for that long.
"""

from typing import Final
from zlib import crc32

from qcore.adapters.links.postgres import Tx
from qcore.adapters.postgres.statements import statements
from qcore.domain.moments import Moment
from qcore.domain.task import token_floor

_SQL: Final = statements("claim")
AHEAD: Final = 1_000_000
"""Microseconds by which the sequence is set ahead."""
LOCK: Final = crc32(b"qcore tokens")


async def raise_tokens(tx: Tx, now: Moment) -> None:
    """See that the next token is greater than the time."""
    floor = token_floor(now)
    ((is_above,),) = await tx.fetch(_SQL["tokens"], {"floor": floor})
    if not is_above:
        # `setval` must not undo what another one has set
        tx.add(_SQL["lock_tokens"], {"key": LOCK})
        tx.add(_SQL["raise_tokens"], {"floor": floor + AHEAD})
