"""What type checkers see of the public surface: every line here must be accepted or refused."""

from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from starlette.applications import Starlette
from starlette.requests import Request

from qcore import (
    Context,
    Cron,
    Handle,
    NewTask,
    PeriodicTask,
    Qcore,
    RetryPolicy,
    Router,
    Task,
    chain,
)
from qcore.backoff import exponential
from qcore.dashboard import ALL, READ_ONLY, Rights, Visitor, dashboard, wsgi_dashboard
from qcore.periodic import EntryPage, ListedEntry
from qcore.schedules import Every, Schedule, schedule_from
from qcore.tasks import Group
from qcore.types import BlockingHandle, Call, Chain, Handler, Next, Step

q = Qcore("memory://")


async def may(request: Request) -> Visitor | None:
    name = request.headers.get("x-user")
    return None if name is None else Visitor(Rights.of(["*.read", "task.move@mail*"]), name)


app = Starlette()
app.mount("/all", dashboard(q, access=lambda _: ALL, environment="production"))
app.mount("/some", dashboard(q, access=may, mask=["*iban*"]))
app.mount("/few", dashboard(q, access=lambda _: {"*.read"}))
wsgi = wsgi_dashboard(q, token="0123456789abcdef", public_origins=["https://ops.example.com"])


router = Router(
    defaults={"max_retry": 5, "timeout": timedelta(seconds=30)},
    retry=exponential(1, cap=60),
    is_failure=lambda error: not isinstance(error, ConnectionError),
    on_error=[lambda ctx, error: ctx.log.info("failed", error=str(error))],
)


@router.task("routed", priority=1)
async def routed(ctx: Context, number: int) -> str:
    return f"{ctx.id} {number}"


q.include(router, prefix="mail:")
assert_type(routed.call(1), Call[str])


@q.task("email:welcome", queue="critical", max_retry=5, timeout=timedelta(seconds=30))
async def send_welcome(ctx: Context, user_id: int, email: str = "a@example.com") -> str:
    return f"{ctx.id} {user_id} {email}"


@q.task("image:thumbnail", process=True, retry=exponential(1, cap=60))
def thumbnail(ctx: Context, path: str) -> int:
    return len(path) + ctx.attempt


@q.task("report", retry=RetryPolicy(lambda failures, _roll: failures * 2.0))
def report(ctx: Context) -> None:
    ctx.log.info("reporting")


@q.task
async def bare(ctx: Context, number: int) -> str:
    return f"{ctx.id} {number}"


@q.task
def bare_plain(ctx: Context, number: int) -> int:
    return ctx.attempt + number


@q.task()
async def called(ctx: Context, number: int) -> str:
    return f"{ctx.id} {number}"


@q.middleware
async def timing(ctx: Context, run: Next) -> object:
    return await run(ctx)


@q.lifespan
async def resources() -> AsyncIterator[dict[str, str]]:
    yield {}


@q.lifespan
@asynccontextmanager
async def managed() -> AsyncGenerator[int, None]:
    yield 1


@q.aggregator
async def all_in_one(group: Group, tasks: Sequence[Task]) -> Call[str]:
    return send_welcome.call(len(tasks), group.name)


@q.aggregator("plain", queue="mail", grace=timedelta(minutes=1), max_delay=None, max_size=10)
def plain(group: Group, tasks: Sequence[Task]) -> NewTask:
    return NewTask("one", id=tasks[0].id, queue=group.queue)


@q.periodic("0 9 * * 1-5", tz="Europe/Berlin", missed="skip", arguments={"user_id": 7})
@q.task("periodic")
async def periodic(ctx: Context, user_id: int) -> str:
    return f"{ctx.tick} {user_id}"


q.every(timedelta(minutes=5), overlap="queue", jitter=3)(report)
q.periodic(Cron("@daily"), name="named")(periodic.call(8))


@q.periodic_provider
def provided() -> list[PeriodicTask]:
    return [PeriodicTask("@hourly", periodic.call(9), name="nine", end=datetime.now(UTC))]


@q.periodic_provider(every=30)
async def provided_later() -> Sequence[PeriodicTask]:
    return provided()


@q.on_error
async def tell(ctx: Context, error: BaseException) -> None:
    ctx.log.error("failed", error=repr(error))


