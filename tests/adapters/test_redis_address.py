import asyncio
import os
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from qcore import InvalidOption
from qcore.adapters.links.redis.address import Address, HostPort
from qcore.adapters.links.redis.async_connection import AsyncSocketConnection
from qcore.adapters.links.redis.connection_base import (
    ConnectionSettings,
    SyncConnection,
    TlsSettings,
)
from qcore.adapters.links.redis.resp import encode
from qcore.adapters.links.redis.sync_connection import sync_connection
from qcore.adapters.links.redis.tls import client_context
from qcore.adapters.links.redis.url import parse
from tests.servers.binaries import SERVERS, Binary
from tests.servers.redis import RedisServer

SECRET = "s3cr3t"
MARKS = st.text("/?#@:&=,%[]1a \u00df", max_size=4)


def differing(url: str) -> dict[str, Any]:
    """Return what a URL says that one of a server alone does not."""
    usual, said = parse("redis://db"), parse(url)
    names = [field for field in Address.__slots__ if not field.startswith("__")]
    return {
        name: getattr(said, name) for name in names if getattr(said, name) != getattr(usual, name)
    }


@pytest.mark.parametrize(
    ("url", "said"),
    [
        pytest.param("redis://db", {}, id="a host alone"),
        pytest.param("redis://db:6379/0", {}, id="what is usual, said"),
        pytest.param("redis://db/", {}, id="a slash, and no number"),
        pytest.param("REDIS://db", {}, id="in capitals"),
        pytest.param("redis://db:7000/3", {"hosts": (("db", 7000),), "db": 3}, id="another"),
        pytest.param("redis://[::1]", {"hosts": (("::1", 6379),)}, id="IPv6"),
        pytest.param("redis://[::1]:7000", {"hosts": (("::1", 7000),)}, id="IPv6 and a port"),
        pytest.param("redis://ann:s3cr3t@db", {"username": "ann", "password": SECRET}, id="a user"),
        pytest.param("redis://:s3cr3t@db", {"password": SECRET}, id="a password alone"),
        pytest.param("redis://ann@db", {"username": "ann"}, id="a user alone"),
        pytest.param(
            "redis://a%3An:%2F%3F%23%40%25%C3%9F%2B+@db",
            {"username": "a:n", "password": "/?#@%\u00df++"},
            id="what URLs escape",
        ),
        pytest.param("rediss://db", {"scheme": "rediss", "tls": True}, id="TLS"),
        pytest.param("valkey://db", {"scheme": "valkey"}, id="Valkey"),
        pytest.param("valkeys://db", {"scheme": "valkeys", "tls": True}, id="Valkey, TLS"),
        pytest.param(
            "redis+sentinel://one,two:7000,[::1]/mine",
            {
                "scheme": "redis+sentinel",
                "kind": "sentinel",
                "hosts": (("one", 26379), ("two", 7000), ("::1", 26379)),
                "master": "mine",
            },
            id="Sentinels",
        ),
        pytest.param(
            "valkeys+sentinel://ann:s3cr3t@one/my%20own/2"
            "?sentinel_user=bob&sentinel_password=a%26b",
            {
                "scheme": "valkeys+sentinel",
                "kind": "sentinel",
                "tls": True,
                "hosts": (("one", 26379),),
                "username": "ann",
                "password": SECRET,
                "master": "my own",
                "db": 2,
                "sentinel_user": "bob",
                "sentinel_password": "a&b",
            },
            id="Sentinels with everything",
        ),
        pytest.param(
            "rediss+cluster://ann:s3cr3t@one,two:7000",
            {
                "scheme": "rediss+cluster",
                "kind": "cluster",
                "tls": True,
                "hosts": (("one", 6379), ("two", 7000)),
                "username": "ann",
                "password": SECRET,
            },
            id="a cluster",
        ),
        pytest.param(
            "redis+cluster://one/0",
            {"scheme": "redis+cluster", "kind": "cluster", "hosts": (("one", 6379),)},
            id="a cluster's only database",
        ),
        pytest.param(
            "redis+unix://ann:s3cr3t@/run/my%20redis@1.sock?db=4",
            {
                "scheme": "redis+unix",
                "kind": "unix",
                "hosts": (),
                "path": "/run/my redis@1.sock",
                "db": 4,
                "username": "ann",
                "password": SECRET,
            },
            id="a socket",
        ),
        pytest.param(
            "redis://db?namespace=shop:eu&timeout=2.5&replicas=2&fsync=local&replica_timeout=0.5"
            "&name=web-1",
            {
                "namespace": "shop:eu",
                "timeout": 2.5,
                "replicas": 2,
                "fsync": (1, 0),
                "replica_timeout": 0.5,
                "name": "web-1",
            },
            id="options",
        ),
        pytest.param("redis://db?fsync=2", {"fsync": (1, 2)}, id="disks of replicas"),
        pytest.param("redis://db?fsync=no&replicas=0", {}, id="options that change nothing"),
        pytest.param(
            "rediss://db?ca=%2Fetc%2Fca.pem&cert=own.pem&key=own.key&verify=none",
            {
                "scheme": "rediss",
                "tls": True,
                "ca": "/etc/ca.pem",
                "cert": "own.pem",
                "key": "own.key",
                "verify": False,
            },
            id="options of TLS",
        ),
        pytest.param(
            "rediss://db?verify=full", {"scheme": "rediss", "tls": True}, id="TLS as it is"
        ),
    ],
)
def test_a_url_says_where_redis_is(url: str, said: dict[str, Any]) -> None:
    """What it says is in the address, and everything else is as usual."""
    assert differing(url) == said


