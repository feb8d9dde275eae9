"""The Redis broker on fakeredis, for tests without a server; needs fakeredis with Lua."""

import asyncio
from typing import Any, Final

from qcore.adapters.links.redis import link_over
from qcore.adapters.redis import RedisBroker
from qcore.domain.task import RetentionPolicy

try:
    import fakeredis
except ModuleNotFoundError as error:
    if error.name != "fakeredis":
        raise
    message = "qcore.testing.fakes needs fakeredis: pip install 'qcore-queue[testing]'"
    raise ImportError(message) from error

USUAL: Final = RetentionPolicy()


class _Connection(fakeredis.FakeAsyncRedisConnection):
    """Lets other tasks of the loop run before every answer, as a real connection does.

    Nothing else does from Python 3.12 on, where `asyncio.wait_for`, which redis-py sends within,
    no longer runs what does not have to wait as a task of its own.
    """

    async def read_response(self, *args: Any, **options: Any) -> Any:
        await asyncio.sleep(0)
        return await super().read_response(*args, **options)


def fake_redis_broker(
    server: "fakeredis.FakeServer | None" = None,
    *,
    keep: RetentionPolicy = USUAL,
    namespace: str = "qcore",
) -> RedisBroker:
    """Return a Redis broker on a fake server: one of its own, or one that several share.

    It runs the real scripts. What only a server can do (losing connections, restarting, its own
    clock) it cannot.
    """
    fake: Any = fakeredis
    known: Any = server or fakeredis.FakeServer()
    # made by whoever connects first: threads that do so at once make one each, and all writes but
    # those into the last one are lost
    known.dbs[0]
    options: dict[str, Any] = {"server": known, "protocol": 2}
    link = link_over(
        lambda: _Connection(**options),
        lambda: fake.FakeRedisConnection(**options),
        shown="a fake Redis",
    )
    return RedisBroker(link, keep=keep, namespace=namespace)
