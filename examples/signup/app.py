"""The background tasks of the sign-up service.

qcore worker examples.signup.app:q --queues critical=6,default=3,low=1
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from email.message import EmailMessage
from time import perf_counter

from examples.signup import images, messages, settings
from examples.signup.database import User, Users
from examples.signup.mail import MailRefused, SmtpPool
from examples.signup.report import write_report
from qcore import Context, Qcore, SkipRetry
from qcore.backoff import exponential
from qcore.types import Next

KEPT = timedelta(hours=1)
"""How long a completed task can still be looked at; by default it is forgotten at once."""

q = Qcore(settings.QUEUE_URL)


@q.lifespan
async def resources() -> AsyncIterator[object]:
    """Open what handlers share, once for each worker. They reach it by its type."""
    with closing(SmtpPool(settings.SMTP_HOST, int(settings.SMTP_PORT))) as smtp:
        yield smtp, Users(settings.USERS_DATABASE)


@q.middleware
async def timed(ctx: Context, run: Next) -> object:
    """Log how long each run took, whichever way it ended. Failures are logged by qcore itself."""
    began = perf_counter()
    try:
        return await run(ctx)
    finally:
        ctx.log.info("ran", seconds=round(perf_counter() - began, 3))


@q.task(
    "email:verification",
    queue="critical",
    max_retry=10,
    retry=exponential(0.5, cap=5),
    timeout=timedelta(seconds=30),
    retention=KEPT,
)
def send_verification(ctx: Context, user_id: int) -> None:
    """Ask a new user to confirm the address. A plain function, so it runs in a thread."""
    user = ctx.state(Users).get(user_id)
    deliver(ctx, user, messages.verification(user))


@q.task("email:welcome", queue="low", max_retry=10, retry=exponential(0.5, cap=5), retention=KEPT)
def send_welcome(ctx: Context, user_id: int) -> None:
    """Say hello, when there is nothing better to do: a queue of low weight."""
    user = ctx.state(Users).get(user_id)
    deliver(ctx, user, messages.welcome(user))


@q.task("image:thumbnail", process=True, timeout=timedelta(seconds=20), retention=KEPT)
def make_thumbnail(_ctx: Context, user_id: int) -> str:
    """Shrink a user's picture, in a process of its own: this is work for a whole core."""
    target = settings.THUMBNAILS / f"{user_id}.jpg"
    images.thumbnail(settings.PICTURES / target.name, target)
    return str(target)


@q.task("report:signups", retention=KEPT)
async def make_report(ctx: Context) -> str:
    """Write the report. A coroutine: it asks the queue, and lends the slow part to a thread."""
    counts = await q.inspector.counts()
    rows = await asyncio.to_thread(ctx.state(Users).by_country)
    await asyncio.to_thread(write_report, settings.REPORT, rows, counts)
    return str(settings.REPORT)


def deliver(ctx: Context, user: User, message: EmailMessage) -> None:
    """Send a message, and say what a refusal means for the task.

    A task is run at least once: a worker may be lost after the mail server took the message and
    before it could say so. Therefore the task's id is the message's, so that whoever gets a
    second copy can tell, and what is written to the database may be written twice.
    """
    message["Message-ID"] = f"<{ctx.id}@{settings.SITE}>"
    try:
        ctx.state(SmtpPool).send(message)
    except MailRefused as refusal:
        if not refusal.is_permanent:
            raise
        ctx.state(Users).mark(user.id, is_reachable=False)
        raise SkipRetry(str(refusal)) from refusal
    ctx.state(Users).mark(user.id, is_reachable=True)
