"""Tasks that are retried without end, and kept for good."""

import pytest

from qcore import Context, InvalidTask, NewTask, State
from qcore.backoff import fixed
from qcore.domain.new_task import ENDLESS, MAX_BUDGET
from qcore.domain.retry import RetryPolicy, judge
from qcore.domain.transitions import Failed
from qcore.testing import a_task, drain
from qcore.testing.builders import a_stored_task
from tests.app.kit import Lab, stored


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


@pytest.mark.parametrize("failures", [MAX_BUDGET, ENDLESS, ENDLESS + 1])
def test_there_is_no_last_retry(failures: int) -> None:
    """However often it has failed, whatever the number means elsewhere."""
    task = a_stored_task(a_task(max_retry=ENDLESS), state=State.ACTIVE, failures=failures)
    policy = RetryPolicy(fixed(1))
    assert isinstance(judge(OSError(), task, policy, lambda: 0.5, now=task.created), Failed)


async def test_none_says_so_where_it_is_declared_and_enqueued(lab: Lab) -> None:
    """A task of it is tried again and again, and kept until somebody deletes it."""

    @lab.task("a", max_retry=None, retry=fixed(1), retention=None)
    async def a(ctx: Context) -> str:
        if ctx.attempt <= 1_000:
            raise OSError("not yet")
        return "at last"

    handle = await a.enqueue()
    assert await drain(lab) == 1_001
    lab.manual.advance(3_000 * 365 * 86_400)
    await lab.run_due()
    task = await stored(handle)
    assert (task.state, task.failures) == (State.COMPLETED, 1_000)
    assert task.spec.is_endless
    assert task.spec.is_kept_for_good
    assert await handle.result() == "at last"


async def test_a_stored_task_can_be_told_so(lab: Lab) -> None:
    """And that there is an end after all."""

    @lab.task("a")
    async def a(ctx: Context) -> None: ...

    handle = await a.using(delay=60).enqueue()
    await handle.update(max_retry=None, retention=None)
    spec = (await stored(handle)).spec
    assert (spec.is_endless, spec.is_kept_for_good) == (True, True)
    await handle.update(max_retry=3, retention=0)
    spec = (await stored(handle)).spec
    assert (spec.max_retry, spec.retention) == (3, 0.0)


@pytest.mark.parametrize("wrong", [ENDLESS - 1, float(ENDLESS), MAX_BUDGET + 1, -1, True])
def test_another_number_that_is_too_large_is_refused(wrong: int) -> None:
    """Only the one is without end."""
    with pytest.raises(InvalidTask, match="max_retry is"):
        NewTask("a", id="1", max_retry=wrong)
