"""Cases of fencing tokens: they grow whatever became of the tasks that had them."""

import pytest

from qcore.domain.answers import Enqueued
from qcore.domain.states import State
from qcore.domain.task import RetentionPolicy
from qcore.domain.transitions import Succeeded
from qcore.ports import Broker
from qcore.testing.builders import NOW, a_task, some_tasks
from qcore.testing.contract.base import Cases
from qcore.testing.contract.joining import merge
from qcore.testing.contract.leaks import WAYS, Way
from qcore.testing.contract.steps import a_claimed, end, put, sweep_all


async def grows(broker: Broker, before: int) -> None:
    """Fail unless the next token of the default queue is greater than one it has given."""
    token = (await a_claimed(broker, a_task(priority=1000))).lease.token
    assert token > before, f"the token is {token}, expected one greater than {before}"


class TokenCases(Cases):
    """A queue that is empty gives greater tokens than when it was full."""

    @pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
    async def test_tokens_grow_whichever_way_tasks_end(self, way: Way) -> None:
        """Completed, dead, expired, deleted; and trimmed until nothing is left of them."""
        async with self.opened(RetentionPolicy(age=60.0)) as broker:
            claim = await a_claimed(broker, a_task(priority=1000))
            await end(broker, claim, Succeeded())
            await way(broker, a_task(retention=60, expires=NOW + 600))
            await sweep_all(broker, now=NOW + 100_000)
            assert await broker.count() == {}
            await grows(broker, claim.lease.token)


class AggregateTokenCases(Cases):
    """The same for tasks that become one."""

    async def test_tokens_grow_though_tasks_become_one(self, broker: Broker) -> None:
        """The one is a task as any other, though its members are gone."""
        claim = await a_claimed(broker, a_task(priority=1000))
        await put(broker, *(members := some_tasks(3, group="g")))
        into = a_task(priority=-1)
        assert await merge(broker, members, into) == Enqueued(into.id, State.PENDING)
        await grows(broker, claim.lease.token)
