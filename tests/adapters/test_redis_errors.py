import errno
import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from redis.connection import DefaultParser
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    DataError,
    InvalidResponse,
    NoScriptError,
    ReadOnlyError,
    RedisError,
)
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import TimeoutError as TimedOut

from qcore import BrokerUnavailable
from qcore.adapters.links.redis.connection_base import ConnectFailed, connecting
from qcore.adapters.links.redis.errors import is_transient, mapped, must_leave
from qcore.errors import BrokerUnusable

SERVER = "redis://ann@db:6379/0"
CLUSTER = "redis+cluster://db:6379"
SHA = "0c76e1d8b833ecdd3d384592ac78df75e13664d4"
IN_6 = f"ERR Error running script (call to f_{SHA}): @user_script:1: @user_script: 1: "
IN_7 = f" script: {SHA}, on @user_script:1."
IN_VALKEY_9 = " script: on @user_script:1."
WRITE = "return redis.call('HSET', KEYS[1], 'a', '1')"


def answered(words: str) -> Exception:
    """Return what redis-py makes of an error that a server answers with."""
    error = DefaultParser.parse_error(words)
    assert isinstance(error, RedisError)
    return error


LATER = [
    ("LOADING Redis is loading the dataset in memory", "it is loading its data"),
    ("READONLY You can't write against a read only replica.", "it is a replica"),
    (f"READONLY You can't write against a read only replica.{IN_7}", "it is a replica"),
    (f"{IN_6}-READONLY You can't write against a read only replica.", "it is a replica"),
    ("@user_script: 1: -READONLY You can't write against a read only replica.", "is a replica"),
    ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "master"),
    ("OOM command not allowed when used memory > 'maxmemory'.", "server's maxmemory is reached: "),
    (f"{IN_6}-OOM command not allowed when used memory > 'maxmemory'.", "maxmemory is reached"),
    ("MISCONF Redis is configured to save RDB snapshots, but it's currently unable", "its disk"),
    (f"{IN_6}-MISCONF Redis is configured to save RDB snapshots, but it is curr", "its disk"),
    ("BUSY Redis is busy running a script. You can only call SCRIPT KILL", "SCRIPT KILL ends it"),
    ("NOREPLICAS Not enough good replicas to write.", "min-replicas-to-write"),
    (f"NOREPLICAS Not enough good replicas to write.{IN_7}", "min-replicas-to-write"),
    (f"{IN_6}-NOREPLICAS Not enough good replicas to write.", "min-replicas-to-write"),
    (
        "EXECABORT Transaction discarded because of: NOREPLICAS Not enough good replicas to write.",
        r"min-replicas-to-write .*\(NOREPLICAS Not enough good replicas to write\.\)",
    ),
    (
        "UNBLOCKED force unblock from blocking operation, instance state changed (master -> repl",
        "it has become a replica",
    ),
    ("REDIRECT 10.0.0.1:6379", "names another server"),
    ("NOGOODSLAVE No suitable replica to promote", "no replica fit to be promoted"),
    ("NOSCRIPT No matching script. Please use EVAL.", "lost the scripts"),
    ("ERR max number of clients reached", "maxclients"),
    (f"ERR Script killed by user with SCRIPT KILL...{IN_7}", "before it wrote anything"),
]

