from collections.abc import Callable
from typing import Any

import pytest

from qcore import InvalidOption, Qcore, State
from qcore.adapters.memory import MemoryBroker
from qcore.app.client.inline import run_inline
from qcore.app.client.inspector import Inspector
from qcore.app.client.waiting import Obstacle
from qcore.domain.task import Demand
from qcore.domain.workers import WorkerInfo
from qcore.testing import ManualClock
from qcore.testing.builders import NOW, a_task, a_worker
from tests.app.kit import Lab


async def staffed(*workers: WorkerInfo, lab: Lab | None = None) -> Lab:
    """Return a queue on whose broker these workers are listed."""
    lab = lab or Lab()
    broker = lab.broker
    assert isinstance(broker, MemoryBroker)
    for worker in workers:
        await broker.announce(worker)
    return lab


MAIL = a_worker(id="mail", queues={"mail": 1}, handlers=("mail:welcome", "sms:"))
IMAGES = a_worker(id="images", queues={"images": 2, "mail": 1}, handlers=("image:scale",))
ALL = a_worker(id="all", queues={"default": 1}, handlers=("",))


@pytest.mark.parametrize(
    ("queue", "name", "found"),
    [
        (None, None, ["all", "images", "mail"]),
        ("mail", None, ["images", "mail"]),
        ("nobody's", None, []),
        (None, "image:scale", ["all", "images"]),
        (None, "sms:send", ["all", "mail"]),
        (None, "mail:welcome:again", ["all"]),
        ("mail", "image:scale", ["images"]),
        ("images", "mail:welcome", []),
    ],
)
async def test_workers_are_found_by_what_they_serve_and_know(
    queue: str | None, name: str | None, found: list[str]
) -> None:
    """By exact names and by prefixes, as they find the handler of a task; none is an answer."""
    lab = await staffed(MAIL, IMAGES, ALL)
    workers = await lab.inspector.workers(queue=queue, name=name)
    assert [worker.id for worker in workers] == found


async def test_workers_that_have_expired_are_not_found() -> None:
    """By the time of the store."""
    lab = await staffed(MAIL)
    lab.manual.advance(15)
    assert await lab.inspector.workers() == []


async def test_blocking_code_asks_for_workers_too() -> None:
    """An inspector over a blocking broker never suspends."""
    lab = await staffed(MAIL)
    inspector = Inspector(lab.broker.blocking(), clock=lab.clock.blocking())
    assert run_inline(inspector.workers()) == [MAIL]
    assert run_inline(inspector.unserved_queues()) == {}
    assert run_inline(inspector.why_waiting("default", "nobody")) is None


@pytest.mark.parametrize("odd", [["mail"], 7, b"mail"])
async def test_what_is_no_name_is_refused(odd: Any) -> None:
    """Rather than found nowhere."""
    for what in ("queue", "name"):
        with pytest.raises(InvalidOption, match=f"expected the name of one {what}"):
            await Lab().inspector.workers(**{what: odd})


async def test_queues_that_no_worker_serves_are_told() -> None:
    """A queue without workers looks like an overloaded one; ended tasks wait for nobody."""
    lab = await staffed(MAIL)
    await lab.broker.enqueue([a_task(queue=queue) for queue in ("mail", "left", "left")], now=NOW)
    await lab.broker.enqueue([a_task(queue="left", due=NOW + 9)], now=NOW)
    await lab.broker.enqueue([a_task(id="ended", queue="old")], now=NOW)
    await lab.inspector.cancel("old", ["ended"])
    assert await lab.inspector.unserved_queues() == {"left": 3}


SERVING = a_worker(handlers=("test:task",))


@pytest.mark.parametrize(
    ("workers", "obstacle", "text"),
    [
        ([], Obstacle.NO_WORKER, "no worker serves the queue 'default'"),
        ([MAIL], Obstacle.NO_WORKER, "no worker serves the queue 'default'"),
        (
            [a_worker(handlers=("other",)), a_worker(handlers=("test:tas",))],
            Obstacle.NO_HANDLER,
            "no worker of the queue 'default' knows 'test:task', of 2",
        ),
        (
            [a_worker(is_paused=True), a_worker(is_paused=True), a_worker(loop_lag=9.0)],
            Obstacle.NOT_CLAIMING,
            "the workers that know it do not claim: 2 paused, 1 blocked",
        ),
        (
            [a_worker(in_hand=100), a_worker(in_hand=100), a_worker(is_stopping=True)],
            Obstacle.NO_ROOM,
            "the workers that know it have as many tasks in hand as they take: 200",
        ),
    ],
)
async def test_what_workers_do_not_do_keeps_a_task_waiting(
    workers: list[WorkerInfo], obstacle: Obstacle, text: str
) -> None:
    """And one worker that can run it is enough for there to be no obstacle."""
    lab = await staffed(*workers)
    await lab.broker.enqueue([a_task(id="a")], now=NOW)
    [found] = await lab.inspector.why_waiting("default", "a") or ()
    assert (found.obstacle, found.text) == (obstacle, text)
    await staffed(SERVING, lab=lab)
    assert await lab.inspector.why_waiting("default", "a") == []


