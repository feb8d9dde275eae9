"""The whole story of a task: what was asked for, how its runs went, what it waits for."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from qcore.app.calls.chain_steps import chain_state, position_in
from qcore.app.client.waiting import Hindrance
from qcore.domain.audit import AuditRecord
from qcore.domain.errors import CannotDecode
from qcore.domain.record import record
from qcore.domain.run_details import NO_DETAILS, AttemptError, Details
from qcore.domain.states import ENDED, State
from qcore.domain.task import Task
from qcore.domain.workers import RunningTask, WorkerInfo, run_of
from qcore.entrypoints.cli.asking import SEALED, Store
from qcore.entrypoints.cli.output import cell, is_terminal, print_pairs
from qcore.entrypoints.cli.task_output import coloured, in_json, moment_or_none, task_record
from qcore.entrypoints.written_times import timestamp
from qcore.ports import worker_registry_of


@record
class Stored:
    """Arguments or a result, as they are stored and as plain data."""

    raw: bytes
    content_type: str
    data: Any = None
    unreadable: str | None = None
    """Why it cannot be read here, or has no form in JSON."""


@record
class Story:
    """A task, and all that is stored of it."""

    task: Task
    details: Details
    waits_for: Sequence[Hindrance]
    """What keeps it from being run."""
    arguments: Stored
    result: Stored | None
    """What its handler has returned; None where nothing is kept of that."""
    run: tuple[WorkerInfo, RunningTask] | None = None
    """The worker that has it in hand, with since when; None where none tells of it."""

    @property
    def traceback(self) -> str | None:
        """Return the traceback of the last error."""
        return self.details.errors[-1].traceback if self.details.errors else None


async def story_of(store: Store, task: Task) -> Story:
    """Return the story of a task."""
    [details] = await store.broker.details(task.queue, [task.id])
    waits_for = () if task.state in ENDED else await _waits_for(store, task)
    spec = task.spec
    arguments = _read(store, spec.payload, spec.content_type)
    result = None if task.result is None else _read(store, task.result, task.result_type or "")
    run = await _run(store, task) if task.state is State.ACTIVE else None
    return Story(task, details or NO_DETAILS, waits_for, arguments, result, run)


def _read(store: Store, raw: bytes, content_type: str) -> Stored:
    """Return stored bytes as data, as far as the store's codec reads them."""
    try:
        data: object = store.codec.loads(raw, content_type, object)
    except CannotDecode as error:
        _, sealed, how = content_type.partition(SEALED)
        is_locked = sealed and store.app is None
        keys = f"it is sealed ({how}): name who has the keys with --app MODULE:NAME"
        return Stored(raw, content_type, unreadable=keys if is_locked else str(error))
    if not in_json(data):
        return Stored(raw, content_type, unreadable="it has no form in JSON")
    return Stored(raw, content_type, data)


async def _waits_for(store: Store, task: Task) -> Sequence[Hindrance]:
    return await store.inspector.why_waiting(task.queue, task.id) or ()


async def _run(store: Store, task: Task) -> tuple[WorkerInfo, RunningTask] | None:
    if worker_registry_of(store.broker) is None:
        return None
    return run_of(await store.inspector.workers(), task.queue, task.id)


def story_record(story: Story) -> Mapping[str, Any]:
    """Return a story as JSON has it."""
    spec, progress = story.task.spec, story.details.progress
    arguments, result = story.arguments, story.result
    return {
        **task_record(story.task),
        "arguments": arguments.data,
        "payload_base64": _base64(arguments),
        "unreadable_because": arguments.unreadable,
        "content_type": spec.content_type,
        "result": None if result is None else result.data,
        "result_base64": None if result is None else _base64(result),
        "unique_key": spec.unique_key,
        "max_retry": None if spec.is_endless else spec.max_retry,
        "max_crashes": spec.max_crashes,
        "timeout_seconds": spec.timeout,
        "deadline": moment_or_none(spec.deadline),
        "expires": moment_or_none(spec.expires),
        "retention_seconds": None if spec.is_kept_for_good else spec.retention,
        "progress": None
        if progress is None
        else {
            "at": timestamp(progress.at),
            "fraction": progress.fraction,
            "message": progress.message,
        },
        "running": _run_record(story),
        "errors": [_error_record(each) for each in story.details.errors],
        "audit": [_audit_record(each) for each in story.details.audit],
        "why_waiting": [{"obstacle": each.obstacle, "text": each.text} for each in story.waits_for],
    }


