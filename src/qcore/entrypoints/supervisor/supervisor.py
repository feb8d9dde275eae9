"""`Supervisor`: carry out what its fleet decides, and tell it what has happened."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from qcore.entrypoints.health.vital_signs import Pulse
from qcore.entrypoints.supervisor.fleet import Action, Fleet, Kill, Member, Phase, Start, Stop
from qcore.entrypoints.supervisor.fleet_metrics import FleetMetrics
from qcore.entrypoints.supervisor.fleet_signs import FleetSigns
from qcore.entrypoints.supervisor.link import Order, Word
from qcore.entrypoints.supervisor.worker_process import WorkerProcess, described_end
from qcore.entrypoints.systemd import ServiceNotifier
from qcore.log.logger import get_logger

FAILED_TO_START: Final = 1
"""The status of a process that the operating system could not start."""
PULSE: Final = 5.0
"""Seconds between two proofs that the loop turns, at most."""


class Supervisor:
    """Run a command in several processes until all have ended.

    It is stopped, paused and resumed as a worker is (`obey_signals`), on its event loop.
    """

    def __init__(
        self,
        fleet: Fleet,
        command: Sequence[str],
        notifier: ServiceNotifier,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fleet = fleet
        self._command = command
        self._notifier = notifier
        self._now = now
        self._log = get_logger()
        self._changed = asyncio.Event()
        self._processes: dict[Member, WorkerProcess] = {}
        self._asked = 0
        self._is_paused = False
        self._is_stopping = False
        self._is_ready = False
        """Whether the service manager was told so, since it has started or begun to reload."""
        self._pulse = Pulse()
        self.signs = FleetSigns(fleet.size, self._pulse)
        self.metrics = FleetMetrics(self._ask_to_measure)

    # --- what it is asked for ------------------------------------------------------------------

    def stop(self, *, at_once: bool = False) -> None:
        """Let all workers stop within their grace, or at once, and start none."""
        if not self._is_stopping:
            self._log.info("supervisor stopping", workers=len(self._processes))
            self._notifier.stopping()
        self._is_stopping = True
        self._fleet.stop(self._now(), at_once=at_once)
        self._changed.set()

    def pause(self) -> None:
        """Let no worker claim until `resume`, not even those that are started later."""
        self._is_paused = True
        self._tell_all(Order.PAUSE)

    def resume(self) -> None:
        """Let the workers claim again."""
        self._is_paused = False
        self._tell_all(Order.RESUME)

    def renew(self, why: str) -> None:
        """Replace all workers by others, one after the other, which load the code anew."""
        if self._is_stopping:
            return
        self._log.info("workers are renewed", why=why)
        self._notifier.reloading()
        self._is_ready = False
        self._fleet.renew(self._now())
        self._changed.set()

    # --- what it does --------------------------------------------------------------------------

    async def run(self) -> int:
        """Work until all workers have ended; return the exit status."""
        self._log.info("supervisor started", workers=self._fleet.size)
        async with asyncio.TaskGroup() as group:
            pulse = group.create_task(self._beat())
            while not self._fleet.is_over:
                self._changed.clear()
                for action in self._fleet.due(self._now()):
                    self._carry_out(action, group)
                await self._wait(self._fleet.next_at() - self._now())
            pulse.cancel()
        self._log.info("supervisor stopped")
        return self._fleet.status

    async def _wait(self, seconds: float) -> None:
        """Wait until something has happened, for so many seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds if seconds < float("inf") else None):
                await self._changed.wait()

    async def _beat(self) -> None:
        """Show that the loop turns, to who asks for health and to the service manager."""
        while True:
            self._pulse.beat()
            self._notifier.alive()
            await asyncio.sleep(min(PULSE, self._notifier.watchdog_interval or PULSE))

    def _carry_out(self, action: Action, group: asyncio.TaskGroup) -> None:
        member = action.member
        process = self._processes.get(member)
        match action:
            case Start():
                group.create_task(self._serve(member))
            case Stop(at_once=at_once) if process is not None:
                process.send(Order.STOP_AT_ONCE if at_once else Order.STOP)
            case Kill(why=why) if process is not None:
                self._log.warning(f"worker is killed: {why}", pid=process.pid)
                process.kill()
            case _:
                # the process of a member that is being started: see `_serve`
                pass

    async def _serve(self, member: Member) -> None:
        """Start the process of a member, and see it to its end."""
        try:
            process = await WorkerProcess.start(self._command, partial(self._hear, member))
        except OSError as error:
            self._log.error("no worker could be started", error=str(error))
            self._end(member, FAILED_TO_START, None)
            return
        self._processes[member] = process
        if self._is_paused:
            process.send(Order.PAUSE)
        if member.phase is Phase.LEAVING:
            process.send(Order.STOP)
        status = await process.ended()
        del self._processes[member]
        self._end(member, status, process.pid)

    def _end(self, member: Member, status: int, pid: int | None) -> None:
        was_expected = member.phase is Phase.LEAVING
        now = self._now()
        again_at = self._fleet.ended(member, status, now)
        self.signs.forget(member)
        self.metrics.forget(member)
        end = described_end(status)
        if again_at is not None:
            again_in = round(again_at - now, 1)
            self._log.warning("worker has died", pid=pid, end=end, again_in=again_in)
        elif self._fleet.is_broken and not was_expected:
            self._log.error(
                "worker could not be started; waiting for a change of the code", pid=pid, end=end
            )
        else:
            self._log.info("worker has ended", pid=pid, end=end)
        self._progress()

    def _hear(self, member: Member, word: Word, reason: str) -> None:
        """Take what a worker says."""
        match word:
            case Word.SERVING:
                self._fleet.served(member, self._now())
                self.signs.serves(member)
                self._log.info("worker serves", pid=self._processes[member].pid)
            case Word.CAN_CLAIM:
                self.signs.note(member, None)
            case Word.CANNOT_CLAIM:
                self.signs.note(member, reason)
            case Word.TURNING:
                self._fleet.turned(member, self._now())
            case Word.AT_LIMIT:
                self._log.info("worker is replaced", pid=self._processes[member].pid, why=reason)
                self._fleet.reached_limit(member)
            case Word.COUNTED:
                self.metrics.counted(reason)
            case Word.LOADED:
                self.metrics.loaded(member, reason)
            case Word.MEASURED:
                self.metrics.measured(member, reason)
        self._progress()

    def _ask_to_measure(self) -> bool:
        """Have a worker that serves ask the store, each time another; return whether any does."""
        able = [
            process for member, process in self._processes.items() if member.phase is Phase.SERVING
        ]
        if not able:
            return False
        self._asked += 1
        able[self._asked % len(able)].send(Order.MEASURE)
        return True

    def _progress(self) -> None:
        """Do what has become due, and say so if the service has become ready."""
        self._changed.set()
        is_served = any(each.phase is Phase.SERVING for each in self._fleet.members)
        if not self._is_ready and is_served and self._fleet.is_renewed and not self._is_stopping:
            self._is_ready = True
            self._notifier.ready(f"{self._fleet.size} workers")

    def _tell_all(self, order: Order) -> None:
        for process in self._processes.values():
            process.send(order)
