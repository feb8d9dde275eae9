"""What has to have a task before its producer is answered."""

from collections.abc import Iterator, Sequence
from typing import Final

from qcore.adapters.links.redis.pool import Request
from qcore.adapters.links.redis.resp import Command, Reply
from qcore.adapters.links.redis.server_info import facts, version_of
from qcore.domain.errors import BrokerUnavailable, BrokerUnusable
from qcore.domain.record import record

WAITAOF_SINCE: Final = (7, 2)


@record
class Check:
    """A question that is answered once what was written before it on its connection is safe."""

    request: Request
    needed: Sequence[int]
    of_what: Sequence[str]

    def refuse(self, reply: Reply, shown: str) -> None:
        """Raise `BrokerUnavailable` if fewer have it than are needed."""
        # WAIT answers with a number, WAITAOF with two
        counts: list[int] = [reply] if isinstance(reply, int) else reply
        for count, needed, what in zip(counts, self.needed, self.of_what, strict=True):
            if count < needed:
                raise BrokerUnavailable(
                    f"{shown}: it is stored there, but {count} of {needed} {what} have it in time; "
                    "enqueue it again under the same id to wait again, or look at the replicas"
                )


@record
class Safety:
    """How many have to have it; `timeout` in seconds."""

    replicas: int = 0
    fsync: tuple[int, int] | None = None
    """Append-only files: the server's own (0 or 1), and those of replicas. None asks for none."""
    timeout: float = 1.0

    @property
    def is_wanted(self) -> bool:
        """Return whether anything more than the server's word is asked for."""
        return self.replicas > 0 or self.fsync is not None

    def checks(self, key: str) -> Iterator[Check]:
        """Yield what to send behind what was written to a key."""
        patience = int(self.timeout * 1_000)
        if self.replicas:
            wait: Command = ("WAIT", self.replicas, patience)
            yield Check((key, wait), [self.replicas], ["replicas"])
        if self.fsync is not None:
            wait = ("WAITAOF", *self.fsync, patience)
            yield Check((key, wait), self.fsync, ["append-only files here", "those of replicas"])

    def refuse_unfit(self, info: bytes, shown: str) -> None:
        """Raise `BrokerUnusable` for a server that cannot say whether a disk has it."""
        said = facts(info)
        version = said.get("valkey_version") or said.get("redis_version", "0")
        if self.fsync is not None and version_of(version) < WAITAOF_SINCE:
            raise BrokerUnusable(
                f"{shown} is version {version}, and has no WAITAOF before 7.2: leave out fsync=, "
                "and set `appendfsync always` on the server for the same"
            )
