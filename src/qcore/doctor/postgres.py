"""`diagnose` for Postgres: findings about the server and the tables, each with what to do."""

from collections.abc import Iterator, Sequence
from typing import Final

from qcore.adapters.links.postgres import Link, Row, Tx
from qcore.adapters.postgres.queue_rows import count_tasks
from qcore.adapters.postgres.schema import INDEXES
from qcore.doctor.postgres_queries import (
    ACTIVITY,
    CONNECTIONS,
    INDEX_STATES,
    PREPARED,
    PRIVILEGES,
    REPLICATION,
    SERVER,
    TABLES,
)
from qcore.domain.diagnostics import Finding, advice, error, ok, warning
from qcore.domain.states import State

SUPPORTED: Final = 14
"""The oldest version that PostgreSQL's makers still mend (November 2026)."""
MANY_DEAD: Final = 50_000
"""Dead rows of a table from which they matter, if there are more of them than of live ones."""
LONG: Final = 600.0
"""Seconds from which an open transaction is one that somebody has forgotten."""
MUCH_WAL: Final = 1 << 30
"""Bytes of the log that a replication slot keeps from which they matter."""
MANY_TRANSACTIONS: Final = 1_000_000
"""Transactions whose deleted rows are kept for a reader from which that matters."""
CROWDED: Final = 0.8
"""Share of the server's connections in use from which there is a warning."""


async def diagnose(link: Link) -> list[Finding]:
    """Return findings; raise as `link.open` does where the database cannot be used."""
    await link.open()
    return [*_pooler(link), *await link.read(_examined)]


async def _examined(tx: Tx) -> list[Finding]:
    (server,) = await tx.fetch(SERVER, {})
    (connections,) = await tx.fetch(CONNECTIONS, {})
    activity = await tx.fetch(ACTIVITY, {"seconds": LONG})
    prepared = await tx.fetch(PREPARED, {"seconds": LONG})
    replication = await tx.fetch(REPLICATION, {})
    missing = await tx.fetch(PRIVILEGES, {})
    tables = await tx.fetch(TABLES, {})
    indexes = await tx.fetch(INDEX_STATES, {})
    return [
        *_server(server),
        *_connections(connections),
        *_transactions(activity, prepared),
        *_replication(replication),
        *_tables(tables),
        *_indexes(indexes),
        *_permissions(missing),
        *([] if missing else await _queues(tx)),
    ]


def _server(row: Row) -> Iterator[Finding]:
    number, version, is_standby, is_read_only, commit, flushes, vacuums = row
    if number // 10_000 < SUPPORTED:
        yield warning(
            "version",
            f"PostgreSQL {version}, which its makers mend no more",
            "move to a version that they do",
        )
    else:
        yield ok("version", f"PostgreSQL {version}")
    if is_standby or is_read_only:
        yield error(
            "writes",
            "the server takes none: it is a standby, or read-only",
            "name the primary in the URL, or all hosts: one that takes writes is chosen",
        )
    if flushes == "off":
        yield error(
            "persistence",
            "fsync is off: when the machine fails, the database is damaged",
            "turn it on",
        )
    elif commit == "off":
        yield warning(
            "persistence",
            "synchronous_commit is off: when the server fails, the last tasks that were "
            "acknowledged are lost",
            "turn it on for this user: ALTER ROLE … SET synchronous_commit = on",
        )
    else:
        yield ok(
            "persistence", f"synchronous_commit={commit}: what was acknowledged is on the disk"
        )
    if vacuums == "off":
        yield error(
            "vacuum",
            "autovacuum is off: each task leaves a row behind, and claims get slower",
            "turn it on",
        )


def _pooler(link: Link) -> Iterator[Finding]:
    if link.is_pooled:
        yield advice(
            "pooler",
            "a pooler is between: workers look for tasks four times a second, and are not told",
            "give workers the server's own URL; with session pooling say ?pooler=none",
        )


def _connections(row: Row) -> Iterator[Finding]:
    used, most = row
    if used > CROWDED * most:
        yield warning(
            "connections",
            f"{used} of {most} are in use",
            "lower ?connections=, put a pooler between, or raise max_connections",
        )
    else:
        yield ok("connections", f"{used} of {most} are in use")


