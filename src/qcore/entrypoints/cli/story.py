"""The whole story of a task: what was asked for, how its runs went, what it waits for."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from qcore.app.client.waiting import Hindrance
from qcore.domain.lifecycle import ENDED
from qcore.domain.record import record
from qcore.domain.run_details import NO_DETAILS, AttemptError, Details
from qcore.domain.task import Task
from qcore.entrypoints.cli.asking import Store
from qcore.entrypoints.cli.output import cell, is_terminal, print_pairs, timestamp
from qcore.entrypoints.cli.task_output import coloured, in_json, moment_or_none, task_record


@record
class Story:
    """A task, and all that is stored of it."""

    task: Task
    details: Details
    waits_for: Sequence[Hindrance]
    """What keeps it from being run."""
    data: Any
    """Its arguments; its payload as bytes, where those cannot be read."""


async def story_of(store: Store, task: Task) -> Story:
    """Return the story of a task."""
    [details] = await store.broker.details(task.queue, [task.id])
    waits_for = () if task.state in ENDED else await _waits_for(store, task)
    return Story(task, details or NO_DETAILS, waits_for, store.read_payload(task))


async def _waits_for(store: Store, task: Task) -> Sequence[Hindrance]:
    return await store.inspector.why_waiting(task.queue, task.id) or ()


def story_record(story: Story) -> Mapping[str, Any]:
    """Return a story as JSON has it."""
    spec, progress = story.task.spec, story.details.progress
    is_readable = not isinstance(story.data, bytes) and in_json(story.data)
    return {
        **task_record(story.task),
        "arguments": story.data if is_readable else None,
        "payload_base64": None if is_readable else base64.b64encode(spec.payload).decode(),
        "content_type": spec.content_type,
        "unique_key": spec.unique_key,
        "max_retry": spec.max_retry,
        "max_crashes": spec.max_crashes,
        "timeout_seconds": spec.timeout,
        "deadline": moment_or_none(spec.deadline),
        "expires": moment_or_none(spec.expires),
        "retention_seconds": spec.retention,
        "progress": None
        if progress is None
        else {
            "at": timestamp(progress.at),
            "fraction": progress.fraction,
            "message": progress.message,
        },
        "errors": [_error_record(each) for each in story.details.errors],
        "why_waiting": [{"obstacle": each.obstacle, "text": each.text} for each in story.waits_for],
    }


def print_stories(stories: Sequence[Story]) -> None:
    """Print each story: a line for each thing that is known, and an empty one between tasks."""
    for number, story in enumerate(stories):
        if number:
            click.echo()
        print_pairs([(name, text) for name, text in _pairs(story) if text])
        if is_terminal() and (traceback := _traceback(story)):
            click.echo()
            for line in traceback.splitlines():
                click.echo(f"  {cell(line)}")


def _pairs(story: Story) -> Iterator[tuple[str, str]]:
    task, spec = story.task, story.task.spec
    yield "queue", cell(task.queue)
    yield "id", cell(task.id)
    yield "name", cell(task.name)
    yield "state", coloured(task.state)
    yield "arguments", cell(_arguments(story))
    yield "enqueued", timestamp(task.created)
    yield "due", timestamp(task.due)
    yield "ended", moment_or_none(task.finished) or ""
    yield "attempts", f"{task.attempts}, {task.failures} failed, {task.crashes} crashed"
    yield "retries", f"at most {spec.max_retry}"
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
    for hindrance in story.waits_for:
        yield "waits as", cell(hindrance.text)


def _arguments(story: Story) -> str:
    if isinstance(story.data, bytes) or not in_json(story.data):
        size, kind = len(story.task.spec.payload), story.task.spec.content_type
        return f"cannot be read here: {size:,} bytes of {kind}"
    return json.dumps(story.data, ensure_ascii=False)


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:g} s"


def _progress(story: Story) -> str:
    progress = story.details.progress
    return "" if progress is None else f"{progress.fraction:.0%} {cell(progress.message)}".rstrip()


def _error(error: AttemptError) -> str:
    by = "" if error.worker is None else f" on {error.worker}"
    return f"{timestamp(error.at)}{by}: {error.error}"


def _error_record(error: AttemptError) -> Mapping[str, Any]:
    return {
        "at": timestamp(error.at),
        "attempt": error.attempt,
        "error": error.error,
        "worker": error.worker,
        "traceback": error.traceback,
    }


def _traceback(story: Story) -> str | None:
    """Return the traceback of the last error."""
    return story.details.errors[-1].traceback if story.details.errors else None
