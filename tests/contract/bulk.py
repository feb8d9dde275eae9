"""Which suites leave out the cases of ten thousand tasks and more."""

from typing import TypeVar

from qcore.testing.contract import BrokerContract
from qcore.testing.contract.unusual_input import BulkCases

Suite = TypeVar("Suite", bound=BrokerContract)


def without_bulk(suite: type[Suite]) -> type[Suite]:
    """Leave them out of a suite: another tries the same statements or scripts on as many tasks."""
    for name in vars(BulkCases):
        if name.startswith("test_"):
            setattr(suite, name, None)
    return suite
