"""Parameters of handlers that the worker fills in with what lifespans and arounds yield."""

from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest

from qcore import Context, InvalidOption, Provided
from tests.app.kit import Lab, verdict_on


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


class Session:
    pass


class FakeSession(Session):
    pass


async def test_it_is_no_argument_of_the_task(lab: Lab) -> None:
    """Nobody passes it, none is stored, and it may stand anywhere."""

    @lab.lifespan
    async def sessions() -> AsyncIterator[Session]:
        yield Session()

    @lab.task("a", retention=60)
    def a(ctx: Context, session: Annotated[Session, Provided], number: int) -> int:
        assert isinstance(session, Session)
        return number

    handle = await a.enqueue(number=7)  # type: ignore[call-arg]
    task = await handle.task()
    assert task is not None
    assert task.spec.payload == b'{"number":7}'
    await lab.run_due()
    assert await handle.result() == 7


async def test_a_test_puts_another_in_its_place(lab: Lab) -> None:
    """By the type that is asked for; no lifespan need be entered for it."""

    @lab.lifespan
    async def database() -> AsyncIterator[str]:
        raise AssertionError
        yield ""

    @lab.around
    def session(ctx: Context) -> Iterator[Session]:
        yield Session()

    @lab.task("a", retention=60)
    def a(ctx: Context, *, session: Session = Provided) -> str:
        return type(session).__name__

    fake = FakeSession()
    with lab.swapped(clock=lab.manual, lifespans=[], provided={Session: fake}):
        handle = await a.enqueue()
        await lab.run_due()
        assert await handle.result() == "FakeSession"
    await a.enqueue()
    with pytest.raises(AssertionError):
        await lab.run_due()


async def test_one_that_nobody_yields_fails_the_run(lab: Lab) -> None:
    """With an error that names the type."""

    @lab.task("a", max_retry=0)
    def a(ctx: Context, *, session: Session = Provided) -> None: ...

    handle = await a.enqueue()
    await lab.run_due()
    _, _, error = await verdict_on(handle)
    assert error is not None
    assert "no lifespan and no around yields a Session" in error


def test_one_of_no_class_is_refused(lab: Lab) -> None:
    """It is found by its class."""

    @lab.task("a")
    def a(ctx: Context, *, session: Any = Provided) -> None: ...

    with pytest.raises(InvalidOption, match="expected the class of what is provided"):
        lab.worker()


async def test_who_passes_one_is_refused(lab: Lab) -> None:
    """It could not be stored."""

    @lab.task("a")
    def a(ctx: Context, *, session: Session = Provided) -> None: ...

    with pytest.raises(Exception, match="session"):
        await a.enqueue(session=Session())