NEVER = [
    ("NOAUTH Authentication required.", "asks for a password: redis://user:password@host"),
    ("WRONGPASS invalid username-password pair or user is disabled.", "not take this user and pa"),
    ("ERR invalid password", "does not take this user and password"),
    (
        "ERR AUTH <password> called without any password configured for the default user.",
        "it asks for no password: leave it out",
    ),
    ("DENIED Redis is running in protected mode because protected mode is en", "protected mode,"),
    (
        "NOPERM this user has no permissions to run the 'client|setname' command",
        r"ACL SETUSER <user> \+client\|setname \(NOPERM",
    ),
    (
        "NOPERM this user has no permissions to run the 'script' command or its subcommand",
        r"ACL SETUSER <user> \+script \(NOPERM",
    ),
    (
        "NOPERM this user has no permissions to access one of the keys used as arguments",
        r"ACL SETUSER <user> ~qcore:\*",
    ),
    (
        "NOPERM this user has no permissions to access one of the channels used as arguments",
        r"ACL SETUSER <user> &qcore:\*",
    ),
    (f"{IN_6}The user executing the script can't run this command", r"\+@read \+@write \+publish"),
    (
        f"ERR The user executing the script can't access at least one of the keys{IN_7}",
        r"~qcore:\*",
    ),
    (f"ERR The user executing the script can't publish to the channel{IN_7}", r"&qcore:\*"),
    ("NOPERM User ann has no permissions to run the 'time' command", r"<user> \+time \(NOPERM"),
    ("NOPERM No permissions to access a key", r"ACL SETUSER <user> ~qcore:\*"),
    ("NOPERM No permissions to access a channel", r"ACL SETUSER <user> &qcore:\*"),
    ("NOPERM No permissions to access database", "ACL SETUSER <user> db=<number>"),
    (
        f"ERR ACL failure in script: User ann has no permissions to run the 'get' command{IN_7}",
        r"\+@read \+@write \+publish \(.*the 'get' command\)",
    ),
    (
        f"ERR ACL failure in script: User ann has no permissions to run the 'get' co{IN_VALKEY_9}",
        r"\+@read \+@write \+publish \(.*the 'get' co\)",
    ),
    (f"ERR ACL failure in script: No permissions to access a channel{IN_7}", r"&qcore:\*"),
    (f"ERR ACL failure in script: No permissions to access a key{IN_VALKEY_9}", r"~qcore:\*"),
    ("WRONGTYPE Operation against a key holding the wrong kind of value", "another namespace="),
    (
        f"ERR Error running script (call to f_{SHA}): @user_script:1: WRONGTYPE Operation against",
        "another namespace=",
    ),
    (
        "ERR user_script:66: attempt to index local 'member' (a nil value) script: f9, on @user_s",
        "somebody has edited it: `qcore doctor`",
    ),
    (
        "ERR Error running script (call to f_6): @user_script:9: ERR hash value is not an integer",
        "somebody has edited it: `qcore doctor`",
    ),
    (
        "ERR hash value is not an integer script: f9, on @user_script:1.",
        "somebody has edited it: `qcore doctor`",
    ),
    (
        "QCORE EDITED qcore:{mail}:meta sequence x",
        "somebody has edited it. Until HSET qcore:{mail}:meta sequence 1000000000000",
    ),
    (
        "QCORE UNMARKED qcore:{mail}:meta qcore:{mail}:tasks",
        "made the key qcore:{mail}:tasks: if qcore did, .* HSET qcore:{mail}:meta version 2 mends",
    ),
    ("QCORE NEWER 3", "written by a newer qcore: upgrade this one, .* format 3"),
    (
        "QCORE FOREIGN qcore:{mail}:tasks list",
        r"holds foreign data \(qcore:{mail}:tasks is a list\): choose another namespace=",
    ),
    ("QCORE WHAT", "as no Redis of version 6.2 or newer would"),
    ("QCORE", "as no Redis of version 6.2 or newer would"),
    ("ERR unknown command 'EVALSHA', with args beginning with: 'a'", r"redis\+sentinel://host:26"),
    ("ERR unknown command `TIME`, with args beginning with: ", r"redis\+sentinel://host:26379"),
    ("ERR unknown command 'WAITAOF', with args beginning with: '1'", "needs Redis 7.2 or newer"),
    ("ERR unknown command 'SENTINEL', with args beginning with: 'M'", "no Sentinel: use redis://"),
    ("ERR unknown command `LMOVE`, with args beginning with: `a`, ", "qcore needs Redis 6.2 or n"),
    (f"{IN_6}Unknown Redis command called from Lua script", "qcore needs Redis 6.2 or newer"),
    (f"ERR Unknown Redis command called from script{IN_7}", "qcore needs Redis 6.2 or newer"),
    ("ERR No such master with that name", "Sentinels know no master of that name"),
    ("ERR This instance has cluster support disabled", "it is no cluster: use redis://"),
    ("ERR SELECT is not allowed in cluster mode", r"node of a cluster: use redis\+cluster://"),
    ("CROSSSLOT Keys in request don't hash to the same slot", r"use redis\+cluster://"),
    ("ERR DB index is out of range", "no database of that number"),
    ("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.", "appendonly y"),
    (f"ERR user_script:1: boom{IN_7}", r"as no Redis of version 6.2 or newer would \(boom\)"),
]