def print_stories(stories: Sequence[Story]) -> None:
    """Print each story: a line for each thing that is known, and an empty one between tasks."""
    for number, story in enumerate(stories):
        if number:
            click.echo()
        print_pairs([*story_pairs(story)])
        if is_terminal() and (traceback := story.traceback):
            click.echo()
            for line in traceback.splitlines():
                click.echo(f"  {cell(line)}")


def story_pairs(story: Story) -> Sequence[tuple[str, str]]:
    """Return the names of what is known of a task with their values, which may be styled."""
    return [(name, text) for name, text in _pairs(story) if text]


def _pairs(story: Story) -> Iterator[tuple[str, str]]:
    task, spec = story.task, story.task.spec
    yield "queue", cell(task.queue)
    yield "id", cell(task.id)
    yield "name", cell(task.name)
    yield "state", coloured(task.state)
    yield "runs on", _runs_on(story)
    yield "arguments", cell(_text(story.arguments))
    yield "result", "" if story.result is None else cell(_text(story.result))
    yield "enqueued", timestamp(task.created)
    yield "origin", _origin(task)
    yield "chain", _chain(task)
    yield "due", timestamp(task.due)
    yield "ended", moment_or_none(task.finished) or ""
    yield "attempts", f"{task.attempts}, {task.failures} failed, {task.crashes} crashed"
    yield "retries", "without end" if spec.is_endless else f"at most {spec.max_retry}"
    yield "priority", str(spec.priority)
    yield "tags", cell(", ".join(spec.tags))
    yield "group", cell(spec.group or "")
    yield "unique key", cell(spec.unique_key or "")
    yield "timeout", _seconds(spec.timeout)
    yield "deadline", moment_or_none(spec.deadline) or ""
    yield "expires", moment_or_none(spec.expires) or ""
    yield "progress", _progress(story)
    yield "error", cell(task.error or "")
    for each in reversed(story.details.errors):
        yield f"error of run {each.attempt}", cell(_error(each))
    for order in reversed(story.details.audit):
        yield "operator", cell(_order(order))
    for hindrance in story.waits_for:
        yield "waits as", cell(hindrance.text)


def _text(stored: Stored) -> str:
    if stored.unreadable is None:
        return json.dumps(stored.data, ensure_ascii=False)
    size = f"{len(stored.raw):,} bytes of {stored.content_type}"
    return f"cannot be read here, {size}: {stored.unreadable}"


def _base64(stored: Stored) -> str | None:
    """Return the bytes of what cannot be read; None for what can."""
    return None if stored.unreadable is None else base64.b64encode(stored.raw).decode()


def _origin(task: Task) -> str:
    """Return what a task came from, in words."""
    origin = task.origin
    if origin is None:
        return ""
    members = f", {origin.members:,} tasks" if origin.members else ""
    return f"{origin.kind} {cell(origin.name)} in {cell(origin.queue)}{members}"


def _chain(task: Task) -> str:
    """Return which step of its chain a task is, and how that stands."""
    position, stands = position_in(task.spec.headers), chain_state(task)
    return "" if position is None else f"step {position.step} of {position.of}, {stands}"


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:g} s"


def _runs_on(story: Story) -> str:
    if story.run is None:
        return ""
    worker, run = story.run
    return f"{cell(worker.name)} since {timestamp(run.since)}"


def _run_record(story: Story) -> Mapping[str, Any] | None:
    if story.run is None:
        return None
    worker, run = story.run
    return {"worker": worker.name, "since": timestamp(run.since)}


def _progress(story: Story) -> str:
    progress = story.details.progress
    return "" if progress is None else f"{progress.fraction:.0%} {cell(progress.message)}".rstrip()


def _error(error: AttemptError) -> str:
    by = "" if error.worker is None else f" on {error.worker}"
    version = "" if error.version is None else f", version {error.version}"
    return f"{timestamp(error.at)}{by}{version}: {error.error}"


def _error_record(error: AttemptError) -> Mapping[str, Any]:
    return {
        "at": timestamp(error.at),
        "attempt": error.attempt,
        "error": error.error,
        "worker": error.worker,
        "version": error.version,
        "traceback": error.traceback,
    }


def _order(record: AuditRecord) -> str:
    """Return in one line who gave which command, and why."""
    what = f"{record.action} {record.detail}".rstrip()
    why = "" if record.reason is None else f": {record.reason}"
    return f"{timestamp(record.at)} {record.by}, {what}{why}"


def _audit_record(record: AuditRecord) -> Mapping[str, Any]:
    return {
        "at": timestamp(record.at),
        "action": record.action,
        "by": record.by,
        "reason": record.reason,
        "detail": record.detail,
    }
