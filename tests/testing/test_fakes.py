import asyncio
from collections.abc import Callable
from functools import partial
from threading import Barrier, current_thread, main_thread
from typing import Any

import fakeredis

from qcore.domain.states import State
from qcore.testing.builders import a_task
from qcore.testing.contract.base import in_threads, step
from qcore.testing.contract.steps import put
from qcore.testing.fakes import fake_redis_broker

PATIENCE = 30.0
MANY = 4


def meeting(make: Callable[[], Any], size: int) -> Callable[[], Any]:
    """Return what makes a thing once so many threads want one."""
    barrier = Barrier(size)

    def made() -> Any:
        if current_thread() is not main_thread():
            barrier.wait(PATIENCE)
        return make()

    return made


def test_threads_that_connect_first_and_at_once_share_the_store() -> None:
    """What each of them enqueues is there for all."""
    server: Any = fakeredis.FakeServer()
    server.dbs.default_factory = meeting(server.dbs.default_factory, MANY)
    brokers = [fake_redis_broker(server).blocking() for _ in range(MANY)]
    in_threads([partial(step, put(broker, a_task())) for broker in brokers])
    assert step(brokers[0].count()) == {"default": {State.PENDING: MANY}}


async def test_others_run_while_somebody_asks_again_and_again() -> None:
    """The loop has a turn before every answer, as it has before a real server's."""
    broker = fake_redis_broker()
    await broker.link.command("PING")
    ran = asyncio.Event()
    asyncio.get_running_loop().call_soon(ran.set)
    await broker.link.command("PING")
    assert ran.is_set()
    await broker.close()
