"""What a task's whole life costs the server: enqueued by 250, claimed by 100, settled by 100.

`cpu_us` is all that the process has used (INFO cpu), `scripts_us` what it spent in scripts (EVALSHA
in INFO commandstats, by the clock on the wall: more, where others want the processor too); each is
for one task.
"""

from typing import Any

from bench.redis_scale import Scale
from bench.redis_store import Meter, Queue, Reading, a_server
from bench.runs import repeated

ENQUEUED = 250
CLAIMED = 100


def figures(scale: Scale) -> dict[str, Any]:
    with a_server() as server, Meter(server) as meter, Queue(server.url, "lives") as queue:
        return {
            "in_phases": repeated(lambda: _in_phases(queue, meter, scale.lives), scale.runs),
            "in_turn": repeated(lambda: _in_turn(queue, meter, scale.lives), scale.runs),
        }


def _in_phases(queue: Queue, meter: Meter, tasks: int) -> dict[str, Any]:
    """Enqueue all, claim all, settle all."""
    marks = [meter.read()]
    queue.fill(tasks, batch=ENQUEUED)
    marks.append(meter.read())
    claimed = [queue.claim(CLAIMED) for _ in range(0, tasks, CLAIMED)]
    marks.append(meter.read())
    for claims in claimed:
        queue.settle(claims)
    marks.append(meter.read())
    return _spent(queue, tasks, ("enqueue", "claim", "settle"), marks)


def _in_turn(queue: Queue, meter: Meter, tasks: int) -> dict[str, Any]:
    """Enqueue all; claim some and settle them, and so on."""
    marks = [meter.read()]
    queue.fill(tasks, batch=ENQUEUED)
    marks.append(meter.read())
    for _ in range(0, tasks, CLAIMED):
        queue.settle(queue.claim(CLAIMED))
    marks.append(meter.read())
    return _spent(queue, tasks, ("enqueue", "claim_and_settle"), marks)


def _spent(
    queue: Queue, tasks: int, phases: tuple[str, ...], marks: list[Reading]
) -> dict[str, Any]:
    assert not queue.left()
    spans = zip(phases, marks, marks[1:], strict=False)
    each = {phase: before.until(after, tasks) for phase, before, after in spans}
    return each | {"life": marks[0].until(marks[-1], tasks)}