MOVED = [
    ("MOVED 12182 10.0.0.1:7000", "has just moved this slot"),
    ("ASK 12182 10.0.0.1:7000", "is just moving this slot"),
    ("TRYAGAIN Multiple keys request during rehashing of slot", "is just moving this slot"),
    ("CLUSTERDOWN Hash slot not served", "does not serve this slot"),
]


@pytest.mark.parametrize(("words", "message"), LATER)
def test_what_passes_is_unavailable(words: str, message: str) -> None:
    """The same call may succeed later; it has done nothing, and so may be made again."""
    error = answered(words)
    told = mapped(error, SERVER)
    assert isinstance(told, BrokerUnavailable)
    assert str(told).startswith(f"{SERVER}: ")
    with pytest.raises(BrokerUnavailable, match=message):
        raise told
    assert is_transient(error)


@pytest.mark.parametrize(("words", "message"), NEVER)
def test_what_somebody_has_to_see_to_is_unusable(words: str, message: str) -> None:
    """The error says what to do, and the call is not made again."""
    error = answered(words)
    told = mapped(error, SERVER)
    assert isinstance(told, BrokerUnusable)
    assert str(told).startswith(f"cannot use {SERVER}: ")
    with pytest.raises(BrokerUnusable, match=message):
        raise told
    assert not is_transient(error)


LEFT = (
    "LOADING",
    "READONLY",
    "MASTERDOWN",
    "NOREPLICAS",
    "UNBLOCKED",
    "REDIRECT",
    "NOGOODSLAVE",
    "MISCONF",
    "BUSY",
)


@pytest.mark.parametrize("words", [words for words, _ in [*LATER, *NEVER]])
def test_a_server_is_left_that_says_it_is_not_the_one_to_ask(words: str) -> None:
    """Also where a script or a transaction met the error; any other error says nothing of that."""
    assert must_leave(answered(words), SERVER) is any(code in words for code in LEFT)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("MOVED 12182 10.0.0.1:7000", True),
        ("CLUSTERDOWN The cluster is down", True),
        ("ASK 12182 10.0.0.1:7000", False),
        ("TRYAGAIN Multiple keys request during rehashing of slot", False),
    ],
)
def test_a_node_of_a_cluster_is_left_if_a_slot_is_elsewhere_for_good(
    words: str, *, expected: bool
) -> None:
    """A slot that is just moving is waited for."""
    assert must_leave(answered(words), CLUSTER) is expected
    assert not must_leave(answered(words), SERVER)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Disconnected("gone"), True),
        (TimedOut("silent"), True),
        (TimeoutError("silent"), True),
        (ConnectFailed("refused"), True),
        (OSError("unreachable"), True),
        (DataError("no"), False),
        (ZeroDivisionError(), False),
    ],
    ids=repr,
)
def test_a_server_is_left_that_does_not_answer(error: Exception, *, expected: bool) -> None:
    """It may be that another has its name by now."""
    assert must_leave(error, SERVER) is expected


def test_a_server_that_ends_a_wait_has_become_a_replica() -> None:
    """WAIT is refused, or interrupted."""
    assert must_leave(answered("ERR WAIT cannot be used with replica instances. Please"), SERVER)


