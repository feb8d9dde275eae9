"""A Postgres that ends, restarts or is replaced, while tasks are asked for and run."""

import asyncio
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Final

import pytest

from tests.servers.postgres import PostgresServer
from tests.servers.postgres_binaries import POSTGRES
from tests.servers.postgres_pair import PostgresPair
from tests.system.journal_application import work
from tests.system.producers import Producers
from tests.system.yard import Yard, YardWorker, measured, opened, until

pytestmark = pytest.mark.system

QUEUE: Final = "default"
WORKERS: Final = 2
OPTIONS: Final = ("--lease", "10")


def end_fast(server: PostgresServer) -> None:
    """Have it end all sessions, and write what it has."""
    server.stop()


def end_at_once(server: PostgresServer) -> None:
    """Have it end without writing anything, as `pg_ctl stop -m immediate` does."""
    server.end(signal.SIGQUIT)


def kill(server: PostgresServer) -> None:
    """Kill it."""
    server.kill()


@contextmanager
def pair() -> Iterator[PostgresPair]:
    """Return a primary and a standby."""
    with PostgresPair(POSTGRES[-1]) as pair:
        yield pair


async def promoted(pair: PostgresPair, how: Callable[[PostgresServer], None]) -> float:
    """End the primary, and promote its standby; return when it was gone."""
    how(pair.primary)
    gone = monotonic()
    await asyncio.to_thread(pair.standby.promote)
    measured("seconds until the standby takes writes", monotonic() - gone)
    return gone


@pytest.mark.parametrize("how", [end_fast, end_at_once, kill])
async def test_nothing_is_lost_when_the_server_restarts(
    how: Callable[[PostgresServer], None], tmp_path: Path
) -> None:
    """In the midst of work, and also when it stays away so long that calls are refused."""
    with (
        PostgresServer(POSTGRES[-1]) as server,
        opened(server.url(timeout="1"), tmp_path) as yard,
    ):
        async with yard.q:
            workers = await yard.crew(WORKERS, *OPTIONS)
            async with Producers(yard.q, QUEUE) as producers:
                for is_long in (False, True):
                    await producers.flow()
                    await yard.flows(workers)
                    how(server)
                    if is_long:
                        await producers.are_refused()
                    await asyncio.to_thread(server.start)
                    answers = monotonic()
                    await producers.flow()
                    flows = await yard.flows(workers)
                    measured("seconds until all workers run tasks", flows - answers)
            await ends_well(yard, producers)
        assert server.sql("SELECT count(*) FROM qcore.tasks") == [(0,)]
        are_calm(workers)


@pytest.mark.parametrize("how", [kill, PostgresServer.freeze])
async def test_nothing_is_lost_when_another_server_takes_the_place_of_the_first(
    how: Callable[[PostgresServer], None], tmp_path: Path
) -> None:
    """Workers and producers come to it by themselves, as the URL names both."""
    with pair() as servers, opened(servers.url(timeout="2"), tmp_path) as yard:
        async with yard.q:
            workers = await yard.crew(WORKERS, *OPTIONS)
            async with Producers(yard.q, QUEUE) as producers:
                await producers.flow()
                await yard.flows(workers)
                gone = await promoted(servers, how)
                await producers.flow()
                flows = await yard.flows(workers)
                measured("seconds until all workers run tasks", flows - gone)
            await ends_well(yard, producers)
        assert servers.standby.sql("SELECT count(*) FROM qcore.tasks") == [(0,)]
        are_calm(workers)


async def test_workers_that_have_nothing_to_do_come_to_another_server(tmp_path: Path) -> None:
    """They are told of the first task there, as they were before."""
    with pair() as servers, opened(servers.url(timeout="2"), tmp_path) as yard:
        async with yard.q:
            workers = await yard.crew(WORKERS, *OPTIONS)
            await yard.ask([work.call()])
            await yard.done()
            await promoted(servers, kill)
            await until(lambda: listeners(servers.standby) == WORKERS, "workers that listen")
            asked = monotonic()
            await yard.ask([work.call()])
            await yard.done()
            measured("seconds until it has run", monotonic() - asked)
            await yard.leave()
        are_calm(workers)


def listeners(server: PostgresServer) -> int:
    """Return how many processes listen at a server."""
    sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'qcore listener'"
    ((number,),) = server.sql(sql)
    return int(number)


async def ends_well(yard: Yard, producers: Producers) -> None:
    """Assert that all that was acknowledged has run, and was settled by its last run."""
    await yard.done()
    await yard.leave()
    assert not producers.losses(yard.journal)
    runs = yard.journal.runs_by_id()
    for id_, verdicts in yard.journal.settled_by_id().items():
        assert [each.token for each in verdicts] == [runs[id_][-1].token]
    repeated = sum(len(each) > 1 for each in runs.values())
    measured("tasks that ran twice", repeated)


def are_calm(workers: Sequence[YardWorker]) -> None:
    """Assert that workers have said in a few lines what was wrong."""
    for worker in workers:
        lines = [line for line in worker.log.splitlines() if "warning" in line or "error" in line]
        measured("lines of a worker's log about it", len(lines))
        assert len(lines) < 20, worker.log
        assert "Traceback" not in worker.log
        assert "error ignored" not in worker.log
