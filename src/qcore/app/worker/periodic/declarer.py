"""Keep the entries in the broker that code declares: at the start, again and again, and no longer.

What code declares counts for five minutes in a store that outlives it, and is renewed each minute.
So an entry whose code is gone, as a handler was renamed, is stale soon. Nobody fires it meanwhile:
ticks of declared entries are made only where they are declared.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from inspect import isawaitable, iscoroutinefunction
from typing import Any, Final, TypeAlias

from attrs import evolve

from qcore.app.calls.introspection import unwraps_to
from qcore.app.calls.periodic_task import PeriodicTask
from qcore.app.calls.stored_bytes import with_stored_bytes
from qcore.app.calls.user_code import as_exception, is_from_outside, log_failure
from qcore.app.client.client import Client
from qcore.app.client.entry_listing import browse_all
from qcore.app.tasks.periodic import PeriodicDeclarations, Provider
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.pools.threads import ThreadPool
from qcore.app.worker.quarantine import Quarantine
from qcore.domain.errors import InvalidOption, InvalidTask, QcoreError
from qcore.domain.events import PeriodicFailed
from qcore.domain.moments import Moment
from qcore.domain.periodic.changes import EntryChange, EntryWritten
from qcore.domain.periodic.editing import DECLARED_FOR, declared, renewed
from qcore.domain.periodic.entry import Entry, EntryId, FoundEntry, StoredEntry
from qcore.domain.record import record
from qcore.domain.text import shown
from qcore.ports import Broker, Capability, Periodic

RENEW_EVERY: Final = 60.0
"""Seconds from one look at what is declared to the next."""
PROVIDER_TIMEOUT: Final = 30.0
"""Seconds, of real time, after which a provider's answer is not waited for."""
PROVIDER_THREADS: Final = 4
ATTEMPTS: Final = 20
"""How often a declaration is decided anew, as others change the entry: then the next look does."""

Key: TypeAlias = tuple[str, EntryId]
Decide: TypeAlias = Callable[[FoundEntry | None, "Declared", Moment], EntryChange | None]


@record
class Declared:
    """An entry that is declared here, and the periodic task that it was made of."""

    entry: Entry
    task: PeriodicTask

    @property
    def key(self) -> Key:
        """Return its queue and its id."""
        return self.entry.queue, self.entry.id

    @property
    def declared_by(self) -> str:
        """Return the code that declares it."""
        return self.entry.declared_by or ""


