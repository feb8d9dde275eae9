"""A circuit breaker: spare a service that is down, and the retry budget of the tasks that need it.

The pattern is Michael Nygard's ("Release It!"). It is our own because the breakers that there are
(looked at in November 2026) know neither a snooze nor virtual time. purgatory 3.0, asynchronous,
typed and alive, reads `time.time()` itself, lets everybody through while half-open, and has no
window; circuitbreaker 2.1 the same with `monotonic()`; pybreaker 1.4 has no asyncio, only Tornado;
aiobreaker has had no release since 2021.
"""

import asyncio
from collections.abc import Callable, Hashable, Iterable
from typing import Final, TypeAlias

from qcore.app.calls.user_code import log_failure
from qcore.app.tasks.context import Context
from qcore.app.tasks.router_tree import Next
from qcore.domain.backoff import TWENTY_FOUR_HOURS, Curve, fixed
from qcore.domain.control import ControlFlow, Snooze
from qcore.domain.error_groups import meaning_of
from qcore.domain.errors import InvalidOption
from qcore.domain.moments import Duration
from qcore.domain.retry import always
from qcore.log.logger import get_logger
from qcore.middleware.by_name import ByName
from qcore.middleware.circuit import Circuit
from qcore.middleware.clock_and_dice import HasClockAndDice, setting

SPREAD: Final = 0.1
"""Share of a pause: snoozed tasks come back spread over it, and ask again after it."""
MIN_PAUSE: Final = 0.1
"""Seconds: a curve with full jitter may return zero."""
MAX_CIRCUITS: Final = 1_000
"""Circuits kept: their keys may be data of users, and so be without end."""

Health: TypeAlias = bool | None
"""Whether a run shows the service up or down; None if it shows neither."""


def by_name(ctx: Context) -> Hashable:
    """Give each task name a circuit of its own."""
    return ctx.name


