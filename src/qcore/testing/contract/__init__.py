"""The contract that every broker keeps, as a suite of cases to inherit.

    class TestMemoryBroker(BrokerContract):
        \"\"\"The memory broker keeps the contract.\"\"\"

        def make_broker(self, keep: RetentionPolicy) -> Broker:
            return MemoryBroker(keep=keep)

    class TestBlockingMemoryBroker(TestMemoryBroker):
        \"\"\"Its blocking twin keeps it too, and never suspends.\"\"\"

        blocking = True

Needs pytest alone. A case runs on an event loop of its own, or, in a blocking suite, on none.
`self.folder` is an empty folder for a store that needs one; a store that lives elsewhere is
emptied by an autouse fixture of the author's. What a broker can do beyond the port has a contract
of its own for each `Capability`, and a case sees to it that it is inherited too:

    class TestSqliteBroker(BrokerContract, SharedContract, DurableContract):
"""

try:
    import pytest
except ModuleNotFoundError as error:
    if error.name != "pytest":
        raise
    message = "qcore.testing.contract needs pytest: pip install 'qcore-queue[testing]'"
    raise ImportError(message) from error

# pytest explains an assertion only in modules that it has rewritten
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in (
            "aggregating",
            "changes",
            "claim",
            "commands",
            "concurrency_limits",
            "crash_isolation",
            "due",
            "edge_triggering",
            "enqueue",
            "fencing",
            "followups",
            "groups",
            "joining",
            "leaks",
            "lifecycle_table",
            "limits",
            "queries",
            "queue_removal",
            "rate_limits",
            "run_details",
            "settle",
            "sharing",
            "states",
            "steps",
            "subscriptions",
            "successors",
            "sweep",
            "task_examples",
            "threads",
            "timekeeper",
            "unique",
            "unusual_input",
            "wakeups",
        )
    )
)

# ruff: noqa: E402  (what is rewritten must not be imported before it is registered)
from qcore.ports import Broker, Capability
from qcore.testing.contract.base import Cases
from qcore.testing.contract.changes import RescheduleCases, UpdateCases
from qcore.testing.contract.claim import DemandCases, HandOutCases
from qcore.testing.contract.commands import CommandCases
from qcore.testing.contract.crash_isolation import CrashIsolationCases
from qcore.testing.contract.due import DueCases
from qcore.testing.contract.edge_triggering import EdgeTriggeringCases
from qcore.testing.contract.enqueue import EnqueueCases
from qcore.testing.contract.fencing import ExtendCases, FenceCases
from qcore.testing.contract.followups import FollowUpCases
from qcore.testing.contract.groups import GroupContract
from qcore.testing.contract.leaks import LeakCases
from qcore.testing.contract.lifecycle_table import TableCases
from qcore.testing.contract.limits import LimitsContract
from qcore.testing.contract.queries import BrowseCases, CountCases, GetCases
from qcore.testing.contract.queue_removal import QueueRemovalCases
from qcore.testing.contract.run_details import DetailCases, SaveDetailsCases
from qcore.testing.contract.settle import SettleCases
from qcore.testing.contract.sharing import DurableContract, SharedContract
from qcore.testing.contract.subscriptions import TaskChangeCases
from qcore.testing.contract.sweep import CrashCases, SweepCases, TrimCases
from qcore.testing.contract.threads import OpenCases, ThreadCases
from qcore.testing.contract.timekeeper import TimeContract
from qcore.testing.contract.unique import UniqueContract
from qcore.testing.contract.unusual_input import BulkCases, UnusualTextCases
from qcore.testing.contract.wakeups import NextDueCases, SubscribeCases

__all__ = [
    "BrokerContract",
    "Cases",
    "DurableContract",
    "GroupContract",
    "LimitsContract",
    "SharedContract",
    "TimeContract",
    "UniqueContract",
]

CONTRACTS = {
    Capability.SHARED: SharedContract,
    Capability.DURABLE: DurableContract,
    Capability.GROUPS: GroupContract,
    Capability.LIMITS: LimitsContract,
    Capability.TIME: TimeContract,
    Capability.UNIQUE: UniqueContract,
}


class BrokerContract(
    EnqueueCases,
    DueCases,
    DemandCases,
    HandOutCases,
    CrashIsolationCases,
    SettleCases,
    FenceCases,
    ExtendCases,
    CrashCases,
    TrimCases,
    SweepCases,
    NextDueCases,
    SubscribeCases,
    EdgeTriggeringCases,
    GetCases,
    BrowseCases,
    CountCases,
    CommandCases,
    RescheduleCases,
    UpdateCases,
    QueueRemovalCases,
    SaveDetailsCases,
    DetailCases,
    FollowUpCases,
    TaskChangeCases,
    TableCases,
    LeakCases,
    UnusualTextCases,
    BulkCases,
    OpenCases,
    ThreadCases,
):
    """Every case of the port; say how your broker is made, and inherit them."""

    async def test_every_capability_is_put_to_the_test(self, broker: Broker) -> None:
        """A suite inherits the contracts of the capabilities its broker has, and no others."""
        inherited = {
            each for each, contract in CONTRACTS.items() if issubclass(type(self), contract)
        }
        assert broker.capabilities == inherited
