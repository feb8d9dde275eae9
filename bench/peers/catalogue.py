"""Which systems are measured, and what they promise. What is said of a peer is read in its code."""

from collections.abc import Iterable, Mapping

from attrs import evolve

from qcore.domain.record import record

ALL_AWAITED = ("awaited", "concurrent")
AT_MOST, AT_LEAST = "at most once", "at least once"
BY_LEASE = (
    "after it ran; else given to another when its lease of 30 s runs out, which is renewed while "
    "it runs; a worker that lost its lease can settle nothing"
)


@record
class Entry:
    """A system. The first of its ways is the one by which a task is asked for in passing."""

    name: str
    title: str
    module: str
    distribution: str
    environment: str | None
    """None: the one in which this runs."""
    ways: tuple[str, ...]
    delivery: str
    acknowledged: str
    """When a task counts as done, and what becomes of one whose worker was lost."""
    setup: str
    """How its worker is set up here, where that is not its default."""
    store: str = "redis"
    """The key in `STORES` of the one that it is measured on."""


QCORE = Entry(
    name="qcore",
    title="qcore",
    module="qcore",
    distribution="qcore-queue",
    environment=None,
    ways=("awaited", "concurrent", "blocking", "bulk"),
    delivery=f"{AT_LEAST}, fenced",
    acknowledged=BY_LEASE,
    setup="all defaults: 100 coroutines",
)
ENTRIES = (
    QCORE,
    Entry(
        name="taskiq-streams",
        title="taskiq, Redis stream",
        module="taskiq_streams",
        distribution="taskiq",
        environment="redis-8",
        ways=ALL_AWAITED,
        delivery=AT_LEAST,
        acknowledged="after it ran; else claimed by another after 10 min, as is every task that "
        "takes longer: nothing renews",
        setup="100 coroutines, 100 prefetched",
    ),
    Entry(
        name="taskiq-list",
        title="taskiq, Redis list",
        module="taskiq_list",
        distribution="taskiq",
        environment="redis-8",
        ways=ALL_AWAITED,
        delivery=AT_MOST,
        acknowledged="before it runs: it is popped, and lost with its worker",
        setup="100 coroutines, 100 prefetched",
    ),
    Entry(
        name="huey",
        title="Huey",
        module="huey",
        distribution="huey",
        environment="redis-8",
        ways=("blocking",),
        delivery=AT_MOST,
        acknowledged="before it runs: it is popped, and lost with its worker",
        setup="8 threads, no results",
    ),
    Entry(
        name="arq",
        title="arq",
        module="arq",
        distribution="arq",
        environment="redis-5",
        ways=ALL_AWAITED,
        delivery=AT_LEAST,
        acknowledged="after it ran; else free again 10 s after its timeout of 5 min",
        setup="100 coroutines, no results, polls every 50 ms (default: 500 ms)",
    ),
    Entry(
        name="saq",
        title="SAQ",
        module="saq",
        distribution="saq",
        environment="redis-7",
        ways=ALL_AWAITED,
        delivery=AT_MOST,
        acknowledged="after it ran; else swept after its timeout of 10 s, and aborted: to be run "
        "again it must have been given `retries`",
        setup="100 coroutines, nothing kept",
    ),
    Entry(
        name="dramatiq",
        title="Dramatiq",
        module="dramatiq",
        distribution="dramatiq",
        environment="redis-8",
        ways=("blocking",),
        delivery=AT_LEAST,
        acknowledged="after it ran; else put back when its worker has been silent for 60 s",
        setup="8 threads",
    ),
    Entry(
        name="celery",
        title="Celery, solo pool",
        module="celery",
        distribution="celery",
        environment="redis-8",
        ways=("blocking",),
        delivery=AT_LEAST,
        acknowledged="after it ran, by `acks_late` (default: before); else put back after 1 h, as "
        "is every task that takes longer: nothing renews",
        setup="`acks_late`, no results, no gossip, mingle or heartbeat",
    ),
    Entry(
        name="streaq",
        title="streaQ",
        module="streaq",
        distribution="streaq",
        environment="redis-7",
        ways=(*ALL_AWAITED, "bulk"),
        delivery=AT_LEAST,
        acknowledged="after it ran; else claimed by another after 60 s, renewed while it runs",
        setup="100 coroutines, no results",
    ),
    Entry(
        name="docket",
        title="docket",
        module="docket",
        distribution="pydocket",
        environment="redis-8",
        ways=(*ALL_AWAITED, "bulk"),
        delivery=AT_LEAST,
        acknowledged="after it ran; else claimed by another after 5 min, renewed while it runs",
        setup="100 coroutines, 1,000 connections (with the default of 100 tasks stay behind)",
    ),
    Entry(
        name="rq",
        title="RQ, SimpleWorker",
        module="rq",
        distribution="rq",
        environment="redis-8",
        ways=("blocking", "bulk"),
        delivery=AT_MOST,
        acknowledged="after it ran; else moved to the failed jobs: to be run again it must have "
        "been given a `Retry`",
        setup="no fork for each task, nothing kept",
    ),
    evolve(
        QCORE,
        name="qcore-postgres",
        setup="all defaults: 100 coroutines; claims do not wait for the disk",
        store="postgres",
    ),
    *(
        Entry(
            name=f"pgqueuer-{name}",
            title=f"pgqueuer, {title}",
            module=f"pgqueuer_{name}",
            distribution="pgqueuer",
            environment="postgres",
            ways=(*ALL_AWAITED, "bulk"),
            delivery=AT_LEAST,
            acknowledged="after it ran; else given to another when its heartbeat, renewed while "
            "it runs, is 30 s old",
            setup=f"asyncpg, {setup}",
            store="postgres",
        )
        for name, title, setup in (
            ("one", "as it comes", "one consumer; 10 fetched at a time, by default"),
            ("three", "3 consumers", "3 consumers in one process, each with a connection"),
            (
                "tuned",
                "3 consumers of 100",
                "3 consumers in one process, each with a connection; 100 fetched at a time",
            ),
        )
    ),
    Entry(
        name="procrastinate",
        title="Procrastinate",
        module="procrastinate",
        distribution="procrastinate",
        environment="postgres",
        ways=(*ALL_AWAITED, "bulk"),
        delivery=AT_MOST,
        acknowledged="after it ran; else left as it is: a task of the application's own must look "
        "for stalled ones",
        setup="100 coroutines, nothing kept",
        store="postgres",
    ),
)
CATALOGUE: Mapping[str, Entry] = {entry.name: entry for entry in ENTRIES}
STORES: Mapping[str, str] = {"redis": "Redis", "postgres": "Postgres"}
"""The stores that systems are measured on, and how they are written."""


def is_ours(name: str) -> bool:
    """Return whether a system is qcore, over whichever store."""
    return CATALOGUE[name].module == "qcore"


def chosen(store: str, names: Iterable[str] | None = None) -> list[Entry]:
    """Return the entries of a store, or those of some names, in the catalogue's order.

    Raises `ValueError` for a name that the store does not have.
    """
    known = {entry.name: entry for entry in ENTRIES if entry.store == store}
    wanted = known.keys() if names is None else set(names)
    if unknown := wanted - known.keys():
        raise ValueError(
            f"there is no system {min(unknown)!r} on {store}: expected some of {', '.join(known)}"
        )
    return [entry for name, entry in known.items() if name in wanted]
