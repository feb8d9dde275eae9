"""How much the Redis part measures: FULL for figures, QUICK to see that it works."""

from qcore.domain.record import record


@record
class Scale:
    runs: int
    """Runs of each measurement whose median counts, after one to warm up."""
    tasks: int
    """In bulk, and from many producers; 2.2 times as many to drain."""
    one_by_one: int
    drained: int
    """By one worker, by one with more at once, over a long wire, and by two."""
    lives: int
    """Tasks that are enqueued, then claimed, then settled: all are remembered (`REMEMBERED`)."""
    pushes: int
    few: int
    many: int
    turns: int
    moved: int
    """Tasks due, crashed or trimmed at once; the archive is kept at 10,000 whatever the scale."""


FULL = Scale(
    runs=3,
    tasks=20_000,
    one_by_one=2_000,
    drained=40_000,
    lives=20_000,
    pushes=300,
    few=10_000,
    many=1_000_000,
    turns=100,
    moved=10_000,
)
QUICK = Scale(
    runs=1,
    tasks=1_000,
    one_by_one=200,
    drained=2_000,
    lives=1_000,
    pushes=20,
    few=1_000,
    many=30_000,
    turns=5,
    moved=1_000,
)
