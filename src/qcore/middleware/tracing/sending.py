"""Spans of enqueues, whose contexts go with the tasks."""

from collections.abc import Sequence

from opentelemetry import context as contexts
from opentelemetry.trace import Link, SpanKind
from opentelemetry.util.types import AttributeValue

from qcore.app.client.coalescing import EnqueueAnswer
from qcore.app.client.enqueue_middleware import SendTasks
from qcore.domain.errors import InvalidTask
from qcore.domain.new_task import NewTask
from qcore.middleware.tracing import conventions
from qcore.middleware.tracing.headers import extract, has_context, span_in, with_context
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
        if not tasks:
            return await send(tasks)
        creates = self._create_spans and len(tasks) > 1
        if creates:
            tasks = [self._created(task) for task in tasks]
        operation = self._start(tasks, SpanKind.CLIENT if creates else SpanKind.PRODUCER)
        with operation:
            if not creates:
                tasks = [with_context(task, operation.context) for task in tasks]
            answers = await send(tasks)
            _take_refusals(operation, answers)
        self._telemetry.sent.add(len(tasks), operation.attributes)
        return answers

    def _created(self, task: NewTask) -> NewTask:
        if has_context(task.headers):
            return task
        created = self._telemetry.start(
            SpanKind.PRODUCER,
            "create",
            (task.queue,),
            _details([task]),
            context=contexts.get_current(),
        )
        created.end()
        return with_context(task, created.context)

    def _start(self, tasks: Sequence[NewTask], kind: SpanKind) -> Operation:
        queues = {task.queue for task in tasks}
        return self._telemetry.start(
            kind,
            "send",
            queues,
            _details(tasks),
            context=contexts.get_current(),
            links=_creations(tasks),
            duration=self._telemetry.operation_duration,
        )


def _details(tasks: Sequence[NewTask]) -> dict[str, AttributeValue]:
    """Return the attributes of a span that differ by task."""
    details: dict[str, AttributeValue] = {}
    if len(tasks) > 1:
        details[conventions.BATCH_COUNT] = len(tasks)
    else:
        details[conventions.MESSAGE_ID] = tasks[0].id
    names = {task.name for task in tasks}
    if len(names) == 1:
        details[conventions.TASK_NAME] = names.pop()
    return details


def _creations(tasks: Sequence[NewTask]) -> list[Link]:
    """Return links to the contexts that tasks carry already."""
    found = [span_in(extract(task.headers)) for task in tasks if task.headers]
    return [link_to(each, "created by") for each in found if each is not None]


def _take_refusals(operation: Operation, answers: Sequence[EnqueueAnswer]) -> None:
    refused = next((each for each in answers if isinstance(each, InvalidTask)), None)
    if refused is not None:
        operation.error = error_of(refused)