class Declarer:
    """Declare a router's periodic tasks, those of its providers too, and renew them.

    Made on the scheduler's event loop.
    """

    def __init__(
        self,
        declarations: PeriodicDeclarations,
        client: Client,
        periodic: Periodic,
        *,
        quarantine: Quarantine,
        emit: Instruments,
    ) -> None:
        self._declarations = declarations
        self._client = client
        self._periodic = periodic
        self._quarantine = quarantine
        self._emit = emit
        self._outlives_code = _outlives_code(client.broker)
        self._threads = ThreadPool(PROVIDER_THREADS)
        self._own: dict[Key, Declared] = {}
        self._provided: dict[str, dict[Key, Declared]] = {}
        """What each provider has returned last."""
        self._poll_at: dict[str, Moment] = {}
        self._undeclared: dict[Key, Declared] = {}
        """What is yet to be declared, as its queue could not be used."""
        self._written = 0
        """Changes of entries that were made, ever."""
        self._renew_at: Moment | None = None
        """When to look at what is declared again; None before it was declared."""

    @property
    def queues(self) -> list[str]:
        """Return the queues of what is declared."""
        return list(dict.fromkeys(queue for queue, _ in self._all()))

    def is_declared(self, entry: Entry) -> bool:
        """Return whether an entry is declared here, by the code that it names."""
        found = self._own.get((entry.queue, entry.id)) or self._all().get((entry.queue, entry.id))
        return found is not None and found.declared_by == entry.declared_by

    @property
    def next_look(self) -> Moment | None:
        """Return when there is something to declare, to renew or to ask for; None for never."""
        renew = self._renew_at if self._outlives_code and self._all() else None
        moments = [*self._poll_at.values(), *([] if renew is None else [renew])]
        if self._undeclared:
            moments.append(self._quarantine.next_retry())
        return min(moments, default=None)

    async def look(self) -> bool:
        """Declare what is to be declared by now, renew what is, and ask the providers.

        Return whether there is something to tick that was not there before.
        """
        declared, written = {*self._all()}, self._written
        now = self._client.clock.now()
        if self._renew_at is None:
            self._own = self._built([(t.task, t.declared_by) for t in self._declarations.tasks])
            await self._declare_all(self._own)
            self._renew_at = now + RENEW_EVERY
        elif self._renew_at <= now:
            await self.renew()
        if self._undeclared:
            await self._declare_all(self._undeclared)
        due = [
            p for p in self._declarations.providers if self._poll_at.get(p.declared_by, 0) <= now
        ]
        await asyncio.gather(*(self._poll(provider) for provider in due))
        return self._written > written or {*self._all()} != declared

    async def renew(self) -> None:
        """Go on declaring what was declared, where a declaration counts for a while only."""
        if self._outlives_code:
            await self._write(self._all().values(), _renew)
            self._renew_at = self._client.clock.now() + RENEW_EVERY

    def over(self, periodic: Periodic) -> "Declarer":
        """Return the same over another broker on the store, to renew what is declared."""
        other = copy(self)
        other._periodic = periodic  # noqa: SLF001  (it is of this class)
        return other

    def close(self) -> None:
        """Let the threads end; one whose provider hangs keeps nobody."""
        self._threads.close()

    def _all(self) -> dict[Key, Declared]:
        if not self._provided:
            return self._own
        provided = {key: each for found in self._provided.values() for key, each in found.items()}
        return provided | self._own

    def _built(self, tasks: Sequence[tuple[PeriodicTask, str]]) -> dict[Key, Declared]:
        """Return the entries of periodic tasks; those that are wrong are reported and left out."""
        built: dict[Key, Declared] = {}
        for task, declared_by in tasks:
            try:
                request = self._client.build(task.request, self._client.clock.now())
                found = Declared(task.entry(request, declared_by), task)
            except QcoreError as error:
                self._emit(PeriodicFailed("", task.name, error))
            else:
                built[found.key] = found
        return built

    # --- providers -----------------------------------------------------------------------------

    async def _poll(self, provider: Provider) -> None:
        """Declare what a provider returns, and remove what it has returned before."""
        name = provider.declared_by
        self._poll_at[name] = self._client.clock.now() + provider.every
        try:
            async with asyncio.timeout(PROVIDER_TIMEOUT):
                tasks = _checked(await self._called(provider), name)
        except BaseException as error:
            # what is there stays, and is renewed: a database that is away ends no schedule
            if is_from_outside(error):
                raise
            log_failure(error, "a provider of periodic tasks failed", provider.provide)
            self._emit(PeriodicFailed("", name, as_exception(error, "the provider")))
            return
        before = self._provided.get(name)
        now_there = self._built([(task, name) for task in tasks])
        self._provided[name] = now_there
        await self._declare_all(now_there)
        gone = await self._left_over(name) if before is None else set(before)
        await self._remove(gone - now_there.keys(), name)

    async def _called(self, provider: Provider) -> object:
        """Call a provider: a plain function in a thread, as it may wait for a database."""
        provide: Callable[[], Any] = provider.provide
        if unwraps_to(iscoroutinefunction, provide):
            return await provide()
        answer = await self._threads.submit(provide)
        return await answer if isawaitable(answer) else answer

    async def _left_over(self, declared_by: str) -> set[Key]:
        """Return the entries that a provider of this name has declared in an earlier process."""
        found = [
            entry
            for queue in await self._periodic.entry_queues()
            for entry in await browse_all(self._periodic, queue)
        ]
        return {(each.queue, each.id) for each in found if _is_by(each, declared_by)}

    async def _remove(self, keys: Iterable[Key], declared_by: str) -> None:
        for queue, entry in keys:
            self._undeclared.pop((queue, entry), None)
            [found] = await self._periodic.entries(queue, [entry])
            if found is not None and _is_by(found, declared_by):
                change = EntryChange(queue, entry, found.revision, None)
                await self._periodic.write_entries([change], now=self._client.clock.now())

    # --- write ---------------------------------------------------------------------------------

    async def _declare_all(self, asked: Mapping[Key, Declared]) -> None:
        """Declare entries, later those whose queue cannot be used."""
        asked = dict(asked)
        await self._write(asked.values(), self._declare)
        usable = self._quarantine.fit([queue for queue, _ in asked])
        for key, each in asked.items():
            if each.entry.queue in usable:
                self._undeclared.pop(key, None)
            else:
                self._undeclared[key] = each

    def _declare(self, found: FoundEntry | None, what: Declared, now: Moment) -> EntryChange | None:
        lasts = DECLARED_FOR if self._outlives_code else None
        entry = what.entry
        if isinstance(found, StoredEntry) and found.entry != entry:
            request, codec = what.task.request, self._client.codec
            task = with_stored_bytes(entry.task, found.entry.task, request, codec)
            entry = evolve(entry, task=task)
        return declared(found, entry, what.task.schedule, now, declared_for=lasts)

    async def _write(self, asked: Iterable[Declared], decide: Decide) -> None:
        """Read entries, decide and write, in those of their queues that can be used."""
        by_queue = _by_queue(asked)

        async def write(queues: Sequence[str]) -> None:
            await self._write_to([each for queue in queues for each in by_queue[queue]], decide)

        await self._quarantine.serve([*by_queue], write)

    async def _write_to(self, left: Sequence[Declared], decide: Decide) -> None:
        """Read entries, decide and write, again while others are faster."""
        for _ in range(ATTEMPTS):
            now = self._client.clock.now()
            pairs = [
                (what, change)
                for what, found in await self._found(left)
                if (change := decide(found, what, now)) is not None
            ]
            if not pairs:
                return
            changes = [change for _, change in pairs]
            answers = await self._periodic.write_entries(changes, now=now)
            left = [
                what
                for (what, _), answer in zip(pairs, answers, strict=True)
                if not isinstance(answer, EntryWritten)
            ]
            self._written += len(pairs) - len(left)

    async def _found(self, asked: Sequence[Declared]) -> list[tuple[Declared, FoundEntry | None]]:
        """Return what lies under the ids of what is declared, queue by queue."""
        return [
            pair
            for queue, some in _by_queue(asked).items()
            for pair in zip(
                some,
                await self._periodic.entries(queue, [each.entry.id for each in some]),
                strict=True,
            )
        ]


def _by_queue(asked: Iterable[Declared]) -> Mapping[str, Sequence[Declared]]:
    found: dict[str, list[Declared]] = {}
    for each in asked:
        found.setdefault(each.entry.queue, []).append(each)
    return found


def _renew(found: FoundEntry | None, what: Declared, now: Moment) -> EntryChange | None:
    return renewed(found, what.declared_by, now)


def _is_by(found: FoundEntry, declared_by: str) -> bool:
    return isinstance(found, StoredEntry) and found.entry.declared_by == declared_by


def _outlives_code(broker: Broker) -> bool:
    return not broker.capabilities.isdisjoint({Capability.SHARED, Capability.DURABLE})


def _checked(answer: object, name: str) -> list[PeriodicTask]:
    given: Any = answer
    if isinstance(answer, str | bytes | Mapping) or not isinstance(answer, Iterable):
        raise InvalidOption(f"{name} returned {shown(given)}: expected a list of PeriodicTask")
    tasks: list[Any] = list(given)
    for each in tasks:
        if not isinstance(each, PeriodicTask):
            raise InvalidTask(f"{name} returned {shown(each)} among others: expected PeriodicTask")
    return tasks
