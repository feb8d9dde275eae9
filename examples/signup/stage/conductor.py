"""The course of the demo, from the first sign-up to the evidence for the verdict."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from examples.signup import settings
from examples.signup.app import make_report, q
from examples.signup.database import Users
from examples.signup.service import Form, SignUp, sign_up
from examples.signup.stage.audit import Delivery, Promise, read_deliveries
from examples.signup.stage.figures import UNFINISHED, Snapshot, in_states
from examples.signup.stage.plan import Plan
from examples.signup.stage.screen import Screen
from examples.signup.stage.smtp_server import MailServer, listening
from examples.signup.stage.watch import Watch
from examples.signup.stage.workers import Worker, working
from qcore import Task

MAIL: Final = settings.HOME / "mail"
PATIENCE: Final = 90.0
"""Seconds after which whatever is unfinished counts as lost."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What there is when it is over."""

    last: Snapshot
    promises: Sequence[Promise]
    tasks: Mapping[str, Task | None]
    """As the queue has them in the end, by id."""
    deliveries: Sequence[Delivery]


async def conduct(plan: Plan, forms: Sequence[Form], screen: Screen) -> Outcome:
    """Let people sign up, kill a worker half way, ask for the report, and gather the evidence."""
    server = MailServer(MAIL, plan.seed, plan.thinking)
    promises: list[Promise] = []
    async with q:
        async with listening(server) as smtp, working(smtp, 2) as workers:
            watch = Watch(screen, server, workers, expected=3 * len(forms) + 1)
            try:
                async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
                    watching = group.create_task(watch.run())
                    killing = group.create_task(kill_half_way(workers[0], plan, watch, screen))
                    await perform(plan, forms, promises, screen)
                    watching.cancel()
                    killing.cancel()
            except TimeoutError:
                screen.say(f"Not everything was done after {PATIENCE:.0f} seconds.")
            last = await watch.look()
        tasks = {each.task_id: await q.inspector.get(each.queue, each.task_id) for each in promises}
    return Outcome(last, promises, tasks, read_deliveries(MAIL))


async def perform(
    plan: Plan, forms: Sequence[Form], promises: list[Promise], screen: Screen
) -> None:
    """Sign everybody up, one after the other, and ask for the report when all is done."""
    users = Users(settings.USERS_DATABASE)
    for form in forms:
        promises += promised(await sign_up(users, form))
        await asyncio.sleep(1 / plan.rate)
    screen.say(f"All {len(forms)} people have signed up.")
    await all_ended()
    screen.say("Everything they need is done; asking for the report.")
    report = await make_report.enqueue()
    promises.append(Promise(report.queue, report.id, make_report.name, file=settings.REPORT))
    await report.result()


async def all_ended() -> None:
    """Wait until no task is waiting or running."""
    # the workers are other processes: there is no event to wait for
    while in_states(await q.inspector.counts(), UNFINISHED):  # noqa: ASYNC110
        await asyncio.sleep(0.1)


def promised(done: SignUp) -> list[Promise]:
    """Return what the queue has taken on for one user."""
    verification, thumbnail, welcome = done.verification, done.thumbnail, done.welcome
    email, file = done.user.email, settings.THUMBNAILS / f"{done.user.id}.jpg"
    return [
        Promise(verification.queue, verification.id, "email:verification", address=email),
        Promise(thumbnail.queue, thumbnail.id, "image:thumbnail", file=file),
        Promise(welcome.queue, welcome.id, "email:welcome", address=email),
    ]


async def kill_half_way(victim: Worker, plan: Plan, watch: Watch, screen: Screen) -> None:
    """Kill a worker when enough has been done."""
    then = await watch.until(lambda now: now.ended >= plan.kill_at * now.expected)
    await victim.kill()
    screen.say(
        f"After {then.seconds:.1f} s, with {then.ended} of {then.expected} tasks ended, "
        f"{victim.name} (pid {victim.pid}) was killed with SIGKILL."
    )
