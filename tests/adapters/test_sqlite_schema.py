import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from threading import Barrier

import pytest

from qcore.adapters.links.sqlite import (
    AsyncSqliteLink,
    BlockingSqliteLink,
    BorrowedSqliteLink,
    Row,
    Tx,
    Values,
)
from qcore.adapters.sqlite import SqliteBroker
from qcore.adapters.sqlite.schema import ADDED, APPLICATION_ID, OLDEST, VERSION, prepare
from qcore.adapters.sqlite.statements import statements
from qcore.app.client.inline import run_inline
from qcore.domain.answers import Admission, Enqueued
from qcore.domain.errors import BrokerUnavailable, BrokerUnusable, InvalidOption
from qcore.domain.states import State
from qcore.ports import Capability
from qcore.testing.builders import LEASE, NOW, a_demand, a_task, a_worker, some_tasks
from qcore.testing.entries import an_entry, put_entry

NOBODY = 65_534
PAGE = bytes(4_000)


def broker_at(path: Path, timeout: float = 0.02) -> SqliteBroker:
    """Return a blocking broker that does not wait long for a lock."""
    return SqliteBroker(BlockingSqliteLink(path, timeout=timeout))


def refusal(path: Path) -> str:
    """Return what a broker says that cannot use a file."""
    with pytest.raises(BrokerUnusable) as refused:
        run_inline(broker_at(path).enqueue([a_task()], now=NOW))
    message = str(refused.value)
    assert str(path) in message
    return message


def test_a_new_file_says_whose_it_is(path: Path) -> None:
    """A file of ours has our application id and the schema's version, and a write-ahead log."""
    broker = broker_at(path)
    run_inline(broker.open())
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert other.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    run_inline(broker.close())


@pytest.mark.parametrize(
    "change", ["PRAGMA user_version = 99", "UPDATE qcore_meta SET version = 99"]
)
def test_a_file_of_a_newer_version_is_refused(path: Path, change: str) -> None:
    """A schema of a later qcore is left alone, and the error says to upgrade."""
    broker = broker_at(path)
    run_inline(broker.open())
    run_inline(broker.close())
    with closing(sqlite3.connect(path)) as other, other:
        other.execute(change)
    before = path.read_bytes()
    assert "version 99" in refusal(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        "PRAGMA user_version = 1",
        # beside an application's own tables the file's version is not ours
        "UPDATE qcore_meta SET version = 1",
    ],
)
def test_a_file_from_before_the_first_release_is_refused(path: Path, change: str) -> None:
    """Its tables have no place for what is stored today; the error says what to do with it."""
    broker = broker_at(path)
    run_inline(broker.open())
    run_inline(broker.close())
    with closing(sqlite3.connect(path)) as other, other:
        other.execute(change)
    before = path.read_bytes()
    message = refusal(path)
    assert "schema version 1" in message
    assert "let the one that made it finish its tasks" in message
    assert path.read_bytes() == before


OLDER = range(OLDEST, VERSION)


def of_version(version: int, path: Path, *, beside_others: bool = False) -> None:
    """Make a file as the qcore of a version before this one did, with a task in it."""
    broker = SqliteBroker(BlockingSqliteLink(path), beside_others=beside_others)
    run_inline(broker.enqueue([a_task(id="old")], now=NOW))
    run_inline(broker.close())
    with closing(sqlite3.connect(path)) as other, other:
        for newer in range(version + 1, VERSION + 1):
            for name in ADDED[newer]:
                made = re.match(r"CREATE TABLE (\w+)", statements("schema")[name])
                if made:
                    # its indexes go with it
                    other.execute(f"DROP TABLE {made[1]}")
        other.execute("UPDATE qcore_meta SET version = ?", (version,))
        if header(path)[1]:
            other.execute(f"PRAGMA user_version = {version}")


def tables_in(path: Path) -> set[tuple[str, str]]:
    """Return the names of tables and indexes, with the statements that have made them."""
    with closing(sqlite3.connect(path)) as other:
        return set(other.execute("SELECT name, sql FROM sqlite_schema WHERE name GLOB 'qcore_*'"))