@pytest.mark.parametrize(
    ("url", "message"),
    [
        pytest.param("mongodb://db", "'mongodb://db' names no Redis: expected one of redis://, "),
        pytest.param("redis:db", "names no Redis: expected one of redis://, "),
        pytest.param(
            "redis://",
            r"'redis://' has an empty host: expected redis://\[user:password@\]host",
        ),
        pytest.param("redis:///0", "'redis:///0' has an empty host"),
        pytest.param("redis://:7000", "has an empty host"),
        pytest.param("redis+cluster://one,,two", "'redis.cluster://one,,two' has an empty host"),
        pytest.param("redis+sentinel://one,/mine", "has an empty host"),
        pytest.param("redis://db:port/0", "'redis://db:…' has a port that is no number from 1 to"),
        pytest.param("redis://db:0", "has a port that is no number from 1 to 65535: expected"),
        pytest.param(f"redis://db:{'9' * 5000}", "has a port that is no number", id="too long"),
        pytest.param("redis://db:65536", "has a port that is no number"),
        pytest.param("redis://db:", "has a port that is no number"),
        pytest.param("redis://db:\u0661", "has a port that is no number"),
        pytest.param("redis://1::2", "no name and no address .one of IPv6 is in brackets"),
        pytest.param("redis://[db]", "no name and no address"),
        pytest.param("redis://[::1", "no name and no address"),
        pytest.param("redis://[::1]7000", "no name and no address"),
        pytest.param("redis://a..b", "no name and no address"),
        pytest.param("redis://a b", "no name and no address"),
        pytest.param("redis://one,two", "has several hosts, which only redis.sentinel and"),
        pytest.param("redis://db/one", "has the database 'one', which is no number: expected"),
        pytest.param("redis://db/-1", "has the database '-1', which is no number"),
        pytest.param("redis://db/1/2", "has the database '1/2', which is no number"),
        pytest.param("redis://db#1", "'redis://db#1' has a '#'.*percent-encode"),
        pytest.param("redis+sentinel://one", "does not name the master.*/master-name"),
        pytest.param("redis+sentinel://one//1", "does not name the master"),
        pytest.param("redis+sentinel://one/mine/x", "has the database 'x', which is no number"),
        pytest.param("redis+cluster://one/1", "names a database, of which a cluster has only"),
        pytest.param("redis+unix://", "names no socket: expected redis.unix://"),
        pytest.param("redis+unix:///", "names no socket"),
        pytest.param("redis+unix://run/redis.sock", "'redis.unix://run/redis.sock' names no sock"),
        pytest.param("redis+unix:///a%00b", "names no socket"),
        pytest.param("redis://%ff@db", "'redis://%ff@db' has a user or password that is not perc"),
        pytest.param("redis://db?time=1", "redis:// has no option 'time': expected namespace, ti"),
        pytest.param("redis://db?db=1", "redis:// has no option 'db'"),
        pytest.param("redis://db?ca=ca.pem", "redis:// has no option 'ca'"),
        pytest.param("redis://db?sentinel_user=ann", "redis:// has no option 'sentinel_user'"),
        pytest.param("redis+unix:///a?db=x", "db='x' of redis.unix://: expected a whole number"),
        pytest.param("redis://db?timeout=1&timeout=1", "timeout of redis:// is given twice"),
        pytest.param("redis://db?name=%ff", "options of redis:// are not percent-encoded"),
    ],
)
def test_a_url_that_is_wrong_is_refused(url: str, message: str) -> None:
    """The error shows the URL, what is wrong with it, and what would be right."""
    with pytest.raises(InvalidOption, match=message):
        parse(url)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        *(
            (f"{name}={value}", rf"{name}='{value}' of rediss://: expected seconds, more than 0")
            for name in ("timeout", "replica_timeout")
            for value in ("0", "-1", "nan", "inf", "1e9", "soon", "")
        ),
        *(
            (f"replicas={value}", "expected a whole number from 0")
            for value in ("-1", "1.5", "", "two", "1_0", "9999999999")
        ),
        *(
            (f"fsync={value}", "expected no, local, or a number of replicas from 1")
            for value in ("0", "-1", "", "yes", "always")
        ),
        *(
            (f"namespace={value}", "expected 1 to 128 characters, no braces, blanks or control")
            for value in ("", "a b", "{a", "a}", "a%00", "a%0A", "a" * 129)
        ),
        *(
            (f"name={value}", "expected 1 to 128 printable ASCII characters without blanks")
            for value in ("", "a b", "%C3%9F", "a" * 129)
        ),
        ("verify=no", "verify='no' of rediss://: expected full or none"),
        ("ca=", "expected the path of a file"),
        ("ca=a%00b", "expected the path of a file"),
        ("key=own.key", "the option key of rediss:// has no cert beside it"),
        (
            "replicas=1&timeout=1",
            "replica_timeout=1 of rediss:// is not shorter than half of timeout=1",
        ),
        (
            "fsync=local&timeout=0.5",
            "replica_timeout=1 of rediss:// is not shorter than half of timeout=0",
        ),
    ],
)
def test_an_option_out_of_its_range_is_refused(option: str, message: str) -> None:
    """The error names the option, its value, and what would be right."""
    with pytest.raises(InvalidOption, match=message):
        parse(f"rediss://db?{option}")


