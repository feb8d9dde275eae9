"""What is declared again as it stands is not written: whatever the bytes are that say it."""

from collections.abc import Sequence

from qcore import Context, PeriodicTask, Qcore, chain
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.sealing import EncryptedSerializer
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.periodic.changes import EntryAnswer, EntryChange
from qcore.ports import Capability
from qcore.testing import ManualClock
from qcore.testing.entries import stored_entry

OLD, NEW = b"o" * 32, b"n" * 32


class Counting(MemoryBroker):
    """A broker whose store outlives the code, and that counts what is written of entries."""

    capabilities = MemoryBroker.capabilities | {Capability.SHARED, Capability.DURABLE}
    written = 0

    async def write_entries(
        self, changes: Sequence[EntryChange], *, now: Moment
    ) -> Sequence[EntryAnswer]:
        """Count them."""
        self.written += len(changes)
        return await super().write_entries(changes, now=now)


class Tenants:
    """An application that is asked for its periodic tasks each minute, and encrypts arguments."""

    def __init__(self, broker: Counting, *keys: tuple[str, bytes]) -> None:
        self.clock = ManualClock()
        self.q = Qcore(
            broker=broker,
            clock=self.clock,
            serializer=EncryptedSerializer(keys=keys or [("old", OLD)]),
            instruments=(),
        )
        self.tenant = "ann"

        @self.q.task("mail")
        async def mail(ctx: Context, to: str) -> None:
            """Do nothing."""

        @self.q.task("report")
        async def report(ctx: Context, tenant: str, parts: set[str] | None = None) -> None:
            """Do nothing."""

        async def provide() -> list[PeriodicTask]:
            call = report.call(self.tenant, {"sales", "stock", "staff"})
            chained = chain(report.call("first"), mail.call(self.tenant)).call
            return [PeriodicTask(3600, call), PeriodicTask(3600, chained, name="mailed")]

        self.q.periodic_provider(every=60)(provide)
        self._scheduler = self.q.scheduler()

    async def asked(self) -> None:
        """Have the provider asked once more."""
        self.clock.advance(60)
        await self._scheduler.once()

    async def started_anew(self) -> None:
        """Have the code start again."""
        self._scheduler.close()
        await self._scheduler.once()


async def test_what_is_encrypted_is_written_once() -> None:
    """Each poll encrypts with a nonce of its own; what is inside counts."""
    broker = Counting()
    tenants = Tenants(broker)
    await tenants.asked()
    assert broker.written == 2
    await tenants.asked()
    await tenants.started_anew()
    assert broker.written == 2


async def test_what_says_something_else_is_written() -> None:
    """Other arguments, of the first step or of a later one."""
    broker = Counting()
    tenants = Tenants(broker)
    await tenants.asked()
    tenants.tenant = "bob"
    await tenants.asked()
    assert broker.written == 4


async def stored(broker: Counting, name: str) -> NewTask:
    """Return the task of an entry as it is stored."""
    return (await stored_entry(broker, name)).entry.task


async def test_what_is_encrypted_by_an_old_key_is_written_by_the_new_one() -> None:
    """So that the old key can be removed, once it seals nothing."""
    broker = Counting()
    await Tenants(broker, ("old", OLD)).asked()
    before = await stored(broker, "report")
    both = Tenants(broker, ("new", NEW), ("old", OLD))
    await both.asked()
    after = await stored(broker, "report")
    assert (b"old" in before.payload, b"new" in after.payload) == (True, True)
    await both.asked()
    assert broker.written == 4


async def test_what_cannot_be_decrypted_any_more_is_written_anew() -> None:
    """By code that has another key."""
    broker = Counting()
    await Tenants(broker, ("old", OLD)).asked()
    await Tenants(broker, ("new", NEW)).asked()
    assert b"new" in (await stored(broker, "report")).payload
