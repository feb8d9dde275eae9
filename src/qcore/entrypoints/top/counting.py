"""Count the calls that a view makes, which is what it costs the store."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from qcore.adapters.wrappers import ForwardingBroker
from qcore.ports import Broker, Verb

T = TypeVar("T")


class CountingBroker(ForwardingBroker):
    """Count the calls of a broker."""

    def __init__(self, inner: Broker) -> None:
        super().__init__(inner)
        self.calls = 0

    async def around(
        self,
        verb: Verb,  # noqa: ARG002
        call: Callable[[], Awaitable[T]],
        /,
        **arguments: object,  # noqa: ARG002
    ) -> T:
        """Make a call, and count it."""
        self.calls += 1
        return await call()