@given(user=st.sampled_from(["", "ann"]), before=MARKS, after=MARKS, tail=MARKS)
def test_no_error_repeats_a_password(user: str, before: str, after: str, tail: str) -> None:
    """However little of the URL can be read, and whatever marks are in the password."""
    url = f"redis://{user}:{before}{SECRET}{after}@db:6379/0{tail}"
    found = parsed(url)
    if isinstance(found, InvalidOption):
        cause = found.__context__ or found
        assert SECRET not in f"{found}{found!r}{cause}{vars(cause)}{cause.args}"
    else:
        assert found.username == (user or None)
        assert SECRET in str(found.password)
        assert SECRET not in f"{found}{found!r}{found.shown}"


def parsed(url: str) -> Address | InvalidOption:
    """Return what a URL says, or what is wrong with it."""
    try:
        return parse(url)
    except InvalidOption as error:
        return error


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://db", "redis://db:6379/0"),
        ("valkeys://ann:s3cr3t@[::1]:7000/2?timeout=1", "valkeys://ann@[::1]:7000/2"),
        (
            "redis+sentinel://ann:s3cr3t@one,two:7000/mine/2?sentinel_password=s3cr3t",
            "redis+sentinel://ann@one:26379,two:7000/mine/2",
        ),
        ("redis+cluster://:s3cr3t@one,two", "redis+cluster://one:6379,two:6379"),
        ("redis+unix://:s3cr3t@/run/redis.sock", "redis+unix:///run/redis.sock"),
        ("redis+unix:///run/redis.sock?db=1", "redis+unix:///run/redis.sock?db=1"),
    ],
)
def test_an_address_can_be_shown(url: str, shown: str) -> None:
    """User, hosts, ports and database, and no password; nor is there one in its `repr`."""
    assert parse(url).shown == shown
    assert SECRET not in repr(parse(url))


