"""Poolers in front of a Postgres, which give each transaction another session.

A PgBouncer where this machine has one, and everywhere a relay that pools transactions as it does:
it reads of the protocol how long messages are, and of ReadyForQuery whether a transaction is open
(postgresql.org/docs, "Message Formats"). Both lend the session that has rested longest, so that two
transactions of a client in a row have different ones.
"""

import os
import secrets
import shutil
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import SimpleQueue
from select import select
from threading import Thread
from typing import Final

import psycopg

from tests.servers.ports import free_port
from tests.servers.postgres import NOBODY, PostgresServer, as_nobody
from tests.servers.server import HOST, Running, Server

SESSIONS: Final = 4
SIZE: Final = 1 << 16
HEAD: Final = 5
"""Bytes of a message's head: a letter, and a length that does not count the letter."""
CANCEL, TLS, GSS = 80877102, 80877103, 80877104
"""Codes in the place of a protocol's version."""
VERSION: Final = 3 << 16
TRUSTED: Final = struct.pack("!cii", b"R", 8, 0)
READY: Final = struct.pack("!cic", b"Z", 5, b"I")
"""Ready for a query, and in no transaction."""
ANSWERED: Final = (b"Q", b"S", b"F")
"""Messages of a client that the server ends with a ReadyForQuery."""
DEBIAN: Final = "/usr/sbin"


class Pooler(Running):
    """What stands in front of a server, on a port of its own."""

    port: int

    def url(self, schema: str = "qcore", **options: str) -> str:
        query = "&".join(f"{name}={value}" for name, value in {"schema": schema, **options}.items())
        return f"postgresql://postgres@{HOST}:{self.port}/postgres?{query}"

    @property
    def conninfo(self) -> str:
        return f"host={HOST} port={self.port} user=postgres dbname=postgres"


class Messages:
    """Divides what arrives over a connection into messages."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take what has arrived; yield the messages that are whole."""
        self._rest += data
        while len(self._rest) >= HEAD:
            (length,) = struct.unpack_from("!i", self._rest, 1)
            if len(self._rest) <= length:
                return
            message, self._rest = self._rest[: length + 1], self._rest[length + 1 :]
            yield message


class Relay(Pooler):
    """A pooler of our own."""

    def __init__(self, server: PostgresServer) -> None:
        self.port = free_port()
        self._to = server.port
        self._listening = socket.create_server((HOST, self.port))
        self._clients: list[socket.socket] = []
        self._threads: list[Thread] = []
        self._idle: SimpleQueue[socket.socket | None] = SimpleQueue()
        self._greeting = b""

    def __repr__(self) -> str:
        return "<relay>"

    def start(self) -> None:
        for _ in range(SESSIONS):
            self._idle.put(self._session())
        self._threads.append(Thread(target=self._accept, name="pooler"))
        self._threads[0].start()

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[:1]:
            thread.join()
        self._listening.close()
        for each in self._clients:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()
        while not self._idle.empty():
            if session := self._idle.get():
                session.close()

    def _session(self) -> socket.socket:
        """Connect to the server, and keep what it says of itself."""
        session = socket.create_connection((HOST, self._to))
        session.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        words = b"user\0postgres\0database\0postgres\0application_name\0pooler\0\0"
        session.sendall(struct.pack("!ii", 8 + len(words), VERSION) + words)
        messages, said = Messages(), list[bytes]()
        while READY not in said:
            said += messages.feed(_some(session))
        self._greeting = b"".join(each for each in said if each[:1] == b"S")
        return session

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._clients.append(client)
            thread = Thread(target=self._serve, args=(client,), name="pooler-client")
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            if not self._welcome(client):
                return
            requests = Messages()
            while True:
                if messages := list(requests.feed(_some(client))):
                    self._lend(client, requests, messages)

    def _welcome(self, client: socket.socket) -> bool:
        """Let in whoever comes, under a number of our own; return whether for a session."""
        while True:
            length, code = struct.unpack("!ii", _exactly(client, 8))
            _exactly(client, length - 8)
            if code not in {TLS, GSS}:
                break
            client.sendall(b"N")
        if code == CANCEL:
            return False
        number = struct.pack("!ciii", b"K", 12, secrets.randbelow(1 << 31), 0)
        client.sendall(TRUSTED + self._greeting + number + READY)
        return True

    def _lend(self, client: socket.socket, requests: Messages, messages: Sequence[bytes]) -> None:
        """Lend a session to a client that has said something, until it is in no transaction."""
        session, is_clean = self._idle.get(), False
        try:
            session = session or self._session()
            is_clean = _relayed(client, session, requests, messages)
        finally:
            if session is not None and not is_clean:
                session.close()
            self._idle.put(session if is_clean else None)


