"""A handle of a task by its id, from its handler: it decodes the result as the enqueuing one."""

import pytest

from qcore import Context, InvalidTask, Router, State
from qcore.domain.record import record
from tests.app.kit import Lab


@record
class Point:
    """A result that is no plain data."""

    x: int
    y: int


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


async def test_a_result_is_decoded_by_the_handlers_annotation(lab: Lab) -> None:
    """By whoever knows the id and the handler, elsewhere and later."""

    @lab.task("locate", retention=60)
    async def locate(_: Context, x: int) -> Point:
        return Point(x, 2)

    enqueued = await locate.enqueue(1)
    known = locate.handle(enqueued.id)
    assert await known.status() is State.PENDING
    await lab.run_due()
    assert await known.result() == await enqueued.result() == Point(1, 2)
    assert locate.handle_sync(enqueued.id).result() == Point(1, 2)
    assert (known.name, known.queue, known.is_new) == ("locate", "default", False)


async def test_the_queue_is_the_handlers_unless_it_is_given(lab: Lab) -> None:
    """Its own option, that of `using`, or the one that is named."""

    @lab.task("locate", queue="maps")
    async def locate(_: Context) -> None: ...

    assert locate.handle("a").queue == "maps"
    assert locate.using(queue="fast").handle("a").queue == "fast"
    assert locate.handle("a", queue="slow").queue == "slow"
    assert locate.handle_sync("a", queue="slow").queue == "slow"


async def test_a_handler_of_a_router_takes_the_queue_that_includes_it(lab: Lab) -> None:
    """And its name there."""
    router = Router()

    @router.task("locate")
    async def locate(_: Context) -> None: ...

    lab.include(router, prefix="geo:")
    assert locate.handle("a").name == "geo:locate"


async def test_arguments_of_a_task_known_by_id_are_checked(lab: Lab) -> None:
    """As the handler's signature has them."""

    @lab.task("locate")
    async def locate(_: Context, x: int) -> None: ...

    handle = locate.handle((await locate.enqueue(1)).id)
    with pytest.raises(InvalidTask, match="locate"):
        await handle.update(arguments={"x": "far"})
    with pytest.raises(InvalidTask, match="id is"):
        locate.handle("")
