"""What tests of the Postgres broker share."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from attrs import define

from qcore.adapters.links.inline import run_to_end
from qcore.adapters.links.postgres import link_to, parse
from qcore.adapters.postgres import PostgresBroker
from tests.servers.postgres import PostgresServer

_numbers = count()


def fresh_schema() -> str:
    """Return the name of a schema that no other test of this process has."""
    return f"qcore_{next(_numbers)}"


def broker_on(server: PostgresServer, schema: str = "qcore", **options: str) -> PostgresBroker:
    """Return a broker that is not open."""
    return PostgresBroker(link_to(parse(server.url(schema, **options))))


@contextmanager
def blocking_on(
    server: PostgresServer, schema: str = "qcore", **options: str
) -> Iterator[PostgresBroker]:
    """Give a broker that blocks, open until the block ends."""
    broker = broker_on(server, schema, **options).blocking()
    try:
        run_to_end(broker.open())
        yield broker
    finally:
        run_to_end(broker.close())


@define
class StillClock:
    """A monotonic clock that stands still."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now
