"""What each page of the dashboard takes: with a million tasks, and with 5,000 queues.

`python -m bench.dashboard`, or with some of `memory sqlite redis` and `tasks queues`. The pages are
asked for in this process. `cpu_ms` is the processor time of this process and of the Redis server,
which other work on the machine does not lengthen; `ms` is what a clock on the wall says.
QCORE_BENCH_TASKS and QCORE_BENCH_QUEUES are how many.
"""

import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any, Final

import httpx

from bench.dashboard_store import FEW_QUEUES, fill_with_queues, fill_with_tasks
from bench.redis_store import Meter, a_server
from qcore import Qcore
from qcore.dashboard import ALL, dashboard
from qcore.domain.record import record
from qcore.domain.states import State
from qcore.entrypoints.dashboard.charts import SPANS
from qcore.entrypoints.dashboard.pages.tasks import TABS
from qcore.entrypoints.logs import configure
from qcore.entrypoints.loop import run

TASKS: Final = int(os.environ.get("QCORE_BENCH_TASKS", "1000000"))
QUEUES: Final = int(os.environ.get("QCORE_BENCH_QUEUES", "5000"))
GROUPS: Final = 2_500
ENTRIES: Final = 3_000
RUNS: Final = 5
SAME_ORIGIN: Final = {"sec-fetch-site": "same-origin"}
STORES: Final = ("memory", "sqlite", "redis")
FILLS: Final = ("tasks", "queues")


@record
class Asked:
    """A page, as a browser asks for it."""

    label: str
    path: str
    parameters: Mapping[str, str]
    method: str = "GET"


def figures(stores: tuple[str, ...] = STORES, fills: tuple[str, ...] = FILLS) -> dict[str, Any]:
    """Return what each page has taken, by store and by what it is filled with."""
    configure("warning")
    return {
        "tasks": TASKS,
        "queues": QUEUES,
        "calibration_ms": _calibration(),
        **{f"{store} {fill}": _measured(store, fill) for store in stores for fill in fills},
    }


def _measured(store: str, fill: str) -> dict[str, Any]:
    with _url(store) as (url, server_seconds):
        return run(_pages(url, fill, server_seconds))


@contextmanager
def _url(store: str) -> Iterator[tuple[str, Callable[[], float]]]:
    """Yield a store that is empty, and what tells the processor time that a server has used."""
    match store:
        case "redis":
            with a_server() as server, Meter(server) as meter:
                yield server.url, lambda: meter.read().cpu / 1e6
        case "sqlite":
            with TemporaryDirectory() as folder:
                yield f"sqlite:///{Path(folder, 'q.db')}?synchronous=normal", lambda: 0.0
        case _:
            yield "memory://", lambda: 0.0


async def _pages(url: str, fill: str, server_seconds: Callable[[], float]) -> dict[str, Any]:
    async with Qcore(url, instruments=[]) as q, _browser(q) as http:
        began = perf_counter()
        if fill == "tasks":
            await fill_with_tasks(q, TASKS, GROUPS, ENTRIES)
            queue = FEW_QUEUES[0]
        else:
            await fill_with_queues(q, QUEUES, 6 * QUEUES, ENTRIES)
            queue = "customer:00007"
        print(f"{url} {fill}: filled in {perf_counter() - began:.0f} s", file=sys.stderr)
        found = {
            page.label: await _taken(http, page, server_seconds)
            for page in await _asked(q, http, queue)
        }
    return dict(sorted(found.items(), key=lambda each: -each[1]["cpu_ms"]))


