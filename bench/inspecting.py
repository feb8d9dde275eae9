"""What an inspector costs: counts and listings of thousands of queues, pages of a million tasks.

`python -m bench inspecting`; QCORE_BENCH_TASKS and QCORE_BENCH_QUEUES are how many, a million and
5,000 unless they say otherwise.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final

from bench.redis_store import a_server
from qcore import Qcore, State
from qcore.app.client.inline import run_inline
from qcore.domain.new_task import NewTask
from qcore.domain.task import Demand, Verdict
from qcore.domain.transitions import Rejected

TASKS: Final = int(os.environ.get("QCORE_BENCH_TASKS", "1000000"))
QUEUES: Final = int(os.environ.get("QCORE_BENCH_QUEUES", "5000"))
COUNTED: Final = 1_000
FAILED: Final = TASKS // 10
BATCH: Final = 5_000
RUNS: Final = 5


def figures() -> dict[str, Any]:
    """Return milliseconds by store and question."""
    found: dict[str, Any] = {"tasks": TASKS, "queues": QUEUES, "failed": FAILED}
    with tempfile.TemporaryDirectory() as folder:
        found["sqlite_ms"] = _asked(f"sqlite:///{Path(folder, 'q.db')}", f"sqlite:///{folder}/m.db")
    with a_server() as many, a_server() as one:
        found["redis_ms"] = _asked(many.url, one.url)
    return found


def _asked(queues: str, tasks: str) -> dict[str, Any]:
    with _store(queues) as q:
        found = _of_queues(q)
    with _store(tasks) as q:
        return found | _of_tasks(q)


@contextmanager
def _store(url: str) -> Iterator[Qcore]:
    q = Qcore(url, instruments=[])
    yield q
    q.blocking.close()


def _of_queues(q: Qcore) -> dict[str, float]:
    _fill(q, [NewTask("t", f"t{n}", queue=f"q{n}") for n in range(COUNTED)])
    found = {f"counts_of_{COUNTED}": _milliseconds(q.blocking_inspector.counts)}
    _fill(q, [NewTask("t", f"t{n}", queue=f"q{n}") for n in range(COUNTED, QUEUES)])
    found[f"counts_of_{QUEUES}"] = _milliseconds(q.blocking_inspector.counts)
    listed = lambda: q.blocking_inspector.queues(limit=100)  # noqa: E731
    found[f"first_100_of_{QUEUES}"] = _milliseconds(listed)
    whole = lambda: q.blocking_inspector.queues(limit=QUEUES)  # noqa: E731
    found[f"all_of_{QUEUES}"] = _milliseconds(whole)
    return found


def _of_tasks(q: Qcore) -> dict[str, float]:
    for first in range(0, TASKS, BATCH):
        _fill(q, [_task(n) for n in range(first, min(TASKS, first + BATCH))])
    page = q.blocking_inspector.tasks
    middle = None
    for _ in range(TASKS // 2 // BATCH):
        middle = page("state:pending", limit=BATCH, cursor=middle).cursor
    found = {
        "first_page": _milliseconds(page),
        "page_in_the_middle": _milliseconds(lambda: page("state:pending", cursor=middle)),
        "page_by_name": _milliseconds(lambda: page("name:rare")),
        "page_by_age": _milliseconds(lambda: page("created:>1h")),
        "page_by_text": _milliseconds(lambda: page("text:nowhere")),
        "page_of_a_queue_and_state": _milliseconds(lambda: page("queue:default state:pending")),
        "queues": _milliseconds(q.blocking_inspector.queues),
    }
    _fail(q)
    found["errors"] = _milliseconds(q.blocking_inspector.failures)
    return found


def _task(n: int) -> NewTask:
    name = "rare" if n % 1_000 == 0 else "common"
    return NewTask(name, f"{n:08}", payload=b'{"user": %d}' % n, priority=n % 5)


def _fail(q: Qcore) -> None:
    """Have tasks fail for good, for ten reasons."""
    broker = q.blocking.inner.broker
    for done in range(0, FAILED, BATCH):
        now = q.clock.now()
        claim = broker.claim(Demand(BATCH, {"default": 0}), now=now, until=now + 60)
        verdicts = [
            Verdict(each.lease, Rejected(f"reason {n % 10}: user {done + n}"))
            for n, each in enumerate(run_inline(claim))
        ]
        run_inline(broker.settle(verdicts, now=now))
    assert run_inline(broker.count())["default"][State.DEAD] > 0


def _fill(q: Qcore, tasks: list[NewTask]) -> None:
    q.blocking.enqueue_many(tasks)


def _milliseconds(call: Callable[[], object]) -> float:
    taken: list[float] = []
    for _ in range(RUNS):
        began = perf_counter()
        call()
        taken.append(perf_counter() - began)
    return round(1_000 * median(taken), 2)
