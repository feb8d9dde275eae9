"""A million tasks pending: their memory, claims beside a short queue's, orders, the slow log."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from time import perf_counter
from typing import Any

from bench.redis_scale import Scale
from bench.redis_scripts import longest
from bench.redis_store import Meter, Queue, a_server
from bench.runs import repeated, spread
from qcore.app.client.inline import run_inline
from qcore.domain.answers import Moved
from qcore.domain.transitions import Cancelled, Command, Deleted

CLAIMED = 100
ORDERED = 20
WARM_UP = 1_000


def figures(scale: Scale) -> dict[str, Any]:
    with (
        a_server() as server,
        Meter(server) as meter,
        Queue(server.url, "few") as few,
        Queue(server.url, "many") as many,
    ):
        # the scripts are loaded, and the connections' buffers are there
        many.fill(WARM_UP)
        many.settle(many.claim(WARM_UP))
        memory = _memory(many, meter, scale)
        few.fill(scale.few)
        return {
            "pending": {"few": scale.few, "many": scale.many},
            "bytes_per_pending_task": memory,
            "claim_and_settle": repeated(lambda: _in_turn(few, many, meter, scale), scale.runs),
            "cancel_one_ms": _ordered(many, meter, Cancelled(), scale.many // 2),
            "delete_one_ms": _ordered(many, meter, Deleted(), scale.many // 3),
            "scripts": longest(many, meter, scale),
        }


def _memory(queue: Queue, meter: Meter, scale: Scale) -> Mapping[str, float]:
    empty, made = meter.memory(), queue.made
    found: dict[str, float] = {}
    for number in (scale.many // 10, scale.many):
        queue.fill(number - (queue.made - made))
        found[f"at_{number}"] = round((meter.memory() - empty) / number, 1)
    return found


def _in_turn(few: Queue, many: Queue, meter: Meter, scale: Scale) -> dict[str, Any]:
    """Claim and settle from one and the other; `ratio` is the long queue's rate to the short's."""
    turns = [[_turn(queue, meter) for queue in (few, many)] for _ in range(scale.turns)]
    (few_s, few_us), (many_s, many_us) = (
        [median(values) for values in zip(*column, strict=True)]
        for column in zip(*turns, strict=True)
    )
    return {
        "few_per_s": round(CLAIMED / few_s),
        "many_per_s": round(CLAIMED / many_s),
        "ratio": few_s / many_s,
        "few_scripts_us": few_us / CLAIMED,
        "many_scripts_us": many_us / CLAIMED,
        "ratio_in_scripts": few_us / many_us,
    }


def _turn(queue: Queue, meter: Meter) -> tuple[float, float]:
    """Return the seconds for a claim and its settling, and the µs in scripts; fill up again."""
    before = meter.read()
    began = perf_counter()
    queue.settle(queue.claim(CLAIMED))
    seconds = perf_counter() - began
    spent = meter.read().scripts - before.scripts
    queue.fill(CLAIMED)
    return seconds, spent


def _ordered(queue: Queue, meter: Meter, order: Command, behind: int) -> Mapping[str, float]:
    """Give an order on one task in the midst of those pending; return its time in the server."""
    ids = [queue.id(queue.made - behind + n) for n in range(ORDERED)]
    return spread([_spent(meter, _giving(queue, order, [task])) for task in ids])


def _giving(queue: Queue, order: Command, ids: Sequence[str]) -> Callable[[], None]:
    def give() -> None:
        (answer,) = run_inline(queue.broker.execute(queue.name, ids, order, now=queue.now))
        assert isinstance(answer, Moved), answer

    return give


def _spent(meter: Meter, what: Callable[[], None]) -> float:
    """Return the milliseconds in scripts."""
    before = meter.read()
    what()
    return (meter.read().scripts - before.scripts) / 1000
