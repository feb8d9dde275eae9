"""A Redis server of our own, a queue in it, and what the server says of its work."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import time
from typing import Any, Self

import psutil

from qcore.adapters.redis.scripts import SCRIPTS
from qcore.app.client.inline import run_inline
from qcore.domain.new_task import NewTask
from qcore.domain.record import record
from qcore.domain.task import Claim, Demand, Verdict
from qcore.domain.transitions import Succeeded, Transition
from qcore.entrypoints.connect import connect
from tests.servers.binaries import SERVERS
from tests.servers.redis import RedisServer

PAYLOAD = b'{"user":12345,"mail":"a@bc.org"}\r\n'
PAYLOAD_BYTES = 34
LEASE = 7_200.0
SLOW_US = 1_000
LOGGED = 100_000
NAMES = {script.digest: name for name, script in SCRIPTS.items()}


@contextmanager
def a_server() -> Iterator[RedisServer]:
    with RedisServer(SERVERS[-1]) as server:
        yield server


class Queue:
    """A queue behind a blocking broker; its tasks are numbered in the order of their coming."""

    def __init__(self, url: str, name: str) -> None:
        assert len(PAYLOAD) == PAYLOAD_BYTES
        self.name = name
        self.broker = connect(url).blocking()
        self.made = 0
        run_inline(self.broker.open())
        self.now = time()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        run_inline(self.broker.close())

    def fill(self, number: int, *, batch: int = 1_000, due: float | None = None) -> None:
        for start in range(0, number, batch):
            tasks = [self._task(due) for _ in range(min(batch, number - start))]
            run_inline(self.broker.enqueue(tasks, now=self.now))

    def claim(self, number: int, *, later: float = 0.0, lease: float = LEASE) -> Sequence[Claim]:
        """Claim so many `later` seconds from now."""
        now = self.now + later
        demand = Demand(number, {self.name: number})
        claims = run_inline(self.broker.claim(demand, now=now, until=now + lease))
        assert len(claims) == number, f"{len(claims)} claims, not {number}"
        return claims

    def settle(self, claims: Sequence[Claim], outcome: Transition | None = None) -> None:
        verdicts = [Verdict(claim.lease, outcome or Succeeded()) for claim in claims]
        answers = run_inline(self.broker.settle(verdicts, now=self.now))
        assert not [lost for lost in answers if not hasattr(lost, "state")], "a lease was lost"

    def left(self) -> int:
        return sum(run_inline(self.broker.count()).get(self.name, {}).values())

    def id(self, number: int) -> str:
        """Return an id as long as ours are."""
        return f"{number:032x}"

    def _task(self, due: float | None) -> NewTask:
        self.made += 1
        return NewTask(
            "bench:noop", id=self.id(self.made), queue=self.name, payload=PAYLOAD, due=due
        )


@record
class Reading:
    """What the server has spent so far, in µs, and on how many calls of scripts."""

    cpu: float
    scripts: int
    calls: int
    preempted: int
    """How often somebody else was given the processor in its place."""

    def until(self, later: "Reading", tasks: int) -> dict[str, float]:
        """Return what was spent on each of some tasks."""
        return {
            "cpu_us": (later.cpu - self.cpu) / tasks,
            "scripts_us": (later.scripts - self.scripts) / tasks,
        }


class Meter:
    """What the server tells of itself, over one connection."""

    def __init__(self, server: RedisServer) -> None:
        self._process = psutil.Process(server.pid)
        self._lent = server.client()
        self._client: Any = self._lent.__enter__()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lent.__exit__(None, None, None)

    def read(self) -> Reading:
        cpu, scripts = self._client.info("cpu"), self._client.info("commandstats")
        stats = scripts.get("cmdstat_evalsha", {"usec": 0, "calls": 0})
        used = 1e6 * (cpu["used_cpu_user"] + cpu["used_cpu_sys"])
        preempted = self._process.num_ctx_switches().involuntary
        return Reading(used, stats["usec"], stats["calls"], preempted)

    def memory(self) -> int:
        return int(self._client.info("memory")["used_memory"])

    def version(self) -> str:
        return str(self._client.info("server")["redis_version"])

    def watch(self) -> None:
        """Keep from now on what takes the server longer than a millisecond."""
        self._client.config_set("slowlog-max-len", LOGGED)
        self._client.config_set("slowlog-log-slower-than", SLOW_US)
        self._client.slowlog_reset()

    def slow(self) -> list[tuple[str, float]]:
        """Return the scripts and commands kept since the last time, and their milliseconds."""
        entries = self._client.slowlog_get(LOGGED)
        self._client.slowlog_reset()
        return [(_named(entry["command"]), entry["duration"] / 1000) for entry in entries]


def _named(command: bytes) -> str:
    """Return the name of a script, or of a command that is none.

    "eval" is a script's first call, which brings its text: Redis compiles it. Any other command is
    one within a script.
    """
    verb, *words = command.decode(errors="replace").split(" ", 2)
    return NAMES.get(words[0], verb.lower()) if words else verb.lower()
