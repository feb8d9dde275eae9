"""Durability of an enqueue beyond the server's memory: WAIT for replicas, WAITAOF for disks."""

from collections.abc import Iterator, Sequence
from typing import Final

from qcore.adapters.links.redis.pool import Request
from qcore.adapters.links.redis.resp import RedisCommand, Reply
from qcore.adapters.links.redis.server_info import info_fields, version_of
from qcore.domain.errors import BrokerUnavailable, BrokerUnusable
from qcore.domain.record import record

WAITAOF_SINCE: Final = (7, 2)


@record
class DurabilityCheck:
    """A request whose reply counts who has the writes sent before it on its connection."""

    request: Request
    needed: Sequence[int]
    what: Sequence[str]

    def refuse(self, reply: Reply, server: str) -> None:
        """Raise `BrokerUnavailable` if fewer have the writes than are needed."""
        # WAIT replies with one number, WAITAOF with two
        counts: list[int] = [reply] if isinstance(reply, int) else reply
        for count, needed, what in zip(counts, self.needed, self.what, strict=True):
            if count < needed:
                raise BrokerUnavailable(
                    f"{server}: it is stored there, but {count} of {needed} {what} have it in "
                    "time; enqueue it again under the same id to wait again, or look at the "
                    "replicas"
                )


@record
class Durability:
    """What has to have a write before its caller is answered; `timeout` in seconds."""

    replicas: int = 0
    fsync: tuple[int, int] | None = None
    """Append-only files: the server's own (0 or 1), and those of replicas. None asks for none."""
    timeout: float = 1.0

    @property
    def is_requested(self) -> bool:
        """Return whether more than the server's reply is asked for."""
        return self.replicas > 0 or self.fsync is not None

    def checks(self, key: str) -> Iterator[DurabilityCheck]:
        """Yield what to send after writes to a key."""
        milliseconds = int(self.timeout * 1_000)
        if self.replicas:
            wait: RedisCommand = ("WAIT", self.replicas, milliseconds)
            yield DurabilityCheck((key, wait), [self.replicas], ["replicas"])
        if self.fsync is not None:
            wait = ("WAITAOF", *self.fsync, milliseconds)
            what = ["append-only files here", "those of replicas"]
            yield DurabilityCheck((key, wait), self.fsync, what)

    def refuse_unfit(self, info: bytes, server: str) -> None:
        """Raise `BrokerUnusable` for a server that has no WAITAOF where `fsync` needs it."""
        fields = info_fields(info)
        version = fields.get("valkey_version") or fields.get("redis_version", "0")
        if self.fsync is not None and version_of(version) < WAITAOF_SINCE:
            raise BrokerUnusable(
                f"{server} is version {version}, and has no WAITAOF before 7.2: leave out fsync=, "
                "and set `appendfsync always` on the server for the same"
            )
