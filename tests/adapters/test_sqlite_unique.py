import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest

from qcore.adapters.links.sqlite import BlockingSqliteLink, BorrowedSqliteLink
from qcore.adapters.sqlite import SqliteBroker
from qcore.adapters.sqlite.statements import statements
from qcore.app.client.inline import run_inline
from qcore.domain.answers import Admission, Conflict, Duplicate, Enqueued, Moved
from qcore.domain.errors import BrokerUnavailable
from qcore.domain.new_task import REPLACE, RERUN, NewTask
from qcore.domain.states import State
from qcore.domain.task import Verdict
from qcore.domain.transitions import (
    Archived,
    Cancelled,
    Crashed,
    Exhausted,
    Released,
    RunNow,
    Succeeded,
    Transition,
)
from qcore.testing.builders import LEASE, NOW, TaskOptions, a_demand, a_task

KEY = "the one"
RACERS = 4
ROUNDS = 25
EACH = [
    "SELECT * FROM qcore_tasks WHERE queue = 1 AND holds = 'k'",
    statements("enqueue")["holders"],
]

RACE = """
import sys
from qcore.adapters.links.sqlite import BlockingSqliteLink
from qcore.adapters.sqlite import SqliteBroker
from qcore.app.client.inline import run_inline
from qcore.testing.builders import NOW, a_task

path, name, rounds = sys.argv[1:]
broker = SqliteBroker(BlockingSqliteLink(path, timeout=30))
run_inline(broker.open())
print("ready", flush=True)
for n in range(int(rounds)):
    sys.stdin.readline()
    task = a_task(id=f"{name}-{n}", unique_key=f"key {n}")
    (answer,) = run_inline(broker.enqueue([task], now=NOW))
    print(type(answer).__name__, answer.id, flush=True)
"""


@pytest.fixture
def broker(path: Path) -> Iterator[SqliteBroker]:
    """A broker on the file."""
    broker = SqliteBroker(BlockingSqliteLink(path))
    yield broker
    run_inline(broker.close())


@pytest.fixture
def edit(path: Path) -> Callable[[str], None]:
    """Write to the file as somebody with a shell would."""

    def edit(sql: str) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(sql)

    return edit


def one(**options: object) -> NewTask:
    """Return a task with the key of all these cases."""
    given: TaskOptions = {"unique_key": KEY}
    given.update(options)  # type: ignore[typeddict-item]
    return a_task(**given)


def ask(broker: SqliteBroker, *tasks: NewTask, now: float = NOW) -> list[Admission]:
    """Enqueue tasks and return the answers."""
    return [*run_inline(broker.enqueue(tasks, now=now))]


def held(path: Path) -> dict[str, str]:
    """Return which task has which key, as the file has it."""
    with closing(sqlite3.connect(path)) as other:
        rows = other.execute("SELECT holds, id FROM qcore_tasks WHERE holds IS NOT NULL")
        return dict(rows.fetchall())


def enqueued(*tasks: NewTask) -> list[Enqueued]:
    """Return what is answered to tasks that go in."""
    return [Enqueued(task.id, State.PENDING) for task in tasks]