@pytest.mark.parametrize(("words", "message"), MOVED)
def test_a_slot_that_moves_is_asked_for_again(words: str, message: str) -> None:
    """In a cluster that passes by itself."""
    error = answered(words)
    with pytest.raises(BrokerUnavailable, match=message):
        raise mapped(error, CLUSTER)
    assert is_transient(error)
    assert is_transient(error, CLUSTER)


@pytest.mark.parametrize(("words", "message"), MOVED)
def test_a_slot_that_moves_betrays_a_cluster(words: str, message: str) -> None:
    """A URL of one server that leads to a node of a cluster is wrong, whatever the node says."""
    error = answered(words)
    assert message not in str(mapped(error, SERVER))
    with pytest.raises(BrokerUnusable, match=r"node of a cluster: use redis\+cluster://"):
        raise mapped(error, SERVER)
    assert not is_transient(error, SERVER)


def test_what_was_told_to_a_server_that_became_a_replica_may_have_been_done() -> None:
    """WAIT follows a write, and when it is refused the write was not."""
    error = answered("ERR WAIT cannot be used with replica instances. Please also note that since")
    assert isinstance(mapped(error, SERVER), BrokerUnavailable)


@pytest.mark.parametrize("words", ["NOAUTH Authentication required.", "WRONGPASS invalid user"])
def test_a_sentinel_has_a_password_of_its_own(words: str) -> None:
    """Where there are Sentinels, the error names the options that are for them too."""
    with pytest.raises(BrokerUnusable, match=r"user:password@, or by a Sentinel, .*_password="):
        raise mapped(answered(words), "redis+sentinel://one:26379/mine/0")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (BusyLoadingError("Redis is loading the dataset in memory"), "LOADING Redis is loading"),
        (ReadOnlyError("You can't write against a read only replica."), "it is a replica"),
        (NoScriptError("No matching script."), "lost the scripts"),
        (ClusterDownError("CLUSTERDOWN no slot is served"), r"\(CLUSTERDOWN no slot is served\)"),
    ],
)
def test_an_error_that_does_not_tell_its_code_is_known_by_its_class(
    error: Exception, message: str
) -> None:
    """So are those that a stand-in for the server raises."""
    with pytest.raises(BrokerUnavailable, match=message):
        raise mapped(error, CLUSTER)


def of_redis_py(kind: type[RedisError], cause: OSError | None = None) -> RedisError:
    """Return an error as redis-py raises it: in the handling of the system's, in its own words."""
    try:
        if cause is None:
            raise kind("in its own words")
        try:
            raise cause
        except OSError:
            raise kind("in its own words")  # noqa: B904  (as redis-py does)
    except RedisError as error:
        return error


def unconnected(error: Exception) -> ConnectFailed:
    """Return what an attempt to connect raises that ended so."""
    with pytest.raises(ConnectFailed) as raised, connecting():
        raise error
    return raised.value


def of_tls(reason: str, kind: type[ssl.SSLError] = ssl.SSLError) -> ssl.SSLError:
    """Return an error of TLS as OpenSSL has it: all of them have the number 1."""
    error = kind(1, f"[SSL: {reason}] (_ssl.c:1006)")
    error.reason = reason
    return error


both_makers = pytest.mark.parametrize(
    "made", [lambda error: error, partial(of_redis_py, Disconnected)], ids=["system", "redis-py"]
)
"""An error of a connection of ours, and one of redis-py's."""


@both_makers
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "nothing listens there"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "host name"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), "host name"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "is the address right"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "is the address right"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (OSError(errno.EADDRNOTAVAIL, "Cannot assign"), "no connection comes about"),
        (OSError("db has no address"), "no connection comes about"),
        (of_tls("UNEXPECTED_EOF_WHILE_READING", ssl.SSLEOFError), "no connection comes about"),
        (TimeoutError("timed out"), "did not answer in time"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "connection was lost"),
    ],
)
def test_what_found_no_connection_has_not_been_sent(
    made: Callable[[OSError], Exception], error: OSError, message: str
) -> None:
    """Its type and number tell why, whoever raised it and in whatever words."""
    failed = unconnected(made(error))
    with pytest.raises(BrokerUnavailable, match=message):
        raise mapped(failed, SERVER)
    assert is_transient(failed)


