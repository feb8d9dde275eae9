"""Claims from SQLite with few and with very many tasks pending, in turn.

Without waiting for the disk (`synchronous=normal`), which would hide a difference.
"""

from collections.abc import Sequence
from itertools import count
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, time
from typing import Any

from bench.runs import merged
from qcore.app.client.inline import run_inline
from qcore.domain.new_task import NewTask
from qcore.domain.task import Claim, Demand, Verdict
from qcore.domain.transitions import Succeeded
from qcore.entrypoints.connect import connect

QUEUE = "qcore-bench-claims"
FEW, MANY = 1_000, 1_000_000
FILL = 5_000
CLAIMED = 100
TURNS = 100
RUNS = 3
LEASE = 30.0


class Store:
    """A store that always has about the same number of tasks pending."""

    def __init__(self, url: str, pending: int) -> None:
        self._broker = connect(url).blocking()
        self._ids = count()
        for _ in range(0, pending, FILL):
            self._fill(min(FILL, pending))

    def claimed(self) -> float:
        """Return the seconds for a claim; end what was claimed, and put others in its place."""
        now = time()
        began = perf_counter()
        claims = run_inline(
            self._broker.claim(Demand(CLAIMED, {QUEUE: CLAIMED}), now=now, until=now + LEASE)
        )
        seconds = perf_counter() - began
        self._end(claims)
        self._fill(CLAIMED)
        return seconds

    def close(self) -> None:
        run_inline(self._broker.close())

    def _end(self, claims: Sequence[Claim]) -> None:
        assert len(claims) == CLAIMED
        verdicts = [Verdict(claim.lease, Succeeded()) for claim in claims]
        run_inline(self._broker.settle(verdicts, now=time()))

    def _fill(self, number: int) -> None:
        tasks = [NewTask("bench:noop", id=str(next(self._ids)), queue=QUEUE) for _ in range(number)]
        run_inline(self._broker.enqueue(tasks, now=time()))


def figures() -> dict[str, Any]:
    with TemporaryDirectory(prefix="qcore-bench-") as folder:
        stores = [
            Store(f"sqlite:///{folder}/{pending}.db?synchronous=normal", pending)
            for pending in (FEW, MANY)
        ]
        _in_turn(stores)
        runs = [_in_turn(stores) for _ in range(RUNS)]
        for store in stores:
            store.close()
    return {"claims_of": CLAIMED, **merged(runs)}


def _in_turn(stores: Sequence[Store]) -> dict[str, float]:
    turns = [[store.claimed() for store in stores] for _ in range(TURNS)]
    few, many = (median(column) for column in zip(*turns, strict=True))
    return {"few_ms": 1000 * few, "many_ms": 1000 * many, "ratio": many / few}