def test_of_processes_that_race_for_a_key_one_wins(path: Path) -> None:
    """Whoever is first has it, and all others are told who that is."""
    command = [sys.executable, "-c", RACE, str(path)]
    racers = [
        subprocess.Popen(
            [*command, f"racer{n}", str(ROUNDS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(RACERS)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    winners: list[str] = []
    for _ in range(ROUNDS):
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        said = [racer.stdout.readline().split() for racer in racers if racer.stdout]
        ids = {task for _, task in said}
        assert len(ids) == 1
        assert sorted(word for word, _ in said) == ["Duplicate"] * (RACERS - 1) + ["Enqueued"]
        winners += ids
    for racer in racers:
        racer.communicate()
    assert held(path) == {f"key {n}": winner for n, winner in enumerate(winners)}


def test_of_connections_that_replace_each_other_the_last_is_left(path: Path) -> None:
    """Debounced from many threads at once, one task is stored, and all were told they went in."""
    start = Barrier(RACERS)

    def debounce(_: int) -> list[Admission]:
        broker = SqliteBroker(BlockingSqliteLink(path, timeout=30))
        start.wait()
        answers = [
            answer for _ in range(ROUNDS) for answer in ask(broker, one(on_duplicate=REPLACE))
        ]
        run_inline(broker.close())
        return answers

    with ThreadPoolExecutor(RACERS) as threads:
        answers = [answer for each in threads.map(debounce, range(RACERS)) for answer in each]
    assert {type(answer) for answer in answers} == {Enqueued}
    with closing(sqlite3.connect(path)) as other:
        [(last, has)] = other.execute("SELECT id, holds FROM qcore_tasks").fetchall()
        assert other.execute("SELECT pending FROM qcore_queues").fetchall() == [(1,)]
    assert last in {answer.id for answer in answers}
    assert has == KEY


def test_a_key_is_rolled_back_with_its_task(path: Path, broker: SqliteBroker) -> None:
    """What a caller undoes in its own transaction has left no key behind."""
    with closing(sqlite3.connect(path)) as connection:
        borrowed = SqliteBroker(BorrowedSqliteLink(connection))
        run_inline(borrowed.open())
        connection.commit()
        assert ask(borrowed, first := one()) == enqueued(first)
        assert ask(borrowed, one()) == [Duplicate(first.id, State.PENDING)]
        connection.rollback()
        assert held(path) == {}
        assert ask(broker, second := one()) == enqueued(second)
        assert ask(borrowed, one()) == [Duplicate(second.id, State.PENDING)]


def test_a_replacement_that_is_rolled_back_was_none(path: Path, broker: SqliteBroker) -> None:
    """Neither is the one that gave way gone, nor is the time of its key."""
    first = one(unique_for=60, due=NOW + 5)
    ask(broker, first)
    with closing(sqlite3.connect(path)) as connection:
        borrowed = SqliteBroker(BorrowedSqliteLink(connection))
        ask(borrowed, one(on_duplicate=REPLACE))
        connection.rollback()
        ask(borrowed, one(), now=NOW + 60)
        connection.rollback()
    assert held(path) == {KEY: first.id}
    assert ask(broker, one()) == [Duplicate(first.id, State.SCHEDULED)]
    assert run_inline(broker.count()) == {"default": {State.SCHEDULED: 1}}


def test_a_key_is_the_callers_until_it_commits(path: Path) -> None:
    """Who asks meanwhile waits for the caller as for any writer, and then is a duplicate."""
    with closing(sqlite3.connect(path)) as connection:
        borrowed = SqliteBroker(BorrowedSqliteLink(connection))
        run_inline(borrowed.open())
        connection.commit()
        (first,) = ask(borrowed, one())
        hasty = SqliteBroker(BlockingSqliteLink(path, timeout=0.02))
        with pytest.raises(BrokerUnavailable):
            ask(hasty, one())
        connection.commit()
        assert ask(hasty, one()) == [Duplicate(first.id, State.PENDING)]
        run_inline(hasty.close())


def test_a_key_whose_time_is_over_goes_to_another_in_one_step(
    path: Path, broker: SqliteBroker
) -> None:
    """The first lives on without it, has what it asked for unchanged, and never gets it back."""
    first, second = one(unique_for=10), one(unique_for=5)
    assert ask(broker, first, second) == [*enqueued(first), Duplicate(first.id, State.PENDING)]
    assert ask(broker, second, now=NOW + 10) == enqueued(second)
    assert held(path) == {KEY: second.id}
    assert [task and task.spec for task in run_inline(broker.get("default", [first.id]))] == [first]
    claims = run_inline(broker.claim(a_demand(1), now=NOW + 11, until=NOW + LEASE))
    run_inline(broker.settle([Verdict(claims[0].lease, Succeeded())], now=NOW + 11))
    assert held(path) == {KEY: second.id}


def test_a_key_that_nobody_took_lapses_untouched(path: Path, broker: SqliteBroker) -> None:
    """A conflict at its id writes nothing, though the time of its key is over."""
    first = one(unique_for=10)
    ask(broker, first)
    assert ask(broker, first, now=NOW + 20) == [Conflict(first.id, State.PENDING)]
    assert held(path) == {KEY: first.id}


def test_a_time_too_short_to_tell_is_no_time(path: Path, broker: SqliteBroker) -> None:
    """A moment plus a nanosecond is the same moment: each of a batch goes in."""
    tasks = [one(unique_for=1e-9) for _ in range(3)]
    assert ask(broker, *tasks) == enqueued(*tasks)
    assert held(path) == {}


@pytest.mark.parametrize("end", [Cancelled(), Archived(), Succeeded(), Exhausted("no"), Crashed()])
def test_an_ended_task_that_is_kept_has_no_key(
    path: Path, broker: SqliteBroker, end: Transition
) -> None:
    """Its row says so from the moment it ends, also when it is run again before another comes."""
    first = one(max_crashes=1, retention=60)
    ask(broker, first)
    if isinstance(end, Archived):
        run_inline(broker.execute("default", [first.id], end, now=NOW))
    else:
        (claim,) = run_inline(broker.claim(a_demand(), now=NOW, until=NOW + LEASE))
        run_inline(broker.settle([Verdict(claim.lease, end)], now=NOW))
    assert held(path) == {}
    assert run_inline(broker.execute("default", [first.id], RunNow(), now=NOW)) == [
        Moved(State.PENDING)
    ]
    assert held(path) == {}
    assert ask(broker, second := one()) == enqueued(second)


def test_a_batch_in_which_tasks_change_places(path: Path, broker: SqliteBroker) -> None:
    """As if one had come after the other, whoever is stored already and whoever is not."""
    first, ended, other = one(), a_task(), one(unique_key="another")
    ask(broker, first, ended, other)
    run_inline(broker.execute("default", [ended.id], Cancelled(), now=NOW))
    second = one(id=ended.id, on_duplicate=REPLACE)
    third = one(on_duplicate=REPLACE)
    fourth = a_task(id=first.id)
    fifth = one(id=second.id, unique_key="another", on_duplicate=REPLACE)
    batch = [second, a_task(id=ended.id), third, fourth, fifth, one(id=third.id)]
    assert ask(broker, *batch) == [
        *enqueued(second),
        Conflict(ended.id, State.PENDING),
        *enqueued(third, fourth, fifth),
        Conflict(third.id, State.PENDING),
    ]
    assert held(path) == {KEY: third.id, "another": fifth.id}
    assert run_inline(broker.count()) == {"default": {State.PENDING: 3}}
    page = run_inline(broker.browse("default", State.PENDING, 10))
    assert [task.spec for task in page.tasks] == [third, fourth, fifth]


def test_the_store_itself_lets_no_two_have_a_key(
    broker: SqliteBroker, edit: Callable[[str], None]
) -> None:
    """Whatever wrote it, a second row with the key is refused; rows without one are not."""
    ask(broker, one(), a_task(), a_task())
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        edit(f"UPDATE qcore_tasks SET holds = '{KEY}'")  # noqa: S608
    edit(f"UPDATE qcore_tasks SET more = '{json.dumps({'unique_key': KEY})}'")  # noqa: S608


@pytest.mark.parametrize("change", ["state = 'dead'", "state = 'paused'", "holds = NULL"])
def test_a_key_of_a_task_ended_by_hand_is_free(
    path: Path, broker: SqliteBroker, edit: Callable[[str], None], change: str
) -> None:
    """Somebody who edits the file need not know of keys."""
    ask(broker, one())
    edit(f"UPDATE qcore_tasks SET {change}")  # noqa: S608
    assert ask(broker, second := one()) == enqueued(second)
    assert held(path) == {KEY: second.id}


@pytest.mark.parametrize(
    "more",
    ["'{'", "'[]'", "x'ff'", "printf('%.*c', 200000, '[')", """'{"unique_for": "soon"}'"""],
)
def test_what_was_asked_for_and_cannot_be_read(
    path: Path, broker: SqliteBroker, edit: Callable[[str], None], more: str
) -> None:
    """The task has its key while it lives, and dies with the reason when its turn comes."""
    first = one(unique_for=5)
    ask(broker, first)
    edit(f"UPDATE qcore_tasks SET more = {more}")  # noqa: S608
    assert ask(broker, one(), now=NOW + 9) == [Duplicate(first.id, State.PENDING)]
    claims = run_inline(broker.claim(a_demand(), now=NOW + 9, until=NOW + LEASE))
    (task,) = run_inline(broker.get("default", [first.id]))
    assert task is not None
    assert task.spec.unique_key is None
    assert claims == []
    assert (task.state, held(path)) == (State.DEAD, {})
    assert (task.error or "").startswith("the stored row cannot be read: more is ")
    assert ask(broker, second := one(), now=NOW + 9) == enqueued(second)


def test_a_moment_in_words_is_no_time(broker: SqliteBroker, edit: Callable[[str], None]) -> None:
    """A key of which nobody knows since when it is had for a time is free."""
    ask(broker, one(unique_for=5))
    edit("UPDATE qcore_tasks SET created = 'then'")
    assert ask(broker, second := one()) == enqueued(second)


@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.parametrize("sql", EACH)
def test_who_has_a_key_is_found_by_the_index(
    path: Path, broker: SqliteBroker, sql: str, *, analyzed: bool
) -> None:
    """With statistics and without, though few of many tasks have a key."""
    tasks = [a_task(unique_key=None if n % 100 else f"key {n}") for n in range(2_000)]
    ask(broker, *tasks)
    with closing(sqlite3.connect(path)) as other:
        if analyzed:
            other.execute("ANALYZE")
        plan = other.execute(f"EXPLAIN QUERY PLAN {sql}", [None] * sql.count("?")).fetchall()
    assert any("INDEX qcore_tasks_by_key (queue=? AND holds=?)" in row[3] for row in plan)


def test_a_task_without_a_key_is_in_no_index_of_keys(path: Path, broker: SqliteBroker) -> None:
    """The index of keys has a row for each key that is had, and costs the others nothing."""
    ask(broker, *[a_task() for _ in range(100)], one(), one(unique_key="another"))
    with closing(sqlite3.connect(path)) as other:
        other.execute("ANALYZE")
        [(stat,)] = other.execute("SELECT stat FROM sqlite_stat1 WHERE idx = 'qcore_tasks_by_key'")
    assert stat.split()[0] == "2"


def test_a_holder_that_cannot_be_read_gives_its_key_to_its_successor(
    path: Path, broker: SqliteBroker
) -> None:
    """Somebody edited its row while it waited to run again: it is dead, and the next one runs."""
    first = a_task(id="first", unique_key=KEY, on_duplicate=RERUN)
    second = a_task(id="second", unique_key=KEY, on_duplicate=RERUN)
    run_inline(broker.enqueue([first], now=NOW))
    (claim,) = run_inline(broker.claim(a_demand(), now=NOW, until=NOW + LEASE))
    run_inline(broker.enqueue([second], now=NOW))
    run_inline(broker.settle([Verdict(claim.lease, Released())], now=NOW))
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE qcore_tasks SET headers = '[1]' WHERE id = 'first'")
    assert run_inline(broker.claim(a_demand(), now=NOW, until=NOW + LEASE)) == []
    (claim,) = run_inline(broker.claim(a_demand(), now=NOW, until=NOW + LEASE))
    assert claim.task.spec == second
