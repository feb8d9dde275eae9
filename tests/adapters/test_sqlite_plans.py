import ast
import re
import sqlite3
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from qcore.adapters import sqlite
from qcore.adapters.links.sqlite import BlockingSqliteLink
from qcore.adapters.sqlite import SqliteBroker
from qcore.adapters.sqlite.row_validation import COLUMNS
from qcore.adapters.sqlite.statements import statements
from qcore.app.client.inline import run_inline
from qcore.domain.periodic.editing import added
from qcore.domain.task import Verdict
from qcore.domain.transitions import Exhausted, Failed, Rejected, Succeeded
from qcore.testing.builders import LEASE, NOW, a_demand, a_task, some_tasks
from qcore.testing.entries import MINUTELY, an_entry

PLANNED = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE)\b")
# what is merged after a log was lost is a whole database
WHOLE = {"merge"}
FILES = sorted(
    {path.name.removesuffix(".sql") for path in files(sqlite).joinpath("sql").iterdir()} - WHOLE
)
STATEMENTS = {
    f"{file}.{name}": sql
    for file in FILES
    for name, sql in statements(file).items()
    if PLANNED.match(sql)
}

# tables that do not grow with the tasks: one row, a row a queue, a row a worker, a row a table
SMALL = {
    "qcore_meta",
    "qcore_queues",
    "qcore_limits",
    "qcore_statistics",
    "qcore_workers",
    "sqlite_schema",
    "sqlite_master",
}
# those that read one row, whichever comes first; of entries one for each queue
GLANCES = {"details.any", "details.any_audit", "queues.any_task", "entries.queues"}
# those that count the tasks of a queue, as somebody has edited the numbers in its row
RECOUNTS = {"queues.count_states", "queues.last_sequence"}
# that which counts the entries of a queue that an operator wants to remove
RECOUNTS |= {"queues.count_entries"}


@pytest.fixture(scope="module", params=["never analyzed", "analyzed"])
def busy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[sqlite3.Connection]:
    """A database with a few thousand tasks in every state, with and without statistics.

    It has a few thousand entries, too, in several queues.
    """
    path = tmp_path_factory.mktemp("plans") / "qcore.db"
    broker = SqliteBroker(BlockingSqliteLink(path))
    tasks = some_tasks(2000, retention=60) + some_tasks(300, due=NOW + 9, expires=NOW + 99)
    tasks += [a_task(unique_key=f"key {n}", due=NOW + 9) for n in range(200)]
    run_inline(broker.enqueue(tasks, now=NOW))
    claims = run_inline(broker.claim(a_demand(1200), now=NOW, until=NOW + LEASE))
    ends = [Succeeded(), Failed("no", NOW + 5), Exhausted("no"), Rejected("no")]
    verdicts = [Verdict(claim.lease, ends[n % len(ends)]) for n, claim in enumerate(claims[200:])]
    run_inline(broker.settle(verdicts, now=NOW))
    entries = [an_entry(f"e{n}", queue=f"q{n % 7}") for n in range(2_000)]
    changes = [added(None, each, MINUTELY, NOW) for each in entries]
    run_inline(broker.write_entries(changes, now=NOW))
    run_inline(broker.close())
    connection = sqlite3.connect(path, isolation_level=None)
    if request.param == "analyzed":
        connection.execute("ANALYZE")
    yield connection
    connection.close()


def plan_of(connection: sqlite3.Connection, sql: str) -> list[str]:
    """Return the steps of a statement's plan, whatever its values, with tables for aliases."""
    names = re.findall(r":(\w+)", sql)
    values = dict.fromkeys(names) if names else [None] * sql.count("?")
    steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    tables = {alias: table for table, alias in re.findall(r"(qcore_\w+) AS (\w+)", sql)}
    return [" ".join(tables.get(word, word) for word in step.split()) for step in steps]


def is_bounded(step: str) -> bool:
    """Return whether a step of a plan costs no more than the rows that it is asked for."""
    match step.split():
        case ["SCAN", "CONSTANT", "ROW"] | ["SCAN", _, "VIRTUAL", "TABLE", *_]:
            return True
        case ["SCAN", table, *_]:
            return table in SMALL
        case ["SEARCH", table, *_]:
            # by one column of an index alone it would be by a whole queue
            return table in SMALL or "rowid=?" in step or step.count("?") >= 2
    return "TEMP B-TREE" not in step


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_scans_the_tasks(busy: sqlite3.Connection, name: str) -> None:
    """Every statement finds its rows by an index, and none sorts them."""
    plan = plan_of(busy, STATEMENTS[name])
    assert name in GLANCES | RECOUNTS or [step for step in plan if not is_bounded(step)] == []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM qcore_tasks WHERE error = ?",
        "SELECT * FROM qcore_tasks WHERE queue = ?",
        "SELECT * FROM qcore_tasks WHERE queue = ? AND state = ? ORDER BY created",
        "SELECT * FROM qcore_entries WHERE queue = ? ORDER BY wake",
        "SELECT * FROM qcore_entries WHERE wake <= ?",
    ],
)
def test_a_statement_that_scans_or_sorts_would_be_seen(busy: sqlite3.Connection, sql: str) -> None:
    """The plan of a statement without a fitting index is not bounded."""
    assert not all(map(is_bounded, plan_of(busy, sql)))


def test_every_statement_is_in_a_file_that_is_planned() -> None:
    """No module of the broker has a statement of its own that could escape the planner."""
    sources = Path(str(files(sqlite))).glob("*.py")
    texts = {
        node.value
        for source in sources
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert {text for text in texts if re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE) ", text)} == set()
    assert len(STATEMENTS) > 20


@pytest.mark.parametrize(
    "name", ["claim.pending", "admin.get", "admin.browse_ascending", "admin.browse_descending"]
)
def test_tasks_are_read_in_the_order_of_the_table(busy: sqlite3.Connection, name: str) -> None:
    """The columns that a task is read from are those of the table, in its order."""
    table = [row[1] for row in busy.execute("PRAGMA table_info(qcore_tasks)")]
    sql = STATEMENTS[name]
    asked = busy.execute(sql, [0] * sql.count("?")).description
    assert [column[0] for column in asked] == COLUMNS
    assert [column for column in table if column not in {"queue", "holds"}] == COLUMNS
