"""Claim, execute, settle: a worker's life from its first claim to its last verdict."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from itertools import chain
from random import SystemRandom
from typing import Final, cast

from qcore.app.calls.call import TaskRequest
from qcore.app.calls.codec import Codec
from qcore.app.client.client import DEFAULT_MAX_PAYLOAD, Client
from qcore.app.client.wakeup import Wakeup, first
from qcore.app.tasks.context import NO_SERVICES, Context, RunServices
from qcore.app.tasks.lifespan import enter
from qcore.app.tasks.router import Router
from qcore.app.worker.capacity import Capacity, only, within
from qcore.app.worker.deadlines import Deadlines
from qcore.app.worker.executor import Executor
from qcore.app.worker.groups.aggregation import AggregationRunner
from qcore.app.worker.groups.scheduler import GroupScheduler
from qcore.app.worker.heartbeat import Heartbeat
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.outbox import Outbox
from qcore.app.worker.pools.handler_pools import HandlerPools
from qcore.app.worker.progress_writer import ProgressWriter
from qcore.app.worker.quarantine import Quarantine
from qcore.app.worker.retrying import GaveUp, Retrying
from qcore.app.worker.run import CancelReason, Run, deadline_of
from qcore.app.worker.settings import WorkerSettings
from qcore.app.worker.watchdog import Watchdog
from qcore.domain.events import (
    LeaseWasLost,
    NoHandler,
    TaskFinished,
    TasksClaimed,
    TasksSwept,
    TaskStarted,
    WorkerPaused,
    WorkerStarted,
    WorkerStopped,
    WorkerStopping,
)
from qcore.domain.lifecycle import Released, Snoozed, Transition
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.retry import Dice
from qcore.domain.task import Claim, Demand
from qcore.ports import (
    Aggregating,
    Broker,
    Capability,
    Clock,
    Instrument,
    LeaseEnded,
    Notification,
    WorkAvailable,
)

LONGEST_IDLE: Final = 10.0
"""Seconds after which an idle worker looks again, though nobody woke it."""
CANCEL_TIMEOUT: Final = 1.0
"""Seconds that a handler has to end after it was cancelled at shutdown."""
SWEPT_AT_ONCE: Final = 1_000


class Worker:
    """Serve the queues of a broker with the handlers of a router."""

    def __init__(
        self,
        broker: Broker,
        router: Router,
        settings: WorkerSettings,
        *,
        clock: Clock,
        codec: Codec,
        dice: Dice,
        instruments: Sequence[Instrument] = (),
        max_payload: int = DEFAULT_MAX_PAYLOAD,
    ) -> None:
        self._broker = broker
        self._router = router
        self._settings = settings
        self._clock = clock
        self._codec = codec
        self._dice = dice
        self._client = Client(
            broker, clock=clock, codec=codec, max_payload=max_payload, coalesce=False
        )
        self._emit = Instruments(instruments)
        self._tells_start = self._emit.wants(TaskStarted)
        self._tells_end = self._emit.wants(TaskFinished)
        self._retrying = Retrying(clock, dice, self._emit)
        self._progress_writer = ProgressWriter(
            broker,
            clock,
            self._retrying,
            self._emit,
            max_saved=max_payload,
            lost=self._lease_ended,
        )
        self._outbox = Outbox(broker, clock, self._retrying, self._emit, self._progress_writer)
        self._deadlines = Deadlines(clock)
        self._shares = settings.shares(router.queues())
        self._claims, self._moments, self._sweeps = (
            Quarantine(name, self._shares.queues, clock=clock, dice=dice, emit=self._emit)
            for name in ("claim", "next_due", "sweep")
        )
        # in two halves: one is claimed while the other runs, and neither waits for the other
        self._bite = max(1, settings.concurrency // 2)
        self._running: set[Run] = set()
        self._host = NO_SERVICES
        self._leaving = asyncio.Event()
        self._at_once = asyncio.Event()
        self.executed = 0
        """How many runs have ended here."""
        self._asked_to_leave: Moment | None = None
        self._paused = False
        self._wants_room = False
        """Whether the end of a run is news: while there is room, only new tasks are."""
        self._wakeup: Wakeup | None = None
        self._has_heard = True
        """Whether something may be due earlier than was found."""
        self._due: Moment | None = None
        self._asked: Sequence[str] = ()
        """In which queues it was looked for."""
        self._gathering: GroupScheduler | None = None

    @property
    def running(self) -> int:
        """Return how many tasks are in hand."""
        return len(self._running)

    @property
    def next_ready(self) -> Moment | None:
        """Return when the next group is ready to be aggregated here, as of the last look."""
        return None if self._gathering is None else self._gathering.next_ready

    def stop(self, *, at_once: bool = False) -> None:
        """Claim no more, let what runs end within the grace, and leave; `at_once` has no grace.

        To be called on the worker's loop.
        """
        if not self._leaving.is_set():
            self._asked_to_leave = self._clock.now()
            self._leaving.set()
        if at_once:
            self._at_once.set()
        self._wake()

    def pause(self) -> None:
        """Claim no more until `resume`; what runs goes on."""
        self._paused = True
        self._emit(WorkerPaused())

    def resume(self) -> None:
        """Claim again."""
        self._paused = False
        self._wake()
        if self._gathering is not None:
            self._gathering.wake()

    async def run(self) -> None:
        """Work until `stop`, or, in a burst, until there is nothing to do.

        Raises what `open` of the broker raises, and what a lifespan raises.
        """
        settings = self._settings
        await self._broker.open()
        async with AsyncExitStack() as stack:
            state = await enter(self._router.lifespans, stack)
            self._host = RunServices(state, self._build, self._progress_writer)
            pools = HandlerPools(settings.threads, settings.processes)
            stack.callback(pools.close)
            self._pools = pools
            self._executor = self._make_executor(pools)
            wakeup = self._wakeup = Wakeup(asyncio.get_running_loop())
            self._loop = asyncio.get_running_loop()
            gathering = self._gathering = self._make_gathering(pools)
            subscription = await self._broker.subscribe(
                self._shares.queues, {WorkAvailable, LeaseEnded}, self._notify
            )
            stack.push_async_callback(subscription.close)
            if gathering is not None:
                stack.push_async_callback(gathering.close)
            stack.callback(self._deadlines.close)
            self._keep_leases(stack)
            async with asyncio.TaskGroup() as group:
                helpers = [
                    group.create_task(self._outbox.serve()),
                    group.create_task(self._progress_writer.serve()),
                    group.create_task(self._sweep()),
                ]
                if gathering is not None and not settings.burst:
                    helpers.append(group.create_task(gathering.serve()))
                self._emit(WorkerStarted(self._shares.queues))
                serving = group.create_task(self._serve(wakeup))
                overdue = group.create_task(self._overdue())
                try:
                    await asyncio.wait([serving, overdue], return_when=asyncio.FIRST_COMPLETED)
                except asyncio.CancelledError:
                    # whoever cancels a worker wants it to end, not its tasks to be lost, those
                    # among them that the broker is just handing out
                    self.stop(at_once=True)
                    await asyncio.wait([serving], timeout=CANCEL_TIMEOUT)
                    raise
                finally:
                    serving.cancel()
                    await self._leave()
                    for helper in (overdue, *helpers):
                        helper.cancel()
        # it may run again
        self._leaving.clear()
        self._at_once.clear()
        self._outbox.give_up_at = None

    def _make_executor(self, pools: HandlerPools) -> Executor:
        return Executor(
            self._router,
            clock=self._clock,
            codec=self._codec,
            client=self._client,
            dice=self._dice,
            policy=self._settings.policy,
            pools=pools,
            begin=self._begin,
            worker=self._settings.name,
        )

    def _make_gathering(self, pools: HandlerPools) -> GroupScheduler | None:
        """Return what aggregates groups, where there are groups and somebody to aggregate them."""
        aggregators = self._router.aggregators
        if not aggregators or Capability.GROUPS not in self._broker.capabilities:
            return None
        clock, retrying, leaving = self._clock, self._retrying, self._leaving
        broker = cast("Aggregating", self._broker)
        return GroupScheduler(
            self._shares.queues,
            aggregators,
            self._settings.timing,
            AggregationRunner(
                broker, self._client, pools, clock=clock, retrying=retrying, leaving=leaving
            ),
            broker=broker,
            clock=clock,
            dice=self._dice,
            retrying=retrying,
            emit=self._emit,
            leaving=leaving,
            is_paused=lambda: self._paused,
        )

    def _keep_leases(self, stack: AsyncExitStack) -> None:
        """Renew leases and watch the loop, from threads of their own."""
        blocking = self._broker.blocking()
        self._progress_writer.open(blocking)
        heartbeat = Heartbeat(
            blocking,
            self._clock,
            self._settings.lease,
            runs=self._held,
            lost=self._lose_soon,
            emit=self._emit,
        )
        if blocking is not self._broker:
            stack.push_async_callback(blocking.close)
        watchdog = Watchdog(self._emit)
        watchdog.start()
        stack.callback(watchdog.stop)
        stack.callback(self._clock.every(heartbeat.interval, heartbeat.beat))

    # --- claim ---------------------------------------------------------------------------------

    async def _serve(self, wakeup: Wakeup) -> None:
        """Claim as much as there is room for, until it is time to leave."""
        capacity = Capacity(self._router, self._pools.slots)
        # a broker that is away when it is time to leave need not come back for it
        with suppress(GaveUp):
            while not self._leaving.is_set():
                await self._turn(wakeup, capacity)

    async def _turn(self, wakeup: Wakeup, capacity: Capacity) -> None:
        """Claim once, or wait until there is reason to."""
        settings = self._settings
        room = min(settings.concurrency - len(self._running), self._bite)
        demands = capacity.demands(self._shares, room)
        self._wants_room = capacity.are_tight or settings.burst
        if self._paused or not demands:
            await wakeup.wait()
            return
        wakeup.forget()
        # what still runs, or is not settled, may add to what a claim that is on its way finds
        is_last = not self._running and self._outbox.is_empty
        left, is_filled = room, False
        for whole in demands:
            demand = within(whole, left)
            claims = await self._claim(demand)
            capacity.note(claims)
            self._start(claims)
            left -= len(claims)
            is_filled = is_filled or len(claims) >= demand.limit
            if left <= 0:
                break
        if is_filled:
            # there may be more, which can be on its way here while this begins; but where slots
            # count, who has one must be known before
            if capacity.may_be_tight:
                await asyncio.sleep(0)
        elif settings.burst and left == room and not self._running:
            await self._outbox.emptied()
            if is_last and not await self._more() and not await self._gathered():
                self.stop()
        else:
            if left < room:
                # what was claimed begins before the broker is asked when it may have more
                await asyncio.sleep(0)
            await self._idle(wakeup)

    async def _claim(self, demand: Demand) -> Sequence[Claim]:
        lease, left = self._settings.lease, demand.limit

        async def claim(queues: Sequence[str]) -> Sequence[Claim]:
            nonlocal left
            now = self._clock.now()
            asked = within(only(demand, queues), left)
            claims = await self._broker.claim(asked, now=now, until=now + lease)
            left -= len(claims)
            return claims

        answers = await self._retrying.call(
            "claim",
            lambda: self._claims.serve([*demand.quotas], claim),
            unless=self._leaving,
        )
        return [*chain.from_iterable(answers)]

    def _start(self, claims: Sequence[Claim]) -> None:
        if claims and self._emit.wants(TasksClaimed):
            self._emit(TasksClaimed(claims))
        create_task, host, running = self._loop.create_task, self._host, self._running
        for claim in claims:
            run = Run(claim, Context(claim, host))
            running.add(run)
            run.coroutine = create_task(self._execute(run))

    async def _idle(self, wakeup: Wakeup) -> None:
        """Wait until there may be something to claim."""
        due = await self._moment()
        latest = self._clock.now() + LONGEST_IDLE
        until = latest if due is None else min(due, latest)
        sleeper = asyncio.create_task(self._clock.sleep_until(until))
        # one that was cancelled must not nudge: that would cancel the next one, and so for ever
        sleeper.add_done_callback(lambda slept: None if slept.cancelled() else wakeup())
        try:
            await wakeup.wait()
        finally:
            sleeper.cancel()

    async def _moment(self) -> Moment | None:
        """Return when something is due: as it was found, unless that passed or there is news."""
        queues = self._claims.fit(self._shares.queues)
        has_passed = self._due is not None and self._due <= self._clock.now()
        if self._has_heard or has_passed or self._asked != queues:
            # before it asks: what is heard meanwhile may not be in the answer
            self._has_heard = False
            self._due, self._asked = await self._next_due(), queues
        return self._due

    def _notify(self, notification: Notification) -> None:
        """Do what the broker's notification gives reason to. Called from whichever thread."""
        if isinstance(notification, LeaseEnded):
            self._lease_ended(notification.queue, notification.token)
            return
        self._has_heard = True
        self._wake()
        if self._gathering is not None:
            self._gathering.wake()

    async def _more(self) -> bool:
        """Return whether a burst has more to do now: what it settled may be due again at once."""
        due = await self._next_due()
        return due is not None and due <= self._clock.now()

    async def _gathered(self) -> bool:
        """Return whether a burst has made tasks of groups, which it has yet to run."""
        return self._gathering is not None and await self._gathering.once() > 0

    async def _next_due(self) -> Moment | None:
        answers = await self._retrying.call(
            "next_due",
            lambda: self._moments.serve(
                self._claims.fit(self._shares.queues), self._broker.next_due
            ),
            unless=self._leaving,
        )
        return min((due for due in answers if due is not None), default=None)

    # --- execute -------------------------------------------------------------------------------

    async def _execute(self, run: Run) -> None:
        try:
            outcome = await self._executor.execute(run)
        except BaseException:
            # only a worker that is being torn down gets here; the lease will run out
            self._running.discard(run)
            raise
        finally:
            self._deadlines.forget(run)
        self.executed += 1
        if self.executed == self._settings.max_tasks:
            self.stop()
        if run not in self._running:
            return  # it was released over its head
        self._running.discard(run)
        if outcome is not None:
            self._outbox.put(run, outcome)
        if self._wants_room:
            self._wake()
        if outcome is not None:
            self._report(run, outcome)

    def _build(self, asked: TaskRequest) -> NewTask:
        """Return what a run has asked for, as it is to be stored."""
        return self._client.build(asked, self._clock.now())

    def _begin(self, run: Run) -> None:
        """Start the clock of a run whose handler is about to be called."""
        now = run.began = self._clock.now()
        deadline = run.ctx.deadline = deadline_of(run.claim, now)
        if deadline is not None:
            self._deadlines.watch(run, deadline)
        if self._tells_start:
            self._emit(TaskStarted(run.claim))

    def _report(self, run: Run, outcome: Transition) -> None:
        if isinstance(outcome, Snoozed) and outcome.unhandled:
            self._emit(NoHandler(run.claim))
        if self._tells_end:
            seconds = 0.0 if run.began is None else self._clock.now() - run.began
            self._emit(TaskFinished(run.claim, outcome, seconds))

    def _wake(self) -> None:
        if self._wakeup is not None:
            self._wakeup()

    # --- leases --------------------------------------------------------------------------------

    def _held(self) -> list[Run]:
        """Return the runs whose leases are to be renewed. Called from the heartbeat's thread."""
        return [*self._running.copy(), *self._outbox.runs()]

    def _lose_soon(self, run: Run) -> None:
        """Do what `_lose` does, on the loop. Called from whichever thread."""
        self._loop.call_soon_threadsafe(self._lose, run)

    def _lease_ended(self, queue: str, token: int) -> None:
        """Lose a lease that an order has ended, if it is ours. Called from whichever thread."""
        for run in self._running.copy():
            lease = run.claim.lease
            # a loop that is closed has nobody to tell
            if (lease.token, lease.queue) == (token, queue) and not self._loop.is_closed():
                self._lose_soon(run)

    def _lose(self, run: Run) -> None:
        """Stop working on a task that is somebody else's now."""
        if run in self._running:
            self._emit(LeaseWasLost(run.claim))
            run.cancel(CancelReason.LEASE_LOST)

    async def _sweep(self) -> None:
        """Move what time has moved: crashed tasks of others above all."""
        every = self._settings.sweep_every
        while True:
            # what ended while the broker was away must not be taken for crashed by its own worker
            await self._outbox.emptied()
            answers = await self._retrying.call(
                "sweep",
                lambda: self._sweeps.serve(
                    self._shares.queues,
                    lambda queues: self._broker.sweep(queues, SWEPT_AT_ONCE, now=self._clock.now()),
                ),
            )
            for swept in answers:
                if swept.crashed or swept.expired:
                    self._emit(TasksSwept(swept))
            if not any(swept.more for swept in answers):
                # many workers need not all sweep in the same moment; the dice are for retries
                pause = every * SystemRandom().uniform(0.9, 1.1)
                await self._clock.sleep_until(self._clock.now() + pause)

    # --- leave ---------------------------------------------------------------------------------

    async def _overdue(self) -> None:
        """Wait until a worker that is to leave has waited for its broker for long enough."""
        await self._leaving.wait()
        await first(self._sleep(self._settings.grace), self._at_once_and_a_bit())

    async def _leave(self) -> None:
        """Let what runs end within the grace, release the rest, and write the last verdicts."""
        self._emit(WorkerStopping(self._settings.grace, len(self._running)))
        await first(
            self._clock.sleep_until(self._grace_ends()), self._at_once.wait(), self._ended()
        )
        released = await self._release()
        self._outbox.give_up_at = self._clock.now() + self._settings.lease
        # whoever asks twice will not wait for a broker that is away, and nobody for one that hangs
        await first(
            self._outbox.emptied(), self._at_once_and_a_bit(), self._sleep(self._settings.lease)
        )
        self._emit(WorkerStopped(released))

    def _grace_ends(self) -> Moment:
        if self._asked_to_leave is None:
            return self._clock.now() + self._settings.grace
        return self._asked_to_leave + self._settings.grace

    async def _release(self) -> int:
        """Cancel what still runs, and give it back unburned."""
        runs = list(self._running)
        if not runs:
            return 0
        for run in runs:
            run.cancel(CancelReason.SHUTDOWN)
        await asyncio.wait(self._coroutines(), timeout=CANCEL_TIMEOUT)
        for run in list(self._running):
            # it does not want to end: its task goes back all the same, its thread ends with us
            self._running.discard(run)
            self._outbox.put(run, Released())
        return len(runs)

    async def _ended(self) -> None:
        """Wait until nothing is in hand."""
        while self._running:
            await asyncio.wait(self._coroutines(), return_when=asyncio.FIRST_COMPLETED)

    async def _at_once_and_a_bit(self) -> None:
        await self._at_once.wait()
        await asyncio.sleep(CANCEL_TIMEOUT)

    def _coroutines(self) -> "list[asyncio.Task[None]]":
        return [run.coroutine for run in self._running if run.coroutine is not None]

    async def _sleep(self, seconds: float) -> None:
        await self._clock.sleep_until(self._clock.now() + seconds)