def schedules() -> None:
    """Take one kind of schedule where any is asked for."""
    either: list[Schedule] = [
        Cron("0 9 * * 1-5", "Europe/Berlin", warn=False),
        Cron("0 0 9 * * *", tz="UTC", seconds=True),
        Every(timedelta(minutes=5), anchor=datetime(2026, 1, 1, tzinfo=UTC)),
        Every(30),
        schedule_from("@daily", "Asia/Tokyo"),
    ]
    assert_type(either[0].after(0.0), float | None)
    Every("30s")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Cron(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def accepted(ctx: Context) -> None:
    assert_type(await send_welcome.enqueue(7, "b@example.com"), Handle[str])
    assert_type(await send_welcome.enqueue(user_id=7), Handle[str])
    assert_type(send_welcome.enqueue_sync(user_id=7), BlockingHandle[str])
    assert_type(await (await send_welcome.enqueue(7)).result(timeout=1), str)
    assert_type(send_welcome.enqueue_sync(7).result(), str)
    assert_type(send_welcome.handle_sync("id"), BlockingHandle[str])
    assert_type(send_welcome.using(priority=1).handle("id", queue="mail"), Handle[str])
    assert_type(send_welcome.call(user_id=7), Call[str])
    assert_type(await send_welcome(ctx, 7, "c@example.com"), str)
    assert_type(thumbnail(ctx, "a.jpg"), int)
    assert_type(thumbnail.using(priority=1).call("a.jpg"), Call[int])
    assert_type(report, Handler[[], None, None])
    assert_type(await bare.enqueue(7), Handle[str])
    assert_type(await called.enqueue(7), Handle[str])
    assert_type(bare_plain(ctx, 7), int)
    assert_type(bare_plain.using(priority=1).call(number=7), Call[int])
    coroutine: Coroutine[Any, Any, str] = send_welcome(ctx, 7)
    await coroutine
    soon = send_welcome.using(delay=5, expires=timedelta(hours=1), priority=3, retention=60)
    assert_type(await soon.using(at=datetime.now(UTC)).enqueue(7), Handle[str])
    assert_type(ctx.state(datetime), datetime)
    assert_type(ctx.then(send_welcome.call(7)), NewTask)
    step: Step[int, str] = send_welcome.step("b@example.com")
    assert_type(chain(thumbnail.call("a.jpg"), step), Chain[str])
    assert_type(chain(thumbnail.call("a.jpg"), bare), Chain[str])
    assert_type(chain(thumbnail.call("a.jpg"), send_welcome.step(email="b")), Chain[str])
    assert_type(chain(thumbnail.call("a.jpg"), bare.using(priority=1), thumbnail), Chain[int])
    assert_type(chain(thumbnail.call("a.jpg"), report.call()), Chain[None])
    assert_type(chain(bare.call(1), thumbnail, bare, thumbnail, bare), Chain[str])
    handle = await chain(thumbnail.call("a.jpg"), bare).enqueue()
    assert_type(await handle.result(timeout=1), str)
    assert_type(chain(thumbnail.call("a.jpg"), bare).enqueue_sync().result(), str)
    ctx.then(chain(thumbnail.call("a.jpg"), bare))


async def entries() -> None:
    """Change entries of periodic tasks, awaiting and blocking."""
    assert_type(await periodic.enqueue(1), Handle[str])
    assert_type(await q.entries.put("@daily", periodic.call(1), tz="UTC"), ListedEntry)
    assert_type(await q.entries.change("x", grace=timedelta(1)), ListedEntry | None)
    assert_type(q.blocking_entries.page(limit=5), EntryPage)
    assert_type(q.blocking_entries.remove("x", queue="b"), bool)
    assert_type(q.blocking_entries.run_now("x"), BlockingHandle[Any] | None)


async def refused() -> None:
    await send_welcome.enqueue("seven")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await bare.enqueue("seven")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await bare_plain.enqueue(phone=7)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await send_welcome.enqueue()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await send_welcome.enqueue(7, phone="1")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    send_welcome.enqueue_sync(email="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    send_welcome.using(prio=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    send_welcome.using(priority="high")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    send_welcome.using(group=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    q.aggregator(size=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    q.aggregator(thumbnail)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    q.periodic("@daily", missed="some")(report)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    q.every(5, often=True)(report)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    q.every(5)(len)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    chain(bare.call(1), bare)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    chain(bare.call(1), send_welcome.step(email="b"))  # pyright: ignore[reportArgumentType]
    send_welcome.step(email=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    send_welcome.step(phone="1")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    q.include("mail")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Router(defaults={"max_retries": 3})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    dashboard(q, acess=may)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    dashboard(q, access=READ_ONLY)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    q.worker(concurency=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert_type(thumbnail.call(1), Call[int])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
