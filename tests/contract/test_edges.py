from collections.abc import Sequence
from typing import Any

import pytest

from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import ForwardingBroker
from qcore.domain.moments import Moment
from qcore.domain.queue_limits import LimitChange, Limits
from qcore.domain.states import State
from qcore.domain.task import Claim, Demand, RetentionPolicy
from qcore.domain.transitions import Succeeded
from qcore.ports import Broker
from qcore.testing.builders import NOW
from qcore.testing.contract import GroupContract, LimitsContract
from qcore.testing.contract.concurrency_limits import PAUSED, RESUMED
from qcore.testing.contract.edge_triggering import EdgeTriggeringCases
from qcore.testing.contract.followups import FollowUpCases
from qcore.testing.contract.wakeups import SubscribeCases
from tests.contract.doubles import EdgeBroker


class TestEdgeBroker(
    SubscribeCases, EdgeTriggeringCases, FollowUpCases, LimitsContract, GroupContract
):
    """A broker that tells of edges alone keeps the promise to those who listen."""

    def make_broker(self, keep: RetentionPolicy) -> Broker:
        return EdgeBroker(MemoryBroker(keep=keep))


class TestBlockingEdgeBroker(TestEdgeBroker):
    """Stepped without a loop it keeps it too."""

    blocking = True


class HearsOfPendingOnly(EdgeBroker):
    async def _look(self, queue: str) -> tuple[bool, float]:
        return (await super()._look(queue))[0], 0.0


class HearsOfMomentsOnly(EdgeBroker):
    async def _look(self, queue: str) -> tuple[bool, float]:
        return False, (await super()._look(queue))[1]


class KeepsClaimsToItself(EdgeBroker):
    async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
        return await self.inner.claim(demand, now=now, until=until)


class Remembers(KeepsClaimsToItself):
    """Takes the last it knew of a queue for what is there now."""

    def __init__(self, inner: Broker) -> None:
        super().__init__(inner)
        self.known: dict[str, tuple[bool, float]] = {}
        self.looks = 0

    async def _look(self, queue: str) -> tuple[bool, float]:
        self.looks += 1
        seen = await super()._look(queue)
        if self.looks % 2 == 0:
            self.known[queue] = seen
            return seen
        return self.known.get(queue, seen)


class ForgetsOtherQueues(EdgeBroker):
    """Tells of one queue of a batch."""

    async def _told(self, call: Any, queues: Any) -> Any:
        return await super()._told(call, sorted(queues)[:1])


class HearsNoRules(EdgeBroker):
    async def set_limit(self, queue: str, rule: LimitChange, *, now: Moment) -> Limits:
        return await ForwardingBroker.set_limit(self, queue, rule, now=now)


class HearsNoGroups(EdgeBroker):
    async def _groups(self, queue: str) -> set[str]:
        return set()


class HearsOfNoRoom(EdgeBroker):
    """Takes what is pending for something to claim, though as many run as may."""

    async def _look(self, queue: str) -> tuple[bool, float]:
        return State.PENDING in (await self.inner.count()).get(queue, {}), 0.0


BROKEN: list[tuple[type[EdgeBroker], str, dict[str, object]]] = [
    (HearsOfPendingOnly, "test_an_enqueue_is_heard", {"due": NOW + 60}),
    (HearsOfPendingOnly, "test_each_earlier_moment_is_heard", {}),
    (HearsOfMomentsOnly, "test_no_wake_up_is_lost_between_two_others", {}),
    (HearsOfMomentsOnly, "test_pending_tasks_do_not_hide_an_earlier_moment", {}),
    (
        KeepsClaimsToItself,
        "test_what_a_claim_makes_pending_and_leaves_is_heard",
        {"state": State.SCHEDULED},
    ),
    (KeepsClaimsToItself, "test_a_crowd_that_a_claim_makes_pending_is_heard", {}),
    (Remembers, "test_a_queue_that_was_emptied_is_heard_again", {"emptied": "claimed"}),
    (Remembers, "test_a_queue_that_was_emptied_is_heard_again", {"emptied": "found expired"}),
    (Remembers, "test_a_moment_counts_no_more_once_its_task_is_gone", {"gone": "due"}),
    (ForgetsOtherQueues, "test_a_batch_is_heard_by_all_whom_it_concerns", {}),
    (ForgetsOtherQueues, "test_what_a_claim_leaves_is_heard_by_all_whom_it_concerns", {}),
    (HearsNoRules, "test_a_rule_that_lets_more_go_is_heard", {"before": PAUSED, "rule": RESUMED}),
    (HearsNoGroups, "test_a_new_group_is_heard", {}),
    (HearsNoGroups, "test_a_group_that_a_claim_begins_is_heard", {}),
    (HearsOfNoRoom, "test_an_end_that_makes_room_is_heard", {"outcome": Succeeded()}),
    (HearsOfNoRoom, "test_an_order_that_makes_room_is_heard", {}),
    (HearsOfNoRoom, "test_a_crash_that_makes_room_is_heard", {"crashes": 1}),
]


@pytest.mark.parametrize(("broker", "case", "given"), BROKEN)
def test_a_broker_that_misses_an_edge_fails(
    broker: type[EdgeBroker], case: str, given: dict[str, object]
) -> None:
    """The case passes on the broker that tells of every edge and fails on the one that does not."""

    def a_suite(kind: type[EdgeBroker], **attributes: object) -> Any:
        attributes["make_broker"] = lambda _, keep: kind(MemoryBroker(keep=keep))
        return type("Suite", TestEdgeBroker.__bases__, attributes)()

    getattr(a_suite(EdgeBroker), case)(**given)
    with pytest.raises(AssertionError):
        getattr(a_suite(broker, patience=0.05), case)(**given)
