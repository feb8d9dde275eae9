"""Methods of other queues, so that a line that was not moved says what it becomes."""

from collections.abc import Mapping
from typing import Final

_ENQUEUE: Final = "enqueue_sync(…), or await enqueue(…)"
_OPTIONS: Final = "using(delay=…, …).enqueue_sync(…), or await using(…).enqueue(…)"
_CALL: Final = "call(…); in a chain, where it gets a result, step(…)"

OF_TASKS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("delay", "delay_on_commit", "send", "kiq"), _ENQUEUE),
    **dict.fromkeys(
        ("apply_async", "apply_async_on_commit", "send_with_options", "kicker", "schedule"),
        _OPTIONS,
    ),
    **dict.fromkeys(("s", "si", "subtask", "message", "message_with_options"), _CALL),
    **dict.fromkeys(("map", "starmap", "chunks"), "call(…) for each, and enqueue_many of a client"),
    "apply": "enqueue_sync(…) within q.inline()",
    "call_local": "the function itself, called with a_context() of qcore.testing",
    "retry": "raise Retry(…) in the handler",
    "AsyncResult": "handle_sync(…), or handle(…)",
}
"""Of a handler: method to what it is here."""

OF_HANDLES: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("get", "get_result", "wait_result", "wait", "return_value", "latest_result"),
        "result(timeout=…)",
    ),
    **dict.fromkeys(
        ("state", "ready", "successful", "failed", "get_status", "is_ready", "is_finished"),
        "status()",
    ),
    **dict.fromkeys(("revoke", "abort"), "cancel()"),
    **dict.fromkeys(("traceback", "exc_info"), "errors()"),
    **dict.fromkeys(("task_id", "job_id", "message_id", "key"), "id"),
    **dict.fromkeys(("info", "refresh", "meta"), "task(), progress()"),
}
"""Of a handle."""

OF_QUEUES: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("enqueue", "enqueue_job", "send_task", "enqueue_in", "enqueue_at", "apply"),
        "client.enqueue(…), or blocking.enqueue(…), of task.call(…)",
    ),
    "enqueue_many": "client.enqueue_many(…), or blocking.enqueue_many(…), of task.call(…)",
    **dict.fromkeys(("actor", "shared_task", "job", "db_task"), "task(…)"),
    **dict.fromkeys(("cron", "crontab", "periodic_task", "schedule"), "periodic(…)"),
    **dict.fromkeys(("on_startup", "startup", "on_event", "on_shutdown", "shutdown"), "lifespan"),
    **dict.fromkeys(("pre_execute", "post_execute"), "around"),
    **dict.fromkeys(("revoke", "AsyncResult", "fetch_job", "result"), "client.handle(queue, id)"),
}
"""Of a `Qcore`."""


def missing(owner: object, name: str, known: Mapping[str, str]) -> AttributeError:
    """Return the error to raise for an attribute that an object has not."""
    here = known.get(name)
    # of one that is not made yet there is nothing to show, as where it is copied
    hint = "" if here is None else f"; it is {here} of {owner!r}"
    kind = type(owner).__name__
    return AttributeError(f"{kind!r} object has no attribute {name!r}{hint}", name=name, obj=owner)