def test_a_password_that_was_quoted_is_read_back() -> None:
    """What `quote` and `urlencode` make of a text, the address has as it was."""
    text = "a b/c?d#e@f:g%h+i&j=k\u00df"
    options = urlencode({"sentinel_password": text})
    address = parse(
        f"redis+sentinel://{quote(text, safe='')}:{quote(text, safe='')}@one/x?{options}"
    )
    assert {address.username, address.password, address.sentinel_password} == {text}


def test_a_client_has_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells host and process, in letters that Redis takes, and is not too long."""
    monkeypatch.setattr("socket.gethostname", lambda: "b\u00fcro pc" + "x" * 99)
    name = parse("redis://db").client_name
    assert name == f"qcore-b-ro-pc{'x' * 57}-{os.getpid()}"
    assert parse("redis://db?name=web-1").client_name == "web-1"


def made(address: Address, *, blocking: bool, to: HostPort | None = None) -> Any:
    """Return a connection, not yet connected."""
    settings = address.connection_settings(to)
    return sync_connection(settings) if blocking else AsyncSocketConnection(settings)


def test_a_connection_is_made_as_the_address_says() -> None:
    """Its settings have what the URL says, half of the timeout for each of two attempts."""
    url = "rediss://ann:s3cr3t@db:7000/2?timeout=3&name=web-1"
    settings = parse(url).connection_settings()
    assert (settings.host, settings.port, settings.path) == ("db", 7000, None)
    assert (settings.username, settings.password, settings.db) == ("ann", SECRET, 2)
    assert (settings.timeout, settings.client_name) == (1.5, "web-1")
    assert settings.tls == TlsSettings()
    assert SECRET not in repr(settings)


def test_redis_py_makes_the_connection_that_the_settings_say() -> None:
    """Its class takes them all, and has what they say."""
    connection = made(parse("rediss://ann:s3cr3t@db:7000/2?timeout=3&name=web-1"), blocking=True)
    assert (connection.host, connection.port, connection.db) == ("db", 7000, 2)
    assert (connection.username, connection.password) == ("ann", SECRET)
    assert connection.socket_timeout == connection.socket_connect_timeout == 1.5
    assert connection.socket_keepalive
    assert connection.client_name == "web-1"
    assert connection.protocol == 2


def test_a_setting_that_a_connection_does_not_know_is_refused() -> None:
    """Nothing that somebody asks for is ignored in silence."""
    settings: Any = ConnectionSettings
    with pytest.raises(TypeError, match="unexpected keyword argument 'read_from'"):
        settings(host="db", port=6379, read_from="replica")


def test_nothing_is_sent_but_what_was_asked_for() -> None:
    """No command is repeated, no health is checked, no maintenance is announced."""
    connection = made(parse("rediss://db"), blocking=True)
    assert connection.retry.get_retries() == 0
    assert connection.health_check_interval == 0
    assert not connection.maint_notifications_config.enabled


@pytest.mark.parametrize(
    ("url", "blocking", "kind"),
    [
        ("redis://db", True, redis.Connection),
        ("redis://db", False, AsyncSocketConnection),
        ("rediss://db", True, redis.SSLConnection),
        ("rediss://db", False, AsyncSocketConnection),
        ("redis+unix:///run/redis.sock", True, redis.UnixDomainSocketConnection),
        ("redis+unix:///run/redis.sock", False, AsyncSocketConnection),
    ],
)
def test_a_connection_is_of_the_kind_that_the_url_names(
    url: str, kind: type[object], *, blocking: bool
) -> None:
    """Plain, over TLS, or over a socket; one that blocks or one that awaits."""
    assert type(made(parse(url), blocking=blocking)) is kind


def test_a_socket_is_named_by_its_path() -> None:
    """Neither host nor port."""
    settings = parse("redis+unix:///run/redis.sock?db=3").connection_settings()
    assert (settings.path, settings.host, settings.port) == ("/run/redis.sock", "", 0)
    assert made(parse("redis+unix:///run/redis.sock?db=3"), blocking=True).path == settings.path


@pytest.mark.parametrize("url", ["redis+sentinel://one/mine/2", "redis+cluster://one"])
def test_who_serves_is_for_others_to_say(url: str) -> None:
    """The hosts of a URL are not those that have the tasks: a caller who knows names it."""
    address = parse(url)
    with pytest.raises(ValueError, match="not the server"):
        address.connection_settings()
    settings = address.connection_settings(("two", 7000))
    assert (settings.host, settings.port) == ("two", 7000)


def test_a_sentinel_has_a_user_of_its_own() -> None:
    """The server's password is not told to Sentinels, and they have no databases."""
    address = parse("redis+sentinel://ann:a@one/mine/2?sentinel_user=bob&sentinel_password=b")
    settings = address.sentinel_settings(("one", 26379))
    assert (settings.host, settings.port, settings.db) == ("one", 26379, 0)
    assert (settings.username, settings.password) == ("bob", "b")