def _transactions(rows: Sequence[Row], prepared: Sequence[Row]) -> Iterator[Finding]:
    if not rows and not prepared:
        yield ok("transactions", f"none has been open for {LONG / 60:.0f} minutes")
    for pid, name, state, seconds in rows:
        whose = f" of {name}" if name else ""
        yield _forgotten(
            f"that of process {pid}{whose}",
            seconds,
            state,
            f"end it, with SELECT pg_terminate_backend({pid}) if need be",
        )
    for name, seconds in prepared:
        quoted = name.replace("'", "''")
        yield _forgotten(
            f"{name!r}",
            seconds,
            "prepared for a commit in two phases",
            f"decide it: COMMIT PREPARED '{quoted}', or ROLLBACK PREPARED '{quoted}'",
        )


def _forgotten(which: str, seconds: float, state: str, what_to_do: str) -> Finding:
    return warning(
        "transactions",
        f"{which} has been open for {seconds / 60:,.0f} minutes, {state}: VACUUM cannot remove "
        "what is deleted meanwhile, and claims get slower",
        what_to_do,
    )


def _replication(rows: Sequence[Row]) -> Iterator[Finding]:
    lagging = [row for row in rows if row[3] > MUCH_WAL or row[4] > MANY_TRANSACTIONS]
    if not lagging:
        yield ok("replication", f"{len(rows)} readers of the log, none far behind")
    for name, is_slot, is_active, kept, transactions in lagging:
        what = [f"keeps {kept / (1 << 20):,.0f} MB of the log"] if kept > MUCH_WAL else []
        if transactions > MANY_TRANSACTIONS:
            what.append(
                f"keeps VACUUM from what the last {transactions:,} transactions have deleted"
            )
        which = f"the slot {name}, {'which lags' if is_active else 'which nobody reads'},"
        yield warning(
            "replication",
            f"{which if is_slot else f'the standby {name}, whose queries are long,'} "
            f"{' and '.join(what)}",
            f"have its reader catch up, or SELECT pg_drop_replication_slot('{name}')"
            if is_slot
            else "end its long queries, or turn off hot_standby_feedback there",
        )


def _tables(rows: Sequence[Row]) -> Iterator[Finding]:
    for name, live, dead, size, vacuumed in rows:
        if dead > MANY_DEAD and dead > live:
            when = "never" if vacuumed is None else f"{vacuumed / 60:,.0f} minutes ago"
            yield warning(
                "bloat",
                f"the table {name} has {dead:,} dead rows beside {live:,} ({size} in all); it was "
                f"last vacuumed {when}",
                f"VACUUM (ANALYZE) it; if that does not help, look for open transactions, and for "
                f"replication slots that nobody reads; VACUUM FULL {name} at a quiet hour",
            )
    sizes = ", ".join(f"{name} {size}" for name, _, _, size, _ in rows if name == "tasks")
    yield ok("tables", f"{len(rows)}: {sizes}")


def _indexes(rows: Sequence[Row]) -> Iterator[Finding]:
    missing = sorted(INDEXES - {name for name, _ in rows})
    invalid = sorted(name for name, is_valid in rows if not is_valid)
    if missing:
        yield error(
            "indexes",
            f"missing: {', '.join(missing)}; statements read whole tables",
            "restore the schema from a copy, or create them as sql/schema.sql has them",
        )
    if invalid:
        yield error("indexes", f"invalid: {', '.join(invalid)}", "REINDEX them")
    if not missing and not invalid:
        yield ok("indexes", f"all {len(INDEXES)} are there and valid")


def _permissions(missing: Sequence[Row]) -> Iterator[Finding]:
    if not missing:
        yield ok("permissions", "the user may do all that clients, workers and operators do")
        return
    user = missing[0][0]
    lacks = "; ".join(f"{privileges} on {names}" for _, privileges, names in missing)
    statements = [f"GRANT {privileges} ON {names} TO {user}" for _, privileges, names in missing]
    yield error(
        "permissions",
        f"{user} lacks {lacks}",
        f"have the owner of the tables run {'; '.join(statements)}",
    )


async def _queues(tx: Tx) -> list[Finding]:
    counts = await count_tasks(tx)
    pending = sum(states.get(State.PENDING, 0) for states in counts.values())
    return [ok("queues", f"{len(counts):,} with tasks, {pending:,} of them pending")]
