"""The parts of a worker while it runs, put together anew for each `Worker.run`.

What each part is for is in the theory of operation, at the head of `qcore.app.worker`.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

from qcore.app.calls.call import TaskRequest
from qcore.app.client.wakeup import Wakeup, hide_from_cancel_all
from qcore.app.tasks.context import RunServices
from qcore.app.worker.announcer import Announcer
from qcore.app.worker.capacity import Capacity
from qcore.app.worker.claim_loop import ClaimLoop
from qcore.app.worker.crash_isolation import CrashIsolation
from qcore.app.worker.deadlines import Deadlines
from qcore.app.worker.ends import EndTasks
from qcore.app.worker.environment import WorkerEnvironment
from qcore.app.worker.error_hooks import ErrorHooks
from qcore.app.worker.executor import Executor
from qcore.app.worker.failures import FailureJudge
from qcore.app.worker.groups.aggregation import AggregationRunner
from qcore.app.worker.groups.scheduler import GroupScheduler
from qcore.app.worker.heartbeat import Heartbeat
from qcore.app.worker.invocation import Invoker
from qcore.app.worker.lease_loss import LeaseLoss
from qcore.app.worker.next_due import NextDue
from qcore.app.worker.outbox import Outbox
from qcore.app.worker.periodic.scheduler import PeriodicScheduler
from qcore.app.worker.pools.handler_pools import HandlerPools
from qcore.app.worker.progress_writer import ProgressWriter
from qcore.app.worker.quarantine import Quarantine
from qcore.app.worker.run import Run
from qcore.app.worker.shutdown import Shutdown
from qcore.app.worker.sweeper import Sweeper
from qcore.app.worker.task_runner import TaskRunner
from qcore.app.worker.watchdog import Watchdog
from qcore.domain.events import WorkerStarted
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.ports import (
    LeaseEnded,
    Notification,
    WorkAvailable,
    aggregating_of,
    periodic_of,
    worker_registry_of,
)

LAST_CLAIM_TIMEOUT: Final = 1.0
"""Seconds, of real time, that a claim in flight has to answer when `Worker.run` is cancelled."""


class WorkerSession:
    """One run of a worker, from its first claim to its last verdict.

    Made on the worker's event loop. `state` is what the lifespans made, `running` the runs in
    hand, and `on_end` is called after each of them.
    """

    def __init__(
        self,
        environment: WorkerEnvironment,
        state: Mapping[type, Any],
        *,
        running: set[Run],
        on_end: Callable[[], None],
    ) -> None:
        env = self._env = environment
        settings, clock, emit, retrying = env.settings, env.clock, env.emit, env.retrying
        self._running = running
        self._blocking = env.broker.blocking()
        self._wakeup = Wakeup(asyncio.get_running_loop())
        self._pools = HandlerPools(settings.threads, settings.process_pool)
        self._hooks = ErrorHooks(settings.threads, control=env.control, on_call=self._wakeup)
        self._deadlines = Deadlines(clock, running)
        self._lease_loss = LeaseLoss(running, asyncio.get_running_loop(), emit)
        self._progress_writer = ProgressWriter(
            env.broker,
            self._blocking,
            clock,
            retrying,
            emit,
            max_saved=env.max_payload,
            lost=self._lease_loss.report_token,
        )
        self._outbox = Outbox(
            env.broker,
            clock,
            retrying,
            emit,
            self._progress_writer,
            worker=settings.name,
            version=settings.app_version,
        )
        self._groups = self._make_groups()
        self._scheduler = self._make_scheduler()
        runner = TaskRunner(
            running,
            self._make_executor(),
            RunServices(
                state,
                env.router.node.state_instead,
                build=self._build_follow_up,
                storage=self._progress_writer,
                worker=settings.name,
            ),
            outbox=self._outbox,
            deadlines=self._deadlines,
            wakeup=self._wakeup,
            emit=emit,
            ends=self._make_end_tasks(),
            on_end=on_end,
        )
        self._heartbeat = Heartbeat(
            self._blocking,
            clock,
            settings.lease,
            runs=self._leases_held,
            lost=self._lease_loss.report,
            emit=emit,
        )
        self._sweeper = Sweeper(
            env.broker,
            env.weights.queues,
            settings,
            heartbeat=self._heartbeat,
            quarantine=self._quarantine("sweep"),
            clock=clock,
            retrying=retrying,
            emit=emit,
        )
        self._claim_loop = self._make_claim_loop(runner)
        self._watchdog = Watchdog(env.emit)
        self._announcer = self._make_announcer()
        self._shutdown = Shutdown(
            running,
            self._outbox,
            settings,
            hooks=self._hooks,
            control=env.control,
            clock=clock,
            emit=emit,
        )

    @property
    def loop_lag(self) -> float:
        """Return by how many seconds the event loop is late."""
        return self._watchdog.lag

    @property
    def next_group_ready(self) -> Moment | None:
        """When the next group is ready to be aggregated, as of the last scan."""
        return None if self._groups is None else self._groups.next_ready

    async def open(self, stack: AsyncExitStack) -> None:
        """Subscribe to the broker, and start the threads; `stack` closes all of it in reverse."""
        env = self._env
        stack.callback(self._pools.close)
        stack.callback(self._hooks.close)
        if self._blocking is not env.broker:
            stack.push_async_callback(self._blocking.close)
        subscription = await env.broker.subscribe(
            env.weights.queues, {WorkAvailable, LeaseEnded}, self._notify
        )
        stack.push_async_callback(subscription.close)
        wakes: list[Callable[[], None]] = [self._wakeup]
        if self._groups is not None:
            stack.push_async_callback(self._groups.close)
            wakes.append(self._groups.wake)
        env.control.wake_with(*wakes)
        stack.callback(self._deadlines.close)
        self._watchdog.start()
        stack.callback(self._watchdog.stop)
        stack.callback(self._heartbeat.start())
        if self._announcer is not None:
            stack.push_async_callback(self._announcer.stop)
            await self._announcer.start()

    async def serve(self) -> None:
        """Claim, execute and settle until the worker is asked to stop; then shut down."""
        env = self._env
        env.control.task = asyncio.current_task()
        if self._scheduler is not None and env.settings.burst:
            await self._scheduler.tick_once()
        async with asyncio.TaskGroup() as group:
            settling = group.create_task(self._outbox.serve())
            helpers = [
                group.create_task(self._progress_writer.serve()),
                group.create_task(self._sweeper.serve()),
            ]
            if self._groups is not None and not env.settings.burst:
                helpers.append(group.create_task(self._groups.serve()))
            if self._scheduler is not None and not env.settings.burst:
                helpers.append(group.create_task(self._scheduler.serve()))
            env.emit(WorkerStarted(env.weights.queues, env.router.default_queues(), env.store))
            claiming = group.create_task(self._claim_loop.serve())
            # what is claimed, and what has ended, must be known when the program ends
            hide_from_cancel_all(claiming)
            hide_from_cancel_all(settling)
            timeout = group.create_task(self._shutdown.claim_timeout())
            try:
                await asyncio.wait([claiming, timeout], return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                # a worker that is cancelled must not lose its tasks: not even those that a claim
                # in flight hands out, which are released with the others
                env.control.stop(at_once=True)
                await asyncio.wait([claiming], timeout=LAST_CLAIM_TIMEOUT)
                raise
            finally:
                claiming.cancel()
                if settling.done():
                    # a bug has ended it: what runs is to be given back all the same
                    settling = asyncio.create_task(self._outbox.serve())
                await self._shutdown.drain()
                for helper in (timeout, settling, *helpers):
                    helper.cancel()

    # --- callbacks -----------------------------------------------------------------------------

    def _notify(self, notification: Notification) -> None:
        """Pass a notification of the broker's on to who acts on it. Called from any thread."""
        if isinstance(notification, LeaseEnded):
            self._lease_loss.report_token(notification.queue, notification.token)
            return
        self._claim_loop.work_available()
        if self._groups is not None:
            self._groups.wake()

    def _leases_held(self) -> list[Run]:
        """Return the runs whose leases are to be renewed. Thread-safe."""
        return [*self._running.copy(), *self._outbox.runs()]

    def _build_follow_up(self, request: TaskRequest) -> NewTask:
        """Return the task to be stored for a follow-up that a run has asked for."""
        return self._env.client.build(request, self._env.clock.now())

    # --- composition ---------------------------------------------------------------------------

    def _quarantine(self, call: str) -> Quarantine:
        env = self._env
        most = len(env.weights.queues)
        return Quarantine(call, most, clock=env.clock, dice=env.dice, emit=env.emit)

    def _make_claim_loop(self, runner: TaskRunner) -> ClaimLoop:
        env = self._env
        next_due = NextDue(
            env.broker,
            self._quarantine("next_due"),
            clock=env.clock,
            retrying=env.retrying,
            stopping=env.control.stopping,
        )
        return ClaimLoop(
            env.broker,
            runner,
            env.settings,
            weights=env.weights,
            capacity=Capacity(env.router, self._pools.slots),
            isolation=CrashIsolation(self._running, env.clock),
            hooks=self._hooks,
            quarantine=self._quarantine("claim"),
            next_due=next_due,
            groups=self._groups,
            outbox=self._outbox,
            sweeper=self._sweeper,
            control=env.control,
            wakeup=self._wakeup,
            clock=env.clock,
            retrying=env.retrying,
            emit=env.emit,
        )

    def _make_executor(self) -> Executor:
        env, name = self._env, self._env.settings.name
        return Executor(
            env.router,
            Invoker(
                env.router,
                self._pools,
                deadlines=self._deadlines,
                control=env.control,
                clock=env.clock,
                emit=env.emit,
            ),
            FailureJudge(
                env.router,
                env.settings.policy,
                self._hooks,
                control=env.control,
                clock=env.clock,
                dice=env.dice,
                worker=name,
                version=env.settings.app_version,
            ),
            clock=env.clock,
            codec=env.codec,
            client=env.client,
            max_result=env.max_result,
            worker=name,
            version=env.settings.app_version,
        )

    def _make_end_tasks(self) -> EndTasks | None:
        """Return None where there are no end hooks, as nothing is then asked of a verdict."""
        env, node = self._env, self._env.router.node
        return EndTasks(node, env.client, env.clock) if node.has_end_hooks else None

    def _make_announcer(self) -> Announcer | None:
        """Return None where the broker does not list workers."""
        env = self._env
        broker, blocking = worker_registry_of(env.broker), worker_registry_of(self._blocking)
        if broker is None or blocking is None:
            return None
        return Announcer(
            broker,
            blocking,
            env,
            running=self._running,
            last_claim=lambda: self._claim_loop.last_claim,
            loop_lag=lambda: self.loop_lag,
        )

    def _make_scheduler(self) -> PeriodicScheduler | None:
        """Return None where there are no periodic tasks, or others are to schedule them."""
        env = self._env
        periodic = periodic_of(env.broker)
        if periodic is None or not env.settings.scheduler:
            return None
        return PeriodicScheduler(
            env.broker,
            periodic,
            env.router.declarations(),
            client=env.client,
            queues=env.weights.queues,
            finds_queues=False,
            clock=env.clock,
            retrying=env.retrying,
            dice=env.dice,
            emit=env.emit,
            stopping=env.control.stopping,
        )

    def _make_groups(self) -> GroupScheduler | None:
        """Return None where there are no groups, or no aggregators for them."""
        env = self._env
        broker = aggregating_of(env.broker)
        if not env.router.aggregators or broker is None:
            return None
        runner = AggregationRunner(
            broker,
            env.client,
            self._pools,
            clock=env.clock,
            retrying=env.retrying,
            stopping=env.control.stopping,
        )
        return GroupScheduler(
            env.weights.queues,
            env.router.aggregators,
            env.settings.group_timing,
            runner,
            broker=broker,
            clock=env.clock,
            dice=env.dice,
            retrying=env.retrying,
            emit=env.emit,
            control=env.control,
        )
