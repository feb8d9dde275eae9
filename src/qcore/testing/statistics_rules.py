"""The rule of `BrokerMachine` for what has been counted."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from qcore.domain.statistics import Resolution
from qcore.ports import Capability
from qcore.testing.optional_ports import recording
from qcore.testing.periodic_rules import PeriodicRules
from qcore.testing.strategies import QUEUES


class StatisticsRules(PeriodicRules):
    """A base class with that rule, beside those of other optional ports."""

    @precondition(lambda self: Capability.STATISTICS in self._capabilities)
    @rule(
        queues=st.sampled_from((None, QUEUES, QUEUES[:1])),
        age=st.sampled_from((0.0, 30.0, 600.0)),
        resolution=st.sampled_from(Resolution),
    )
    def statistics(
        self, queues: tuple[str, ...] | None, age: float, resolution: Resolution
    ) -> None:
        """What has ended of each name in each period, and how long it took."""
        self._comparison.same_list(
            lambda broker: recording(broker).statistics(
                queues, since=self._now - age, until=self._now, resolution=resolution
            )
        )
