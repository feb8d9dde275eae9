"""Draw `qcore top` into docs/images/, always alike: `python -m docs.captures`.

What is shown is made up, in a memory broker and by a clock that stands still.
"""

import asyncio
import re
from pathlib import Path
from typing import Final

from qcore.adapters.memory import MemoryBroker
from qcore.app.calls.periodic_task import PeriodicTask
from qcore.domain.moments import Moment
from qcore.domain.queue_limits import Rate, SetInFlight, SetPaused, SetRate
from qcore.domain.run_details import DetailsUpdate, Progress
from qcore.domain.task import Claim, Verdict
from qcore.domain.transitions import Failed, Rejected, Succeeded, Transition
from qcore.domain.workers import RunningTask
from qcore.entrypoints.cli.asking import Store
from qcore.entrypoints.top.app import Top
from qcore.entrypoints.top.counting import CountingBroker
from qcore.testing import ManualClock
from qcore.testing.builders import NOW, a_demand, a_task, a_worker

IMAGES: Final = Path(__file__).parent / "images"
SIZES: Final = {"80x24": (80, 24), "200x60": (200, 60)}
CAPTURES: Final = {
    "top": ("80x24", ()),
    "top-wide": ("200x60", ()),
    "top-tasks": ("80x24", ("enter",)),
    "top-task": ("80x24", ("4", "enter", "l", "l", "enter")),
    "top-workers": ("80x24", ("3",)),
    "top-errors": ("80x24", ("4",)),
    "top-periodic": ("80x24", ("5",)),
    "top-question": ("80x24", ("4", "r")),
}
"""Name to size, and the keys that lead there."""
MAY_CHANGE: Final = {"top-question"}
URL: Final = "redis://queue.example/0"
MINUTES: Final = 30
QUEUES: Final = {
    # queue: task, runs in a minute, share that fails, waiting, scheduled, seconds of a run
    "billing": ("invoice:send", 24, 0.0, 3, 40, 0.8),
    "default": ("cache:warm", 310, 0.01, 12, 0, 0.02),
    "images": ("image:resize", 95, 0.04, 1_840, 0, 2.5),
    "mail": ("email:welcome", 620, 0.02, 37, 210, 0.3),
    "reports": ("report:monthly", 1, 0.0, 2, 5, 140.0),
    "webhooks": ("webhook:post", 180, 0.15, 96, 0, 1.2),
}
ERRORS: Final = (
    "ConnectionError: mail.example refused the connection after 3 attempts",
    "TimeoutError: no answer from https://hooks.example/orders/{n} within 10 s",
    "ValueError: image {n} has no pixels",
)


async def scene() -> tuple[ManualClock, MemoryBroker]:
    """Return a store in which there is something of everything."""
    clock, broker = ManualClock(NOW - MINUTES * 60), MemoryBroker()
    for minute in range(MINUTES):
        for number, queue in enumerate(QUEUES):
            await _a_minute(broker, clock.now(), queue, minute, number)
        clock.advance(60)
    for queue, (name, _, _, waiting, scheduled, _) in QUEUES.items():
        due = [a_task(name=name, queue=queue, id=f"{queue}-w{n:05}") for n in range(waiting)]
        await broker.enqueue(due, now=NOW - 30 - waiting / 50)
        later = [
            a_task(name=name, queue=queue, id=f"{queue}-s{n:05}", due=NOW + 3_600)
            for n in range(scheduled)
        ]
        await broker.enqueue(later, now=NOW - 300)
    await _limits(broker)
    await _workers(broker)
    await _entries(broker, clock)
    return clock, broker


async def _a_minute(
    broker: MemoryBroker, now: Moment, queue: str, minute: int, number: int
) -> None:
    name, rate, failing, _, _, ran = QUEUES[queue]
    # a wave, so that there is something to see, and no two queues are alike
    runs = max(1, round(rate * (0.25 + 0.75 * ((minute * (number + 3)) % 17) / 17)))
    tasks = [
        a_task(name=name, queue=queue, id=f"{queue}-{minute:02}{n:04}", payload=_payload(n))
        for n in range(runs)
    ]
    await broker.enqueue(tasks, now=now)
    claims = await broker.claim(a_demand(runs, **{queue: runs}), now=now, until=now + 60)
    verdicts = [
        Verdict(each.lease, _outcome(n, runs, failing), waited=0.2 + n % 9 / 10, ran=ran)
        for n, each in enumerate(claims)
    ]
    await broker.settle(verdicts, now=now + 30)