def is_up_to_date(path: Path) -> bool:
    """Return whether a file has the tables of today, as a new one has them, and says so."""
    new = path.with_name("new.db")
    run_inline(broker_at(new).open())
    with closing(sqlite3.connect(path)) as other:
        says_so = other.execute("SELECT * FROM qcore_meta").fetchall() == [(VERSION,)]
    return says_so and tables_in(path) == tables_in(new)


@pytest.mark.parametrize("beside_others", [False, True])
@pytest.mark.parametrize("version", OLDER)
def test_a_file_of_an_older_qcore_is_brought_up_to_date(
    path: Path, version: int, *, beside_others: bool
) -> None:
    """The tables that it lacks are added at the first connection, and its tasks stay."""
    of_version(version, path, beside_others=beside_others)
    assert not is_up_to_date(path)
    broker = SqliteBroker(BlockingSqliteLink(path), beside_others=beside_others)
    run_inline(broker.announce(worker := a_worker()))
    assert run_inline(broker.workers(now=NOW)) == [worker]
    assert run_inline(put_entry(broker, an_entry())).revision
    assert [task and task.id for task in run_inline(broker.get("default", ["old"]))] == ["old"]
    assert is_up_to_date(path)
    assert header(path)[1] == (0 if beside_others else VERSION)
    run_inline(broker.close())


def test_the_number_of_an_application_in_a_file_of_ours_stays(path: Path) -> None:
    """It numbers its own schema there, and ours is brought up to date all the same."""
    of_version(OLDEST, path)
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE orders (id INTEGER)")
    broker = broker_at(path)
    run_inline(broker.open())
    assert is_up_to_date(path)
    assert header(path)[1] == OLDEST
    run_inline(broker.close())


def test_the_transaction_of_a_caller_brings_a_file_up_to_date(path: Path) -> None:
    """Within it, so that whoever rolls it back has the file as it was."""
    of_version(OLDEST, path)
    before = header(path)
    with closing(sqlite3.connect(path)) as connection:
        for end in (connection.rollback, connection.commit):
            connection.execute("BEGIN")
            broker = SqliteBroker(BorrowedSqliteLink(connection))
            run_inline(broker.announce(a_worker()))
            assert header(path) == before
            end()
            assert is_up_to_date(path) is (end == connection.commit)
    run_inline(broker_at(path).open())


def test_who_is_connected_to_an_older_file_goes_on(path: Path) -> None:
    """A worker of the older qcore need not be stopped first: what it uses is as it was."""
    of_version(OLDEST, path)
    with closing(sqlite3.connect(path)) as old:
        assert old.execute("SELECT count(*) FROM qcore_tasks").fetchone() == (1,)
        broker = broker_at(path)
        run_inline(broker.open())
        run_inline(broker.close())
        with old:
            old.execute("UPDATE qcore_tasks SET priority = 1")
        assert old.execute("SELECT priority FROM qcore_tasks").fetchone() == (1,)


def test_many_may_bring_a_file_up_to_date_at_once(path: Path) -> None:
    """It is done once, and all of them can use it."""
    of_version(OLDEST, path)
    brokers = [broker_at(path, timeout=30) for _ in range(8)]
    start = Barrier(len(brokers))

    def announce(broker: SqliteBroker) -> None:
        start.wait()
        run_inline(broker.announce(a_worker()))

    with ThreadPoolExecutor(len(brokers)) as threads:
        list(threads.map(announce, brokers))
    assert len(run_inline(brokers[0].workers(now=NOW))) == len(brokers)
    assert is_up_to_date(path)
    for broker in brokers:
        run_inline(broker.close())


