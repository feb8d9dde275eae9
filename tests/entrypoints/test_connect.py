import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from qcore import BrokerUnavailable, InvalidOption, Qcore, connect
from qcore.adapters.links.redis_schemes import SCHEMES
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.redis import RedisBroker
from qcore.adapters.sqlite import SqliteBroker
from qcore.errors import BrokerUnusable
from qcore.ports import Capability


def test_memory_is_a_memory_broker() -> None:
    """`memory://` keeps tasks in this process, each call in a store of its own."""
    one, other = connect("memory://"), connect("memory://")
    assert isinstance(one, MemoryBroker)
    assert one is not other


def test_sqlite_is_a_broker_of_the_file_named(tmp_path: Path) -> None:
    """Four slashes begin an absolute path; nothing is opened by connecting."""
    file = tmp_path / "tasks.db"
    broker = connect(f"sqlite:///{file}")
    assert isinstance(broker, SqliteBroker)
    assert Capability.SHARED in broker.capabilities
    assert not file.exists()


async def test_three_slashes_begin_a_path_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path is one from the working folder."""
    monkeypatch.chdir(tmp_path)
    async with Qcore("sqlite:///tasks.db"):
        assert (tmp_path / "tasks.db").exists()


async def test_a_path_may_hold_what_urls_escape(tmp_path: Path) -> None:
    """%20 is a blank and %3F a question mark, as in every URL."""
    async with Qcore(f"sqlite:///{tmp_path}/my%20tasks%3F.db"):
        assert (tmp_path / "my tasks?.db").exists()


@pytest.mark.parametrize(
    "options",
    [
        "synchronous=normal",
        "synchronous=full",
        "timeout=2.5",
        "synchronous=normal&timeout=1",
    ],
)
async def test_sqlite_takes_its_options(tmp_path: Path, options: str) -> None:
    """Every option that the URL may name is one that the store understands."""
    async with Qcore(f"sqlite:///{tmp_path}/tasks.db?{options}") as q:
        assert await q.inspector.counts() == {}


REDIS = {
    "": "ann:secret@localhost:6379/0",
    "+sentinel": "ann:secret@one:26379,two:26379/mymaster/0",
    "+cluster": "ann:secret@one:7000,two:7000",
    "+unix": "/run/redis.sock?db=1",
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_of_redis_is_a_redis_broker(scheme: str) -> None:
    """A server, Sentinels or a cluster, over TLS or not; nothing is opened by connecting."""
    mark = scheme.find("+")
    broker = connect(f"{scheme}://{REDIS[scheme[mark:] if mark > 0 else '']}")
    assert isinstance(broker, RedisBroker)
    assert {Capability.SHARED, Capability.DURABLE} <= broker.capabilities
    assert broker.link.is_multi_slot is not scheme.endswith("+cluster")
    assert broker.link.shown.startswith(f"{scheme}://")
    assert "secret" not in broker.link.shown


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://localhost/one", "'redis://localhost/one' has the database 'one', which is no"),
        ("redis://one,two", "has several hosts"),
        ("redis+sentinel://one", "does not name the master"),
        ("redis+cluster://one/1", "of which a cluster has only number 0"),
        ("redis://localhost#1", "percent-encode"),
        ("redis:localhost", "'redis:…' names no Redis"),
        ("redis://localhost?namespace=", "namespace='' of redis://: expected 1 to 128"),
    ],
)
def test_a_redis_url_that_is_wrong_is_refused(url: str, message: str) -> None:
    """The error names the part that is wrong, and says what would be right."""
    with pytest.raises(InvalidOption, match=message):
        connect(url)


async def test_a_redis_that_is_not_there_is_named() -> None:
    """When it is opened; its password is not in the error, nor in what the error came of."""
    broker = connect("redis://ann:secret@127.0.0.1:1/0?timeout=0.1")
    with pytest.raises(BrokerUnavailable, match=r"redis://ann@127\.0\.0\.1:1/0: nothing") as lost:
        await broker.open()
    assert "secret" not in f"{lost.value.__cause__!r}{lost.value.__cause__}"


def test_a_driver_is_imported_when_a_url_asks_for_it() -> None:
    """Whoever keeps tasks elsewhere does not wait for redis-py."""
    program = "import sys; from qcore import connect; connect('memory://'); print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "qcore.adapters.memory" in modules
    assert not {"redis", "redis.asyncio"} & {*modules}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        pytest.param(
            "mongodb://localhost/0",
            r"'mongodb://localhost/0' has the scheme 'mongodb': expected one of memory://, "
            r"sqlite://, redis://, rediss://, redis\+sentinel://, .*valkey\+unix://, .*; another "
            r"broker's distribution registers",
            id="a scheme that nobody knows",
        ),
        pytest.param(
            "postgresql+psycopg://app:secret@db/shop",
            r"as SQLAlchemy's do: expected postgresql://, without \+psycopg$",
            id="a scheme of SQLAlchemy",
        ),
        pytest.param("qcore.db", r"has the scheme '': expected one of", id="no scheme"),
        pytest.param("", r"has the scheme '': expected one of", id="no URL"),
        pytest.param(
            "memory://localhost",
            r"memory://localhost: expected memory:// and nothing after it",
            id="memory on a host",
        ),
        pytest.param(
            "memory:///tasks", r"expected memory:// and nothing after it", id="memory in a file"
        ),
        pytest.param(
            "memory://?size=3",
            r"memory:// has no option 'size': expected none at all",
            id="memory with an option",
        ),
        pytest.param(
            "sqlite:///a#b.db", r"'sqlite:///a#b.db'.*'#'.*write %23", id="half a name: a fragment"
        ),
        pytest.param("sqlite:///a.db#", r"write %23", id="an empty fragment"),
        pytest.param("memory://[", r"memory:… cannot be read", id="half an address"),
        pytest.param("sqlite", r"has the scheme ''", id="a scheme alone"),
        pytest.param("sqlite://", r"names no file: expected sqlite:///relative.db", id="no file"),
        pytest.param("sqlite:///", r"names no file: expected sqlite:///relative.db", id="no name"),
        pytest.param(
            "sqlite://tasks.db",
            r"sqlite://tasks.db names no file: .*sqlite:////absolute/path.db",
            id="two slashes, and so a host",
        ),
        pytest.param(
            "sqlite://localhost/tasks.db", r"names no file: expected", id="a file on a host"
        ),
        pytest.param(
            "sqlite:///tasks.db?sync=off",
            r"has no option 'sync': expected synchronous, timeout",
            id="an option that nobody knows",
        ),
        pytest.param(
            "sqlite:///tasks.db?synchronous=off",
            r"synchronous='off'.*: expected full or normal",
            id="a word that is not among the choices",
        ),
        pytest.param(
            "sqlite:///tasks.db?timeout=soon",
            r"timeout='soon' of sqlite",
            id="no number",
        ),
        pytest.param("sqlite:///tasks.db?timeout=", r"timeout='' of sqlite", id="no value"),
        pytest.param("sqlite:///tasks.db?timeout=-1", r"timeout", id="less than nothing"),
        pytest.param("sqlite:///tasks.db?timeout=nan", r"timeout", id="not even a number"),
    ],
)
def test_a_url_that_is_wrong_is_refused(url: str, message: str) -> None:
    """The error names the part that is wrong, and says what would be right."""
    with pytest.raises(InvalidOption, match=message):
        connect(url)


def test_a_password_is_not_repeated_in_an_error() -> None:
    """Errors are logged, and logs are read by many."""
    with pytest.raises(InvalidOption, match="mongodb") as refused:
        connect("mongodb://ann:secret@localhost/0")
    assert "secret" not in str(refused.value)
    assert "ann" in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://ann:secret@localhost/a#b.db",
        "memory://ann:secret@[",
        "mongodb://ann:1/secret@localhost/0",
        "mongodb://ann:se#secret@localhost/0",
        "mongodb://ann:1?secret@localhost/0",
        "mongodb://ann:secret",
        "mongodb://localhost/0?password=secret",
        "ann:secret@localhost",
        "redis://ann:1?secret&x@localhost/0",
        "redis://ann:secret@/0",
        "redis://:%ff@secret@localhost:port",
    ],
)
def test_nor_is_it_repeated_where_the_url_cannot_be_read(url: str) -> None:
    """However little can be made of the URL."""
    with pytest.raises(InvalidOption) as refused:
        connect(url)
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert "secret" not in str(refused.value.__context__)


async def test_a_path_is_quoted_as_in_any_url(tmp_path: Path) -> None:
    """What `quote` makes of a name is read back, whatever the name."""
    file = tmp_path / "100% a#b?c.db"
    async with Qcore(f"sqlite:///{quote(str(file))}"):
        assert file.exists()


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The store cannot be opened, and the error says which folder to create."""
    with pytest.raises(BrokerUnusable, match=f"no folder {tmp_path}/missing"):
        await connect(f"sqlite:///{tmp_path}/missing/tasks.db").open()


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """What is there is not overwritten."""
    file = tmp_path / "letter.txt"
    file.write_text("Dear Sir or Madam, " * 100)
    with pytest.raises(BrokerUnusable, match=r"letter\.txt.* no SQLite database"):
        await connect(f"sqlite:///{file}").open()
    assert file.read_text().startswith("Dear Sir")


@pytest.mark.parametrize("wrong", [b"memory://", 5, Path("queue.db")])
def test_what_is_no_text_is_no_url(wrong: Any) -> None:
    """A path would be a file that no worker looks at."""
    with pytest.raises(InvalidOption, match=r"the URL is .*: expected text, such as 'sqlite:///"):
        Qcore(wrong)
