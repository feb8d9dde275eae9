"""Examine the store behind a broker: what is well, what is not, and what to do about it.

It stands apart from what runs tasks: no broker, client or worker imports it, and import-linter
holds that. `qcore doctor` prints what `diagnose` returns.
"""

from collections.abc import Sequence

from qcore.adapters.redis import RedisBroker
from qcore.adapters.sqlite import SqliteBroker
from qcore.adapters.wrappers import ForwardingBroker
from qcore.doctor import redis, sqlite
from qcore.domain.diagnostics import Finding, ok
from qcore.ports import Broker, Diagnosable

__all__ = ["diagnose"]


async def diagnose(broker: Broker, *, thorough: bool = True) -> Sequence[Finding]:
    """Return findings about the store of a broker, which need not be open before.

    A `Diagnosable` broker is asked itself; those of Redis, SQLite and Postgres are examined from
    here, also inside a `ForwardingBroker`; any other is only opened. What is written to try things
    out is removed again. Unless `thorough`, a large SQLite file is not read as a whole, which takes
    a second for a million tasks; a finding says so. Raises `BrokerUnavailable` or `BrokerUnusable`
    where nothing can be said.
    """
    while isinstance(broker, ForwardingBroker) and not isinstance(broker, Diagnosable):
        broker = broker.inner
    match broker:
        case Diagnosable():
            return await broker.diagnose()
        case RedisBroker():
            return await redis.diagnose(broker.link, broker.namespace)
        case SqliteBroker():
            return await sqlite.diagnose(broker.link, thorough=thorough)
        case _ if _is_of_postgres(broker):
            from qcore.doctor import postgres

            return await postgres.diagnose(broker.link)  # type: ignore[attr-defined]
        case _:
            await broker.open()
            what = (
                f"it can be opened; {type(broker).__name__} has no `diagnose`, so no more is known"
            )
            return [ok("connection", what)]


def _is_of_postgres(broker: Broker) -> bool:
    """Return whether it is a `PostgresBroker`, for which there need not be a driver."""
    return type(broker).__module__.startswith("qcore.adapters.postgres")