def test_a_handshake_that_is_not_answered_has_lost_its_connection() -> None:
    """The system has no error then, only redis-py."""
    failed = unconnected(of_redis_py(Disconnected))
    assert "the connection was lost" in str(mapped(failed, SERVER))
    failed = unconnected(of_redis_py(TimedOut))
    assert "did not answer in time" in str(mapped(failed, SERVER))


def test_an_error_that_was_being_handled_before_is_no_reason() -> None:
    """Whoever enqueues because a file is missing is told nothing of files by a lost connection."""
    try:
        Path("/no/such/file").read_bytes()
    except FileNotFoundError:
        failed = unconnected(Disconnected("in its own words"))
    assert "the connection was lost" in str(mapped(failed, SERVER))


@pytest.mark.parametrize(
    "reply",
    [
        "WRONGPASS invalid user",
        "NOPERM no permissions to run the 'select' command",
        "LOADING it is",
    ],
)
def test_a_handshake_that_is_refused_is_told_by_the_reply(reply: str) -> None:
    """It says more than that no connection came about."""
    error = answered(reply)
    with pytest.raises(type(error)) as raised, connecting():
        raise error
    assert raised.value is error


@both_makers
@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EPIPE, "Broken pipe"),
        OSError("Connection lost"),
        of_tls("UNEXPECTED_EOF_WHILE_READING", ssl.SSLEOFError),
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
    ],
)
def test_what_lost_its_connection_may_have_been_done(
    made: Callable[[OSError], Exception], error: OSError
) -> None:
    """Nobody knows: the answer may have been on its way."""
    with pytest.raises(BrokerUnavailable, match="the connection was lost"):
        raise mapped(made(error), SERVER)
    assert is_transient(made(error))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (of_redis_py(Disconnected), "the connection was lost"),
        (of_redis_py(TimedOut, TimeoutError("timed out")), "did not answer in time"),
        (of_redis_py(TimedOut), "did not answer in time"),
        (TimeoutError(), "did not answer in time"),
    ],
)
def test_what_was_not_answered_may_have_been_done(error: Exception, message: str) -> None:
    """The answer may come too late, or not at all."""
    with pytest.raises(BrokerUnavailable, match=message):
        raise mapped(error, SERVER)
    assert is_transient(error)


NOT_TRUSTED = of_tls("CERTIFICATE_VERIFY_FAILED", ssl.SSLCertVerificationError)


@pytest.mark.parametrize(
    ("error", "url", "message"),
    [
        (InvalidResponse('Protocol error, got "H" as reply type byte'), SERVER, "no Redis: is the"),
        (InvalidResponse('Protocol error, got "\\x15" as reply type byte'), SERVER, "use rediss:"),
        (unconnected(InvalidResponse('got "\\x15" as reply')), SERVER, "use rediss:"),
        (unconnected(NOT_TRUSTED), "rediss://db", "certificate is not trusted: .*ca="),
        (
            unconnected(of_redis_py(Disconnected, NOT_TRUSTED)),
            "rediss://db",
            "certificate is not trusted: .*ca=",
        ),
        (unconnected(of_tls("WRONG_VERSION_NUMBER")), "rediss://db", "use redis://"),
        (
            of_redis_py(Disconnected, of_tls("TLSV13_ALERT_CERTIFICATE_REQUIRED")),
            "rediss://db",
            "wants a certificate of yours, cert= and key=",
        ),
        (
            of_tls("TLSV1_ALERT_UNKNOWN_CA"),
            "rediss://db",
            "wants a certificate of yours, cert= and key=",
        ),
        (
            unconnected(FileNotFoundError(errno.ENOENT, "No such file or directory")),
            "rediss://db",
            "a file that ca=, cert= or key= names is gone",
        ),
        (
            unconnected(PermissionError(errno.EACCES, "Permission denied")),
            "redis+unix:///run/redis.sock",
            "change its permissions",
        ),
    ],
)
def test_a_way_that_leads_to_no_redis_is_unusable(error: Exception, url: str, message: str) -> None:
    """The error says what the URL should rather have."""
    with pytest.raises(BrokerUnusable, match=message):
        raise mapped(error, url)
    assert not is_transient(error, url)