@pytest.mark.parametrize("mark", ["PRAGMA application_id = 7", "CREATE TABLE users (name TEXT)"])
def test_a_database_of_somebody_else_is_refused(path: Path, mark: str) -> None:
    """An application's own database is left byte for byte as it was, in its own journal mode."""
    with closing(sqlite3.connect(path)) as other, other:
        other.execute(mark)
    before = path.read_bytes()
    assert "somebody else's" in refusal(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "mark",
    ["PRAGMA application_id = 7", "CREATE TABLE users (name)", "PRAGMA user_version = 7"],
)
def test_an_applications_database_may_have_our_tables_too(path: Path, mark: str) -> None:
    """Who says so gets them beside its own; header and journal mode stay the application's."""
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE orders (id INTEGER)")
        other.execute(mark)
    before = header(path)
    broker = SqliteBroker(BlockingSqliteLink(path), beside_others=True)
    run_inline(broker.enqueue([a_task()], now=NOW))
    assert header(path) == before
    run_inline(broker.close())
    # from then on it is known
    run_inline(broker_at(path).enqueue([a_task()], now=NOW))


@pytest.mark.parametrize("beside_others", [True, False])
def test_an_application_may_join_a_file_of_ours(path: Path, *, beside_others: bool) -> None:
    """It numbers its schema where we number ours, and nobody takes its number for ours."""
    broker = SqliteBroker(BlockingSqliteLink(path), beside_others=beside_others)
    run_inline(broker.open())
    run_inline(broker.close())
    if beside_others:
        assert header(path)[1] == 0
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE orders (id INTEGER)")
        other.execute("PRAGMA user_version = 1")
    run_inline(broker.enqueue([a_task()], now=NOW))
    assert header(path)[1] == 1
    run_inline(broker.close())


def header(path: Path) -> tuple[int, int, str]:
    """Return application id, user version and journal mode of a file."""
    with closing(sqlite3.connect(path)) as other:
        names = ("application_id", "user_version", "journal_mode")
        first, second, third = (other.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
    return first, second, third


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    """A file of another kind is named, and left as it was."""
    path.write_text("dear diary, " * 100)
    assert "no SQLite database" in refusal(path)
    assert path.read_text() == "dear diary, " * 100


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """A file in a folder that is not there cannot be made, and the error names the folder."""
    assert f"no folder {tmp_path / 'nowhere'}" in refusal(tmp_path / "nowhere" / "qcore.db")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """A path that names a folder is refused as such."""
    assert "it is a folder" in refusal(tmp_path)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that another user may look into."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """A user whom permissions bind; nothing binds root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def read_only(public: Path) -> Path:
    """A database with a task in it that may only be read, in a folder of the same kind."""
    path = public / "qcore.db"
    broker = broker_at(path)
    run_inline(broker.enqueue([a_task()], now=NOW))
    run_inline(broker.close())
    path.chmod(0o444)
    public.chmod(0o555)
    return path


@pytest.mark.usefixtures("unprivileged")
def test_a_read_only_file_is_refused(read_only: Path) -> None:
    """A file that this user may not write to is named, with what to do."""
    assert "writ" in refusal(read_only)


@pytest.mark.usefixtures("read_only", "unprivileged")
def test_a_read_only_folder_is_refused(public: Path) -> None:
    """A file that cannot be made in its folder is named, and so is the folder."""
    assert f"write to the folder {public}" in refusal(public / "other.db")


async def test_a_full_disk_is_an_error_and_loses_nothing(path: Path) -> None:
    """What was acknowledged before the disk was full is there; what was not is refused whole."""

    def cramped(tx: Tx) -> None:
        prepare(tx)
        tx.execute("PRAGMA max_page_count = 60")

    link = AsyncSqliteLink(path)
    broker = SqliteBroker(link)
    link.on_connect(cramped)
    acknowledged: list[Admission] = []

    async def fill() -> None:
        while True:
            acknowledged.extend(await broker.enqueue(some_tasks(5, payload=PAGE), now=NOW))

    with pytest.raises(BrokerUnusable, match=r"qcore\.db.*disk is full"):
        await fill()
    stored = len(acknowledged)
    assert await broker.count() == {"default": {State.PENDING: stored}}
    link.on_connect(prepare)
    await broker.close()
    assert isinstance((await broker.enqueue([a_task()], now=NOW))[0], Enqueued)
    assert await broker.count() == {"default": {State.PENDING: stored + 1}}
    await broker.close()


def test_many_may_open_a_new_file_at_once(path: Path) -> None:
    """Those who meet at a new file make its tables once, and all of them can use it."""
    brokers = [broker_at(path, timeout=30) for _ in range(8)]
    start = Barrier(len(brokers))

    def enqueue(broker: SqliteBroker) -> None:
        start.wait()
        run_inline(broker.enqueue([a_task()], now=NOW))

    with ThreadPoolExecutor(len(brokers)) as threads:
        list(threads.map(enqueue, brokers))
    assert run_inline(brokers[0].count()) == {"default": {State.PENDING: len(brokers)}}
    for broker in brokers:
        run_inline(broker.close())


class Overtaken:
    """A transaction in which, after so many looks, another broker opens the file if it can."""

    owns_file = True

    def __init__(self, tx: Tx, path: Path, looks: int) -> None:
        self._tx = tx
        self._path = path
        self._looks = looks
        self.executemany = tx.executemany

    def execute(self, sql: str, values: Values = ()) -> list[Row]:
        rows = self._tx.execute(sql, values)
        self._looks -= 1
        if self._looks == 0:
            with suppress(BrokerUnavailable):
                run_inline(broker_at(self._path).open())
        return rows


@pytest.mark.parametrize("looks", range(1, 7))
def test_who_looks_while_another_makes_the_tables_sees_all_or_none(path: Path, looks: int) -> None:
    """Half of what is ours is not taken for somebody else's."""
    link = BlockingSqliteLink(path)
    broker = SqliteBroker(link)
    link.on_connect(lambda tx: prepare(Overtaken(tx, path, looks)))
    run_inline(broker.enqueue([a_task()], now=NOW))
    assert run_inline(broker.count()) == {"default": {State.PENDING: 1}}
    run_inline(broker.close())


def test_a_file_that_stays_locked_is_unavailable(path: Path) -> None:
    """Who cannot write within the timeout is told to come again, and then can."""
    broker = broker_at(path)
    run_inline(broker.open())
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BrokerUnavailable, match=r"qcore\.db"):
            run_inline(broker.enqueue([a_task()], now=NOW))
    assert len(run_inline(broker.enqueue([a_task()], now=NOW))) == 1
    run_inline(broker.close())