@asynccontextmanager
async def _browser(q: Qcore) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(dashboard(q, access=lambda _: ALL), client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        yield http


async def _asked(q: Qcore, http: httpx.AsyncClient, queue: str) -> list[Asked]:
    """Return the pages, with parameters for which there is something to show."""
    some = {state: await _id(q, queue, state) for state in State if state is not State.GONE}
    groups = (await q.inspector.groups(limit=2_000)).groups
    entry = (await q.entries.page(limit=1)).entries[0]
    report = await q.inspector.failures(limit=1)
    # a job, so that there is one to be shown
    move = {"verb": "delete", "which": "all", "state": "completed", "q": "name:nobody:*"}
    begun = await http.post(
        "/bulk-delete",
        data=move | {"confirm": "yes", "as_of": f"{q.clock.now()}"},
        headers=SAME_ORIGIN,
    )
    job = begun.headers["location"].partition("?id=")[2]
    of_queue = {"queue": queue}
    cause = {"fingerprint": report.groups[0].fingerprint}
    moves = ("run", "discard", "cancel", "reschedule")
    return [
        *(Asked(f"overview {span}", "", {"span": span}) for span in SPANS),
        Asked("overview 3h, 100 queues", "", {"span": "3h", "limit": "100"}),
        Asked("overview, 100 queues", "", {"limit": "100"}),
        Asked("overview by name", "", {"name": "0007"}),
        *(Asked(f"queue {tab}", "queue", of_queue | {"state": tab}) for tab in TABS),
        *(Asked(f"queue {span}", "queue", of_queue | {"span": span}) for span in SPANS),
        *(Asked(f"tasks {tab}", "tasks", {"state": tab}) for tab in TABS),
        *(
            Asked(f"tasks {q}", "tasks", {"q": q})
            for q in (
                "name:mail:3",
                "args.user.id:7 error:timeout",
                "created:>2h",
                "text:nowhere",
                f"queue:{queue} state:dead error:region",
                f"fingerprint:{cause['fingerprint']}",
            )
        ),
        *(
            Asked(f"task {state}", "task", of_queue | {"id": task})
            for state, task in some.items()
            if task
        ),
        Asked("task-edit", "task-edit", of_queue | {"id": some[State.PENDING]}),
        Asked("errors", "errors", {}),
        Asked("errors of a query", "errors", {"q": "state:dead name:mail:3"}),
        *(Asked(f"{each}?", each, cause, "POST") for each in ("errors-retry", "errors-discard")),
        Asked("workers", "workers", {}),
        Asked("periodic", "periodic", {}),
        Asked("periodic, 500", "periodic", {"limit": "500"}),
        Asked("periodic by name and status", "periodic", {"name": "0299", "status": "active"}),
        Asked("periodic-entry", "periodic-entry", {"queue": entry.queue, "name": entry.name}),
        Asked(
            "periodic-remove?",
            "periodic-move",
            {"queue": entry.queue, "name": entry.name, "verb": "remove"},
            "POST",
        ),
        Asked("groups", "groups", {}),
        Asked("groups, 500", "groups", {"limit": "500"}),
        *(
            [
                Asked("group", "group", {"queue": groups[-1].queue, "name": groups[-1].name}),
                Asked(
                    "group-move?",
                    "group-move",
                    {"queue": groups[-1].queue, "name": groups[-1].name, "verb": "run"},
                    "POST",
                ),
            ]
            if groups
            else []
        ),
        *(
            Asked(
                f"bulk {verb} of all dead?",
                "bulk",
                {"verb": verb, "which": "all", "state": "dead"},
                "POST",
            )
            for verb in moves[:1]
        ),
        *(
            Asked(
                f"bulk {verb} of all pending?",
                "bulk",
                {"verb": verb, "which": "all", "state": "pending"},
                "POST",
            )
            for verb in moves[1:]
        ),
        Asked(
            "bulk-delete of a query?",
            "bulk-delete",
            {"verb": "delete", "which": "all", "q": "state:pending name:mail:3"},
            "POST",
        ),
        Asked("jobs", "jobs", {}),
        Asked("job", "job", {"id": job}),
        Asked("queue-remove?", "queue-remove", of_queue, "POST"),
        Asked("doctor?", "doctor", {}),
        Asked("doctor", "doctor", {}, "POST"),
        Asked("preferences", "preferences", {}),
        Asked("keys", "keys", {}),
    ]


async def _id(q: Qcore, queue: str, state: State) -> str:
    found = (await q.inspector.browse(queue, state, limit=1)).tasks
    return found[0].id if found else ""


async def _taken(
    http: httpx.AsyncClient, page: Asked, server_seconds: Callable[[], float]
) -> dict[str, float]:
    walls: list[float] = []
    cpus: list[float] = []
    for _ in range(RUNS):
        served, used, began = server_seconds(), process_time(), perf_counter()
        if page.method == "POST":
            answer = await http.post(f"/{page.path}", data=page.parameters, headers=SAME_ORIGIN)
        else:
            answer = await http.get(f"/{page.path}", params=page.parameters)
        wall, cpu = perf_counter() - began, process_time() - used
        # one that takes too long is refused, and is to be seen among the others
        assert answer.is_success or answer.is_server_error, (page, answer.status_code, answer.text)
        walls.append(wall)
        cpus.append(cpu + server_seconds() - served)
    return {
        "ms": _ms(median(walls)),
        "worst_ms": _ms(max(walls)),
        "cpu_ms": _ms(median(cpus)),
        "worst_cpu_ms": _ms(max(cpus)),
    }


def _calibration() -> float:
    """Return what a fixed piece of work takes, so that figures of two machines compare."""
    items = [{"id": f"{n:032x}", "number": n, "tags": ["a", "b"]} for n in range(20_000)]
    taken: list[float] = []
    for _ in range(RUNS):
        used = process_time()
        json.dumps(items)
        taken.append(process_time() - used)
    return _ms(median(taken))


def _ms(seconds: float) -> float:
    return round(1_000 * seconds, 1)


if __name__ == "__main__":
    words = sys.argv[1:]
    print(
        json.dumps(
            figures(
                tuple(each for each in STORES if each in words) or STORES,
                tuple(each for each in FILLS if each in words) or FILLS,
            ),
            indent=2,
        )
    )
