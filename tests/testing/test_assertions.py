from datetime import UTC, datetime

import pytest

from qcore import Context, Qcore, State
from qcore.testing import ManualClock, a_task, assert_enqueued, drain
from qcore.testing.builders import NOW


@pytest.fixture
def q() -> Qcore:
    """Return a queue in virtual time."""
    return Qcore("memory://", clock=ManualClock(), dice=lambda: 0.5, instruments=())


async def test_a_waiting_task_is_found(q: Qcore) -> None:
    """By its handler alone, or by some of its arguments; the task is returned."""

    @q.task("mail")
    async def mail(ctx: Context, to: str, copies: int = 1) -> None: ...

    first = await mail.enqueue("a")
    second = await mail.using(priority=-1).enqueue("b", copies=2)
    assert assert_enqueued(mail).id == first.id
    assert assert_enqueued(mail, to="b").id == second.id
    assert assert_enqueued(mail, copies=2, to="b").id == second.id


@pytest.mark.parametrize("state", [State.PENDING, State.SCHEDULED, State.RETRY])
async def test_it_is_found_wherever_it_waits(q: Qcore, state: State) -> None:
    """Pending, scheduled or to be retried, in any queue."""

    @q.task("mail")
    async def mail(ctx: Context) -> None:
        raise ValueError

    delay = 60 if state is State.SCHEDULED else 0
    await mail.using(queue="elsewhere", delay=delay).enqueue()
    if state is State.RETRY:
        await drain(q, jump=False)
    assert assert_enqueued(mail).state is state


async def test_what_has_ended_is_not_waiting(q: Qcore) -> None:
    """A completed task was enqueued once, but waits no more."""

    @q.task("mail", retention=600)
    async def mail(ctx: Context) -> None: ...

    await mail.enqueue()
    await drain(q)
    with pytest.raises(AssertionError):
        assert_enqueued(mail)


async def test_a_failure_lists_what_was_enqueued(q: Qcore) -> None:
    """It says what was looked for, and everything that waits, with arguments, queue and state."""

    @q.task("mail")
    async def mail(ctx: Context, to: str) -> None: ...

    @q.task("other", queue="slow")
    async def other(ctx: Context, number: int) -> None: ...

    await mail.enqueue("a")
    await other.using(delay=5).enqueue(number=7)
    with pytest.raises(AssertionError) as failure:
        assert_enqueued(mail, to="b")
    assert str(failure.value) == (
        "mail(to='b') was not enqueued. What is waiting:\n"
        "  mail(to='a') in default, pending\n"
        "  other(number=7) in slow, scheduled"
    )


async def test_a_failure_with_nothing_to_list_says_so(q: Qcore) -> None:
    """An empty store is a fact worth saying."""

    @q.task("mail")
    async def mail(ctx: Context) -> None: ...

    with pytest.raises(AssertionError, match=r"mail\(\) was not enqueued.*\n.*nothing at all"):
        assert_enqueued(mail)


async def test_a_payload_that_cannot_be_read_is_listed_all_the_same(q: Qcore) -> None:
    """What somebody else enqueued in a form of theirs does not break the message."""

    @q.task("mail")
    async def mail(ctx: Context) -> None: ...

    await q.client.enqueue(a_task(name="foreign", payload=b"\xff", content_type="image/png"))
    await q.client.enqueue(a_task(name="list", payload=b"[1]"))
    with pytest.raises(AssertionError, match=r"(?s)foreign\(.*in default, pending.*list\("):
        assert_enqueued(mail)


async def test_an_argument_may_be_given_as_the_handler_takes_it(q: Qcore) -> None:
    """A datetime is found by the datetime that was enqueued, not only by the text that travels."""

    @q.task("mail")
    async def mail(ctx: Context, at: datetime) -> None: ...

    moment = datetime.fromtimestamp(NOW, UTC)
    await mail.enqueue(moment)
    assert assert_enqueued(mail, at=moment)
    with pytest.raises(AssertionError):
        assert_enqueued(mail, at=datetime.fromtimestamp(NOW + 1, UTC))


async def test_many_are_looked_through(q: Qcore) -> None:
    """Also the last of more than a page is found."""

    @q.task("mail")
    async def mail(ctx: Context, number: int) -> None: ...

    await q.client.enqueue_many([mail.call(number) for number in range(1_200)])
    task = assert_enqueued(mail, number=1_199)
    assert task.spec.payload == b'{"number":1199}'


def test_code_without_a_loop_may_ask(q: Qcore) -> None:
    """`assert_enqueued` needs no event loop."""

    @q.task("mail")
    def mail(ctx: Context) -> None: ...

    mail.enqueue_sync()
    assert assert_enqueued(mail.using(priority=3))