@pytest.mark.parametrize(("verify", "mode"), [("full", ssl.CERT_REQUIRED), ("none", ssl.CERT_NONE)])
def test_certificates_are_checked_unless_told_otherwise(verify: str, mode: ssl.VerifyMode) -> None:
    """With the certificate its name is checked too, or neither."""
    address = parse(f"rediss://db?verify={verify}")
    connection = made(address, blocking=True)
    assert connection.cert_reqs is mode
    assert connection.check_hostname is (verify == "full")
    context = client_context(address.connection_settings().tls or TlsSettings())
    assert context.verify_mode is mode
    assert context.check_hostname is (verify == "full")


@pytest.mark.parametrize("option", ["ca={}/missing.pem", "cert={}/missing.pem", "ca={}/no.pem"])
def test_a_file_for_tls_that_is_none_is_named(tmp_path: Path, option: str) -> None:
    """Before anything is connected, as no server is to blame."""
    (tmp_path / "no.pem").write_text("Dear Sir or Madam,")
    address = parse(f"rediss://ann:s3cr3t@db?{option.format(tmp_path)}")
    with pytest.raises(InvalidOption, match=rf"rediss://ann@db:6379/0.*{tmp_path}") as refused:
        address.connection_settings()
    assert SECRET not in str(refused.value)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="nothing here makes certificates")
def test_a_key_with_a_password_is_refused(tmp_path: Path) -> None:
    """Nobody sits at the terminal at which OpenSSL would ask for it."""
    make = "openssl req -x509 -newkey rsa:2048 -subj /CN=db -keyout key.pem -out cert.pem -passout"
    subprocess.run([*make.split(), "pass:s3cr3t"], cwd=tmp_path, check=True, capture_output=True)
    address = parse(f"rediss://db?cert={tmp_path}/cert.pem&key={tmp_path}/key.pem")
    with pytest.raises(InvalidOption, match=r"expected PEM files, and a key of that certificate"):
        address.connection_settings()


@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize("binary", SERVERS, ids=str)
def test_a_server_knows_who_is_connected(binary: Binary, *, blocking: bool) -> None:
    """The client's name is listed; a server before 7.2, which knows no libraries, does not mind."""
    with RedisServer(binary) as server:
        connection = made(parse(f"{server.url}?name=web-1"), blocking=blocking)
        said = ask(connection) if blocking else asyncio.run(ask_awaiting(connection))
    assert b" name=web-1 " in said


@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize("binary", SERVERS, ids=str)
def test_a_server_is_reached_by_its_socket(
    binary: Binary, tmp_path: Path, *, blocking: bool
) -> None:
    """Without a network."""
    path = tmp_path / "s"
    with RedisServer(binary, f"unixsocket {path}"):
        connection = made(parse(f"redis+unix://{path}?db=2"), blocking=blocking)
        said = ask(connection) if blocking else asyncio.run(ask_awaiting(connection))
        assert b" db=2 " in said


def test_what_a_server_is_told_of_the_driver_is_made_once() -> None:
    """To make it reads the metadata of distributions, which takes longer than to connect."""
    url = "redis://localhost"
    settings = [parse(url).connection_settings(), parse(url).connection_settings()]

    assert settings[0].driver is settings[1].driver is not None


def ask(connection: SyncConnection) -> bytes:
    """Return what the server lists of its clients."""
    try:
        connection.connect()
        connection.send_packed_command(encode([("CLIENT", "LIST")]), check_health=False)
        return bytes(connection.read_response())
    finally:
        connection.disconnect()


async def ask_awaiting(connection: AsyncSocketConnection) -> bytes:
    """Return the same."""
    try:
        await connection.connect()
        await connection.send_packed_command(encode([("CLIENT", "LIST")]), check_health=False)
        return bytes(await connection.read_response())
    finally:
        await connection.disconnect(nowait=False)
