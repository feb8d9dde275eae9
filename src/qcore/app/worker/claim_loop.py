"""Claim as many tasks as there is room for, start them, and wait for a reason to claim again."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any, Final

from qcore.app.client.wakeup import Wakeup, first_completed, hide_from_cancel_all
from qcore.app.worker.capacity import Capacity, only, within
from qcore.app.worker.control import WorkerControl
from qcore.app.worker.crash_isolation import CrashIsolation
from qcore.app.worker.error_hooks import ErrorHooks
from qcore.app.worker.groups.scheduler import GroupScheduler
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.next_due import NextDue
from qcore.app.worker.outbox import Outbox
from qcore.app.worker.quarantine import Quarantine
from qcore.app.worker.retrying import GaveUp, Retrying
from qcore.app.worker.settings import WorkerSettings
from qcore.app.worker.sweeper import Sweeper
from qcore.app.worker.task_runner import TaskRunner
from qcore.domain.events import TasksSwept
from qcore.domain.moments import Moment
from qcore.domain.queue_weights import QueueWeights
from qcore.domain.states import State
from qcore.domain.task import Claim, Demand
from qcore.ports import Broker, Clock, claim_endings_of

SLOW_CLAIM: Final = 0.0015
"""Seconds from which on a claim takes longer than half of the concurrency of short tasks, so that a
second one beside it is of more use than what it costs the processor."""
SHORT_RUNS: Final = 0.005
"""Seconds within which runs have ended that were started together, where they count as short."""
LONGEST_IDLE: Final = 10.0
"""Seconds after which an idle worker claims again without a wake-up, in case one was lost."""
LONGEST_IDLE_AFTER_SOME: Final = 1.0
"""The same after a claim that brought tasks, but fewer than there was room for: the broker holds
back what is behind one that has crashed, and does not say so."""


class ClaimLoop:
    """Turn a worker's free capacity into claims, and claims into runs.

    Half of the concurrency is claimed at a time: while one half runs the other is claimed, and
    neither waits for the other. Where a claim takes longer than what runs meanwhile, as over a
    network or where the broker waits for a disk, the half that has run is claimed beside it. There,
    as long as no handler waits for anything, each of the two claims is as large as the concurrency:
    what runs now will have ended when they are answered. What does not fit then is given back.
    """

    def __init__(
        self,
        broker: Broker,
        runner: TaskRunner,
        settings: WorkerSettings,
        *,
        weights: QueueWeights,
        capacity: Capacity,
        isolation: CrashIsolation,
        hooks: ErrorHooks,
        quarantine: Quarantine,
        next_due: NextDue,
        groups: GroupScheduler | None,
        outbox: Outbox,
        sweeper: Sweeper,
        control: WorkerControl,
        wakeup: Wakeup,
        clock: Clock,
        retrying: Retrying,
        emit: Instruments,
    ) -> None:
        self._broker = broker
        self._endings = claim_endings_of(broker)
        self._runner = runner
        self._lease = settings.lease
        self._concurrency = settings.concurrency
        self._is_burst = settings.burst
        self._batch = max(1, settings.concurrency // 2)
        self._weights = weights
        self._capacity = capacity
        self._isolation = isolation
        self._hooks = hooks
        self._quarantine = quarantine
        self._next_due = next_due
        self._groups = groups
        self._outbox = outbox
        self._sweeper = sweeper
        self._control = control
        self._wakeup = wakeup
        self._clock = clock
        self._retrying = retrying
        self._emit = emit
        self._may_have_more = False
        """Whether the last claim was filled."""
        self._claim_seconds = 0.0
        """The longest that the broker took to answer a claim lately; each claim halves it."""
        self._are_short = False
        """Whether what was started last has ended at once: no handler waited for anything."""
        self._claiming = 0
        """How many tasks the claims in flight may bring."""
        self._beside: asyncio.Task[None] | None = None
        """The second claim in flight."""
        self.last_claim: Moment | None = None
        """When a claim was last answered, with tasks or without."""

    def work_available(self) -> None:
        """Note that the broker may have something new to claim or to wait for. Thread-safe."""
        self._next_due.invalidate()
        self._wakeup()

    async def serve(self) -> None:
        """Claim until the worker is asked to stop, or, in a burst, until nothing is left to do."""
        # a broker that is unavailable when the worker is to stop is not waited for
        try:
            with suppress(GaveUp):
                while not self._control.stopping.is_set():
                    await self._turn()
            with suppress(GaveUp):
                await self._end_of_second()
        finally:
            if self._beside is not None:
                self._beside.cancel()

    async def _turn(self) -> None:
        """Claim once, or wait until there is a reason to."""
        if self._beside is not None and self._beside.done():
            await self._end_of_second()
        if self._isolation.is_active and (closed := self._isolation.seconds_closed()) > 0:
            self._runner.wakes_at_end = True
            await self._wait(self._clock.sleep(closed))
            return
        running = self._runner.running
        room = self._room(self._in_hand())
        demands = self._capacity.demands(self._weights, room)
        self._runner.wakes_at_end = (
            self._capacity.is_tight or self._is_burst or self._isolation.is_active
        )
        if self._control.is_paused or not demands:
            await self._wakeup.wait()
            return
        self._wakeup.clear()
        # a run in hand, or a verdict not written yet, may enqueue what this claim does not see
        was_idle = not running and self._outbox.is_empty and self._beside is None
        beside = not running or self._reads_ahead()
        claimed, is_filled = await self._claim_first(demands, room, beside=beside)
        if is_filled:
            # there may be more, which can be claimed while these start; but where thread or
            # process slots count, they have to be taken before the next demand is computed
            if self._capacity.may_be_tight:
                await asyncio.sleep(0)
        elif self._is_burst and not claimed and not running and self._beside is None:
            await self._end_burst(was_idle=was_idle)
        else:
            if claimed:
                # let them start before the broker is asked when the next task is due
                await asyncio.sleep(0)
            await self._idle(at_most=LONGEST_IDLE_AFTER_SOME if claimed else LONGEST_IDLE)

    # --- claim ---------------------------------------------------------------------------------

    async def _claim_first(
        self, demands: Sequence[Demand], room: int, *, beside: bool
    ) -> tuple[int, bool]:
        """Claim, and beside it what else there is room for, now or once nothing runs."""
        self._claiming += room
        try:
            if self._is_second_of_use():
                self._runner.on_idle = self._claim_beside
                if beside:
                    self._claim_beside()
            return await self._claim_and_start(demands, room)
        finally:
            self._runner.on_idle = None
            self._claiming -= room

    def _is_second_of_use(self) -> bool:
        """Return whether there is more to claim, which the first half does not wait for anyway."""
        is_slow = self._claim_seconds >= SLOW_CLAIM
        return is_slow and self._may_have_more and not self._capacity.may_be_tight

    def _reads_ahead(self) -> bool:
        """Return whether what is claimed now may take the places of what runs now."""
        return self._are_short and self._batch > 1 and self._is_second_of_use()

    def _room(self, in_hand: int) -> int:
        """Return how many tasks the next claim may bring beside those in hand."""
        if self._reads_ahead():
            return self._concurrency
        return min(self._concurrency - in_hand - self._claiming, self._batch)

    def _in_hand(self) -> int:
        # a run whose handler has ended, and whose error hooks are being called, leaves its place
        return len(self._runner.running) - min(self._hooks.in_hand, self._concurrency)

    def _claim_beside(self) -> None:
        self._runner.on_idle = None
        room = self._room(0)
        if self._beside is not None or self._isolation.is_active or self._control.is_paused:
            return
        if room <= 0 or self._control.stopping.is_set():
            return
        self._claiming += room
        demands = self._capacity.demands(self._weights, room)
        self._beside = asyncio.create_task(self._claim_second(demands, room))
        # what it claims must be known when the program ends, as in `WorkerSession.serve`
        hide_from_cancel_all(self._beside)

    async def _claim_second(self, demands: Sequence[Demand], room: int) -> None:
        try:
            await self._claim_and_start(demands, room)
        finally:
            self._claiming -= room
            self._wakeup()

    async def _end_of_second(self) -> None:
        """Wait for the second claim in flight, if there is one; raise what it raises."""
        if self._beside is not None:
            try:
                await self._beside
            finally:
                self._beside = None

    async def _claim_and_start(self, demands: Sequence[Demand], room: int) -> tuple[int, bool]:
        """Return how many tasks were started, and whether there may be more to claim."""
        left, is_filled = room, False
        for whole in demands:
            demand = whole if whole.limit <= left else within(whole, left)
            claims = await self._claim(demand)
            self._capacity.learn(claims)
            is_filled = is_filled or len(claims) >= demand.limit
            await self._let_run(claims)
            if self._isolation.is_active and self._isolation.seconds_closed() > 0:
                # by a claim that was in flight beside this one
                self._runner.give_back(claims)
                claims = ()
            if any([claim.task.crashes for claim in claims]):  # noqa: C419  (twice as fast)
                claims = self._isolated(claims)
                # the broker may have held back others for their sake
                is_filled = True
            left -= len(claims)
            self._start(claims)
            if left <= 0 or self._isolation.is_active:
                break
        self._may_have_more = is_filled
        return room - left, is_filled

    async def _let_run(self, claims: Sequence[Claim]) -> None:
        """Wait for what another claim has started in this turn of the loop, if places are short.

        Before it is decided what to start of claims: meanwhile another one may start a suspect.
        """
        if len(claims) > self._concurrency - self._in_hand():
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                self._runner.give_back(claims)
                raise

    def _start(self, claims: Sequence[Claim]) -> None:
        """Start what was claimed; give back what was claimed for places that are not free yet."""
        free = max(0, self._concurrency - self._in_hand())
        if len(claims) > free:
            self._runner.give_back(claims[free:])
            claims = claims[:free]
        if claims:
            self._runner.start(claims)
            # called when each of them has come to its end, or to the first thing it waits for
            asyncio.get_running_loop().call_soon(self._after_first_steps, self._clock.monotonic())

    def _after_first_steps(self, started: float) -> None:
        is_quick = self._clock.monotonic() - started <= SHORT_RUNS
        self._are_short = is_quick and not self._runner.running

    def _isolated(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        """Return what to start of claims of which some have crashed; give back the rest."""
        started, rest = self._isolation.admit(claims)
        self._runner.give_back(rest)
        return started

    async def _claim(self, demand: Demand) -> Sequence[Claim]:
        lease, left, asked = self._lease, demand.limit, self._clock.monotonic()

        async def claim(queues: Sequence[str]) -> Sequence[Claim]:
            nonlocal left
            now = self._clock.now()
            wanted = demand
            if len(queues) < len(demand.quotas) or demand.limit > left:
                wanted = within(only(demand, queues), left)
            claims = await self._broker.claim(wanted, now=now, until=now + lease)
            left -= len(claims)
            self.last_claim = now
            for swept in () if self._endings is None else self._endings.take_ended():
                self._emit(TasksSwept(swept))
            return claims

        answers = await self._retrying.call(
            "claim",
            partial(self._quarantine.serve, [*demand.quotas], claim),
            stop=self._control.stopping,
        )
        self._claim_seconds = max(self._clock.monotonic() - asked, self._claim_seconds / 2)
        return [*chain.from_iterable(answers)]

    # --- wait ----------------------------------------------------------------------------------

    async def _idle(self, *, at_most: float) -> None:
        """Wait for a wake-up, or until a task is due or a queue's time in quarantine is over."""
        due = await self._next_due.of(self._served_queues())
        until = min(self._quarantine.next_retry(), self._next_due.next_retry())
        until = until if due is None else min(due, until)
        await self._wait(self._clock.sleep_until(until, at_most=at_most))

    async def _wait(self, sleep: Coroutine[Any, Any, None]) -> None:
        """Wait for a wake-up, or until `sleep` has ended."""
        sleeper = asyncio.create_task(sleep)
        # a sleeper that was cancelled must not wake: the next wait would end at once, and so on
        sleeper.add_done_callback(lambda slept: None if slept.cancelled() else self._wakeup())
        try:
            await self._wakeup.wait()
        finally:
            sleeper.cancel()

    async def _end_burst(self, *, was_idle: bool) -> None:
        """Stop unless there is, or may be, something left to do now."""
        await self._outbox.emptied()
        if not was_idle or await self._is_any_due() or await self._has_aggregated():
            return
        if self._sweeper.has_judged.is_set() or not await self._is_any_active():
            self._control.stop()
            return
        # somebody else's, or a crashed worker's: then it is to be run here
        await first_completed(self._sweeper.has_judged.wait(), self._control.stopping.wait())

    async def _is_any_active(self) -> bool:
        counts = await self._retrying.call("count", self._broker.count, stop=self._control.stopping)
        return any(counts.get(queue, {}).get(State.ACTIVE) for queue in self._weights.queues)

    async def _is_any_due(self) -> bool:
        """Return whether a task is due now: one that was just settled may be due again at once."""
        due = await self._next_due.ask(self._served_queues())
        return due is not None and due <= self._clock.now()

    async def _has_aggregated(self) -> bool:
        """Return whether groups were aggregated into tasks, which are yet to be run."""
        return self._groups is not None and await self._groups.once() > 0

    def _served_queues(self) -> Sequence[str]:
        return self._quarantine.fit(self._weights.queues)
