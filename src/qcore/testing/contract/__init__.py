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

from pkgutil import iter_modules

try:
    import pytest
except ModuleNotFoundError as error:
    if error.name != "pytest":
        raise
    message = "qcore.testing.contract needs pytest: pip install 'qcore-queue[testing]'"
    raise ImportError(message) from error

# pytest explains an assertion only in modules that it has rewritten
pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in iter_modules(__path__)))

# ruff: noqa: E402  (what is rewritten must not be imported before it is registered)
from qcore.testing.contract.base import Cases
from qcore.testing.contract.claim_endings import ClaimEndingsContract
from qcore.testing.contract.groups import GroupContract
from qcore.testing.contract.limits import LimitsContract
from qcore.testing.contract.schedulers import PeriodicContract
from qcore.testing.contract.sharing import DurableContract, SharedContract
from qcore.testing.contract.statistics import StatisticsContract
from qcore.testing.contract.suite import CONTRACTS, BrokerContract
from qcore.testing.contract.timekeeper import TimeContract
from qcore.testing.contract.unique import UniqueContract
from qcore.testing.contract.worker_registry import WorkersContract

__all__ = [
    "CONTRACTS",
    "BrokerContract",
    "Cases",
    "ClaimEndingsContract",
    "DurableContract",
    "GroupContract",
    "LimitsContract",
    "PeriodicContract",
    "SharedContract",
    "StatisticsContract",
    "TimeContract",
    "UniqueContract",
    "WorkersContract",
]