class CircuitBreaker:
    """Snooze the tasks of a name, burning nothing, while too many of its runs fail.

    - *Closed*: every run goes on. After `failures` of them have failed `within` so many seconds the
      circuit opens.
    - *Open*: no run goes on for `open_for`: its task is snoozed until then and up to a tenth later,
      so that not all come back at once. `open_for` is a duration, or a curve: it is then given how
      many times in a row the circuit has opened before.
    - *Half-open*: one run goes on as a probe, and the others are snoozed a little more. If it goes
      well the circuit closes, if it fails it opens again.

    `names` are those it is for: exact ones and prefixes, as a router's; all if not given. `by` says
    which circuit a run belongs to, one for each name if not given: a customer's, say, or a host's.
    `counts` says which errors are failures; after one that is not, what was asked has answered, and
    that is well. A run that was cut short by its timeout has failed. What says nothing is control
    flow (`Snooze`, `RateLimited`, `Retry`, `SkipRetry`, `Revoke`) and a run that was cancelled, its
    lease lost or its worker leaving: it counts for nothing, and after such a probe comes another.

    What `by`, `counts` or `open_for` raise themselves is logged, and changes nothing: such a run
    goes on, and counts for nothing.

    Clock and dice are those of `q`. The state is this process's alone: each worker finds out for
    itself. Raises `InvalidOption` for a number that makes no sense.
    """

    def __init__(
        self,
        q: HasClockAndDice,
        names: str | Iterable[str] = "",
        *,
        failures: int = 5,
        within: Duration = 60.0,
        open_for: Duration | Curve = 30.0,
        counts: Callable[[BaseException], bool] = always,
        by: Callable[[Context], Hashable] = by_name,
    ) -> None:
        if failures < 1:
            raise InvalidOption(f"failures is {failures!r}: expected at least 1")
        self._q = q
        self._names = ByName(dict.fromkeys([names] if isinstance(names, str) else names, True))
        self._failures = failures
        self._within = setting(within, "within")
        self._pauses = open_for if callable(open_for) else fixed(setting(open_for, "open_for"))
        self._counts = counts
        self._by = by
        self._circuits: dict[Hashable, Circuit] = {}

    def is_closed(self, key: Hashable) -> bool:
        """Return whether the runs of a key, a task's name as a rule, go on."""
        circuit = self._circuits.get(key)
        return circuit is None or circuit.until is None

    async def __call__(self, ctx: Context, run: Next) -> object:
        """Let a run go on, or raise `Snooze`."""
        if not self._names.get(ctx.name):
            return await run(ctx)
        try:
            key = self._by(ctx)
            circuit = self._circuits.get(key)
        except BaseException as error:  # noqa: BLE001  (`by` is a user's, and so is the key)
            log_failure(error, "circuit breaker failed", self._by, task_id=ctx.id)
            return await run(ctx)
        probed = self._admit(circuit)
        raised: BaseException | None = None
        try:
            return await run(ctx)
        except BaseException as error:
            raised = error
            raise
        finally:
            self._note(ctx, key, probed, raised)

    def _admit(self, circuit: Circuit | None) -> Circuit | None:
        """Return the circuit that a run probes, None for a closed one; raise `Snooze`."""
        if circuit is None or circuit.until is None:
            return None
        rest, spread = circuit.until - self._q.clock.monotonic(), circuit.pause * SPREAD
        if rest > 0:
            raise Snooze(rest + spread * self._q.dice())
        if circuit.has_probe:
            raise Snooze(spread + spread * self._q.dice())
        circuit.has_probe = True
        return circuit

    def _note(
        self, ctx: Context, key: Hashable, probed: Circuit | None, raised: BaseException | None
    ) -> None:
        """Judge a run and record that; what `counts` or `open_for` raises must not replace it."""
        try:
            self._record(key, probed, self._judge(ctx, raised))
        except BaseException as error:  # noqa: BLE001  (both are functions of a user's)
            if probed is not None:
                probed.has_probe = False
            log_failure(error, "circuit breaker failed", self._counts, task_id=ctx.id)

    def _judge(self, ctx: Context, error: BaseException | None) -> Health:
        if ctx.is_cancelled and (error is None or isinstance(error, asyncio.CancelledError)):
            # a cancelled thread cannot be stopped, and may return a value all the same
            is_late = ctx.deadline is not None and ctx.deadline <= self._q.clock.now()
            return not self._counts(TimeoutError("the handler ran too long")) if is_late else None
        if error is None:
            return True
        meaning = meaning_of(error, self._q.clock.now())
        if isinstance(meaning, ControlFlow) or not isinstance(error, Exception):
            return None
        return not self._counts(error)

    def _record(self, key: Hashable, probed: Circuit | None, health: Health) -> None:
        """Record how a run went; one that began before its circuit opened is ignored."""
        if probed is not None:
            self._end_probe(key, probed, health)
        elif health is False:
            circuit = self._circuit(key)
            if circuit.until is None and circuit.fail(self._q.clock.monotonic()):
                self._open(key, circuit)

    def _end_probe(self, key: Hashable, circuit: Circuit, health: Health) -> None:
        circuit.has_probe = False
        if health:
            # a closed circuit without failures is as good as none
            self._circuits.pop(key, None)
            get_logger().info("circuit closed", circuit=key)
        elif health is False:
            self._open(key, circuit)

    def _open(self, key: Hashable, circuit: Circuit) -> None:
        pause = self._pauses(circuit.opened, self._q.dice())
        circuit.open(self._q.clock.monotonic(), min(max(MIN_PAUSE, pause), TWENTY_FOUR_HOURS))
        get_logger().warning(
            "circuit opened", circuit=key, seconds=circuit.pause, times=circuit.opened
        )

    def _circuit(self, key: Hashable) -> Circuit:
        """Return the circuit of a key, creating it if there is none."""
        if key not in self._circuits:
            if len(self._circuits) >= MAX_CIRCUITS:
                # the oldest; if it is open, it closes, and opens again after the next failures
                del self._circuits[next(iter(self._circuits))]
            self._circuits[key] = Circuit(self._failures, self._within)
        return self._circuits[key]
