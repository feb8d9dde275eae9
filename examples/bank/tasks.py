"""The tasks: their names, arguments, queues, retries and schedules.

qcore worker examples.bank.tasks:q

Plain functions run in threads, where SQLAlchemy and smtplib may block.
"""

from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta

from examples.bank import wiring
from examples.bank.periods import day_before, month_before
from examples.bank.processor import TaskProcessor
from examples.bank.settings import SETTINGS
from qcore import Context, Qcore
from qcore.backoff import exponential

ZONE = SETTINGS.time_zone
KEPT = timedelta(hours=1)
"""How long a completed task can still be looked at; by default it is forgotten at once."""

q = Qcore(
    defaults={"max_retry": 10, "timeout": 60, "retention": KEPT},
    # ten retries last for about three quarters of an hour
    retry=exponential(5, cap=timedelta(hours=1)),
)


@q.lifespan
async def processor() -> AsyncIterator[TaskProcessor]:
    """Make what handlers share, once for each worker. They reach it by its type."""
    with closing(wiring.store()) as store:
        yield TaskProcessor(store, wiring.mailer())


@q.task("email:verify", queue="critical")
def send_verify_email(ctx: Context, username: str) -> str:
    """Send a new user the link that verifies their address."""
    return ctx.state(TaskProcessor).send_verify_email(ctx.id, username)


# all: each day has its report, also the days on which no worker ran
@q.periodic("0 9 * * *", tz=ZONE.key, missed="all", catch_up=7)
@q.task("report:daily", queue="low")
def send_daily_report(ctx: Context) -> str:
    """Report on yesterday."""
    return ctx.state(TaskProcessor).send_report(ctx.id, day_before(instant_of(ctx), ZONE))


@q.periodic("0 9 1 * *", tz=ZONE.key)
@q.task("report:monthly", queue="low")
def send_monthly_report(ctx: Context) -> str:
    """Report on last month."""
    return ctx.state(TaskProcessor).send_report(ctx.id, month_before(instant_of(ctx), ZONE))


def instant_of(ctx: Context) -> float:
    """Return the instant that a task is for: after an outage that is not the time it runs at."""
    return q.clock.now() if ctx.tick is None else ctx.tick.at
