"""What a link to Redis offers to the broker above it."""

from collections.abc import Callable, Sequence
from hashlib import sha1
from typing import Any, Final, Protocol, TypeAlias

from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.ports import Listener

Word: TypeAlias = str | bytes | int
Command: TypeAlias = tuple[Word, ...]
Reply: TypeAlias = Any
"""As Redis answers: bytes, int, None, or a list of them."""


class Script:
    """Lua that Redis runs whole, known to it by its digest."""

    def __init__(self, text: str) -> None:
        self.text: Final = text
        # Redis names scripts so (redis.io, EVALSHA); nothing is kept secret by it
        self.digest: Final = sha1(text.encode(), usedforsecurity=False).hexdigest()


@record
class Call:
    """One call of a script: the keys it touches, and what it is told.

    `number` counts the moves of the lane that is among its keys, 0 where none is remembered.
    """

    keys: Sequence[str]
    words: Sequence[Word]
    number: int = 0


class Link(Protocol):
    """A way to one Redis: a server, a master that Sentinels know, or a cluster.

    Raises `BrokerUnavailable` when it does not answer in time, `BrokerUnusable` when somebody has
    to act.
    """

    @property
    def shown(self) -> str:
        """Return which server this is, without its password."""
        ...

    @property
    def spans(self) -> bool:
        """Whether one call may name keys of several slots: not on a cluster."""
        ...

    async def open(self) -> None:
        """Connect, and ask the server for its time; raise at once where that fails."""
        ...

    async def close(self) -> None:
        """Disconnect; a later call connects again."""
        ...

    async def run(
        self, script: Script, calls: Sequence[Call], *, safely: bool = False
    ) -> list[Reply]:
        """Call a script, with all calls on their way at once; return the answers in order.

        A call whose answer was lost is made again until `timeout` is over, and told so; one that
        ends in an error of the script's own raises it. With `safely`, wait until as many replicas,
        or disks, have it as the address asks for.
        """
        ...

    async def command(self, *words: Word) -> Reply:
        """Send a command that may be sent twice; return its answer."""
        ...

    async def listen(self, channels: Sequence[str], heard: Callable[[], None]) -> Listener:
        """Call `heard` for every message to these channels, and after every new connection."""
        ...

    def time(self) -> Moment:
        """Return what time the server has; this machine's own before the first connection."""
        ...

    def blocking(self) -> "Link":
        """Return a link to the same Redis that never suspends."""
        ...
