"""Tasks of Django, in a module as an application has them."""

import asyncio
import time
from typing import Any

import django

if django.VERSION >= (6,):
    from django.tasks import task
else:
    from django_tasks import task

SEEN: list[Any] = []


class Unlucky(Exception):
    """An error of the application."""


@task
def add(one: int, other: int) -> int:
    """Return a sum."""
    return one + other


@task(takes_context=True)
def about_me(context: Any, word: str) -> dict[str, Any]:
    """Return what the run knows of itself."""
    result = context.task_result
    known = {"attempt": context.attempt, "status": result.status.value, "errors": result.errors}
    return {"word": word, **known}


@task(takes_context=True, backend="anywhere")
def count_errors(context: Any) -> list[str]:
    """Fail once; return what is known of that."""
    if context.attempt < 2:
        raise Unlucky("the first time")
    return [each.exception_class_path for each in context.task_result.errors]


@task(queue_name="mail")
async def greet(name: str) -> str:
    """Return a greeting."""
    return f"hello {name}"


@task
def fail(why: str) -> None:
    """Raise an error."""
    raise Unlucky(why)


@task(backend="anywhere", queue_name="of-any-name")
def fail_twice(key: str) -> str:
    """Raise twice, then return."""
    SEEN.append(key)
    if len(SEEN) < 3:
        raise Unlucky(key)
    return key


@task
def leave() -> None:
    """End the process, as a handler should not."""
    raise SystemExit(3)


@task
def return_an_object() -> object:
    """Return what JSON has not."""
    return object()


@task
def linger(seconds: float) -> None:
    """Hold a thread."""
    time.sleep(seconds)


@task(queue_name="mail")
async def linger_in_loop(seconds: float) -> None:
    """Go on, unless it is cancelled."""
    await asyncio.sleep(seconds)


@task
def note(word: str) -> None:
    """Note a word."""
    SEEN.append(word)