def _payload(number: int) -> bytes:
    return b'{"user_id": %d, "locale": "de_DE", "template": "welcome"}' % (4_000 + number)


def _outcome(number: int, runs: int, failing: float) -> Transition:
    if number >= runs * failing:
        return Succeeded()
    error = ERRORS[number % len(ERRORS)].format(n=4_000 + number)
    if number % 4 == 0:
        return Rejected(error, worker="worker-b", traceback=TRACEBACK.format(error=error))
    return Failed(error, again_at=NOW + 600 + number, worker="worker-a")


TRACEBACK: Final = """\
Traceback (most recent call last):
  File "/app/mail/tasks.py", line 41, in send_welcome
    await smtp.send(message)
  File "/app/mail/smtp.py", line 87, in send
    raise ConnectionError("mail.example refused the connection after 3 attempts")
{error}"""


async def _limits(broker: MemoryBroker) -> None:
    await broker.set_limit("webhooks", SetRate(Rate.of("300/min")), now=NOW)
    await broker.set_limit("reports", SetInFlight(2), now=NOW)
    await broker.set_limit("billing", SetPaused(is_paused=True), now=NOW)


async def _workers(broker: MemoryBroker) -> None:
    wanted = {"images": 8, "mail": 5, "reports": 2, "webhooks": 4}
    claims: list[Claim] = []
    for queue, number in wanted.items():
        demand = a_demand(number, **{queue: number})
        claims += await broker.claim(demand, now=NOW - 20, until=NOW + 30)
    await broker.save_details(
        [DetailsUpdate(claims[-1].lease, progress=Progress(NOW, 0.62, "of 1,200 pages"))]
    )
    for number, name in enumerate(("worker-a", "worker-b", "worker-c")):
        mine = claims[number::3]
        await broker.announce(
            a_worker(
                id=name,
                name=name,
                host="queue.example",
                handlers=("",),
                queues={"mail": 6, "images": 3, "webhooks": 2, "reports": 1, "default": 1},
                started=NOW - 7_200 * (3 - number),
                seen=NOW - (0.8, 2.1, 9.4)[number],
                expires=NOW + 5.6,
                concurrency=20,
                in_hand=len(mine),
                running=tuple(_run(each, n) for n, each in enumerate(mine)),
                loop_lag=(0.002, 1.8, 0.004)[number],
                last_claim=NOW - 1,
            )
        )


def _run(claim: Claim, number: int) -> RunningTask:
    task = claim.task
    return RunningTask(task.queue, task.id, task.name, NOW - 19 + 2.7 * number)


async def _entries(broker: MemoryBroker, clock: ManualClock) -> None:
    entries = Store(URL, broker, clock=clock).entries
    for schedule, name, queue in (
        ("0 9 * * 1-5", "report:daily", "reports"),
        ("*/5 * * * *", "cache:warm", "default"),
        ("0 3 1 * *", "invoice:close", "billing"),
    ):
        await entries.store(PeriodicTask(schedule, a_task(name=name, queue=queue)))
    await entries.pause("invoice:close", queue="billing")


# --- pictures ----------------------------------------------------------------------------------


async def drawn(name: str) -> str:
    """Return a picture as SVG."""
    size, keys = CAPTURES[name]
    clock, broker = await scene()
    counting = CountingBroker(broker)
    app = Top(Store(URL, counting, clock=clock), counting, is_read_only=name not in MAY_CHANGE)
    async with app.run_test(size=SIZES[size]) as pilot:
        for key in (None, *keys):
            if key is not None:
                await pilot.press(key)
            await settled(app)
        await pilot.pause()
        return without_fonts(app.export_screenshot(title="qcore top"))


async def settled(app: Top) -> None:
    """Wait until what is to be shown was read."""
    while not app.is_settled:  # noqa: ASYNC110  (a picture is seldom drawn, and few wait for one)
        await asyncio.sleep(0.01)


def without_fonts(svg: str) -> str:
    """Return a picture that loads no font: any that is monospaced will do."""
    plain = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    return re.sub(r"font-family: [^;]*;", "font-family: monospace;", plain)


async def main() -> None:
    """Draw all pictures."""
    IMAGES.mkdir(exist_ok=True)
    for name in CAPTURES:
        (IMAGES / f"{name}.svg").write_text(await drawn(name), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
