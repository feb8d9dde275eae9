"""What every system offers to the one that measures it."""

import asyncio
import os
from collections.abc import Coroutine, Sequence
from typing import Any
from urllib.parse import urlsplit

import uvloop

URL = os.environ["BENCH_URL"]
PORT = urlsplit(URL).port or 0
CONCURRENCY = 100
"""Of systems that run coroutines."""
THREADS = 8
"""Of systems that run threads."""
EMAIL = "user@example.com"
"""Half of a task's payload; the other half is its number."""


class System:
    """A queue with one task, `noop`, which does nothing but say `ran(n)`."""

    def prepare(self) -> None:
        """Make what it needs in an empty store."""

    def work(self) -> None:
        """Be a worker, for ever."""
        raise NotImplementedError


class Blocking(System):
    """A system whose clients block. `put_many` is there if it has a call for many tasks."""

    def put(self, n: int) -> None:
        raise NotImplementedError

    def put_many(self, numbers: Sequence[int]) -> None:
        raise NotImplementedError


class Awaiting(System):
    """A system whose clients await. `send_many` is there if it has a call for many tasks."""

    async def open(self) -> None:
        """Connect."""

    async def send(self, n: int) -> None:
        raise NotImplementedError

    async def send_many(self, numbers: Sequence[int]) -> None:
        raise NotImplementedError

    async def serve(self) -> None:
        """Be a worker, for ever."""
        raise NotImplementedError

    def work(self) -> None:
        run(self.serve())


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on uvloop, as every system here that awaits does."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
