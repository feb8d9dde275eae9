"""A URL that names two servers, of which one takes writes, and then the other."""

import asyncio
from collections.abc import Iterator

import pytest

from qcore.adapters.links.postgres import link_to, parse
from qcore.adapters.postgres import PostgresBroker
from qcore.domain.answers import Enqueued, LeaseLost
from qcore.domain.states import State
from qcore.domain.task import Verdict
from qcore.domain.transitions import Succeeded
from qcore.ports import WorkAvailable
from qcore.testing.builders import LEASE, NOW, a_demand, a_task
from tests.adapters.postgres_kit import fresh_schema
from tests.servers.postgres import HOST, PostgresServer
from tests.servers.postgres_binaries import POSTGRES
from tests.servers.postgres_pair import PostgresPair
from tests.servers.waiting import until

LISTENERS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'qcore listener'"


@pytest.fixture
def pair() -> Iterator[PostgresPair]:
    """Give a primary and its standby."""
    with PostgresPair(POSTGRES[-1]) as pair:
        yield pair


async def test_a_server_that_was_demoted_is_left_with_all_that_goes_there(
    pair: PostgresPair,
) -> None:
    """It lives and answers, and takes no writes: calls and the listener go to the other one."""
    broker = PostgresBroker(link_to(parse(pair.url(fresh_schema()))))
    await broker.open()
    await broker.enqueue([first := a_task()], now=NOW)
    subscription = await broker.subscribe(["default"], {WorkAvailable}, lambda _: None)
    assert listeners(pair.primary) == 1

    pair.primary.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    pair.primary.sql("SELECT pg_reload_conf()")
    pair.standby.promote()
    second = a_task()
    assert list(await broker.enqueue([second], now=NOW)) == [Enqueued(second.id, State.PENDING)]

    claims = await broker.claim(a_demand(), now=NOW, until=NOW + LEASE)
    assert [claim.task.id for claim in claims] == [first.id, second.id]
    await asyncio.to_thread(until, lambda: listeners(pair.standby) == 1, "a listener there")
    assert listeners(pair.primary) == 0
    await subscription.close()
    await broker.close()


async def test_the_host_that_takes_writes_is_found_wherever_it_stands(pair: PostgresPair) -> None:
    """Also behind a standby, and for each connection."""
    schema = fresh_schema()
    hosts = ",".join(f"{HOST}:{each.port}" for each in (pair.standby, pair.primary))
    url = f"postgresql://postgres@{hosts}/postgres?schema={schema}"
    broker = PostgresBroker(link_to(parse(url)))
    await broker.open()
    answers = await asyncio.gather(*[broker.enqueue([a_task()], now=NOW) for _ in range(5)])
    assert all(isinstance(each, Enqueued) for (each,) in answers)
    assert pair.primary.sql(f"SELECT count(*) FROM {schema}.tasks") == [(5,)]  # noqa: S608
    await broker.close()


async def test_tokens_grow_though_a_standby_does_not_know_the_last_claims(
    pair: PostgresPair,
) -> None:
    """Claims do not wait for it, and the sequence of the tokens is not sent to it."""
    broker = PostgresBroker(link_to(parse(pair.url(fresh_schema(), timeout="20"))))
    await broker.open()
    await broker.enqueue([a_task() for _ in range(50)], now=NOW)
    (first,) = await broker.claim(a_demand(1), now=NOW, until=NOW + LEASE)
    pair.standby.freeze()
    claims = await broker.claim(a_demand(40), now=NOW, until=NOW + LEASE)
    assert len(claims) == 40
    await asyncio.to_thread(pair.primary.kill)
    pair.standby.thaw()
    await asyncio.to_thread(pair.standby.promote)

    again = await broker.claim(a_demand(50), now=NOW, until=NOW + LEASE)
    forgotten = {each.task.id for each in again} & {each.task.id for each in claims}
    tokens = [each.lease.token for each in (first, *claims, *again)]
    assert tokens == sorted(set(tokens))
    answers = await broker.settle([Verdict(each.lease, Succeeded()) for each in claims], now=NOW)
    lost = {
        claim.task.id for claim, each in zip(claims, answers, strict=True) if each == LeaseLost()
    }
    assert lost == forgotten
    await broker.close()


def listeners(server: PostgresServer) -> int:
    """Return how many processes listen there."""
    ((number,),) = server.sql(LISTENERS)
    return int(number)
