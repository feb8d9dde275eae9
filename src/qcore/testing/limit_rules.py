"""The rules of `BrokerMachine` for the optional ports: limits of queues, and groups."""

from collections.abc import Sequence

from attrs import evolve
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from qcore.domain.groups import Group
from qcore.domain.moments import Moment
from qcore.domain.queue_limits import LimitChange
from qcore.domain.task import Task
from qcore.ports import Capability
from qcore.testing import strategies
from qcore.testing.differential import DRIVEN, MODEL, BrokerComparison, agree
from qcore.testing.optional_ports import aggregating, limiting
from qcore.testing.strategies import QUEUES


class LimitAndGroupRules(RuleBasedStateMachine):
    """A base class with the rules of optional ports; `BrokerMachine` sets its attributes."""

    _comparison: BrokerComparison
    _now: Moment
    _moments: strategies.Moments
    _without: frozenset[Capability] = frozenset()
    """Capabilities that this run does without, so that the other rules are drawn more often."""

    @property
    def _capabilities(self) -> frozenset[Capability]:
        return self._comparison.capabilities - self._without

    def _pass(self, ticks: int) -> None:
        self._now += ticks * strategies.TICK

    @precondition(lambda self: Capability.LIMITS in self._capabilities)
    @rule(wait=strategies.WAIT, queue=st.sampled_from(QUEUES), limit=strategies.LIMIT_CHANGES)
    def set_limit(self, wait: int, queue: str, limit: LimitChange) -> None:
        """A limit is set, changed or lifted."""
        self._pass(wait)
        self._comparison.same(
            lambda broker: limiting(broker).set_limit(queue, limit, now=self._now)
        )
        self._comparison.same_list(lambda broker: limiting(broker).limited_queues())

    @invariant()
    def both_have_the_same_limits(self) -> None:
        """Both brokers have the limits that were set."""
        if Capability.LIMITS in self._capabilities:
            self._comparison.same_list(lambda broker: limiting(broker).limits(QUEUES))

    @precondition(
        lambda self: Capability.GROUPS in self._capabilities and self._comparison.groups(QUEUES)
    )
    @rule(
        wait=strategies.WAIT,
        group=st.integers(0, 7),
        which=st.lists(st.integers(0, 7), min_size=1, max_size=4),
        odd=st.one_of(
            st.just([]), st.just([]), st.lists(st.sampled_from(strategies.IDS), max_size=2)
        ),
        draft=strategies.TASK,
    )
    def aggregate(
        self, wait: int, group: int, which: list[int], odd: list[str], draft: strategies.TaskDraft
    ) -> None:
        """Members of a group, and perhaps others, become one task that may collide."""
        self._pass(wait)
        groups = self._comparison.groups(QUEUES)
        into = groups[group % len(groups)]
        there = self._members(MODEL, into.queue, into.name)
        asked = [there[n % len(there)].id for n in which] + odd
        made = draft.build(self._moments, self._now, capabilities=self._capabilities)
        made = evolve(made, queue=into.queue, group=None)
        self._comparison.same(
            lambda broker: aggregating(broker).aggregate(
                into.queue, into.name, asked, made, now=self._now
            )
        )

    @invariant()
    def both_have_the_same_groups(self) -> None:
        """The same members wait, those due first before the others."""
        if Capability.GROUPS not in self._capabilities:
            return
        for queue in QUEUES:
            groups = self._comparison.groups([queue])
            agree("the list of groups", self._paged(queue), groups)
            for group in groups:
                driven, model = (self._members(n, queue, group.name) for n in (DRIVEN, MODEL))
                moments = [[task.due for task in tasks] for tasks in (driven, model)]
                agree(f"the list of moments in group {group.name}", *moments)
                ids = [sorted(task.id for task in tasks) for tasks in (driven, model)]
                agree(f"the list of members of group {group.name}", *ids)

    def _members(self, which: int, queue: str, group: str) -> Sequence[Task]:
        return self._comparison.ask(
            which, lambda broker: aggregating(broker).members(queue, group, 100)
        )

    def _paged(self, queue: str) -> list[Group]:
        """Return the groups that the driven broker tells of, one by one."""
        found: list[Group] = []
        while page := self._page(queue, found[-1].name if found else ""):
            agree("the number of groups on a page of one", len(page), 1)
            found += page
        return found

    def _page(self, queue: str, after: str) -> Sequence[Group]:
        return self._comparison.ask(
            DRIVEN, lambda broker: aggregating(broker).groups(queue, 1, after=after)
        )
