"""What links to one server share: how to connect there, its time, and the decision to leave it."""

from typing import Any, Final
from weakref import WeakSet

from psycopg import Connection

from qcore.adapters.links.clock_sync import ServerClock, monotonic
from qcore.adapters.links.postgres.address import Address
from qcore.adapters.links.postgres.interfaces import Session, Statement
from qcore.adapters.links.postgres.listener import ListenerHub, hub_of
from qcore.adapters.links.postgres.pool import AnySession, Pool
from qcore.adapters.links.postgres.sessions import BoundedConnection
from qcore.domain.errors import BrokerUnusable

OLDEST: Final = 130000
"""The oldest server that will do, as `server_version_num` tells it: PostgreSQL 13."""
PLANNING: Final = dict.fromkeys(
    ("jit", "enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin"), "off"
) | {"plan_cache_mode": "force_generic_plan"}
"""Settings by which each statement is planned once in a session: every one of them finds its rows
by an index, whatever statistics say that are of a time when the tables were empty, or full."""
KEEPALIVES: Final = {"keepalives_idle": 30, "keepalives_interval": 5, "keepalives_count": 3}


class Server:
    """A database, as its URL says it, and what is known of it."""

    def __init__(self, address: Address) -> None:
        self.address: Final = address
        self.clock: Final = ServerClock()
        self.is_prepared = False
        """Whether the tables were found, or made, since a server was last left."""
        self.is_pooled: bool | None = {"transaction": True, "none": False}.get(address.pooler)
        """Whether each transaction has another session; None while that is not known."""
        self.places: Final[set[tuple[str, str, str]]] = set()
        """Host, port and name with which callers' connections to this database were made."""
        self._pools: WeakSet[Pool] = WeakSet()

    @property
    def hub(self) -> ListenerHub:
        """Return the subscribers of this process."""
        address = self.address
        return hub_of(address.key, self.connect_listener, address.schema, address.shown)

    @property
    def begin(self) -> tuple[Statement, ...]:
        """Return what begins a transaction."""
        if not self.is_pooled:
            return (("BEGIN", {}),)
        # a session of a pooler's is others', too: nothing may be set for more than a transaction
        return (("BEGIN", {}), (self._settings(is_local=True), {}))

    def _settings(self, *, is_local: bool) -> str:
        milliseconds = int(self.address.timeout * 1_000)
        settings = {
            "statement_timeout": milliseconds,
            # earlier, so that the error says what was waited for
            "lock_timeout": milliseconds * 9 // 10,
            **PLANNING,
        }
        each = (f"set_config('{name}', '{value}', {is_local})" for name, value in settings.items())
        return f"SELECT {', '.join(each)}"

    def join(self, pool: Pool) -> None:
        """Have a pool leave with the others; it is held weakly."""
        self._pools.add(pool)

    def leave(self) -> None:
        """Give up all connections, as the server is not the one to ask any more."""
        self.is_prepared = False
        self.clock.invalidate()
        for pool in tuple(self._pools):
            pool.leave()
        self.hub.renew()

    def conninfo(self, name: str = "qcore") -> dict[str, Any]:
        """Return the parameters of a connection; those of the URL come first."""
        return {
            "application_name": name,
            # of each host: one that does not answer must leave time for the others
            "connect_timeout": max(2, round(self.address.timeout / self.address.hosts)),
            "target_session_attrs": "read-write",
            "tcp_user_timeout": int(self.address.timeout * 1_000),
            **KEEPALIVES,
            **self.address.conninfo,
            # as what is sent is encoded
            "client_encoding": "utf8",
        }

    async def connect(self, kind: type[AnySession]) -> AnySession:
        """Connect, with the settings that a session is to have."""
        session = await kind.connect(self.conninfo(), self.address.timeout)
        try:
            await self._meet(session)
        except BaseException:
            session.close()
            raise
        return session

    async def _meet(self, session: AnySession) -> None:
        sent = monotonic()
        ((pid, version, told),) = await session.execute(
            "SELECT pg_backend_pid(), current_setting('server_version_num')::int, "
            "extract(epoch FROM clock_timestamp())::float8"
        )
        self.clock.update(told, sent, monotonic())
        if version < OLDEST:
            raise BrokerUnusable(
                f"cannot use {self.address.shown}: it is PostgreSQL {version // 10_000}: "
                f"expected {OLDEST // 10_000} or newer"
            )
        if self.is_pooled is None:
            # a pooler tells its clients a number of its own (pgbouncer, Odyssey, PgCat)
            self.is_pooled = pid != session.connection.info.backend_pid
        if self.is_pooled:
            session.prepare_nothing()
            return
        await session.execute(self._settings(is_local=False))

    async def ask_time(self, session: Session) -> None:
        """Ask the server for its time."""
        sent = monotonic()
        sql = "SELECT extract(epoch FROM clock_timestamp())::float8"
        ((told,),) = await session.execute(sql, None)
        self.clock.update(told, sent, monotonic())

    def connect_listener(self) -> "Connection[Any] | None":
        """Return a connection to listen on; None where LISTEN does not work."""
        if self.is_pooled:
            return None
        connection = BoundedConnection.connect(**self.conninfo("qcore listener"), autocommit=True)
        connection.patience = self.address.timeout
        if self.is_pooled is None:
            row = connection.execute("SELECT pg_backend_pid()").fetchone()
            self.is_pooled = row is not None and row[0] != connection.info.backend_pid
            if self.is_pooled:
                connection.close()
                return None
        return connection
