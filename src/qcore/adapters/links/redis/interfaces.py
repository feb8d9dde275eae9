"""What a link to Redis offers to the broker above it."""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha1
from typing import Final, Literal, Protocol, TypeAlias

from qcore.adapters.links.redis.resp import Command, Reply, Word
from qcore.domain.errors import QcoreError
from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.ports import Subscription

OnMessage: TypeAlias = Callable[[str, bytes], None]
"""To be called with each message: its channel, and what it says, which may be nothing."""


class Script:
    """Lua that Redis runs whole, known to it by its digest."""

    def __init__(self, text: str) -> None:
        self.text: Final = text
        # Redis names scripts so (redis.io, EVALSHA); nothing is kept secret by it
        self.digest: Final = sha1(text.encode(), usedforsecurity=False).hexdigest()


@record
class Call:
    """One call of a script: the keys it touches, and what it is told.

    What it is told may be made when it is gone through, which is each time the call is made.
    `number` counts the moves of the lane that is among its keys, 0 where none is remembered.
    """

    keys: Sequence[str]
    words: Iterable[Word]
    number: int = 0


class Spot(Protocol):
    """One server of those that a link may lead to, asked by itself."""

    @property
    def name(self) -> str:
        """Return where it is."""
        ...

    async def ask(self, *commands: Command) -> list[Reply | QcoreError]:
        """Send commands together, once; an error it answers with takes the place of the answer.

        Raises `BrokerUnavailable` or `BrokerUnusable` where no answers come.
        """
        ...


@record
class Manner:
    """How a link comes to its servers, as its URL says."""

    kind: Literal["single", "sentinel", "cluster", "unix"]
    hosts: Sequence[str]
    """Empty for a socket of this machine."""
    master: str
    """The name by which Sentinels know it."""
    user: str
    client: str
    """What CLIENT LIST shows."""
    is_known: bool
    """Whether it tells a password, or shows a certificate of its own."""
    tls: bool
    verify: bool
    replicas: int
    fsync: tuple[int, int] | None


@record
class Surroundings:
    """What there is where a link leads."""

    servers: Sequence[Spot]
    """Those that queues are on: one, or the masters of a cluster."""
    replicas: Sequence[Spot] = ()
    """Of a cluster."""
    sentinels: Sequence[Spot] = ()
    manner: Manner | None = None
    """None where the link was made over somebody's own connections."""


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

    @property
    def is_patient(self) -> bool:
        """Whether `safely` waits for anything."""
        ...

    async def open(self) -> None:
        """Connect, and ask the server for its time; raise at once where that fails."""
        ...

    async def close(self) -> None:
        """Disconnect; a later call connects again."""
        ...

    async def run(
        self,
        script: Script,
        calls: Sequence[Call],
        *,
        safely: bool = False,
        partly: bool = False,
    ) -> list[Reply]:
        """Call a script, with all calls on their way at once; return the answers in order.

        A call whose answer was lost is made again until `timeout` is over, and told so; one that
        ends in an error of the script's own raises it. With `safely`, wait until as many replicas,
        or disks, have it as the address asks for. With `partly`, the error takes the place of those
        answers that did not come.
        """
        ...

    async def command(self, *words: Word) -> Reply:
        """Send a command that may be sent twice; return its answer."""
        ...

    async def listen(
        self,
        channels: Sequence[str],
        connected: Callable[[], None],
        on_message: OnMessage,
    ) -> Subscription:
        """Call `on_message` for every message to these channels, `connected` after each connection.

        What was said before a connection was made is lost.
        """
        ...

    @property
    def time(self) -> Callable[[], Moment]:
        """Return what says what time the server has; before the first connection, this machine."""
        ...

    def waits_until(self) -> Moment:
        """Return until when, by the server's clock, a call that is made now is waited for."""
        ...

    async def around(self) -> Surroundings:
        """Return the servers here; raise as `open` does where a cluster does not tell them."""
        ...

    def blocking(self) -> "Link":
        """Return a link to the same Redis that never suspends."""
        ...
