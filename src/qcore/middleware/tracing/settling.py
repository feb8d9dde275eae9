"""Spans of settlements, and the context of a run for what follows from it."""

from collections import Counter
from collections.abc import Callable, Sequence

from attrs import evolve
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind
from opentelemetry.util.types import AttributeValue

from qcore.adapters.wrappers import ForwardingBroker
from qcore.domain.answers import Admission, LeaseLost, Settled
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.task import Claim, Demand, Verdict
from qcore.domain.transitions import FOLLOWED
from qcore.middleware.tracing import conventions
from qcore.middleware.tracing.conventions import only
from qcore.middleware.tracing.headers import extract, keeps_context, span_in, with_context
from qcore.middleware.tracing.processing import Runs
from qcore.middleware.tracing.span_errors import SpanError
from qcore.middleware.tracing.telemetry import Operation, Telemetry, link_to
from qcore.ports import Broker


class SettlementTracing(ForwardingBroker):
    """A broker with a `settle` span for each batch of verdicts, which links to their runs.

    The tasks that follow from a success, and the next step of a chain, carry the run's context.
    """

    def __init__(
        self, inner: Broker, telemetry: Telemetry, runs: Runs, trace_runs: Callable[[], None]
    ) -> None:
        super().__init__(inner)
        self._telemetry = telemetry
        self._runs = runs
        self._trace_runs = trace_runs

    async def enqueue(self, tasks: Sequence[NewTask], *, now: Moment) -> Sequence[Admission]:
        # the client traces it: here every enqueue would pay for `around`, which does nothing
        return await self.inner.enqueue(tasks, now=now)

    async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
        claims = await self.inner.claim(demand, now=now, until=until)
        # asked once for all of them; what headers carry goes on to the runs without an SDK, too
        if self._telemetry.look():
            self._trace_runs()
            for queue, number in Counter(claim.lease.queue for claim in claims).items():
                names = conventions.operation(conventions.PROCESS, queue)
                self._telemetry.consumed.add(number, names.counted)
        elif any(claim.task.spec.headers for claim in claims):
            self._trace_runs()
        return claims

    async def settle(
        self, verdicts: Sequence[Verdict], *, now: Moment
    ) -> Sequence[Settled | LeaseLost]:
        if not self._telemetry.is_live and not self._runs:
            return await self.inner.settle(verdicts, now=now)
        runs = [self._runs.get(verdict.lease) for verdict in verdicts]
        connected = [_connected(verdict, run) for verdict, run in zip(verdicts, runs, strict=True)]
        operation = self._telemetry.start(
            SpanKind.CLIENT,
            conventions.operation("settle", only([each.lease.queue for each in verdicts])),
            _details(verdicts),
            # the worker's loop that writes verdicts is in no trace of a task
            context=Context(),
            links=_links(runs),
            duration=self._telemetry.operation_duration,
        )
        with operation:
            answers = await self.inner.settle(connected, now=now)
            _take_losses(operation, answers)
        return answers


def _connected(verdict: Verdict, run: Context | None) -> Verdict:
    """Return a verdict whose follow-ups carry the context of their run."""
    outcome = verdict.outcome
    if run is None or not isinstance(outcome, FOLLOWED) or not outcome.then:
        return verdict
    then = tuple(
        task if keeps_context(task, span_in(extract(task.headers))) else with_context(task, run)
        for task in outcome.then
    )
    return evolve(verdict, outcome=evolve(outcome, then=then))


def _links(runs: Sequence[Context | None]) -> list[Link]:
    """Return links to runs, without those that were not sampled: nobody can follow these."""
    found = [span_in(run) for run in runs if run is not None]
    return [
        link_to(each, "settles") for each in found if each is not None and each.trace_flags.sampled
    ]


def _details(verdicts: Sequence[Verdict]) -> dict[str, AttributeValue]:
    if len(verdicts) != 1:
        return {conventions.BATCH_COUNT: len(verdicts)}
    [verdict] = verdicts
    outcome = type(verdict.outcome).__name__.lower()
    return {conventions.MESSAGE_ID: verdict.lease.id, conventions.OUTCOME: outcome}


def _take_losses(operation: Operation, answers: Sequence[Settled | LeaseLost]) -> None:
    lost = sum(isinstance(each, LeaseLost) for each in answers)
    if lost:
        text = f"{lost} of {len(answers)} verdicts came too late"
        operation.error = SpanError(conventions.LEASE_LOST, text)
