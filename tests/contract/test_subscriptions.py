from qcore.adapters.memory import MemoryBroker
from qcore.domain.task import RetentionPolicy
from qcore.ports import Broker
from qcore.testing.contract.subscriptions import TaskChangeCases
from tests.contract.doubles import TalkativeBroker


class TestTalkativeBroker(TaskChangeCases):
    """A broker that tells of news late, twice, and of none at all keeps the promise."""

    def make_broker(self, keep: RetentionPolicy) -> Broker:
        return TalkativeBroker(MemoryBroker(keep=keep))


class TestBlockingTalkativeBroker(TestTalkativeBroker):
    """Stepped without a loop it keeps it too."""

    blocking = True
