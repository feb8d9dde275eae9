"""`BrokerContract`: every case of the port, and which contract each capability has besides."""

from typing import Final

from qcore.ports import Broker, Capability
from qcore.testing.contract.audit import AuditCases
from qcore.testing.contract.batches import LargeBatchCases
from qcore.testing.contract.callbacks import CallbackCases
from qcore.testing.contract.cancellation import CancellationCases
from qcore.testing.contract.changes import RescheduleCases, UpdateCases
from qcore.testing.contract.claim import DemandCases, HandOutCases
from qcore.testing.contract.claim_endings import ClaimEndingsContract
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
from qcore.testing.contract.queries import BrowseCases, CountCases, GetCases, ReadySinceCases
from qcore.testing.contract.queue_removal import QueueRemovalCases
from qcore.testing.contract.restoring import RestoreCases
from qcore.testing.contract.restoring_over import RestoreOverCases
from qcore.testing.contract.run_details import DetailCases, SaveDetailsCases
from qcore.testing.contract.schedulers import PeriodicContract
from qcore.testing.contract.settle import SettleCases
from qcore.testing.contract.sharing import DurableContract, SharedContract
from qcore.testing.contract.statistics import StatisticsContract
from qcore.testing.contract.subscriptions import TaskChangeCases
from qcore.testing.contract.sweep import CrashCases, SweepCases, TrimCases
from qcore.testing.contract.threads import OpenCases, ThreadCases
from qcore.testing.contract.timekeeper import TimeContract
from qcore.testing.contract.tokens import TokenCases
from qcore.testing.contract.unchanged import UnchangedCases
from qcore.testing.contract.unique import UniqueContract
from qcore.testing.contract.unusual_input import BulkCases, LargePayloadCases, UnusualTextCases
from qcore.testing.contract.wakeups import NextDueCases, SubscribeCases
from qcore.testing.contract.worker_registry import WorkersContract

CONTRACTS: Final = {
    Capability.SHARED: SharedContract,
    Capability.DURABLE: DurableContract,
    Capability.GROUPS: GroupContract,
    Capability.LIMITS: LimitsContract,
    Capability.PERIODIC: PeriodicContract,
    Capability.STATISTICS: StatisticsContract,
    Capability.TIME: TimeContract,
    Capability.UNIQUE: UniqueContract,
    Capability.WORKERS: WorkersContract,
    Capability.CLAIM_ENDINGS: ClaimEndingsContract,
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
    CallbackCases,
    GetCases,
    BrowseCases,
    CountCases,
    ReadySinceCases,
    CommandCases,
    RescheduleCases,
    UpdateCases,
    RestoreCases,
    RestoreOverCases,
    QueueRemovalCases,
    SaveDetailsCases,
    DetailCases,
    AuditCases,
    FollowUpCases,
    TaskChangeCases,
    TableCases,
    UnchangedCases,
    LeakCases,
    UnusualTextCases,
    LargePayloadCases,
    BulkCases,
    LargeBatchCases,
    TokenCases,
    CancellationCases,
    OpenCases,
    ThreadCases,
):
    """Every case of the port; say how your broker is made, and inherit them."""

    async def test_every_capability_is_put_to_the_test(self, broker: Broker) -> None:
        """A suite inherits the contracts of the capabilities its broker has, and no others."""
        inherited = frozenset(
            each for each, contract in CONTRACTS.items() if issubclass(type(self), contract)
        )
        missing = _named(broker.capabilities - inherited)
        needless = _named(inherited - broker.capabilities)
        what = f"{type(self).__name__} has to inherit the contracts of its broker's capabilities"
        assert not missing, f"{what}: {missing} are missing"
        assert not needless, f"{what}, and no others: {needless} belong to none of them"


def _named(capabilities: frozenset[Capability]) -> str:
    return ", ".join(sorted(CONTRACTS[each].__name__ for each in capabilities))
