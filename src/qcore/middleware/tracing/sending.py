"""Spans of enqueues, whose contexts go with the tasks."""

from collections.abc import Sequence

from opentelemetry import context as contexts
from opentelemetry.trace import SpanContext, SpanKind
from opentelemetry.util.types import AttributeValue

from qcore.app.client.coalescing import EnqueueAnswer
from qcore.app.client.enqueue_middleware import SendTasks
from qcore.domain.errors import InvalidTask
from qcore.domain.new_task import NewTask
from qcore.middleware.tracing import conventions
from qcore.middleware.tracing.conventions import only
from qcore.middleware.tracing.headers import extract, keeps_context, span_in, with_context
from qcore.middleware.tracing.span_errors import error_of
from qcore.middleware.tracing.telemetry import Operation, Telemetry, link_to


class Sending:
    """The enqueue middleware: a `send` span for each call of a client.

    Its context goes with a task that is sent alone. Of several each has a `create` span, whose
    context it carries; without `create_spans` they carry that of the `send` span. A task that comes
    with a context keeps it.
    """

    def __init__(self, telemetry: Telemetry, *, create_spans: bool) -> None:
        self._telemetry = telemetry
        self._create_spans = create_spans

    async def send(self, tasks: Sequence[NewTask], send: SendTasks) -> Sequence[EnqueueAnswer]:
        """Send tasks with the context of this."""
        # without an SDK a context that the caller has goes along all the same
        if not tasks or not (self._telemetry.look() or contexts.get_current()):
            return await send(tasks)
        carried: Sequence[SpanContext | None] = [
            span_in(extract(task.headers)) if task.headers else None for task in tasks
        ]
        creates = self._create_spans and len(tasks) > 1
        if creates:
            tasks, carried = self._created(tasks, carried)
        operation = self._start(tasks, carried, SpanKind.CLIENT if creates else SpanKind.PRODUCER)
        with operation:
            if not creates:
                context = operation.context
                tasks = [
                    task if keeps_context(task, its) else with_context(task, context)
                    for task, its in zip(tasks, carried, strict=True)
                ]
            answers = await send(tasks)
            _take_refusals(operation, answers)
        self._telemetry.sent.add(len(tasks), operation.measured(operation.names.counted))
        return answers

    def _created(
        self, tasks: Sequence[NewTask], carried: Sequence[SpanContext | None]
    ) -> tuple[Sequence[NewTask], Sequence[SpanContext | None]]:
        """Return tasks with a `create` span each, where they have no context, and the spans."""
        made: list[NewTask] = []
        spans: list[SpanContext | None] = []
        current = contexts.get_current()
        for task, its in zip(tasks, carried, strict=True):
            if keeps_context(task, its):
                made.append(task)
                spans.append(its)
                continue
            names = conventions.operation("create", task.queue)
            created = self._telemetry.start(
                SpanKind.PRODUCER, names, _details([task]), context=current
            )
            created.end()
            made.append(with_context(task, created.context))
            spans.append(span_in(created.context))
        return made, spans

    def _start(
        self, tasks: Sequence[NewTask], carried: Sequence[SpanContext | None], kind: SpanKind
    ) -> Operation:
        return self._telemetry.start(
            kind,
            conventions.operation("send", only([task.queue for task in tasks])),
            _details(tasks),
            context=contexts.get_current(),
            links=[link_to(each, "created by") for each in carried if each is not None],
            duration=self._telemetry.operation_duration,
        )


def _details(tasks: Sequence[NewTask]) -> dict[str, AttributeValue]:
    """Return the attributes of a span that differ by task."""
    if len(tasks) == 1:
        return {conventions.MESSAGE_ID: tasks[0].id, conventions.TASK_NAME: tasks[0].name}
    details: dict[str, AttributeValue] = {conventions.BATCH_COUNT: len(tasks)}
    names = {task.name for task in tasks}
    if len(names) == 1:
        details[conventions.TASK_NAME] = names.pop()
    return details


def _take_refusals(operation: Operation, answers: Sequence[EnqueueAnswer]) -> None:
    refused = next((each for each in answers if isinstance(each, InvalidTask)), None)
    if refused is not None:
        operation.error = error_of(refused)
