import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import psycopg
import pytest

from qcore.adapters import postgres
from qcore.adapters.links.postgres.server import PLANNING
from qcore.adapters.postgres.statements import statements
from tests.adapters.postgres_kit import blocking_on, fresh_schema
from tests.servers.postgres import PostgresServer

FILES = sorted(path.name.removesuffix(".sql") for path in files(postgres).joinpath("sql").iterdir())
STATEMENTS = {
    f"{file}.{name}": sql
    for file in FILES
    for name, sql in statements(file).items()
    if file != "schema" and not sql.startswith("CREATE")
}
ROWS = 50_000
GROWING = {"tasks", "details", "entries"}
"""Tables that grow with what there is; the others have a row for a queue, a worker, a minute."""
WHOLE = {"queues.any_task", "queues.count_entries"}
"""Those that count all of a queue, which an operator wants to remove."""
GLANCES = {"entries.queues"}
"""Those that read the first row of an index."""

FILL = """
INSERT INTO {0}.tasks (queue, id, state, priority, max_crashes, token, created, due, retention,
    until, finished, name, group_name, holds, expires, payload)
SELECT 'q' || n % 4, 't' || n, state, n % 3, 3, CASE state WHEN 'active' THEN n END, n, n, 60,
    CASE state WHEN 'active' THEN n END,
    CASE WHEN state IN ('completed', 'archived', 'dead') THEN n END, 'name',
    CASE state WHEN 'aggregating' THEN 'g' || n % 50 END, CASE WHEN n % 20 = 0 THEN 'k' || n END,
    CASE WHEN n % 7 = 0 THEN n END, '{{}}'
FROM (
    SELECT n, (ARRAY['pending', 'pending', 'pending', 'scheduled', 'retry', 'completed',
        'archived', 'dead', 'aggregating', 'active'])[1 + n % 10] AS state
    FROM generate_series(1, {1}) AS n
) AS each;
INSERT INTO {0}.details (queue, id, errors) SELECT queue, id, '[]' FROM {0}.tasks;
INSERT INTO {0}.entries (queue, id, revision, wake, encoded)
SELECT 'q' || n % 4, 'e' || n, n, n, '{{}}' FROM generate_series(1, {1} / 10) AS n;
ANALYZE {0}.tasks, {0}.details, {0}.entries
"""


@pytest.fixture(scope="module", params=["empty", "full", "emptied"])
def planner(
    request: pytest.FixtureRequest, postgres_server: PostgresServer
) -> Iterator[psycopg.Connection[Any]]:
    """Give a connection that plans as ours do, before, while and after there is something."""
    schema = fresh_schema()
    with blocking_on(postgres_server, schema):
        pass
    with psycopg.connect(
        postgres_server.conninfo, autocommit=True, prepare_threshold=None
    ) as connection:
        connection.execute(f"SET search_path = {schema}")
        for name, value in PLANNING.items():
            connection.execute(f"SET {name} = {value}")
        if request.param != "empty":
            connection.execute(FILL.format(schema, ROWS))  # type: ignore[arg-type]
        if request.param == "emptied":
            for table in GROWING:
                connection.execute(f"DELETE FROM {table}")  # type: ignore[arg-type]  # noqa: S608
                connection.execute(f"VACUUM (ANALYZE, TRUNCATE false) {table}")  # type: ignore[arg-type]
        yield connection


def planned(connection: psycopg.Connection[Any], sql: str) -> Mapping[str, Any]:
    """Return the plan that a session of ours makes once, for whatever values."""
    names: dict[str, str] = {}
    numbered = re.sub(
        r"%\((\w+)\)s", lambda found: names.setdefault(found[1], f"${len(names) + 1}"), sql
    )
    connection.execute(f"PREPARE it AS {numbered.replace('%%', '%').replace('qcore.', '')}")  # type: ignore[arg-type]
    values = f"({', '.join(['NULL'] * len(names))})" if names else ""
    row = connection.execute(f"EXPLAIN (FORMAT JSON) EXECUTE it {values}").fetchone()  # type: ignore[arg-type]
    connection.execute("DEALLOCATE it")
    assert row is not None
    plan: Mapping[str, Any] = row[0][0]["Plan"]
    return plan


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the steps of a plan."""
    yield plan
    for each in plan.get("Plans", ()):
        yield from nodes(each)


def what_is_slow(node: Mapping[str, Any]) -> str | None:
    """Return what of a step takes longer the more there is; None where it does not."""
    kind, table = node["Node Type"], node.get("Relation Name")
    compared = node.get("Join Filter", node.get("Filter", "") if kind == "CTE Scan" else "")
    if "Join Filter" in node or re.search(r"\w = \w+\.", compared):
        return f"{kind} compares each with each: {compared}"
    if table not in GROWING or kind in {"ModifyTable", "LockRows"}:
        return None
    if kind == "Tid Scan":
        # of rows that another step has found
        return None
    if kind not in {"Index Scan", "Index Only Scan"}:
        return f"{kind} of {table}"
    index, condition = node["Index Name"], node.get("Index Cond", "")
    if "queue" not in condition or (
        index.endswith("_pkey") and not re.search(r"\bid\b", condition)
    ):
        return f"{kind} of all of {index}"
    return None


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_statement_finds_its_rows_by_an_index(
    planner: psycopg.Connection[Any], name: str
) -> None:
    """Whatever there was when it was planned: the plan is kept for as long as the session lasts."""
    slow = [each for each in map(what_is_slow, nodes(planned(planner, STATEMENTS[name]))) if each]
    assert not slow or name in WHOLE | GLANCES


@pytest.mark.parametrize("name", ["claim.simple", "claim.several"])
def test_pending_tasks_are_read_in_the_order_of_their_index(
    planner: psycopg.Connection[Any], name: str
) -> None:
    """So a claim reads as many as it takes, of however many there are."""
    found = [*nodes(planned(planner, STATEMENTS[name]))]
    locked = [each for each in found if each["Node Type"] == "LockRows"]
    assert [each["Plans"][0]["Index Name"] for each in locked] == ["tasks_pending"] * 2


@pytest.mark.parametrize("name", ["claim.simple", "claim.several"])
def test_what_was_claimed_before_is_not_read_again(
    planner: psycopg.Connection[Any], name: str
) -> None:
    """A scan of a priority begins behind a task; the ones between priorities have none."""
    scans = [
        each["Index Cond"]
        for each in nodes(planned(planner, STATEMENTS[name]))
        if each.get("Index Name") == "tasks_pending"
    ]
    of_one = [each for each in scans if "priority = " in each]
    assert all("sequence > " in each for each in of_one)
    between = [each for each in scans if each not in of_one]
    assert all("priority < " in each and "priority > " in each for each in between)
    assert len(of_one) == len(between) > 0
