"""A proxy that delays: `python -m bench.proxy --to 6379 --ms 2` puts in 2 ms of round trip.

Half of it in each direction: bytes wait for their time, in order, and as many as want to are under
way at once, as on a long wire. It prints the port it listens on, and bears 500 connections.
"""

import socket
import subprocess
import sys
from argparse import ArgumentParser
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ctypes import CDLL
from functools import partial
from pathlib import Path
from select import select
from time import monotonic

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[1]
CHUNK = 256 << 10
ROOM = 16 << 20
"""Bytes under way in one direction of a connection at which its sender has to wait."""
PR_SET_TIMERSLACK = 29


@contextmanager
def delayed(port: int, round_trip_ms: float) -> Iterator[int]:
    """Run the proxy as a process of its own, and give the port that leads to `port`."""
    options = ["--to", str(port), "--ms", str(round_trip_ms), "--with-parent"]
    command = [sys.executable, "-m", "bench.proxy", *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


class Lane:
    """One direction of a connection."""

    twin: "Lane"

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source, self.sink = source, sink
        self.under_way = 0
        self.is_over = False
        self._arrived: deque[memoryview] = deque()

    def read(self) -> bytes:
        """Return what is there; nothing is the end."""
        try:
            data = self.source.recv(CHUNK)
        except ConnectionError:
            data = b""
        self.under_way += len(data)
        return data

    def arrive(self, data: bytes) -> None:
        self._arrived.append(memoryview(data))

    def push(self) -> bool:
        """Write what has arrived; return whether the sink took all of it."""
        while self._arrived:
            data = self._arrived[0]
            try:
                sent = self.sink.send(data) if data else self._end()
            except BlockingIOError:
                return False
            except ConnectionError:
                # nobody is there to read the rest
                sent = len(data)
            self.under_way -= sent
            self._arrived[0] = data[sent:]
            if sent == len(data):
                self._arrived.popleft()
        return True

    def _end(self) -> int:
        self.is_over = True
        with suppress(OSError):
            self.sink.shutdown(socket.SHUT_WR)
        if self.twin.is_over:
            self.source.close()
            self.sink.close()
        return 0


class Wire:
    """All connections through the proxy, in one loop."""

    def __init__(self, to: int, delay: float) -> None:
        self.readers: dict[int, Callable[[], None]] = {}
        self._writers: dict[int, Callable[[], None]] = {}
        # One delay for all: what was read first is due first, whichever lane it is in.
        self._way: deque[tuple[float, Lane, bytes]] = deque()
        self._to, self._delay = to, delay

    def listen(self, port: int) -> int:
        """Accept connections at a port, 0 for a free one, and return it."""
        listener = socket.create_server((HOST, port), backlog=512)
        self.readers[listener.fileno()] = partial(self._accept, listener)
        return int(listener.getsockname()[1])

    def turn(self) -> None:
        """Do what is to be done next."""
        # Not epoll, under asyncio or uvloop: they count in whole milliseconds.
        wait = max(0.0, self._way[0][0] - monotonic()) if self._way else None
        readable, writable, _ = select(self.readers, self._writers, (), wait)
        for file in readable:
            self.readers[file]()
        for file in writable:
            self._writers[file]()
        now = monotonic()
        while self._way and self._way[0][0] <= now:
            _, lane, data = self._way.popleft()
            lane.arrive(data)
            self._push(lane)

    def _accept(self, listener: socket.socket) -> None:
        client, _ = listener.accept()
        try:
            server = socket.create_connection((HOST, self._to))
        except OSError:
            client.close()
            return
        there, back = Lane(client, server), Lane(server, client)
        there.twin, back.twin = back, there
        for lane in (there, back):
            lane.source.settimeout(0.0)
            lane.source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._watch(lane)

    def _watch(self, lane: Lane) -> None:
        self.readers[lane.source.fileno()] = partial(self._read, lane)

    def _read(self, lane: Lane) -> None:
        data = lane.read()
        self._way.append((monotonic() + self._delay, lane, data))
        if not data or lane.under_way > ROOM:
            del self.readers[lane.source.fileno()]

    def _push(self, lane: Lane) -> None:
        was_full, sink = lane.under_way > ROOM, lane.sink.fileno()
        if lane.push():
            self._writers.pop(sink, None)
        else:
            self._writers[sink] = partial(self._push, lane)
        if was_full and lane.under_way <= ROOM:
            self._watch(lane)


def main() -> None:
    parser = ArgumentParser(prog="python -m bench.proxy", description=__doc__)
    parser.add_argument("--to", type=int, default=6379, help="the port of the server")
    parser.add_argument("--ms", type=float, required=True, help="round trip to add, milliseconds")
    parser.add_argument("--port", type=int, default=0, help="to listen on; 0 takes a free one")
    parser.add_argument("--with-parent", action="store_true", help="end when the input ends")
    asked = parser.parse_args()
    if sys.platform == "linux":
        # Nanoseconds by which a wait may be longer than asked for; it begins as 50,000.
        CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    wire = Wire(asked.to, asked.ms / 2 / 1000)
    if asked.with_parent:
        wire.readers[sys.stdin.fileno()] = sys.exit
    print(wire.listen(asked.port), flush=True)
    while True:
        wire.turn()


if __name__ == "__main__":
    main()
