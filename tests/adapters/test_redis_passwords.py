from collections.abc import Iterator
from pathlib import Path

import pytest

from qcore import InvalidOption, Qcore, connect
from qcore.app.client.inline import run_inline
from qcore.errors import BrokerUnusable
from tests.servers.binaries import SERVERS
from tests.servers.redis import RedisServer

SECRET = "s3cr3t ß/#"


@pytest.fixture(scope="module")
def locked() -> Iterator[RedisServer]:
    """Start a server with a password."""
    with RedisServer(SERVERS[0], f'requirepass "{SECRET}"') as server:
        yield server


def url_with(server: RedisServer, option: str) -> str:
    """Return the URL of a server with an option."""
    return f"redis://127.0.0.1:{server.port}/0?{option}"


@pytest.mark.parametrize("end", ["", "\n", "\r\n"], ids=repr)
async def test_a_file_holds_the_password(locked: RedisServer, tmp_path: Path, end: str) -> None:
    """An editor's line end is no part of it; code that awaits and code that blocks read it."""
    file = tmp_path / "secret"
    file.write_bytes(f"{SECRET}{end}".encode())
    async with Qcore(url_with(locked, f"password_file={file}")) as q:
        assert await q.inspector.counts() == {}
        assert run_inline(q.broker.blocking().count()) == {}


async def test_a_variable_holds_the_password(
    locked: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the whole value."""
    monkeypatch.setenv("SHOP_REDIS_PASSWORD", SECRET)
    async with Qcore(url_with(locked, "password_env=SHOP_REDIS_PASSWORD")) as q:
        assert await q.inspector.counts() == {}


async def test_a_password_that_was_rotated_is_read_for_the_next_connection(
    locked: RedisServer, tmp_path: Path
) -> None:
    """A worker need not be started again."""
    file = tmp_path / "secret"
    file.write_text("yesterday's")
    q = Qcore(url_with(locked, f"password_file={file}"))
    with pytest.raises(BrokerUnusable):
        await q.open()
    file.write_text(SECRET)
    async with q:
        assert await q.inspector.counts() == {}


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("password_file=/nowhere/secret", "password_file='/nowhere/secret': expected a file with"),
        ("password_env=NO_SUCH_VARIABLE", "the variable NO_SUCH_VARIABLE is not set"),
    ],
)
async def test_a_password_that_is_not_there_is_refused_when_the_store_is_opened(
    option: str, said: str
) -> None:
    """The error names the option, and the server that is meant; nothing was sent to it."""
    with pytest.raises(InvalidOption, match=said) as refused:
        async with Qcore(f"redis://127.0.0.1:1/0?{option}"):
            pass
    assert "redis://127.0.0.1:1/0 cannot be reached" in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"], ids=["empty", "blank", "no text"])
async def test_a_file_without_a_password_is_refused(tmp_path: Path, content: bytes) -> None:
    """A secret that was not mounted is no empty password; what is no text is not repeated."""
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(InvalidOption, match=f"password_file='{file}'"):
        async with Qcore(f"redis://127.0.0.1:1/0?password_file={file}"):
            pass


@pytest.mark.parametrize(
    ("url", "several"),
    [
        ("redis://:one@db/0?password_file=/run/secret", "a password and password_file"),
        ("redis://db/0?password_env=A&password_file=/b", "password_file and password_env"),
        (
            "redis+sentinel://one/main?sentinel_password=a&sentinel_password_env=B",
            "sentinel_password and sentinel_password_env",
        ),
    ],
)
def test_a_password_has_one_place(url: str, several: str) -> None:
    """Nobody need guess which of two is used."""
    with pytest.raises(InvalidOption, match=f"has {several}: expected one of them"):
        connect(url)


def test_a_variable_has_a_name() -> None:
    """A password that was put there by mistake is not looked up."""
    with pytest.raises(InvalidOption, match="expected the name of an environment variable"):
        connect("redis://db/0?password_env=s3cr3t-pass")