def _relayed(
    client: socket.socket, session: socket.socket, requests: Messages, messages: Sequence[bytes]
) -> bool:
    """Pass on what both say until no transaction is open; return whether that was reached."""
    replies, awaited, is_ready = Messages(), 0, True
    while True:
        for message in messages:
            if message[:1] == b"X":
                return is_ready
            awaited += message[:1] in ANSWERED
            is_ready = False
            session.sendall(message)
        messages = ()
        ready, _, _ = select([client, session], [], [])
        if session in ready:
            for reply in replies.feed(_some(session)):
                client.sendall(reply)
                if reply[:1] == b"Z":
                    awaited -= 1
                    is_ready = reply == READY and not awaited
            if is_ready:
                return True
        if client in ready:
            try:
                messages = list(requests.feed(_some(client)))
            except OSError:
                return False


def _some(end: socket.socket) -> bytes:
    data = end.recv(SIZE)
    if not data:
        raise ConnectionResetError
    return data


def _exactly(end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = end.recv(size - len(data))
        if not part:
            raise ConnectionResetError
        data += part
    return data


class PgBouncer(Server, Pooler):
    """A PgBouncer with pool_mode = transaction."""

    def __init__(self, server: PostgresServer) -> None:
        super().__init__("pgbouncer")
        self._to = server.port

    def __repr__(self) -> str:
        return "<PgBouncer>"

    def launch(self) -> None:
        """Write its settings before it starts."""
        users = self.folder / "users.txt"
        users.write_text('"postgres" ""\n')
        settings = {
            "listen_addr": HOST,
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": users,
            "pool_mode": "transaction",
            "default_pool_size": SESSIONS,
            "server_round_robin": 1,
        }
        lines = [f"{name} = {value}" for name, value in settings.items()]
        database = f"postgres = host={HOST} port={self._to} dbname=postgres"
        text = "\n".join(["[databases]", database, "[pgbouncer]", *lines, ""])
        self._ini.write_text(text)
        if os.geteuid() == 0:
            for each in (self.folder, users, self._ini):
                os.chown(each, NOBODY, NOBODY)
        super().launch()

    def start(self) -> None:
        """Have all its sessions made: it makes one only where the others are in use."""
        super().start()
        with ExitStack() as stack:
            for _ in range(SESSIONS):
                stack.enter_context(psycopg.connect(self.conninfo)).execute("SELECT 1")

    @property
    def _ini(self) -> Path:
        return self.folder / "pgbouncer.ini"

    def command(self) -> Sequence[str | Path]:
        found = pgbouncer()
        assert found is not None
        return [*as_nobody(), found, self._ini]

    def answers(self) -> bool:
        try:
            with psycopg.connect(self.conninfo, connect_timeout=5, prepare_threshold=None) as it:
                it.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


def pgbouncer() -> str | None:
    """Return the pgbouncer of this machine, if it has one."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), DEBIAN])
    return shutil.which("pgbouncer", path=path)


POOLERS: Final[Sequence[Callable[[PostgresServer], Pooler]]] = (
    Relay,
    *([PgBouncer] if pgbouncer() else []),
)
"""What makes the poolers to test behind: fewer where a machine has fewer."""