async def in_a_group(lab: Lab) -> None:
    """Wait for others."""
    await lab.broker.enqueue([a_task(id="a", group="g")], now=NOW)


async def later(lab: Lab) -> None:
    """Be due in a while."""
    await lab.broker.enqueue([a_task(id="a", due=NOW + 90)], now=NOW)


async def in_a_pause(lab: Lab) -> None:
    """Be in a queue that is paused."""
    await lab.broker.enqueue([a_task(id="a")], now=NOW)
    await lab.inspector.pause("default")


async def behind_another(lab: Lab) -> None:
    """Wait for the end of another."""
    await lab.broker.enqueue([a_task(id="first"), a_task(id="a")], now=NOW)
    await lab.inspector.limit_in_flight("default", 1)
    await lab.broker.claim(Demand(1, {"default": 1}), now=NOW, until=NOW + 30)


async def beyond_the_rate(lab: Lab) -> None:
    """Come when as many have started as may."""
    await lab.broker.enqueue([a_task(id="first"), a_task(id="a")], now=NOW)
    await lab.inspector.limit_rate("default", "1/min")
    await lab.broker.claim(Demand(1, {"default": 1}), now=NOW, until=NOW + 30)


async def after_another_of_its_key(lab: Lab) -> None:
    """Wait for the end of one that does the same."""
    await lab.broker.enqueue([a_task(unique_key="k")], now=NOW)
    await lab.broker.claim(Demand(1, {"default": 1}), now=NOW, until=NOW + 30)
    task = a_task(id="a", unique_key="k", on_duplicate="rerun")
    await lab.broker.enqueue([task], now=NOW)


async def cancelled(lab: Lab) -> None:
    """Be dead."""
    await lab.broker.enqueue([a_task(id="a")], now=NOW)
    await lab.inspector.cancel("default", ["a"])


@pytest.mark.parametrize(
    ("come", "obstacle", "text"),
    [
        (in_a_group, Obstacle.GROUPED, "it waits in the group 'g'"),
        (later, Obstacle.NOT_DUE, "it is due in 1 min 30 s"),
        (in_a_pause, Obstacle.PAUSED, "the queue 'default' is paused"),
        (
            behind_another,
            Obstacle.IN_FLIGHT,
            "the queue 'default' runs as many as it may: 1 of 1",
        ),
        (
            beyond_the_rate,
            Obstacle.RATE,
            "the queue 'default' has started as many as its rate lets it: 1 in 60 s",
        ),
        (
            after_another_of_its_key,
            Obstacle.UNIQUE,
            "it waits for the end of another task of the unique key 'k'",
        ),
        (cancelled, Obstacle.ENDED, "it is dead: cancelled"),
    ],
)
async def test_what_else_keeps_a_task_waiting_is_told(
    come: Callable[[Lab], Any], obstacle: Obstacle, text: str
) -> None:
    """Each with a sentence; that there is a worker changes nothing about it."""
    lab = await staffed(SERVING)
    await come(lab)
    [found] = await lab.inspector.why_waiting("default", "a") or ()
    assert (found.obstacle, found.text) == (obstacle, text)


async def test_a_rate_that_has_tokens_left_keeps_nothing_waiting() -> None:
    """Nor does one whose queue has tasks that are due later."""
    lab = await staffed(SERVING)
    await lab.broker.enqueue([a_task(id="a"), a_task(due=NOW + 90)], now=NOW)
    await lab.inspector.limit_rate("default", "1/min")
    assert await lab.inspector.why_waiting("default", "a") == []


async def test_all_that_keeps_a_task_waiting_is_told_together() -> None:
    """Who mends one thing need not ask again for the next."""
    lab = Lab()
    await later(lab)
    await lab.inspector.pause("default")
    found = await lab.inspector.why_waiting("default", "a") or ()
    assert [each.obstacle for each in found] == [
        Obstacle.NOT_DUE,
        Obstacle.PAUSED,
        Obstacle.NO_WORKER,
    ]


async def test_nothing_keeps_a_task_that_runs_and_one_that_is_not_stored_is_nobody() -> None:
    """None is no list."""
    lab = Lab()
    await lab.broker.enqueue([a_task(id="a")], now=NOW)
    await lab.broker.claim(Demand(1, {"default": 1}), now=NOW, until=NOW + 30)
    assert await lab.inspector.why_waiting("default", "a") == []
    assert await lab.inspector.why_waiting("default", "b") is None
    assert (await lab.inspector.counts())["default"] == {State.ACTIVE: 1}


async def test_a_queue_of_a_program_finds_its_own_worker() -> None:
    """As whoever writes `q.inspector.workers()` expects."""
    q = Qcore("memory://", clock=ManualClock(), instruments=[])
    async with q.running(queues=["a"]):
        [worker] = await q.inspector.workers(queue="a")
        assert worker.age(q.clock.now()) == 0
