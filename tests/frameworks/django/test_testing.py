"""`QueueMixin`: tests of an application, whose tasks run in the test's thread and transaction."""

import threading
import unittest
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase

from qcore import Context
from qcore.django import q
from qcore.django.testing import QueueMixin, queue_in_memory
from tests.frameworks.django import some_tasks

pytestmark = pytest.mark.usefixtures("database")
THREADS: list[int] = []


@q.task("user:activate")
def activate(ctx: Context, name: str) -> None:
    """Write, in a thread."""
    THREADS.append(threading.get_ident())
    User.objects.filter(username=name).update(first_name="active")


@q.task("user:rename")
async def rename(ctx: Context, name: str) -> None:
    """Write, on the loop."""
    user = await User.objects.aget(username=name)
    user.first_name = "renamed"
    await user.asave()


@q.task("user:twice")
def twice(ctx: Context, name: str) -> None:
    """Enqueue another task, in a transaction."""
    with transaction.atomic():
        activate.enqueue_sync(name)


def sign_up(name: str, *, then: Any = activate) -> None:
    """Store a user and enqueue a task, in one transaction."""
    with transaction.atomic():
        User.objects.create(username=name)
        then.enqueue_sync(name)


@contextmanager
def undone() -> Iterator[None]:
    """Undo what is done in the block."""
    with suppress(ZeroDivisionError), transaction.atomic():
        yield
        raise ZeroDivisionError


class Cases(QueueMixin):
    """What holds in a `TestCase` and in a `TransactionTestCase`."""

    def test_a_task_sees_what_the_test_has_written(self) -> None:
        sign_up("ann")
        self.queue.assert_enqueued(activate, name="ann")
        assert self.queue.run_tasks() == 1
        assert User.objects.get(username="ann").first_name == "active"

    def test_a_coroutine_sees_it_too(self) -> None:
        sign_up("bob", then=rename)
        assert self.queue.run_tasks() == 1
        assert User.objects.get(username="bob").first_name == "renamed"

    def test_a_task_of_a_task_runs_too(self) -> None:
        sign_up("cas", then=twice)
        assert self.queue.run_tasks() == 2
        assert User.objects.get(username="cas").first_name == "active"

    def test_a_task_of_django_runs_too(self) -> None:
        with transaction.atomic():
            result = some_tasks.add.enqueue(1, 2)
        self.queue.run_tasks()
        result.refresh()
        assert result.return_value == 3

    def test_what_is_undone_enqueues_nothing(self) -> None:
        with undone():
            sign_up("dora")
        assert self.queue.run_tasks() == 0
        with pytest.raises(AssertionError):
            self.queue.assert_enqueued(activate)

    async def test_an_asynchronous_test_runs_tasks(self) -> None:
        await User.objects.acreate(username="finn")
        await rename.enqueue("finn")
        assert await self.queue.arun_tasks() == 1
        assert (await User.objects.aget(username="finn")).first_name == "renamed"


class InATestCase(Cases, TestCase):
    """In a transaction that is undone."""

    __test__ = False

    def test_what_waits_for_a_commit_is_run_once(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            sign_up("eve")
        assert self.queue.run_tasks() == 1


class InATransactionTestCase(Cases, TransactionTestCase):
    """Where transactions are committed."""

    __test__ = False

    databases: ClassVar = {"default"}
    available_apps: ClassVar = ["django.contrib.auth", "django.contrib.contenttypes"]

    def _fixture_teardown(self) -> None:
        User.objects.all().delete()


@pytest.mark.parametrize("case", [InATestCase, InATransactionTestCase])
def test_tasks_run_in_the_thread_and_the_transaction_of_a_test(case: type[TestCase]) -> None:
    """As the runner of Django, and that of pytest, runs test cases."""
    THREADS.clear()
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
    result = unittest.TestResult()
    suite.run(result)
    assert [f"{each}: {text}" for each, text in (*result.errors, *result.failures)] == []
    assert result.testsRun == suite.countTestCases() >= 6
    assert set(THREADS) == {threading.get_ident()}


def test_each_block_has_a_queue_of_its_own() -> None:
    """For tests of pytest, or of any kind."""
    with queue_in_memory() as queue:
        activate.enqueue_sync("ann")
        assert queue.run_tasks() == 1
    with queue_in_memory() as queue:
        assert queue.run_tasks() == 0
    assert not connection.in_atomic_block


def test_a_case_that_fails_says_so() -> None:
    """The mixin passes on what the runner says."""

    class Fails(QueueMixin, unittest.TestCase):
        def runTest(self) -> None:  # noqa: N802  (its name)
            raise AssertionError("on purpose")

    result = unittest.TestResult()
    Fails().run(result)
    assert [text.splitlines()[-1] for _, text in result.failures] == ["AssertionError: on purpose"]
