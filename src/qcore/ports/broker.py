"""`Broker`: the whole port of a store of tasks, composed of what each of its readers needs."""

from typing import Literal, Protocol, TypeAlias

from qcore.ports.consumer import Consumer
from qcore.ports.operator import Operator
from qcore.ports.producer import Producer
from qcore.ports.reader import Reader


class Broker(Producer, Consumer, Reader, Operator, Protocol):
    """A store of tasks, and the queues in which they wait.

    - A call writes everything or nothing of what it has for a queue, up to 100 tasks. A larger
      batch, or one for several queues, may be cut between; then the call raises, and to make it
      again is safe: what was written is a `Conflict`, or its lease is lost.
    - A broker may be used from several threads, and `blocking()` from any.
    """

    async def open(self) -> None:
        """Make the store ready; opening twice is opening once."""
        ...

    async def close(self) -> None:
        """Let go of the store; closing twice is closing once."""
        ...

    def blocking(self) -> "Broker":
        """Return a broker over the same store that never suspends; perhaps itself."""
        ...


Verb: TypeAlias = Literal[
    "open",
    "close",
    "enqueue",
    "claim",
    "settle",
    "extend",
    "save_details",
    "sweep",
    "next_due",
    "subscribe",
    "get",
    "details",
    "browse",
    "count",
    "ready_since",
    "execute",
    "restore",
    "remove_queue",
    "set_limit",
    "limits",
    "limited_queues",
    "groups",
    "members",
    "aggregate",
    "write_entries",
    "entries",
    "browse_entries",
    "entry_queues",
    "due_entries",
    "announce",
    "withdraw",
    "workers",
    "statistics",
]
"""The name of a call that is awaited: of `Broker`, and of `Limiting`, `Aggregating`, `Periodic`,
`Recording` and `WorkerRegistry`."""