def test_who_finds_nothing_to_do_waits_for_no_lock(path: Path) -> None:
    """An idle claim, an idle sweep and every question are answered while another writes."""
    broker = broker_at(path)
    run_inline(broker.enqueue([a_task(queue="other")], now=NOW))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert run_inline(broker.claim(a_demand(), now=NOW, until=NOW + LEASE)) == []
        assert run_inline(broker.sweep(["default", "other"], 10, now=NOW)).more is False
        assert run_inline(broker.next_due(["default"])) is None
        assert run_inline(broker.get("default", ["x"])) == [None]
        assert run_inline(broker.browse("default", State.PENDING, 5)).tasks == []
        assert run_inline(broker.count()) == {"other": {State.PENDING: 1}}
    run_inline(broker.close())


def test_a_file_is_made_at_its_first_use(path: Path) -> None:
    """Making a broker touches nothing; asking it the first thing opens it."""
    broker = broker_at(path)
    assert not path.exists()
    assert run_inline(broker.count()) == {}
    assert path.exists()
    run_inline(broker.close())


@pytest.mark.parametrize("options", [{"synchronous": "off"}, {"timeout": -1.0}])
def test_an_option_out_of_its_range_is_refused(path: Path, options: dict[str, object]) -> None:
    """A setting that SQLite would take for something else names itself."""
    (name,) = options
    with pytest.raises(InvalidOption, match=name):
        AsyncSqliteLink(path, **options)  # type: ignore[arg-type]


def test_what_is_in_memory_is_neither_shared_nor_durable() -> None:
    """Without a file there is nothing to share, and nothing that lasts."""
    capabilities = SqliteBroker(AsyncSqliteLink(":memory:")).capabilities
    assert capabilities.isdisjoint({Capability.SHARED, Capability.DURABLE})
