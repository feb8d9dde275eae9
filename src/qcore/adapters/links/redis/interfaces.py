"""The link as the broker above it sees it: scripts, commands, messages and the server's time."""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha1
from typing import Final, Protocol, TypeAlias

from qcore.adapters.links.redis.resp import Arg, RedisCommand, Reply, command_format
from qcore.adapters.links.redis.topology import Topology
from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.ports import Subscription

OnConnected: TypeAlias = Callable[[], None]
"""Called after each connection: messages may have been missed before it."""
OnMessage: TypeAlias = Callable[[str, bytes], None]
"""Called with the channel and the content of each message; the content may be empty."""


class Script:
    """A Lua script, which Redis executes atomically; servers know it by its digest.

    It is kept as its parts, which many scripts have in common: a server is sent its text but once.
    """

    def __init__(self, *parts: str) -> None:
        self.parts: Final = parts
        # EVALSHA names scripts by SHA-1 (redis.io); nothing is kept secret by it
        self.digest: Final = sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    @property
    def text(self) -> str:
        """Return the whole script."""
        return "\n".join(self.parts)

    def call_format(self, keys: Sequence[str], args: Sequence[Arg | None]) -> bytes:
        """Return a call that is no repeated one as a `command_format`.

        It is filled in with its number and the arguments that are None.
        """
        return command_format(("EVALSHA", self.digest, len(keys), *keys, 0, None, *args))


@record
class ScriptCall:
    """One call of a script: KEYS, ARGV, and the number that makes a repeated call recognisable.

    `args` may be generated: they are gone through each time the call is sent.
    """

    keys: Sequence[str]
    args: Iterable[Arg]
    number: int = 0
    """Counts calls under the request id that is among the keys; 0 where none is remembered."""


class Link(Protocol):
    """A way to one Redis: a server, a master that Sentinels name, or a cluster.

    Raises `BrokerUnavailable` when it does not reply in time, `BrokerUnusable` when somebody has
    to act.
    """

    @property
    def shown(self) -> str:
        """Return the server for messages, without its password."""
        ...

    @property
    def is_multi_slot(self) -> bool:
        """Whether one call may name keys of several hash slots: not on a cluster."""
        ...

    @property
    def waits_for_durability(self) -> bool:
        """Whether a durable call waits for replicas or disks."""
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
        calls: Sequence[ScriptCall],
        *,
        durable: bool = False,
        partial: bool = False,
    ) -> list[Reply]:
        """Call a script, all calls in one pipeline; return the replies in order.

        A call whose reply was lost is sent again until the timeout, and told that it is a repeated
        one; an error that the script itself raises is raised. With `durable`, wait for as many
        replicas or disks as the address asks for. With `partial`, a `QcoreError` takes the place of
        each reply that did not arrive.
        """
        ...

    async def run_one(
        self, script: Script, keys: Sequence[str], number: int, args: Sequence[Arg], encoded: bytes
    ) -> Reply:
        """Call a script once, and return its reply: as `run` does, in half of the time.

        `encoded` is the call, by the script's `call_format`.
        """
        ...

    async def command(self, *args: Arg) -> Reply:
        """Send a command that may be executed twice; return its reply."""
        ...

    async def listen(
        self,
        channels: Sequence[str],
        on_connected: OnConnected,
        on_message: OnMessage,
        *,
        check: RedisCommand | None = None,
    ) -> Subscription:
        """Call `on_message` for each message to these, `on_connected` after each connection.

        Messages published while there is no connection are lost. `check` is a write that changes
        nothing: while there are no messages it is tried about every second, so that a server that
        takes no writes any more is left though nobody else calls it.
        """
        ...

    @property
    def time(self) -> Callable[[], Moment]:
        """Return the server's clock; before the first connection it is this machine's."""
        ...

    def retry_deadline(self) -> Moment:
        """Return until when, by the server's clock, a call made now may be sent again."""
        ...

    async def topology(self) -> Topology:
        """Return the servers here; raise as `open` does where a cluster does not name them."""
        ...

    def blocking(self) -> "Link":
        """Return a link to the same Redis that never suspends."""
        ...