def test_a_socket_that_is_missing_may_come() -> None:
    """A server makes it when it starts."""
    error = unconnected(FileNotFoundError(errno.ENOENT, "No such file or directory"))
    with pytest.raises(BrokerUnavailable, match="no such socket: is the server running"):
        raise mapped(error, "redis+unix:///run/redis.sock")


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        (SERVER, r"speaks TLS \(use rediss://\), or is in protected mode"),
        ("rediss://db", r"speaks no TLS \(use redis://\), or wants a certificate of yours"),
    ],
)
@pytest.mark.parametrize(
    "error",
    [
        of_redis_py(Disconnected),
        of_redis_py(TimedOut, TimeoutError("timed out")),
        unconnected(of_redis_py(Disconnected)),
        unconnected(TimeoutError("timed out")),
        unconnected(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")),
    ],
)
def test_the_first_connection_that_is_lost_may_have_a_wrong_url(
    error: Exception, url: str, hint: str
) -> None:
    """A server that is known loses connections for other reasons, and nothing is guessed then."""
    with pytest.raises(BrokerUnavailable, match=hint):
        raise mapped(error, url, new=True)
    assert "TLS" not in str(mapped(error, url))


def test_a_tls_connection_that_ends_at_once_may_want_a_certificate() -> None:
    """Writing to a server that has refused us may fail before the alert that says why is read."""
    error = unconnected(of_tls("UNEXPECTED_EOF_WHILE_READING", ssl.SSLEOFError))
    with pytest.raises(BrokerUnavailable, match=r"no connection comes about; .* \(cert=, key=\)"):
        raise mapped(error, "rediss://db", new=True)
    assert "cert=" not in str(mapped(error, "rediss://db"))


@pytest.mark.parametrize("error", [DataError("Invalid input"), TypeError("no"), ValueError("no")])
def test_a_mistake_of_our_own_comes_back_as_it_is(error: Exception) -> None:
    """It is not for whoever runs the server to see to."""
    assert mapped(error, SERVER) is error
    assert not is_transient(error)


@pytest.mark.parametrize(
    "words",
    [
        "ERR unknown command `AUTH`, with args beginning with: `ann`, `s3cr3t`, ",
        "ERR unknown command 'AUTH', with args beginning with: 'ann' 's3cr3t' ",
    ],
)
def test_a_password_that_a_server_repeats_is_taken_out(words: str) -> None:
    """Of the error, of what it came of, and of what that came of."""
    first, second = answered(words), answered(words)
    try:
        try:
            raise first
        except RedisError:
            raise second  # noqa: B904  (as redis-py's own handlers do)
    except RedisError as error:
        told = mapped(error, SERVER)
    told.__cause__ = second
    for each in (told, second, first):
        assert "s3cr3t" not in f"{each}{each!r}{each.args}"
    assert "unknown command" in str(told)


def test_a_long_answer_is_cut() -> None:
    """Redis explains protected mode in twelve lines."""
    assert len(str(mapped(answered(f"DENIED {'x' * 2000}"), SERVER))) < 400


def test_an_error_is_not_its_own_cause_for_ever() -> None:
    """Errors that came of each other in a circle are looked at once each."""
    one, other = answered("ERR one"), answered("ERR other")
    one.__context__, other.__context__ = other, one
    assert isinstance(mapped(one, SERVER), BrokerUnusable)
